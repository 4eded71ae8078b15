/* SPDX-License-Identifier: GPL-2.0 */
/*
 * net.h - what a network device needs of a network. Frames are Ethernet frames without FCS, at most TT_FRAME_MAX bytes.
 *
 * Out: the device calls send. In: any thread calls tt_input_post(m, TT_INPUT_NET0 + index, frame, len), one call for one
 * frame; the seam decides when the guest gets it. A replay sends to nobody and needs no network.
 */
#ifndef TTVM_NET_H
#define TTVM_NET_H

#include <stddef.h>
#include <stdint.h>

#include "ttvm/error.h"

#define TT_FRAME_MAX 1514

/* A guest's first interface; whoever opens more of them counts the last byte up. Locally administered. */
#define TT_NET_DEFAULT_MAC "\x52\x54\x00tt\x00"

struct tt_machine;
struct tt_net;

struct tt_net_ops {
	/* The machine exists: frames may be posted to m from now on, as input TT_INPUT_NET0 + index. */
	int (*start)(struct tt_net *net, struct tt_machine *m, unsigned int index, struct tt_error *err);
	/*
	 * On a vCPU thread, device lock held: must not block; a frame that cannot be taken now is lost, as are all before
	 * start.
	 */
	void (*send)(struct tt_net *net, const void *frame, size_t len);
	/* Before the machine is destroyed: no frame is posted after it returns. */
	void (*stop)(struct tt_net *net);
	void (*close)(struct tt_net *net); /* frees net */
};

struct tt_net {
	const struct tt_net_ops *ops;
	uint8_t mac[6]; /* the guest's */
};

/* Nobody at the other end: what a replay uses. */
struct tt_net *tt_net_open_none(void);
/* An existing tap interface (or one that is created, for root). */
int tt_net_open_tap(const char *interface, struct tt_net **net, struct tt_error *err);
/* User-mode network (libslirp): guest 10.0.2.15, router 10.0.2.2, DNS 10.0.2.3. forwards: "tcp:HOSTPORT:GUESTPORT" and
 * "udp:...", comma-separated, HOSTPORT on 127.0.0.1; or NULL. */
int tt_net_open_user(const char *forwards, struct tt_net **net, struct tt_error *err);

#endif /* TTVM_NET_H */
