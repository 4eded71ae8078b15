// SPDX-License-Identifier: GPL-2.0
/*
 * test_control.c - the control socket: real sockets, the real server, and a vCPU thread that only pauses and is visited.
 */
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cmocka.h>

#include "../../tools/control.h"
#include "../../tools/ttvm.h"
#include "fake-machine.h"
#include "internal.h"

struct rig {
	struct fake_machine f;
	pthread_t vcpu;
	struct control *control;
	char folder[32];
	char path[64];
	int fd;
	char marked[64]; /* last mark that on_mark got */
	int mark_error;
};

static void *vcpu_main(void *arg)
{
	struct tt_machine *m = arg;

	while (m->end == TT_END_NONE) {
		if (__atomic_load_n(&m->attention, __ATOMIC_RELAXED))
			tt_pause_point(&m->vcpus[0]);
		usleep(50);
		if (m->stop_requested)
			tt_machine_end(m, TT_END_REQUEST, 0);
	}
	tt_pause_wake(m);
	tt_pause_end(m);
	return NULL;
}

static int on_mark(void *ctx, const char *name, uint64_t instructions)
{
	struct rig *rig = ctx;

	assert_int_equal(instructions, 3000000000ull);
	snprintf(rig->marked, sizeof(rig->marked), "%s", name);
	return rig->mark_error;
}

static void start(struct rig *rig, bool marks)
{
	struct control_options options = { .machine = &rig->f.m, .on_mark = marks ? on_mark : NULL, .on_mark_ctx = rig };
	struct tt_error err = { 0 };

	memset(rig, 0, sizeof(*rig));
	fake_machine_create_bare(&rig->f, 1);
	rig->f.m.current = NULL;
	rig->f.now = 3000000000ull; /* 1.5 s */
	strcpy(rig->folder, "/tmp/ttvm-control.XXXXXX");
	assert_non_null(mkdtemp(rig->folder));
	snprintf(rig->path, sizeof(rig->path), "%s/socket", rig->folder);
	options.path = rig->path;
	assert_int_equal(pthread_create(&rig->vcpu, NULL, vcpu_main, &rig->f.m), 0);
	if (control_start(&options, &rig->control, &err))
		fail_msg("%s", err.text);
	rig->fd = unix_connect(rig->path, &err);
	assert_true(rig->fd >= 0);
}

static void end(struct rig *rig)
{
	tt_machine_request_stop(&rig->f.m);
	pthread_join(rig->vcpu, NULL);
	control_stop(rig->control);
	close(rig->fd);
	assert_int_equal(access(rig->path, F_OK), -1); /* removed */
	rmdir(rig->folder);
	fake_machine_destroy(&rig->f);
}

static void read_line(int fd, char *line, size_t size)
{
	struct pollfd ready = { .fd = fd, .events = POLLIN };
	size_t len = 0;

	do {
		assert_int_equal(poll(&ready, 1, 5000), 1);
		assert_int_equal(recv(fd, line + len, 1, 0), 1);
		assert_true(len < size - 1);
	} while (line[len++] != '\n');
	line[len - 1] = '\0';
}

static void expect(struct rig *rig, const char *request, const char *reply)
{
	char line[512];

	assert_int_equal(send(rig->fd, request, strlen(request), 0), (int)strlen(request));
	assert_int_equal(send(rig->fd, "\n", 1, 0), 1);
	read_line(rig->fd, line, sizeof(line));
	assert_string_equal(line, reply);
}

static void test_status_pause_resume(void **state)
{
	struct rig rig;

	(void)state;
	start(&rig, false);
	expect(&rig, "{\"command\":\"status\"}", "{\"ok\":true,\"state\":\"running\",\"seconds\":1.5}");
	expect(&rig, "{\"command\":\"pause\"}", "{\"ok\":true,\"state\":\"paused\",\"seconds\":1.5}");
	assert_true(tt_machine_is_paused(&rig.f.m));
	expect(&rig, "{\"command\":\"status\"}", "{\"ok\":true,\"state\":\"paused\",\"seconds\":1.5}");
	expect(&rig, "{\"command\":\"resume\"}", "{\"ok\":true,\"state\":\"running\",\"seconds\":1.5}");
	assert_false(tt_machine_is_paused(&rig.f.m));
	end(&rig);
}

static void test_marks(void **state)
{
	static const char reason[] =
		"{\"ok\":false,\"error\":\"a mark's name has 1 to 63 letters, digits, dots, dashes or underscores\"}";
	char request[128], name[66];
	struct rig rig;

	(void)state;
	start(&rig, true);
	expect(&rig, "{\"command\":\"mark\",\"name\":\"before-rm_1.2\"}", "{\"ok\":true,\"mark\":\"before-rm_1.2\"}");
	assert_string_equal(rig.marked, "before-rm_1.2");
	expect(&rig, "{\"command\":\"pause\"}", "{\"ok\":true,\"state\":\"paused\",\"seconds\":1.5}");
	expect(&rig, "{\"command\":\"mark\",\"name\":\"paused\"}", "{\"ok\":true,\"mark\":\"paused\"}");
	assert_string_equal(rig.marked, "paused");
	expect(&rig, "{\"command\":\"mark\"}", reason);
	expect(&rig, "{\"command\":\"mark\",\"name\":\"\"}", reason);
	expect(&rig, "{\"command\":\"mark\",\"name\":\"two words\"}", reason);
	expect(&rig, "{\"command\":\"mark\",\"name\":\"a/b\"}", reason);
	expect(&rig, "{\"command\":\"mark\",\"name\":7}", reason);
	memset(name, 'n', sizeof(name));
	snprintf(request, sizeof(request), "{\"command\":\"mark\",\"name\":\"%.64s\"}", name);
	expect(&rig, request, reason);
	assert_string_equal(rig.marked, "paused");
	rig.mark_error = -ENOTSUP;
	expect(&rig, "{\"command\":\"mark\",\"name\":\"x\"}",
	       "{\"ok\":false,\"error\":\"nothing is recorded here, and no disk keeps a history: nowhere to put a mark\"}");
	rig.mark_error = -EIO;
	expect(&rig, "{\"command\":\"mark\",\"name\":\"x\"}",
	       "{\"ok\":false,\"error\":\"the mark is not set: Input/output error\"}");
	end(&rig);
}

static void test_mark_without_a_place_for_it(void **state)
{
	struct rig rig;

	(void)state;
	start(&rig, false);
	expect(&rig, "{\"command\":\"mark\",\"name\":\"x\"}",
	       "{\"ok\":false,\"error\":\"nothing is recorded here, and no disk keeps a history: nowhere to put a mark\"}");
	end(&rig);
}

static void test_stop(void **state)
{
	struct rig rig;

	(void)state;
	start(&rig, false);
	assert_false(control_asked_to_stop(rig.control));
	expect(&rig, "{\"command\":\"pause\"}", "{\"ok\":true,\"state\":\"paused\",\"seconds\":1.5}");
	expect(&rig, "{\"command\":\"stop\"}", "{\"ok\":true,\"state\":\"stopping\"}");
	assert_true(control_asked_to_stop(rig.control));
	pthread_join(rig.vcpu, NULL);
	assert_int_equal(rig.f.m.end, TT_END_REQUEST);
	expect(&rig, "{\"command\":\"status\"}", "{\"ok\":false,\"error\":\"the run has ended\"}");
	assert_int_equal(pthread_create(&rig.vcpu, NULL, vcpu_main, &rig.f.m), 0); /* for end() */
	end(&rig);
}

static void test_bad_requests(void **state)
{
	struct rig rig;
	char blob[2 * CONTROL_LINE_MAX];
	char line[512];

	(void)state;
	start(&rig, false);
	expect(&rig, "hello", "{\"ok\":false,\"error\":\"a request is one line of JSON\"}");
	expect(&rig, "[]", "{\"ok\":false,\"error\":\"a request is an object with the member \\\"command\\\"\"}");
	expect(&rig, "{\"command\":1}", "{\"ok\":false,\"error\":\"a request is an object with the member \\\"command\\\"\"}");
	expect(&rig, "{\"command\":\"dance\"}",
	       "{\"ok\":false,\"error\":\"the commands are status, pause, resume, mark and stop\"}");
	/* Several at once, in pieces, and with empty lines. */
	send(rig.fd, "\n\n{\"command\":\"sta", 17, 0);
	usleep(10000);
	send(rig.fd, "tus\"}\n{\"command\":\"status\"}\n", 27, 0);
	read_line(rig.fd, line, sizeof(line));
	read_line(rig.fd, line, sizeof(line));
	assert_non_null(strstr(line, "running"));
	/* A line that does not end: the connection does. */
	memset(blob, 'x', sizeof(blob));
	send(rig.fd, blob, sizeof(blob), MSG_NOSIGNAL);
	while (recv(rig.fd, line, sizeof(line), 0) > 0)
		;
	close(rig.fd);
	rig.fd = unix_connect(rig.path, NULL);
	expect(&rig, "{\"command\":\"status\"}", "{\"ok\":true,\"state\":\"running\",\"seconds\":1.5}");
	end(&rig);
}

static void test_many_clients(void **state)
{
	int fds[40], i, own;
	char line[512];
	struct rig rig;

	(void)state;
	start(&rig, false);
	own = rig.fd;
	/* More than are served at a time: these wait for their turn. */
	for (i = 0; i < 40; i++) {
		fds[i] = unix_connect(rig.path, NULL);
		if (fds[i] >= 0)
			send(fds[i], "{\"command\":\"status\"}\n", 21, MSG_NOSIGNAL);
		if (i >= 10) { /* the first ones go again */
			close(fds[i - 10]);
			usleep(2000);
		}
	}
	for (i = 30; i < 40; i++) {
		assert_true(fds[i] >= 0);
		read_line(fds[i], line, sizeof(line));
		assert_non_null(strstr(line, "running"));
		close(fds[i]);
	}
	rig.fd = own;
	expect(&rig, "{\"command\":\"status\"}", "{\"ok\":true,\"state\":\"running\",\"seconds\":1.5}");
	end(&rig);
}

static void test_words(void **state)
{
	char text[CONTROL_TEXT_MAX];
	struct tt_error err;
	struct rig rig;

	(void)state;
	start(&rig, true);
	control_command(rig.control, "status", text);
	assert_string_equal(text, "state=running seconds=1.5");
	control_command(rig.control, "toggle", text);
	assert_string_equal(text, "state=paused seconds=1.5");
	control_command(rig.control, "toggle", text);
	assert_string_equal(text, "state=running seconds=1.5");
	control_command(rig.control, " mark  here ", text);
	assert_string_equal(text, "mark=here");
	control_command(rig.control, "mark", text);
	assert_string_equal(text, "mark takes one name");
	control_command(rig.control, "stop it", text);
	assert_string_equal(text, "stop takes no argument");
	assert_null(control_request("", &err));
	assert_string_equal(err.text, "'': the commands are status, pause, resume, mark NAME and stop");
	end(&rig);
}

static void test_the_socket_file(void **state)
{
	struct control_options options = { 0 };
	struct control *control;
	struct tt_error err;
	char other[80], lengthy[200];
	struct stat st;
	struct rig rig;
	int fd;

	(void)state;
	start(&rig, false);
	options.machine = &rig.f.m;
	assert_int_equal(stat(rig.path, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
	options.path = rig.path;
	assert_int_equal(control_start(&options, &control, &err), -EADDRINUSE);
	assert_non_null(strstr(err.text, "another process listens there"));
	expect(&rig, "{\"command\":\"status\"}", "{\"ok\":true,\"state\":\"running\",\"seconds\":1.5}");
	/* One that a killed run has left is replaced. */
	snprintf(other, sizeof(other), "%s/stale", rig.folder);
	fd = unix_listen(other, &err);
	assert_true(fd >= 0);
	close(fd);
	assert_int_equal(unix_connect(other, &err), -ECONNREFUSED);
	options.path = other;
	assert_int_equal(control_start(&options, &control, &err), 0);
	control_stop(control);
	/* A file is not. */
	fclose(fopen(other, "w"));
	assert_int_equal(control_start(&options, &control, &err), -EEXIST);
	assert_non_null(strstr(err.text, "is there, and is not a socket"));
	unlink(other);
	memset(lengthy, 'l', sizeof(lengthy));
	lengthy[sizeof(lengthy) - 1] = '\0';
	options.path = lengthy;
	assert_int_equal(control_start(&options, &control, &err), -ENAMETOOLONG);
	end(&rig);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_status_pause_resume),
		cmocka_unit_test(test_marks),
		cmocka_unit_test(test_mark_without_a_place_for_it),
		cmocka_unit_test(test_stop),
		cmocka_unit_test(test_bad_requests),
		cmocka_unit_test(test_many_clients),
		cmocka_unit_test(test_words),
		cmocka_unit_test(test_the_socket_file),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
