/* SPDX-License-Identifier: GPL-2.0 */
/*
 * virtio.h - what the virtio files share (Virtual I/O Device specification 1.2).
 *
 *   virtio_blk.c virtio_net.c virtio_rng.c virtio_console.c	one kind of device each: a struct
 *								tt_virtio_class and its requests
 *   virtio_queue.c	split virtqueues: descriptor chains in guest memory
 *   virtio_pci.c	the transport: PCI, configuration structures, interrupts
 *   virtio_msix.c	MSI-X
 *
 * Requests are served synchronously, on the vCPU's thread, at the exit that notifies the device;
 * what comes from outside is delivered where the seam says so. All that a guest can see of a device
 * is in struct tt_virtio_state; the kinds of devices have no state of their own.
 *
 * A guest can put anything into its queues. What the specification forbids breaks the device: it
 * sets DEVICE_NEEDS_RESET, says so once, and does nothing until the driver resets it.
 */
#ifndef TTVM_VIRTIO_H
#define TTVM_VIRTIO_H

#include <sys/uio.h>

#include "pci.h"
#include "vmm.h"

#define TT_VIRTIO_QUEUE_SIZE  256 /* descriptors, at most and by default */
#define TT_VIRTIO_MAX_QUEUES  2
#define TT_VIRTIO_CONFIG_SIZE 64
#define TT_VIRTIO_NO_VECTOR   0xffff

/* Device status. */
#define TT_VIRTIO_DRIVER_OK   0x04
#define TT_VIRTIO_FEATURES_OK 0x08
#define TT_VIRTIO_NEEDS_RESET 0x40

/* Features of all devices here. */
#define TT_VIRTIO_F_INDIRECT_DESC (1ull << 28)
#define TT_VIRTIO_F_VERSION_1	  (1ull << 32)

/* PCI device numbers. */
#define TT_VIRTIO_SLOT_RNG     1
#define TT_VIRTIO_SLOT_CONSOLE 2
#define TT_VIRTIO_SLOT_NET     4 /* TT_MAX_NETS of them */
#define TT_VIRTIO_SLOT_BLK     8 /* TT_MAX_DISKS of them */

struct tt_virtio;

/* ------------------------------------------------------------------ state */

struct tt_virtio_queue {
	uint64_t descriptors; /* guest-physical addresses of the three areas */
	uint64_t available;
	uint64_t used;
	uint16_t size;
	uint16_t enabled;
	uint16_t vector;
	uint16_t next_available; /* index of the next chain to take */
	uint16_t next_used;
	uint16_t reserved[3];
};

#define TT_MSIX_VECTORS (TT_VIRTIO_MAX_QUEUES + 1)

struct tt_msix_state {
	struct {
		uint64_t address;
		uint32_t data;
		uint32_t control;
	} table[TT_MSIX_VECTORS];
	uint64_t pending; /* as bits */
};

struct tt_virtio_state {
	uint8_t pci[TT_PCI_CONFIG_SIZE];
	struct tt_msix_state msix;
	struct tt_virtio_queue queues[TT_VIRTIO_MAX_QUEUES];
	uint64_t features; /* that the driver accepted */
	uint32_t device_feature_select;
	uint32_t driver_feature_select;
	uint16_t queue_select;
	uint16_t config_vector;
	uint8_t status;
	uint8_t isr;
	uint8_t reserved[2];
};

_Static_assert(sizeof(struct tt_virtio_state) == TT_PCI_CONFIG_SIZE + 16 * TT_MSIX_VECTORS + 8 +
							 40 * TT_VIRTIO_MAX_QUEUES + 24,
	       "digest: no padding");

/* ------------------------------------------------------------------ devices */

/* A kind of device. */
struct tt_virtio_class {
	uint16_t id;	    /* virtio's device number */
	uint32_t pci_class; /* class, subclass, interface */
	unsigned int num_queues;
	/* The driver has notified the device of new chains in a queue. */
	void (*notify)(struct tt_virtio *v, unsigned int queue);
};

struct tt_virtio {
	struct tt_device dev;
	struct tt_virtio_state state;
	const struct tt_virtio_class *class;
	struct tt_machine *machine;
	void *backend;	   /* the device's own: its disk, its network */
	uint64_t features; /* offered */
	char name[24];
	/* Constant: configuration of the device, PCI configuration at reset. */
	uint8_t config[TT_VIRTIO_CONFIG_SIZE];
	uint8_t pci_reset[TT_PCI_CONFIG_SIZE];
	uint8_t pci_writable[TT_PCI_CONFIG_SIZE];
	struct tt_pci_function function;
};

struct tt_virtio_options {
	char name[24];
	unsigned int slot; /* PCI device number */
	uint64_t features; /* beside those of all devices */
	const void *config;
	size_t config_size;
	void *backend;
};

/* Create a device of that kind, add it to the machine and to its PCI bus. */
int tt_virtio_create(struct tt_machine *m, const struct tt_virtio_class *class,
		     const struct tt_virtio_options *options, struct tt_virtio **virtio,
		     struct tt_error *err);
/* The driver did what it must not. why is one phrase. */
void tt_virtio_break(struct tt_virtio *v, const char *why);
/* The queue is ready for use by the device. */
bool tt_virtio_queue_ready(const struct tt_virtio *v, unsigned int queue);

/* Entropy always; the others as config.virtio_console, config.nets, and config.disks say. */
int tt_virtio_rng_create(struct tt_machine *m, struct tt_error *err);
int tt_virtio_console_create(struct tt_machine *m, struct tt_error *err);
int tt_virtio_net_create(struct tt_machine *m, struct tt_error *err);
int tt_virtio_blk_create(struct tt_machine *m, struct tt_error *err);

/* ------------------------------------------------------------------ queues */

/* A list of buffers in guest memory, checked: they are RAM. */
struct tt_buffers {
	struct iovec *iov;
	unsigned int count;
	size_t len; /* sum */
};

/*
 * Take len bytes off the front and copy them to data, or from data; fewer when there are not as
 * many.
 */
size_t tt_buffers_read(struct tt_buffers *buffers, void *data, size_t len);
size_t tt_buffers_write(struct tt_buffers *buffers, const void *data, size_t len);
/* Take the last byte off and return it; NULL when there is none. */
uint8_t *tt_buffers_last(struct tt_buffers *buffers);
void tt_buffers_zero(const struct tt_buffers *buffers);

/*
 * A request: what the driver gives to the device, and where it wants the answer. Not to be copied.
 */
struct tt_virtio_chain {
	uint16_t head;
	struct tt_buffers readable;
	struct tt_buffers writable;
	struct iovec iov[TT_VIRTIO_QUEUE_SIZE];
};

/*
 * The next chain of a queue that is ready: 1, 0 when there is none, -EINVAL and *why. Changes
 * nothing.
 */
int tt_virtio_peek(const struct tt_virtio *v, unsigned int queue, struct tt_virtio_chain *chain,
		   const char **why);
/* Take the next chain: true, or false when there is none, or what is there broke the device. */
bool tt_virtio_take(struct tt_virtio *v, unsigned int queue, struct tt_virtio_chain *chain);
/* Give a chain back, with that many bytes written into it. */
void tt_virtio_give(struct tt_virtio *v, unsigned int queue, const struct tt_virtio_chain *chain,
		    size_t written);
/* After some were given back: the queue's interrupt, unless the driver does not want one. */
void tt_virtio_interrupt(struct tt_virtio *v, unsigned int queue);

/*
 * Serve all chains that wait in a queue, and interrupt if there were any. serve does what a chain asks for and returns how
 * many bytes it wrote into it, or -EINVAL when it broke the device.
 */
void tt_virtio_serve(struct tt_virtio *v, unsigned int queue,
		     ssize_t (*serve)(struct tt_virtio *v, struct tt_virtio_chain *chain));

/* What is wrong with the areas of a queue that is to be enabled, or NULL. */
const char *tt_virtio_queue_check(const struct tt_memory *mem, const struct tt_virtio_queue *q);

/* ------------------------------------------------------------------ transport */

/* Interrupt cause of ISR, and the vector with MSI-X. */
#define TT_VIRTIO_ISR_QUEUE  1
#define TT_VIRTIO_ISR_CONFIG 2
void tt_virtio_raise(struct tt_virtio *v, uint8_t isr, uint16_t vector);

/* ------------------------------------------------------------------ MSI-X */

#define TT_MSIX_CAPABILITY_SIZE 12
#define TT_MSIX_TABLE_SIZE	0x400u /* room for it in its BAR; the pending bits follow */
#define TT_MSIX_PENDING_SIZE	0x400u

/* Fill in the capability at config[at], of a table of that many vectors at an offset of a BAR. */
void tt_msix_capability(uint8_t *config, uint8_t *writable, unsigned int at, unsigned int vectors,
			unsigned int bar, uint32_t offset);
bool tt_msix_enabled(const struct tt_virtio *v);
/* Send the vector's message, or keep it pending while it is masked. */
void tt_msix_raise(struct tt_virtio *v, uint16_t vector);
/* A mask may have gone: send what is pending. */
void tt_msix_unmasked(struct tt_virtio *v);
/* An access to table and pending bits. */
void tt_msix_read(struct tt_virtio *v, uint32_t offset, void *data, unsigned int len);
void tt_msix_write(struct tt_virtio *v, uint32_t offset, const void *data, unsigned int len);

#endif /* TTVM_VIRTIO_H */
