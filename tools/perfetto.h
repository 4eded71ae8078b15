/* SPDX-License-Identifier: GPL-2.0 */
/*
 * perfetto.h - a timeline as a file for ui.perfetto.dev: Chrome's JSON trace events.
 */
#ifndef TTVM_TOOLS_PERFETTO_H
#define TTVM_TOOLS_PERFETTO_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "ttvm/error.h"

/* In the order in which the user interface shows them. */
enum perfetto_track {
	PERFETTO_VCPU = 1,
	PERFETTO_INTERRUPTS,
	PERFETTO_EVENTS,
	PERFETTO_CONSOLE,
	PERFETTO_EXITS,
	PERFETTO_DISK,			/* disk 0, and so on */
	PERFETTO_NET = PERFETTO_DISK + 8, /* network 0, and so on */
	PERFETTO_TRACKS = PERFETTO_NET + 4,
};

struct perfetto {
	FILE *file;
	uint64_t written;	/* entries */
	uint64_t seen;		/* since perfetto_restart() */
	uint64_t last[PERFETTO_TRACKS];	/* time of a track's last entry, ns */
	uint32_t named;		/* tracks that have a name in the file */
	int error;		/* the first -errno */
};

/* Create path, or write to stdout for "-". log is shown as the name of the process; exact: times are the guest's own. */
int perfetto_create(struct perfetto *p, const char *path, const char *log, bool exact, struct tt_error *err);
/* From the beginning again: what is in the file already is not written twice. */
void perfetto_restart(struct perfetto *p);
/*
 * One entry of a track: `name` at `ns` since the start, or from there on for `duration` ns. args becomes ours; it may
 * be NULL. Entries of a track come by rising time; one that is earlier (by rounding) is moved to the last one's. name
 * may be anything: it is made printable.
 */
void perfetto_instant(struct perfetto *p, unsigned int track, uint64_t ns, const char *name, json_t *args);
void perfetto_slice(struct perfetto *p, unsigned int track, uint64_t ns, uint64_t duration, const char *name,
		    json_t *args);
/* End and close the file. 0, or the first -errno. */
int perfetto_finish(struct perfetto *p);

#endif /* TTVM_TOOLS_PERFETTO_H */
