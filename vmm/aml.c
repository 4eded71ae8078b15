// SPDX-License-Identifier: GPL-2.0
/*
 * aml.c - see aml.h.
 */
#include <string.h>

#include "aml.h"

#define NAME_OP	      0x08
#define BYTE_PREFIX   0x0a
#define WORD_PREFIX   0x0b
#define DWORD_PREFIX  0x0c
#define SCOPE_OP      0x10
#define BUFFER_OP     0x11
#define PACKAGE_OP    0x12
#define EXT_OP_PREFIX 0x5b
#define EXT_DEVICE_OP 0x82

static void emit(struct tt_aml *aml, uint32_t value, unsigned int bytes)
{
	if (bytes > aml->size - aml->used) {
		aml->overflow = true;
		return;
	}
	for (; bytes; bytes--, value >>= 8)
		aml->data[aml->used++] = value;
}

/* "\", then one name segment of at most four characters, padded with "_". */
static void emit_name(struct tt_aml *aml, const char *name)
{
	unsigned int i, len;

	if (*name == '\\') {
		emit(aml, '\\', 1);
		name++;
	}
	len = strlen(name);
	for (i = 0; i < 4; i++)
		emit(aml, i < len ? name[i] : '_', 1);
}

/* Package lengths are always emitted in their three-byte form and filled in by tt_aml_end(). */
static void open_package(struct tt_aml *aml, bool resources)
{
	if (aml->depth == TT_AML_DEPTH) {
		aml->overflow = true;
		return;
	}
	aml->open[aml->depth].at = aml->used;
	aml->open[aml->depth].resources = resources;
	aml->depth++;
	emit(aml, 0, 3);
}

void tt_aml_scope(struct tt_aml *aml, const char *name)
{
	emit(aml, SCOPE_OP, 1);
	open_package(aml, false);
	emit_name(aml, name);
}

void tt_aml_device(struct tt_aml *aml, const char *name)
{
	emit(aml, EXT_OP_PREFIX, 1);
	emit(aml, EXT_DEVICE_OP, 1);
	open_package(aml, false);
	emit_name(aml, name);
}

void tt_aml_name(struct tt_aml *aml, const char *name)
{
	emit(aml, NAME_OP, 1);
	emit_name(aml, name);
}

void tt_aml_package(struct tt_aml *aml, uint8_t elements)
{
	emit(aml, PACKAGE_OP, 1);
	open_package(aml, false);
	emit(aml, elements, 1);
}

void tt_aml_resources(struct tt_aml *aml)
{
	emit(aml, BUFFER_OP, 1);
	open_package(aml, true);
	emit(aml, WORD_PREFIX, 1);
	emit(aml, 0, 2); /* the buffer's length, by tt_aml_end() */
}

void tt_aml_end(struct tt_aml *aml)
{
	size_t at, length;

	if (!aml->depth) {
		aml->overflow = true;
		return;
	}
	aml->depth--;
	at = aml->open[aml->depth].at;
	if (aml->open[aml->depth].resources)
		emit(aml, 0x0079, 2); /* end tag, checksum not used */
	if (aml->overflow)
		return;
	if (aml->open[aml->depth].resources) {
		length = aml->used - (at + 3 + 3);
		aml->data[at + 4] = length;
		aml->data[at + 5] = length >> 8;
	}
	length = aml->used - at; /* includes itself: 4 low bits, then two bytes */
	aml->data[at] = 2 << 6 | (length & 0xf);
	aml->data[at + 1] = length >> 4;
	aml->data[at + 2] = length >> 12;
}

void tt_aml_integer(struct tt_aml *aml, uint32_t value)
{
	if (value <= 1) {
		emit(aml, value, 1); /* ZeroOp, OneOp */
	} else if (value <= 0xff) {
		emit(aml, BYTE_PREFIX, 1);
		emit(aml, value, 1);
	} else if (value <= 0xffff) {
		emit(aml, WORD_PREFIX, 1);
		emit(aml, value, 2);
	} else {
		emit(aml, DWORD_PREFIX, 1);
		emit(aml, value, 4);
	}
}

static unsigned int hex_digit(char c)
{
	return c <= '9' ? c - '0' : c - 'A' + 10;
}

/* Three letters in five bits each and four hexadecimal digits, stored with the first byte first. */
void tt_aml_eisa_id(struct tt_aml *aml, const char *id)
{
	unsigned int vendor = (id[0] - '@') << 10 | (id[1] - '@') << 5 | (id[2] - '@');

	emit(aml, DWORD_PREFIX, 1);
	emit(aml, vendor >> 8, 1);
	emit(aml, vendor & 0xff, 1);
	emit(aml, hex_digit(id[3]) << 4 | hex_digit(id[4]), 1);
	emit(aml, hex_digit(id[5]) << 4 | hex_digit(id[6]), 1);
}

void tt_aml_io(struct tt_aml *aml, uint16_t base, uint8_t size)
{
	emit(aml, 0x47, 1); /* small descriptor: I/O port */
	emit(aml, 0x01, 1); /* Decode16 */
	emit(aml, base, 2);
	emit(aml, base, 2);
	emit(aml, 1, 1); /* alignment */
	emit(aml, size, 1);
}

void tt_aml_irq(struct tt_aml *aml, unsigned int irq)
{
	emit(aml, 0x22, 1); /* small descriptor: IRQ without flags: edge, active high */
	emit(aml, 1u << irq, 2);
}

/* Address space descriptor with fields of `bytes` bytes each. */
static void emit_window(struct tt_aml *aml, uint8_t tag, uint8_t type, uint8_t type_flags,
			unsigned int bytes, uint32_t first, uint32_t last)
{
	emit(aml, tag, 1);
	emit(aml, 3 + 5 * bytes, 2);
	emit(aml, type, 1);
	emit(aml, 0x0c, 1); /* MinFixed, MaxFixed, PosDecode, ResourceProducer */
	emit(aml, type_flags, 1);
	emit(aml, 0, bytes); /* granularity */
	emit(aml, first, bytes);
	emit(aml, last, bytes);
	emit(aml, 0, bytes); /* translation */
	emit(aml, last - first + 1, bytes);
}

void tt_aml_bus_window(struct tt_aml *aml, uint16_t first, uint16_t last)
{
	emit_window(aml, 0x88, 2, 0, 2, first, last);
}

void tt_aml_io_window(struct tt_aml *aml, uint16_t first, uint16_t last)
{
	emit_window(aml, 0x88, 1, 0x03, 2, first, last); /* EntireRange */
}

void tt_aml_memory_window(struct tt_aml *aml, uint32_t first, uint32_t last)
{
	emit_window(aml, 0x87, 0, 0x01, 4, first, last); /* ReadWrite, NonCacheable */
}
