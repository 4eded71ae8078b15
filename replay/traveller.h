/* SPDX-License-Identifier: GPL-2.0 */
/*
 * traveller.h - the machine of a timeline: it is sent to places, and stands there. Shared by traveller.c and timeline.c.
 *
 * Two threads: the machine's, which replays until it has come to what it was sent for, then stands and waits; and the
 * user's, which sends it. Only one of them is doing something at any time.
 */
#ifndef TTVM_REPLAY_TRAVELLER_H
#define TTVM_REPLAY_TRAVELLER_H

#include "checkpoint.h"

#define TT_FROM_HERE UINT64_MAX

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
	uint64_t cached;		/* of them there were so many from the start */

	pthread_t thread;
	bool has_thread;
	pthread_mutex_t lock;		/* of what follows */
	pthread_cond_t changed;
	enum { STANDS, MOVES, QUITS, ENDED } state;
	uint64_t load;			/* MOVES: the checkpoint to begin at, or TT_FROM_HERE */
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
	FILE *output;			/* all of it, into output_text */
	char *output_text;
	size_t output_size;
	uint64_t executed;
	uint64_t watch_steps, watch_runs, watch_given_up;
	struct tt_strays strays;
};

/* Create the machine for a log and its thread, and let it come to the beginning. 0 or -errno; the caller stops it anyway. */
int tt_traveller_start(struct tt_timeline *t, const char *path, struct tt_error *err);
/* End the thread, and free all that start has made. */
void tt_traveller_stop(struct tt_timeline *t);

/*
 * Send the machine from a checkpoint (or TT_FROM_HERE) to a goal, again and with a larger margin when an alarm came too late on
 * the way. onlooker may be NULL. *outcome is DONE, NO_GOAL (the recording ends before) or STOPPED (t->interrupted). 0, or -errno:
 * -EBADE it diverges from the recording.
 */
int tt_travel(struct tt_timeline *t, uint64_t from, struct tt_goal goal, const struct tt_onlooker *onlooker,
	      enum tt_outcome *outcome, struct tt_error *err);
/* From the next travel on, which begins at `from`: leave checkpoints at halving distances to `goal`; 0: no more. */
void tt_travel_near(struct tt_timeline *t, uint64_t from, uint64_t goal);

#endif /* TTVM_REPLAY_TRAVELLER_H */
