// SPDX-License-Identifier: GPL-2.0
/*
 * test_ttdisk.c - the time-travel disk: what is read now, and at any point, is what was written.
 */
#include "disk_model.h"

#define RECORDINGS 6

/* A history with recordings, marks and reopenings; every way of naming a point leads to the same bytes. */
struct past {
	struct model m;
	char departures[RECORDINGS][TTDISK_DEPARTURE_SIZE];
	uint64_t begins[RECORDINGS], ends[RECORDINGS]; /* its records */
	uint64_t marks[RECORDINGS];
};

static void recording_name(int i, char *name)
{
	snprintf(name, TTDISK_NAME_SIZE, "recording-%d", i);
}

static void make_past(struct past *p, uint64_t seed, int actions)
{
	char name[TTDISK_NAME_SIZE];
	struct model *m = &p->m;

	model_create(m, seed);
	for (int i = 0; i < RECORDINGS; i++) {
		recording_name(i, name);
		assert_int_equal(ttdisk_begin_session(m->disk, name, p->departures[i], NULL), 0);
		m->instr = 0;
		model_catch_up(m, 0);
		p->begins[i] = m->num;
		for (int j = 0; j < actions; j++) {
			model_act(m);
			if (j == actions / 2) {
				p->marks[i] = m->num;
				assert_int_equal(ttdisk_mark(m->disk, name, NULL, NULL), 0);
				model_catch_up(m, 0);
			}
		}
		assert_content(m, m->disk, m->versions);
		model_close(m);
		model_open(m, i % 2);
		assert_content(m, m->disk, m->versions);
		p->ends[i] = m->num;
		/* writes of no recording */
		if (i % 2) {
			assert_int_equal(model_write(m, 700, 130), 0);
			model_act(m);
		}
	}
}

static void check_epochs(struct past *p)
{
	struct ttdisk_epoch epoch = { 0 };
	struct ttdisk_point point = { .kind = TTDISK_EPOCH };
	uint64_t last = 0, number = 0, bytes = 0, written = 0;
	struct model *m = &p->m;
	struct ttdisk *disk;
	int ret;

	assert_int_equal(ttdisk_open(m->path, TTDISK_READ, NULL, NULL, &disk, NULL), 0);
	while ((ret = ttdisk_next_epoch(disk, &epoch, NULL)) > 0) {
		assert_int_equal(epoch.epoch, ++number);
		assert_int_equal(epoch.first_record, last);
		assert_true(epoch.end_record > last);
		assert_false(epoch.folded);
		last = epoch.end_record;
		bytes += epoch.bytes;
		assert_int_equal(epoch.time_ns, m->ops[last - 1].time_ns);
		assert_int_equal(epoch.instr, m->ops[last - 1].instr);
		point.number = epoch.epoch;
		if (epoch.open || number % 7 == 0)
			assert_point(m, m->path, &point, last);
	}
	assert_int_equal(ret, 0);
	assert_int_equal(last, m->num);
	for (uint64_t i = 0; i < m->num; i++)
		written += m->ops[i].version == MODEL_ZERO ? 0 : m->ops[i].count;
	assert_int_equal(bytes, written * TTDISK_SECTOR);
	point.number = number + 1;
	assert_int_equal(ttdisk_seek(disk, &point, NULL, NULL, NULL), -ENOENT);
	ttdisk_close(disk);
}

static void check_names(struct past *p)
{
	struct ttdisk_session session = { 0 };
	struct ttdisk_mark mark = { 0 };
	char name[TTDISK_NAME_SIZE];
	struct model *m = &p->m;
	struct ttdisk *disk;

	assert_int_equal(ttdisk_open(m->path, TTDISK_OVERLAY, NULL, NULL, &disk, NULL), 0);
	for (int i = 0; i < RECORDINGS; i++) {
		struct ttdisk_point at_mark = { .kind = TTDISK_MARK, .name = name };
		struct ttdisk_point departure = { .kind = TTDISK_DEPARTURE,
						  .name = p->departures[i] };

		recording_name(i, name);
		assert_int_equal(ttdisk_next_session(disk, &session, NULL), 1);
		assert_string_equal(session.recording, name);
		assert_string_equal(session.departure, p->departures[i]);
		assert_int_equal(session.record, p->begins[i]);
		assert_int_equal(ttdisk_next_mark(disk, &mark, NULL), 1);
		assert_string_equal(mark.name, name);
		assert_int_equal(mark.record, p->marks[i]);
		assert_point(m, m->path, &departure, p->begins[i]);
		assert_point(m, m->path, &at_mark, p->marks[i]);
	}
	assert_int_equal(ttdisk_next_session(disk, &session, NULL), 0);
	assert_int_equal(ttdisk_next_mark(disk, &mark, NULL), 0);
	ttdisk_close(disk);
}

static void check_instructions(struct past *p)
{
	struct model *m = &p->m;
	char name[TTDISK_NAME_SIZE];
	struct ttdisk_point point = { .kind = TTDISK_INSTR, .name = name };

	for (int i = 0; i < 60; i++) {
		int recording = (int)model_random(m, RECORDINGS);
		uint64_t wanted = p->begins[recording], end = p->ends[recording];

		recording_name(recording, name);
		point.number = model_random(m, m->ops[end - 1].instr + 10);
		while (wanted < end && m->ops[wanted].instr <= point.number)
			wanted++;
		assert_point(m, m->path, &point, wanted);
	}
	point.name = "nobody";
	assert_int_equal(ttdisk_open(m->path, TTDISK_READ, &point, NULL, &m->disk, NULL), -ENOENT);
	m->disk = NULL;
}

static void check_times(struct past *p)
{
	struct ttdisk_point point = { .kind = TTDISK_TIME };
	struct model *m = &p->m;

	for (int i = 0; i < 40; i++) {
		uint64_t n = model_random(m, m->num), wanted = n;

		point.number = m->ops[n].time_ns;
		while (wanted < m->num && m->ops[wanted].time_ns <= point.number)
			wanted++;
		assert_point(m, m->path, &point, wanted);
	}
	point.number = 1;
	assert_point(m, m->path, &point, 0);
	point.number = UINT64_MAX;
	assert_point(m, m->path, &point, m->num);
}

static void every_point_reads_as_it_was(void **state)
{
	struct ttdisk_point base = { .kind = TTDISK_BASE };
	struct past p;

	(void)state;
	for (uint64_t seed = 1; seed <= 4; seed++) {
		char index[120];

		make_past(&p, seed, 150);
		model_close(&p.m);
		for (int i = 0; i < 2; i++) {
			assert_point(&p.m, p.m.path, NULL, p.m.num);
			assert_point(&p.m, p.m.path, &base, 0);
			check_epochs(&p);
			check_names(&p);
			check_instructions(&p);
			check_times(&p);
			/* and without the index */
			snprintf(index, sizeof(index), "%s.idx", p.m.path);
			unlink(index);
		}
		model_destroy(&p.m);
	}
}

/* ------------------------------------------------------------------ moving and comparing */

struct ranges {
	bool changed[MODEL_SECTORS];
	uint64_t end;
};

static int note_range(void *ctx, uint64_t sector, uint64_t count)
{
	struct ranges *ranges = ctx;

	assert_true(count && sector + count <= MODEL_SECTORS);
	assert_true(!ranges->end || sector > ranges->end); /* ascending, merged */
	ranges->end = sector + count;
	memset(ranges->changed + sector, true, count);
	return 0;
}

static void undo_and_redo_walk_the_history(void **state)
{
	uint32_t old[MODEL_SECTORS], new[MODEL_SECTORS];
	struct ttdisk_point point = { .kind = TTDISK_EPOCH };
	struct ttdisk_epoch *epochs = calloc(1000, sizeof(*epochs)), epoch = { 0 };
	uint64_t num = 0, at;
	struct ttdisk *disk;
	struct past p;

	(void)state;
	make_past(&p, 10, 100);
	model_flush(&p.m);
	model_close(&p.m);
	assert_int_equal(ttdisk_open(p.m.path, TTDISK_READ, NULL, NULL, &disk, NULL), 0);
	while (ttdisk_next_epoch(disk, &epoch, NULL) > 0)
		epochs[num++] = epoch;
	assert_true(num > 10);
	at = p.m.num;
	for (int i = 0; i < 60; i++) {
		struct ranges ranges = { .end = 0 };
		uint64_t to = i < 20 ? num - 1 - (uint64_t)i : model_random(&p.m, num);
		uint64_t n = epochs[to].end_record;

		point.number = epochs[to].epoch;
		assert_int_equal(ttdisk_seek(disk, &point, note_range, &ranges, NULL), 0);
		model_at(&p.m, at, old);
		model_at(&p.m, n, new);
		assert_content(&p.m, disk, new);
		for (uint32_t s = 0; s < MODEL_SECTORS; s++)
			assert_true(ranges.changed[s] || old[s] == new[s]);
		at = n;
	}
	ttdisk_close(disk);
	free(epochs);
	model_destroy(&p.m);
}

static void diff_finds_what_differs(void **state)
{
	uint32_t x[MODEL_SECTORS], y[MODEL_SECTORS];
	struct ttdisk *a, *b;
	struct past p;

	(void)state;
	make_past(&p, 11, 60);
	model_close(&p.m);
	for (int i = 0; i < RECORDINGS; i++) {
		struct ttdisk_point from = { TTDISK_DEPARTURE, 0, p.departures[i] };
		struct ttdisk_point to = { TTDISK_DEPARTURE, 0, p.departures[RECORDINGS - 1 - i] };
		struct ranges all = { .end = 0 }, exact = { .end = 0 };

		assert_int_equal(ttdisk_open(p.m.path, TTDISK_READ, &from, NULL, &a, NULL), 0);
		assert_int_equal(ttdisk_open(p.m.path, TTDISK_READ, &to, NULL, &b, NULL), 0);
		assert_int_equal(ttdisk_diff(a, b, false, note_range, &all, NULL), 0);
		assert_int_equal(ttdisk_diff(a, b, true, note_range, &exact, NULL), 0);
		model_at(&p.m, p.begins[i], x);
		model_at(&p.m, p.begins[RECORDINGS - 1 - i], y);
		for (uint32_t s = 0; s < MODEL_SECTORS; s++) {
			assert_int_equal(exact.changed[s], x[s] != y[s]);
			assert_true(all.changed[s] >= exact.changed[s]);
		}
		ttdisk_close(a);
		ttdisk_close(b);
	}
	model_destroy(&p.m);
}

/* ------------------------------------------------------------------ overlays */

static void an_overlay_changes_nothing(void **state)
{
	uint32_t versions[MODEL_SECTORS], saved[MODEL_SECTORS];
	uint64_t position = 0, size;
	struct ttdisk *disk;
	struct stat st;
	struct past p;

	(void)state;
	make_past(&p, 12, 60);
	model_close(&p.m);
	assert_int_equal(stat(p.m.path, &st), 0);
	size = (uint64_t)st.st_size;
	for (int i = 0; i < 3; i++) {
		struct ttdisk_point point = { TTDISK_DEPARTURE, 0, p.departures[i + 1] };

		assert_int_equal(ttdisk_open(p.m.path, TTDISK_OVERLAY, &point, NULL, &disk, NULL),
				 0);
		model_at(&p.m, p.begins[i + 1], versions);
		for (int j = 0; j < 300; j++) {
			uint32_t sector = (uint32_t)model_random(&p.m, MODEL_SECTORS), version;
			uint32_t count = 1 + (uint32_t)model_random(&p.m, MODEL_SECTORS - sector);
			struct iovec iov = { p.m.memory, count * TTDISK_SECTOR };

			version = j % 5 ? 1000000u + (uint32_t)j : MODEL_ZERO;
			for (uint32_t k = 0; k < count; k++) {
				model_fill(p.m.memory + k * TTDISK_SECTOR, version, sector + k);
				versions[sector + k] = version;
			}
			if (version == MODEL_ZERO)
				assert_int_equal(ttdisk_zero(disk, sector, count, j % 2, 5), 0);
			else
				assert_int_equal(ttdisk_write(disk, sector, &iov, 1, 5), 0);
			if (j == 150) {
				position = ttdisk_overlay_position(disk);
				assert_int_equal(position, 151);
				memcpy(saved, versions, sizeof(saved));
			}
			if (j % 50 == 0)
				assert_content(&p.m, disk, versions);
		}
		assert_int_equal(ttdisk_flush(disk, 6), 0);
		assert_content(&p.m, disk, versions);
		assert_int_equal(ttdisk_overlay_rewind(disk, position), 0);
		assert_content(&p.m, disk, saved);
		assert_int_equal(ttdisk_overlay_rewind(disk, 0), 0);
		model_at(&p.m, p.begins[i + 1], versions);
		assert_content(&p.m, disk, versions);
		assert_int_equal(ttdisk_close(disk), 0);
	}
	assert_int_equal(stat(p.m.path, &st), 0);
	assert_int_equal(st.st_size, size);
	assert_point(&p.m, p.m.path, NULL, p.m.num);
	model_destroy(&p.m);
}

/* ------------------------------------------------------------------ marks, locks, errors */

static void marks_come_and_go(void **state)
{
	struct ttdisk_point point = { .kind = TTDISK_MARK, .name = "a" },
			    epoch = { .kind = TTDISK_EPOCH };
	struct ttdisk_mark mark = { 0 };
	struct model m;

	(void)state;
	model_create(&m, 20);
	assert_int_equal(model_write(&m, 0, 8), 0);
	model_flush(&m);
	assert_int_equal(model_write(&m, 8, 8), 0);
	assert_int_equal(ttdisk_mark(m.disk, "a", NULL, NULL), 0);
	assert_int_equal(ttdisk_mark(m.disk, "a", NULL, NULL), -EEXIST);
	assert_int_equal(ttdisk_mark(m.disk, "no/slashes", NULL, NULL), -EINVAL);
	assert_int_equal(ttdisk_mark(m.disk, "", NULL, NULL), -EINVAL);
	assert_int_equal(ttdisk_mark(m.disk, "no blanks", NULL, NULL), -EINVAL);
	model_catch_up(&m, 0);
	assert_int_equal(ttdisk_next_mark(m.disk, &mark, NULL), 1);
	assert_int_equal(mark.record, 3);
	assert_int_equal(mark.epoch, 2);
	epoch.number = 1;
	assert_int_equal(ttdisk_mark(m.disk, "b", &epoch, NULL), 0);
	model_catch_up(&m, 0);
	assert_int_equal(ttdisk_next_mark(m.disk, &mark, NULL), 1);
	assert_string_equal(mark.name, "b");
	assert_int_equal(mark.record, 2);
	assert_int_equal(mark.epoch, 1);
	assert_int_equal(ttdisk_next_mark(m.disk, &mark, NULL), 0);
	assert_int_equal(ttdisk_unmark(m.disk, "a", NULL), 0);
	assert_int_equal(ttdisk_unmark(m.disk, "a", NULL), -ENOENT);
	model_catch_up(&m, 0);
	/* the same name, elsewhere */
	assert_int_equal(ttdisk_mark(m.disk, "a", &epoch, NULL), 0);
	model_catch_up(&m, 0);
	model_close(&m);
	assert_point(&m, m.path, &point, 2);
	model_destroy(&m);
}

static void there_is_one_writer(void **state)
{
	struct tt_error err = { 0 };
	struct ttdisk *other;
	struct model m;

	(void)state;
	model_create(&m, 21);
	assert_int_equal(ttdisk_open(m.path, TTDISK_WRITE, NULL, NULL, &other, &err), -EBUSY);
	assert_non_null(strstr(err.text, "another process"));
	assert_int_equal(model_write(&m, 3, 9), 0);
	model_flush(&m);
	assert_point(&m, m.path, NULL, m.num);
	model_close(&m);
	model_open(&m, false);
	model_destroy(&m);
}

static void bad_requests_are_refused(void **state)
{
	uint8_t data[2 * TTDISK_SECTOR] = { 0 };
	struct iovec iov = { data, sizeof(data) }, odd = { data, 100 };
	struct ttdisk_point epoch = { .kind = TTDISK_EPOCH, .number = 1 };
	struct ttdisk *disk;
	struct model m;

	(void)state;
	model_create(&m, 22);
	assert_int_equal(ttdisk_write(m.disk, MODEL_SECTORS - 1, &iov, 1, 0), -EINVAL);
	assert_int_equal(ttdisk_write(m.disk, UINT64_MAX, &iov, 1, 0), -EINVAL);
	assert_int_equal(ttdisk_read(m.disk, MODEL_SECTORS, &iov, 1), -EINVAL);
	assert_int_equal(ttdisk_read(m.disk, 0, &odd, 1), -EINVAL);
	assert_int_equal(ttdisk_read(m.disk, 0, &iov, 0), -EINVAL);
	assert_int_equal(ttdisk_zero(m.disk, 1, UINT64_MAX, true, 0), -EINVAL);
	assert_int_equal(ttdisk_zero(m.disk, 1, 0, true, 0), -EINVAL);
	assert_int_equal(ttdisk_create(m.path, m.base, NULL, NULL), -EEXIST);
	assert_int_equal(ttdisk_open(m.base, TTDISK_READ, NULL, NULL, &disk, NULL), -EUCLEAN);
	assert_int_equal(ttdisk_is_history(m.base), 0);
	assert_int_equal(ttdisk_is_history(m.path), 1);
	model_close(&m);
	assert_int_equal(ttdisk_open(m.path, TTDISK_WRITE, &epoch, NULL, &disk, NULL), -EINVAL);
	assert_int_equal(ttdisk_open(m.path, TTDISK_READ, NULL, NULL, &disk, NULL), 0);
	assert_int_equal(ttdisk_write(disk, 0, &iov, 1, 0), -EROFS);
	assert_int_equal(ttdisk_mark(disk, "a", NULL, NULL), -EROFS);
	ttdisk_close(disk);
	model_destroy(&m);
}

static void a_changed_base_is_refused(void **state)
{
	struct ttdisk_check_result result;
	struct tt_error err = { 0 };
	struct ttdisk *disk;
	struct model m;
	FILE *base;

	(void)state;
	model_create(&m, 23);
	assert_int_equal(model_write(&m, 0, 8), 0);
	model_close(&m);
	/* a copy is as good */
	base = fopen(m.base, "w");
	for (uint64_t i = 0; i < MODEL_SECTORS; i++) {
		model_fill(m.memory, 0, i);
		assert_int_equal(fwrite(m.memory, TTDISK_SECTOR, 1, base), 1);
	}
	fclose(base);
	assert_point(&m, m.path, NULL, m.num);
	base = fopen(m.base, "r+");
	assert_int_equal(fwrite("changed", 7, 1, base), 1);
	fclose(base);
	assert_int_equal(ttdisk_open(m.path, TTDISK_READ, NULL, NULL, &disk, &err), -ESTALE);
	assert_non_null(strstr(err.text, "accept-base"));
	assert_int_equal(ttdisk_check(m.path, TTDISK_REPAIR, &result, NULL), 0);
	assert_true(result.base_changed);
	assert_int_equal(ttdisk_check(m.path, TTDISK_REPAIR | TTDISK_ACCEPT_BASE, &result, NULL),
			 0);
	assert_false(result.base_changed);
	assert_int_equal(ttdisk_open(m.path, TTDISK_READ, NULL, NULL, &disk, &err), 0);
	ttdisk_close(disk);
	truncate(m.base, 512 * 100);
	assert_int_equal(ttdisk_open(m.path, TTDISK_READ, NULL, NULL, &disk, &err), -ESTALE);
	model_destroy(&m);
}

static void extents_tell_zeroes_from_data(void **state)
{
	uint64_t count, found = 0;
	struct model m;
	bool zero;

	(void)state;
	model_create(&m, 24);
	for (int i = 0; i < 300; i++)
		model_act(&m);
	model_close(&m);
	assert_int_equal(ttdisk_open(m.path, TTDISK_READ, NULL, NULL, &m.disk, NULL), 0);
	for (uint64_t sector = 0; sector < MODEL_SECTORS; sector += count) {
		assert_int_equal(ttdisk_extent(m.disk, sector, UINT64_MAX, &count, &zero), 0);
		assert_true(count && sector + count <= MODEL_SECTORS);
		for (uint64_t i = 0; i < count; i++)
			assert_int_equal(zero, m.versions[sector + i] == MODEL_ZERO);
		found += zero;
	}
	assert_true(found > 0);
	model_destroy(&m);
}

/* 4 KiB writes cost 64 bytes each, and few calls. */
static void the_history_is_small(void **state)
{
	struct ttdisk_info info;
	struct model m;

	(void)state;
	model_create(&m, 25);
	for (int i = 0; i < 4000; i++) {
		assert_int_equal(model_write(&m, (uint32_t)i * 8 % 1496, 8), 0);
		if (i % 100 == 99)
			model_flush(&m);
	}
	ttdisk_get_info(m.disk, &info);
	assert_int_equal(info.written_bytes, 4000 * 4096);
	assert_true(info.appended_bytes * 100 <= info.written_bytes * 103);
	assert_int_equal(info.flushes, 40);
	assert_true(info.appends <= 40 + 4000 * 4160 / (512 << 10) + 1);
	model_destroy(&m);
}

/* However often it is opened and closed: the index stays small, and right. */
static void many_sessions_make_one_index(void **state)
{
	struct ttdisk_check_result result;
	struct ttdisk_info info;
	char index[120];
	struct stat st;
	struct model m;

	(void)state;
	model_create(&m, 26);
	for (int i = 0; i < 150; i++) {
		for (int j = 0; j < 1 + i % 5; j++)
			model_act(&m);
		model_close(&m);
		model_open(&m, true);
		ttdisk_get_info(m.disk, &info);
		assert_int_equal(info.scanned_bytes, 0);
		/* each run is at least twice as long as the next */
		assert_true(m.disk->history->num_runs < 14);
	}
	model_close(&m);
	snprintf(index, sizeof(index), "%s.idx", m.path);
	assert_int_equal(stat(index, &st), 0);
	assert_true((uint64_t)st.st_size <= (2u << 20) + 3 * info.index_bytes);
	assert_int_equal(ttdisk_check(m.path, 0, &result, NULL), 0);
	assert_true(result.index_good);
	assert_point(&m, m.path, NULL, m.num);
	model_destroy(&m);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_point_reads_as_it_was),
		cmocka_unit_test(undo_and_redo_walk_the_history),
		cmocka_unit_test(diff_finds_what_differs),
		cmocka_unit_test(an_overlay_changes_nothing),
		cmocka_unit_test(marks_come_and_go),
		cmocka_unit_test(there_is_one_writer),
		cmocka_unit_test(bad_requests_are_refused),
		cmocka_unit_test(a_changed_base_is_refused),
		cmocka_unit_test(extents_tell_zeroes_from_data),
		cmocka_unit_test(the_history_is_small),
		cmocka_unit_test(many_sessions_make_one_index),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
