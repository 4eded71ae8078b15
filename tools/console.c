// SPDX-License-Identifier: GPL-2.0
/*
 * console.c - the guest's serial output on its way out.
 *
 * A vCPU hands over one byte per exit and must not wait for a terminal: bytes go into a buffer, and a thread writes them
 * out in batches a few milliseconds apart. What nobody reads at a pty or a socket is kept up to a bound.
 */
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "ttvm.h"

#define BATCH_NS 5000000 /* 5 ms */
#define INITIAL_CAPACITY 65536

static void *writer_main(void *arg)
{
	struct console *c = arg;
	const struct timespec batch = { .tv_nsec = BATCH_NS };
	uint8_t *data = NULL;
	size_t capacity = 0;
	int ret;

	pthread_mutex_lock(&c->lock);
	for (;;) {
		uint8_t *swap_data = data;
		size_t swap_capacity = capacity, len;
		int fd;

		while ((!c->used || c->fd < 0) && !c->quit)
			pthread_cond_wait(&c->wake, &c->lock);
		if (!c->used || c->fd < 0)
			break;
		if (!c->quit) {
			pthread_mutex_unlock(&c->lock);
			nanosleep(&batch, NULL);
			pthread_mutex_lock(&c->lock);
			if (c->fd < 0)
				continue;
		}
		/* Swap buffers, so that the vCPU can go on while this one is written. */
		data = c->buffer;
		capacity = c->capacity;
		len = c->used;
		c->buffer = swap_data;
		c->capacity = swap_capacity;
		c->used = 0;
		fd = c->fd;
		c->writing = true;
		ret = c->error;
		pthread_mutex_unlock(&c->lock);
		if (!ret)
			ret = console_line_write(c, fd, data, len);
		pthread_mutex_lock(&c->lock);
		c->error = ret;
		c->writing = false;
		pthread_cond_broadcast(&c->wake);
	}
	pthread_mutex_unlock(&c->lock);
	free(data);
	return NULL;
}

int console_open(struct console *c, const char *where, struct tt_error *err)
{
	int ret;

	memset(c, 0, sizeof(*c));
	pthread_mutex_init(&c->lock, NULL);
	pthread_cond_init(&c->wake, NULL);
	c->fd = -1;
	ret = console_line_open(c, where, err);
	if (ret || c->kind == CONSOLE_NONE)
		return ret;
	ret = pthread_create(&c->writer, NULL, writer_main, c);
	if (ret) {
		console_line_close(c);
		return tt_fail(err, -ret, "cannot start a thread: %s", strerror(ret));
	}
	c->started = true;
	return 0;
}

/* Room for len more bytes, at the cost of the oldest where they may pile up. False: there is none. */
static bool make_room(struct console *c, size_t len)
{
	bool bounded = c->kind == CONSOLE_PTY || c->kind == CONSOLE_SOCKET;
	size_t capacity = c->capacity ? c->capacity : INITIAL_CAPACITY, drop;
	uint8_t *grown;

	if (bounded && c->used + len > CONSOLE_KEPT) {
		/* A quarter at a time: moving the rest costs. */
		drop = len > CONSOLE_KEPT / 4 ? c->used : CONSOLE_KEPT / 4;
		memmove(c->buffer, c->buffer + drop, c->used - drop);
		c->used -= drop;
		c->lost += drop;
	}
	while (capacity < c->used + len)
		capacity *= 2;
	if (capacity == c->capacity)
		return true;
	grown = realloc(c->buffer, capacity);
	if (!grown) {
		c->error = -ENOMEM;
		return false;
	}
	c->buffer = grown;
	c->capacity = capacity;
	return true;
}

void console_write(void *ctx, const void *data, size_t len)
{
	struct console *c = ctx;
	const uint8_t *bytes = data;

	pthread_mutex_lock(&c->lock);
	while (len && c->written < c->skip) {
		c->written++;
		bytes++;
		len--;
	}
	c->written += len;
	if (len && c->started && make_room(c, len)) {
		if (!c->used)
			pthread_cond_broadcast(&c->wake);
		memcpy(c->buffer + c->used, bytes, len);
		c->used += len;
	}
	pthread_mutex_unlock(&c->lock);
}

int console_close(struct console *c)
{
	int ret;

	if (c->started) {
		pthread_mutex_lock(&c->lock);
		c->quit = true;
		pthread_cond_broadcast(&c->wake);
		pthread_mutex_unlock(&c->lock);
		pthread_join(c->writer, NULL);
	}
	c->started = false;
	ret = console_line_close(c);
	if (!c->error)
		c->error = ret;
	free(c->buffer);
	c->buffer = NULL;
	c->used = c->capacity = 0;
	return c->error;
}
