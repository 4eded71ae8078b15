// SPDX-License-Identifier: GPL-2.0
/*
 * disk-write.c - what a guest would do to a time-travel disk, for tests of `ttvm disk` without a guest.
 *
 *	disk-write image HISTORY [IMAGE INSTR]...	write, block by block, what differs from IMAGE, then flush; all at INSTR
 *	disk-write dirty HISTORY [IMAGE INSTR]...	the same without flushes
 *	disk-write record HISTORY ID [IMAGE INSTR]...	the same with flushes, as the recording ID
 *	disk-write zero HISTORY SECTOR COUNT		discard
 *	disk-write log LOG ID				the log of such a recording, as far as it concerns disks
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "ttdisk.h"
#include "ttvm/log.h"

#define BLOCK_SECTORS 8u

static int fail(const char *what, int ret, const struct tt_error *err)
{
	fprintf(stderr, "disk-write: %s: %s (%s)\n", what, err->text, strerror(-ret));
	return 1;
}

static int write_image(struct ttdisk *disk, const char *path, uint64_t instr)
{
	uint8_t old[BLOCK_SECTORS * TTDISK_SECTOR], new[BLOCK_SECTORS * TTDISK_SECTOR];
	struct iovec a = { old, sizeof(old) }, b = { new, sizeof(new) };
	struct ttdisk_info info;
	uint64_t sector;
	int fd = open(path, O_RDONLY), ret = 0;

	if (fd < 0)
		return -errno;
	ttdisk_get_info(disk, &info);
	for (sector = 0; sector + BLOCK_SECTORS <= info.sectors && !ret; sector += BLOCK_SECTORS) {
		if (pread(fd, new, sizeof(new), sector * TTDISK_SECTOR) != sizeof(new))
			ret = -EIO;
		if (!ret)
			ret = ttdisk_read(disk, sector, &a, 1);
		if (!ret && memcmp(old, new, sizeof(new)))
			ret = ttdisk_write(disk, sector, &b, 1, instr);
	}
	close(fd);
	return ret;
}

static int write_log(const char *path, const char *id)
{
	struct tt_log_section sections[1] = { { .name = TT_LOG_SECTION_CONFIG } };
	struct tt_log_writer *writer;
	struct tt_error err = { 0 };
	char json[500];
	int ret;

	snprintf(json, sizeof(json), "{\"machine\": {\"disks\": [{\"history\": \"any.ttd\"}]}, \"recording\": {\"id\": \"%s\"}}",
		 id);
	sections[0].data = json;
	sections[0].size = strlen(json);
	ret = tt_log_writer_create(path, sections, 1, &(struct tt_log_options) { 0 }, &writer, &err);
	if (!ret)
		ret = tt_log_writer_close(writer, NULL, &err);
	return ret ? fail(path, ret, &err) : 0;
}

static int write_images(struct ttdisk *disk, int argc, char **argv, bool flush)
{
	int i, ret = 0;

	for (i = 0; i + 1 < argc && !ret; i += 2) {
		uint64_t instr = strtoull(argv[i + 1], NULL, 0);

		ret = write_image(disk, argv[i], instr);
		if (!ret && flush)
			ret = ttdisk_flush(disk, instr);
	}
	return ret;
}

int main(int argc, char **argv)
{
	char departure[TTDISK_DEPARTURE_SIZE];
	const char *what = argc > 1 ? argv[1] : "";
	struct tt_error err = { 0 };
	struct ttdisk *disk;
	int ret, closed;

	if (argc < 4)
		return 2;
	if (!strcmp(what, "log"))
		return write_log(argv[2], argv[3]);
	ret = ttdisk_open(argv[2], TTDISK_WRITE, NULL, NULL, &disk, &err);
	if (ret)
		return fail(argv[2], ret, &err);
	if (!strcmp(what, "record")) {
		ret = ttdisk_begin_session(disk, argv[3], departure, &err);
		if (!ret)
			ret = write_images(disk, argc - 4, argv + 4, true);
	} else if (!strcmp(what, "zero") && argc == 5) {
		ret = ttdisk_zero(disk, strtoull(argv[3], NULL, 0), strtoull(argv[4], NULL, 0), true, 0);
		if (!ret)
			ret = ttdisk_flush(disk, 0);
	} else {
		ret = write_images(disk, argc - 3, argv + 3, strcmp(what, "dirty"));
	}
	closed = ttdisk_close(disk);
	return ret || closed ? fail(argv[2], ret ? ret : closed, &err) : 0;
}
