// SPDX-License-Identifier: GPL-2.0
/*
 * virtio_rng.c - entropy (virtio 1.2, section 5.4). The host's random numbers come in as an input,
 * so that a recording has them; always present, because guests have no RDRAND.
 */
#include <sys/random.h>

#include "virtio.h"

static size_t rng_room(void *ctx)
{
	const struct tt_virtio *v = ctx;
	struct tt_virtio_chain chain;
	const char *why;

	if (!tt_virtio_queue_ready(v, 0) || tt_virtio_peek(v, 0, &chain, &why) <= 0)
		return 0; /* what is wrong with a chain is said when the driver notifies */
	return chain.writable.len < TT_INPUT_MAX ? chain.writable.len : TT_INPUT_MAX;
}

static size_t rng_fetch(void *ctx, void *data, size_t max)
{
	ssize_t len = getrandom(data, max, 0);

	(void)ctx;
	return len > 0 ? len : 0;
}

static void rng_deliver(void *ctx, const void *data, size_t len)
{
	struct tt_virtio *v = ctx;
	struct tt_virtio_chain chain;

	if (!tt_virtio_take(v, 0, &chain))
		return;
	tt_virtio_give(v, 0, &chain, tt_buffers_write(&chain.writable, data, len));
	tt_virtio_interrupt(v, 0);
}

/*
 * The seam delivers as soon as there is room. All there is to do is to look at what the driver
 * wants.
 */
static void rng_notify(struct tt_virtio *v, unsigned int queue)
{
	struct tt_virtio_chain chain;
	const char *why;
	int ret = tt_virtio_peek(v, queue, &chain, &why);

	if (ret < 0)
		tt_virtio_break(v, why);
	else if (ret && !chain.writable.len)
		tt_virtio_break(v, "a request for entropy has no room for it");
}

int tt_virtio_rng_create(struct tt_machine *m, struct tt_error *err)
{
	static const struct tt_virtio_class class = {
		.id = 4,
		.pci_class = 0xff0000, /* none of the known ones */
		.num_queues = 1,
		.notify = rng_notify,
	};
	const struct tt_virtio_options options = { .name = "virtio-rng",
						   .slot = TT_VIRTIO_SLOT_RNG };
	struct tt_input input = { .room = rng_room, .deliver = rng_deliver, .fetch = rng_fetch };
	struct tt_virtio *v;
	int ret = tt_virtio_create(m, &class, &options, &v, err);

	if (ret)
		return ret;
	input.ctx = v;
	tt_input_register(m, TT_INPUT_ENTROPY, &input);
	return 0;
}
