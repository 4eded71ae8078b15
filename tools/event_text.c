// SPDX-License-Identifier: GPL-2.0
/*
 * event_text.c - an event of a log as a line of text or as a JSON object.
 */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "event_text.h"
#include "vmm.h"

#define PAYLOAD_SHOWN 32 /* bytes */

const char *event_kind_name(uint8_t kind)
{
	switch (kind) {
	case TT_EVENT_SYNC:
		return "sync";
	case TT_EVENT_INPUT:
		return "input";
	case TT_EVENT_DIGEST:
		return "digest";
	case TT_EVENT_END:
		return "end";
	case TT_EVENT_FAILURE:
		return "failure";
	case TT_EVENT_MARK:
		return "mark";
	}
	return "unknown";
}

const char *end_name(uint32_t how)
{
	switch (how) {
	case TT_END_POWEROFF:
		return "power-off";
	case TT_END_RESET:
		return "reset";
	case TT_END_CRASH:
		return "crash";
	case TT_END_STATUS:
		return "status";
	case TT_END_REQUEST:
		return "stop request";
	case TT_END_ERROR:
		return "error";
	}
	return "unknown";
}

const char *input_name(uint16_t id)
{
	static const char *const names[TT_NR_INPUTS] = { [TT_INPUT_SERIAL0] = "serial0",
							 [TT_INPUT_ENTROPY] = "entropy",
							 [TT_INPUT_CONSOLE0] = "console0",
							 [TT_INPUT_NET0] = "net0",
							 "net1", "net2", "net3" };

	return id < TT_NR_INPUTS ? names[id] : "unknown";
}

static bool is_timed(const struct tt_event *event)
{
	return event->kind == TT_EVENT_SYNC || event->kind == TT_EVENT_INPUT;
}

static bool is_known(const struct tt_event *event)
{
	return (event->kind >= TT_EVENT_SYNC && event->kind <= TT_EVENT_FAILURE) || event->kind == TT_EVENT_MARK;
}

static bool get_failure(const struct tt_event *event, struct tt_failure *failure)
{
	if (event->payload_len != sizeof(*failure))
		return false;
	memcpy(failure, event->payload, sizeof(*failure));
	return true;
}

/* The name goes to name, printable and terminated. */
static bool get_mark(const struct tt_event *event, struct tt_mark *mark, char name[TT_MARK_NAME_MAX + 1])
{
	uint32_t i, len;

	if (event->payload_len <= sizeof(*mark) || event->payload_len > sizeof(*mark) + TT_MARK_NAME_MAX)
		return false;
	memcpy(mark, event->payload, sizeof(*mark));
	len = event->payload_len - sizeof(*mark);
	memcpy(name, (const char *)event->payload + sizeof(*mark), len);
	for (i = 0; i < len; i++)
		if (name[i] <= ' ' || name[i] >= 0x7f || name[i] == '"')
			name[i] = '?';
	name[len] = '\0';
	return true;
}

/* ------------------------------------------------------------------ text */

struct line {
	char *text;
	size_t used;
};

__attribute__((format(printf, 2, 3))) static void add(struct line *line, const char *format, ...)
{
	va_list args;
	int len;

	va_start(args, format);
	len = vsnprintf(line->text + line->used, EVENT_LINE_MAX - line->used, format, args);
	va_end(args);
	if (len > 0)
		line->used += len;
	if (line->used >= EVENT_LINE_MAX)
		line->used = EVENT_LINE_MAX - 1;
}

static void add_payload(struct line *line, const struct tt_event *event)
{
	const uint8_t *data = event->payload;
	uint32_t i, shown = event->payload_len < PAYLOAD_SHOWN ? event->payload_len : PAYLOAD_SHOWN;

	add(line, " bytes=%u", event->payload_len);
	if (!shown)
		return;
	add(line, " hex=");
	for (i = 0; i < shown; i++)
		add(line, "%02x", data[i]);
	add(line, "%s text=\"", shown < event->payload_len ? "..." : "");
	for (i = 0; i < shown; i++)
		add(line, "%c", data[i] >= ' ' && data[i] < 0x7f && data[i] != '"' ? data[i] : '.');
	add(line, "\"");
}

static void add_failure(struct line *line, const struct tt_event *event)
{
	struct tt_failure failure;

	if (get_failure(event, &failure))
		add(line, " attempt=%llu error=\"%s\"", (unsigned long long)failure.attempt,
		    strerror((int)-failure.status));
}

static void add_mark(struct line *line, const struct tt_event *event)
{
	char name[TT_MARK_NAME_MAX + 1];
	struct tt_mark mark;

	if (!get_mark(event, &mark, name))
		return;
	if (mark.instructions && !event->pos.instructions)
		add(line, " instr=%llu", (unsigned long long)mark.instructions);
	add(line, " time=%llu.%09llu name=\"%s\"", (unsigned long long)mark.time / 1000000000,
	    (unsigned long long)mark.time % 1000000000, name);
}

static void add_position(struct line *line, const struct tt_event *event)
{
	const struct tt_position *pos = &event->pos;

	if (event->at_exit)
		add(line, " at-exit exits=%llu", (unsigned long long)pos->exits);
	else
		add(line, " exits=%llu branches=%llu rip=%016llx", (unsigned long long)pos->exits,
		    (unsigned long long)pos->branches, (unsigned long long)pos->rip);
	add(line, " check=%04x", pos->check & TT_CHECK_MASK);
	if (pos->instructions)
		add(line, " instr=%llu", (unsigned long long)pos->instructions);
}

void event_line(uint64_t number, const struct tt_event *event, bool several_vcpus,
		char text[EVENT_LINE_MAX])
{
	struct line line = { .text = text };

	text[0] = '\0';
	if (several_vcpus)
		add(&line, "vcpu=%u ", event->vcpu);
	add(&line, "%llu %s", (unsigned long long)number, event_kind_name(event->kind));
	if (!is_known(event))
		add(&line, " kind=%u", event->kind);
	add_position(&line, event);
	if (is_timed(event)) {
		add(&line, " rebase=%llu", (unsigned long long)event->rebase);
		if (event->vector == TT_VECTOR_NONE)
			add(&line, " vector=-");
		else
			add(&line, " vector=%d", event->vector);
	}
	if (event->kind == TT_EVENT_INPUT)
		add(&line, " input=%s", input_name(event->input_id));
	if (event->kind == TT_EVENT_FAILURE)
		add_failure(&line, event);
	if (event->kind == TT_EVENT_MARK)
		add_mark(&line, event);
	if (event->kind == TT_EVENT_INPUT || !is_known(event))
		add_payload(&line, event);
	if (event->kind == TT_EVENT_DIGEST)
		add(&line, " digest=%016llx", (unsigned long long)event->digest);
	if (event->kind == TT_EVENT_END)
		add(&line, " how=\"%s\" status=%d registers=%016llx memory=%016llx devices=%016llx",
		    end_name(event->end.how), event->end.status,
		    (unsigned long long)event->end.registers,
		    (unsigned long long)event->end.memory, (unsigned long long)event->end.devices);
}

/* ------------------------------------------------------------------ JSON */

/*
 * 64-bit patterns go out as hexadecimal text: JSON's numbers are not wide enough for all readers.
 */
static json_t *hex(uint64_t value)
{
	return json_sprintf("%016llx", (unsigned long long)value);
}

static void set_payload(json_t *root, const struct tt_event *event)
{
	static const char digits[] = "0123456789abcdef";
	const uint8_t *data = event->payload;
	char *text = malloc(2 * (size_t)event->payload_len + 1);
	uint32_t i;

	if (!text)
		return;
	for (i = 0; i < event->payload_len; i++) {
		text[2 * i] = digits[data[i] >> 4];
		text[2 * i + 1] = digits[data[i] & 15];
	}
	json_object_set_new(root, "bytes", json_integer(event->payload_len));
	json_object_set_new(root, "payload", json_stringn(text, 2 * (size_t)event->payload_len));
	free(text);
}

static void set_mark(json_t *root, const struct tt_event *event)
{
	char name[TT_MARK_NAME_MAX + 1];
	struct tt_mark mark;

	if (!get_mark(event, &mark, name))
		return;
	json_object_set_new(root, "name", json_string(name));
	json_object_set_new(root, "time_ns", json_integer(mark.time));
	if (mark.instructions)
		json_object_set_new(root, "instructions", json_integer(mark.instructions));
}

json_t *event_json(uint64_t number, const struct tt_event *event)
{
	struct tt_failure failure;
	const struct tt_position *pos = &event->pos;
	json_t *root = json_pack("{s:I, s:s, s:i, s:i, s:b, s:I, s:i}",
				 "number", (json_int_t)number,
				 "kind", event_kind_name(event->kind),
				 "code", event->kind,
				 "vcpu", event->vcpu,
				 "at_exit", event->at_exit,
				 "exits", (json_int_t)pos->exits,
				 "check", pos->check & TT_CHECK_MASK);

	if (!root)
		return NULL;
	if (!event->at_exit) {
		json_object_set_new(root, "branches", json_integer(pos->branches));
		json_object_set_new(root, "rip", hex(pos->rip));
	}
	if (pos->instructions)
		json_object_set_new(root, "instructions", json_integer(pos->instructions));
	if (is_timed(event)) {
		json_object_set_new(root, "rebase", json_integer(event->rebase));
		json_object_set_new(root, "vector",
				    event->vector == TT_VECTOR_NONE ? json_null() :
								      json_integer(event->vector));
	}
	if (event->kind == TT_EVENT_INPUT)
		json_object_set_new(root, "input", json_string(input_name(event->input_id)));
	if (event->kind == TT_EVENT_FAILURE && get_failure(event, &failure)) {
		json_object_set_new(root, "attempt", json_integer(failure.attempt));
		json_object_set_new(root, "status", json_integer(failure.status));
	}
	if (event->kind == TT_EVENT_MARK)
		set_mark(root, event);
	if (event->kind == TT_EVENT_INPUT || !is_known(event))
		set_payload(root, event);
	if (event->kind == TT_EVENT_DIGEST)
		json_object_set_new(root, "digest", hex(event->digest));
	if (event->kind == TT_EVENT_END) {
		json_object_set_new(root, "how", json_string(end_name(event->end.how)));
		json_object_set_new(root, "status", json_integer(event->end.status));
		json_object_set_new(root, "registers", hex(event->end.registers));
		json_object_set_new(root, "memory", hex(event->end.memory));
		json_object_set_new(root, "devices", hex(event->end.devices));
	}
	return root;
}
