// SPDX-License-Identifier: GPL-2.0
/*
 * virtio_pci.c - the transport of all virtio devices (virtio 1.2, section 4.1), without the legacy
 * interface.
 *
 *   BAR 0, ports	notification: the driver writes a queue's number
 *   BAR 1, memory	0x000 common configuration, 0x040 ISR, 0x100 configuration of the device,
 *			0x800 MSI-X table, 0xc00 MSI-X pending bits
 *
 * Notification is by a port because a port access leaves the guest without its instruction having
 * to be decoded. Interrupts are MSI-X messages, or INTA as long as MSI-X is not enabled.
 */
#include <stdio.h>
#include <stdlib.h>

#include "devices.h"
#include "virtio.h"

#define VENDOR	      0x1af4
#define FIRST_DEVICE  0x1040 /* + the number of the virtio device */
#define CLASS_VERSION 1	     /* the revision of modern devices */

#define BAR_NOTIFY  0
#define BAR_MEMORY  1
#define NOTIFY_SIZE 16u
#define MEMORY_SIZE 4096u

#define OFFSET_COMMON 0x000u
#define OFFSET_ISR    0x040u
#define OFFSET_CONFIG 0x100u
#define OFFSET_MSIX   0x800u

/* Capabilities, one behind the other. */
#define CAP_MSIX       0x40 /* first: virtio_msix.c relies on that */
#define CAP_COMMON     0x50
#define CAP_NOTIFY     0x60
#define CAP_ISR	       0x74
#define CAP_DEVICE     0x84
#define CAP_PCI	       0x94
#define CAP_PCI_BAR    (CAP_PCI + 4)
#define CAP_PCI_OFFSET (CAP_PCI + 8)
#define CAP_PCI_LENGTH (CAP_PCI + 12)
#define CAP_PCI_DATA   (CAP_PCI + 16)
#define CAP_VENDOR     0x09

enum { CFG_COMMON = 1, CFG_NOTIFY, CFG_ISR, CFG_DEVICE, CFG_PCI };

struct common {
	uint32_t device_feature_select;
	uint32_t device_feature;
	uint32_t driver_feature_select;
	uint32_t driver_feature;
	uint16_t config_vector;
	uint16_t num_queues;
	uint8_t status;
	uint8_t generation;
	uint16_t queue_select;
	uint16_t queue_size;
	uint16_t queue_vector;
	uint16_t queue_enable;
	uint16_t queue_notify_off;
	uint64_t descriptors;
	uint64_t available;
	uint64_t used;
};

_Static_assert(sizeof(struct common) == 0x38, "virtio 4.1.4.3");

/* ------------------------------------------------------------------ state */

static void update_intx(struct tt_virtio *v)
{
	tt_pci_set_intx(v->machine, &v->function, v->state.isr && !tt_msix_enabled(v));
}

void tt_virtio_raise(struct tt_virtio *v, uint8_t isr, uint16_t vector)
{
	if (tt_msix_enabled(v)) {
		tt_msix_raise(v, vector);
		return;
	}
	v->state.isr |= isr;
	update_intx(v);
}

void tt_virtio_break(struct tt_virtio *v, const char *why)
{
	struct tt_virtio_state *s = &v->state;
	struct tt_machine *m = v->machine;
	char text[200];

	if (s->status & TT_VIRTIO_NEEDS_RESET)
		return;
	s->status |= TT_VIRTIO_NEEDS_RESET;
	if (m->message) {
		snprintf(text, sizeof(text),
			 "%s: %s: the device stops until the guest's driver resets it", v->name,
			 why);
		m->message(m->message_ctx, text);
	}
	if (s->status & TT_VIRTIO_DRIVER_OK)
		tt_virtio_raise(v, TT_VIRTIO_ISR_CONFIG, s->config_vector);
}

bool tt_virtio_queue_ready(const struct tt_virtio *v, unsigned int queue)
{
	const struct tt_virtio_state *s = &v->state;

	return (s->status & (TT_VIRTIO_DRIVER_OK | TT_VIRTIO_NEEDS_RESET)) == TT_VIRTIO_DRIVER_OK &&
	       s->queues[queue].enabled;
}

/* What the driver sees after it has reset the device. PCI and MSI-X are not part of that. */
static void reset_device(struct tt_virtio *v)
{
	struct tt_virtio_state *s = &v->state;
	unsigned int i;

	memset(s->queues, 0, sizeof(s->queues));
	for (i = 0; i < v->class->num_queues; i++) {
		s->queues[i].size = TT_VIRTIO_QUEUE_SIZE;
		s->queues[i].vector = TT_VIRTIO_NO_VECTOR;
	}
	s->features = 0;
	s->device_feature_select = 0;
	s->driver_feature_select = 0;
	s->queue_select = 0;
	s->config_vector = TT_VIRTIO_NO_VECTOR;
	s->status = 0;
	s->isr = 0;
	update_intx(v);
}

/* ------------------------------------------------------------------ common configuration */

static struct tt_virtio_queue *selected_queue(struct tt_virtio *v)
{
	unsigned int select = v->state.queue_select;

	return select < v->class->num_queues ? &v->state.queues[select] : NULL;
}

static uint32_t feature_word(uint64_t features, uint32_t select)
{
	return select < 2 ? features >> 32 * select : 0;
}

/* The whole structure as the driver would read it now. */
static struct common common_now(struct tt_virtio *v)
{
	const struct tt_virtio_state *s = &v->state;
	const struct tt_virtio_queue *q = selected_queue(v);
	struct common c = {
		.device_feature_select = s->device_feature_select,
		.device_feature = feature_word(v->features, s->device_feature_select),
		.driver_feature_select = s->driver_feature_select,
		.driver_feature = feature_word(s->features, s->driver_feature_select),
		.config_vector = s->config_vector,
		.num_queues = v->class->num_queues,
		.status = s->status,
		.queue_select = s->queue_select,
		.queue_vector = TT_VIRTIO_NO_VECTOR,
	};

	if (q) {
		c.queue_size = q->size;
		c.queue_vector = q->vector;
		c.queue_enable = q->enabled;
		c.descriptors = q->descriptors;
		c.available = q->available;
		c.used = q->used;
	}
	return c;
}

static void write_feature(struct tt_virtio *v, uint32_t word)
{
	struct tt_virtio_state *s = &v->state;
	unsigned int shift = 32 * s->driver_feature_select;

	if (s->driver_feature_select >= 2 || (s->status & TT_VIRTIO_FEATURES_OK))
		return;
	s->features = (s->features & ~(0xffffffffull << shift)) | (uint64_t)word << shift;
}

static void write_status(struct tt_virtio *v, uint8_t status)
{
	struct tt_virtio_state *s = &v->state;

	if (!status) {
		reset_device(v);
		return;
	}
	/*
	 * The bit stays clear when the driver takes what is not offered, or wants the legacy
	 * interface.
	 */
	if (!(s->status & TT_VIRTIO_FEATURES_OK) &&
	    ((s->features & ~v->features) || !(s->features & TT_VIRTIO_F_VERSION_1)))
		status &= ~TT_VIRTIO_FEATURES_OK;
	s->status = status | (s->status & TT_VIRTIO_NEEDS_RESET);
}

static uint16_t checked_vector(const struct tt_virtio *v, uint16_t vector)
{
	return vector <= v->class->num_queues ? vector : TT_VIRTIO_NO_VECTOR;
}

static void enable_queue(struct tt_virtio *v, struct tt_virtio_queue *q)
{
	const char *why = tt_virtio_queue_check(&v->machine->memory, q);

	if (why)
		tt_virtio_break(v, why);
	else
		q->enabled = 1;
}

/* offset is that of a field of the selected queue; c holds what the field is to be. */
static void write_queue(struct tt_virtio *v, uint32_t offset, const struct common *c)
{
	struct tt_virtio_queue *q = selected_queue(v);

	if (!q)
		return;
	if (offset == offsetof(struct common, queue_vector)) {
		q->vector = checked_vector(v, c->queue_vector);
		return;
	}
	if (q->enabled)
		return; /* the rest must not change any more */
	if (offset == offsetof(struct common, queue_size)) {
		if (!c->queue_size || (c->queue_size & (c->queue_size - 1)) ||
		    c->queue_size > TT_VIRTIO_QUEUE_SIZE)
			tt_virtio_break(v, "the size of a queue is no power of two up to 256");
		else
			q->size = c->queue_size;
	} else if (offset == offsetof(struct common, queue_enable)) {
		if (c->queue_enable == 1)
			enable_queue(v, q);
	} else if (offset >= offsetof(struct common, descriptors)) {
		q->descriptors = c->descriptors;
		q->available = c->available;
		q->used = c->used;
	}
}

static void write_common(struct tt_virtio *v, uint32_t offset, const void *data, unsigned int len)
{
	struct tt_virtio_state *s = &v->state;
	struct common c = common_now(v);

	if (len > sizeof(c) - offset)
		return;
	memcpy((uint8_t *)&c + offset, data, len);
	switch (offset) {
	case offsetof(struct common, device_feature_select):
		s->device_feature_select = c.device_feature_select;
		break;
	case offsetof(struct common, driver_feature_select):
		s->driver_feature_select = c.driver_feature_select;
		break;
	case offsetof(struct common, driver_feature):
		write_feature(v, c.driver_feature);
		break;
	case offsetof(struct common, config_vector):
		s->config_vector = checked_vector(v, c.config_vector);
		break;
	case offsetof(struct common, status):
		write_status(v, c.status);
		break;
	case offsetof(struct common, queue_select):
		s->queue_select = c.queue_select;
		break;
	default:
		write_queue(v, offset, &c);
	}
}

/* ------------------------------------------------------------------ BARs */

static void notify(struct tt_virtio *v, unsigned int queue)
{
	if (!(v->state.status & TT_VIRTIO_DRIVER_OK))
		return;
	if (queue >= v->class->num_queues)
		tt_virtio_break(v, "the driver notifies a queue that does not exist");
	else if (tt_virtio_queue_ready(v, queue))
		v->class->notify(v, queue);
}

static void notify_write(void *ctx, uint64_t addr, const void *data, unsigned int len)
{
	if (!(addr & (NOTIFY_SIZE - 1)) && len >= 2)
		notify(ctx, tt_io_get(data, len));
}

static void notify_read(void *ctx, uint64_t addr, void *data, unsigned int len)
{
	(void)ctx;
	(void)addr;
	tt_io_put(data, len, 0);
}

/* len bytes of a structure of size bytes, zeroes beyond its end. */
static void read_bytes(const void *from, size_t size, uint32_t offset, void *data, unsigned int len)
{
	unsigned int i;

	for (i = 0; i < len; i++)
		((uint8_t *)data)[i] = offset + i < size ? ((const uint8_t *)from)[offset + i] : 0;
}

static void memory_read(void *ctx, uint64_t addr, void *data, unsigned int len)
{
	struct tt_virtio *v = ctx;
	uint32_t offset = addr & (MEMORY_SIZE - 1);
	struct common c;

	if (offset >= OFFSET_MSIX) {
		tt_msix_read(v, offset - OFFSET_MSIX, data, len);
	} else if (offset >= OFFSET_CONFIG) {
		read_bytes(v->config, sizeof(v->config), offset - OFFSET_CONFIG, data, len);
	} else if (offset == OFFSET_ISR) {
		tt_io_put(data, len, v->state.isr);
		v->state.isr = 0;
		update_intx(v);
	} else {
		c = common_now(v);
		read_bytes(&c, sizeof(c), offset, data, len);
	}
}

static void memory_write(void *ctx, uint64_t addr, const void *data, unsigned int len)
{
	struct tt_virtio *v = ctx;
	uint32_t offset = addr & (MEMORY_SIZE - 1);

	if (offset >= OFFSET_MSIX)
		tt_msix_write(v, offset - OFFSET_MSIX, data, len);
	else if (offset < sizeof(struct common))
		write_common(v, offset, data, len);
	/* No device here has configuration that can be written. */
}

/* ------------------------------------------------------------------ PCI configuration space */

/*
 * The capability that gives access to the BARs through the configuration space, for firmware that
 * cannot reach memory BARs. Returns the BAR that it names now, NULL when the access is not allowed.
 */
static const struct tt_pci_bar *window(const struct tt_virtio *v, uint32_t *offset,
				       unsigned int *len)
{
	const uint8_t *config = v->state.pci;
	const struct tt_pci_bar *bar;

	if (config[CAP_PCI_BAR] > BAR_MEMORY)
		return NULL;
	bar = &v->function.bars[config[CAP_PCI_BAR]];
	*offset = tt_pci_get32(config, CAP_PCI_OFFSET);
	*len = tt_pci_get32(config, CAP_PCI_LENGTH);
	if ((*len != 1 && *len != 2 && *len != 4) || *offset % *len || *offset >= bar->size)
		return NULL;
	return bar;
}

static void config_reading(void *ctx, unsigned int offset, unsigned int len)
{
	struct tt_virtio *v = ctx;
	const struct tt_pci_bar *bar;
	unsigned int window_len;
	uint32_t at;

	if (offset + len <= CAP_PCI_DATA || offset >= CAP_PCI_DATA + 4)
		return;
	bar = window(v, &at, &window_len);
	if (bar)
		bar->read(v, at, &v->state.pci[CAP_PCI_DATA], window_len);
}

static void config_written(void *ctx, unsigned int offset, unsigned int len)
{
	struct tt_virtio *v = ctx;
	const struct tt_pci_bar *bar;
	unsigned int window_len;
	uint32_t at;

	if (offset < CAP_MSIX + TT_MSIX_CAPABILITY_SIZE && offset + len > CAP_MSIX) {
		update_intx(v);
		tt_msix_unmasked(v);
	}
	if (offset + len <= CAP_PCI_DATA || offset >= CAP_PCI_DATA + 4)
		return;
	bar = window(v, &at, &window_len);
	if (bar)
		bar->write(v, at, &v->state.pci[CAP_PCI_DATA], window_len);
}

static void put_capability(uint8_t *config, unsigned int at, unsigned int next, unsigned int size,
			   unsigned int type, unsigned int bar, uint32_t offset, uint32_t length)
{
	config[at] = CAP_VENDOR;
	config[at + 1] = next;
	config[at + 2] = size;
	config[at + 3] = type;
	config[at + 4] = bar;
	tt_pci_put32(config, at + 8, offset);
	tt_pci_put32(config, at + 12, length);
}

static void describe_function(struct tt_virtio *v, unsigned int slot)
{
	const struct tt_virtio_class *class = v->class;
	uint8_t *config = v->pci_reset, *writable = v->pci_writable;

	tt_pci_put16(config, 0x00, VENDOR);
	tt_pci_put16(config, 0x02, FIRST_DEVICE + class->id);
	tt_pci_put16(config, TT_PCI_STATUS, TT_PCI_STATUS_CAPABILITIES);
	tt_pci_put32(config, 0x08, class->pci_class << 8 | CLASS_VERSION);
	tt_pci_put16(config, 0x2c, VENDOR);
	tt_pci_put16(config, 0x2e, 0x1100);
	config[TT_PCI_CAPABILITIES] = CAP_MSIX;
	config[TT_PCI_INTERRUPT_LINE] = TT_PCI_GSI(slot);
	config[TT_PCI_INTERRUPT_PIN] = 1;

	tt_msix_capability(config, writable, CAP_MSIX, class->num_queues + 1, BAR_MEMORY,
			   OFFSET_MSIX);
	config[CAP_MSIX + 1] = CAP_COMMON;
	put_capability(config, CAP_COMMON, CAP_NOTIFY, 16, CFG_COMMON, BAR_MEMORY, OFFSET_COMMON,
		       sizeof(struct common));
	/* It ends with the distance between the ports of queues: 0, all have the same. */
	put_capability(config, CAP_NOTIFY, CAP_ISR, 20, CFG_NOTIFY, BAR_NOTIFY, 0, 4);
	put_capability(config, CAP_ISR, CAP_DEVICE, 16, CFG_ISR, BAR_MEMORY, OFFSET_ISR, 1);
	put_capability(config, CAP_DEVICE, CAP_PCI, 16, CFG_DEVICE, BAR_MEMORY, OFFSET_CONFIG,
		       TT_VIRTIO_CONFIG_SIZE);
	put_capability(config, CAP_PCI, 0, 20, CFG_PCI, 0, 0, 0);

	/* I/O, memory, bus master, errors, INTx off; cache line size and latency timer */
	tt_pci_put16(writable, TT_PCI_COMMAND, 0x0547);
	writable[0x0c] = writable[0x0d] = 0xff;
	writable[TT_PCI_INTERRUPT_LINE] = 0xff;
	writable[CAP_PCI_BAR] = 0xff;
	memset(&writable[CAP_PCI_OFFSET], 0xff, 12); /* offset, length, data */
}

/* ------------------------------------------------------------------ life */

static void virtio_reset(struct tt_device *dev)
{
	struct tt_virtio *v = (struct tt_virtio *)dev;

	reset_device(v);
	memset(&v->state.msix, 0, sizeof(v->state.msix));
	memcpy(v->state.pci, v->pci_reset, sizeof(v->state.pci));
	tt_pci_config_changed(v->machine);
}

static void virtio_restored(struct tt_device *dev)
{
	tt_pci_config_changed(((struct tt_virtio *)dev)->machine);
}

static void virtio_destroy(struct tt_device *dev)
{
	free(dev);
}

int tt_virtio_create(struct tt_machine *m, const struct tt_virtio_class *class,
		     const struct tt_virtio_options *options, struct tt_virtio **virtio,
		     struct tt_error *err)
{
	struct tt_virtio *v = calloc(1, sizeof(*v));
	int ret;

	if (!v)
		return tt_fail(err, -ENOMEM, "out of memory");
	v->class = class;
	v->machine = m;
	v->backend = options->backend;
	v->features = options->features | TT_VIRTIO_F_VERSION_1 | TT_VIRTIO_F_INDIRECT_DESC;
	memcpy(v->name, options->name, sizeof(v->name));
	if (options->config_size)
		memcpy(v->config, options->config, options->config_size);
	describe_function(v, options->slot);
	v->function = (struct tt_pci_function){
		.devfn = TT_PCI_DEVFN(options->slot, 0),
		.config = v->pci_reset, /* until it is complete */
		.writable = v->pci_writable,
		.bars[BAR_NOTIFY] = { NOTIFY_SIZE, true, notify_read, notify_write },
		.bars[BAR_MEMORY] = { MEMORY_SIZE, false, memory_read, memory_write },
		.reading = config_reading,
		.written = config_written,
		.ctx = v,
	};
	v->dev = (struct tt_device){
		.name = v->name,
		.state = &v->state,
		.state_size = sizeof(v->state),
		.reset = virtio_reset,
		.restored = virtio_restored,
		.destroy = virtio_destroy,
	};
	ret = tt_pci_add(m, &v->function);
	if (ret) {
		free(v);
		return tt_fail(err, ret, "%s: PCI device %u is taken", options->name,
			       options->slot);
	}
	v->function.config = v->state.pci;
	tt_device_add(m, &v->dev);
	virtio_reset(&v->dev);
	*virtio = v;
	return 0;
}
