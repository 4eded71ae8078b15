// SPDX-License-Identifier: GPL-2.0
/*
 * net_none.c - a network with nobody at the other end.
 */
#include <stdlib.h>
#include <string.h>

#include "net.h"

static int none_start(struct tt_net *net, struct tt_machine *m, unsigned int index,
		      struct tt_error *err)
{
	(void)net;
	(void)m;
	(void)index;
	(void)err;
	return 0;
}

static void none_send(struct tt_net *net, const void *frame, size_t len)
{
	(void)net;
	(void)frame;
	(void)len;
}

static void none_stop(struct tt_net *net)
{
	(void)net;
}

static void none_close(struct tt_net *net)
{
	free(net);
}

struct tt_net *tt_net_open_none(void)
{
	static const struct tt_net_ops ops = {
		.start = none_start,
		.send = none_send,
		.stop = none_stop,
		.close = none_close,
	};
	struct tt_net *net = calloc(1, sizeof(*net));

	if (!net)
		return NULL;
	net->ops = &ops;
	memcpy(net->mac, TT_NET_DEFAULT_MAC, sizeof(net->mac));
	return net;
}
