// SPDX-License-Identifier: GPL-2.0
/*
 * log_decode.c - the body of an EVENTS frame: from columns back to events. Format: log_format.h.
 */
#include <stdlib.h>
#include <string.h>

#include "log_columns.h"

static uint64_t unzigzag(uint64_t value)
{
	return value >> 1 ^ -(value & 1);
}

/* A body on its way back to events, column by column. */
struct decoder {
	struct log_bytes in;
	struct tt_event *events;
	size_t n;
	size_t num_async;
	struct event_type *types;
	uint64_t *base;		/* ticks, of each type */
	uint32_t *type;		/* of each event */
	size_t num_types;
	unsigned int shift;
	unsigned int branches_low;
	unsigned int instructions_low;
	unsigned int rebase_low;
	bool instructions_known;
	uint64_t ratio;
};

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

static int get_types(struct decoder *d)
{
	uint64_t num_types = log_get_varint(&d->in);

	/* no more types than events: bounds the allocation */
	if (d->in.bad || !num_types || num_types > d->n)
		return -EBADMSG;
	d->num_types = num_types;
	d->types = calloc(num_types, sizeof(*d->types));
	d->base = calloc(num_types, sizeof(*d->base));
	d->type = calloc(d->n, sizeof(*d->type));
	if (!d->types || !d->base || !d->type)
		return -ENOMEM;
	for (size_t i = 0; i < num_types; i++)
		get_type(&d->in, &d->types[i]);
	for (size_t i = 0; i < d->n; i++) {
		uint64_t index = num_types > 1 ? log_get_varint(&d->in) : 0;

		if (d->in.bad || index >= num_types)
			return -EBADMSG;
		d->type[i] = (uint32_t)index;
		d->events[i].kind = d->types[index].kind;
		d->events[i].at_exit = d->types[index].at_exit;
		d->events[i].vector = d->types[index].vector;
		d->events[i].input_id = d->types[index].input_id;
		d->num_async += !d->types[index].at_exit;
	}
	return 0;
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

static uint64_t get_high(struct log_bytes *in, unsigned int low)
{
	return widen(in, log_get_varint(in), 8 * low);
}

static uint64_t get_low(struct log_bytes *in, unsigned int low)
{
	const uint8_t *bytes = log_get_bytes(in, low);
	uint64_t value = 0;

	for (unsigned int byte = 0; bytes && byte < low; byte++)
		value |= (uint64_t)bytes[byte] << (8 * byte);
	return value;
}

static int get_rips(struct decoder *d)
{
	struct log_bytes *in = &d->in;
	struct tt_event *events = d->events;
	uint64_t num_rips = log_get_varint(in);
	uint64_t rip = 0;
	uint64_t *dictionary;

	if (in->bad || num_rips > d->num_async || (d->num_async && !num_rips))
		return -EBADMSG;
	dictionary = calloc(num_rips + 1, sizeof(*dictionary));
	if (!dictionary)
		return -ENOMEM;
	for (size_t i = 0; i < num_rips; i++)
		dictionary[i] = rip = advance(in, rip, log_get_varint(in));
	for (unsigned int plane = 0; plane < num_planes(num_rips); plane++)
		for (size_t i = 0; i < d->n; i++)
			if (!events[i].at_exit)
				events[i].pos.rip |= (uint64_t)log_get_u8(in) << (8 * plane);
	for (size_t i = 0; i < d->n; i++) {
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

static void get_high_instructions(struct decoder *d)
{
	if (d->in.at < d->in.end && *d->in.at == INSTRUCTIONS_UNKNOWN) {
		log_get_u8(&d->in);
		return;
	}
	d->instructions_known = true;
	d->instructions_low = get_low_count(&d->in);
	for (size_t i = 0; i < d->n; i++)
		if (!d->events[i].at_exit)
			d->events[i].pos.instructions = get_high(&d->in, d->instructions_low);
	d->ratio = log_get_varint(&d->in);
}

static void get_high_rebase(struct decoder *d)
{
	d->shift = log_get_u8(&d->in);
	for (size_t i = 0; i < d->num_types; i++)
		if (log_kind_timed(d->types[i].kind))
			d->base[i] = log_get_varint(&d->in);
	d->rebase_low = get_low_count(&d->in);
	for (size_t i = 0; i < d->n; i++)
		if (log_kind_timed(d->events[i].kind))
			d->events[i].rebase = get_high(&d->in, d->rebase_low);
}

/* Columns that compress, up to rip. */
static int get_first_columns(struct decoder *d, uint64_t exits)
{
	struct tt_event *events = d->events;
	int ret = get_types(d);

	if (ret)
		return ret;
	for (size_t i = 0; i < d->n; i++)
		events[i].pos.exits = exits = advance(&d->in, exits, log_get_varint(&d->in));
	for (size_t i = 0; i < d->n; i++) {
		uint64_t len = log_kind_loaded(events[i].kind) ? log_get_varint(&d->in) : 0;

		if (len > TT_EVENT_MAX_PAYLOAD)
			d->in.bad = true;
		events[i].payload_len = (uint32_t)len;
	}
	d->branches_low = get_low_count(&d->in);
	for (size_t i = 0; i < d->n; i++)
		if (!events[i].at_exit)
			events[i].pos.branches = get_high(&d->in, d->branches_low);
	get_high_instructions(d);
	get_high_rebase(d);
	return get_rips(d);
}

/* Add the low bytes, and the differences up. */
static void get_counts(struct decoder *d, uint64_t first_branches, uint64_t first_instructions)
{
	uint64_t branches = first_branches, instructions = first_instructions;
	struct tt_position *pos;

	for (size_t i = 0; i < d->n; i++) {
		pos = &d->events[i].pos;
		if (d->events[i].at_exit)
			continue;
		pos->branches |= get_low(&d->in, d->branches_low);
		pos->branches = branches = advance(&d->in, branches, pos->branches);
	}
	branches = first_branches;
	for (size_t i = 0; i < d->n && d->instructions_known; i++) {
		pos = &d->events[i].pos;
		if (d->events[i].at_exit)
			continue;
		pos->instructions |= get_low(&d->in, d->instructions_low);
		pos->instructions = instructions =
			advance(&d->in, instructions,
				unzigzag(pos->instructions) +
					predict(d->ratio, pos->branches - branches));
		branches = pos->branches;
	}
}

static int get_columns(struct decoder *d, const struct log_header *header)
{
	struct tt_event *events = d->events;
	int ret = get_first_columns(d, header->events.exits);

	if (ret)
		return ret;
	get_counts(d, header->events.branches, header->events.instructions);
	for (size_t i = 0; i < d->n; i++) {
		uint64_t ticks = d->base[d->type[i]];

		if (!log_kind_timed(events[i].kind))
			continue;
		ticks = advance(&d->in, ticks, events[i].rebase | get_low(&d->in, d->rebase_low));
		events[i].rebase = widen(&d->in, ticks, d->shift);
	}
	for (size_t i = 0; i < d->n; i++) {
		events[i].vcpu = (uint16_t)header->events.vcpu;
		events[i].pos.check = log_get_u16(&d->in);
	}
	for (size_t i = 0; i < d->n; i++)
		if (events[i].kind == TT_EVENT_DIGEST || events[i].kind == TT_EVENT_END)
			get_digest(&d->in, &events[i]);
	if (header->events.instructions)
		events[0].pos.instructions = header->events.instructions;
	for (size_t i = 0; i < d->n; i++)
		if (events[i].payload_len)
			events[i].payload = log_get_bytes(&d->in, events[i].payload_len);
	return d->in.bad || d->in.at != d->in.end ? -EBADMSG : 0;
}

int log_events_decode(const struct log_header *header, const uint8_t *raw, size_t size,
		      struct tt_event *events)
{
	struct decoder d = {
		.in = { raw, raw + size, false },
		.events = events,
		.n = header->events.num_events,
	};
	int ret;

	memset(events, 0, d.n * sizeof(*events));
	ret = get_columns(&d, header);
	free(d.types);
	free(d.base);
	free(d.type);
	return ret;
}
