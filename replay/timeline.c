// SPDX-License-Identifier: GPL-2.0
/*
 * timeline.c - see timeline.h: where to send the machine (traveller.h), so that it comes to an instruction, to an event, to the
 * next or the last hit of a breakpoint.
 */
#include <stdlib.h>
#include <string.h>

#include "traveller.h"

#define SLACK 64	 /* instructions that TT_GOAL_BEYOND goes further, to see what happens just before */
#define FIRST_WIDTH 4096 /* instructions that are searched first when time runs backward; then more */
#define WIDTH_GROWTH 16

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
	ret = tt_travel(t, tt_checkpoint_before(t->checkpoints, t->position), goal, NULL, &outcome, err);
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
		from = TT_FROM_HERE;
	tt_travel_near(t, from, back ? instruction : 0);
	ret = tt_travel(t, from, goal, NULL, &outcome, err);
	tt_travel_near(t, 0, 0);
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
	ret = tt_travel(t, tt_checkpoint_before_event(t->checkpoints, event), goal, NULL, &outcome, err);
	if (ret)
		return ret;
	t->at_end = false;
	if (outcome == TT_OUTCOME_STOPPED)
		return interrupted(t, arrival, err);
	if (outcome == TT_OUTCOME_NO_GOAL) {
		t->at_end = true;
		return arrive(arrival, TT_ARRIVED_END);
	}
	ret = tt_travel(t, tt_checkpoint_before(t->checkpoints, t->position),
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
	uint64_t after;			/* those up to here do not count */
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
		if (instruction <= h->after)
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
	ret = tt_travel(t, TT_FROM_HERE, goal, &onlooker, &outcome, err);
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
	tt_travel_near(t, from, limit);
	ret = tt_travel(t, from, (struct tt_goal){ TT_GOAL_BEYOND, start }, NULL, outcome, err);
	tt_travel_near(t, 0, 0);
	if (ret || t->position < limit)
		return ret;
	/* It went too far: from the checkpoint, then. */
	return tt_travel(t, from, (struct tt_goal){ TT_GOAL_BEYOND, from }, NULL, outcome, err);
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
			ret = tt_travel(t, TT_FROM_HERE, (struct tt_goal){ TT_GOAL_BEYOND, limit + SLACK }, &onlooker, &outcome, err);
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

int tt_timeline_open(const char *path, const struct tt_timeline_options *options, struct tt_timeline **timeline,
		     struct tt_error *err)
{
	struct tt_timeline *t = calloc(1, sizeof(*t));
	int ret;

	if (!t)
		return tt_fail(err, -ENOMEM, "out of memory");
	t->options = *options;
	ret = tt_traveller_start(t, path, err);
	if (ret) {
		tt_timeline_close(t);
		return ret;
	}
	*timeline = t;
	return 0;
}

void tt_timeline_close(struct tt_timeline *t)
{
	tt_traveller_stop(t);
	free(t);
}
