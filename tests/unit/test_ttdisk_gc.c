// SPDX-License-Identifier: GPL-2.0
/*
 * test_ttdisk_gc.c - branches of time-travel disks, and garbage collection: what is kept is as it was, and the rest is
 * refused.
 */
#include "disk_model.h"

#define EPOCHS 60

/* A history with a mark and a recording every ten epochs. */
struct past {
	struct model m;
	uint64_t ends[EPOCHS + 1]; /* records at the end of each epoch */
	uint64_t marks[EPOCHS / 10], begins[EPOCHS / 10];
	char departures[EPOCHS / 10][TTDISK_DEPARTURE_SIZE];
	uint64_t epochs;
};

static void name_of(uint64_t i, char *name)
{
	snprintf(name, TTDISK_NAME_SIZE, "number-%u", (unsigned int)i);
}

static void make_past(struct past *p, uint64_t seed)
{
	char name[TTDISK_NAME_SIZE];
	struct model *m = &p->m;

	memset(p, 0, sizeof(*p));
	model_create(m, seed);
	while (p->epochs < EPOCHS) {
		uint64_t ten = p->epochs / 10;

		if (p->epochs % 10 == 0 && !p->begins[ten]) {
			name_of(ten, name);
			assert_int_equal(
				ttdisk_begin_session(m->disk, name, p->departures[ten], NULL), 0);
			m->instr = 0;
			model_catch_up(m, 0);
			p->begins[ten] = m->num;
		}
		model_act(m);
		if (p->epochs % 10 == 5 && !p->marks[ten]) {
			name_of(ten, name);
			p->marks[ten] = m->num;
			assert_int_equal(ttdisk_mark(m->disk, name, NULL, NULL), 0);
			model_catch_up(m, 0);
		}
		while (m->disk->history->end.epoch > p->epochs)
			p->ends[++p->epochs] = m->num;
	}
	model_act(m);
	model_act(m);
	model_close(m);
}

static int try_point(const char *path, enum ttdisk_point_kind kind, uint64_t number,
		     const char *name)
{
	struct ttdisk_point point = { kind, number, name };
	struct ttdisk *disk;
	int ret = ttdisk_open(path, TTDISK_READ, &point, NULL, &disk, NULL);

	if (!ret)
		ttdisk_close(disk);
	return ret;
}

static void check_marks(struct past *p)
{
	char name[TTDISK_NAME_SIZE];
	struct ttdisk_point point = { .kind = TTDISK_MARK, .name = name };
	struct ttdisk_mark mark = { 0 };
	struct ttdisk *disk;

	assert_int_equal(ttdisk_open(p->m.path, TTDISK_READ, NULL, NULL, &disk, NULL), 0);
	for (uint64_t i = 0; i < EPOCHS / 10; i++) {
		name_of(i, name);
		assert_point(&p->m, p->m.path, &point, p->marks[i]);
		assert_int_equal(ttdisk_next_mark(disk, &mark, NULL), 1);
		assert_string_equal(mark.name, name);
		assert_int_equal(mark.record, p->marks[i]);
	}
	assert_int_equal(ttdisk_next_mark(disk, &mark, NULL), 0);
	ttdisk_close(disk);
}

static bool is_marked(const struct past *p, uint64_t record)
{
	for (uint64_t i = 0; i < EPOCHS / 10; i++)
		if (p->marks[i] == record)
			return true;
	return false;
}

static void collect(struct past *p, const struct ttdisk_gc_options *options,
		    struct ttdisk_gc_result *result)
{
	struct ttdisk_gc_options dry = *options;
	struct ttdisk_gc_result expected;
	struct ttdisk_check_result check;
	struct tt_error err = { 0 };
	struct stat st;

	dry.dry_run = true;
	assert_int_equal(ttdisk_gc(p->m.path, &dry, &expected, &err), 0);
	if (ttdisk_gc(p->m.path, options, result, &err))
		fail_msg("ttdisk_gc: %s", err.text);
	assert_int_equal(stat(p->m.path, &st), 0);
	assert_int_equal(st.st_size, result->bytes_after);
	assert_int_equal(expected.bytes_after, result->bytes_after);
	assert_int_equal(expected.epochs_after, result->epochs_after);
	assert_int_equal(ttdisk_check(p->m.path, 0, &check, NULL), 0);
	assert_int_equal(check.health, TTDISK_CLEAN);
	assert_int_equal(check.records, p->m.num);
}

static void gc_keeps_what_it_should(void **state)
{
	struct ttdisk_gc_options options = { .keep_epochs = 20 };
	struct ttdisk_gc_result result;
	struct ttdisk_point point = { .kind = TTDISK_EPOCH };
	struct ttdisk_epoch epoch = { 0 };
	uint64_t epochs = 0, folded = 0, last;
	struct ttdisk *disk;
	struct past p;

	(void)state;
	make_past(&p, 51);
	last = p.m.ops[p.m.num - 1].epoch;
	collect(&p, &options, &result);
	assert_true(result.bytes_after < result.bytes_before);
	assert_int_equal(result.epochs_before, last);
	assert_int_equal(result.recordings_lost, 4);
	check_marks(&p);
	assert_point(&p.m, p.m.path, NULL, p.m.num);
	for (uint64_t i = 1; i <= EPOCHS; i++) {
		point.number = i;
		if (i + 20 >= last || is_marked(&p, p.ends[i]))
			assert_point(&p.m, p.m.path, &point, p.ends[i]);
		else
			assert_int_equal(try_point(p.m.path, TTDISK_EPOCH, i, NULL), -ENOENT);
	}
	point = (struct ttdisk_point){ .kind = TTDISK_BASE };
	assert_point(&p.m, p.m.path, &point, 0);
	for (uint64_t i = 0; i < EPOCHS / 10; i++) {
		point = (struct ttdisk_point){ TTDISK_DEPARTURE, 0, p.departures[i] };
		if (p.begins[i] >= p.ends[last - 20])
			assert_point(&p.m, p.m.path, &point, p.begins[i]);
		else
			assert_int_equal(try_point(p.m.path, TTDISK_DEPARTURE, 0, p.departures[i]),
					 -ENOENT);
	}
	assert_int_equal(ttdisk_open(p.m.path, TTDISK_READ, NULL, NULL, &disk, NULL), 0);
	while (ttdisk_next_epoch(disk, &epoch, NULL) > 0) {
		epochs += !epoch.open;
		folded += epoch.folded;
	}
	assert_int_equal(epochs, result.epochs_after);
	assert_true(folded >= 1);
	ttdisk_close(disk);
	model_destroy(&p.m);
}

/* Within what is kept, instructions and times lead where they did; outside they are refused. */
static void gc_keeps_instructions(void **state)
{
	struct ttdisk_gc_options options = { .keep_epochs = 25 };
	struct ttdisk_gc_result result;
	char name[TTDISK_NAME_SIZE];
	uint64_t lost = 0, kept = 0;
	struct ttdisk *disk;
	struct past p;

	(void)state;
	make_past(&p, 52);
	for (int round = 0; round < 2; round++) {
		for (uint64_t n = 1; n < p.m.num; n += 3) {
			struct ttdisk_point point = { TTDISK_INSTR, p.m.ops[n].instr, name };
			struct ttdisk_info info;
			uint64_t i = EPOCHS / 10, wanted = n;

			while (i && p.begins[i - 1] > n)
				i--;
			if (!i || (i < EPOCHS / 10 && n + 1 == p.begins[i]))
				continue;
			name_of(i - 1, name);
			while (wanted < p.m.num && p.m.ops[wanted].instr <= point.number &&
			       (i == EPOCHS / 10 || wanted + 1 < p.begins[i]))
				wanted++;
			if (ttdisk_open(p.m.path, TTDISK_READ, &point, NULL, &disk, NULL)) {
				assert_int_equal(round, 1);
				lost++;
				continue;
			}
			kept += round;
			ttdisk_get_info(disk, &info);
			assert_int_equal(info.point_record, wanted);
			ttdisk_close(disk);
		}
		if (!round)
			collect(&p, &options, &result);
	}
	assert_true(lost > 10 && kept > 10);
	model_destroy(&p.m);
}

static void gc_keeps_recordings(void **state)
{
	struct ttdisk_gc_options options = { .keep_recordings = true };
	struct ttdisk_gc_result result;
	struct past p;

	(void)state;
	make_past(&p, 53);
	/* twice: folds are folded */
	for (int round = 0; round < 2; round++) {
		collect(&p, &options, &result);
		assert_int_equal(result.recordings_lost, 0);
		check_marks(&p);
		for (uint64_t i = 0; i < EPOCHS / 10; i++) {
			struct ttdisk_point point = { TTDISK_DEPARTURE, 0, p.departures[i] };

			assert_point(&p.m, p.m.path, &point, p.begins[i]);
		}
		assert_point(&p.m, p.m.path, NULL, p.m.num);
		/* and the history goes on */
		model_open(&p.m, round);
		p.m.instr = 0;
		for (int i = 0; i < 50; i++)
			model_act(&p.m);
		assert_content(&p.m, p.m.disk, p.m.versions);
		model_close(&p.m);
	}
	options.keep_recordings = false;
	collect(&p, &options, &result);
	assert_int_equal(result.recordings_lost, EPOCHS / 10);
	check_marks(&p);
	assert_point(&p.m, p.m.path, NULL, p.m.num);
	model_destroy(&p.m);
}

static void gc_keeps_since_a_time(void **state)
{
	struct ttdisk_gc_options options = { 0 };
	struct ttdisk_gc_result result;
	struct ttdisk_point point = { .kind = TTDISK_TIME };
	struct past p;

	(void)state;
	make_past(&p, 54);
	options.keep_since_ns = p.m.ops[p.ends[30] - 1].time_ns;
	collect(&p, &options, &result);
	for (uint64_t n = p.ends[30]; n < p.m.num; n += 7) {
		uint64_t wanted = n;

		point.number = p.m.ops[n].time_ns;
		while (wanted < p.m.num && p.m.ops[wanted].time_ns <= point.number)
			wanted++;
		assert_point(&p.m, p.m.path, &point, wanted);
	}
	assert_int_equal(try_point(p.m.path, TTDISK_TIME, p.m.ops[p.ends[3]].time_ns, NULL),
			 -ENOENT);
	check_marks(&p);
	model_destroy(&p.m);
}

/* Who has the old file open does not notice; a writer is in the way. */
static void gc_disturbs_nobody(void **state)
{
	struct ttdisk_gc_options options = { 0 };
	uint32_t versions[MODEL_SECTORS];
	struct ttdisk_gc_result result;
	struct ttdisk_point point;
	struct ttdisk *reader;
	struct past p;

	(void)state;
	make_past(&p, 55);
	point = (struct ttdisk_point){ TTDISK_DEPARTURE, 0, p.departures[3] };
	assert_int_equal(ttdisk_open(p.m.path, TTDISK_OVERLAY, &point, NULL, &reader, NULL), 0);
	model_open(&p.m, false);
	assert_int_equal(ttdisk_gc(p.m.path, &options, &result, NULL), -EBUSY);
	model_close(&p.m);
	collect(&p, &options, &result);
	model_at(&p.m, p.begins[3], versions);
	assert_content(&p.m, reader, versions);
	ttdisk_close(reader);
	assert_int_equal(try_point(p.m.path, TTDISK_DEPARTURE, 0, p.departures[3]), -ENOENT);
	model_destroy(&p.m);
}

/* ------------------------------------------------------------------ branches */

static int any_range(void *ctx, uint64_t sector, uint64_t count)
{
	uint8_t *changed = ctx;

	memset(changed + sector, 1, count);
	return 0;
}

static void branches_of_branches(void **state)
{
	uint32_t parent_versions[MODEL_SECTORS], child_versions[MODEL_SECTORS];
	uint8_t changed[MODEL_SECTORS] = { 0 };
	struct ttdisk_gc_options options = { 0 };
	struct ttdisk_gc_result result;
	struct ttdisk_check_result check;
	struct ttdisk_point point;
	struct ttdisk *a, *b;
	struct past p;
	struct model child;
	char grandchild[120];

	(void)state;
	make_past(&p, 61);
	child = p.m; /* the same folder, and memory */
	child.ops = NULL;
	child.num = child.max = 0;
	snprintf(child.path, sizeof(child.path), "%s/child.ttd", p.m.folder);
	point = (struct ttdisk_point){ .kind = TTDISK_EPOCH, .number = 23 };
	assert_int_equal(ttdisk_branch(p.m.path, &point, child.path, NULL), 0);
	assert_int_equal(ttdisk_branch(p.m.path, &point, child.path, NULL), -EEXIST);
	model_at(&p.m, p.ends[23], parent_versions);
	memcpy(child.versions, parent_versions, sizeof(child.versions));
	model_open(&child, false);
	assert_content(&child, child.disk, child.versions);
	for (int i = 0; i < 40; i++)
		model_act(&child);
	assert_content(&child, child.disk, child.versions);
	assert_int_equal(ttdisk_mark(child.disk, "here", NULL, NULL), 0);
	memcpy(child_versions, child.versions, sizeof(child_versions));
	model_catch_up(&child, 0);
	for (int i = 0; i < 40; i++)
		model_act(&child);
	model_close(&child);

	snprintf(grandchild, sizeof(grandchild), "%s/grandchild.ttd", p.m.folder);
	point = (struct ttdisk_point){ .kind = TTDISK_MARK, .name = "here" };
	assert_int_equal(ttdisk_branch(child.path, &point, grandchild, NULL), 0);
	/* neither is hurt by collecting the ancestors */
	assert_int_equal(ttdisk_gc(p.m.path, &options, &result, NULL), 0);
	assert_int_equal(ttdisk_gc(child.path, &options, &result, NULL), 0);
	assert_int_equal(ttdisk_open(grandchild, TTDISK_READ, NULL, NULL, &a, NULL), 0);
	assert_content(&child, a, child_versions);
	assert_int_equal(ttdisk_open(child.path, TTDISK_READ, NULL, NULL, &b, NULL), 0);
	assert_content(&child, b, child.versions);

	assert_int_equal(ttdisk_diff(a, b, true, any_range, changed, NULL), 0);
	for (uint32_t s = 0; s < MODEL_SECTORS; s++)
		assert_int_equal(changed[s], child_versions[s] != child.versions[s]);
	ttdisk_close(b);
	assert_int_equal(ttdisk_open(p.m.path, TTDISK_READ, NULL, NULL, &b, NULL), 0);
	memset(changed, 0, sizeof(changed));
	assert_int_equal(ttdisk_diff(a, b, true, any_range, changed, NULL), 0);
	/* both models count versions from 1: compare only with what each knows of the other */
	for (uint32_t s = 0; s < MODEL_SECTORS; s++)
		if (child_versions[s] == parent_versions[s] &&
		    p.m.versions[s] == parent_versions[s])
			assert_false(changed[s]);
	ttdisk_close(a);
	ttdisk_close(b);
	assert_int_equal(ttdisk_check(grandchild, 0, &check, NULL), 0);
	assert_int_equal(check.health, TTDISK_CLEAN);
	assert_false(check.base_changed);
	free(child.ops);
	model_destroy(&p.m);
}

static void a_branch_needs_its_parent(void **state)
{
	struct ttdisk_point epoch = { .kind = TTDISK_EPOCH, .number = 9 };
	struct ttdisk_mark mark = { 0 };
	struct ttdisk_gc_options options = { 0 };
	struct ttdisk_gc_result result;
	struct tt_error err = { 0 };
	char branch[120];
	struct ttdisk *disk;
	struct past p;

	(void)state;
	make_past(&p, 62);
	snprintf(branch, sizeof(branch), "%s/branch.ttd", p.m.folder);
	model_open(&p.m, true);
	assert_int_equal(ttdisk_branch(p.m.path, &epoch, branch, NULL), -EBUSY);
	model_close(&p.m);
	assert_int_equal(ttdisk_branch(p.m.path, &epoch, branch, NULL), 0);
	model_open(&p.m, true);
	while (ttdisk_next_mark(p.m.disk, &mark, NULL) > 0)
		;
	assert_int_equal(strncmp(mark.name, "branch-", 7), 0);
	assert_int_equal(ttdisk_unmark(p.m.disk, mark.name, NULL), 0);
	model_close(&p.m);
	assert_int_equal(ttdisk_gc(p.m.path, &options, &result, NULL), 0);
	assert_int_equal(ttdisk_open(branch, TTDISK_READ, NULL, NULL, &disk, &err), -ENOENT);
	assert_non_null(strstr(err.text, "gc"));
	unlink(p.m.path);
	assert_int_equal(ttdisk_open(branch, TTDISK_READ, NULL, NULL, &disk, &err), -ENOENT);
	model_destroy(&p.m);
}

static void dropping_a_branch(void **state)
{
	struct ttdisk_point epoch = { .kind = TTDISK_EPOCH, .number = 9 }, mark = { .kind = TTDISK_MARK, .name = "kept" };
	char branch[120], other[120];
	struct ttdisk_info info, before;
	struct ttdisk *disk;
	struct past p;

	(void)state;
	make_past(&p, 63);
	snprintf(branch, sizeof(branch), "%s/branch.ttd", p.m.folder);
	snprintf(other, sizeof(other), "%s/other.ttd", p.m.folder);
	model_open(&p.m, true);
	assert_int_equal(ttdisk_mark(p.m.disk, "kept", &epoch, NULL), 0);
	ttdisk_get_info(p.m.disk, &before);
	model_close(&p.m);
	assert_int_equal(ttdisk_branch(p.m.path, &epoch, branch, NULL), 0);
	assert_int_equal(ttdisk_branch(p.m.path, &mark, other, NULL), 0);

	assert_int_equal(ttdisk_open(other, TTDISK_READ, NULL, NULL, &disk, NULL), 0);
	ttdisk_get_info(disk, &info);
	assert_string_equal(info.root, before.uuid);
	assert_string_not_equal(info.uuid, before.uuid);
	ttdisk_close(disk);

	model_open(&p.m, true);
	ttdisk_get_info(p.m.disk, &info);
	assert_int_equal(info.marks, before.marks + 1);
	/* nothing is done while somebody writes to the parent */
	assert_int_equal(ttdisk_drop_branch(branch, NULL), -EBUSY);
	assert_int_equal(access(branch, F_OK), 0);
	model_close(&p.m);

	assert_int_equal(ttdisk_drop_branch(branch, NULL), 0);
	assert_int_equal(ttdisk_drop_branch(branch, NULL), -ENOENT);
	assert_int_equal(ttdisk_drop_branch(other, NULL), 0); /* its point keeps its own mark */
	assert_int_equal(access(other, F_OK), -1);
	assert_int_equal(ttdisk_drop_branch(p.m.path, NULL), -EINVAL);
	model_open(&p.m, true);
	ttdisk_get_info(p.m.disk, &info);
	assert_int_equal(info.marks, before.marks);
	model_destroy(&p.m);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(gc_keeps_what_it_should),
		cmocka_unit_test(gc_keeps_instructions),
		cmocka_unit_test(gc_keeps_recordings),
		cmocka_unit_test(gc_keeps_since_a_time),
		cmocka_unit_test(gc_disturbs_nobody),
		cmocka_unit_test(branches_of_branches),
		cmocka_unit_test(a_branch_needs_its_parent),
		cmocka_unit_test(dropping_a_branch),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
