// SPDX-License-Identifier: GPL-2.0
/*
 * test_apic.c - IOAPIC and LAPICs: priorities, level-triggered interrupts, messages between vCPUs,
 * the timer.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <cmocka.h>

#include "fake-machine.h"
#include "irqchip.h"

#define ID	      0x20
#define VERSION	      0x30
#define TPR	      0x80
#define PPR	      0xa0
#define EOI	      0xb0
#define LDR	      0xd0
#define DFR	      0xe0
#define SVR	      0xf0
#define ISR	      0x100
#define IRR	      0x200
#define ESR	      0x280
#define ICR_LOW	      0x300
#define ICR_HIGH      0x310
#define LVT_TIMER     0x320
#define LVT_LINT0     0x350
#define LVT_ERROR     0x370
#define TIMER_INITIAL 0x380
#define TIMER_CURRENT 0x390
#define TIMER_DIVIDE  0x3e0

#define MSR_APIC_BASE	 0x1b
#define MSR_TSC_DEADLINE 0x6e0

#define LEVEL  0x8000
#define MASKED 0x10000

static void create(struct fake_machine *f, unsigned int num_vcpus)
{
	unsigned int i;

	fake_machine_create(f, num_vcpus, 0);
	for (i = num_vcpus; i-- > 0;) {
		f->m.current = &f->m.vcpus[i];
		fake_lapic_enable(f);
	}
}

static void redirect(struct fake_machine *f, unsigned int pin, uint32_t low, uint8_t destination)
{
	fake_ioapic_write(f, 0x11 + pin * 2, (uint32_t)destination << 24);
	fake_ioapic_write(f, 0x10 + pin * 2, low);
}

static void send_ipi(struct fake_machine *f, uint32_t low, uint8_t destination)
{
	fake_lapic_write(f, ICR_HIGH, (uint32_t)destination << 24);
	fake_lapic_write(f, ICR_LOW, low);
}

static int pending(struct fake_machine *f, unsigned int vcpu)
{
	return tt_irq_pending(&f->m.vcpus[vcpu]);
}

/* ------------------------------------------------------------------ IOAPIC */

static void test_edge_through_ioapic(void **state)
{
	struct fake_machine f;

	(void)state;
	create(&f, 1);
	redirect(&f, 4, 0x41, 0);
	tt_irq_set(&f.m, 4, true);
	assert_int_equal(fake_take_interrupt(&f), 0x41);
	fake_lapic_write(&f, EOI, 0);
	assert_int_equal(fake_take_interrupt(&f), -1);
	tt_irq_set(&f.m, 4, false);
	redirect(&f, 4, 0x41 | MASKED, 0);
	tt_irq_pulse(&f.m, 4);
	redirect(&f, 4, 0x41, 0);
	assert_int_equal(fake_take_interrupt(&f), -1); /* an edge on a masked pin is lost */
	fake_machine_destroy(&f);
}

static void test_timer_line_is_pin_2(void **state)
{
	struct fake_machine f;

	(void)state;
	create(&f, 1);
	redirect(&f, 0, 0x40, 0);
	redirect(&f, 2, 0x42, 0);
	tt_irq_pulse(&f.m, 0);
	assert_int_equal(fake_take_interrupt(&f), 0x42);
	assert_int_equal(fake_take_interrupt(&f), -1);
	tt_irq_pulse(&f.m, 2); /* the cascade: not a line that a device has */
	tt_irq_pulse(&f.m, 24);
	assert_int_equal(fake_take_interrupt(&f), -1);
	fake_machine_destroy(&f);
}

static void test_level_waits_for_eoi(void **state)
{
	struct fake_machine f;

	(void)state;
	create(&f, 1);
	redirect(&f, 20, 0x51 | LEVEL, 0);
	tt_irq_set(&f.m, 20, true);
	assert_int_equal(fake_ioapic_read(&f, 0x10 + 40) & 0x4000, 0x4000);
	assert_int_equal(fake_take_interrupt(&f), 0x51);
	tt_irq_set(&f.m, 20, false);
	tt_irq_set(&f.m, 20, true);
	assert_int_equal(fake_take_interrupt(&f), -1);
	fake_lapic_write(&f, EOI, 0);
	assert_int_equal(fake_take_interrupt(&f), 0x51); /* still high */
	tt_irq_set(&f.m, 20, false);
	fake_lapic_write(&f, EOI, 0);
	assert_int_equal(fake_ioapic_read(&f, 0x10 + 40) & 0x4000, 0);
	assert_int_equal(fake_take_interrupt(&f), -1);
	fake_machine_destroy(&f);
}

static void test_masked_level_is_sent_when_unmasked(void **state)
{
	struct fake_machine f;

	(void)state;
	create(&f, 1);
	redirect(&f, 20, 0x51 | LEVEL | MASKED, 0);
	tt_irq_set(&f.m, 20, true);
	assert_int_equal(fake_take_interrupt(&f), -1);
	redirect(&f, 20, 0x51 | LEVEL, 0);
	assert_int_equal(fake_take_interrupt(&f), 0x51);
	/* Linux's way to clear remote IRR without an EOI: edge, then level again. */
	redirect(&f, 20, 0x51 | MASKED, 0);
	redirect(&f, 20, 0x51 | MASKED | LEVEL, 0);
	assert_int_equal(fake_ioapic_read(&f, 0x10 + 40) & 0x4000, 0);
	fake_machine_destroy(&f);
}

static void test_ioapic_registers(void **state)
{
	struct fake_machine f;

	(void)state;
	create(&f, 1);
	assert_int_equal(fake_ioapic_read(&f, 1), 0x00170011);
	fake_ioapic_write(&f, 0, 0xffffffff);
	assert_int_equal(fake_ioapic_read(&f, 0), 0x0f000000);
	fake_ioapic_write(&f, 0x10, 0xffffffff);
	assert_int_equal(fake_ioapic_read(&f, 0x10), 0x0001afff); /* status bits are read-only */
	fake_ioapic_write(&f, 0x11, 0xffffffff);
	assert_int_equal(fake_ioapic_read(&f, 0x11), 0xff000000);
	fake_ioapic_write(&f, 0x40, 0xffffffff); /* beyond the last pin */
	assert_int_equal(fake_ioapic_read(&f, 0x40), 0);
	assert_int_equal(fake_ioapic_read(&f, 0x02), 0x0f000000);
	fake_machine_destroy(&f);
}

static void test_msi(void **state)
{
	struct fake_machine f;

	(void)state;
	create(&f, 2);
	tt_irq_msi(&f.m, 0xfee01000, 0x61);
	assert_int_equal(pending(&f, 0), -1);
	assert_int_equal(pending(&f, 1), 0x61);
	tt_irq_msi(&f.m, 0x10000000, 0x62); /* not the interrupt range */
	tt_irq_msi(&f.m, 0xfee00000, 0x63);
	assert_int_equal(pending(&f, 0), 0x63);
	fake_machine_destroy(&f);
}

/* ------------------------------------------------------------------ LAPIC */

static void test_reset_values(void **state)
{
	struct fake_machine f;
	uint64_t base;

	(void)state;
	fake_machine_create(&f, 2, 0);
	assert_int_equal(fake_lapic_read(&f, ID), 0);
	assert_int_equal(fake_lapic_read(&f, VERSION), 0x00050014);
	assert_int_equal(fake_lapic_read(&f, SVR), 0xff);
	assert_int_equal(fake_lapic_read(&f, DFR), 0xffffffff);
	assert_int_equal(fake_lapic_read(&f, LVT_TIMER), MASKED);
	assert_int_equal(fake_lapic_read(&f, LVT_LINT0), 0x700);
	assert_int_equal(tt_lapic_read_msr(&f.m.vcpus[0], MSR_APIC_BASE, &base), 0);
	assert_int_equal(base, 0xfee00900);
	f.m.current = &f.m.vcpus[1];
	assert_int_equal(fake_lapic_read(&f, ID), 0x01000000);
	assert_int_equal(fake_lapic_read(&f, LVT_LINT0), MASKED);
	assert_int_equal(tt_lapic_read_msr(&f.m.vcpus[1], MSR_APIC_BASE, &base), 0);
	assert_int_equal(base, 0xfee00800);
	assert_int_equal(tt_lapic_read_msr(&f.m.vcpus[1], 0x10, &base), -EINVAL);
	assert_int_equal(tt_lapic_write_msr(&f.m.vcpus[1], 0x10, 0), -EINVAL);
	fake_machine_destroy(&f);
}

static void test_priorities(void **state)
{
	struct fake_machine f;

	(void)state;
	create(&f, 1);
	send_ipi(&f, 0x51, 0);
	send_ipi(&f, 0x5f, 0);
	send_ipi(&f, 0x31, 0);
	assert_int_equal(fake_lapic_read(&f, IRR + 0x20), (1u << 31) | 1 << 17);
	assert_int_equal(fake_take_interrupt(&f), 0x5f);
	assert_int_equal(fake_lapic_read(&f, PPR), 0x50);
	assert_int_equal(fake_lapic_read(&f, ISR + 0x20), 1u << 31);
	assert_int_equal(fake_take_interrupt(&f), -1); /* 0x51 is of the same class */
	send_ipi(&f, 0x60, 0);
	assert_int_equal(fake_take_interrupt(&f), 0x60);
	fake_lapic_write(&f, EOI, 0);
	fake_lapic_write(&f, EOI, 0);
	assert_int_equal(fake_take_interrupt(&f), 0x51);
	fake_lapic_write(&f, TPR, 0x30);
	fake_lapic_write(&f, EOI, 0);
	assert_int_equal(fake_take_interrupt(&f), -1); /* 0x31 is not above TPR */
	assert_int_equal(tt_lapic_cr8(&f.m.vcpus[0]), 3);
	tt_lapic_set_cr8(&f.m.vcpus[0], 2);
	assert_int_equal(fake_lapic_read(&f, TPR), 0x20);
	assert_int_equal(fake_take_interrupt(&f), 0x31);
	fake_lapic_write(&f, EOI, 0);
	fake_lapic_write(&f, EOI, 0); /* one too many: nothing happens */
	assert_int_equal(fake_lapic_read(&f, PPR), 0x20);
	fake_machine_destroy(&f);
}

static void test_destinations(void **state)
{
	struct fake_machine f;
	unsigned int i;

	(void)state;
	create(&f, 3);
	for (i = 0; i < 3; i++) {
		f.m.current = &f.m.vcpus[i];
		fake_lapic_write(&f, LDR, 0x01000000u << i);
	}
	f.m.current = &f.m.vcpus[0];
	send_ipi(&f, 0x40, 2); /* physical */
	assert_int_equal(pending(&f, 0), -1);
	assert_int_equal(pending(&f, 2), 0x40);
	send_ipi(&f, 0x41 | 0x800, 0x03); /* logical, flat */
	assert_int_equal(pending(&f, 0), 0x41);
	assert_int_equal(pending(&f, 1), 0x41);
	assert_int_equal(pending(&f, 2), 0x40);
	send_ipi(&f, 0x52, 0xff);	 /* everybody */
	send_ipi(&f, 0x63 | 0xc0000, 0); /* all but self */
	assert_int_equal(pending(&f, 0), 0x52);
	assert_int_equal(pending(&f, 1), 0x63);
	assert_int_equal(pending(&f, 2), 0x63);
	send_ipi(&f, 0x74 | 0x40000, 1); /* self */
	assert_int_equal(pending(&f, 0), 0x74);
	assert_int_equal(pending(&f, 1), 0x63);
	send_ipi(&f, 0x85 | 0x80000, 1); /* all */
	assert_int_equal(pending(&f, 2), 0x85);
	/* Lowest priority: the one with the lowest PPR, and only that one. */
	fake_lapic_write(&f, TPR, 0xf0);
	send_ipi(&f, 0x96 | 0x100 | 0x800, 0x03);
	assert_int_equal(pending(&f, 1), 0x96);
	fake_lapic_write(&f, TPR, 0);
	assert_int_equal(pending(&f, 0), 0x85);
	/* Clusters. */
	for (i = 0; i < 3; i++) {
		f.m.current = &f.m.vcpus[i];
		fake_lapic_write(&f, DFR, 0x0fffffff);
		fake_lapic_write(&f, LDR, (0x10u + 0x10 * i + 1) << 24);
	}
	send_ipi(&f, 0xa7 | 0x800, 0x21);
	assert_int_equal(pending(&f, 0), 0x85);
	assert_int_equal(pending(&f, 1), 0xa7);
	assert_int_equal(pending(&f, 2), 0x85);
	fake_machine_destroy(&f);
}

static char signals[64];

static void record(const char *what, struct tt_vcpu *vcpu, unsigned int value)
{
	char *end = signals + strlen(signals);

	snprintf(end, sizeof(signals) - (end - signals), "%s%u:%x ", what, vcpu->index, value);
}

static void record_nmi(struct tt_vcpu *vcpu)
{
	record("nmi", vcpu, 0);
}

static void record_init(struct tt_vcpu *vcpu)
{
	record("init", vcpu, 0);
}

static void record_startup(struct tt_vcpu *vcpu, uint8_t page)
{
	record("startup", vcpu, page);
}

static void test_init_startup_nmi(void **state)
{
	static const struct tt_cpu_signals recorder = { record_nmi, record_init, record_startup };
	struct fake_machine f;

	(void)state;
	create(&f, 3);
	send_ipi(&f, 0x4500, 1); /* dropped: nobody has asked for them yet */
	tt_irqchip_set_cpu_signals(&f.m, &recorder);
	f.m.current = &f.m.vcpus[1];
	fake_lapic_write(&f, TPR, 0x40);
	f.m.current = &f.m.vcpus[0];
	send_ipi(&f, 0xc500, 1); /* INIT, level, assert */
	send_ipi(&f, 0x8500, 1); /* INIT, level, de-assert */
	send_ipi(&f, 0x0699, 1);
	send_ipi(&f, 0x0400, 2);
	send_ipi(&f, 0xc0400, 0);
	assert_string_equal(signals, "init1:0 startup1:99 nmi2:0 nmi1:0 nmi2:0 ");
	f.m.current = &f.m.vcpus[1];
	assert_int_equal(fake_lapic_read(&f, TPR), 0);
	assert_int_equal(fake_lapic_read(&f, SVR), 0xff);
	fake_machine_destroy(&f);
}

static void test_errors(void **state)
{
	struct fake_machine f;

	(void)state;
	create(&f, 1);
	fake_lapic_write(&f, LVT_ERROR, 0xfe);
	send_ipi(&f, 0x05, 0);
	assert_int_equal(fake_take_interrupt(&f), 0xfe);
	assert_int_equal(fake_lapic_read(&f, ESR), 0);
	fake_lapic_write(&f, ESR, 0);
	assert_int_equal(fake_lapic_read(&f, ESR), 0x20);
	fake_lapic_read(&f, 0x3f0);
	fake_lapic_write(&f, ESR, 0);
	assert_int_equal(fake_lapic_read(&f, ESR), 0x80);
	tt_irq_msi(&f.m, 0xfee00000, 0x0f);
	fake_lapic_write(&f, ESR, 0);
	assert_int_equal(fake_lapic_read(&f, ESR), 0x40);
	fake_lapic_write(&f, LVT_ERROR, 0x03); /* itself illegal: must not recurse */
	send_ipi(&f, 0x05, 0);
	fake_machine_destroy(&f);
}

static void test_software_disable(void **state)
{
	struct fake_machine f;

	(void)state;
	create(&f, 1);
	fake_lapic_write(&f, LVT_TIMER, 0x40);
	fake_lapic_write(&f, SVR, 0xff);
	assert_int_equal(fake_lapic_read(&f, LVT_TIMER), 0x40 | MASKED);
	fake_lapic_write(&f, LVT_TIMER, 0x40);
	assert_int_equal(fake_lapic_read(&f, LVT_TIMER), 0x40 | MASKED);
	tt_irq_msi(&f.m, 0xfee00000, 0x41);
	assert_int_equal(pending(&f, 0), -1);
	fake_machine_destroy(&f);
}

static void test_apic_base(void **state)
{
	struct fake_machine f;
	struct tt_vcpu *vcpu;

	(void)state;
	create(&f, 1);
	vcpu = &f.m.vcpus[0];
	assert_int_equal(tt_lapic_write_msr(vcpu, MSR_APIC_BASE, 0xfee00d00), -EINVAL); /* x2APIC */
	assert_int_equal(tt_lapic_write_msr(vcpu, MSR_APIC_BASE, 0xfed00900), -EINVAL); /* moved */
	tt_irq_msi(&f.m, 0xfee00000, 0x41);
	assert_int_equal(tt_lapic_write_msr(vcpu, MSR_APIC_BASE, 0xfee00100), 0);
	assert_int_equal(fake_lapic_read(&f, ID), 0xffffffff);
	assert_int_equal(pending(&f, 0), -1);
	fake_pic_init(&f, 0x30); /* without a LAPIC the PIC reaches the CPU directly */
	tt_irq_pulse(&f.m, 4);
	assert_int_equal(pending(&f, 0), 0x34);
	assert_int_equal(tt_lapic_write_msr(vcpu, MSR_APIC_BASE, 0xfee00900), 0);
	assert_int_equal(fake_lapic_read(&f, SVR), 0xff);
	fake_machine_destroy(&f);
}

static void test_partial_accesses(void **state)
{
	struct fake_machine f;
	uint8_t byte = 0;
	uint64_t quad = 0;

	(void)state;
	create(&f, 1);
	fake_lapic_write(&f, TPR, 0x50);
	tt_bus_mmio(&f.m, TT_LAPIC_BASE + VERSION + 2, &byte, 1, false);
	assert_int_equal(byte, 0x05);
	tt_bus_mmio(&f.m, TT_LAPIC_BASE + VERSION + 8, &byte, 1, false);
	assert_int_equal(byte, 0);
	byte = 0x20;
	/* Only whole registers can be written. */
	tt_bus_mmio(&f.m, TT_LAPIC_BASE + TPR, &byte, 1, true);
	tt_bus_mmio(&f.m, TT_LAPIC_BASE + TPR, &quad, 8, true);
	assert_int_equal(fake_lapic_read(&f, TPR), 0x50);
	fake_machine_destroy(&f);
}

static void test_lint0_as_fixed_interrupt(void **state)
{
	struct fake_machine f;

	(void)state;
	create(&f, 1);
	fake_pic_init(&f, 0x30);
	fake_lapic_write(&f, LVT_LINT0, 0x45); /* Linux's "virtual wire" fall-back */
	tt_irq_pulse(&f.m, 0);
	assert_int_equal(fake_take_interrupt(&f), 0x45);
	assert_int_equal(fake_take_interrupt(&f), -1);
	fake_machine_destroy(&f);
}

/* ------------------------------------------------------------------ timer */

static void test_one_shot(void **state)
{
	struct fake_machine f;

	(void)state;
	create(&f, 1);
	f.now = 1000;
	fake_lapic_write(&f, TIMER_DIVIDE, 0x3); /* by 16 */
	fake_lapic_write(&f, LVT_TIMER, 0xec);
	fake_lapic_write(&f, TIMER_INITIAL, 100);
	assert_int_equal(tt_timers_next(&f.m), 1000 + 1600);
	fake_machine_run_to(&f, 1000 + 801);
	assert_int_equal(fake_lapic_read(&f, TIMER_CURRENT), 50);
	assert_int_equal(fake_take_interrupt(&f), -1);
	fake_machine_run_to(&f, 1000 + 1599);
	assert_int_equal(fake_lapic_read(&f, TIMER_CURRENT), 1);
	fake_machine_run_to(&f, 1000 + 1600);
	assert_int_equal(fake_lapic_read(&f, TIMER_CURRENT), 0);
	assert_int_equal(fake_take_interrupt(&f), 0xec);
	assert_true(tt_timers_next(&f.m) == TT_TIME_NEVER);
	fake_lapic_write(&f, TIMER_INITIAL, 100);
	fake_lapic_write(&f, TIMER_INITIAL, 0); /* stops it */
	assert_true(tt_timers_next(&f.m) == TT_TIME_NEVER);
	fake_lapic_write(&f, TIMER_INITIAL, 0xffffffff);
	assert_int_equal(fake_lapic_read(&f, TIMER_CURRENT), 0xffffffff);
	fake_machine_destroy(&f);
}

static void test_divide_values(void **state)
{
	static const uint8_t codes[] = { 0xb, 0x0, 0x1, 0x2, 0x3, 0x8, 0x9, 0xa };
	struct fake_machine f;
	unsigned int i;

	(void)state;
	create(&f, 1);
	for (i = 0; i < 8; i++) {
		fake_lapic_write(&f, TIMER_DIVIDE, codes[i]);
		fake_lapic_write(&f, TIMER_INITIAL, 1000);
		assert_int_equal(tt_timers_next(&f.m) - f.now, 1000u << i);
	}
	/* Changing the divisor of a running timer keeps its count. */
	f.now = 1000000;
	fake_lapic_write(&f, TIMER_DIVIDE, 0x0);
	fake_lapic_write(&f, TIMER_INITIAL, 1000);
	f.now += 600;
	assert_int_equal(fake_lapic_read(&f, TIMER_CURRENT), 700);
	fake_lapic_write(&f, TIMER_DIVIDE, 0x1);
	assert_int_equal(fake_lapic_read(&f, TIMER_CURRENT), 700);
	assert_int_equal(tt_timers_next(&f.m) - f.now, 2800);
	fake_machine_destroy(&f);
}

static void test_periodic(void **state)
{
	struct fake_machine f;
	uint64_t period = 8000000; /* 4 ms */
	unsigned int i;

	(void)state;
	create(&f, 1);
	fake_lapic_write(&f, TIMER_DIVIDE, 0xb);
	fake_lapic_write(&f, LVT_TIMER, 0x200ec);
	fake_lapic_write(&f, TIMER_INITIAL, period);
	for (i = 1; i <= 1000; i++) {
		assert_int_equal(tt_timers_next(&f.m), i * period);
		fake_machine_run_to(&f, i * period + i); /* a little late each time: no drift */
		assert_int_equal(fake_lapic_read(&f, TIMER_CURRENT), period - i);
		assert_int_equal(fake_take_interrupt(&f), 0xec);
		fake_lapic_write(&f, EOI, 0);
	}
	fake_lapic_write(&f, LVT_TIMER, 0x200ec | MASKED);
	fake_machine_run_to(&f, f.now + period);
	assert_int_equal(fake_take_interrupt(&f), -1);
	fake_lapic_write(&f, LVT_TIMER, 0x000ec); /* one-shot: what is left of this period */
	assert_int_equal(tt_timers_next(&f.m), 1002 * period);
	fake_machine_run_to(&f, 1002 * period);
	assert_int_equal(fake_take_interrupt(&f), 0xec);
	assert_true(tt_timers_next(&f.m) == TT_TIME_NEVER);
	fake_machine_destroy(&f);
}

static void test_periodic_ticks_wait_for_the_guest(void **state)
{
	struct fake_machine f;
	uint64_t period = 8000000;
	unsigned int ticks = 0;

	(void)state;
	create(&f, 1);
	fake_lapic_write(&f, TIMER_DIVIDE, 0xb);
	fake_lapic_write(&f, LVT_TIMER, 0x200ec);
	fake_lapic_write(&f, TIMER_INITIAL, period);
	/* Interrupts off for ten periods, then each is taken as soon as it comes. */
	while (tt_timers_next(&f.m) <= 10 * period)
		fake_machine_run_to(&f, tt_timers_next(&f.m));
	while (f.now < 100 * period) {
		if (fake_take_interrupt(&f) == 0xec) {
			fake_lapic_write(&f, EOI, 0);
			ticks++;
		}
		fake_machine_run_to(&f, tt_timers_next(&f.m));
	}
	assert_in_range(ticks, 99, 100);
	fake_machine_destroy(&f);
}

static void test_tsc_deadline(void **state)
{
	struct fake_machine f;
	struct tt_vcpu *vcpu;
	uint64_t value;

	(void)state;
	create(&f, 1);
	vcpu = &f.m.vcpus[0];
	f.now = 5000;
	f.tsc_offset = 1000000;
	/* Not in this mode: ignored. */
	assert_int_equal(tt_lapic_write_msr(vcpu, MSR_TSC_DEADLINE, 123), 0);
	assert_int_equal(tt_lapic_read_msr(vcpu, MSR_TSC_DEADLINE, &value), 0);
	assert_int_equal(value, 0);
	fake_lapic_write(&f, LVT_TIMER, 0x400ec);
	fake_lapic_write(&f, TIMER_INITIAL, 77); /* ignored in this mode */
	assert_true(tt_timers_next(&f.m) == TT_TIME_NEVER);
	assert_int_equal(tt_lapic_write_msr(vcpu, MSR_TSC_DEADLINE, 1008000), 0);
	assert_int_equal(tt_timers_next(&f.m), 8000);
	assert_int_equal(tt_lapic_read_msr(vcpu, MSR_TSC_DEADLINE, &value), 0);
	assert_int_equal(value, 1008000);
	fake_machine_run_to(&f, 8000);
	assert_int_equal(fake_take_interrupt(&f), 0xec);
	assert_int_equal(tt_lapic_read_msr(vcpu, MSR_TSC_DEADLINE, &value), 0);
	assert_int_equal(value, 0);
	fake_lapic_write(&f, EOI, 0);
	tt_lapic_write_msr(vcpu, MSR_TSC_DEADLINE, 1); /* in the past: at once */
	assert_int_equal(tt_timers_next(&f.m), 8000);
	fake_machine_run_to(&f, 8000);
	assert_int_equal(fake_take_interrupt(&f), 0xec);
	tt_lapic_write_msr(vcpu, MSR_TSC_DEADLINE, UINT64_MAX); /* stays in the future */
	assert_true(tt_timers_next(&f.m) > 1ull << 62);
	tt_lapic_write_msr(vcpu, MSR_TSC_DEADLINE, 0); /* disarms */
	assert_true(tt_timers_next(&f.m) == TT_TIME_NEVER);
	/* The guest moves its TSC: the deadline is a TSC value. */
	tt_lapic_write_msr(vcpu, MSR_TSC_DEADLINE, 1010000);
	f.seam.ops->set_tsc(&f.seam, vcpu, 1009000);
	tt_lapic_tsc_moved(vcpu);
	assert_int_equal(tt_timers_next(&f.m), 9000);
	fake_lapic_write(&f, LVT_TIMER, 0xec); /* leaving the mode disarms */
	assert_true(tt_timers_next(&f.m) == TT_TIME_NEVER);
	fake_machine_destroy(&f);
}

static void test_restored_state_behaves_the_same(void **state)
{
	struct fake_machine a, b;
	struct tt_device *from, *to;

	(void)state;
	create(&a, 1);
	create(&b, 1);
	fake_pic_init(&a, 0x30);
	send_ipi(&a, 0x51, 0);
	assert_int_equal(fake_take_interrupt(&a), 0x51);
	send_ipi(&a, 0x41, 0);
	send_ipi(&a, 0x71, 0);
	tt_irq_pulse(&a.m, 5);
	for (from = a.m.devices, to = b.m.devices; from; from = from->next, to = to->next) {
		assert_string_equal(from->name, to->name);
		assert_int_equal(from->state_size, to->state_size);
		if (from->state_size)
			memcpy(to->state, from->state, from->state_size);
		if (to->restored)
			to->restored(to);
	}
	assert_int_equal(fake_take_interrupt(&b), 0x71);
	fake_lapic_write(&b, EOI, 0);
	fake_lapic_write(&b, EOI, 0);
	assert_int_equal(fake_take_interrupt(&b), 0x41);
	fake_lapic_write(&b, LVT_LINT0, 0x700);
	assert_int_equal(fake_take_interrupt(&b), 0x35);
	fake_machine_destroy(&a);
	fake_machine_destroy(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_edge_through_ioapic),
		cmocka_unit_test(test_timer_line_is_pin_2),
		cmocka_unit_test(test_level_waits_for_eoi),
		cmocka_unit_test(test_masked_level_is_sent_when_unmasked),
		cmocka_unit_test(test_ioapic_registers),
		cmocka_unit_test(test_msi),
		cmocka_unit_test(test_reset_values),
		cmocka_unit_test(test_priorities),
		cmocka_unit_test(test_destinations),
		cmocka_unit_test(test_init_startup_nmi),
		cmocka_unit_test(test_errors),
		cmocka_unit_test(test_software_disable),
		cmocka_unit_test(test_apic_base),
		cmocka_unit_test(test_partial_accesses),
		cmocka_unit_test(test_lint0_as_fixed_interrupt),
		cmocka_unit_test(test_one_shot),
		cmocka_unit_test(test_divide_values),
		cmocka_unit_test(test_periodic),
		cmocka_unit_test(test_periodic_ticks_wait_for_the_guest),
		cmocka_unit_test(test_tsc_deadline),
		cmocka_unit_test(test_restored_state_behaves_the_same),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
