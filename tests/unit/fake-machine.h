/* SPDX-License-Identifier: GPL-2.0 */
/*
 * fake-machine.h - a machine for unit tests of devices: the real devices and interrupt controllers,
 * RAM, but no KVM, and a clock that the test sets. Only time is fake.
 */
#ifndef TTVM_FAKE_MACHINE_H
#define TTVM_FAKE_MACHINE_H

#include "vmm.h"

#define FAKE_TSC_HZ    2000000000ull /* two ticks per nanosecond */
#define FAKE_MAX_VCPUS 4
#define FAKE_RAM_SIZE  (2u << 20)

struct fake_machine {
	struct tt_machine m;
	struct tt_seam seam;
	uint64_t now;	     /* virtual time, ticks */
	uint64_t tsc_offset; /* guest TSC - now */
	char console[4096];  /* what COM1 has sent */
	size_t console_len;
};

/*
 * Interrupt controllers and all devices; vCPU 0 is the one that accesses them. wall_clock in
 * seconds since the epoch.
 */
void fake_machine_create(struct fake_machine *f, unsigned int num_vcpus, uint64_t wall_clock);
/* The same without any device: for tests of bus, timers and inputs. */
void fake_machine_create_bare(struct fake_machine *f, unsigned int num_vcpus);
void fake_machine_destroy(struct fake_machine *f);

/* Let time pass: set it to now, then run the timers that are due. */
void fake_machine_run_to(struct fake_machine *f, uint64_t now);
uint64_t fake_ns(uint64_t ns);

/* The interrupt that vCPU 0 would take: acknowledged, or -1. */
int fake_take_interrupt(struct fake_machine *f);

uint8_t fake_inb(struct fake_machine *f, uint16_t port);
uint16_t fake_inw(struct fake_machine *f, uint16_t port);
uint32_t fake_inl(struct fake_machine *f, uint16_t port);
void fake_outb(struct fake_machine *f, uint16_t port, uint8_t value);
void fake_outw(struct fake_machine *f, uint16_t port, uint16_t value);
void fake_outl(struct fake_machine *f, uint16_t port, uint32_t value);
uint32_t fake_readl(struct fake_machine *f, uint64_t addr);
void fake_writel(struct fake_machine *f, uint64_t addr, uint32_t value);

/* LAPIC registers of the accessing vCPU by their offset. */
#define fake_lapic_read(f, offset)	   fake_readl(f, TT_LAPIC_BASE + (offset))
#define fake_lapic_write(f, offset, value) fake_writel(f, TT_LAPIC_BASE + (offset), value)
/* Enable the LAPIC of vCPU 0 by software, spurious vector 0xff, virtual wire off. */
void fake_lapic_enable(struct fake_machine *f);
void fake_ioapic_write(struct fake_machine *f, uint8_t index, uint32_t value);
uint32_t fake_ioapic_read(struct fake_machine *f, uint8_t index);
/* Initialise the PIC pair as Linux does: vectors base and base + 8, all lines enabled. */
void fake_pic_init(struct fake_machine *f, uint8_t base);

/* A copy of all device state, in order; the caller frees it. */
uint8_t *fake_machine_state(struct fake_machine *f, size_t *size);

#endif /* TTVM_FAKE_MACHINE_H */
