/* SPDX-License-Identifier: GPL-2.0 */
/*
 * virtio-driver.h - the driver's side of virtio for unit tests: everything it does to a device goes
 * through ports, memory-mapped registers and guest memory of a fake machine.
 */
#ifndef TTVM_VIRTIO_DRIVER_H
#define TTVM_VIRTIO_DRIVER_H

#include "disk.h"
#include "fake-machine.h"
#include "net.h"

/* Features that the transport has. */
#define F_INDIRECT (1ull << 28)
#define F_VERSION  (1ull << 32)

/* Offsets in the common configuration. */
enum {
	COMMON_DEVICE_FEATURE_SELECT = 0x00,
	COMMON_DEVICE_FEATURE = 0x04,
	COMMON_DRIVER_FEATURE_SELECT = 0x08,
	COMMON_DRIVER_FEATURE = 0x0c,
	COMMON_CONFIG_VECTOR = 0x10,
	COMMON_NUM_QUEUES = 0x12,
	COMMON_STATUS = 0x14,
	COMMON_QUEUE_SELECT = 0x16,
	COMMON_QUEUE_SIZE = 0x18,
	COMMON_QUEUE_VECTOR = 0x1a,
	COMMON_QUEUE_ENABLE = 0x1c,
	COMMON_QUEUE_DESCRIPTORS = 0x20,
	COMMON_QUEUE_AVAILABLE = 0x28,
	COMMON_QUEUE_USED = 0x30,
};

#define STATUS_ACKNOWLEDGE 0x01
#define STATUS_DRIVER	   0x02
#define STATUS_DRIVER_OK   0x04
#define STATUS_FEATURES_OK 0x08
#define STATUS_NEEDS_RESET 0x40

#define QUEUE_SIZE    16u
#define QUEUE_AREA(q) (0x10000u + (q) * 0x4000u) /* descriptors, available, used: 4 KiB each */
#define SCRATCH	      0x40000u		       /* guest memory for buffers from here on */
#define NO_VECTOR     0xffff

#define DESC_NEXT     1
#define DESC_WRITE    2
#define DESC_INDIRECT 4

/* A disk in memory whose next operation can be made to fail. */
#define MEMORY_DISK_SECTORS 64
struct memory_disk {
	struct tt_disk disk;
	uint8_t data[MEMORY_DISK_SECTORS * TT_SECTOR_SIZE];
	int fail;	    /* -errno of the operations from now on */
	unsigned int calls; /* that reached the disk */
	unsigned int flushes, discards;
	uint64_t instr; /* of the last call */
};

/* A network that remembers the last frame. */
struct memory_net {
	struct tt_net net;
	uint8_t frame[TT_FRAME_MAX];
	size_t len;
	unsigned int sent;
};

struct driver {
	struct fake_machine f;
	struct memory_disk disk;
	struct memory_net net;
	char messages[512]; /* what the devices said */
	unsigned int num_messages;
	char console0[256];
	size_t console0_len;
	/* The device that was opened, from its capabilities. */
	unsigned int slot;
	uint16_t notify;
	uint64_t common, isr, config, msix;
	/* Queues. */
	uint16_t available[2], used[2], free[2]; /* free: the next descriptor to use */
};

struct buffer {
	uint64_t gpa;
	uint32_t len;
	bool writable;
};

/* A machine with all virtio devices: a disk, a network, a console, entropy. */
void driver_create(struct driver *d);
void driver_destroy(struct driver *d);

/* PCI configuration space of device `slot`. */
uint32_t driver_pci_read(struct driver *d, unsigned int slot, unsigned int offset,
			 unsigned int len);
void driver_pci_write(struct driver *d, unsigned int slot, unsigned int offset, uint32_t value,
		      unsigned int len);
/* Offset of the virtio capability of that type, 0 when there is none. */
unsigned int driver_find_capability(struct driver *d, unsigned int slot, unsigned int type);
/* Find the registers of the device in that slot and let it decode its BARs. */
void driver_open(struct driver *d, unsigned int slot);

uint64_t driver_read(struct driver *d, uint64_t addr, unsigned int len);
void driver_write(struct driver *d, uint64_t addr, uint64_t value, unsigned int len);
#define common_read(d, offset, len)	    driver_read(d, (d)->common + (offset), len)
#define common_write(d, offset, value, len) driver_write(d, (d)->common + (offset), value, len)

uint64_t driver_offered(struct driver *d);
/* Reset, accept features; the status afterwards. */
uint8_t driver_negotiate(struct driver *d, uint64_t features);
void driver_setup_queue(struct driver *d, unsigned int queue);
/* All of it, up to DRIVER_OK, with the features that are offered. */
void driver_start(struct driver *d);
uint8_t driver_status(struct driver *d);

/* Guest memory. */
void *driver_at(struct driver *d, uint64_t gpa);
void driver_descriptor(struct driver *d, unsigned int queue, unsigned int index, uint64_t gpa,
		       uint32_t len, uint16_t flags, uint16_t next);
/* Make a chain available that begins at that descriptor. */
void driver_offer(struct driver *d, unsigned int queue, uint16_t head);
/* A chain of buffers, made available; its head. */
uint16_t driver_add(struct driver *d, unsigned int queue, const struct buffer *buffers,
		    unsigned int count);
void driver_kick(struct driver *d, unsigned int queue);
/* The next used chain: its head, and how much was written; -1 when there is none. */
int driver_take_used(struct driver *d, unsigned int queue, uint32_t *len);

#endif /* TTVM_VIRTIO_DRIVER_H */
