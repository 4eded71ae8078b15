// SPDX-License-Identifier: GPL-2.0
/*
 * session.c - one client of the gdb server: what its packets (section E.2) mean to the target.
 *
 * There is one thread, number 1: the vCPU. What this server does not know it answers with an empty packet, as the protocol
 * demands, and gdb does without.
 */
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "gdb.h"

#define THREAD "1"

/* Unix signals by gdb's numbers. */
enum { SIGNAL_INT = 2, SIGNAL_TRAP = 5, SIGNAL_SEGV = 11 };

/* ------------------------------------------------------------------ answers */

void gdb_answer(struct gdb_session *s, const char *format, ...)
{
	va_list args;
	int len;

	va_start(args, format);
	len = vsnprintf(s->answer, sizeof(s->answer), format, args);
	va_end(args);
	s->answer_len = len < (int)sizeof(s->answer) ? (size_t)len : sizeof(s->answer) - 1;
}

void gdb_answer_error(struct gdb_session *s, const char *format, ...)
{
	char text[512];
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	gdb_answer(s, "E.%s", text);
}

void gdb_answer_result(struct gdb_session *s, int ret, const struct tt_error *err)
{
	if (!ret)
		gdb_answer(s, "OK");
	else
		gdb_answer_error(s, "%s", err->text[0] ? err->text : strerror(-ret));
}

static void answer_hex(struct gdb_session *s, const void *data, size_t len)
{
	gdb_hex(s->answer, data, len);
	s->answer_len = 2 * len;
}

static void answer_malformed(struct gdb_session *s)
{
	gdb_answer_error(s, "a malformed packet");
}

/* ------------------------------------------------------------------ stops */

static void answer_point(struct gdb_session *s, const struct tt_point *point)
{
	static const char *const words[] = {
		[TT_POINT_SOFTWARE] = "swbreak", [TT_POINT_HARDWARE] = "hwbreak", [TT_POINT_WRITE] = "watch",
		[TT_POINT_READ] = "rwatch",	 [TT_POINT_ACCESS] = "awatch",
	};

	if (point->kind >= TT_POINT_WRITE)
		gdb_answer(s, "T%02x%s:%llx;thread:" THREAD ";", SIGNAL_TRAP, words[point->kind],
			   (unsigned long long)point->address);
	else if (s->reasons)
		gdb_answer(s, "T%02x%s:;thread:" THREAD ";", SIGNAL_TRAP, words[point->kind]);
	else
		gdb_answer(s, "T%02xthread:" THREAD ";", SIGNAL_TRAP);
}

static void answer_stop(struct gdb_session *s, const struct tt_stop *stop)
{
	switch (stop->reason) {
	case TT_STOP_STEP:
		gdb_answer(s, "T%02xthread:" THREAD ";", SIGNAL_TRAP);
		break;
	case TT_STOP_INTERRUPTED:
		gdb_answer(s, "T%02xthread:" THREAD ";", SIGNAL_INT);
		break;
	case TT_STOP_POINT:
		answer_point(s, &stop->point);
		break;
	case TT_STOP_HISTORY_BEGIN:
	case TT_STOP_HISTORY_END:
		gdb_answer(s, "T%02xreplaylog:%s;thread:" THREAD ";", SIGNAL_TRAP,
			   stop->reason == TT_STOP_HISTORY_BEGIN ? "begin" : "end");
		break;
	case TT_STOP_EXITED:
		gdb_answer(s, "W%02x", stop->status);
		s->over = true;
		break;
	case TT_STOP_CRASHED:
		gdb_answer(s, "X%02x", SIGNAL_SEGV);
		s->over = true;
		break;
	}
}

static void serve_run(struct gdb_session *s, bool step, bool backwards)
{
	struct tt_debug_target *t = s->target;
	struct tt_stop stop = { 0 };
	struct tt_error err = { 0 };
	int ret;

	if (backwards && !t->backwards) {
		gdb_answer_error(s, "%s cannot go back; record it first", t->name);
		return;
	}
	ret = step ? t->ops->step(t, backwards ? -1 : 1, &stop, &err) : t->ops->run(t, backwards, &stop, &err);
	if (ret)
		gdb_answer_result(s, ret, &err);
	else
		answer_stop(s, &stop);
}

/* Actions in order, each perhaps for one thread only: the first one that is for ours. */
static void serve_vcont(struct gdb_session *s, const char *actions)
{
	const char *at = actions;

	while (*at == ';') {
		char action = *++at, thread = '\0';
		uint64_t signal;

		at += action != '\0';
		if ((action == 'C' || action == 'S') && !gdb_parse_number(&at, 0, &signal))
			break;
		if (*at == ':') {
			thread = *++at;
			at += strcspn(at, ";");
		}
		if (*at && *at != ';')
			break;
		if (thread && thread != THREAD[0] && thread != '-' && thread != '0')
			continue;
		if (action == 'c' || action == 'C')
			return serve_run(s, false, false);
		if (action == 's' || action == 'S')
			return serve_run(s, true, false);
		break;
	}
	answer_malformed(s);
}

/* ------------------------------------------------------------------ registers */

static bool read_registers(struct gdb_session *s, struct tt_registers *r)
{
	struct tt_error err = { 0 };
	int ret = s->target->ops->read_registers(s->target, r, &err);

	if (ret)
		gdb_answer_result(s, ret, &err);
	return !ret;
}

/* False, and the answer given, where nothing can be changed. */
static bool may_change(struct gdb_session *s, bool can)
{
	if (!can)
		gdb_answer_error(s, "the past cannot be changed; `ttvm fork` goes on from here as a new run");
	return can;
}

static void write_registers(struct gdb_session *s, const struct tt_registers *r)
{
	struct tt_error err = { 0 };

	gdb_answer_result(s, s->target->ops->write_registers(s->target, r, &err), &err);
}

static void serve_read_all(struct gdb_session *s)
{
	unsigned int n, count = gdb_num_registers(s->target->avx);
	uint8_t value[GDB_MAX_REGISTER];
	struct tt_registers r;
	char *at = s->answer;

	if (!read_registers(s, &r))
		return;
	for (n = 0; n < count; n++) {
		size_t size = gdb_register_get(&r, n, value);

		gdb_hex(at, value, size);
		at += 2 * size;
	}
	s->answer_len = at - s->answer;
}

static void serve_write_all(struct gdb_session *s, const char *hex, size_t len)
{
	unsigned int n, count = gdb_num_registers(s->target->avx);
	uint8_t value[GDB_MAX_REGISTER];
	struct tt_registers r;

	if (!may_change(s, s->target->ops->write_registers) || !read_registers(s, &r))
		return;
	for (n = 0; n < count; n++) {
		size_t size = gdb_register_get(&r, n, value);

		if (len < 2 * size || gdb_parse_hex(hex, 2 * size, value, sizeof(value)) < 0)
			return answer_malformed(s);
		gdb_register_set(&r, n, value);
		hex += 2 * size;
		len -= 2 * size;
	}
	if (len)
		return answer_malformed(s);
	write_registers(s, &r);
}

static void serve_read_one(struct gdb_session *s, const char *at)
{
	uint8_t value[GDB_MAX_REGISTER];
	struct tt_registers r;
	uint64_t n;

	if (!gdb_parse_number(&at, 0, &n) || *at || n >= gdb_num_registers(s->target->avx))
		return answer_malformed(s);
	if (read_registers(s, &r))
		answer_hex(s, value, gdb_register_get(&r, n, value));
}

static void serve_write_one(struct gdb_session *s, const char *at)
{
	uint8_t value[GDB_MAX_REGISTER];
	struct tt_registers r;
	uint64_t n;
	size_t size;

	if (!gdb_parse_number(&at, '=', &n) || n >= gdb_num_registers(s->target->avx))
		return answer_malformed(s);
	if (!may_change(s, s->target->ops->write_registers) || !read_registers(s, &r))
		return;
	size = gdb_register_get(&r, n, value);
	if (gdb_parse_hex(at, strlen(at), value, sizeof(value)) != (ssize_t)size)
		return answer_malformed(s);
	gdb_register_set(&r, n, value);
	write_registers(s, &r);
}

/* ------------------------------------------------------------------ memory */

static void serve_read_memory(struct gdb_session *s, const char *at)
{
	uint8_t data[GDB_PACKET_MAX / 2];
	uint64_t address, len;
	size_t n;

	if (!gdb_parse_number(&at, ',', &address) || !gdb_parse_number(&at, 0, &len) || *at)
		return answer_malformed(s);
	if (len > sizeof(data))
		len = sizeof(data);
	n = s->target->ops->read_memory(s->target, false, address, data, len);
	if (len && !n)
		gdb_answer(s, "E%02x", EFAULT);
	else
		answer_hex(s, data, n);
}

/* M in hexadecimal, X in binary. */
static void serve_write_memory(struct gdb_session *s, const char *at, const char *end, bool binary)
{
	char data[GDB_PACKET_MAX];
	uint64_t address, len;

	if (!gdb_parse_number(&at, ',', &address) || !gdb_parse_number(&at, ':', &len))
		return answer_malformed(s);
	if (binary) {
		if ((uint64_t)(end - at) != len)
			return answer_malformed(s);
		memcpy(data, at, len);
	} else if (gdb_parse_hex(at, end - at, data, sizeof(data)) != (ssize_t)len) {
		return answer_malformed(s);
	}
	if (!may_change(s, s->target->ops->write_memory))
		return;
	if (s->target->ops->write_memory(s->target, false, address, data, len) == len)
		gdb_answer(s, "OK");
	else
		gdb_answer(s, "E%02x", EFAULT);
}

/* ------------------------------------------------------------------ queries */

static bool starts_with(const char *text, const char *prefix)
{
	return !strncmp(text, prefix, strlen(prefix));
}

static void serve_supported(struct gdb_session *s, const char *theirs)
{
	s->reasons = strstr(theirs, "swbreak+") && strstr(theirs, "hwbreak+");
	gdb_answer(s, "PacketSize=%x;qXfer:features:read+;QStartNoAckMode+;vContSupported+;swbreak+;hwbreak+;"
		   "error-message+%s", GDB_PACKET_MAX, s->target->backwards ? ";ReverseStep+;ReverseContinue+" : "");
}

/* A piece of the description: 'm' when more follows, 'l' when it is the last. */
static void serve_description(struct gdb_session *s, const char *at)
{
	size_t size = strlen(s->description);
	uint64_t offset, len;

	if (!gdb_parse_number(&at, ',', &offset) || !gdb_parse_number(&at, 0, &len) || *at)
		return answer_malformed(s);
	if (offset > size)
		offset = size;
	if (len > GDB_PACKET_MAX - 1)
		len = GDB_PACKET_MAX - 1;
	if (len >= size - offset)
		gdb_answer(s, "l%s", s->description + offset);
	else
		gdb_answer(s, "m%.*s", (int)len, s->description + offset);
}

static void serve_query(struct gdb_session *s, const char *packet, size_t len)
{
	static const char description[] = "qXfer:features:read:target.xml:";
	const char *name = "vCPU 0";

	if (starts_with(packet, "qSupported")) {
		serve_supported(s, packet);
	} else if (starts_with(packet, description)) {
		serve_description(s, packet + strlen(description));
	} else if (starts_with(packet, "qXfer:features:read:")) {
		gdb_answer(s, "E00"); /* no such annex */
	} else if (starts_with(packet, "qRcmd,")) {
		gdb_serve_monitor(s, packet + 6, len - 6);
	} else if (!strcmp(packet, "qC")) {
		gdb_answer(s, "QC" THREAD);
	} else if (!strcmp(packet, "qfThreadInfo")) {
		gdb_answer(s, "m" THREAD);
	} else if (!strcmp(packet, "qsThreadInfo")) {
		gdb_answer(s, "l");
	} else if (starts_with(packet, "qThreadExtraInfo,")) {
		answer_hex(s, name, strlen(name));
	} else if (starts_with(packet, "qAttached")) {
		gdb_answer(s, "1"); /* gdb leaves by detaching, not by killing */
	} else if (!strcmp(packet, "QStartNoAckMode")) {
		s->no_acks = true;
		gdb_answer(s, "OK");
	}
}

/* H op thread: choose a thread for later operations; 0 is any, -1 all. */
static void serve_thread(struct gdb_session *s, const char *thread)
{
	if (!strcmp(thread, "0") || !strcmp(thread, "-1") || (gdb_hex_digit(*thread) >= 0 && strtoul(thread, NULL, 16) == 1))
		gdb_answer(s, "OK");
	else
		gdb_answer_error(s, "there is no thread %s: the only one is " THREAD, thread);
}

static void serve_kill(struct gdb_session *s)
{
	s->target->ops->kill(s->target);
	s->over = true;
	gdb_answer(s, "OK");
}

static void serve_v(struct gdb_session *s, const char *packet)
{
	if (!strcmp(packet, "vCont?"))
		gdb_answer(s, "vCont;c;C;s;S");
	else if (starts_with(packet, "vCont;"))
		serve_vcont(s, packet + 5);
	else if (starts_with(packet, "vKill;"))
		serve_kill(s);
}

/* c, s, C sig, S sig; they may go on elsewhere: [;]address. */
static void serve_resume(struct gdb_session *s, const char *packet)
{
	bool step = (*packet | 0x20) == 's', has_signal = *packet == 'C' || *packet == 'S';
	const char *at = packet + 1;
	struct tt_registers r;
	struct tt_error err = { 0 };
	uint64_t value;
	int ret;

	if (has_signal && !gdb_parse_number(&at, 0, &value))
		return answer_malformed(s);
	if (has_signal && *at == ';')
		at++;
	if (*at) {
		if (!gdb_parse_number(&at, 0, &value) || *at)
			return answer_malformed(s);
		if (!may_change(s, s->target->ops->write_registers) || !read_registers(s, &r))
			return;
		r.regs.rip = value;
		ret = s->target->ops->write_registers(s->target, &r, &err);
		if (ret)
			return gdb_answer_result(s, ret, &err);
	}
	serve_run(s, step, false);
}

/* ------------------------------------------------------------------ life */

void gdb_session_serve(struct gdb_session *s, const char *packet, size_t len)
{
	s->answer_len = 0;
	switch (packet[0]) {
	case '?':
		return answer_stop(s, &(struct tt_stop){ .reason = TT_STOP_STEP });
	case 'g':
		return serve_read_all(s);
	case 'G':
		return serve_write_all(s, packet + 1, len - 1);
	case 'p':
		return serve_read_one(s, packet + 1);
	case 'P':
		return serve_write_one(s, packet + 1);
	case 'm':
		return serve_read_memory(s, packet + 1);
	case 'M':
	case 'X':
		return serve_write_memory(s, packet + 1, packet + len, packet[0] == 'X');
	case 'c':
	case 's':
	case 'C':
	case 'S':
		return serve_resume(s, packet);
	case 'b': /* bs, bc */
		if (!strcmp(packet, "bs") || !strcmp(packet, "bc"))
			serve_run(s, packet[1] == 's', true);
		return;
	case 'Z':
	case 'z':
		return gdb_serve_point(s, packet + 1, packet[0] == 'Z');
	case 'H':
		return serve_thread(s, packet[1] ? packet + 2 : "?");
	case 'T':
		return serve_thread(s, packet + 1);
	case 'q':
	case 'Q':
		return serve_query(s, packet, len);
	case 'v':
		return serve_v(s, packet);
	case 'D':
		s->over = true;
		return gdb_answer(s, "OK");
	case 'k':
		return serve_kill(s);
	}
}

int gdb_session_begin(struct gdb_session *s, struct tt_debug_target *target, struct tt_error *err)
{
	int ret;

	s->target = target;
	s->description = gdb_description(target->avx);
	if (!s->description)
		return tt_fail(err, -ENOMEM, "out of memory");
	ret = target->ops->attach(target, err);
	if (ret) {
		free(s->description);
		s->description = NULL;
	}
	return ret;
}

void gdb_session_end(struct gdb_session *s)
{
	gdb_points_clear(s);
	s->target->ops->detach(s->target);
	free(s->description);
	s->description = NULL;
}
