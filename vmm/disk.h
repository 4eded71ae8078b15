/* SPDX-License-Identifier: GPL-2.0 */
/*
 * disk.h - what a disk device needs of a disk. Who opens the disk gives one of these to the machine's configuration;
 * raw files are in disk_raw.c, time-travel disks in replay/disk.c.
 *
 * All calls are made on a vCPU thread with the device lock held, and return when the work is done: a request completes at
 * the exit that submitted it, so that a replay finds it complete at the same instruction. They return 0 or -errno; the
 * guest sees an I/O error then. Offsets and lengths are within the disk: the device has looked.
 */
#ifndef TTVM_DISK_H
#define TTVM_DISK_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/uio.h>

#include "ttvm/error.h"

#define TT_SECTOR_SIZE 512

struct tt_disk;

struct tt_disk_ops {
	int (*read)(struct tt_disk *disk, uint64_t sector, const struct iovec *iov, int iovcnt);
	/* instr: the guest's instruction count now, 0 where nobody counts. Durable after the next flush only. */
	int (*write)(struct tt_disk *disk, uint64_t sector, const struct iovec *iov, int iovcnt, uint64_t instr);
	/* count sectors read as zeroes from now on. discard: the guest does not need the room. */
	int (*zero)(struct tt_disk *disk, uint64_t sector, uint64_t count, bool discard, uint64_t instr);
	/* Everything written before is on stable storage when it returns 0. */
	int (*flush)(struct tt_disk *disk, uint64_t instr);
	void (*close)(struct tt_disk *disk); /* flushes nothing; frees disk */
};

struct tt_disk {
	const struct tt_disk_ops *ops;
	uint64_t sectors;
	bool readonly;
	char serial[21]; /* VIRTIO_BLK_T_GET_ID, NUL-terminated */
};

/* A raw file, read and written in place. The caller closes it with ops->close. */
int tt_disk_open_raw(const char *path, bool readonly, struct tt_disk **disk, struct tt_error *err);

#endif /* TTVM_DISK_H */
