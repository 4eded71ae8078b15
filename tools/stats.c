// SPDX-License-Identifier: GPL-2.0
/*
 * stats.c - counts of a run as JSON, for scripts and the benchmark.
 */
#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <string.h>

#include "ttvm.h"

static json_t *counts_json(const struct tt_run_counts *c)
{
	json_t *root = json_object(), *reasons = json_object();
	const struct {
		const char *name;
		uint64_t value;
	} numbers[] = {
		{ "instructions", c->instructions },
		{ "branches", c->branches },
		{ "events", c->events },
		{ "exits_to_vmm", c->exits },
		{ "vm_exits", c->vm_exits },
		{ "rdtsc", c->rdtsc },
		{ "kicks", c->kicks },
		{ "not_landable", c->not_landable },
		{ "windows", c->windows },
		{ "landings", c->landings },
		{ "breakpoint_hits", c->breakpoint_hits },
		{ "alarms", c->alarms },
		{ "alarms_late", c->alarms_late },
	};
	size_t i;

	for (i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++)
		json_object_set_new(root, numbers[i].name, json_integer(numbers[i].value));
	for (i = 0; i < 256; i++) {
		char code[8];

		if (!c->exits_by_reason[i])
			continue;
		snprintf(code, sizeof(code), "0x%02zx", i);
		json_object_set_new(reasons, code, json_integer(c->exits_by_reason[i]));
	}
	json_object_set_new(root, "exits_by_reason", reasons);
	return root;
}

int write_stats(const char *path, const char *what, double seconds, const struct tt_run_counts *counts,
		const struct tt_log_stats *log, struct tt_error *err)
{
	json_t *root = json_pack("{s:s, s:f}", "what", what, "seconds", seconds);
	int ret = 0;

	if (counts)
		json_object_set_new(root, "counts", counts_json(counts));
	if (log)
		json_object_set_new(root, "log",
				    json_pack("{s:I, s:I, s:I, s:I, s:I, s:I, s:b}",
					      "events", (json_int_t)log->events,
					      "frames", (json_int_t)log->frames,
					      "raw_bytes", (json_int_t)log->raw_bytes,
					      "event_bytes", (json_int_t)log->event_bytes,
					      "file_bytes", (json_int_t)log->file_bytes,
					      "stalls", (json_int_t)log->stalls,
					      "io_uring", log->io_uring));
	if (!root || json_dump_file(root, path, JSON_INDENT(1)) < 0)
		ret = tt_fail(err, -EIO, "%s: cannot write the counts: %s", path, strerror(errno));
	json_decref(root);
	return ret;
}
