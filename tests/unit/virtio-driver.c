// SPDX-License-Identifier: GPL-2.0
/*
 * virtio-driver.c - see virtio-driver.h.
 */
#include <stdlib.h>
#include <string.h>

#include "virtio-driver.h"

/* ------------------------------------------------------------------ backends */

static int disk_call(struct tt_disk *disk, uint64_t instr)
{
	struct memory_disk *d = (struct memory_disk *)disk;

	d->calls++;
	d->instr = instr;
	return d->fail;
}

static int memory_disk_read(struct tt_disk *disk, uint64_t sector, const struct iovec *iov,
			    int iovcnt)
{
	struct memory_disk *d = (struct memory_disk *)disk;
	const uint8_t *from = d->data + sector * TT_SECTOR_SIZE;
	int i;

	for (i = 0; i < iovcnt; from += iov[i].iov_len, i++)
		memcpy(iov[i].iov_base, from, iov[i].iov_len);
	return disk_call(disk, d->instr);
}

static int memory_disk_write(struct tt_disk *disk, uint64_t sector, const struct iovec *iov,
			     int iovcnt, uint64_t instr)
{
	uint8_t *to = ((struct memory_disk *)disk)->data + sector * TT_SECTOR_SIZE;
	int i;

	for (i = 0; i < iovcnt; to += iov[i].iov_len, i++)
		memcpy(to, iov[i].iov_base, iov[i].iov_len);
	return disk_call(disk, instr);
}

static int memory_disk_zero(struct tt_disk *disk, uint64_t sector, uint64_t count, bool discard,
			    uint64_t instr)
{
	struct memory_disk *d = (struct memory_disk *)disk;

	memset(d->data + sector * TT_SECTOR_SIZE, 0, count * TT_SECTOR_SIZE);
	d->discards += discard;
	return disk_call(disk, instr);
}

static int memory_disk_flush(struct tt_disk *disk, uint64_t instr)
{
	((struct memory_disk *)disk)->flushes++;
	return disk_call(disk, instr);
}

static const struct tt_disk_ops memory_disk_ops = {
	.read = memory_disk_read,
	.write = memory_disk_write,
	.zero = memory_disk_zero,
	.flush = memory_disk_flush,
};

static void memory_net_send(struct tt_net *net, const void *frame, size_t len)
{
	struct memory_net *n = (struct memory_net *)net;

	memcpy(n->frame, frame, len);
	n->len = len;
	n->sent++;
}

static const struct tt_net_ops memory_net_ops = { .send = memory_net_send };

static void take_message(void *ctx, const char *text)
{
	struct driver *d = ctx;

	d->num_messages++;
	snprintf(d->messages, sizeof(d->messages), "%s", text);
}

static void take_console0(void *ctx, const void *data, size_t len)
{
	struct driver *d = ctx;

	if (len > sizeof(d->console0) - d->console0_len)
		len = sizeof(d->console0) - d->console0_len;
	memcpy(d->console0 + d->console0_len, data, len);
	d->console0_len += len;
}

void driver_create(struct driver *d)
{
	struct tt_machine *m = &d->f.m;
	struct tt_error err = { 0 };

	memset(d, 0, sizeof(*d));
	fake_machine_create_bare(&d->f, 1);
	d->disk.disk = (struct tt_disk){
		.ops = &memory_disk_ops,
		.sectors = MEMORY_DISK_SECTORS,
		.serial = "serial-number",
	};
	d->net.net = (struct tt_net){ .ops = &memory_net_ops, .mac = { 2, 1, 2, 3, 4, 5 } };
	m->config.num_disks = 1;
	m->config.disks[0] = &d->disk.disk;
	m->config.num_nets = 1;
	m->config.nets[0] = &d->net.net;
	m->config.virtio_console = true;
	m->message = take_message;
	m->message_ctx = d;
	m->console0_write = take_console0;
	m->console0_ctx = d;
	if (tt_irqchip_create(m, &err) || tt_devices_create(m, &err)) {
		fprintf(stderr, "%s\n", err.text);
		abort();
	}
}

void driver_destroy(struct driver *d)
{
	fake_machine_destroy(&d->f);
}

/* ------------------------------------------------------------------ PCI */

static uint16_t config_port(struct driver *d, unsigned int slot, unsigned int offset)
{
	fake_outl(&d->f, 0xcf8, 0x80000000 | slot << 11 | (offset & 0xfc));
	return 0xcfc + (offset & 3);
}

uint32_t driver_pci_read(struct driver *d, unsigned int slot, unsigned int offset, unsigned int len)
{
	uint32_t value = 0;

	tt_bus_pio(&d->f.m, config_port(d, slot, offset), &value, len, false);
	return value;
}

void driver_pci_write(struct driver *d, unsigned int slot, unsigned int offset, uint32_t value,
		      unsigned int len)
{
	tt_bus_pio(&d->f.m, config_port(d, slot, offset), &value, len, true);
}

unsigned int driver_find_capability(struct driver *d, unsigned int slot, unsigned int type)
{
	unsigned int at = driver_pci_read(d, slot, 0x34, 1);

	for (; at; at = driver_pci_read(d, slot, at + 1, 1)) {
		if (driver_pci_read(d, slot, at, 1) == 0x09 &&
		    driver_pci_read(d, slot, at + 3, 1) == type)
			return at;
	}
	return 0;
}

static uint32_t bar_address(struct driver *d, unsigned int bar)
{
	return driver_pci_read(d, d->slot, 0x10 + 4 * bar, 4) & ~3u;
}

static uint64_t capability_address(struct driver *d, unsigned int type)
{
	unsigned int at = driver_find_capability(d, d->slot, type);

	return bar_address(d, driver_pci_read(d, d->slot, at + 4, 1)) +
	       driver_pci_read(d, d->slot, at + 8, 4);
}

void driver_open(struct driver *d, unsigned int slot)
{
	unsigned int msix = driver_pci_read(d, slot, 0x34, 1);

	d->slot = slot;
	driver_pci_write(d, slot, 0x04, 0x07, 2);
	d->common = capability_address(d, 1);
	d->notify = capability_address(d, 2);
	d->isr = capability_address(d, 3);
	d->config = capability_address(d, 4);
	d->msix = bar_address(d, driver_pci_read(d, slot, msix + 4, 4) & 7) +
		  (driver_pci_read(d, slot, msix + 4, 4) & ~7u);
}

uint64_t driver_read(struct driver *d, uint64_t addr, unsigned int len)
{
	uint64_t value = 0;

	tt_bus_mmio(&d->f.m, addr, &value, len, false);
	return value;
}

void driver_write(struct driver *d, uint64_t addr, uint64_t value, unsigned int len)
{
	tt_bus_mmio(&d->f.m, addr, &value, len, true);
}

/* ------------------------------------------------------------------ device */

uint64_t driver_offered(struct driver *d)
{
	uint64_t features;

	common_write(d, COMMON_DEVICE_FEATURE_SELECT, 1, 4);
	features = common_read(d, COMMON_DEVICE_FEATURE, 4) << 32;
	common_write(d, COMMON_DEVICE_FEATURE_SELECT, 0, 4);
	return features | common_read(d, COMMON_DEVICE_FEATURE, 4);
}

uint8_t driver_status(struct driver *d)
{
	return common_read(d, COMMON_STATUS, 1);
}

uint8_t driver_negotiate(struct driver *d, uint64_t features)
{
	common_write(d, COMMON_STATUS, 0, 1);
	common_write(d, COMMON_STATUS, STATUS_ACKNOWLEDGE, 1);
	common_write(d, COMMON_STATUS, STATUS_ACKNOWLEDGE | STATUS_DRIVER, 1);
	common_write(d, COMMON_DRIVER_FEATURE_SELECT, 0, 4);
	common_write(d, COMMON_DRIVER_FEATURE, features & 0xffffffff, 4);
	common_write(d, COMMON_DRIVER_FEATURE_SELECT, 1, 4);
	common_write(d, COMMON_DRIVER_FEATURE, features >> 32, 4);
	common_write(d, COMMON_STATUS, STATUS_ACKNOWLEDGE | STATUS_DRIVER | STATUS_FEATURES_OK, 1);
	return driver_status(d);
}

void driver_setup_queue(struct driver *d, unsigned int queue)
{
	memset(driver_at(d, QUEUE_AREA(queue)), 0, 0x4000);
	d->available[queue] = d->used[queue] = d->free[queue] = 0;
	common_write(d, COMMON_QUEUE_SELECT, queue, 2);
	common_write(d, COMMON_QUEUE_SIZE, QUEUE_SIZE, 2);
	/* as 32-bit halves, as Linux does */
	common_write(d, COMMON_QUEUE_DESCRIPTORS, QUEUE_AREA(queue), 4);
	common_write(d, COMMON_QUEUE_DESCRIPTORS + 4, 0, 4);
	common_write(d, COMMON_QUEUE_AVAILABLE, QUEUE_AREA(queue) + 0x1000, 4);
	common_write(d, COMMON_QUEUE_AVAILABLE + 4, 0, 4);
	common_write(d, COMMON_QUEUE_USED, QUEUE_AREA(queue) + 0x2000, 8);
	common_write(d, COMMON_QUEUE_ENABLE, 1, 2);
}

void driver_start(struct driver *d)
{
	unsigned int queue;

	driver_negotiate(d, driver_offered(d));
	for (queue = 0; queue < 2 && queue < common_read(d, COMMON_NUM_QUEUES, 2); queue++)
		driver_setup_queue(d, queue);
	common_write(d, COMMON_STATUS, driver_status(d) | STATUS_DRIVER_OK, 1);
}

/* ------------------------------------------------------------------ queues */

void *driver_at(struct driver *d, uint64_t gpa)
{
	return d->f.m.memory.hva + gpa;
}

void driver_descriptor(struct driver *d, unsigned int queue, unsigned int index, uint64_t gpa,
		       uint32_t len, uint16_t flags, uint16_t next)
{
	struct {
		uint64_t gpa;
		uint32_t len;
		uint16_t flags, next;
	} descriptor = { gpa, len, flags, next };

	memcpy(driver_at(d, QUEUE_AREA(queue) + 16 * index), &descriptor, sizeof(descriptor));
}

void driver_offer(struct driver *d, unsigned int queue, uint16_t head)
{
	uint16_t *ring = driver_at(d, QUEUE_AREA(queue) + 0x1000);

	ring[2 + d->available[queue] % QUEUE_SIZE] = head;
	ring[1] = ++d->available[queue];
}

uint16_t driver_add(struct driver *d, unsigned int queue, const struct buffer *buffers,
		    unsigned int count)
{
	uint16_t head = d->free[queue] % QUEUE_SIZE;
	unsigned int i;

	for (i = 0; i < count; i++, d->free[queue]++)
		driver_descriptor(
			d, queue, d->free[queue] % QUEUE_SIZE, buffers[i].gpa, buffers[i].len,
			(buffers[i].writable ? DESC_WRITE : 0) | (i + 1 < count ? DESC_NEXT : 0),
			(d->free[queue] + 1) % QUEUE_SIZE);
	driver_offer(d, queue, head);
	return head;
}

void driver_kick(struct driver *d, unsigned int queue)
{
	fake_outw(&d->f, d->notify, queue);
}

int driver_take_used(struct driver *d, unsigned int queue, uint32_t *len)
{
	const uint16_t *index = driver_at(d, QUEUE_AREA(queue) + 0x2002);
	const uint32_t *ring = driver_at(d, QUEUE_AREA(queue) + 0x2004);
	unsigned int at = d->used[queue] % QUEUE_SIZE;

	if (*index == d->used[queue])
		return -1;
	d->used[queue]++;
	if (len)
		*len = ring[2 * at + 1];
	return ring[2 * at];
}
