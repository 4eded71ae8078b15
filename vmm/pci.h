/* SPDX-License-Identifier: GPL-2.0 */
/*
 * pci.h - how a device appears on PCI bus 0.
 */
#ifndef TTVM_PCI_H
#define TTVM_PCI_H

#include "vmm.h"

#define TT_PCI_CONFIG_SIZE	       256
#define TT_PCI_NUM_DEVICES	       32
#define TT_PCI_NUM_BARS		       6
#define TT_PCI_DEVFN(device, function) ((device) << 3 | (function))

/*
 * INTA of a device: 10 or 11, so that the PIC has it as well; level-triggered, as PCI is. ACPI's _PRT
 * and the interrupt line registers say the same, and so does SeaBIOS for the PC's bridge.
 */
#define TT_PCI_GSI(device) (10u + (((device) + 3) >> 1 & 1))

/* Registers of the configuration space that all functions have. */
#define TT_PCI_COMMAND	      0x04
#define TT_PCI_STATUS	      0x06
#define TT_PCI_BAR	      0x10
#define TT_PCI_CAPABILITIES   0x34
#define TT_PCI_INTERRUPT_LINE 0x3c
#define TT_PCI_INTERRUPT_PIN  0x3d

#define TT_PCI_COMMAND_IO	    0x0001
#define TT_PCI_COMMAND_MEMORY	    0x0002
#define TT_PCI_COMMAND_INTX_DISABLE 0x0400
#define TT_PCI_STATUS_INTERRUPT	    0x0008
#define TT_PCI_STATUS_CAPABILITIES  0x0010

/*
 * A range of ports or memory that the guest can move. It is aligned to its size, a power of two, so
 * that addr & (size - 1) is the offset of an access. I/O ranges have 4 bytes or more, memory (32
 * bits) 16 or more.
 */
struct tt_pci_bar {
	uint32_t size; /* 0: there is no such BAR */
	bool io;
	tt_io_read read;
	tt_io_write write;
};

/*
 * One function. config and writable belong to the device (config is part of its state) and live as
 * long as the machine. A guest's write changes the bits that are set in writable.
 */
struct tt_pci_function {
	uint8_t devfn;
	uint8_t *config;   /* TT_PCI_CONFIG_SIZE bytes, little-endian */
	uint8_t *writable; /* as many */
	struct tt_pci_bar bars[TT_PCI_NUM_BARS];
	/* config[offset .. offset+len) is about to be read; was written. May be NULL. */
	void (*reading)(void *ctx, unsigned int offset, unsigned int len);
	void (*written)(void *ctx, unsigned int offset, unsigned int len);
	void *ctx; /* of these two, and of the BARs */
	/* pci.c's own */
	uint32_t mapped[TT_PCI_NUM_BARS]; /* where the BAR is claimed on the bus, 0: nowhere */
	struct tt_pci_function *next;
};

/*
 * After tt_pci_create(), before the guest runs. function is borrowed. Gives each BAR an address, and
 * fills in the BARs of config and writable. -EEXIST: that devfn is taken.
 */
int tt_pci_add(struct tt_machine *m, struct tt_pci_function *function);
/* The config of a function was changed by somebody else than the guest: reset, checkpoint. */
void tt_pci_config_changed(struct tt_machine *m);
/* The function asks for an interrupt with its pin INTA, or does not any more. */
void tt_pci_set_intx(struct tt_machine *m, struct tt_pci_function *function, bool level);

/* Little-endian fields of a configuration space. */
static inline uint16_t tt_pci_get16(const uint8_t *config, unsigned int offset)
{
	return config[offset] | config[offset + 1] << 8;
}

static inline uint32_t tt_pci_get32(const uint8_t *config, unsigned int offset)
{
	return tt_pci_get16(config, offset) | (uint32_t)tt_pci_get16(config, offset + 2) << 16;
}

static inline void tt_pci_put16(uint8_t *config, unsigned int offset, uint16_t value)
{
	config[offset] = value & 0xff;
	config[offset + 1] = value >> 8;
}

static inline void tt_pci_put32(uint8_t *config, unsigned int offset, uint32_t value)
{
	tt_pci_put16(config, offset, value & 0xffff);
	tt_pci_put16(config, offset + 2, value >> 16);
}

#endif /* TTVM_PCI_H */
