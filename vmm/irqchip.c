// SPDX-License-Identifier: GPL-2.0
/*
 * irqchip.c - the interrupt system as devices and vCPUs see it: lines in, vectors out. See
 * irqchip.h for the picture.
 */
#include <stdlib.h>

#include "irqchip.h"

#define TIMER_PIN   2 /* ISA interrupt 0 arrives here at the IOAPIC; the MADT says so */
#define MSI_ADDRESS 0xfee00000ull

void tt_irq_set(struct tt_machine *m, unsigned int gsi, bool level)
{
	struct tt_irqchip *irqchip = m->irqchip;

	if (gsi >= TT_NR_GSI || gsi == TIMER_PIN)
		return;
	if (gsi < 16)
		tt_pic_set(irqchip->pic, gsi, level);
	tt_ioapic_set(irqchip->ioapic, gsi == 0 ? TIMER_PIN : gsi, level);
}

bool tt_irq_waits(struct tt_machine *m, unsigned int gsi)
{
	struct tt_irqchip *irqchip = m->irqchip;

	if (gsi < 16 && tt_pic_waits(irqchip->pic, gsi) && tt_lapic_takes_extint(m->vcpus[0].lapic))
		return true;
	return tt_ioapic_waits(irqchip->ioapic, gsi == 0 ? TIMER_PIN : gsi);
}

void tt_irq_pulse(struct tt_machine *m, unsigned int gsi)
{
	tt_irq_set(m, gsi, true);
	tt_irq_set(m, gsi, false);
}

void tt_irq_msi(struct tt_machine *m, uint64_t address, uint32_t data)
{
	struct tt_irq_message message = {
		.destination = address >> 12 & 0xff,
		.vector = data & 0xff,
		.mode = data >> 8 & 7,
		.logical = address & 4,
		.level = data & 0x8000,
	};

	if ((address & ~0xfffffull) == MSI_ADDRESS)
		tt_lapics_deliver(m, &message);
}

int tt_irq_pending(struct tt_vcpu *vcpu)
{
	const struct tt_irqchip *irqchip = vcpu->machine->irqchip;

	if (irqchip->pic_intr && tt_lapic_takes_extint(vcpu->lapic))
		return tt_pic_vector(irqchip->pic);
	return tt_lapic_pending(vcpu->lapic);
}

int tt_irq_acknowledge(struct tt_vcpu *vcpu)
{
	struct tt_irqchip *irqchip = vcpu->machine->irqchip;
	int vector;

	if (irqchip->pic_intr && tt_lapic_takes_extint(vcpu->lapic))
		return tt_pic_acknowledge(irqchip->pic);
	vector = tt_lapic_pending(vcpu->lapic);
	if (vector >= 0)
		tt_lapic_acknowledge(vcpu->lapic, vector);
	return vector;
}

static const struct tt_cpu_signals no_signals;

/* Last in the list, without state of its own: owns struct tt_irqchip. */
struct irqchip_device {
	struct tt_device dev;
	struct tt_irqchip irqchip;
};

void tt_irqchip_set_cpu_signals(struct tt_machine *m, const struct tt_cpu_signals *signals)
{
	struct tt_irqchip *irqchip = m->irqchip;

	irqchip->signals = signals;
}

static void irqchip_reset(struct tt_device *dev)
{
	(void)dev; /* its parts are devices themselves */
}

static void irqchip_destroy(struct tt_device *dev)
{
	struct irqchip_device *device = (struct irqchip_device *)dev;

	device->irqchip.machine->irqchip = NULL;
	free(device);
}

int tt_irqchip_create(struct tt_machine *m, struct tt_error *err)
{
	struct irqchip_device *device = calloc(1, sizeof(*device));
	int ret;

	if (!device)
		return tt_fail(err, -ENOMEM, "out of memory");
	device->dev = (struct tt_device){
		.name = "irqchip",
		.reset = irqchip_reset,
		.destroy = irqchip_destroy,
	};
	device->irqchip.machine = m;
	device->irqchip.signals = &no_signals;
	m->irqchip = &device->irqchip;
	ret = tt_lapics_create(m, err);
	if (!ret)
		ret = tt_pic_create(m, err);
	if (!ret)
		ret = tt_ioapic_create(m, err);
	tt_device_add(m, &device->dev);
	return ret;
}
