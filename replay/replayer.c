// SPDX-License-Identifier: GPL-2.0
/*
 * replayer.c - the seam that replays: everything from outside comes from the log, at exactly the place where it came in the
 * recording.
 *
 * An at_exit event is applied when the running number of deterministic exits says so. Any other event is "landed" on
 * (landing.c). Where the recorder called tt_vcpu_sync(), so does this seam: timers fire and interrupts go in by
 * themselves. Each event carries a check of the position and the vector that was injected; the first that differs ends
 * the replay with a report.
 */
#include <stdlib.h>
#include <string.h>

#include "replayer.h"

static struct tt_replayer *replayer_of(struct tt_seam *self)
{
	return (struct tt_replayer *)self;
}

/* ------------------------------------------------------------------ who looks on */

static void witness_event(const struct tt_replayer *rep, struct tt_vcpu *vcpu)
{
	const struct tt_witness *w = rep->options.witness;

	if (w && w->event)
		w->event(w->ctx, vcpu, rep->event, &rep->next);
}

static void witness_interrupt(const struct tt_replayer *rep, struct tt_vcpu *vcpu, int vector)
{
	const struct tt_witness *w = rep->options.witness;

	if (vector >= 0 && w && w->interrupt)
		w->interrupt(w->ctx, vcpu, vector);
}

/* ------------------------------------------------------------------ the stream of events */

/*
 * Read the next event that changes the machine into rep->next; at the end of the stream rep->have_next is false. Events that
 * only inform (marks) are counted and passed over.
 */
int tt_replayer_fetch(struct tt_replayer *rep, struct tt_machine *m)
{
	int ret;

	while ((ret = tt_log_next(rep->log, 0, &rep->next, &m->error)) == 1 &&
	       rep->next.kind > TT_EVENT_LAST_CRITICAL) {
		witness_event(rep, &m->vcpus[0]);
		__atomic_store_n(&rep->event, rep->event + 1, __ATOMIC_RELAXED);
	}
	if (ret < 0) {
		rep->outcome = TT_OUTCOME_FAILED;
		return ret;
	}
	rep->have_next = ret == 1;
	rep->landing = TT_LANDING_IDLE;
	return 0;
}

static int next_event(struct tt_replayer *rep, struct tt_machine *m)
{
	witness_event(rep, &m->vcpus[0]);
	rep->last = rep->next;
	rep->last.payload = NULL;
	__atomic_store_n(&rep->event, rep->event + 1, __ATOMIC_RELAXED);
	return tt_replayer_fetch(rep, m);
}

/* The replay ends here. Takes the digests: the vCPU must be settled. */
int tt_replayer_stop(struct tt_replayer *rep, struct tt_vcpu *vcpu, enum tt_outcome outcome)
{
	if (rep->outcome == TT_OUTCOME_RUNNING)
		rep->outcome = outcome;
	tt_machine_end(vcpu->machine, TT_END_REQUEST, 0);
	return 0;
}

static bool goal_is_event(const struct tt_replayer *rep)
{
	return rep->options.goal.kind == TT_GOAL_EVENT && rep->event == rep->options.goal.value;
}

/* ------------------------------------------------------------------ applying an event */

static int apply_digest(struct tt_replayer *rep, struct tt_vcpu *vcpu)
{
	struct tt_digests d;
	int ret = tt_vcpu_settle(vcpu);

	if (!ret)
		ret = tt_take_digests(vcpu, &d);
	if (ret)
		return ret;
	if (tt_digests_combine(&d) != rep->next.digest)
		return tt_report_divergence(rep, vcpu, "registers, memory or devices differ "
					    "(digest %016llx, recorded %016llx)",
					    (unsigned long long)tt_digests_combine(&d),
					    (unsigned long long)rep->next.digest);
	return next_event(rep, vcpu->machine);
}

static int apply_sync(struct tt_replayer *rep, struct tt_vcpu *vcpu)
{
	struct replayer_vcpu *rv = vcpu->seam_data;
	const struct tt_event *event = &rep->next;
	bool idle = vcpu->halted, blocked;
	int vector, ret;

	tt_clock_rebase(&rv->clock, event->rebase, idle);
	if (event->kind == TT_EVENT_INPUT) {
		ret = tt_input_deliver(vcpu->machine, event->input_id, event->payload,
				       event->payload_len);
		if (ret)
			return tt_report_divergence(rep, vcpu, "input device %u does not take %u bytes",
						    event->input_id, event->payload_len);
	}
	ret = tt_vcpu_sync(vcpu, tt_clock_now(&rv->clock), &vector, &blocked);
	if (ret)
		return ret;
	rep->injected = vector;
	if (vector != event->vector)
		return tt_report_divergence(rep, vcpu, "interrupt vector %d was injected, recorded %d",
					    vector, event->vector);
	witness_interrupt(rep, vcpu, vector);
	return next_event(rep, vcpu->machine);
}

/* The recording's end: compare everything. */
static int apply_end(struct tt_replayer *rep, struct tt_vcpu *vcpu)
{
	struct tt_event *event = &rep->next;
	struct tt_digests *d = &rep->digests;
	const struct replayer_vcpu *rv = vcpu->seam_data;
	uint64_t instructions;
	int ret = tt_vcpu_settle(vcpu);

	if (!ret)
		ret = tt_take_digests(vcpu, d);
	if (ret)
		return ret;
	rep->have_digests = true;
	instructions = tt_instructions(vcpu, rv->session.page);
	if (d->registers != event->end.registers)
		return tt_report_divergence(rep, vcpu, "registers differ at the end");
	if (d->devices != event->end.devices)
		return tt_report_divergence(rep, vcpu, "devices differ at the end");
	if (d->memory != event->end.memory)
		return tt_report_divergence(rep, vcpu, "memory differs at the end");
	if (rep->exact && instructions != event->pos.instructions)
		return tt_report_divergence(rep, vcpu, "%llu instructions at the end, recorded %llu",
					    (unsigned long long)instructions,
					    (unsigned long long)event->pos.instructions);
	rep->digests_compared = true;
	witness_event(rep, vcpu);
	__atomic_store_n(&rep->event, rep->event + 1, __ATOMIC_RELAXED);
	rep->have_next = false;
	/* The last instruction is the one that ended the machine: no step sees it complete. */
	if (rep->options.goal.kind == TT_GOAL_END ||
	    (rep->options.goal.kind == TT_GOAL_INSTRUCTION &&
	     tt_landing_goal_is(rep, vcpu, instructions)))
		return tt_replayer_stop(rep, vcpu, TT_OUTCOME_DONE);
	return tt_replayer_stop(rep, vcpu, TT_OUTCOME_NO_GOAL);
}

/* The vCPU stands at rep->next's position. */
int tt_replayer_apply(struct tt_replayer *rep, struct tt_vcpu *vcpu)
{
	if (goal_is_event(rep)) {
		int ret = tt_vcpu_settle(vcpu);

		return ret ? ret : tt_replayer_stop(rep, vcpu, TT_OUTCOME_DONE);
	}
	switch (rep->next.kind) {
	case TT_EVENT_SYNC:
	case TT_EVENT_INPUT:
		return apply_sync(rep, vcpu);
	case TT_EVENT_DIGEST:
		return apply_digest(rep, vcpu);
	case TT_EVENT_END:
		return apply_end(rep, vcpu);
	case TT_EVENT_FAILURE:
		return tt_report_divergence(rep, vcpu, "no device made the attempt that failed");
	}
	rep->outcome = TT_OUTCOME_FAILED;
	return tt_fail(&vcpu->machine->error, -EPROTONOSUPPORT,
		       "event %llu is of kind %u, which this version cannot replay",
		       (unsigned long long)rep->event, rep->next.kind);
}

/* ------------------------------------------------------------------ the seam */

static int replay_vcpu_start(struct tt_seam *self, struct tt_vcpu *vcpu)
{
	struct tt_replayer *rep = replayer_of(self);
	struct tt_machine *m = vcpu->machine;
	struct replayer_vcpu *rv = calloc(1, sizeof(*rv));
	int ret;

	if (!rv)
		return -ENOMEM;
	rv->session.fd = -1;
	vcpu->seam_data = rv;
	ret = tt_session_open(&rv->session, vcpu, rep->pmu, &m->error);
	if (ret) {
		rep->outcome = TT_OUTCOME_FAILED;
		return ret;
	}
	tt_clock_start(&rv->clock, rv->session.page, m->config.tsc_hz);
	__atomic_store_n(&rep->page, rv->session.page, __ATOMIC_RELEASE);
	return tt_replayer_fetch(rep, m);
}

static uint64_t replay_now(struct tt_seam *self, struct tt_vcpu *vcpu)
{
	const struct replayer_vcpu *rv = vcpu->seam_data;

	(void)self;
	return rv ? tt_clock_now(&rv->clock) : 0;
}

static uint64_t replay_guest_tsc(struct tt_seam *self, struct tt_vcpu *vcpu)
{
	const struct replayer_vcpu *rv = vcpu->seam_data;

	(void)self;
	return rv ? tt_clock_guest_tsc(&rv->clock) : 0;
}

static void replay_set_tsc(struct tt_seam *self, struct tt_vcpu *vcpu, uint64_t value)
{
	struct replayer_vcpu *rv = vcpu->seam_data;

	(void)self;
	tt_clock_set_guest_tsc(&rv->clock, value);
}

/* Is the next event one that belongs right here, after deterministic exit number vcpu->exits? */
static bool next_is_at_this_exit(const struct tt_replayer *rep, const struct tt_vcpu *vcpu)
{
	return rep->have_next && rep->next.at_exit && rep->next.pos.exits == vcpu->exits;
}

static int apply_at_exit(struct tt_replayer *rep, struct tt_vcpu *vcpu)
{
	struct replayer_vcpu *rv = vcpu->seam_data;
	struct tt_position pos;

	tt_position_at_exit(vcpu, rv->session.page, &pos);
	if ((pos.check ^ rep->next.pos.check) & TT_CHECK_MASK)
		return tt_report_divergence(rep, vcpu, "branches, rip or registers differ after exit %llu "
					    "(check %04x, recorded %04x)",
					    (unsigned long long)vcpu->exits,
					    pos.check & TT_CHECK_MASK,
					    rep->next.pos.check & TT_CHECK_MASK);
	/* The log has but a part of it. The count at an END was taken after settling. */
	if (rep->next.pos.instructions)
		pos.instructions = rep->next.pos.instructions;
	rep->next.pos = pos;
	return tt_replayer_apply(rep, vcpu);
}

static bool is_sync(const struct tt_event *event)
{
	return event->kind == TT_EVENT_SYNC || event->kind == TT_EVENT_INPUT;
}

static int replay_after_exit(struct tt_seam *self, struct tt_vcpu *vcpu)
{
	struct tt_replayer *rep = replayer_of(self);
	struct replayer_vcpu *rv = vcpu->seam_data;
	struct tt_machine *m = vcpu->machine;
	bool blocked, synced = false;
	const struct tt_witness *w = rep->options.witness;
	int vector, ret;

	tt_clock_count_exit(&rv->clock);
	if (rep->onlooker.watch)
		tt_watch_exit(rep, vcpu);
	if (w && w->exit)
		w->exit(w->ctx, vcpu);
	if (rep->goal_in_exit) {
		ret = tt_vcpu_settle(vcpu);
		return ret ? ret : tt_replayer_stop(rep, vcpu, TT_OUTCOME_DONE);
	}
	if (rep->have_next && rep->next.pos.exits < vcpu->exits)
		return tt_report(rep, vcpu,
				 rep->landing == TT_LANDING_IDLE ? TT_OUTCOME_DIVERGED :
								   tt_landing_missed(rep),
				 "the guest made exit %llu before it came to the event's position",
				 (unsigned long long)vcpu->exits);
	/* A digest comes before the sync of the same exit, an end after it: the order in which they were logged. */
	while (m->end == TT_END_NONE && next_is_at_this_exit(rep, vcpu) &&
	       rep->next.kind == TT_EVENT_DIGEST) {
		ret = apply_at_exit(rep, vcpu);
		if (ret)
			return ret;
	}
	if (m->end == TT_END_NONE && !vcpu->halted && next_is_at_this_exit(rep, vcpu) &&
	    is_sync(&rep->next)) {
		ret = apply_at_exit(rep, vcpu);
		if (ret)
			return ret;
		synced = true;
	}
	if (m->end == TT_END_NONE && !synced) {
		ret = tt_vcpu_sync(vcpu, tt_clock_now(&rv->clock), &vector, &blocked);
		if (ret)
			return ret;
		rep->injected = vector;
		witness_interrupt(rep, vcpu, vector);
	}
	if (m->end == TT_END_NONE && !vcpu->halted && next_is_at_this_exit(rep, vcpu) &&
	    rep->next.kind == TT_EVENT_END)
		return apply_at_exit(rep, vcpu);
	return 0;
}

/* The log has no more events: it was cut, or the guest ran on after the last one. */
static int out_of_events(struct tt_replayer *rep, struct tt_vcpu *vcpu)
{
	int ret = tt_vcpu_settle(vcpu);

	if (ret)
		return ret;
	return tt_replayer_stop(rep, vcpu, rep->options.goal.kind == TT_GOAL_END ?
						  TT_OUTCOME_DONE : TT_OUTCOME_NO_GOAL);
}

static int replay_wait(struct tt_seam *self, struct tt_vcpu *vcpu)
{
	struct tt_replayer *rep = replayer_of(self);
	const struct replayer_vcpu *rv = vcpu->seam_data;
	const struct tt_witness *w = rep->options.witness;
	struct tt_machine *m = vcpu->machine;
	uint64_t since = tt_clock_now(&rv->clock);
	int ret;

	pthread_mutex_lock(&m->device_lock);
	m->current = vcpu;
	if (m->stop_requested)
		ret = tt_replayer_stop(rep, vcpu, TT_OUTCOME_STOPPED);
	else if (!rep->have_next)
		ret = out_of_events(rep, vcpu);
	else if (next_is_at_this_exit(rep, vcpu))
		ret = apply_at_exit(rep, vcpu);
	else
		ret = tt_report_divergence(rep, vcpu, "the guest halts at exit %llu, and nothing in the "
					   "log wakes it", (unsigned long long)vcpu->exits);
	if (w && w->idle)
		w->idle(w->ctx, vcpu, since);
	m->current = NULL;
	pthread_mutex_unlock(&m->device_lock);
	return ret;
}

static int replay_before_run(struct tt_seam *self, struct tt_vcpu *vcpu)
{
	struct tt_replayer *rep = replayer_of(self);

	if (rep->have_next || rep->options.goal.kind == TT_GOAL_INSTRUCTION)
		return tt_landing_plan(rep, vcpu);
	return out_of_events(rep, vcpu);
}

static int replay_interrupted(struct tt_seam *self, struct tt_vcpu *vcpu, enum tt_interruption why)
{
	struct tt_replayer *rep = replayer_of(self);

	if (vcpu->machine->stop_requested)
		return tt_replayer_stop(rep, vcpu, TT_OUTCOME_STOPPED);
	return tt_landing_interrupted(rep, vcpu, why);
}

/* The guest has ended the machine, as it did in the recording, or should not have. */
static void conclude(struct tt_replayer *rep, struct tt_vcpu *vcpu)
{
	if (rep->outcome != TT_OUTCOME_RUNNING || vcpu->machine->end == TT_END_ERROR)
		return;
	if (next_is_at_this_exit(rep, vcpu) && rep->next.kind == TT_EVENT_END)
		apply_at_exit(rep, vcpu);
	else if (rep->have_next)
		tt_report_divergence(rep, vcpu, "the guest ended, with events left");
	else
		out_of_events(rep, vcpu);
}

static bool replay_revive(struct tt_seam *self, struct tt_vcpu *vcpu)
{
	struct tt_replayer *rep = replayer_of(self);

	if (!rep->options.stopped)
		return false;
	pthread_mutex_lock(&vcpu->machine->device_lock);
	conclude(rep, vcpu);
	pthread_mutex_unlock(&vcpu->machine->device_lock);
	return rep->options.stopped(rep->options.ctx, vcpu);
}

static void replay_vcpu_end(struct tt_seam *self, struct tt_vcpu *vcpu)
{
	struct tt_replayer *rep = replayer_of(self);
	struct replayer_vcpu *rv = vcpu->seam_data;

	if (!rv)
		return;
	if (!rv->session.page)
		goto out;
	conclude(rep, vcpu);
	if (rep->outcome == TT_OUTCOME_RUNNING)
		rep->outcome = TT_OUTCOME_FAILED;
	if (!rep->have_digests && rep->outcome != TT_OUTCOME_OVERSHOT &&
	    rep->outcome != TT_OUTCOME_FAILED)
		rep->have_digests = !tt_take_digests(vcpu, &rep->digests);
	tt_breakpoints_set(vcpu, NULL, 0);
	tt_collect_counts(&rep->counts, vcpu, rv->session.page);
	__atomic_store_n(&rep->page, NULL, __ATOMIC_RELEASE);
	tt_session_close(&rv->session);
out:
	free(rv);
	vcpu->seam_data = NULL;
}

static int replay_attempt(struct tt_seam *self, struct tt_vcpu *vcpu, int (*perform)(void *ctx), void *ctx)
{
	struct tt_replayer *rep = replayer_of(self);
	struct tt_machine *m = vcpu->machine;
	uint64_t attempt = rep->attempts++;
	struct tt_failure failure;
	int ret;

	if (rep->have_next && rep->next.kind == TT_EVENT_FAILURE &&
	    rep->next.payload_len == sizeof(failure)) {
		memcpy(&failure, rep->next.payload, sizeof(failure));
		if (failure.attempt == attempt) {
			if (goal_is_event(rep))
				rep->goal_in_exit = true;
			else if (next_event(rep, m))
				tt_machine_end(m, TT_END_ERROR, 0);
			return (int)failure.status;
		}
	}
	ret = perform(ctx);
	if (ret) {
		rep->outcome = TT_OUTCOME_FAILED;
		tt_fail(&m->error, ret, "a device's input or output fails in this replay, and did not in the "
			"recording: %s", strerror(-ret));
		tt_machine_end(m, TT_END_ERROR, 0);
	}
	return ret;
}

static uint64_t replay_instructions(struct tt_seam *self, struct tt_vcpu *vcpu)
{
	const struct replayer_vcpu *rv = vcpu->seam_data;

	(void)self;
	return rv ? tt_instructions(vcpu, rv->session.page) : 0;
}

static const struct tt_seam_ops replayer_ops = {
	.name = "replay",
	.vcpu_start = replay_vcpu_start,
	.now = replay_now,
	.set_tsc = replay_set_tsc,
	.guest_tsc = replay_guest_tsc,
	.before_run = replay_before_run,
	.after_exit = replay_after_exit,
	.interrupted = replay_interrupted,
	.wait = replay_wait,
	.attempt = replay_attempt,
	.instructions = replay_instructions,
	.revive = replay_revive,
	.vcpu_end = replay_vcpu_end,
};

/* ------------------------------------------------------------------ going elsewhere */

int tt_replayer_hand_over(struct tt_replayer *rep, struct tt_vcpu *vcpu, struct tt_session *session,
			  struct tt_clock *clock, uint64_t *attempts)
{
	struct replayer_vcpu *rv = vcpu->seam_data;
	int ret = tt_landing_reset(rep, vcpu);

	if (ret)
		return tt_fail(&vcpu->machine->error, ret, "cannot remove a breakpoint: %s", strerror(-ret));
	*session = rv->session;
	*clock = rv->clock;
	*attempts = rep->attempts;
	__atomic_store_n(&rep->page, NULL, __ATOMIC_RELEASE);
	free(rv);
	vcpu->seam_data = NULL;
	return 0;
}

void tt_place_vcpu(struct tt_vcpu *vcpu, const struct tt_session *session, const struct tt_clock *clock,
		   struct tt_replayer_place *place)
{
	const struct ttvm_page *page = session->page;

	place->counts = (struct ttvm_counts){
		.branches = page->branches,
		.instructions = page->instructions,
		/* with the one that the module would count at the next entry */
		.emulated = tt_instructions(vcpu, page) - page->instructions,
	};
	place->clock = *clock;
	place->page_clock = page->clock;
	place->rdtsc = page->rdtsc;
}

void tt_replayer_save(const struct tt_replayer *rep, struct tt_vcpu *vcpu, struct tt_replayer_place *place)
{
	const struct replayer_vcpu *rv = vcpu->seam_data;

	*place = (struct tt_replayer_place){ 0 };
	tt_place_vcpu(vcpu, &rv->session, &rv->clock, place);
	place->event = rep->event;
	place->attempts = rep->attempts;
	place->last = rep->last;
	place->injected = rep->injected;
}

int tt_replayer_load(struct tt_replayer *rep, struct tt_vcpu *vcpu, const struct tt_replayer_place *place)
{
	struct replayer_vcpu *rv = vcpu->seam_data;
	struct ttvm_page *page = rv->session.page;
	struct tt_machine *m = vcpu->machine;
	int ret;

	rep->onlooker = (struct tt_onlooker){ 0 };
	ret = tt_landing_reset(rep, vcpu);
	if (!ret)
		ret = tt_session_set_counts(&rv->session, &place->counts, tt_vcpu_sync_regs(vcpu)->regs.rip);
	if (ret)
		return tt_fail(&m->error, ret, "cannot go back to a checkpoint: %s", strerror(-ret));
	rv->clock = place->clock;
	rv->clock.page = page; /* the place may be another process' */
	page->clock = place->page_clock;
	page->rdtsc = place->rdtsc;
	rep->attempts = place->attempts;
	rep->last = place->last;
	rep->injected = place->injected;
	rep->event = place->event;
	rep->have_digests = rep->digests_compared = rep->goal_in_exit = false;
	ret = tt_log_seek_event(rep->log, 0, place->event, &m->error);
	return ret ? ret : tt_replayer_fetch(rep, m);
}

int tt_replayer_set_goal(struct tt_replayer *rep, struct tt_vcpu *vcpu, struct tt_goal goal,
			 const struct tt_onlooker *onlooker)
{
	int ret;

	rep->options.goal = goal;
	rep->options.step_to = 0;
	rep->outcome = TT_OUTCOME_RUNNING;
	rep->strayed = false;
	rep->onlooker = onlooker ? *onlooker : (struct tt_onlooker){ 0 };
	ret = tt_landing_reset(rep, vcpu);
	if (!ret && rep->onlooker.watch)
		tt_watch_begin(rep, vcpu);
	return ret;
}

/* ------------------------------------------------------------------ life */

int tt_replayer_create(struct tt_log *log, const struct tt_replayer_options *options,
		       struct tt_replayer **replayer, struct tt_error *err)
{
	struct tt_replayer *rep = calloc(1, sizeof(*rep));
	int ret;

	if (!rep)
		return tt_fail(err, -ENOMEM, "out of memory");
	rep->seam.ops = &replayer_ops;
	rep->injected = -1;
	rep->log = log;
	rep->options = *options;
	rep->pmu = tt_pmu_find(err);
	if (!rep->pmu) {
		free(rep);
		return -ENODEV;
	}
	rep->exact = rep->pmu->exact_instructions && options->exact_instructions;
	rep->margin = options->margin ? options->margin : rep->pmu->skid + 16;
	ret = tt_log_seek_event(log, 0, 0, err);
	if (ret) {
		free(rep);
		return ret;
	}
	*replayer = rep;
	return 0;
}

struct tt_seam *tt_replayer_seam(struct tt_replayer *replayer)
{
	return &replayer->seam;
}

void tt_replayer_progress(struct tt_replayer *rep, uint64_t *events, uint64_t *instructions)
{
	const struct ttvm_page *page = __atomic_load_n(&rep->page, __ATOMIC_ACQUIRE);

	*events = __atomic_load_n(&rep->event, __ATOMIC_RELAXED);
	*instructions = page ? __atomic_load_n(&page->instructions, __ATOMIC_RELAXED) : 0;
}

void tt_replayer_result(struct tt_replayer *rep, struct tt_replayer_result *result)
{
	result->outcome = rep->outcome;
	result->counts = rep->counts;
	result->counts.events = rep->event;
	result->digests = rep->digests;
	result->digests_compared = rep->digests_compared;
	result->event = rep->event;
	result->strayed = rep->strayed;
	memcpy(result->report, rep->report, sizeof(result->report));
}

void tt_replayer_destroy(struct tt_replayer *replayer)
{
	free(replayer);
}
