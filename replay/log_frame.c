// SPDX-License-Identifier: GPL-2.0
/*
 * log_frame.c - headers of frames: packing, unpacking, sealing with a hash. Format: log_format.h.
 */
#include <endian.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#include "log_format.h"

/* ------------------------------------------------------------------ bytes */

const uint8_t *log_get_bytes(struct log_bytes *in, size_t len)
{
	const uint8_t *at = in->at;

	if (in->bad || len > (size_t)(in->end - at)) {
		in->bad = true;
		return NULL;
	}
	in->at += len;
	return at;
}

uint8_t log_get_u8(struct log_bytes *in)
{
	const uint8_t *at = log_get_bytes(in, 1);

	return at ? *at : 0;
}

uint16_t log_get_u16(struct log_bytes *in)
{
	const uint8_t *at = log_get_bytes(in, sizeof(uint16_t));
	uint16_t value = 0;

	if (at)
		memcpy(&value, at, sizeof(value));
	return le16toh(value);
}

uint32_t log_get_u32(struct log_bytes *in)
{
	const uint8_t *at = log_get_bytes(in, sizeof(uint32_t));
	uint32_t value = 0;

	if (at)
		memcpy(&value, at, sizeof(value));
	return le32toh(value);
}

uint64_t log_get_u64(struct log_bytes *in)
{
	const uint8_t *at = log_get_bytes(in, sizeof(uint64_t));
	uint64_t value = 0;

	if (at)
		memcpy(&value, at, sizeof(value));
	return le64toh(value);
}

uint64_t log_get_varint(struct log_bytes *in)
{
	uint64_t value = 0;

	for (unsigned int shift = 0; shift < 64; shift += 7) {
		uint8_t byte = log_get_u8(in);

		/* the tenth byte has room for one bit */
		if (shift == 63 && byte > 1)
			break;
		value |= (uint64_t)(byte & 0x7f) << shift;
		if (!(byte & 0x80))
			return in->bad ? 0 : value;
	}
	in->bad = true;
	return 0;
}

uint8_t *log_put_u16(uint8_t *out, uint16_t value)
{
	value = htole16(value);
	memcpy(out, &value, sizeof(value));
	return out + sizeof(value);
}

uint8_t *log_put_u32(uint8_t *out, uint32_t value)
{
	value = htole32(value);
	memcpy(out, &value, sizeof(value));
	return out + sizeof(value);
}

uint8_t *log_put_u64(uint8_t *out, uint64_t value)
{
	value = htole64(value);
	memcpy(out, &value, sizeof(value));
	return out + sizeof(value);
}

uint8_t *log_put_varint(uint8_t *out, uint64_t value)
{
	while (value >= 0x80) {
		*out++ = (uint8_t)value | 0x80;
		value >>= 7;
	}
	*out++ = (uint8_t)value;
	return out;
}

/* ------------------------------------------------------------------ headers */

enum {
	OFFSET_SIZE = 4,
	OFFSET_HASH = 8,
	OFFSET_HASHED = 16,
};

size_t log_header_put(struct log_header *header, const struct tt_log_section *sections,
		      uint8_t *start)
{
	uint8_t *out = start;

	out = log_put_u32(out, LOG_SKIPPABLE_MAGIC);
	out = log_put_u32(out, 0); /* size and hash are set below and by log_seal() */
	out = log_put_u64(out, 0);
	out = log_put_u32(out, header->sequence);
	out = log_put_u32(out, header->distance);
	out = log_put_u32(out, header->body_size);
	*out++ = header->kind;
	switch (header->kind) {
	case LOG_FRAME_FILE:
		memcpy(out, LOG_TEXT, LOG_TEXT_SIZE);
		out = log_put_u32(out + LOG_TEXT_SIZE, header->file.version);
		out = log_put_u64(out, header->file.salt);
		out = log_put_varint(out, header->file.num_vcpus);
		out = log_put_varint(out, header->file.num_sections);
		for (size_t i = 0; i < header->file.num_sections; i++) {
			size_t len = strlen(sections[i].name);

			out = log_put_varint(out, len);
			memcpy(out, sections[i].name, len);
			out = log_put_varint(out + len, sections[i].size);
		}
		break;
	case LOG_FRAME_SECTION:
		out = log_put_varint(out, header->section.index);
		out = log_put_varint(out, header->section.offset);
		break;
	case LOG_FRAME_EVENTS:
		out = log_put_varint(out, header->events.vcpu);
		out = log_put_varint(out, header->events.num_events);
		out = log_put_varint(out, header->events.exits);
		out = log_put_varint(out, header->events.branches);
		out = log_put_varint(out, header->events.instructions);
		break;
	case LOG_FRAME_TRAILER:
		out = log_put_varint(out, header->trailer.events);
		out = log_put_varint(out, header->trailer.error);
		break;
	}
	header->header_size = (uint32_t)(out - start);
	log_put_u32(start + OFFSET_SIZE, header->header_size - 8);
	return header->header_size;
}

static uint64_t frame_hash(const uint8_t *frame, uint32_t header_size, uint32_t body_size,
			   uint64_t salt)
{
	/* header and body are neighbours, in memory as in the file */
	return XXH64(frame + OFFSET_HASHED, (size_t)header_size - OFFSET_HASHED + body_size, salt);
}

void log_seal(uint8_t *frame, uint32_t header_size, uint32_t body_size, uint64_t salt)
{
	log_put_u64(frame + OFFSET_HASH, frame_hash(frame, header_size, body_size, salt));
}

bool log_sealed(const uint8_t *frame, const struct log_header *header, uint64_t salt)
{
	struct log_bytes in = { frame + OFFSET_HASH, frame + OFFSET_HASHED, false };

	return log_get_u64(&in) == frame_hash(frame, header->header_size, header->body_size, salt);
}

static uint32_t get_varint32(struct log_bytes *in, uint32_t min, uint32_t max)
{
	uint64_t value = log_get_varint(in);

	if (value < min || value > max)
		in->bad = true;
	return (uint32_t)value;
}

static void get_file_fields(struct log_bytes *in, struct log_header *header)
{
	const uint8_t *text = log_get_bytes(in, LOG_TEXT_SIZE);

	if (!text || memcmp(text, LOG_TEXT, LOG_TEXT_SIZE)) {
		in->bad = true;
		return;
	}
	header->file.version = log_get_u32(in);
	if (header->file.version != LOG_VERSION) {
		/* whatever follows is not ours to read */
		in->at = in->end;
		return;
	}
	header->file.salt = log_get_u64(in);
	header->file.num_vcpus = get_varint32(in, 1, TT_LOG_MAX_VCPUS);
	header->file.num_sections = get_varint32(in, 0, TT_LOG_MAX_SECTIONS);
	header->file.table = in->at;
	header->file.table_size = (size_t)(in->end - in->at);
	in->at = in->end; /* log_sections_get() checks the table */
}

int log_header_get(const uint8_t *data, size_t size, struct log_header *header)
{
	struct log_bytes in = { data, data + size, false };
	uint32_t magic = log_get_u32(&in);
	uint32_t rest = log_get_u32(&in);

	if (in.bad)
		return -EAGAIN;
	if (magic != LOG_SKIPPABLE_MAGIC || rest < LOG_HEADER_FIXED - 8 ||
	    rest > LOG_HEADER_MAX - 8)
		return -EBADMSG;
	if (!log_get_bytes(&in, rest))
		return -EAGAIN;

	memset(header, 0, sizeof(*header));
	header->header_size = rest + 8;
	in = (struct log_bytes){ data + OFFSET_HASHED, data + header->header_size, false };
	header->sequence = log_get_u32(&in);
	header->distance = log_get_u32(&in);
	header->body_size = log_get_u32(&in);
	header->kind = log_get_u8(&in);
	/* zstd expands what does not compress by less than 1/256 and some bytes for each block */
	if (header->body_size > LOG_RAW_MAX + LOG_RAW_MAX / 64)
		return -EBADMSG;

	switch (header->kind) {
	case LOG_FRAME_FILE:
		get_file_fields(&in, header);
		break;
	case LOG_FRAME_SECTION:
		header->section.index = get_varint32(&in, 0, TT_LOG_MAX_SECTIONS - 1);
		header->section.offset = log_get_varint(&in);
		break;
	case LOG_FRAME_EVENTS:
		header->events.vcpu = get_varint32(&in, 0, TT_LOG_MAX_VCPUS - 1);
		header->events.num_events = get_varint32(&in, 1, LOG_EVENTS_MAX);
		header->events.exits = log_get_varint(&in);
		header->events.branches = log_get_varint(&in);
		header->events.instructions = log_get_varint(&in);
		break;
	case LOG_FRAME_TRAILER:
		header->trailer.events = log_get_varint(&in);
		header->trailer.error = get_varint32(&in, 0, 4095);
		break;
	default:
		return -EBADMSG;
	}
	return in.bad || in.at != in.end ? -EBADMSG : 0;
}

int log_sections_get(const struct log_header *header, struct tt_log_section *sections)
{
	const uint8_t *table = header->file.table;
	struct log_bytes in = { table, table + header->file.table_size, false };

	for (uint32_t i = 0; i < header->file.num_sections; i++) {
		size_t len = get_varint32(&in, 1, LOG_NAME_MAX);
		const uint8_t *name = log_get_bytes(&in, len);
		uint64_t size = log_get_varint(&in);
		int ret = -EBADMSG;
		char *copy = NULL;

		/* half of the address space: sizes can be added without overflow */
		if (!in.bad && !memchr(name, 0, len) && size <= INT64_MAX) {
			copy = strndup((const char *)name, len);
			ret = -ENOMEM;
		}
		if (!copy) {
			log_sections_free(sections, i);
			return ret;
		}
		sections[i] = (struct tt_log_section){ .name = copy, .size = size };
	}
	if (in.at != in.end) {
		log_sections_free(sections, header->file.num_sections);
		return -EBADMSG;
	}
	return 0;
}

void log_sections_free(struct tt_log_section *sections, size_t num)
{
	for (size_t i = 0; i < num; i++)
		free((char *)sections[i].name);
}
