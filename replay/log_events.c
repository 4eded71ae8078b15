// SPDX-License-Identifier: GPL-2.0
/*
 * log_events.c - the body of an EVENTS frame: events to columns and back. Format: log_format.h.
 */
#include <stdlib.h>
#include <string.h>

#include "log_format.h"

#define TYPE_AT_EXIT 0x80

/* Events of one type are alike in everything that is the same again and again. */
struct event_type {
	uint8_t kind;
	bool at_exit;
	int16_t vector;
	uint16_t input_id;
};

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

/* ------------------------------------------------------------------ encoding */

/* The columns that need a pass of their own before they are written. Room for all events. */
struct columns {
	uint64_t *branches;	/* differences */
	uint64_t *rips;		/* in order of the events */
	uint64_t *dictionary;	/* ascending, different */
	uint64_t *rebase;	/* shifted */
	uint32_t *type;
	struct event_type *types;
	size_t num_async;
	size_t num_timed;
	size_t num_rips;
	size_t num_types;
	unsigned int shift;
	unsigned int branches_low;
	unsigned int rebase_low;
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

static void fill_columns(struct columns *c, const struct tt_event *const *events, size_t n,
			 struct log_header *header)
{
	uint64_t all_ticks = 0;
	uint64_t branches = 0;

	header->events.branches = 0;
	for (size_t i = 0; i < n; i++) {
		const struct tt_event *event = events[i];

		c->type[i] = add_type(c, event);
		if (!event->at_exit) {
			if (!c->num_async)
				header->events.branches = branches = event->pos.branches;
			c->branches[c->num_async] = event->pos.branches - branches;
			c->rips[c->num_async++] = event->pos.rip;
			branches = event->pos.branches;
		}
		if (log_kind_timed(event->kind)) {
			c->rebase[c->num_timed++] = event->rebase;
			all_ticks |= event->rebase;
		}
	}

	c->shift = all_ticks ? (unsigned int)__builtin_ctzll(all_ticks) : 0;
	for (size_t i = 0; i < c->num_timed; i++)
		c->rebase[i] >>= c->shift;

	memcpy(c->dictionary, c->rips, c->num_async * sizeof(*c->rips));
	qsort(c->dictionary, c->num_async, sizeof(*c->dictionary), compare_u64);
	for (size_t i = 0; i < c->num_async; i++)
		if (!i || c->dictionary[i] != c->dictionary[c->num_rips - 1])
			c->dictionary[c->num_rips++] = c->dictionary[i];

	c->branches_low = choose_low_bytes(c->branches, c->num_async);
	c->rebase_low = choose_low_bytes(c->rebase, c->num_timed);
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

static unsigned int num_planes(size_t num_rips)
{
	return num_rips <= 0x100 ? 1 : num_rips <= 0x10000 ? 2 : 3;
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
	*out++ = (uint8_t)c->shift;
	out = put_high(out, c->rebase, c->num_timed, c->rebase_low);
	out = put_rips(out, c);

	body->random = (size_t)(out - start);
	out = put_low(out, c->branches, c->num_async, c->branches_low);
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
	/* one allocation: four columns of u64, then the types */
	uint64_t *memory = malloc(n * (4 * sizeof(uint64_t) + sizeof(uint32_t) +
				       sizeof(struct event_type)));

	if (!memory)
		return -ENOMEM;
	c.branches = memory;
	c.rips = memory + n;
	c.dictionary = memory + 2 * n;
	c.rebase = memory + 3 * n;
	c.type = (uint32_t *)(memory + 4 * n);
	c.types = (struct event_type *)(c.type + n);

	fill_columns(&c, events, n, header);
	put_columns(&c, events, n, out, body);
	header->events.num_events = (uint32_t)n;
	header->events.exits = events[0]->pos.exits;
	header->events.instructions = events[0]->pos.instructions;
	free(memory);
	return 0;
}

/* ------------------------------------------------------------------ decoding */

static void get_type(struct log_bytes *in, struct event_type *type)
{
	uint8_t kind = log_get_u8(in);
	uint64_t value;

	*type = (struct event_type){ kind & ~TYPE_AT_EXIT, kind & TYPE_AT_EXIT, TT_VECTOR_NONE, 0 };
	if (!type->kind || type->kind > TT_EVENT_LAST)
		in->bad = true;
	if (log_kind_timed(type->kind)) {
		value = log_get_varint(in);
		if (value > 256)
			in->bad = true;
		type->vector = (int16_t)((int)(value & 0x1ff) - 1);
	}
	if (type->kind == TT_EVENT_INPUT) {
		value = log_get_varint(in);
		if (value > UINT16_MAX)
			in->bad = true;
		type->input_id = (uint16_t)value;
	}
}

static int get_types(struct log_bytes *in, struct tt_event *events, size_t n)
{
	uint64_t num_types = log_get_varint(in);
	struct event_type *types;

	/* no more types than events: bounds the allocation */
	if (in->bad || !num_types || num_types > n)
		return -EBADMSG;
	types = calloc(num_types, sizeof(*types));
	if (!types)
		return -ENOMEM;
	for (size_t i = 0; i < num_types; i++)
		get_type(in, &types[i]);
	for (size_t i = 0; i < n; i++) {
		uint64_t index = num_types > 1 ? log_get_varint(in) : 0;

		if (index >= num_types) {
			in->bad = true;
			break;
		}
		events[i].kind = types[index].kind;
		events[i].at_exit = types[index].at_exit;
		events[i].vector = types[index].vector;
		events[i].input_id = types[index].input_id;
	}
	free(types);
	return in->bad ? -EBADMSG : 0;
}

/* Add a difference; positions never run backwards, so an overflow is damage. */
static uint64_t advance(struct log_bytes *in, uint64_t value, uint64_t difference)
{
	if (__builtin_add_overflow(value, difference, &value))
		in->bad = true;
	return value;
}

/* value << count, where no bit may be lost. */
static uint64_t widen(struct log_bytes *in, uint64_t value, unsigned int count)
{
	if (count >= 64 || (count && value >> (64 - count))) {
		if (value)
			in->bad = true;
		return 0;
	}
	return value << count;
}

static unsigned int get_low_count(struct log_bytes *in)
{
	unsigned int low = log_get_u8(in);

	if (low > 7) {
		in->bad = true;
		return 0;
	}
	return low;
}

static uint64_t get_low(struct log_bytes *in, unsigned int low)
{
	const uint8_t *bytes = log_get_bytes(in, low);
	uint64_t value = 0;

	for (unsigned int byte = 0; bytes && byte < low; byte++)
		value |= (uint64_t)bytes[byte] << (8 * byte);
	return value;
}

static int get_rips(struct log_bytes *in, struct tt_event *events, size_t n, size_t num_async)
{
	uint64_t num_rips = log_get_varint(in);
	uint64_t rip = 0;
	uint64_t *dictionary;

	if (in->bad || num_rips > num_async || (num_async && !num_rips))
		return -EBADMSG;
	dictionary = calloc(num_rips + 1, sizeof(*dictionary));
	if (!dictionary)
		return -ENOMEM;
	for (size_t i = 0; i < num_rips; i++)
		dictionary[i] = rip = advance(in, rip, log_get_varint(in));
	for (unsigned int plane = 0; plane < num_planes(num_rips); plane++)
		for (size_t i = 0; i < n; i++)
			if (!events[i].at_exit)
				events[i].pos.rip |= (uint64_t)log_get_u8(in) << (8 * plane);
	for (size_t i = 0; i < n; i++) {
		if (events[i].at_exit)
			continue;
		if (events[i].pos.rip >= num_rips) {
			in->bad = true;
			break;
		}
		events[i].pos.rip = dictionary[events[i].pos.rip];
	}
	free(dictionary);
	return in->bad ? -EBADMSG : 0;
}

static void get_digest(struct log_bytes *in, struct tt_event *event)
{
	event->pos.instructions = log_get_u64(in);
	if (event->kind == TT_EVENT_DIGEST) {
		event->digest = log_get_u64(in);
		return;
	}
	event->end.how = log_get_u32(in);
	event->end.status = (int32_t)log_get_u32(in);
	event->end.registers = log_get_u64(in);
	event->end.memory = log_get_u64(in);
	event->end.devices = log_get_u64(in);
}

/* Columns that compress, up to rip. */
static int get_first_columns(struct log_bytes *in, const struct log_header *header,
			     struct tt_event *events, unsigned int *branches_low,
			     unsigned int *shift, unsigned int *rebase_low)
{
	size_t n = header->events.num_events;
	uint64_t exits = header->events.exits;
	size_t num_async = 0;
	int ret = get_types(in, events, n);

	if (ret)
		return ret;
	for (size_t i = 0; i < n; i++)
		events[i].pos.exits = exits = advance(in, exits, log_get_varint(in));
	for (size_t i = 0; i < n; i++) {
		uint64_t len = log_kind_loaded(events[i].kind) ? log_get_varint(in) : 0;

		if (len > TT_EVENT_MAX_PAYLOAD)
			in->bad = true;
		events[i].payload_len = (uint32_t)len;
	}
	*branches_low = get_low_count(in);
	for (size_t i = 0; i < n; i++)
		if (!events[i].at_exit) {
			events[i].pos.branches = widen(in, log_get_varint(in), 8 * *branches_low);
			num_async++;
		}
	*shift = log_get_u8(in);
	*rebase_low = get_low_count(in);
	for (size_t i = 0; i < n; i++)
		if (log_kind_timed(events[i].kind))
			events[i].rebase = widen(in, log_get_varint(in), 8 * *rebase_low);
	return get_rips(in, events, n, num_async);
}

int log_events_decode(const struct log_header *header, const uint8_t *raw, size_t size,
		      struct tt_event *events)
{
	struct log_bytes in = { raw, raw + size, false };
	size_t n = header->events.num_events;
	uint64_t branches = header->events.branches;
	unsigned int branches_low, shift, rebase_low;
	int ret;

	memset(events, 0, n * sizeof(*events));
	ret = get_first_columns(&in, header, events, &branches_low, &shift, &rebase_low);
	if (ret)
		return ret;

	for (size_t i = 0; i < n; i++) {
		if (events[i].at_exit)
			continue;
		branches = advance(&in, branches,
				   events[i].pos.branches | get_low(&in, branches_low));
		events[i].pos.branches = branches;
	}
	for (size_t i = 0; i < n; i++)
		if (log_kind_timed(events[i].kind))
			events[i].rebase =
				widen(&in, events[i].rebase | get_low(&in, rebase_low), shift);
	for (size_t i = 0; i < n; i++) {
		events[i].vcpu = (uint16_t)header->events.vcpu;
		events[i].pos.check = log_get_u16(&in);
	}
	for (size_t i = 0; i < n; i++)
		if (events[i].kind == TT_EVENT_DIGEST || events[i].kind == TT_EVENT_END)
			get_digest(&in, &events[i]);
	if (header->events.instructions)
		events[0].pos.instructions = header->events.instructions;
	for (size_t i = 0; i < n; i++)
		if (events[i].payload_len)
			events[i].payload = log_get_bytes(&in, events[i].payload_len);
	return in.bad || in.at != in.end ? -EBADMSG : 0;
}
