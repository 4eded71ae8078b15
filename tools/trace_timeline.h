/* SPDX-License-Identifier: GPL-2.0 */
/*
 * trace_timeline.h - what happens in a recording, written to a Perfetto timeline.
 */
#ifndef TTVM_TOOLS_TRACE_TIMELINE_H
#define TTVM_TOOLS_TRACE_TIMELINE_H

#include "perfetto.h"
#include "replay.h"

#define TIMELINE_LINE_MAX 200

/* One of the console's devices: the line that is being written. */
struct timeline_line {
	char text[TIMELINE_LINE_MAX];
	size_t len;
	uint64_t ns;		/* of its first byte */
	uint64_t instructions;
	struct trace_timeline *timeline;
};

struct trace_timeline {
	struct perfetto *perfetto;
	struct tt_machine *machine;	/* of the try that is running */
	struct tt_witness witness;
	struct timeline_line lines[2];	/* serial, virtio */
	uint64_t idle_from, idle_to;	/* ns; idle_to 0: none */
	uint64_t idle_instructions;
	uint64_t events, interrupts, exits, halts;	/* of this try */
};

/* Give timeline->witness to the replayer. perfetto is borrowed. */
void timeline_init(struct trace_timeline *timeline, struct perfetto *perfetto);
/* Before each try: look at this machine. Console and disks are tapped; the caller, who taps networks, hands on the frames. */
void timeline_begin(struct trace_timeline *timeline, struct tt_machine *m);
void timeline_frame(struct trace_timeline *timeline, unsigned int index, bool to_guest, size_t len);
/* After the last try: what is still open is written. */
void timeline_end(struct trace_timeline *timeline);
/* Without a replay: the log's events, at times that are lower bounds. 0, or -errno with err filled in. */
int timeline_from_log(struct trace_timeline *timeline, struct tt_log *log, uint64_t tsc_hz, struct tt_error *err);

#endif /* TTVM_TOOLS_TRACE_TIMELINE_H */
