// SPDX-License-Identifier: GPL-2.0
/*
 * virtio_queue.c - split virtqueues (virtio 1.2, section 2.7), with indirect descriptors.
 *
 * A queue is three areas in guest memory: descriptors (address, length, flags, next), the ring of
 * available chains, which the driver writes, and the ring of used ones, which the device writes.
 * None of it can be trusted, and another vCPU may write it while we look: each field is read once,
 * and each address goes through tt_memory_at().
 */
#include <string.h>

#include "virtio.h"

#define DESCRIPTOR_NEXT	    1
#define DESCRIPTOR_WRITE    2
#define DESCRIPTOR_INDIRECT 4

#define AVAILABLE_NO_INTERRUPT 1

struct descriptor {
	uint64_t address;
	uint32_t len;
	uint16_t flags;
	uint16_t next;
};

struct available {
	uint16_t flags;
	uint16_t index; /* where the driver will put the next one */
	uint16_t ring[];
};

struct used_element {
	uint32_t id;
	uint32_t len;
};

struct used {
	uint16_t flags;
	uint16_t index;
	struct used_element ring[];
};

_Static_assert(sizeof(struct descriptor) == 16 && sizeof(struct used_element) == 8, "virtio 2.7");

#define read_once(field) (*(const volatile __typeof__(field) *)&(field))

static const void *descriptors_at(const struct tt_memory *mem, const struct tt_virtio_queue *q)
{
	return tt_memory_at(mem, q->descriptors, q->size * sizeof(struct descriptor));
}

static const struct available *available_at(const struct tt_memory *mem,
					    const struct tt_virtio_queue *q)
{
	return tt_memory_at(mem, q->available,
			    sizeof(struct available) + q->size * sizeof(uint16_t));
}

static struct used *used_at(const struct tt_memory *mem, const struct tt_virtio_queue *q)
{
	return tt_memory_at(mem, q->used,
			    sizeof(struct used) + q->size * sizeof(struct used_element));
}

const char *tt_virtio_queue_check(const struct tt_memory *mem, const struct tt_virtio_queue *q)
{
	if (q->descriptors % 16 || q->available % 2 || q->used % 4)
		return "an area of a queue is not aligned";
	if (!descriptors_at(mem, q) || !available_at(mem, q) || !used_at(mem, q))
		return "an area of a queue is not in RAM";
	return NULL;
}

/* ------------------------------------------------------------------ buffers */

/* The longest run at the front, at most len bytes; moves on behind it. NULL at the end. */
static void *take_front(struct tt_buffers *buffers, size_t len, size_t *run)
{
	struct iovec *iov = buffers->iov;
	void *at;

	if (!buffers->count || !len)
		return NULL;
	at = iov->iov_base;
	*run = len < iov->iov_len ? len : iov->iov_len;
	iov->iov_base = (uint8_t *)at + *run;
	iov->iov_len -= *run;
	buffers->len -= *run;
	if (!iov->iov_len) {
		buffers->iov++;
		buffers->count--;
	}
	return at;
}

size_t tt_buffers_read(struct tt_buffers *buffers, void *data, size_t len)
{
	size_t done = 0, run;
	const void *from;

	while ((from = take_front(buffers, len - done, &run)) != NULL) {
		memcpy((uint8_t *)data + done, from, run);
		done += run;
	}
	return done;
}

size_t tt_buffers_write(struct tt_buffers *buffers, const void *data, size_t len)
{
	size_t done = 0, run;
	void *to;

	while ((to = take_front(buffers, len - done, &run)) != NULL) {
		memcpy(to, (const uint8_t *)data + done, run);
		done += run;
	}
	return done;
}

uint8_t *tt_buffers_last(struct tt_buffers *buffers)
{
	struct iovec *last;

	if (!buffers->count)
		return NULL;
	last = &buffers->iov[buffers->count - 1];
	buffers->len--;
	if (!--last->iov_len)
		buffers->count--;
	return (uint8_t *)last->iov_base + last->iov_len;
}

void tt_buffers_zero(const struct tt_buffers *buffers)
{
	unsigned int i;

	for (i = 0; i < buffers->count; i++)
		memset(buffers->iov[i].iov_base, 0, buffers->iov[i].iov_len);
}

/* ------------------------------------------------------------------ chains */

/* All errors are phrases for tt_virtio_break(). Each buffer counts, so that loops end. */
static const char *add_buffer(const struct tt_memory *mem, struct tt_virtio_chain *chain,
			      const struct descriptor *d)
{
	bool writable = d->flags & DESCRIPTOR_WRITE;
	struct tt_buffers *list = writable ? &chain->writable : &chain->readable;
	unsigned int count = chain->readable.count + chain->writable.count;
	void *at = tt_memory_at(mem, d->address, d->len);

	if (count == TT_VIRTIO_QUEUE_SIZE)
		return "a chain of descriptors is too long, or a loop";
	if (!d->len)
		return "a buffer is empty";
	if (!at)
		return "a buffer is not in RAM";
	if (!writable && chain->writable.count)
		return "a readable buffer stands behind a writable one";
	if (chain->readable.len + chain->writable.len + d->len > UINT32_MAX)
		return "the buffers of a chain are longer than 4 GiB";
	chain->iov[count] = (struct iovec){ at, d->len };
	if (!list->count)
		list->iov = &chain->iov[count];
	list->count++;
	list->len += d->len;
	return NULL;
}

/* Indirect tables need not be aligned. */
static struct descriptor read_descriptor(const void *table, unsigned int index)
{
	struct descriptor d;

	memcpy(&d, (const uint8_t *)table + index * sizeof(d), sizeof(d));
	__atomic_signal_fence(__ATOMIC_SEQ_CST); /* it is not read again */
	return d;
}

/*
 * The chain that begins at index, up to its end or to an indirect descriptor, which is left in
 * *last.
 */
static const char *walk(const struct tt_memory *mem, struct tt_virtio_chain *chain,
			const void *table, unsigned int size, unsigned int index,
			struct descriptor *last)
{
	const char *why;

	for (;;) {
		if (index >= size)
			return "an index of a descriptor is too large";
		*last = read_descriptor(table, index);
		if (last->flags & DESCRIPTOR_INDIRECT)
			return NULL;
		why = add_buffer(mem, chain, last);
		if (why || !(last->flags & DESCRIPTOR_NEXT))
			return why;
		index = last->next;
	}
}

/* The table that an indirect descriptor stands for. */
static const char *walk_indirect(const struct tt_memory *mem, struct tt_virtio_chain *chain,
				 const struct descriptor *indirect)
{
	const void *table = tt_memory_at(mem, indirect->address, indirect->len);
	unsigned int size = indirect->len / sizeof(struct descriptor);
	struct descriptor last;
	const char *why;

	if (indirect->flags & DESCRIPTOR_NEXT)
		return "an indirect descriptor has a successor";
	if (!size || indirect->len % sizeof(struct descriptor))
		return "an indirect table has a length that is no multiple of 16";
	if (!table)
		return "an indirect table is not in RAM";
	why = walk(mem, chain, table, size, 0, &last);
	if (!why && (last.flags & DESCRIPTOR_INDIRECT))
		why = "an indirect descriptor stands in an indirect table";
	return why;
}

int tt_virtio_peek(const struct tt_virtio *v, unsigned int queue, struct tt_virtio_chain *chain,
		   const char **why)
{
	const struct tt_virtio_queue *q = &v->state.queues[queue];
	const struct tt_memory *mem = &v->machine->memory;
	const void *table = descriptors_at(mem, q);
	const struct available *available = available_at(mem, q);
	struct descriptor last;
	uint16_t ahead;

	*why = "an area of a queue is not in RAM";
	if (!table || !available)
		return -EINVAL;
	ahead = __atomic_load_n(&available->index, __ATOMIC_ACQUIRE) - q->next_available;
	if (!ahead)
		return 0;
	*why = "the index of the available ring is too far ahead";
	if (ahead > q->size)
		return -EINVAL;
	chain->head = read_once(available->ring[q->next_available % q->size]);
	chain->readable = chain->writable = (struct tt_buffers){ .iov = chain->iov };
	*why = walk(mem, chain, table, q->size, chain->head, &last);
	if (!*why && (last.flags & DESCRIPTOR_INDIRECT))
		*why = v->state.features & TT_VIRTIO_F_INDIRECT_DESC
			       ? walk_indirect(mem, chain, &last)
			       : "an indirect descriptor, which was not negotiated";
	return *why ? -EINVAL : 1;
}

bool tt_virtio_take(struct tt_virtio *v, unsigned int queue, struct tt_virtio_chain *chain)
{
	const char *why;
	unsigned int i;
	int ret;

	if (!tt_virtio_queue_ready(v, queue))
		return false;
	ret = tt_virtio_peek(v, queue, chain, &why);
	if (ret < 0)
		tt_virtio_break(v, why);
	if (ret <= 0)
		return false;
	v->state.queues[queue].next_available++;
	for (i = 0; i < chain->writable.count; i++)
		tt_memory_wrote(&v->machine->memory, chain->writable.iov[i].iov_base, chain->writable.iov[i].iov_len);
	return true;
}

void tt_virtio_give(struct tt_virtio *v, unsigned int queue, const struct tt_virtio_chain *chain,
		    size_t written)
{
	struct tt_virtio_queue *q = &v->state.queues[queue];
	struct used *used = used_at(&v->machine->memory, q);
	struct used_element *element;

	if (!used)
		return;
	element = &used->ring[q->next_used % q->size];
	*element = (struct used_element){ chain->head, written };
	q->next_used++;
	__atomic_store_n(&used->index, q->next_used, __ATOMIC_RELEASE);
	tt_memory_wrote(&v->machine->memory, element, sizeof(*element));
	tt_memory_wrote(&v->machine->memory, &used->index, sizeof(used->index));
}

void tt_virtio_interrupt(struct tt_virtio *v, unsigned int queue)
{
	const struct tt_virtio_queue *q = &v->state.queues[queue];
	const struct available *available = available_at(&v->machine->memory, q);

	if (!available || !tt_virtio_queue_ready(v, queue))
		return;
	__atomic_thread_fence(__ATOMIC_SEQ_CST); /* used index first, then the driver's wish */
	if (!(read_once(available->flags) & AVAILABLE_NO_INTERRUPT))
		tt_virtio_raise(v, TT_VIRTIO_ISR_QUEUE, q->vector);
}

void tt_virtio_serve(struct tt_virtio *v, unsigned int queue,
		     ssize_t (*serve)(struct tt_virtio *v, struct tt_virtio_chain *chain))
{
	struct tt_virtio_chain chain;
	bool any = false;
	ssize_t written;

	while (tt_virtio_take(v, queue, &chain)) {
		written = serve(v, &chain);
		if (written < 0)
			return;
		tt_virtio_give(v, queue, &chain, written);
		any = true;
	}
	if (any)
		tt_virtio_interrupt(v, queue);
}
