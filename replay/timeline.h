/* SPDX-License-Identifier: GPL-2.0 */
/*
 * timeline.h - a recording as something to walk about in: to any instruction, a step or a run in either direction.
 *
 * A position is a number of completed instructions. The machine at a position is the same however one came there; nothing
 * that is done here changes it. Going back means loading the nearest checkpoint before (checkpoint.h) and replaying from
 * there.
 *
 * One thread at a time calls the functions of a timeline. The machine has a thread of its own; while no function of the
 * timeline is running the machine stands still, and its registers and memory can be read through tt_timeline_vcpu().
 */
#ifndef TTVM_REPLAY_TIMELINE_H
#define TTVM_REPLAY_TIMELINE_H

#include "replay.h"

struct tt_timeline;

/* ------------------------------------------------------------------ breakpoints */

enum tt_breakpoint_kind {
	TT_BREAK_EXECUTE,	/* before the instruction at address */
	TT_BREAK_WRITE,		/* where length bytes at address are written */
	TT_BREAK_ACCESS,	/* ... or read */
};

struct tt_breakpoint {
	enum tt_breakpoint_kind kind;
	uint64_t address;	/* linear */
	uint64_t length;	/* of data, > 0; a breakpoint on execution has none, whatever stands here */
};

/*
 * A CPU watches four places of 1, 2, 4 or 8 aligned bytes; one is the replay's own. There may be more places in a list,
 * and longer ones, at the cost of running over a stretch once for each three pieces. When the watched data have more
 * than TT_WATCHED_BY_REGISTERS pieces, their pages are guarded instead (watch.c), which takes one run for all, and a
 * step for each use of such a page. If that would take longer in a stretch than the debug registers, these are used
 * there.
 *
 * Debug registers watch linear addresses in any address space. Pages are found by the page tables that are in force
 * when the machine is set going, and watched whatever address leads there; what has no page then is left to the debug
 * registers. Writes of devices are seen in guarded pages only.
 */
#define TT_BREAKPOINTS_AT_ONCE 3
#define TT_WATCHED_BY_REGISTERS 6
#define TT_MAX_WATCHED (1u << 20) /* pieces */

enum tt_watch_by {
	TT_WATCH_BY_COST,	/* as above */
	TT_WATCH_BY_REGISTERS,
	TT_WATCH_BY_PAGES,	/* however few they are, and however long it takes */
};

/* ------------------------------------------------------------------ life */

struct tt_timeline_options {
	const char *const *disks;	/* where the recording's disks are now; may be NULL: see tt_outside_open() */
	unsigned int num_disks;
	uint64_t checkpoint_bytes;	/* of memory for checkpoints; 0: TT_CHECKPOINT_BYTES */
	bool whole_pages;		/* for measurements: keep the content of pages that are zero, or on a disk */
	enum tt_watch_by watch_by;
	const char *cache;		/* a file in which they stay for the next session; may be NULL */
	/* The guest's output, once, in its order, however often the machine passes there; what the cache knows of it, at
	 * the start. On the machine's thread; may be NULL. */
	void (*console)(void *ctx, const void *data, size_t len);
	/* What the user may want to know, one line. On any thread; may be NULL. */
	void (*message)(void *ctx, const char *text);
	void *ctx;
};

/*
 * Open a log and stand at its beginning. 0, or -errno with err filled in: those of tt_log_open(), of the disks, of KVM and
 * the module.
 */
int tt_timeline_open(const char *path, const struct tt_timeline_options *options, struct tt_timeline **timeline,
		     struct tt_error *err);
void tt_timeline_close(struct tt_timeline *timeline);

/* ------------------------------------------------------------------ moving */

enum tt_arrival_kind {
	TT_ARRIVED,		/* at the position that was asked for */
	TT_ARRIVED_BREAKPOINT,	/* at one of the breakpoints */
	TT_ARRIVED_BEGIN,	/* the recording begins here */
	TT_ARRIVED_END,		/* the recording ends here */
	TT_ARRIVED_INTERRUPTED,	/* tt_timeline_interrupt() */
};

struct tt_arrival {
	enum tt_arrival_kind kind;
	unsigned int breakpoint; /* TT_ARRIVED_BREAKPOINT: its index */
};

/*
 * All return 0 and where the machine stands now in *arrival, or -errno with err filled in, after which the timeline can only
 * be closed: -EBADE the replay diverges from the recording.
 */

/* After exactly `instruction` instructions; TT_ARRIVED_END when there are fewer. */
int tt_timeline_goto(struct tt_timeline *timeline, uint64_t instruction, struct tt_arrival *arrival, struct tt_error *err);
/* To the instruction at which event number `event` (from 0) takes effect. TT_ARRIVED_END when there is none. */
int tt_timeline_seek_event(struct tt_timeline *timeline, uint64_t event, struct tt_arrival *arrival,
			   struct tt_error *err);
/* To the first instruction at which virtual time is `ns` or later. TT_ARRIVED_END when that never is. */
int tt_timeline_seek_time(struct tt_timeline *timeline, uint64_t ns, struct tt_arrival *arrival, struct tt_error *err);
/*
 * Run forward from here until a breakpoint is hit or the recording ends. One at the instruction that the machine stands
 * before does not count. A breakpoint on data stops behind the instruction that made the access. -EINVAL, -E2BIG: they
 * cannot all be watched.
 */
int tt_timeline_continue(struct tt_timeline *timeline, const struct tt_breakpoint *list, unsigned int n,
			 struct tt_arrival *arrival, struct tt_error *err);
/*
 * Back to where a breakpoint was hit last before here, or to the beginning. A breakpoint on data stops before the
 * instruction that made the access.
 */
int tt_timeline_reverse(struct tt_timeline *timeline, const struct tt_breakpoint *list, unsigned int n,
			struct tt_arrival *arrival, struct tt_error *err);
/* Any thread: the function that is running stops soon; when none is, the next one that moves the machine. */
void tt_timeline_interrupt(struct tt_timeline *timeline);
/* What was asked for so far does not count any more. */
void tt_timeline_forget_interrupt(struct tt_timeline *timeline);

/* ------------------------------------------------------------------ looking */

/* Completed instructions. */
uint64_t tt_timeline_position(const struct tt_timeline *timeline);
/* Instructions of the whole recording, 0 when its end is not in the log. */
uint64_t tt_timeline_length(const struct tt_timeline *timeline);
/* Number of the next event. */
uint64_t tt_timeline_event(const struct tt_timeline *timeline);
/* Virtual time since the start of the recording, in nanoseconds. */
uint64_t tt_timeline_time(const struct tt_timeline *timeline);
/* Bytes of console output since the start. */
uint64_t tt_timeline_console(const struct tt_timeline *timeline);
/* The vCPU, standing still and settled. Nothing of it may be changed. */
struct tt_vcpu *tt_timeline_vcpu(struct tt_timeline *timeline);
/* Digests of the machine here. 0 or -errno. */
int tt_timeline_digests(struct tt_timeline *timeline, struct tt_digests *digests);

struct tt_timeline_stats {
	unsigned int checkpoints;
	uint64_t interval;		/* instructions between those of the row */
	uint64_t checkpoint_bytes;	/* that they take */
	uint64_t pages;			/* of guest memory that they hold, those that are all zero included */
	uint64_t zero_pages;
	uint64_t disk_pages;		/* of them, that are kept by their place on a disk */
	uint64_t taken;			/* checkpoints so far */
	uint64_t loaded;		/* so far */
	uint64_t executed;		/* instructions so far */
	uint64_t watch_steps;		/* made for the use of a guarded page, so far */
	uint64_t watch_runs;		/* with guarded pages, and those of them that were given up */
	uint64_t watch_given_up;
};

void tt_timeline_get_stats(const struct tt_timeline *timeline, struct tt_timeline_stats *stats);

#endif /* TTVM_REPLAY_TIMELINE_H */
