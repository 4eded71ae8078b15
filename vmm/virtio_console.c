// SPDX-License-Identifier: GPL-2.0
/*
 * virtio_console.c - a console of one port (virtio 1.2, section 5.3), hvc0 in Linux.
 */
#include "virtio.h"

enum { QUEUE_RECEIVE, QUEUE_TRANSMIT, NUM_QUEUES };

static size_t console_room(void *ctx)
{
	const struct tt_virtio *v = ctx;
	struct tt_virtio_chain chain;
	const char *why;

	if (!tt_virtio_queue_ready(v, QUEUE_RECEIVE) ||
	    tt_virtio_peek(v, QUEUE_RECEIVE, &chain, &why) <= 0)
		return 0; /* what is wrong with a chain is said when the driver notifies */
	return chain.writable.len < TT_INPUT_MAX ? chain.writable.len : TT_INPUT_MAX;
}

static void console_deliver(void *ctx, const void *data, size_t len)
{
	struct tt_virtio *v = ctx;
	struct tt_virtio_chain chain;

	if (!tt_virtio_take(v, QUEUE_RECEIVE, &chain))
		return;
	tt_virtio_give(v, QUEUE_RECEIVE, &chain, tt_buffers_write(&chain.writable, data, len));
	tt_virtio_interrupt(v, QUEUE_RECEIVE);
}

static void look_at_room(struct tt_virtio *v)
{
	struct tt_virtio_chain chain;
	const char *why;
	int ret = tt_virtio_peek(v, QUEUE_RECEIVE, &chain, &why);

	if (ret < 0)
		tt_virtio_break(v, why);
	else if (ret && !chain.writable.len)
		tt_virtio_break(v, "a buffer for input cannot be written");
}

static ssize_t transmit(struct tt_virtio *v, struct tt_virtio_chain *chain)
{
	struct tt_machine *m = v->machine;
	unsigned int i;

	for (i = 0; m->console0_write && i < chain->readable.count; i++)
		m->console0_write(m->console0_ctx, chain->readable.iov[i].iov_base,
				  chain->readable.iov[i].iov_len);
	return 0;
}

static void console_notify(struct tt_virtio *v, unsigned int queue)
{
	if (queue == QUEUE_RECEIVE)
		look_at_room(v);
	else
		tt_virtio_serve(v, queue, transmit);
}

int tt_virtio_console_create(struct tt_machine *m, struct tt_error *err)
{
	static const struct tt_virtio_class class = {
		.id = 3,
		.pci_class = 0x078000, /* communication controller */
		.num_queues = NUM_QUEUES,
		.notify = console_notify,
	};
	const struct tt_virtio_options options = { .name = "virtio-console",
						   .slot = TT_VIRTIO_SLOT_CONSOLE };
	struct tt_input input = { .room = console_room, .deliver = console_deliver };
	struct tt_virtio *v;
	int ret;

	if (!m->config.virtio_console)
		return 0;
	ret = tt_virtio_create(m, &class, &options, &v, err);
	if (ret)
		return ret;
	input.ctx = v;
	tt_input_register(m, TT_INPUT_CONSOLE0, &input);
	return 0;
}
