// SPDX-License-Identifier: GPL-2.0
/*
 * history.c - a history: creating, opening, appending, and finding records in it.
 */
#include <fcntl.h>
#include <libgen.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>
#include <xxhash.h>

#include "internal.h"

#define LOCK_TRIES   100
#define LOCK_WAIT_US 10000

#define MAX_SECTORS	(1ull << 50)
#define RUN_PIECES	(1u << 16) /* a writer's run goes to the index when it has as many */
#define SCAN_RUN_PIECES (1u << 20)

/* ------------------------------------------------------------------ the header page */

static uint64_t header_check(const struct format_header *header)
{
	return XXH64(header, offsetof(struct format_header, check), 0);
}

int ttd_history_read_header(int fd, const char *path, struct format_header *header,
			    struct tt_error *err)
{
	static const char text[FORMAT_TEXT_SIZE] = FORMAT_TEXT;
	ssize_t len;

	do {
		len = pread(fd, header, sizeof(*header), 0);
	} while (len < 0 && errno == EINTR);
	if (len < 0)
		return tt_fail(err, -errno, "%s: %s", path, strerror(errno));
	if (len < FORMAT_TEXT_SIZE || memcmp(header->text, text, strlen("ttvm disk ")))
		return tt_fail(err, -EUCLEAN, "%s: not the history of a disk", path);
	if (memcmp(header->text, text, sizeof(text)) ||
	    (len == sizeof(*header) && header->version != FORMAT_VERSION))
		return tt_fail(err, -EFBIG,
			       "%s: made by another version of ttvm; this one knows "
			       "version %d of the format",
			       path, FORMAT_VERSION);
	if (len != sizeof(*header) || header->check != header_check(header))
		return tt_fail(err, -EUCLEAN, "%s: its first page is damaged", path);
	if (!header->sectors || header->sectors > MAX_SECTORS || !header->base_path[0] ||
	    header->base_path[FORMAT_PATH_SIZE - 1] || header->base_kind < FORMAT_BASE_RAW ||
	    header->base_kind > FORMAT_BASE_NONE)
		return tt_fail(err, -EUCLEAN, "%s: its first page makes no sense", path);
	return 0;
}

int ttd_history_write_header(int fd, struct format_header *header)
{
	header->check = header_check(header);
	if (pwrite(fd, header, sizeof(*header), 0) != sizeof(*header))
		return errno ? -errno : -EIO;
	return fsync(fd) ? -errno : 0;
}

int ttd_history_sync_folder(const char *path)
{
	char *copy = strdup(path);
	int fd = copy ? open(dirname(copy), O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
	int ret = fd < 0 || fsync(fd) ? -errno : 0;

	if (fd >= 0)
		close(fd);
	free(copy);
	return ret;
}

static uint64_t wall_clock(void)
{
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

int ttd_history_new_uuid(struct format_header *header, const char *path, struct tt_error *err)
{
	if (getrandom(header->uuid, sizeof(header->uuid), 0) != sizeof(header->uuid))
		return tt_fail(err, -errno, "%s: no random numbers: %s", path, strerror(errno));
	header->uuid[6] = (header->uuid[6] & 0x0f) | 0x40; /* RFC 4122, version 4 */
	header->uuid[8] = (header->uuid[8] & 0x3f) | 0x80;
	header->created_ns = wall_clock();
	return 0;
}

int ttd_history_create(const char *path, struct format_header *header, struct tt_error *err)
{
	int fd, ret = 0;

	memcpy(header->text, FORMAT_TEXT, sizeof(FORMAT_TEXT));
	header->version = FORMAT_VERSION;
	if (getrandom(&header->salt, sizeof(header->salt), 0) != sizeof(header->salt))
		return tt_fail(err, -errno, "%s: no random numbers: %s", path, strerror(errno));
	fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
	if (fd < 0)
		return tt_fail(err, -errno, "%s: cannot create it: %s", path, strerror(errno));
	ret = ttd_history_write_header(fd, header);
	if (close(fd) && !ret)
		ret = -errno;
	if (!ret)
		ret = ttd_history_sync_folder(path);
	if (ret) {
		unlink(path);
		tt_fail(err, ret, "%s: cannot write it: %s", path, strerror(-ret));
	}
	return ret;
}

/* ------------------------------------------------------------------ runs */

static int add_run(struct history *history, const struct format_state *state)
{
	struct run *run = &history->runs[history->num_runs];

	if (history->num_runs == FORMAT_MAX_RUNS)
		return -ENOSPC;
	memset(run, 0, sizeof(*run));
	run->begin = state->offset;
	run->end = *state;
	history->num_runs++;
	return 0;
}

static int merge_last(struct history *history)
{
	struct run *a = &history->runs[history->num_runs - 2], *b = a + 1, merged;
	int ret = ttd_run_merge(a, b, &merged);

	if (ret)
		return ret;
	ttd_run_free(a);
	ttd_run_free(b);
	*a = merged;
	history->num_runs--;
	return 0;
}

/* The last run has ended: sort it, and keep the number of runs logarithmic. */
static void finish_run(struct history *history)
{
	struct run *last = &history->runs[history->num_runs - 1];

	ttd_run_sort(last);
	while (history->num_runs > 1) {
		last = &history->runs[history->num_runs - 1];
		if (last[-1].num_pieces >= 2 * last->num_pieces &&
		    last[-1].num_stops >= 2 * last->num_stops &&
		    history->num_runs < FORMAT_MAX_RUNS - 1)
			break;
		if (merge_last(history))
			break; /* no memory: more runs are slower, not wrong */
	}
}

/* Read what the index does not cover. */
static int scan(struct history *history)
{
	const struct format_state *from =
		history->num_runs ? &history->runs[history->num_runs - 1].end : &history->start;
	const struct format_record *record;
	uint64_t pieces = 0, stops = 0, notes = 0; /* at the last point */
	struct format_state begin = *from;
	struct walk walk;
	struct run *run;
	int ret = ttd_walk_start(&walk, history->fd, &history->limits, from, history->file_size);

	if (!ret)
		ret = add_run(history, &begin);
	while (!ret) {
		run = &history->runs[history->num_runs - 1];
		ret = ttd_run_prepare(run);
		if (!ret)
			ret = ttd_walk_next(&walk, &record);
		if (ret <= 0)
			break;
		ret = 0;
		ttd_run_add(run, record);
		if (run->end.in_fold)
			continue;
		if (run->num_pieces >= SCAN_RUN_PIECES) {
			finish_run(history);
			ret = add_run(history, &walk.point);
			run = &history->runs[history->num_runs - 1];
		}
		pieces = run->num_pieces;
		stops = run->num_stops;
		notes = run->num_notes;
	}
	history->end = walk.point;
	history->scanned = walk.state.offset - begin.offset;
	if (!ret) {
		/* what belongs to a fold without an end does not count */
		run = &history->runs[history->num_runs - 1];
		run->num_pieces = pieces;
		run->num_stops = stops;
		run->num_notes = notes;
		run->end = walk.point;
		finish_run(history);
	}
	ttd_walk_end(&walk);
	return ret;
}

/* ------------------------------------------------------------------ opening */

/*
 * A writer that was killed holds its lock until the kernel has taken its io_uring apart, and a reader holds it while it
 * writes the index: both for a moment only, which is waited for.
 */
static int take_lock(int fd)
{
	int tries;

	for (tries = 0; flock(fd, LOCK_EX | LOCK_NB); tries++) {
		if ((errno != EWOULDBLOCK && errno != EINTR) || tries == LOCK_TRIES)
			return -1;
		usleep(LOCK_WAIT_US);
	}
	return 0;
}

static int lock_history(struct history *history, struct tt_error *err)
{
	struct stat mine, there;

	if (take_lock(history->fd)) {
		if (errno == EWOULDBLOCK)
			return tt_fail(err, -EBUSY, "%s: another process is writing to this disk",
				       history->path);
		return tt_fail(err, -errno, "%s: cannot lock it: %s", history->path,
			       strerror(errno));
	}
	/* garbage collection may have put another file in its place since it was opened */
	if (fstat(history->fd, &mine) || stat(history->path, &there) ||
	    mine.st_ino != there.st_ino || mine.st_dev != there.st_dev)
		return tt_fail(err, -EBUSY, "%s: it was replaced just now; try again",
			       history->path);
	history->locked = true;
	return 0;
}

static int judge_end(struct history *history, struct tt_error *err)
{
	struct ttd_walk_behind behind;
	int ret = ttd_walk_behind(history->fd, &history->limits, &history->end, history->file_size,
				  history->header.durable, &behind);

	if (ret)
		return tt_fail(err, ret, "%s: cannot read it: %s", history->path, strerror(-ret));
	history->damaged = behind.damaged;
	return 0;
}

static int start_writing(struct history *history, unsigned int flags, struct tt_error *err)
{
	int ret;

	if (history->damaged)
		return tt_fail(err, -EUCLEAN,
			       "%s: damaged at byte %llu; `ttvm disk check` says more, and points "
			       "before the damage can be opened",
			       history->path, (unsigned long long)history->end.offset);
	if (history->end.offset < history->file_size &&
	    ftruncate(history->fd, (off_t)history->end.offset))
		return tt_fail(err, -errno, "%s: cannot cut off its unfinished end: %s",
			       history->path, strerror(errno));
	ret = add_run(history, &history->end);
	if (!ret)
		ret = ttd_output_create(history->fd, history->end.offset, flags & HISTORY_NO_URING,
					&history->output);
	/* What a killed writer has left may be in the page cache only, and a guest's next flush must not rest on it. */
	if (!ret && fdatasync(history->fd))
		ret = -errno;
	history->synced = history->end;
	return ret ? tt_fail(err, ret, "%s: %s", history->path, strerror(-ret)) : 0;
}

static void free_history(struct history *history)
{
	for (unsigned int i = 0; i < history->num_runs; i++)
		ttd_run_free(&history->runs[i]);
	ttd_index_unload(history);
	if (history->fd >= 0)
		close(history->fd);
	free(history->buffer);
	free(history->path);
	free(history);
}

int ttd_history_open(const char *path, unsigned int flags, struct history **result,
		     struct tt_error *err)
{
	struct history *history = calloc(1, sizeof(*history));
	struct stat st;
	int ret = -ENOMEM;

	if (!history)
		return tt_fail(err, ret, "%s: out of memory", path);
	history->fd = -1;
	history->no_index = flags & HISTORY_NO_INDEX;
	history->path = strdup(path);
	history->buffer = malloc(FORMAT_RECORD_MAX);
	if (!history->path || !history->buffer) {
		tt_fail(err, ret, "%s: out of memory", path);
		goto err_free;
	}
	history->fd = open(path, (flags & (HISTORY_WRITE | HISTORY_LOCK) ? O_RDWR : O_RDONLY) |
					 O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	if (history->fd < 0 || fstat(history->fd, &st)) {
		ret = tt_fail(err, -errno, "%s: %s", path, strerror(errno));
		goto err_free;
	}
	ret = ttd_history_read_header(history->fd, path, &history->header, err);
	if (!ret && flags & (HISTORY_WRITE | HISTORY_LOCK))
		ret = lock_history(history, err);
	if (ret)
		goto err_free;
	if (fstat(history->fd, &st)) {
		ret = tt_fail(err, -errno, "%s: %s", path, strerror(errno));
		goto err_free;
	}
	history->file_size = (uint64_t)st.st_size;
	history->limits.salt = history->header.salt;
	history->limits.sectors = history->header.sectors;
	history->start.offset = FORMAT_HEADER_SIZE;
	history->start.check = history->header.salt;
	if (!history->no_index)
		ttd_index_load(history);
	ret = scan(history);
	if (ret) {
		tt_fail(err, ret, "%s: cannot read it: %s", path, strerror(-ret));
		goto err_free;
	}
	if (history->end.offset < MAX(history->file_size, history->header.durable))
		ret = judge_end(history, err);
	if (!ret && flags & HISTORY_WRITE)
		ret = start_writing(history, flags, err);
	if (ret)
		goto err_free;
	*result = history;
	return 0;

err_free:
	free_history(history);
	return ret;
}

void ttd_history_save_index(struct history *history)
{
	if (history->no_index || history->output || flock(history->fd, LOCK_EX | LOCK_NB))
		return;
	ttd_index_save(history);
	if (!history->locked)
		flock(history->fd, LOCK_UN);
}

int ttd_history_close(struct history *history)
{
	int ret = 0;

	if (history->output) {
		ret = ttd_output_destroy(history->output);
		history->output = NULL;
		if (!ret && !history->no_index) {
			finish_run(history);
			ttd_index_save(history);
		}
	}
	free_history(history);
	return ret;
}

/* ------------------------------------------------------------------ reading */

int ttd_history_read(struct history *history, void *to, size_t len, uint64_t offset)
{
	struct iovec iov = { to, len };
	struct span span = ttd_span_of(&iov, 1);

	if (offset > history->end.offset || len > history->end.offset - offset)
		return -EIO;
	if (history->output)
		return ttd_output_read(history->output, to, len, offset);
	return ttd_span_pread(&span, history->fd, len, offset);
}

int ttd_history_peek(struct history *history, uint64_t offset, struct format_record *record)
{
	int ret = offset < FORMAT_HEADER_SIZE || offset % FORMAT_ALIGN ? -EIO : 0;

	memset(record, 0, sizeof(*record));
	if (!ret)
		ret = ttd_history_read(history, record, sizeof(*record), offset);
	if (!ret && (!ttd_record_fields_valid(record, &history->limits) ||
		     record_size(record) > history->end.offset - offset))
		ret = -EIO;
	return ret;
}

int ttd_history_record(struct history *history, uint64_t offset,
		       const struct format_record **result)
{
	struct format_record *record = (void *)history->buffer;
	uint64_t first = FORMAT_RECORD_SIZE + 4096, size; /* most are not longer */
	int ret = -EIO;

	*result = record;
	if (history->buffered == offset && offset)
		return 0;
	history->buffered = 0;
	if (offset < FORMAT_HEADER_SIZE || offset >= history->end.offset || offset % FORMAT_ALIGN)
		return -EIO;
	first = MIN(first, history->end.offset - offset);
	ret = ttd_history_read(history, record, first, offset);
	if (ret)
		return ret;
	if (first < sizeof(*record) || !ttd_record_fields_valid(record, &history->limits))
		return -EIO;
	size = record_size(record);
	if (size > first)
		ret = ttd_history_read(history, (char *)record + first, size - first,
				       offset + first);
	if (!ret &&
	    (size > history->end.offset - offset || !ttd_record_valid(record, &history->limits)))
		ret = -EIO;
	if (!ret)
		history->buffered = offset;
	return ret;
}

void ttd_history_paint(const struct history *history, uint64_t limit, uint64_t sector,
		       unsigned int count, uint64_t *best)
{
	for (unsigned int i = 0; i < history->num_runs; i++)
		if (history->runs[i].begin < limit)
			ttd_run_paint(&history->runs[i], limit, sector, count, best);
}

uint64_t ttd_history_num_stops(const struct history *history)
{
	uint64_t num = 0;

	for (unsigned int i = 0; i < history->num_runs; i++)
		num += history->runs[i].num_stops;
	return num;
}

const struct format_stop *ttd_history_stop(const struct history *history, uint64_t i)
{
	const struct run *run = history->runs;

	for (; i >= run->num_stops; run++)
		i -= run->num_stops;
	return &run->stops[i];
}

uint64_t ttd_history_num_notes(const struct history *history)
{
	uint64_t num = 0;

	for (unsigned int i = 0; i < history->num_runs; i++)
		num += history->runs[i].num_notes;
	return num;
}

uint64_t ttd_history_note(const struct history *history, uint64_t i)
{
	const struct run *run = history->runs;

	for (; i >= run->num_notes; run++)
		i -= run->num_notes;
	return run->notes[i];
}

/* ------------------------------------------------------------------ appending */

/* The writer's run is long: let the index have it. Failures are made good when the history is closed, or opened. */
static void hand_over_run(struct history *history)
{
	struct run *last = &history->runs[history->num_runs - 1];

	if (history->no_index || last->num_pieces < RUN_PIECES ||
	    history->num_runs == FORMAT_MAX_RUNS || history->output == NULL)
		return;
	finish_run(history);
	add_run(history, &history->end);
	ttd_index_save(history);
}

int ttd_history_append(struct history *history, const struct format_record *wanted,
		       const void *payload, struct span *span, uint64_t *offset)
{
	struct format_record *record;
	uint64_t now = wall_clock();
	struct run *run;
	int ret = history->sync_failed ? ttd_history_sync(history) : 0;

	if (ret)
		return ret;
	run = &history->runs[history->num_runs - 1];
	ret = ttd_run_prepare(run);
	if (!ret)
		ret = ttd_output_reserve(history->output, record_size(wanted), (uint8_t **)&record);
	if (ret)
		return ret;
	*record = (struct format_record){
		.previous = history->end.check,
		.magic = FORMAT_RECORD_MAGIC,
		.type = wanted->type,
		.number = history->end.number,
		.sector = wanted->sector,
		.count = wanted->count,
		.instr =
			wanted->type == FORMAT_SESSION ? 0 : MAX(wanted->instr, history->end.instr),
		.time_ns = MAX(now, history->end.time_ns),
	};
	if (span)
		ttd_span_get(span, record + 1, record_payload(record));
	else if (payload)
		memcpy(record + 1, payload, record_payload(record));
	ttd_record_seal(record, history->limits.salt);
	ttd_output_commit(history->output, record_size(record));
	if (offset)
		*offset = history->end.offset;
	ttd_run_add(run, record);
	history->end = run->end;
	return 0;
}

/* The kernel may have forgotten what it could not write. Is everything on the disk? */
static int verify_unsynced(struct history *history)
{
	const struct format_record *record;
	struct walk walk;
	int ret = ttd_walk_start(&walk, history->fd, &history->limits, &history->synced,
				 history->end.offset);

	if (!ret) {
		while ((ret = ttd_walk_next(&walk, &record)) > 0)
			;
		if (!ret && walk.state.offset != history->end.offset)
			ret = -EIO;
	}
	ttd_walk_end(&walk);
	return ret;
}

int ttd_history_sync(struct history *history)
{
	int ret = ttd_output_sync(history->output);

	if (!ret && history->sync_failed)
		ret = verify_unsynced(history);
	history->sync_failed = ret;
	if (ret)
		return ret;
	history->synced = history->end;
	hand_over_run(history);
	return 0;
}
