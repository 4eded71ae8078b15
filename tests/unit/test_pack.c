// SPDX-License-Identifier: GPL-2.0
/*
 * test_pack.c - archives and manifests of packs: what goes in comes out, and nothing that was damaged does.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../../tools/pack.h"

#define NUM_FILES 5
#define CHECKSUM_SIZE 4 /* of the zstd frame, at its end */

struct archive {
	char folder[32], path[64];
	uint8_t *bytes;		/* of the archive */
	size_t size;
};

/* Of no bytes, one, a block, and others. */
static const size_t sizes[NUM_FILES] = { 0, 1, 512, 513, 70000 };

static void fill(uint8_t *data, size_t len, unsigned int seed)
{
	size_t i;

	for (i = 0; i < len; i++)
		data[i] = (seed = seed * 1103515245 + 12345) >> 16;
}

static void write_file(const char *path, const void *data, size_t len)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0666);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, data, len), len);
	close(fd);
}

static int make(void **state)
{
	struct archive *a = calloc(1, sizeof(*a));
	static uint8_t data[70000];
	struct archive_writer *w;
	struct tt_error err;
	uint64_t bytes;
	struct stat st;
	char name[16];
	int i, fd;

	strcpy(a->folder, "/tmp/pack-XXXXXX");
	assert_non_null(mkdtemp(a->folder));
	snprintf(a->path, sizeof(a->path), "%s/a.tar.zst", a->folder);
	assert_int_equal(archive_create(a->path, &w, &err), 0);
	for (i = 0; i < NUM_FILES; i++) {
		snprintf(name, sizeof(name), "file%d", i);
		fill(data, sizes[i], i);
		assert_int_equal(archive_add(w, name, sizes[i], &err), 0);
		assert_int_equal(archive_write(w, data, sizes[i] / 3, &err), 0);
		assert_int_equal(archive_write(w, data + sizes[i] / 3, sizes[i] - sizes[i] / 3, &err), 0);
	}
	assert_int_equal(archive_finish(w, &bytes, &err), 0);
	archive_writer_destroy(w);
	assert_int_equal(stat(a->path, &st), 0);
	assert_int_equal(st.st_size, bytes);
	a->size = bytes;
	a->bytes = malloc(bytes);
	fd = open(a->path, O_RDONLY);
	assert_int_equal(read(fd, a->bytes, bytes), bytes);
	close(fd);
	*state = a;
	return 0;
}

static int clean(void **state)
{
	struct archive *a = *state;
	char command[64];

	snprintf(command, sizeof(command), "rm -r %s", a->folder);
	assert_int_equal(system(command), 0);
	free(a->bytes);
	free(a);
	return 0;
}

/* Read all of it: 0, or the error. What is read before is what was written. */
static int read_all(const char *path)
{
	static uint8_t data[70000], wanted[70000];
	char name[ARCHIVE_NAME_SIZE], expected[16];
	struct tt_error err = { 0 };
	struct archive_reader *r;
	uint64_t size;
	int i, ret = archive_open(path, &r, &err);

	assert_int_equal(ret, 0);
	for (i = 0; (ret = archive_next(r, name, &size, &err)) > 0; i++) {
		snprintf(expected, sizeof(expected), "file%d", i);
		/* The frame's checksum comes last: until then a pack relies on its manifest. */
		if (i >= NUM_FILES || strcmp(name, expected) || size != sizes[i]) {
			ret = -EBADMSG;
			break;
		}
		fill(wanted, size, i);
		ret = archive_read(r, data, size, &err);
		if (ret)
			break;
		if (memcmp(data, wanted, size)) {
			ret = -EBADMSG;
			break;
		}
	}
	if (!ret && i != NUM_FILES)
		ret = -EBADMSG;
	archive_close(r);
	return ret;
}

static void what_goes_in_comes_out(void **state)
{
	struct archive *a = *state;
	char command[200];

	assert_int_equal(read_all(a->path), 0);
	/* Others can read it, too. */
	snprintf(command, sizeof(command), "cd %s && zstd -qdc a.tar.zst | tar -x && test $(wc -c <file4) = 70000 && test -e file0",
		 a->folder);
	assert_int_equal(system(command), 0);
}

static void damage_is_found(void **state)
{
	struct archive *a = *state;
	size_t i, tried = 0, found = 0;
	char path[80];

	snprintf(path, sizeof(path), "%s/damaged", a->folder);
	for (i = 0; i < a->size; i += i < 300 || i > a->size - 300 ? 1 : 997) {
		a->bytes[i] ^= 0x10;
		write_file(path, a->bytes, a->size);
		a->bytes[i] ^= 0x10;
		/* A few bits mean nothing (RFC 8878: an unused one, padding, more memory than needed): then all is right. */
		tried++;
		if (read_all(path) == -EBADMSG)
			found++;
		else if (i >= a->size - CHECKSUM_SIZE)
			fail_msg("byte %zu of %zu, in the checksum, was changed, and nobody noticed", i, a->size);
	}
	if (found < tried * 9 / 10)
		fail_msg("only %zu of %zu changed bytes were found", found, tried);
	for (i = 0; i < a->size; i += i < 300 || i > a->size - 300 ? 1 : 997) {
		write_file(path, a->bytes, i);
		if (read_all(path) != -EBADMSG)
			fail_msg("%zu of %zu bytes were taken for all", i, a->size);
	}
	a->bytes = realloc(a->bytes, a->size + 1);
	a->bytes[a->size] = 0;
	write_file(path, a->bytes, a->size + 1);
	assert_int_equal(read_all(path), -EBADMSG);
}

static void archives_that_others_made(void **state)
{
	struct archive *a = *state;
	char command[300], path[80];

	snprintf(path, sizeof(path), "%s/other.tar.zst", a->folder);
	snprintf(command, sizeof(command), "cd %s && zstd -qdc a.tar.zst | tar -x && tar --format=ustar -cf - file? | zstd -q -o %s",
		 a->folder, path);
	assert_int_equal(system(command), 0);
	assert_int_equal(read_all(path), 0);
	/* Nothing but plain files with plain names. */
	snprintf(command, sizeof(command), "cd %s && tar -cf - ./file1 | zstd -qf -o %s", a->folder, path);
	assert_int_equal(system(command), 0);
	assert_int_equal(read_all(path), -EBADMSG);
	snprintf(command, sizeof(command), "cd %s && ln -s /etc/passwd link && tar -cf - link | zstd -qf -o %s", a->folder, path);
	assert_int_equal(system(command), 0);
	assert_int_equal(read_all(path), -EBADMSG);
}

static void names(void **state)
{
	char longest[ARCHIVE_NAME_SIZE + 1];

	(void)state;
	memset(longest, 'a', sizeof(longest));
	longest[ARCHIVE_NAME_SIZE] = '\0';
	assert_false(archive_name_valid(longest));
	longest[ARCHIVE_NAME_SIZE - 1] = '\0';
	assert_true(archive_name_valid(longest));
	assert_true(archive_name_valid("a disk.img.ttd"));
	assert_false(archive_name_valid(""));
	assert_false(archive_name_valid("."));
	assert_false(archive_name_valid(".."));
	assert_false(archive_name_valid(".profile"));
	assert_false(archive_name_valid("a/b"));
	assert_false(archive_name_valid("/a"));
	assert_false(archive_name_valid("a\nb"));
}

static int parse(const char *text, struct pack_manifest *m)
{
	struct tt_error err;

	return pack_manifest_parse(text, strlen(text), m, &err);
}

static void manifests(void **state)
{
	static struct pack_manifest m = { .id = "an id", .log = "log.zst", .num_files = 2 }, n;
	char *text;

	(void)state;
	strcpy(m.files[0].name, "log.zst");
	m.files[0].size = 1ull << 40;
	m.files[0].xxh64 = 0xfedcba9876543210;
	strcpy(m.files[1].name, "disk.ttd");
	text = pack_manifest_text(&m);
	assert_non_null(text);
	assert_int_equal(parse(text, &n), 0);
	assert_memory_equal(&m, &n, sizeof(m));
	free(text);

	assert_int_equal(parse("", &n), -EBADMSG);
	assert_int_equal(parse("[]", &n), -EBADMSG);
	assert_int_equal(parse("{\"format\": \"ttvm-pack\", \"version\": 2}", &n), -EBADMSG);
	assert_int_equal(parse("{\"format\": \"ttvm-pack\", \"version\": 1}", &n), -EBADMSG);
#define PACK(log, files) "{\"format\": \"ttvm-pack\", \"version\": 1, \"id\": \"x\", \"log\": \"" log "\", \"files\": [" files "]}"
#define ENTRY(name, size, hash) "{\"name\": \"" name "\", \"size\": " size ", \"xxh64\": \"" hash "\"}"
	assert_int_equal(parse(PACK("l", ENTRY("l", "1", "0123456789abcdef")), &n), 0);
	assert_int_equal(parse(PACK("m", ENTRY("l", "1", "0123456789abcdef")), &n), -EBADMSG);
	assert_int_equal(parse(PACK("l", ENTRY("../l", "1", "0123456789abcdef")), &n), -EBADMSG);
	assert_int_equal(parse(PACK("l", ENTRY("l", "-1", "0123456789abcdef")), &n), -EBADMSG);
	assert_int_equal(parse(PACK("l", ENTRY("l", "1", "0123456789abcde")), &n), -EBADMSG);
	assert_int_equal(parse(PACK("l", ENTRY("l", "1", "0123456789abcdeg")), &n), -EBADMSG);
	assert_int_equal(parse(PACK("l", ENTRY("l", "1", "0123456789abcdef") ", " ENTRY("l", "1", "0123456789abcdef")), &n),
			 -EBADMSG);
	assert_int_equal(parse(PACK("ttvm-pack.json", ENTRY("ttvm-pack.json", "1", "0123456789abcdef")), &n), -EBADMSG);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(what_goes_in_comes_out, make, clean),
		cmocka_unit_test_setup_teardown(damage_is_found, make, clean),
		cmocka_unit_test_setup_teardown(archives_that_others_made, make, clean),
		cmocka_unit_test(names),
		cmocka_unit_test(manifests),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
