/* SPDX-License-Identifier: GPL-2.0 */
/*
 * gdb.h - what the files of the gdb server share among themselves; nobody else includes it but their tests.
 *
 * From the outside in: server.c (sockets, threads), packet.c (bytes to packets), session.c (packets to operations of the target),
 * with description.c (registers), points.c (breakpoints) and monitor.c (monitor commands). Section numbers in comments are of
 * appendix E, "The GDB Remote Serial Protocol", of the GDB manual.
 */
#ifndef TTVM_GDB_H
#define TTVM_GDB_H

#include "debug.h"

/* ------------------------------------------------------------------ packet.c */

#define GDB_PACKET_MAX 16384 /* bytes of a packet's content, after escapes are undone */

enum gdb_event {
	GDB_NOTHING,	/* more bytes, please */
	GDB_PACKET,	/* reader.data, reader.len; a NUL follows */
	GDB_BAD_PACKET,	/* its checksum is wrong, or an escape stands at its end */
	GDB_LONG_PACKET,
	GDB_NAK,	/* the client did not understand our last packet */
	GDB_INTERRUPT,	/* Ctrl-C */
};

struct gdb_reader {
	char data[GDB_PACKET_MAX + 1];
	size_t len;
	enum { BETWEEN, CONTENT, CHECKSUM_HIGH, CHECKSUM_LOW } state;
	bool escaped;
	bool too_long;
	uint8_t sum;
	char checksum[3];
};

/* Digest one byte. Zero-initialised at first; after an event it is ready for the next packet. */
enum gdb_event gdb_reader_put(struct gdb_reader *reader, char byte);
/* Room that gdb_frame() may need for a content of len bytes. */
#define GDB_FRAME_MAX(len) (2 * (len) + 4)
/* "$content#checksum", escaped; returns its length. */
size_t gdb_frame(char *frame, const char *content, size_t len);

/* Hexadecimal digits: the usual two per byte. parse: the number of bytes, or -1 when it is not hexadecimal or more than max. */
void gdb_hex(char *text, const void *data, size_t len);
ssize_t gdb_parse_hex(const char *text, size_t len, void *data, size_t max);
int gdb_hex_digit(char c); /* or -1 */
/* A number in hexadecimal, at least one digit; moves *at behind it and, if `delimiter` is not 0, behind that, which must be there. */
bool gdb_parse_number(const char **at, char delimiter, uint64_t *value);

/* ------------------------------------------------------------------ description.c */

#define GDB_MAX_REGISTER 16 /* bytes */

/* The target description in XML; the caller frees it with free(). NULL: out of memory. */
char *gdb_description(bool avx);
unsigned int gdb_num_registers(bool avx);
/* Register n as gdb sees it: its size in bytes. Little-endian. */
size_t gdb_register_get(const struct tt_registers *r, unsigned int n, uint8_t value[GDB_MAX_REGISTER]);
void gdb_register_set(struct tt_registers *r, unsigned int n, const uint8_t value[GDB_MAX_REGISTER]);

/* ------------------------------------------------------------------ session.c */

struct gdb_session {
	struct tt_debug_target *target;
	/* Send a packet's content that is not the answer yet: output of a monitor command. */
	void (*output)(void *ctx, const char *content, size_t len);
	void *ctx;
	bool no_acks;		/* QStartNoAckMode */
	bool over;		/* detached, killed, or the guest has ended: close the connection after the answer */
	bool reasons;		/* the client knows swbreak and hwbreak */
	bool looks_again;	/* tt_gdb_options */
	char *description;
	struct tt_point *points;
	size_t num_points;
	char answer[GDB_PACKET_MAX + 1];
	size_t answer_len;
};

/* A client has come; the target is stopped. 0 or -errno. */
int gdb_session_begin(struct gdb_session *s, struct tt_debug_target *target, struct tt_error *err);
/* It has gone. */
void gdb_session_end(struct gdb_session *s);
/* Serve one packet (NUL-terminated); the answer's content stands in s->answer then. */
void gdb_session_serve(struct gdb_session *s, const char *packet, size_t len);

/* For the files that serve some of the packets. */
void gdb_answer(struct gdb_session *s, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* "E.text", which gdb has shown for many versions where it shows errors at all, and always since 16 (section E.3). */
void gdb_answer_error(struct gdb_session *s, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* What an operation returned: OK, or its error. */
void gdb_answer_result(struct gdb_session *s, int ret, const struct tt_error *err);

/* ------------------------------------------------------------------ points.c, monitor.c */

/* Z and z packets, without that letter. */
void gdb_serve_point(struct gdb_session *s, const char *packet, bool insert);
/* Take all away. */
void gdb_points_clear(struct gdb_session *s);
/* qRcmd: the command in hexadecimal. */
void gdb_serve_monitor(struct gdb_session *s, const char *hex, size_t len);

#endif /* TTVM_GDB_H */
