// SPDX-License-Identifier: GPL-2.0
/*
 * test_console.c - the serial console's other side: sockets, ptys, files, and a terminal with its escape key, all real.
 */
#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>
#include <cmocka.h>

#include "../../tools/ttvm.h"
#include "fake-machine.h"

struct rig {
	struct fake_machine f;
	struct console console;
	char folder[32];
	char path[64];	 /* of a socket or file in it */
	char where[80];
	size_t room;	 /* of the guest's COM1 */
	char typed[65536]; /* what the guest got */
	size_t num_typed;
};

static size_t guest_room(void *ctx)
{
	return ((struct rig *)ctx)->room;
}

static void guest_deliver(void *ctx, const void *data, size_t len)
{
	struct rig *rig = ctx;

	assert_true(rig->num_typed + len <= sizeof(rig->typed));
	memcpy(rig->typed + rig->num_typed, data, len);
	rig->num_typed += len;
}

static void start(struct rig *rig, const char *kind)
{
	const struct tt_input input = { .room = guest_room, .deliver = guest_deliver, .ctx = rig };
	struct tt_error err = { 0 };

	memset(rig, 0, sizeof(*rig));
	fake_machine_create_bare(&rig->f, 1);
	rig->room = 16;
	tt_input_register(&rig->f.m, TT_INPUT_SERIAL0, &input);
	strcpy(rig->folder, "/tmp/ttvm-console.XXXXXX");
	assert_non_null(mkdtemp(rig->folder));
	snprintf(rig->path, sizeof(rig->path), "%s/console", rig->folder);
	snprintf(rig->where, sizeof(rig->where), "%s%s", kind, strchr(kind, ':') ? rig->path : "");
	if (console_open(&rig->console, rig->where, &err) ||
	    console_start_input(&rig->console, &rig->f.m, NULL, &err))
		fail_msg("%s", err.text);
}

static void end(struct rig *rig)
{
	assert_int_equal(console_close(&rig->console), 0);
	assert_int_equal(console_close(&rig->console), 0); /* harmless */
	unlink(rig->path);
	rmdir(rig->folder);
	fake_machine_destroy(&rig->f);
}

static void output(struct rig *rig, const char *text)
{
	console_write(&rig->console, text, strlen(text));
}

/* The guest reads until it has this many bytes. */
static void guest_reads(struct rig *rig, size_t len)
{
	char data[64];
	size_t n;
	int tries;

	for (tries = 0; rig->num_typed < len && tries < 5000; tries++) {
		n = tt_input_take(&rig->f.m, TT_INPUT_SERIAL0, data, sizeof(data));
		assert_int_equal(tt_input_deliver(&rig->f.m, TT_INPUT_SERIAL0, data, n), 0);
		if (!n)
			usleep(1000);
	}
	assert_int_equal(rig->num_typed, len);
}

static void expect_on(int fd, const char *text)
{
	struct pollfd ready = { .fd = fd, .events = POLLIN };
	size_t len = 0, wanted = strlen(text);
	char data[256];
	ssize_t n;

	while (len < wanted) {
		if (poll(&ready, 1, 5000) != 1)
			fail_msg("only %zu bytes of '%s' came", len, text);
		n = read(fd, data + len, wanted - len);
		assert_true(n > 0);
		len += n;
	}
	assert_memory_equal(data, text, wanted);
}

/* ------------------------------------------------------------------ sockets */

static void test_socket(void **state)
{
	struct rig rig;
	int fd, second;

	(void)state;
	start(&rig, "socket:");
	output(&rig, "before anybody came\n");
	fd = unix_connect(rig.path, NULL);
	expect_on(fd, "before anybody came\n");
	output(&rig, "login: ");
	expect_on(fd, "login: ");
	assert_int_equal(write(fd, "root\n", 5), 5);
	guest_reads(&rig, 5);
	assert_memory_equal(rig.typed, "root\n", 5);

	second = unix_connect(rig.path, NULL);
	expect_on(second, "ttvm: somebody else is at this console\r\n");
	close(second);
	output(&rig, "still here\n");
	expect_on(fd, "still here\n");

	/* Gone, and somebody else comes: nothing of what came between is lost. */
	close(fd);
	usleep(50000);
	output(&rig, "nobody reads this yet\n");
	usleep(50000);
	fd = unix_connect(rig.path, NULL);
	expect_on(fd, "nobody reads this yet\n");
	assert_int_equal(write(fd, "x", 1), 1);
	guest_reads(&rig, 6);
	output(&rig, "the last words\n");
	end(&rig);
	expect_on(fd, "the last words\n");
	close(fd);
}

/* `echo command | nc -U socket`: the end of input is not the end of the connection. */
static void test_socket_half_closed(void **state)
{
	struct rig rig;
	int fd;

	(void)state;
	start(&rig, "socket:");
	fd = unix_connect(rig.path, NULL);
	assert_int_equal(write(fd, "ls\n", 3), 3);
	shutdown(fd, SHUT_WR);
	guest_reads(&rig, 3);
	output(&rig, "bin etc\n");
	expect_on(fd, "bin etc\n");
	close(fd);
	end(&rig);
}

static void test_output_is_kept_up_to_a_bound(void **state)
{
	static char line[1000], data[CONSOLE_KEPT + 1];
	size_t len = 0;
	struct rig rig;
	ssize_t n;
	int fd, i;

	(void)state;
	start(&rig, "socket:");
	for (i = 0; i < 3000; i++) {
		memset(line, '.', sizeof(line));
		line[snprintf(line, sizeof(line), "line %04d", i)] = '\n';
		console_write(&rig.console, line, sizeof(line));
	}
	fd = unix_connect(rig.path, NULL);
	output(&rig, "END");
	while (len < 3 || memcmp(data + len - 3, "END", 3)) {
		n = read(fd, data + len, sizeof(data) - 1 - len);
		assert_true(n > 0);
		len += n;
	}
	/* A quarter goes at a time. */
	assert_true(len > CONSOLE_KEPT / 4 * 3 && len <= CONSOLE_KEPT);
	assert_int_equal(len, 3000003 - rig.console.lost);
	assert_true(atoi(strstr(data, "line ") + 5) >= 3000 - 1049);
	close(fd);
	end(&rig);
}

static void test_reader_that_reads_nothing_does_not_keep_us(void **state)
{
	static const char data[400000];
	struct timespec before, after;
	struct rig rig;
	int fd;

	(void)state;
	start(&rig, "socket:");
	fd = unix_connect(rig.path, NULL);
	console_write(&rig.console, data, sizeof(data));
	usleep(50000);
	clock_gettime(CLOCK_MONOTONIC, &before);
	console_write(&rig.console, data, sizeof(data));
	end(&rig);
	clock_gettime(CLOCK_MONOTONIC, &after);
	assert_true(after.tv_sec - before.tv_sec <= 4);
	close(fd);
}

/* Typed ahead of a guest that takes nothing for a while: all of it waits, and comes in order. */
static void test_input_waits_for_the_guest(void **state)
{
	static char text[100000];
	size_t sent = 0, i;
	struct rig rig;
	ssize_t n;
	int fd;

	(void)state;
	start(&rig, "socket:");
	fd = unix_connect(rig.path, NULL);
	fcntl(fd, F_SETFL, O_NONBLOCK);
	rig.room = 0;
	for (i = 0; i < sizeof(text); i++)
		text[i] = 'a' + i % 23;
	for (i = 0; i < 100 && sent < sizeof(rig.typed); i++) {
		n = write(fd, text + sent, sizeof(rig.typed) - sent);
		sent += n > 0 ? n : 0;
		usleep(2000);
	}
	assert_int_equal(sent, sizeof(rig.typed));
	rig.room = 64;
	guest_reads(&rig, sent);
	assert_memory_equal(rig.typed, text, sent);
	close(fd);
	end(&rig);
}

/* ------------------------------------------------------------------ pty, file */

/* The name that console_open() prints. */
static void start_pty(struct rig *rig, char *name, size_t size)
{
	int saved = dup(STDERR_FILENO), fds[2];
	char text[128] = "", *at;

	assert_int_equal(pipe(fds), 0);
	dup2(fds[1], STDERR_FILENO);
	start(rig, "pty");
	dup2(saved, STDERR_FILENO);
	assert_true(read(fds[0], text, sizeof(text) - 1) > 0);
	close(fds[0]);
	close(fds[1]);
	close(saved);
	at = strstr(text, "/dev/pts/");
	assert_non_null(at);
	snprintf(name, size, "%.*s", (int)strcspn(at, "\n"), at);
}

static void test_pty(void **state)
{
	struct rig rig;
	char name[64];
	int fd;

	(void)state;
	start_pty(&rig, name, sizeof(name));
	output(&rig, "boot messages\n");
	usleep(50000);
	fd = open(name, O_RDWR | O_NOCTTY);
	assert_true(fd >= 0);
	expect_on(fd, "boot messages\n"); /* as they are: no CR added */
	assert_int_equal(write(fd, "\003ls\r", 4), 4);
	guest_reads(&rig, 4);
	assert_memory_equal(rig.typed, "\003ls\r", 4);
	close(fd);
	usleep(300000);
	output(&rig, "while it is closed\n");
	usleep(300000);
	fd = open(name, O_RDWR | O_NOCTTY);
	expect_on(fd, "while it is closed\n");
	close(fd);
	end(&rig);
	assert_int_equal(rig.num_typed, 4); /* nothing was echoed */
}

static void test_file(void **state)
{
	char data[64] = "";
	struct rig rig;
	int fd;

	(void)state;
	start(&rig, "file:");
	output(&rig, "to a file\n");
	assert_int_equal(console_close(&rig.console), 0);
	fd = open(rig.path, O_RDONLY);
	expect_on(fd, "to a file\n");
	assert_int_equal(read(fd, data, sizeof(data)), 0);
	close(fd);
	end(&rig);
}

static void test_cannot_open(void **state)
{
	struct console c;
	struct tt_error err;

	(void)state;
	assert_int_equal(console_open(&c, "/nowhere/console", &err), -ENOENT);
	assert_string_equal(err.text, "/nowhere/console: No such file or directory");
	assert_int_equal(console_open(&c, "socket:/nowhere/console", &err), -ENOENT);
	assert_int_equal(console_open(&c, "socket:", &err), -ENAMETOOLONG);
	assert_int_equal(console_open(&c, "none", &err), 0);
	console_write(&c, "x", 1);
	assert_int_equal(console_close(&c), 0);
}

/* ------------------------------------------------------------------ the escape key */

struct seen {
	char printed[1024];
	char commands[256];
	int stops;
};

static void seen_print(void *ctx, const char *text)
{
	struct seen *s = ctx;

	strncat(s->printed, text, sizeof(s->printed) - strlen(s->printed) - 1);
}

static void seen_command(void *ctx, const char *line)
{
	struct seen *s = ctx;

	strcat(s->commands, line);
	strcat(s->commands, ";");
}

static void seen_stop(void *ctx)
{
	((struct seen *)ctx)->stops++;
}

static void test_escape_key(void **state)
{
	struct seen seen = { 0 };
	struct escape e = { .print = seen_print, .stop = seen_stop, .command = seen_command, .ctx = &seen };
	uint8_t out[300];
	char much[300];
	size_t len;

	(void)state;
	len = escape_filter(&e, (const uint8_t *)"a\003b\001\001c", 6, out);
	assert_int_equal(len, 5);
	assert_memory_equal(out, "a\003b\001c", 5);
	/* The key and what follows may come apart. */
	assert_int_equal(escape_filter(&e, (const uint8_t *)"\001", 1, out), 0);
	assert_int_equal(escape_filter(&e, (const uint8_t *)"sx", 2, out), 1);
	assert_string_equal(seen.commands, "status;");
	assert_int_equal(escape_filter(&e, (const uint8_t *)"\001p\001q\001h", 6, out), 0);
	assert_string_equal(seen.commands, "status;toggle;");
	assert_non_null(strstr(seen.printed, "Ctrl-A x"));
	/* A command line, with a correction; and one that is given up. */
	len = escape_filter(&e, (const uint8_t *)"\001cmark hx\177ere\rrest\001cno\033t", 24, out);
	assert_int_equal(len, 5);
	assert_memory_equal(out, "restt", 5);
	assert_string_equal(seen.commands, "status;toggle;mark here;");
	/* More than there is room for. */
	memset(much, 'm', sizeof(much));
	escape_filter(&e, (const uint8_t *)"\001c", 2, out);
	assert_int_equal(escape_filter(&e, (const uint8_t *)much, sizeof(much), out), 0);
	escape_filter(&e, (const uint8_t *)"\r", 1, out);
	assert_int_equal(strlen(seen.commands), 24 + 127 + 1);
	assert_int_equal(seen.stops, 0);
	escape_filter(&e, (const uint8_t *)"\001x", 2, out);
	assert_int_equal(seen.stops, 1);
}

/* ------------------------------------------------------------------ a terminal: a child process on a pty of ours */

enum ending { BY_ESCAPE, BY_CRASH, BY_ABORT, BY_CLOSE };

static void run_child(int slave, int ready, enum ending ending)
{
	struct rig rig;

	setsid();
	ioctl(slave, TIOCSCTTY, 0);
	dup2(slave, STDIN_FILENO);
	dup2(slave, STDOUT_FILENO);
	dup2(slave, STDERR_FILENO);
	start(&rig, "stdio");
	output(&rig, "guest's output\n");
	if (write(ready, "r", 1) != 1)
		_exit(9);
	guest_reads(&rig, 3);
	if (memcmp(rig.typed, "a\003b", 3))
		_exit(8);
	if (ending == BY_CRASH)
		raise(SIGSEGV);
	if (ending == BY_ABORT)
		abort();
	while (ending == BY_ESCAPE && !rig.f.m.stop_requested)
		usleep(1000);
	end(&rig);
	_exit(rig.console.asked_to_stop == (ending == BY_ESCAPE) ? 0 : 7);
}

static void on_a_terminal(enum ending ending, int *status)
{
	struct termios before, during, after;
	int master = posix_openpt(O_RDWR | O_NOCTTY), slave, ready[2];
	char name[64], byte, drain[4096];
	pid_t child;

	/* They are compared with their padding. */
	memset(&before, 0, sizeof(before));
	memset(&after, 0, sizeof(after));
	assert_int_equal(grantpt(master) | unlockpt(master) | ptsname_r(master, name, sizeof(name)), 0);
	slave = open(name, O_RDWR | O_NOCTTY);
	assert_true(slave >= 0);
	assert_int_equal(tcgetattr(slave, &before), 0);
	assert_int_equal(pipe(ready), 0);
	child = fork();
	if (!child)
		run_child(slave, ready[1], ending);
	close(ready[1]);
	assert_int_equal(read(ready[0], &byte, 1), 1);
	assert_int_equal(tcgetattr(slave, &during), 0);
	assert_int_equal(during.c_lflag & (ICANON | ECHO | ISIG), 0);
	assert_int_equal(write(master, "a\003b", 3), 3);
	usleep(20000);
	if (ending == BY_ESCAPE)
		assert_int_equal(write(master, "\001x", 2), 2);
	/* tcsetattr(TCSADRAIN) waits for output to be read. */
	fcntl(master, F_SETFL, O_NONBLOCK);
	while (waitpid(child, status, WNOHANG) == 0) {
		while (read(master, drain, sizeof(drain)) > 0)
			;
		usleep(5000);
	}
	assert_int_equal(tcgetattr(slave, &after), 0);
	assert_memory_equal(&after, &before, sizeof(after));
	close(ready[0]);
	close(slave);
	close(master);
}

static void test_terminal_is_raw_and_set_back(void **state)
{
	int status;

	(void)state;
	on_a_terminal(BY_CLOSE, &status);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 0);
	on_a_terminal(BY_ESCAPE, &status);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 0);
}

static void test_terminal_is_set_back_by_a_crash(void **state)
{
	int status;

	(void)state;
	on_a_terminal(BY_CRASH, &status);
	assert_true(WIFSIGNALED(status));
	assert_int_equal(WTERMSIG(status), SIGSEGV);
	on_a_terminal(BY_ABORT, &status);
	assert_true(WIFSIGNALED(status));
	assert_int_equal(WTERMSIG(status), SIGABRT);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_socket),
		cmocka_unit_test(test_socket_half_closed),
		cmocka_unit_test(test_output_is_kept_up_to_a_bound),
		cmocka_unit_test(test_reader_that_reads_nothing_does_not_keep_us),
		cmocka_unit_test(test_input_waits_for_the_guest),
		cmocka_unit_test(test_pty),
		cmocka_unit_test(test_file),
		cmocka_unit_test(test_cannot_open),
		cmocka_unit_test(test_escape_key),
		cmocka_unit_test(test_terminal_is_raw_and_set_back),
		cmocka_unit_test(test_terminal_is_set_back_by_a_crash),
	};

	signal(SIGPIPE, SIG_IGN); /* as watch_block_signals() does */
	return cmocka_run_group_tests(tests, NULL, NULL);
}
