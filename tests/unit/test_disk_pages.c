// SPDX-License-Identifier: GPL-2.0
/*
 * test_disk_pages.c - pages that checkpoints keep by their place on a disk: whatever a guest does with its memory and its disk, in
 * any order, each checkpoint gives the memory back with the disk as it was; against a model that keeps all of both.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "disk.h"
#include "pages.h"

#define PAGES 24
#define SECTORS 203
#define PAGE_SECTORS (TT_PAGE_SIZE / TT_SECTOR_SIZE)
#define MOMENTS 40
#define ACTS 12 /* between two moments */

struct world {
	uint8_t memory[PAGES][TT_PAGE_SIZE];
	uint8_t disk[SECTORS][TT_SECTOR_SIZE];
};

static struct world now, then[MOMENTS];
static uint64_t dirty; /* a bit per page: written since the last moment */
static struct tt_machine machine;

static int disk_read(struct tt_disk *disk, uint64_t sector, const struct iovec *iov, int iovcnt)
{
	(void)disk;
	assert_int_equal(iovcnt, 1);
	assert_true(sector + iov->iov_len / TT_SECTOR_SIZE <= SECTORS);
	memcpy(iov->iov_base, now.disk[sector], iov->iov_len);
	return 0;
}

static const struct tt_disk_ops disk_ops = { .read = disk_read };
static struct tt_disk disk = { .ops = &disk_ops, .sectors = SECTORS };

static void noise(void *at, size_t len)
{
	uint8_t *to = at;

	while (len--)
		*to++ = rand();
}

/* ------------------------------------------------------------------ a guest */

/* Memory from `page` on, in pieces as a driver may have them, and as many sectors. */
static void transfer(bool to_disk)
{
	unsigned int pages = 1 + rand() % 3, page = rand() % (PAGES - pages + 1), i;
	uint64_t sector = rand() % (SECTORS - pages * PAGE_SECTORS + 1);
	struct iovec iov[2] = { { now.memory[page], pages * TT_PAGE_SIZE } };
	struct tt_disk_request r = { .what = to_disk ? "write" : "read", .sector = sector,
				     .sectors = pages * PAGE_SECTORS, .iov = iov, .iovcnt = 1 };

	if (rand() % 2) {
		iov[0].iov_len = TT_SECTOR_SIZE * (1 + rand() % (pages * PAGE_SECTORS - 1));
		iov[1] = (struct iovec){ (uint8_t *)now.memory[page] + iov[0].iov_len, pages * TT_PAGE_SIZE - iov[0].iov_len };
		r.iovcnt = 2;
	}
	if (to_disk) {
		memcpy(now.disk[sector], now.memory[page], pages * TT_PAGE_SIZE);
	} else {
		memcpy(now.memory[page], now.disk[sector], pages * TT_PAGE_SIZE);
		for (i = 0; i < pages; i++)
			dirty |= 1ull << (page + i);
	}
	machine.disk_tap(machine.disk_tap_ctx, &r);
}

static void zero(void)
{
	struct tt_disk_request r = { .what = rand() % 2 ? "zero" : "discard", .sectors = 1 + rand() % 20 };

	r.sector = rand() % (SECTORS - r.sectors + 1);
	memset(now.disk[r.sector], 0, r.sectors * TT_SECTOR_SIZE);
	machine.disk_tap(machine.disk_tap_ctx, &r);
}

static void act(void)
{
	unsigned int page = rand() % PAGES;

	switch (rand() % 6) {
	case 0:
	case 1:
		transfer(false);
		break;
	case 2:
	case 3:
		transfer(true);
		break;
	case 4:
		zero();
		break;
	default:
		noise(now.memory[page], 1 + rand() % TT_PAGE_SIZE);
		dirty |= 1ull << page;
	}
}

/* ------------------------------------------------------------------ checkpoints of it */

static void take(struct tt_pages *pages, struct tt_disk_pages *p, unsigned int moment, bool stale)
{
	struct tt_placed placed[PAGES], *next = placed;
	uint64_t written = dirty;
	unsigned int page;

	if (stale)
		tt_disk_pages_stale(p, &written);
	tt_disk_pages_find(p, &written, placed);
	for (page = 0; page < PAGES; page++) {
		if (!(written & 1ull << page))
			continue;
		if (next->place)
			assert_int_equal(tt_pages_put_place(pages, moment, page, next), 0);
		else
			assert_int_equal(tt_pages_put(pages, moment, page, now.memory[page]), 0);
		next++;
	}
	then[moment] = now;
	dirty = 0;
}

/* All of memory at a moment, with the disk as it was there. Returns how many pages are wrong and known to be. */
static unsigned int look(const struct tt_pages *pages, unsigned int moment)
{
	uint8_t content[TT_PAGE_SIZE];
	unsigned int page, refused = 0;
	int ret;

	memcpy(now.disk, then[moment].disk, sizeof(now.disk));
	for (page = 0; page < PAGES; page++) {
		ret = tt_pages_get(pages, moment, page, content);
		refused += ret == -EBADMSG;
		if (!ret)
			assert_memory_equal(content, then[moment].memory[page], TT_PAGE_SIZE);
	}
	return refused;
}

static void load(const struct tt_pages *pages, struct tt_disk_pages *p, unsigned int moment)
{
	unsigned int page;

	now = then[moment];
	for (page = 0; page < PAGES; page++)
		tt_disk_pages_restored(p, page, tt_pages_place(pages, moment, page));
	tt_disk_pages_moved(p);
	dirty = 0;
}

static void begin(struct tt_pages **pages, struct tt_disk_pages **p)
{
	machine = (struct tt_machine){ .memory = { .hva = (uint8_t *)now.memory, .size = sizeof(now.memory),
						   .low_size = sizeof(now.memory) } };
	machine.config.num_disks = 1;
	machine.config.disks[0] = &disk;
	noise(&now, sizeof(now));
	dirty = (1ull << PAGES) - 1;
	*pages = tt_pages_create(PAGES);
	tt_pages_set_disks(*pages, tt_disk_pages_read, &machine);
	assert_int_equal(tt_disk_pages_create(&machine, p), 0);
}

static void end(struct tt_pages *pages, struct tt_disk_pages *p)
{
	tt_pages_destroy(pages);
	tt_disk_pages_destroy(p);
	assert_null(machine.disk_tap);
}

static void test_any_moment(void **state)
{
	struct tt_disk_pages *p;
	struct tt_pages *pages;
	unsigned int moment, i;

	(void)state;
	srand(1);
	begin(&pages, &p);
	for (moment = 0; moment < MOMENTS; moment++) {
		take(pages, p, moment, true);
		for (i = 0; i < ACTS; i++)
			act();
	}
	assert_true(tt_pages_size(pages).on_disk > MOMENTS);
	for (moment = MOMENTS; moment--;)
		assert_int_equal(look(pages, moment), 0);
	/* Without every other one, whose pages go to the next. */
	for (moment = 1; moment < MOMENTS; moment += 2)
		tt_pages_drop(pages, moment, moment + 1 < MOMENTS ? moment + 1 : UINT64_MAX);
	for (moment = 0; moment < MOMENTS; moment += 2)
		assert_int_equal(look(pages, moment), 0);
	end(pages, p);
}

/* Back to a moment, on from there by the same way, and a moment in between, which was not there before. */
static void test_going_back(void **state)
{
	struct tt_disk_pages *p;
	struct tt_pages *pages;
	unsigned int moment, i;

	(void)state;
	srand(2);
	begin(&pages, &p);
	for (moment = 0; moment < MOMENTS; moment += 2) {
		take(pages, p, moment, true);
		srand(100 + moment);
		for (i = 0; i < 2 * ACTS; i++)
			act();
	}
	for (moment = MOMENTS - 2; moment; moment -= 2) {
		load(pages, p, moment - 2);
		srand(100 + moment - 2);
		for (i = 0; i < ACTS; i++)
			act();
		take(pages, p, moment - 1, true);
	}
	for (moment = 0; moment < MOMENTS - 1; moment++)
		assert_int_equal(look(pages, moment), 0);
	end(pages, p);
}

/* Negative control: who does not ask which blocks have changed has checkpoints that refer to something else, and is told so. */
static void test_changed_blocks(void **state)
{
	unsigned int moment, i, refused = 0;
	struct tt_disk_pages *p;
	struct tt_pages *pages;

	(void)state;
	srand(3);
	begin(&pages, &p);
	for (moment = 0; moment < MOMENTS; moment++) {
		take(pages, p, moment, false);
		for (i = 0; i < ACTS; i++)
			act();
	}
	for (moment = 0; moment < MOMENTS; moment++)
		refused += look(pages, moment);
	assert_true(refused > 0);
	end(pages, p);
}

/* A request that failed has put nothing anywhere. */
static void test_failures(void **state)
{
	struct iovec iov = { now.memory[3], TT_PAGE_SIZE };
	struct tt_disk_request r = { .what = "read", .sector = 8, .sectors = PAGE_SECTORS, .iov = &iov, .iovcnt = 1 };
	uint64_t written = 1 << 3;
	struct tt_disk_pages *p;
	struct tt_placed placed;
	struct tt_pages *pages;

	(void)state;
	begin(&pages, &p);
	memcpy(now.memory[3], now.disk[8], TT_PAGE_SIZE);
	r.failed = true;
	machine.disk_tap(machine.disk_tap_ctx, &r);
	tt_disk_pages_find(p, &written, &placed);
	assert_int_equal(placed.place, 0);
	r.failed = false;
	machine.disk_tap(machine.disk_tap_ctx, &r);
	tt_disk_pages_find(p, &written, &placed);
	assert_int_not_equal(placed.place, 0);
	end(pages, p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_any_moment),
		cmocka_unit_test(test_going_back),
		cmocka_unit_test(test_changed_blocks),
		cmocka_unit_test(test_failures),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
