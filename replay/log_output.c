// SPDX-License-Identifier: GPL-2.0
/*
 * log_output.c - the file under the log writer: locking, io_uring or pwrite(), room on the disk.
 */
#include <fcntl.h>
#include <liburing.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "log_output.h"

#define NUM_BUFFERS 2
#define RESERVE_STEP (1u << 20)
#define LOCK_TRIES   20
#define LOCK_WAIT_US 10000

struct log_output {
	int fd;
	int error;
	bool uring;
	struct io_uring ring;
	uint8_t *buffers[NUM_BUFFERS];
	unsigned int next;		/* buffer to fill */
	uint64_t end;			/* of what is complete */
	/* the write in flight */
	bool busy;
	unsigned int write_buffer;
	size_t write_len;
	size_t write_done;
	/* room on the disk */
	bool no_fallocate;
	uint64_t allocated;		/* up to here the file system has promised room */
};

/* ------------------------------------------------------------------ opening */

static int check_type(int fd, const char *path, struct tt_error *err)
{
	struct stat st;

	if (fstat(fd, &st))
		return tt_fail(err, -errno, "%s: %s", path, strerror(errno));
	if (!S_ISREG(st.st_mode))
		return tt_fail(err, -EINVAL, "%s: not a regular file; only those can hold a log",
			       path);
	return 0;
}

static int lock_file(int fd, const char *path, struct tt_error *err)
{
	struct flock lock = { .l_type = F_WRLCK, .l_whence = SEEK_SET };
	int tries;

	/* A recorder that was killed holds its lock until the kernel has taken its io_uring apart: a moment. */
	for (tries = 0; fcntl(fd, F_OFD_SETLK, &lock); tries++) {
		bool held = errno == EAGAIN || errno == EACCES;

		if (held && tries == LOCK_TRIES)
			return tt_fail(err, -EBUSY, "%s: another recording is writing to it", path);
		if (!held && errno != EINTR)
			return tt_fail(err, -errno, "%s: cannot lock it: %s", path, strerror(errno));
		usleep(LOCK_WAIT_US);
	}
	return 0;
}

/* A slip of the fingers must not cost anyone a kernel image: only (pieces of) logs are replaced. */
static int check_content(int fd, const char *path, struct tt_error *err)
{
	uint8_t head[LOG_HEADER_FIXED + LOG_TEXT_SIZE] = { 0 };
	const uint8_t magic[4] = { LOG_SKIPPABLE_MAGIC & 0xff, LOG_SKIPPABLE_MAGIC >> 8 & 0xff,
				   LOG_SKIPPABLE_MAGIC >> 16 & 0xff, LOG_SKIPPABLE_MAGIC >> 24 };
	ssize_t len = pread(fd, head, sizeof(head), 0);

	if (len < 0)
		return tt_fail(err, -errno, "%s: %s", path, strerror(errno));
	if (!len)
		return 0;
	if (memcmp(head, magic, sizeof(magic)) ||
	    (len == sizeof(head) && memcmp(head + LOG_HEADER_FIXED, LOG_TEXT, LOG_TEXT_SIZE)))
		return tt_fail(err, -EEXIST,
			       "%s: exists and is not a log; remove it first if it may go", path);
	return 0;
}

static int start_uring(struct log_output *output)
{
	struct iovec vectors[NUM_BUFFERS];
	int ret = io_uring_queue_init(NUM_BUFFERS, &output->ring, 0);

	if (ret)
		return ret;
	for (int i = 0; i < NUM_BUFFERS; i++)
		vectors[i] = (struct iovec){ output->buffers[i], LOG_OUTPUT_BUFFER_SIZE };
	ret = io_uring_register_buffers(&output->ring, vectors, NUM_BUFFERS);
	if (ret)
		io_uring_queue_exit(&output->ring);
	return ret;
}

static void free_output(struct log_output *output)
{
	for (int i = 0; i < NUM_BUFFERS; i++)
		free(output->buffers[i]);
	free(output);
}

int log_output_open(const char *path, bool no_io_uring, struct log_output **result,
		    struct tt_error *err)
{
	struct log_output *output = calloc(1, sizeof(*output));
	int ret = -ENOMEM;

	if (!output)
		return tt_fail(err, ret, "%s: out of memory", path);
	for (int i = 0; i < NUM_BUFFERS; i++)
		if (posix_memalign((void **)&output->buffers[i], 4096, LOG_OUTPUT_BUFFER_SIZE)) {
			output->buffers[i] = NULL;
			tt_fail(err, ret, "%s: out of memory", path);
			goto err_free;
		}

	/* not blocking on a FIFO without a reader */
	output->fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NONBLOCK | O_NOCTTY, 0666);
	if (output->fd < 0) {
		ret = tt_fail(err, -errno, "%s: %s", path, strerror(errno));
		goto err_free;
	}
	ret = check_type(output->fd, path, err);
	if (ret)
		goto err_close;
	ret = lock_file(output->fd, path, err);
	if (ret)
		goto err_close;
	ret = check_content(output->fd, path, err);
	if (ret)
		goto err_close;
	if (ftruncate(output->fd, 0)) {
		ret = tt_fail(err, -errno, "%s: %s", path, strerror(errno));
		goto err_close;
	}
	/* seccomp filters, kernels without it, a small RLIMIT_MEMLOCK: pwrite() serves as well */
	output->uring = !no_io_uring && !start_uring(output);
	*result = output;
	return 0;

err_close:
	close(output->fd);
err_free:
	free_output(output);
	return ret;
}

/* ------------------------------------------------------------------ writing */

static void set_error(struct log_output *output, int error)
{
	if (!output->error)
		output->error = error;
}

static bool try_again(int error)
{
	return error == -EINTR || error == -EAGAIN;
}

static void complete_write(struct log_output *output)
{
	output->busy = false;
	if (!output->error)
		output->end += output->write_len;
}

static int submit_rest(struct log_output *output)
{
	struct io_uring_sqe *sqe = io_uring_get_sqe(&output->ring);
	int ret;

	if (!sqe)
		return -EIO;
	io_uring_prep_write_fixed(sqe, output->fd,
				  output->buffers[output->write_buffer] + output->write_done,
				  (unsigned int)(output->write_len - output->write_done),
				  output->end + output->write_done, (int)output->write_buffer);
	do {
		ret = io_uring_submit(&output->ring);
	} while (try_again(ret));
	return ret < 0 ? ret : 0;
}

static void wait_uring(struct log_output *output)
{
	struct io_uring_cqe *cqe;
	int ret;

	while (output->busy) {
		do {
			ret = io_uring_wait_cqe(&output->ring, &cqe);
		} while (try_again(ret));
		if (!ret) {
			ret = cqe->res;
			io_uring_cqe_seen(&output->ring, cqe);
			if (ret > 0)
				output->write_done += (size_t)ret;
			else if (!ret)
				ret = -EIO;
		}
		if (ret < 0 && !try_again(ret))
			set_error(output, ret);
		else if (output->write_done < output->write_len) {
			/* a short write: the next one says why */
			ret = submit_rest(output);
			if (!ret)
				continue;
			set_error(output, ret);
		}
		complete_write(output);
	}
}

static void write_now(struct log_output *output)
{
	while (output->write_done < output->write_len) {
		ssize_t ret = pwrite(output->fd,
				     output->buffers[output->write_buffer] + output->write_done,
				     output->write_len - output->write_done,
				     (off_t)(output->end + output->write_done));

		if (ret < 0 && try_again(-errno))
			continue;
		if (ret <= 0) {
			set_error(output, ret ? -errno : -EIO);
			break;
		}
		output->write_done += (size_t)ret;
	}
	complete_write(output);
}

/*
 * Make sure that there is room up to `wanted`, in steps, without changing the file's size. File
 * systems that cannot promise room are taken as they are.
 */
static int reserve_room(struct log_output *output, uint64_t wanted)
{
	uint64_t step = RESERVE_STEP;

	if (output->no_fallocate || wanted <= output->allocated)
		return 0;
	for (;;) {
		uint64_t len = wanted - output->allocated + step;

		if (!fallocate(output->fd, FALLOC_FL_KEEP_SIZE, (off_t)output->allocated,
			       (off_t)len)) {
			output->allocated += len;
			return 0;
		}
		if (errno == EINTR)
			continue;
		if (errno == ENOSPC || errno == EDQUOT) {
			if (!step)
				return -errno;
			step = 0;
			continue;
		}
		output->no_fallocate = true;
		return 0;
	}
}

uint8_t *log_output_buffer(struct log_output *output)
{
	if (output->busy && output->write_buffer == output->next)
		wait_uring(output);
	return output->buffers[output->next];
}

int log_output_submit(struct log_output *output, size_t len, size_t reserve)
{
	int ret = log_output_drain(output);

	if (ret)
		return ret;
	ret = reserve_room(output, output->end + len + reserve);
	if (ret) {
		set_error(output, ret);
		return ret;
	}
	output->write_buffer = output->next;
	output->write_len = len;
	output->write_done = 0;
	output->next = (output->next + 1) % NUM_BUFFERS;
	if (!output->uring) {
		write_now(output);
		return output->error;
	}
	ret = submit_rest(output);
	if (ret)
		set_error(output, ret);
	else
		output->busy = true;
	return output->error;
}

int log_output_drain(struct log_output *output)
{
	if (output->busy)
		wait_uring(output);
	return output->error;
}

uint64_t log_output_end(const struct log_output *output)
{
	return output->end;
}

void log_output_clear_error(struct log_output *output)
{
	log_output_drain(output);
	output->error = 0;
	/* what was promised earlier is still there; more is not to be had */
	output->no_fallocate = true;
}

bool log_output_uses_io_uring(const struct log_output *output)
{
	return output->uring;
}

int log_output_close(struct log_output *output)
{
	int ret = log_output_drain(output);

	if (ftruncate(output->fd, (off_t)output->end) && !ret)
		ret = -errno;
	if (fsync(output->fd) && !ret)
		ret = -errno;
	if (output->uring)
		io_uring_queue_exit(&output->ring);
	if (close(output->fd) && !ret)
		ret = -errno;
	free_output(output);
	return ret;
}
