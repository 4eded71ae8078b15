// SPDX-License-Identifier: GPL-2.0
/*
 * test_virtio_queue.c - virtqueues: chains as they should be, and everything that a hostile driver
 * can put there instead.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "virtio-driver.h"
#include "virtio.h"

#define RAM_END FAKE_RAM_SIZE

/*
 * The disk, started, and a complete request for its serial number at descriptors 0 and 1.
 */
static struct driver *create(void)
{
	struct driver *d = malloc(sizeof(*d));

	assert_non_null(d);
	driver_create(d);
	driver_open(d, TT_VIRTIO_SLOT_BLK);
	driver_start(d);
	*(uint32_t *)driver_at(d, SCRATCH) = 8;
	driver_descriptor(d, 0, 0, SCRATCH, 16, DESC_NEXT, 1);
	driver_descriptor(d, 0, 1, SCRATCH + 512, 21, DESC_WRITE, 0);
	return d;
}

static void destroy(struct driver *d)
{
	driver_destroy(d);
	free(d);
}

static void assert_works(struct driver *d)
{
	uint32_t len;

	driver_offer(d, 0, 0);
	driver_kick(d, 0);
	assert_int_equal(driver_take_used(d, 0, &len), 0);
	assert_string_equal(driver_at(d, SCRATCH + 512), "serial-number");
	assert_int_equal(d->num_messages, 0);
}

/* The chain at descriptor 0 breaks the device, once, until it is reset. */
static void assert_breaks(struct driver *d, const char *why)
{
	driver_read(d, d->isr, 1);
	driver_offer(d, 0, 0);
	driver_kick(d, 0);
	if (!strstr(d->messages, why))
		fail_msg("'%s' does not say '%s'", d->messages, why);
	assert_non_null(strstr(d->messages, "virtio-blk0: "));
	assert_int_equal(driver_status(d) & STATUS_NEEDS_RESET, STATUS_NEEDS_RESET);
	assert_int_equal(driver_read(d, d->isr, 1), 2); /* "the configuration has changed" */
	assert_int_equal(driver_take_used(d, 0, NULL), -1);
	driver_kick(d, 0);
	driver_kick(d, 7);
	common_write(d, COMMON_STATUS, 0x0f, 1); /* does not help */
	driver_kick(d, 0);
	assert_int_equal(driver_status(d) & STATUS_NEEDS_RESET, STATUS_NEEDS_RESET);
	assert_int_equal(driver_take_used(d, 0, NULL), -1);
	assert_int_equal(d->num_messages, 1);
	d->num_messages = 0;
	d->messages[0] = 0;
	driver_start(d);
	driver_descriptor(d, 0, 0, SCRATCH, 16, DESC_NEXT, 1);
	driver_descriptor(d, 0, 1, SCRATCH + 512, 21, DESC_WRITE, 0);
	assert_works(d);
}

static void test_good_chains(void **state)
{
	struct driver *d = create();
	unsigned int i;

	(void)state;
	assert_works(d);
	for (i = 0; i < 100000; i++) /* the indexes wrap */
		assert_works(d);
	destroy(d);
}

static void test_scattered_header_and_status(void **state)
{
	struct driver *d = create();

	(void)state;
	driver_descriptor(d, 0, 0, SCRATCH, 1, DESC_NEXT, 9);
	driver_descriptor(d, 0, 9, SCRATCH + 1, 14, DESC_NEXT, 4);
	driver_descriptor(d, 0, 4, SCRATCH + 15, 1, DESC_NEXT, 3);
	driver_descriptor(d, 0, 3, SCRATCH + 512, 1, DESC_WRITE | DESC_NEXT, 2);
	driver_descriptor(d, 0, 2, SCRATCH + 513, 19, DESC_WRITE | DESC_NEXT, 15);
	driver_descriptor(d, 0, 15, RAM_END - 1, 1, DESC_WRITE, 0); /* the last byte there is */
	*(uint8_t *)driver_at(d, RAM_END - 1) = 0xff;
	assert_works(d);
	assert_int_equal(*(uint8_t *)driver_at(d, RAM_END - 1), 0);
	destroy(d);
}

static void put_indirect(struct driver *d, unsigned int index, uint64_t gpa, uint32_t len,
			 uint16_t flags, uint16_t next)
{
	memcpy(driver_at(d, SCRATCH + 0x1000 + 16 * index), &gpa, 8);
	memcpy(driver_at(d, SCRATCH + 0x1008 + 16 * index), &len, 4);
	memcpy(driver_at(d, SCRATCH + 0x100c + 16 * index), &flags, 2);
	memcpy(driver_at(d, SCRATCH + 0x100e + 16 * index), &next, 2);
}

static void test_indirect_chains(void **state)
{
	struct driver *d = create();

	(void)state;
	put_indirect(d, 0, SCRATCH, 16, DESC_NEXT, 2);
	put_indirect(d, 2, SCRATCH + 512, 21, DESC_WRITE, 0);
	driver_descriptor(d, 0, 0, SCRATCH + 0x1000, 48, DESC_INDIRECT, 0);
	assert_works(d);
	/* Its write flag means nothing. */
	driver_descriptor(d, 0, 0, SCRATCH + 0x1000, 48, DESC_INDIRECT | DESC_WRITE, 0);
	assert_works(d);
	/* Behind direct ones. */
	put_indirect(d, 0, SCRATCH + 512, 21, DESC_WRITE, 0);
	driver_descriptor(d, 0, 0, SCRATCH, 16, DESC_NEXT, 1);
	driver_descriptor(d, 0, 1, SCRATCH + 0x1000, 16, DESC_INDIRECT, 0);
	assert_works(d);
	destroy(d);
}

static void test_the_longest_chain(void **state)
{
	struct driver *d = create();
	unsigned int i;

	(void)state;
	/* 256 buffers: 16 of one byte, 239 that are not used, a status. */
	for (i = 0; i < 256; i++)
		put_indirect(d, i, i < 16 ? SCRATCH + i : SCRATCH + 512 + i - 16, 1,
			     (i < 16 ? 0 : DESC_WRITE) | (i < 255 ? DESC_NEXT : 0), i + 1);
	driver_descriptor(d, 0, 0, SCRATCH + 0x1000, 256 * 16, DESC_INDIRECT, 0);
	assert_works(d);
	put_indirect(d, 255, SCRATCH + 900, 1, DESC_WRITE | DESC_NEXT, 256);
	put_indirect(d, 256, SCRATCH + 901, 1, DESC_WRITE, 0);
	driver_descriptor(d, 0, 0, SCRATCH + 0x1000, 257 * 16, DESC_INDIRECT, 0);
	assert_breaks(d, "too long");
	destroy(d);
}

/* ------------------------------------------------------------------ what is forbidden */

static void test_loops(void **state)
{
	struct driver *d = create();

	(void)state;
	driver_descriptor(d, 0, 1, SCRATCH + 512, 21, DESC_WRITE | DESC_NEXT, 1);
	assert_breaks(d, "loop");
	driver_descriptor(d, 0, 0, SCRATCH, 16, DESC_NEXT, 0);
	assert_breaks(d, "loop");
	put_indirect(d, 0, SCRATCH, 16, DESC_NEXT, 1);
	put_indirect(d, 1, SCRATCH, 16, DESC_NEXT, 0);
	driver_descriptor(d, 0, 0, SCRATCH + 0x1000, 32, DESC_INDIRECT, 0);
	assert_breaks(d, "loop");
	destroy(d);
}

static void test_indexes_out_of_range(void **state)
{
	struct driver *d = create();
	uint16_t *available = driver_at(d, QUEUE_AREA(0) + 0x1000);

	(void)state;
	driver_descriptor(d, 0, 0, SCRATCH, 16, DESC_NEXT, QUEUE_SIZE);
	assert_breaks(d, "index");
	driver_descriptor(d, 0, 0, SCRATCH, 16, DESC_NEXT, 0xffff);
	assert_breaks(d, "index");
	put_indirect(d, 0, SCRATCH, 16, DESC_NEXT, 2);
	driver_descriptor(d, 0, 0, SCRATCH + 0x1000, 32, DESC_INDIRECT, 0);
	assert_breaks(d, "index");
	/* assert_breaks() has used one; its own goes to the second place. */
	available[1] += QUEUE_SIZE;
	d->available[0] += QUEUE_SIZE;
	assert_breaks(d, "too far ahead");
	available[2 + d->available[0] % QUEUE_SIZE] = QUEUE_SIZE;
	available[1] = ++d->available[0];
	assert_breaks(d, "index");
	destroy(d);
}

static void test_bad_addresses_and_lengths(void **state)
{
	static const struct {
		uint64_t gpa;
		uint32_t len;
		const char *why;
	} bad[] = {
		{ RAM_END - 20, 21, "not in RAM" },    { RAM_END, 1, "not in RAM" },
		{ SCRATCH, 0xffffffff, "not in RAM" }, { UINT64_MAX, 1, "not in RAM" },
		{ UINT64_MAX - 20, 21, "not in RAM" }, { UINT64_MAX - 20, 0xffff, "not in RAM" },
		{ TT_LAPIC_BASE, 21, "not in RAM" },   { 0xe0000000, 21, "not in RAM" }, /* BARs */
		{ 1ull << 32, 21, "not in RAM" },      { SCRATCH, 0, "empty" },
	};
	struct driver *d = create();
	unsigned int i;

	(void)state;
	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		driver_descriptor(d, 0, 1, bad[i].gpa, bad[i].len, DESC_WRITE, 0);
		assert_breaks(d, bad[i].why);
		driver_descriptor(d, 0, 0, bad[i].gpa, bad[i].len, DESC_NEXT, 1);
		assert_breaks(d, bad[i].why);
	}
	destroy(d);
}

static void test_more_than_4_gib(void **state)
{
	struct driver *d = create();
	struct tt_memory *mem = &d->f.m.memory;
	uint64_t size = mem->size;
	unsigned int i;

	(void)state;
	/* Pretend that there is more memory: the chain is refused before anybody touches it. */
	mem->size = mem->low_size = 3ull << 30;
	for (i = 0; i < 4; i++)
		put_indirect(d, i, 0, 1u << 30, DESC_NEXT, i + 1);
	put_indirect(d, 4, 0, 1, DESC_WRITE, 0);
	driver_descriptor(d, 0, 0, SCRATCH + 0x1000, 80, DESC_INDIRECT, 0);
	assert_breaks(d, "4 GiB");
	mem->size = mem->low_size = size;
	destroy(d);
}

static void test_memory_above_4_gib(void **state)
{
	struct driver *d = create();
	struct tt_memory *mem = &d->f.m.memory;
	uint8_t *high;

	(void)state;
	mem->low_size = mem->size / 2;
	high = mem->hva + mem->low_size;
	driver_descriptor(d, 0, 1, (1ull << 32) + 0x1000, 21, DESC_WRITE, 0);
	driver_offer(d, 0, 0);
	driver_kick(d, 0);
	assert_int_equal(driver_take_used(d, 0, NULL), 0);
	assert_string_equal(high + 0x1000, "serial-number");
	/* Not across the hole, and not behind the end. */
	driver_descriptor(d, 0, 1, mem->low_size - 1, 21, DESC_WRITE, 0);
	assert_breaks(d, "not in RAM");
	driver_descriptor(d, 0, 1, (1ull << 32) + mem->size - mem->low_size - 20, 21, DESC_WRITE,
			  0);
	assert_breaks(d, "not in RAM");
	destroy(d);
}

static void test_wrong_directions(void **state)
{
	struct driver *d = create();

	(void)state;
	driver_descriptor(d, 0, 0, SCRATCH, 16, DESC_NEXT | DESC_WRITE, 1);
	driver_descriptor(d, 0, 1, SCRATCH + 512, 21, 0, 0);
	assert_breaks(d, "behind a writable");
	driver_descriptor(d, 0, 0, SCRATCH, 16, DESC_WRITE | DESC_NEXT, 1);
	assert_breaks(d, "no header");
	driver_descriptor(d, 0, 0, SCRATCH, 15, DESC_NEXT, 1);
	assert_breaks(d, "no header");
	driver_descriptor(d, 0, 1, SCRATCH + 512, 21, 0, 0);
	assert_breaks(d, "no room for its status");
	destroy(d);
}

static void test_bad_indirect_descriptors(void **state)
{
	struct driver *d = create();

	(void)state;
	put_indirect(d, 0, SCRATCH, 16, DESC_NEXT, 1);
	put_indirect(d, 1, SCRATCH + 0x1000, 16, DESC_INDIRECT, 0);
	driver_descriptor(d, 0, 0, SCRATCH + 0x1000, 32, DESC_INDIRECT, 0);
	assert_breaks(d, "in an indirect table");
	driver_descriptor(d, 0, 0, SCRATCH + 0x1000, 32, DESC_INDIRECT | DESC_NEXT, 1);
	assert_breaks(d, "successor");
	driver_descriptor(d, 0, 0, SCRATCH + 0x1000, 31, DESC_INDIRECT, 0);
	assert_breaks(d, "multiple of 16");
	driver_descriptor(d, 0, 0, SCRATCH + 0x1000, 0, DESC_INDIRECT, 0);
	assert_breaks(d, "multiple of 16");
	driver_descriptor(d, 0, 0, RAM_END - 16, 32, DESC_INDIRECT, 0);
	assert_breaks(d, "table is not in RAM");
	driver_descriptor(d, 0, 0, UINT64_MAX - 15, 0xfffffff0, DESC_INDIRECT, 0);
	assert_breaks(d, "table is not in RAM");
	/* Without having been negotiated. */
	driver_negotiate(d, F_VERSION);
	driver_setup_queue(d, 0);
	common_write(d, COMMON_STATUS, driver_status(d) | STATUS_DRIVER_OK, 1);
	driver_descriptor(d, 0, 0, SCRATCH + 0x1000, 32, DESC_INDIRECT, 0);
	assert_breaks(d, "not negotiated");
	destroy(d);
}

/* What the driver does to the registers while it sets up queue 0. */
static void enable_with(struct driver *d, uint64_t descriptors, uint64_t available, uint64_t used)
{
	driver_negotiate(d, driver_offered(d));
	common_write(d, COMMON_QUEUE_SELECT, 0, 2);
	common_write(d, COMMON_QUEUE_SIZE, QUEUE_SIZE, 2);
	common_write(d, COMMON_QUEUE_DESCRIPTORS, descriptors, 8);
	common_write(d, COMMON_QUEUE_AVAILABLE, available, 8);
	common_write(d, COMMON_QUEUE_USED, used, 8);
	common_write(d, COMMON_QUEUE_ENABLE, 1, 2);
}

static void assert_refused(struct driver *d, const char *why)
{
	assert_non_null(strstr(d->messages, why));
	assert_int_equal(driver_status(d) & STATUS_NEEDS_RESET, STATUS_NEEDS_RESET);
	assert_int_equal(d->num_messages, 1);
	d->num_messages = 0;
	driver_start(d);
	driver_descriptor(d, 0, 0, SCRATCH, 16, DESC_NEXT, 1);
	driver_descriptor(d, 0, 1, SCRATCH + 512, 21, DESC_WRITE, 0);
	assert_works(d);
}

static void test_bad_areas(void **state)
{
	struct driver *d = create();

	(void)state;
	enable_with(d, 0x10008, 0x11000, 0x12000);
	assert_refused(d, "not aligned");
	enable_with(d, 0x10000, 0x11001, 0x12000);
	assert_refused(d, "not aligned");
	enable_with(d, 0x10000, 0x11000, 0x12002);
	assert_refused(d, "not aligned");
	enable_with(d, RAM_END - 16 * QUEUE_SIZE + 16, 0x11000, 0x12000);
	assert_refused(d, "not in RAM");
	enable_with(d, 0x10000, RAM_END - 4 - 2 * QUEUE_SIZE + 2, 0x12000);
	assert_refused(d, "not in RAM");
	enable_with(d, 0x10000, 0x11000, RAM_END - 4 - 8 * QUEUE_SIZE + 4);
	assert_refused(d, "not in RAM");
	enable_with(d, 0x10000, 0x11000, -16ull);
	assert_refused(d, "not in RAM");
	enable_with(d, d->common, 0x11000, 0x12000);
	assert_refused(d, "not in RAM");
	enable_with(d, RAM_END - 16 * QUEUE_SIZE, RAM_END - 4 - 2 * QUEUE_SIZE,
		    RAM_END - 4 - 8 * QUEUE_SIZE);
	assert_int_equal(d->num_messages, 0);
	destroy(d);
}

static void test_bad_queue_sizes(void **state)
{
	static const uint16_t bad[] = { 0, 3, 255, 257, 512, 0x8000, 0xffff };
	struct driver *d = create();
	unsigned int i;

	(void)state;
	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		driver_negotiate(d, driver_offered(d));
		common_write(d, COMMON_QUEUE_SIZE, bad[i], 2);
		assert_refused(d, "power of two");
	}
	driver_negotiate(d, driver_offered(d));
	common_write(d, COMMON_QUEUE_SIZE, 1, 2);
	assert_int_equal(common_read(d, COMMON_QUEUE_SIZE, 2), 1);
	assert_int_equal(d->num_messages, 0);
	destroy(d);
}

static void test_notifications_at_the_wrong_time(void **state)
{
	struct driver *d = create();

	(void)state;
	driver_offer(d, 0, 0);
	driver_kick(d, 1); /* there is queue 0 only */
	assert_non_null(strstr(d->messages, "does not exist"));
	assert_int_equal(d->num_messages, 1);
	common_write(d, COMMON_STATUS, 0, 1);
	driver_kick(d, 0);
	driver_kick(d, 1);
	driver_negotiate(d, driver_offered(d));
	driver_kick(d, 0);
	common_write(d, COMMON_STATUS, driver_status(d) | STATUS_DRIVER_OK, 1);
	driver_kick(d, 0); /* not enabled */
	assert_int_equal(d->num_messages, 1);
	assert_int_equal(driver_take_used(d, 0, NULL), -1);
	destroy(d);
}

/* Before the driver is ready nobody is told by an interrupt. */
static void test_breaking_before_driver_ok(void **state)
{
	struct driver *d = create();

	(void)state;
	enable_with(d, 8, 0x11000, 0x12000);
	assert_int_equal(driver_read(d, d->isr, 1), 0);
	assert_int_equal(driver_status(d) & STATUS_NEEDS_RESET, STATUS_NEEDS_RESET);
	destroy(d);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_good_chains),
		cmocka_unit_test(test_scattered_header_and_status),
		cmocka_unit_test(test_indirect_chains),
		cmocka_unit_test(test_the_longest_chain),
		cmocka_unit_test(test_loops),
		cmocka_unit_test(test_indexes_out_of_range),
		cmocka_unit_test(test_bad_addresses_and_lengths),
		cmocka_unit_test(test_more_than_4_gib),
		cmocka_unit_test(test_memory_above_4_gib),
		cmocka_unit_test(test_wrong_directions),
		cmocka_unit_test(test_bad_indirect_descriptors),
		cmocka_unit_test(test_bad_areas),
		cmocka_unit_test(test_bad_queue_sizes),
		cmocka_unit_test(test_notifications_at_the_wrong_time),
		cmocka_unit_test(test_breaking_before_driver_ok),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
