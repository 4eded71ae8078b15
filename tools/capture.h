/* SPDX-License-Identifier: GPL-2.0 */
/*
 * capture.h - frames as a capture file for Wireshark, tshark and tcpdump.
 */
#ifndef TTVM_TOOLS_CAPTURE_H
#define TTVM_TOOLS_CAPTURE_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "ttvm/error.h"

struct capture {
	FILE *file;
	uint64_t frames;
	uint64_t bytes; /* of frames */
	int error;	/* the first -errno */
};

/* Create path, or write to stdout for "-". */
int capture_create(struct capture *capture, const char *path, struct tt_error *err);
/* One Ethernet frame; ns since the epoch. Errors wait for capture_finish(). */
void capture_write(struct capture *capture, uint64_t ns, const void *frame, size_t len);
/* 0, or the first -errno. */
int capture_finish(struct capture *capture);

#endif /* TTVM_TOOLS_CAPTURE_H */
