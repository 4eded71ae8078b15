/* SPDX-License-Identifier: GPL-2.0 */
/*
 * log_output.h - the file under the log writer: append-only, two buffers, at most one write in
 * flight.
 *
 * One write at a time, because frames must become visible in their order: a recorder that is killed
 * then leaves a prefix of the log and never a hole. While one buffer is being written, the other is
 * filled.
 *
 * Belongs to one thread at a time. Every error is sticky; the first one counts.
 */
#ifndef TTVM_LOG_OUTPUT_H
#define TTVM_LOG_OUTPUT_H

#include "log_format.h"

/* A header, and the worst of what zstd makes of LOG_RAW_MAX bytes cut into many blocks. */
#define LOG_OUTPUT_BUFFER_SIZE (LOG_HEADER_MAX + LOG_RAW_MAX + LOG_RAW_MAX / 64)

struct log_output;

/*
 * Open, lock and empty the file. -EBUSY: locked by another writer; -EEXIST: it holds something that
 * is not a log;
 * -EINVAL: not a regular file; errors of open().
 */
int log_output_open(const char *path, bool no_io_uring, struct log_output **output,
		    struct tt_error *err);
/* The buffer to fill next, LOG_OUTPUT_BUFFER_SIZE bytes. Waits for the write that uses it. */
uint8_t *log_output_buffer(struct log_output *output);
/*
 * Append the first len bytes of that buffer and start to write them. reserve: bytes that must stay
 * available on the disk after this write, so that the file can be finished when the disk fills up.
 * 0 or the sticky error.
 */
int log_output_submit(struct log_output *output, size_t len, size_t reserve);
/* Wait until everything submitted is in the file. 0 or the sticky error. */
int log_output_drain(struct log_output *output);
/* How far the file is whole: the end of the last write that is complete. */
uint64_t log_output_end(const struct log_output *output);
/* After an error: forget it, so that the file can be finished behind its last complete write. */
void log_output_clear_error(struct log_output *output);
bool log_output_uses_io_uring(const struct log_output *output);
/* Cut off all behind log_output_end(), return reserved room, fsync, close, free. 0 or -errno. */
int log_output_close(struct log_output *output);

#endif /* TTVM_LOG_OUTPUT_H */
