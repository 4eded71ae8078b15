/* SPDX-License-Identifier: GPL-2.0 */
/*
 * lapic.h - the inside of a local APIC, for lapic.c (registers, messages) and lapic_timer.c.
 */
#ifndef TTVM_LAPIC_H
#define TTVM_LAPIC_H

#include "devices.h"
#include "irqchip.h"

/* Local vector table, in register order from REG_LVT. */
enum { LVT_TIMER, LVT_THERMAL, LVT_PERF, LVT_LINT0, LVT_LINT1, LVT_ERROR, NR_LVT };

#define LVT_MASKED	     (1u << 16)
#define TT_APIC_BASE_ENABLED (1ull << 11)

struct lapic_state {
	struct tt_periodic timer; /* deadline in device time; start: when the counter was loaded */
	uint64_t tsc_deadline;	  /* as the guest wrote it, 0 when not armed */
	uint64_t base;
	uint32_t irr[8];
	uint32_t isr[8];
	uint32_t tmr[8];
	uint32_t lvt[NR_LVT];
	uint32_t id;
	uint32_t tpr;
	uint32_t ldr;
	uint32_t dfr;
	uint32_t svr;
	uint32_t esr; /* as last latched by a write */
	uint32_t esr_pending;
	uint32_t icr_low;
	uint32_t icr_high;
	uint32_t timer_initial;
	uint32_t timer_divide;
	uint32_t lint0; /* level of the pin */
};

_Static_assert(sizeof(struct lapic_state) == 5 * 8 + (3 * 8 + NR_LVT + 12) * 4,
	       "digest: no padding");

struct tt_lapic {
	struct tt_device dev;
	struct lapic_state state;
	struct tt_vcpu *vcpu;
	/* derived from the state */
	int highest_irr; /* -1: none */
	int highest_isr;
	char name[16];
};

static inline bool tt_lapic_enabled(const struct tt_lapic *lapic)
{
	return lapic->state.base & TT_APIC_BASE_ENABLED;
}

/* The vector is requested and the vCPU has not taken it yet. */
static inline bool tt_lapic_requested(const struct tt_lapic *lapic, uint8_t vector)
{
	return lapic->state.irr[vector / 32] & 1u << vector % 32;
}

/* False when the LAPIC does not take it. */
bool tt_lapic_accept(struct tt_lapic *lapic, enum tt_delivery_mode mode, uint8_t vector,
		     bool level);

/* lapic_timer.c */
void tt_lapic_timer_stop(struct tt_lapic *lapic);
uint32_t tt_lapic_timer_current(struct tt_lapic *lapic);
void tt_lapic_timer_write_initial(struct tt_lapic *lapic, uint32_t value);
void tt_lapic_timer_write_divide(struct tt_lapic *lapic, uint32_t value);
void tt_lapic_timer_write_lvt(struct tt_lapic *lapic, uint32_t value);
uint64_t tt_lapic_timer_read_deadline(const struct tt_lapic *lapic);
void tt_lapic_timer_write_deadline(struct tt_lapic *lapic, uint64_t value);
void tt_lapic_timer_fire(void *ctx, uint64_t now);

#endif /* TTVM_LAPIC_H */
