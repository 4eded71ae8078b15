// SPDX-License-Identifier: GPL-2.0
/*
 * control.c - what can be asked of a run while it runs. The protocol is described in ttvm-ctl(1): one JSON object per line
 * and direction.
 *
 * Commands act through tt_machine_visit() and tt_machine_pause(): the guest notices nothing of them.
 */
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "control.h"
#include "ttvm.h"

#define MAX_CLIENTS   16
#define VISIT_TIMEOUT 2000 /* ms */

enum { POLL_QUIT, POLL_LISTEN, POLL_CLIENTS };

struct client {
	int fd;
	char line[CONTROL_LINE_MAX];
	size_t len;
};

struct control {
	struct control_options options;
	pthread_t thread;
	bool started;
	bool asked_to_stop;
	int quit; /* eventfd */
	int listen_fd;
	struct client clients[MAX_CLIENTS];
	unsigned int num_clients;
};

/* ------------------------------------------------------------------ words */

json_t *control_request(const char *words, struct tt_error *err)
{
	char command[16] = "", name[TT_MARK_NAME_MAX + 2] = "", rest[2] = "";
	int n = sscanf(words, "%15s %64s %1s", command, name, rest);
	bool is_mark = !strcmp(command, "mark");

	if (n < 1 || (strcmp(command, "status") && strcmp(command, "pause") && strcmp(command, "resume") &&
		      strcmp(command, "stop") && !is_mark)) {
		tt_fail(err, -EINVAL, "'%s': the commands are status, pause, resume, mark NAME and stop", words);
		return NULL;
	}
	if (n != (is_mark ? 2 : 1)) {
		tt_fail(err, -EINVAL, is_mark ? "mark takes one name" : "%s takes no argument", command);
		return NULL;
	}
	return is_mark ? json_pack("{s:s, s:s}", "command", command, "name", name) :
			 json_pack("{s:s}", "command", command);
}

void control_reply_text(const json_t *reply, char text[CONTROL_TEXT_MAX])
{
	const char *error = json_string_value(json_object_get(reply, "error")), *key;
	size_t used = 0;
	json_t *value;
	char *dumped;

	text[0] = '\0';
	if (!json_is_true(json_object_get(reply, "ok"))) {
		snprintf(text, CONTROL_TEXT_MAX, "%s", error ? error : "an answer that makes no sense");
		return;
	}
	json_object_foreach((json_t *)reply, key, value) {
		if (!strcmp(key, "ok") || used >= CONTROL_TEXT_MAX - 1)
			continue;
		dumped = json_is_string(value) ? strdup(json_string_value(value)) :
						 json_dumps(value, JSON_ENCODE_ANY | JSON_REAL_PRECISION(15));
		used += snprintf(text + used, CONTROL_TEXT_MAX - used, "%s%s=%s", used ? " " : "", key,
				 dumped ? dumped : "?");
		free(dumped);
	}
	if (!used)
		snprintf(text, CONTROL_TEXT_MAX, "ok");
}

/* ------------------------------------------------------------------ commands */

static json_t *fail(const char *why)
{
	return json_pack("{s:b, s:s}", "ok", 0, "error", why);
}

static json_t *no_visit(int ret)
{
	return fail(ret == -ESHUTDOWN ? "the run has ended" :
					"the guest's CPU is busy with the host for 2 s already; try again");
}

struct status {
	struct tt_recorder *recorder;
	uint64_t instructions;
	uint64_t ns;
	uint64_t events;
	struct tt_log_stats log;
};

static void take_status(void *ctx, struct tt_vcpu *vcpu)
{
	struct tt_machine *m = vcpu->machine;
	struct status *s = ctx;

	s->instructions = m->seam->ops->instructions(m->seam, vcpu);
	s->ns = tt_ticks_to_ns(m, tt_machine_now(m));
	if (s->recorder)
		tt_recorder_progress(s->recorder, &s->events, &s->log);
}

static json_t *do_status(struct control *c)
{
	struct tt_machine *m = c->options.machine;
	struct status s = { .recorder = c->options.recorder };
	int ret = tt_machine_visit(m, take_status, &s, VISIT_TIMEOUT);
	json_t *reply;

	if (ret)
		return no_visit(ret);
	reply = json_pack("{s:b, s:s, s:f}", "ok", 1, "state", tt_machine_is_paused(m) ? "paused" : "running",
			  "seconds", s.ns / 1e9);
	if (!s.recorder)
		return reply;
	json_object_set_new(reply, "instr", json_integer(s.instructions));
	json_object_set_new(reply, "events", json_integer(s.events));
	json_object_set_new(reply, "bytes", json_integer(s.log.file_bytes));
	return reply;
}

static json_t *do_pause(struct control *c)
{
	return tt_machine_pause(c->options.machine) ? no_visit(-ESHUTDOWN) : do_status(c);
}

static json_t *do_resume(struct control *c)
{
	tt_machine_resume(c->options.machine);
	return do_status(c);
}

static json_t *do_stop(struct control *c)
{
	c->asked_to_stop = true;
	tt_machine_request_stop(c->options.machine);
	return json_pack("{s:b, s:s}", "ok", 1, "state", "stopping");
}

struct mark {
	const struct control_options *options;
	const char *name;
	uint64_t instructions;
	int error;
};

static void set_mark(void *ctx, struct tt_vcpu *vcpu)
{
	const struct tt_seam *seam = vcpu->machine->seam;
	struct mark *mark = ctx;
	const struct control_options *o = mark->options;
	int ret;

	mark->instructions = seam->ops->instructions(vcpu->machine->seam, vcpu);
	mark->error = o->recorder ? tt_recorder_mark(o->recorder, vcpu, mark->name) : -ENOTSUP;
	if (o->on_mark && (!mark->error || mark->error == -ENOTSUP)) {
		ret = o->on_mark(o->on_mark_ctx, mark->name, mark->instructions);
		if (ret != -ENOTSUP)
			mark->error = ret;
	}
}

static bool is_mark_name(const char *name)
{
	size_t len = strspn(name, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-");

	return len && len <= TT_MARK_NAME_MAX && !name[len];
}

static json_t *do_mark(struct control *c, const char *name)
{
	struct mark mark = { .options = &c->options, .name = name };
	char why[128];
	json_t *reply;
	int ret;

	if (!name || !is_mark_name(name))
		return fail("a mark's name has 1 to 63 letters, digits, dots, dashes or underscores");
	ret = tt_machine_visit(c->options.machine, set_mark, &mark, VISIT_TIMEOUT);
	if (ret)
		return no_visit(ret);
	if (mark.error == -ENOTSUP)
		return fail("nothing is recorded here, and no disk keeps a history: nowhere to put a mark");
	if (mark.error) {
		snprintf(why, sizeof(why), "the mark is not set: %s", strerror(-mark.error));
		return fail(why);
	}
	reply = json_pack("{s:b, s:s}", "ok", 1, "mark", name);
	if (c->options.recorder)
		json_object_set_new(reply, "instr", json_integer(mark.instructions));
	return reply;
}

json_t *control_serve(struct control *c, const json_t *request)
{
	const char *command = json_string_value(json_object_get(request, "command"));

	if (!command)
		return fail("a request is an object with the member \"command\"");
	if (!strcmp(command, "status"))
		return do_status(c);
	if (!strcmp(command, "pause"))
		return do_pause(c);
	if (!strcmp(command, "resume"))
		return do_resume(c);
	if (!strcmp(command, "mark"))
		return do_mark(c, json_string_value(json_object_get(request, "name")));
	if (!strcmp(command, "stop"))
		return do_stop(c);
	return fail("the commands are status, pause, resume, mark and stop");
}

void control_command(struct control *c, const char *words, char text[CONTROL_TEXT_MAX])
{
	struct tt_error err = { 0 };
	json_t *request, *reply;

	if (!strcmp(words, "toggle"))
		words = tt_machine_is_paused(c->options.machine) ? "resume" : "pause";
	request = control_request(words, &err);
	if (!request) {
		snprintf(text, CONTROL_TEXT_MAX, "%s", err.text);
		return;
	}
	reply = control_serve(c, request);
	control_reply_text(reply, text);
	json_decref(reply);
	json_decref(request);
}

bool control_asked_to_stop(const struct control *c)
{
	return c && c->asked_to_stop;
}

/* ------------------------------------------------------------------ the socket */

static void answer_line(struct control *c, int fd, const char *line, size_t len)
{
	json_error_t problem;
	json_t *request = json_loadb(line, len, 0, &problem);
	json_t *reply = request ? control_serve(c, request) : fail("a request is one line of JSON");
	char *text = json_dumps(reply, JSON_COMPACT | JSON_REAL_PRECISION(15));

	/* A client that does not read its answers loses them. */
	if (text) {
		send(fd, text, strlen(text), MSG_DONTWAIT | MSG_NOSIGNAL | MSG_MORE);
		send(fd, "\n", 1, MSG_DONTWAIT | MSG_NOSIGNAL);
	}
	free(text);
	json_decref(reply);
	json_decref(request);
}

/* False: the client is gone, or sends what is no line. */
static bool serve_client(struct control *c, struct client *client)
{
	ssize_t n = recv(client->fd, client->line + client->len, sizeof(client->line) - client->len, MSG_DONTWAIT);
	char *start = client->line, *end;

	if (n <= 0)
		return n < 0 && (errno == EAGAIN || errno == EINTR);
	client->len += n;
	while ((end = memchr(start, '\n', client->line + client->len - start)) != NULL) {
		if (end != start)
			answer_line(c, client->fd, start, end - start);
		start = end + 1;
	}
	client->len -= start - client->line;
	memmove(client->line, start, client->len);
	return client->len < sizeof(client->line);
}

static void accept_client(struct control *c)
{
	int fd = accept4(c->listen_fd, NULL, NULL, SOCK_CLOEXEC);

	if (fd >= 0)
		c->clients[c->num_clients++] = (struct client){ .fd = fd };
}

static void *control_main(void *arg)
{
	struct control *c = arg;
	struct pollfd fds[POLL_CLIENTS + MAX_CLIENTS];
	unsigned int i, polled;

	for (;;) {
		fds[POLL_QUIT] = (struct pollfd){ .fd = c->quit, .events = POLLIN };
		/* The others wait in the socket's queue. */
		fds[POLL_LISTEN] = (struct pollfd){ .fd = c->num_clients < MAX_CLIENTS ? c->listen_fd : -1,
						    .events = POLLIN };
		polled = c->num_clients;
		for (i = 0; i < polled; i++)
			fds[POLL_CLIENTS + i] = (struct pollfd){ .fd = c->clients[i].fd, .events = POLLIN };
		poll(fds, POLL_CLIENTS + polled, -1);
		if (fds[POLL_QUIT].revents)
			return NULL;
		/* From the last to the first: the last takes the place of one that goes. */
		for (i = polled; i-- > 0;) {
			if (!fds[POLL_CLIENTS + i].revents || serve_client(c, &c->clients[i]))
				continue;
			close(c->clients[i].fd);
			c->clients[i] = c->clients[--c->num_clients];
		}
		if (fds[POLL_LISTEN].revents)
			accept_client(c);
	}
}

/* ------------------------------------------------------------------ life */

int control_start(const struct control_options *options, struct control **control, struct tt_error *err)
{
	struct control *c = calloc(1, sizeof(*c));
	int ret;

	if (!c)
		return tt_fail(err, -ENOMEM, "out of memory");
	c->options = *options;
	c->quit = c->listen_fd = -1;
	*control = c;
	if (!options->path)
		return 0;
	c->listen_fd = unix_listen(options->path, err);
	if (c->listen_fd < 0) {
		ret = c->listen_fd;
		goto err_stop;
	}
	c->quit = eventfd(0, EFD_CLOEXEC);
	if (c->quit < 0) {
		ret = tt_fail(err, -errno, "cannot create an eventfd: %s", strerror(errno));
		goto err_stop;
	}
	ret = pthread_create(&c->thread, NULL, control_main, c);
	if (ret) {
		ret = tt_fail(err, -ret, "cannot start a thread: %s", strerror(ret));
		goto err_stop;
	}
	c->started = true;
	return 0;

err_stop:
	control_stop(c);
	*control = NULL;
	return ret;
}

void control_stop(struct control *c)
{
	unsigned int i;

	if (!c)
		return;
	if (c->started) {
		eventfd_write(c->quit, 1);
		pthread_join(c->thread, NULL);
	}
	for (i = 0; i < c->num_clients; i++)
		close(c->clients[i].fd);
	if (c->quit >= 0)
		close(c->quit);
	if (c->listen_fd >= 0) {
		close(c->listen_fd);
		unlink(c->options.path);
	}
	free(c);
}
