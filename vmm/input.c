// SPDX-License-Identifier: GPL-2.0
/*
 * input.c - bytes from outside on their way to a device.
 *
 * Other threads post; a vCPU thread takes, when its seam says so and the device has room, and
 * delivers. The queue is not guest-visible state: bytes exist for the guest only from their
 * delivery on, which is what a recording notes down.
 */
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "devices.h"
#include "internal.h"

#define QUEUE_SIZE 65536u /* a power of two */

/* In the queue of an input of frames each frame follows its length. */
typedef uint16_t frame_length;

struct queue {
	struct tt_input input;
	pthread_mutex_t lock;
	atomic_uint used;  /* read without the lock: most of the time there is nothing */
	unsigned int head; /* of the next byte to take */
	uint8_t bytes[QUEUE_SIZE];
};

struct inputs {
	struct queue *queues[TT_NR_INPUTS];
};

static struct queue *find_queue(struct tt_machine *m, enum tt_input_id id)
{
	struct inputs *inputs = m->inputs;

	return inputs && (unsigned int)id < TT_NR_INPUTS ? inputs->queues[id] : NULL;
}

void tt_input_register(struct tt_machine *m, enum tt_input_id id, const struct tt_input *input)
{
	struct inputs *inputs = m->inputs ? m->inputs : calloc(1, sizeof(*inputs));
	struct queue *queue = find_queue(m, id);

	if (inputs && !queue)
		queue = calloc(1, sizeof(*queue));
	if (!inputs || !queue)
		abort(); /* at the start of the machine */
	if (!inputs->queues[id])
		pthread_mutex_init(&queue->lock, NULL);
	queue->input = *input;
	inputs->queues[id] = queue;
	m->inputs = inputs;
}

void tt_inputs_destroy(struct tt_machine *m)
{
	struct inputs *inputs = m->inputs;
	unsigned int i;

	for (i = 0; inputs && i < TT_NR_INPUTS; i++) {
		if (!inputs->queues[i])
			continue;
		pthread_mutex_destroy(&inputs->queues[i]->lock);
		free(inputs->queues[i]);
	}
	free(inputs);
	m->inputs = NULL;
}

static void copy_in(struct queue *queue, unsigned int at, const void *data, size_t len)
{
	size_t part;

	at %= QUEUE_SIZE;
	part = len < QUEUE_SIZE - at ? len : QUEUE_SIZE - at;
	memcpy(&queue->bytes[at], data, part);
	memcpy(queue->bytes, (const uint8_t *)data + part, len - part);
}

static void drop(struct queue *queue, size_t len)
{
	queue->head = (queue->head + len) % QUEUE_SIZE;
	atomic_fetch_sub(&queue->used, len);
}

static void copy_out(struct queue *queue, void *data, size_t len)
{
	size_t part = len < QUEUE_SIZE - queue->head ? len : QUEUE_SIZE - queue->head;

	memcpy(data, &queue->bytes[queue->head], part);
	memcpy((uint8_t *)data + part, queue->bytes, len - part);
	drop(queue, len);
}

int tt_input_post(struct tt_machine *m, enum tt_input_id id, const void *data, size_t len)
{
	struct queue *queue = find_queue(m, id);
	frame_length length = (frame_length)len;
	unsigned int tail;
	size_t extra;

	if (!queue)
		return -ENODEV;
	extra = queue->input.frames ? sizeof(length) : 0;
	if (queue->input.frames && len > TT_INPUT_MAX)
		return -EMSGSIZE;
	pthread_mutex_lock(&queue->lock);
	tail = queue->head + atomic_load(&queue->used);
	if (len + extra > QUEUE_SIZE - atomic_load(&queue->used)) {
		pthread_mutex_unlock(&queue->lock);
		return -EAGAIN;
	}
	copy_in(queue, tail, &length, extra);
	copy_in(queue, tail + extra, data, len);
	atomic_fetch_add(&queue->used, len + extra);
	pthread_mutex_unlock(&queue->lock);
	if (m->vcpus)
		tt_vcpu_kick(&m->vcpus[0]);
	return 0;
}

/* The first frame that fits, whole; frames that do not are lost, as on a wire. Queue locked. */
static size_t take_frame(struct queue *queue, void *data, size_t max)
{
	frame_length length;

	while (atomic_load(&queue->used)) {
		copy_out(queue, &length, sizeof(length));
		if (length <= max) {
			copy_out(queue, data, length);
			return length;
		}
		drop(queue, length);
	}
	return 0;
}

size_t tt_input_take(struct tt_machine *m, enum tt_input_id id, void *data, size_t max)
{
	struct queue *queue = find_queue(m, id);
	const struct tt_input *input;
	size_t room, used;

	if (!queue)
		return 0;
	input = &queue->input;
	if (!input->fetch && !atomic_load_explicit(&queue->used, memory_order_relaxed))
		return 0;
	room = input->room(input->ctx);
	if (max > room)
		max = room;
	if (!max)
		return 0;
	if (input->fetch)
		return input->fetch(input->ctx, data, max);
	pthread_mutex_lock(&queue->lock);
	used = atomic_load(&queue->used);
	if (input->frames) {
		max = take_frame(queue, data, max);
	} else {
		max = max < used ? max : used;
		copy_out(queue, data, max);
	}
	pthread_mutex_unlock(&queue->lock);
	return max;
}

bool tt_input_ready(struct tt_machine *m)
{
	struct queue *queue;
	unsigned int id;

	for (id = 0; id < TT_NR_INPUTS; id++) {
		queue = find_queue(m, id);
		if (queue && (queue->input.fetch || atomic_load_explicit(&queue->used, memory_order_relaxed)) &&
		    queue->input.room(queue->input.ctx))
			return true;
	}
	return false;
}

int tt_input_deliver(struct tt_machine *m, enum tt_input_id id, const void *data, size_t len)
{
	struct queue *queue = find_queue(m, id);

	if (!queue || len > queue->input.room(queue->input.ctx))
		return -EINVAL;
	if (len)
		queue->input.deliver(queue->input.ctx, data, len);
	return 0;
}
