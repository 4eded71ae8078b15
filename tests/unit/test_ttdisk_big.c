// SPDX-License-Identifier: GPL-2.0
/*
 * test_ttdisk_big.c - a history of a million records: how much opening it at a random point reads, and what writing it
 * costs. Times are printed; what must hold is counted in bytes and calls, which do not depend on the machine's load.
 *
 * So that the file stays small, 31 of 32 records are discards; TTVM_TEST_DISK_WRITES=1000000 makes all of them writes of
 * 4 KiB (4 GB in $TMPDIR or /tmp).
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "../../ttdisk/ttdisk.h"

#define RECORDS 1000000u
#define BLOCKS	(1u << 18) /* of 4 KiB: 1 GiB */
#define BLOCK	4096u
#define OPENS	20
#define PROBES	50

static double seconds(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

/* Bytes that this process has read with system calls. */
static uint64_t bytes_read(void)
{
	FILE *file = fopen("/proc/self/io", "r");
	unsigned long long bytes = 0;

	if (!file || fscanf(file, "rchar: %llu", &bytes) != 1)
		skip();
	fclose(file);
	return bytes;
}

/* The block that record n is about, and whether it is written or discarded. */
static uint32_t block_of(uint32_t n)
{
	return n * 2654435761u >> 14;
}

static bool is_write(uint32_t n, uint32_t writes)
{
	return (uint64_t)n * writes / RECORDS != (uint64_t)(n + 1) * writes / RECORDS;
}

static void write_all(const char *history, uint32_t writes)
{
	uint32_t data[BLOCK / 4] = { 0 };
	struct iovec iov = { data, sizeof(data) };
	char departure[TTDISK_DEPARTURE_SIZE];
	struct ttdisk_info info;
	double start = seconds();
	struct ttdisk *disk;

	assert_int_equal(ttdisk_open(history, TTDISK_WRITE, NULL, NULL, &disk, NULL), 0);
	assert_int_equal(ttdisk_begin_session(disk, "big", departure, NULL), 0);
	for (uint32_t n = 0; n < RECORDS; n++) {
		uint64_t sector = block_of(n) * 8ull;

		data[0] = n;
		if (is_write(n, writes))
			assert_int_equal(ttdisk_write(disk, sector, &iov, 1, n), 0);
		else
			assert_int_equal(ttdisk_zero(disk, sector, 8, true, n), 0);
		if (n % 20000 == 0)
			assert_int_equal(ttdisk_flush(disk, n), 0);
	}
	ttdisk_get_info(disk, &info);
	print_message("written: %.2f s; %llu bytes of history, %llu calls\n", seconds() - start,
		      (unsigned long long)info.appended_bytes, (unsigned long long)info.appends);
	/* 64 bytes for each record, and a call for each half MiB or flush */
	assert_true(info.appended_bytes <= info.written_bytes + 64ull * (RECORDS + 200));
	assert_true(info.appends <= info.appended_bytes / (400 << 10) + 200);
	assert_int_equal(ttdisk_close(disk), 0);
}

/* What block holds after the records up to n: the last one about it. */
static uint32_t expected(uint32_t block, uint32_t n, uint32_t writes)
{
	for (uint32_t i = n + 1; i--;)
		if (block_of(i) == block)
			return is_write(i, writes) ? i : 0;
	return 0;
}

static void open_anywhere(const char *history, uint32_t writes)
{
	double slowest = 0, probing = 0;
	uint64_t most = 0;

	for (uint32_t i = 0; i < OPENS; i++) {
		uint32_t n = i ? i * 1299709u % RECORDS : RECORDS - 1;
		struct ttdisk_point point = { TTDISK_INSTR, n, "big" };
		uint64_t before = bytes_read(), bytes;
		struct ttdisk_info info;
		struct ttdisk *disk;
		double start = seconds(), took;

		assert_int_equal(ttdisk_open(history, TTDISK_READ, &point, NULL, &disk, NULL), 0);
		took = seconds() - start;
		bytes = bytes_read() - before;
		slowest = took > slowest ? took : slowest;
		most = bytes > most ? bytes : most;
		ttdisk_get_info(disk, &info);
		assert_int_equal(info.scanned_bytes, 0);
		assert_true(info.index_bytes <= 40ull * RECORDS);
		for (uint32_t j = 0; j < PROBES; j++) {
			uint32_t data[BLOCK / 4], block = block_of((n + j * 7919u) % RECORDS);
			struct iovec iov = { data, sizeof(data) };

			start = seconds();
			assert_int_equal(ttdisk_read(disk, block * 8ull, &iov, 1), 0);
			probing += seconds() - start;
			if (j < 5)
				assert_int_equal(data[0], expected(block, n, writes));
		}
		ttdisk_close(disk);
	}
	print_message(
		"opened at %d points: slowest %.4f s, at most %llu bytes read besides the index; "
		"a block read in %.1f us\n",
		OPENS, slowest, (unsigned long long)most, probing / OPENS / PROBES * 1e6);
	/* samples of the base, and 256 records with a buffer's rest */
	assert_true(most <= (4u << 20));
}

static void a_million_records(void **state)
{
	const char *tmp = getenv("TMPDIR"), *wish = getenv("TTVM_TEST_DISK_WRITES");
	uint32_t writes = wish ? (uint32_t)atoi(wish) : RECORDS / 32;
	char folder[200], base[220], history[230], command[230];
	int fd;

	(void)state;
	snprintf(folder, sizeof(folder), "%s/ttdisk-big-XXXXXX", tmp ? tmp : "/tmp");
	assert_non_null(mkdtemp(folder));
	snprintf(base, sizeof(base), "%s/base", folder);
	snprintf(history, sizeof(history), "%s/base.ttd", folder);
	fd = creat(base, 0600);
	assert_int_equal(ftruncate(fd, (off_t)BLOCKS * BLOCK), 0);
	close(fd);
	assert_int_equal(ttdisk_create(history, base, NULL, NULL), 0);
	write_all(history, writes);
	open_anywhere(history, writes);
	snprintf(command, sizeof(command), "rm -rf %s", folder);
	assert_int_equal(system(command), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_million_records),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
