// SPDX-License-Identifier: GPL-2.0
/*
 * packet.c - gdb's remote protocol as bytes (sections E.1, E.2): `$content#checksum`, where a byte after `}` has bit 5 flipped,
 * with acknowledgements `+` and `-` and Ctrl-C between packets.
 */
#include <string.h>

#include "gdb.h"

#define ESCAPE '}'
#define INTERRUPT_BYTE 0x03

static enum gdb_event end_packet(struct gdb_reader *r)
{
	uint8_t sum;

	r->state = BETWEEN;
	if (gdb_parse_hex(r->checksum, 2, &sum, 1) != 1 || sum != r->sum || r->escaped)
		return GDB_BAD_PACKET;
	r->data[r->len] = '\0';
	return r->too_long ? GDB_LONG_PACKET : GDB_PACKET;
}

static void begin_packet(struct gdb_reader *r)
{
	r->state = CONTENT;
	r->len = 0;
	r->sum = 0;
	r->escaped = r->too_long = false;
}

static void put_content(struct gdb_reader *r, char byte)
{
	r->sum += byte;
	if (!r->escaped && byte == ESCAPE) {
		r->escaped = true;
		return;
	}
	if (r->escaped)
		byte ^= 0x20;
	r->escaped = false;
	if (r->len < GDB_PACKET_MAX)
		r->data[r->len++] = byte;
	else
		r->too_long = true;
}

enum gdb_event gdb_reader_put(struct gdb_reader *r, char byte)
{
	/* A packet that was never finished is followed by its repetition. */
	if (byte == '$') {
		begin_packet(r);
		return GDB_NOTHING;
	}
	switch (r->state) {
	case BETWEEN:
		return byte == INTERRUPT_BYTE ? GDB_INTERRUPT : byte == '-' ? GDB_NAK : GDB_NOTHING;
	case CONTENT:
		if (byte == '#')
			r->state = CHECKSUM_HIGH;
		else
			put_content(r, byte);
		return GDB_NOTHING;
	case CHECKSUM_HIGH:
		r->checksum[0] = byte;
		r->state = CHECKSUM_LOW;
		return GDB_NOTHING;
	default:
		r->checksum[1] = byte;
		return end_packet(r);
	}
}

size_t gdb_frame(char *frame, const char *content, size_t len)
{
	char *at = frame;
	uint8_t sum = 0;
	size_t i;

	*at++ = '$';
	for (i = 0; i < len; i++) {
		/* `*` is a run length to gdb. */
		if (content[i] && strchr("$#}*", content[i])) {
			*at++ = ESCAPE;
			*at++ = content[i] ^ 0x20;
			sum += ESCAPE + (uint8_t)(content[i] ^ 0x20);
		} else {
			*at++ = content[i];
			sum += content[i];
		}
	}
	*at++ = '#';
	gdb_hex(at, &sum, 1);
	return at + 2 - frame;
}

void gdb_hex(char *text, const void *data, size_t len)
{
	static const char digits[] = "0123456789abcdef";
	const uint8_t *bytes = data;
	size_t i;

	for (i = 0; i < len; i++) {
		text[2 * i] = digits[bytes[i] >> 4];
		text[2 * i + 1] = digits[bytes[i] & 15];
	}
}

int gdb_hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c |= 0x20;
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

ssize_t gdb_parse_hex(const char *text, size_t len, void *data, size_t max)
{
	uint8_t *bytes = data;
	size_t i;

	if (len % 2 || len / 2 > max)
		return -1;
	for (i = 0; i < len / 2; i++) {
		int high = gdb_hex_digit(text[2 * i]), low = gdb_hex_digit(text[2 * i + 1]);

		if (high < 0 || low < 0)
			return -1;
		bytes[i] = high << 4 | low;
	}
	return i;
}

bool gdb_parse_number(const char **at, char delimiter, uint64_t *value)
{
	const char *start = *at;
	int digit;

	for (*value = 0; (digit = gdb_hex_digit(**at)) >= 0; (*at)++) {
		if (*value >> 60)
			return false;
		*value = *value << 4 | digit;
	}
	if (*at == start || (delimiter && **at != delimiter))
		return false;
	if (delimiter)
		(*at)++;
	return true;
}
