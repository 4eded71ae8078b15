// SPDX-License-Identifier: GPL-2.0
/*
 * test_gdb.c - gdb's remote protocol: bytes to packets, and packets to what a target is asked to do. Without sockets.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "../../debug/gdb.h"
#include "fake-target.h"

/* ------------------------------------------------------------------ packets */

/* The last event of some bytes that is not GDB_NOTHING. */
static enum gdb_event feed(struct gdb_reader *r, const char *bytes, size_t len)
{
	enum gdb_event event, last = GDB_NOTHING;

	while (len--) {
		event = gdb_reader_put(r, *bytes++);
		if (event != GDB_NOTHING)
			last = event;
	}
	return last;
}

#define FEED(r, text) feed(r, text, sizeof(text) - 1)

static void test_reader(void **state)
{
	static struct gdb_reader r;

	(void)state;
	assert_int_equal(FEED(&r, "+$qC#b4"), GDB_PACKET);
	assert_string_equal(r.data, "qC");
	assert_int_equal(r.len, 2);
	assert_int_equal(FEED(&r, "$#00"), GDB_PACKET);
	assert_int_equal(r.len, 0);
	assert_int_equal(FEED(&r, "$qC#b5"), GDB_BAD_PACKET);
	assert_int_equal(FEED(&r, "$qC#zz"), GDB_BAD_PACKET);
	assert_int_equal(FEED(&r, "+"), GDB_NOTHING);
	assert_int_equal(FEED(&r, "-"), GDB_NAK);
	assert_int_equal(FEED(&r, "\003"), GDB_INTERRUPT);
	assert_int_equal(FEED(&r, "garbage between packets"), GDB_NOTHING);
	/* Broken off, and sent again. */
	assert_int_equal(FEED(&r, "$m10$qC#b4"), GDB_PACKET);
	assert_string_equal(r.data, "qC");
	assert_int_equal(FEED(&r, "$qC#$qC#B4"), GDB_PACKET);
	/* Escapes, and bytes that mean something between packets only. */
	assert_int_equal(FEED(&r, "$X}\003}\004}\135+-\003#8e"), GDB_PACKET);
	assert_int_equal(r.len, 7);
	assert_memory_equal(r.data, "X#$}+-\003", 8);
	assert_int_equal(FEED(&r, "$X}#d5"), GDB_BAD_PACKET);
}

static void test_long_packet(void **state)
{
	static struct gdb_reader r;
	size_t i, len;

	(void)state;
	for (len = GDB_PACKET_MAX; len <= GDB_PACKET_MAX + 1; len++) {
		uint8_t sum = 0;
		char end[3] = "#";

		gdb_reader_put(&r, '$');
		for (i = 0; i < len; i++, sum += 'a')
			assert_int_equal(gdb_reader_put(&r, 'a'), GDB_NOTHING);
		gdb_reader_put(&r, '#');
		gdb_hex(end, &sum, 1);
		gdb_reader_put(&r, end[0]);
		assert_int_equal(gdb_reader_put(&r, end[1]), len == GDB_PACKET_MAX ? GDB_PACKET : GDB_LONG_PACKET);
	}
	assert_int_equal(FEED(&r, "$qC#b4"), GDB_PACKET);
}

static void test_frame(void **state)
{
	static struct gdb_reader r;
	char bytes[256], frame[GDB_FRAME_MAX(256)];
	size_t len;
	int i;

	(void)state;
	assert_int_equal(gdb_frame(frame, "OK", 2), 6);
	assert_memory_equal(frame, "$OK#9a", 6);
	assert_int_equal(gdb_frame(frame, "", 0), 4);
	assert_memory_equal(frame, "$#00", 4);
	for (i = 0; i < 256; i++)
		bytes[i] = i;
	len = gdb_frame(frame, bytes, 256);
	assert_int_equal(len, 256 + 4 + 4); /* four of them are escaped */
	assert_int_equal(feed(&r, frame, len), GDB_PACKET);
	assert_int_equal(r.len, 256);
	assert_memory_equal(r.data, bytes, 256);
}

static void test_numbers(void **state)
{
	const char *at = "1fF,0;";
	uint64_t value;

	(void)state;
	assert_true(gdb_parse_number(&at, ',', &value));
	assert_int_equal(value, 0x1ff);
	assert_true(gdb_parse_number(&at, 0, &value));
	assert_int_equal(value, 0);
	assert_string_equal(at, ";");
	assert_false(gdb_parse_number(&at, 0, &value));
	at = "ffffffffffffffff";
	assert_true(gdb_parse_number(&at, 0, &value));
	assert_int_equal(value, UINT64_MAX);
	at = "10000000000000000";
	assert_false(gdb_parse_number(&at, 0, &value));
	at = "-1";
	assert_false(gdb_parse_number(&at, 0, &value));
}

/* ------------------------------------------------------------------ a session */

struct rig {
	struct fake_target f;
	struct gdb_session s;
	char output[65536]; /* of monitor commands */
	size_t output_len;
};

static void output(void *ctx, const char *content, size_t len)
{
	struct rig *rig = ctx;
	ssize_t n;

	assert_true(len > 1 && len <= GDB_PACKET_MAX);
	assert_int_equal(content[0], 'O');
	n = gdb_parse_hex(content + 1, len - 1, rig->output + rig->output_len, sizeof(rig->output) - 1 - rig->output_len);
	assert_true(n > 0);
	rig->output_len += n;
	rig->output[rig->output_len] = '\0';
}

static void begin(struct rig *rig, bool recording)
{
	struct tt_error err;

	memset(rig, 0, sizeof(*rig));
	fake_target_init(&rig->f, recording);
	rig->s.output = output;
	rig->s.ctx = rig;
	assert_int_equal(gdb_session_begin(&rig->s, &rig->f.target, &err), 0);
	assert_true(rig->f.attached);
}

static void end(struct rig *rig)
{
	gdb_session_end(&rig->s);
	assert_false(rig->f.attached);
	assert_int_equal(rig->f.num_points, 0);
	fake_target_destroy(&rig->f);
}

static const char *ask_bytes(struct rig *rig, const char *packet, size_t len)
{
	gdb_session_serve(&rig->s, packet, len);
	assert_true(rig->s.answer_len < sizeof(rig->s.answer));
	rig->s.answer[rig->s.answer_len] = '\0';
	return rig->s.answer;
}

static const char *ask(struct rig *rig, const char *packet)
{
	return ask_bytes(rig, packet, strlen(packet));
}

static const char *monitor(struct rig *rig, const char *command)
{
	char packet[600] = "qRcmd,";

	rig->output_len = 0;
	rig->output[0] = '\0';
	gdb_hex(packet + 6, command, strlen(command));
	assert_string_equal(ask(rig, packet), "OK");
	return rig->output;
}

static void test_queries(void **state)
{
	static struct rig rig;

	(void)state;
	begin(&rig, false);
	assert_string_equal(ask(&rig, "qSupported:swbreak+;hwbreak+;xmlRegisters=i386"),
			    "PacketSize=4000;qXfer:features:read+;QStartNoAckMode+;vContSupported+;swbreak+;hwbreak+;error-message+");
	assert_string_equal(ask(&rig, "?"), "T05thread:1;");
	assert_string_equal(ask(&rig, "qC"), "QC1");
	assert_string_equal(ask(&rig, "qfThreadInfo"), "m1");
	assert_string_equal(ask(&rig, "qsThreadInfo"), "l");
	assert_string_equal(ask(&rig, "qAttached"), "1");
	assert_string_equal(ask(&rig, "qThreadExtraInfo,1"), "764350552030");
	assert_string_equal(ask(&rig, "vCont?"), "vCont;c;C;s;S");
	assert_string_equal(ask(&rig, "Hg0"), "OK");
	assert_string_equal(ask(&rig, "Hc-1"), "OK");
	assert_string_equal(ask(&rig, "T1"), "OK");
	assert_int_equal(ask(&rig, "T2")[0], 'E');
	assert_int_equal(ask(&rig, "H")[0], 'E');
	assert_false(rig.s.no_acks);
	assert_string_equal(ask(&rig, "QStartNoAckMode"), "OK");
	assert_true(rig.s.no_acks);
	/* What is not known gets an empty answer. */
	assert_string_equal(ask(&rig, ""), "");
	assert_string_equal(ask(&rig, "qTStatus"), "");
	assert_string_equal(ask(&rig, "vMustReplyEmpty"), "");
	assert_string_equal(ask(&rig, "vFile:open:aa,0,0"), "");
	assert_string_equal(ask(&rig, "!"), "");
	assert_string_equal(ask(&rig, "bx"), "");
	end(&rig);
	begin(&rig, true);
	assert_non_null(strstr(ask(&rig, "qSupported"), ";ReverseStep+;ReverseContinue+"));
	end(&rig);
}

static void test_description(void **state)
{
	static struct rig rig;
	char text[65536];
	size_t len = 0, size;
	unsigned int count, bits = 0, n;
	const char *at;
	char packet[64];

	(void)state;
	begin(&rig, false);
	rig.f.target.avx = false;
	/* In pieces, as gdb reads it. */
	do {
		snprintf(packet, sizeof(packet), "qXfer:features:read:target.xml:%zx,1f0", len);
		at = ask(&rig, packet);
		size = rig.s.answer_len - 1;
		assert_true(len + size < sizeof(text) && (*at == 'l' || size == 0x1f0));
		memcpy(text + len, at + 1, size + 1);
		len += size;
	} while (*at == 'm');
	assert_int_equal(*at, 'l');
	assert_string_equal(text, rig.s.description);
	assert_non_null(strstr(text, "<architecture>i386:x86-64</architecture>"));
	assert_null(strstr(text, "i386.avx"));
	/* As many registers, of the sizes, as `g` has. */
	for (at = text, count = 0; (at = strstr(at, "<reg name=")) != NULL; count++) {
		at = strstr(at, "bitsize=\"") + 9;
		bits += strtoul(at, NULL, 10);
	}
	assert_int_equal(count, gdb_num_registers(false));
	assert_int_equal(strlen(ask(&rig, "g")), bits / 4);
	for (n = 0, bits = 0; n < count; n++) {
		snprintf(packet, sizeof(packet), "p%x", n);
		bits += strlen(ask(&rig, packet)) * 4;
	}
	assert_int_equal(strlen(ask(&rig, "g")), bits / 4);
	assert_string_equal(ask(&rig, "qXfer:features:read:target.xml:fffffff,10"), "l");
	assert_string_equal(ask(&rig, "qXfer:features:read:other.xml:0,10"), "E00");
	assert_int_equal(ask(&rig, "qXfer:features:read:target.xml:0")[0], 'E');
	end(&rig);
	at = gdb_description(true);
	assert_non_null(strstr(at, "org.gnu.gdb.i386.avx"));
	free((char *)at);
	assert_int_equal(gdb_num_registers(true), count + 16);
}

static void test_registers(void **state)
{
	static struct rig rig;
	static char packet[8192];
	static struct tt_registers before;
	uint8_t *xsave = (uint8_t *)&rig.f.registers.xsave;

	(void)state;
	begin(&rig, false);
	rig.f.target.avx = true;
	rig.f.registers.regs.rax = 0x0123456789abcdef;
	rig.f.registers.regs.rip = 0xffffffff81000000;
	rig.f.registers.sregs.cs.selector = 0x10;
	rig.f.registers.msrs[TT_MSR_LSTAR] = 0xffffffff82000000;
	xsave[4] = 0x81; /* the first and the last x87 register are in use */
	xsave[24] = 0x80, xsave[25] = 0x1f;
	xsave[160] = 0xaa; /* xmm0 */
	xsave[576] = 0xbb; /* its upper half */
	assert_string_equal(ask(&rig, "p0"), "efcdab8967452301");
	assert_string_equal(ask(&rig, "p10"), "00000081ffffffff");
	assert_string_equal(ask(&rig, "p12"), "10000000");
	assert_string_equal(ask(&rig, "p22"), "fc3f0000"); /* ftag */
	assert_string_equal(ask(&rig, "p28"), "aa000000000000000000000000000000");
	assert_string_equal(ask(&rig, "p38"), "801f0000"); /* mxcsr */
	/* All written back unchanged are unchanged. */
	before = rig.f.registers;
	packet[0] = 'G';
	strcpy(packet + 1, ask(&rig, "g"));
	assert_non_null(strstr(packet, "bb0000"));
	assert_string_equal(ask(&rig, packet), "OK");
	assert_memory_equal(&before, &rig.f.registers, sizeof(before));
	/* One. */
	assert_string_equal(ask(&rig, "P0=1122334455667788"), "OK");
	assert_int_equal(rig.f.registers.regs.rax, 0x8877665544332211);
	assert_string_equal(ask(&rig, "P22=ffff0000"), "OK");
	assert_int_equal(xsave[4], 0);
	/* What makes no sense changes nothing. */
	before = rig.f.registers;
	packet[strlen(packet) - 2] = '\0';
	assert_string_equal(ask(&rig, packet), "E.a malformed packet");
	strcat(packet, "0000");
	assert_int_equal(ask(&rig, packet)[0], 'E');
	assert_int_equal(ask(&rig, "G")[0], 'E');
	assert_int_equal(ask(&rig, "P0=11223344556677")[0], 'E');
	assert_int_equal(ask(&rig, "P0=112233445566778899")[0], 'E');
	assert_int_equal(ask(&rig, "P0")[0], 'E');
	assert_int_equal(ask(&rig, "P0=11223344556677zz")[0], 'E');
	assert_int_equal(ask(&rig, "Pfff=00")[0], 'E');
	assert_int_equal(ask(&rig, "pfff")[0], 'E');
	assert_int_equal(ask(&rig, "p")[0], 'E');
	assert_string_equal(ask(&rig, "P0=ad0b000000000000"), "E.not this value");
	assert_memory_equal(&before, &rig.f.registers, sizeof(before));
	end(&rig);
}

static void test_memory(void **state)
{
	static struct rig rig;
	static char large[GDB_PACKET_MAX + 1];

	(void)state;
	begin(&rig, false);
	strcpy((char *)rig.f.memory, "hello");
	assert_string_equal(ask(&rig, "m1000,5"), "68656c6c6f");
	assert_string_equal(ask(&rig, "m1000,0"), "");
	assert_string_equal(ask(&rig, "m1fff,10"), "00"); /* as much as there is */
	assert_string_equal(ask(&rig, "m2000,10"), "E0e");
	assert_int_equal(strlen(ask(&rig, "m1000,ffffffffffffffff")), 2 * FAKE_MEMORY_SIZE);
	assert_int_equal(ask(&rig, "m1000")[0], 'E');
	assert_int_equal(ask(&rig, "m,5")[0], 'E');
	assert_int_equal(ask(&rig, "m1000,5,")[0], 'E');
	assert_string_equal(ask(&rig, "M1001,2:4545"), "OK");
	assert_string_equal((char *)rig.f.memory, "hEElo");
	assert_string_equal(ask_bytes(&rig, "X1000,3:\0#$", 11), "OK");
	assert_memory_equal(rig.f.memory, "\0#$lo", 6);
	assert_string_equal(ask(&rig, "X1000,0:"), "OK");
	assert_string_equal(ask(&rig, "M1fff,2:0101"), "E0e");
	assert_int_equal(ask(&rig, "M1000,2:01")[0], 'E');
	assert_int_equal(ask(&rig, "M1000,1:0x")[0], 'E');
	assert_int_equal(ask(&rig, "M1000,1")[0], 'E');
	assert_int_equal(ask(&rig, "X1000,5:abc")[0], 'E');
	memset(large, 'a', GDB_PACKET_MAX);
	memcpy(large, "X1000,3ff8:", 11);
	assert_int_equal(ask_bytes(&rig, large, GDB_PACKET_MAX)[0], 'E');
	end(&rig);
}

static void test_the_past_is_read_only(void **state)
{
	static struct rig rig;
	static char packet[8192];

	(void)state;
	begin(&rig, true);
	assert_non_null(strstr(ask(&rig, "P0=1122334455667788"), "the past cannot be changed"));
	packet[0] = 'G';
	strcpy(packet + 1, ask(&rig, "g"));
	assert_non_null(strstr(ask(&rig, packet), "the past cannot be changed"));
	assert_non_null(strstr(ask(&rig, "M1000,1:00"), "the past cannot be changed"));
	assert_non_null(strstr(ask(&rig, "X1000,0:"), "the past cannot be changed"));
	assert_non_null(strstr(ask(&rig, "c1234"), "the past cannot be changed"));
	assert_int_equal(rig.f.registers.regs.rip, 0);
	end(&rig);
}

static struct tt_stop next_stop;

static int stop_at_once(struct tt_debug_target *target, bool backwards, struct tt_stop *stop, struct tt_error *err)
{
	(void)target;
	(void)backwards;
	*stop = next_stop;
	return next_stop.status == 99 ? tt_fail(err, -EIO, "the disk is broken") : 0;
}

/* Each reason as gdb is told of it. */
static void test_stop_reasons(void **state)
{
	static const struct {
		struct tt_stop stop;
		const char *answer;
		bool over;
	} cases[] = {
		{ { .reason = TT_STOP_STEP }, "T05thread:1;", false },
		{ { .reason = TT_STOP_INTERRUPTED }, "T02thread:1;", false },
		{ { .reason = TT_STOP_POINT, .point = { TT_POINT_ACCESS, 0xffffffff82c079c0, 8 } },
		  "T05awatch:ffffffff82c079c0;thread:1;", false },
		{ { .reason = TT_STOP_HISTORY_BEGIN }, "T05replaylog:begin;thread:1;", false },
		{ { .reason = TT_STOP_HISTORY_END }, "T05replaylog:end;thread:1;", false },
		{ { .reason = TT_STOP_EXITED, .status = 0 }, "W00", true },
		{ { .reason = TT_STOP_EXITED, .status = 0xa1 }, "Wa1", true },
		{ { .reason = TT_STOP_CRASHED }, "X0b", true },
		{ { .reason = TT_STOP_STEP, .status = 99 }, "E.the disk is broken", false },
	};
	static struct rig rig;
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		begin(&rig, true);
		rig.f.ops.run = stop_at_once;
		next_stop = cases[i].stop;
		assert_string_equal(ask(&rig, i % 2 ? "bc" : "vCont;c"), cases[i].answer);
		assert_int_equal(rig.s.over, cases[i].over);
		end(&rig);
	}
}

static void test_run_and_step(void **state)
{
	static struct rig rig;
	unsigned long long *rip = &rig.f.registers.regs.rip;

	(void)state;
	begin(&rig, true);
	ask(&rig, "qSupported:swbreak+;hwbreak+");
	assert_string_equal(ask(&rig, "s"), "T05thread:1;");
	assert_string_equal(ask(&rig, "S05"), "T05thread:1;");
	assert_string_equal(ask(&rig, "vCont;s:1"), "T05thread:1;");
	assert_string_equal(ask(&rig, "vCont;S05:1;c"), "T05thread:1;");
	assert_int_equal(*rip, 4);
	assert_string_equal(ask(&rig, "Z0,10,1"), "OK");
	assert_string_equal(ask(&rig, "Z1,20,1"), "OK");
	assert_string_equal(ask(&rig, "vCont;c"), "T05swbreak:;thread:1;");
	assert_int_equal(*rip, 0x10);
	assert_string_equal(ask(&rig, "c"), "T05hwbreak:;thread:1;");
	assert_string_equal(ask(&rig, "bs"), "T05thread:1;");
	assert_int_equal(*rip, 0x1f);
	assert_string_equal(ask(&rig, "bc"), "T05swbreak:;thread:1;");
	assert_string_equal(ask(&rig, "bc"), "T05replaylog:begin;thread:1;");
	assert_string_equal(ask(&rig, "z0,10,1"), "OK");
	assert_string_equal(ask(&rig, "z1,20,1"), "OK");
	assert_string_equal(ask(&rig, "C05"), "T05replaylog:end;thread:1;");
	assert_int_equal(*rip, FAKE_HISTORY_END);
	assert_int_equal(ask(&rig, "vCont")[0], '\0');
	assert_int_equal(ask(&rig, "vCont;")[0], 'E');
	assert_int_equal(ask(&rig, "vCont;x")[0], 'E');
	assert_int_equal(ask(&rig, "vCont;s:2")[0], 'E'); /* no action for our thread */
	assert_int_equal(ask(&rig, "vCont;cc")[0], 'E');
	assert_int_equal(ask(&rig, "C")[0], 'E');
	assert_int_equal(ask(&rig, "szz")[0], 'E');
	/* A client that does not know these words. */
	ask(&rig, "qSupported:multiprocess+");
	assert_string_equal(ask(&rig, "Z0,10,1"), "OK");
	assert_string_equal(ask(&rig, "bc"), "T05thread:1;");
	end(&rig);

	begin(&rig, false);
	assert_string_equal(ask(&rig, "bs"), "E.a live run cannot go back; record it first");
	assert_string_equal(ask(&rig, "s100"), "T05thread:1;");
	assert_int_equal(*rip, 0x101);
	rig.f.ended = true;
	assert_string_equal(ask(&rig, "c"), "W07");
	assert_true(rig.s.over);
	end(&rig);
}

static void test_points(void **state)
{
	static struct rig rig;

	(void)state;
	begin(&rig, false);
	assert_string_equal(ask(&rig, "Z2,30,8"), "OK");
	assert_string_equal(ask(&rig, "Z2,30,8"), "OK"); /* the same again */
	assert_int_equal(rig.f.num_points, 1);
	assert_string_equal(ask(&rig, "c"), "T05watch:30;thread:1;");
	assert_string_equal(ask(&rig, "Z3,40,4"), "OK");
	assert_string_equal(ask(&rig, "c"), "T05rwatch:40;thread:1;");
	assert_string_equal(ask(&rig, "Z4,50,4"), "OK");
	assert_string_equal(ask(&rig, "c"), "T05awatch:50;thread:1;");
	assert_string_equal(ask(&rig, "Z0,60,1"), "OK");
	assert_string_equal(ask(&rig, "Z0,70,1"), "E.no more than 4");
	assert_int_equal(rig.f.num_points, 4);
	assert_string_equal(ask(&rig, "z3,40,4"), "OK");
	assert_string_equal(ask(&rig, "z3,40,4"), "OK"); /* not there any more */
	assert_int_equal(rig.f.num_points, 3);
	assert_int_equal(rig.f.points[1].address, 0x50);
	assert_string_equal(ask(&rig, "z2,30,4"), "OK"); /* another one: nothing happens */
	assert_int_equal(rig.f.num_points, 3);
	assert_string_equal(ask(&rig, "Z5,30,4"), "");
	assert_int_equal(ask(&rig, "Z0,30")[0], 'E');
	assert_int_equal(ask(&rig, "Z0,30,1;X1,00")[0], 'E'); /* a condition, which we did not offer to evaluate */
	assert_int_equal(ask(&rig, "Z")[0], 'E');
	assert_int_equal(ask(&rig, "z9999")[0], 'E');
	end(&rig);
}

static void test_monitor(void **state)
{
	static struct rig rig;

	(void)state;
	begin(&rig, false);
	assert_non_null(strstr(monitor(&rig, "help"), "monitor phys "));
	assert_null(strstr(rig.output, "goto"));
	assert_string_equal(monitor(&rig, "when"), "when: not for a live run\n");
	assert_string_equal(monitor(&rig, "goto 5"), "goto: not for a live run\n");
	assert_non_null(strstr(monitor(&rig, "dance"), "'dance' is not a command"));
	strcpy((char *)rig.f.memory + 16, "0123");
	assert_string_equal(monitor(&rig, "phys 0x10 20"),
			    "0000000000000010: 30 31 32 33 00 00 00 00 00 00 00 00 00 00 00 00\n"
			    "0000000000000020: 00 00 00 00\n");
	assert_non_null(strstr(monitor(&rig, "phys 0xff8 16"), "1000: no memory there"));
	assert_non_null(strstr(monitor(&rig, "phys 0 1000000"), "65536 at most"));
	assert_non_null(strstr(monitor(&rig, "phys 0"), "takes an address"));
	assert_non_null(strstr(monitor(&rig, "phys x 1"), "takes an address"));
	assert_int_equal(ask(&rig, "qRcmd,6")[0], 'E');
	assert_int_equal(ask(&rig, "qRcmd,zz")[0], 'E');
	end(&rig);

	begin(&rig, true);
	assert_non_null(strstr(monitor(&rig, ""), "monitor goto "));
	assert_non_null(strstr(monitor(&rig, "goto 123"), "instruction 123, at 0.000123 s\n"));
	assert_string_equal(monitor(&rig, "  w  "), "instruction 123, at 0.000123 s\n");
	assert_non_null(strstr(monitor(&rig, "goto 9999"), "has 1000 instructions"));
	assert_non_null(strstr(monitor(&rig, "goto 5x"), "takes an instruction number"));
	assert_non_null(strstr(monitor(&rig, "seek-event 3"), "instruction 300,"));
	assert_non_null(strstr(monitor(&rig, "seek-time 0.000042"), "instruction 42, at 0.000042 s\n"));
	assert_non_null(strstr(monitor(&rig, "seek-time soon"), "takes seconds"));
	assert_non_null(strstr(monitor(&rig, "seek-time -1"), "takes seconds"));
	assert_non_null(strstr(monitor(&rig, "seek-time 1"), "has 1000 instructions"));
	assert_non_null(strstr(monitor(&rig, "c"), "not a command")); /* checkpoint or console? */
	assert_string_equal(monitor(&rig, "disk fail"), "a failure\n");
	assert_non_null(strstr(monitor(&rig, "events 1..2"), "line 999 1..2\n"));
	assert_non_null(strstr(rig.output, "line 0 1..2\n"));
	assert_non_null(strstr(monitor(&rig, "checkpoint"), "line 0 \n"));
	assert_non_null(strstr(monitor(&rig, "console"), "line 0 \n"));
	end(&rig);
}

static void test_leaving(void **state)
{
	static struct rig rig;

	(void)state;
	begin(&rig, false);
	ask(&rig, "Z0,10,1");
	assert_string_equal(ask(&rig, "D"), "OK");
	assert_true(rig.s.over && !rig.f.killed);
	end(&rig);
	begin(&rig, false);
	assert_string_equal(ask(&rig, "vKill;1"), "OK");
	assert_true(rig.s.over && rig.f.killed);
	end(&rig);
	begin(&rig, false);
	ask(&rig, "k");
	assert_true(rig.s.over && rig.f.killed);
	end(&rig);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_reader),
		cmocka_unit_test(test_long_packet),
		cmocka_unit_test(test_frame),
		cmocka_unit_test(test_numbers),
		cmocka_unit_test(test_queries),
		cmocka_unit_test(test_description),
		cmocka_unit_test(test_registers),
		cmocka_unit_test(test_memory),
		cmocka_unit_test(test_the_past_is_read_only),
		cmocka_unit_test(test_stop_reasons),
		cmocka_unit_test(test_run_and_step),
		cmocka_unit_test(test_points),
		cmocka_unit_test(test_monitor),
		cmocka_unit_test(test_leaving),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
