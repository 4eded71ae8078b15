// SPDX-License-Identifier: GPL-2.0
/*
 * lapic.c - the local APIC of each vCPU: xAPIC registers at 0xfee00000, messages between LAPICs,
 * the timer. Intel SDM volume 3, chapter "Advanced Programmable Interrupt Controller".
 *
 * State after reset is what firmware leaves on a PC: LINT0 of vCPU 0 passes the PIC on (virtual
 * wire), LINT1 is NMI. The base address cannot be moved (IA32_APIC_BASE with another address gives
 * #GP) and there is no x2APIC.
 */
#include <stdlib.h>

#include "lapic.h"

/* Register numbers: offset / 16. */
enum {
	REG_ID = 0x02,
	REG_VERSION = 0x03,
	REG_TPR = 0x08,
	REG_PPR = 0x0a,
	REG_EOI = 0x0b,
	REG_LDR = 0x0d,
	REG_DFR = 0x0e,
	REG_SVR = 0x0f,
	REG_ISR = 0x10,
	REG_TMR = 0x18,
	REG_IRR = 0x20,
	REG_ESR = 0x28,
	REG_ICR_LOW = 0x30,
	REG_ICR_HIGH = 0x31,
	REG_LVT = 0x32,
	REG_TIMER_INITIAL = 0x38,
	REG_TIMER_CURRENT = 0x39,
	REG_TIMER_DIVIDE = 0x3e,
};

static const uint32_t lvt_writable[NR_LVT] = {
	[LVT_TIMER] = 0x700ff, [LVT_THERMAL] = 0x107ff, [LVT_PERF] = 0x107ff,
	[LVT_LINT0] = 0x1a7ff, [LVT_LINT1] = 0x1a7ff,	[LVT_ERROR] = 0x100ff,
};

#define VERSION (0x14 | (NR_LVT - 1) << 16)

#define SVR_ENABLED  (1u << 8)
#define SVR_WRITABLE 0x3ffu

#define ICR_LOGICAL  (1u << 11)
#define ICR_ASSERT   (1u << 14)
#define ICR_LEVEL    (1u << 15)
#define ICR_WRITABLE 0xccfffu

#define ESR_SEND_ILLEGAL_VECTOR	   (1u << 5)
#define ESR_RECEIVE_ILLEGAL_VECTOR (1u << 6)
#define ESR_ILLEGAL_REGISTER	   (1u << 7)

#define MSR_IA32_APIC_BASE    0x1b
#define MSR_IA32_TSC_DEADLINE 0x6e0
#define APIC_BASE_BSP	      (1ull << 8)

static int highest_bit(const uint32_t bits[8])
{
	int i;

	for (i = 7; i >= 0; i--) {
		if (bits[i])
			return i * 32 + 31 - __builtin_clz(bits[i]);
	}
	return -1;
}

static const struct tt_cpu_signals *lapic_signals(const struct tt_lapic *lapic)
{
	const struct tt_irqchip *irqchip = lapic->vcpu->machine->irqchip;

	return irqchip->signals;
}

static uint8_t lapic_ppr(const struct tt_lapic *lapic)
{
	uint8_t in_service = lapic->highest_isr < 0 ? 0 : lapic->highest_isr & 0xf0;
	uint8_t tpr = lapic->state.tpr;

	return (tpr & 0xf0) >= in_service ? tpr : in_service;
}

int tt_lapic_pending(const struct tt_lapic *lapic)
{
	if (lapic->highest_irr < 0 || (lapic->highest_irr & 0xf0) <= (lapic_ppr(lapic) & 0xf0) ||
	    !tt_lapic_enabled(lapic))
		return -1;
	return lapic->highest_irr;
}

void tt_lapic_acknowledge(struct tt_lapic *lapic, uint8_t vector)
{
	struct lapic_state *s = &lapic->state;

	s->irr[vector / 32] &= ~(1u << vector % 32);
	s->isr[vector / 32] |= 1u << vector % 32;
	lapic->highest_irr = highest_bit(s->irr);
	lapic->highest_isr = vector;
}

bool tt_lapic_takes_extint(const struct tt_lapic *lapic)
{
	uint32_t lint0 = lapic->state.lvt[LVT_LINT0];

	if (!tt_lapic_enabled(lapic))
		return lapic->vcpu->index == 0;
	return !(lint0 & LVT_MASKED) && (lint0 >> 8 & 7) == TT_DELIVERY_EXTINT;
}

/* ------------------------------------------------------------------ accepting interrupts */

static void lapic_error(struct tt_lapic *lapic, uint32_t bit);

static void lapic_request(struct tt_lapic *lapic, uint8_t vector, bool level)
{
	struct lapic_state *s = &lapic->state;
	uint32_t bit = 1u << vector % 32;

	if (vector < 16) {
		lapic_error(lapic, ESR_RECEIVE_ILLEGAL_VECTOR);
		return;
	}
	s->irr[vector / 32] |= bit;
	if (level)
		s->tmr[vector / 32] |= bit;
	else
		s->tmr[vector / 32] &= ~bit;
	if (vector > lapic->highest_irr)
		lapic->highest_irr = vector;
	if (lapic->vcpu->machine->current && lapic->vcpu != lapic->vcpu->machine->current)
		tt_vcpu_kick(lapic->vcpu);
}

static void lapic_error(struct tt_lapic *lapic, uint32_t bit)
{
	uint32_t lvt = lapic->state.lvt[LVT_ERROR];

	lapic->state.esr_pending |= bit;
	/* An error vector that is itself illegal must not report itself for ever. */
	if (!(lvt & LVT_MASKED) && (lvt & 0xff) >= 16)
		lapic_request(lapic, lvt & 0xff, false);
}

static void lapic_reset_registers(struct tt_lapic *lapic);

bool tt_lapic_accept(struct tt_lapic *lapic, enum tt_delivery_mode mode, uint8_t vector, bool level)
{
	const struct tt_cpu_signals *signals = lapic_signals(lapic);

	if (!tt_lapic_enabled(lapic))
		return false;
	switch (mode) {
	case TT_DELIVERY_FIXED:
	case TT_DELIVERY_LOWEST:
		if (!(lapic->state.svr & SVR_ENABLED))
			return false;
		lapic_request(lapic, vector, level);
		return true;
	case TT_DELIVERY_NMI:
		if (signals->nmi)
			signals->nmi(lapic->vcpu);
		return true;
	case TT_DELIVERY_INIT:
		if (!signals->init)
			return false;
		lapic_reset_registers(lapic);
		signals->init(lapic->vcpu);
		return true;
	case TT_DELIVERY_STARTUP:
		if (signals->startup)
			signals->startup(lapic->vcpu, vector);
		return true;
	default: /* no SMM; ExtINT comes over LINT0 only */
		return false;
	}
}

static bool lapic_matches(const struct tt_lapic *lapic, const struct tt_irq_message *message)
{
	const struct lapic_state *s = &lapic->state;
	uint8_t logical = s->ldr >> 24, destination = message->destination;

	if (destination == 0xff)
		return true;
	if (!message->logical)
		return destination == s->id >> 24;
	if (s->dfr >> 28 == 0xf)
		return destination & logical;
	return (destination & 0xf0) == (logical & 0xf0) && (destination & logical & 0x0f);
}

bool tt_lapics_deliver(struct tt_machine *m, const struct tt_irq_message *message)
{
	struct tt_lapic *lowest = NULL;
	bool taken = false;
	unsigned int i;

	for (i = 0; i < m->config.num_vcpus; i++) {
		struct tt_lapic *lapic = m->vcpus[i].lapic;

		if (!lapic_matches(lapic, message))
			continue;
		if (message->mode != TT_DELIVERY_LOWEST)
			taken |= tt_lapic_accept(lapic, message->mode, message->vector,
						 message->level);
		else if (tt_lapic_enabled(lapic) && (lapic->state.svr & SVR_ENABLED) &&
			 (!lowest || lapic_ppr(lapic) < lapic_ppr(lowest)))
			lowest = lapic;
	}
	if (lowest)
		taken = tt_lapic_accept(lowest, message->mode, message->vector, message->level);
	return taken;
}

bool tt_lapics_wait(struct tt_machine *m, const struct tt_irq_message *message)
{
	unsigned int i;

	for (i = 0; i < m->config.num_vcpus; i++) {
		if (lapic_matches(m->vcpus[i].lapic, message) &&
		    tt_lapic_requested(m->vcpus[i].lapic, message->vector))
			return true;
	}
	return false;
}

void tt_lapics_set_lint0(struct tt_machine *m, bool level)
{
	unsigned int i;

	for (i = 0; i < m->config.num_vcpus; i++) {
		struct tt_lapic *lapic = m->vcpus[i].lapic;
		uint32_t lvt = lapic->state.lvt[LVT_LINT0];
		bool rises = level && !lapic->state.lint0;

		lapic->state.lint0 = level;
		if (rises && !(lvt & LVT_MASKED))
			tt_lapic_accept(lapic, lvt >> 8 & 7, lvt & 0xff, false);
	}
	/* ExtINT is not latched: tt_irq_pending() looks at the PIC. */
	if (level && m->current && m->current != &m->vcpus[0])
		tt_vcpu_kick(&m->vcpus[0]);
}

static void lapic_eoi(struct tt_lapic *lapic)
{
	struct lapic_state *s = &lapic->state;
	int vector = lapic->highest_isr;
	struct tt_irqchip *irqchip = lapic->vcpu->machine->irqchip;

	if (vector < 0)
		return;
	s->isr[vector / 32] &= ~(1u << vector % 32);
	lapic->highest_isr = highest_bit(s->isr);
	if (s->tmr[vector / 32] & 1u << vector % 32)
		tt_ioapic_eoi(irqchip->ioapic, vector);
}

static void lapic_send(struct tt_lapic *lapic)
{
	struct lapic_state *s = &lapic->state;
	struct tt_machine *m = lapic->vcpu->machine;
	struct tt_irq_message message = {
		.destination = s->icr_high >> 24,
		.vector = s->icr_low & 0xff,
		.mode = s->icr_low >> 8 & 7,
		.logical = s->icr_low & ICR_LOGICAL,
	};
	unsigned int shorthand = s->icr_low >> 18 & 3, i;

	if (message.mode == TT_DELIVERY_INIT && (s->icr_low & ICR_LEVEL) &&
	    !(s->icr_low & ICR_ASSERT))
		return; /* INIT level de-assert: does nothing since the Pentium 4 */
	if (message.mode <= TT_DELIVERY_LOWEST && message.vector < 16) {
		lapic_error(lapic, ESR_SEND_ILLEGAL_VECTOR);
		return;
	}
	if (shorthand == 0) {
		tt_lapics_deliver(m, &message);
		return;
	}
	for (i = 0; i < m->config.num_vcpus; i++) {
		bool self = &m->vcpus[i] == lapic->vcpu;

		if (self ? shorthand != 3 : shorthand != 1)
			tt_lapic_accept(m->vcpus[i].lapic, message.mode, message.vector, false);
	}
}

/* ------------------------------------------------------------------ registers */

static uint32_t lapic_read_register(struct tt_lapic *lapic, unsigned int reg)
{
	struct lapic_state *s = &lapic->state;

	switch (reg) {
	case REG_ID:
		return s->id;
	case REG_VERSION:
		return VERSION;
	case REG_TPR:
		return s->tpr;
	case REG_PPR:
		return lapic_ppr(lapic);
	case REG_EOI:
		return 0;
	case REG_LDR:
		return s->ldr;
	case REG_DFR:
		return s->dfr;
	case REG_SVR:
		return s->svr;
	case REG_ISR ... REG_ISR + 7:
		return s->isr[reg - REG_ISR];
	case REG_TMR ... REG_TMR + 7:
		return s->tmr[reg - REG_TMR];
	case REG_IRR ... REG_IRR + 7:
		return s->irr[reg - REG_IRR];
	case REG_ESR:
		return s->esr;
	case REG_ICR_LOW:
		return s->icr_low;
	case REG_ICR_HIGH:
		return s->icr_high;
	case REG_LVT ... REG_LVT + NR_LVT - 1:
		return s->lvt[reg - REG_LVT];
	case REG_TIMER_INITIAL:
		return s->timer_initial;
	case REG_TIMER_CURRENT:
		return tt_lapic_timer_current(lapic);
	case REG_TIMER_DIVIDE:
		return s->timer_divide;
	default:
		lapic_error(lapic, ESR_ILLEGAL_REGISTER);
		return 0;
	}
}

static void lapic_write_lvt(struct tt_lapic *lapic, unsigned int index, uint32_t value)
{
	struct lapic_state *s = &lapic->state;

	value &= lvt_writable[index];
	if (!(s->svr & SVR_ENABLED))
		value |= LVT_MASKED;
	if (index == LVT_TIMER)
		tt_lapic_timer_write_lvt(lapic, value);
	else
		s->lvt[index] = value;
	if (index == LVT_LINT0 && s->lint0 && !(value & LVT_MASKED))
		tt_lapic_accept(lapic, value >> 8 & 7, value & 0xff, false);
}

static void lapic_write_svr(struct tt_lapic *lapic, uint32_t value)
{
	struct lapic_state *s = &lapic->state;
	unsigned int i;

	s->svr = value & SVR_WRITABLE;
	if (!(s->svr & SVR_ENABLED)) {
		for (i = 0; i < NR_LVT; i++)
			s->lvt[i] |= LVT_MASKED;
	}
}

static void lapic_write_register(struct tt_lapic *lapic, unsigned int reg, uint32_t value)
{
	struct lapic_state *s = &lapic->state;

	switch (reg) {
	case REG_EOI:
		lapic_eoi(lapic);
		break;
	case REG_TPR:
		s->tpr = value & 0xff;
		break;
	case REG_LDR:
		s->ldr = value & 0xff000000;
		break;
	case REG_DFR:
		s->dfr = value | 0x0fffffff;
		break;
	case REG_SVR:
		lapic_write_svr(lapic, value);
		break;
	case REG_ESR:
		s->esr = s->esr_pending;
		s->esr_pending = 0;
		break;
	case REG_ICR_LOW:
		s->icr_low = value & ICR_WRITABLE;
		lapic_send(lapic);
		break;
	case REG_ICR_HIGH:
		s->icr_high = value & 0xff000000;
		break;
	case REG_LVT ... REG_LVT + NR_LVT - 1:
		lapic_write_lvt(lapic, reg - REG_LVT, value);
		break;
	case REG_TIMER_INITIAL:
		tt_lapic_timer_write_initial(lapic, value);
		break;
	case REG_TIMER_DIVIDE:
		tt_lapic_timer_write_divide(lapic, value);
		break;
	case REG_ID: /* read-only here, as on recent CPUs */
	case REG_VERSION:
	case REG_PPR:
	case REG_ISR ... REG_ISR + 7:
	case REG_TMR ... REG_TMR + 7:
	case REG_IRR ... REG_IRR + 7:
	case REG_TIMER_CURRENT:
		break;
	default:
		lapic_error(lapic, ESR_ILLEGAL_REGISTER);
	}
}

/* The LAPIC that TT_LAPIC_BASE means: each vCPU sees its own. NULL when it is switched off. */
static struct tt_lapic *current_lapic(struct tt_machine *m)
{
	struct tt_vcpu *vcpu = m->current ? m->current : &m->vcpus[0];

	return tt_lapic_enabled(vcpu->lapic) ? vcpu->lapic : NULL;
}

static void lapic_read(void *ctx, uint64_t addr, void *data, unsigned int len)
{
	struct tt_lapic *lapic = current_lapic(ctx);
	unsigned int at = addr & 0xf;

	memset(data, lapic ? 0 : 0xff, len);
	/* Parts of the first four bytes of a register can be read. */
	if (lapic && at + len <= 4)
		tt_io_put(data, len, lapic_read_register(lapic, addr >> 4 & 0xff) >> at * 8);
}

static void lapic_write(void *ctx, uint64_t addr, const void *data, unsigned int len)
{
	struct tt_lapic *lapic = current_lapic(ctx);

	if (lapic && len == 4 && !(addr & 0xf))
		lapic_write_register(lapic, addr >> 4 & 0xff, tt_io_get(data, len));
}

/* ------------------------------------------------------------------ registers outside the page */

int tt_lapic_read_msr(struct tt_vcpu *vcpu, uint32_t index, uint64_t *value)
{
	const struct tt_lapic *lapic = vcpu->lapic;

	switch (index) {
	case MSR_IA32_APIC_BASE:
		*value = lapic->state.base;
		return 0;
	case MSR_IA32_TSC_DEADLINE:
		*value = tt_lapic_timer_read_deadline(lapic);
		return 0;
	default:
		return -EINVAL;
	}
}

static int lapic_write_base(struct tt_lapic *lapic, uint64_t value)
{
	uint64_t bsp = lapic->vcpu->index == 0 ? APIC_BASE_BSP : 0;

	if ((value & ~TT_APIC_BASE_ENABLED & ~APIC_BASE_BSP) != TT_LAPIC_BASE)
		return -EINVAL;
	if (tt_lapic_enabled(lapic) && !(value & TT_APIC_BASE_ENABLED))
		lapic_reset_registers(lapic);
	lapic->state.base = TT_LAPIC_BASE | bsp | (value & TT_APIC_BASE_ENABLED);
	return 0;
}

int tt_lapic_write_msr(struct tt_vcpu *vcpu, uint32_t index, uint64_t value)
{
	struct tt_lapic *lapic = vcpu->lapic;

	switch (index) {
	case MSR_IA32_APIC_BASE:
		return lapic_write_base(lapic, value);
	case MSR_IA32_TSC_DEADLINE:
		tt_lapic_timer_write_deadline(lapic, value);
		return 0;
	default:
		return -EINVAL;
	}
}

uint8_t tt_lapic_cr8(struct tt_vcpu *vcpu)
{
	const struct tt_lapic *lapic = vcpu->lapic;

	return lapic->state.tpr >> 4;
}

void tt_lapic_set_cr8(struct tt_vcpu *vcpu, uint8_t cr8)
{
	struct tt_lapic *lapic = vcpu->lapic;

	lapic->state.tpr = (cr8 & 0xf) << 4;
}

/* ------------------------------------------------------------------ creation */

static void lapic_restored(struct tt_device *dev)
{
	struct tt_lapic *lapic = (struct tt_lapic *)dev;

	lapic->highest_irr = highest_bit(lapic->state.irr);
	lapic->highest_isr = highest_bit(lapic->state.isr);
}

/* What INIT resets: all but the base address and the pins. */
static void lapic_reset_registers(struct tt_lapic *lapic)
{
	struct lapic_state *s = &lapic->state;
	uint64_t base = s->base;
	uint32_t lint0 = s->lint0;
	unsigned int i;

	memset(s, 0, sizeof(*s));
	s->base = base;
	s->lint0 = lint0;
	s->id = lapic->vcpu->index << 24;
	s->dfr = 0xffffffff;
	s->svr = 0xff;
	tt_lapic_timer_stop(lapic);
	for (i = 0; i < NR_LVT; i++)
		s->lvt[i] = LVT_MASKED;
	if (lapic->vcpu->index == 0) {
		s->lvt[LVT_LINT0] = TT_DELIVERY_EXTINT << 8;
		s->lvt[LVT_LINT1] = TT_DELIVERY_NMI << 8;
	}
	lapic_restored(&lapic->dev);
}

static void lapic_reset(struct tt_device *dev)
{
	struct tt_lapic *lapic = (struct tt_lapic *)dev;

	lapic->state.base = TT_LAPIC_BASE | TT_APIC_BASE_ENABLED;
	if (lapic->vcpu->index == 0)
		lapic->state.base |= APIC_BASE_BSP;
	lapic_reset_registers(lapic);
}

static void lapic_destroy(struct tt_device *dev)
{
	free(dev);
}

int tt_lapics_create(struct tt_machine *m, struct tt_error *err)
{
	struct tt_lapic *lapic;
	unsigned int i;
	int ret;

	for (i = 0; i < m->config.num_vcpus; i++) {
		lapic = calloc(1, sizeof(*lapic));
		if (!lapic)
			return tt_fail(err, -ENOMEM, "out of memory");
		lapic->vcpu = &m->vcpus[i];
		snprintf(lapic->name, sizeof(lapic->name), "lapic%u", i);
		lapic->dev = (struct tt_device){
			.name = lapic->name,
			.state = &lapic->state,
			.state_size = sizeof(lapic->state),
			.reset = lapic_reset,
			.restored = lapic_restored,
			.destroy = lapic_destroy,
		};
		lapic_reset(&lapic->dev);
		tt_device_add(m, &lapic->dev);
		tt_timer_add(m, &lapic->state.timer.deadline, tt_lapic_timer_fire, lapic);
		m->vcpus[i].lapic = lapic;
	}
	ret = tt_bus_add_mmio(m, TT_LAPIC_BASE, 0x1000, lapic_read, lapic_write, m);
	return ret ? tt_fail(err, ret, "lapic: its address range is taken") : 0;
}
