// SPDX-License-Identifier: GPL-2.0
/*
 * fake-machine.c - see fake-machine.h.
 */
#include <stdlib.h>
#include <string.h>

#include "fake-machine.h"
#include "internal.h"

static struct fake_machine *fake_of(struct tt_seam *seam)
{
	return (struct fake_machine *)((char *)seam - offsetof(struct fake_machine, seam));
}

static uint64_t fake_now(struct tt_seam *self, struct tt_vcpu *vcpu)
{
	(void)vcpu;
	return fake_of(self)->now;
}

static void fake_set_tsc(struct tt_seam *self, struct tt_vcpu *vcpu, uint64_t value)
{
	(void)vcpu;
	fake_of(self)->tsc_offset = value - fake_of(self)->now;
}

static uint64_t fake_guest_tsc(struct tt_seam *self, struct tt_vcpu *vcpu)
{
	(void)vcpu;
	return fake_of(self)->now + fake_of(self)->tsc_offset;
}

static int fake_attempt(struct tt_seam *self, struct tt_vcpu *vcpu, int (*perform)(void *ctx), void *ctx)
{
	(void)self;
	(void)vcpu;
	return perform(ctx);
}

static uint64_t fake_instructions(struct tt_seam *self, struct tt_vcpu *vcpu)
{
	(void)vcpu;
	return fake_of(self)->now;
}

/* The vCPUs never run: the other calls are not made. */
static const struct tt_seam_ops fake_ops = {
	.name = "fake",
	.attempt = fake_attempt,
	.instructions = fake_instructions,
	.now = fake_now,
	.set_tsc = fake_set_tsc,
	.guest_tsc = fake_guest_tsc,
};

static void fake_console_write(void *ctx, const void *data, size_t len)
{
	struct fake_machine *f = ctx;

	if (len > sizeof(f->console) - f->console_len)
		len = sizeof(f->console) - f->console_len;
	memcpy(f->console + f->console_len, data, len);
	f->console_len += len;
}

void fake_machine_create_bare(struct fake_machine *f, unsigned int num_vcpus)
{
	struct tt_machine *m = &f->m;
	unsigned int i;

	memset(f, 0, sizeof(*f));
	f->seam.ops = &fake_ops;
	m->seam = &f->seam;
	m->kvm_fd = m->vm_fd = -1;
	m->config.num_vcpus = num_vcpus;
	m->config.tsc_hz = FAKE_TSC_HZ;
	m->config.memory_size = FAKE_RAM_SIZE;
	m->memory.hva = calloc(1, FAKE_RAM_SIZE);
	m->memory.size = m->memory.low_size = FAKE_RAM_SIZE;
	m->console_write = fake_console_write;
	m->console_ctx = f;
	pthread_mutex_init(&m->device_lock, NULL);
	m->vcpus = calloc(num_vcpus, sizeof(*m->vcpus));
	if (!m->vcpus || !m->memory.hva)
		abort();
	for (i = 0; i < num_vcpus; i++) {
		m->vcpus[i].machine = m;
		m->vcpus[i].index = i;
		m->vcpus[i].fd = -1;
	}
	m->current = &m->vcpus[0];
	if (tt_pause_create(m, NULL))
		abort();
}

void fake_machine_create(struct fake_machine *f, unsigned int num_vcpus, uint64_t wall_clock)
{
	struct tt_error err = { 0 };

	fake_machine_create_bare(f, num_vcpus);
	f->m.config.wall_clock = wall_clock;
	if (tt_irqchip_create(&f->m, &err) || tt_devices_create(&f->m, &err)) {
		fprintf(stderr, "%s\n", err.text);
		abort();
	}
}

void fake_machine_destroy(struct fake_machine *f)
{
	struct tt_machine *m = &f->m;

	while (m->devices) {
		struct tt_device *dev = m->devices;

		m->devices = dev->next;
		dev->destroy(dev);
	}
	tt_bus_destroy(m);
	tt_timers_destroy(m);
	tt_inputs_destroy(m);
	tt_pause_destroy(m);
	pthread_mutex_destroy(&m->device_lock);
	free(m->vcpus);
	free(m->memory.hva);
}

void fake_machine_run_to(struct fake_machine *f, uint64_t now)
{
	f->now = now;
	tt_timers_run(&f->m, now);
}

uint64_t fake_ns(uint64_t ns)
{
	return ns * (FAKE_TSC_HZ / 1000000000);
}

int fake_take_interrupt(struct fake_machine *f)
{
	if (tt_irq_pending(&f->m.vcpus[0]) < 0)
		return -1;
	return tt_irq_acknowledge(&f->m.vcpus[0]);
}

static uint32_t fake_in(struct fake_machine *f, uint16_t port, unsigned int len)
{
	uint32_t value = 0;

	tt_bus_pio(&f->m, port, &value, len, false);
	return value;
}

uint8_t fake_inb(struct fake_machine *f, uint16_t port)
{
	return fake_in(f, port, 1);
}

uint16_t fake_inw(struct fake_machine *f, uint16_t port)
{
	return fake_in(f, port, 2);
}

uint32_t fake_inl(struct fake_machine *f, uint16_t port)
{
	return fake_in(f, port, 4);
}

void fake_outb(struct fake_machine *f, uint16_t port, uint8_t value)
{
	tt_bus_pio(&f->m, port, &value, 1, true);
}

void fake_outw(struct fake_machine *f, uint16_t port, uint16_t value)
{
	tt_bus_pio(&f->m, port, &value, 2, true);
}

void fake_outl(struct fake_machine *f, uint16_t port, uint32_t value)
{
	tt_bus_pio(&f->m, port, &value, 4, true);
}

uint32_t fake_readl(struct fake_machine *f, uint64_t addr)
{
	uint32_t value = 0;

	tt_bus_mmio(&f->m, addr, &value, 4, false);
	return value;
}

void fake_writel(struct fake_machine *f, uint64_t addr, uint32_t value)
{
	tt_bus_mmio(&f->m, addr, &value, 4, true);
}

void fake_lapic_enable(struct fake_machine *f)
{
	fake_lapic_write(f, 0xf0, 0x1ff);
	fake_lapic_write(f, 0x350, 0x10000);
}

void fake_ioapic_write(struct fake_machine *f, uint8_t index, uint32_t value)
{
	fake_writel(f, TT_IOAPIC_BASE, index);
	fake_writel(f, TT_IOAPIC_BASE + 0x10, value);
}

uint32_t fake_ioapic_read(struct fake_machine *f, uint8_t index)
{
	fake_writel(f, TT_IOAPIC_BASE, index);
	return fake_readl(f, TT_IOAPIC_BASE + 0x10);
}

void fake_pic_init(struct fake_machine *f, uint8_t base)
{
	fake_outb(f, 0x20, 0x11);
	fake_outb(f, 0x21, base);
	fake_outb(f, 0x21, 0x04);
	fake_outb(f, 0x21, 0x01);
	fake_outb(f, 0xa0, 0x11);
	fake_outb(f, 0xa1, base + 8);
	fake_outb(f, 0xa1, 0x02);
	fake_outb(f, 0xa1, 0x01);
	fake_outb(f, 0x21, 0x00);
	fake_outb(f, 0xa1, 0x00);
}

uint8_t *fake_machine_state(struct fake_machine *f, size_t *size)
{
	const struct tt_device *dev;
	uint8_t *state, *at;

	*size = 0;
	for (dev = f->m.devices; dev; dev = dev->next)
		*size += dev->state_size;
	state = at = malloc(*size);
	if (!state)
		abort();
	for (dev = f->m.devices; dev; dev = dev->next) {
		if (dev->state_size)
			memcpy(at, dev->state, dev->state_size);
		at += dev->state_size;
	}
	return state;
}
