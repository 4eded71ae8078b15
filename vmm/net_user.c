// SPDX-License-Identifier: GPL-2.0
/*
 * net_user.c - a network without privileges: libslirp ends the guest's TCP and UDP connections and opens the same ones as
 * an ordinary process of this user. It also answers ARP and DHCP, and hands DNS on to the host's server.
 *
 *	guest 10.0.2.15   router and host 10.0.2.2   DNS 10.0.2.3   (IPv4 only)
 *
 * libslirp may be called by one thread at a time: a thread of ours runs its poll loop, and the vCPU's frames reach it
 * through a socket pair whose other end never blocks. Frames for the guest that its input queue has no room for wait
 * here, up to a bound; beyond that they are lost, as in any router, and TCP sends them again.
 */
#include <poll.h>
#include <slirp/libslirp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "net.h"
#include "vmm.h"

#define NETWORK	   0x0a000200u /* 10.0.2.0/24 */
#define NETMASK	   0xffffff00u
#define HOST	   0x0a000202u
#define NAMESERVER 0x0a000203u
#define GUEST	   0x0a00020fu

#define MAX_HELD      256 /* frames that wait for room in the guest's queue */
#define HELD_RETRY_MS 2
#define MAX_BATCH     64 /* frames from the guest between two looks at everything else */
#define SEND_BUFFER   (1 << 20)

/* The first descriptors of the poll set are ours, libslirp's follow. */
enum { POLL_QUIT, POLL_GUEST, POLL_OURS };

struct held_frame {
	uint16_t len;
	uint8_t data[TT_FRAME_MAX];
};

struct net_user {
	struct tt_net net;
	Slirp *slirp;
	struct tt_machine *machine;
	enum tt_input_id input;
	pthread_t thread;
	bool running;
	int quit;     /* eventfd */
	int guest[2]; /* socket pair: the vCPU's end, libslirp's end */
	struct pollfd *fds;
	unsigned int num_fds, max_fds;
	struct held_frame *held; /* a ring of MAX_HELD */
	unsigned int held_head, held_count;
};

static struct net_user *user_of(struct tt_net *net)
{
	return (struct net_user *)net;
}

/* ------------------------------------------------------------------ to the guest */

static void post_held(struct net_user *user)
{
	while (user->held_count) {
		const struct held_frame *frame = &user->held[user->held_head];

		if (tt_input_post(user->machine, user->input, frame->data, frame->len) == -EAGAIN)
			return;
		user->held_head = (user->held_head + 1) % MAX_HELD;
		user->held_count--;
	}
}

static ssize_t send_packet(const void *data, size_t len, void *opaque)
{
	struct net_user *user = opaque;
	struct held_frame *frame;

	if (!user->running || len > TT_FRAME_MAX)
		return len; /* lost */
	post_held(user);
	if (!user->held_count && tt_input_post(user->machine, user->input, data, len) != -EAGAIN)
		return len;
	if (user->held_count == MAX_HELD)
		return len;
	frame = &user->held[(user->held_head + user->held_count++) % MAX_HELD];
	frame->len = len;
	memcpy(frame->data, data, len);
	return len;
}

/* ------------------------------------------------------------------ what libslirp needs of its user */

static void guest_error(const char *message, void *opaque)
{
	(void)message; /* the guest's own affair: it gets no answer */
	(void)opaque;
}

static int64_t clock_get_ns(void *opaque)
{
	struct timespec t;

	(void)opaque;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000000000ll + t.tv_nsec;
}

/* libslirp's only timer is for IPv6's router advertisements: it is never set. */
static void *timer_new(SlirpTimerCb callback, void *callback_opaque, void *opaque)
{
	(void)callback;
	(void)callback_opaque;
	return opaque;
}

static void timer_free(void *timer, void *opaque)
{
	(void)timer;
	(void)opaque;
}

static void timer_mod(void *timer, int64_t expire_ms, void *opaque)
{
	(void)timer;
	(void)expire_ms;
	(void)opaque;
}

/* The poll set is made anew for each poll(), and everything happens on one thread. */
static void poll_fd_changed(int fd, void *opaque)
{
	(void)fd;
	(void)opaque;
}

static void notify(void *opaque)
{
	(void)opaque;
}

static const SlirpCb callbacks = {
	.send_packet = send_packet,
	.guest_error = guest_error,
	.clock_get_ns = clock_get_ns,
	.timer_new = timer_new,
	.timer_free = timer_free,
	.timer_mod = timer_mod,
	.register_poll_fd = poll_fd_changed,
	.unregister_poll_fd = poll_fd_changed,
	.notify = notify,
};

/* ------------------------------------------------------------------ the thread */

static int add_poll(int fd, int events, void *opaque)
{
	struct net_user *user = opaque;
	struct pollfd *grown;

	if (user->num_fds == user->max_fds) {
		grown = realloc(user->fds, 2 * user->max_fds * sizeof(*grown));
		if (!grown)
			return -1;
		user->fds = grown;
		user->max_fds *= 2;
	}
	user->fds[user->num_fds] = (struct pollfd){
		.fd = fd,
		.events = (events & SLIRP_POLL_IN ? POLLIN : 0) | (events & SLIRP_POLL_OUT ? POLLOUT : 0) |
			  (events & SLIRP_POLL_PRI ? POLLPRI : 0),
	};
	return user->num_fds++;
}

static int get_revents(int index, void *opaque)
{
	const struct net_user *user = opaque;
	int revents;

	if (index < 0)
		return 0;
	revents = user->fds[index].revents;
	return (revents & POLLIN ? SLIRP_POLL_IN : 0) | (revents & POLLOUT ? SLIRP_POLL_OUT : 0) |
	       (revents & POLLPRI ? SLIRP_POLL_PRI : 0) | (revents & POLLERR ? SLIRP_POLL_ERR : 0) |
	       (revents & POLLHUP ? SLIRP_POLL_HUP : 0);
}

static void take_from_guest(struct net_user *user)
{
	uint8_t frame[TT_FRAME_MAX];
	unsigned int i;
	ssize_t len;

	for (i = 0; i < MAX_BATCH; i++) {
		len = recv(user->guest[1], frame, sizeof(frame), MSG_DONTWAIT);
		if (len <= 0)
			return;
		slirp_input(user->slirp, frame, len);
	}
}

static void *user_main(void *arg)
{
	struct net_user *user = arg;
	uint32_t timeout;
	int ready;

	for (;;) {
		user->num_fds = POLL_OURS;
		user->fds[POLL_QUIT] = (struct pollfd){ .fd = user->quit, .events = POLLIN };
		user->fds[POLL_GUEST] = (struct pollfd){ .fd = user->guest[1], .events = POLLIN };
		timeout = user->held_count ? HELD_RETRY_MS : UINT32_MAX;
		slirp_pollfds_fill(user->slirp, &timeout, add_poll, user);
		ready = poll(user->fds, user->num_fds, timeout > INT32_MAX ? -1 : (int)timeout);
		if (ready > 0 && user->fds[POLL_QUIT].revents)
			return NULL;
		/* In this order: the second also sends what an answer to ARP has made possible. */
		if (ready > 0 && user->fds[POLL_GUEST].revents)
			take_from_guest(user);
		slirp_pollfds_poll(user->slirp, ready < 0, get_revents, user);
		post_held(user);
	}
}

/* ------------------------------------------------------------------ struct tt_net */

static int user_start(struct tt_net *net, struct tt_machine *m, unsigned int index, struct tt_error *err)
{
	struct net_user *user = user_of(net);
	sigset_t pipe, old;
	int ret;

	user->machine = m;
	user->input = TT_INPUT_NET0 + index;
	user->running = true;
	/* libslirp may send to a connection that its other end has closed. */
	sigemptyset(&pipe);
	sigaddset(&pipe, SIGPIPE);
	pthread_sigmask(SIG_BLOCK, &pipe, &old);
	ret = pthread_create(&user->thread, NULL, user_main, user);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	if (!ret)
		return 0;
	user->running = false;
	return tt_fail(err, -ret, "cannot start a thread: %s", strerror(ret));
}

static void user_send(struct tt_net *net, const void *frame, size_t len)
{
	/* A full socket loses the frame, as does a frame that is none. */
	if (user_of(net)->running && len && len <= TT_FRAME_MAX)
		send(user_of(net)->guest[0], frame, len, MSG_DONTWAIT | MSG_NOSIGNAL);
}

static void user_stop(struct tt_net *net)
{
	struct net_user *user = user_of(net);

	if (!user->running)
		return;
	eventfd_write(user->quit, 1);
	pthread_join(user->thread, NULL);
	user->running = false;
}

static void user_close(struct tt_net *net)
{
	struct net_user *user = user_of(net);

	user_stop(net);
	if (user->slirp)
		slirp_cleanup(user->slirp);
	if (user->quit >= 0)
		close(user->quit);
	if (user->guest[0] >= 0)
		close(user->guest[0]);
	if (user->guest[1] >= 0)
		close(user->guest[1]);
	free(user->held);
	free(user->fds);
	free(user);
}

static const struct tt_net_ops user_ops = {
	.start = user_start,
	.send = user_send,
	.stop = user_stop,
	.close = user_close,
};

/* ------------------------------------------------------------------ port forwards */

struct forward {
	bool udp;
	uint16_t host_port;
	uint16_t guest_port;
};

static bool parse_port(const char **text, uint16_t *port)
{
	unsigned long value;
	char *end;

	if (**text < '0' || **text > '9')
		return false;
	value = strtoul(*text, &end, 10);
	if (value < 1 || value > 65535)
		return false;
	*port = value;
	*text = end;
	return true;
}

/* One "tcp:HOSTPORT:GUESTPORT". */
static bool parse_forward(const char *text, struct forward *forward)
{
	if (strncmp(text, "tcp:", 4) && strncmp(text, "udp:", 4))
		return false;
	forward->udp = text[0] == 'u';
	text += 4;
	return parse_port(&text, &forward->host_port) && *text++ == ':' &&
	       parse_port(&text, &forward->guest_port) && !*text;
}

/*
 * libslirp lets a UDP port be shared with another process that does so, too, and then neither knows who gets what. So
 * look whether it is free. TCP has no such trap.
 */
static int check_udp_port_free(uint16_t port)
{
	struct sockaddr_in address = { .sin_family = AF_INET, .sin_port = htons(port) };
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0), ret = 0;

	address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	if (fd < 0 || bind(fd, (struct sockaddr *)&address, sizeof(address)) < 0)
		ret = -errno;
	if (fd >= 0)
		close(fd);
	return ret;
}

static int add_forward(struct net_user *user, const char *text, struct tt_error *err)
{
	const struct in_addr host = { htonl(INADDR_LOOPBACK) }, guest = { htonl(GUEST) };
	struct forward forward;
	int ret = 0;

	if (!parse_forward(text, &forward))
		return tt_fail(err, -EINVAL, "'%s' is not a port forward; say tcp:HOSTPORT:GUESTPORT or "
			       "udp:HOSTPORT:GUESTPORT, as in tcp:8022:22", text);
	if (forward.udp)
		ret = check_udp_port_free(forward.host_port);
	errno = 0;
	if (!ret && slirp_add_hostfwd(user->slirp, forward.udp, host, forward.host_port, guest,
				      forward.guest_port) < 0)
		ret = errno ? -errno : -EIO;
	if (ret)
		return tt_fail(err, ret, "cannot forward %s port %u of this host: %s%s",
			       forward.udp ? "UDP" : "TCP", forward.host_port, strerror(-ret),
			       ret == -EADDRINUSE ? "; choose another" :
			       ret == -EACCES	  ? "; ports below 1024 are the superuser's" :
						    "");
	return 0;
}

static int add_forwards(struct net_user *user, const char *forwards, struct tt_error *err)
{
	char *list = strdup(forwards), *rest = list, *one;
	int ret = 0;

	if (!list)
		return tt_fail(err, -ENOMEM, "out of memory");
	while (!ret && (one = strsep(&rest, ",")) != NULL)
		ret = add_forward(user, one, err);
	free(list);
	return ret;
}

/* ------------------------------------------------------------------ opening */

static int make_sockets(struct net_user *user, struct tt_error *err)
{
	const int size = SEND_BUFFER;

	user->quit = eventfd(0, EFD_CLOEXEC);
	if (user->quit < 0 || socketpair(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0, user->guest) < 0)
		return tt_fail(err, -errno, "cannot create a socket pair: %s", strerror(errno));
	setsockopt(user->guest[0], SOL_SOCKET, SO_SNDBUF, &size, sizeof(size));
	return 0;
}

static int make_slirp(struct net_user *user, struct tt_error *err)
{
	const SlirpConfig config = {
		.version = 1,
		.in_enabled = true,
		.vnetwork.s_addr = htonl(NETWORK),
		.vnetmask.s_addr = htonl(NETMASK),
		.vhost.s_addr = htonl(HOST),
		.vnameserver.s_addr = htonl(NAMESERVER),
		.vdhcp_start.s_addr = htonl(GUEST),
		.vhostname = "ttvm",
	};

	user->slirp = slirp_new(&config, &callbacks, user);
	return user->slirp ? 0 : tt_fail(err, -ENOMEM, "libslirp does not start");
}

int tt_net_open_user(const char *forwards, struct tt_net **net, struct tt_error *err)
{
	struct net_user *user = calloc(1, sizeof(*user));
	int ret;

	if (!user)
		return tt_fail(err, -ENOMEM, "out of memory");
	user->net.ops = &user_ops;
	memcpy(user->net.mac, TT_NET_DEFAULT_MAC, sizeof(user->net.mac));
	user->quit = user->guest[0] = user->guest[1] = -1;
	user->max_fds = 16;
	user->fds = calloc(user->max_fds, sizeof(*user->fds));
	user->held = calloc(MAX_HELD, sizeof(*user->held));
	if (!user->fds || !user->held)
		ret = tt_fail(err, -ENOMEM, "out of memory");
	else
		ret = make_sockets(user, err);
	if (!ret)
		ret = make_slirp(user, err);
	if (!ret && forwards && *forwards)
		ret = add_forwards(user, forwards, err);
	if (ret) {
		user_close(&user->net);
		return ret;
	}
	*net = &user->net;
	return 0;
}
