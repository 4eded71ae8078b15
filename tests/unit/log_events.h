/* SPDX-License-Identifier: GPL-2.0 */
/*
 * log_events.h - what the tests of the log share: repeatable random events, comparing, reading a
 * whole log.
 */
#ifndef TTVM_TESTS_LOG_EVENTS_H
#define TTVM_TESTS_LOG_EVENTS_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "ttvm/log.h"

/* xorshift64*: repeatable, so that a failure can be had again */
static inline uint64_t random64(uint64_t *state)
{
	*state ^= *state >> 12;
	*state ^= *state << 25;
	*state ^= *state >> 27;
	return *state * 0x2545F4914F6CDD1Dull;
}

static inline uint64_t random_below(uint64_t *state, uint64_t limit)
{
	return random64(state) % limit;
}

/* 0..63 bits, each length as likely as the others */
static inline uint64_t random_length(uint64_t *state)
{
	return random64(state) >> (1 + random_below(state, 63));
}

struct event_source {
	uint64_t state;
	struct tt_position pos;
	uint16_t vcpu;
	uint32_t max_payload;
	uint8_t payload[TT_EVENT_MAX_PAYLOAD];
};

static inline void source_init(struct event_source *source, uint64_t seed, uint16_t vcpu,
			       uint32_t max_payload)
{
	memset(source, 0, sizeof(*source));
	source->state = seed * 0x9E3779B97F4A7C15ull + 1;
	source->vcpu = vcpu;
	source->max_payload = max_payload;
	for (size_t i = 0; i < sizeof(source->payload); i++)
		source->payload[i] = (uint8_t)random64(&source->state);
}

/*
 * Any event that the writer takes, as the reader will hand it out: unused fields are zero, and so is
 * pos.instructions of at_exit events that need not keep it.
 */
static inline void source_next(struct event_source *source, struct tt_event *event)
{
	static const uint8_t kinds[] = { TT_EVENT_SYNC, TT_EVENT_SYNC,	TT_EVENT_SYNC,
					 TT_EVENT_SYNC, TT_EVENT_INPUT, TT_EVENT_DIGEST,
					 TT_EVENT_END,	5,		TT_EVENT_LAST };
	uint64_t *state = &source->state;

	memset(event, 0, sizeof(*event));
	event->kind = kinds[random_below(state, sizeof(kinds))];
	event->at_exit = random_below(state, 3) == 0;
	event->vcpu = source->vcpu;
	event->vector = TT_VECTOR_NONE;

	source->pos.exits += random_below(state, 4) ? random_below(state, 5) :
						      random_length(state) >> 24;
	event->pos.exits = source->pos.exits;
	event->pos.check = (uint32_t)random64(state) & TT_CHECK_MASK;
	if (!event->at_exit) {
		source->pos.branches += random_length(state) >> 16;
		event->pos.branches = source->pos.branches;
		source->pos.instructions += 1 + (random_length(state) >> 12);
		event->pos.instructions = source->pos.instructions;
		event->pos.rip = random_below(state, 2) ? random64(state) :
							  0xffffffff81000000 +
								  random_below(state, 50);
	}
	if (event->at_exit && (event->kind == TT_EVENT_DIGEST || event->kind == TT_EVENT_END))
		event->pos.instructions = random_length(state);
	switch (event->kind) {
	case TT_EVENT_INPUT:
		event->input_id = (uint16_t)random_length(state);
		/* fall through */
	case TT_EVENT_SYNC:
		event->vector = (int16_t)((int)random_below(state, 257) - 1);
		event->rebase = random_length(state);
		break;
	case TT_EVENT_DIGEST:
		event->digest = random64(state);
		break;
	case TT_EVENT_END:
		event->end.how = (uint32_t)random64(state);
		event->end.status = (int32_t)random64(state);
		event->end.registers = random64(state);
		event->end.memory = random64(state);
		event->end.devices = random64(state);
		break;
	}
	if (event->kind != TT_EVENT_SYNC && event->kind != TT_EVENT_DIGEST &&
	    event->kind != TT_EVENT_END && source->max_payload) {
		event->payload_len = (uint32_t)(random_length(state) % (source->max_payload + 1));
		if (event->payload_len)
			event->payload = source->payload +
					 random_below(state, 1 + sizeof(source->payload) -
								     event->payload_len);
	}
}

static inline bool events_equal(const struct tt_event *a, const struct tt_event *b)
{
	if (a->kind != b->kind || a->at_exit != b->at_exit || a->vcpu != b->vcpu ||
	    a->vector != b->vector || a->input_id != b->input_id || a->rebase != b->rebase ||
	    a->payload_len != b->payload_len || !tt_position_equal(&a->pos, &b->pos) ||
	    a->pos.instructions != b->pos.instructions ||
	    a->end.how != b->end.how || a->end.status != b->end.status ||
	    a->end.registers != b->end.registers || a->end.memory != b->end.memory ||
	    a->end.devices != b->end.devices)
		return false;
	return !a->payload_len || !memcmp(a->payload, b->payload, a->payload_len);
}

#define assert_events_equal(a, b) assert_true(events_equal(a, b))

/*
 * Read on from the cursor of a vCPU: every event must be the next one of source. Returns their
 * number.
 */
static inline uint64_t assert_prefix(struct tt_log *log, struct event_source *source)
{
	struct tt_event event, expected;
	struct tt_error err = { 0 };
	uint64_t n = 0;
	int ret;

	while ((ret = tt_log_next(log, source->vcpu, &event, &err)) > 0) {
		source_next(source, &expected);
		assert_events_equal(&event, &expected);
		n++;
	}
	if (ret)
		fail_msg("tt_log_next: %s", err.text);
	return n;
}

/* A file name that no other test uses; the test unlinks it. */
static inline const char *test_path(const char *name)
{
	static char path[256];
	const char *dir = getenv("TMPDIR");

	snprintf(path, sizeof(path), "%s/ttvm-test-%d-%s", dir ? dir : "/tmp", (int)getpid(), name);
	return path;
}

#endif /* TTVM_TESTS_LOG_EVENTS_H */
