/* SPDX-License-Identifier: GPL-2.0 */
/*
 * log.h - the log of a recording: what is in it, how it is written, how it is read. The one public
 * header of replay/log*.c.
 *
 * A log is one file: named header sections (everything needed to start the machine again), then one
 * stream of events per vCPU in the order of its execution. The machine is deterministic between
 * events. The file format stands at the top of replay/log_format.h; plain `zstd -dc` can read a log
 * to its end.
 *
 * Durability: an event is safe from the death of the recording process (kill -9) once its frame has
 * been written. Frames are written when they hold options.flush_bytes, or options.flush_ms after
 * their first event, whichever is first. So a killed recorder loses at most the events of the last
 * flush_ms, plus what waits behind a slow disk, and the reader finds everything before that. Power
 * loss is different: only tt_log_writer_close() calls fsync().
 */
#ifndef TTVM_LOG_H
#define TTVM_LOG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "ttvm/error.h"
#include "ttvm/position.h"

/* ------------------------------------------------------------------ events */

enum tt_event_kind {
	TT_EVENT_SYNC = 1,	/* time moves on by rebase ticks, due timers run, vector injected */
	TT_EVENT_INPUT = 2,	/* as SYNC, after payload was delivered to the device input_id */
	TT_EVENT_DIGEST = 3,	/* verification point: digest */
	TT_EVENT_END = 4,	/* the recording ends here: end */
	TT_EVENT_FAILURE = 5,	/* an attempt of a device failed: payload is struct tt_failure */
	/*
	 * Kinds up to TT_EVENT_LAST_CRITICAL change the machine: a replayer that meets one that it
	 * does not know must refuse the log. Kinds above it are information and may be skipped.
	 * Either way the reader hands them out with position and payload, because every event
	 * carries its length.
	 */
	TT_EVENT_LAST_CRITICAL = 31,
	TT_EVENT_MARK = 32,	/* somebody gave this moment a name: payload is struct tt_mark */
	TT_EVENT_LAST = 62,
};

#define TT_EVENT_MAX_PAYLOAD 65536	/* bytes */
#define TT_VECTOR_NONE (-1)

/* Payload of FAILURE, little-endian. It is at_exit, logged before the events that follow the exit; its check is 0. */
struct tt_failure {
	uint64_t attempt;	/* number of the attempt, from 0, since the start */
	int64_t status;		/* -errno */
};

#define TT_MARK_NAME_MAX 63

/* Payload of MARK, little-endian, followed by the name: 1..TT_MARK_NAME_MAX bytes, not terminated. It is at_exit. */
struct tt_mark {
	uint64_t instructions;	/* completed; 0: unknown */
	uint64_t time;		/* virtual, ns since the start */
};

/*
 * The unused fields of a kind are ignored by the writer and zero (vector: TT_VECTOR_NONE) from the
 * reader.
 *
 * at_exit events happen right after deterministic exit number pos.exits was settled. They store
 * pos.exits and the low TT_CHECK_BITS of pos.check only; branches and rip read back as 0. The check
 * of such an event should therefore cover (branches, rip, registers). Other events store exits,
 * branches, rip, instructions (0: unknown) and the low TT_CHECK_BITS of check. at_exit events keep
 * instructions only if they are END, DIGEST or the first of a frame; else these read back as 0. So
 * do the instructions of all events of a frame, but for those three, when some are unknown after
 * others that are known.
 */
struct tt_event {
	uint8_t kind;		/* enum tt_event_kind */
	bool at_exit;
	uint16_t vcpu;		/* whose stream */
	int16_t vector;		/* SYNC, INPUT: 0..255 or TT_VECTOR_NONE */
	uint16_t input_id;	/* INPUT: enum tt_input_id */
	uint32_t payload_len;	/* INPUT, unknown kinds: bytes, <= TT_EVENT_MAX_PAYLOAD */
	const void *payload;
	struct tt_position pos;
	/*
	 * SYNC, INPUT: ticks. Bytes are saved when all values of a frame are multiples of 2^n:
	 * round the ticks before using and logging them.
	 */
	uint64_t rebase;
	union {
		uint64_t digest;	/* DIGEST */
		struct {		/* END */
			uint32_t how;		/* enum tt_end */
			int32_t status;		/* the guest's own status */
			uint64_t registers;	/* digests at the end position */
			uint64_t memory;
			uint64_t devices;
		} end;
	};
};

/* ------------------------------------------------------------------ writing */

/* A named blob of the header. name is 1..63 bytes and unique. */
struct tt_log_section {
	const char *name;
	const void *data;
	uint64_t size;
};

/* Names in use. */
#define TT_LOG_SECTION_CONFIG "config"	/* JSON */
#define TT_LOG_SECTION_CPUID  "cpuid"	/* struct kvm_cpuid2 */
#define TT_LOG_SECTION_KERNEL "kernel"
#define TT_LOG_SECTION_INITRD "initrd"
#define TT_LOG_SECTION_FIRMWARE "firmware"

#define TT_LOG_MAX_SECTIONS 64
#define TT_LOG_MAX_VCPUS 256

/* Zero in any field chooses the default. */
struct tt_log_options {
	unsigned int num_vcpus;	/* 1 */
	/* 1000: age of the oldest event at which a frame is written. A frame costs about 60
	 * bytes, so that 100 ms would cost 0.6 KB/s */
	unsigned int flush_ms;
	/* 256 KiB: bytes of events in their ring at which a frame is written */
	unsigned int flush_bytes;
	/* 1 MiB: ring of each vCPU, rounded up to a power of two, >= 256 KiB. An event takes 112
	 * bytes and its payload */
	unsigned int ring_bytes;
	int level;		/* 3: zstd level of event frames */
	bool no_io_uring;	/* use pwrite() */
};

struct tt_log_stats {
	uint64_t events;
	uint64_t frames;		/* event frames */
	uint64_t raw_bytes;		/* of event frames, before compression */
	uint64_t event_bytes;		/* of event frames in the file, with their headers */
	uint64_t section_bytes;		/* of the other frames: header and trailer */
	uint64_t file_bytes;		/* all */
	uint64_t stalls;		/* how often an append waited for room in its ring */
	bool io_uring;			/* false: pwrite(), chosen or for want of io_uring */
};

struct tt_log_writer;

/*
 * Create the log `path`, or replace what is there; from here on it holds a valid, unfinished log.
 * Sections are written by the writer thread, so this does not wait for large ones; their data (not
 * the array and the names) is borrowed until close. Starts one thread.
 * Errors, with err filled in (may be NULL): -EBUSY another recording writes to that file; -EINVAL
 * not a regular file, bad sections or options; errors of open(), pthread_create(), or of the first
 * write.
 */
int tt_log_writer_create(const char *path, const struct tt_log_section *sections,
			 size_t num_sections, const struct tt_log_options *options,
			 struct tt_log_writer **writer, struct tt_error *err);

/*
 * Append an event to the stream of event->vcpu; the payload is copied. One thread at a time per
 * vCPU; threads of different vCPUs need no lock. No system call and about 50 ns unless the ring is
 * full: then it waits for the disk, and nothing is lost. Positions of a vCPU must not run backwards
 * (exits and, between events that are not at_exit, branches and known instructions).
 * -EINVAL: that, or a bad field; the event is not in the log. -errno of the disk (-ENOSPC, -EIO,
 * ...): recording has ended; the file holds a prefix of what was appended, which stays valid. The
 * writer must still be closed.
 */
int tt_log_append(struct tt_log_writer *writer, const struct tt_event *event);

/* Wait until all that was appended before is in the file. Any thread. 0, or -errno of the disk. */
int tt_log_writer_flush(struct tt_log_writer *writer);

/* The -errno that ended the recording, or 0. Any thread; cheap enough for every exit. */
int tt_log_writer_error(const struct tt_log_writer *writer);

/* A snapshot; any thread. */
void tt_log_writer_stats(struct tt_log_writer *writer, struct tt_log_stats *stats);

/*
 * Flush, finish the file (trailer, seek table), fsync, stop the thread, free the writer in any
 * case. No append may be running. After a disk error the file is cut back to its last whole frame
 * and finished as far as the disk allows. stats and err may be NULL. 0, or the -errno that ended
 * the recording.
 */
int tt_log_writer_close(struct tt_log_writer *writer, struct tt_log_stats *stats,
			struct tt_error *err);

/* ------------------------------------------------------------------ reading */

enum tt_log_status {
	TT_LOG_CLEAN,		/* closed by its writer, every byte checked */
	TT_LOG_RECOVERED,	/* the writer was killed, or still writes: what it wrote is there */
	TT_LOG_DAMAGED,		/* bytes are wrong: later events are lost, those before are there */
};

struct tt_log_info {
	enum tt_log_status status;
	char text[256];			/* empty if CLEAN; else what was found, kept and dropped */
	uint32_t version;
	unsigned int num_vcpus;
	uint64_t salt;			/* random, tells recordings apart */
	uint64_t events;		/* of all vCPUs */
	uint64_t frames;
	uint64_t raw_bytes;		/* as in struct tt_log_stats */
	uint64_t event_bytes;
	uint64_t section_bytes;
	uint64_t file_bytes;
	uint64_t dropped_bytes;		/* at the end of the file, after the last whole frame */
	bool being_written;		/* a writer holds the file right now */
	bool has_end;			/* the last event is TT_EVENT_END: `end` */
	int writer_error;		/* -errno that ended the recording (the log may be CLEAN) */
	struct tt_event last;		/* of vCPU 0, without payload; kind 0 when there is none */
};

struct tt_log;

/*
 * Open a log and check every frame of it (all of the file is read once: about 1 GB/s when cached).
 * A log that is being written can be opened: it ends where the file ended at this moment.
 * 0 with *log set, also for RECOVERED and DAMAGED logs whose header is whole: look at
 * tt_log_info(). Else err (may be NULL) says what is wrong: -EBADMSG not a log, or its header is
 * damaged; -ENODATA the recording was killed before its header was written; -EPROTONOSUPPORT
 * another format version; errors of open() and read(). A struct tt_log belongs to one thread at a
 * time.
 */
int tt_log_open(const char *path, struct tt_log **log, struct tt_error *err);
void tt_log_close(struct tt_log *log);

/* Valid until tt_log_close(). */
const struct tt_log_info *tt_log_info(const struct tt_log *log);

/* Sections in file order; i < tt_log_num_sections(). Only name and size are set, data is NULL. */
size_t tt_log_num_sections(const struct tt_log *log);
const struct tt_log_section *tt_log_section_at(const struct tt_log *log, size_t i);

/*
 * Load a section (at first use). *data is valid until tt_log_close() and is followed by a NUL byte
 * that *size does not count, so that text can be used as a string. -ENOENT no such section;
 * -ENOMEM; -EBADMSG the file changed under us.
 */
int tt_log_section(struct tt_log *log, const char *name, const void **data, size_t *size,
		   struct tt_error *err);

/* How many events the stream of a vCPU has. */
uint64_t tt_log_num_events(const struct tt_log *log, unsigned int vcpu);

/*
 * The next event of that vCPU's stream: 1 and *event, 0 at the end of the stream, -errno with err
 * filled in (-EBADMSG: the file changed under us). event->payload is valid until the next call for
 * the same vCPU. Each vCPU has its own cursor, which stands at the first event after tt_log_open().
 */
int tt_log_next(struct tt_log *log, unsigned int vcpu, struct tt_event *event,
		struct tt_error *err);

/* The index (from 0) that the next tt_log_next() will return. */
uint64_t tt_log_tell(const struct tt_log *log, unsigned int vcpu);

/* Move the cursor to event `index` (from 0), or behind the last one. -ERANGE beyond that. */
int tt_log_seek_event(struct tt_log *log, unsigned int vcpu, uint64_t index, struct tt_error *err);

/* Move the cursor to the first event with pos.exits >= exits (possibly the end of the stream). */
int tt_log_seek_exits(struct tt_log *log, unsigned int vcpu, uint64_t exits, struct tt_error *err);

/* Frames of one vCPU's stream, known without decoding them: i < tt_log_num_frames(). */
struct tt_log_frame {
	uint64_t first_event;		/* index in the stream */
	uint32_t num_events;
	struct tt_position first;	/* first event: exits, instructions (0: unknown); rest 0 */
	uint64_t offset;		/* in the file, of the frame's header */
	uint32_t file_bytes;		/* header and compressed data */
};

size_t tt_log_num_frames(const struct tt_log *log, unsigned int vcpu);
const struct tt_log_frame *tt_log_frame_at(const struct tt_log *log, unsigned int vcpu, size_t i);

#endif /* TTVM_LOG_H */
