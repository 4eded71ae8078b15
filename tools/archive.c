// SPDX-License-Identifier: GPL-2.0
/*
 * archive.c - see archive.h.
 */
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>
#include <zstd.h>

#include "archive.h"

#define BLOCK 512u
#define LEVEL 3
#define OCTAL_SIZE_MAX 077777777777ull /* what eleven octal digits hold */

struct ustar {
	char name[100];
	char mode[8];
	char uid[8];
	char gid[8];
	uint8_t size[12];
	char mtime[12];
	char checksum[8];
	char type;
	char link[100];
	char magic[6];
	char version[2];
	char user[32];
	char group[32];
	char major[8];
	char minor[8];
	char prefix[155];
	char padding[12];
};

_Static_assert(sizeof(struct ustar) == BLOCK, "one block");

bool archive_name_valid(const char *name)
{
	size_t len = strlen(name), i;

	if (!len || len >= ARCHIVE_NAME_SIZE || name[0] == '.')
		return false;
	for (i = 0; i < len; i++)
		if ((unsigned char)name[i] < ' ' || name[i] == '/' || name[i] == 0x7f)
			return false;
	return true;
}

/* The sum of all bytes, those of the checksum itself taken for blanks. */
static unsigned int checksum_of(const struct ustar *header)
{
	const uint8_t *bytes = (const uint8_t *)header;
	size_t first = offsetof(struct ustar, checksum), i;
	unsigned int sum = 0;

	for (i = 0; i < BLOCK; i++)
		sum += i >= first && i < first + sizeof(header->checksum) ? ' ' : bytes[i];
	return sum;
}

/* ------------------------------------------------------------------ writing */

struct archive_writer {
	char *path;
	int fd;
	ZSTD_CCtx *zstd;
	uint8_t *buffer;
	size_t room;
	uint64_t file_bytes;
	uint64_t left;	/* of the file that is being written, and of its last block behind it */
	unsigned int padding;
};

static int write_fd(struct archive_writer *w, const uint8_t *data, size_t len, struct tt_error *err)
{
	while (len) {
		ssize_t ret = write(w->fd, data, len);

		if (ret < 0 && errno == EINTR)
			continue;
		if (ret < 0)
			return tt_fail(err, -errno, "%s: cannot write it: %s", w->path, strerror(errno));
		data += ret;
		len -= ret;
		w->file_bytes += ret;
	}
	return 0;
}

static int compress(struct archive_writer *w, const void *data, size_t len, ZSTD_EndDirective how, struct tt_error *err)
{
	ZSTD_inBuffer in = { data, len, 0 };
	size_t left;
	int ret;

	do {
		ZSTD_outBuffer out = { w->buffer, w->room, 0 };

		left = ZSTD_compressStream2(w->zstd, &out, &in, how);
		if (ZSTD_isError(left))
			return tt_fail(err, -ENOMEM, "%s: cannot compress it: %s", w->path, ZSTD_getErrorName(left));
		ret = write_fd(w, w->buffer, out.pos, err);
	} while (!ret && (how == ZSTD_e_end ? left > 0 : in.pos < in.size));
	return ret;
}

int archive_create(const char *path, struct archive_writer **writer, struct tt_error *err)
{
	struct archive_writer *w = calloc(1, sizeof(*w));
	int ret;

	if (!w)
		return tt_fail(err, -ENOMEM, "out of memory");
	w->fd = -1;
	w->path = strdup(path);
	w->zstd = ZSTD_createCCtx();
	w->room = ZSTD_CStreamOutSize();
	w->buffer = malloc(w->room);
	if (!w->path || !w->zstd || !w->buffer) {
		ret = tt_fail(err, -ENOMEM, "out of memory");
		goto err_destroy;
	}
	ZSTD_CCtx_setParameter(w->zstd, ZSTD_c_compressionLevel, LEVEL);
	ZSTD_CCtx_setParameter(w->zstd, ZSTD_c_checksumFlag, 1);
	w->fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
	if (w->fd < 0) {
		ret = tt_fail(err, -errno, "%s: cannot create it: %s", path, strerror(errno));
		goto err_destroy;
	}
	*writer = w;
	return 0;

err_destroy:
	archive_writer_destroy(w);
	return ret;
}

static void put_size(struct ustar *header, uint64_t size)
{
	int i;

	if (size <= OCTAL_SIZE_MAX) {
		snprintf((char *)header->size, sizeof(header->size), "%011llo", (unsigned long long)size);
		return;
	}
	header->size[0] = 0x80;
	for (i = 0; i < 8; i++)
		header->size[11 - i] = size >> 8 * i;
}

int archive_add(struct archive_writer *w, const char *name, uint64_t size, struct tt_error *err)
{
	struct ustar header = { .mode = "0000644", .uid = "0000000", .gid = "0000000", .type = '0', .magic = "ustar" };

	if (w->left || !archive_name_valid(name))
		return tt_fail(err, -EINVAL, "%s: cannot be put into an archive: its name has more than %u characters, or odd "
			       "ones; give it another", name, ARCHIVE_NAME_SIZE - 1);
	memcpy(header.name, name, strlen(name));
	memcpy(header.version, "00", sizeof(header.version));
	put_size(&header, size);
	snprintf(header.mtime, sizeof(header.mtime), "%011llo", (unsigned long long)time(NULL) & OCTAL_SIZE_MAX);
	snprintf(header.checksum, sizeof(header.checksum), "%06o", checksum_of(&header));
	header.checksum[7] = ' ';
	w->left = size;
	w->padding = -size % BLOCK;
	return compress(w, &header, sizeof(header), ZSTD_e_continue, err);
}

int archive_write(struct archive_writer *w, const void *data, size_t len, struct tt_error *err)
{
	static const uint8_t zeroes[BLOCK];
	int ret;

	if (len > w->left)
		return tt_fail(err, -EINVAL, "%s: a file in it is longer than announced", w->path);
	ret = compress(w, data, len, ZSTD_e_continue, err);
	w->left -= len;
	if (!ret && len && !w->left)
		ret = compress(w, zeroes, w->padding, ZSTD_e_continue, err);
	return ret;
}

int archive_finish(struct archive_writer *w, uint64_t *bytes, struct tt_error *err)
{
	static const uint8_t end[2 * BLOCK];
	int ret = w->left ? tt_fail(err, -EINVAL, "%s: a file in it is shorter than announced", w->path) : 0;

	if (!ret)
		ret = compress(w, end, sizeof(end), ZSTD_e_end, err);
	if (!ret && fsync(w->fd))
		ret = tt_fail(err, -errno, "%s: cannot write it: %s", w->path, strerror(errno));
	*bytes = w->file_bytes;
	return ret;
}

void archive_writer_destroy(struct archive_writer *w)
{
	if (!w)
		return;
	if (w->fd >= 0)
		close(w->fd);
	ZSTD_freeCCtx(w->zstd);
	free(w->buffer);
	free(w->path);
	free(w);
}

/* ------------------------------------------------------------------ reading */

struct archive_reader {
	char *path;
	int fd;
	ZSTD_DCtx *zstd;
	uint8_t *buffer;
	size_t room;
	ZSTD_inBuffer in;
	uint64_t done, total;	/* bytes of the file */
	uint64_t left;		/* of the current file */
	unsigned int padding;	/* behind it */
	bool ended;		/* the frame has */
};

int archive_open(const char *path, struct archive_reader **reader, struct tt_error *err)
{
	struct archive_reader *r = calloc(1, sizeof(*r));
	struct stat st;
	int ret;

	if (!r)
		return tt_fail(err, -ENOMEM, "out of memory");
	r->path = strdup(path);
	r->zstd = ZSTD_createDCtx();
	r->room = ZSTD_DStreamInSize();
	r->buffer = malloc(r->room);
	r->fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	r->in.src = r->buffer;
	if (r->fd < 0 || fstat(r->fd, &st)) {
		ret = tt_fail(err, -errno, "%s: %s", path, strerror(errno));
		goto err_close;
	}
	if (!r->path || !r->zstd || !r->buffer) {
		ret = tt_fail(err, -ENOMEM, "out of memory");
		goto err_close;
	}
	if (!S_ISREG(st.st_mode)) {
		ret = tt_fail(err, -EINVAL, "%s: not a regular file", path);
		goto err_close;
	}
	r->total = st.st_size;
	*reader = r;
	return 0;

err_close:
	archive_close(r);
	return ret;
}

static int refill(struct archive_reader *r, struct tt_error *err)
{
	ssize_t len;

	do {
		len = read(r->fd, r->buffer, r->room);
	} while (len < 0 && errno == EINTR);
	if (len < 0)
		return tt_fail(err, -errno, "%s: cannot read it: %s", r->path, strerror(errno));
	if (!len)
		return tt_fail(err, -EBADMSG, "%s: ends too early, after %llu bytes: it was cut short", r->path,
			       (unsigned long long)r->done);
	r->in.size = len;
	r->in.pos = 0;
	r->done += len;
	return 0;
}

/* Exactly len bytes of the decompressed stream. */
static int take(struct archive_reader *r, void *data, size_t len, struct tt_error *err)
{
	ZSTD_outBuffer out = { data, len, 0 };
	int ret = 0;

	while (out.pos < out.size && !ret) {
		size_t left, before = out.pos;

		if (r->ended)
			return tt_fail(err, -EBADMSG, "%s: not a pack, or cut short: it ends too early", r->path);
		left = ZSTD_decompressStream(r->zstd, &out, &r->in);
		if (ZSTD_isError(left))
			return tt_fail(err, -EBADMSG, "%s: not a pack, or damaged before byte %llu: %s", r->path,
				       (unsigned long long)r->done, ZSTD_getErrorName(left));
		r->ended = !left;
		if (left && out.pos == before && r->in.pos == r->in.size)
			ret = refill(r, err);
	}
	return ret;
}

/* Behind the last file: nothing but zeroes, whose end makes zstd look at the frame's checksum. */
static int take_end(struct archive_reader *r, struct tt_error *err)
{
	uint8_t byte;
	int ret = 0;

	while (!r->ended && !ret) {
		ZSTD_outBuffer out = { &byte, 1, 0 };
		size_t left = ZSTD_decompressStream(r->zstd, &out, &r->in);

		if (ZSTD_isError(left))
			return tt_fail(err, -EBADMSG, "%s: damaged: %s", r->path, ZSTD_getErrorName(left));
		r->ended = !left;
		if (out.pos && byte)
			return tt_fail(err, -EBADMSG, "%s: damaged: there is something behind its end", r->path);
		if (left && !out.pos && r->in.pos == r->in.size)
			ret = refill(r, err);
	}
	if (!ret && (r->in.pos < r->in.size || r->done < r->total))
		return tt_fail(err, -EBADMSG, "%s: damaged: there is something behind its end", r->path);
	return ret;
}

/* Octal, or base 256 with the first bit set. False: neither. */
static bool get_size(const struct ustar *header, uint64_t *size)
{
	unsigned int i;

	*size = 0;
	if (header->size[0] == 0x80) {
		for (i = 1; i < sizeof(header->size); i++) {
			if (*size >> 55)
				return false;
			*size = *size << 8 | header->size[i];
		}
		return true;
	}
	for (i = 0; i < sizeof(header->size) - 1; i++) {
		if (header->size[i] < '0' || header->size[i] > '7')
			return false;
		*size = *size << 3 | (header->size[i] - '0');
	}
	return !header->size[i];
}

int archive_next(struct archive_reader *r, char name[ARCHIVE_NAME_SIZE], uint64_t *size, struct tt_error *err)
{
	static const struct ustar nothing;
	uint8_t padding[BLOCK];
	struct ustar header;
	unsigned int sum;
	int ret = take(r, padding, r->padding, err);

	if (!ret)
		ret = take(r, &header, sizeof(header), err);
	if (ret)
		return ret;
	r->padding = 0;
	if (!memcmp(&header, &nothing, sizeof(header)))
		return take_end(r, err);
	if (sscanf(header.checksum, "%6o", &sum) != 1 || sum != checksum_of(&header) || header.type != '0' ||
	    memcmp(header.magic, "ustar", sizeof(header.magic)) || header.name[sizeof(header.name) - 1] ||
	    !archive_name_valid(header.name) || !get_size(&header, size))
		return tt_fail(err, -EBADMSG, "%s: not an archive as `ttvm pack` makes them", r->path);
	memcpy(name, header.name, sizeof(header.name));
	r->left = *size;
	r->padding = -*size % BLOCK;
	return 1;
}

int archive_read(struct archive_reader *r, void *data, size_t len, struct tt_error *err)
{
	if (len > r->left)
		return tt_fail(err, -EINVAL, "%s: a file in it is not so long", r->path);
	r->left -= len;
	return take(r, data, len, err);
}

void archive_progress(const struct archive_reader *r, uint64_t *done, uint64_t *total)
{
	*done = r->done;
	*total = r->total;
}

void archive_close(struct archive_reader *r)
{
	if (!r)
		return;
	if (r->fd >= 0)
		close(r->fd);
	ZSTD_freeDCtx(r->zstd);
	free(r->buffer);
	free(r->path);
	free(r);
}
