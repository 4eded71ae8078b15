/* SPDX-License-Identifier: GPL-2.0 */
/*
 * event_text.h - what is in a log, in words: for ttvm info.
 */
#ifndef TTVM_TOOLS_EVENT_TEXT_H
#define TTVM_TOOLS_EVENT_TEXT_H

#include <jansson.h>
#include <stddef.h>
#include <stdint.h>

#include "ttvm/log.h"

/* Room for the longest line that event_line() makes. */
#define EVENT_LINE_MAX 512

/* "sync", "input", "digest", "end"; "unknown" for kinds of a later version. */
const char *event_kind_name(uint8_t kind);
/* How a machine ended (enum tt_end): "power-off", "reset", ... */
const char *end_name(uint32_t how);
/*
 * Where input went (enum tt_input_id): "serial0"; "unknown" for one that this version does not
 * have.
 */
const char *input_name(uint16_t id);

/*
 * One line without newline: number, kind, then name=value pairs. vCPUs are named when there are
 * several.
 */
void event_line(uint64_t number, const struct tt_event *event, bool several_vcpus,
		char line[EVENT_LINE_MAX]);
/* The same as a JSON object; NULL when out of memory. */
json_t *event_json(uint64_t number, const struct tt_event *event);

#endif /* TTVM_TOOLS_EVENT_TEXT_H */
