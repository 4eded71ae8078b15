// SPDX-License-Identifier: GPL-2.0
/*
 * span.c - the caller's memory, a list of iovecs, read and written piece by piece.
 */
#include <unistd.h>

#include "internal.h"

struct span ttd_span_of(const struct iovec *iov, int iovcnt)
{
	return (struct span){ .iov = iov, .left = iovcnt };
}

int64_t ttd_span_sectors(const struct iovec *iov, int iovcnt)
{
	uint64_t bytes = 0;

	for (int i = 0; i < iovcnt; i++)
		if (__builtin_add_overflow(bytes, iov[i].iov_len, &bytes) || bytes > INT64_MAX)
			return -EINVAL;
	return !bytes || bytes % TTDISK_SECTOR ? -EINVAL : (int64_t)(bytes / TTDISK_SECTOR);
}

int ttd_span_take(struct span *span, size_t max, struct iovec out[SPAN_IOVS], size_t *len)
{
	int n = 0;

	*len = 0;
	while (n < SPAN_IOVS && *len < max && span->left) {
		size_t part = MIN(span->iov->iov_len - span->offset, max - *len);

		if (part) {
			out[n].iov_base = (char *)span->iov->iov_base + span->offset;
			out[n++].iov_len = part;
		}
		*len += part;
		span->offset += part;
		if (span->offset == span->iov->iov_len) {
			span->iov++;
			span->left--;
			span->offset = 0;
		}
	}
	return n;
}

enum direction { PUT, GET, ZERO };

static void move(struct span *span, char *other, size_t len, enum direction direction)
{
	struct iovec iov[SPAN_IOVS];
	size_t part;

	for (; len; len -= part) {
		int n = ttd_span_take(span, len, iov, &part);

		if (!n)
			return;
		for (int i = 0; i < n; i++) {
			if (direction == PUT)
				memcpy(iov[i].iov_base, other, iov[i].iov_len);
			else if (direction == GET)
				memcpy(other, iov[i].iov_base, iov[i].iov_len);
			else
				memset(iov[i].iov_base, 0, iov[i].iov_len);
			if (direction != ZERO)
				other += iov[i].iov_len;
		}
	}
}

void ttd_span_put(struct span *span, const void *from, size_t len)
{
	move(span, (char *)from, len, PUT);
}

void ttd_span_get(struct span *span, void *to, size_t len)
{
	move(span, to, len, GET);
}

void ttd_span_zero(struct span *span, size_t len)
{
	move(span, NULL, len, ZERO);
}

int ttd_span_pread(struct span *span, int fd, size_t len, uint64_t offset)
{
	while (len) {
		struct span before = *span;
		struct iovec iov[SPAN_IOVS];
		size_t part;
		int n = ttd_span_take(span, len, iov, &part);
		ssize_t ret = preadv(fd, iov, n, (off_t)offset);

		if (ret < 0 && errno != EINTR)
			return -errno;
		if (!ret)
			return -EIO;
		if (ret < (ssize_t)part) { /* a short read: go on behind what came */
			*span = before;
			part = ret < 0 ? 0 : (size_t)ret;
			ttd_span_take(span, part, iov, &part);
		}
		len -= part;
		offset += part;
	}
	return 0;
}
