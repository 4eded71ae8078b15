// SPDX-License-Identifier: GPL-2.0
/*
 * test_disk_files.c - partitions, journals and changed files, on images made by sfdisk, mke2fs and debugfs, and on what
 * is left of them after damage.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../../tools/disk_files.h"

#define BLOCK 4096u
#define MIB   (1u << 20)
#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))

static char folder[64];

/* A shell command in the folder of the test; must succeed. */
__attribute__((format(printf, 1, 2))) static void run(const char *format, ...)
{
	char command[2000], line[2200];
	va_list args;

	va_start(args, format);
	vsnprintf(command, sizeof(command), format, args);
	va_end(args);
	snprintf(line, sizeof(line), "cd %s && { PATH=$PATH:/sbin:/usr/sbin; %s; } >>log 2>&1", folder, command);
	if (system(line))
		fail_msg("%s failed; see %s/log", command, folder);
}

static int make_folder(void **state)
{
	(void)state;
	strcpy(folder, "/tmp/test_disk_files.XXXXXX");
	return mkdtemp(folder) ? 0 : -1;
}

static int remove_folder(void **state)
{
	char line[100];

	(void)state;
	snprintf(line, sizeof(line), "rm -rf %s", folder);
	return system(line);
}

/* ------------------------------------------------------------------ images in memory */

struct image {
	uint8_t *data;
	struct disk_source source;
};

static int read_image(const struct disk_source *source, uint64_t offset, void *data, size_t len)
{
	assert_true(offset <= source->size && len <= source->size - offset);
	memcpy(data, (uint8_t *)source->ctx + offset, len);
	return 0;
}

static struct image empty_image(size_t size)
{
	struct image image = { .data = calloc(1, size) };

	assert_non_null(image.data);
	image.source = (struct disk_source){ size, read_image, image.data };
	return image;
}

static struct image load(const char *name)
{
	char path[200];
	struct image image;
	struct stat st;
	int fd;

	snprintf(path, sizeof(path), "%s/%s", folder, name);
	fd = open(path, O_RDONLY);
	assert_true(fd >= 0);
	assert_int_equal(fstat(fd, &st), 0);
	image = empty_image(st.st_size);
	assert_int_equal(read(fd, image.data, st.st_size), st.st_size);
	close(fd);
	return image;
}

static void save(const char *name, const void *data, size_t len)
{
	char path[200];
	int fd;

	snprintf(path, sizeof(path), "%s/%s", folder, name);
	fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
	assert_true(fd >= 0);
	assert_int_equal(write(fd, data, len), len);
	close(fd);
}

/* ------------------------------------------------------------------ partitions */

static void expect_partition(const struct disk_partition *p, unsigned int number, uint64_t offset, uint64_t size)
{
	assert_int_equal(p->number, number);
	assert_int_equal(p->offset, offset);
	assert_int_equal(p->size, size);
}

static void test_no_table(void **state)
{
	struct image image = empty_image(MIB);
	struct disk_partitions table;

	(void)state;
	assert_int_equal(disk_partitions_read(&image.source, &table), 0);
	assert_string_equal(table.table, "none");
	assert_int_equal(table.count, 1);
	expect_partition(&table.partition[0], 0, 0, MIB);
	free(image.data);
}

static void test_mbr(void **state)
{
	struct disk_partitions table;
	struct image image;

	(void)state;
	run("truncate -s 64M mbr && printf '%%s\\n' 'label: dos' 'size=8M, type=83' 'size=8M, type=82' "
	    "'type=5' 'size=4M, type=83' 'size=5M, type=83' | sfdisk mbr");
	image = load("mbr");
	assert_int_equal(disk_partitions_read(&image.source, &table), 0);
	assert_string_equal(table.table, "mbr");
	assert_int_equal(table.count, 4);
	expect_partition(&table.partition[0], 1, MIB, 8 * MIB);
	expect_partition(&table.partition[1], 2, 9 * MIB, 8 * MIB);
	expect_partition(disk_partition_find(&table, 5), 5, 18 * MIB, 4 * MIB);
	expect_partition(disk_partition_find(&table, 6), 6, 23 * MIB, 5 * MIB);
	assert_null(disk_partition_find(&table, 3));

	/* Beyond the end: left out. */
	image.source.size = 20 * MIB;
	assert_int_equal(disk_partitions_read(&image.source, &table), 0);
	assert_int_equal(table.count, 2);

	/* A chain of tables that leads back to itself ends. */
	image.source.size = 64 * MIB;
	memcpy(image.data + 17 * MIB + 446 + 16 + 8, "\0\0\0\1", 4);
	assert_int_equal(disk_partitions_read(&image.source, &table), 0);
	memcpy(image.data + 22 * MIB + 446 + 16, image.data + 17 * MIB + 446 + 16, 16);
	assert_int_equal(disk_partitions_read(&image.source, &table), 0);
	free(image.data);
}

static void test_gpt(void **state)
{
	struct disk_partitions table;
	struct image image;
	int round;

	(void)state;
	run("truncate -s 64M gpt && printf '%%s\\n' 'label: gpt' 'size=8M' 'start=40M, size=16M' | sfdisk gpt");
	image = load("gpt");
	for (round = 0; round < 2; round++) {
		assert_int_equal(disk_partitions_read(&image.source, &table), 0);
		assert_string_equal(table.table, "gpt");
		assert_int_equal(table.count, 2);
		expect_partition(&table.partition[0], 1, MIB, 8 * MIB);
		expect_partition(&table.partition[1], 2, 40 * MIB, 16 * MIB);
		/* the second round has to use the spare copy, for one flipped bit */
		image.data[1024 + 40] ^= 1;
	}
	/* both damaged: nothing is believed */
	image.data[image.source.size - 512 + 16] ^= 1;
	image.data[1024 + 41] ^= 1;
	assert_int_equal(disk_partitions_read(&image.source, &table), 0);
	assert_int_equal(table.count, 0);
	free(image.data);
}

/* ------------------------------------------------------------------ changes */

#define MAX_CHANGES 40

struct changes {
	unsigned int count, damaged;
	char line[MAX_CHANGES][300];
};

static int note_change(void *ctx, const struct disk_change *c)
{
	static const char *const kinds[] = { "added", "removed", "changed", "renamed" };
	struct changes *changes = ctx;

	if (changes->count < MAX_CHANGES)
		snprintf(changes->line[changes->count], sizeof(changes->line[0]), "%s %s%s%s %#x", kinds[c->kind],
			 c->path, c->from ? " " : "", c->from ? c->from : "", c->what);
	changes->count++;
	return 0;
}

static struct disk_ranges find_ranges(const struct image *a, const struct image *b)
{
	struct disk_ranges ranges = { 0 };
	uint64_t at;

	for (at = 0; at < a->source.size; at += DISK_SECTOR)
		if (memcmp(a->data + at, b->data + at, DISK_SECTOR))
			assert_int_equal(disk_ranges_add(&ranges, at, DISK_SECTOR), 0);
	return ranges;
}

static struct disk_fs *open_fs(const struct image *image)
{
	struct disk_partition whole = { .size = image->source.size };
	struct tt_error err = { 0 };
	struct disk_fs *fs;

	if (disk_fs_open(&image->source, &whole, &fs, &err))
		fail_msg("%s", err.text);
	return fs;
}

static void compare(const struct image *a, const struct image *b, struct changes *changes)
{
	struct disk_ranges ranges = find_ranges(a, b);
	struct disk_fs *x = open_fs(a), *y = open_fs(b);
	struct tt_error err = { 0 };

	changes->count = 0;
	if (disk_changes(x, y, &ranges, note_change, changes, &changes->damaged, &err))
		fail_msg("%s", err.text);
	disk_fs_close(x);
	disk_fs_close(y);
	disk_ranges_free(&ranges);
}

static void expect_changes(const struct changes *changes, const char *const *lines, size_t count)
{
	size_t i;

	for (i = 0; i < count && i < changes->count; i++)
		assert_string_equal(changes->line[i], lines[i]);
	assert_int_equal(changes->count, count);
	assert_int_equal(changes->damaged, 0);
}

/* fs1: a file system with some files; options are mke2fs'. */
static void make_fs(const char *options)
{
	run("rm -rf root fs1 && mkdir -p root/d/e root/k && head -c 100000 /dev/urandom >root/d/big && echo one >root/d/e/one && "
	    "echo two >root/two && echo three >root/k/three && ln -s two root/link && head -c 9000 /dev/zero >root/zero && "
	    "truncate -s 16M fs1 && mke2fs -q -F -b %u %s -d root fs1", BLOCK, options);
}

static const char *const no_change[1];

static void test_same(void **state)
{
	struct changes changes;
	struct image a;

	(void)state;
	make_fs("-t ext4");
	a = load("fs1");
	compare(&a, &a, &changes);
	expect_changes(&changes, no_change, 0);
	free(a.data);
}

static void test_changes(void **state)
{
	static const char *const lines[] = {
		"changed /d/big 0x1",
		"renamed /dd /d/e 0",
		"changed /dd/one 0xf",
		"changed /k/three 0x8",
		"added /new 0",
		"added /newdir 0",
		"renamed /newdir/zwei /two 0",
		"removed /zero 0",
	};
	static const char *const kinds[] = { "-t ext4", "-t ext4 -O inline_data", "-t ext3", "-t ext2" };
	struct changes changes;
	struct image a, b, text;
	uint64_t block;
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_SIZE(kinds); i++) {
		make_fs(kinds[i]);
		save("content", "ONE", 4);
		run("cp fs1 fs2 && printf '%%s\\n' 'write content new' 'rm zero' 'mkdir newdir' 'ln two newdir/zwei' 'unlink two' "
		    "'ln d/e dd' 'unlink d/e' 'sif k/three mode 0100600' 'sif dd/one mode 0100755' 'sif dd/one size 3' "
		    "'sif dd/one mtime 20300101' | debugfs -w fs2");
		a = load("fs1");
		b = load("fs2");
		/* One byte in the middle of a file, behind the file system's back: no time tells of it. */
		run("debugfs -R 'bmap d/big 20' fs2 | tail -n 1 >block");
		text = load("block");
		block = strtoull((char *)text.data, NULL, 10);
		free(text.data);
		assert_in_range(block, 1, b.source.size / BLOCK - 1);
		b.data[block * BLOCK + 7] ^= 0xff;
		compare(&a, &b, &changes);
		expect_changes(&changes, lines, ARRAY_SIZE(lines));
		free(a.data);
		free(b.data);
	}
}

/* What is on one side only, and a file system that was made anew. */
static void test_new_fs(void **state)
{
	struct disk_ranges ranges = { 0 };
	struct tt_error err = { 0 };
	struct changes changes = { 0 };
	struct disk_fs *fs;
	struct image a, b;

	(void)state;
	make_fs("-t ext4");
	a = load("fs1");
	fs = open_fs(&a);
	assert_int_equal(disk_changes(NULL, fs, &ranges, note_change, &changes, &changes.damaged, &err), 0);
	assert_int_equal(changes.count, 11);
	assert_string_equal(changes.line[0], "added / 0");
	assert_string_equal(changes.line[10], "added /zero 0");
	disk_fs_close(fs);
	/* the same files in other places */
	run("sleep 1; truncate -s 0 fs1 && truncate -s 16M fs1 && mke2fs -q -F -b %u -t ext4 -g 1024 -d root fs1", BLOCK);
	b = load("fs1");
	compare(&a, &b, &changes);
	while (changes.count && strstr(changes.line[changes.count - 1], " 0x40"))
		changes.count--;
	expect_changes(&changes, no_change, 0);
	free(a.data);
	free(b.data);
}

/* ------------------------------------------------------------------ journals */

/* fs2: fs1 with changes; fs3: fs1 with these changes in its journal only, as a running machine leaves it. */
static void make_journaled(const char *options, const char *more)
{
	char list[2000] = "";
	struct image a, b;
	uint8_t *blocks;
	size_t at, count = 0, len = 0;

	make_fs(options);
	save("content", "\xc0\x3b\x39\x98 begins like the journal's own blocks", 40);
	run("cp fs1 fs2 && printf '%%s\\n' 'write content magic' 'mkdir sub' 'write content sub/again' 'rm two' | debugfs -w fs2");
	a = load("fs1");
	b = load("fs2");
	blocks = malloc(a.source.size);
	assert_non_null(blocks);
	for (at = 0; at < a.source.size; at += BLOCK) {
		if (!memcmp(a.data + at, b.data + at, BLOCK))
			continue;
		memcpy(blocks + count++ * BLOCK, b.data + at, BLOCK);
		len += snprintf(list + len, sizeof(list) - len, "%s%zu", len ? "," : "", at / BLOCK);
	}
	assert_true(len < sizeof(list));
	save("blocks", blocks, count * BLOCK);
	run("cp fs1 fs3 && printf '%%s\\n' 'jo %s' 'jw -b %s blocks' 'jc' | debugfs -w fs3", more, list);
	free(blocks);
	free(a.data);
	free(b.data);
}

static void expect_recovered(const char *name, unsigned int transactions)
{
	struct changes changes;
	struct image b = load("fs2"), c = load(name);
	struct disk_fs *fs = open_fs(&c);

	assert_int_equal(fs->transactions, transactions);
	assert_string_equal(fs->note, "");
	disk_fs_close(fs);
	compare(&b, &c, &changes);
	expect_changes(&changes, no_change, 0);
	free(b.data);
	free(c.data);
}

static void test_journal(void **state)
{
	static const struct {
		const char *options, *journal;
	} kinds[] = {
		{ "-t ext4", "-c" },
		{ "-t ext4", "-c -v 2" },
		{ "-t ext4 -O ^64bit", "-c" },
		{ "-t ext4 -O ^64bit", "-c -v 2" },
		{ "-t ext4 -O ^metadata_csum", "" },
		{ "-t ext3", "" },
	};
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_SIZE(kinds); i++) {
		make_journaled(kinds[i].options, kinds[i].journal);
		expect_recovered("fs3", 1);
	}
}

/* The journal's n-th block, in the image. */
static uint8_t *journal_block(const struct image *image, unsigned int n)
{
	struct image text;
	uint64_t block;

	run("debugfs -R 'bmap <8> %u' fs3 | tail -n 1 >block", n);
	text = load("block");
	block = strtoull((char *)text.data, NULL, 10);
	free(text.data);
	assert_in_range(block, 1, image->source.size / BLOCK - 1);
	return image->data + block * BLOCK;
}

/* A transaction that is not complete, or not valid, did not happen. */
static void test_unfinished_journal(void **state)
{
	struct changes changes;
	struct image a, c;
	unsigned int n;
	int pass;

	(void)state;
	make_journaled("-t ext4", "-c");
	for (pass = 0; pass < 2; pass++) {
		a = load("fs1");
		c = load("fs3");
		if (!pass) {
			journal_block(&c, 1)[20] ^= 1; /* a tag: the descriptor's checksum is wrong */
		} else {
			for (n = 2; memcmp(journal_block(&c, n), "\xc0\x3b\x39\x98\0\0\0\2", 8); n++)
				assert_true(n < 100);
			memset(journal_block(&c, n), 0, BLOCK); /* its commit has not been written yet */
		}
		compare(&a, &c, &changes);
		expect_changes(&changes, no_change, 0);
		free(a.data);
		free(c.data);
	}
}

/* The second transaction revokes what the first says of a block, and a third would be wrong if it were read. */
static void test_revoked(void **state)
{
	struct image a, c;
	struct disk_fs *fs;
	uint8_t *junk = calloc(1, BLOCK), back[8];
	ext2_ino_t ino;
	blk64_t block;

	(void)state;
	assert_non_null(junk);
	make_fs("-t ext4");
	memset(junk, 0x55, BLOCK);
	save("junk", junk, BLOCK);
	a = load("fs1");
	fs = open_fs(&a);
	assert_int_equal(ext2fs_namei(fs->fs, EXT2_ROOT_INO, EXT2_ROOT_INO, "d/big", &ino), 0);
	assert_int_equal(ext2fs_bmap2(fs->fs, ino, NULL, NULL, 0, 3, NULL, &block), 0);
	disk_fs_close(fs);
	run("cp fs1 fs3 && printf '%%s\\n' 'jo -c' 'jw -b %llu junk' 'jc' | debugfs -w fs3", (unsigned long long)block);
	c = load("fs3");
	fs = open_fs(&c);
	assert_int_equal(fs->overlay.count, 1);
	assert_int_equal(io_channel_read_blk64(fs->fs->io, block, -8, back), 0);
	assert_memory_equal(back, junk, sizeof(back));
	disk_fs_close(fs);
	free(c.data);
	run("printf '%%s\\n' 'jo -c' 'jw -r %llu' 'jc' | debugfs -w fs3", (unsigned long long)block);
	c = load("fs3");
	fs = open_fs(&c);
	assert_int_equal(fs->transactions, 2);
	assert_int_equal(fs->overlay.count, 0);
	disk_fs_close(fs);
	free(c.data);
	free(a.data);
	free(junk);
}

/* ------------------------------------------------------------------ damage */

static uint32_t next_random(uint32_t *state)
{
	*state = *state * 1664525u + 1013904223u;
	return *state >> 8;
}

/* Whatever is on the disk: there is an end, and no access outside (the sanitizers look). */
static void test_damage(void **state)
{
	struct disk_ranges ranges = { 0 };
	struct changes changes = { 0 };
	struct tt_error err = { 0 };
	uint32_t seed = 1;
	struct image a, c;
	uint8_t *saved;
	int round, i;

	(void)state;
	make_journaled("-t ext4", "-c");
	a = load("fs1");
	c = load("fs3");
	saved = malloc(c.source.size);
	assert_non_null(saved);
	memcpy(saved, c.data, c.source.size);
	assert_int_equal(disk_ranges_add(&ranges, 0, c.source.size), 0);
	for (round = 0; round < 150; round++) {
		struct disk_partition whole = { .size = c.source.size };
		struct disk_fs *x = open_fs(&a), *y;

		memcpy(c.data, saved, c.source.size);
		for (i = 0; i < 40; i++) {
			uint32_t block = next_random(&seed) % 40, at = next_random(&seed) % BLOCK;

			c.data[block * BLOCK + at] = next_random(&seed);
		}
		/* numbers that are often used, with values that are often wrong */
		memset(c.data + next_random(&seed) % (40 * BLOCK), next_random(&seed) % 2 ? 0xff : 0, 4);
		if (!disk_fs_open(&c.source, &whole, &y, &err)) {
			disk_changes(x, y, &ranges, note_change, &changes, &changes.damaged, &err);
			disk_fs_close(y);
		}
		disk_fs_close(x);
	}
	disk_ranges_free(&ranges);
	free(saved);
	free(a.data);
	free(c.data);
}

/* ------------------------------------------------------------------ ranges */

static void test_ranges(void **state)
{
	struct disk_ranges r = { 0 };

	(void)state;
	assert_false(disk_ranges_overlap(&r, 0, UINT64_MAX));
	assert_int_equal(disk_ranges_add(&r, 100, 10), 0);
	assert_int_equal(disk_ranges_add(&r, 110, 10), 0);
	assert_int_equal(disk_ranges_add(&r, 10, 10), 0);
	assert_int_equal(disk_ranges_add(&r, 15, 3), 0);
	assert_int_equal(disk_ranges_add(&r, 18, 4), 0);
	disk_ranges_sort(&r);
	assert_int_equal(r.count, 2);
	assert_int_equal(r.range[0].offset, 10);
	assert_int_equal(r.range[0].len, 12);
	assert_int_equal(r.range[1].len, 20);
	assert_false(disk_ranges_overlap(&r, 0, 10));
	assert_true(disk_ranges_overlap(&r, 0, 11));
	assert_true(disk_ranges_overlap(&r, 21, 1));
	assert_false(disk_ranges_overlap(&r, 22, 78));
	assert_true(disk_ranges_overlap(&r, 22, 79));
	assert_false(disk_ranges_overlap(&r, 120, 1));
	disk_ranges_free(&r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_ranges),
		cmocka_unit_test(test_no_table),
		cmocka_unit_test_setup_teardown(test_mbr, make_folder, remove_folder),
		cmocka_unit_test_setup_teardown(test_gpt, make_folder, remove_folder),
		cmocka_unit_test_setup_teardown(test_same, make_folder, remove_folder),
		cmocka_unit_test_setup_teardown(test_changes, make_folder, remove_folder),
		cmocka_unit_test_setup_teardown(test_new_fs, make_folder, remove_folder),
		cmocka_unit_test_setup_teardown(test_journal, make_folder, remove_folder),
		cmocka_unit_test_setup_teardown(test_unfinished_journal, make_folder, remove_folder),
		cmocka_unit_test_setup_teardown(test_revoked, make_folder, remove_folder),
		cmocka_unit_test_setup_teardown(test_damage, make_folder, remove_folder),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
