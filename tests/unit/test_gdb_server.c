// SPDX-License-Identifier: GPL-2.0
/*
 * test_gdb_server.c - the gdb server's sockets and threads: real sockets, a fake target.
 */
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include <cmocka.h>

#include "../../debug/gdb.h"
#include "../../tools/ttvm.h"
#include "fake-target.h"

struct rig {
	struct fake_target f;
	struct tt_gdb_server *server;
	char name[LISTEN_NAME_MAX];
	char folder[32];
	int fd;
};

static int connect_to(struct rig *rig)
{
	struct tt_error err = { 0 };
	int fd = unix_connect(rig->name, &err);

	if (fd < 0)
		fail_msg("%s", err.text);
	return fd;
}

static void start(struct rig *rig)
{
	struct tt_gdb_options options = { .target = &rig->f.target };
	struct tt_error err = { 0 };
	char path[64];

	memset(rig, 0, sizeof(*rig));
	fake_target_init(&rig->f, false);
	rig->f.run_forever = true;
	strcpy(rig->folder, "/tmp/ttvm-gdb.XXXXXX");
	assert_non_null(mkdtemp(rig->folder));
	snprintf(path, sizeof(path), "%s/socket", rig->folder);
	options.listen_fd = listen_at(path, rig->name, &err);
	if (options.listen_fd < 0 || tt_gdb_start(&options, &rig->server, &err))
		fail_msg("%s", err.text);
	rig->fd = connect_to(rig);
}

static void end(struct rig *rig)
{
	fake_target_end(&rig->f);
	tt_gdb_stop(rig->server);
	assert_false(rig->f.attached);
	assert_int_equal(rig->f.num_points, 0);
	close(rig->fd);
	unlink(rig->name);
	rmdir(rig->folder);
	fake_target_destroy(&rig->f);
}

static void put(int fd, const void *bytes, size_t len)
{
	assert_int_equal(send(fd, bytes, len, MSG_NOSIGNAL), len);
}

static char get_byte(int fd)
{
	struct pollfd ready = { .fd = fd, .events = POLLIN };
	char byte;

	assert_int_equal(poll(&ready, 1, 5000), 1);
	assert_int_equal(recv(fd, &byte, 1, 0), 1);
	return byte;
}

static void expect_bytes(int fd, const char *text)
{
	for (; *text; text++)
		assert_int_equal(get_byte(fd), *text);
}

static void expect_closed(int fd)
{
	struct pollfd ready = { .fd = fd, .events = POLLIN };
	char byte;

	assert_int_equal(poll(&ready, 1, 5000), 1);
	assert_true(recv(fd, &byte, 1, 0) <= 0);
}

static void put_packet(int fd, const char *content)
{
	char frame[GDB_FRAME_MAX(256)];

	put(fd, frame, gdb_frame(frame, content, strlen(content)));
}

static void expect_packet(int fd, const char *content)
{
	char frame[GDB_FRAME_MAX(256)];

	frame[gdb_frame(frame, content, strlen(content))] = '\0';
	expect_bytes(fd, frame);
}

static void ask(int fd, const char *content, const char *answer)
{
	put_packet(fd, content);
	expect_bytes(fd, "+");
	expect_packet(fd, answer);
}

static void test_acknowledgements(void **state)
{
	struct rig rig;

	(void)state;
	start(&rig);
	ask(rig.fd, "qC", "QC1");
	put(rig.fd, "$qC#00", 6);
	expect_bytes(rig.fd, "-");
	put(rig.fd, "-", 1); /* once more, please */
	expect_packet(rig.fd, "QC1");
	put(rig.fd, "++garbage\003+", 11); /* between packets, and nothing runs: of no meaning */
	ask(rig.fd, "qAttached", "1");
	put(rig.fd, "$m1000", 6); /* broken off */
	ask(rig.fd, "QStartNoAckMode", "OK");
	put_packet(rig.fd, "qC");
	expect_packet(rig.fd, "QC1");
	put(rig.fd, "$qC#00", 6); /* no answer, as the protocol has it */
	put_packet(rig.fd, "?");
	expect_packet(rig.fd, "T05thread:1;");
	end(&rig);
}

static void test_oversized_packet(void **state)
{
	static char bytes[3 * GDB_PACKET_MAX];
	struct rig rig;

	(void)state;
	start(&rig);
	memset(bytes, 'a', sizeof(bytes));
	bytes[0] = '$';
	put(rig.fd, bytes, sizeof(bytes));
	/* sum of 3 * 16384 - 1 times 'a', modulo 256 */
	put(rig.fd, "#9f", 3);
	expect_bytes(rig.fd, "+");
	expect_packet(rig.fd, "E.the packet is too long");
	ask(rig.fd, "qC", "QC1");
	end(&rig);
}

static void test_interrupt(void **state)
{
	struct rig rig;
	int i;

	(void)state;
	start(&rig);
	for (i = 0; i < 100; i++) {
		put_packet(rig.fd, "c");
		expect_bytes(rig.fd, "+");
		if (i == 0) {
			/* No answer yet, so no other packet. */
			put_packet(rig.fd, "qC");
			expect_bytes(rig.fd, "+");
			expect_packet(rig.fd, "E.busy: the last packet has not been answered yet");
		}
		put(rig.fd, "\003", 1); /* perhaps before it runs */
		expect_packet(rig.fd, "T02thread:1;");
	}
	/* In one piece with the packet. */
	put(rig.fd, "$c#63\003", 6);
	expect_bytes(rig.fd, "+");
	expect_packet(rig.fd, "T02thread:1;");
	end(&rig);
}

static void test_two_clients(void **state)
{
	struct rig rig;
	int second, i;

	(void)state;
	start(&rig);
	ask(rig.fd, "qC", "QC1");
	for (i = 0; i < 3; i++) {
		second = connect_to(&rig);
		expect_bytes(second, "+");
		expect_packet(second, "E.another debugger is connected; one at a time");
		expect_closed(second);
		ask(rig.fd, "qC", "QC1");
		if (i != 1) /* the next one takes its place */
			close(second);
	}
	/* Also while the target runs. */
	put_packet(rig.fd, "c");
	expect_bytes(rig.fd, "+");
	fake_target_wait(&rig.f);
	second = connect_to(&rig);
	expect_bytes(second, "+");
	expect_packet(second, "E.another debugger is connected; one at a time");
	close(second);
	put(rig.fd, "\003", 1);
	expect_packet(rig.fd, "T02thread:1;");
	assert_int_equal(rig.f.attaches, 1);
	end(&rig);
}

/* In the middle of anything: the next client finds the target without points. */
static void test_disconnect(void **state)
{
	static const char *const last_words[] = { "", "$", "$m10", "$qC#", "$c#63", "$m0,3000#b0", "\003" };
	struct rig rig;
	size_t i;

	(void)state;
	start(&rig);
	for (i = 0; i < sizeof(last_words) / sizeof(last_words[0]); i++) {
		ask(rig.fd, "Z0,1234,1", "OK");
		assert_int_equal(rig.f.num_points, 1);
		put(rig.fd, last_words[i], strlen(last_words[i]));
		if (i == 4)
			fake_target_wait(&rig.f);
		close(rig.fd);
		rig.fd = connect_to(&rig);
		ask(rig.fd, "qC", "QC1");
		assert_int_equal(rig.f.num_points, 0);
	}
	assert_int_equal(rig.f.attaches, i + 1);
	end(&rig);
}

static void test_detach(void **state)
{
	struct rig rig;

	(void)state;
	start(&rig);
	ask(rig.fd, "Z0,1234,1", "OK");
	ask(rig.fd, "D", "OK");
	expect_closed(rig.fd);
	close(rig.fd);
	rig.fd = connect_to(&rig);
	ask(rig.fd, "qC", "QC1");
	assert_int_equal(rig.f.attaches, 2);
	assert_false(rig.f.killed);
	end(&rig);
}

static void test_the_guest_ends(void **state)
{
	struct rig rig;

	(void)state;
	start(&rig);
	put_packet(rig.fd, "c");
	expect_bytes(rig.fd, "+");
	fake_target_wait(&rig.f);
	fake_target_end(&rig.f);
	expect_packet(rig.fd, "W07");
	expect_closed(rig.fd);
	end(&rig);
}

static int refuse(struct tt_debug_target *target, struct tt_error *err)
{
	(void)target;
	return tt_fail(err, -ESHUTDOWN, "it has ended");
}

static void test_cannot_attach(void **state)
{
	struct rig rig;

	(void)state;
	start(&rig);
	ask(rig.fd, "D", "OK");
	expect_closed(rig.fd);
	close(rig.fd);
	rig.f.ops.attach = refuse;
	rig.fd = connect_to(&rig);
	expect_packet(rig.fd, "E.it has ended");
	expect_closed(rig.fd);
	end(&rig);
}

/* Stopped while a client is connected and idle. */
static void test_stop(void **state)
{
	struct rig rig;

	(void)state;
	start(&rig);
	ask(rig.fd, "Z0,1234,1", "OK");
	end(&rig);
}

static void expect_refused(const char *where, const char *why)
{
	char name[LISTEN_NAME_MAX];
	struct tt_error err = { 0 };

	assert_true(listen_at(where, name, &err) < 0);
	if (!strstr(err.text, why))
		fail_msg("%s: \"%s\" lacks \"%s\"", where, err.text, why);
}

static void test_addresses(void **state)
{
	char name[LISTEN_NAME_MAX], again[LISTEN_NAME_MAX];
	struct tt_error err = { 0 };
	int fd;

	(void)state;
	fd = listen_at("0", name, &err);
	assert_true(fd >= 0);
	assert_int_equal(strncmp(name, "127.0.0.1:", 10), 0);
	assert_int_not_equal(atoi(name + 10), 0);
	expect_refused(name, "another process listens there");
	expect_refused(name + 10, "another process listens there"); /* the port alone */
	close(fd);
	fd = listen_at(name, again, &err);
	assert_true(fd >= 0);
	assert_string_equal(name, again);
	close(fd);
	expect_refused("", "say PORT");
	expect_refused("name", "say PORT");
	expect_refused(":1234", "say PORT");
	expect_refused("host:", "say PORT");
	expect_refused("host:12x", "say PORT");
	expect_refused("123456", "say PORT");
	expect_refused("/no/such/folder/socket", "No such file");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_acknowledgements),
		cmocka_unit_test(test_oversized_packet),
		cmocka_unit_test(test_interrupt),
		cmocka_unit_test(test_two_clients),
		cmocka_unit_test(test_disconnect),
		cmocka_unit_test(test_detach),
		cmocka_unit_test(test_the_guest_ends),
		cmocka_unit_test(test_cannot_attach),
		cmocka_unit_test(test_stop),
		cmocka_unit_test(test_addresses),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
