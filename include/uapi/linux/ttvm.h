/* SPDX-License-Identifier: GPL-2.0 WITH Linux-syscall-note */
/*
 * ttvm.h - the contract between ttvm.ko and userspace, and the only one.
 *
 * ttvm.ko extends the KVM of a stock kernel from outside. One open file of /dev/ttvm carries at most one attached vCPU
 * (a "session"). TTVM_ATTACH binds it; mmap() of that file gives the session's one shared page, struct ttvm_page;
 * TTVM_DETACH or the last close() unbinds it. Every call about a session is made by the thread that runs the vCPU,
 * while the vCPU is outside KVM_RUN, unless it says otherwise: the counters belong to that thread.
 *
 * While attached
 *   - retired guest-mode conditional branches and instructions are counted exactly (the position of the vCPU);
 *   - RDTSC and RDTSCP are intercepted and answered in the kernel from the virtual TSC, when the clock is enabled;
 *   - KVM_RUN can be left close to a count (TTVM_ALARM) and exactly at a position (a hardware breakpoint that userspace
 *     sets with KVM_SET_GUEST_DEBUG, filtered here by struct ttvm_stop, so that only the right hit is reported).
 * When the module leaves KVM_RUN of its own wish, KVM_RUN returns 0 with exit_reason KVM_EXIT_TPR_ACCESS and
 * ttvm_page.stop_reason says why. It is reset to TTVM_STOP_NONE at the next KVM_RUN.
 */
#ifndef _UAPI_LINUX_TTVM_H
#define _UAPI_LINUX_TTVM_H

#include <linux/ioctl.h>
#include <linux/types.h>

#define TTVM_DEVICE "/dev/ttvm"
#define TTVM_ABI_VERSION 1

/* ---- what the module is and can do ---- */

enum ttvm_vendor {
	TTVM_VENDOR_NONE = 0,
	TTVM_VENDOR_SVM = 1,
	TTVM_VENDOR_VMX = 2,
};

struct ttvm_info {
	__u32 abi_version;	/* out: TTVM_ABI_VERSION of the module */
	__u32 vendor;		/* out: enum ttvm_vendor of this machine's KVM */
	__u32 num_counters;	/* out: general-purpose PMU counters */
	__u32 sessions;		/* out: vCPUs attached now, of all processes */
	char why_not[96];	/* out: empty when usable, else one sentence that names what is missing */
};

/* ---- attaching ---- */

struct ttvm_attach {
	__s32 vm_fd;		/* in */
	__s32 vcpu_fd;		/* in: a vCPU of that VM; the caller's mm must be the VM's */
	__u64 branch_event;	/* in: raw perf config of "retired conditional branches" */
	__u64 instr_event;	/* in: raw perf config of "retired instructions" */
	__u32 flags;		/* in: must be 0 */
	__u32 reserved;		/* in: must be 0 */
	char why_not[96];	/* out on failure: one sentence; empty on success */
};

/* ---- alarms: leave KVM_RUN when a counter has reached a value. Each counter has its own, independent of the other ---- */

enum ttvm_counter {
	TTVM_COUNTER_BRANCHES = 0,
	TTVM_COUNTER_INSTRUCTIONS = 1,	/* retired + emulated, as in ttvm_page */
};

struct ttvm_alarm {
	__u32 counter;		/* in: enum ttvm_counter */
	__u32 reserved;		/* in: must be 0 */
	__u64 target;		/* in: absolute count; 0 disarms. A target that has been reached already fires at once */
};

/* ---- restoring a position (checkpoints) ---- */

struct ttvm_counts {
	__u64 branches;
	__u64 instructions;
	__u64 emulated;
};

/* ---- the shared page ---- */

enum ttvm_stop_reason {
	TTVM_STOP_NONE = 0,
	TTVM_STOP_ALARM = 1,	/* the PMU's overflow interrupt arrived */
	TTVM_STOP_LATE = 2,	/* the target was found passed at an exit: the interrupt was lost */
	TTVM_STOP_COUNTER = 3,	/* a counter is not running (taken by another user of the PMU): counts are void */
};

/* The virtual TSC at a position: base + ((branches - base_branches) * rate >> TTVM_CLOCK_SHIFT) + extra. */
#define TTVM_CLOCK_SHIFT 10
#define TTVM_CLOCK_ENABLED (1u << 0)

struct ttvm_clock {
	__u32 flags;		/* user: TTVM_CLOCK_*; RDTSC is intercepted while ENABLED */
	__u32 rdtsc_ticks;	/* user: ticks that the module adds to extra for each RDTSC/RDTSCP, >= 1 */
	__u64 base;		/* user */
	__u64 base_branches;	/* user: the value of branches at which base was set */
	__u64 rate;		/* user: ticks per branch, in units of 2^-TTVM_CLOCK_SHIFT */
	__u64 extra;		/* both: the module adds rdtsc_ticks, then answers; userspace adds and resets */
};

#define TTVM_STOP_FILTER	(1u << 0)
#define TTVM_STOP_INSTRUCTIONS	(1u << 1)

/* Which #DB of a hardware breakpoint is reported; the others are resumed in the kernel with RFLAGS.RF set. */
struct ttvm_stop {
	__u32 flags;		/* user: TTVM_STOP_FILTER enables the filter; without it every #DB is KVM's.
				 * TTVM_STOP_INSTRUCTIONS: instructions is compared as well */
	__u32 check_mask;	/* user: which bits of check are compared */
	__u64 branches;		/* user: a #DB with fewer branches than this is swallowed */
	__u64 rip;		/* user: ... and so is one elsewhere */
	__u32 check;		/* user: ... and one whose register check differs under check_mask */
	__u32 reserved;
	__u64 instructions;	/* user: ... and, if asked for, one with fewer instructions (retired + emulated) */
};
/*
 * A #DB with MORE branches than ttvm_stop.branches is always reported: userspace has overshot. While the filter is on, any
 * VM exit with more than TTVM_STOP_SLACK branches above it leaves KVM_RUN with TTVM_STOP_LATE: the position was missed.
 */
#define TTVM_STOP_SLACK 4096

#define TTVM_REASONS 256	/* slots of exits_by_reason */

struct ttvm_page {
	/* written by the module at every VM exit (userspace reads it without a system call after KVM_RUN) */
	__u64 branches;		/* retired conditional branches in guest mode since attach (or TTVM_SET_COUNTS) */
	__u64 instructions;	/* retired instructions in guest mode, likewise */
	__u64 emulated;		/* instructions that the hypervisor completed: RIP at VM entry differed from RIP at the
				 * exit before. One that is completed after the last exit (by KVM_RUN with
				 * immediate_exit) is counted at the next entry only: userspace adds it when its RIP
				 * differs from rip below */
	__u64 rip;		/* guest RIP at the last VM exit, as the hardware left it; userspace that puts the vCPU
				 * elsewhere (TTVM_SET_COUNTS) may put the new RIP here, and 0 into midway */
	__u32 exit_code;	/* raw vendor exit code of the last VM exit */
	__u32 stop_reason;	/* enum ttvm_stop_reason */
	__u32 midway;		/* 1: the last VM exit broke off an instruction, which may have set accessed and dirty
				 * bits in the guest's page tables already; it starts over unless KVM completes it */
	__u32 reserved0;
	__u64 reserved[2];

	/* written by userspace while the vCPU is outside KVM_RUN */
	struct ttvm_clock clock;
	struct ttvm_stop stop;

	/* statistics, written by the module */
	__u64 exits;		/* all VM exits */
	__u64 rdtsc;		/* RDTSC + RDTSCP answered in the kernel */
	__u64 db_swallowed;	/* #DB resumed by the stop filter */
	__u64 alarms;		/* overflow interrupts */
	__u64 alarms_late;	/* TTVM_STOP_LATE */
	__u64 reserved2[3];
	/* SVM: slot = exit code when below 0xf0; 0xf0 = nested page fault (0x400); 0xff = any other.
	 * VMX: slot = basic exit reason. */
	__u64 exits_by_reason[TTVM_REASONS];
};

/*
 * Register check: the low 32 bits of XXH64 (seed 0) over 17 little-endian 64-bit words: RAX RCX RDX RBX RSP RBP RSI RDI
 * R8..R15, then RFLAGS & ~TTVM_CHECK_RFLAGS_IGNORED.
 */
#define TTVM_CHECK_WORDS 17
#define TTVM_CHECK_RFLAGS_IGNORED ((1ull << 8) | (1ull << 16)) /* TF, RF */

#define TTVM_IOC_MAGIC 0xB7
#define TTVM_GET_INFO	_IOR(TTVM_IOC_MAGIC, 0x00, struct ttvm_info)	/* any time, any thread */
#define TTVM_ATTACH	_IOWR(TTVM_IOC_MAGIC, 0x01, struct ttvm_attach)
#define TTVM_DETACH	_IO(TTVM_IOC_MAGIC, 0x02)			/* any thread */
#define TTVM_ALARM	_IOW(TTVM_IOC_MAGIC, 0x03, struct ttvm_alarm)
#define TTVM_SET_COUNTS	_IOW(TTVM_IOC_MAGIC, 0x04, struct ttvm_counts)

#endif /* _UAPI_LINUX_TTVM_H */
