// SPDX-License-Identifier: GPL-2.0
/*
 * checkpointer.c - see checkpointer.h.
 *
 * One moment at a time is on its way to the thread. A checkpoint that comes due before the last one is done waits: the pages
 * written meanwhile are its own then.
 */
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "checkpoint.h"
#include "checkpointer.h"

struct tt_checkpointer {
	struct tt_checkpointer_options options;
	struct tt_machine *machine;
	struct tt_checkpoints *checkpoints;	/* the thread's, while it is busy */
	struct tt_disk_pages *disk_pages;
	uint64_t first_spacing;			/* of the checkpoints' row, before any had to go */

	/* The vCPU's thread: */
	uint64_t next;				/* virtual time */
	struct tt_error error;			/* no more checkpoints are taken */
	void (*console_write)(void *ctx, const void *data, size_t len);
	void *console_ctx;
	FILE *output;				/* the console's, into output_text */
	char *output_text;
	size_t output_size;
	uint64_t output_bytes;

	/* Whose turn it is: */
	pthread_t thread;
	bool has_thread;
	pthread_mutex_t lock;
	pthread_cond_t changed;
	bool busy;				/* moment is for the thread */
	bool quits;
	int failed;				/* the thread's -errno */
	struct tt_moment moment;
	uint64_t *written;			/* moment.written */
	uint64_t words;
	uint8_t *copies;			/* moment.copies; room for more of them than there are */
	uint64_t room;				/* bytes */
};

/* ------------------------------------------------------------------ the thread */

static void *checkpointer_main(void *arg)
{
	struct tt_checkpointer *c = arg;
	int ret;

	pthread_mutex_lock(&c->lock);
	for (;;) {
		while (!c->busy && !c->quits)
			pthread_cond_wait(&c->changed, &c->lock);
		if (!c->busy)
			break;
		pthread_mutex_unlock(&c->lock);
		ret = tt_checkpoint_add(c->checkpoints, &c->moment);
		free(c->moment.placed);
		pthread_mutex_lock(&c->lock);
		c->failed = ret;
		__atomic_store_n(&c->busy, false, __ATOMIC_RELEASE);
	}
	pthread_mutex_unlock(&c->lock);
	return NULL;
}

/* All moments that were caught are checkpoints after this. */
static void end_thread(struct tt_checkpointer *c)
{
	if (!c->has_thread)
		return;
	pthread_mutex_lock(&c->lock);
	c->quits = true;
	pthread_cond_signal(&c->changed);
	pthread_mutex_unlock(&c->lock);
	pthread_join(c->thread, NULL);
	c->has_thread = false;
}

/* ------------------------------------------------------------------ catching moments */

static void console_write(void *ctx, const void *data, size_t len)
{
	struct tt_checkpointer *c = ctx;

	fwrite(data, 1, len, c->output);
	c->output_bytes += len;
	if (c->console_write)
		c->console_write(c->console_ctx, data, len);
}

bool tt_checkpointer_due(const struct tt_checkpointer *c, uint64_t now)
{
	return now >= c->next && !c->error.code && !__atomic_load_n(&c->busy, __ATOMIC_ACQUIRE);
}

static int make_room(struct tt_checkpointer *c, uint64_t bytes)
{
	void *copies;

	if (bytes <= c->room)
		return 0;
	copies = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (copies == MAP_FAILED)
		return -errno;
	if (c->copies)
		munmap(c->copies, c->room);
	c->copies = copies;
	c->room = bytes;
	return 0;
}

/* Those that have no place on a disk. */
static int copy_pages(struct tt_checkpointer *c)
{
	const struct tt_placed *placed = c->moment.placed;
	uint64_t pages = 0, word, bits;
	uint8_t *to;
	int ret;

	for (word = 0; word < c->words; word++)
		pages += __builtin_popcountll(c->written[word]);
	ret = make_room(c, pages * TT_PAGE_SIZE);
	if (ret)
		return ret;
	to = c->copies;
	for (word = 0; word < c->words; word++) {
		for (bits = c->written[word]; bits; bits &= bits - 1, placed++) {
			if (placed->place)
				continue;
			memcpy(to, c->machine->memory.hva + (word * 64 + __builtin_ctzll(bits)) * TT_PAGE_SIZE,
			       TT_PAGE_SIZE);
			to += TT_PAGE_SIZE;
		}
	}
	return 0;
}

/* The thread waits for something to do. */
static int catch(struct tt_checkpointer *c, uint64_t instruction, const struct tt_replayer_place *place)
{
	bool first = !tt_checkpoints_taken(c->checkpoints);
	int ret;

	c->moment = (struct tt_moment){ .instruction = instruction, .note = c->output_bytes, .place = *place };
	ret = tt_snapshot_take(c->machine, &c->moment.snapshot, &c->error);
	if (ret)
		return ret;
	memset(c->written, 0, c->words * sizeof(*c->written));
	ret = first ? tt_machine_track_writes(c->machine, c->written, &c->error) :
		      tt_machine_written_pages(c->machine, c->written);
	if (!ret)
		ret = tt_moment_place(&c->moment, c->disk_pages, c->written, c->words);
	if (!ret)
		ret = copy_pages(c);
	if (ret) {
		free(c->moment.snapshot);
		free(c->moment.placed);
		return tt_fail(&c->error, ret, "cannot take a checkpoint: %s", strerror(-ret));
	}
	c->moment.copies = c->copies;
	return 0;
}

void tt_checkpointer_catch(struct tt_checkpointer *c, uint64_t instruction, uint64_t now,
			   const struct tt_replayer_place *place)
{
	struct tt_timeline_stats stats;

	tt_checkpoints_get_stats(c->checkpoints, &stats);
	c->next = now + c->options.interval * (stats.interval / c->first_spacing);
	pthread_mutex_lock(&c->lock);
	if (c->failed) {
		tt_fail(&c->error, c->failed, "cannot take a checkpoint: %s", strerror(-c->failed));
	} else if (!catch(c, instruction, place)) {
		__atomic_store_n(&c->busy, true, __ATOMIC_RELEASE);
		pthread_cond_signal(&c->changed);
	}
	pthread_mutex_unlock(&c->lock);
}

/* ------------------------------------------------------------------ life */

int tt_checkpointer_create(struct tt_machine *m, const struct tt_checkpointer_options *options,
			   struct tt_checkpointer **checkpointer, struct tt_error *err)
{
	struct tt_checkpointer *c = calloc(1, sizeof(*c));
	struct tt_timeline_stats stats;
	int ret;

	if (!c)
		return tt_fail(err, -ENOMEM, "out of memory");
	c->options = *options;
	c->machine = m;
	pthread_mutex_init(&c->lock, NULL);
	pthread_cond_init(&c->changed, NULL);
	c->words = (m->memory.size / TT_PAGE_SIZE + 63) / 64;
	c->written = calloc(c->words, sizeof(*c->written));
	c->output = open_memstream(&c->output_text, &c->output_size);
	ret = c->written && c->output ? 0 : tt_fail(err, -ENOMEM, "out of memory");
	if (!ret)
		ret = tt_checkpoints_create(m, options->recording, options->bytes ? options->bytes : TT_CHECKPOINT_BYTES,
					    &c->checkpoints, err);
	if (!ret && tt_disk_pages_create(m, &c->disk_pages))
		ret = tt_fail(err, -ENOMEM, "out of memory");
	if (!ret) {
		tt_checkpoints_get_stats(c->checkpoints, &stats);
		c->first_spacing = stats.interval;
		ret = -pthread_create(&c->thread, NULL, checkpointer_main, c);
		c->has_thread = !ret;
		if (ret)
			tt_fail(err, ret, "cannot start a thread: %s", strerror(-ret));
	}
	if (ret) {
		tt_checkpointer_destroy(c);
		return ret;
	}
	c->console_write = m->console_write;
	c->console_ctx = m->console_ctx;
	m->console_write = console_write;
	m->console_ctx = c;
	*checkpointer = c;
	return 0;
}

int tt_checkpointer_save(struct tt_checkpointer *c, unsigned int *count, struct tt_error *err)
{
	struct tt_timeline_stats stats;
	int ret;

	*count = 0;
	end_thread(c);
	if (c->error.code) {
		*err = c->error;
		return c->error.code;
	}
	if (c->failed)
		return tt_fail(err, c->failed, "cannot take a checkpoint: %s", strerror(-c->failed));
	if (fflush(c->output))
		return tt_fail(err, -ENOMEM, "out of memory");
	tt_checkpoints_reset_distance(c->checkpoints);
	ret = tt_checkpoints_save(c->checkpoints, c->options.path, c->output_text, c->output_size, err);
	if (ret)
		return ret;
	tt_checkpoints_get_stats(c->checkpoints, &stats);
	*count = stats.checkpoints;
	return 0;
}

void tt_checkpointer_destroy(struct tt_checkpointer *c)
{
	if (!c)
		return;
	end_thread(c);
	if (c->machine->console_ctx == c) {
		c->machine->console_write = c->console_write;
		c->machine->console_ctx = c->console_ctx;
	}
	tt_disk_pages_destroy(c->disk_pages);
	tt_checkpoints_destroy(c->checkpoints);
	if (c->copies)
		munmap(c->copies, c->room);
	if (c->output)
		fclose(c->output);
	free(c->output_text);
	free(c->written);
	pthread_cond_destroy(&c->changed);
	pthread_mutex_destroy(&c->lock);
	free(c);
}
