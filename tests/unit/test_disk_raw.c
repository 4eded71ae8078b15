// SPDX-License-Identifier: GPL-2.0
/*
 * test_disk_raw.c - raw files as disks.
 */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>
#include <cmocka.h>

#include "disk.h"

#define SECTORS 4096

/*
 * In the place of the C library's: does at most `most` bytes at a time, and is interrupted each
 * other time.
 */
static size_t most = SIZE_MAX;

ssize_t preadv(int fd, const struct iovec *iov, int iovcnt, off_t offset)
{
	static unsigned int calls;
	size_t done = 0, part;
	ssize_t ret = 0;

	if (most != SIZE_MAX && calls++ % 2) {
		errno = EINTR;
		return -1;
	}
	for (; iovcnt && done < most; iov++, iovcnt--) {
		part = iov->iov_len < most - done ? iov->iov_len : most - done;
		ret = pread(fd, iov->iov_base, part, offset + done);
		if (ret < 0)
			return ret;
		done += ret;
		if ((size_t)ret < part)
			break;
	}
	return done;
}

/* A file of that many bytes, each sector filled with its number's low byte; its name in path. */
static void make_file(char *path, off_t size)
{
	int fd, i;

	strcpy(path, "/tmp/ttvm-disk-XXXXXX");
	fd = mkstemp(path);
	assert_true(fd >= 0);
	assert_int_equal(ftruncate(fd, size), 0);
	for (i = 0; i < size / 512; i++) {
		uint8_t sector[512];

		memset(sector, i & 0xff, sizeof(sector));
		assert_int_equal(pwrite(fd, sector, sizeof(sector), i * 512l), 512);
	}
	close(fd);
}

static struct tt_disk *open_file(char *path, bool readonly)
{
	struct tt_error err = { 0 };
	struct tt_disk *disk = NULL;

	make_file(path, SECTORS * 512);
	if (tt_disk_open_raw(path, readonly, &disk, &err))
		fail_msg("%s", err.text);
	return disk;
}

static void close_file(const char *path, struct tt_disk *disk)
{
	disk->ops->close(disk);
	unlink(path);
}

static void test_reading_and_writing(void **state)
{
	char path[32];
	struct tt_disk *disk = open_file(path, false);
	uint8_t a[1000], b[24], c[512];
	struct iovec iov[] = { { a, 1000 }, { b, 24 }, { c, 512 } };

	(void)state;
	assert_int_equal(disk->sectors, SECTORS);
	assert_false(disk->readonly);
	assert_int_equal(disk->ops->read(disk, 7, iov, 3), 0);
	assert_int_equal(a[0], 7);
	assert_int_equal(a[511], 7);
	assert_int_equal(a[512], 8);
	assert_int_equal(b[23], 8);
	assert_int_equal(c[0], 9);
	memset(a, 0xaa, sizeof(a));
	memset(b, 0xbb, sizeof(b));
	assert_int_equal(disk->ops->write(disk, SECTORS - 2, iov, 2, 0), 0);
	assert_int_equal(disk->ops->flush(disk, 0), 0);
	memset(a, 0, sizeof(a));
	assert_int_equal(disk->ops->read(disk, SECTORS - 2, iov, 2), 0);
	assert_int_equal(a[0], 0xaa);
	assert_int_equal(b[0], 0xbb);
	close_file(path, disk);
}

/* More buffers than go to the kernel at a time. */
static void test_many_buffers(void **state)
{
	char path[32];
	struct tt_disk *disk = open_file(path, false);
	uint8_t *data = malloc(SECTORS * 512), *back = malloc(SECTORS * 512);
	struct iovec iov[254], iov_back[200];
	unsigned int i;

	(void)state;
	assert_true(data && back);
	for (i = 0; i < 254 * 512; i++)
		data[i] = i * 7 >> 3;
	for (i = 0; i < 254; i++)
		iov[i] = (struct iovec){ data + i * 512, 512 };
	assert_int_equal(disk->ops->write(disk, 100, iov, 254, 0), 0);
	for (i = 0; i < 199; i++)
		iov_back[i] = (struct iovec){ back + i * 600, 600 };
	iov_back[199] = (struct iovec){ back + 199 * 600, 254 * 512 - 199 * 600 };
	assert_int_equal(disk->ops->read(disk, 100, iov_back, 200), 0);
	assert_memory_equal(data, back, 254 * 512);
	memset(back, 0, 254 * 512);
	most = 700; /* in pieces, which end within buffers and at their ends */
	assert_int_equal(disk->ops->read(disk, 100, iov_back, 200), 0);
	most = 600;
	assert_memory_equal(data, back, 254 * 512);
	memset(back, 0, 254 * 512);
	assert_int_equal(disk->ops->read(disk, 100, iov_back, 200), 0);
	most = SIZE_MAX;
	assert_memory_equal(data, back, 254 * 512);
	free(data);
	free(back);
	close_file(path, disk);
}

static void assert_zeroes(struct tt_disk *disk, uint64_t first, uint64_t count)
{
	uint8_t sector[512], zeroes[512] = { 0 };
	struct iovec iov = { sector, 512 };
	uint64_t i;

	for (i = first - 1; i <= first + count; i++) {
		assert_int_equal(disk->ops->read(disk, i, &iov, 1), 0);
		if (i >= first && i < first + count)
			assert_memory_equal(sector, zeroes, 512);
		else
			assert_int_equal(sector[0], i & 0xff);
	}
}

static void test_zeroes(void **state)
{
	char path[32];
	struct tt_disk *disk = open_file(path, false);

	(void)state;
	assert_int_equal(disk->ops->zero(disk, 3, 500, false, 0), 0);
	assert_zeroes(disk, 3, 500);
	assert_int_equal(disk->ops->zero(disk, 1001, 17, true, 0), 0);
	assert_zeroes(disk, 1001, 17);
	assert_int_equal(disk->ops->zero(disk, 2000, 0, false, 0), 0);
	assert_zeroes(disk, 2000, 0);
	close_file(path, disk);
}

static void test_discard_gives_room_back(void **state)
{
	char path[32];
	struct tt_disk *disk = open_file(path, false);
	struct stat before, after;

	(void)state;
	assert_int_equal(disk->ops->flush(disk, 0), 0);
	assert_int_equal(stat(path, &before), 0);
	assert_int_equal(disk->ops->zero(disk, 0, SECTORS, true, 0), 0);
	assert_int_equal(disk->ops->flush(disk, 0), 0);
	assert_int_equal(stat(path, &after), 0);
	assert_int_equal(after.st_size, before.st_size);
	assert_true(after.st_blocks < before.st_blocks / 2);
	close_file(path, disk);
}

static void test_two_writers_are_refused(void **state)
{
	char path[32];
	struct tt_disk *disk = open_file(path, false), *other;
	struct tt_error err = { 0 };

	(void)state;
	assert_int_equal(tt_disk_open_raw(path, false, &other, &err), -EBUSY);
	assert_non_null(strstr(err.text, path));
	assert_int_equal(tt_disk_open_raw(path, true, &other, &err), -EBUSY);
	disk->ops->close(disk);
	assert_int_equal(tt_disk_open_raw(path, true, &disk, &err), 0);
	assert_true(disk->readonly);
	assert_int_equal(tt_disk_open_raw(path, true, &other, &err), 0);
	other->ops->close(other);
	assert_int_equal(tt_disk_open_raw(path, false, &other, &err), -EBUSY);
	close_file(path, disk);
}

static void test_what_is_no_disk(void **state)
{
	char path[32];
	struct tt_error err = { 0 };
	struct tt_disk *disk;

	(void)state;
	assert_int_equal(tt_disk_open_raw("/tmp", true, &disk, &err), -EINVAL);
	assert_int_equal(tt_disk_open_raw("/nowhere/at/all", true, &disk, &err), -ENOENT);
	assert_int_equal(tt_disk_open_raw("/dev/null", true, &disk, &err), -EINVAL);
	make_file(path, 1000);
	assert_int_equal(tt_disk_open_raw(path, true, &disk, &err), -EINVAL);
	assert_non_null(strstr(err.text, "truncate -s %512"));
	assert_int_equal(truncate(path, 0), 0);
	assert_int_equal(tt_disk_open_raw(path, true, &disk, &err), -EINVAL);
	unlink(path);
}

/* The file became shorter behind our back. */
static void test_errors_are_errors(void **state)
{
	char path[32];
	struct tt_disk *disk = open_file(path, false);
	uint8_t sector[512];
	struct iovec iov = { sector, 512 };

	(void)state;
	assert_int_equal(truncate(path, 1024 + 100), 0);
	assert_int_equal(disk->ops->read(disk, 1, &iov, 1), 0);
	assert_int_equal(disk->ops->read(disk, 2, &iov, 1), -EIO);
	assert_int_equal(disk->ops->read(disk, 100, &iov, 1), -EIO);
	disk->ops->close(disk);
	assert_int_equal(truncate(path, 1024), 0);
	{
		struct tt_error err = { 0 };

		assert_int_equal(tt_disk_open_raw(path, true, &disk, &err), 0);
	}
	assert_int_equal(disk->ops->write(disk, 0, &iov, 1, 0), -EBADF);
	close_file(path, disk);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_reading_and_writing),
		cmocka_unit_test(test_many_buffers),
		cmocka_unit_test(test_zeroes),
		cmocka_unit_test(test_discard_gives_room_back),
		cmocka_unit_test(test_two_writers_are_refused),
		cmocka_unit_test(test_what_is_no_disk),
		cmocka_unit_test(test_errors_are_errors),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
