// SPDX-License-Identifier: GPL-2.0
/*
 * test_pages.c - versions of pages: what is put in at moments in any order comes out at every moment, also when moments have
 * been dropped; against a model that keeps whole memories.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

/* With its insides: they are to be damaged. */
#include "../../replay/pages.c"

#define PAGES 40
#define MOMENTS 30

/* The memory at moment i, and which pages were written since the moment before. */
static uint8_t model[MOMENTS][PAGES][TT_PAGE_SIZE];
static bool written[MOMENTS][PAGES];

/* A page of each sort: zero, one byte, text that compresses, noise. */
static void fill(uint8_t *page, int sort)
{
	int i;

	memset(page, 0, TT_PAGE_SIZE);
	if (sort == 1)
		page[rand() % TT_PAGE_SIZE] = 1 + rand() % 255;
	else if (sort == 2)
		for (i = 0; i < (int)TT_PAGE_SIZE; i++)
			page[i] = "the quick brown fox"[i % 19] + (i == 77 ? rand() % 9 : 0);
	else if (sort == 3)
		for (i = 0; i < (int)TT_PAGE_SIZE; i++)
			page[i] = rand();
}

static void make_model(void)
{
	int moment, page;

	for (moment = 0; moment < MOMENTS; moment++) {
		for (page = 0; page < PAGES; page++) {
			written[moment][page] = moment ? rand() % 4 == 0 : page % 3 == 0;
			if (moment)
				memcpy(model[moment][page], model[moment - 1][page], TT_PAGE_SIZE);
			if (written[moment][page])
				fill(model[moment][page], rand() % 4);
		}
	}
}

static uint64_t time_of(int moment)
{
	return 1000ull * moment;
}

static void put(struct tt_pages *pages, int moment, const bool *which)
{
	int page;

	for (page = 0; page < PAGES; page++)
		if (which[page])
			assert_int_equal(tt_pages_put(pages, time_of(moment), page, model[moment][page]), 0);
}

static void check(const struct tt_pages *pages, const bool *there)
{
	uint8_t content[TT_PAGE_SIZE];
	int moment, page;

	for (moment = 0; moment < MOMENTS; moment++) {
		for (page = 0; there[moment] && page < PAGES; page++) {
			assert_int_equal(tt_pages_get(pages, time_of(moment), page, content), 0);
			assert_memory_equal(content, model[moment][page], TT_PAGE_SIZE);
		}
	}
}

static void test_forward_and_dropping(void **state)
{
	struct tt_pages *pages = tt_pages_create(PAGES);
	struct tt_pages_size size, before;
	bool there[MOMENTS];
	int i, next, left;

	(void)state;
	srand(1);
	make_model();
	for (i = 0; i < MOMENTS; i++) {
		put(pages, i, written[i]);
		there[i] = true;
	}
	check(pages, there);
	before = tt_pages_size(pages);
	assert_true(before.zero > 0 && before.zero < before.versions);
	for (left = MOMENTS; left > 1; left--) {
		do
			i = 1 + rand() % (MOMENTS - 1);
		while (!there[i]);
		there[i] = false;
		for (next = i + 1; next < MOMENTS && !there[next]; next++)
			;
		tt_pages_drop(pages, time_of(i), next < MOMENTS ? time_of(next) : UINT64_MAX);
		check(pages, there);
	}
	size = tt_pages_size(pages);
	assert_true(size.bytes < before.bytes);
	assert_int_equal(size.versions, (PAGES + 2) / 3); /* what the first moment has */
	tt_pages_destroy(pages);
}

/* A moment between two others gets all that was written since the first of them; the second one has its own already. */
static void test_moments_in_between(void **state)
{
	struct tt_pages *pages = tt_pages_create(PAGES);
	bool there[MOMENTS] = { false }, since[PAGES];
	uint64_t bits[1] = { 0 };
	int i, j, page;

	(void)state;
	srand(2);
	make_model();
	/* Every third moment, with what was written since the one before it ... */
	for (i = 0; i < MOMENTS; i += 3) {
		memset(since, 0, sizeof(since));
		for (j = i ? i - 2 : 0; j <= i; j++)
			for (page = 0; page < PAGES; page++)
				since[page] |= written[j][page];
		put(pages, i, since);
		there[i] = true;
	}
	check(pages, there);
	/* ... then those right behind them. */
	for (i = 1; i < MOMENTS; i += 3) {
		put(pages, i, written[i]);
		there[i] = true;
	}
	check(pages, there);
	tt_pages_mark(pages, time_of(4), bits);
	for (page = 0; page < PAGES; page++)
		assert_int_equal(bits[0] >> page & 1, written[4][page]);
	tt_pages_destroy(pages);
}

/* Negative control: one wrong bit in what is kept of a page is noticed, by itself and at each moment that it serves. */
static void test_damage(void **state)
{
	struct tt_pages *pages = tt_pages_create(PAGES);
	uint8_t content[TT_PAGE_SIZE];
	int sort;

	(void)state;
	srand(3);
	for (sort = 1; sort <= 3; sort++) {
		fill(content, sort);
		assert_int_equal(tt_pages_put(pages, time_of(1), sort, content), 0);
		assert_int_equal(tt_pages_get(pages, time_of(2), sort, content), 0);
		pages->newest[sort]->data[rand() % pages->newest[sort]->size] ^= 1 << rand() % 8;
		assert_int_equal(tt_pages_get(pages, time_of(1), sort, content), -EBADMSG);
		assert_int_equal(tt_pages_get(pages, time_of(2), sort, content), -EBADMSG);
		assert_int_equal(tt_pages_get(pages, time_of(0), sort, content), 0);
	}
	tt_pages_destroy(pages);
}

/* In a file and out of it again; a file that is cut anywhere, or was made for less memory, is refused. */
static void test_file(void **state)
{
	struct tt_pages *pages = tt_pages_create(PAGES), *again = tt_pages_create(PAGES);
	bool there[MOMENTS] = { false };
	char *bytes = NULL;
	size_t size = 0, cut;
	FILE *file = open_memstream(&bytes, &size);
	int moment;

	(void)state;
	srand(4);
	make_model();
	for (moment = 0; moment < MOMENTS; moment++) {
		put(pages, moment, written[moment]);
		there[moment] = true;
	}
	assert_int_equal(tt_pages_save(pages, file), 0);
	fclose(file);
	file = fmemopen(bytes, size, "r");
	assert_int_equal(tt_pages_load(again, file), 0);
	fclose(file);
	check(again, there);
	assert_int_equal(again->size.versions, pages->size.versions);
	assert_int_equal(again->size.bytes, pages->size.bytes);
	tt_pages_destroy(again);

	for (cut = 1; cut < size; cut += 1 + size / 50) {
		again = tt_pages_create(PAGES);
		file = fmemopen(bytes, cut, "r");
		assert_int_equal(tt_pages_load(again, file), -EBADMSG);
		fclose(file);
		tt_pages_destroy(again);
	}
	again = tt_pages_create(PAGES / 2);
	file = fmemopen(bytes, size, "r");
	assert_int_equal(tt_pages_load(again, file), -EBADMSG);
	fclose(file);
	tt_pages_destroy(again);
	tt_pages_destroy(pages);
	free(bytes);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_forward_and_dropping),
		cmocka_unit_test(test_moments_in_between),
		cmocka_unit_test(test_damage),
		cmocka_unit_test(test_file),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
