/* SPDX-License-Identifier: GPL-2.0 */
/*
 * replay_log.h - replaying a log as a subcommand does it: with progress, another try when an alarm was lost, and a line
 * that says what came of it.
 */
#ifndef TTVM_TOOLS_REPLAY_LOG_H
#define TTVM_TOOLS_REPLAY_LOG_H

#include "replay.h"

struct replay_options {
	const char *log;
	struct tt_goal goal;
	const char *mark;	/* instead of a goal: the last mark of that name */
	uint64_t walk;
	uint64_t margin;
	const char *stats;
	const char *disks[TT_MAX_DISKS];
	unsigned int num_disks;
	bool regs;
	bool mem_digest;
	bool quiet;		/* no console output */
	bool verify;		/* ttvm verify */
	const struct tt_witness *witness; /* or NULL */
	/* Called with the machine of each try, before it runs. May be NULL. */
	void (*prepare)(void *ctx, struct tt_machine *m);
	/* Called with the machine standing at the goal. Returns an exit status; what went wrong has been said. May be NULL. */
	int (*arrived)(void *ctx, struct tt_machine *m, const struct tt_replayer_result *result);
	void *ctx;
};

/*
 * A mark is a goal by its instruction: it changes nothing, so a replay passes over it. Found by its name, or as the event
 * that is the goal; then the goal becomes that instruction. Moves the log's cursor. -ENOENT: no such mark.
 */
int replay_find_mark(struct replay_options *options, struct tt_log *log, struct tt_error *err);

/* Returns the exit status; what went wrong has been said. */
int replay_log(const struct replay_options *options);

#endif /* TTVM_TOOLS_REPLAY_LOG_H */
