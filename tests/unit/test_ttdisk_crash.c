// SPDX-License-Identifier: GPL-2.0
/*
 * test_ttdisk_crash.c - the time-travel disk when things go wrong: files cut anywhere, flipped bits, kill -9, full and
 * failing disks. What was flushed is there, and nothing that was not written.
 *
 * This file has its own pwrite(), fdatasync() and fallocate(), which the linker prefers to libc's: with no_io_uring the
 * history is written through them.
 */
#include "disk_model.h"

#include <signal.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>

/* ------------------------------------------------------------------ a disk with faults */

#define BLOCK	   4096u
#define MAX_BLOCKS 4096u

static struct {
	uint64_t room;		 /* no byte behind this offset can be written; 0: no such limit */
	unsigned int fail_syncs; /* so many calls of fdatasync() fail */
	bool forget;		 /* ... and lose what was written since the last one that did not */
	uint64_t synced;	 /* size of the file then */
	bool unwritten[MAX_BLOCKS]; /* blocks that read as zeroes after a power failure, as ext4's do: see output.c */
	int error;
} faults;

ssize_t pwrite(int fd, const void *data, size_t size, off_t offset)
{
	if (faults.room && (uint64_t)offset + size > faults.room) {
		if ((uint64_t)offset >= faults.room) {
			errno = faults.error;
			return -1;
		}
		size = faults.room - (uint64_t)offset;
	}
	return syscall(SYS_pwrite64, fd, data, size, offset);
}

int fdatasync(int fd)
{
	struct stat st;

	(void)fd; /* processes die here, machines do not: no need to wait for the disk */
	if (!faults.fail_syncs)
		return 0;
	faults.fail_syncs--;
	if (faults.forget && !fstat(fd, &st)) {
		/* as a kernel that dropped its dirty pages: zeroes */
		if (ftruncate(fd, (off_t)faults.synced) || ftruncate(fd, st.st_size))
			abort();
	}
	if (!fstat(fd, &st))
		for (uint64_t i = (faults.synced + BLOCK - 1) / BLOCK; i * BLOCK < (uint64_t)st.st_size; i++)
			faults.unwritten[i % MAX_BLOCKS] = true;
	errno = EIO;
	return -1;
}

/* New blocks for old ones. */
int fallocate(int fd, int mode, off_t offset, off_t len)
{
	for (uint64_t i = ((uint64_t)offset + BLOCK - 1) / BLOCK; (i + 1) * BLOCK <= (uint64_t)(offset + len); i++)
		faults.unwritten[i % MAX_BLOCKS] = false;
	return (int)syscall(SYS_fallocate, fd, mode, offset, len);
}

static void power_failure(const char *path)
{
	static const char zeroes[BLOCK];
	struct stat st;
	int fd = open(path, O_WRONLY);

	assert_true(fd >= 0 && !fstat(fd, &st) && (uint64_t)st.st_size <= MAX_BLOCKS * BLOCK);
	for (uint64_t i = 0; i * BLOCK < (uint64_t)st.st_size; i++)
		if (faults.unwritten[i])
			assert_int_equal(pwrite(fd, zeroes, MIN(BLOCK, (uint64_t)st.st_size - i * BLOCK),
						(off_t)(i * BLOCK)) > 0, true);
	close(fd);
}

static int no_faults(void **unused)
{
	(void)unused;
	memset(&faults, 0, sizeof(faults));
	return 0;
}

int fsync(int fd)
{
	(void)fd;
	return 0;
}

/* ------------------------------------------------------------------ cuts and flips */

/* Offsets behind each record of the history. */
static uint64_t *record_ends(struct model *m)
{
	uint64_t *ends = calloc(m->num + 1, sizeof(*ends));
	struct format_record record;
	uint64_t offset = FORMAT_HEADER_SIZE;
	int fd = open(m->path, O_RDONLY);

	assert_true(ends && fd >= 0);
	ends[0] = offset;
	for (uint64_t i = 0; i < m->num; i++) {
		assert_int_equal(pread(fd, &record, sizeof(record), (off_t)offset), sizeof(record));
		offset += record_size(&record);
		ends[i + 1] = offset;
	}
	close(fd);
	return ends;
}

static void act_until(struct model *m, uint64_t records)
{
	while (m->num < records)
		model_act(m);
	model_flush(m);
}

static void remove_index(const char *path)
{
	char index[140];

	snprintf(index, sizeof(index), "%s.idx", path);
	unlink(index);
}

/* Whatever is cut off: the records before are there, whole; and writing goes on behind them. */
static void a_cut_file_keeps_its_beginning(void **unused)
{
	char path[120], index[140], cut_index[140];
	struct ttdisk_check_result result;
	uint64_t *ends, size, cut;
	struct model m;

	(void)unused;
	model_create(&m, 31);
	act_until(&m, 600);
	model_close(&m);
	ends = record_ends(&m);
	size = ends[m.num];
	snprintf(path, sizeof(path), "%s/cut.ttd", m.folder);
	snprintf(index, sizeof(index), "%s.idx", m.path);
	snprintf(cut_index, sizeof(cut_index), "%s.idx", path);
	for (int i = 0; i < 250; i++) {
		uint64_t n = model_random(&m, m.num);
		struct iovec iov = { m.memory, 4096 };
		struct ttdisk *disk;

		/* anywhere, and around the ends of records */
		cut = FORMAT_HEADER_SIZE + model_random(&m, size - FORMAT_HEADER_SIZE);
		if (i % 2)
			cut = MIN(size, ends[n] + model_random(&m, 130));
		for (n = m.num; ends[n] > cut;)
			n--;
		copy_file(m.path, path, cut);
		remove_index(path);
		if (i % 3) /* with an index that knows more than the file has */
			copy_file(index, cut_index, UINT64_MAX);
		assert_point(&m, path, NULL, n);
		assert_int_equal(ttdisk_check(path, 0, &result, NULL), 0);
		assert_int_equal(result.health, cut == ends[n] ? TTDISK_CLEAN : TTDISK_CUT);
		assert_int_equal(result.records, n);
		assert_int_equal(result.dropped_bytes, cut - ends[n]);
		if (i % 10)
			continue;
		assert_int_equal(ttdisk_open(path, TTDISK_WRITE, NULL, NULL, &disk, NULL), 0);
		memset(m.memory, 0xaa, 4096);
		assert_int_equal(ttdisk_write(disk, 16, &iov, 1, 1u << 30), 0);
		assert_int_equal(ttdisk_close(disk), 0);
		assert_int_equal(ttdisk_check(path, 0, &result, NULL), 0);
		assert_int_equal(result.health, TTDISK_CLEAN);
		assert_int_equal(result.records, n + 1);
	}
	free(ends);
	model_destroy(&m);
}

/* Every byte of a short history. */
static void a_file_cut_at_each_byte(void **unused)
{
	uint64_t *ends, n = 0;
	char path[120];
	struct model m;

	(void)unused;
	model_create(&m, 32);
	for (int i = 0; i < 3; i++)
		assert_int_equal(model_write(&m, (uint32_t)i, 1), 0);
	model_zero(&m, 1, 5, true);
	model_flush(&m);
	assert_int_equal(ttdisk_mark(m.disk, "mark", NULL, NULL), 0);
	model_catch_up(&m, 0);
	model_close(&m);
	ends = record_ends(&m);
	snprintf(path, sizeof(path), "%s/cut.ttd", m.folder);
	for (uint64_t cut = FORMAT_HEADER_SIZE; cut <= ends[m.num]; cut++) {
		struct ttdisk *disk;
		struct ttdisk_info info;

		while (n < m.num && ends[n + 1] <= cut)
			n++;
		copy_file(m.path, path, cut);
		assert_int_equal(ttdisk_open(path, TTDISK_READ, NULL, NULL, &disk, NULL), 0);
		ttdisk_get_info(disk, &info);
		assert_int_equal(info.records, n);
		ttdisk_close(disk);
	}
	assert_int_equal(n, m.num);
	free(ends);
	model_destroy(&m);
}

static void flip(const char *path, uint64_t offset, uint8_t bits)
{
	int fd = open(path, O_RDWR);
	uint8_t byte;

	assert_int_equal(pread(fd, &byte, 1, (off_t)offset), 1);
	byte ^= bits;
	assert_int_equal(pwrite(fd, &byte, 1, (off_t)offset), 1);
	close(fd);
}

/* One flipped bit: points before it are right, those behind are refused, and nothing wrong is ever read. */
static void a_flipped_bit_is_found(void **unused)
{
	struct ttdisk_point point = { .kind = TTDISK_EPOCH };
	struct ttdisk_check_result result;
	char path[120], index[140], flipped_index[140];
	struct tt_error err = { 0 };
	struct ttdisk *disk;
	uint64_t *ends;
	struct model m;

	(void)unused;
	model_create(&m, 33);
	act_until(&m, 400);
	model_close(&m);
	ends = record_ends(&m);
	snprintf(path, sizeof(path), "%s/flipped.ttd", m.folder);
	snprintf(index, sizeof(index), "%s.idx", m.path);
	snprintf(flipped_index, sizeof(flipped_index), "%s.idx", path);
	for (int i = 0; i < 120; i++) {
		uint64_t bad = model_random(&m, m.num), at;
		uint32_t versions[MODEL_SECTORS];

		at = ends[bad] + model_random(&m, ends[bad + 1] - ends[bad]);
		copy_file(m.path, path, UINT64_MAX);
		flip(path, at, (uint8_t)(1u << i % 8));
		remove_index(path);
		assert_int_equal(ttdisk_check(path, 0, &result, NULL), 0);
		assert_int_equal(result.records, bad);
		/* in the last flush itself it looks like the end of a killed writer */
		if (bad + 1 < m.num) {
			assert_int_equal(result.health, TTDISK_DAMAGED);
			assert_int_equal(ttdisk_open(path, TTDISK_WRITE, NULL, NULL, &disk, NULL),
					 -EUCLEAN);
			assert_int_equal(ttdisk_open(path, TTDISK_READ, NULL, NULL, &disk, &err),
					 -EUCLEAN);
			assert_non_null(strstr(err.text, "ttvm disk check"));
		} else {
			assert_int_not_equal(result.health, TTDISK_CLEAN);
		}
		point.number = model_random(&m, m.ops[bad].epoch + 1);
		if (point.number && m.ops[bad].epoch == point.number && bad + 1 < m.num &&
		    m.ops[bad].count == 0)
			point.number--; /* the damaged record is the flush itself */
		if (!ttdisk_open(path, TTDISK_READ, &point, NULL, &disk, NULL)) {
			struct ttdisk_info info;

			ttdisk_get_info(disk, &info);
			model_at(&m, info.point_record, versions);
			assert_content(&m, disk, versions);
			ttdisk_close(disk);
		} else {
			assert_true(point.number >= m.ops[bad].epoch);
		}
		/* behind an index that does not know: sectors are right, or cannot be read */
		copy_file(index, flipped_index, UINT64_MAX);
		if (ttdisk_open(path, TTDISK_READ, NULL, NULL, &disk, NULL))
			continue;
		for (uint32_t s = 0; s < MODEL_SECTORS; s++) {
			struct iovec iov = { m.memory, TTDISK_SECTOR };
			uint8_t wanted[TTDISK_SECTOR];

			if (ttdisk_read(disk, s, &iov, 1))
				continue;
			model_fill(wanted, m.versions[s], s);
			assert_memory_equal(wanted, m.memory, TTDISK_SECTOR);
		}
		ttdisk_close(disk);
	}
	free(ends);
	model_destroy(&m);
}

/* Whatever is in the index: what is read is right. */
static void a_damaged_index_does_no_harm(void **unused)
{
	char index[140], good[140];
	struct ttdisk_check_result result;
	struct stat st;
	struct model m;

	(void)unused;
	model_create(&m, 34);
	act_until(&m, 300);
	model_close(&m);
	snprintf(index, sizeof(index), "%s.idx", m.path);
	snprintf(good, sizeof(good), "%s.good", m.path);
	assert_int_equal(stat(index, &st), 0);
	copy_file(index, good, UINT64_MAX);
	assert_int_equal(ttdisk_check(m.path, 0, &result, NULL), 0);
	assert_true(result.index_good);
	for (int i = 0; i < 60; i++) {
		uint64_t size = (uint64_t)st.st_size;

		copy_file(good, index, i % 4 ? UINT64_MAX : model_random(&m, size));
		if (i % 4)
			flip(index, model_random(&m, i % 2 ? size : 300), 0x10);
		assert_point(&m, m.path, NULL, m.num);
	}
	unlink(index);
	assert_int_equal(ttdisk_check(m.path, 0, &result, NULL), 0);
	assert_false(result.index_good);
	assert_int_equal(ttdisk_check(m.path, TTDISK_REPAIR, &result, NULL), 0);
	assert_int_equal(ttdisk_check(m.path, 0, &result, NULL), 0);
	assert_true(result.index_good);
	model_destroy(&m);
}

/*
 * A power failure before the flush was answered: the FLUSH record is on the disk, a page before it is not. That is no
 * damage; the same gap with other bytes in it is.
 */
static void a_missing_page_is_no_damage(void **unused)
{
	struct ttdisk_check_result result;
	uint8_t page[4096] = { 0 };
	uint64_t *ends, at;
	struct model m;
	int fd;

	(void)unused;
	for (int garbage = 0; garbage < 2; garbage++) {
		model_create(&m, 36);
		act_until(&m, 100);
		for (int i = 0; i < 30; i++)
			assert_int_equal(model_write(&m, (uint32_t)i * 8, 8), 0);
		model_flush(&m);
		model_close(&m);
		ends = record_ends(&m);
		at = (ends[m.num - 20] + 4095) / 4096 * 4096;
		memset(page, garbage, sizeof(page));
		fd = open(m.path, O_RDWR);
		assert_int_equal(pwrite(fd, page, sizeof(page), (off_t)at), sizeof(page));
		close(fd);
		remove_index(m.path);
		assert_int_equal(ttdisk_check(m.path, 0, &result, NULL), 0);
		assert_int_equal(result.health, garbage ? TTDISK_DAMAGED : TTDISK_CUT);
		assert_int_equal(result.records, m.num - 20);
		assert_int_equal(result.dropped_records, 18);
		free(ends);
		model_destroy(&m);
	}
}

static void check_repairs(void **unused)
{
	struct ttdisk_check_result result;
	char dropped[140];
	uint64_t *ends, size;
	struct stat st;
	struct model m;

	(void)unused;
	model_create(&m, 35);
	act_until(&m, 200);
	model_close(&m);
	ends = record_ends(&m);
	size = ends[m.num];
	flip(m.path, ends[100] + 3, 1);
	assert_int_equal(ttdisk_check(m.path, TTDISK_REPAIR, &result, NULL), 0);
	assert_int_equal(result.health, TTDISK_DAMAGED);
	assert_true(result.repaired);
	assert_int_equal(result.dropped_bytes, size - ends[100]);
	assert_int_equal(result.dropped_records, m.num - 101);
	snprintf(dropped, sizeof(dropped), "%s.dropped", m.path);
	assert_int_equal(stat(dropped, &st), 0);
	assert_int_equal(st.st_size, size - ends[100]);
	assert_int_equal(ttdisk_check(m.path, 0, &result, NULL), 0);
	assert_int_equal(result.health, TTDISK_CLEAN);
	assert_point(&m, m.path, NULL, 100);
	free(ends);
	model_destroy(&m);
}

/* ------------------------------------------------------------------ kill -9 */

struct shared {
	_Atomic uint64_t flushed; /* records, when a flush had returned */
	_Atomic uint64_t written;
};

/* The same seed, the same records. */
static void write_until_killed(struct model *m, uint64_t seed, struct shared *shared)
{
	m->seed = seed;
	for (;;) {
		model_act(m);
		atomic_store(&shared->written, m->num);
		if (m->disk->history->synced.offset == m->disk->history->end.offset)
			atomic_store(&shared->flushed, m->num);
	}
}

static void a_killed_writer_loses_nothing_flushed(void **unused)
{
	struct shared *shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE,
				     MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	uint64_t total = 0;

	(void)unused;
	assert_ptr_not_equal(shared, MAP_FAILED);
	for (uint64_t seed = 100; seed < 150; seed++) {
		struct ttdisk_check_result result;
		struct model m;
		pid_t child;
		int status;

		model_create_over(&m, seed);
		shared->flushed = shared->written = 0;
		fflush(NULL);
		child = fork();
		if (!child) {
			model_open(&m, seed % 2);
			write_until_killed(&m, seed, shared);
		}
		for (int i = 0; i < 10000 && shared->written < seed % 10 * 200; i++)
			usleep(100);
		usleep((useconds_t)model_random(&m, 3000));
		kill(child, SIGKILL);
		assert_int_equal(waitpid(child, &status, 0), child);
		assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);

		assert_int_equal(ttdisk_check(m.path, 0, &result, NULL), 0);
		assert_int_not_equal(result.health, TTDISK_DAMAGED);
		assert_true(result.records >= shared->flushed);
		/* the same again, to compare with */
		model_open(&m, true);
		total += m.disk->history->end.number;
		model_close(&m);
		if (result.records) {
			struct model same;

			model_create_over(&same, seed);
			model_open(&same, true);
			same.seed = seed;
			while (same.num < result.records)
				model_act(&same);
			model_close(&same);
			assert_point(&same, m.path, NULL, result.records);
			model_destroy(&same);
		}
		model_destroy(&m);
	}
	assert_true(total > 0);
	munmap(shared, sizeof(*shared));
}

/* ------------------------------------------------------------------ full and failing disks */

/* Write and flush until it fails; what was taken stays readable, and is on the disk when there is room again. */
static void a_full_disk_is_survived(void **unused)
{
	uint32_t taken[MODEL_SECTORS];
	struct model m;
	int ret = 0;

	(void)unused;
	model_create_over(&m, 41);
	model_open(&m, true);
	faults.error = ENOSPC;
	faults.room = 3000000;
	memcpy(taken, m.versions, sizeof(taken));
	for (int i = 0; !ret; i++) {
		memcpy(taken, m.versions, sizeof(taken));
		assert_true(i < 100000);
		ret = model_write(&m, (uint32_t)i * 8 % 1496, 8);
		if (!ret && i % 100 == 99) {
			ret = ttdisk_flush(m.disk, m.instr);
			model_catch_up(&m, 0);
			memcpy(taken, m.versions, sizeof(taken));
		}
	}
	assert_int_equal(ret, -ENOSPC);
	assert_content(&m, m.disk, taken);
	assert_int_equal(ttdisk_flush(m.disk, m.instr), -ENOSPC);
	assert_content(&m, m.disk, taken);
	faults.room = 0;
	assert_int_equal(model_write(&m, 0, 100), 0);
	model_catch_up(&m, 0);
	model_flush(&m);
	assert_content(&m, m.disk, m.versions);
	model_close(&m);
	assert_point(&m, m.path, NULL, m.num);
	model_destroy(&m);
}

/* The kernel's own refusal, with io_uring, too. */
static int reach_size_limit(struct model *m, bool no_io_uring)
{
	struct rlimit limit = { 1500000, RLIM_INFINITY };
	int ret = 0;

	signal(SIGXFSZ, SIG_IGN);
	if (setrlimit(RLIMIT_FSIZE, &limit))
		return 2;
	model_open(m, no_io_uring);
	for (int i = 0; i < 100000 && !ret; i++)
		ret = model_write(m, (uint32_t)i * 8 % 1496, 8);
	if (ret != -EFBIG || ttdisk_flush(m->disk, 0) != -EFBIG)
		return 3;
	limit.rlim_cur = RLIM_INFINITY;
	if (setrlimit(RLIMIT_FSIZE, &limit) || ttdisk_flush(m->disk, 0))
		return 4;
	return ttdisk_close(m->disk) ? 5 : 0;
}

static void a_size_limit_is_survived(void **unused)
{
	(void)unused;
	for (int no_io_uring = 0; no_io_uring < 2; no_io_uring++) {
		struct ttdisk_check_result result;
		struct model m;
		pid_t child;
		int status;

		model_create_over(&m, 42);
		fflush(NULL);
		child = fork();
		if (!child)
			_exit(reach_size_limit(&m, no_io_uring));
		assert_int_equal(waitpid(child, &status, 0), child);
		assert_true(WIFEXITED(status));
		assert_int_equal(WEXITSTATUS(status), 0);
		assert_int_equal(ttdisk_check(m.path, 0, &result, NULL), 0);
		assert_int_equal(result.health, TTDISK_CLEAN);
		assert_int_equal(result.epochs, 1);
		assert_true(result.valid_bytes > 1500000);
		model_destroy(&m);
	}
}

/* A flush that failed is not forgotten: the next one writes everything again, or fails, too. */
static void a_failed_flush_is_repeated(void **unused)
{
	struct model m;

	(void)unused;
	model_create_over(&m, 43);
	model_open(&m, true);
	for (int i = 0; i < 50; i++)
		model_act(&m);
	faults.fail_syncs = 2;
	assert_int_equal(model_write(&m, 5, 5), 0);
	assert_int_equal(ttdisk_flush(m.disk, m.instr), -EIO);
	assert_int_equal(ttdisk_flush(m.disk, m.instr), -EIO);
	assert_int_equal(ttdisk_flush(m.disk, m.instr), 0);
	model_catch_up(&m, 0);
	model_close(&m);
	assert_point(&m, m.path, NULL, m.num);
	model_destroy(&m);
}

/* A disk with one epoch on stable storage, and after that `writes` writes of 100 KiB, whose flush will fail. */
static void write_what_fails(struct model *m, int writes, unsigned int fail_syncs)
{
	struct stat st;

	model_create_over(m, 44);
	model_open(m, true);
	assert_int_equal(model_write(m, 5, 5), 0);
	model_flush(m);
	assert_int_equal(stat(m->path, &st), 0);
	faults.synced = (uint64_t)st.st_size;
	for (int i = 0; i < writes; i++)
		assert_int_equal(model_write(m, (uint32_t)i * 7 % 1300, 200), 0);
	faults.fail_syncs = fail_syncs;
	assert_int_equal(ttdisk_flush(m->disk, m->instr), -EIO);
}

/* A flush that succeeds after others have failed is true also for who looks at the disk itself. */
static void failed_blocks_are_replaced(void **unused)
{
	(void)unused;
	/* within a buffer; in all of them; more than they hold */
	for (int writes = 1; writes < 100; writes = 7 * writes) {
		struct model m;

		write_what_fails(&m, writes, 3);
		assert_int_equal(ttdisk_flush(m.disk, m.instr), -EIO);
		assert_int_equal(ttdisk_flush(m.disk, m.instr), -EIO);
		assert_content(&m, m.disk, m.versions);
		assert_int_equal(ttdisk_flush(m.disk, m.instr), 0);
		model_catch_up(&m, 0);
		power_failure(m.path);
		assert_content(&m, m.disk, m.versions);
		model_close(&m);
		remove_index(m.path);
		assert_point(&m, m.path, NULL, m.num);
		model_destroy(&m);
		no_faults(NULL);
	}
}

/* No record comes behind a flush that has failed: the first one that succeeds makes that good. */
static void nothing_follows_a_failed_flush(void **unused)
{
	struct model m;
	uint64_t end;

	(void)unused;
	write_what_fails(&m, 2, 3);
	model_catch_up(&m, 0);
	end = m.disk->history->end.offset;
	assert_int_equal(model_write(&m, 50, 5), -EIO);
	assert_int_equal(ttdisk_zero(m.disk, 50, 5, false, m.instr), -EIO);
	assert_int_equal(m.disk->history->end.offset, end);
	assert_int_equal(model_write(&m, 50, 5), 0);
	model_flush(&m);
	assert_content(&m, m.disk, m.versions);
	model_close(&m);
	assert_point(&m, m.path, NULL, m.num);
	model_destroy(&m);
}

/* The kernel has thrown away what it could not write. What is in memory is written again ... */
static void lost_pages_are_restored(void **unused)
{
	struct model m;

	(void)unused;
	faults.forget = true;
	write_what_fails(&m, 10, 1);
	assert_int_equal(ttdisk_flush(m.disk, m.instr), 0);
	model_catch_up(&m, 0);
	assert_content(&m, m.disk, m.versions);
	model_close(&m);
	remove_index(m.path);
	assert_point(&m, m.path, NULL, m.num);
	model_destroy(&m);
}

/* ... and what is not: no flush says that it is there. */
static void lost_pages_are_noticed(void **unused)
{
	struct model m;

	(void)unused;
	faults.forget = true;
	write_what_fails(&m, 50, 1);
	for (int i = 0; i < 3; i++)
		assert_int_equal(ttdisk_flush(m.disk, m.instr), -EIO);
	assert_int_equal(model_write(&m, 50, 5), -EIO);
	ttdisk_close(m.disk);
	m.disk = NULL;
	remove_index(m.path);
	assert_point(&m, m.path, NULL, 2); /* write, flush */
	model_destroy(&m);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(a_cut_file_keeps_its_beginning, no_faults),
		cmocka_unit_test_setup(a_file_cut_at_each_byte, no_faults),
		cmocka_unit_test_setup(a_flipped_bit_is_found, no_faults),
		cmocka_unit_test_setup(a_damaged_index_does_no_harm, no_faults),
		cmocka_unit_test_setup(a_missing_page_is_no_damage, no_faults),
		cmocka_unit_test_setup(check_repairs, no_faults),
		cmocka_unit_test_setup(a_killed_writer_loses_nothing_flushed, no_faults),
		cmocka_unit_test_setup(a_full_disk_is_survived, no_faults),
		cmocka_unit_test_setup(a_size_limit_is_survived, no_faults),
		cmocka_unit_test_setup(a_failed_flush_is_repeated, no_faults),
		cmocka_unit_test_setup(failed_blocks_are_replaced, no_faults),
		cmocka_unit_test_setup(nothing_follows_a_failed_flush, no_faults),
		cmocka_unit_test_setup(lost_pages_are_restored, no_faults),
		cmocka_unit_test_setup(lost_pages_are_noticed, no_faults),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
