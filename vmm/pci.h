/* SPDX-License-Identifier: GPL-2.0 */
/*
 * pci.h - how a device appears on PCI bus 0.
 */
#ifndef TTVM_PCI_H
#define TTVM_PCI_H

#include "vmm.h"

#define TT_PCI_CONFIG_SIZE	       256
#define TT_PCI_DEVFN(device, function) ((device) << 3 | (function))

/*
 * One function. config and writable belong to the device (config is part of its state) and live as
 * long as the machine. A guest's write changes the bits that are set in writable; a BAR of 2^n
 * bytes has its bits n and up writable, which is all that sizing needs.
 */
struct tt_pci_function {
	uint8_t devfn;
	uint8_t *config;	 /* TT_PCI_CONFIG_SIZE bytes, little-endian */
	const uint8_t *writable; /* as many */
	/* config[offset .. offset+len) was written. May be NULL. */
	void (*written)(void *ctx, unsigned int offset, unsigned int len);
	void *ctx;
	struct tt_pci_function *next;
};

/*
 * After tt_pci_create(), before the guest runs. function is borrowed. -EEXIST: that devfn is taken.
 */
int tt_pci_add(struct tt_machine *m, struct tt_pci_function *function);

#endif /* TTVM_PCI_H */
