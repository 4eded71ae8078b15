// SPDX-License-Identifier: GPL-2.0
/*
 * test_input.c - bytes on their way from another thread to a device.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "fake-machine.h"

struct sink {
	size_t room;
	size_t len;
	uint8_t data[256];
};

static size_t sink_room(void *ctx)
{
	return ((struct sink *)ctx)->room;
}

static void sink_deliver(void *ctx, const void *data, size_t len)
{
	struct sink *s = ctx;

	memcpy(s->data + s->len, data, len);
	s->len += len;
	s->room -= len;
}

static void test_room_limits_what_is_taken(void **state)
{
	struct fake_machine f;
	struct sink s = { 0 };
	const struct tt_input input = { .room = sink_room, .deliver = sink_deliver, .ctx = &s };
	char data[16];

	(void)state;
	fake_machine_create_bare(&f, 1);
	assert_int_equal(tt_input_post(&f.m, TT_INPUT_SERIAL0, "x", 1), -ENODEV);
	assert_int_equal(tt_input_deliver(&f.m, TT_INPUT_SERIAL0, "x", 1), -EINVAL);
	assert_false(tt_input_ready(&f.m));
	tt_input_register(&f.m, TT_INPUT_SERIAL0, &input);
	assert_int_equal(tt_input_take(&f.m, TT_INPUT_SERIAL0, data, sizeof(data)), 0);
	assert_int_equal(tt_input_post(&f.m, TT_INPUT_SERIAL0, "hello", 5), 0);
	assert_false(tt_input_ready(&f.m));
	assert_int_equal(tt_input_take(&f.m, TT_INPUT_SERIAL0, data, sizeof(data)), 0);
	s.room = 3;
	assert_true(tt_input_ready(&f.m));
	assert_int_equal(tt_input_take(&f.m, TT_INPUT_SERIAL0, data, sizeof(data)), 3);
	assert_memory_equal(data, "hel", 3);
	assert_int_equal(tt_input_deliver(&f.m, TT_INPUT_SERIAL0, data, 4), -EINVAL);
	assert_int_equal(tt_input_deliver(&f.m, TT_INPUT_SERIAL0, data, 3), 0);
	assert_memory_equal(s.data, "hel", 3);
	s.room = 100;
	assert_int_equal(tt_input_take(&f.m, TT_INPUT_SERIAL0, data, 1), 1);
	assert_int_equal(tt_input_take(&f.m, TT_INPUT_SERIAL0, data + 1, 15), 1);
	assert_memory_equal(data, "lo", 2);
	assert_false(tt_input_ready(&f.m));
	fake_machine_destroy(&f);
}

static void test_queue_is_bounded_and_wraps(void **state)
{
	struct fake_machine f;
	struct sink s = { .room = 1u << 20 };
	const struct tt_input input = { .room = sink_room, .deliver = sink_deliver, .ctx = &s };
	uint8_t *data = malloc(70000), *back = malloc(70000);
	uint32_t sent = 0, received = 0;
	unsigned int i, j, n;

	(void)state;
	assert_true(data && back);
	fake_machine_create_bare(&f, 1);
	tt_input_register(&f.m, TT_INPUT_SERIAL0, &input);
	assert_int_equal(tt_input_post(&f.m, TT_INPUT_SERIAL0, data, 65537), -EAGAIN);
	for (i = 0; i < 20; i++) {
		for (j = 0; j < 40000; j++)
			data[j] = (sent + j) * 37 >> 4;
		assert_int_equal(tt_input_post(&f.m, TT_INPUT_SERIAL0, data, 40000), 0);
		sent += 40000;
		assert_int_equal(tt_input_post(&f.m, TT_INPUT_SERIAL0, data, 40000), -EAGAIN);
		while (received < sent) {
			n = tt_input_take(&f.m, TT_INPUT_SERIAL0, back, 7777);
			assert_true(n);
			for (j = 0; j < n; j++)
				assert_int_equal(back[j], (uint8_t)((received + j) * 37 >> 4));
			received += n;
		}
	}
	fake_machine_destroy(&f);
	free(data);
	free(back);
}

static void *poster(void *arg)
{
	struct fake_machine *f = arg;
	uint32_t i;

	for (i = 0; i < 50000;) {
		if (!tt_input_post(&f->m, TT_INPUT_SERIAL0, &i, sizeof(i)))
			i++;
	}
	return NULL;
}

static void test_posting_from_another_thread(void **state)
{
	struct fake_machine f;
	struct sink s = { .room = 64 };
	const struct tt_input input = { .room = sink_room, .deliver = sink_deliver, .ctx = &s };
	uint32_t value, expected = 0;
	pthread_t thread;

	(void)state;
	fake_machine_create_bare(&f, 1);
	tt_input_register(&f.m, TT_INPUT_SERIAL0, &input);
	assert_int_equal(pthread_create(&thread, NULL, poster, &f), 0);
	while (expected < 50000) {
		if (tt_input_take(&f.m, TT_INPUT_SERIAL0, &value, sizeof(value)) == sizeof(value)) {
			assert_int_equal(value, expected);
			expected++;
		}
	}
	pthread_join(thread, NULL);
	fake_machine_destroy(&f);
}

static void test_frames_stay_whole(void **state)
{
	struct fake_machine f;
	struct sink s = { .room = 100 };
	const struct tt_input input = { .room = sink_room, .deliver = sink_deliver, .frames = true, .ctx = &s };
	static const char big[200];
	char data[TT_INPUT_MAX];
	unsigned int posted = 0;

	(void)state;
	fake_machine_create_bare(&f, 1);
	tt_input_register(&f.m, TT_INPUT_NET0, &input);
	assert_int_equal(tt_input_post(&f.m, TT_INPUT_NET0, "one", 3), 0);
	assert_int_equal(tt_input_post(&f.m, TT_INPUT_NET0, big, sizeof(big)), 0);
	assert_int_equal(tt_input_post(&f.m, TT_INPUT_NET0, "three", 5), 0);
	assert_int_equal(tt_input_take(&f.m, TT_INPUT_NET0, data, sizeof(data)), 3);
	assert_memory_equal(data, "one", 3);
	assert_int_equal(tt_input_take(&f.m, TT_INPUT_NET0, data, sizeof(data)), 5); /* the big one is lost */
	assert_memory_equal(data, "three", 5);
	assert_int_equal(tt_input_take(&f.m, TT_INPUT_NET0, data, sizeof(data)), 0);
	assert_int_equal(tt_input_post(&f.m, TT_INPUT_NET0, data, TT_INPUT_MAX + 1), -EMSGSIZE);
	while (tt_input_post(&f.m, TT_INPUT_NET0, big, 97) == 0)
		posted++;
	assert_int_equal(posted, 65536 / (97 + 2));
	while (tt_input_take(&f.m, TT_INPUT_NET0, data, sizeof(data)) == 97)
		posted--;
	assert_int_equal(posted, 0);
	fake_machine_destroy(&f);
}

static size_t three_bytes(void *ctx, void *data, size_t max)
{
	(void)ctx;
	memcpy(data, "abc", max < 3 ? max : 3);
	return max < 3 ? max : 3;
}

static void test_fetched_when_there_is_room(void **state)
{
	struct fake_machine f;
	struct sink s = { 0 };
	const struct tt_input input = { .room = sink_room, .deliver = sink_deliver, .fetch = three_bytes, .ctx = &s };
	char data[16];

	(void)state;
	fake_machine_create_bare(&f, 1);
	tt_input_register(&f.m, TT_INPUT_ENTROPY, &input);
	assert_false(tt_input_ready(&f.m));
	assert_int_equal(tt_input_take(&f.m, TT_INPUT_ENTROPY, data, sizeof(data)), 0);
	s.room = 2;
	assert_true(tt_input_ready(&f.m));
	assert_int_equal(tt_input_take(&f.m, TT_INPUT_ENTROPY, data, sizeof(data)), 2);
	fake_machine_destroy(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_room_limits_what_is_taken),
		cmocka_unit_test(test_queue_is_bounded_and_wraps),
		cmocka_unit_test(test_posting_from_another_thread),
		cmocka_unit_test(test_frames_stay_whole),
		cmocka_unit_test(test_fetched_when_there_is_room),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
