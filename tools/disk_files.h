/* SPDX-License-Identifier: GPL-2.0 */
/*
 * disk_files.h - ext2, ext3 and ext4 file systems on a disk_source: opening one as it is after recovery, its tree, and
 * the difference between two.
 *
 * The file system of a machine that runs has its newest changes in its journal only. disk_fs_open() therefore does what
 * mounting would do, replay the journal, but in memory: blocks that the journal has are read from there
 * (disk_journal.c). Nothing is written.
 */
#ifndef TTVM_TOOLS_DISK_FILES_H
#define TTVM_TOOLS_DISK_FILES_H

#include <ext2fs/ext2fs.h>

#include "disk_source.h"

/* ---- disk_fs.c ---- */

/* A block whose newest content is in the journal. */
struct disk_overlay_block {
	uint64_t block;		/* of the file system */
	uint64_t journal_block;	/* where its content is, a block of the file system too */
	uint32_t order;		/* while the overlay is made: the later one wins */
	bool escaped;		/* its first four bytes are the journal's magic number */
};

struct disk_overlay {
	struct disk_overlay_block *block; /* sorted by block */
	size_t count;
	size_t room;
};

struct disk_fs {
	ext2_filsys fs;
	const struct disk_source *disk;
	uint64_t offset;	/* of the partition, bytes */
	uint64_t size;
	struct disk_overlay overlay;
	unsigned int transactions; /* that were taken from the journal */
	char note[160];		/* what the journal has and we do not understand; empty: nothing */
};

enum disk_fs_kind {
	DISK_FS_EXT,
	DISK_FS_OTHER,		/* name says which, or "unknown" */
};

/* What is in that partition? 0 or -errno of a read. */
int disk_fs_probe(const struct disk_source *disk, const struct disk_partition *partition, enum disk_fs_kind *kind,
		  const char **name);

/*
 * Open the file system in a partition, read-only. disk must live until disk_fs_close(). -EUCLEAN: it is damaged, or not
 * one that the library can read; -errno of a read.
 */
int disk_fs_open(const struct disk_source *disk, const struct disk_partition *partition, struct disk_fs **fs,
		 struct tt_error *err);
void disk_fs_close(struct disk_fs *fs);

/* Fill fs->overlay from the journal of fs->fs. Called by disk_fs_open() only. */
int disk_journal_read(struct disk_fs *fs, struct tt_error *err);

/* ---- disk_tree.c: all names ---- */

struct disk_node {
	char *name;		/* of the last component; "" for the root */
	uint32_t parent;	/* index; the root is its own */
	uint32_t first, count;	/* children, sorted by name */
	uint32_t ino;
	uint32_t generation;
	uint16_t mode;
	uint32_t uid, gid;
	uint32_t links;
	uint64_t size;
	int64_t mtime, ctime, crtime;	/* ns since 1970 */
	uint64_t acl;
	uint32_t blocks[EXT2_N_BLOCKS];	/* i_block: a map of blocks, a short link's target, or a device's number */
};

struct disk_tree {
	struct disk_node *node;	/* node[0] is the root */
	size_t count;
	size_t room;
	unsigned int damaged;	/* names or folders that could not be read */
};

int disk_tree_read(struct disk_fs *fs, struct disk_tree *tree, struct tt_error *err);
void disk_tree_free(struct disk_tree *tree);
/* "/a/b", allocated; NULL when memory is short. */
char *disk_tree_path(const struct disk_tree *tree, uint32_t index);

/* ---- disk_changes.c: the difference between two trees ---- */

enum disk_change_kind { DISK_ADDED, DISK_REMOVED, DISK_CHANGED, DISK_RENAMED };

/* What is different about a file that is there before and after. */
#define DISK_WHAT_CONTENT    0x01u
#define DISK_WHAT_SIZE	     0x02u
#define DISK_WHAT_MTIME	     0x04u
#define DISK_WHAT_MODE	     0x08u
#define DISK_WHAT_OWNER	     0x10u
#define DISK_WHAT_LINKS	     0x20u
#define DISK_WHAT_ATTRIBUTES 0x40u /* extended attributes, or something else that sets the change time only */
#define DISK_WHAT_TYPE	     0x80u

struct disk_change {
	enum disk_change_kind kind;
	unsigned int what;		/* CHANGED, RENAMED */
	const char *path;		/* the newest: REMOVED: in the first file system, else in the second */
	const char *from;		/* RENAMED: the path in the first */
	const struct disk_node *before;	/* NULL: ADDED */
	const struct disk_node *after;	/* NULL: REMOVED */
};

/*
 * Compare two states of a file system; either may be NULL: there was none. changed is where the bytes of the two disks
 * may differ (offsets within the disk). Calls report() for each change, in order of paths; it returns 0 or -errno to end
 * it. *damaged counts what could not be read. 0 or -errno.
 */
int disk_changes(struct disk_fs *before, struct disk_fs *after, const struct disk_ranges *changed,
		 int (*report)(void *ctx, const struct disk_change *change), void *ctx, unsigned int *damaged,
		 struct tt_error *err);

#endif /* TTVM_TOOLS_DISK_FILES_H */
