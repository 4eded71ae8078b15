// SPDX-License-Identifier: GPL-2.0
/*
 * virtio_msix.c - MSI-X (PCI Local Bus specification 3.0, section 6.8.2): a table of messages, each
 * of which can be masked, and a bit for each that says what waits behind a mask.
 */
#include <string.h>

#include "devices.h"
#include "virtio.h"

#define CAPABILITY_MSIX 0x11

#define CONTROL_ENABLE	 0x8000
#define CONTROL_MASK_ALL 0x4000

#define ENTRY_SIZE   16
#define ENTRY_MASKED 1u

void tt_msix_capability(uint8_t *config, uint8_t *writable, unsigned int at, unsigned int vectors,
			unsigned int bar, uint32_t offset)
{
	config[at] = CAPABILITY_MSIX;
	tt_pci_put16(config, at + 2, vectors - 1);
	tt_pci_put32(config, at + 4, offset | bar);
	tt_pci_put32(config, at + 8, (offset + TT_MSIX_TABLE_SIZE) | bar);
	tt_pci_put16(writable, at + 2, CONTROL_ENABLE | CONTROL_MASK_ALL);
}

/* Message control. The capability is the first one of every virtio device. */
static uint16_t control(const struct tt_virtio *v)
{
	const uint8_t *config = v->state.pci;

	return tt_pci_get16(config, config[TT_PCI_CAPABILITIES] + 2);
}

static unsigned int num_vectors(const struct tt_virtio *v)
{
	return v->class->num_queues + 1;
}

bool tt_msix_enabled(const struct tt_virtio *v)
{
	return control(v) & CONTROL_ENABLE;
}

void tt_msix_unmasked(struct tt_virtio *v)
{
	struct tt_msix_state *msix = &v->state.msix;
	unsigned int i;

	if ((control(v) & (CONTROL_ENABLE | CONTROL_MASK_ALL)) != CONTROL_ENABLE)
		return;
	for (i = 0; i < num_vectors(v); i++) {
		if (!(msix->pending & 1ull << i) || (msix->table[i].control & ENTRY_MASKED))
			continue;
		msix->pending &= ~(1ull << i);
		tt_irq_msi(v->machine, msix->table[i].address, msix->table[i].data);
	}
}

void tt_msix_raise(struct tt_virtio *v, uint16_t vector)
{
	if (vector >= num_vectors(v))
		return;
	v->state.msix.pending |= 1ull << vector;
	tt_msix_unmasked(v);
}

/* Table and pending bits as the guest sees them: dwords, of which it may access one or two. */
static uint32_t *table_dword(struct tt_virtio *v, uint32_t offset)
{
	return offset < num_vectors(v) * ENTRY_SIZE ? (uint32_t *)v->state.msix.table + offset / 4
						    : NULL;
}

static uint32_t read_dword(struct tt_virtio *v, uint32_t offset)
{
	const uint32_t *dword = table_dword(v, offset);

	if (dword)
		return *dword;
	return offset == TT_MSIX_TABLE_SIZE ? v->state.msix.pending : 0;
}

void tt_msix_read(struct tt_virtio *v, uint32_t offset, void *data, unsigned int len)
{
	uint32_t dwords[3];
	unsigned int i;

	for (i = 0; i < 3; i++)
		dwords[i] = read_dword(v, (offset & ~3u) + 4 * i);
	memcpy(data, (uint8_t *)dwords + (offset & 3), len);
}

void tt_msix_write(struct tt_virtio *v, uint32_t offset, const void *data, unsigned int len)
{
	uint32_t *dword;
	unsigned int i;

	if (offset % 4 || len % 4)
		return; /* "software must use aligned full DWORD or QWORD transactions" */
	for (i = 0; i < len; i += 4) {
		dword = table_dword(v, offset + i);
		if (!dword)
			return;
		memcpy(dword, (const uint8_t *)data + i, 4);
		if ((offset + i) % ENTRY_SIZE == 12)
			*dword &= ENTRY_MASKED;
	}
	tt_msix_unmasked(v);
}
