/* SPDX-License-Identifier: GPL-2.0 */
/*
 * debug.h - a debugger looks at a machine: the server that speaks gdb's remote protocol, what it needs of whatever it serves
 * (struct tt_debug_target), and the target that is a run which nobody records. The one public header of debug/.
 *
 * The server knows no KVM, a target knows no gdb. A target stands still between two calls of step() and run().
 */
#ifndef TTVM_DEBUG_H
#define TTVM_DEBUG_H

#include <linux/kvm.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "ttvm/error.h"
#include "vmm.h"

/* ------------------------------------------------------------------ registers */

/* MSRs that a debugger shows; the others are in kvm_sregs. */
enum tt_debug_msr {
	TT_MSR_STAR,
	TT_MSR_LSTAR,
	TT_MSR_CSTAR,
	TT_MSR_SFMASK,
	TT_MSR_KERNEL_GS_BASE,
	TT_MSR_SYSENTER_CS,
	TT_MSR_SYSENTER_ESP,
	TT_MSR_SYSENTER_EIP,
	TT_MSR_PAT,
	TT_NUM_KVM_MSRS,
	TT_MSR_APIC_BASE = TT_NUM_KVM_MSRS, /* the interrupt controller's, so vmm/'s */
	TT_NUM_DEBUG_MSRS,
};

/* All of a vCPU's, in KVM's own layouts. */
struct tt_registers {
	struct kvm_regs regs;
	struct kvm_sregs sregs;
	struct kvm_debugregs debug;
	struct kvm_xsave xsave;			/* standard format: XMM, x87 and MXCSR in the first 512 bytes, YMM's upper
						 * halves at 576 */
	uint64_t msrs[TT_NUM_DEBUG_MSRS];	/* enum tt_debug_msr */
};

/* The vCPU's thread (tt_machine_visit()), settled. write: only what differs from `old`, which was read before. 0 or -errno. */
int tt_registers_read(struct tt_vcpu *vcpu, struct tt_registers *r);
int tt_registers_write(struct tt_vcpu *vcpu, const struct tt_registers *old, const struct tt_registers *r);

/*
 * Memory of the machine, whose vCPUs stand still: by virtual address in the context of these system registers, or by physical
 * address. Number of bytes, 0 when the first is nowhere.
 */
size_t tt_debug_read_memory(struct tt_vcpu *vcpu, const struct kvm_sregs *sregs, bool physical, uint64_t address, void *data,
			    size_t len);
/* Does the guest's CPU have AVX? */
bool tt_debug_has_avx(const struct tt_machine *m);

/* ------------------------------------------------------------------ the target */

enum tt_point_kind {	/* the numbers are those of gdb's Z packets */
	TT_POINT_SOFTWARE,	/* a breakpoint that gdb would write into the code; nothing here does */
	TT_POINT_HARDWARE,
	TT_POINT_WRITE,
	TT_POINT_READ,
	TT_POINT_ACCESS,
};

struct tt_point {
	enum tt_point_kind kind;
	uint64_t address;	/* linear */
	uint64_t len;		/* bytes watched; of no meaning for a breakpoint */
};

enum tt_stop_reason {
	TT_STOP_STEP,		/* all steps were made */
	TT_STOP_INTERRUPTED,	/* interrupt() was called */
	TT_STOP_POINT,
	TT_STOP_HISTORY_BEGIN,	/* there is nothing before, or after, this */
	TT_STOP_HISTORY_END,
	TT_STOP_EXITED,		/* the guest ended by itself, or was ended: there is nothing to look at any more */
	TT_STOP_CRASHED,	/* likewise, by a triple fault */
};

struct tt_stop {
	enum tt_stop_reason reason;
	struct tt_point point;	/* TT_STOP_POINT: which; of a watchpoint, the address is the one that gdb asked for */
	uint8_t status;		/* TT_STOP_EXITED */
};

/*
 * What can be done with a target. All calls are made by one thread of the server, one at a time, except interrupt(). Those
 * that return int return 0, or -errno with one sentence in err; -EFAULT without a sentence is memory that is not there.
 * Operations marked "optional" may be NULL: then the user is told that this target cannot do that.
 */
struct tt_debug_target;
struct tt_debug_ops {
	/* A client is there: the target stands still from now on, earlier interrupts are forgotten. -ESHUTDOWN: it has ended. */
	int (*attach)(struct tt_debug_target *self, struct tt_error *err);
	/* It has gone; no point is set any more. A live target runs on. */
	void (*detach)(struct tt_debug_target *self);
	/* End what is debugged. detach() follows. */
	void (*kill)(struct tt_debug_target *self);

	int (*read_registers)(struct tt_debug_target *self, struct tt_registers *r, struct tt_error *err);
	/* Optional: NULL where the past cannot be changed. Likewise write_memory. */
	int (*write_registers)(struct tt_debug_target *self, const struct tt_registers *r, struct tt_error *err);
	/* By virtual address in the current context of the vCPU, or by physical address. Number of bytes, 0 when the first is
	 * nowhere. */
	size_t (*read_memory)(struct tt_debug_target *self, bool physical, uint64_t address, void *data, size_t len);
	size_t (*write_memory)(struct tt_debug_target *self, bool physical, uint64_t address, const void *data, size_t len);

	/* From now on exactly these points are set; borrowed until the next call. On failure those from before remain. */
	int (*set_points)(struct tt_debug_target *self, const struct tt_point *points, size_t count, struct tt_error *err);
	/* Execute `count` instructions, or go back by -count. Points stop it before that. */
	int (*step)(struct tt_debug_target *self, int64_t count, struct tt_stop *stop, struct tt_error *err);
	/* Run until something happens. */
	int (*run)(struct tt_debug_target *self, bool backwards, struct tt_stop *stop, struct tt_error *err);
	/* Any thread: make step, run, go or a seek return soon. Remembered when none of them has begun. */
	void (*interrupt)(struct tt_debug_target *self);

	/* All optional: a recording's. Instruction number and virtual time of where we are. */
	int (*position)(struct tt_debug_target *self, uint64_t *instructions, uint64_t *ns, struct tt_error *err);
	/* Go to an instruction number; to the position of an event of the log; to a virtual time. */
	int (*go)(struct tt_debug_target *self, uint64_t instructions, struct tt_error *err);
	int (*seek_event)(struct tt_debug_target *self, uint64_t event, struct tt_error *err);
	int (*seek_time)(struct tt_debug_target *self, uint64_t ns, struct tt_error *err);
	/* What the monitor commands of these names print; args is what the user typed behind the name. */
	int (*events)(struct tt_debug_target *self, const char *args, FILE *out, struct tt_error *err);
	int (*checkpoint)(struct tt_debug_target *self, const char *args, FILE *out, struct tt_error *err);
	int (*disk)(struct tt_debug_target *self, const char *args, FILE *out, struct tt_error *err);
	int (*console)(struct tt_debug_target *self, const char *args, FILE *out, struct tt_error *err);
};

struct tt_debug_target {
	const struct tt_debug_ops *ops;
	const char *name;	/* in messages: "a live run", "a recording" */
	bool backwards;		/* step() and run() can go back */
	bool avx;		/* the guest's CPU has it */
};

/* ------------------------------------------------------------------ the server */

struct tt_gdb_server;

struct tt_gdb_options {
	int listen_fd;		/* a listening TCP or unix socket; the server closes it, also when it cannot start */
	struct tt_debug_target *target;	/* borrowed */
	/* One line for the user of ttvm; any of the server's threads. May be NULL. */
	void (*message)(void *ctx, const char *text);
	void *message_ctx;
	bool looks_again;	/* clients forget what they know of the machine after a monitor command, and need not be told to */
};

/* Serve one client after the other, on threads of its own. */
int tt_gdb_start(const struct tt_gdb_options *options, struct tt_gdb_server **server, struct tt_error *err);
/* Finishes the command that is being served, which must end by itself or have ended, and frees the server. NULL is fine. */
void tt_gdb_stop(struct tt_gdb_server *server);

/* ------------------------------------------------------------------ a live run as a target */

/*
 * A machine with the live seam: forward only; breakpoints and watchpoints are the CPU's four debug registers, which the guest
 * does not have while a client is there. wait: the machine stands before its first instruction until a client lets it run.
 * Call before tt_machine_run(). The caller calls tt_debug_live_end() when that has returned, then tt_gdb_stop(), then destroys.
 */
int tt_debug_live_create(struct tt_machine *m, bool wait, struct tt_debug_target **target, struct tt_error *err);
void tt_debug_live_end(struct tt_debug_target *target);
void tt_debug_live_destroy(struct tt_debug_target *target);

#endif /* TTVM_DEBUG_H */
