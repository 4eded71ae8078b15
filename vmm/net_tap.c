// SPDX-License-Identifier: GPL-2.0
/*
 * net_tap.c - a network device that is the other end of a tap interface of the host, which then bridges or routes it.
 *
 * A thread reads frames; the vCPU thread writes them. While the guest's input queue is full nothing is read: the
 * interface's own queue fills, and the kernel drops what does not fit.
 */
#include <fcntl.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "net.h"
#include "vmm.h"

#define TUN_DEVICE "/dev/net/tun"
#define RETRY_MS   2

struct net_tap {
	struct tt_net net;
	struct tt_machine *machine;
	enum tt_input_id input;
	pthread_t thread;
	bool running;
	int quit; /* eventfd */
	int fd;
};

static struct net_tap *tap_of(struct tt_net *net)
{
	return (struct net_tap *)net;
}

/* ------------------------------------------------------------------ the thread */

static void *tap_main(void *arg)
{
	struct net_tap *tap = arg;
	struct pollfd fds[] = { { .fd = tap->quit, .events = POLLIN }, { .events = POLLIN } };
	uint8_t frame[TT_FRAME_MAX + 1]; /* one byte more shows that a frame is too long */
	ssize_t len = 0;		 /* > 0: a frame waits for room in the guest's queue */

	for (;;) {
		fds[1].fd = len > 0 ? -1 : tap->fd;
		poll(fds, 2, len > 0 ? RETRY_MS : -1);
		if (fds[0].revents)
			return NULL;
		if (len <= 0)
			len = read(tap->fd, frame, sizeof(frame));
		if (len < 0 && errno != EAGAIN && errno != EINTR) {
			/* The interface is down, or was removed: look again later. */
			poll(fds, 1, 100 * RETRY_MS);
			continue;
		}
		if (len > TT_FRAME_MAX)
			len = 0;
		if (len > 0 && tt_input_post(tap->machine, tap->input, frame, len) != -EAGAIN)
			len = 0;
	}
}

/* ------------------------------------------------------------------ struct tt_net */

static int tap_start(struct tt_net *net, struct tt_machine *m, unsigned int index, struct tt_error *err)
{
	struct net_tap *tap = tap_of(net);
	int ret;

	tap->machine = m;
	tap->input = TT_INPUT_NET0 + index;
	ret = pthread_create(&tap->thread, NULL, tap_main, tap);
	tap->running = !ret;
	return ret ? tt_fail(err, -ret, "cannot start a thread: %s", strerror(ret)) : 0;
}

static void tap_send(struct tt_net *net, const void *frame, size_t len)
{
	/* The descriptor does not block: a frame that the kernel does not take is lost. */
	if (tap_of(net)->running && len && len <= TT_FRAME_MAX && write(tap_of(net)->fd, frame, len) < 0)
		return;
}

static void tap_stop(struct tt_net *net)
{
	struct net_tap *tap = tap_of(net);

	if (!tap->running)
		return;
	eventfd_write(tap->quit, 1);
	pthread_join(tap->thread, NULL);
	tap->running = false;
}

static void tap_close(struct tt_net *net)
{
	struct net_tap *tap = tap_of(net);

	tap_stop(net);
	if (tap->quit >= 0)
		close(tap->quit);
	if (tap->fd >= 0)
		close(tap->fd);
	free(tap);
}

static const struct tt_net_ops tap_ops = {
	.start = tap_start,
	.send = tap_send,
	.stop = tap_stop,
	.close = tap_close,
};

/* ------------------------------------------------------------------ opening */

static int attach(struct net_tap *tap, const char *interface, struct tt_error *err)
{
	struct ifreq request = { .ifr_flags = IFF_TAP | IFF_NO_PI };
	int ret;

	if (!*interface || strlen(interface) >= IFNAMSIZ)
		return tt_fail(err, -EINVAL, "'%s' cannot be an interface's name: 1 to %d characters",
			       interface, IFNAMSIZ - 1);
	tap->fd = open(TUN_DEVICE, O_RDWR | O_NONBLOCK | O_CLOEXEC);
	if (tap->fd < 0) {
		ret = -errno;
		return tt_fail(err, ret, TUN_DEVICE ": %s; tap interfaces need it (`modprobe tun`), "
			       "user networking does not", strerror(errno));
	}
	strcpy(request.ifr_name, interface);
	if (ioctl(tap->fd, TUNSETIFF, &request) == 0)
		return 0;
	ret = -errno;
	switch (ret) {
	case -EPERM:
		return tt_fail(err, ret, "%s: not yours to use; once, as root: `ip tuntap add %s mode tap user "
			       "USER && ip link set %s up`", interface, interface, interface);
	case -EBUSY:
		return tt_fail(err, ret, "%s: another process has it open", interface);
	case -EINVAL:
		return tt_fail(err, ret, "%s: is there, but is not a tap interface", interface);
	}
	return tt_fail(err, ret, "%s: %s", interface, strerror(-ret));
}

int tt_net_open_tap(const char *interface, struct tt_net **net, struct tt_error *err)
{
	struct net_tap *tap = calloc(1, sizeof(*tap));
	int ret;

	if (!tap)
		return tt_fail(err, -ENOMEM, "out of memory");
	tap->net.ops = &tap_ops;
	memcpy(tap->net.mac, TT_NET_DEFAULT_MAC, sizeof(tap->net.mac));
	tap->fd = -1;
	tap->quit = eventfd(0, EFD_CLOEXEC);
	if (tap->quit < 0)
		ret = tt_fail(err, -errno, "cannot create an eventfd: %s", strerror(errno));
	else
		ret = attach(tap, interface, err);
	if (ret) {
		tap_close(&tap->net);
		return ret;
	}
	*net = &tap->net;
	return 0;
}
