// SPDX-License-Identifier: GPL-2.0
/*
 * timeline.c - see timeline.h: where to send the machine (traveller.h), so that it comes to an instruction, to an event, to the
 * next or the last hit of a breakpoint.
 */
#include <stdlib.h>
#include <string.h>

#include "traveller.h"
#include "watchlist.h"

#define SLACK 64	 /* instructions that TT_GOAL_BEYOND goes further, to see what happens just before */
#define FIRST_WIDTH 4096 /* instructions that are searched first when time runs backward; then more */
#define WIDTH_GROWTH 16
#define WIDE 10000000	 /* from here on a stretch begins at a checkpoint, and is given up when there are too many hits in it */
#define MAX_WIDTH 268435456
#define MAX_WIDE_HITS 10000
#define FORWARD_WIDTH 1000000 /* the same when time runs forward, and there are too many breakpoints for the CPU */
#define FIRST_STRIDE 16000000 /* instructions that a search for a time goes first */
#define AT_ONCE TT_BREAKPOINTS_AT_ONCE
/* In executed instructions: what a run over a stretch costs beside them; what a step for the use of a guarded page costs. */
#define RUN_COST 2000000
#define STEP_COST 300000

/* ------------------------------------------------------------------ moving */

static int arrive(struct tt_arrival *arrival, enum tt_arrival_kind kind)
{
	arrival->kind = kind;
	return 0;
}

void tt_timeline_forget_interrupt(struct tt_timeline *t)
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

	tt_timeline_forget_interrupt(t);
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

/* Time never runs backwards, and depends on the position alone: ever longer strides until it is late enough, then bisection. */
int tt_timeline_seek_time(struct tt_timeline *t, uint64_t ns, struct tt_arrival *arrival, struct tt_error *err)
{
	uint64_t low = 0, high = 0, stride = FIRST_STRIDE, middle;
	int ret = goto_instruction(t, 0, arrival, err);

	while (!ret && arrival->kind == TT_ARRIVED && tt_timeline_time(t) < ns) {
		low = t->position + 1;
		ret = goto_instruction(t, high += stride, arrival, err);
		stride *= 2;
	}
	if (ret || arrival->kind == TT_ARRIVED_INTERRUPTED || tt_timeline_time(t) < ns)
		return ret;
	high = t->position;
	while (low < high) {
		middle = low + (high - low) / 2;
		ret = goto_instruction(t, middle, arrival, err);
		if (ret || arrival->kind == TT_ARRIVED_INTERRUPTED)
			return ret;
		if (tt_timeline_time(t) >= ns)
			high = middle;
		else
			low = middle + 1;
	}
	return goto_instruction(t, high, arrival, err);
}

/*
 * What is sought, and what the machine's thread has seen of it. The CPU watches few places at a time: a stretch is run
 * over once for each group of them, and once for all pages that are guarded.
 */
struct search {
	struct tt_timeline *timeline;
	struct tt_watchlist watchlist;
	struct tt_watch watch;
	const struct tt_register_list *list;	/* NULL: pages are guarded now */
	size_t group;		/* index of the first one of the list that the CPU watches now */
	bool first;		/* the first hit counts, and the machine stops there; else the last one */
	uint64_t after;		/* hits up to here do not count */
	uint64_t until;		/* nor do those behind this */
	uint64_t left;		/* so many more hits, and it is given up */
	uint64_t steps_left;	/* so many more uses of guarded pages */
	bool given_up;		/* there were more, or no step was possible */
	bool any;
	uint64_t position;	/* of the best one; going back: before the instruction */
	unsigned int index;	/* into the user's list */
};

static bool note_hit(struct search *s, uint64_t instruction, bool data, unsigned int index)
{
	uint64_t position = instruction;

	/* One on data hits behind its instruction. */
	if (s->first) {
		if (instruction <= s->after || instruction >= s->until)
			return false;
		s->until = instruction;
	} else {
		if (instruction > s->until || (!data && instruction == s->until))
			return false;
		if (data)
			position--;
		if (!s->left || !--s->left)
			return true;
		if (s->any && position < s->position)
			return false;
	}
	s->any = true;
	s->position = position;
	s->index = index;
	return s->first;
}

static bool hit(void *ctx, uint64_t instruction, unsigned int index)
{
	struct search *s = ctx;

	return note_hit(s, instruction, s->list->list[s->group + index].kind != TT_BREAK_EXECUTE,
			s->list->owner[s->group + index]);
}

static bool watch_hit(void *ctx, uint64_t instruction, unsigned int index)
{
	return note_hit(ctx, instruction, true, index);
}

static bool watch_stepped(void *ctx, bool possible)
{
	struct search *s = ctx;

	s->timeline->watch_steps++;
	s->given_up = !possible || !s->steps_left || !--s->steps_left;
	return s->given_up;
}

static int begin_search(struct tt_timeline *t, struct search *s, const struct tt_breakpoint *list, unsigned int n,
			struct tt_error *err)
{
	int ret = tt_watchlist_make(&s->watchlist, tt_timeline_vcpu(t), t->options.watch_by, list, n, err);

	s->timeline = t;
	s->watch = (struct tt_watch){ .pieces = s->watchlist.pieces, .num_pieces = s->watchlist.num_pieces,
				      .pages = s->watchlist.pages, .num_pages = s->watchlist.num_pages,
				      .hit = watch_hit, .stepped = watch_stepped, .ctx = s };
	return ret;
}

static struct tt_onlooker onlooker_of(struct search *s)
{
	size_t left = s->list ? s->list->n - s->group : 0;

	if (!s->list)
		return (struct tt_onlooker){ .watch = &s->watch };
	return (struct tt_onlooker){ .list = s->list->list + s->group, .n = left < AT_ONCE ? left : AT_ONCE,
				     .hit = hit, .ctx = s };
}

/*
 * Guarding is given up when it has cost as much as the debug registers would: so it never costs more than twice the
 * cheaper one of the two. Figures are in docs/timeline.md.
 */
static void begin_guarding(struct tt_timeline *t, struct search *s, uint64_t width)
{
	uint64_t runs = (s->watchlist.all.n - s->watchlist.rest.n + AT_ONCE - 1) / AT_ONCE;

	s->list = NULL;
	s->given_up = false;
	s->steps_left = runs * (RUN_COST + width) / STEP_COST + 1;
	if (t->options.watch_by == TT_WATCH_BY_PAGES)
		s->steps_left = UINT64_MAX;
	t->watch_runs++;
}

/* Once over the stretch from instruction `from`, up to where nothing more can be found. */
static int run_forward(struct tt_timeline *t, struct search *s, uint64_t from, enum tt_outcome *outcome,
		       struct tt_error *err)
{
	const struct tt_goal begin = { TT_GOAL_INSTRUCTION, from };
	struct tt_onlooker onlooker;
	struct tt_goal end;
	int ret;

	/* Where it was given up an instruction may be half done. */
	if (t->position != from || s->given_up) {
		ret = tt_travel(t, tt_checkpoint_before(t->checkpoints, from), begin, NULL, outcome, err);
		if (ret || *outcome != TT_OUTCOME_DONE)
			return ret;
	}
	s->given_up = false;
	end = (struct tt_goal){ s->until == UINT64_MAX ? TT_GOAL_END : TT_GOAL_BEYOND, s->until };
	onlooker = onlooker_of(s);
	return tt_travel(t, TT_FROM_HERE, end, &onlooker, outcome, err);
}

/* From instruction `from` up to `to` (UINT64_MAX: the end). The machine stops somewhere. */
static int search_forward(struct tt_timeline *t, struct search *s, uint64_t from, uint64_t to, enum tt_outcome *outcome,
			  struct tt_error *err)
{
	bool guarded = s->watchlist.num_pages;
	int ret;

	s->until = to == UINT64_MAX ? to : to + 1;
	if (guarded) {
		begin_guarding(t, s, to - from);
		ret = run_forward(t, s, from, outcome, err);
		if (ret || *outcome == TT_OUTCOME_STOPPED)
			return ret;
		t->watch_given_up += s->given_up;
		guarded = !s->given_up;
	}
	s->list = guarded ? &s->watchlist.rest : &s->watchlist.all;
	/* Behind a hit of another group there is nothing to be found. */
	for (s->group = 0; s->group < s->list->n || (!s->group && !guarded); s->group += AT_ONCE) {
		ret = run_forward(t, s, from, outcome, err);
		if (ret || *outcome == TT_OUTCOME_STOPPED)
			return ret;
	}
	return 0;
}

static int find_forward(struct tt_timeline *t, struct search *s, struct tt_arrival *arrival, struct tt_error *err)
{
	uint64_t from = t->position, width = FORWARD_WIDTH, to;
	enum tt_outcome outcome = TT_OUTCOME_DONE;
	int ret;

	if (t->at_end)
		return arrive(arrival, TT_ARRIVED_END);
	do {
		/* With one group there is no way back, and no reason for stretches. */
		to = s->watchlist.all.n <= AT_ONCE && !s->watchlist.num_pages ? UINT64_MAX : from + width;
		ret = search_forward(t, s, from, to, &outcome, err);
		if (ret)
			return ret;
		if (outcome == TT_OUTCOME_STOPPED)
			return interrupted(t, arrival, err);
		from = to;
		width = width < MAX_WIDTH / WIDTH_GROWTH ? width * WIDTH_GROWTH : MAX_WIDTH;
	} while (!s->any && to != UINT64_MAX && outcome == TT_OUTCOME_DONE);
	t->at_end = !s->any;
	if (!s->any)
		return arrive(arrival, TT_ARRIVED_END);
	ret = goto_instruction(t, s->position, arrival, err);
	if (ret || arrival->kind == TT_ARRIVED_INTERRUPTED)
		return ret;
	arrival->breakpoint = s->index;
	return arrive(arrival, TT_ARRIVED_BREAKPOINT);
}

int tt_timeline_continue(struct tt_timeline *t, const struct tt_breakpoint *list, unsigned int n,
			 struct tt_arrival *arrival, struct tt_error *err)
{
	struct search s = { .first = true, .after = t->position };
	int ret = begin_search(t, &s, list, n, err);

	if (!ret)
		ret = find_forward(t, &s, arrival, err);
	tt_watchlist_free(&s.watchlist);
	return ret;
}

/*
 * Come to a place before instruction `limit`, and not much more than `width` before it, without looking at breakpoints. When a
 * checkpoint lies between, or the stretch is wide, that is the place.
 */
static int go_before(struct tt_timeline *t, uint64_t limit, uint64_t width, enum tt_outcome *outcome, struct tt_error *err)
{
	uint64_t start = limit > width ? limit - width : 0, from = tt_checkpoint_before(t->checkpoints, start);
	uint64_t last = tt_checkpoint_before(t->checkpoints, limit - 1);
	int ret;

	if (width >= WIDE)
		start = from;
	else if (last > start)
		start = from = last;
	/* One search is often followed by another: leave checkpoints on the way. */
	tt_travel_near(t, from, limit);
	ret = tt_travel(t, from, (struct tt_goal){ TT_GOAL_BEYOND, start }, NULL, outcome, err);
	tt_travel_near(t, 0, 0);
	if (ret || t->position < limit)
		return ret;
	/* It went too far: from the checkpoint, then. */
	return tt_travel(t, from, (struct tt_goal){ TT_GOAL_BEYOND, from }, NULL, outcome, err);
}

/* Once over the stretch before `limit`, from its beginning, of which *begun becomes the last. */
static int run_back(struct tt_timeline *t, struct search *s, uint64_t limit, uint64_t width, uint64_t *begun,
		    enum tt_outcome *outcome, struct tt_error *err)
{
	const struct tt_goal end = { TT_GOAL_BEYOND, limit + SLACK };
	struct tt_onlooker onlooker = onlooker_of(s);
	int ret = go_before(t, limit, width, outcome, err);

	if (t->position > *begun)
		*begun = t->position;
	if (ret || *outcome == TT_OUTCOME_STOPPED)
		return ret;
	return tt_travel(t, TT_FROM_HERE, end, &onlooker, outcome, err);
}

/*
 * The stretch before `limit`, once for the pages and for each group, which may begin at different places: *begun is the
 * last of them, and a hit before that says nothing yet, because others may lie between.
 */
static int search_back(struct tt_timeline *t, struct search *s, uint64_t limit, uint64_t width, uint64_t *begun,
		       enum tt_outcome *outcome, struct tt_error *err)
{
	int ret;

	*begun = 0;
	s->any = false;
	s->until = limit;
	s->left = width < WIDE ? UINT64_MAX : MAX_WIDE_HITS;
	s->list = &s->watchlist.all;
	if (s->watchlist.num_pages) {
		begin_guarding(t, s, width);
		ret = run_back(t, s, limit, width, begun, outcome, err);
		if (ret || *outcome == TT_OUTCOME_STOPPED)
			return ret;
		t->watch_given_up += s->given_up;
		/* There is something, and it may lie in a shorter stretch. */
		if (s->given_up && s->any && width >= WIDE)
			s->left = 0;
		s->any = s->any && !s->given_up;
		s->list = s->given_up ? &s->watchlist.all : &s->watchlist.rest;
	}
	for (s->group = 0; s->left && s->group < s->list->n; s->group += AT_ONCE) {
		ret = run_back(t, s, limit, width, begun, outcome, err);
		if (ret || *outcome == TT_OUTCOME_STOPPED)
			return ret;
	}
	s->any = s->any && s->position >= *begun;
	return 0;
}

static int find_back(struct tt_timeline *t, struct search *s, struct tt_arrival *arrival, struct tt_error *err)
{
	uint64_t limit = t->position, width = FIRST_WIDTH, begun;
	enum tt_outcome outcome = TT_OUTCOME_DONE;
	int ret;

	while (s->watchlist.all.n && !s->any && limit) {
		ret = search_back(t, s, limit, width, &begun, &outcome, err);
		if (ret)
			return ret;
		t->at_end = false;
		if (outcome == TT_OUTCOME_STOPPED)
			return interrupted(t, arrival, err);
		if (!s->left) {
			s->any = false;
			width /= WIDTH_GROWTH;
			continue;
		}
		limit = begun;
		width = width < MAX_WIDTH / WIDTH_GROWTH ? width * WIDTH_GROWTH : MAX_WIDTH;
	}
	ret = goto_instruction(t, s->any ? s->position : 0, arrival, err);
	if (ret || arrival->kind == TT_ARRIVED_INTERRUPTED)
		return ret;
	arrival->breakpoint = s->index;
	return arrive(arrival, s->any ? TT_ARRIVED_BREAKPOINT : TT_ARRIVED_BEGIN);
}

/*
 * Stretch by stretch, going backwards: run over each with the breakpoints set, remember the last hit, and go there in the end.
 * The first stretches are short, because a breakpoint in a loop hits a million times in a long one; a long one in which it does
 * is given up for a shorter one.
 */
int tt_timeline_reverse(struct tt_timeline *t, const struct tt_breakpoint *list, unsigned int n,
			struct tt_arrival *arrival, struct tt_error *err)
{
	struct search s = { 0 };
	int ret = begin_search(t, &s, list, n, err);

	if (!ret)
		ret = find_back(t, &s, arrival, err);
	tt_watchlist_free(&s.watchlist);
	return ret;
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
	stats->watch_steps = t->watch_steps;
	stats->watch_runs = t->watch_runs;
	stats->watch_given_up = t->watch_given_up;
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
