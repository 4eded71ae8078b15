// SPDX-License-Identifier: GPL-2.0
/*
 * landing.c - stopping a replay at an exact position.
 *
 * An event's position is approached in two strides: a branch alarm set short of it by the margin (the PMU's interrupt comes
 * late by its skid), then a hardware breakpoint on its rip, whose hits the module swallows until branches and registers
 * agree. Nothing of this is visible to the guest.
 *
 * An instruction number (the goal) has no known rip. An alarm of the instruction counter stops short of it; the rest is
 * walked instruction by instruction (step.c), with breakpoints on all places that the next instruction can lead to. The
 * trap flag would leak into stack frames and registers: it is used for IRET only.
 */
#include <string.h>
#include <sys/ioctl.h>

#include "replayer.h"

#define RFLAGS_RF (1ull << 16)

/* The onlooker's come first, so that their numbers in DR6 are their indexes. Steps have no room for them. */
static int set_breakpoints(struct tt_replayer *rep, struct tt_vcpu *vcpu, const uint64_t *address,
			   unsigned int n)
{
	struct tt_breakpoint list[TT_MAX_BREAKPOINTS];
	unsigned int i, first = rep->stepping ? 0 : rep->onlooker.n;

	if (!n && !first && !rep->breakpoints_armed)
		return 0;
	rep->breakpoints_armed = first || n;
	for (i = 0; i < first; i++)
		list[i] = rep->onlooker.list[i];
	for (i = 0; i < n; i++)
		list[first + i] = (struct tt_breakpoint){ TT_BREAK_EXECUTE, address[i], 1 };
	return tt_breakpoints_set(vcpu, list, first + n);
}

static int fail(struct tt_replayer *rep, struct tt_vcpu *vcpu, int ret, const char *what)
{
	rep->outcome = TT_OUTCOME_FAILED;
	return tt_fail(&vcpu->machine->error, ret, "%s: %s", what, strerror(-ret));
}

enum tt_outcome tt_landing_missed(const struct tt_replayer *rep)
{
	return rep->landing == TT_LANDING_BREAKPOINT && rep->aimed_from < rep->next.pos.branches ?
		       TT_OUTCOME_DIVERGED :
		       TT_OUTCOME_OVERSHOT;
}

static int overshot(struct tt_replayer *rep, struct tt_vcpu *vcpu)
{
	struct replayer_vcpu *rv = vcpu->seam_data;

	return tt_report(rep, vcpu, tt_landing_missed(rep), "the event's position was passed: %llu branches, "
			 "%llu instructions, recorded %llu, %llu",
			 (unsigned long long)rv->session.page->branches,
			 (unsigned long long)tt_instructions(vcpu, rv->session.page),
			 (unsigned long long)rep->next.pos.branches,
			 (unsigned long long)rep->next.pos.instructions);
}

/* ------------------------------------------------------------------ events */

/* Is the event's instruction count something to go by? */
static bool is_exact(const struct tt_replayer *rep)
{
	return rep->exact && rep->next.pos.instructions;
}

static int aim_breakpoint(struct tt_replayer *rep, struct tt_vcpu *vcpu)
{
	struct replayer_vcpu *rv = vcpu->seam_data;
	struct ttvm_stop *stop = &rv->session.page->stop;
	const struct tt_position *pos = &rep->next.pos;
	int ret;

	stop->branches = pos->branches;
	stop->rip = pos->rip;
	stop->check = pos->check;
	stop->check_mask = TT_CHECK_MASK;
	stop->instructions = pos->instructions;
	if (rep->onlooker.n)
		stop->flags = 0; /* it wants to see all hits */
	else
		stop->flags = TTVM_STOP_FILTER | (is_exact(rep) ? TTVM_STOP_INSTRUCTIONS : 0);
	ret = set_breakpoints(rep, vcpu, &pos->rip, 1);
	if (ret)
		return fail(rep, vcpu, ret, "cannot set a hardware breakpoint in the guest");
	rep->landing = TT_LANDING_BREAKPOINT;
	rep->aimed_from = rv->session.page->branches;
	return 0;
}

static uint64_t instruction_margin(const struct tt_replayer *rep)
{
	return rep->margin;
}

/* More instructions than code with branches has within the margin. */
static uint64_t far_away(const struct tt_replayer *rep)
{
	return 100 * rep->margin + 10000;
}

/* Is the vCPU behind the next event's position, which is not at an exit? */
static bool is_passed(const struct tt_replayer *rep, struct tt_vcpu *vcpu)
{
	const struct replayer_vcpu *rv = vcpu->seam_data;
	const struct tt_position *pos = &rep->next.pos;

	return rv->session.page->branches > pos->branches ||
	       (is_exact(rep) && tt_instructions(vcpu, rv->session.page) > pos->instructions);
}

static int aim_at_event(struct tt_replayer *rep, struct tt_vcpu *vcpu)
{
	struct replayer_vcpu *rv = vcpu->seam_data;
	const struct tt_position *pos = &rep->next.pos;
	uint64_t branches = rv->session.page->branches;
	struct tt_error *err = &vcpu->machine->error;
	int ret;

	if (rep->next.at_exit || pos->exits > vcpu->exits || rep->landing != TT_LANDING_IDLE)
		return 0;
	if (pos->exits < vcpu->exits)
		return tt_report_divergence(rep, vcpu, "the guest has made exit %llu already",
					    (unsigned long long)vcpu->exits);
	if (is_passed(rep, vcpu))
		return overshot(rep, vcpu);
	if (pos->branches - branches > rep->margin) {
		ret = tt_session_alarm(&rv->session, TTVM_COUNTER_BRANCHES,
				       pos->branches - rep->margin, err);
	} else if (is_exact(rep) &&
		   pos->instructions > tt_instructions(vcpu, rv->session.page) + far_away(rep)) {
		/* A loop without conditional branches: its hits are too many to be looked at. */
		rep->goal_alarm = false;
		ret = tt_session_alarm(&rv->session, TTVM_COUNTER_INSTRUCTIONS,
				       pos->instructions - instruction_margin(rep), err);
	} else {
		return aim_breakpoint(rep, vcpu);
	}
	if (ret) {
		rep->outcome = TT_OUTCOME_FAILED;
		return ret;
	}
	rep->landing = TT_LANDING_ALARM;
	return 0;
}

static bool is_next(const struct tt_replayer *rep, const struct tt_position *here)
{
	return tt_position_equal(here, &rep->next.pos) &&
	       (!is_exact(rep) || here->instructions == rep->next.pos.instructions);
}

static int landed(struct tt_replayer *rep, struct tt_vcpu *vcpu)
{
	struct replayer_vcpu *rv = vcpu->seam_data;
	int ret;

	rv->session.page->stop.flags = 0;
	ret = set_breakpoints(rep, vcpu, NULL, 0);
	if (ret)
		return fail(rep, vcpu, ret, "cannot remove a breakpoint");
	rep->counts.landings++;
	rep->landing = TT_LANDING_IDLE;
	return tt_replayer_apply(rep, vcpu);
}

/* ------------------------------------------------------------------ the goal */

static int goal_reached(struct tt_replayer *rep, struct tt_vcpu *vcpu, uint64_t at)
{
	const struct tt_replayer_options *o = &rep->options;

	if (o->on_step && o->step_to > o->goal.value)
		o->on_step(o->on_step_ctx, vcpu, at);
	if (at >= o->step_to)
		return tt_replayer_stop(rep, vcpu, TT_OUTCOME_DONE);
	return 0;
}

bool tt_landing_goal_is(struct tt_replayer *rep, struct tt_vcpu *vcpu, uint64_t instructions)
{
	const struct tt_replayer_options *o = &rep->options;
	uint64_t last = o->step_to > o->goal.value ? o->step_to : o->goal.value;

	if (instructions != last)
		return false;
	if (o->on_step && (!rep->stepped || rep->stepped_to != instructions))
		o->on_step(o->on_step_ctx, vcpu, instructions);
	return true;
}

static void begin_stepping(struct tt_replayer *rep, struct tt_vcpu *vcpu)
{
	struct replayer_vcpu *rv = vcpu->seam_data;

	rep->stepping = true;
	rep->step.length = 0;
	rep->landing = TT_LANDING_IDLE;
	rv->session.page->stop.flags = 0;
	/* Switching off cannot fail. */
	tt_session_alarm(&rv->session, TTVM_COUNTER_BRANCHES, 0, NULL);
	tt_session_alarm(&rv->session, TTVM_COUNTER_INSTRUCTIONS, 0, NULL);
}

/* Does the vCPU stand where the next event belongs? */
static bool at_next_event(struct tt_replayer *rep, struct tt_vcpu *vcpu)
{
	struct replayer_vcpu *rv = vcpu->seam_data;
	struct tt_position here;

	if (!rep->have_next || rep->next.at_exit)
		return false;
	if (rep->next.vector != TT_VECTOR_NONE && !vcpu->run->ready_for_interrupt_injection)
		return false;
	tt_position_here(vcpu, rv->session.page, &here);
	return is_next(rep, &here);
}

/* A breakpoint on the instruction that is about to run would stop before it: RF lets it through once. */
static int resume_over(struct tt_vcpu *vcpu, const uint64_t *address, int n)
{
	struct kvm_regs regs = tt_vcpu_sync_regs(vcpu)->regs;
	int i;

	for (i = 0; i < n; i++) {
		if (address[i] != regs.rip)
			continue;
		regs.rflags |= RFLAGS_RF;
		return ioctl(vcpu->fd, KVM_SET_REGS, &regs) < 0 ? -errno : 0;
	}
	return 0;
}

/* The set of places to watch that is due for the instruction after `at`. */
static unsigned int step_set(const struct tt_replayer *rep, uint64_t at)
{
	const struct tt_strays *strays = rep->options.strays;
	unsigned int i;

	for (i = 0; strays && i < strays->n; i++)
		if (strays->list[i].at == at)
			return strays->list[i].set;
	return 0;
}

/*
 * The last step ended nowhere that was watched (an exception that nobody thought likely), and the vCPU ran on. Watched is
 * another set next time.
 */
int tt_landing_strayed(struct tt_replayer *rep, struct tt_vcpu *vcpu, uint64_t at)
{
	struct tt_strays *strays = rep->options.strays;
	unsigned int i;

	for (i = 0; strays && i < strays->n; i++)
		if (strays->list[i].at == rep->step_from)
			break;
	if (strays && i < TT_MAX_STRAYS) {
		if (i == strays->n)
			strays->list[strays->n++] = (struct tt_stray){ .at = rep->step_from };
		strays->list[i].set++;
		rep->strayed = true;
	}
	return tt_report(rep, vcpu, TT_OUTCOME_OVERSHOT, "the step from instruction %llu ended at %llu",
			 (unsigned long long)rep->step_from, (unsigned long long)at);
}

int tt_landing_step(struct tt_replayer *rep, struct tt_vcpu *vcpu)
{
	struct tt_error *err = &vcpu->machine->error;
	int ret;

	if (rep->injected >= 0) {
		ret = tt_step_vector(vcpu, rep->injected, &rep->step, err);
		rep->injected = -1;
	} else {
		ret = tt_step_targets(vcpu, step_set(rep, rep->step_from), &rep->step, err);
		if (!ret)
			ret = resume_over(vcpu, rep->step.address, rep->step.n);
	}
	if (ret) {
		rep->outcome = TT_OUTCOME_FAILED;
		return ret;
	}
	if (rep->step.n) {
		ret = set_breakpoints(rep, vcpu, rep->step.address, rep->step.n);
	} else {
		rep->breakpoints_armed = true;
		ret = tt_trap_set(vcpu);
	}
	return ret ? fail(rep, vcpu, ret, "cannot set a hardware breakpoint in the guest") : 0;
}

int tt_landing_stepped(struct tt_replayer *rep, struct tt_vcpu *vcpu)
{
	int ret = set_breakpoints(rep, vcpu, NULL, 0);

	rep->step.length = 0;
	return ret ? fail(rep, vcpu, ret, "cannot remove a breakpoint") : 0;
}

/* Arrange for the next KVM_RUN to stop after one instruction (or at the entry of a handler, with none completed). */
static int step(struct tt_replayer *rep, struct tt_vcpu *vcpu)
{
	struct replayer_vcpu *rv = vcpu->seam_data;
	uint64_t at;
	int ret;

	ret = tt_vcpu_settle(vcpu);
	if (ret)
		return ret;
	at = tt_instructions(vcpu, rv->session.page);
	if (rep->exact && rep->step.length && at > rep->step_from + rep->step.length)
		return tt_landing_strayed(rep, vcpu, at);
	if (at > rep->options.goal.value && at > rep->options.step_to)
		return tt_report(rep, vcpu, TT_OUTCOME_OVERSHOT, "instruction %llu was passed: at %llu",
				 (unsigned long long)rep->options.goal.value,
				 (unsigned long long)at);
	if (rep->injected < 0 && at >= rep->options.goal.value) {
		if (at != rep->stepped_to || !rep->stepped) {
			rep->stepped = true;
			rep->stepped_to = at;
			ret = goal_reached(rep, vcpu, at);
			if (ret || vcpu->machine->end != TT_END_NONE)
				return ret;
		}
	}
	if (rep->injected < 0 && at_next_event(rep, vcpu)) {
		ret = tt_replayer_apply(rep, vcpu);
		if (ret || vcpu->machine->end != TT_END_NONE)
			return ret;
	}
	rep->step_from = at;
	return tt_landing_step(rep, vcpu);
}

/* A goal that need not be met exactly: no step is made. */
static int aim_beyond(struct tt_replayer *rep, struct tt_vcpu *vcpu)
{
	struct replayer_vcpu *rv = vcpu->seam_data;
	uint64_t goal = rep->options.goal.value;
	int ret;

	if (tt_instructions(vcpu, rv->session.page) >= goal) {
		ret = tt_vcpu_settle(vcpu);
		return ret ? ret : tt_replayer_stop(rep, vcpu, TT_OUTCOME_DONE);
	}
	if (rep->goal_alarm)
		return 0;
	ret = tt_session_alarm(&rv->session, TTVM_COUNTER_INSTRUCTIONS, goal, &vcpu->machine->error);
	if (ret) {
		rep->outcome = TT_OUTCOME_FAILED;
		return ret;
	}
	rep->goal_alarm = true;
	return 0;
}

static int aim_at_goal(struct tt_replayer *rep, struct tt_vcpu *vcpu)
{
	struct replayer_vcpu *rv = vcpu->seam_data;
	uint64_t at = tt_instructions(vcpu, rv->session.page), goal = rep->options.goal.value;
	int ret;

	if (at + instruction_margin(rep) >= goal) {
		begin_stepping(rep, vcpu);
		return 0;
	}
	if (rep->goal_alarm)
		return 0;
	ret = tt_session_alarm(&rv->session, TTVM_COUNTER_INSTRUCTIONS,
			       goal - instruction_margin(rep), &vcpu->machine->error);
	if (ret) {
		rep->outcome = TT_OUTCOME_FAILED;
		return ret;
	}
	rep->goal_alarm = true;
	return 0;
}

/* ------------------------------------------------------------------ called by the seam */

int tt_landing_reset(struct tt_replayer *rep, struct tt_vcpu *vcpu)
{
	tt_watch_end(rep, vcpu);
	begin_stepping(rep, vcpu);
	rep->stepping = rep->stepped = rep->goal_alarm = false;
	return set_breakpoints(rep, vcpu, NULL, 0);
}

/* Is this a place for a checkpoint? */
static int pass(struct tt_replayer *rep, struct tt_vcpu *vcpu)
{
	struct replayer_vcpu *rv = vcpu->seam_data;
	int ret;

	if (!rep->options.pass || tt_instructions(vcpu, rv->session.page) < rep->pass_at)
		return 0;
	/* An overshot that nobody has noticed yet must not be kept. */
	if (rep->have_next && !rep->next.at_exit && rep->next.pos.exits <= vcpu->exits && is_passed(rep, vcpu))
		return 0;
	ret = tt_vcpu_settle(vcpu);
	if (!ret)
		rep->options.pass(rep->options.ctx, vcpu);
	return ret;
}

int tt_landing_plan(struct tt_replayer *rep, struct tt_vcpu *vcpu)
{
	struct tt_machine *m = vcpu->machine;
	int ret;

	pthread_mutex_lock(&m->device_lock);
	m->current = vcpu;
	ret = tt_watch_plan(rep, vcpu);
	if (ret || m->end != TT_END_NONE || rep->passage.active)
		goto out;
	ret = pass(rep, vcpu);
	if (!ret && rep->options.goal.kind == TT_GOAL_BEYOND)
		ret = aim_beyond(rep, vcpu);
	else if (!ret && rep->options.goal.kind == TT_GOAL_INSTRUCTION && !rep->stepping)
		ret = aim_at_goal(rep, vcpu);
	if (!ret && m->end == TT_END_NONE && rep->stepping)
		ret = step(rep, vcpu);
	else if (!ret && m->end == TT_END_NONE && rep->have_next)
		ret = aim_at_event(rep, vcpu);
	if (!rep->stepping)
		rep->injected = -1;
out:
	m->current = NULL;
	pthread_mutex_unlock(&m->device_lock);
	return ret;
}

static bool show_hits(struct tt_replayer *rep, struct tt_vcpu *vcpu, uint64_t instruction, bool data)
{
	const struct tt_onlooker *o = &rep->onlooker;
	unsigned int i;

	for (i = 0; i < o->n; i++) {
		if (!(vcpu->run->debug.arch.dr6 & 1ull << i) || (o->list[i].kind != TT_BREAK_EXECUTE) != data)
			continue;
		if (o->hit(o->ctx, instruction + tt_access_is_unfinished(vcpu, &o->list[i]), i))
			return true;
	}
	return false;
}

/*
 * A breakpoint has hit: is it one of the onlooker's? True when the replay stops for it. Data that the last instruction has
 * written comes before a breakpoint on the next one: the latter can be found again by where the vCPU stands.
 */
static bool show_onlooker(struct tt_replayer *rep, struct tt_vcpu *vcpu, uint64_t instruction)
{
	return show_hits(rep, vcpu, instruction, true) || show_hits(rep, vcpu, instruction, false);
}

/* Let the instruction run before which an onlooker's breakpoint has hit. */
static int pass_onlooker(struct tt_replayer *rep, struct tt_vcpu *vcpu)
{
	unsigned int i;
	int ret = 0;

	for (i = 0; !ret && i < rep->onlooker.n; i++)
		if (rep->onlooker.list[i].kind == TT_BREAK_EXECUTE)
			ret = resume_over(vcpu, &rep->onlooker.list[i].address, 1);
	return ret;
}

int tt_landing_interrupted(struct tt_replayer *rep, struct tt_vcpu *vcpu, enum tt_interruption why)
{
	struct replayer_vcpu *rv = vcpu->seam_data;
	const struct ttvm_page *page = rv->session.page;
	struct tt_position here;
	int ret;

	if (rep->onlooker.watch && tt_watch_interrupted(rep, vcpu, why, &ret))
		return ret;
	if (why == TT_INTERRUPTED_DEBUG && rep->onlooker.n && !rep->stepping) {
		if (show_onlooker(rep, vcpu, tt_instructions(vcpu, page)))
			return tt_replayer_stop(rep, vcpu, TT_OUTCOME_DONE);
		tt_position_here(vcpu, page, &here);
		if (rep->landing != TT_LANDING_BREAKPOINT || !is_next(rep, &here)) {
			ret = pass_onlooker(rep, vcpu);
			/* The landing's own may have hit, too, as well as none but it. */
			if (!ret && rep->landing == TT_LANDING_BREAKPOINT)
				ret = resume_over(vcpu, &rep->next.pos.rip, 1);
			return ret;
		}
	}
	if (why == TT_INTERRUPTED_MODULE && page->stop_reason == TTVM_STOP_COUNTER) {
		rep->outcome = TT_OUTCOME_FAILED;
		return tt_fail(&vcpu->machine->error, -EBUSY, "the PMU's counters were taken away (NMI "
			       "watchdog, or another perf user): the position is lost");
	}
	/* Steps are looked at by the next plan; so is the instruction alarm. */
	if (rep->stepping || rep->landing == TT_LANDING_IDLE)
		return 0;
	if (page->branches > rep->next.pos.branches)
		return overshot(rep, vcpu);
	if (rep->landing == TT_LANDING_ALARM) {
		if (why == TT_INTERRUPTED_MODULE)
			rep->landing = TT_LANDING_IDLE; /* aim again, from nearer */
		return 0;
	}
	if (why != TT_INTERRUPTED_DEBUG)
		return 0;
	tt_position_here(vcpu, page, &here);
	if (is_exact(rep) && here.instructions > rep->next.pos.instructions)
		return overshot(rep, vcpu);
	if (!is_next(rep, &here))
		return 0;
	/*
	 * In a loop that changes nothing (STI; 1: JMP 1b) a position comes again and again, at first in the shadow of
	 * STI, where the recording cannot have injected anything.
	 */
	if (rep->next.vector != TT_VECTOR_NONE && !vcpu->run->ready_for_interrupt_injection)
		return resume_over(vcpu, &here.rip, 1);
	return landed(rep, vcpu);
}
