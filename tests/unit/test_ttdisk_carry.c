// SPDX-License-Identifier: GPL-2.0
/*
 * test_ttdisk_carry.c - disks that are moved: a copy over parts of the image holds what the disk held, wherever it is asked for
 * something that came along, and says so elsewhere.
 */
#include "disk_model.h"

#define ID "recording"

/* Sectors of the image that come along: these, of every 16. */
#define comes_along(sector) ((sector) % 16 < 4)

struct moved {
	struct model m;
	char departure[TTDISK_DEPARTURE_SIZE];
	uint64_t begin;		/* records before the recording */
	uint64_t end;		/* records when it had ended */
	char folder[80], partial[96], copy[96];
};

static void write_partial(struct moved *d, struct ttdisk *image)
{
	struct ttdisk *partial;
	uint8_t sector[TTDISK_SECTOR];
	struct iovec iov = { sector, sizeof(sector) };

	assert_int_equal(ttdisk_create_partial(d->partial, image, NULL), 0);
	assert_int_equal(ttdisk_create_partial(d->partial, image, NULL), -EEXIST);
	assert_int_equal(ttdisk_open(d->partial, TTDISK_WRITE, NULL, NULL, &partial, NULL), 0);
	for (uint64_t i = 0; i < MODEL_SECTORS; i++) {
		if (!comes_along(i))
			continue;
		model_fill(sector, 0, i);
		assert_int_equal(ttdisk_write(partial, i, &iov, 1, 0), 0);
	}
	assert_int_equal(ttdisk_close(partial), 0);
}

static void move(struct moved *d, uint64_t seed)
{
	struct ttdisk_point to = { .kind = TTDISK_INSTR, .number = UINT64_MAX, .name = ID };
	struct tt_error err = { 0 };
	struct ttdisk *disk;

	model_create(&d->m, seed);
	for (int i = 0; i < 20; i++)
		model_act(&d->m);
	assert_int_equal(ttdisk_begin_session(d->m.disk, ID, d->departure, NULL), 0);
	d->m.instr = 0;
	model_catch_up(&d->m, 0);
	d->begin = d->m.num;
	for (int i = 0; i < 20; i++)
		model_act(&d->m);
	d->end = d->m.num;
	model_close(&d->m);
	model_open(&d->m, true); /* writes of no recording, which stay here */
	assert_int_equal(model_write(&d->m, 0, 100), 0);
	model_close(&d->m);

	snprintf(d->folder, sizeof(d->folder), "%s/moved", d->m.folder);
	assert_int_equal(mkdir(d->folder, 0777), 0);
	snprintf(d->partial, sizeof(d->partial), "%s/parts.ttd", d->folder);
	snprintf(d->copy, sizeof(d->copy), "%s/copy.ttd", d->folder);
	assert_int_equal(ttdisk_open(d->m.path, TTDISK_READ, &to, NULL, &disk, NULL), 0);
	write_partial(d, disk);
	if (ttdisk_copy(disk, &to, d->copy, d->partial, NULL, NULL, &err))
		fail_msg("ttdisk_copy: %s", err.text);
	assert_int_equal(ttdisk_copy(disk, &to, d->copy, d->partial, NULL, NULL, NULL), -EEXIST);
	ttdisk_close(disk);
	/* The old machine is out of reach. */
	assert_int_equal(unlink(d->m.base), 0);
}

/* Each sector by itself, so that those that did not come along fail alone. */
static void assert_moved(struct moved *d, const struct ttdisk_point *point, uint64_t n)
{
	uint8_t sector[TTDISK_SECTOR], wanted[TTDISK_SECTOR];
	struct iovec iov = { sector, sizeof(sector) };
	uint32_t versions[MODEL_SECTORS], absent = 0;
	struct tt_error err = { 0 };
	struct ttdisk *disk;

	if (ttdisk_open(d->copy, TTDISK_OVERLAY, point, NULL, &disk, &err))
		fail_msg("ttdisk_open: %s", err.text);
	model_at(&d->m, n, versions);
	for (uint32_t i = 0; i < MODEL_SECTORS; i++) {
		int ret = ttdisk_read(disk, i, &iov, 1);

		if (!versions[i] && !comes_along(i)) {
			assert_int_equal(ret, -ENODATA);
			absent++;
			continue;
		}
		assert_int_equal(ret, 0);
		model_fill(wanted, versions[i], i);
		assert_memory_equal(sector, wanted, sizeof(wanted));
	}
	assert_true(absent > 100);
	ttdisk_close(disk);
}

static void a_moved_disk_holds_what_came_along(void **state)
{
	struct ttdisk_info info;
	struct ttdisk *disk;
	struct moved d = { 0 };

	(void)state;
	for (uint64_t seed = 1; seed < 6; seed++) {
		const struct ttdisk_point departure = { .kind = TTDISK_DEPARTURE, .name = d.departure };
		const struct ttdisk_point end = { .kind = TTDISK_INSTR, .number = UINT64_MAX, .name = ID };

		move(&d, seed);
		assert_moved(&d, &departure, d.begin);
		assert_moved(&d, &end, d.end);
		assert_moved(&d, NULL, d.end); /* what was written later is not here */
		assert_int_equal(ttdisk_is_of(d.copy, d.departure), 1);
		assert_int_equal(ttdisk_is_of(d.partial, d.departure), 0);
		assert_int_equal(ttdisk_open(d.copy, TTDISK_READ, NULL, NULL, &disk, NULL), 0);
		ttdisk_get_info(disk, &info);
		assert_false(info.is_branch);
		assert_true(info.is_partial);
		assert_string_equal(info.uuid, info.root); /* the guest sees the same disk */
		ttdisk_close(disk);
		model_destroy(&d.m);
	}
}

/* A guest goes on on it: what it writes is there, and a branch of it works as well. */
static void a_moved_disk_goes_on(void **state)
{
	uint8_t sector[TTDISK_SECTOR] = { 1, 2, 3 }, read[TTDISK_SECTOR];
	struct iovec iov = { sector, sizeof(sector) }, in = { read, sizeof(read) };
	struct moved d = { 0 };
	const struct ttdisk_point departure = { .kind = TTDISK_DEPARTURE, .name = d.departure };
	uint32_t versions[MODEL_SECTORS], absent = 0;
	struct ttdisk_check_result result;
	struct ttdisk *disk;
	char branch[120];

	(void)state;
	move(&d, 7);
	snprintf(branch, sizeof(branch), "%s/branch.ttd", d.folder);
	assert_int_equal(ttdisk_branch(d.copy, &departure, branch, NULL), 0);
	assert_int_equal(ttdisk_open(branch, TTDISK_WRITE, NULL, NULL, &disk, NULL), 0);
	model_at(&d.m, d.begin, versions);
	while (versions[absent] || comes_along(absent))
		absent++;
	assert_int_equal(ttdisk_read(disk, absent, &in, 1), -ENODATA);
	assert_int_equal(ttdisk_write(disk, absent, &iov, 1, 1), 0);
	assert_int_equal(ttdisk_read(disk, absent, &in, 1), 0);
	assert_memory_equal(read, sector, sizeof(sector));
	assert_int_equal(ttdisk_close(disk), 0);
	assert_int_equal(ttdisk_check(branch, 0, &result, NULL), 0);
	assert_int_equal(result.health, TTDISK_CLEAN);
	assert_false(result.base_changed);
	/* Without its parts it is refused. */
	assert_int_equal(unlink(d.partial), 0);
	assert_int_equal(ttdisk_open(d.copy, TTDISK_READ, NULL, NULL, &disk, NULL), -ENOENT);
	model_destroy(&d.m);
}

struct seen {
	uint8_t sectors[MODEL_SECTORS];
	uint64_t fail_at;
};

static int see(void *ctx, uint64_t sector, uint64_t count)
{
	struct seen *seen = ctx;

	memset(&seen->sectors[sector], 1, count);
	return seen->fail_at >= sector && seen->fail_at < sector + count ? -ENOMEM : 0;
}

static void reads_of_the_image_are_told(void **state)
{
	const struct ttdisk_point now = { .kind = TTDISK_NOW };
	struct seen seen = { .fail_at = UINT64_MAX };
	char branch[120];
	struct ttdisk *disk;
	struct model m;

	(void)state;
	model_create(&m, 3);
	for (int i = 0; i < 10; i++)
		model_act(&m);
	model_close(&m);
	snprintf(branch, sizeof(branch), "%s/branch.ttd", m.folder);
	assert_int_equal(ttdisk_branch(m.path, &now, branch, NULL), 0);
	assert_int_equal(ttdisk_open(branch, TTDISK_OVERLAY, NULL, NULL, &disk, NULL), 0);
	ttdisk_watch_image(disk, see, &seen);
	assert_content(&m, disk, m.versions);
	for (uint32_t i = 0; i < MODEL_SECTORS; i++)
		assert_int_equal(seen.sectors[i], !m.versions[i]);
	for (seen.fail_at = 0; m.versions[seen.fail_at]; seen.fail_at++)
		;
	assert_int_equal(ttdisk_read(disk, seen.fail_at, &(struct iovec){ m.memory, TTDISK_SECTOR }, 1), -ENOMEM);
	ttdisk_close(disk);
	model_destroy(&m);
}

static int stop_soon(void *ctx, uint64_t bytes)
{
	*(uint64_t *)ctx += bytes;
	return -EINTR;
}

/* Bytes that have changed are found, and nothing is left. */
static void a_damaged_history_is_not_copied(void **state)
{
	struct ttdisk_point to = { .kind = TTDISK_NOW };
	struct moved d = { 0 };
	struct ttdisk *disk;
	uint64_t bytes = 0;
	uint8_t byte;
	int fd;

	(void)state;
	move(&d, 11);
	assert_int_equal(ttdisk_open(d.copy, TTDISK_READ, NULL, NULL, &disk, NULL), 0);
	fd = open(d.copy, O_RDWR);
	assert_int_equal(pread(fd, &byte, 1, FORMAT_HEADER_SIZE + 200), 1);
	byte ^= 1;
	assert_int_equal(pwrite(fd, &byte, 1, FORMAT_HEADER_SIZE + 200), 1);
	strcat(d.copy, "2");
	assert_int_equal(ttdisk_copy(disk, &to, d.copy, d.partial, NULL, NULL, NULL), -EUCLEAN);
	assert_int_equal(access(d.copy, F_OK), -1);
	byte ^= 1;
	assert_int_equal(pwrite(fd, &byte, 1, FORMAT_HEADER_SIZE + 200), 1);
	assert_int_equal(ttdisk_copy(disk, &to, d.copy, d.partial, stop_soon, &bytes, NULL), -EINTR);
	assert_true(bytes > 0);
	assert_int_equal(access(d.copy, F_OK), -1);
	assert_int_equal(ttdisk_copy(disk, &to, d.copy, d.partial, NULL, NULL, NULL), 0);
	close(fd);
	ttdisk_close(disk);
	model_destroy(&d.m);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_moved_disk_holds_what_came_along),
		cmocka_unit_test(a_moved_disk_goes_on),
		cmocka_unit_test(reads_of_the_image_are_told),
		cmocka_unit_test(a_damaged_history_is_not_copied),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
