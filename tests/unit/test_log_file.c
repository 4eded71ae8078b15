// SPDX-License-Identifier: GPL-2.0
/*
 * test_log_file.c - whole logs: written and read back, opened while they grow, cut and damaged at
 * every byte.
 */
#include "log_events.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "../../replay/log_format.h"

static struct tt_log_writer *create(const char *path, const struct tt_log_options *options,
				    const struct tt_log_section *sections, size_t num_sections)
{
	struct tt_log_writer *writer;
	struct tt_error err = { 0 };

	if (tt_log_writer_create(path, sections, num_sections, options, &writer, &err))
		fail_msg("tt_log_writer_create: %s", err.text);
	return writer;
}

static struct tt_log *open_log(const char *path)
{
	struct tt_error err = { 0 };
	struct tt_log *log;

	if (tt_log_open(path, &log, &err))
		fail_msg("tt_log_open: %s", err.text);
	return log;
}

static void append(struct tt_log_writer *writer, struct event_source *source, uint64_t n)
{
	struct tt_event event;

	while (n--) {
		source_next(source, &event);
		assert_int_equal(tt_log_append(writer, &event), 0);
	}
}

static uint8_t *read_file(const char *path, size_t *size)
{
	FILE *file = fopen(path, "rb");
	uint8_t *data;
	struct stat st;

	assert_non_null(file);
	assert_int_equal(fstat(fileno(file), &st), 0);
	*size = (size_t)st.st_size;
	data = malloc(*size + 1);
	assert_int_equal(fread(data, 1, *size, file), *size);
	fclose(file);
	return data;
}

static void write_file(const char *path, const uint8_t *data, size_t size)
{
	FILE *file = fopen(path, "wb");

	assert_non_null(file);
	assert_int_equal(fwrite(data, 1, size, file), size);
	assert_int_equal(fclose(file), 0);
}

/* ------------------------------------------------------------------ what is written is read */

#define NUM_VCPUS 3
#define BIG	  (3u << 20)

static void sections_and_streams_survive(void **unused)
{
	const char *path = test_path("streams");
	struct tt_log_options options = { .num_vcpus = NUM_VCPUS, .flush_ms = 20 };
	static struct event_source sources[NUM_VCPUS];
	uint8_t *kernel = malloc(BIG);
	struct tt_log_section sections[] = {
		{ TT_LOG_SECTION_CONFIG, "{ \"memory\": 1 }", 15 },
		{ "empty", NULL, 0 },
		{ TT_LOG_SECTION_KERNEL, kernel, BIG },
	};
	struct tt_log_writer *writer;
	struct tt_log_stats stats;
	const void *data;
	struct tt_log *log;
	uint64_t state = 3;
	size_t size;

	(void)unused;
	for (size_t i = 0; i < BIG; i++)
		kernel[i] = (uint8_t)random64(&state);
	for (uint16_t i = 0; i < NUM_VCPUS; i++)
		source_init(&sources[i], i, i, 300);
	writer = create(path, &options, sections, 3);
	for (int i = 0; i < 30; i++) {
		append(writer, &sources[i % NUM_VCPUS], 1000);
		if (i % 10 == 0)
			usleep(30000);
	}
	assert_int_equal(tt_log_writer_close(writer, &stats, NULL), 0);
	assert_int_equal(stats.events, 30000);

	log = open_log(path);
	assert_int_equal(tt_log_info(log)->status, TT_LOG_CLEAN);
	assert_string_equal(tt_log_info(log)->text, "");
	assert_int_equal(tt_log_info(log)->events, 30000);
	assert_int_equal(tt_log_info(log)->frames, stats.frames);
	assert_int_equal(tt_log_info(log)->file_bytes, stats.file_bytes);
	assert_int_equal(tt_log_info(log)->event_bytes, stats.event_bytes);
	assert_int_equal(tt_log_info(log)->raw_bytes, stats.raw_bytes);
	assert_int_equal(tt_log_info(log)->section_bytes, stats.section_bytes);
	assert_false(tt_log_info(log)->being_written);
	for (uint16_t i = 0; i < NUM_VCPUS; i++) {
		source_init(&sources[i], i, i, 300);
		assert_int_equal(tt_log_num_events(log, i), 10000);
		assert_int_equal(assert_prefix(log, &sources[i]), 10000);
		assert_int_equal(tt_log_tell(log, i), 10000);
	}
	assert_int_equal(tt_log_num_sections(log), 3);
	assert_int_equal(tt_log_section_at(log, 2)->size, BIG);
	assert_int_equal(tt_log_section(log, TT_LOG_SECTION_KERNEL, &data, &size, NULL), 0);
	assert_int_equal(size, BIG);
	assert_memory_equal(data, kernel, BIG);
	assert_int_equal(tt_log_section(log, TT_LOG_SECTION_CONFIG, &data, &size, NULL), 0);
	assert_string_equal(data, "{ \"memory\": 1 }");
	assert_int_equal(tt_log_section(log, "empty", &data, &size, NULL), 0);
	assert_int_equal(size, 0);
	assert_int_equal(tt_log_section(log, "none", &data, &size, NULL), -ENOENT);
	tt_log_close(log);
	free(kernel);
	unlink(path);
}

static void seeking(void **unused)
{
	const char *path = test_path("seek");
	struct tt_log_options options = { .flush_bytes = 4096 };
	static struct event_source source;
	struct tt_event *events = calloc(5000, sizeof(*events));
	struct tt_log_writer *writer = create(path, &options, NULL, 0);
	struct tt_event event;
	uint64_t state = 8, first;
	struct tt_log *log;

	(void)unused;
	source_init(&source, 1, 0, 10);
	for (int i = 0; i < 5000; i++) {
		source_next(&source, &events[i]);
		assert_int_equal(tt_log_append(writer, &events[i]), 0);
	}
	assert_int_equal(tt_log_writer_close(writer, NULL, NULL), 0);

	log = open_log(path);
	assert_true(tt_log_num_frames(log, 0) > 50);
	for (size_t i = 0; i < tt_log_num_frames(log, 0); i++) {
		const struct tt_log_frame *frame = tt_log_frame_at(log, 0, i);

		assert_true(frame->first.exits == events[frame->first_event].pos.exits);
	}
	for (int i = 0; i < 500; i++) {
		uint64_t index = random_below(&state, 5000);

		assert_int_equal(tt_log_seek_event(log, 0, index, NULL), 0);
		assert_int_equal(tt_log_tell(log, 0), index);
		assert_int_equal(tt_log_next(log, 0, &event, NULL), 1);
		assert_events_equal(&event, &events[index]);
		assert_int_equal(tt_log_tell(log, 0), index + 1);
	}
	for (int i = 0; i < 500; i++) {
		uint64_t exits = events[random_below(&state, 5000)].pos.exits +
				 random_below(&state, 3) - 1;

		for (first = 0; first < 5000 && events[first].pos.exits < exits;)
			first++;
		assert_int_equal(tt_log_seek_exits(log, 0, exits, NULL), 0);
		assert_int_equal(tt_log_tell(log, 0), first);
	}
	assert_int_equal(tt_log_seek_event(log, 0, 5000, NULL), 0);
	assert_int_equal(tt_log_next(log, 0, &event, NULL), 0);
	assert_int_equal(tt_log_seek_event(log, 0, 5001, NULL), -ERANGE);
	assert_int_equal(tt_log_seek_event(log, 1, 0, NULL), -ERANGE);
	tt_log_close(log);
	free(events);
	unlink(path);
}

static void bad_events_are_refused(void **unused)
{
	const char *path = test_path("bad");
	struct tt_log_writer *writer = create(path, NULL, NULL, 0);
	struct tt_event good = { .kind = TT_EVENT_SYNC,
				 .pos = { .exits = 9, .branches = 9, .instructions = 9 } };
	struct tt_event bad;

	(void)unused;
	assert_int_equal(tt_log_append(writer, &good), 0);
	bad = good, bad.kind = 0;
	assert_int_equal(tt_log_append(writer, &bad), -EINVAL);
	bad = good, bad.kind = TT_EVENT_LAST + 1;
	assert_int_equal(tt_log_append(writer, &bad), -EINVAL);
	bad = good, bad.vcpu = 1;
	assert_int_equal(tt_log_append(writer, &bad), -EINVAL);
	bad = good, bad.vector = 256;
	assert_int_equal(tt_log_append(writer, &bad), -EINVAL);
	bad = good, bad.pos.exits = 8;
	assert_int_equal(tt_log_append(writer, &bad), -EINVAL);
	bad = good, bad.pos.branches = 8;
	assert_int_equal(tt_log_append(writer, &bad), -EINVAL);
	bad = good, bad.pos.instructions = 8;
	assert_int_equal(tt_log_append(writer, &bad), -EINVAL);
	bad = good, bad.pos.instructions = 0; /* unknown */
	assert_int_equal(tt_log_append(writer, &bad), 0);
	bad = good, bad.pos.instructions = 8;
	assert_int_equal(tt_log_append(writer, &bad), -EINVAL);
	bad = good, bad.kind = TT_EVENT_INPUT, bad.payload_len = TT_EVENT_MAX_PAYLOAD + 1;
	assert_int_equal(tt_log_append(writer, &bad), -EINVAL);
	bad = good, bad.at_exit = true, bad.pos.branches = 0;
	assert_int_equal(tt_log_append(writer, &bad), 0);
	assert_int_equal(tt_log_writer_error(writer), 0);
	assert_int_equal(tt_log_writer_close(writer, NULL, NULL), 0);
	unlink(path);
}

static void zstd_reads_it(void **unused)
{
	const char *path = test_path("zstd");
	char command[600], line[100] = "";
	static struct event_source source;
	struct tt_log_section section = { "text", "hello, zstd\n", 12 };
	struct tt_log_stats stats;
	struct tt_log_writer *writer;
	FILE *pipe;

	(void)unused;
	if (system("zstd --version >/dev/null 2>&1"))
		skip();
	writer = create(path, NULL, &section, 1);
	source_init(&source, 4, 0, 100);
	append(writer, &source, 3000);
	assert_int_equal(tt_log_writer_close(writer, &stats, NULL), 0);
	snprintf(command, sizeof(command), "zstd -dc '%s' 2>&1 | head -n 1", path);
	pipe = popen(command, "r");
	assert_non_null(fgets(line, sizeof(line), pipe));
	pclose(pipe);
	assert_string_equal(line, "hello, zstd\n");
	snprintf(command, sizeof(command), "test $(zstd -dc '%s' | wc -c) -eq %llu", path,
		 (unsigned long long)stats.raw_bytes + 12);
	assert_int_equal(system(command), 0);
	unlink(path);
}

/* The body of its EVENTS frame, as docs/log-format.md explains it. */
static const uint8_t documented_body[108] = {
	4, 0x01, 0xed, 0x01, 0x81, 0xed, 0x01, 0x02, 0x25, 0, 0x84, 0, 1, 2, 3, /* types, type */
	0, 4, 2, 0x59, 3, /* exits, payloads */
	2, 0, 2, 0, 0, 0xb8, 0x02, 0xc9, 0x0b, /* branches, instructions */
	12, 0x96, 0x11, 0xb8, 0x17, 1, 0, 0, 0, 0, /* rebase */
	2, 0xc0, 0xc9, 0x8a, 0x88, 0xf8, 0xff, 0xff, 0xff, 0xff, 1, 0x18, 0, 1, /* rips, rip */
	0, 0, 0x18, 0xd5, /* branches */
	0xab, 0x51, 0xf3, 0x07, 0x10, 0xe2, 0xef, 0xbe, /* check */
	0x80, 0x39, 0x7a, 0x12, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, /* digests */
	0x11, 0x11, 0x11, 0x11, 0x11, 0x11, 0x11, 0x11,
	0x22, 0x22, 0x22, 0x22, 0x22, 0x22, 0x22, 0x22,
	0x33, 0x33, 0x33, 0x33, 0x33, 0x33, 0x33, 0x33,
	'l', 's', '\n', /* payload */
};

/* The example of docs/log-format.md. TTVM_EXAMPLE=FILE keeps it, to be looked at. */
static void documented_example(void **unused)
{
	const char *keep = getenv("TTVM_EXAMPLE");
	const char *path = keep ? keep : test_path("example");
	struct tt_log_section config = { "config", "{\"memory\": 268435456}", 21 };
	const struct tt_event events[] = {
		{ .kind = TT_EVENT_SYNC, .vector = 0xec, .rebase = 9003008,
		  .pos = { 1205, 48213377, 0xffffffff8102a4c0, 0x51ab, 301882412 } },
		{ .kind = TT_EVENT_SYNC, .at_exit = true, .vector = 0xec, .rebase = 12288000,
		  .pos = { .exits = 1209, .check = 0x07f3 } },
		{ .kind = TT_EVENT_INPUT, .vector = 0x24, .rebase = 4096, .payload = "ls\n",
		  .payload_len = 3,
		  .pos = { 1211, 48399001, 0xffffffff8102a4d8, 0xe210, 302956431 } },
		{ .kind = TT_EVENT_END, .at_exit = true,
		  .pos = { .exits = 1300, .check = 0xbeef, .instructions = 310000000 },
		  .end = { 1, 0, 0x1111111111111111, 0x2222222222222222, 0x3333333333333333 } },
	};
	struct tt_log_writer *writer = create(path, NULL, &config, 1);
	uint8_t text[21 + sizeof(documented_body) + 1];
	char command[600];
	FILE *pipe;

	(void)unused;
	for (size_t i = 0; i < sizeof(events) / sizeof(*events); i++)
		assert_int_equal(tt_log_append(writer, &events[i]), 0);
	assert_int_equal(tt_log_writer_close(writer, NULL, NULL), 0);
	if (system("zstd --version >/dev/null 2>&1"))
		skip();
	snprintf(command, sizeof(command), "zstd -dc '%s'", path);
	pipe = popen(command, "r");
	assert_int_equal(fread(text, 1, sizeof(text), pipe), sizeof(text) - 1);
	pclose(pipe);
	assert_memory_equal(text + 21, documented_body, sizeof(documented_body));
	if (!keep)
		unlink(path);
}

/* ------------------------------------------------------------------ other writers, other files */

static void second_writer_is_refused(void **unused)
{
	const char *path = test_path("two");
	struct tt_log_writer *writer = create(path, NULL, NULL, 0), *second;
	struct tt_error err = { 0 };
	static struct event_source source;
	struct tt_log *log;

	(void)unused;
	assert_int_equal(tt_log_writer_create(path, NULL, 0, NULL, &second, &err), -EBUSY);
	assert_non_null(strstr(err.text, path));
	source_init(&source, 1, 0, 0);
	append(writer, &source, 100);
	assert_int_equal(tt_log_writer_close(writer, NULL, NULL), 0);

	log = open_log(path);
	assert_int_equal(tt_log_info(log)->status, TT_LOG_CLEAN);
	assert_int_equal(tt_log_info(log)->events, 100);
	tt_log_close(log);

	/* a finished log may be replaced */
	writer = create(path, NULL, NULL, 0);
	assert_int_equal(tt_log_writer_close(writer, NULL, NULL), 0);
	log = open_log(path);
	assert_int_equal(tt_log_info(log)->events, 0);
	tt_log_close(log);
	unlink(path);
}

static void other_files_are_left_alone(void **unused)
{
	const char *path = test_path("precious");
	struct tt_log_writer *writer;
	struct tt_error err = { 0 };
	struct tt_log *log;
	size_t size;
	uint8_t *data;

	(void)unused;
	write_file(path, (const uint8_t *)"precious", 8);
	assert_int_equal(tt_log_writer_create(path, NULL, 0, NULL, &writer, &err), -EEXIST);
	data = read_file(path, &size);
	assert_int_equal(size, 8);
	assert_memory_equal(data, "precious", 8);
	free(data);
	assert_int_equal(tt_log_open(path, &log, &err), -EBADMSG);
	unlink(path);
	assert_int_equal(tt_log_open(path, &log, &err), -ENOENT);
	assert_int_equal(tt_log_open("/dev/null", &log, &err), -EBADMSG);
	assert_int_equal(tt_log_open("/tmp", &log, &err), -EBADMSG);
	assert_int_equal(tt_log_writer_create("/dev/full", NULL, 0, NULL, &writer, &err), -EINVAL);
	assert_int_equal(tt_log_writer_create("/nowhere/x", NULL, 0, NULL, &writer, &err), -ENOENT);
}

static void other_versions_are_refused(void **unused)
{
	const char *path = test_path("version");
	struct log_header header = { .kind = LOG_FRAME_FILE,
				     .file = { .version = LOG_VERSION + 1, .num_vcpus = 1 } };
	uint8_t frame[LOG_HEADER_MAX];
	struct tt_error err = { 0 };
	struct tt_log *log;

	(void)unused;
	log_header_put(&header, NULL, frame);
	log_seal(frame, header.header_size, 0, 0);
	write_file(path, frame, header.header_size);
	assert_int_equal(tt_log_open(path, &log, &err), -EPROTONOSUPPORT);
	assert_non_null(strstr(err.text, "version 2"));
	unlink(path);
}

/* ------------------------------------------------------------------ cut and damaged */

#define SMALL_EVENTS 60

/* A closed log of a few frames. */
static uint8_t *small_log(const char *path, size_t *size)
{
	struct tt_log_section sections[] = { { "config", "{}", 2 }, { "kernel", "vmlinuz", 7 } };
	struct tt_log_writer *writer = create(path, NULL, sections, 2);
	static struct event_source source;

	source_init(&source, 6, 0, 8);
	for (int i = 0; i < 4; i++) {
		append(writer, &source, SMALL_EVENTS / 4);
		assert_int_equal(tt_log_writer_flush(writer), 0);
	}
	assert_int_equal(tt_log_writer_close(writer, NULL, NULL), 0);
	return read_file(path, size);
}

/* The log opens with a prefix of the events, or says what is wrong. Events, or -errno. */
static int64_t try_log(const char *path, enum tt_log_status *status)
{
	static struct event_source source;
	struct tt_error err = { 0 };
	const void *data;
	struct tt_log *log;
	int64_t events;
	size_t size;
	int ret = tt_log_open(path, &log, &err);

	if (ret) {
		assert_true(ret == -EBADMSG || ret == -ENODATA);
		assert_int_equal(err.code, ret);
		assert_non_null(strstr(err.text, path));
		return ret;
	}
	source_init(&source, 6, 0, 8);
	events = (int64_t)assert_prefix(log, &source);
	assert_int_equal(events, tt_log_info(log)->events);
	assert_int_equal(tt_log_section(log, "kernel", &data, &size, &err), 0);
	assert_string_equal(data, "vmlinuz");
	*status = tt_log_info(log)->status;
	assert_int_equal(*status == TT_LOG_CLEAN, !*tt_log_info(log)->text);
	tt_log_close(log);
	return events;
}

static void cut_at_every_byte(void **unused)
{
	const char *path = test_path("cut");
	enum tt_log_status status;
	int64_t events, before = -1;
	uint8_t *data;
	size_t size;

	(void)unused;
	data = small_log(path, &size);
	assert_int_equal(try_log(path, &status), SMALL_EVENTS);
	assert_int_equal(status, TT_LOG_CLEAN);
	for (size_t len = 0; len < size; len++) {
		write_file(path, data, len);
		events = try_log(path, &status);
		if (events < 0) {
			assert_int_equal(before, -1);
			continue;
		}
		assert_int_equal(status, TT_LOG_RECOVERED);
		assert_true(events >= before && events % (SMALL_EVENTS / 4) == 0);
		before = events;
	}
	assert_int_equal(before, SMALL_EVENTS);
	free(data);
	unlink(path);
}

static void changed_at_every_byte(void **unused)
{
	const char *path = test_path("flip");
	enum tt_log_status status;
	size_t refused = 0, damaged = 0, recovered = 0, size;
	uint8_t *data;

	(void)unused;
	data = small_log(path, &size);
	for (size_t at = 0; at < size; at++)
		for (int bit = 0; bit < 8; bit++) {
			int64_t events;

			data[at] ^= (uint8_t)(1 << bit);
			write_file(path, data, size);
			data[at] ^= (uint8_t)(1 << bit);
			events = try_log(path, &status);
			if (events < 0) {
				refused++;
				continue;
			}
			assert_true(status != TT_LOG_CLEAN);
			damaged += status == TT_LOG_DAMAGED;
			recovered += status == TT_LOG_RECOVERED;
		}
	/* only the end mark of the seek table tells a closed log from one that was not */
	assert_int_equal(recovered, 4 * 8);
	assert_true(refused && damaged);
	free(data);
	unlink(path);
}

/* Bytes behind a log, such as an older log that was not cut off, are never taken for its own. */
static void leftovers_are_ignored(void **unused)
{
	const char *path = test_path("left");
	enum tt_log_status status;
	uint8_t *one, *two, *both;
	size_t size_one, size_two, cut;

	(void)unused;
	one = small_log(path, &size_one);
	two = small_log(path, &size_two);
	cut = size_one * 2 / 3;
	both = malloc(size_one + size_two);
	memcpy(both, one, cut);
	memcpy(both + cut, two, size_two - 1);
	write_file(path, both, cut + size_two - 1);
	assert_true(try_log(path, &status) < SMALL_EVENTS);
	assert_int_equal(status, TT_LOG_RECOVERED);
	memcpy(both, one, size_one);
	memcpy(both + size_one, two, size_two);
	write_file(path, both, size_one + size_two);
	assert_int_equal(try_log(path, &status), SMALL_EVENTS);
	assert_int_not_equal(status, TT_LOG_CLEAN);
	free(both);
	free(two);
	free(one);
	unlink(path);
}

static void read_while_written(void **unused)
{
	const char *path = test_path("growing");
	struct tt_log_options options = { .flush_bytes = 4096, .flush_ms = 5 };
	static struct event_source source, check;
	struct tt_log_writer *writer = create(path, &options, NULL, 0);
	uint64_t seen = 0;

	(void)unused;
	source_init(&source, 6, 0, 100);
	for (int i = 0; i < 100; i++) {
		struct tt_log *log;
		uint64_t n;

		append(writer, &source, 50);
		if (i % 10 == 0)
			assert_int_equal(tt_log_writer_flush(writer), 0);
		log = open_log(path);
		assert_int_equal(tt_log_info(log)->status, TT_LOG_RECOVERED);
		assert_true(tt_log_info(log)->being_written);
		source_init(&check, 6, 0, 100);
		n = assert_prefix(log, &check);
		assert_true(n >= seen);
		if (i % 10 == 0)
			assert_int_equal(n, (i + 1) * 50);
		seen = n;
		tt_log_close(log);
	}
	assert_int_equal(tt_log_writer_close(writer, NULL, NULL), 0);
	unlink(path);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(sections_and_streams_survive),
		cmocka_unit_test(seeking),
		cmocka_unit_test(bad_events_are_refused),
		cmocka_unit_test(zstd_reads_it),
		cmocka_unit_test(documented_example),
		cmocka_unit_test(second_writer_is_refused),
		cmocka_unit_test(other_files_are_left_alone),
		cmocka_unit_test(other_versions_are_refused),
		cmocka_unit_test(cut_at_every_byte),
		cmocka_unit_test(changed_at_every_byte),
		cmocka_unit_test(leftovers_are_ignored),
		cmocka_unit_test(read_while_written),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
