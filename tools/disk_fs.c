// SPDX-License-Identifier: GPL-2.0
/*
 * disk_fs.c - libext2fs on a disk_source, through an io_manager of our own.
 */
#include <endian.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "disk_files.h"

#define SUPERBLOCK_OFFSET 1024
#define EXT_MAGIC	  0xef53
#define JOURNAL_MAGIC	  0xc03b3998u

/* ------------------------------------------------------------------ reading blocks */

static int compare_with_block(const void *key, const void *element)
{
	uint64_t block = *(const uint64_t *)key;
	const struct disk_overlay_block *b = element;

	return (block > b->block) - (block < b->block);
}

static errcode_t read_bytes(struct disk_fs *fs, uint64_t offset, void *data, uint64_t len)
{
	if (offset > fs->size || len > fs->size - offset)
		return EXT2_ET_SHORT_READ;
	return -disk_source_read(fs->disk, fs->offset + offset, data, len);
}

/* Bytes within one block of the file system. */
static errcode_t read_piece(struct disk_fs *fs, uint64_t block, unsigned int from, uint8_t *data, unsigned int len)
{
	const struct disk_overlay_block *b = NULL;
	unsigned int block_size = fs->fs->blocksize, i;
	uint32_t magic = htobe32(JOURNAL_MAGIC);
	errcode_t ret;

	if (fs->overlay.count)
		b = bsearch(&block, fs->overlay.block, fs->overlay.count, sizeof(*b), compare_with_block);
	ret = read_bytes(fs, (b ? b->journal_block : block) * block_size + from, data, len);
	for (i = from; !ret && b && b->escaped && i < sizeof(magic) && i < from + len; i++)
		data[i - from] = ((uint8_t *)&magic)[i];
	return ret;
}

static errcode_t read_range(struct disk_fs *fs, uint64_t offset, uint8_t *data, uint64_t len)
{
	unsigned int block_size;
	errcode_t ret = 0;

	if (!fs->overlay.count)
		return read_bytes(fs, offset, data, len);
	block_size = fs->fs->blocksize;
	while (len && !ret) {
		unsigned int from = offset % block_size, piece = block_size - from;

		if (piece > len)
			piece = len;
		ret = read_piece(fs, offset / block_size, from, data, piece);
		offset += piece;
		data += piece;
		len -= piece;
	}
	return ret;
}

/* ------------------------------------------------------------------ the io_manager */

/* An io_manager is opened by name alone, so the name is the address of our struct disk_fs. */
#define NAME_FORMAT "%p"

static struct struct_io_manager manager;

static errcode_t manager_open(const char *name, int flags, io_channel *channel)
{
	void *fs;

	if (flags & IO_FLAG_RW)
		return EROFS;
	if (sscanf(name, NAME_FORMAT, &fs) != 1)
		return ENOENT;
	*channel = calloc(1, sizeof(**channel));
	if (!*channel)
		return ENOMEM;
	(*channel)->magic = EXT2_ET_MAGIC_IO_CHANNEL;
	(*channel)->manager = &manager;
	(*channel)->block_size = SUPERBLOCK_OFFSET;
	(*channel)->refcount = 1;
	(*channel)->private_data = fs;
	return 0;
}

static errcode_t manager_close(io_channel channel)
{
	if (--channel->refcount == 0)
		free(channel);
	return 0;
}

static errcode_t manager_set_blksize(io_channel channel, int size)
{
	channel->block_size = size;
	return 0;
}

/* A negative count is a number of bytes. */
static errcode_t manager_read64(io_channel channel, unsigned long long block, int count, void *data)
{
	uint64_t len = count < 0 ? (uint64_t)-(int64_t)count : (uint64_t)count * channel->block_size;

	if (block > UINT64_MAX / channel->block_size)
		return EXT2_ET_SHORT_READ;
	return read_range(channel->private_data, block * channel->block_size, data, len);
}

static errcode_t manager_read(io_channel channel, unsigned long block, int count, void *data)
{
	return manager_read64(channel, block, count, data);
}

static errcode_t manager_write64(io_channel channel, unsigned long long block, int count, const void *data)
{
	(void)channel, (void)block, (void)count, (void)data;
	return EROFS;
}

static errcode_t manager_write(io_channel channel, unsigned long block, int count, const void *data)
{
	return manager_write64(channel, block, count, data);
}

static errcode_t manager_flush(io_channel channel)
{
	(void)channel;
	return 0;
}

static struct struct_io_manager manager = {
	.magic = EXT2_ET_MAGIC_IO_MANAGER,
	.name = "a disk at a point in time",
	.open = manager_open,
	.close = manager_close,
	.set_blksize = manager_set_blksize,
	.read_blk = manager_read,
	.write_blk = manager_write,
	.read_blk64 = manager_read64,
	.write_blk64 = manager_write64,
	.flush = manager_flush,
};

/* ------------------------------------------------------------------ file systems */

int disk_fs_probe(const struct disk_source *disk, const struct disk_partition *partition, enum disk_fs_kind *kind,
		  const char **name)
{
	static const struct {
		uint32_t offset, len;
		const char *magic, *name;
	} others[] = {
		{ 0, 4, "XFSB", "xfs" },
		{ 0x10040, 8, "_BHRfS_M", "btrfs" },
		{ 3, 8, "NTFS    ", "ntfs" },
		{ 3, 8, "EXFAT   ", "exfat" },
		{ 54, 3, "FAT", "vfat" },
		{ 82, 5, "FAT32", "vfat" },
		{ 0, 4, "hsqs", "squashfs" },
		{ 0xff6, 10, "SWAPSPACE2", "swap" },
		{ 0, 6, "LUKS\xba\xbe", "encrypted (LUKS)" },
		{ 536, 8, "LVM2 001", "LVM" },
	};
	uint16_t magic = 0;
	char found[16];
	size_t i;
	int ret;

	*kind = DISK_FS_OTHER;
	*name = "unknown";
	if (partition->size < 2 * SUPERBLOCK_OFFSET)
		return 0;
	ret = disk_source_read(disk, partition->offset + SUPERBLOCK_OFFSET + offsetof(struct ext2_super_block, s_magic),
			       &magic, sizeof(magic));
	if (ret)
		return ret;
	if (le16toh(magic) == EXT_MAGIC) {
		*kind = DISK_FS_EXT;
		*name = "ext";
		return 0;
	}
	for (i = 0; i < sizeof(others) / sizeof(others[0]); i++) {
		if (others[i].offset + others[i].len > partition->size)
			continue;
		ret = disk_source_read(disk, partition->offset + others[i].offset, found, others[i].len);
		if (ret)
			return ret;
		if (!memcmp(found, others[i].magic, others[i].len)) {
			*name = others[i].name;
			return 0;
		}
	}
	return 0;
}

static int open_library(struct disk_fs *fs, struct tt_error *err)
{
	char name[32];
	errcode_t ret;

	snprintf(name, sizeof(name), NAME_FORMAT, (void *)fs);
	/* Content matters here, not whether every checksum is right. */
	ret = ext2fs_open(name, EXT2_FLAG_64BITS | EXT2_FLAG_IGNORE_CSUM_ERRORS, 0, 0, &manager, &fs->fs);
	if (ret)
		return tt_fail(err, -EUCLEAN, "the file system cannot be opened: %s", error_message(ret));
	return 0;
}

int disk_fs_open(const struct disk_source *disk, const struct disk_partition *partition, struct disk_fs **opened,
		 struct tt_error *err)
{
	struct disk_fs *fs = calloc(1, sizeof(*fs));
	int ret;

	if (!fs)
		return tt_fail(err, -ENOMEM, "out of memory");
	initialize_ext2_error_table();
	fs->disk = disk;
	fs->offset = partition->offset;
	fs->size = partition->size;
	ret = open_library(fs, err);
	if (ret)
		goto err_free;
	ret = disk_journal_read(fs, err);
	if (ret)
		goto err_free;
	if (fs->overlay.count) {
		/* Again, because the superblock and what has been cached may be in the journal. */
		struct disk_overlay overlay = fs->overlay;
		unsigned int block_size = fs->fs->blocksize;

		fs->overlay = (struct disk_overlay){ 0 };
		ext2fs_close_free(&fs->fs);
		ret = open_library(fs, err);
		fs->overlay = overlay;
		if (!ret && fs->fs->blocksize != block_size)
			ret = tt_fail(err, -EUCLEAN, "the file system's block size is not constant");
		if (ret)
			goto err_free;
	}
	*opened = fs;
	return 0;

err_free:
	disk_fs_close(fs);
	return ret;
}

void disk_fs_close(struct disk_fs *fs)
{
	if (!fs)
		return;
	if (fs->fs)
		ext2fs_close_free(&fs->fs);
	free(fs->overlay.block);
	free(fs);
}
