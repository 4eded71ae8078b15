// SPDX-License-Identifier: GPL-2.0
/*
 * pci.c - PCI bus 0 behind configuration mechanism #1 (ports 0xcf8 and 0xcfc), with a host bridge
 * as device 0.
 */
#include <stdlib.h>

#include "devices.h"
#include "pci.h"

#define PORT_ADDRESS   0xcf8
#define PORT_DATA      0xcfc
#define ADDRESS_ENABLE 0x80000000u

struct pci_state {
	uint32_t address;
	uint32_t reserved;
	uint8_t bridge_config[TT_PCI_CONFIG_SIZE];
};

_Static_assert(sizeof(struct pci_state) == 8 + TT_PCI_CONFIG_SIZE, "digest: no padding");

struct pci {
	struct tt_device dev;
	struct pci_state state;
	struct tt_pci_function bridge;
	struct tt_pci_function *functions;
	struct tt_machine *machine;
};

/*
 * Vendor 1b36 (Red Hat), device 0008: the generic host bridge that no operating system has a driver
 * or quirk for.
 */
static const uint8_t bridge_reset[16] = {
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

int tt_pci_add(struct tt_machine *m, struct tt_pci_function *function)
{
	struct pci *pci = machine_pci(m);

	if (!pci)
		return -ENODEV;
	if (find_function(pci, function->devfn))
		return -EEXIST;
	function->next = pci->functions;
	pci->functions = function;
	return 0;
}

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
	 * Only a whole write is for the address register: 0xcf9 by itself is somebody else's port
	 * on a PC.
	 */
	if (at == 0 && len == 4)
		pci->state.address = tt_io_get(data, len) & 0x80fffffc;
}

static void pci_read(void *ctx, uint64_t addr, void *data, unsigned int len)
{
	struct pci *pci = ctx;
	const struct tt_pci_function *f;
	unsigned int at = addr & 3, offset = (pci->state.address & 0xfc) + at;

	memset(data, 0xff, len);
	if (at + len > 4)
		return;
	if (addr < PORT_DATA) {
		address_read(pci, at, data, len);
		return;
	}
	f = selected_function(pci);
	if (f)
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
	if (f->written)
		f->written(f->ctx, offset, len);
}

static void pci_reset(struct tt_device *dev)
{
	struct pci *pci = (struct pci *)dev;

	memset(&pci->state, 0, sizeof(pci->state));
	memcpy(pci->state.bridge_config, bridge_reset, sizeof(bridge_reset));
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
		.writable = bridge_writable,
	};
	pci->functions = &pci->bridge;
	pci->dev = (struct tt_device){
		.name = "pci",
		.state = &pci->state,
		.state_size = sizeof(pci->state),
		.reset = pci_reset,
		.destroy = pci_destroy,
	};
	pci_reset(&pci->dev);
	tt_device_add(m, &pci->dev);
	ret = tt_bus_add_pio(m, PORT_ADDRESS, 8, pci_read, pci_write, pci);
	return ret ? tt_fail(err, ret, "pci: its ports are taken") : 0;
}
