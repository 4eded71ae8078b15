/* SPDX-License-Identifier: GPL-2.0 */
/*
 * session.h - the module's one internal header: the session, the vendor interface, and what each file offers.
 *
 *   main.c      loading and unloading, the device node
 *   session.c   the life of a session: open, attach, detach, the ioctls, the shared page
 *   hooks.c     what happens right before every VM entry and right after every VM exit
 *   counter.c   reading retired branches and instructions from perf events
 *   clock.c     RDTSC and RDTSCP
 *   stop.c      leaving KVM_RUN: alarms, and the filter for hardware breakpoints
 *   svm.c       everything that knows the layout of AMD's virtualization
 *   compat/     everything that depends on the kernel's version
 *
 * A session is one open file of /dev/ttvm. Who may touch which field is written next to it:
 *   [lock]  under tt_session.lock
 *   [vcpu]  by the thread inside KVM_RUN with interrupts off, and by ioctls of the same thread, which cannot overlap
 *   [nmi]   also by the alarm's overflow handler, which interrupts the thread above on the same CPU
 *   [const] does not change while attached
 */
#ifndef TTVM_SESSION_H
#define TTVM_SESSION_H

#include <linux/irq_work.h>
#include <linux/kvm_host.h>
#include <linux/mutex.h>
#include <linux/perf_event.h>
#include <linux/rculist.h>
#include <linux/ttvm.h>

#define TT_COUNTERS 2 /* enum ttvm_counter */

struct tt_session;

/* ---- the vendor part: one struct of functions, so that hooks.c and stop.c know neither VMCB nor VMCS ---- */

enum tt_exit_kind {
	TT_EXIT_OTHER,
	TT_EXIT_TSC,		/* RDTSC or RDTSCP, intercepted because of us */
	TT_EXIT_DEBUG,		/* #DB */
	TT_EXIT_DR7,		/* MOV to DR7: KVM puts it together with userspace's breakpoints */
};

struct tt_exit {
	enum tt_exit_kind kind;
	u32 code;		/* raw exit code */
	u32 slot;		/* index into exits_by_reason */
	u64 rip;
	bool midway;	/* an instruction was broken off */
};

/*
 * All functions but bind() are called with interrupts off, by the thread that runs the vCPU: enter()
 * and what belongs to it right before the VM entry, leave() and what belongs to it right after the VM exit and before
 * KVM looks at the exit code.
 */
struct tt_vendor {
	enum ttvm_vendor id;
	/* Find and validate the hardware's control block of s->vcpu. A sentence when refused, or NULL. */
	const char *(*bind)(struct tt_session *s);

	/* The guest's RIP with which KVM is about to enter. */
	u64 (*rip)(struct tt_session *s);
	/* Set the RDTSC and RDTSCP intercepts when intercept_tsc. leave() restores what KVM had. */
	void (*enter)(struct tt_session *s, bool intercept_tsc);
	/* Does this entry inject an external interrupt or NMI? */
	bool (*injects_interrupt)(struct tt_session *s);

	void (*leave)(struct tt_session *s, struct tt_exit *x);
	/* Finish the intercepted RDTSC or RDTSCP with this value; KVM then sees an exit that needs no work, or a #DB. */
	void (*complete_tsc)(struct tt_session *s, const struct tt_exit *x, u64 tsc);
	/* Is the #DB the work of hardware breakpoints alone? */
	bool (*is_breakpoint)(struct tt_session *s);
	/* Is KVM about to see a #DB by the guest's trap flag? Then breakpoint bits are taken out of its cause. */
	bool (*take_step)(struct tt_session *s);
	/* Let the #DB leave no trace: KVM then sees an exit that needs no work. */
	void (*swallow_debug)(struct tt_session *s);
	void (*set_resume_flag)(struct tt_session *s, bool on);
	/* The words over which the register check of the ABI is computed. */
	void (*registers)(struct tt_session *s, u64 words[TTVM_CHECK_WORDS]);
};

extern const struct tt_vendor tt_svm;

/* ---- the session ---- */

struct tt_counter {
	struct perf_event *event;	/* [const] only counts: sampling events lose counts when perf throttles */
	u64 offset;			/* [vcpu] added to the event's count (TTVM_SET_COUNTS) */
	u64 value;			/* [vcpu] as of the last read */
};

/* Each counter has its own alarm; index: enum ttvm_counter. */
struct tt_alarm {
	struct perf_event *event[TT_COUNTERS];	/* [vcpu] sampling events; NULL until first used */
	u64 config[TT_COUNTERS];		/* [const] raw perf configs */
	bool armed[TT_COUNTERS];		/* [nmi] */
	u64 target[TT_COUNTERS];		/* [vcpu] */
	u32 rung;				/* [nmi] whose stop is pending, if one is */
	struct irq_work kick;			/* its interrupt ends a VM entry that has already begun */
};

/* What the stop filter does to get past a breakpoint that has hit; all [vcpu]. */
struct tt_resume {
	bool pending;			/* a hit was swallowed: set RFLAGS.RF at the next entry */
	bool set;			/* RF was set at this entry */
	u64 rip;			/* of the hit */
	u64 branches;			/* at the hit */
	bool masked_debug;		/* userspace's wish to get every #DB, likewise */
	u64 masked_dr7;			/* userspace's breakpoints, taken out of KVM's sight until the next entry */
};

struct tt_session {
	/* what the hooks look at first */
	struct hlist_node node;		/* in the table of hooks.c */
	struct kvm_vcpu *vcpu;		/* [const] */
	const struct tt_vendor *vendor;	/* [const] */
	struct ttvm_page *page;		/* [const] since open() */
	bool dying;			/* set once by detach; the hooks then let the vCPU pass untouched */
	bool in_guest;			/* [vcpu] between the entry hook and the exit hook */
	bool compare_rip;		/* [vcpu] rip below is that of the vCPU's last exit */
	u64 rip;			/* [vcpu] at the last exit */
	u64 emulated;			/* [vcpu] */
	struct tt_counter counter[TT_COUNTERS];
	struct tt_alarm alarm;
	struct tt_resume resume;
	struct {
		void **slot;		/* [const] where KVM keeps the address of the current VMCB */
		struct vmcb *vmcb;	/* [const] */
		bool had_rdtsc;		/* [vcpu] KVM's own intercepts, while in_guest */
		bool had_rdtscp;
	} svm;

	/* life */
	struct mutex lock;		/* attach, detach, ioctls; taken before tt_table_lock of hooks.c */
	bool attached;			/* [lock] */
	struct task_struct *task;	/* [const] the thread that attached; the counters are its own; referenced */
	struct kvm *kvm;		/* [const] referenced */
};

/* ---- session.c ---- */
extern const struct file_operations tt_session_fops;

/* ---- hooks.c ---- */
int tt_hooks_add(struct tt_session *s);	/* -EEXIST: the vCPU has a session; starts hooking at the first session */
void tt_hooks_drain(struct tt_session *s); /* s->dying is set: return when no hook works on s any more */
void tt_hooks_del(struct tt_session *s);
unsigned int tt_hooks_count(void);
void tt_enter(struct kvm_vcpu *vcpu);	/* called by compat/: right before VM entry, interrupts off */
void tt_leave(struct kvm_vcpu *vcpu);	/* called by compat/: right after VM exit, interrupts off */

/* ---- counter.c ---- */
struct perf_event *tt_perf_open(u64 config, u64 period, perf_overflow_handler_t handler, void *context);
bool tt_perf_running(const struct perf_event *event);
int tt_counters_open(struct tt_session *s, char why[96]);
void tt_counters_close(struct tt_session *s);
unsigned int tt_counters_of_machine(void);

/*
 * Bring counter->value up to date. Interrupts are off and the caller is the thread that the counter belongs to. False
 * when the counter does not run here and now; value is then what it was. perf_event_read_local() would do the same, but
 * is not exported.
 */
static inline bool tt_counter_read(struct tt_counter *counter)
{
	struct perf_event *event = counter->event;

	if (unlikely(!tt_perf_running(event)))
		return false;
	event->pmu->read(event);
	counter->value = counter->offset + local64_read(&event->count);
	return true;
}

/* ---- clock.c ---- */
bool tt_clock_enabled(const struct tt_session *s);
u64 tt_clock_rdtsc(struct tt_session *s);

/* ---- stop.c ---- */
void tt_stop_init(struct tt_session *s);
int tt_alarm_open(struct tt_session *s, u32 counter);
void tt_alarm_close(struct tt_session *s);
int tt_alarm_set(struct tt_session *s, u32 counter, u64 target);
void tt_alarm_clear(struct tt_session *s);
void tt_alarm_emulated(struct tt_session *s);	/* at entry: s->emulated has grown */
void tt_alarm_check(struct tt_session *s);	/* at exit: was an alarm lost? */

static inline bool tt_alarm_armed(const struct tt_session *s)
{
	return READ_ONCE(s->alarm.armed[TTVM_COUNTER_BRANCHES]) ||
	       READ_ONCE(s->alarm.armed[TTVM_COUNTER_INSTRUCTIONS]);
}

void tt_stop_at_exit(struct tt_session *s, u32 reason);
void tt_stop_at_entry(struct tt_session *s, u32 reason);
void tt_stop_begin(struct tt_session *s);	/* at entry: forget a reason that userspace has seen */
void tt_stop_check(struct tt_session *s);	/* at exit, filter on: was the position missed? */
bool tt_stop_filter(struct tt_session *s, const struct tt_exit *x);
void tt_resume_at_entry(struct tt_session *s, u64 rip);
void tt_resume_at_exit(struct tt_session *s, const struct tt_exit *x);
void tt_stop_pass_step(struct tt_session *s);
void tt_resume_unmask(struct tt_session *s);

#endif
