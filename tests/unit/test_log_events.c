// SPDX-License-Identifier: GPL-2.0
/*
 * test_log_events.c - events to columns and back (replay/log_encode.c, log_decode.c), and headers
 * (replay/log_frame.c): everything survives, nothing malformed is read out of bounds.
 */
#include "log_events.h"

#include "../../replay/log_format.h"

#define MAX_EVENTS 5000

/* Encode n events of a source, decode them, compare. Returns the raw size. */
static size_t round_trip(uint64_t seed, size_t n, uint32_t max_payload)
{
	struct event_source *source = malloc(sizeof(*source));
	struct tt_event *events = calloc(n, sizeof(*events));
	struct tt_event *decoded = calloc(n, sizeof(*decoded));
	const struct tt_event **list = calloc(n, sizeof(*list));
	struct log_header header = { .kind = LOG_FRAME_EVENTS };
	size_t payload = 0;
	struct log_body body;
	uint8_t *raw;

	source_init(source, seed, 0, max_payload);
	for (size_t i = 0; i < n; i++) {
		source_next(source, &events[i]);
		list[i] = &events[i];
		payload += events[i].payload_len;
	}
	raw = malloc(LOG_BODY_BOUND(n, payload));
	assert_int_equal(log_events_encode(list, n, raw, &header, &body), 0);
	assert_true(body.size <= LOG_BODY_BOUND(n, payload));
	assert_true(body.random <= body.payload && body.payload <= body.size);
	assert_int_equal(body.size - body.payload, payload);
	assert_int_equal(log_events_decode(&header, raw, body.size, decoded), 0);
	for (size_t i = 0; i < n; i++)
		assert_events_equal(&events[i], &decoded[i]);

	free(raw);
	free(list);
	free(decoded);
	free(events);
	free(source);
	return body.size;
}

static void events_survive(void **unused)
{
	(void)unused;
	for (uint64_t seed = 0; seed < 300; seed++)
		round_trip(seed, 1 + seed * seed % 700, seed % 3 ? 40 : 0);
	round_trip(1, MAX_EVENTS, 3000);
	round_trip(2, 1, TT_EVENT_MAX_PAYLOAD);
}

/* The largest value in every field, so that every varint is as long as it gets. */
static void extremes_survive(void **unused)
{
	struct log_header header = { .kind = LOG_FRAME_EVENTS };
	struct tt_event events[600], decoded[600];
	const struct tt_event *list[600];
	uint8_t *raw = malloc(LOG_BODY_BOUND(600, 0));
	struct log_body body;

	(void)unused;
	memset(events, 0, sizeof(events));
	for (int i = 0; i < 600; i++) {
		list[i] = &events[i];
		events[i].kind = TT_EVENT_INPUT;
		events[i].vector = 255;
		events[i].input_id = (uint16_t)(65535 - i);
		events[i].rebase = UINT64_MAX - (uint64_t)i;
		events[i].pos.check = TT_CHECK_MASK;
		events[i].pos.rip = (uint64_t)i * (UINT64_MAX / 600);
		events[i].pos.exits = i == 599 ? UINT64_MAX : 0;
		events[i].pos.branches = i >= 300 ? UINT64_MAX : 0;
		events[i].pos.instructions = i >= 200 ? UINT64_MAX : 1;
	}
	assert_int_equal(log_events_encode(list, 600, raw, &header, &body), 0);
	assert_true(body.size <= LOG_BODY_BOUND(600, 0));
	assert_int_equal(log_events_decode(&header, raw, body.size, decoded), 0);
	for (int i = 0; i < 600; i++)
		assert_events_equal(&events[i], &decoded[i]);
	free(raw);
}

/*
 * Encode events with these instructions (a negative number: that of an at_exit event) and compare
 * what is read back. Returns the header's instructions.
 */
static uint64_t read_back(const int64_t *instructions, const uint64_t *expected, size_t n)
{
	struct tt_event events[8] = { 0 }, decoded[8];
	const struct tt_event *list[8];
	struct log_header header = { .kind = LOG_FRAME_EVENTS };
	uint8_t raw[LOG_BODY_BOUND(8, 0)];
	struct log_body body;

	for (size_t i = 0; i < n; i++) {
		list[i] = &events[i];
		events[i].kind = TT_EVENT_SYNC;
		events[i].at_exit = instructions[i] < 0;
		events[i].pos.instructions = (uint64_t)llabs(instructions[i]);
		events[i].pos.branches = i * i;
	}
	/* these have a field for it */
	events[n - 2].kind = TT_EVENT_DIGEST;
	events[n - 1].kind = TT_EVENT_END;
	assert_int_equal(log_events_encode(list, n, raw, &header, &body), 0);
	assert_int_equal(log_events_decode(&header, raw, body.size, decoded), 0);
	for (size_t i = 0; i < n; i++)
		assert_int_equal(decoded[i].pos.instructions, expected[i]);
	return header.events.instructions;
}

#define READ_BACK(...) read_back((const int64_t[]){ __VA_ARGS__ }, expected, 6)

/* Asynchronous events, DIGEST, END and the first event of a frame keep them. */
static void instructions_are_kept_where_promised(void **unused)
{
	const uint64_t all[] = { 1000, 2000, 2000, 2001, 3000, 4000 };
	const uint64_t some[] = { 1000, 0, 2000, 0, 3000, 4000 };
	const uint64_t *expected = all;

	(void)unused;
	assert_int_equal(READ_BACK(1000, 2000, 2000, 2001, 3000, 4000), 1000);
	assert_int_equal(READ_BACK(-1000, 2000, 2000, 2001, -3000, -4000), 1000);
	expected = some;
	assert_int_equal(READ_BACK(1000, -1500, 2000, -2001, -3000, 4000), 1000);
	assert_int_equal(READ_BACK(-1000, -1500, 2000, -2001, 3000, -4000), 1000);
}

/* 0 is unknown: accepted anywhere, and never read back as another number. */
static void unknown_instructions_stay_unknown(void **unused)
{
	const uint64_t none[] = { 0, 0, 0, 0, 0, 0 };
	const uint64_t at_first[] = { 0, 0, 5, 6, 7, 8 };
	const uint64_t later[] = { 3, 0, 0, 0, 0, 8 };
	const uint64_t less[] = { 0, 5, 6, 7, 8, 9 };
	const uint64_t *expected = none;

	(void)unused;
	assert_int_equal(READ_BACK(0, 0, 0, 0, 0, 0), 0);
	expected = at_first;
	assert_int_equal(READ_BACK(0, 0, 5, 6, 7, 8), 0);
	expected = later;
	assert_int_equal(READ_BACK(3, 5, 6, 7, 0, 8), 3);
	assert_int_equal(READ_BACK(-3, 0, 0, 0, 0, 8), 3);
	/* what a frame starts with must not be more than what follows */
	expected = less;
	assert_int_equal(READ_BACK(-7, 5, 6, 7, 8, 9), 0);
}

/* Of a loop without branches, of code with a million branches per instruction, of huge numbers. */
static void odd_ratios_survive(void **unused)
{
	enum { N = 500 };
	static const struct { uint64_t branches, instructions; } steps[] = {
		{ 0, 1 }, { 1000000, 1 }, { 1, UINT64_MAX / N }, { UINT64_MAX / N, 3 },
		{ UINT64_MAX / N, UINT64_MAX / N }, { 300000, 2000000 },
	};
	struct tt_event events[N], decoded[N];
	const struct tt_event *list[N];
	uint8_t *raw = malloc(LOG_BODY_BOUND(N, 0));
	uint64_t state = 5;

	(void)unused;
	for (size_t k = 0; k < sizeof(steps) / sizeof(*steps); k++) {
		struct log_header header = { .kind = LOG_FRAME_EVENTS };
		struct tt_position pos = { .instructions = 1 };
		struct log_body body;

		memset(events, 0, sizeof(events));
		for (int i = 0; i < N; i++) {
			list[i] = &events[i];
			events[i].kind = TT_EVENT_SYNC;
			events[i].vector = TT_VECTOR_NONE;
			events[i].pos = pos;
			pos.branches += random_below(&state, steps[k].branches + 1);
			pos.instructions += random_below(&state, steps[k].instructions + 1);
		}
		assert_int_equal(log_events_encode(list, N, raw, &header, &body), 0);
		assert_true(body.size <= LOG_BODY_BOUND(N, 0));
		assert_int_equal(log_events_decode(&header, raw, body.size, decoded), 0);
		for (int i = 0; i < N; i++)
			assert_events_equal(&events[i], &decoded[i]);
	}
	free(raw);
}

/* Cut or changed anywhere, a body is refused or read as other events, but never out of bounds. */
static void malformed_bodies_are_bounded(void **unused)
{
	enum { N = 40 };
	struct event_source *source = malloc(sizeof(*source));
	struct log_header header = { .kind = LOG_FRAME_EVENTS };
	struct tt_event events[N], decoded[N];
	const struct tt_event *list[N];
	uint64_t state = 99;
	size_t payload = 0;
	struct log_body body;
	uint8_t *raw;

	(void)unused;
	source_init(source, 5, 0, 30);
	for (int i = 0; i < N; i++) {
		source_next(source, &events[i]);
		list[i] = &events[i];
		payload += events[i].payload_len;
	}
	raw = malloc(LOG_BODY_BOUND(N, payload));
	assert_int_equal(log_events_encode(list, N, raw, &header, &body), 0);

	for (size_t len = 0; len < body.size; len++) {
		/* an allocation of exactly this size, so that ASan sees the end */
		uint8_t *part = malloc(len + !len);

		memcpy(part, raw, len);
		assert_int_equal(log_events_decode(&header, part, len, decoded), -EBADMSG);
		free(part);
	}
	for (int i = 0; i < 20000; i++) {
		uint8_t *copy = malloc(body.size);

		memcpy(copy, raw, body.size);
		for (uint64_t n = 1 + random_below(&state, 4); n; n--)
			copy[random_below(&state, body.size)] = (uint8_t)random64(&state);
		log_events_decode(&header, copy, body.size, decoded);
		free(copy);
	}
	free(raw);
	free(source);
}

static void varints(void **unused)
{
	const uint64_t values[] = { 0, 1, 127, 128, 16383, 16384, UINT32_MAX, UINT64_MAX };
	const uint8_t too_long[11] = { 0x80, 0x80, 0x80, 0x80, 0x80, 0x80,
				       0x80, 0x80, 0x80, 0x80, 0x01 };
	const uint8_t too_large[10] = { 0xff, 0xff, 0xff, 0xff, 0xff,
					0xff, 0xff, 0xff, 0xff, 0x02 };
	struct log_bytes in;
	uint8_t buffer[10];

	(void)unused;
	for (size_t i = 0; i < sizeof(values) / sizeof(*values); i++) {
		uint8_t *end = log_put_varint(buffer, values[i]);

		in = (struct log_bytes){ buffer, end, false };
		assert_int_equal(log_get_varint(&in), values[i]);
		assert_false(in.bad);
		assert_ptr_equal(in.at, end);
		in = (struct log_bytes){ buffer, end - 1, false };
		log_get_varint(&in);
		assert_true(in.bad);
	}
	in = (struct log_bytes){ too_long, too_long + sizeof(too_long), false };
	log_get_varint(&in);
	assert_true(in.bad);
	in = (struct log_bytes){ too_large, too_large + sizeof(too_large), false };
	log_get_varint(&in);
	assert_true(in.bad);
}

/* The largest values that a header can hold. */
static void headers_survive(void **unused)
{
	struct log_header header = {
		.kind = LOG_FRAME_EVENTS,
		.body_size = LOG_RAW_MAX,
		.sequence = UINT32_MAX,
		.distance = LOG_RAW_MAX + 1,
		.events = { TT_LOG_MAX_VCPUS - 1, LOG_EVENTS_MAX, UINT64_MAX, UINT64_MAX,
			    UINT64_MAX },
	};
	uint8_t buffer[LOG_HEADER_MAX];
	struct log_header copy;
	size_t size;

	(void)unused;
	size = log_header_put(&header, NULL, buffer);
	assert_int_equal(log_header_get(buffer, size, &copy), 0);
	assert_int_equal(copy.header_size, size);
	assert_int_equal(copy.sequence, header.sequence);
	assert_int_equal(copy.body_size, header.body_size);
	assert_int_equal(copy.events.num_events, header.events.num_events);
	assert_true(copy.events.instructions == UINT64_MAX);
	for (size_t len = 0; len < size; len++)
		assert_int_equal(log_header_get(buffer, len, &copy), -EAGAIN);
	buffer[28] = 77; /* the kind */
	assert_int_equal(log_header_get(buffer, size, &copy), -EBADMSG);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(events_survive),
		cmocka_unit_test(extremes_survive),
		cmocka_unit_test(instructions_are_kept_where_promised),
		cmocka_unit_test(unknown_instructions_stay_unknown),
		cmocka_unit_test(odd_ratios_survive),
		cmocka_unit_test(malformed_bodies_are_bounded),
		cmocka_unit_test(varints),
		cmocka_unit_test(headers_survive),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
