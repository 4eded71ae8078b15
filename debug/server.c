// SPDX-License-Identifier: GPL-2.0
/*
 * server.c - sockets and threads of the gdb server.
 *
 * Two threads. The transport polls: it accepts, reads bytes, acknowledges packets, and sees Ctrl-C and a client that goes away
 * while the target runs. One thread per client, one client at a time, carries packets out and answers. Between them is one
 * packet: gdb sends the next one after it got its answer, so another one that comes earlier is refused.
 */
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include "gdb.h"

#define SEND_SECONDS 5 /* a client that does not read for so long is lost */

enum { POLL_WAKE, POLL_LISTEN, POLL_CLIENT, POLL_REFUSED, NUM_POLL };

struct tt_gdb_server {
	struct tt_gdb_options options;
	pthread_t transport;
	int wake; /* eventfd: quit, or the client's thread has ended */
	int refused; /* a second client, which has been told so and is waited for to close, or -1 */

	pthread_mutex_t lock; /* of all that follows */
	pthread_cond_t changed;
	bool quit;
	int client; /* or -1 */
	pthread_t client_thread;
	bool client_gone;  /* it has closed, or is lost */
	bool client_ended; /* its thread has nothing more to do */
	bool busy;	   /* packet is being carried out */
	char packet[GDB_PACKET_MAX + 1];
	size_t packet_len;
	char frame[GDB_FRAME_MAX(GDB_PACKET_MAX)]; /* the last one sent, in case it has to be repeated */
	size_t frame_len;

	struct gdb_reader reader;   /* the transport's */
	struct gdb_session session; /* the client thread's, except no_acks: under the lock */
};

static void say(struct tt_gdb_server *s, const char *text)
{
	if (s->options.message)
		s->options.message(s->options.message_ctx, text);
}

/* ------------------------------------------------------------------ with the lock held */

/* Its thread ends soon, and the transport looks at it no more. */
static void lose_client(struct tt_gdb_server *s)
{
	s->client_gone = true;
	if (s->busy)
		s->options.target->ops->interrupt(s->options.target);
	pthread_cond_signal(&s->changed);
}

static void send_bytes(struct tt_gdb_server *s, const char *bytes, size_t len)
{
	ssize_t n;

	while (len && !s->client_gone) {
		n = send(s->client, bytes, len, MSG_NOSIGNAL);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0) {
			lose_client(s);
			shutdown(s->client, SHUT_RDWR); /* the transport may be waiting for it */
			return;
		}
		bytes += n;
		len -= n;
	}
}

static void send_packet(struct tt_gdb_server *s, const char *content, size_t len)
{
	s->frame_len = gdb_frame(s->frame, content, len);
	send_bytes(s, s->frame, s->frame_len);
}

static void send_error(struct tt_gdb_server *s, const char *text)
{
	char content[128];

	send_packet(s, content, snprintf(content, sizeof(content), "E.%s", text));
}

/* ------------------------------------------------------------------ the client's thread */

static void output(void *ctx, const char *content, size_t len)
{
	struct tt_gdb_server *s = ctx;

	pthread_mutex_lock(&s->lock);
	send_packet(s, content, len);
	pthread_mutex_unlock(&s->lock);
}

static void serve_packets(struct tt_gdb_server *s)
{
	pthread_mutex_lock(&s->lock);
	while (!s->session.over && !s->quit) {
		if (!s->busy) {
			if (s->client_gone)
				break;
			pthread_cond_wait(&s->changed, &s->lock);
			continue;
		}
		pthread_mutex_unlock(&s->lock);
		gdb_session_serve(&s->session, s->packet, s->packet_len);
		pthread_mutex_lock(&s->lock);
		s->busy = false;
		send_packet(s, s->session.answer, s->session.answer_len);
	}
	pthread_mutex_unlock(&s->lock);
}

static void *client_main(void *arg)
{
	struct tt_gdb_server *s = arg;
	struct tt_error err = { 0 };

	if (gdb_session_begin(&s->session, s->options.target, &err)) {
		pthread_mutex_lock(&s->lock);
		send_error(s, err.text);
		pthread_mutex_unlock(&s->lock);
	} else {
		say(s, "gdb: connected");
		serve_packets(s);
		gdb_session_end(&s->session);
		say(s, "gdb: gone");
	}
	pthread_mutex_lock(&s->lock);
	s->client_ended = true;
	pthread_mutex_unlock(&s->lock);
	eventfd_write(s->wake, 1);
	return NULL;
}

/* ------------------------------------------------------------------ the transport */

static void tune(int fd)
{
	const struct timeval patience = { .tv_sec = SEND_SECONDS };
	int one = 1;

	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience));
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one)); /* a unix socket has no such thing, and no need */
}

/* An answer to what it will ask first. It is closed when it has read that and gone, or when the next one comes. */
static void refuse_client(struct tt_gdb_server *s, int fd)
{
	static const char text[] = "E.another debugger is connected; one at a time";
	char frame[GDB_FRAME_MAX(sizeof(text))];
	size_t len = gdb_frame(frame + 1, text, sizeof(text) - 1) + 1;

	frame[0] = '+';
	send(fd, frame, len, MSG_NOSIGNAL | MSG_DONTWAIT);
	shutdown(fd, SHUT_WR);
	if (s->refused >= 0)
		close(s->refused);
	s->refused = fd;
	say(s, "gdb: a second client was refused");
}

static void drain_refused(struct tt_gdb_server *s)
{
	char dropped[256];

	if (recv(s->refused, dropped, sizeof(dropped), MSG_DONTWAIT) > 0)
		return;
	close(s->refused);
	s->refused = -1;
}

static void accept_client(struct tt_gdb_server *s)
{
	int fd = accept4(s->options.listen_fd, NULL, NULL, SOCK_CLOEXEC);

	if (fd < 0)
		return;
	tune(fd);
	if (s->client >= 0)
		return refuse_client(s, fd);
	memset(&s->reader, 0, sizeof(s->reader));
	memset(&s->session, 0, sizeof(s->session));
	s->session.output = output;
	s->session.ctx = s;
	s->session.looks_again = s->options.looks_again;
	s->client_gone = s->client_ended = s->busy = false;
	s->frame_len = 0;
	s->client = fd;
	if (pthread_create(&s->client_thread, NULL, client_main, s)) {
		s->client = -1;
		close(fd);
	}
}

/* With the lock held. */
static void take_event(struct tt_gdb_server *s, enum gdb_event event)
{
	switch (event) {
	case GDB_NOTHING:
		return;
	case GDB_NAK:
		if (!s->busy)
			send_bytes(s, s->frame, s->frame_len);
		return;
	case GDB_INTERRUPT:
		if (s->busy)
			s->options.target->ops->interrupt(s->options.target);
		return;
	case GDB_BAD_PACKET:
		if (!s->session.no_acks)
			send_bytes(s, "-", 1);
		return;
	case GDB_LONG_PACKET:
	case GDB_PACKET:
		break;
	}
	if (!s->session.no_acks)
		send_bytes(s, "+", 1);
	if (event == GDB_LONG_PACKET)
		return send_error(s, "the packet is too long");
	if (s->busy)
		return send_error(s, "busy: the last packet has not been answered yet");
	memcpy(s->packet, s->reader.data, s->reader.len + 1);
	s->packet_len = s->reader.len;
	s->busy = true;
	pthread_cond_signal(&s->changed);
}

static void receive(struct tt_gdb_server *s)
{
	char bytes[4096];
	ssize_t i, n = recv(s->client, bytes, sizeof(bytes), MSG_DONTWAIT);

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	pthread_mutex_lock(&s->lock);
	for (i = 0; i < n; i++)
		take_event(s, gdb_reader_put(&s->reader, bytes[i]));
	if (n <= 0)
		lose_client(s);
	pthread_mutex_unlock(&s->lock);
}

static void end_client(struct tt_gdb_server *s)
{
	pthread_join(s->client_thread, NULL);
	close(s->client);
	s->client = -1;
}

static void *transport_main(void *arg)
{
	struct tt_gdb_server *s = arg;
	struct pollfd fds[NUM_POLL];
	bool gone, quit, ended;
	eventfd_t count;

	for (;;) {
		pthread_mutex_lock(&s->lock);
		gone = s->client_gone;
		pthread_mutex_unlock(&s->lock);
		fds[POLL_WAKE] = (struct pollfd){ .fd = s->wake, .events = POLLIN };
		/* Who comes while the last one's thread tidies up waits in the socket's queue. */
		fds[POLL_LISTEN] = (struct pollfd){ .fd = s->client >= 0 && gone ? -1 : s->options.listen_fd, .events = POLLIN };
		fds[POLL_CLIENT] = (struct pollfd){ .fd = gone ? -1 : s->client, .events = POLLIN };
		fds[POLL_REFUSED] = (struct pollfd){ .fd = s->refused, .events = POLLIN };
		poll(fds, NUM_POLL, -1);
		if (fds[POLL_CLIENT].revents)
			receive(s);
		if (fds[POLL_REFUSED].revents)
			drain_refused(s);
		if (fds[POLL_WAKE].revents) {
			eventfd_read(s->wake, &count);
			pthread_mutex_lock(&s->lock);
			quit = s->quit;
			ended = s->client_ended;
			pthread_mutex_unlock(&s->lock);
			if (s->client >= 0 && (ended || quit))
				end_client(s);
			if (quit)
				return NULL;
		} else if (fds[POLL_LISTEN].revents && !fds[POLL_CLIENT].revents) {
			/* Not before all is read that the client may have sent before it closed. */
			accept_client(s);
		}
	}
}

/* ------------------------------------------------------------------ life */

static void destroy(struct tt_gdb_server *s)
{
	if (s->wake >= 0)
		close(s->wake);
	if (s->refused >= 0)
		close(s->refused);
	close(s->options.listen_fd);
	pthread_cond_destroy(&s->changed);
	pthread_mutex_destroy(&s->lock);
	free(s);
}

int tt_gdb_start(const struct tt_gdb_options *options, struct tt_gdb_server **server, struct tt_error *err)
{
	struct tt_gdb_server *s = calloc(1, sizeof(*s));
	int ret;

	if (!s) {
		close(options->listen_fd);
		return tt_fail(err, -ENOMEM, "out of memory");
	}
	s->options = *options;
	s->client = s->refused = -1;
	pthread_mutex_init(&s->lock, NULL);
	pthread_cond_init(&s->changed, NULL);
	s->wake = eventfd(0, EFD_CLOEXEC);
	ret = s->wake < 0 ? errno : pthread_create(&s->transport, NULL, transport_main, s);
	if (ret) {
		destroy(s);
		return tt_fail(err, -ret, "cannot start the gdb server: %s", strerror(ret));
	}
	*server = s;
	return 0;
}

void tt_gdb_stop(struct tt_gdb_server *s)
{
	if (!s)
		return;
	pthread_mutex_lock(&s->lock);
	s->quit = true;
	pthread_cond_signal(&s->changed);
	pthread_mutex_unlock(&s->lock);
	eventfd_write(s->wake, 1);
	pthread_join(s->transport, NULL);
	destroy(s);
}
