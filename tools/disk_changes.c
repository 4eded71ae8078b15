// SPDX-License-Identifier: GPL-2.0
/*
 * disk_changes.c - the difference between two states of a file system, in files.
 *
 * First names: from the root down, what has the same name in the same folder is the same file. Then inodes: what is left
 * over on both sides and has the same inode (number, generation, time of birth) was renamed; a folder takes what is in it
 * along. What is left over after that was removed or added.
 *
 * A file's content is read only if it can have changed: it is another inode, its map of blocks is another, or one of its
 * blocks lies where the two disks differ.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "disk_files.h"

#define CHUNK (256u << 10)
#define NOTHING UINT32_MAX

struct pair {
	uint32_t before, after; /* indexes, NOTHING */
	enum disk_change_kind kind;
	unsigned int what;
	char *path;
};

struct pairs {
	struct pair *pair;
	size_t count, room;
};

struct side {
	struct disk_fs *fs; /* NULL: there is none */
	struct disk_tree tree;
	uint8_t *done;	    /* per node: it has found its counterpart */
	uint8_t *buffer;
};

struct comparison {
	struct side before, after;
	struct disk_ranges changed;	/* bytes of the disk, with what the journals replace */
	struct pairs work;		/* pairs that are to be compared */
	struct pairs found;		/* changes */
	unsigned int damaged;
};

static int push(struct pairs *pairs, struct pair pair)
{
	if (pairs->count == pairs->room) {
		size_t room = pairs->room ? 2 * pairs->room : 256;
		struct pair *more = realloc(pairs->pair, room * sizeof(*more));

		if (!more)
			return -ENOMEM;
		pairs->pair = more;
		pairs->room = room;
	}
	pairs->pair[pairs->count++] = pair;
	return 0;
}

/* ------------------------------------------------------------------ content */

struct touch {
	struct comparison *c;
	bool yes;
};

static int touch_block(ext2_filsys fs, blk64_t *block, e2_blkcnt_t count, blk64_t ref, int ref_offset, void *ctx)
{
	struct touch *t = ctx;
	struct disk_fs *after = t->c->after.fs;

	(void)count, (void)ref, (void)ref_offset;
	t->yes = disk_ranges_overlap(&t->c->changed, after->offset + *block * fs->blocksize, fs->blocksize);
	return t->yes ? BLOCK_ABORT : 0;
}

/* Does any block of the file, or of its map, lie where the disks differ? */
static bool is_touched(struct comparison *c, const struct disk_node *node)
{
	struct touch t = { .c = c };
	errcode_t ret;

	ret = ext2fs_block_iterate3(c->after.fs->fs, node->ino, BLOCK_FLAG_READ_ONLY, NULL, touch_block, &t);
	return ret || t.yes;
}

/* 1: the bytes are the same, 0: they are not, or cannot be read. */
static bool same_bytes(struct comparison *c, const struct disk_node *a, const struct disk_node *b)
{
	ext2_file_t x = NULL, y = NULL;
	unsigned int got_x, got_y;
	bool same = false;

	if (ext2fs_file_open(c->before.fs->fs, a->ino, 0, &x) || ext2fs_file_open(c->after.fs->fs, b->ino, 0, &y))
		goto out;
	do {
		if (ext2fs_file_read(x, c->before.buffer, CHUNK, &got_x) ||
		    ext2fs_file_read(y, c->after.buffer, CHUNK, &got_y)) {
			c->damaged++;
			goto out;
		}
		same = got_x == got_y && !memcmp(c->before.buffer, c->after.buffer, got_x);
	} while (same && got_x);
out:
	if (x)
		ext2fs_file_close(x);
	if (y)
		ext2fs_file_close(y);
	return same;
}

static bool same_inode(const struct disk_node *a, const struct disk_node *b)
{
	return a->ino == b->ino && a->generation == b->generation && a->crtime == b->crtime &&
	       (a->mode & S_IFMT) == (b->mode & S_IFMT);
}

static bool same_content(struct comparison *c, const struct disk_node *a, const struct disk_node *b)
{
	bool same_map = !memcmp(a->blocks, b->blocks, sizeof(a->blocks));

	if (S_ISLNK(a->mode)) {
		if (same_inode(a, b))
			return true;
		return b->size < sizeof(b->blocks) ? !memcmp(a->blocks, b->blocks, b->size) : same_bytes(c, a, b);
	}
	if (!S_ISREG(a->mode))
		return S_ISDIR(a->mode) || same_map;
	if (!a->size)
		return true;
	if (same_inode(a, b) && same_map && !is_touched(c, b))
		return true;
	return same_bytes(c, a, b);
}

static unsigned int compare_nodes(struct comparison *c, const struct disk_node *a, const struct disk_node *b,
				  bool renamed)
{
	bool folder = S_ISDIR(a->mode);
	unsigned int what = 0;

	/* A folder's size and times speak of the names in it, which are reported themselves. */
	if (!folder && a->size != b->size)
		what |= DISK_WHAT_SIZE | DISK_WHAT_CONTENT;
	else if (!same_content(c, a, b))
		what |= DISK_WHAT_CONTENT;
	if (!folder && a->mtime != b->mtime)
		what |= DISK_WHAT_MTIME;
	if (a->mode != b->mode)
		what |= DISK_WHAT_MODE;
	if (a->uid != b->uid || a->gid != b->gid)
		what |= DISK_WHAT_OWNER;
	if (!folder && a->links != b->links)
		what |= DISK_WHAT_LINKS;
	if (a->acl != b->acl || (!what && !folder && !renamed && a->ctime != b->ctime))
		what |= DISK_WHAT_ATTRIBUTES;
	return what;
}

/* ------------------------------------------------------------------ who is who */

/* Names that are in both folders become pairs to be compared. */
static int pair_children(struct comparison *c, const struct disk_node *a, const struct disk_node *b)
{
	const struct disk_node *x = c->before.tree.node, *y = c->after.tree.node;
	uint32_t i = a->first, j = b->first;
	int ret = 0;

	while (!ret && i < a->first + a->count && j < b->first + b->count) {
		int order = strcmp(x[i].name, y[j].name);

		if (order < 0) {
			i++;
			continue;
		}
		if (order > 0) {
			j++;
			continue;
		}
		if ((x[i].mode & S_IFMT) == (y[j].mode & S_IFMT) && !c->before.done[i] && !c->after.done[j]) {
			c->before.done[i] = c->after.done[j] = 1;
			ret = push(&c->work, (struct pair){ .before = i, .after = j, .kind = DISK_CHANGED });
		}
		i++;
		j++;
	}
	return ret;
}

static int do_work(struct comparison *c)
{
	int ret = 0;

	while (!ret && c->work.count) {
		struct pair pair = c->work.pair[--c->work.count];
		const struct disk_node *a = &c->before.tree.node[pair.before], *b = &c->after.tree.node[pair.after];

		pair.what = compare_nodes(c, a, b, pair.kind == DISK_RENAMED);
		if (pair.what || pair.kind == DISK_RENAMED)
			ret = push(&c->found, pair);
		if (!ret && S_ISDIR(a->mode))
			ret = pair_children(c, a, b);
	}
	return ret;
}

static int compare_inodes(const void *a, const void *b, void *nodes)
{
	const struct disk_node *x = (struct disk_node *)nodes + *(const uint32_t *)a;
	const struct disk_node *y = (struct disk_node *)nodes + *(const uint32_t *)b;

	if (x->ino != y->ino)
		return x->ino < y->ino ? -1 : 1;
	return (x > y) - (x < y);
}

/* Parents come first in a tree, so a folder takes its children along before they are looked at. */
static int find_renamed(struct comparison *c)
{
	const struct disk_node *nodes = c->before.tree.node;
	size_t count = 0, i, low, high;
	uint32_t *left;
	int ret = 0;

	left = malloc((c->before.tree.count + 1) * sizeof(*left));
	if (!left)
		return -ENOMEM;
	for (i = 0; i < c->before.tree.count; i++)
		if (!c->before.done[i])
			left[count++] = i;
	qsort_r(left, count, sizeof(*left), compare_inodes, (void *)nodes);
	for (i = 0; i < c->after.tree.count && !ret; i++) {
		const struct disk_node *node = &c->after.tree.node[i];

		if (c->after.done[i])
			continue;
		for (low = 0, high = count; low < high;) {
			size_t middle = low + (high - low) / 2;

			if (nodes[left[middle]].ino < node->ino)
				low = middle + 1;
			else
				high = middle;
		}
		while (low < count && nodes[left[low]].ino == node->ino &&
		       (c->before.done[left[low]] || !same_inode(&nodes[left[low]], node)))
			low++;
		if (low == count || nodes[left[low]].ino != node->ino)
			continue;
		c->before.done[left[low]] = c->after.done[i] = 1;
		ret = push(&c->work, (struct pair){ .before = left[low], .after = i, .kind = DISK_RENAMED });
		if (!ret)
			ret = do_work(c);
	}
	free(left);
	return ret;
}

static int find_rest(struct comparison *c)
{
	size_t i;
	int ret = 0;

	for (i = 0; i < c->before.tree.count && !ret; i++)
		if (!c->before.done[i])
			ret = push(&c->found, (struct pair){ .before = i, .after = NOTHING, .kind = DISK_REMOVED });
	for (i = 0; i < c->after.tree.count && !ret; i++)
		if (!c->after.done[i])
			ret = push(&c->found, (struct pair){ .before = NOTHING, .after = i, .kind = DISK_ADDED });
	return ret;
}

/* ------------------------------------------------------------------ start and end */

static int compare_paths(const void *a, const void *b)
{
	const struct pair *x = a, *y = b;
	int order = strcmp(x->path, y->path);

	return order ? order : (x->kind == DISK_ADDED) - (y->kind == DISK_ADDED);
}

static int report_all(struct comparison *c, int (*report)(void *ctx, const struct disk_change *change), void *ctx)
{
	size_t i;
	int ret = 0;

	for (i = 0; i < c->found.count; i++) {
		struct pair *p = &c->found.pair[i];

		p->path = p->after != NOTHING ? disk_tree_path(&c->after.tree, p->after) :
						disk_tree_path(&c->before.tree, p->before);
		if (!p->path)
			return -ENOMEM;
	}
	if (c->found.count)
		qsort(c->found.pair, c->found.count, sizeof(c->found.pair[0]), compare_paths);
	for (i = 0; i < c->found.count && !ret; i++) {
		const struct pair *p = &c->found.pair[i];
		char *from = p->kind == DISK_RENAMED ? disk_tree_path(&c->before.tree, p->before) : NULL;

		if (p->kind == DISK_RENAMED && !from)
			return -ENOMEM;
		ret = report(ctx, &(struct disk_change){
			.kind = p->kind,
			.what = p->what,
			.path = p->path,
			.from = from,
			.before = p->before != NOTHING ? &c->before.tree.node[p->before] : NULL,
			.after = p->after != NOTHING ? &c->after.tree.node[p->after] : NULL,
		});
		free(from);
	}
	return ret;
}

static int open_side(struct side *side, struct disk_fs *fs, struct disk_ranges *changed, struct tt_error *err)
{
	size_t i;
	int ret;

	side->fs = fs;
	if (!fs)
		return 0;
	ret = disk_tree_read(fs, &side->tree, err);
	if (ret)
		return ret;
	side->done = calloc(side->tree.count + 1, 1);
	side->buffer = malloc(CHUNK);
	ret = side->done && side->buffer ? 0 : -ENOMEM;
	for (i = 0; i < fs->overlay.count && !ret; i++)
		ret = disk_ranges_add(changed, fs->offset + fs->overlay.block[i].block * fs->fs->blocksize,
				      fs->fs->blocksize);
	return ret ? tt_fail(err, ret, "out of memory") : 0;
}

static void close_side(struct side *side)
{
	disk_tree_free(&side->tree);
	free(side->done);
	free(side->buffer);
}

int disk_changes(struct disk_fs *before, struct disk_fs *after, const struct disk_ranges *changed,
		 int (*report)(void *ctx, const struct disk_change *change), void *ctx, unsigned int *damaged,
		 struct tt_error *err)
{
	struct comparison c = { 0 };
	size_t i;
	int ret = 0;

	for (i = 0; i < changed->count && !ret; i++)
		ret = disk_ranges_add(&c.changed, changed->range[i].offset, changed->range[i].len);
	if (ret)
		tt_fail(err, ret, "out of memory");
	if (!ret)
		ret = open_side(&c.before, before, &c.changed, err);
	if (!ret)
		ret = open_side(&c.after, after, &c.changed, err);
	if (ret)
		goto out;
	disk_ranges_sort(&c.changed);
	if (before && after) {
		c.before.done[0] = c.after.done[0] = 1;
		ret = push(&c.work, (struct pair){ .kind = DISK_CHANGED });
		if (!ret)
			ret = do_work(&c);
		if (!ret)
			ret = find_renamed(&c);
	}
	if (!ret)
		ret = find_rest(&c);
	if (!ret)
		ret = report_all(&c, report, ctx);
	if (ret)
		tt_fail(err, ret, "the files could not be compared: %s", strerror(-ret));
	*damaged = c.damaged + c.before.tree.damaged + c.after.tree.damaged;
out:
	for (i = 0; i < c.found.count; i++)
		free(c.found.pair[i].path);
	free(c.found.pair);
	free(c.work.pair);
	disk_ranges_free(&c.changed);
	close_side(&c.before);
	close_side(&c.after);
	return ret;
}
