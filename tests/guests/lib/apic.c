// SPDX-License-Identifier: GPL-2.0
/*
 * apic.c - the local APIC with its timer, one IOAPIC, and the old interrupt controllers shut up.
 */
#include "guest.h"

#define LAPIC_BASE	0xfee00000ull
#define LAPIC_SPURIOUS	0xf0
#define LAPIC_LVT_TIMER	0x320
#define LAPIC_INITIAL	0x380
#define LAPIC_DIVIDE	0x3e0
#define DIVIDE_BY_1	0xb
#define LVT_MASKED	(1u << 16)
#define LVT_PERIODIC	(1u << 17)
#define LVT_DEADLINE	(2u << 17)
#define ICR_SELF	(1u << 18)
#define MSR_TSC_DEADLINE 0x6e0

#define IOAPIC_BASE	0xfec00000ull
#define IOAPIC_INDEX	0x00
#define IOAPIC_DATA	0x10
#define IOAPIC_REDIRECT	0x10

volatile uint64_t ticks;
static volatile uint64_t ticks_left;	/* until the periodic timer stops */
void (*tick_hook)(struct frame *f);

uint32_t lapic_read(uint32_t reg)
{
	return *(volatile uint32_t *)(LAPIC_BASE + reg);
}

void lapic_write(uint32_t reg, uint32_t value)
{
	*(volatile uint32_t *)(LAPIC_BASE + reg) = value;
}

void lapic_create(void)
{
	outb(0x21, 0xff);
	outb(0xa1, 0xff);
	lapic_write(LAPIC_SPURIOUS, 0x100 | VECTOR_SPURIOUS);
	lapic_write(LAPIC_TPR, 0);
	lapic_write(LAPIC_LVT_TIMER, LVT_MASKED);
	lapic_write(LAPIC_DIVIDE, DIVIDE_BY_1);
}

void lapic_self_ipi(uint8_t vector)
{
	lapic_write(LAPIC_ICR, ICR_SELF | vector);
}

void timer_periodic(uint32_t count, uint64_t number)
{
	ticks_left = number;
	lapic_write(LAPIC_LVT_TIMER, LVT_PERIODIC | VECTOR_TIMER);
	lapic_write(LAPIC_INITIAL, count);
}

void timer_one_shot(uint32_t count)
{
	lapic_write(LAPIC_LVT_TIMER, VECTOR_TIMER);
	lapic_write(LAPIC_INITIAL, count);
}

bool timer_has_deadline(void)
{
	return cpuid(1, 0).ecx & 1u << 24;
}

void timer_deadline(uint64_t tsc)
{
	lapic_write(LAPIC_LVT_TIMER, LVT_DEADLINE | VECTOR_TIMER);
	/* The switch to deadline mode has to be visible before the MSR is written (SDM 3A). */
	asm volatile("mfence" : : : "memory");
	wrmsr(MSR_TSC_DEADLINE, tsc);
}

bool timer_is_on(void)
{
	return ticks_left;
}

void timer_stop(void)
{
	lapic_write(LAPIC_INITIAL, 0);
	lapic_write(LAPIC_LVT_TIMER, LVT_MASKED);
}

void timer_tick(struct frame *f)
{
	ticks++;
	if (ticks_left && --ticks_left == 0)
		timer_stop();
	fold_irq(f->rip);
	fold_irq(f->rcx);
	fold_irq(f->rsi);
	fold_irq(f->rdi);
	fold_irq(f->rflags);
	fold_irq(rdtsc());
	if (tick_hook)
		tick_hook(f);
	lapic_write(LAPIC_EOI, 0);
}

void ioapic_route(unsigned int pin, uint8_t vector)
{
	volatile uint32_t *index = (volatile uint32_t *)(IOAPIC_BASE + IOAPIC_INDEX);
	volatile uint32_t *data = (volatile uint32_t *)(IOAPIC_BASE + IOAPIC_DATA);

	*index = IOAPIC_REDIRECT + 2 * pin + 1;
	*data = 0;
	*index = IOAPIC_REDIRECT + 2 * pin;
	*data = vector;
}
