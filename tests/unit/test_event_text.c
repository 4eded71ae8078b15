// SPDX-License-Identifier: GPL-2.0
/*
 * test_event_text.c - the lines and the JSON of ttvm info --events: each kind, and what a hostile
 * log could hold.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <cmocka.h>

/* Not in a library: the code under test is part of the command. */
#include "../../tools/event_text.c"

static void expect_line(uint64_t number, const struct tt_event *event, const char *expected)
{
	char line[EVENT_LINE_MAX];

	event_line(number, event, false, line);
	assert_string_equal(line, expected);
}

static void test_sync(void **state)
{
	struct tt_event e = { .kind = TT_EVENT_SYNC, .vector = 236, .rebase = 8192,
			      .pos = { .exits = 7, .branches = 1234, .check = 0xabc,
				       .rip = 0xffffffff81000123 } };

	(void)state;
	expect_line(5, &e, "5 sync exits=7 branches=1234 rip=ffffffff81000123 check=0abc rebase=8192 vector=236");
	e.at_exit = true;
	e.vector = TT_VECTOR_NONE;
	e.pos.instructions = 99;
	expect_line(0, &e, "0 sync at-exit exits=7 check=0abc instr=99 rebase=8192 vector=-");
}

static void test_check_shows_the_bits_that_a_log_keeps(void **state)
{
	struct tt_event e = { .kind = TT_EVENT_DIGEST, .at_exit = true,
			      .pos = { .check = 0xdead1234 }, .digest = 0x0123456789abcdef };

	(void)state;
	expect_line(1, &e, "1 digest at-exit exits=0 check=1234 digest=0123456789abcdef");
}

static void test_input_without_control_characters(void **state)
{
	struct tt_event e = { .kind = TT_EVENT_INPUT, .at_exit = true, .vector = TT_VECTOR_NONE,
			      .payload = "a\x1b[2J\"\xff", .payload_len = 7 };

	(void)state;
	expect_line(2, &e, "2 input at-exit exits=0 check=0000 rebase=0 vector=- input=serial0 bytes=7 "
			   "hex=611b5b324a22ff text=\"a.[2J..\"");
}

static void test_longest_line_fits(void **state)
{
	static char payload[TT_EVENT_MAX_PAYLOAD];
	struct tt_event e = { .kind = 200, .vcpu = UINT16_MAX, .payload = payload,
			      .payload_len = sizeof(payload),
			      .pos = { UINT64_MAX, UINT64_MAX, UINT64_MAX, UINT32_MAX,
				       UINT64_MAX } };
	char line[EVENT_LINE_MAX];

	(void)state;
	memset(payload, 'x', sizeof(payload));
	event_line(UINT64_MAX, &e, true, line);
	assert_non_null(strstr(line, "vcpu=65535 18446744073709551615 unknown kind=200"));
	assert_non_null(strstr(line, "bytes=65536"));
	assert_int_equal(line[strlen(line) - 1], '"');
	assert_true(strlen(line) < EVENT_LINE_MAX - 1);
}

static void test_end(void **state)
{
	struct tt_event e = { .kind = TT_EVENT_END, .at_exit = true, .pos.instructions = 12,
			      .end = { TT_END_STATUS, -3, 1, 2, 3 } };

	(void)state;
	expect_line(9, &e, "9 end at-exit exits=0 check=0000 instr=12 how=\"status\" status=-3 "
			   "registers=0000000000000001 memory=0000000000000002 devices=0000000000000003");
	e.end.how = 77;
	assert_string_equal(end_name(e.end.how), "unknown");
}

static void test_mark(void **state)
{
	struct {
		struct tt_mark mark;
		char name[TT_MARK_NAME_MAX + 1];
	} payload = { { 5000, 1000000007 }, "be\x1b[fore" };
	struct tt_event e = { .kind = TT_EVENT_MARK, .at_exit = true, .pos.exits = 7, .payload = &payload,
			      .payload_len = sizeof(payload.mark) + 8 };
	json_t *root;

	(void)state;
	expect_line(4, &e, "4 mark at-exit exits=7 check=0000 instr=5000 time=1.000000007 name=\"be?[fore\"");
	root = event_json(4, &e);
	assert_string_equal(json_string_value(json_object_get(root, "name")), "be?[fore");
	assert_int_equal(json_integer_value(json_object_get(root, "instructions")), 5000);
	json_decref(root);
	e.payload_len = sizeof(payload.mark); /* no name, or too long: not shown, no harm */
	expect_line(4, &e, "4 mark at-exit exits=7 check=0000");
	e.payload_len = sizeof(payload);
	expect_line(4, &e, "4 mark at-exit exits=7 check=0000");
}

static void test_json_has_all_of_the_payload(void **state)
{
	static uint8_t payload[TT_EVENT_MAX_PAYLOAD];
	struct tt_event e = { .kind = TT_EVENT_INPUT, .vector = 48, .payload = payload,
			      .payload_len = sizeof(payload), .pos.rip = UINT64_MAX };
	json_t *root;

	(void)state;
	payload[0] = 0xf0;
	payload[sizeof(payload) - 1] = 0x0f;
	root = event_json(3, &e);
	assert_non_null(root);
	assert_int_equal(json_string_length(json_object_get(root, "payload")), 2 * sizeof(payload));
	assert_memory_equal(json_string_value(json_object_get(root, "payload")), "f000", 4);
	assert_string_equal(json_string_value(json_object_get(root, "rip")), "ffffffffffffffff");
	assert_int_equal(json_integer_value(json_object_get(root, "vector")), 48);
	assert_string_equal(json_string_value(json_object_get(root, "input")), "serial0");
	json_decref(root);
}

static void test_json_of_no_vector_is_null(void **state)
{
	struct tt_event e = { .kind = TT_EVENT_SYNC, .vector = TT_VECTOR_NONE, .at_exit = true };
	json_t *root = event_json(3, &e);

	(void)state;
	assert_true(json_is_null(json_object_get(root, "vector")));
	assert_null(json_object_get(root, "rip"));
	assert_null(json_object_get(root, "payload"));
	json_decref(root);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_sync),
		cmocka_unit_test(test_check_shows_the_bits_that_a_log_keeps),
		cmocka_unit_test(test_input_without_control_characters),
		cmocka_unit_test(test_longest_line_fits),
		cmocka_unit_test(test_end),
		cmocka_unit_test(test_mark),
		cmocka_unit_test(test_json_has_all_of_the_payload),
		cmocka_unit_test(test_json_of_no_vector_is_null),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
