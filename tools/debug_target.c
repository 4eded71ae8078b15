// SPDX-License-Identifier: GPL-2.0
/*
 * debug_target.c - see debug_target.h. The past is read-only: there is no write_registers, no write_memory.
 */
#include <stdlib.h>
#include <string.h>

#include "debug_target.h"
#include "event_text.h"
#include "ttvm.h"

#define EVENTS_SHOWN 10
#define MAX_WATCHED (7 << 20) /* bytes of all watched ranges: a timeline takes TT_MAX_WATCHED pieces of 8 */
#define RFLAGS_RF (1ull << 16)

struct recording {
	struct tt_debug_target target;
	struct tt_timeline *timeline;
	struct recording_options options;
	struct tt_registers registers;	/* here */
	struct tt_point *points;
	struct tt_breakpoint *list;	/* list[i] is points[i], as the timeline knows it */
	unsigned int count;
	FILE *console;			/* what the guest has written, as far as the machine ever was */
	char *console_text;
	size_t console_size;
	bool killed;
};

static struct recording *recording_of(struct tt_debug_target *target)
{
	return (struct recording *)((char *)target - offsetof(struct recording, target));
}

/* The machine has moved, and whoever wanted it to stop has what he wanted. */
static int look(struct recording *r, struct tt_error *err)
{
	int ret = tt_registers_read(tt_timeline_vcpu(r->timeline), &r->registers);

	tt_timeline_forget_interrupt(r->timeline);
	r->registers.regs.rflags &= ~RFLAGS_RF; /* the debugger's, if it is set */
	return ret ? tt_fail(err, ret, "KVM does not give the registers: %s", strerror(-ret)) : 0;
}

static void forget_points(struct recording *r)
{
	free(r->points);
	free(r->list);
	r->points = NULL;
	r->list = NULL;
	r->count = 0;
}

static int attach(struct tt_debug_target *target, struct tt_error *err)
{
	struct recording *r = recording_of(target);

	forget_points(r);
	return look(r, err);
}

static void detach(struct tt_debug_target *target)
{
	forget_points(recording_of(target));
}

static void kill_session(struct tt_debug_target *target)
{
	__atomic_store_n(&recording_of(target)->killed, true, __ATOMIC_RELAXED);
}

static int read_registers(struct tt_debug_target *target, struct tt_registers *registers, struct tt_error *err)
{
	(void)err;
	*registers = recording_of(target)->registers;
	return 0;
}

static size_t read_memory(struct tt_debug_target *target, bool physical, uint64_t address, void *data, size_t len)
{
	struct recording *r = recording_of(target);
	struct tt_vcpu *vcpu = tt_timeline_vcpu(r->timeline);

	return tt_debug_read_memory(vcpu, &r->registers.sregs, physical, address, data, len);
}

/* ------------------------------------------------------------------ points */

static bool is_watched(const struct tt_point *point)
{
	return point->kind > TT_POINT_HARDWARE;
}

static int set_points(struct tt_debug_target *target, const struct tt_point *points, size_t count, struct tt_error *err)
{
	struct recording *r = recording_of(target);
	struct tt_point *copy = calloc(count + 1, sizeof(*copy));
	struct tt_breakpoint *list = calloc(count + 1, sizeof(*list));
	uint64_t bytes = 0;
	size_t i;

	for (i = 0; copy && list && i < count; i++) {
		copy[i] = points[i];
		list[i] = (struct tt_breakpoint){ TT_BREAK_EXECUTE, points[i].address, points[i].len };
		if (!is_watched(&points[i]))
			continue;
		list[i].kind = points[i].kind == TT_POINT_WRITE ? TT_BREAK_WRITE : TT_BREAK_ACCESS;
		/* Refused here, and not when the machine is to run. */
		if (!points[i].len || points[i].len > MAX_WATCHED - bytes)
			break;
		bytes += points[i].len;
	}
	if (!copy || !list || i < count) {
		free(copy);
		free(list);
		if (copy && list)
			return tt_fail(err, -ENOSPC, "%d MiB can be watched at most", MAX_WATCHED >> 20);
		return tt_fail(err, -ENOMEM, "out of memory");
	}
	forget_points(r);
	r->points = copy;
	r->list = list;
	r->count = count;
	return 0;
}

/* ------------------------------------------------------------------ moving */

static int stopped(struct recording *r, const struct tt_arrival *arrival, struct tt_stop *stop, struct tt_error *err)
{
	static const enum tt_stop_reason reasons[] = {
		[TT_ARRIVED] = TT_STOP_STEP,
		[TT_ARRIVED_BREAKPOINT] = TT_STOP_POINT,
		[TT_ARRIVED_BEGIN] = TT_STOP_HISTORY_BEGIN,
		[TT_ARRIVED_END] = TT_STOP_HISTORY_END,
		[TT_ARRIVED_INTERRUPTED] = TT_STOP_INTERRUPTED,
	};

	stop->reason = reasons[arrival->kind];
	if (arrival->kind == TT_ARRIVED_BREAKPOINT)
		stop->point = r->points[arrival->breakpoint];
	return look(r, err);
}

/*
 * What is at the watched places, one behind the other: of a single step one only sees what it has changed. The caller
 * frees it; NULL: nothing is watched.
 */
static uint8_t *read_watched(struct recording *r, struct tt_error *err)
{
	uint64_t size = 0, at = 0;
	unsigned int i;
	uint8_t *data;

	for (i = 0; i < r->count; i++)
		size += is_watched(&r->points[i]) ? r->points[i].len : 0;
	if (!size)
		return NULL;
	data = calloc(1, size);
	if (!data)
		tt_fail(err, -ENOMEM, "out of memory");
	for (i = 0; data && i < r->count; i++) {
		if (!is_watched(&r->points[i]))
			continue;
		read_memory(&r->target, false, r->points[i].address, data + at, r->points[i].len);
		at += r->points[i].len;
	}
	return data;
}

/* The last point whose bytes differ stops the step. */
static void compare_watched(const struct recording *r, const uint8_t *before, const uint8_t *after,
			    struct tt_stop *stop)
{
	uint64_t at = 0;
	unsigned int i;

	for (i = 0; i < r->count; i++) {
		if (!is_watched(&r->points[i]))
			continue;
		if (memcmp(before + at, after + at, r->points[i].len)) {
			stop->reason = TT_STOP_POINT;
			stop->point = r->points[i];
		}
		at += r->points[i].len;
	}
}

static int step(struct tt_debug_target *target, int64_t count, struct tt_stop *stop, struct tt_error *err)
{
	struct recording *r = recording_of(target);
	uint64_t at = tt_timeline_position(r->timeline), length = tt_timeline_length(r->timeline);
	struct tt_arrival arrival = { TT_ARRIVED_BEGIN, 0 };
	uint8_t *before, *after = NULL;
	int ret = 0;

	before = read_watched(r, err);
	if (err->code)
		return err->code;
	if (count > 0 && length && at == length)
		arrival.kind = TT_ARRIVED_END;
	else if (count > 0 || at)
		ret = tt_timeline_goto(r->timeline, count < 0 && at < (uint64_t)-count ? 0 : at + count, &arrival, err);
	if (!ret)
		ret = stopped(r, &arrival, stop, err);
	if (!ret && stop->reason == TT_STOP_STEP && before) {
		after = read_watched(r, err);
		if (after)
			compare_watched(r, before, after, stop);
		ret = err->code;
	}
	free(before);
	free(after);
	return ret;
}

static int run(struct tt_debug_target *target, bool backwards, struct tt_stop *stop, struct tt_error *err)
{
	struct recording *r = recording_of(target);
	struct tt_arrival arrival = { 0 };
	int ret;

	if (backwards)
		ret = tt_timeline_reverse(r->timeline, r->list, r->count, &arrival, err);
	else
		ret = tt_timeline_continue(r->timeline, r->list, r->count, &arrival, err);
	return ret ? ret : stopped(r, &arrival, stop, err);
}

static void interrupt(struct tt_debug_target *target)
{
	tt_timeline_interrupt(recording_of(target)->timeline);
}

static int position(struct tt_debug_target *target, uint64_t *instructions, uint64_t *ns, struct tt_error *err)
{
	struct recording *r = recording_of(target);

	(void)err;
	*instructions = tt_timeline_position(r->timeline);
	*ns = tt_timeline_time(r->timeline);
	return 0;
}

static int arrived(struct recording *r, const struct tt_arrival *arrival, struct tt_error *err)
{
	int ret = look(r, err);

	if (!ret && arrival->kind == TT_ARRIVED_END)
		return tt_fail(err, -ERANGE, "the recording ends before, at instruction %llu",
			       (unsigned long long)tt_timeline_position(r->timeline));
	return ret;
}

static int go(struct tt_debug_target *target, uint64_t instructions, struct tt_error *err)
{
	struct recording *r = recording_of(target);
	struct tt_arrival arrival;
	int ret = tt_timeline_goto(r->timeline, instructions, &arrival, err);

	return ret ? ret : arrived(r, &arrival, err);
}

static int seek_event(struct tt_debug_target *target, uint64_t event, struct tt_error *err)
{
	struct recording *r = recording_of(target);
	struct tt_arrival arrival;
	int ret = tt_timeline_seek_event(r->timeline, event, &arrival, err);

	return ret ? ret : arrived(r, &arrival, err);
}

static int seek_time(struct tt_debug_target *target, uint64_t ns, struct tt_error *err)
{
	struct recording *r = recording_of(target);
	struct tt_arrival arrival;
	int ret = tt_timeline_seek_time(r->timeline, ns, &arrival, err);

	return ret ? ret : arrived(r, &arrival, err);
}

/* ------------------------------------------------------------------ what monitor commands print */

/* A..B, A.. or nothing: some from the next one on. */
static bool parse_range(const char *args, uint64_t next, uint64_t *first, uint64_t *last)
{
	char *end;

	*first = next;
	*last = next + EVENTS_SHOWN - 1;
	if (!*args)
		return true;
	*first = strtoull(args, &end, 0);
	*last = *first + EVENTS_SHOWN - 1;
	if (end == args || (*end && strncmp(end, "..", 2)))
		return false;
	args = *end ? end + 2 : end;
	if (!*args)
		return true;
	*last = strtoull(args, &end, 0);
	return !*end && *last >= *first;
}

/* The timeline's own log stands where the replay is: look into another one. */
static int events(struct tt_debug_target *target, const char *args, FILE *out, struct tt_error *err)
{
	struct recording *r = recording_of(target);
	uint64_t first, last, number;
	char line[EVENT_LINE_MAX];
	struct tt_event event;
	struct tt_log *log;
	int ret;

	if (!parse_range(args, tt_timeline_event(r->timeline), &first, &last))
		return tt_fail(err, -EINVAL, "events takes two numbers, as in 10..20, or none");
	ret = tt_log_open(r->options.log, &log, err);
	if (ret)
		return ret;
	if (first < tt_log_num_events(log, 0))
		ret = tt_log_seek_event(log, 0, first, err);
	else
		ret = tt_fail(err, -ERANGE, "the recording has %llu events", (unsigned long long)tt_log_num_events(log, 0));
	for (number = first; !ret && number <= last && tt_log_next(log, 0, &event, err) == 1; number++) {
		event_line(number, &event, false, line);
		fprintf(out, "%s%s\n", number == tt_timeline_event(r->timeline) ? "=> " : "   ", line);
	}
	tt_log_close(log);
	return ret;
}

static int checkpoint(struct tt_debug_target *target, const char *args, FILE *out, struct tt_error *err)
{
	struct tt_timeline_stats stats;

	(void)args;
	(void)err;
	tt_timeline_get_stats(recording_of(target)->timeline, &stats);
	fprintf(out, "%u checkpoints, %.1f MB, every %.0f M instructions; %llu pages, %llu of them zero, %llu on disk\n", stats.checkpoints,
		stats.checkpoint_bytes / 1e6, stats.interval / 1e6, (unsigned long long)stats.pages,
		(unsigned long long)stats.zero_pages, (unsigned long long)stats.disk_pages);
	return 0;
}

static int disk(struct tt_debug_target *target, const char *args, FILE *out, struct tt_error *err)
{
	struct recording *r = recording_of(target);
	const struct tt_machine *m = tt_timeline_vcpu(r->timeline)->machine;

	(void)args;
	(void)err;
	if (!m->config.num_disks)
		fprintf(out, "the machine has no disk\n");
	else
		fprintf(out, "as it is here: ttvm disk mount DISK --at instr:%llu@%s\n",
			(unsigned long long)tt_timeline_position(r->timeline), r->options.log);
	return 0;
}

static int console(struct tt_debug_target *target, const char *args, FILE *out, struct tt_error *err)
{
	struct recording *r = recording_of(target);
	uint64_t size = tt_timeline_console(r->timeline);

	(void)args;
	(void)err;
	fflush(r->console);
	fwrite(r->console_text, 1, size < r->console_size ? size : r->console_size, out);
	return 0;
}

static const struct tt_debug_ops recording_ops = {
	.attach = attach,
	.detach = detach,
	.kill = kill_session,
	.read_registers = read_registers,
	.read_memory = read_memory,
	.set_points = set_points,
	.step = step,
	.run = run,
	.interrupt = interrupt,
	.position = position,
	.go = go,
	.seek_event = seek_event,
	.seek_time = seek_time,
	.events = events,
	.checkpoint = checkpoint,
	.disk = disk,
	.console = console,
};

/* ------------------------------------------------------------------ life */

static void keep_output(void *ctx, const void *data, size_t len)
{
	fwrite(data, 1, len, ((struct recording *)ctx)->console);
}

static void message(void *ctx, const char *text)
{
	(void)ctx;
	say("%s", text);
}

int recording_target_create(const struct recording_options *options, struct tt_debug_target **target,
			    struct tt_error *err)
{
	struct recording *r = calloc(1, sizeof(*r));
	const struct tt_timeline_options o = {
		.disks = options->disks,
		.num_disks = options->num_disks,
		.checkpoint_bytes = options->checkpoint_bytes,
		.cache = options->cache,
		.console = keep_output,
		.message = message,
		.ctx = r,
	};
	struct tt_arrival arrival;
	int ret;

	if (!r)
		return tt_fail(err, -ENOMEM, "out of memory");
	r->options = *options;
	r->target.ops = &recording_ops;
	r->target.name = "a recording";
	r->target.backwards = true;
	r->console = open_memstream(&r->console_text, &r->console_size);
	ret = r->console ? tt_timeline_open(options->log, &o, &r->timeline, err) : tt_fail(err, -ENOMEM, "out of memory");
	if (!ret) {
		r->target.avx = tt_debug_has_avx(tt_timeline_vcpu(r->timeline)->machine);
		ret = tt_timeline_goto(r->timeline, options->instruction, &arrival, err);
	}
	if (!ret && arrival.kind == TT_ARRIVED_END)
		ret = tt_fail(err, -ERANGE, "--to-instr %llu: the recording ends after %llu instructions",
			      (unsigned long long)options->instruction,
			      (unsigned long long)tt_timeline_position(r->timeline));
	if (!ret)
		ret = look(r, err);
	if (ret) {
		recording_target_destroy(&r->target);
		return ret;
	}
	*target = &r->target;
	return 0;
}

const struct tt_machine *recording_target_machine(struct tt_debug_target *target)
{
	return tt_timeline_vcpu(recording_of(target)->timeline)->machine;
}

bool recording_target_killed(struct tt_debug_target *target)
{
	return __atomic_load_n(&recording_of(target)->killed, __ATOMIC_RELAXED);
}

void recording_target_destroy(struct tt_debug_target *target)
{
	struct recording *r = recording_of(target);

	forget_points(r);
	if (r->timeline)
		tt_timeline_close(r->timeline);
	if (r->console)
		fclose(r->console);
	free(r->console_text);
	free(r);
}
