// SPDX-License-Identifier: GPL-2.0
/*
 * output.c - appending to the history's file: records are built in buffers, and a full buffer is handed to the kernel
 * while the next is filled. Nobody waits but for a flush, or when the disk is slower than the writer by all buffers.
 *
 * A buffer is kept until the file has all of it, and after that until its memory is needed. So when the file cannot take
 * it (no space, an I/O error), nothing is lost: what was committed can be read, and is tried again whenever more is to be
 * written.
 *
 * An fdatasync() that fails says that something since the last good one may never reach the disk, and the next one may
 * succeed all the same: the kernel takes the pages for clean (PostgreSQL's "fsyncgate", 2018). To dirty them again is not
 * enough either. ext4 allocates blocks as "unwritten", which read as zeroes until the write has ended well; after a failed
 * one its page cache takes them for written, writes to them again, and never marks them (seen with Linux 6.12): once the
 * page has gone, there are zeroes again. So what is not known to be safe goes to new blocks: its range of the file becomes
 * a hole, which takes the pages away, too, and is written anew; from the buffers as far as they have it, else from what
 * the file reads as before. Whether that is right is for the caller to verify, who knows what the bytes mean; the pages
 * are dropped once more, so that he reads the disk.
 */
#include <fcntl.h>
#include <liburing.h>
#include <stdlib.h>
#include <unistd.h>

#include "internal.h"

#define NUM_BUFFERS 4
#define BUFFER_SIZE (512u << 10)
#define RESCUE	    NUM_BUFFERS /* one more, for what is in no other: see rewrite() */
#define HOLE_ALIGN  (64u << 10) /* no file system that we know has larger blocks */

struct buffer {
	uint8_t *data;
	uint64_t offset; /* in the file */
	size_t fill;	 /* bytes committed */
	size_t done;	 /* bytes of them in the file */
	bool busy;	 /* the kernel is at work on it */
};

struct output {
	int fd;
	bool uring;
	struct io_uring ring;
	struct buffer buffers[NUM_BUFFERS + 1];
	unsigned int current;
	bool failed;	   /* a write has failed, and was not repeated with success yet */
	uint64_t unsynced; /* everything before is on stable storage */
	bool sync_failed;
	uint64_t appends;
};

/* ------------------------------------------------------------------ life */

static int start_uring(struct output *output)
{
	struct iovec vectors[NUM_BUFFERS];
	int ret = io_uring_queue_init(2 * NUM_BUFFERS, &output->ring, 0);

	if (ret)
		return ret;
	for (int i = 0; i < NUM_BUFFERS; i++)
		vectors[i] = (struct iovec){ output->buffers[i].data, BUFFER_SIZE };
	ret = io_uring_register_buffers(&output->ring, vectors, NUM_BUFFERS);
	if (ret)
		io_uring_queue_exit(&output->ring);
	return ret;
}

static void free_output(struct output *output)
{
	if (output->uring)
		io_uring_queue_exit(&output->ring);
	for (int i = 0; i <= NUM_BUFFERS; i++)
		free(output->buffers[i].data);
	free(output);
}

int ttd_output_create(int fd, uint64_t end, bool no_io_uring, struct output **result)
{
	struct output *output = calloc(1, sizeof(*output));

	if (!output)
		return -ENOMEM;
	output->fd = fd;
	output->unsynced = end;
	for (int i = 0; i < NUM_BUFFERS; i++)
		if (posix_memalign((void **)&output->buffers[i].data, 4096, BUFFER_SIZE)) {
			output->buffers[i].data = NULL;
			free_output(output);
			return -ENOMEM;
		}
	output->buffers[0].offset = end;
	/* seccomp filters, kernels without it, a small RLIMIT_MEMLOCK: pwrite() serves as well */
	output->uring = !no_io_uring && !start_uring(output);
	*result = output;
	return 0;
}

int ttd_output_destroy(struct output *output)
{
	int ret = ttd_output_drain(output);

	free_output(output);
	return ret;
}

/* ------------------------------------------------------------------ writing buffers */

/* Write what is left of a buffer that the kernel is not at work on. */
static int write_now(struct output *output, struct buffer *buffer)
{
	while (buffer->done < buffer->fill) {
		ssize_t ret =
			pwrite(output->fd, buffer->data + buffer->done, buffer->fill - buffer->done,
			       (off_t)(buffer->offset + buffer->done));

		output->appends++;
		if (ret < 0 && errno == EINTR)
			continue;
		if (ret <= 0) {
			output->failed = true;
			return ret ? -errno : -EIO;
		}
		buffer->done += (size_t)ret;
	}
	return 0;
}

static void start_write(struct output *output, unsigned int i)
{
	struct buffer *buffer = &output->buffers[i];
	struct io_uring_sqe *sqe = output->uring ? io_uring_get_sqe(&output->ring) : NULL;
	int ret;

	if (!sqe) {
		write_now(output, buffer); /* a failure is found when the buffer is needed */
		return;
	}
	io_uring_prep_write_fixed(sqe, output->fd, buffer->data + buffer->done,
				  (unsigned int)(buffer->fill - buffer->done),
				  buffer->offset + buffer->done, (int)i);
	/* copying to the page cache is work for another CPU */
	io_uring_sqe_set_flags(sqe, IOSQE_ASYNC);
	io_uring_sqe_set_data64(sqe, i);
	buffer->busy = true;
	output->appends++;
	do {
		ret = io_uring_submit(&output->ring);
	} while (ret == -EINTR || ret == -EAGAIN || ret == -EBUSY);
	if (ret <
	    0) { /* never on a healthy ring; what was not submitted stays in it, so do without */
		io_uring_queue_exit(&output->ring);
		output->uring = false;
		for (int j = 0; j < NUM_BUFFERS; j++)
			output->buffers[j].busy = false;
		write_now(output, buffer);
	}
}

static void complete(struct output *output, struct io_uring_cqe *cqe)
{
	struct buffer *buffer = &output->buffers[io_uring_cqe_get_data64(cqe) % NUM_BUFFERS];

	buffer->busy = false;
	if (cqe->res > 0)
		buffer->done += (size_t)cqe->res;
	if (buffer->done < buffer->fill)
		output->failed = true; /* short, or not at all: pwrite() says why */
	io_uring_cqe_seen(&output->ring, cqe);
}

static void look_for_completions(struct output *output)
{
	struct io_uring_cqe *cqe;

	while (output->uring && !io_uring_peek_cqe(&output->ring, &cqe))
		complete(output, cqe);
}

static void wait_for(struct output *output, struct buffer *buffer)
{
	struct io_uring_cqe *cqe;

	while (buffer->busy)
		if (!io_uring_wait_cqe(&output->ring, &cqe))
			complete(output, cqe);
}

/* Everything that failed, and is not being filled, again. */
static int retry(struct output *output)
{
	int ret;

	ret = write_now(output, &output->buffers[RESCUE]);
	for (unsigned int i = 1; i <= NUM_BUFFERS && !ret; i++) {
		struct buffer *buffer = &output->buffers[(output->current + i) % NUM_BUFFERS];

		wait_for(output, buffer);
		ret = write_now(output, buffer);
	}
	if (ret)
		return ret;
	output->failed = false;
	return 0;
}

/* ------------------------------------------------------------------ appending */

int ttd_output_reserve(struct output *output, size_t len, uint8_t **room)
{
	unsigned int following = (output->current + 1) % NUM_BUFFERS;
	struct buffer *buffer = &output->buffers[output->current];
	struct buffer *next = &output->buffers[following];
	int ret;

	if (buffer->fill + len > BUFFER_SIZE) {
		look_for_completions(output);
		if (!output->failed) {
			if (!buffer->busy && buffer->done < buffer->fill)
				start_write(output, output->current);
			wait_for(output, next);
		}
	}
	if (output->failed) {
		ret = retry(output);
		if (ret)
			return ret;
	}
	if (buffer->fill + len > BUFFER_SIZE) {
		next->offset = buffer->offset + buffer->fill;
		next->fill = next->done = 0;
		output->current = following;
		buffer = next;
	}
	*room = buffer->data + buffer->fill;
	return 0;
}

void ttd_output_commit(struct output *output, size_t len)
{
	output->buffers[output->current].fill += len;
}

uint64_t ttd_output_end(const struct output *output)
{
	const struct buffer *buffer = &output->buffers[output->current];

	return buffer->offset + buffer->fill;
}

int ttd_output_drain(struct output *output)
{
	return retry(output);
}

/* Where the bytes begin that are in buffers, up to the end without a gap. */
static uint64_t buffered_from(const struct output *output)
{
	uint64_t from = ttd_output_end(output);

	for (unsigned int i = NUM_BUFFERS; i > 0; i--) {
		const struct buffer *buffer = &output->buffers[(output->current + i) % NUM_BUFFERS];

		if (buffer->fill && buffer->offset + buffer->fill == from)
			from = buffer->offset;
	}
	return from;
}

static int read_back(const struct output *output, void *to, size_t len, uint64_t offset)
{
	struct iovec iov = { to, len };
	struct span span = ttd_span_of(&iov, 1);

	return ttd_span_pread(&span, output->fd, len, offset);
}

/*
 * File systems without holes do without: those that we know of do not have unwritten blocks either. Other failures show
 * when the range is written.
 */
static void make_hole(const struct output *output, uint64_t from, uint64_t to)
{
	fallocate(output->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)from, (off_t)(to - from));
}

/* After a drain: write everything since the last good fdatasync() once more, to other blocks. */
static int rewrite(struct output *output)
{
	uint64_t end = ttd_output_end(output), from = MAX(buffered_from(output), output->unsynced);
	struct buffer *rescue = &output->buffers[RESCUE];
	uint64_t offset = output->unsynced, len;
	int ret = 0;

	if (offset < from && !rescue->data && posix_memalign((void **)&rescue->data, 4096, BUFFER_SIZE)) {
		rescue->data = NULL;
		return -ENOMEM;
	}
	/* Holes begin and end where blocks do, but for the first, whose block is partly written and safe. */
	for (; offset < from && !ret; offset += len) {
		len = MIN(BUFFER_SIZE - offset % BUFFER_SIZE, from - offset);
		ret = read_back(output, rescue->data, len, offset);
		if (ret)
			return ret;
		rescue->offset = offset;
		rescue->fill = len;
		rescue->done = 0;
		if (offset + len == from)
			break;
		make_hole(output, offset, offset + len);
		ret = write_now(output, rescue);
	}
	if (ret)
		return ret;
	for (unsigned int i = 0; i < NUM_BUFFERS; i++) {
		struct buffer *buffer = &output->buffers[i];

		if (buffer->offset + buffer->fill > from)
			buffer->done = MAX(from, buffer->offset) - buffer->offset;
	}
	make_hole(output, offset, (end + HOLE_ALIGN - 1) / HOLE_ALIGN * HOLE_ALIGN);
	return retry(output);
}

int ttd_output_sync(struct output *output)
{
	uint64_t from = output->unsynced;
	bool again = output->sync_failed;
	int ret = ttd_output_drain(output);

	if (!ret && again)
		ret = rewrite(output);
	if (ret)
		return ret;
	if (fdatasync(output->fd)) {
		output->sync_failed = true;
		return -errno;
	}
	output->sync_failed = false;
	output->unsynced = ttd_output_end(output);
	if (again)
		posix_fadvise(output->fd, (off_t)(from / HOLE_ALIGN * HOLE_ALIGN), 0, POSIX_FADV_DONTNEED);
	return 0;
}

/* ------------------------------------------------------------------ reading */

/* The buffer that holds offset, or NULL; *len is cut to what is in the same place. */
static const struct buffer *find(const struct output *output, uint64_t offset, size_t *len)
{
	for (int i = 0; i <= NUM_BUFFERS; i++) {
		const struct buffer *buffer = &output->buffers[i];
		uint64_t end = buffer->offset + buffer->fill;

		if (offset >= buffer->offset && offset < end) {
			*len = MIN(*len, end - offset);
			return buffer;
		}
		if (buffer->fill && offset < buffer->offset)
			*len = MIN(*len, buffer->offset - offset);
	}
	return NULL;
}

int ttd_output_read_span(struct output *output, struct span *span, size_t len, uint64_t offset)
{
	while (len) {
		size_t part = len;
		const struct buffer *buffer = find(output, offset, &part);
		int ret;

		if (buffer) {
			ttd_span_put(span, buffer->data + (offset - buffer->offset), part);
		} else {
			ret = ttd_span_pread(span, output->fd, part, offset);
			if (ret)
				return ret;
		}
		offset += part;
		len -= part;
	}
	return 0;
}

int ttd_output_read(struct output *output, void *to, size_t len, uint64_t offset)
{
	struct iovec iov = { to, len };
	struct span span = ttd_span_of(&iov, 1);

	return ttd_output_read_span(output, &span, len, offset);
}

void ttd_output_get_stats(const struct output *output, struct output_stats *stats)
{
	stats->appends = output->appends;
	stats->io_uring = output->uring;
}
