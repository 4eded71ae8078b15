// SPDX-License-Identifier: GPL-2.0
/*
 * console_line.c - what the serial console is connected to: stdin and stdout, a file, a pty, a unix socket.
 *
 * A thread reads what is typed there, and knows whether somebody is there at all: a socket has one client or none, and a
 * pty's master shows a hang-up while nobody has the other end open.
 */
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <termios.h>
#include <unistd.h>

#include "control.h"
#include "ttvm.h"

#define RETRY_MS   10  /* input that the guest has no room for yet */
#define LOOK_MS	   100 /* has somebody opened the pty? */
#define LINGER_MS  1000 /* at the end, for a slow reader */
#define INPUT_KEPT 4096

enum { POLL_QUIT, POLL_LISTEN, POLL_INPUT, POLL_COUNT };

struct console_line {
	int fd;	       /* file, pty's master, or client; -1 */
	int listen_fd; /* -1 */
	char *path;    /* of the socket */
	int quit;      /* eventfd */
	pthread_t reader;
	bool reading;
	bool end_of_input;
	bool terminal;
	struct tt_machine *machine;
	struct control *control;
	struct escape escape;
	uint8_t pending[INPUT_KEPT]; /* typed, and not yet taken by the guest */
	size_t num_pending;
};

/* ------------------------------------------------------------------ opening */

static int open_pty(struct console_line *line, struct tt_error *err)
{
	struct termios raw;
	char name[64];
	int slave;

	line->fd = posix_openpt(O_RDWR | O_NOCTTY | O_NONBLOCK | O_CLOEXEC);
	if (line->fd < 0 || grantpt(line->fd) < 0 || unlockpt(line->fd) < 0 ||
	    ptsname_r(line->fd, name, sizeof(name)) != 0)
		return tt_fail(err, -errno, "no pseudoterminal: %s", strerror(errno));
	/* Raw, so that what the guest sends is not echoed back to it. And closed again: from then on the master can tell. */
	slave = open(name, O_RDWR | O_NOCTTY | O_CLOEXEC);
	if (slave < 0 || tcgetattr(slave, &raw) < 0)
		return tt_fail(err, -errno, "%s: %s", name, strerror(errno));
	cfmakeraw(&raw);
	tcsetattr(slave, TCSANOW, &raw);
	close(slave);
	say("the console is %s", name);
	return 0;
}

static int open_socket(struct console_line *line, const char *path, struct tt_error *err)
{
	line->listen_fd = unix_listen(path, err);
	if (line->listen_fd < 0)
		return line->listen_fd;
	line->path = strdup(path);
	return line->path ? 0 : tt_fail(err, -ENOMEM, "out of memory");
}

static int open_file(struct console *c, const char *path, struct tt_error *err)
{
	c->line->fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
	if (c->line->fd < 0)
		return tt_fail(err, -errno, "%s: %s", path, strerror(errno));
	c->fd = c->line->fd;
	return 0;
}

int console_line_open(struct console *c, const char *where, struct tt_error *err)
{
	struct console_line *line;
	int ret = 0;

	if (!strcmp(where, "none"))
		return 0;
	line = calloc(1, sizeof(*line));
	if (!line)
		return tt_fail(err, -ENOMEM, "out of memory");
	line->fd = line->listen_fd = -1;
	line->quit = eventfd(0, EFD_CLOEXEC);
	c->line = line;
	if (line->quit < 0) {
		ret = tt_fail(err, -errno, "cannot create an eventfd: %s", strerror(errno));
	} else if (!strcmp(where, "stdio")) {
		c->kind = CONSOLE_STDIO;
		c->fd = STDOUT_FILENO;
	} else if (!strcmp(where, "pty")) {
		c->kind = CONSOLE_PTY;
		ret = open_pty(line, err);
	} else if (!strncmp(where, "socket:", 7)) {
		c->kind = CONSOLE_SOCKET;
		ret = open_socket(line, where + 7, err);
	} else {
		c->kind = CONSOLE_FILE;
		ret = open_file(c, strncmp(where, "file:", 5) ? where : where + 5, err);
	}
	if (ret)
		console_line_close(c);
	return ret;
}

int console_line_close(struct console *c)
{
	struct console_line *line = c->line;
	int ret = 0;

	if (!line)
		return 0;
	if (line->reading) {
		eventfd_write(line->quit, 1);
		pthread_join(line->reader, NULL);
	}
	if (line->terminal)
		terminal_restore();
	if (line->fd >= 0 && close(line->fd) < 0)
		ret = -errno;
	if (line->listen_fd >= 0)
		close(line->listen_fd);
	if (line->path)
		unlink(line->path);
	if (line->quit >= 0)
		close(line->quit);
	free(line->path);
	free(line);
	c->line = NULL;
	c->fd = -1;
	return ret;
}

/* ------------------------------------------------------------------ output, on the writer's thread */

static int write_all(int fd, const uint8_t *data, size_t len)
{
	while (len) {
		ssize_t n = write(fd, data, len);

		if (n < 0) {
			if (errno == EINTR)
				continue;
			return -errno;
		}
		data += n;
		len -= n;
	}
	return 0;
}

/* Wait a little for room. False: do not wait any longer. */
static bool wait_for_room(struct console *c, int fd, int *lingered)
{
	struct pollfd room = { .fd = fd, .events = POLLOUT };
	bool go_on;

	poll(&room, 1, LOOK_MS);
	pthread_mutex_lock(&c->lock);
	if (c->quit)
		*lingered += LOOK_MS;
	go_on = c->fd == fd && *lingered < LINGER_MS;
	pthread_mutex_unlock(&c->lock);
	return go_on;
}

int console_line_write(struct console *c, int fd, const uint8_t *data, size_t len)
{
	int lingered = 0;
	ssize_t n;

	if (c->kind != CONSOLE_PTY && c->kind != CONSOLE_SOCKET)
		return write_all(fd, data, len);
	while (len) {
		n = c->kind == CONSOLE_PTY ? write(fd, data, len) :
					     send(fd, data, len, MSG_DONTWAIT | MSG_NOSIGNAL);
		if (n < 0 && errno != EAGAIN && errno != EINTR)
			return 0; /* the reader thread will notice that nobody is there */
		if (n > 0) {
			data += n;
			len -= n;
		} else if (!wait_for_room(c, fd, &lingered)) {
			return 0;
		}
	}
	return 0;
}

/* ------------------------------------------------------------------ who is there */

static void connect_output(struct console *c, int fd)
{
	pthread_mutex_lock(&c->lock);
	c->fd = fd;
	pthread_cond_broadcast(&c->wake);
	pthread_mutex_unlock(&c->lock);
	c->line->end_of_input = false;
}

static void disconnect_output(struct console *c)
{
	pthread_mutex_lock(&c->lock);
	c->fd = -1;
	while (c->writing)
		pthread_cond_wait(&c->wake, &c->lock);
	pthread_mutex_unlock(&c->lock);
	if (c->kind == CONSOLE_SOCKET) {
		close(c->line->fd);
		c->line->fd = -1;
	}
}

static void accept_client(struct console *c)
{
	static const char busy[] = "ttvm: somebody else is at this console\r\n";
	struct console_line *line = c->line;
	int fd = accept4(line->listen_fd, NULL, NULL, SOCK_CLOEXEC);

	if (fd < 0)
		return;
	if (line->fd >= 0) {
		send(fd, busy, sizeof(busy) - 1, MSG_DONTWAIT | MSG_NOSIGNAL);
		close(fd);
		return;
	}
	line->fd = fd;
	connect_output(c, fd);
}

static void look_at_pty(struct console *c)
{
	struct pollfd master = { .fd = c->line->fd };

	if (poll(&master, 1, 0) == 0)
		connect_output(c, c->line->fd);
}

/* ------------------------------------------------------------------ input, on the reader's thread */

static void post_pending(struct console_line *line)
{
	if (line->num_pending &&
	    tt_input_post(line->machine, TT_INPUT_SERIAL0, line->pending, line->num_pending) != -EAGAIN)
		line->num_pending = 0;
}

/* Terminals are read even when the guest takes nothing: the escape key must work. */
static bool may_read(const struct console_line *line)
{
	return !line->end_of_input && (line->terminal || !line->num_pending);
}

static void read_input(struct console *c, int fd)
{
	struct console_line *line = c->line;
	uint8_t typed[INPUT_KEPT / 4], input[INPUT_KEPT / 4];
	ssize_t n = read(fd, typed, sizeof(typed));
	size_t len = n;

	if (n < 0 && (errno == EINTR || errno == EAGAIN))
		return;
	if (n <= 0) {
		line->end_of_input = true;
		return;
	}
	if (line->terminal)
		len = escape_filter(&line->escape, typed, n, input);
	else
		memcpy(input, typed, len);
	if (len > sizeof(line->pending) - line->num_pending)
		return; /* typed ahead too far */
	memcpy(line->pending + line->num_pending, input, len);
	line->num_pending += len;
}

static int input_fd(const struct console *c)
{
	if (c->kind == CONSOLE_STDIO)
		return may_read(c->line) ? STDIN_FILENO : -1;
	return c->fd; /* changed by this thread only */
}

static void *reader_main(void *arg)
{
	struct console *c = arg;
	struct console_line *line = c->line;
	struct pollfd fds[POLL_COUNT];
	int timeout;

	for (;;) {
		fds[POLL_QUIT] = (struct pollfd){ .fd = line->quit, .events = POLLIN };
		fds[POLL_LISTEN] = (struct pollfd){ .fd = line->listen_fd, .events = POLLIN };
		fds[POLL_INPUT] = (struct pollfd){ .fd = input_fd(c), .events = may_read(line) ? POLLIN : 0 };
		timeout = line->num_pending			   ? RETRY_MS :
			  c->kind == CONSOLE_PTY && c->fd < 0 ? LOOK_MS :
								  -1;
		poll(fds, POLL_COUNT, timeout);
		if (fds[POLL_QUIT].revents)
			return NULL;
		if (fds[POLL_LISTEN].revents)
			accept_client(c);
		if (c->kind == CONSOLE_PTY && c->fd < 0)
			look_at_pty(c);
		if (fds[POLL_INPUT].revents & POLLIN || (c->kind == CONSOLE_STDIO && fds[POLL_INPUT].revents))
			read_input(c, fds[POLL_INPUT].fd);
		else if (fds[POLL_INPUT].revents)
			disconnect_output(c);
		post_pending(line);
	}
}

/* ------------------------------------------------------------------ the escape key's work */

static void print(void *ctx, const char *text)
{
	(void)ctx;
	fputs(text, stderr);
}

static void stop(void *ctx)
{
	struct console *c = ctx;

	c->asked_to_stop = true;
	tt_machine_request_stop(c->line->machine);
}

static void command(void *ctx, const char *text)
{
	struct console *c = ctx;
	char answer[CONTROL_TEXT_MAX];

	if (!c->line->control)
		return;
	control_command(c->line->control, text, answer);
	fprintf(stderr, "\nttvm: %s\n", answer);
}

int console_start_input(struct console *c, struct tt_machine *m, struct control *control, struct tt_error *err)
{
	struct console_line *line = c->line;
	int ret;

	if (c->kind == CONSOLE_NONE || c->kind == CONSOLE_FILE)
		return 0;
	line->machine = m;
	line->control = control;
	line->escape = (struct escape){ .print = print, .stop = stop, .command = command, .ctx = c };
	if (c->kind == CONSOLE_STDIO)
		line->terminal = terminal_raw(STDIN_FILENO) == 0;
	/* Reading from the terminal in the background would stop us. */
	line->end_of_input = c->kind == CONSOLE_STDIO && !line->terminal && isatty(STDIN_FILENO);
	ret = pthread_create(&line->reader, NULL, reader_main, c);
	line->reading = !ret;
	return ret ? tt_fail(err, -ret, "cannot start a thread: %s", strerror(ret)) : 0;
}
