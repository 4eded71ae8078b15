// SPDX-License-Identifier: GPL-2.0
/*
 * index.c - F.ttd.idx: loading what is good of it, and adding to it. Format: format.h.
 *
 * The file is only ever appended to, but for the directories, so whoever has it mapped is not disturbed by the writer. When
 * most of it is runs that were merged into others, a new file takes its place.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>
#include <xxhash.h>

#include "internal.h"

#define COMPACT_FROM (1u << 20) /* bytes: smaller files are left alone */

char *ttd_index_path(const char *history_path, const char *suffix)
{
	char *path;

	return asprintf(&path, "%s%s", history_path, suffix) < 0 ? NULL : path;
}

static uint64_t run_bytes(uint64_t pieces, uint64_t stops, uint64_t notes)
{
	return pieces * sizeof(struct format_piece) + stops * sizeof(struct format_stop) +
	       notes * sizeof(uint64_t);
}

static uint64_t aligned(uint64_t offset)
{
	return (offset + FORMAT_ALIGN - 1) & ~(uint64_t)(FORMAT_ALIGN - 1);
}

static uint64_t directory_check(const struct format_directory *directory)
{
	return XXH64(directory, offsetof(struct format_directory, check), directory->salt);
}

/* ------------------------------------------------------------------ loading */

/* The valid directory of the higher generation, or NULL. */
static const struct format_directory *find_directory(const struct history *history)
{
	static const char text[FORMAT_TEXT_SIZE] = FORMAT_INDEX_TEXT;
	const struct format_directory *best = NULL, *directory = history->index.mapped;

	for (int i = 0; i < 2; i++, directory++) {
		if (memcmp(directory->text, text, sizeof(text)) ||
		    directory->salt != history->header.salt ||
		    directory->num_runs >= FORMAT_MAX_RUNS ||
		    directory->check != directory_check(directory))
			continue;
		if (!best || directory->generation > best->generation)
			best = directory;
	}
	return best;
}

/* Is the record that the run ends with still there? It vouches for all before it. */
static bool end_is_there(struct history *history, const struct format_state *end)
{
	const struct format_record *record;
	uint64_t last = end->last;
	bool there;

	if (end->offset > history->file_size || last >= end->offset || end->in_fold ||
	    end->offset % FORMAT_ALIGN)
		return false;
	history->end.offset = end->offset; /* so that it can be read */
	there = !ttd_history_record(history, last, &record) && record->check == end->check &&
		last + record_size(record) == end->offset && record->number + 1 == end->number;
	history->buffered = 0;
	return there;
}

static bool arrays_are_sorted(const struct run *run)
{
	uint64_t bad = 0;

	for (uint64_t i = 0; i < run->num_stops; i++)
		bad |= run->stops[i].offset < run->begin ||
		       run->stops[i].offset >= run->end.offset ||
		       (i && run->stops[i].offset <= run->stops[i - 1].offset);
	for (uint64_t i = 0; i < run->num_notes; i++)
		bad |= run->notes[i] < run->begin || run->notes[i] >= run->end.offset ||
		       (i && run->notes[i] <= run->notes[i - 1]);
	return !bad;
}

static bool load_run(struct history *history, const struct format_run *entry)
{
	const struct format_state *before =
		history->num_runs ? &history->runs[history->num_runs - 1].end : &history->start;
	struct run *run = &history->runs[history->num_runs];
	char *mapped = history->index.mapped;
	uint64_t limit = history->index.size / sizeof(uint64_t), bytes;

	if (entry->pieces > limit || entry->stops > limit || entry->notes > limit)
		return false;
	bytes = run_bytes(entry->pieces, entry->stops, entry->notes);
	if (entry->offset < FORMAT_INDEX_DATA || entry->offset % FORMAT_ALIGN ||
	    entry->offset > history->index.size || bytes > history->index.size - entry->offset ||
	    entry->end.offset <= before->offset ||
	    XXH64(mapped + entry->offset, bytes, history->header.salt) != entry->check ||
	    !end_is_there(history, &entry->end))
		return false;
	memset(run, 0, sizeof(*run));
	run->pieces = (void *)(mapped + entry->offset);
	run->stops = (void *)(run->pieces + entry->pieces);
	run->notes = (void *)(run->stops + entry->stops);
	run->num_pieces = entry->pieces;
	run->num_stops = entry->stops;
	run->num_notes = entry->notes;
	run->begin = before->offset;
	run->end = entry->end;
	run->file_offset = entry->offset;
	run->check = entry->check;
	if (!arrays_are_sorted(run))
		return false;
	run->levels = ttd_run_find_levels(run);
	history->num_runs++;
	history->index.live += aligned(bytes);
	return true;
}

void ttd_index_load(struct history *history)
{
	struct index_file *index = &history->index;
	char *path = ttd_index_path(history->path, ".idx");
	int fd = path ? open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY) : -1;
	const struct format_directory *directory;
	struct stat st;

	free(path);
	if (fd < 0)
		return;
	if (!fstat(fd, &st) && S_ISREG(st.st_mode) && st.st_size >= FORMAT_INDEX_DATA) {
		index->size = (uint64_t)st.st_size;
		index->mapped = mmap(NULL, index->size, PROT_READ, MAP_SHARED, fd, 0);
		if (index->mapped == MAP_FAILED)
			index->mapped = NULL;
	}
	close(fd);
	if (!index->mapped)
		return;
	directory = find_directory(history);
	if (!directory)
		return;
	index->generation = directory->generation;
	for (uint64_t i = 0; i < directory->num_runs; i++)
		if (!load_run(history, &directory->runs[i]))
			break;
}

void ttd_index_unload(struct history *history)
{
	if (history->index.mapped)
		munmap(history->index.mapped, history->index.size);
	history->index.mapped = NULL;
}

/* ------------------------------------------------------------------ saving */

static int write_all(int fd, const void *from, uint64_t len, uint64_t offset)
{
	const char *at = from;

	while (len) {
		ssize_t ret = pwrite(fd, at, len, (off_t)offset);

		if (ret < 0 && errno == EINTR)
			continue;
		if (ret <= 0)
			return ret ? -errno : -EIO;
		at += ret;
		offset += (uint64_t)ret;
		len -= (uint64_t)ret;
	}
	return 0;
}

/* Append the arrays of a run at *end, and fill in the directory's entry. */
static int save_run(const struct history *history, int fd, struct run *run, uint64_t *end,
		    struct format_run *entry)
{
	uint64_t pieces = run->num_pieces * sizeof(*run->pieces);
	uint64_t stops = run->num_stops * sizeof(*run->stops);
	uint64_t bytes = run_bytes(run->num_pieces, run->num_stops, run->num_notes);
	char *copy = malloc(MAX(bytes, 1));
	int ret;

	if (!copy)
		return -ENOMEM;
	if (pieces)
		memcpy(copy, run->pieces, pieces);
	if (stops)
		memcpy(copy + pieces, run->stops, stops);
	if (run->num_notes)
		memcpy(copy + pieces + stops, run->notes, bytes - pieces - stops);
	*end = aligned(*end);
	ret = write_all(fd, copy, bytes, *end);
	*entry = (struct format_run){
		.offset = *end,
		.pieces = run->num_pieces,
		.stops = run->num_stops,
		.notes = run->num_notes,
		.check = XXH64(copy, bytes, history->header.salt),
		.end = run->end,
	};
	free(copy);
	if (ret)
		return ret;
	run->file_offset = *end;
	*end += bytes;
	return 0;
}

static bool worth_saving(const struct history *history)
{
	for (unsigned int i = 0; i < history->num_runs; i++)
		if (!history->runs[i].file_offset &&
		    history->runs[i].end.offset > history->runs[i].begin)
			return true;
	return false;
}

/* All runs, those that are in the file already (unless all is set) by reference. */
static int save_to(struct history *history, int fd, uint64_t end, bool all)
{
	struct format_directory *directory = calloc(1, sizeof(*directory));
	uint64_t live = 0;
	int ret = directory ? 0 : -ENOMEM;

	for (unsigned int i = 0; i < history->num_runs && !ret; i++) {
		struct run *run = &history->runs[i];
		struct format_run *entry = &directory->runs[directory->num_runs];

		if (run->end.offset == run->begin)
			continue;
		if (directory->num_runs == FORMAT_MAX_RUNS - 1)
			break; /* what comes behind will be read from the history */
		if (!run->file_offset || all)
			ret = save_run(history, fd, run, &end, entry);
		else
			*entry = (struct format_run){
				.offset = run->file_offset,
				.pieces = run->num_pieces,
				.stops = run->num_stops,
				.notes = run->num_notes,
				.check = run->check,
				.end = run->end,
			};
		run->check = entry->check;
		live += aligned(run_bytes(run->num_pieces, run->num_stops, run->num_notes));
		directory->num_runs++;
	}
	if (!ret) {
		memcpy(directory->text, FORMAT_INDEX_TEXT, sizeof(FORMAT_INDEX_TEXT));
		directory->salt = history->header.salt;
		directory->generation = history->index.generation + 1;
		directory->check = directory_check(directory);
		ret = write_all(fd, directory, sizeof(*directory),
				directory->generation % 2 * sizeof(*directory));
	}
	if (!ret) {
		history->index.generation++;
		history->index.live = live;
		if (end < FORMAT_INDEX_DATA && ftruncate(fd, FORMAT_INDEX_DATA))
			ret = -errno;
	}
	free(directory);
	return ret;
}

static int replace_file(struct history *history, const char *path)
{
	char *new_path = ttd_index_path(path, ".new");
	int fd = new_path ? open(new_path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0666) : -1;
	int ret = fd < 0 ? -errno : 0;

	if (!ret)
		ret = save_to(history, fd, FORMAT_INDEX_DATA, true);
	if (fd >= 0 && close(fd) && !ret)
		ret = -errno;
	if (!ret && rename(new_path, path))
		ret = -errno;
	if (ret && fd >= 0)
		unlink(new_path);
	if (ret) { /* the next time, everything again */
		history->index.generation = 0;
		for (unsigned int i = 0; i < history->num_runs; i++)
			history->runs[i].file_offset = 0;
	}
	free(new_path);
	return ret;
}

int ttd_index_save(struct history *history)
{
	char *path;
	struct stat st;
	int fd, ret = 0;

	if (!worth_saving(history))
		return 0;
	path = ttd_index_path(history->path, ".idx");
	if (!path)
		return -ENOMEM;
	fd = history->index.generation ? open(path, O_RDWR | O_CLOEXEC) : -1;
	if (fd < 0 || fstat(fd, &st) || st.st_size < FORMAT_INDEX_DATA ||
	    (uint64_t)st.st_size > COMPACT_FROM + 3 * history->index.live)
		ret = replace_file(history, path);
	else
		ret = save_to(history, fd, (uint64_t)st.st_size, false);
	if (fd >= 0)
		close(fd);
	free(path);
	return ret;
}
