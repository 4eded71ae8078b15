/* SPDX-License-Identifier: GPL-2.0 */
/*
 * log_reader.h - what opening a log (log_scan.c) and reading it (log_reader.c) share.
 */
#ifndef TTVM_LOG_READER_H
#define TTVM_LOG_READER_H

#include <zstd.h>

#include "log_format.h"

/* Every frame of the file, in order. */
struct log_index_entry {
	uint64_t offset;
	uint32_t header_size;
	uint32_t body_size;
	uint32_t raw_size;
};

struct log_loaded_section {
	size_t first_entry;	/* of its pieces, which are neighbours */
	size_t num_entries;
	void *data;		/* NULL until it is asked for */
};

struct log_stream {
	struct tt_log_frame *frames;
	struct log_header *headers;	/* parallel to frames */
	size_t num_frames;
	size_t max_frames;
	uint64_t num_events;
	/* cursor: event `event` of frame `frame` is next */
	size_t frame;
	uint32_t event;
	/* the frame that is decoded: frames[loaded - 1]; 0 for none */
	size_t loaded;
	uint8_t *raw;
	struct tt_event *events;
};

struct tt_log {
	int fd;
	char *path;		/* for messages */
	bool trust;		/* do not look at hashes: for fuzzing */
	struct tt_log_info info;
	struct tt_log_section sections[TT_LOG_MAX_SECTIONS];
	struct log_loaded_section loaded[TT_LOG_MAX_SECTIONS];
	size_t num_sections;
	struct log_index_entry *index;
	size_t num_entries;
	size_t max_entries;
	struct log_stream *streams;	/* info.num_vcpus */
	uint8_t *buffer;	/* room for the largest frame */
	ZSTD_DCtx *zstd;
};

#define LOG_FRAME_MAX (LOG_HEADER_MAX + LOG_RAW_MAX + LOG_RAW_MAX / 64)

/* Build the index and judge the file: sections, streams, info but for last, has_end and text. */
int log_scan(struct tt_log *log, struct tt_error *err);

/* tt_log_open() on an open file, which the log closes. With trust, hashes are not checked. */
int log_open_fd(int fd, const char *path, bool trust, struct tt_log **log, struct tt_error *err);

#endif /* TTVM_LOG_READER_H */
