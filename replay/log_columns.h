/* SPDX-License-Identifier: GPL-2.0 */
/*
 * log_columns.h - what log_encode.c and log_decode.c share. Format: log_format.h.
 */
#ifndef TTVM_LOG_COLUMNS_H
#define TTVM_LOG_COLUMNS_H

#include "log_format.h"

#define TYPE_AT_EXIT 0x80
#define INSTRUCTIONS_UNKNOWN 0xff /* in the place of the number of low bytes */

/* Events of one type are alike in everything that is the same again and again. */
struct event_type {
	uint8_t kind;
	bool at_exit;
	int16_t vector;
	uint16_t input_id;
};

/* How many instructions come with that many more branches. Modulo 2^64. */
static inline uint64_t predict(uint64_t ratio, uint64_t branches)
{
	return ratio * branches >> 8;
}

/* How many bytes an index into the addresses takes. */
static inline unsigned int num_planes(size_t num_rips)
{
	return num_rips <= 0x100 ? 1 : num_rips <= 0x10000 ? 2 : 3;
}

#endif /* TTVM_LOG_COLUMNS_H */
