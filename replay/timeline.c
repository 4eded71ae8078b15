// SPDX-License-Identifier: GPL-2.0
/*
 * timeline.c - see timeline.h.
 *
 * Two threads: the machine's, which replays until it has come to what it was sent for, then stands and waits; and the
 * user's, which sends it. Only one of them is doing something at any time.
 *
 * On its way the machine leaves checkpoints behind: a row over the whole recording, and, when it goes back, some at
 * distances that halve towards where it goes, because who takes one step back will take another.
 */
#include <stdlib.h>
#include <string.h>

#include "checkpoint.h"

#define DEFAULT_BYTES (512ull << 20)
#define NEAREST 8		/* instructions: a checkpoint closer to the goal is of no use */
#define MAX_TRIES 6
#define MARGIN_GROWTH 4
#define SLACK 64		/* instructions that TT_GOAL_BEYOND goes further, to see what happens just before */
#define NO_LOAD UINT64_MAX
#define FIRST_WIDTH 4096	/* instructions that are searched first when time runs backward; then more */
#define WIDTH_GROWTH 16

struct tt_timeline {
	struct tt_timeline_options options;
	struct tt_log *log;
	struct tt_machine_config config;
	struct tt_recording_facts facts;
	char *strings;			/* of the configuration */
	struct tt_replayer *rep;
	struct tt_machine machine;
	bool has_machine;
	bool has_outside;
	struct tt_checkpoints *checkpoints;

	pthread_t thread;
	bool has_thread;
	pthread_mutex_t lock;		/* of what follows */
	pthread_cond_t changed;
	enum { STANDS, MOVES, QUITS, ENDED } state;
	uint64_t load;			/* MOVES: the checkpoint to begin at, or NO_LOAD */
	struct tt_goal goal;
	struct tt_onlooker onlooker;
	int load_error;			/* of the last load */
	bool interrupted;

	/* While the machine moves, its thread's; then the user's. */
	uint64_t position;
	bool at_end;
	uint64_t near_goal;		/* leave checkpoints at halving distances to this one; 0: none */
	uint64_t near_next;		/* the next of them */
	uint64_t console_at;		/* bytes of output up to here, and up to the furthest place ever */
	uint64_t console_seen;
	uint64_t executed;
	struct tt_error error;
};

/* ------------------------------------------------------------------ on the machine's thread */

static void note(struct tt_timeline *t, const char *text)
{
	if (t->options.message)
		t->options.message(t->options.ctx, text);
}

static void console_write(void *ctx, const void *data, size_t len)
{
	struct tt_timeline *t = ctx;
	uint64_t begin = t->console_at, end = begin + len;

	t->console_at = end;
	if (end <= t->console_seen)
		return;
	if (begin < t->console_seen) {
		data = (const char *)data + (t->console_seen - begin);
		len = end - t->console_seen;
	}
	t->console_seen = end;
	if (t->options.console)
		t->options.console(t->options.ctx, data, len);
}

static uint64_t here(struct tt_timeline *t)
{
	struct tt_vcpu *vcpu = &t->machine.vcpus[0];
	const struct replayer_vcpu *rv = vcpu->seam_data;

	return tt_instructions(vcpu, rv->session.page);
}

/* The first place behind `instruction` for a checkpoint near the goal. */
static uint64_t next_near(const struct tt_timeline *t, uint64_t instruction)
{
	uint64_t left;

	if (instruction + 2 * NEAREST >= t->near_goal)
		return UINT64_MAX;
	left = t->near_goal - instruction;
	return instruction + (left + 1) / 2;
}

static void plan_pass(struct tt_timeline *t, uint64_t instruction)
{
	uint64_t due = tt_checkpoint_due(t->checkpoints, instruction);

	t->rep->pass_at = due < t->near_next ? due : t->near_next;
}

static void pass(void *ctx, struct tt_vcpu *vcpu)
{
	struct tt_timeline *t = ctx;
	uint64_t instruction = here(t);
	bool near = instruction < tt_checkpoint_due(t->checkpoints, instruction);
	struct tt_error err = { 0 };

	if (tt_checkpoint_take(t->checkpoints, vcpu, instruction, near, t->console_at, &err)) {
		/* Going on without is slower, and as right. */
		note(t, err.text);
		t->rep->pass_at = UINT64_MAX;
		return;
	}
	if (near)
		t->near_next = next_near(t, instruction);
	plan_pass(t, instruction);
}

static int load(struct tt_timeline *t, struct tt_vcpu *vcpu)
{
	struct tt_error *err = &t->machine.error;
	uint64_t from = t->load;
	int ret;

	while ((ret = tt_checkpoint_load(t->checkpoints, vcpu, from, &t->console_at, err)) == -EBADMSG) {
		note(t, "a checkpoint in memory is damaged: replaying from the one before");
		from = tt_checkpoint_before(t->checkpoints, from);
	}
	if (!ret)
		t->position = from;
	return ret;
}

/* Does what the user's thread wants next. True: the machine goes on. */
static bool go(struct tt_timeline *t, struct tt_vcpu *vcpu)
{
	struct tt_machine *m = &t->machine;
	int ret = 0;

	m->end = TT_END_NONE;
	pthread_mutex_lock(&t->lock);
	m->stop_requested = vcpu->run->immediate_exit = t->interrupted;
	pthread_mutex_unlock(&t->lock);
	if (t->load != NO_LOAD)
		ret = load(t, vcpu);
	if (!ret)
		ret = tt_replayer_set_goal(t->rep, vcpu, t->goal, &t->onlooker);
	if (ret) {
		t->load_error = ret;
		return false;
	}
	plan_pass(t, t->position);
	return true;
}

static bool stopped(void *ctx, struct tt_vcpu *vcpu)
{
	struct tt_timeline *t = ctx;
	uint64_t before = t->position;
	bool on;

	t->position = here(t);
	t->executed += t->position - before;
	pthread_mutex_lock(&t->lock);
	t->state = STANDS;
	pthread_cond_broadcast(&t->changed);
	while (t->state == STANDS)
		pthread_cond_wait(&t->changed, &t->lock);
	on = t->state == MOVES;
	pthread_mutex_unlock(&t->lock);
	return on && go(t, vcpu);
}

static void *machine_main(void *arg)
{
	struct tt_timeline *t = arg;

	tt_machine_run(&t->machine);
	pthread_mutex_lock(&t->lock);
	t->state = ENDED;
	pthread_cond_broadcast(&t->changed);
	pthread_mutex_unlock(&t->lock);
	return NULL;
}

/* ------------------------------------------------------------------ on the user's thread: sending the machine */

static void wait_for_machine(struct tt_timeline *t)
{
	pthread_mutex_lock(&t->lock);
	while (t->state == MOVES)
		pthread_cond_wait(&t->changed, &t->lock);
	pthread_mutex_unlock(&t->lock);
}

/* The machine does not stand any more: why? */
static int failure(struct tt_timeline *t, struct tt_error *err)
{
	const struct tt_error *why = &t->machine.error;

	if (why->code)
		return tt_fail(err, why->code, "%s", why->text);
	return tt_fail(err, t->load_error ? t->load_error : -EIO, "the replay has ended");
}

/* From a checkpoint (or NO_LOAD: from here) to the goal. 0 when the machine stands somewhere. */
static int send(struct tt_timeline *t, uint64_t from, struct tt_goal goal, const struct tt_onlooker *onlooker,
		struct tt_error *err)
{
	pthread_mutex_lock(&t->lock);
	if (t->state == STANDS) {
		t->load = from;
		t->goal = goal;
		t->onlooker = onlooker ? *onlooker : (struct tt_onlooker){ 0 };
		t->state = MOVES;
		pthread_cond_broadcast(&t->changed);
	}
	pthread_mutex_unlock(&t->lock);
	wait_for_machine(t);
	return t->state == STANDS ? 0 : failure(t, err);
}

/*
 * The same, again and with a larger margin when an alarm came too late on the way. *outcome is DONE, NO_GOAL (the recording
 * ends before) or STOPPED.
 */
static int travel(struct tt_timeline *t, uint64_t from, struct tt_goal goal, const struct tt_onlooker *onlooker,
		  enum tt_outcome *outcome, struct tt_error *err)
{
	uint64_t start = from == NO_LOAD ? t->position : from, margin = t->rep->margin;
	struct tt_replayer_result result;
	int tries, ret;

	for (tries = 1;; tries++) {
		ret = send(t, from, goal, onlooker, err);
		if (ret)
			break;
		tt_replayer_result(t->rep, &result);
		if (result.outcome != TT_OUTCOME_OVERSHOT || tries == MAX_TRIES)
			break;
		note(t, result.report);
		t->rep->margin *= MARGIN_GROWTH;
		from = tt_checkpoint_before(t->checkpoints, start);
	}
	t->rep->margin = margin;
	if (ret)
		return ret;
	*outcome = result.outcome;
	switch (result.outcome) {
	case TT_OUTCOME_DONE:
	case TT_OUTCOME_NO_GOAL:
	case TT_OUTCOME_STOPPED:
		return 0;
	case TT_OUTCOME_DIVERGED:
	case TT_OUTCOME_OVERSHOT:
		return tt_fail(err, -EBADE, "the replay diverges from the recording %s", result.report);
	default:
		return failure(t, err);
	}
}

/* ------------------------------------------------------------------ moving */

static int arrive(struct tt_arrival *arrival, enum tt_arrival_kind kind)
{
	arrival->kind = kind;
	return 0;
}

/* A request to stop that came before does not count. */
static void begin(struct tt_timeline *t)
{
	pthread_mutex_lock(&t->lock);
	t->interrupted = false;
	pthread_mutex_unlock(&t->lock);
}

/* Where a kick has stopped the machine an instruction may be half done: come there again, properly. */
static int interrupted(struct tt_timeline *t, struct tt_arrival *arrival, struct tt_error *err)
{
	const struct tt_goal goal = { TT_GOAL_INSTRUCTION, t->position };
	enum tt_outcome outcome;
	int ret;

	begin(t);
	ret = travel(t, tt_checkpoint_before(t->checkpoints, t->position), goal, NULL, &outcome, err);
	t->at_end = false;
	return ret ? ret : arrive(arrival, TT_ARRIVED_INTERRUPTED);
}

static int goto_instruction(struct tt_timeline *t, uint64_t instruction, struct tt_arrival *arrival, struct tt_error *err)
{
	const struct tt_goal goal = { TT_GOAL_INSTRUCTION, instruction };
	uint64_t from = tt_checkpoint_before(t->checkpoints, instruction);
	bool back = instruction < t->position;
	enum tt_outcome outcome;
	int ret;

	if (instruction == t->position)
		return arrive(arrival, TT_ARRIVED);
	if (t->at_end && !back)
		return arrive(arrival, TT_ARRIVED_END);
	if (!back && from <= t->position)
		from = NO_LOAD;
	t->near_goal = back ? instruction : 0;
	t->near_next = back ? next_near(t, from) : UINT64_MAX;
	ret = travel(t, from, goal, NULL, &outcome, err);
	t->near_goal = 0;
	t->near_next = UINT64_MAX;
	if (ret)
		return ret;
	if (outcome == TT_OUTCOME_STOPPED)
		return interrupted(t, arrival, err);
	t->at_end = outcome == TT_OUTCOME_NO_GOAL || t->position == tt_timeline_length(t);
	return arrive(arrival, outcome == TT_OUTCOME_NO_GOAL ? TT_ARRIVED_END : TT_ARRIVED);
}

int tt_timeline_goto(struct tt_timeline *t, uint64_t instruction, struct tt_arrival *arrival, struct tt_error *err)
{
	begin(t);
	return goto_instruction(t, instruction, arrival, err);
}

/*
 * Events are applied where they belong, which may be in the midst of serving an exit: the machine passes there, and then goes
 * to that instruction as to any other.
 */
int tt_timeline_seek_event(struct tt_timeline *t, uint64_t event, struct tt_arrival *arrival, struct tt_error *err)
{
	const struct tt_goal goal = { TT_GOAL_EVENT, event };
	enum tt_outcome outcome;
	int ret;

	begin(t);
	if (event >= tt_log_num_events(t->log, 0))
		return arrive(arrival, TT_ARRIVED_END);
	ret = travel(t, tt_checkpoint_before_event(t->checkpoints, event), goal, NULL, &outcome, err);
	if (ret)
		return ret;
	t->at_end = false;
	if (outcome == TT_OUTCOME_STOPPED)
		return interrupted(t, arrival, err);
	if (outcome == TT_OUTCOME_NO_GOAL) {
		t->at_end = true;
		return arrive(arrival, TT_ARRIVED_END);
	}
	ret = travel(t, tt_checkpoint_before(t->checkpoints, t->position),
		     (struct tt_goal){ TT_GOAL_INSTRUCTION, t->position }, NULL, &outcome, err);
	if (ret)
		return ret;
	return outcome == TT_OUTCOME_STOPPED ? interrupted(t, arrival, err) : arrive(arrival, TT_ARRIVED);
}

static int check_breakpoints(const struct tt_breakpoint *list, unsigned int n, struct tt_error *err)
{
	unsigned int i;

	if (n > TT_TIMELINE_MAX_BREAKPOINTS)
		return tt_fail(err, -EINVAL, "%u breakpoints at most: the CPU has no more",
			       TT_TIMELINE_MAX_BREAKPOINTS);
	for (i = 0; i < n; i++) {
		unsigned int length = list[i].length;

		if ((length != 1 && length != 2 && length != 4 && length != 8) || list[i].address % length)
			return tt_fail(err, -EINVAL, "a CPU cannot watch %u bytes at %llx: 1, 2, 4 or 8, aligned",
				       length, (unsigned long long)list[i].address);
	}
	return 0;
}

/* What the machine's thread has seen of breakpoints. */
struct hits {
	uint64_t after;			/* those of execution up to here, or before, do not count */
	uint64_t until;			/* nor do those behind this */
	bool first;			/* stop at the first one */
	const struct tt_breakpoint *list;
	bool any;
	uint64_t position;		/* of the last one: before the instruction */
	unsigned int index;
};

static bool hit(void *ctx, uint64_t instruction, unsigned int index)
{
	struct hits *h = ctx;
	bool data = h->list[index].kind != TT_BREAK_EXECUTE;

	/* One on data hits behind its instruction. */
	if (h->first) {
		if (!data && instruction <= h->after)
			return false;
		h->position = instruction;
	} else {
		if (instruction > h->until || (!data && instruction == h->until))
			return false;
		h->position = data ? instruction - 1 : instruction;
	}
	h->any = true;
	h->index = index;
	return h->first;
}

int tt_timeline_continue(struct tt_timeline *t, const struct tt_breakpoint *list, unsigned int n,
			 struct tt_arrival *arrival, struct tt_error *err)
{
	const struct tt_goal goal = { TT_GOAL_END, 0 };
	struct hits hits = { .after = t->position, .first = true, .list = list };
	const struct tt_onlooker onlooker = { list, n, hit, &hits };
	enum tt_outcome outcome;
	int ret = check_breakpoints(list, n, err);

	if (ret)
		return ret;
	begin(t);
	if (t->at_end)
		return arrive(arrival, TT_ARRIVED_END);
	ret = travel(t, NO_LOAD, goal, &onlooker, &outcome, err);
	if (ret)
		return ret;
	if (outcome == TT_OUTCOME_STOPPED)
		return interrupted(t, arrival, err);
	t->at_end = !hits.any;
	arrival->breakpoint = hits.index;
	return arrive(arrival, hits.any ? TT_ARRIVED_BREAKPOINT : TT_ARRIVED_END);
}

/*
 * Come to a place before instruction `limit`, and not much more than `width` before it, without looking at breakpoints: the last
 * checkpoint before `limit`, or a place behind that.
 */
static int go_before(struct tt_timeline *t, uint64_t limit, uint64_t width, enum tt_outcome *outcome, struct tt_error *err)
{
	uint64_t from = tt_checkpoint_before(t->checkpoints, limit - 1);
	uint64_t start = limit - from > width ? limit - width : from;
	int ret;

	/* One search is often followed by another: leave checkpoints on the way. */
	t->near_goal = limit;
	t->near_next = next_near(t, from);
	ret = travel(t, from, (struct tt_goal){ TT_GOAL_BEYOND, start }, NULL, outcome, err);
	t->near_goal = 0;
	t->near_next = UINT64_MAX;
	if (ret || t->position < limit)
		return ret;
	/* It went too far: from the checkpoint, then. */
	return travel(t, from, (struct tt_goal){ TT_GOAL_BEYOND, from }, NULL, outcome, err);
}

/*
 * Stretch by stretch, going backwards: run over each with the breakpoints set, remember the last hit, and go there in the end.
 * The first stretches are short, because a breakpoint in a loop hits a million times in a long one.
 */
int tt_timeline_reverse(struct tt_timeline *t, const struct tt_breakpoint *list, unsigned int n,
			struct tt_arrival *arrival, struct tt_error *err)
{
	struct hits hits = { .list = list };
	const struct tt_onlooker onlooker = { list, n, hit, &hits };
	uint64_t limit = t->position, width = FIRST_WIDTH, begun;
	enum tt_outcome outcome = TT_OUTCOME_DONE;
	int ret = check_breakpoints(list, n, err);

	if (ret)
		return ret;
	begin(t);
	for (; n && !hits.any && limit; limit = begun, width *= WIDTH_GROWTH) {
		ret = go_before(t, limit, width, &outcome, err);
		begun = t->position;
		hits.until = limit;
		if (!ret && outcome != TT_OUTCOME_STOPPED)
			ret = travel(t, NO_LOAD, (struct tt_goal){ TT_GOAL_BEYOND, limit + SLACK }, &onlooker, &outcome, err);
		if (ret)
			return ret;
		t->at_end = false;
		if (outcome == TT_OUTCOME_STOPPED)
			return interrupted(t, arrival, err);
	}
	ret = goto_instruction(t, hits.any ? hits.position : 0, arrival, err);
	if (ret || arrival->kind == TT_ARRIVED_INTERRUPTED)
		return ret;
	arrival->breakpoint = hits.index;
	return arrive(arrival, hits.any ? TT_ARRIVED_BREAKPOINT : TT_ARRIVED_BEGIN);
}

void tt_timeline_interrupt(struct tt_timeline *t)
{
	pthread_mutex_lock(&t->lock);
	t->interrupted = true;
	if (t->state == MOVES)
		tt_machine_request_stop(&t->machine);
	pthread_mutex_unlock(&t->lock);
}

/* ------------------------------------------------------------------ looking */

uint64_t tt_timeline_position(const struct tt_timeline *t)
{
	return t->position;
}

uint64_t tt_timeline_length(const struct tt_timeline *t)
{
	const struct tt_log_info *info = tt_log_info(t->log);

	return info->has_end ? info->last.pos.instructions : 0;
}

uint64_t tt_timeline_event(const struct tt_timeline *t)
{
	return t->rep->event;
}

uint64_t tt_timeline_time(const struct tt_timeline *t)
{
	const struct replayer_vcpu *rv = t->machine.vcpus[0].seam_data;

	return tt_ticks_to_ns(&t->machine, tt_clock_now(&rv->clock));
}

uint64_t tt_timeline_console(const struct tt_timeline *t)
{
	return t->console_at;
}

const char *tt_timeline_recording(const struct tt_timeline *t)
{
	return t->facts.id;
}

struct tt_vcpu *tt_timeline_vcpu(struct tt_timeline *t)
{
	return &t->machine.vcpus[0];
}

int tt_timeline_digests(struct tt_timeline *t, struct tt_digests *digests)
{
	return tt_take_digests(&t->machine.vcpus[0], digests);
}

void tt_timeline_get_stats(const struct tt_timeline *t, struct tt_timeline_stats *stats)
{
	tt_checkpoints_get_stats(t->checkpoints, stats);
	stats->executed = t->executed;
}

/* ------------------------------------------------------------------ life */

static int open_machine(struct tt_timeline *t, const char *path, struct tt_error *err)
{
	struct tt_replayer_options options = {
		.goal = { TT_GOAL_INSTRUCTION, 0 },
		.stopped = stopped,
		.pass = pass,
		.ctx = t,
	};
	uint64_t bytes = t->options.checkpoint_bytes;
	int kvm_fd, ret = tt_log_open(path, &t->log, err);

	if (ret)
		return ret;
	ret = tt_config_load(t->log, &t->config, &t->facts, &t->strings, err);
	if (ret)
		return ret;
	kvm_fd = tt_kvm_open(err);
	if (kvm_fd < 0)
		return kvm_fd;
	ret = tt_cpuid_check(kvm_fd, t->config.cpuid, err);
	close(kvm_fd);
	if (ret)
		return ret;
	options.exact_instructions = t->facts.exact_instructions;
	ret = tt_replayer_create(t->log, &options, &t->rep, err);
	if (ret)
		return ret;
	ret = tt_outside_open(&t->config, &t->facts, path, t->options.disks, t->options.num_disks, err);
	if (ret)
		return ret;
	t->has_outside = true;
	ret = tt_machine_create(&t->machine, &t->config, tt_replayer_seam(t->rep), err);
	if (ret)
		return ret;
	t->has_machine = true;
	t->machine.console_write = console_write;
	t->machine.console_ctx = t;
	return tt_checkpoints_create(t->rep, &t->machine, t->facts.id, bytes ? bytes : DEFAULT_BYTES, &t->checkpoints,
				     err);
}

int tt_timeline_open(const char *path, const struct tt_timeline_options *options, struct tt_timeline **timeline,
		     struct tt_error *err)
{
	struct tt_timeline *t = calloc(1, sizeof(*t));
	int ret;

	if (!t)
		return tt_fail(err, -ENOMEM, "out of memory");
	t->options = *options;
	t->near_next = UINT64_MAX;
	t->state = MOVES;
	pthread_mutex_init(&t->lock, NULL);
	pthread_cond_init(&t->changed, NULL);
	ret = open_machine(t, path, err);
	if (!ret) {
		ret = -pthread_create(&t->thread, NULL, machine_main, t);
		if (ret)
			tt_fail(err, ret, "cannot start a thread: %s", strerror(-ret));
	}
	if (!ret) {
		t->has_thread = true;
		wait_for_machine(t);
		if (t->state != STANDS)
			ret = failure(t, err);
	}
	if (ret) {
		tt_timeline_close(t);
		return ret;
	}
	*timeline = t;
	return 0;
}

void tt_timeline_close(struct tt_timeline *t)
{
	if (t->has_thread) {
		pthread_mutex_lock(&t->lock);
		if (t->state == STANDS)
			t->state = QUITS;
		pthread_cond_broadcast(&t->changed);
		pthread_mutex_unlock(&t->lock);
		pthread_join(t->thread, NULL);
	}
	tt_checkpoints_destroy(t->checkpoints);
	if (t->has_machine)
		tt_machine_destroy(&t->machine);
	if (t->has_outside)
		tt_outside_close(&t->config);
	if (t->rep)
		tt_replayer_destroy(t->rep);
	if (t->log)
		tt_log_close(t->log);
	free(t->strings);
	pthread_cond_destroy(&t->changed);
	pthread_mutex_destroy(&t->lock);
	free(t);
}
