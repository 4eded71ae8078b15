/* SPDX-License-Identifier: GPL-2.0 */
/*
 * replayer.h - the replayer's state, shared by replayer.c (events), landing.c (reaching positions) and report.c.
 */
#ifndef TTVM_REPLAY_REPLAYER_H
#define TTVM_REPLAY_REPLAYER_H

#include "decode.h"
#include "internal.h"

/* How the next event's position is being approached. */
enum tt_landing {
	TT_LANDING_IDLE,	/* nothing is armed: it lies behind a deterministic exit, or was not looked at yet */
	TT_LANDING_ALARM,	/* the branch alarm is set short of it */
	TT_LANDING_BREAKPOINT,	/* a breakpoint stands on it, the module filters its hits */
};

struct replayer_vcpu {
	struct tt_session session;
	struct tt_clock clock;
};

/* A part of a watched range, within one page. */
struct tt_watch_piece {
	uint64_t gpa;
	uint64_t length;
	bool reads;		/* they count, too */
	unsigned int index;	/* of whom: for hit() */
};

/* Memory that is watched by guarding its pages (vmm.h, guard.c): see watch.c. All borrowed. */
struct tt_watch {
	const struct tt_watch_piece *pieces;
	size_t num_pieces;
	const struct tt_guarded_page *pages;
	size_t num_pages;
	/* Like that of an onlooker. */
	bool (*hit)(void *ctx, uint64_t instruction, unsigned int index);
	/* One of the pages was used, and an instruction stepped for it: true: stop, that is enough. When it is not
	 * possible to go on: the replay stops anyway. */
	bool (*stepped)(void *ctx, bool possible);
	void *ctx;
};

/*
 * Breakpoints of somebody who looks on. hit is called on the vCPU's thread when number `index` was hit; true: stop here. instruction:
 * so many are complete; of data: will be, when the one that made the access is. It may come more than once then.
 */
struct tt_onlooker {
	const struct tt_breakpoint *list;
	unsigned int n;		/* <= TT_BREAKPOINTS_AT_ONCE; 0 with a watch */
	bool (*hit)(void *ctx, uint64_t instruction, unsigned int index);
	void *ctx;
	const struct tt_watch *watch;	/* may be NULL; the goal is TT_GOAL_BEYOND or TT_GOAL_END then */
};

/* An instruction that was broken off at a guarded page, and now makes its step. */
struct tt_passage {
	bool active;
	bool returned;		/* the breakpoint behind it was hit */
	bool delivers;		/* it is no instruction, but an exception or an interrupt on its way to the handler */
	struct kvm_regs regs;	/* before */
	struct kvm_sregs sregs;
	struct tt_accesses accesses;
};

struct tt_replayer {
	struct tt_seam seam;
	struct tt_log *log;
	struct tt_replayer_options options;
	const struct tt_pmu *pmu;
	uint64_t margin;		/* branches */
	bool exact;			/* instruction counts of recording and replay can be compared */
	struct tt_event next;
	bool have_next;
	struct tt_event last;		/* the last event that matched; kind 0 before the first */
	uint64_t event;			/* number of next */
	uint64_t attempts;		/* made by devices since the start */
	bool goal_in_exit;		/* the goal is a failure in the exit that is being served: stop behind it */
	struct tt_onlooker onlooker;
	struct tt_guard guard;		/* in force while there is onlooker.watch */
	struct tt_passage passage;
	bool watch_stops;		/* somebody has seen enough: stop when the passage is over */
	uint64_t pass_at;		/* options.pass is called from this instruction on */
	enum tt_landing landing;
	uint64_t aimed_from;		/* branches at which the breakpoint was set */
	bool breakpoints_armed;
	bool goal_alarm;		/* the instruction alarm is set */
	bool stepping;			/* close to the goal: one instruction at a time */
	bool stepped;			/* stepped_to is valid */
	uint64_t stepped_to;		/* the instruction number at which goal_reached() was last called */
	uint64_t step_from;		/* where the step that is being made began */
	struct tt_step step;		/* length 0: none is */
	bool strayed;			/* options.strays has got another entry, or one another set */
	int injected;			/* vector that the next VM entry delivers, or -1 */
	struct ttvm_page *page;		/* for tt_replayer_progress(); NULL before and after the run */
	enum tt_outcome outcome;
	struct tt_run_counts counts;
	struct tt_digests digests;
	bool have_digests;
	bool digests_compared;
	char report[4096];
};

/* replayer.c */
int tt_replayer_fetch(struct tt_replayer *rep, struct tt_machine *m);
int tt_replayer_apply(struct tt_replayer *rep, struct tt_vcpu *vcpu);
int tt_replayer_stop(struct tt_replayer *rep, struct tt_vcpu *vcpu, enum tt_outcome outcome);

/*
 * Where a replay is, beside the machine's own state (tt_snapshot_take()): the counters, the clock, the place in the log. The
 * vCPU is settled. Loading comes after tt_snapshot_load(), on the vCPU's thread. 0, or -errno and machine->error.
 */
struct tt_replayer_place {
	struct ttvm_counts counts;
	struct tt_clock clock;
	struct ttvm_clock page_clock;
	uint64_t rdtsc;
	uint64_t event;
	uint64_t attempts;
	struct tt_event last;
	int injected;
};

/* The part of it that follows from the vCPU's session and its clock. */
void tt_place_vcpu(struct tt_vcpu *vcpu, const struct tt_session *session, const struct tt_clock *clock,
		   struct tt_replayer_place *place);
void tt_replayer_save(const struct tt_replayer *rep, struct tt_vcpu *vcpu, struct tt_replayer_place *place);
int tt_replayer_load(struct tt_replayer *rep, struct tt_vcpu *vcpu, const struct tt_replayer_place *place);
/*
 * For who takes the machine's place at the seam: the vCPU's session, its clock, and how many attempts devices have made. On the
 * vCPU's thread; it keeps nothing of the vCPU. 0, or -errno and machine->error.
 */
int tt_replayer_hand_over(struct tt_replayer *rep, struct tt_vcpu *vcpu, struct tt_session *session,
			  struct tt_clock *clock, uint64_t *attempts);
/* On the vCPU's thread, while the machine stands still: where to go next. onlooker may be NULL. */
int tt_replayer_set_goal(struct tt_replayer *rep, struct tt_vcpu *vcpu, struct tt_goal goal,
			 const struct tt_onlooker *onlooker);

/*
 * watch.c: guarding begins and ends with a goal. The plan deals with the instruction that was broken off: while
 * rep->passage is active nothing else is planned. 0 or -errno.
 */
void tt_watch_begin(struct tt_replayer *rep, struct tt_vcpu *vcpu);
void tt_watch_end(struct tt_replayer *rep, struct tt_vcpu *vcpu);
int tt_watch_plan(struct tt_replayer *rep, struct tt_vcpu *vcpu);
/* True: this interruption was the watch's own; *ret is the seam's answer. */
bool tt_watch_interrupted(struct tt_replayer *rep, struct tt_vcpu *vcpu, enum tt_interruption why, int *ret);
/* A deterministic exit: KVM's emulator may complete its instruction with a write to guest memory. */
void tt_watch_exit(struct tt_replayer *rep, struct tt_vcpu *vcpu);

/* landing.c: breakpoints on all places to which the instruction leads that begins at rep->step_from. 0 or -errno. */
int tt_landing_step(struct tt_replayer *rep, struct tt_vcpu *vcpu);
/* The step ended nowhere that was watched: at `at`. Like tt_report(). */
int tt_landing_strayed(struct tt_replayer *rep, struct tt_vcpu *vcpu, uint64_t at);
/* The step is over. 0 or -errno. */
int tt_landing_stepped(struct tt_replayer *rep, struct tt_vcpu *vcpu);

/* landing.c: forget what was armed for the last goal. 0 or -errno. */
int tt_landing_reset(struct tt_replayer *rep, struct tt_vcpu *vcpu);
/* Arm what is needed to stop at the next place of interest; see why KVM_RUN was left. 0 or -errno. */
int tt_landing_plan(struct tt_replayer *rep, struct tt_vcpu *vcpu);
int tt_landing_interrupted(struct tt_replayer *rep, struct tt_vcpu *vcpu, enum tt_interruption why);
/*
 * The next event's position lies behind: why? On the way to an alarm, or with an alarm that may have come just behind the
 * position, that is an accident, which another try with a larger margin mends (TT_OUTCOME_OVERSHOT). With the breakpoint
 * set in time, the guest did not come there in the recorded state (TT_OUTCOME_DIVERGED).
 */
enum tt_outcome tt_landing_missed(const struct tt_replayer *rep);
/* The machine ends after this many instructions: is that the goal? Completes a walk to it. */
bool tt_landing_goal_is(struct tt_replayer *rep, struct tt_vcpu *vcpu, uint64_t instructions);

/*
 * report.c: the first difference, or the position that was passed. Ends the machine with that outcome and fills
 * rep->report; returns 0, for `return tt_report(...)`.
 */
__attribute__((format(printf, 4, 5))) int tt_report(struct tt_replayer *rep, struct tt_vcpu *vcpu,
						     enum tt_outcome outcome, const char *format,
						     ...);
#define tt_report_divergence(rep, vcpu, ...) \
	tt_report(rep, vcpu, TT_OUTCOME_DIVERGED, __VA_ARGS__)

#endif /* TTVM_REPLAY_REPLAYER_H */
