// SPDX-License-Identifier: GPL-2.0
/*
 * test_disk_text.c - times and names as `ttvm disk` reads and writes them.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <string.h>

#include "../../tools/disk.h"

#define NS 1000000000ll

static void expect_time(const char *text, int64_t expected)
{
	int64_t ns = -1;

	if (!disk_time_parse(text, &ns))
		fail_msg("%s was refused", text);
	assert_int_equal(ns, expected);
}

static void test_times(void **state)
{
	static const char *const bad[] = {
		"", "now", "2026-01-31", "2026-01-31T12:00:00", "2026-01-31T12:00Z", "2026-1-31T12:00:00Z",
		"2026-13-01T12:00:00Z", "2026-00-01T12:00:00Z", "2026-02-30T12:00:00Z", "2026-01-31T24:00:00Z",
		"2026-01-31T12:60:00Z", "2026-01-31T12:00:61Z", "2026-01-31T12:00:00.Z", "2026-01-31T12:00:00z ",
		"2026-01-31T12:00:00+1:00", "2026-01-31T12:00:00+01:60", "2026-01-31T12:00:00+0100",
		" 2026-01-31T12:00:00Z", "-026-01-31T12:00:00Z", "1969-12-31T23:59:59Z", "9999-01-01T00:00:00Z",
		"2026-01-31T12:00:00Z\n", "2026-01-31T12:00:00,5Z",
	};
	int64_t ns;
	size_t i;

	(void)state;
	expect_time("1970-01-01T00:00:00Z", 0);
	expect_time("2026-01-31T12:00:00Z", 1769860800 * NS);
	expect_time("2026-01-31t12:00:00z", 1769860800 * NS);
	expect_time("2026-01-31 12:00:00Z", 1769860800 * NS);
	expect_time("2026-01-31T12:00:00.5Z", 1769860800 * NS + NS / 2);
	expect_time("2026-01-31T12:00:00.123456789Z", 1769860800 * NS + 123456789);
	expect_time("2026-01-31T12:00:00.1234567899999Z", 1769860800 * NS + 123456789);
	expect_time("2026-01-31T13:30:00+01:30", 1769860800 * NS);
	expect_time("2026-01-31T09:00:00-03:00", 1769860800 * NS);
	expect_time("2024-02-29T00:00:00Z", 1709164800 * NS);
	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		if (disk_time_parse(bad[i], &ns))
			fail_msg("'%s' was taken as %lld", bad[i], (long long)ns);
}

/* What is printed can be given back. */
static void test_time_text(void **state)
{
	static const int64_t times[] = { 0, 1, NS - 1, NS, 1769860800 * NS + 120, INT64_MAX / 2 };
	char text[DISK_TIME_SIZE];
	int64_t ns;
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(times) / sizeof(times[0]); i++) {
		disk_time_text(times[i], text);
		assert_true(disk_time_parse(text, &ns));
		assert_int_equal(ns, times[i]);
	}
	disk_time_text(-1, text);
	assert_string_equal(text, "1969-12-31T23:59:59.999999999Z");
	disk_time_text(INT64_MAX, text);
	assert_string_equal(text, "2262-04-11T23:47:16.854775807Z");
}

static void expect_json(const char *text, const char *expected)
{
	json_t *json = disk_json_text(text);

	assert_non_null(json);
	assert_string_equal(json_string_value(json), expected);
	json_decref(json);
}

/* A file's name is any bytes, JSON is not. */
static void test_json(void **state)
{
	(void)state;
	expect_json("", "");
	expect_json("plain \xc3\xa9 \xf0\x9f\x98\x80", "plain \xc3\xa9 \xf0\x9f\x98\x80");
	expect_json("a\xff" "b", "a\xef\xbf\xbd" "b");
	expect_json("\xc3", "\xef\xbf\xbd");
	expect_json("\xe2\x82", "\xef\xbf\xbd\xef\xbf\xbd");
	expect_json("\xc0\xaf\xc3\xa9", "\xef\xbf\xbd\xef\xbf\xbd\xc3\xa9");
	expect_json("\xed\xa0\x80!", "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd!");
	expect_json("\xf8\x88\x80\x80\x80", "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd");
}

static void test_sizes(void **state)
{
	static const struct {
		uint64_t bytes;
		const char *text;
	} sizes[] = {
		{ 0, "0 bytes" }, { 1023, "1023 bytes" }, { 1024, "1.0 KiB" }, { 1536 << 10, "1.5 MiB" },
		{ 200ull << 30, "200 GiB" }, { 3ull << 40, "3.0 TiB" }, { 5000ull << 40, "5000 TiB" },
	};
	char text[40];
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		disk_size_text(sizes[i].bytes, text, sizeof(text));
		assert_string_equal(text, sizes[i].text);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_times),
		cmocka_unit_test(test_time_text),
		cmocka_unit_test(test_json),
		cmocka_unit_test(test_sizes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
