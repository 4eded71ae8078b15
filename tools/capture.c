// SPDX-License-Identifier: GPL-2.0
/*
 * capture.c - writing a capture file.
 *
 * The classic format with nanoseconds: one header, then each frame behind a header of its own, all numbers in this host's
 * byte order, which the magic number tells. libpcap would write the same bytes, and bring eight more libraries into every
 * start of ttvm (D-Bus, systemd, libgcrypt); the unit test has it read them.
 */
#include <string.h>

#include "capture.h"

#define MAGIC_NS 0xa1b23c4du
#define ETHERNET 1
#define SNAPLEN	 65535

struct file_header {
	uint32_t magic;
	uint16_t major, minor;
	int32_t zone;
	uint32_t accuracy;
	uint32_t snaplen;
	uint32_t link_type;
};

struct frame_header {
	uint32_t seconds; /* since the epoch; to 2106 */
	uint32_t ns;
	uint32_t captured;
	uint32_t len;
};

static void put(struct capture *capture, const void *data, size_t len)
{
	if (!capture->error && fwrite(data, 1, len, capture->file) != len)
		capture->error = errno ? -errno : -EIO;
}

int capture_create(struct capture *capture, const char *path, struct tt_error *err)
{
	const struct file_header header = {
		.magic = MAGIC_NS, .major = 2, .minor = 4, .snaplen = SNAPLEN, .link_type = ETHERNET
	};

	*capture = (struct capture){ .file = strcmp(path, "-") ? fopen(path, "we") : stdout };
	if (!capture->file)
		return tt_fail(err, -errno, "%s: %s", path, strerror(errno));
	put(capture, &header, sizeof(header));
	return 0;
}

void capture_write(struct capture *capture, uint64_t ns, const void *frame, size_t len)
{
	const struct frame_header header = { .seconds = ns / 1000000000,
					     .ns = ns % 1000000000,
					     .captured = len,
					     .len = len };

	put(capture, &header, sizeof(header));
	put(capture, frame, len);
	capture->frames++;
	capture->bytes += len;
}

int capture_finish(struct capture *capture)
{
	if (fflush(capture->file) != 0 && !capture->error)
		capture->error = -errno;
	if (capture->file != stdout && fclose(capture->file) != 0 && !capture->error)
		capture->error = -errno;
	capture->file = NULL;
	return capture->error;
}
