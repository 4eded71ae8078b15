// SPDX-License-Identifier: GPL-2.0
/*
 * acpi_pm.c - ACPI fixed hardware: PM1 event and control registers, the power management timer, the
 * reset register. ACPI specification 6.4, chapter 4.8.
 *
 * The machine is always in ACPI mode (no SMI command port). The timer has 32 bits. Its carry status
 * is worked out when somebody looks, or by a timer of ours when the guest has enabled its
 * interrupt.
 */
#include <stdlib.h>

#include "acpi.h"
#include "devices.h"

#define PM_TIMER_HZ   3579545
#define PM_TIMER_HALF (1ull << 31) /* the status is set whenever bit 31 changes */

#define STATUS_TIMER 0x0001
/* Write 1 to clear: timer, bus master, global lock, buttons, RTC, wake. */
#define STATUS_WRITABLE 0x8731
#define ENABLE_WRITABLE 0x4721

#define CONTROL_SCI_EN	   0x0001
#define CONTROL_WRITABLE   0x1c03 /* SCI_EN, BM_RLD, SLP_TYP; GBL_RLS reads as 0 */
#define CONTROL_SLEEP	   0x2000
#define CONTROL_SLEEP_TYPE 10

struct acpi_pm_state {
	uint64_t deadline; /* of the next carry, while its interrupt is enabled */
	uint64_t carries;  /* changes of bit 31 that have been accounted for */
	uint16_t status;
	uint16_t enable;
	uint16_t control;
	uint8_t irq; /* level of the SCI */
	uint8_t reserved;
};

_Static_assert(sizeof(struct acpi_pm_state) == 24, "digest: no padding");

struct acpi_pm {
	struct tt_device dev;
	struct acpi_pm_state state;
	struct tt_machine *machine;
};

static uint64_t pm_timer(const struct acpi_pm *pm, uint64_t now)
{
	return tt_scale(now, PM_TIMER_HZ, pm->machine->config.tsc_hz);
}

/* Status, interrupt line and our timer as they are at now. */
static void update(struct acpi_pm *pm, uint64_t now)
{
	struct acpi_pm_state *s = &pm->state;
	uint64_t carries = pm_timer(pm, now) / PM_TIMER_HALF;
	uint8_t irq;

	if (carries != s->carries) {
		s->carries = carries;
		s->status |= STATUS_TIMER;
	}
	s->deadline = TT_TIME_NEVER;
	if (s->enable & STATUS_TIMER)
		s->deadline = tt_scale_up((carries + 1) * PM_TIMER_HALF, pm->machine->config.tsc_hz,
					  PM_TIMER_HZ);
	irq = (s->status & s->enable) != 0;
	if (irq != s->irq) {
		s->irq = irq;
		tt_irq_set(pm->machine, TT_GSI_ACPI_SCI, irq);
	}
}

static void timer_fire(void *ctx, uint64_t now)
{
	update(ctx, now);
}

static void write_control(struct acpi_pm *pm, uint16_t value)
{
	pm->state.control = (value & CONTROL_WRITABLE) | CONTROL_SCI_EN;
	if ((value & CONTROL_SLEEP) && (value >> CONTROL_SLEEP_TYPE & 7) == TT_ACPI_S5)
		tt_machine_end(pm->machine, TT_END_POWEROFF, 0);
}

/* The four bytes at a register block, as they read. */
static uint32_t read_block(struct acpi_pm *pm, unsigned int block)
{
	struct acpi_pm_state *s = &pm->state;
	uint64_t now = tt_machine_now(pm->machine);

	switch (block) {
	case TT_PORT_ACPI_PM1_EVENT:
		update(pm, now);
		return s->status | (uint32_t)s->enable << 16;
	case TT_PORT_ACPI_PM1_CONTROL:
		return s->control;
	case TT_PORT_ACPI_PM_TIMER:
		return pm_timer(pm, now);
	default:
		return 0;
	}
}

static void acpi_pm_read(void *ctx, uint64_t addr, void *data, unsigned int len)
{
	unsigned int at = addr & 3;

	memset(data, 0xff, len);
	if (at + len <= 4)
		tt_io_put(data, len, read_block(ctx, addr - at) >> at * 8);
}

static void acpi_pm_write(void *ctx, uint64_t addr, const void *data, unsigned int len)
{
	struct acpi_pm *pm = ctx;
	struct acpi_pm_state *s = &pm->state;
	unsigned int at = addr & 3;
	uint64_t value, mask;

	if (at + len > 4)
		return;
	value = tt_io_get(data, len) << at * 8;
	mask = 0xffffffffull >> (4 - len) * 8 << at * 8;
	switch (addr - at) {
	case TT_PORT_ACPI_PM1_EVENT:
		update(pm, tt_machine_now(pm->machine));
		s->status &= ~(value & STATUS_WRITABLE);
		mask >>= 16;
		s->enable = (s->enable & ~mask) | (value >> 16 & mask & ENABLE_WRITABLE);
		update(pm, tt_machine_now(pm->machine));
		break;
	case TT_PORT_ACPI_PM1_CONTROL:
		write_control(pm, (s->control & ~mask) | (value & mask));
		break;
	case TT_PORT_ACPI_RESET:
		if (at == 0 && (value & 0xff) == TT_ACPI_RESET_VALUE)
			tt_machine_end(pm->machine, TT_END_RESET, 0);
		break;
	}
}

static void acpi_pm_reset(struct tt_device *dev)
{
	struct acpi_pm *pm = (struct acpi_pm *)dev;

	if (pm->state.irq)
		tt_irq_set(pm->machine, TT_GSI_ACPI_SCI, false);
	memset(&pm->state, 0, sizeof(pm->state));
	pm->state.deadline = TT_TIME_NEVER;
	pm->state.control = CONTROL_SCI_EN;
}

static void acpi_pm_destroy(struct tt_device *dev)
{
	free(dev);
}

int tt_acpi_pm_create(struct tt_machine *m, struct tt_error *err)
{
	struct acpi_pm *pm = calloc(1, sizeof(*pm));
	int ret;

	if (!pm)
		return tt_fail(err, -ENOMEM, "out of memory");
	pm->machine = m;
	pm->dev = (struct tt_device){
		.name = "acpi-pm",
		.state = &pm->state,
		.state_size = sizeof(pm->state),
		.reset = acpi_pm_reset,
		.destroy = acpi_pm_destroy,
	};
	acpi_pm_reset(&pm->dev);
	tt_device_add(m, &pm->dev);
	tt_timer_add(m, &pm->state.deadline, timer_fire, pm);
	ret = tt_bus_add_pio(m, TT_PORT_ACPI_PM1_EVENT, TT_ACPI_PORTS_SIZE, acpi_pm_read,
			     acpi_pm_write, pm);
	return ret ? tt_fail(err, ret, "acpi-pm: its ports are taken") : 0;
}
