// SPDX-License-Identifier: GPL-2.0
/*
 * virtio_net.c - an Ethernet card (virtio 1.2, section 5.1) without offloads: one queue each way, a
 * frame per chain, behind a header that says nothing. Frames go out at the exit that notifies; what
 * comes in is an input of frames.
 */
#include <string.h>

#include "net.h"
#include "virtio.h"

#define F_MAC (1ull << 5)

enum { QUEUE_RECEIVE, QUEUE_TRANSMIT, NUM_QUEUES };

struct header {
	uint8_t flags;
	uint8_t gso_type;
	uint16_t header_len;
	uint16_t gso_size;
	uint16_t csum_start;
	uint16_t csum_offset;
	uint16_t num_buffers;
};

_Static_assert(sizeof(struct header) == 12, "virtio 5.1.6");

#define RECEIVE_ROOM (sizeof(struct header) + TT_FRAME_MAX)
#define FRAME_MIN    14 /* the Ethernet header */

struct net_config {
	uint8_t mac[6];
};

/* Which one of the machine's networks it is. */
static unsigned int net_index(const struct tt_virtio *v)
{
	return (v->function.devfn >> 3) - TT_VIRTIO_SLOT_NET;
}

static void tap(struct tt_virtio *v, bool to_guest, const void *frame, size_t len)
{
	struct tt_machine *m = v->machine;

	if (m->frame_tap)
		m->frame_tap(m->frame_tap_ctx, net_index(v), to_guest, frame, len);
}

static size_t net_room(void *ctx)
{
	const struct tt_virtio *v = ctx;
	struct tt_virtio_chain chain;
	const char *why;

	if (!tt_virtio_queue_ready(v, QUEUE_RECEIVE) ||
	    tt_virtio_peek(v, QUEUE_RECEIVE, &chain, &why) <= 0)
		return 0; /* what is wrong with a chain is said when the driver notifies */
	return chain.writable.len >= RECEIVE_ROOM ? TT_FRAME_MAX : 0;
}

static void net_deliver(void *ctx, const void *data, size_t len)
{
	static const struct header header = { .num_buffers = 1 };
	struct tt_virtio *v = ctx;
	struct tt_virtio_chain chain;
	size_t written;

	tap(v, true, data, len);
	if (!tt_virtio_take(v, QUEUE_RECEIVE, &chain))
		return;
	written = tt_buffers_write(&chain.writable, &header, sizeof(header));
	written += tt_buffers_write(&chain.writable, data, len);
	tt_virtio_give(v, QUEUE_RECEIVE, &chain, written);
	tt_virtio_interrupt(v, QUEUE_RECEIVE);
}

static void look_at_room(struct tt_virtio *v)
{
	struct tt_virtio_chain chain;
	const char *why;
	int ret = tt_virtio_peek(v, QUEUE_RECEIVE, &chain, &why);

	if (ret < 0)
		tt_virtio_break(v, why);
	else if (ret && chain.writable.len < RECEIVE_ROOM)
		tt_virtio_break(v, "a buffer for a frame is shorter than one");
}

/* Frames that are too short or too long are lost, as on a wire. */
static void send_frame(struct tt_virtio *v, struct tt_buffers *buffers)
{
	struct tt_net *net = v->backend;
	uint8_t frame[TT_FRAME_MAX];
	size_t len = buffers->len;

	if (len < FRAME_MIN || len > sizeof(frame))
		return;
	tt_buffers_read(buffers, frame, len);
	tap(v, false, frame, len);
	net->ops->send(net, frame, len);
}

static ssize_t transmit(struct tt_virtio *v, struct tt_virtio_chain *chain)
{
	struct header header;

	if (tt_buffers_read(&chain->readable, &header, sizeof(header)) < sizeof(header)) {
		tt_virtio_break(v, "a frame to be sent has no header");
		return -EINVAL;
	}
	send_frame(v, &chain->readable);
	return 0;
}

static void net_notify(struct tt_virtio *v, unsigned int queue)
{
	if (queue == QUEUE_RECEIVE)
		look_at_room(v);
	else
		tt_virtio_serve(v, queue, transmit);
}

int tt_virtio_net_create(struct tt_machine *m, struct tt_error *err)
{
	static const struct tt_virtio_class class = {
		.id = 1,
		.pci_class = 0x020000, /* Ethernet controller */
		.num_queues = NUM_QUEUES,
		.notify = net_notify,
	};
	struct tt_input input = { .room = net_room, .deliver = net_deliver, .frames = true };
	struct tt_virtio *v;
	unsigned int i;
	int ret;

	for (i = 0; i < m->config.num_nets; i++) {
		struct net_config config;
		struct tt_virtio_options options = {
			.slot = TT_VIRTIO_SLOT_NET + i,
			.features = F_MAC,
			.config = &config,
			.config_size = sizeof(config),
			.backend = m->config.nets[i],
		};

		memcpy(config.mac, m->config.nets[i]->mac, sizeof(config.mac));
		snprintf(options.name, sizeof(options.name), "virtio-net%u", i);
		ret = tt_virtio_create(m, &class, &options, &v, err);
		if (ret)
			return ret;
		input.ctx = v;
		tt_input_register(m, TT_INPUT_NET0 + i, &input);
	}
	return 0;
}
