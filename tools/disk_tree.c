// SPDX-License-Identifier: GPL-2.0
/*
 * disk_tree.c - all names of a file system, breadth first, so that the children of a folder are neighbours.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "disk_files.h"

#define NS 1000000000ll
#define MAX_NODES UINT32_MAX

struct walk {
	struct disk_fs *fs;
	struct disk_tree *tree;
	uint32_t folder;	/* index of the one whose names are read */
	uint8_t *seen;		/* a bit per inode: folders that are in the tree */
	int ret;
};

/*
 * ext4 keeps two more bits of seconds, and nanoseconds, in a word that old inodes do not have. That reaches until 2446,
 * our nanoseconds until 2262.
 */
static int64_t inode_time(const struct ext2_inode_large *inode, uint32_t seconds, uint32_t extra, size_t extra_end)
{
	int64_t time = (int32_t)seconds;

	if (extra_end > EXT2_GOOD_OLD_INODE_SIZE + (size_t)inode->i_extra_isize)
		return time * NS;
	time += (int64_t)(extra & EXT4_EPOCH_MASK) << 32;
	return time < INT64_MAX / NS ? time * NS + (extra >> EXT4_EPOCH_BITS) : INT64_MAX;
}

#define INODE_TIME(inode, name)                                                                                       \
	inode_time(inode, (inode)->i_##name, (inode)->i_##name##_extra,                                               \
		   offsetof(struct ext2_inode_large, i_##name##_extra) + sizeof((inode)->i_##name##_extra))

static errcode_t read_inode(struct disk_fs *fs, struct disk_node *node)
{
	struct ext2_inode_large inode = { 0 };
	errcode_t ret;

	ret = ext2fs_read_inode_full(fs->fs, node->ino, (struct ext2_inode *)&inode, sizeof(inode));
	if (ret)
		return ret;
	if (EXT2_INODE_SIZE(fs->fs->super) == EXT2_GOOD_OLD_INODE_SIZE)
		inode.i_extra_isize = 0;
	node->mode = inode.i_mode;
	node->generation = inode.i_generation;
	node->uid = inode_uid(inode);
	node->gid = inode_gid(inode);
	node->links = inode.i_links_count;
	node->size = EXT2_I_SIZE((struct ext2_inode *)&inode);
	node->mtime = INODE_TIME(&inode, mtime);
	node->ctime = INODE_TIME(&inode, ctime);
	node->crtime = 0;
	if ((size_t)inode.i_extra_isize + EXT2_GOOD_OLD_INODE_SIZE >=
	    offsetof(struct ext2_inode_large, i_crtime) + sizeof(inode.i_crtime))
		node->crtime = inode_time(&inode, inode.i_crtime, inode.i_crtime_extra,
					  offsetof(struct ext2_inode_large, i_crtime_extra) + 4);
	node->acl = ext2fs_file_acl_block(fs->fs, (struct ext2_inode *)&inode);
	memcpy(node->blocks, inode.i_block, sizeof(node->blocks));
	return 0;
}

/* A new last node; NULL when memory is short. */
static struct disk_node *new_node(struct disk_tree *tree)
{
	if (tree->count == tree->room) {
		size_t room = tree->room ? 2 * tree->room : 1024;
		struct disk_node *more;

		if (room > MAX_NODES)
			return NULL;
		more = realloc(tree->node, room * sizeof(*more));
		if (!more)
			return NULL;
		tree->node = more;
		tree->room = room;
	}
	memset(&tree->node[tree->count], 0, sizeof(tree->node[0]));
	return &tree->node[tree->count++];
}

static int add_name(ext2_ino_t dir, int entry, struct ext2_dir_entry *dirent, int offset, int blocksize, char *buf,
		    void *ctx)
{
	struct walk *w = ctx;
	struct disk_node *node;
	int len = ext2fs_dirent_name_len(dirent);

	(void)dir, (void)entry, (void)offset, (void)blocksize, (void)buf;
	/* by name: with inline data `entry` does not tell them */
	if (dirent->name[0] == '.' && (len == 1 || (len == 2 && dirent->name[1] == '.')))
		return 0;
	if (!len || memchr(dirent->name, '/', len) || memchr(dirent->name, '\0', len) ||
	    dirent->inode > w->fs->fs->super->s_inodes_count) {
		w->tree->damaged++;
		return 0;
	}
	node = new_node(w->tree);
	if (node)
		node->name = strndup(dirent->name, len);
	if (!node || !node->name) {
		w->ret = -ENOMEM;
		return DIRENT_ABORT;
	}
	node->ino = dirent->inode;
	node->parent = w->folder;
	return 0;
}

static int compare_names(const void *a, const void *b)
{
	return strcmp(((const struct disk_node *)a)->name, ((const struct disk_node *)b)->name);
}

/* The names in folder w->folder become its children; those whose inode is unreadable are dropped. */
static int read_folder(struct walk *w)
{
	struct disk_tree *tree = w->tree;
	uint32_t ino = tree->node[w->folder].ino;
	size_t first = tree->count, i, kept;

	if (ext2fs_dir_iterate2(w->fs->fs, ino, 0, NULL, add_name, w))
		tree->damaged++;
	for (i = kept = first; i < tree->count; i++) {
		struct disk_node node = tree->node[i];
		bool good = !w->ret && !read_inode(w->fs, &node);

		/* A folder with two names would let the walk run in circles. */
		if (good && S_ISDIR(node.mode)) {
			good = !(w->seen[node.ino / 8] & 1 << node.ino % 8);
			w->seen[node.ino / 8] |= 1 << node.ino % 8;
		}
		if (good) {
			tree->node[kept++] = node;
		} else {
			tree->damaged++;
			free(node.name);
		}
	}
	tree->count = kept;
	if (kept > first)
		qsort(&tree->node[first], kept - first, sizeof(tree->node[0]), compare_names);
	tree->node[w->folder].first = first;
	tree->node[w->folder].count = kept - first;
	return w->ret;
}

int disk_tree_read(struct disk_fs *fs, struct disk_tree *tree, struct tt_error *err)
{
	struct walk w = { .fs = fs, .tree = tree };
	struct disk_node *root;
	int ret = -ENOMEM;

	memset(tree, 0, sizeof(*tree));
	w.seen = calloc(1, (uint64_t)fs->fs->super->s_inodes_count / 8 + 1);
	root = new_node(tree);
	if (root)
		root->name = strdup("");
	if (!w.seen || !root || !root->name)
		goto out;
	root->ino = EXT2_ROOT_INO;
	w.seen[EXT2_ROOT_INO / 8] |= 1 << EXT2_ROOT_INO % 8;
	if (read_inode(fs, root) || !S_ISDIR(root->mode)) {
		ret = -EUCLEAN;
		goto out;
	}
	for (ret = 0; !ret && w.folder < tree->count; w.folder++)
		if (S_ISDIR(tree->node[w.folder].mode))
			ret = read_folder(&w);
out:
	free(w.seen);
	if (ret) {
		disk_tree_free(tree);
		return tt_fail(err, ret, ret == -ENOMEM ? "out of memory" :
			       "the file system's root folder cannot be read");
	}
	return 0;
}

void disk_tree_free(struct disk_tree *tree)
{
	size_t i;

	for (i = 0; i < tree->count; i++)
		free(tree->node[i].name);
	free(tree->node);
	memset(tree, 0, sizeof(*tree));
}

char *disk_tree_path(const struct disk_tree *tree, uint32_t index)
{
	size_t len = 0;
	uint32_t i;
	char *path;

	for (i = index; i; i = tree->node[i].parent)
		len += strlen(tree->node[i].name) + 1;
	path = malloc(len + 2);
	if (!path)
		return NULL;
	if (!index)
		return strcpy(path, "/");
	path[len] = '\0';
	for (i = index; i; i = tree->node[i].parent) {
		size_t part = strlen(tree->node[i].name);

		len -= part;
		memcpy(path + len, tree->node[i].name, part);
		path[--len] = '/';
	}
	return path;
}
