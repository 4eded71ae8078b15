// SPDX-License-Identifier: GPL-2.0
/*
 * disk_point.c - which disk, and when: what the user writes becomes an open ttdisk.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "disk.h"

int disk_history(const char *disk, char history[DISK_PATH_SIZE], struct tt_error *err)
{
	int is = ttdisk_is_history(disk);
	int ret;

	if (is > 0)
		return snprintf(history, DISK_PATH_SIZE, "%s", disk) < DISK_PATH_SIZE ? 0 :
			       tt_fail(err, -ENAMETOOLONG, "%s: the name is too long", disk);
	ret = ttdisk_history_path(disk, history, DISK_PATH_SIZE);
	if (ret)
		return tt_fail(err, ret, "%s: the name is too long", disk);
	if (!access(history, F_OK)) {
		/* Then it is the library that finds out what is wrong with it. */
		if (is == -ENOENT || strcmp(history, disk))
			return 0;
		return tt_fail(err, is ? is : -EUCLEAN, "%s: %s", disk, is ? strerror(-is) :
			       "not the history of a time-travel disk");
	}
	if (is < 0)
		return tt_fail(err, is, "%s: %s", disk, strerror(-is));
	return tt_fail(err, -ENOENT, "%s: it has no history: there is no %s; `ttvm disk create %s` begins one, and so "
		       "does `ttvm run --disk %s`", disk, history, disk, disk);
}

/* ------------------------------------------------------------------ instr:N@LOG */

/* The id of the recording, and the disks that it was made with, are in the log's configuration. */
static int find_recording(const char *log_path, struct tt_log *log, char *id, size_t size, struct tt_error *err)
{
	const char *found;
	const void *data;
	json_t *root;
	size_t len;
	int ret;

	ret = tt_log_section(log, TT_LOG_SECTION_CONFIG, &data, &len, err);
	if (ret)
		return ret;
	root = json_loadb(data, len, 0, NULL);
	found = json_string_value(json_object_get(json_object_get(root, "recording"), "id"));
	if (!json_array_size(json_object_get(json_object_get(root, "machine"), "disks")))
		ret = tt_fail(err, -ENOENT, "%s: this recording was made without a time-travel disk", log_path);
	else if (!found || strlen(found) >= size)
		ret = tt_fail(err, -EBADMSG, "%s: the log's header is not one that this version can use", log_path);
	else
		strcpy(id, found);
	json_decref(root);
	return ret;
}

static int parse_instr(const char *text, struct disk_point *p, struct tt_error *err)
{
	const char *at = strchr(text, '@');
	char number[32];
	struct tt_log *log;
	int ret;

	if (!at || !at[1] || (size_t)(at - text) >= sizeof(number))
		return tt_fail(err, -EINVAL, "instr:%s: say instr:N@LOG, with the log of the recording", text);
	memcpy(number, text, at - text);
	number[at - text] = '\0';
	if (!parse_number(number, &p->point.number))
		return tt_fail(err, -EINVAL, "instr:%s: '%s' is not a number of instructions", text, number);
	ret = tt_log_open(at + 1, &log, err);
	if (ret)
		return ret;
	ret = find_recording(at + 1, log, p->name, TTDISK_NAME_SIZE, err);
	tt_log_close(log);
	p->point.kind = TTDISK_INSTR;
	return ret;
}

/* ------------------------------------------------------------------ T */

/* The rest of text behind a prefix, or NULL. */
static const char *after(const char *text, const char *prefix)
{
	size_t len = strlen(prefix);

	return strncmp(text, prefix, len) ? NULL : text + len;
}

int disk_point_parse(const char *text, struct disk_point *p, struct tt_error *err)
{
	const char *rest;
	int64_t ns;

	memset(p, 0, sizeof(*p));
	p->point.name = p->name;
	if (!strcmp(text, "now")) {
		p->point.kind = TTDISK_NOW;
		return 0;
	}
	if (!strcmp(text, "base")) {
		p->point.kind = TTDISK_BASE;
		return 0;
	}
	rest = after(text, "epoch:");
	if (rest) {
		p->point.kind = TTDISK_EPOCH;
		if (!parse_number(rest, &p->point.number))
			return tt_fail(err, -EINVAL, "%s: '%s' is not the number of an epoch", text, rest);
		return 0;
	}
	rest = after(text, "mark:");
	if (rest) {
		p->point.kind = TTDISK_MARK;
		if (!*rest || strlen(rest) >= TTDISK_NAME_SIZE)
			return tt_fail(err, -EINVAL, "%s: not the name of a mark: 1 to %d characters", text,
				       TTDISK_NAME_SIZE - 1);
		strcpy(p->name, rest);
		return 0;
	}
	rest = after(text, "time:");
	if (rest) {
		p->point.kind = TTDISK_TIME;
		if (!disk_time_parse(rest, &ns))
			return tt_fail(err, -EINVAL, "%s: not a time; say it like time:2026-01-31T12:00:00Z or "
				       "time:2026-01-31T12:00:00.5+01:00 (RFC 3339)", text);
		p->point.number = ns;
		return 0;
	}
	rest = after(text, "instr:");
	if (rest)
		return parse_instr(rest, p, err);
	return tt_fail(err, -EINVAL, "'%s' is not a point in time: say base, now, epoch:K, mark:NAME, time:RFC3339 or "
		       "instr:N@LOG", text);
}

int disk_open_at(const char *disk, enum ttdisk_mode mode, const char *t, struct ttdisk **opened, struct tt_error *err)
{
	char history[DISK_PATH_SIZE];
	struct disk_point p;
	int ret;

	ret = disk_history(disk, history, err);
	if (!ret)
		ret = disk_point_parse(t, &p, err);
	if (!ret)
		ret = ttdisk_open(history, mode, &p.point, NULL, opened, err);
	return ret;
}

/* ------------------------------------------------------------------ a source */

static int read_source(const struct disk_source *source, uint64_t offset, void *data, size_t len)
{
	struct ttdisk *disk = source->ctx;
	uint8_t sector[TTDISK_SECTOR] = { 0 };
	uint8_t *to = data;

	while (len) {
		size_t skip = offset % TTDISK_SECTOR, piece;
		bool whole = !skip && len >= TTDISK_SECTOR;
		struct iovec iov = { .iov_base = whole ? to : sector };
		int ret;

		piece = whole ? len - len % TTDISK_SECTOR : TTDISK_SECTOR - skip;
		if (piece > len)
			piece = len;
		iov.iov_len = whole ? piece : TTDISK_SECTOR;
		ret = ttdisk_read(disk, offset / TTDISK_SECTOR, &iov, 1);
		if (ret)
			return ret;
		if (!whole)
			memcpy(to, sector + skip, piece);
		to += piece;
		offset += piece;
		len -= piece;
	}
	return 0;
}

struct disk_source disk_source_of(struct ttdisk *disk)
{
	struct ttdisk_info info;

	ttdisk_get_info(disk, &info);
	return (struct disk_source){ .size = info.sectors * TTDISK_SECTOR, .read = read_source, .ctx = disk };
}
