// SPDX-License-Identifier: GPL-2.0
/*
 * test_virtio_pci.c - virtio's transport: discovery, BARs, negotiation, INTx and MSI-X.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "pci.h"
#include "virtio-driver.h"
#include "virtio.h"

static struct driver *create(void)
{
	struct driver *d = malloc(sizeof(*d));

	assert_non_null(d);
	driver_create(d);
	return d;
}

static void destroy(struct driver *d)
{
	driver_destroy(d);
	free(d);
}

/* ------------------------------------------------------------------ discovery */

static void test_devices_are_where_they_should_be(void **state)
{
	static const struct {
		unsigned int slot;
		uint16_t id;
		uint32_t class;
	} expected[] = {
		{ TT_VIRTIO_SLOT_RNG, 0x1044, 0xff0000 },
		{ TT_VIRTIO_SLOT_CONSOLE, 0x1043, 0x078000 },
		{ TT_VIRTIO_SLOT_NET, 0x1041, 0x020000 },
		{ TT_VIRTIO_SLOT_BLK, 0x1042, 0x018000 },
	};
	struct driver *d = create();
	unsigned int i, type;

	(void)state;
	for (i = 0; i < 4; i++) {
		assert_int_equal(driver_pci_read(d, expected[i].slot, 0, 4),
				 expected[i].id << 16 | 0x1af4);
		assert_int_equal(driver_pci_read(d, expected[i].slot, 8, 4),
				 expected[i].class << 8 | 1);
		assert_int_equal(driver_pci_read(d, expected[i].slot, 0x3d, 1), 1);
		assert_int_equal(driver_pci_read(d, expected[i].slot, 0x3c, 1),
				 TT_PCI_GSI(expected[i].slot));
		assert_int_equal(driver_pci_read(d, expected[i].slot, 6, 2) & 0x10, 0x10);
		assert_int_equal(driver_pci_read(d, expected[i].slot, 0x34, 1), 0x40);
		assert_int_equal(driver_pci_read(d, expected[i].slot, 0x40, 1), 0x11); /* MSI-X */
		for (type = 1; type <= 5; type++)
			assert_int_not_equal(driver_find_capability(d, expected[i].slot, type), 0);
		assert_int_equal(driver_find_capability(d, expected[i].slot, 6), 0);
	}
	assert_int_equal(driver_pci_read(d, 3, 0, 4), 0xffffffff);
	destroy(d);
}

static void test_absent_devices_are_absent(void **state)
{
	struct fake_machine f;

	(void)state;
	fake_machine_create(&f, 1, 0);
	fake_outl(&f, 0xcf8, 0x80000000 | TT_VIRTIO_SLOT_RNG << 11);
	assert_int_equal(fake_inl(&f, 0xcfc), 0x10441af4); /* always there */
	fake_outl(&f, 0xcf8, 0x80000000 | TT_VIRTIO_SLOT_CONSOLE << 11);
	assert_int_equal(fake_inl(&f, 0xcfc), 0xffffffff);
	fake_outl(&f, 0xcf8, 0x80000000 | TT_VIRTIO_SLOT_BLK << 11);
	assert_int_equal(fake_inl(&f, 0xcfc), 0xffffffff);
	fake_machine_destroy(&f);
}

/* ------------------------------------------------------------------ BARs */

static void test_bars_have_addresses_and_sizes(void **state)
{
	struct driver *d = create();
	unsigned int slots[] = { TT_VIRTIO_SLOT_RNG, TT_VIRTIO_SLOT_CONSOLE, TT_VIRTIO_SLOT_NET,
				 TT_VIRTIO_SLOT_BLK },
		     i, j;
	uint32_t port[4], memory[4];

	(void)state;
	for (i = 0; i < 4; i++) {
		port[i] = driver_pci_read(d, slots[i], 0x10, 4);
		memory[i] = driver_pci_read(d, slots[i], 0x14, 4);
		assert_int_equal(port[i] & 0x3, 1);
		assert_int_equal(memory[i] & 0xf, 0);
		assert_in_range(port[i], 0xd00, 0xffff); /* the ACPI windows */
		assert_in_range(memory[i], TT_RAM_BELOW_4G, TT_IOAPIC_BASE - 4096);
		for (j = 0; j < i; j++)
			assert_true(port[i] != port[j] && memory[i] != memory[j]);
		driver_pci_write(d, slots[i], 0x10, 0xffffffff, 4);
		driver_pci_write(d, slots[i], 0x14, 0xffffffff, 4);
		driver_pci_write(d, slots[i], 0x18, 0xffffffff, 4);
		assert_int_equal(driver_pci_read(d, slots[i], 0x10, 4), 0xfffffff1);
		assert_int_equal(driver_pci_read(d, slots[i], 0x14, 4), 0xfffff000);
		assert_int_equal(driver_pci_read(d, slots[i], 0x18, 4), 0);
	}
	destroy(d);
}

static void test_bars_are_decoded_when_enabled_only(void **state)
{
	struct driver *d = create();

	(void)state;
	driver_open(d, TT_VIRTIO_SLOT_NET);
	assert_int_equal(common_read(d, COMMON_NUM_QUEUES, 2), 2);
	driver_pci_write(d, d->slot, 0x04, 0x05, 2); /* no memory */
	assert_int_equal(common_read(d, COMMON_NUM_QUEUES, 2), 0xffff);
	assert_int_equal(fake_inw(&d->f, d->notify), 0);
	driver_pci_write(d, d->slot, 0x04, 0x06, 2); /* no ports */
	assert_int_equal(common_read(d, COMMON_NUM_QUEUES, 2), 2);
	assert_int_equal(fake_inw(&d->f, d->notify), 0xffff);
	destroy(d);
}

static void test_bars_move(void **state)
{
	struct driver *d = create();
	uint64_t old;

	(void)state;
	driver_open(d, TT_VIRTIO_SLOT_NET);
	old = d->common;
	driver_pci_write(d, d->slot, 0x14, 0xd0000000, 4);
	driver_pci_write(d, d->slot, 0x10, 0x3000, 4);
	assert_int_equal(driver_read(d, old + COMMON_NUM_QUEUES, 2), 0xffff);
	assert_int_equal(driver_read(d, 0xd0000000 + COMMON_NUM_QUEUES, 2), 2);
	assert_int_equal(fake_inw(&d->f, 0x3000), 0);
	assert_int_equal(fake_inw(&d->f, d->notify), 0xffff);
	driver_pci_write(d, d->slot, 0x14, old, 4);
	assert_int_equal(driver_read(d, old + COMMON_NUM_QUEUES, 2), 2);
	destroy(d);
}

/* What overlaps is left out, and comes back when there is room; fixed devices stay. */
static void test_bars_in_each_others_way(void **state)
{
	struct driver *d = create();
	uint64_t net, blk;

	(void)state;
	driver_open(d, TT_VIRTIO_SLOT_BLK);
	blk = d->common;
	driver_open(d, TT_VIRTIO_SLOT_NET);
	net = d->common;
	driver_pci_write(d, TT_VIRTIO_SLOT_NET, 0x14, blk, 4);
	assert_int_equal(driver_read(d, net + COMMON_NUM_QUEUES, 2), 0xffff);
	assert_in_range(driver_read(d, blk + COMMON_NUM_QUEUES, 2), 1, 2);
	driver_pci_write(d, TT_VIRTIO_SLOT_BLK, 0x14, net, 4);
	assert_int_equal(driver_read(d, blk + COMMON_NUM_QUEUES, 2), 2);
	assert_int_equal(driver_read(d, net + COMMON_NUM_QUEUES, 2), 1);
	driver_pci_write(d, TT_VIRTIO_SLOT_NET, 0x14, TT_LAPIC_BASE, 4);
	driver_pci_write(d, TT_VIRTIO_SLOT_NET, 0x10, 0xcf0, 4);
	assert_int_equal(fake_lapic_read(&d->f, 0x30) & 0xff, 0x14);
	assert_int_equal(driver_pci_read(d, TT_VIRTIO_SLOT_NET, 0, 2), 0x1af4);
	driver_pci_write(d, TT_VIRTIO_SLOT_NET, 0x10, 0x70000, 4); /* beyond the ports */
	assert_int_equal(driver_pci_read(d, TT_VIRTIO_SLOT_NET, 0x10, 4), 0x70001);
	destroy(d);
}

static void test_a_restored_state_is_decoded(void **state)
{
	struct driver *d = create();
	uint8_t saved[sizeof(struct tt_virtio_state)];
	struct tt_device *dev;

	(void)state;
	driver_open(d, TT_VIRTIO_SLOT_NET);
	for (dev = d->f.m.devices; strcmp(dev->name, "virtio-net0"); dev = dev->next)
		;
	assert_int_equal(dev->state_size, sizeof(saved));
	memcpy(saved, dev->state, sizeof(saved));
	driver_pci_write(d, d->slot, 0x14, 0xd0000000, 4);
	assert_int_equal(common_read(d, COMMON_NUM_QUEUES, 2), 0xffff);
	memcpy(dev->state, saved, sizeof(saved));
	dev->restored(dev);
	assert_int_equal(common_read(d, COMMON_NUM_QUEUES, 2), 2);
	assert_int_equal(driver_read(d, 0xd0000000, 4), 0xffffffff);
	dev->reset(dev);
	assert_int_equal(common_read(d, COMMON_NUM_QUEUES, 2), 0xffff);
	assert_int_equal(driver_pci_read(d, d->slot, 0x04, 2), 0);
	assert_int_equal(driver_pci_read(d, d->slot, 0x14, 4), d->common);
	destroy(d);
}

static void test_window_in_the_configuration_space(void **state)
{
	struct driver *d = create();
	unsigned int at, slot = TT_VIRTIO_SLOT_NET;

	(void)state;
	at = driver_find_capability(d, slot, 5);
	/* Works without any BAR being decoded. */
	driver_pci_write(d, slot, at + 4, 1, 1);
	driver_pci_write(d, slot, at + 8, COMMON_NUM_QUEUES, 4);
	driver_pci_write(d, slot, at + 12, 2, 4);
	assert_int_equal(driver_pci_read(d, slot, at + 16, 2), 2);
	driver_pci_write(d, slot, at + 8, COMMON_STATUS, 4);
	driver_pci_write(d, slot, at + 12, 1, 4);
	driver_pci_write(d, slot, at + 16, STATUS_ACKNOWLEDGE, 1);
	driver_open(d, slot);
	assert_int_equal(driver_status(d), STATUS_ACKNOWLEDGE);
	/* Out of bounds, odd lengths, other BARs: nothing happens. */
	driver_pci_write(d, slot, at + 8, 0x1000, 4);
	driver_pci_write(d, slot, at + 16, 0xff, 1);
	driver_pci_write(d, slot, at + 8, 0xfffffffc, 4);
	driver_pci_write(d, slot, at + 12, 4, 4);
	driver_pci_write(d, slot, at + 16, 0xff, 4);
	driver_pci_read(d, slot, at + 16, 4);
	driver_pci_write(d, slot, at + 12, 3, 4);
	driver_pci_read(d, slot, at + 16, 4);
	driver_pci_write(d, slot, at + 4, 7, 1);
	driver_pci_read(d, slot, at + 16, 4);
	assert_int_equal(driver_status(d), STATUS_ACKNOWLEDGE);
	destroy(d);
}

/* ------------------------------------------------------------------ negotiation */

static void test_features(void **state)
{
	struct driver *d = create();

	(void)state;
	driver_open(d, TT_VIRTIO_SLOT_BLK);
	assert_int_equal(driver_offered(d),
			 F_VERSION | F_INDIRECT | 1 << 2 | 1 << 6 | 1 << 9 | 1 << 13 | 1 << 14);
	common_write(d, COMMON_DEVICE_FEATURE_SELECT, 2, 4);
	assert_int_equal(common_read(d, COMMON_DEVICE_FEATURE, 4), 0);
	assert_int_equal(driver_negotiate(d, F_VERSION | 1 << 9),
			 STATUS_ACKNOWLEDGE | STATUS_DRIVER | STATUS_FEATURES_OK);
	/* Settled. */
	common_write(d, COMMON_DRIVER_FEATURE, 0, 4);
	assert_int_equal(common_read(d, COMMON_DRIVER_FEATURE, 4), 1);
	/* What was not offered, and legacy. */
	assert_int_equal(driver_negotiate(d, F_VERSION | 1), STATUS_ACKNOWLEDGE | STATUS_DRIVER);
	assert_int_equal(driver_negotiate(d, 1 << 9), STATUS_ACKNOWLEDGE | STATUS_DRIVER);
	assert_int_equal(d->num_messages, 0);
	destroy(d);
}

static void test_queue_registers(void **state)
{
	struct driver *d = create();

	(void)state;
	driver_open(d, TT_VIRTIO_SLOT_NET);
	assert_int_equal(common_read(d, COMMON_QUEUE_SIZE, 2), 256);
	assert_int_equal(common_read(d, COMMON_QUEUE_VECTOR, 2), NO_VECTOR);
	common_write(d, COMMON_QUEUE_VECTOR, 2, 2);
	assert_int_equal(common_read(d, COMMON_QUEUE_VECTOR, 2), 2);
	common_write(d, COMMON_QUEUE_VECTOR, 3, 2); /* there are 3 vectors */
	assert_int_equal(common_read(d, COMMON_QUEUE_VECTOR, 2), NO_VECTOR);
	common_write(d, COMMON_QUEUE_SELECT, 2, 2);
	assert_int_equal(common_read(d, COMMON_QUEUE_SIZE, 2), 0);
	common_write(d, COMMON_QUEUE_SIZE, 16, 2);
	assert_int_equal(common_read(d, COMMON_QUEUE_SIZE, 2), 0);
	driver_start(d);
	common_write(d, COMMON_QUEUE_SELECT, 1, 2);
	assert_int_equal(common_read(d, COMMON_QUEUE_ENABLE, 2), 1);
	assert_int_equal(common_read(d, COMMON_QUEUE_AVAILABLE, 8), QUEUE_AREA(1) + 0x1000);
	/* Nothing changes any more. */
	common_write(d, COMMON_QUEUE_SIZE, 8, 2);
	common_write(d, COMMON_QUEUE_DESCRIPTORS, 0, 8);
	assert_int_equal(common_read(d, COMMON_QUEUE_SIZE, 2), QUEUE_SIZE);
	assert_int_equal(common_read(d, COMMON_QUEUE_DESCRIPTORS, 8), QUEUE_AREA(1));
	common_write(d, COMMON_STATUS, 0, 1);
	assert_int_equal(driver_status(d), 0);
	common_write(d, COMMON_QUEUE_SELECT, 1, 2);
	assert_int_equal(common_read(d, COMMON_QUEUE_ENABLE, 2), 0);
	assert_int_equal(common_read(d, COMMON_QUEUE_SIZE, 2), 256);
	assert_int_equal(common_read(d, COMMON_QUEUE_DESCRIPTORS, 8), 0);
	destroy(d);
}

/* ------------------------------------------------------------------ interrupts */

/* The device in its slot answers one request. */
static void answer_one(struct driver *d)
{
	const struct buffer request[] = { { SCRATCH, 16, false }, { SCRATCH + 512, 21, true } };

	memset(driver_at(d, SCRATCH), 0, 16);
	*(uint32_t *)driver_at(d, SCRATCH) = 8; /* the disk's serial number */
	driver_add(d, 0, request, 2);
	driver_kick(d, 0);
	assert_true(driver_take_used(d, 0, NULL) >= 0);
}

static void test_intx_by_pic(void **state)
{
	struct driver *d = create();
	unsigned int gsi = TT_PCI_GSI(TT_VIRTIO_SLOT_BLK);

	(void)state;
	fake_pic_init(&d->f, 0x30);
	fake_outb(&d->f, 0x4d1, 0x0c); /* 10 and 11 are level-triggered */
	driver_open(d, TT_VIRTIO_SLOT_BLK);
	driver_start(d);
	answer_one(d);
	assert_int_equal(driver_pci_read(d, d->slot, 0x06, 2) & 0x08, 0x08);
	assert_int_equal(fake_take_interrupt(&d->f), 0x30 + gsi);
	fake_outb(&d->f, 0xa0, 0x20);
	fake_outb(&d->f, 0x20, 0x20);
	assert_int_equal(fake_take_interrupt(&d->f), 0x30 + gsi); /* still high */
	fake_outb(&d->f, 0xa0, 0x20);
	fake_outb(&d->f, 0x20, 0x20);
	assert_int_equal(driver_read(d, d->isr, 1), 1);
	assert_int_equal(driver_read(d, d->isr, 1), 0); /* reading clears it */
	assert_int_equal(driver_pci_read(d, d->slot, 0x06, 2) & 0x08, 0);
	assert_int_equal(fake_take_interrupt(&d->f), -1);
	destroy(d);
}

static void test_intx_by_ioapic(void **state)
{
	struct driver *d = create();
	unsigned int gsi = TT_PCI_GSI(TT_VIRTIO_SLOT_BLK);

	(void)state;
	fake_lapic_enable(&d->f);
	fake_ioapic_write(&d->f, 0x10 + 2 * gsi, 0xa051); /* level, active low, as Linux sets it */
	driver_open(d, TT_VIRTIO_SLOT_BLK);
	driver_start(d);
	answer_one(d);
	assert_int_equal(fake_take_interrupt(&d->f), 0x51);
	driver_read(d, d->isr, 1);
	fake_lapic_write(&d->f, 0xb0, 0); /* EOI */
	assert_int_equal(fake_take_interrupt(&d->f), -1);
	/* The driver may switch it off. */
	driver_pci_write(d, d->slot, 0x04, 0x407, 2);
	answer_one(d);
	assert_int_equal(fake_take_interrupt(&d->f), -1);
	assert_int_equal(driver_pci_read(d, d->slot, 0x06, 2) & 0x08, 0x08);
	driver_pci_write(d, d->slot, 0x04, 0x007, 2);
	assert_int_equal(fake_take_interrupt(&d->f), 0x51);
	destroy(d);
}

/* Two devices on one line: it is high as long as one of them wants it to be. */
static void test_intx_is_shared(void **state)
{
	struct driver *d = create();
	const struct buffer output = { SCRATCH, 4, false };
	uint64_t net_isr;

	(void)state;
	assert_int_equal(TT_PCI_GSI(TT_VIRTIO_SLOT_BLK), TT_PCI_GSI(4));
	fake_lapic_enable(&d->f);
	fake_ioapic_write(&d->f, 0x10 + 2 * TT_PCI_GSI(TT_VIRTIO_SLOT_BLK), 0xa051);
	driver_open(d, TT_VIRTIO_SLOT_NET);
	driver_start(d);
	driver_add(d, 1, &output, 1);
	driver_kick(d, 1); /* breaks it: no header. That is a reason to interrupt, too. */
	net_isr = d->isr;
	driver_open(d, TT_VIRTIO_SLOT_BLK);
	driver_start(d);
	answer_one(d);
	assert_int_equal(fake_take_interrupt(&d->f), 0x51);
	assert_int_equal(driver_read(d, d->isr, 1), 1);
	fake_lapic_write(&d->f, 0xb0, 0);
	assert_int_equal(fake_take_interrupt(&d->f), 0x51);
	assert_int_equal(driver_read(d, net_isr, 1), 2);
	fake_lapic_write(&d->f, 0xb0, 0);
	assert_int_equal(fake_take_interrupt(&d->f), -1);
	destroy(d);
}

static void set_message(struct driver *d, unsigned int vector, uint8_t irq, bool masked)
{
	driver_write(d, d->msix + 16 * vector, TT_LAPIC_BASE, 8);
	driver_write(d, d->msix + 16 * vector + 8, irq, 4);
	driver_write(d, d->msix + 16 * vector + 12, masked, 4);
}

static uint64_t pending_bits(struct driver *d)
{
	uint32_t where = driver_pci_read(d, d->slot, 0x48, 4);

	return driver_read(
		d, (driver_pci_read(d, d->slot, 0x10 + 4 * (where & 7), 4) & ~15u) + (where & ~7u),
		8);
}

static void test_msix(void **state)
{
	struct driver *d = create();

	(void)state;
	fake_lapic_enable(&d->f);
	driver_open(d, TT_VIRTIO_SLOT_BLK);
	assert_int_equal(driver_pci_read(d, d->slot, 0x42, 2), 1); /* two vectors */
	driver_start(d);
	driver_pci_write(d, d->slot, 0x42, 0xc000, 2); /* enabled, all masked */
	set_message(d, 1, 0x61, false);
	assert_int_equal(driver_read(d, d->msix + 16, 8), TT_LAPIC_BASE);
	assert_int_equal(driver_read(d, d->msix + 24, 8), 0x61);
	common_write(d, COMMON_QUEUE_SELECT, 0, 2);
	common_write(d, COMMON_QUEUE_VECTOR, 1, 2);
	answer_one(d);
	assert_int_equal(fake_take_interrupt(&d->f), -1);
	assert_int_equal(pending_bits(d), 2);
	driver_pci_write(d, d->slot, 0x42, 0x8000, 2);
	assert_int_equal(fake_take_interrupt(&d->f), 0x61);
	assert_int_equal(pending_bits(d), 0);
	fake_lapic_write(&d->f, 0xb0, 0);
	set_message(d, 1, 0x62, true);
	answer_one(d);
	answer_one(d);
	assert_int_equal(fake_take_interrupt(&d->f), -1);
	driver_write(d, d->msix + 16 + 12, 0, 4);
	assert_int_equal(fake_take_interrupt(&d->f), 0x62);
	fake_lapic_write(&d->f, 0xb0, 0);
	assert_int_equal(fake_take_interrupt(&d->f), -1); /* two became one */
	assert_int_equal(driver_read(d, d->isr, 1), 0);	  /* neither INTx nor ISR */
	assert_int_equal(driver_pci_read(d, d->slot, 0x06, 2) & 0x08, 0);
	/* Without a vector there is no interrupt. */
	common_write(d, COMMON_QUEUE_VECTOR, NO_VECTOR, 2);
	answer_one(d);
	assert_int_equal(fake_take_interrupt(&d->f), -1);
	destroy(d);
}

static void test_msix_table_accesses(void **state)
{
	struct driver *d = create();
	uint64_t offset;

	(void)state;
	driver_open(d, TT_VIRTIO_SLOT_BLK);
	set_message(d, 0, 0x61, true);
	driver_write(d, d->msix + 12, 0xffffffff, 4);
	assert_int_equal(driver_read(d, d->msix + 12, 4), 1); /* the rest is reserved */
	driver_write(d, d->msix + 8, 0x99, 1);		      /* only dwords and qwords */
	driver_write(d, d->msix + 9, 0x99, 1);
	assert_int_equal(driver_read(d, d->msix + 8, 4), 0x61);
	assert_int_equal(driver_read(d, d->msix + 8, 1), 0x61);
	for (offset = 32; offset < 0x800; offset += 8) {
		driver_write(d, d->msix + offset, ~0ull, 8);
		assert_int_equal(driver_read(d, d->msix + offset, 8), 0);
	}
	destroy(d);
}

static void test_interrupts_can_be_declined(void **state)
{
	struct driver *d = create();

	(void)state;
	driver_open(d, TT_VIRTIO_SLOT_BLK);
	driver_start(d);
	*(uint16_t *)driver_at(d, QUEUE_AREA(0) + 0x1000) = 1; /* NO_INTERRUPT */
	answer_one(d);
	assert_int_equal(driver_read(d, d->isr, 1), 0);
	*(uint16_t *)driver_at(d, QUEUE_AREA(0) + 0x1000) = 0;
	answer_one(d);
	assert_int_equal(driver_read(d, d->isr, 1), 1);
	destroy(d);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_devices_are_where_they_should_be),
		cmocka_unit_test(test_absent_devices_are_absent),
		cmocka_unit_test(test_bars_have_addresses_and_sizes),
		cmocka_unit_test(test_bars_are_decoded_when_enabled_only),
		cmocka_unit_test(test_bars_move),
		cmocka_unit_test(test_bars_in_each_others_way),
		cmocka_unit_test(test_a_restored_state_is_decoded),
		cmocka_unit_test(test_window_in_the_configuration_space),
		cmocka_unit_test(test_features),
		cmocka_unit_test(test_queue_registers),
		cmocka_unit_test(test_intx_by_pic),
		cmocka_unit_test(test_intx_by_ioapic),
		cmocka_unit_test(test_intx_is_shared),
		cmocka_unit_test(test_msix),
		cmocka_unit_test(test_msix_table_accesses),
		cmocka_unit_test(test_interrupts_can_be_declined),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
