// SPDX-License-Identifier: GPL-2.0
/*
 * console.c - the guest's serial output on its way to stdout or a file.
 *
 * A vCPU hands over one byte per exit and must not wait for a terminal: bytes go into a buffer, and a thread writes them
 * out in batches a few milliseconds apart.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "ttvm.h"

#define BATCH_NS 5000000 /* 5 ms */
#define INITIAL_CAPACITY 65536

static int write_all(int fd, const uint8_t *data, size_t len)
{
	while (len) {
		ssize_t n = write(fd, data, len);

		if (n < 0) {
			if (errno == EINTR)
				continue;
			return -errno;
		}
		data += n;
		len -= n;
	}
	return 0;
}

static void *console_main(void *arg)
{
	struct console *c = arg;
	const struct timespec batch = { .tv_nsec = BATCH_NS };
	uint8_t *data = NULL;
	size_t capacity = 0;

	pthread_mutex_lock(&c->lock);
	for (;;) {
		uint8_t *swap_data = data;
		size_t swap_capacity = capacity, len;

		while (!c->used && !c->quit)
			pthread_cond_wait(&c->wake, &c->lock);
		if (!c->used)
			break;
		if (!c->quit) {
			pthread_mutex_unlock(&c->lock);
			nanosleep(&batch, NULL);
			pthread_mutex_lock(&c->lock);
		}
		/* Swap buffers, so that the vCPU can go on while this one is written. */
		data = c->buffer;
		capacity = c->capacity;
		len = c->used;
		c->buffer = swap_data;
		c->capacity = swap_capacity;
		c->used = 0;
		pthread_mutex_unlock(&c->lock);
		if (!c->error)
			c->error = write_all(c->fd, data, len);
		pthread_mutex_lock(&c->lock);
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
	if (!strcmp(where, "none"))
		return 0;
	if (!strcmp(where, "stdio")) {
		c->fd = STDOUT_FILENO;
	} else {
		c->fd = open(where, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
		if (c->fd < 0)
			return tt_fail(err, -errno, "%s: %s", where, strerror(errno));
		c->close_fd = true;
	}
	ret = pthread_create(&c->thread, NULL, console_main, c);
	if (ret)
		return tt_fail(err, -ret, "cannot start a thread: %s", strerror(ret));
	c->started = true;
	return 0;
}

void console_write(void *ctx, const void *data, size_t len)
{
	struct console *c = ctx;
	const uint8_t *bytes = data;
	bool was_empty;

	pthread_mutex_lock(&c->lock);
	while (len && c->written < c->skip) {
		c->written++;
		bytes++;
		len--;
	}
	c->written += len;
	if (!len || c->fd < 0)
		goto out;
	if (c->used + len > c->capacity) {
		size_t capacity = c->capacity ? c->capacity * 2 : INITIAL_CAPACITY;
		uint8_t *grown;

		while (capacity < c->used + len)
			capacity *= 2;
		grown = realloc(c->buffer, capacity);
		if (!grown) {
			c->error = -ENOMEM;
			goto out;
		}
		c->buffer = grown;
		c->capacity = capacity;
	}
	was_empty = !c->used;
	memcpy(c->buffer + c->used, bytes, len);
	c->used += len;
	if (was_empty)
		pthread_cond_signal(&c->wake);
out:
	pthread_mutex_unlock(&c->lock);
}

int console_close(struct console *c)
{
	if (c->started) {
		pthread_mutex_lock(&c->lock);
		c->quit = true;
		pthread_cond_signal(&c->wake);
		pthread_mutex_unlock(&c->lock);
		pthread_join(c->thread, NULL);
	}
	c->started = false;
	free(c->buffer);
	c->buffer = NULL;
	if (c->close_fd && close(c->fd) < 0 && !c->error)
		c->error = -errno;
	c->fd = -1;
	return c->error;
}
