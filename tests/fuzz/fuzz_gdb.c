// SPDX-License-Identifier: GPL-2.0
/*
 * fuzz_gdb.c - libFuzzer target: any bytes given to the gdb server, as a client's.
 *
 * sources: debug/packet.c debug/session.c debug/description.c debug/points.c debug/monitor.c tests/unit/fake-target.c
 *
 * The first byte chooses the target (a live run, or a recording) and whether packets come framed, or one per line so that the
 * fuzzer needs no checksums.
 */
#include <stdlib.h>
#include <string.h>

#include "../../debug/gdb.h"
#include "fake-target.h"

enum { RECORDING = 1, FRAMED = 2, AVX = 4 };

static void output(void *ctx, const char *content, size_t len)
{
	(void)ctx;
	if (!len || len > GDB_PACKET_MAX || content[0] != 'O')
		abort();
}

static void serve(struct gdb_session *s, const char *packet, size_t len)
{
	static char frame[GDB_FRAME_MAX(GDB_PACKET_MAX)];
	static struct gdb_reader reader;
	enum gdb_event event = GDB_NOTHING;
	size_t i, n;

	gdb_session_serve(s, packet, len);
	if (s->answer_len >= sizeof(s->answer))
		abort();
	/* Whatever we send can be read again. */
	n = gdb_frame(frame, s->answer, s->answer_len);
	memset(&reader, 0, sizeof(reader));
	for (i = 0; i < n; i++)
		event = gdb_reader_put(&reader, frame[i]);
	if (event != GDB_PACKET || reader.len != s->answer_len || memcmp(reader.data, s->answer, reader.len))
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static char line[GDB_PACKET_MAX + 1];
	static struct gdb_reader reader;
	static struct gdb_session s;
	static struct fake_target f;
	struct tt_error err;
	size_t i, len = 0;

	if (!size)
		return 0;
	fake_target_init(&f, data[0] & RECORDING);
	f.target.avx = data[0] & AVX;
	f.ended = !(data[0] & RECORDING); /* nobody would interrupt it */
	memset(&s, 0, sizeof(s));
	memset(&reader, 0, sizeof(reader));
	s.output = output;
	if (gdb_session_begin(&s, &f.target, &err))
		abort();
	for (i = 1; i < size && !s.over; i++) {
		if (data[0] & FRAMED) {
			if (gdb_reader_put(&reader, data[i]) == GDB_PACKET)
				serve(&s, reader.data, reader.len);
		} else if (data[i] != '\n' && len < GDB_PACKET_MAX) {
			line[len++] = data[i];
		} else {
			line[len] = '\0';
			serve(&s, line, len);
			len = 0;
		}
	}
	gdb_session_end(&s);
	if (f.num_points || f.attached)
		abort();
	fake_target_destroy(&f);
	return 0;
}
