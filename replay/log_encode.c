// SPDX-License-Identifier: GPL-2.0
/*
 * log_encode.c - the body of an EVENTS frame: from events to columns. Format: log_format.h.
 */
#include <stdlib.h>
#include <string.h>

#include "log_columns.h"

static struct event_type type_of(const struct tt_event *event)
{
	struct event_type type = { event->kind, event->at_exit, TT_VECTOR_NONE, 0 };

	if (log_kind_timed(event->kind))
		type.vector = event->vector;
	if (event->kind == TT_EVENT_INPUT)
		type.input_id = event->input_id;
	return type;
}

static bool types_equal(const struct event_type *a, const struct event_type *b)
{
	return a->kind == b->kind && a->at_exit == b->at_exit && a->vector == b->vector &&
	       a->input_id == b->input_id;
}

/* The columns that need a pass of their own before they are written. Room for all events. */
struct columns {
	uint64_t *branches;	/* differences */
	uint64_t *instructions;	/* differences, then what is left after the prediction */
	uint64_t *rips;		/* in order of the events */
	uint64_t *dictionary;	/* ascending, different */
	uint64_t *rebase;	/* shifted, above the base of its type */
	uint64_t *base;		/* of each type */
	uint32_t *type;
	struct event_type *types;
	size_t num_async;
	size_t num_timed;
	size_t num_rips;
	size_t num_types;
	unsigned int shift;
	unsigned int branches_low;
	unsigned int instructions_low;
	unsigned int rebase_low;
	bool instructions_known;
	uint64_t ratio;		/* 1/256 instructions per branch */
};

static unsigned int num_bits(uint64_t value)
{
	return value ? 64 - (unsigned int)__builtin_clzll(value) : 0;
}

/*
 * How many low bytes of a column to keep apart: as many as are surely random. The top two bits of a
 * typical value are left to the part that zstd sees, because the bytes there are unevenly
 * distributed.
 */
static unsigned int choose_low_bytes(const uint64_t *values, size_t n)
{
	size_t with_bits[65] = { 0 };
	size_t seen = 0;

	for (size_t i = 0; i < n; i++)
		with_bits[num_bits(values[i])]++;
	for (unsigned int bits = 0; bits <= 64; bits++) {
		seen += with_bits[bits];
		if (seen > n / 2)
			return bits < 2 ? 0 : (bits - 2) / 8;
	}
	return 0;
}

static int compare_u64(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return (x > y) - (x < y);
}

static size_t index_of(const uint64_t *sorted, size_t n, uint64_t value)
{
	size_t low = 0;

	while (n > 1) {
		size_t half = n / 2;

		if (sorted[low + half] <= value)
			low += half;
		n -= half;
	}
	return low;
}

static uint32_t add_type(struct columns *c, const struct tt_event *event)
{
	struct event_type type = type_of(event);
	size_t i;

	/* a guest uses a handful of types */
	for (i = 0; i < c->num_types; i++)
		if (types_equal(&c->types[i], &type))
			return (uint32_t)i;
	c->types[c->num_types++] = type;
	return (uint32_t)i;
}

/* A small number, of either sign, becomes a small one without. */
static uint64_t zigzag(uint64_t value)
{
	return value << 1 ^ -(value >> 63);
}

/* The median: a few intervals full of string instructions must not spoil it for all. */
static uint64_t choose_ratio(const struct columns *c)
{
	uint64_t *ratios = c->dictionary; /* not in use yet */
	size_t n = 0;

	for (size_t i = 0; i < c->num_async; i++)
		if (c->branches[i] && !(c->instructions[i] >> 56))
			ratios[n++] = (c->instructions[i] << 8) / c->branches[i];
	qsort(ratios, n, sizeof(*ratios), compare_u64);
	return n ? ratios[n / 2] : 0;
}

static void fill_instructions(struct columns *c, const struct tt_event *const *events, size_t n,
			      struct log_header *header)
{
	uint64_t before = events[0]->pos.instructions;
	size_t k = 0;

	header->events.instructions = before;
	c->instructions_known = true;
	for (size_t i = 0; i < n; i++) {
		uint64_t instructions = events[i]->pos.instructions;

		if (events[i]->at_exit)
			continue;
		if (instructions < before && instructions && !k)
			header->events.instructions = before = 0;
		if (instructions < before)
			c->instructions_known = false;
		c->instructions[k++] = instructions - before;
		before = instructions;
	}
	if (!before || !k)
		c->instructions_known = false;
	if (!c->instructions_known)
		return;
	c->ratio = choose_ratio(c);
	for (size_t i = 0; i < k; i++)
		c->instructions[i] =
			zigzag(c->instructions[i] - predict(c->ratio, c->branches[i]));
	c->instructions_low = choose_low_bytes(c->instructions, k);
}

/* Ticks in the unit that all have in common, above the least of the type. */
static void fill_rebase(struct columns *c, const struct tt_event *const *events, size_t n)
{
	uint64_t all_ticks = 0;

	for (size_t i = 0; i < c->num_types; i++)
		c->base[i] = UINT64_MAX;
	for (size_t i = 0; i < n; i++)
		if (log_kind_timed(events[i]->kind))
			all_ticks |= events[i]->rebase;
	c->shift = all_ticks ? (unsigned int)__builtin_ctzll(all_ticks) : 0;
	for (size_t i = 0; i < n; i++) {
		uint64_t ticks = events[i]->rebase >> c->shift;

		if (log_kind_timed(events[i]->kind) && ticks < c->base[c->type[i]])
			c->base[c->type[i]] = ticks;
	}
	for (size_t i = 0; i < n; i++)
		if (log_kind_timed(events[i]->kind))
			c->rebase[c->num_timed++] =
				(events[i]->rebase >> c->shift) - c->base[c->type[i]];
	c->rebase_low = choose_low_bytes(c->rebase, c->num_timed);
}

static void fill_columns(struct columns *c, const struct tt_event *const *events, size_t n,
			 struct log_header *header)
{
	uint64_t branches = 0;

	header->events.branches = 0;
	for (size_t i = 0; i < n; i++) {
		const struct tt_event *event = events[i];

		c->type[i] = add_type(c, event);
		if (event->at_exit)
			continue;
		if (!c->num_async)
			header->events.branches = branches = event->pos.branches;
		c->branches[c->num_async] = event->pos.branches - branches;
		c->rips[c->num_async++] = event->pos.rip;
		branches = event->pos.branches;
	}
	c->branches_low = choose_low_bytes(c->branches, c->num_async);
	fill_instructions(c, events, n, header);
	fill_rebase(c, events, n);

	memcpy(c->dictionary, c->rips, c->num_async * sizeof(*c->rips));
	qsort(c->dictionary, c->num_async, sizeof(*c->dictionary), compare_u64);
	for (size_t i = 0; i < c->num_async; i++)
		if (!i || c->dictionary[i] != c->dictionary[c->num_rips - 1])
			c->dictionary[c->num_rips++] = c->dictionary[i];
}

static uint8_t *put_high(uint8_t *out, const uint64_t *values, size_t n, unsigned int low)
{
	*out++ = (uint8_t)low;
	for (size_t i = 0; i < n; i++)
		out = log_put_varint(out, values[i] >> (8 * low));
	return out;
}

static uint8_t *put_low(uint8_t *out, const uint64_t *values, size_t n, unsigned int low)
{
	for (size_t i = 0; i < n; i++)
		for (unsigned int byte = 0; byte < low; byte++)
			*out++ = (uint8_t)(values[i] >> (8 * byte));
	return out;
}

static uint8_t *put_rips(uint8_t *out, const struct columns *c)
{
	uint64_t before = 0;

	out = log_put_varint(out, c->num_rips);
	for (size_t i = 0; i < c->num_rips; i++) {
		out = log_put_varint(out, c->dictionary[i] - before);
		before = c->dictionary[i];
	}
	for (unsigned int plane = 0; plane < num_planes(c->num_rips); plane++)
		for (size_t i = 0; i < c->num_async; i++)
			*out++ = (uint8_t)(index_of(c->dictionary, c->num_rips, c->rips[i]) >>
					   (8 * plane));
	return out;
}

static uint8_t *put_types(uint8_t *out, const struct columns *c, size_t n)
{
	out = log_put_varint(out, c->num_types);
	for (size_t i = 0; i < c->num_types; i++) {
		const struct event_type *type = &c->types[i];

		*out++ = type->kind | (type->at_exit ? TYPE_AT_EXIT : 0);
		if (log_kind_timed(type->kind))
			out = log_put_varint(out, (uint64_t)(type->vector + 1));
		if (type->kind == TT_EVENT_INPUT)
			out = log_put_varint(out, type->input_id);
	}
	if (c->num_types > 1)
		for (size_t i = 0; i < n; i++)
			out = log_put_varint(out, c->type[i]);
	return out;
}

static uint8_t *put_digest(uint8_t *out, const struct tt_event *event)
{
	out = log_put_u64(out, event->pos.instructions);
	if (event->kind == TT_EVENT_DIGEST)
		return log_put_u64(out, event->digest);
	out = log_put_u32(out, event->end.how);
	out = log_put_u32(out, (uint32_t)event->end.status);
	out = log_put_u64(out, event->end.registers);
	out = log_put_u64(out, event->end.memory);
	return log_put_u64(out, event->end.devices);
}

static uint8_t *put_instructions(uint8_t *out, const struct columns *c)
{
	if (!c->instructions_known) {
		*out++ = INSTRUCTIONS_UNKNOWN;
		return out;
	}
	out = put_high(out, c->instructions, c->num_async, c->instructions_low);
	return log_put_varint(out, c->ratio);
}

static uint8_t *put_rebase(uint8_t *out, const struct columns *c)
{
	*out++ = (uint8_t)c->shift;
	for (size_t i = 0; i < c->num_types; i++)
		if (log_kind_timed(c->types[i].kind))
			out = log_put_varint(out, c->base[i]);
	return put_high(out, c->rebase, c->num_timed, c->rebase_low);
}

static void put_columns(const struct columns *c, const struct tt_event *const *events, size_t n,
			uint8_t *start, struct log_body *body)
{
	uint64_t exits = events[0]->pos.exits;
	uint8_t *out = put_types(start, c, n);

	for (size_t i = 0; i < n; i++) {
		out = log_put_varint(out, events[i]->pos.exits - exits);
		exits = events[i]->pos.exits;
	}
	for (size_t i = 0; i < n; i++)
		if (log_kind_loaded(events[i]->kind))
			out = log_put_varint(out, events[i]->payload_len);
	out = put_high(out, c->branches, c->num_async, c->branches_low);
	out = put_instructions(out, c);
	out = put_rebase(out, c);
	out = put_rips(out, c);

	body->random = (size_t)(out - start);
	out = put_low(out, c->branches, c->num_async, c->branches_low);
	if (c->instructions_known)
		out = put_low(out, c->instructions, c->num_async, c->instructions_low);
	out = put_low(out, c->rebase, c->num_timed, c->rebase_low);
	for (size_t i = 0; i < n; i++)
		out = log_put_u16(out, (uint16_t)(events[i]->pos.check & TT_CHECK_MASK));
	for (size_t i = 0; i < n; i++)
		if (events[i]->kind == TT_EVENT_DIGEST || events[i]->kind == TT_EVENT_END)
			out = put_digest(out, events[i]);

	body->payload = (size_t)(out - start);
	for (size_t i = 0; i < n; i++)
		if (log_kind_loaded(events[i]->kind) && events[i]->payload_len) {
			memcpy(out, events[i]->payload, events[i]->payload_len);
			out += events[i]->payload_len;
		}
	body->size = (size_t)(out - start);
}

int log_events_encode(const struct tt_event *const *events, size_t n, uint8_t *out,
		      struct log_header *header, struct log_body *body)
{
	struct columns c = { 0 };
	/* one allocation: six columns of u64, then the types */
	uint64_t *memory = calloc(n, 6 * sizeof(uint64_t) + sizeof(uint32_t) +
					     sizeof(struct event_type));

	if (!memory)
		return -ENOMEM;
	c.branches = memory;
	c.rips = memory + n;
	c.dictionary = memory + 2 * n;
	c.rebase = memory + 3 * n;
	c.instructions = memory + 4 * n;
	c.base = memory + 5 * n;
	c.type = (uint32_t *)(memory + 6 * n);
	c.types = (struct event_type *)(c.type + n);

	fill_columns(&c, events, n, header);
	put_columns(&c, events, n, out, body);
	header->events.num_events = (uint32_t)n;
	header->events.exits = events[0]->pos.exits;
	free(memory);
	return 0;
}
