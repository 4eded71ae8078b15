// SPDX-License-Identifier: GPL-2.0
/*
 * pci.c - PCI bus 0 behind configuration mechanism #1 (ports 0xcf8 and 0xcfc), with a host bridge
 * as device 0.
 *
 * For a kernel that is booted directly the bridge is one that nobody has a driver or quirk for. A
 * PC BIOS wants to know its bridge, so with firmware it is Intel's 82441FX, as QEMU has it; of that
 * one's registers those are kept that say where RAM shadows the ROM (PAM0-6). They change nothing:
 * there is always RAM, and it can always be written.
 *
 * BARs have addresses from the start, so that a kernel that is booted without firmware finds them
 * assigned; firmware and kernels may move them. Which claims the BARs have on the bus follows from
 * the configuration spaces alone, not from the order in which they were written: where two of them
 * overlap, or one lies on a fixed device, one is left out, always the same.
 */
#include <stdlib.h>

#include "devices.h"
#include "pci.h"

#define PORT_ADDRESS   0xcf8
#define PORT_DATA      0xcfc
#define ADDRESS_ENABLE 0x80000000u
#define CONTROL_RESET  0x04

/* Where BARs are put first: inside the windows of the ACPI tables, away from what is fixed. */
#define FIRST_PORT   0xc000u
#define FIRST_MEMORY 0xe0000000u

#define BAR_IO 1u

struct pci_state {
	uint32_t address;
	uint32_t lines; /* GSIs that functions hold high, as bits */
	uint8_t bridge_config[TT_PCI_CONFIG_SIZE];
};

_Static_assert(sizeof(struct pci_state) == 8 + TT_PCI_CONFIG_SIZE, "digest: no padding");

struct pci {
	struct tt_device dev;
	struct pci_state state;
	struct tt_pci_function bridge;
	uint8_t bridge_writable[TT_PCI_CONFIG_SIZE];
	struct tt_pci_function *functions; /* the latest first */
	uint32_t next_port, next_memory;
	struct tt_machine *machine;
};

/* Vendor 1b36 (Red Hat), device 0008: the generic host bridge. */
static const uint8_t bridge_reset[] = {
	0x36, 0x1b, 0x08, 0x00, /* vendor, device */
	0x07, 0x00, 0x00, 0x00, /* command: I/O, memory, bus master; status */
	0x00, 0x00, 0x00, 0x06, /* revision, class: host bridge */
	0x00, 0x00, 0x00, 0x00,
};

static const uint8_t bridge_writable[TT_PCI_CONFIG_SIZE] = {
	[0x04] = 0x07, [0x05] = 0x05, /* command */
	[0x0c] = 0xff, [0x0d] = 0xff, /* cache line size, latency timer */
	[0x3c] = 0xff,		      /* interrupt line */
};

/*
 * Vendor 8086 (Intel), device 1237: the 82441FX of the 440FX. Its subsystem says QEMU to SeaBIOS.
 */
static const uint8_t pc_bridge_reset[] = {
	0x86, 0x80, 0x37, 0x12, /* vendor, device */
	0x07, 0x00, 0x00, 0x00, /* command: I/O, memory, bus master; status */
	0x02, 0x00, 0x00, 0x06, /* revision, class: host bridge */
	0x00, 0x00, 0x00, 0x00, [0x2c] = 0xf4, 0x1a, 0x00, 0x11, /* subsystem */
};

static const uint8_t pc_bridge_writable[TT_PCI_CONFIG_SIZE] = {
	[0x04] = 0x07, [0x05] = 0x05, /* command */
	[0x0c] = 0xff, [0x0d] = 0xff, /* cache line size, latency timer */
	[0x59] = 0x33, 0x33,	      0x33, 0x33, 0x33, 0x33, 0x33, /* PAM0-6 */
};

static struct tt_pci_function *find_function(struct pci *pci, unsigned int devfn)
{
	struct tt_pci_function *f;

	for (f = pci->functions; f; f = f->next) {
		if (f->devfn == devfn)
			return f;
	}
	return NULL;
}

/* The one PCI bus of the machine, found by its device. */
static struct pci *machine_pci(struct tt_machine *m)
{
	struct tt_device *dev;

	for (dev = m->devices; dev; dev = dev->next) {
		if (!strcmp(dev->name, "pci"))
			return (struct pci *)dev;
	}
	return NULL;
}

/* ------------------------------------------------------------------ BARs */

static uint32_t bar_type(const struct tt_pci_bar *bar)
{
	return bar->io ? BAR_IO : 0; /* memory: 32 bits, not prefetchable */
}

static void unmap_bars(struct pci *pci, struct tt_pci_function *f)
{
	unsigned int i;

	for (i = 0; i < TT_PCI_NUM_BARS; i++) {
		if (f->mapped[i] && f->bars[i].io)
			tt_bus_remove_pio(pci->machine, f->mapped[i]);
		else if (f->mapped[i])
			tt_bus_remove_mmio(pci->machine, f->mapped[i]);
		f->mapped[i] = 0;
	}
}

/* Claim what the BARs say, as far as the command register lets them decode it and it is free. */
static void map_bars(struct pci *pci, struct tt_pci_function *f)
{
	uint16_t command = tt_pci_get16(f->config, TT_PCI_COMMAND);
	unsigned int i;

	for (i = 0; i < TT_PCI_NUM_BARS; i++) {
		const struct tt_pci_bar *bar = &f->bars[i];
		uint32_t base = tt_pci_get32(f->config, TT_PCI_BAR + 4 * i) & -bar->size;
		int ret = -ENOENT;

		if (!bar->size || !base)
			continue;
		if (bar->io && (command & TT_PCI_COMMAND_IO) && base <= UINT16_MAX)
			ret = tt_bus_add_pio(pci->machine, base, bar->size, bar->read, bar->write,
					     f->ctx);
		else if (!bar->io && (command & TT_PCI_COMMAND_MEMORY))
			ret = tt_bus_add_mmio(pci->machine, base, bar->size, bar->read, bar->write,
					      f->ctx);
		if (!ret)
			f->mapped[i] = base;
	}
}

static void remap_all(struct pci *pci)
{
	struct tt_pci_function *f;

	for (f = pci->functions; f; f = f->next)
		unmap_bars(pci, f);
	for (f = pci->functions; f; f = f->next)
		map_bars(pci, f);
}

static void assign_bars(struct pci *pci, struct tt_pci_function *f)
{
	unsigned int i;

	for (i = 0; i < TT_PCI_NUM_BARS; i++) {
		uint32_t size = f->bars[i].size;
		uint32_t *next = f->bars[i].io ? &pci->next_port : &pci->next_memory;

		if (!size)
			continue;
		*next = (*next + size - 1) & -size;
		tt_pci_put32(f->config, TT_PCI_BAR + 4 * i, *next | bar_type(&f->bars[i]));
		tt_pci_put32(f->writable, TT_PCI_BAR + 4 * i, -size);
		*next += size;
	}
}

int tt_pci_add(struct tt_machine *m, struct tt_pci_function *function)
{
	struct pci *pci = machine_pci(m);

	if (!pci)
		return -ENODEV;
	if (find_function(pci, function->devfn))
		return -EEXIST;
	assign_bars(pci, function);
	function->next = pci->functions;
	pci->functions = function;
	return 0;
}

/* ------------------------------------------------------------------ interrupts */

/* The line of a GSI is high while a function on it asks for that and may. */
static void update_lines(struct pci *pci)
{
	const struct tt_pci_function *f;
	uint32_t lines = 0, changed;
	unsigned int gsi;

	for (f = pci->functions; f; f = f->next) {
		if ((tt_pci_get16(f->config, TT_PCI_STATUS) & TT_PCI_STATUS_INTERRUPT) &&
		    !(tt_pci_get16(f->config, TT_PCI_COMMAND) & TT_PCI_COMMAND_INTX_DISABLE))
			lines |= 1u << TT_PCI_GSI(f->devfn >> 3);
	}
	changed = lines ^ pci->state.lines;
	pci->state.lines = lines;
	for (gsi = 0; gsi < TT_NR_GSI; gsi++) {
		if (changed & 1u << gsi)
			tt_irq_set(pci->machine, gsi, lines & 1u << gsi);
	}
}

void tt_pci_set_intx(struct tt_machine *m, struct tt_pci_function *function, bool level)
{
	uint16_t status = tt_pci_get16(function->config, TT_PCI_STATUS) & ~TT_PCI_STATUS_INTERRUPT;

	tt_pci_put16(function->config, TT_PCI_STATUS,
		     level ? status | TT_PCI_STATUS_INTERRUPT : status);
	update_lines(machine_pci(m));
}

void tt_pci_config_changed(struct tt_machine *m)
{
	struct pci *pci = machine_pci(m);

	remap_all(pci);
	update_lines(pci);
}

/* ------------------------------------------------------------------ configuration space */

/* The function that the address register selects, or NULL. */
static struct tt_pci_function *selected_function(struct pci *pci)
{
	uint32_t address = pci->state.address;

	if (!(address & ADDRESS_ENABLE) || (address >> 16 & 0xff) != 0)
		return NULL;
	return find_function(pci, address >> 8 & 0xff);
}

static void address_read(struct pci *pci, unsigned int at, void *data, unsigned int len)
{
	tt_io_put(data, len, pci->state.address >> at * 8);
}

static void address_write(struct pci *pci, unsigned int at, const void *data, unsigned int len)
{
	/*
	 * Only a whole write is for the address register. 0xcf9 by itself is another port of the
	 * chip set that a BIOS knows: it resets.
	 */
	if (at == 0 && len == 4)
		pci->state.address = tt_io_get(data, len) & 0x80fffffc;
	else if (at == 1 && len == 1 && pci->machine->config.firmware.size &&
		 (tt_io_get(data, len) & CONTROL_RESET))
		tt_machine_end(pci->machine, TT_END_RESET, 0);
}

static void pci_read(void *ctx, uint64_t addr, void *data, unsigned int len)
{
	struct pci *pci = ctx;
	struct tt_pci_function *f;
	unsigned int at = addr & 3, offset = (pci->state.address & 0xfc) + at;

	memset(data, 0xff, len);
	if (at + len > 4)
		return;
	if (addr < PORT_DATA) {
		address_read(pci, at, data, len);
		return;
	}
	f = selected_function(pci);
	if (!f)
		return;
	if (f->reading)
		f->reading(f->ctx, offset, len);
	memcpy(data, &f->config[offset], len);
}

static void pci_write(void *ctx, uint64_t addr, const void *data, unsigned int len)
{
	struct pci *pci = ctx;
	struct tt_pci_function *f;
	const uint8_t *bytes = data;
	unsigned int at = addr & 3, offset = (pci->state.address & 0xfc) + at, i;

	if (at + len > 4)
		return;
	if (addr < PORT_DATA) {
		address_write(pci, at, data, len);
		return;
	}
	f = selected_function(pci);
	if (!f)
		return;
	for (i = 0; i < len; i++) {
		uint8_t writable = f->writable[offset + i];

		f->config[offset + i] = (f->config[offset + i] & ~writable) | (bytes[i] & writable);
	}
	if (offset >= TT_PCI_COMMAND && offset < TT_PCI_BAR + 4 * TT_PCI_NUM_BARS) {
		remap_all(pci);
		update_lines(pci);
	}
	if (f->written)
		f->written(f->ctx, offset, len);
}

static void pci_reset(struct tt_device *dev)
{
	struct pci *pci = (struct pci *)dev;

	pci->state.address = 0; /* the lines go down as the functions are reset */
	memset(pci->state.bridge_config, 0, sizeof(pci->state.bridge_config));
	if (pci->machine->config.firmware.size)
		memcpy(pci->state.bridge_config, pc_bridge_reset, sizeof(pc_bridge_reset));
	else
		memcpy(pci->state.bridge_config, bridge_reset, sizeof(bridge_reset));
}

static void pci_restored(struct tt_device *dev)
{
	remap_all((struct pci *)dev);
}

static void pci_destroy(struct tt_device *dev)
{
	free(dev);
}

int tt_pci_create(struct tt_machine *m, struct tt_error *err)
{
	struct pci *pci = calloc(1, sizeof(*pci));
	int ret;

	if (!pci)
		return tt_fail(err, -ENOMEM, "out of memory");
	pci->machine = m;
	pci->bridge = (struct tt_pci_function){
		.devfn = TT_PCI_DEVFN(0, 0),
		.config = pci->state.bridge_config,
		.writable = pci->bridge_writable,
	};
	memcpy(pci->bridge_writable, m->config.firmware.size ? pc_bridge_writable : bridge_writable,
	       sizeof(pci->bridge_writable));
	pci->next_port = FIRST_PORT;
	pci->next_memory = FIRST_MEMORY;
	pci->functions = &pci->bridge;
	pci->dev = (struct tt_device){
		.name = "pci",
		.state = &pci->state,
		.state_size = sizeof(pci->state),
		.reset = pci_reset,
		.restored = pci_restored,
		.destroy = pci_destroy,
	};
	pci_reset(&pci->dev);
	tt_device_add(m, &pci->dev);
	ret = tt_bus_add_pio(m, PORT_ADDRESS, 8, pci_read, pci_write, pci);
	return ret ? tt_fail(err, ret, "pci: its ports are taken") : 0;
}
