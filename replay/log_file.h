/* SPDX-License-Identifier: GPL-2.0 */
/*
 * log_file.h - a log as a sequence of frames being written: compression, sequence numbers, hashes,
 * trailer, seek table.
 *
 * Belongs to one thread at a time. All functions return 0 or -errno; after an error only
 * log_file_finish() and log_file_close() are called.
 */
#ifndef TTVM_LOG_FILE_H
#define TTVM_LOG_FILE_H

#include "log_format.h"

struct log_file;

/* Create the file and write its first frame. sections is borrowed. */
int log_file_create(const char *path, const struct tt_log_section *sections, size_t num_sections,
		    const struct tt_log_options *options, struct log_file **file,
		    struct tt_error *err);
int log_file_write_section(struct log_file *file, uint32_t index);
/* One frame. The events' raw size is at most LOG_RAW_MAX. */
int log_file_write_events(struct log_file *file, unsigned int vcpu,
			  const struct tt_event *const *events, size_t n);
/* Wait until all frames are in the file. */
int log_file_drain(struct log_file *file);
/* Write trailer and seek table behind the last whole frame. error: what ended it, or 0. */
int log_file_finish(struct log_file *file, int error);
void log_file_stats(const struct log_file *file, struct tt_log_stats *stats); /* but for stalls */
/* fsync, close, free. */
int log_file_close(struct log_file *file);

#endif /* TTVM_LOG_FILE_H */
