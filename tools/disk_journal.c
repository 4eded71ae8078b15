// SPDX-License-Identifier: GPL-2.0
/*
 * disk_journal.c - the journal of ext3 and ext4 (JBD2), read into an overlay.
 *
 * The journal is an inode whose blocks are used as a ring. Its first block is the superblock; it says where in the ring
 * the oldest transaction begins, and its number. All numbers are big-endian. Blocks of a transaction begin with a header
 * (magic, type, number of the transaction), except for content:
 *
 *	descriptor	a list of tags: block numbers of the file system; as many blocks follow that are their new content
 *	revoke		a list of blocks: what this and earlier transactions say about them is void
 *	commit		the transaction is complete
 *
 * A transaction without its commit, or with wrong checksums, did not happen, nor did what follows it. Content that begins
 * with the magic number has it replaced by zero, and its tag says so. Documented in the Linux kernel:
 * Documentation/filesystems/ext4/journal.rst.
 *
 * Three passes, as every recovery makes them: find the last complete transaction, gather what is revoked, gather content.
 */
#include <endian.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "disk_files.h"

#define MAGIC		0xc03b3998u
#define TYPE_DESCRIPTOR 1
#define TYPE_COMMIT	2
#define TYPE_SUPER_V1	3
#define TYPE_SUPER_V2	4
#define TYPE_REVOKE	5

#define INCOMPAT_64BIT	     0x02
#define INCOMPAT_CSUM_V2     0x08
#define INCOMPAT_CSUM_V3     0x10
#define INCOMPAT_FAST_COMMIT 0x20
#define INCOMPAT_KNOWN	     0x3f /* and 0x01, revoke blocks, and 0x04, commits without a barrier */

#define TAG_ESCAPED   1
#define TAG_SAME_UUID 2
#define TAG_LAST      8

#define REVOKE_HEADER 16
#define UUID_SIZE     16
#define DEFAULT_FAST_COMMIT_BLOCKS 256

struct block_header {
	uint32_t magic;
	uint32_t type;
	uint32_t sequence;
};

struct super_block {
	struct block_header header;
	uint32_t block_size;
	uint32_t blocks;	/* of the whole journal */
	uint32_t first;		/* of the ring */
	uint32_t sequence;	/* of the oldest transaction */
	uint32_t start;		/* its block; 0: the journal is empty */
	uint32_t error;
	uint32_t compat, incompat, ro_compat;
	uint8_t uuid[UUID_SIZE];
	uint32_t users;
	uint32_t dynamic_super;
	uint32_t max_transaction, max_data;
	uint8_t checksum_type;
	uint8_t padding[3];
	uint32_t fast_commit_blocks;
};

struct revoked {
	uint64_t block;
	uint32_t sequence;
};

struct journal {
	struct disk_fs *fs;
	ext2_file_t file;
	unsigned int block_size;
	uint32_t first, end;	/* of the ring */
	uint32_t start, sequence;
	uint32_t incompat;
	uint32_t seed;		/* of checksums */
	uint32_t transactions;	/* complete ones */
	struct revoked *revoked; /* sorted by block */
	size_t num_revoked, revoked_room;
	struct disk_overlay overlay; /* becomes that of fs when it is complete */
	uint8_t *block;
	uint8_t *content;
};

struct tag {
	uint64_t block;
	uint32_t flags;
	uint32_t checksum;
};

enum pass { PASS_SCAN, PASS_REVOKE, PASS_CONTENT };

static uint32_t big32(const uint8_t *p)
{
	uint32_t value;

	memcpy(&value, p, sizeof(value));
	return be32toh(value);
}

static bool has_checksums(const struct journal *j)
{
	return j->incompat & (INCOMPAT_CSUM_V2 | INCOMPAT_CSUM_V3);
}

static int read_block(struct journal *j, uint32_t number, uint8_t *data)
{
	unsigned int got = 0;
	errcode_t ret;

	ret = ext2fs_file_llseek(j->file, (uint64_t)number * j->block_size, EXT2_SEEK_SET, NULL);
	if (!ret)
		ret = ext2fs_file_read(j->file, data, j->block_size, &got);
	return ret || got != j->block_size ? -EIO : 0;
}

static uint32_t next_block(const struct journal *j, uint32_t number)
{
	return number + 1 >= j->end ? j->first : number + 1;
}

/* Checksum of a block whose own checksum, at `at`, counts as zero. */
static bool block_is_valid(const struct journal *j, uint8_t *block, unsigned int at)
{
	uint32_t stored = big32(block + at), sum;

	if (!has_checksums(j))
		return true;
	memset(block + at, 0, sizeof(stored));
	sum = ext2fs_crc32c_le(j->seed, block, j->block_size);
	stored = htobe32(stored);
	memcpy(block + at, &stored, sizeof(stored));
	return sum == be32toh(stored);
}

static bool content_is_valid(const struct journal *j, const struct tag *tag, uint32_t sequence)
{
	uint32_t number = htobe32(sequence), sum;

	if (!has_checksums(j))
		return true;
	sum = ext2fs_crc32c_le(j->seed, (void *)&number, sizeof(number));
	sum = ext2fs_crc32c_le(sum, j->content, j->block_size);
	return j->incompat & INCOMPAT_CSUM_V3 ? sum == tag->checksum : (sum & 0xffff) == tag->checksum;
}

/* The tag at *at, which moves behind it. False: there are no more. */
static bool next_tag(const struct journal *j, unsigned int *at, struct tag *tag)
{
	unsigned int end = j->block_size - (has_checksums(j) ? 4 : 0), size;
	const uint8_t *p = j->block + *at;

	if (j->incompat & INCOMPAT_CSUM_V3) {
		size = 16;
		if (*at + size > end)
			return false;
		*tag = (struct tag){ big32(p), big32(p + 4), big32(p + 12) };
		if (j->incompat & INCOMPAT_64BIT)
			tag->block |= (uint64_t)big32(p + 8) << 32;
	} else {
		size = 8 + (j->incompat & INCOMPAT_CSUM_V2 ? 2 : 0) + (j->incompat & INCOMPAT_64BIT ? 4 : 0);
		if (*at + size > end)
			return false;
		*tag = (struct tag){ big32(p), big32(p + 4) & 0xffff, big32(p + 4) >> 16 };
		if (j->incompat & INCOMPAT_64BIT)
			tag->block |= (uint64_t)big32(p + 8) << 32;
	}
	*at += size + (tag->flags & TAG_SAME_UUID ? 0 : UUID_SIZE);
	return true;
}

/* ------------------------------------------------------------------ the passes */

static int compare_revoked(const void *a, const void *b)
{
	const struct revoked *x = a, *y = b;

	if (x->block != y->block)
		return x->block < y->block ? -1 : 1;
	return (x->sequence > y->sequence) - (x->sequence < y->sequence);
}

/* By that transaction or a later one? */
static bool is_revoked(const struct journal *j, uint64_t block, uint32_t sequence)
{
	size_t low = 0, high = j->num_revoked;

	/* behind the last entry of this block, which is the newest */
	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (j->revoked[middle].block <= block)
			low = middle + 1;
		else
			high = middle;
	}
	return low && j->revoked[low - 1].block == block && (int32_t)(j->revoked[low - 1].sequence - sequence) >= 0;
}

static int add_revoked(struct journal *j, uint32_t sequence)
{
	unsigned int size = j->incompat & INCOMPAT_64BIT ? 8 : 4, end = big32(j->block + sizeof(struct block_header));
	unsigned int at, limit = j->block_size - (has_checksums(j) ? 4 : 0);

	if (end > limit)
		return 0;
	for (at = REVOKE_HEADER; at + size <= end; at += size) {
		uint64_t block = big32(j->block + at);

		if (size == 8)
			block = block << 32 | big32(j->block + at + 4);
		if (j->num_revoked == j->revoked_room) {
			size_t room = j->revoked_room ? 2 * j->revoked_room : 256;
			struct revoked *more = realloc(j->revoked, room * sizeof(*more));

			if (!more)
				return -ENOMEM;
			j->revoked = more;
			j->revoked_room = room;
		}
		j->revoked[j->num_revoked++] = (struct revoked){ block, sequence };
	}
	return 0;
}

static int add_content(struct journal *j, const struct tag *tag, uint32_t number, uint32_t sequence)
{
	struct disk_overlay *overlay = &j->overlay;
	blk64_t at;
	int ret;

	if (tag->block >= ext2fs_blocks_count(j->fs->fs->super) || is_revoked(j, tag->block, sequence))
		return 0;
	ret = read_block(j, number, j->content);
	if (ret)
		return ret;
	/* As a mount does it: such a block is left as it is. */
	if (!content_is_valid(j, tag, sequence))
		return 0;
	if (ext2fs_bmap2(j->fs->fs, j->fs->fs->super->s_journal_inum, NULL, NULL, 0, number, NULL, &at) || !at)
		return -EIO;
	if (overlay->count == overlay->room) {
		size_t room = overlay->room ? 2 * overlay->room : 1024;
		struct disk_overlay_block *more = realloc(overlay->block, room * sizeof(*more));

		if (!more)
			return -ENOMEM;
		overlay->block = more;
		overlay->room = room;
	}
	overlay->block[overlay->count] = (struct disk_overlay_block){
		.block = tag->block,
		.journal_block = at,
		.order = overlay->count,
		.escaped = tag->flags & TAG_ESCAPED,
	};
	overlay->count++;
	return 0;
}

/* All tags of the descriptor in j->block; *number moves from it behind the last block of content. */
static int walk_descriptor(struct journal *j, enum pass pass, uint32_t sequence, uint32_t *number, uint32_t *budget)
{
	unsigned int at = sizeof(struct block_header);
	struct tag tag = { 0 };
	int ret = 0;

	*number = next_block(j, *number);
	while (!ret && *budget && !(tag.flags & TAG_LAST) && next_tag(j, &at, &tag)) {
		if (pass == PASS_CONTENT)
			ret = add_content(j, &tag, *number, sequence);
		*number = next_block(j, *number);
		--*budget;
	}
	return ret;
}

static int walk(struct journal *j, enum pass pass)
{
	uint32_t number = j->start, sequence = j->sequence, budget = j->end - j->first;
	struct block_header header;
	int ret;

	while (budget && (pass == PASS_SCAN || sequence - j->sequence < j->transactions)) {
		ret = read_block(j, number, j->block);
		if (ret)
			return ret;
		memcpy(&header, j->block, sizeof(header));
		if (be32toh(header.magic) != MAGIC || be32toh(header.sequence) != sequence)
			return 0;
		budget--;
		switch (be32toh(header.type)) {
		case TYPE_DESCRIPTOR:
			if (!block_is_valid(j, j->block, j->block_size - 4))
				return 0;
			ret = walk_descriptor(j, pass, sequence, &number, &budget);
			if (ret)
				return ret;
			break;
		case TYPE_REVOKE:
			if (!block_is_valid(j, j->block, j->block_size - 4))
				return 0;
			if (pass == PASS_REVOKE) {
				ret = add_revoked(j, sequence);
				if (ret)
					return ret;
			}
			number = next_block(j, number);
			break;
		case TYPE_COMMIT:
			if (!block_is_valid(j, j->block, sizeof(header) + 4))
				return 0;
			sequence++;
			if (pass == PASS_SCAN)
				j->transactions++;
			number = next_block(j, number);
			break;
		default:
			return 0;
		}
	}
	return 0;
}

/* ------------------------------------------------------------------ start and end */

static int compare_overlay(const void *a, const void *b)
{
	const struct disk_overlay_block *x = a, *y = b;

	if (x->block != y->block)
		return x->block < y->block ? -1 : 1;
	return (x->order > y->order) - (x->order < y->order);
}

static void sort_overlay(struct disk_overlay *overlay)
{
	size_t i, kept = 0;

	if (!overlay->count)
		return;
	qsort(overlay->block, overlay->count, sizeof(overlay->block[0]), compare_overlay);
	for (i = 1; i < overlay->count; i++) {
		if (overlay->block[i].block != overlay->block[kept].block)
			kept++;
		overlay->block[kept] = overlay->block[i];
	}
	overlay->count = kept + 1;
}

/* 1: there is something in it; 0: empty; -errno. */
static int read_super(struct journal *j, struct tt_error *err)
{
	struct super_block super;
	uint32_t type, fast = 0;

	if (read_block(j, 0, j->block))
		return tt_fail(err, -EUCLEAN, "the file system's journal cannot be read");
	memcpy(&super, j->block, sizeof(super));
	type = be32toh(super.header.type);
	if (be32toh(super.header.magic) != MAGIC || (type != TYPE_SUPER_V1 && type != TYPE_SUPER_V2) ||
	    be32toh(super.block_size) != j->block_size)
		return tt_fail(err, -EUCLEAN, "the file system's journal is damaged");
	j->start = be32toh(super.start);
	if (!j->start)
		return 0;
	if (type == TYPE_SUPER_V2)
		j->incompat = be32toh(super.incompat);
	if (j->incompat & ~INCOMPAT_KNOWN)
		return tt_fail(err, -EUCLEAN, "the file system's journal has a feature that ttvm does not know (0x%x)",
			       j->incompat & ~INCOMPAT_KNOWN);
	if (j->incompat & INCOMPAT_FAST_COMMIT) {
		fast = be32toh(super.fast_commit_blocks);
		fast = fast ? fast : DEFAULT_FAST_COMMIT_BLOCKS;
		snprintf(j->fs->note, sizeof(j->fs->note),
			 "its journal has fast commits: changes of the last seconds may be missing");
	}
	j->first = be32toh(super.first);
	j->end = be32toh(super.blocks);
	j->sequence = be32toh(super.sequence);
	j->seed = ext2fs_crc32c_le(~0u, super.uuid, sizeof(super.uuid));
	if (fast >= j->end || j->first >= j->end - fast || j->start < j->first || j->start >= j->end - fast)
		return tt_fail(err, -EUCLEAN, "the file system's journal is damaged");
	j->end -= fast;
	return 1;
}

int disk_journal_read(struct disk_fs *fs, struct tt_error *err)
{
	struct ext2_super_block *super = fs->fs->super;
	struct journal j = { .fs = fs, .block_size = fs->fs->blocksize };
	int ret;

	if (!ext2fs_has_feature_journal(super) || !ext2fs_has_feature_journal_needs_recovery(super))
		return 0;
	if (!super->s_journal_inum) {
		snprintf(fs->note, sizeof(fs->note), "its journal is on another disk: recent changes may be missing");
		return 0;
	}
	if (ext2fs_file_open(fs->fs, super->s_journal_inum, 0, &j.file))
		return tt_fail(err, -EUCLEAN, "the file system's journal cannot be opened");
	j.block = malloc(j.block_size);
	j.content = malloc(j.block_size);
	if (!j.block || !j.content) {
		ret = tt_fail(err, -ENOMEM, "out of memory");
		goto out;
	}
	ret = read_super(&j, err);
	if (ret <= 0)
		goto out;
	ret = walk(&j, PASS_SCAN);
	if (!ret)
		ret = walk(&j, PASS_REVOKE);
	if (!ret && j.num_revoked)
		qsort(j.revoked, j.num_revoked, sizeof(j.revoked[0]), compare_revoked);
	if (!ret)
		ret = walk(&j, PASS_CONTENT);
	if (ret) {
		tt_fail(err, ret, "the file system's journal cannot be read");
		free(j.overlay.block);
		goto out;
	}
	sort_overlay(&j.overlay);
	fs->overlay = j.overlay;
	fs->transactions = j.transactions;
out:
	free(j.revoked);
	free(j.block);
	free(j.content);
	ext2fs_file_close(j.file);
	return ret;
}
