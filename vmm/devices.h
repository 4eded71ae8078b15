/* SPDX-License-Identifier: GPL-2.0 */
/*
 * devices.h - what the device files of vmm/ share among themselves: scaling between clocks, timers
 * that repeat without drift, and little-endian access data. Nobody outside the device files needs
 * it.
 */
#ifndef TTVM_DEVICES_H
#define TTVM_DEVICES_H

#include <string.h>

#include "vmm.h"

/*
 * value * mul / div with 128 bits in the middle, rounded down or up; saturates below TT_TIME_NEVER.
 */
uint64_t tt_scale(uint64_t value, uint64_t mul, uint64_t div);
uint64_t tt_scale_up(uint64_t value, uint64_t mul, uint64_t div);
/* now + delta, saturating below TT_TIME_NEVER. */
uint64_t tt_time_add(uint64_t now, uint64_t delta);

/*
 * A repeating timer; part of a device's state. Tick n of it belongs at start + n * num / den,
 * exactly, for as long as it runs: rounding never adds up. Ticks that time jumped over, or that the
 * guest was not ready for, are made up for at twice the rate, so that a guest that counts them
 * keeps correct time; of more than TT_PERIODIC_BACKLOG missed ticks the oldest are dropped.
 */
struct tt_periodic {
	uint64_t deadline; /* of the next tick, or TT_TIME_NEVER; see tt_timer_add() */
	uint64_t start;
	uint64_t ticks; /* that have fired (or were dropped) since start */
};

#define TT_PERIODIC_BACKLOG 1000
#define TT_PERIODIC_MIN_NS  20000 /* no two ticks are closer than this */

void tt_periodic_start(const struct tt_machine *m, struct tt_periodic *p, uint64_t start,
		       uint64_t num, uint64_t den);
/* The timer has fired at now and its tick was delivered: set the next deadline. */
void tt_periodic_advance(const struct tt_machine *m, struct tt_periodic *p, uint64_t num,
			 uint64_t den, uint64_t now);
/* The timer has fired at now, but the guest has yet to take the tick before: try again soon. */
void tt_periodic_postpone(const struct tt_machine *m, struct tt_periodic *p, uint64_t num,
			  uint64_t den, uint64_t now);

/* Data of an access, at most 8 bytes. */
static inline uint64_t tt_io_get(const void *data, unsigned int len)
{
	uint64_t value = 0;

	memcpy(&value, data, len < sizeof(value) ? len : sizeof(value));
	return value;
}

static inline void tt_io_put(void *data, unsigned int len, uint64_t value)
{
	memcpy(data, &value, len < sizeof(value) ? len : sizeof(value));
}

#endif /* TTVM_DEVICES_H */
