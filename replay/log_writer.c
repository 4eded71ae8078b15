// SPDX-License-Identifier: GPL-2.0
/*
 * log_writer.c - from appended events to frames in the file.
 *
 * Each vCPU has a ring of bytes with one producer, the vCPU thread, and one consumer, the writer
 * thread. An event lies in it as a struct record plus payload, never split at the end of the ring.
 * The writer thread looks into the rings eight times per flush_ms, or when a producer wakes it
 * because much has come together; it encodes events where they lie, so the ring is also the only
 * buffer of events that are not in the file yet.
 *
 * The lock guards what is waited for (requests, progress) and the statistics, never the rings.
 */
#include <pthread.h>
#include <signal.h>
#include <stdalign.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "log_file.h"

#define DEFAULT_FLUSH_MS    1000
#define DEFAULT_FLUSH_BYTES (256u << 10)
#define MIN_FLUSH_BYTES	    4096u
#define MAX_FLUSH_BYTES	    (512u << 10)
#define DEFAULT_RING_BYTES  (1u << 20)
#define MIN_RING_BYTES	    (256u << 10)
#define MAX_RING_BYTES	    (1u << 30)
#define DEFAULT_LEVEL	    3
#define POLLS_PER_FLUSH	    8
#define CACHE_LINE	    64

struct record {
	uint32_t size;		/* of all of it, payload included; a multiple of 8 */
	bool padding;		/* nothing more in this round of the ring */
	struct tt_event event;	/* payload points behind it */
};

struct ring {
	/* the producer's */
	alignas(CACHE_LINE) _Atomic uint64_t head;	/* bytes ever put in */
	uint64_t tail_seen;
	uint64_t exits;			/* of the last event */
	uint64_t branches;		/* of the last event that has them */
	uint64_t instructions;		/* of the last asynchronous event that knows them */
	/* the consumer's */
	alignas(CACHE_LINE) _Atomic uint64_t tail;	/* bytes ever taken out */
	uint64_t since;			/* when its first event came, or earlier; 0: empty */
	/* set once */
	alignas(CACHE_LINE) uint8_t *data;
	_Atomic bool stalled;		/* the producer waits */
};

struct tt_log_writer {
	struct tt_log_options options;
	uint64_t ring_size;
	uint64_t frame_bytes;		/* of the ring that go into one frame */
	struct ring *rings;
	_Atomic int error;
	_Atomic bool wanted;		/* the thread should look into the rings now */
	pthread_t thread;

	pthread_mutex_t lock;
	pthread_cond_t work;		/* for the thread */
	pthread_cond_t progress;	/* for those who wait for it */
	uint64_t flush_wanted;
	uint64_t flush_done;
	bool closing;
	struct tt_log_stats stats;

	/* the thread's own */
	struct log_file *file;
	struct tt_log_section *sections;
	size_t num_sections;
	const struct tt_event **batch;
	uint64_t polled;		/* when the thread last looked */
};

/* ------------------------------------------------------------------ the thread */

/* Take one frame's worth of events out of a ring, which is not empty. */
static int write_events(struct tt_log_writer *w, unsigned int vcpu)
{
	struct ring *ring = &w->rings[vcpu];
	uint64_t head = atomic_load_explicit(&ring->head, memory_order_acquire);
	uint64_t tail = atomic_load_explicit(&ring->tail, memory_order_relaxed);
	uint64_t start = tail;
	size_t n = 0;
	int ret;

	while (tail != head) {
		const struct record *record =
			(const struct record *)(ring->data + (tail & (w->ring_size - 1)));

		if (!record->padding) {
			if (n && tail + record->size - start > w->frame_bytes)
				break;
			w->batch[n++] = &record->event;
		}
		tail += record->size;
	}
	if (n) {
		ret = log_file_write_events(w->file, vcpu, w->batch, n);
		if (ret)
			return ret;
	}
	atomic_store(&ring->tail, tail);

	pthread_mutex_lock(&w->lock);
	log_file_stats(w->file, &w->stats);
	pthread_cond_broadcast(&w->progress);
	pthread_mutex_unlock(&w->lock);
	return 0;
}

static uint64_t now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

static uint64_t ring_fill(struct ring *ring)
{
	return atomic_load(&ring->head) - atomic_load(&ring->tail);
}

/* Write the frames that are due: full, old enough, or all of them. */
static int write_due(struct tt_log_writer *w, bool all)
{
	uint64_t now = now_ms();
	int ret;

	for (unsigned int vcpu = 0; vcpu < w->options.num_vcpus; vcpu++) {
		struct ring *ring = &w->rings[vcpu];
		uint64_t fill = ring_fill(ring);
		bool due = all || atomic_load(&ring->stalled);

		if (!fill) {
			ring->since = 0;
			continue;
		}
		if (!ring->since)
			ring->since = w->polled;
		if (now - ring->since >= w->options.flush_ms)
			due = true;
		if (!due && fill < w->frame_bytes)
			continue;
		/* what arrives from now on may wait for the next time */
		for (uint64_t end = atomic_load(&ring->head);
		     atomic_load(&ring->tail) < end &&
		     (due || ring_fill(ring) >= w->frame_bytes);) {
			ret = write_events(w, vcpu);
			if (ret)
				return ret;
		}
		ring->since = 0;
	}
	w->polled = now;
	return log_file_drain(w->file);
}

/* Wait for a reason to look into the rings. Returns with the lock held. */
static void wait_for_work(struct tt_log_writer *w)
{
	unsigned int ms = w->options.flush_ms / POLLS_PER_FLUSH;
	struct timespec until;

	clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_nsec += (long)(ms ? ms : 1) * 1000000;
	until.tv_sec += until.tv_nsec / 1000000000;
	until.tv_nsec %= 1000000000;

	pthread_mutex_lock(&w->lock);
	while (!w->closing && w->flush_done == w->flush_wanted && !atomic_load(&w->wanted))
		if (pthread_cond_timedwait(&w->work, &w->lock, &until))
			break;
}

static void *writer_thread(void *arg)
{
	struct tt_log_writer *w = arg;
	bool closing = false;
	int finished, ret = 0;

	w->polled = now_ms();
	for (uint32_t i = 0; i < w->num_sections && !ret; i++)
		ret = log_file_write_section(w->file, i);

	while (!ret && !closing) {
		uint64_t flush;

		wait_for_work(w);
		closing = w->closing;
		flush = w->flush_wanted;
		pthread_mutex_unlock(&w->lock);

		atomic_store(&w->wanted, false);
		ret = write_due(w, closing || flush != w->flush_done);
		if (ret)
			break;
		pthread_mutex_lock(&w->lock);
		w->flush_done = flush;
		log_file_stats(w->file, &w->stats);
		pthread_cond_broadcast(&w->progress);
		pthread_mutex_unlock(&w->lock);
	}

	if (ret) {
		pthread_mutex_lock(&w->lock);
		atomic_store(&w->error, ret);
		pthread_cond_broadcast(&w->progress);
		while (!w->closing)
			pthread_cond_wait(&w->work, &w->lock);
		pthread_mutex_unlock(&w->lock);
	}
	finished = log_file_finish(w->file, ret);
	if (finished && !ret)
		atomic_store(&w->error, finished);
	return NULL;
}

/* ------------------------------------------------------------------ appending */

static bool event_is_valid(const struct ring *ring, const struct tt_event *event)
{
	if (!event->kind || event->kind > TT_EVENT_LAST || event->pos.exits < ring->exits)
		return false;
	if (!event->at_exit &&
	    (event->pos.branches < ring->branches ||
	     (event->pos.instructions && event->pos.instructions < ring->instructions)))
		return false;
	if (log_kind_timed(event->kind) &&
	    (event->vector < TT_VECTOR_NONE || event->vector > UINT8_MAX))
		return false;
	return !log_kind_loaded(event->kind) || event->payload_len <= TT_EVENT_MAX_PAYLOAD;
}

static bool has_room(struct tt_log_writer *w, struct ring *ring, uint64_t head, uint64_t size)
{
	if (head + size - ring->tail_seen <= w->ring_size)
		return true;
	ring->tail_seen = atomic_load_explicit(&ring->tail, memory_order_acquire);
	return head + size - ring->tail_seen <= w->ring_size;
}

static void wake_thread(struct tt_log_writer *w)
{
	if (atomic_exchange(&w->wanted, true))
		return;
	pthread_mutex_lock(&w->lock);
	pthread_cond_signal(&w->work);
	pthread_mutex_unlock(&w->lock);
}

/* The ring is full: wait for the thread, that is, for the disk. */
static int wait_for_room(struct tt_log_writer *w, struct ring *ring, uint64_t head, uint64_t size)
{
	pthread_mutex_lock(&w->lock);
	w->stats.stalls++;
	atomic_store(&ring->stalled, true);
	while (!has_room(w, ring, head, size) && !atomic_load(&w->error)) {
		atomic_store(&w->wanted, true);
		pthread_cond_signal(&w->work);
		pthread_cond_wait(&w->progress, &w->lock);
	}
	atomic_store(&ring->stalled, false);
	pthread_mutex_unlock(&w->lock);
	return atomic_load(&w->error);
}

int tt_log_append(struct tt_log_writer *w, const struct tt_event *event)
{
	uint32_t payload_len = log_kind_loaded(event->kind) ? event->payload_len : 0;
	uint64_t size = (sizeof(struct record) + payload_len + 7) & ~7ull;
	struct ring *ring;
	struct record *record;
	uint64_t head, to_end, needed;
	int ret = atomic_load_explicit(&w->error, memory_order_relaxed);

	if (ret)
		return ret;
	if (event->vcpu >= w->options.num_vcpus)
		return -EINVAL;
	ring = &w->rings[event->vcpu];
	if (!event_is_valid(ring, event))
		return -EINVAL;

	head = atomic_load_explicit(&ring->head, memory_order_relaxed);
	to_end = w->ring_size - (head & (w->ring_size - 1));
	needed = size <= to_end ? size : to_end + size;
	if (!has_room(w, ring, head, needed)) {
		ret = wait_for_room(w, ring, head, needed);
		if (ret)
			return ret;
	}
	if (size > to_end) {
		/* sizes are multiples of 8, so there is room for the first two fields */
		record = (struct record *)(ring->data + (head & (w->ring_size - 1)));
		record->size = (uint32_t)to_end;
		record->padding = true;
		head += to_end;
	}
	record = (struct record *)(ring->data + (head & (w->ring_size - 1)));
	record->size = (uint32_t)size;
	record->padding = false;
	record->event = *event;
	record->event.payload = record + 1;
	record->event.payload_len = payload_len;
	if (payload_len)
		memcpy(record + 1, event->payload, payload_len);
	head += size;
	atomic_store_explicit(&ring->head, head, memory_order_release);

	ring->exits = event->pos.exits;
	if (!event->at_exit) {
		ring->branches = event->pos.branches;
		if (event->pos.instructions)
			ring->instructions = event->pos.instructions;
	}
	if (head - ring->tail_seen >= w->frame_bytes) {
		ring->tail_seen = atomic_load_explicit(&ring->tail, memory_order_acquire);
		if (head - ring->tail_seen >= w->frame_bytes)
			wake_thread(w);
	}
	return 0;
}

int tt_log_writer_error(const struct tt_log_writer *w)
{
	return atomic_load_explicit(&w->error, memory_order_relaxed);
}

int tt_log_writer_flush(struct tt_log_writer *w)
{
	uint64_t ticket;

	pthread_mutex_lock(&w->lock);
	ticket = ++w->flush_wanted;
	pthread_cond_signal(&w->work);
	while (w->flush_done < ticket && !atomic_load(&w->error))
		pthread_cond_wait(&w->progress, &w->lock);
	pthread_mutex_unlock(&w->lock);
	return atomic_load(&w->error);
}

void tt_log_writer_stats(struct tt_log_writer *w, struct tt_log_stats *stats)
{
	pthread_mutex_lock(&w->lock);
	*stats = w->stats;
	pthread_mutex_unlock(&w->lock);
}

/* ------------------------------------------------------------------ creating and closing */

static void free_writer(struct tt_log_writer *w)
{
	for (unsigned int i = 0; w->rings && i < w->options.num_vcpus; i++)
		free(w->rings[i].data);
	log_sections_free(w->sections, w->num_sections);
	free(w->sections);
	free(w->rings);
	free(w->batch);
	free(w);
}

static unsigned int clamp(unsigned int value, unsigned int otherwise, unsigned int min,
			  unsigned int max)
{
	if (!value)
		return otherwise;
	return value < min ? min : value > max ? max : value;
}

static void set_options(struct tt_log_writer *w, const struct tt_log_options *options)
{
	unsigned int ring_bytes;

	if (options)
		w->options = *options;
	w->options.num_vcpus = clamp(w->options.num_vcpus, 1, 1, UINT32_MAX);
	w->options.flush_ms = clamp(w->options.flush_ms, DEFAULT_FLUSH_MS, 1, 3600000);
	w->options.flush_bytes = clamp(w->options.flush_bytes, DEFAULT_FLUSH_BYTES,
				       MIN_FLUSH_BYTES, MAX_FLUSH_BYTES);
	ring_bytes = clamp(w->options.ring_bytes, DEFAULT_RING_BYTES, MIN_RING_BYTES,
			   MAX_RING_BYTES);
	if (!w->options.level)
		w->options.level = DEFAULT_LEVEL;
	for (w->ring_size = MIN_RING_BYTES; w->ring_size < ring_bytes;)
		w->ring_size *= 2;
	/* the producer must be able to go on while a frame is being made */
	w->frame_bytes = w->options.flush_bytes;
	if (w->frame_bytes > w->ring_size / 2)
		w->frame_bytes = w->ring_size / 2;
}

static int copy_sections(struct tt_log_writer *w, const struct tt_log_section *sections, size_t num,
			 struct tt_error *err)
{
	if (num > TT_LOG_MAX_SECTIONS)
		return tt_fail(err, -EINVAL, "a log takes %d sections, not %zu",
			       TT_LOG_MAX_SECTIONS, num);
	w->sections = calloc(num + 1, sizeof(*w->sections));
	if (!w->sections)
		return tt_fail(err, -ENOMEM, "out of memory");
	for (size_t i = 0; i < num; i++) {
		const char *name = sections[i].name;

		if (!*name || strlen(name) > LOG_NAME_MAX || sections[i].size > INT64_MAX)
			return tt_fail(err, -EINVAL, "bad log section '%s'", name);
		for (size_t k = 0; k < i; k++)
			if (!strcmp(name, sections[k].name))
				return tt_fail(err, -EINVAL, "log section '%s' twice", name);
		w->sections[i] = sections[i];
		w->sections[i].name = strdup(name);
		if (!w->sections[i].name)
			return tt_fail(err, -ENOMEM, "out of memory");
		w->num_sections = i + 1;
	}
	return 0;
}

static int allocate(struct tt_log_writer *w)
{
	w->batch = calloc(w->frame_bytes / sizeof(struct record) + 1, sizeof(*w->batch));
	w->rings = aligned_alloc(CACHE_LINE, w->options.num_vcpus * sizeof(*w->rings));
	if (!w->rings)
		return -ENOMEM;
	memset(w->rings, 0, w->options.num_vcpus * sizeof(*w->rings));
	for (unsigned int i = 0; i < w->options.num_vcpus; i++) {
		w->rings[i].data = malloc(w->ring_size);
		if (!w->rings[i].data)
			return -ENOMEM;
	}
	return w->batch ? 0 : -ENOMEM;
}

static int start_thread(struct tt_log_writer *w)
{
	pthread_condattr_t attr;
	sigset_t all, old;
	int ret;

	pthread_mutex_init(&w->lock, NULL);
	pthread_cond_init(&w->progress, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&w->work, &attr);
	pthread_condattr_destroy(&attr);

	/* signals are for others; a blocked SIGXFSZ leaves the EFBIG that comes with it */
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	ret = pthread_create(&w->thread, NULL, writer_thread, w);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	return -ret;
}

int tt_log_writer_create(const char *path, const struct tt_log_section *sections,
			 size_t num_sections, const struct tt_log_options *options,
			 struct tt_log_writer **writer, struct tt_error *err)
{
	struct tt_log_writer *w;
	int ret;

	if (options && options->num_vcpus > TT_LOG_MAX_VCPUS)
		return tt_fail(err, -EINVAL, "a log takes %d vCPUs, not %u", TT_LOG_MAX_VCPUS,
			       options->num_vcpus);
	w = calloc(1, sizeof(*w));
	if (!w)
		return tt_fail(err, -ENOMEM, "%s: out of memory", path);
	set_options(w, options);
	ret = copy_sections(w, sections, num_sections, err);
	if (ret)
		goto err_free;
	ret = allocate(w);
	if (ret) {
		tt_fail(err, ret, "%s: %s", path, strerror(-ret));
		goto err_free;
	}
	ret = log_file_create(path, w->sections, w->num_sections, &w->options, &w->file, err);
	if (ret)
		goto err_free;
	log_file_stats(w->file, &w->stats);
	ret = start_thread(w);
	if (ret) {
		tt_fail(err, ret, "%s: cannot start a thread: %s", path, strerror(-ret));
		goto err_file;
	}
	*writer = w;
	return 0;

err_file:
	log_file_close(w->file);
err_free:
	free_writer(w);
	return ret;
}

int tt_log_writer_close(struct tt_log_writer *w, struct tt_log_stats *stats, struct tt_error *err)
{
	int ret, closed;

	pthread_mutex_lock(&w->lock);
	w->closing = true;
	pthread_cond_signal(&w->work);
	pthread_mutex_unlock(&w->lock);
	pthread_join(w->thread, NULL);

	log_file_stats(w->file, &w->stats);
	if (stats)
		*stats = w->stats;
	closed = log_file_close(w->file);
	ret = atomic_load(&w->error);
	if (!ret)
		ret = closed;
	if (ret)
		tt_fail(err, ret, "the recording ended early: the log could not be written: %s",
			strerror(-ret));
	pthread_cond_destroy(&w->work);
	pthread_cond_destroy(&w->progress);
	pthread_mutex_destroy(&w->lock);
	free_writer(w);
	return ret;
}
