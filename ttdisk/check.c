// SPDX-License-Identifier: GPL-2.0
/*
 * check.c - is every byte of a history what was written, does the index agree, is the base the right one? And mending.
 */
#include <fcntl.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "internal.h"

#define COPY_CHUNK (1u << 20)

__attribute__((format(printf, 2, 3))) static void say(struct ttdisk_check_result *result,
						      const char *format, ...)
{
	size_t len = strlen(result->text);
	va_list args;

	if (len && len + 1 < sizeof(result->text))
		result->text[len++] = ' ';
	va_start(args, format);
	vsnprintf(result->text + len, sizeof(result->text) - len, format, args);
	va_end(args);
}

/* ------------------------------------------------------------------ the index */

static int compare(const void *a, const void *b)
{
	const struct format_piece *x = a, *y = b;

	if (x->key != y->key)
		return x->key < y->key ? -1 : 1;
	return x->where < y->where ? -1 : x->where > y->where;
}

/* All pieces, stops and notes of records before limit, in one order. */
static int gather(const struct history *history, uint64_t limit, struct run *all)
{
	memset(all, 0, sizeof(*all));
	for (unsigned int i = 0; i < history->num_runs; i++) {
		const struct run *run = &history->runs[i];

		all->max_pieces += run->num_pieces;
		all->max_stops += run->num_stops;
		all->max_notes += run->num_notes;
	}
	all->pieces = malloc(++all->max_pieces * sizeof(*all->pieces));
	all->stops = malloc(++all->max_stops * sizeof(*all->stops));
	all->notes = malloc(++all->max_notes * sizeof(*all->notes));
	if (!all->pieces || !all->stops || !all->notes) {
		ttd_run_free(all);
		return -ENOMEM;
	}
	for (unsigned int i = 0; i < history->num_runs; i++) {
		const struct run *run = &history->runs[i];

		for (uint64_t j = 0; j < run->num_pieces; j++)
			if (run->pieces[j].where < limit)
				all->pieces[all->num_pieces++] = run->pieces[j];
		for (uint64_t j = 0; j < run->num_stops; j++)
			if (run->stops[j].offset < limit)
				all->stops[all->num_stops++] = run->stops[j];
		for (uint64_t j = 0; j < run->num_notes; j++)
			if (run->notes[j] < limit)
				all->notes[all->num_notes++] = run->notes[j];
	}
	qsort(all->pieces, all->num_pieces, sizeof(*all->pieces), compare);
	return 0;
}

static bool same(const struct run *a, const struct run *b)
{
	return a->num_pieces == b->num_pieces && a->num_stops == b->num_stops &&
	       a->num_notes == b->num_notes &&
	       !memcmp(a->pieces, b->pieces, a->num_pieces * sizeof(*a->pieces)) &&
	       !memcmp(a->stops, b->stops, a->num_stops * sizeof(*a->stops)) &&
	       !memcmp(a->notes, b->notes, a->num_notes * sizeof(*a->notes));
}

/* Does the index say the same as the history, as far as it goes? */
static bool index_agrees(const char *path, const struct history *truth)
{
	struct history *history;
	struct run x = { 0 }, y = { 0 };
	uint64_t limit = 0;
	bool agrees = false;

	if (ttd_history_open(path, 0, &history, NULL))
		return false;
	for (unsigned int i = 0; i < history->num_runs; i++)
		if (history->runs[i].file_offset)
			limit = history->runs[i].end.offset;
	if (history->index.generation && limit <= truth->end.offset &&
	    !gather(history, limit, &x) && !gather(truth, limit, &y))
		agrees = same(&x, &y);
	ttd_run_free(&x);
	ttd_run_free(&y);
	ttd_history_close(history);
	return agrees;
}

static int renew_index(const char *path, struct tt_error *err)
{
	char *name = ttd_index_path(path, ".idx");
	struct history *history;
	int ret;

	if (!name)
		return tt_fail(err, -ENOMEM, "%s: out of memory", path);
	unlink(name);
	free(name);
	ret = ttd_history_open(path, 0, &history, err);
	if (ret)
		return ret;
	ret = ttd_index_save(history);
	if (ret)
		tt_fail(err, ret, "%s.idx: cannot write it: %s", path, strerror(-ret));
	ttd_history_close(history);
	return ret;
}

/* ------------------------------------------------------------------ the base */

static int check_base(struct history *history, struct ttdisk_check_result *result,
		      unsigned int depth, struct tt_error *err);

static int check_parent(const char *path, struct ttdisk_check_result *result, unsigned int depth,
			struct tt_error *err)
{
	struct history *parent;
	int ret;

	if (depth == DISK_MAX_PARENTS)
		return tt_fail(err, -ELOOP, "%s: too many parents", path);
	ret = ttd_history_open(path, HISTORY_NO_INDEX, &parent, err);
	if (ret)
		return ret;
	if (parent->damaged) {
		result->health = TTDISK_DAMAGED;
		say(result, "Its parent %s is damaged at byte %" PRIu64 ".", path,
		    parent->end.offset);
	}
	ret = check_base(parent, result, depth + 1, err);
	ttd_history_close(parent);
	return ret;
}

static int check_base(struct history *history, struct ttdisk_check_result *result,
		      unsigned int depth, struct tt_error *err)
{
	char *path = ttd_disk_base_path(history->path, &history->header);
	struct tt_error why = { 0 };
	struct base base;
	int ret;

	if (!path)
		return tt_fail(err, -ENOMEM, "%s: out of memory", history->path);
	if (history->header.base_kind == FORMAT_BASE_HISTORY || history->header.base_kind == FORMAT_BASE_PARTIAL) {
		ret = check_parent(path, result, depth, err);
	} else if (history->header.base_kind == FORMAT_BASE_NONE) {
		ret = 0;
	} else {
		ret = ttd_base_open(path, &history->header, &base, &result->base_changed, &why);
		if (!ret)
			ttd_base_close(&base);
		else
			say(result, "%s.", why.text);
		ret = 0;
	}
	free(path);
	return ret;
}

static int accept_base(struct history *history, struct ttdisk_check_result *result,
		       struct tt_error *err)
{
	struct format_header header = history->header;
	char *path = ttd_disk_base_path(history->path, &header);
	int ret;

	if (!path)
		return tt_fail(err, -ENOMEM, "%s: out of memory", history->path);
	ret = ttd_base_identify(path, header.base_hashed, &header, err);
	if (!ret && header.sectors != history->header.sectors)
		ret = tt_fail(err, -EINVAL, "%s: its size is another; it cannot be the base", path);
	if (!ret) {
		ret = ttd_history_write_header(history->fd, &header);
		if (ret)
			tt_fail(err, ret, "%s: cannot write its first page: %s", history->path,
				strerror(-ret));
	}
	if (!ret) {
		result->base_changed = false;
		result->repaired = true;
		say(result, "The base is accepted as it is.");
	}
	free(path);
	return ret;
}

/* ------------------------------------------------------------------ the history */

static int copy_tail(struct history *history, const char *path)
{
	int ret = 0, fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
	uint8_t *buffer = malloc(COPY_CHUNK);

	if (fd < 0)
		ret = -errno;
	else if (!buffer)
		ret = -ENOMEM;
	for (uint64_t at = history->end.offset; at < history->file_size && !ret;) {
		ssize_t len = pread(history->fd, buffer, COPY_CHUNK, (off_t)at);

		if (len > 0 && write(fd, buffer, (size_t)len) != len)
			ret = -EIO;
		else if (len <= 0)
			ret = len ? -errno : -EIO;
		at += len > 0 ? (uint64_t)len : 0;
	}
	if (fd >= 0 && !ret && fsync(fd))
		ret = -errno;
	if (fd >= 0)
		close(fd);
	free(buffer);
	return ret;
}

static int cut(struct history *history, struct ttdisk_check_result *result, struct tt_error *err)
{
	char *path = NULL;
	int ret = 0;

	if (history->damaged) {
		path = ttd_index_path(history->path, ".dropped");
		ret = path ? copy_tail(history, path) : -ENOMEM;
		if (ret) {
			tt_fail(err, ret,
				"%s.dropped: cannot keep the end of the history there: %s",
				history->path, strerror(-ret));
			goto out;
		}
	}
	if (ftruncate(history->fd, (off_t)history->end.offset) || fsync(history->fd)) {
		ret = tt_fail(err, -errno, "%s: cannot truncate it: %s", history->path,
			      strerror(errno));
		goto out;
	}
	result->repaired = true;
	say(result, "They are cut off%s%s.", path ? " and kept in " : "", path ? path : "");
out:
	free(path);
	return ret;
}

static int judge(struct history *history, struct ttdisk_check_result *result, struct tt_error *err)
{
	struct ttd_walk_behind behind;
	int ret;

	result->records = history->end.number;
	result->epochs = history->end.epoch;
	result->valid_bytes = history->end.offset;
	result->dropped_bytes = history->file_size - history->end.offset;
	if (!result->dropped_bytes && !history->damaged) {
		say(result, "All %" PRIu64 " records are valid.", result->records);
		return 0;
	}
	ret = ttd_walk_behind(history->fd, &history->limits, &history->end, history->file_size,
			      history->header.durable, &behind);
	if (ret)
		return tt_fail(err, ret, "%s: cannot read it: %s", history->path, strerror(-ret));
	result->dropped_records = behind.records;
	result->health = behind.damaged ? TTDISK_DAMAGED : TTDISK_CUT;
	if (behind.damaged)
		say(result,
		    "Damaged at byte %" PRIu64 ": flushed bytes have changed there. The "
		    "%" PRIu64 " records (%" PRIu64 " epochs) before are valid; the %" PRIu64
		    " bytes from there on, with %" PRIu64 " whole records, cannot be used.",
		    result->valid_bytes, result->records, result->epochs, result->dropped_bytes,
		    result->dropped_records);
	else
		say(result,
		    "The writer was killed, or is at work: the last %" PRIu64 " bytes, which"
		    " were never flushed, are not complete. The %" PRIu64 " records (%" PRIu64
		    " epochs) before are valid.",
		    result->dropped_bytes, result->records, result->epochs);
	return 0;
}

int ttdisk_check(const char *path, unsigned int flags, struct ttdisk_check_result *result,
		 struct tt_error *err)
{
	struct history *history;
	int ret = ttd_history_open(
		path, HISTORY_NO_INDEX | (flags & TTDISK_REPAIR ? HISTORY_LOCK : 0), &history, err);

	if (ret)
		return ret;
	memset(result, 0, sizeof(*result));
	ret = judge(history, result, err);
	if (!ret && flags & TTDISK_REPAIR && result->dropped_bytes)
		ret = cut(history, result, err);
	if (!ret)
		ret = check_base(history, result, 0, err);
	if (!ret && flags & TTDISK_REPAIR && flags & TTDISK_ACCEPT_BASE && result->base_changed &&
	    history->header.base_kind == FORMAT_BASE_RAW)
		ret = accept_base(history, result, err);
	if (!ret) {
		result->index_good = index_agrees(path, history);
		if (!result->index_good && flags & TTDISK_REPAIR) {
			ret = renew_index(path, err);
			result->repaired = true;
			say(result, "The index was written anew.");
		}
	}
	ttd_history_close(history);
	return ret;
}
