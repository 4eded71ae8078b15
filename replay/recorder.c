// SPDX-License-Identifier: GPL-2.0
/*
 * recorder.c - the seam that records: real time and the outside world come in, and every time they do, an event says where.
 *
 * There are two kinds of places at which the outside acts ("points"):
 *   - right after a deterministic exit, when there is reason: time is due to move on, a timer is due, input has come.
 *     The event is short, because the number of the exit says it all;
 *   - anywhere else, after a kick, when a timer is due or input has come and the guest can take an interrupt here and now.
 *     Where it cannot, an interrupt window is awaited; where a replay could not stop (tt_is_landable()), the next
 *     conditional branch.
 * What happens at a point is the same in a replay: rebase the clock, deliver input, tt_vcpu_sync(). An interrupt that a
 * timer raises is therefore never logged by itself.
 */
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <x86intrin.h>

#include "checkpointer.h"
#include "replayer.h"

/* Virtual time may be off by 1/LAG_DIVISOR seconds before an exit is used to correct it. */
#define LAG_DIVISOR 2000

struct tt_recorder {
	struct tt_seam seam;
	struct tt_recorder_options options;
	struct tt_log_writer *writer;
	char *config_json;
	const struct tt_pmu *pmu;
	struct tt_run_counts counts;
	struct tt_digests digests;
	struct tt_log_stats log_stats;
	int log_error;
	bool unrecorded;	/* the log has ended early, the guest runs on */
	uint64_t attempts;	/* made by devices since the start */
	struct tt_event last;	/* in the log, without its payload */
	struct tt_checkpointer *checkpointer; /* NULL: no checkpoints */
	char checkpoints[PATH_MAX]; /* its file */
};

struct recorder_vcpu {
	struct tt_session session;
	struct tt_clock clock;
	struct tt_host_timer timer;
	uint64_t origin;	/* host TSC at virtual time 0 */
	uint64_t max_lag;
	uint64_t next_digest;	/* virtual time */
	bool branch_alarm;	/* waiting for the next conditional branch */
	bool behind_exit;	/* nothing was executed since the last deterministic exit */
	bool at_point;		/* of the two kinds above, with everything done: a place for a checkpoint */
	int injected;		/* vector that the next VM entry delivers, or -1 */
};

static struct tt_recorder *recorder_of(struct tt_seam *self)
{
	return (struct tt_recorder *)self;
}

static struct recorder_vcpu *data_of(struct tt_vcpu *vcpu)
{
	return vcpu->seam_data;
}

static uint64_t real_now(const struct recorder_vcpu *rv)
{
	return __rdtsc() - rv->origin;
}

static uint64_t next_digest(const struct tt_recorder *rec, struct tt_vcpu *vcpu)
{
	double ticks = rec->options.digest_seconds * vcpu->machine->config.tsc_hz;

	return ticks > 0 ? tt_clock_now(&data_of(vcpu)->clock) + (uint64_t)ticks : TT_TIME_NEVER;
}

/* With the session open and the clock set: real time begins at the virtual one. */
static int begin(struct tt_recorder *rec, struct tt_vcpu *vcpu)
{
	struct recorder_vcpu *rv = data_of(vcpu);
	struct tt_machine *m = vcpu->machine;
	int ret = tt_host_timer_create(&rv->timer, m->config.tsc_hz);

	if (ret)
		return tt_fail(&m->error, ret, "cannot create a timer: %s", strerror(-ret));
	rv->max_lag = m->config.tsc_hz / LAG_DIVISOR;
	rv->next_digest = next_digest(rec, vcpu);
	rv->origin = __rdtsc() - tt_clock_now(&rv->clock);
	rv->at_point = true;
	rv->injected = -1;
	return 0;
}

static int start_checkpoints(struct tt_recorder *rec, struct tt_machine *m)
{
	const struct tt_checkpointer_options options = {
		.recording = rec->options.id,
		.path = rec->checkpoints,
		.interval = (uint64_t)(rec->options.checkpoint_seconds * m->config.tsc_hz),
		.bytes = rec->options.checkpoint_bytes,
	};

	return tt_checkpointer_create(m, &options, &rec->checkpointer, &m->error);
}

static int record_vcpu_start(struct tt_seam *self, struct tt_vcpu *vcpu)
{
	struct tt_recorder *rec = recorder_of(self);
	struct tt_machine *m = vcpu->machine;
	struct recorder_vcpu *rv = calloc(1, sizeof(*rv));
	int ret;

	if (!rv)
		return -ENOMEM;
	rv->session.fd = -1;
	vcpu->seam_data = rv;
	ret = tt_session_open(&rv->session, vcpu, rec->pmu, &m->error);
	if (ret)
		return ret;
	tt_clock_start(&rv->clock, rv->session.page, m->config.tsc_hz);
	ret = begin(rec, vcpu);
	if (!ret && rec->options.checkpoint_seconds > 0)
		ret = start_checkpoints(rec, m);
	return ret;
}

static uint64_t record_now(struct tt_seam *self, struct tt_vcpu *vcpu)
{
	(void)self;
	return vcpu->seam_data ? tt_clock_now(&data_of(vcpu)->clock) : 0;
}

static uint64_t record_guest_tsc(struct tt_seam *self, struct tt_vcpu *vcpu)
{
	(void)self;
	return vcpu->seam_data ? tt_clock_guest_tsc(&data_of(vcpu)->clock) : 0;
}

static void record_set_tsc(struct tt_seam *self, struct tt_vcpu *vcpu, uint64_t value)
{
	(void)self;
	tt_clock_set_guest_tsc(&data_of(vcpu)->clock, value);
}

/* The log takes no more. Ends the machine, unless the user wants the guest to run on. */
static void log_failed(struct tt_recorder *rec, struct tt_vcpu *vcpu, int error)
{
	if (rec->unrecorded)
		return;
	rec->log_error = error;
	rec->unrecorded = true;
	if (!rec->options.run_on)
		tt_machine_end(vcpu->machine, TT_END_REQUEST, 0);
}

static void append(struct tt_recorder *rec, struct tt_vcpu *vcpu, const struct tt_event *event)
{
	int ret;

	if (rec->unrecorded)
		return;
	ret = tt_log_append(rec->writer, event);
	if (ret) {
		log_failed(rec, vcpu, ret);
		return;
	}
	rec->counts.events++;
	rec->last = *event;
	rec->last.payload = NULL;
}

/* One point: log it and let the outside act. event->at_exit and event->pos are filled in. */
static int act(struct tt_recorder *rec, struct tt_vcpu *vcpu, struct tt_event *event)
{
	struct recorder_vcpu *rv = data_of(vcpu);
	struct tt_machine *m = vcpu->machine;
	uint8_t input[TT_INPUT_MAX];
	uint64_t now = tt_clock_now(&rv->clock), real = real_now(rv);
	bool idle = vcpu->halted, blocked;
	int vector, ret, id;

	event->kind = TT_EVENT_SYNC;
	/* Rounded up: a timer that is due by real time is due by virtual time then. */
	event->rebase = real > now ? real - now + TT_REBASE_QUANTUM - 1 : 0;
	event->rebase -= event->rebase % TT_REBASE_QUANTUM;
	tt_clock_rebase(&rv->clock, event->rebase, idle);
	for (id = 0; id < TT_NR_INPUTS && !event->payload_len; id++) {
		event->payload_len = tt_input_take(m, id, input, sizeof(input));
		if (!event->payload_len)
			continue;
		event->kind = TT_EVENT_INPUT;
		event->input_id = id;
		event->payload = input;
		ret = tt_input_deliver(m, id, input, event->payload_len);
		if (ret)
			return ret;
	}
	ret = tt_vcpu_sync(vcpu, tt_clock_now(&rv->clock), &vector, &blocked);
	if (ret)
		return ret;
	event->vector = vector;
	append(rec, vcpu, event);
	vcpu->run->request_interrupt_window = blocked;
	rec->counts.windows += blocked;
	rv->injected = vector;
	rv->at_point = true;
	return 0;
}

static int log_digest(struct tt_recorder *rec, struct tt_vcpu *vcpu, struct tt_event *event)
{
	struct recorder_vcpu *rv = data_of(vcpu);
	struct tt_digests d;
	int ret;

	ret = tt_vcpu_settle(vcpu);
	if (ret)
		return ret;
	ret = tt_take_digests(vcpu, &d);
	if (ret)
		return ret;
	event->kind = TT_EVENT_DIGEST;
	event->digest = tt_digests_combine(&d);
	append(rec, vcpu, event);
	rv->next_digest = next_digest(rec, vcpu);
	return 0;
}

static bool something_is_due(struct tt_vcpu *vcpu, uint64_t real)
{
	return tt_timers_next(vcpu->machine) <= real || tt_input_ready(vcpu->machine);
}

/* Is it time to correct the clock: virtual time lags behind, or its prices have made it run ahead? */
static bool clock_is_off(const struct recorder_vcpu *rv, uint64_t now, uint64_t real)
{
	return now + rv->max_lag < real ||
	       (now > real + rv->max_lag && tt_clock_since_rebase(&rv->clock) > rv->max_lag);
}

static void arm_timer(struct tt_vcpu *vcpu)
{
	struct recorder_vcpu *rv = data_of(vcpu);
	uint64_t next = tt_timers_next(vcpu->machine);

	if (next != TT_TIME_NEVER)
		tt_host_timer_set(&rv->timer, rv->origin + next);
}

/* The recording ends at this position: END with digests. The vCPU is settled. */
static int log_end(struct tt_recorder *rec, struct tt_vcpu *vcpu, struct tt_event *event)
{
	struct tt_machine *m = vcpu->machine;
	int ret = tt_take_digests(vcpu, &rec->digests);

	if (ret)
		return ret;
	event->kind = TT_EVENT_END;
	event->end.how = m->end;
	event->end.status = m->end_status;
	event->end.registers = rec->digests.registers;
	event->end.memory = rec->digests.memory;
	event->end.devices = rec->digests.devices;
	append(rec, vcpu, event);
	return 0;
}

static int end_here(struct tt_recorder *rec, struct tt_vcpu *vcpu, bool at_exit)
{
	struct recorder_vcpu *rv = data_of(vcpu);
	struct tt_event event = { .at_exit = at_exit, .vcpu = vcpu->index };
	int ret;

	if (at_exit) {
		/* The position is taken before settling, as in a replay, the instruction count after. */
		tt_position_at_exit(vcpu, rv->session.page, &event.pos);
		ret = tt_vcpu_settle(vcpu);
		if (ret)
			return ret;
		event.pos.instructions = tt_instructions(vcpu, rv->session.page);
	} else {
		tt_position_here(vcpu, rv->session.page, &event.pos);
	}
	return log_end(rec, vcpu, &event);
}

static int record_after_exit(struct tt_seam *self, struct tt_vcpu *vcpu)
{
	struct tt_recorder *rec = recorder_of(self);
	struct recorder_vcpu *rv = data_of(vcpu);
	struct tt_event event = { .at_exit = true, .vcpu = vcpu->index };
	uint64_t now, real;
	bool blocked;
	int vector, ret;

	rv->behind_exit = true;
	tt_clock_count_exit(&rv->clock);
	now = tt_clock_now(&rv->clock);
	real = real_now(rv);
	if (rec->options.digest_seconds > 0 && now >= rv->next_digest) {
		tt_position_at_exit(vcpu, rv->session.page, &event.pos);
		ret = log_digest(rec, vcpu, &event);
		if (ret)
			return ret;
		event = (struct tt_event){ .at_exit = true, .vcpu = vcpu->index };
	}
	/* A halted vCPU is served by record_wait(), so that a replay knows which of the two an event belongs to. */
	if (!vcpu->halted && (clock_is_off(rv, now, real) || something_is_due(vcpu, real))) {
		tt_position_at_exit(vcpu, rv->session.page, &event.pos);
		ret = act(rec, vcpu, &event);
	} else {
		ret = tt_vcpu_sync(vcpu, now, &vector, &blocked);
		vcpu->run->request_interrupt_window = blocked;
		rec->counts.windows += blocked;
		rv->injected = vector;
		rv->at_point = true;
	}
	if (ret)
		return ret;
	if (vcpu->machine->stop_requested) {
		tt_machine_end(vcpu->machine, TT_END_REQUEST, 0);
		return end_here(rec, vcpu, true);
	}
	arm_timer(vcpu);
	return 0;
}

/* Act at this very instruction if a replay can stop here, else look again at the next conditional branch. */
static int act_here(struct tt_recorder *rec, struct tt_vcpu *vcpu)
{
	struct recorder_vcpu *rv = data_of(vcpu);
	struct tt_machine *m = vcpu->machine;
	struct tt_event event = { .vcpu = vcpu->index };
	struct kvm_sregs sregs;
	int ret;

	if (ioctl(vcpu->fd, KVM_GET_SREGS, &sregs) < 0)
		return -errno;
	if (!tt_is_landable(vcpu, rv->session.page, &sregs) || tt_is_between_instructions(vcpu) <= 0) {
		rec->counts.not_landable++;
		rv->branch_alarm = true;
		return tt_session_alarm(&rv->session, TTVM_COUNTER_BRANCHES,
					rv->session.page->branches + 1, &m->error);
	}
	if (rv->branch_alarm) {
		rv->branch_alarm = false;
		tt_session_alarm(&rv->session, TTVM_COUNTER_BRANCHES, 0, NULL);
	}
	if (m->stop_requested) {
		tt_machine_end(m, TT_END_REQUEST, 0);
		return end_here(rec, vcpu, false);
	}
	tt_position_here(vcpu, rv->session.page, &event.pos);
	ret = act(rec, vcpu, &event);
	arm_timer(vcpu);
	return ret;
}

static int record_interrupted(struct tt_seam *self, struct tt_vcpu *vcpu, enum tt_interruption why)
{
	struct tt_recorder *rec = recorder_of(self);
	struct recorder_vcpu *rv = data_of(vcpu);
	struct tt_machine *m = vcpu->machine;
	const struct ttvm_page *page = rv->session.page;
	int error = tt_log_writer_error(rec->writer);

	rv->behind_exit = false;
	if (error)
		log_failed(rec, vcpu, error);
	if (why == TT_INTERRUPTED_KICK) {
		rec->counts.kicks++;
		tt_host_timer_rang(&rv->timer);
	}
	if (why == TT_INTERRUPTED_MODULE && page->stop_reason == TTVM_STOP_COUNTER)
		return tt_fail(&m->error, -EBUSY, "the PMU's counters were taken away (NMI watchdog, or "
			       "another perf user): the position is lost");
	if (m->end != TT_END_NONE)
		return 0;
	if (m->stop_requested)
		return act_here(rec, vcpu);
	if (!something_is_due(vcpu, real_now(rv)) && tt_irq_pending(vcpu) < 0) {
		arm_timer(vcpu);
		return 0;
	}
	if (!vcpu->run->ready_for_interrupt_injection) {
		vcpu->run->request_interrupt_window = 1;
		rec->counts.windows++;
		return 0;
	}
	return act_here(rec, vcpu);
}

/* As a replay that comes here would be. */
static void place_here(const struct tt_recorder *rec, struct tt_vcpu *vcpu, struct tt_replayer_place *place)
{
	const struct recorder_vcpu *rv = data_of(vcpu);

	*place = (struct tt_replayer_place){ .event = rec->counts.events,
					     .attempts = rec->attempts,
					     .last = rec->last,
					     .injected = rv->injected };
	tt_place_vcpu(vcpu, &rv->session, &rv->clock, place);
}

static int take_checkpoint(struct tt_recorder *rec, struct tt_vcpu *vcpu)
{
	struct recorder_vcpu *rv = data_of(vcpu);
	struct tt_machine *m = vcpu->machine;
	struct tt_replayer_place place;
	int ret;

	pthread_mutex_lock(&m->device_lock);
	m->current = vcpu;
	ret = tt_vcpu_settle(vcpu);
	if (!ret) {
		place_here(rec, vcpu, &place);
		tt_checkpointer_catch(rec->checkpointer, tt_instructions(vcpu, rv->session.page),
				      tt_clock_now(&rv->clock), &place);
	}
	m->current = NULL;
	pthread_mutex_unlock(&m->device_lock);
	return ret;
}

static int record_before_run(struct tt_seam *self, struct tt_vcpu *vcpu)
{
	struct tt_recorder *rec = recorder_of(self);
	struct recorder_vcpu *rv = data_of(vcpu);
	int ret = 0;

	if (rec->checkpointer && rv->at_point && !rec->unrecorded &&
	    tt_checkpointer_due(rec->checkpointer, tt_clock_now(&rv->clock)))
		ret = take_checkpoint(rec, vcpu);
	rv->at_point = false;
	rv->injected = -1;
	return ret;
}

static int record_wait(struct tt_seam *self, struct tt_vcpu *vcpu)
{
	struct tt_recorder *rec = recorder_of(self);
	struct recorder_vcpu *rv = data_of(vcpu);
	struct tt_machine *m = vcpu->machine;
	struct tt_event event = { .at_exit = true, .vcpu = vcpu->index };
	uint64_t next = tt_timers_next(m);
	int ret = 0, error;

	tt_host_sleep_until(vcpu, m->config.tsc_hz,
			    next == TT_TIME_NEVER ? next : rv->origin + next);
	tt_host_timer_rang(&rv->timer);
	pthread_mutex_lock(&m->device_lock);
	m->current = vcpu;
	error = tt_log_writer_error(rec->writer);
	if (error)
		log_failed(rec, vcpu, error);
	if (m->stop_requested) {
		tt_machine_end(m, TT_END_REQUEST, 0);
		ret = end_here(rec, vcpu, true);
	} else if (something_is_due(vcpu, real_now(rv))) {
		tt_position_at_exit(vcpu, rv->session.page, &event.pos);
		ret = act(rec, vcpu, &event);
		arm_timer(vcpu);
	}
	m->current = NULL;
	pthread_mutex_unlock(&m->device_lock);
	return ret;
}

static void record_vcpu_end(struct tt_seam *self, struct tt_vcpu *vcpu)
{
	struct tt_recorder *rec = recorder_of(self);
	struct recorder_vcpu *rv = data_of(vcpu);
	struct tt_machine *m = vcpu->machine;

	if (!rv)
		return;
	if (rv->session.page) {
		/* Ended by the guest, at an exit. A stop by request has logged its end already. */
		if (m->end != TT_END_ERROR && m->end != TT_END_REQUEST)
			end_here(rec, vcpu, true);
		tt_collect_counts(&rec->counts, vcpu, rv->session.page);
		tt_session_close(&rv->session);
		tt_host_timer_destroy(&rv->timer);
	}
	free(rv);
	vcpu->seam_data = NULL;
}

/* What succeeds needs no event: a replay's attempt succeeds, too. */
static int record_attempt(struct tt_seam *self, struct tt_vcpu *vcpu, int (*perform)(void *ctx), void *ctx)
{
	struct tt_recorder *rec = recorder_of(self);
	struct tt_failure failure = { .attempt = rec->attempts++, .status = perform(ctx) };
	struct tt_event event = { .kind = TT_EVENT_FAILURE,
				  .at_exit = true,
				  .vcpu = vcpu->index,
				  .payload = &failure,
				  .payload_len = sizeof(failure),
				  .pos.exits = vcpu->exits + 1 }; /* it is counted after its dispatch */

	if (failure.status)
		append(rec, vcpu, &event);
	return failure.status;
}

static uint64_t record_instructions(struct tt_seam *self, struct tt_vcpu *vcpu)
{
	(void)self;
	return vcpu->seam_data ? tt_instructions(vcpu, data_of(vcpu)->session.page) : 0;
}

/* Real time begins so much later: the guest does not catch up on the pause. */
static void record_resumed(struct tt_seam *self, struct tt_vcpu *vcpu, uint64_t ticks)
{
	(void)self;
	data_of(vcpu)->origin += ticks;
}

static const struct tt_seam_ops recorder_ops = {
	.name = "record",
	.vcpu_start = record_vcpu_start,
	.now = record_now,
	.set_tsc = record_set_tsc,
	.guest_tsc = record_guest_tsc,
	.before_run = record_before_run,
	.after_exit = record_after_exit,
	.interrupted = record_interrupted,
	.wait = record_wait,
	.attempt = record_attempt,
	.instructions = record_instructions,
	.resumed = record_resumed,
	.vcpu_end = record_vcpu_end,
};

int tt_recorder_create(const struct tt_recorder_options *options,
		       const struct tt_machine_config *config, struct tt_recorder **recorder,
		       struct tt_error *err)
{
	struct tt_log_section sections[TT_MAX_CONFIG_SECTIONS];
	struct tt_recorder *rec = calloc(1, sizeof(*rec));
	int ret;

	if (!rec)
		return tt_fail(err, -ENOMEM, "out of memory");
	rec->seam.ops = &recorder_ops;
	rec->options = *options;
	rec->options.log.num_vcpus = config->num_vcpus;
	if (snprintf(rec->checkpoints, sizeof(rec->checkpoints), "%s" TT_CHECKPOINT_SUFFIX, options->path) >=
	    (int)sizeof(rec->checkpoints)) {
		ret = tt_fail(err, -ENAMETOOLONG, "%s: the name is too long", options->path);
		goto err_free;
	}
	rec->pmu = tt_pmu_find(err);
	if (!rec->pmu) {
		ret = -ENODEV;
		goto err_free;
	}
	ret = tt_config_save(config, options->id, &options->origin, options->disks, sections, &rec->config_json,
			     err);
	if (ret < 0)
		goto err_free;
	ret = tt_log_writer_create(options->path, sections, ret, &rec->options.log, &rec->writer, err);
	if (ret)
		goto err_free;
	*recorder = rec;
	return 0;

err_free:
	free(rec->config_json);
	free(rec);
	return ret;
}

struct tt_seam *tt_recorder_seam(struct tt_recorder *recorder)
{
	return &recorder->seam;
}

int tt_recorder_copy(struct tt_recorder *rec, const struct tt_event *event)
{
	if (rec->log_error)
		return rec->log_error;
	rec->log_error = tt_log_append(rec->writer, event);
	if (!rec->log_error)
		rec->counts.events++;
	return rec->log_error;
}

int tt_recorder_take_over(struct tt_recorder *rec, struct tt_replayer *rep, struct tt_vcpu *vcpu)
{
	struct recorder_vcpu *rv = calloc(1, sizeof(*rv));
	struct tt_machine *m = vcpu->machine;
	int ret;

	if (!rv)
		return tt_fail(&m->error, -ENOMEM, "out of memory");
	ret = tt_replayer_hand_over(rep, vcpu, &rv->session, &rv->clock, &rec->attempts);
	if (ret) {
		free(rv);
		return ret;
	}
	vcpu->seam_data = rv;
	m->seam = &rec->seam;
	m->end = TT_END_NONE;
	ret = begin(rec, vcpu);
	if (ret) {
		tt_machine_end(m, TT_END_ERROR, 0);
		return ret;
	}
	/* What waited for the guest to take it goes on waiting. */
	vcpu->run->request_interrupt_window = tt_irq_pending(vcpu) >= 0;
	arm_timer(vcpu);
	return 0;
}

int tt_recorder_mark(struct tt_recorder *rec, struct tt_vcpu *vcpu, const char *name)
{
	struct recorder_vcpu *rv = data_of(vcpu);
	size_t len = strlen(name);
	struct {
		struct tt_mark mark;
		char name[TT_MARK_NAME_MAX];
	} payload;
	struct tt_event event = { .kind = TT_EVENT_MARK,
				  .at_exit = rv->behind_exit,
				  .vcpu = vcpu->index,
				  .payload = &payload,
				  .payload_len = offsetof(typeof(payload), name) + len };

	if (!len || len > TT_MARK_NAME_MAX)
		return -EINVAL;
	if (rec->unrecorded)
		return rec->log_error;
	if (rv->behind_exit)
		tt_position_at_exit(vcpu, rv->session.page, &event.pos);
	else
		tt_position_here(vcpu, rv->session.page, &event.pos);
	payload.mark.instructions = event.pos.instructions;
	payload.mark.time = tt_ticks_to_ns(vcpu->machine, tt_clock_now(&rv->clock));
	memcpy(payload.name, name, len);
	append(rec, vcpu, &event);
	return rec->unrecorded ? rec->log_error : 0;
}

void tt_recorder_progress(struct tt_recorder *rec, uint64_t *events, struct tt_log_stats *log)
{
	*events = rec->counts.events;
	tt_log_writer_stats(rec->writer, log);
}

int tt_recorder_finish(struct tt_recorder *rec, struct tt_recorder_result *result,
		       struct tt_error *err)
{
	int ret = tt_log_writer_close(rec->writer, &rec->log_stats, err);

	rec->writer = NULL;
	if (ret && !rec->log_error)
		rec->log_error = ret;
	result->counts = rec->counts;
	result->digests = rec->digests;
	result->log = rec->log_stats;
	result->log_error = rec->log_error;
	result->checkpoints = 0;
	result->checkpoint_error = (struct tt_error){ 0 };
	/* Checkpoints behind the end of a log are of no use, and those before it can be made again. */
	if (rec->checkpointer && !rec->log_error)
		tt_checkpointer_save(rec->checkpointer, &result->checkpoints, &result->checkpoint_error);
	tt_checkpointer_destroy(rec->checkpointer);
	rec->checkpointer = NULL;
	return rec->log_error;
}

void tt_recorder_destroy(struct tt_recorder *rec)
{
	if (!rec)
		return;
	tt_checkpointer_destroy(rec->checkpointer);
	if (rec->writer)
		tt_log_writer_close(rec->writer, NULL, NULL);
	free(rec->config_json);
	free(rec);
}
