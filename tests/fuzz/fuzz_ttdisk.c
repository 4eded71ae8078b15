// SPDX-License-Identifier: GPL-2.0
/*
 * fuzz_ttdisk.c - libFuzzer target: any bytes given to the reader of a time-travel disk's history, or of its index.
 *
 * sources: ttdisk/[a-z]*.c
 *
 *   tests/fuzz/build tests/fuzz/fuzz_ttdisk.c build/fuzz_ttdisk
 *   build/fuzz_ttdisk -max_total_time=60
 *
 * The first byte chooses what the rest is:
 *   0  a history
 *   1  records: of each the fields, and some of the payload; the harness puts in what no fuzzer finds, which is numbers,
 *      the chain, and hashes
 *   2  changes to a good history, each 3 bytes: offset (16 bits), value
 *   3  changes to its index, of which the hashes are mended
 * Nothing may crash or hang, and reading twice gives the same.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>
#include <xxhash.h>

#include "../../ttdisk/internal.h"

#define SECTORS 300u

static char folder[64], base[96], history[96], index_name[104];
static uint8_t *good, *good_index;
static size_t good_size, good_index_size;

static uint8_t *load(const char *path, size_t *size)
{
	struct stat st;
	uint8_t *data;
	int fd = open(path, O_RDONLY);

	if (fd < 0 || fstat(fd, &st))
		abort();
	*size = (size_t)st.st_size;
	data = malloc(*size);
	if (read(fd, data, *size) != st.st_size)
		abort();
	close(fd);
	return data;
}

static void save(const char *path, const uint8_t *data, size_t size)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);

	if (fd < 0 || write(fd, data, size) != (ssize_t)size)
		abort();
	close(fd);
}

static void clean_up(void)
{
	unlink(base);
	unlink(history);
	unlink(index_name);
	rmdir(folder);
}

/* Everything that can be in a history, folds included. */
static void make_good_history(void)
{
	char data[1024] = "sectors", departure[TTDISK_DEPARTURE_SIZE];
	struct ttdisk_gc_options options = { .keep_epochs = 5 };
	struct ttdisk_gc_result result;
	struct iovec iov = { data, sizeof(data) };
	struct ttdisk *disk;

	snprintf(folder, sizeof(folder), "%s/fuzz-ttdisk-XXXXXX",
		 access("/dev/shm", W_OK) ? "/tmp" : "/dev/shm");
	if (!mkdtemp(folder))
		abort();
	snprintf(base, sizeof(base), "%s/base", folder);
	snprintf(history, sizeof(history), "%s/base.ttd", folder);
	snprintf(index_name, sizeof(index_name), "%s/base.ttd.idx", folder);
	save(base, NULL, 0);
	if (truncate(base, SECTORS * TTDISK_SECTOR) || ttdisk_create(history, base, NULL, NULL))
		abort();
	for (int round = 0; round < 2; round++) {
		if (ttdisk_open(history, TTDISK_WRITE, NULL, NULL, &disk, NULL) ||
		    ttdisk_begin_session(disk, round ? "second" : "first", departure, NULL))
			abort();
		for (uint64_t i = 0; i < 10; i++)
			if (ttdisk_write(disk, i * 27, &iov, 1, i) ||
			    ttdisk_zero(disk, i * 20, 90, i % 2, i) || ttdisk_flush(disk, i) ||
			    (i == 3 && ttdisk_mark(disk, round ? "b" : "a", NULL, NULL)))
				abort();
		ttdisk_close(disk);
		if (!round && ttdisk_gc(history, &options, &result, NULL))
			abort();
	}
	good = load(history, &good_size);
	good_index = load(index_name, &good_index_size);
	atexit(clean_up);
}

/* ------------------------------------------------------------------ looking at everything */

static int nothing(void *ctx, uint64_t sector, uint64_t count)
{
	(void)ctx;
	return sector + count > SECTORS ? -ERANGE : 0;
}

static uint64_t read_point(const struct ttdisk_point *point, bool no_index)
{
	static uint8_t data[SECTORS * TTDISK_SECTOR];
	struct ttdisk_options options = { .no_index = no_index };
	struct iovec iov = { data, sizeof(data) };
	struct ttdisk_session session = { 0 };
	struct ttdisk_epoch epoch = { 0 };
	struct ttdisk_mark mark = { 0 };
	struct tt_error err = { 0 };
	struct ttdisk_info info;
	struct ttdisk *disk;
	uint64_t sum = 0, count;
	bool zero;

	if (ttdisk_open(history, TTDISK_READ, point, &options, &disk, &err))
		return 0;
	ttdisk_get_info(disk, &info);
	if (info.sectors == SECTORS && !ttdisk_read(disk, 0, &iov, 1))
		sum = XXH64(data, sizeof(data), 0);
	while (ttdisk_next_epoch(disk, &epoch, &err) > 0)
		;
	while (ttdisk_next_mark(disk, &mark, &err) > 0)
		;
	while (ttdisk_next_session(disk, &session, &err) > 0)
		;
	for (uint64_t sector = 0; sector < info.sectors && sector < SECTORS; sector += count)
		if (ttdisk_extent(disk, sector, 100, &count, &zero))
			break;
	if (ttdisk_seek(disk, &(struct ttdisk_point){ .kind = TTDISK_BASE }, nothing, NULL, &err) ==
		    -ERANGE &&
	    info.sectors == SECTORS)
		abort();
	ttdisk_close(disk);
	return sum;
}

/* At one of the points; which one is not up to the fuzzer, so that it tries them all. */
static void look(bool index_is_ours)
{
	static unsigned int turn;
	const struct ttdisk_point points[] = {
		{ .kind = TTDISK_NOW },
		{ .kind = TTDISK_EPOCH, .number = 7 },
		{ .kind = TTDISK_MARK, .name = "a" },
		{ .kind = TTDISK_INSTR, .name = "second", .number = 4 },
		{ .kind = TTDISK_TIME, .number = UINT64_MAX / 2 },
	};
	struct ttdisk_check_result result;
	struct tt_error err;

	const struct ttdisk_point *point = &points[turn++ % (sizeof(points) / sizeof(*points))];
	uint64_t sum = read_point(point, false), same = read_point(point, true);

	/* an index that nobody has tampered with says what the history says */
	if (index_is_ours && sum != same)
		abort();
	if (turn % 16 == 0)
		ttdisk_check(history, 0, &result, &err);
}

/* ------------------------------------------------------------------ what is tried */

static void try_records(const uint8_t *data, size_t size)
{
	uint8_t *file = calloc(1, FORMAT_HEADER_SIZE + (size + 32) * 40);
	struct format_header *header = (void *)file;
	struct format_state state = { .offset = FORMAT_HEADER_SIZE };
	struct record_limits limits = { .sectors = SECTORS };

	memcpy(file, good, FORMAT_HEADER_SIZE);
	state.check = limits.salt = header->salt;
	for (; size >= 16; data += 16, size -= 16) {
		struct format_record *record = (void *)(file + state.offset);

		*record = (struct format_record){
			.previous = state.check,
			.magic = FORMAT_RECORD_MAGIC,
			.type = data[0] % 10,
			.flags = data[1] & FORMAT_FOLDED,
			.number = data[2] & 1 ? data[3] : state.number,
			.sector = (uint64_t)data[4] << (data[5] & 63) | data[6],
			.count = (uint64_t)data[7] << (data[8] & 63) | data[9],
			.instr = data[10],
			.time_ns = data[11],
		};
		if (record->type == FORMAT_WRITE)
			record->count &= 1; /* so that the file stays short */
		if (record->type == FORMAT_FLUSH && data[4] & 1)
			record->sector = state.epoch + 1;
		if (record_payload(record))
			memcpy(record + 1, data + 12, 4);
		if (record->type == FORMAT_FOLD) {
			record[1] = record[0];
			record[1].type = data[12] % 9;
		}
		ttd_record_seal(record, limits.salt);
		if (ttd_record_valid(record, &limits) && ttd_record_follows(&state, record))
			ttd_record_advance(&state, record);
	}
	save(history, file, state.offset);
	unlink(index_name);
	look(true);
	free(file);
}

static void change(uint8_t *copy, size_t copy_size, const uint8_t *data, size_t size)
{
	for (; size >= 3; data += 3, size -= 3)
		copy[(data[0] | data[1] << 8) % copy_size] = data[2];
}

static void try_index(const uint8_t *data, size_t size)
{
	uint8_t *copy = malloc(good_index_size);
	uint64_t salt = ((struct format_header *)good)->salt;

	memcpy(copy, good_index, good_index_size);
	change(copy, good_index_size, data, size);
	for (int i = 0; i < 2; i++) {
		struct format_directory *directory = (struct format_directory *)copy + i;

		for (uint64_t j = 0; j < directory->num_runs && j < FORMAT_MAX_RUNS - 1; j++) {
			struct format_run *run = &directory->runs[j];
			uint64_t bytes = run->pieces * 16 + run->stops * 16 + run->notes * 8;

			if (run->pieces < 100000 && run->stops < 100000 && run->notes < 100000 &&
			    run->offset < good_index_size && bytes <= good_index_size - run->offset)
				run->check = XXH64(copy + run->offset, bytes, salt);
		}
		directory->check =
			XXH64(directory, offsetof(struct format_directory, check), directory->salt);
	}
	save(history, good, good_size);
	save(index_name, copy, good_index_size);
	look(false);
	free(copy);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	uint8_t *copy;

	if (!good)
		make_good_history();
	if (!size)
		return 0;
	switch (data[0] % 4) {
	case 0:
		save(history, data + 1, size - 1);
		unlink(index_name);
		look(true);
		break;
	case 1:
		try_records(data + 1, size - 1);
		break;
	case 2:
		copy = malloc(good_size);
		memcpy(copy, good, good_size);
		change(copy, good_size, data + 1, size - 1);
		save(history, copy, good_size);
		save(index_name, good_index, good_index_size);
		look(false);
		free(copy);
		break;
	case 3:
		try_index(data + 1, size - 1);
		break;
	}
	return 0;
}
