// SPDX-License-Identifier: GPL-2.0
/*
 * fuzz_log.c - libFuzzer target: any bytes given to the log's reader.
 *
 * sources: replay/log_*.c
 *
 *   tests/fuzz/build tests/fuzz/fuzz_log.c build/fuzz_log
 *   build/fuzz_log -max_total_time=60
 *
 * The first byte chooses what the rest is:
 *   0  a file
 *   1  a file whose hashes are not looked at, because no fuzzer finds a hash
 *   2  the body of an EVENTS frame, behind a byte with the number of events
 *   3  changes to a good log, each 3 bytes: offset (16 bits), value; hashes are not looked at
 */
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "../../replay/log_reader.h"

static uint8_t *good_log;
static size_t good_size;

/* A small log with every kind of frame and event. */
static void make_good_log(void)
{
	struct tt_log_section sections[] = { { "config", "{}", 2 }, { "kernel", "01234567", 8 } };
	struct tt_log_options options = { .num_vcpus = 2 };
	char path[] = "/tmp/ttvm-fuzz-XXXXXX";
	struct tt_log_writer *writer;
	int fd = mkstemp(path);

	if (fd < 0 || tt_log_writer_create(path, sections, 2, &options, &writer, NULL))
		abort();
	for (int i = 0; i < 64; i++) {
		struct tt_event event = {
			.kind = (uint8_t)(1 + i % 5),
			.at_exit = i % 3 == 0,
			.vcpu = (uint16_t)(i & 1),
			.vector = (int16_t)(i % 7 * 30),
			.payload = "payload",
			.payload_len = (uint32_t)(i % 8),
			.pos = { (uint64_t)i * 3, (uint64_t)i * 1000003, (uint64_t)i * 0x1234567,
				 (uint32_t)i * 77, (uint64_t)i * 6000007 },
			.rebase = (uint64_t)i << 20,
		};

		if (tt_log_append(writer, &event) || (i % 16 == 15 && tt_log_writer_flush(writer)))
			abort();
	}
	if (tt_log_writer_close(writer, NULL, NULL))
		abort();
	good_log = malloc(65536);
	good_size = (size_t)pread(fd, good_log, 65536, 0);
	unlink(path);
	close(fd);
}

static void read_all(const uint8_t *data, size_t size, bool trust)
{
	int fd = memfd_create("log", MFD_CLOEXEC);
	struct tt_error err;
	struct tt_event event;
	struct tt_log *log;
	const void *section;

	if (fd < 0 || write(fd, data, size) != (ssize_t)size)
		abort();
	if (log_open_fd(fd, "fuzz", trust, &log, &err))
		return;
	for (unsigned int vcpu = 0; vcpu < tt_log_info(log)->num_vcpus; vcpu++) {
		uint64_t n = tt_log_num_events(log, vcpu), seen = 0;
		uint8_t sum = 0;
		int ret;

		while ((ret = tt_log_next(log, vcpu, &event, &err)) > 0) {
			for (uint32_t i = 0; i < event.payload_len; i++)
				sum += ((const uint8_t *)event.payload)[i];
			seen++;
		}
		/* the sum is there so that payloads are read */
		if (!ret && (seen != n || (n == UINT64_MAX && sum)))
			abort();
		if (tt_log_seek_event(log, vcpu, n / 2, &err) || tt_log_tell(log, vcpu) != n / 2)
			abort();
		tt_log_seek_exits(log, vcpu, event.pos.exits, &err);
	}
	for (size_t i = 0; i < tt_log_num_sections(log); i++)
		if (tt_log_section_at(log, i)->size <= size * 1000)
			tt_log_section(log, tt_log_section_at(log, i)->name, &section, &size, &err);
	tt_log_close(log);
}

static void decode_body(const uint8_t *data, size_t size)
{
	struct log_header header = { .kind = LOG_FRAME_EVENTS };
	struct tt_event events[255];

	if (!size || !data[0])
		return;
	header.events.num_events = data[0];
	log_events_decode(&header, data + 1, size - 1, events);
}

static void change_good_log(const uint8_t *data, size_t size)
{
	uint8_t *copy = malloc(good_size);

	memcpy(copy, good_log, good_size);
	for (; size >= 3; data += 3, size -= 3)
		copy[(data[0] | data[1] << 8) % good_size] = data[2];
	read_all(copy, good_size, true);
	free(copy);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (!good_log)
		make_good_log();
	if (!size)
		return 0;
	switch (data[0]) {
	case 0:
	case 1:
		read_all(data + 1, size - 1, data[0]);
		break;
	case 2:
		decode_body(data + 1, size - 1);
		break;
	case 3:
		change_good_log(data + 1, size - 1);
		break;
	}
	return 0;
}
