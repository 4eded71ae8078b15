/* SPDX-License-Identifier: GPL-2.0 */
/*
 * log_format.h - the file format of a log, version 1, and what the files replay/log_*.c share.
 *
 * THE FILE
 *
 * A log is a sequence of frames. A frame is a zstd skippable frame (its header), followed, when the
 * header says so, by one zstd frame (its body). Hence `zstd -dc` reads a log to its end, headers
 * passing unseen. All integers are little-endian; "varint" is LEB128: seven bits per byte, low bits
 * first, bit 7 set in all bytes but the last, at most 10 bytes.
 *
 *   FILE  SECTION SECTION ... SECTION  EVENTS EVENTS ... EVENTS  TRAILER  seek table
 *   `----------- header ------------'  `------- stream -------'  `- clean close only -'
 *
 * THE HEADER OF A FRAME
 *
 *   offset size
 *        0    4  0x184D2A54: a zstd skippable frame
 *        4    4  H, the number of header bytes after this field
 *        8    8  XXH64 of the H - 8 bytes that follow and of the Z bytes of the body, seeded with
 *                the file's salt (FILE: with 0)
 *       16    4  sequence number: 0, 1, 2, ... through the file
 *       20    4  distance back to the previous frame's header in bytes (FILE: 0)
 *       24    4  Z, the size of the body (0: no body)
 *       28    1  kind of frame (enum tt_log_frame_kind)
 *       29       fields of that kind:
 *
 *   FILE (first frame, no body)
 *       8 bytes "ttvm log", u32 version, u64 salt, varint number of vCPUs, varint number of
 *       sections, and for each section: varint length of the name, the name, varint size of the
 *       section in bytes. The fields up to version, and the rule for the hash, are the same in
 *       every version.
 *   SECTION: varint number of the section, varint offset in it. The body is that piece of the
 *       section. Pieces are in order and leave no gaps; a section of size 0 has none.
 *   EVENTS: varint vCPU, varint number of events (>= 1), then of the first event: varint exits,
 *       varint branches (of the first event that has them, else 0), varint instructions (0:
 *       unknown, or more than the first asynchronous event has). The body is described below.
 *   TRAILER (last frame, no body): varint number of events in the file, varint errno that ended the
 *       recording (0: none).
 *
 * The salt is random. Because it seeds every hash, left-over bytes of an older file are never taken
 * for a frame, and a frame is valid in one place of one file only. The seek table is the one of
 * zstd's "seekable format", without checksums: one entry for each header (decompressed size 0) and
 * each body.
 *
 * THE BODY OF AN EVENTS FRAME
 *
 * The events of the frame, of one vCPU, as columns: what is alike stands together and compresses;
 * what is random (low bytes, checks) stands apart and is stored. No column carries its length: each
 * follows from those before. "Asynchronous" means: not at_exit. "Timed" means: kind SYNC or INPUT.
 * "Loaded" means: kind INPUT, FAILURE, or one unknown to this version.
 *
 *   types      varint number T of types; each: u8 kind | 0x80 if at_exit; if timed, varint vector +
 *              1 (0: none); if INPUT, varint input_id. Every event has one of these types
 *   type       per event, only if T > 1: varint index in types
 *   exits      per event: varint difference to the event before (first event: to the header's
 *              exits, so 0)
 *   payloads   per loaded event: varint length
 *   branches   u8 number W of low bytes; per asynchronous event: varint (difference to the
 *              asynchronous event before) >> 8 W (first one: to the header's branches, so 0)
 *   instr.     u8 number U of low bytes, or 255: not known, then this column has nothing more, here
 *              and below. Per asynchronous event: varint R >> 8 U. At last varint K. Let B be the
 *              event's difference of branches and I that of instructions (first event: to the
 *              header's); R is the difference I - (K * B >> 8), zigzag: 0, -1, 1, -2, ... are
 *              stored as 0, 1, 2, 3, ... Everything modulo 2^64
 *   rebase     u8 shift S; per timed type: varint ticks >> S, the least of its events; u8 number V
 *              of low bytes; per timed event: varint ((ticks >> S) - least of the type) >> 8 V
 *   rips       varint number D of different values; each, ascending: varint difference to the value
 *              before (first: to 0)
 *   rip        per asynchronous event: index in rips; as planes: all low bytes, then, if D > 256,
 *              all next bytes, then, if D > 65536, all third bytes
 *   branches   per asynchronous event: W low bytes of the difference
 *   instr.     per asynchronous event: U low bytes of R
 *   rebase     per timed event: V low bytes of (ticks >> S) - least of the type
 *   check      per event: u16
 *   digests    per DIGEST: u64 instructions, u64 digest.
 *              Per END: u64 instructions, u32 how, s32 status, u64 registers, u64 memory, u64
 *              devices
 *   payload    per loaded event: its bytes
 *
 * K, S, U, V and W are the writer's choice, and so is the cutting of the body into zstd blocks.
 *
 * WHAT A READER DOES
 *
 * It walks from header to header from the start of the file, checking sequence numbers, distances
 * and hashes. The first frame that is not valid ends the log; everything before it is used. The log
 * is
 *   clean      if the walk ends with TRAILER, its numbers agree, and the rest of the file is
 *              exactly the seek table that follows from the frames;
 *   recovered  if nothing valid lies behind the end of the walk: the writer was killed, or is still
 *              at work;
 *   damaged    if a valid frame or the end of a seek table lies behind it: bytes in the middle are
 *              wrong. Later frames are not used, since events are missing before them.
 * If the walk ends before all sections are whole, there is no log to replay. The seek table is
 * never trusted for reading.
 */
#ifndef TTVM_LOG_FORMAT_H
#define TTVM_LOG_FORMAT_H

#include "ttvm/log.h"

#define LOG_VERSION	      1
#define LOG_TEXT	      "ttvm log"
#define LOG_TEXT_SIZE	      8
#define LOG_SKIPPABLE_MAGIC   0x184D2A54u
#define LOG_SEEK_TABLE_MAGIC  0x184D2A5Eu /* the skippable frame that holds zstd's seek table */
#define LOG_SEEK_FOOTER_MAGIC 0x8F92EAB1u /* its last four bytes */
#define LOG_SEEK_FOOTER_SIZE  9

#define LOG_HEADER_FIXED 29	      /* bytes of a header before the fields of its kind */
#define LOG_HEADER_MAX	 8192	      /* a FILE header with 64 sections takes less than 5000 */
#define LOG_RAW_MAX	 (1u << 20)   /* bytes of a body before compression */
#define LOG_EVENTS_MAX	 65536	      /* events of a frame */
#define LOG_NAME_MAX	 63

enum tt_log_frame_kind {
	LOG_FRAME_FILE = 1,
	LOG_FRAME_SECTION = 2,
	LOG_FRAME_EVENTS = 3,
	LOG_FRAME_TRAILER = 4,
};

/* A frame's header, unpacked. */
struct log_header {
	uint8_t kind;
	uint32_t header_size;	/* all bytes of the skippable frame */
	uint32_t body_size;	/* all bytes of the zstd frame */
	uint32_t sequence;
	uint32_t distance;
	union {
		struct {
			uint32_t version;
			uint64_t salt;
			uint32_t num_vcpus;
			uint32_t num_sections;
			const uint8_t *table;	/* in the buffer that was parsed */
			size_t table_size;
		} file;
		struct {
			uint32_t index;
			uint64_t offset;
		} section;
		struct {
			uint32_t vcpu;
			uint32_t num_events;
			uint64_t exits;
			uint64_t branches;
			uint64_t instructions;
		} events;
		struct {
			uint64_t events;
			uint32_t error;
		} trailer;
	};
};

/* Bounded reading: after any overrun `bad` is set and everything reads as 0. */
struct log_bytes {
	const uint8_t *at;
	const uint8_t *end;
	bool bad;
};

uint8_t log_get_u8(struct log_bytes *in);
uint16_t log_get_u16(struct log_bytes *in);
uint32_t log_get_u32(struct log_bytes *in);
uint64_t log_get_u64(struct log_bytes *in);
uint64_t log_get_varint(struct log_bytes *in);
const uint8_t *log_get_bytes(struct log_bytes *in, size_t len); /* NULL when bad */

/* Unbounded writing: the caller knows that there is room. They return the next free byte. */
uint8_t *log_put_u16(uint8_t *out, uint16_t value);
uint8_t *log_put_u32(uint8_t *out, uint32_t value);
uint8_t *log_put_u64(uint8_t *out, uint64_t value);
uint8_t *log_put_varint(uint8_t *out, uint64_t value);

/*
 * log_frame.c. Pack *header to `out`, which has LOG_HEADER_MAX bytes. header_size is set, and
 * returned. sections is for FILE only.
 */
size_t log_header_put(struct log_header *header, const struct tt_log_section *sections,
		      uint8_t *out);
/* Set the hash of a frame whose header and body are final. salt is 0 for FILE. */
void log_seal(uint8_t *frame, uint32_t header_size, uint32_t body_size, uint64_t salt);
/*
 * Unpack the header at data, of which size bytes are there. The hash is not looked at. 0; -EAGAIN:
 * it may be a header, but needs more bytes than size; -EBADMSG: not a header.
 */
int log_header_get(const uint8_t *data, size_t size, struct log_header *header);
/* Is the hash of the frame right? All header_size + body_size bytes must be there. */
bool log_sealed(const uint8_t *frame, const struct log_header *header, uint64_t salt);
/* The section table of a FILE header; names are allocated. 0, -EBADMSG or -ENOMEM. */
int log_sections_get(const struct log_header *header, struct tt_log_section *sections);
void log_sections_free(struct tt_log_section *sections, size_t num);

#define LOG_BODY_BOUND(n, payload) (64 + (size_t)(n) * 96 + (payload))

struct log_body {
	size_t size;
	size_t random;	/* offset of the first column that does not compress */
	size_t payload;	/* offset of the last column */
};

/*
 * log_encode.c. Encode n events of one vCPU (1..LOG_EVENTS_MAX, in order) as the body of a frame,
 * uncompressed. `out` has room for LOG_BODY_BOUND(n, payload bytes). Fills body, and header->events
 * but for vcpu. 0, or -ENOMEM.
 */
int log_events_encode(const struct tt_event *const *events, size_t n, uint8_t *out,
		      struct log_header *header, struct log_body *body);

/*
 * log_decode.c. Decode the body of a frame into `events`, which has room for
 * header->events.num_events. Payloads point into raw. 0; -EBADMSG: not well-formed; -ENOMEM.
 */
int log_events_decode(const struct log_header *header, const uint8_t *raw, size_t size,
		      struct tt_event *events);

static inline bool log_kind_timed(uint8_t kind)
{
	return kind == TT_EVENT_SYNC || kind == TT_EVENT_INPUT;
}

static inline bool log_kind_loaded(uint8_t kind)
{
	return kind != TT_EVENT_SYNC && kind != TT_EVENT_DIGEST && kind != TT_EVENT_END;
}

#endif /* TTVM_LOG_FORMAT_H */
