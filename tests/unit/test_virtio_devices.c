// SPDX-License-Identifier: GPL-2.0
/*
 * test_virtio_devices.c - what disk, network, console and entropy do for a driver.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "virtio-driver.h"
#include "virtio.h"

#define HEADER SCRATCH
#define DATA   (SCRATCH + 0x1000)
#define STATUS (SCRATCH + 0x800)

static struct driver *create(unsigned int slot)
{
	struct driver *d = malloc(sizeof(*d));

	assert_non_null(d);
	driver_create(d);
	driver_open(d, slot);
	driver_start(d);
	return d;
}

static void destroy(struct driver *d)
{
	assert_int_equal(d->num_messages, 0);
	driver_destroy(d);
	free(d);
}

/* ------------------------------------------------------------------ disk */

enum { IN = 0, OUT = 1, FLUSH = 4, GET_ID = 8, DISCARD = 11, WRITE_ZEROES = 13 };
enum { OK, IOERR, UNSUPP };

/*
 * One request with len bytes of data at DATA; its status. written: as the device says, if not NULL.
 */
static uint8_t request(struct driver *d, uint32_t type, uint64_t sector, uint32_t len,
		       uint32_t *written)
{
	bool to_driver = type == IN || type == GET_ID;
	struct buffer buffers[] = { { HEADER, 16, false },
				    { DATA, len, to_driver },
				    { STATUS, 1, true } };
	uint32_t unused;

	if (!len)
		buffers[1] = buffers[2];
	memcpy(driver_at(d, HEADER), &type, 4);
	memset(driver_at(d, HEADER + 4), 0, 4);
	memcpy(driver_at(d, HEADER + 8), &sector, 8);
	*(uint8_t *)driver_at(d, STATUS) = 0xee;
	driver_add(d, 0, buffers, len ? 3 : 2);
	driver_kick(d, 0);
	assert_true(driver_take_used(d, 0, written ? written : &unused) >= 0);
	return *(uint8_t *)driver_at(d, STATUS);
}

static void test_disk_configuration(void **state)
{
	struct driver *d = create(TT_VIRTIO_SLOT_BLK);

	(void)state;
	assert_int_equal(driver_read(d, d->config, 8), MEMORY_DISK_SECTORS);
	assert_int_equal(driver_read(d, d->config + 12, 4), 254); /* segments */
	assert_int_equal(driver_read(d, d->config + 20, 4), 512); /* block size */
	assert_int_equal(driver_read(d, d->config + 36, 4), 1 << 22);
	assert_int_equal(driver_read(d, d->config + 40, 4), 16);
	assert_int_equal(driver_read(d, d->config + 44, 4), 1);
	assert_int_equal(driver_read(d, d->config + 48, 4), 1 << 22);
	assert_int_equal(driver_read(d, d->config + 56, 1), 1);
	assert_int_equal(driver_read(d, d->config + 60, 8), 0);
	driver_write(d, d->config, 1, 8);
	assert_int_equal(driver_read(d, d->config, 8), MEMORY_DISK_SECTORS);
	destroy(d);
}

static void test_disk_reads_and_writes(void **state)
{
	struct driver *d = create(TT_VIRTIO_SLOT_BLK);
	uint32_t written;

	(void)state;
	memset(driver_at(d, DATA), 0x5a, 1024);
	d->f.now = 1234; /* what the fake seam calls instructions */
	assert_int_equal(request(d, OUT, 3, 1024, &written), OK);
	assert_int_equal(written, 1);
	assert_int_equal(d->disk.instr, 1234);
	assert_memory_equal(d->disk.data + 3 * 512, driver_at(d, DATA), 1024);
	assert_int_equal(d->disk.data[5 * 512], 0);
	memset(driver_at(d, DATA), 0, 2048);
	assert_int_equal(request(d, IN, 3, 512, &written), OK);
	assert_int_equal(written, 513);
	assert_memory_equal(driver_at(d, DATA), d->disk.data + 3 * 512, 512);
	assert_int_equal(*(uint8_t *)driver_at(d, DATA + 512), 0);
	assert_int_equal(request(d, IN, MEMORY_DISK_SECTORS - 1, 512, NULL), OK);
	assert_int_equal(request(d, IN, 0, MEMORY_DISK_SECTORS * 512, NULL), OK);
	destroy(d);
}

static void test_disk_scattered_data(void **state)
{
	struct driver *d = create(TT_VIRTIO_SLOT_BLK);
	const struct buffer read[] = {
		{ HEADER, 16, false },	      { DATA, 1, true },
		{ DATA + 0x1000, 510, true }, { DATA + 0x2000, 512, true },
		{ DATA + 0x3000, 2, true }, /* 1 of data, status */
	};
	unsigned int i;

	(void)state;
	for (i = 0; i < 1024; i++)
		d->disk.data[i] = i / 3;
	memset(driver_at(d, HEADER), 0, 16);
	driver_add(d, 0, read, 5);
	driver_kick(d, 0);
	assert_int_equal(driver_take_used(d, 0, NULL), 0);
	assert_memory_equal(driver_at(d, DATA), d->disk.data, 1);
	assert_memory_equal(driver_at(d, DATA + 0x1000), d->disk.data + 1, 510);
	assert_memory_equal(driver_at(d, DATA + 0x2000), d->disk.data + 511, 512);
	assert_memory_equal(driver_at(d, DATA + 0x3000), d->disk.data + 1023, 1);
	assert_int_equal(*(uint8_t *)driver_at(d, DATA + 0x3001), OK);
	destroy(d);
}

static void test_disk_requests_out_of_range(void **state)
{
	struct driver *d = create(TT_VIRTIO_SLOT_BLK);

	(void)state;
	assert_int_equal(request(d, IN, MEMORY_DISK_SECTORS, 512, NULL), IOERR);
	assert_int_equal(request(d, IN, MEMORY_DISK_SECTORS - 1, 1024, NULL), IOERR);
	assert_int_equal(request(d, IN, UINT64_MAX, 512, NULL), IOERR);
	assert_int_equal(request(d, OUT, UINT64_MAX - 1, 1024, NULL), IOERR);
	assert_int_equal(request(d, OUT, UINT64_MAX / 512, 1024, NULL), IOERR);
	assert_int_equal(request(d, IN, 0, 511, NULL), IOERR);
	assert_int_equal(request(d, OUT, 0, 513, NULL), IOERR);
	assert_int_equal(request(d, IN, 0, 0, NULL), IOERR);
	assert_int_equal(request(d, OUT, 0, 0, NULL), IOERR);
	assert_int_equal(d->disk.calls, 0);
	assert_int_equal(request(d, IN, MEMORY_DISK_SECTORS - 1, 512, NULL), OK);
	destroy(d);
}

/* A failed read leaves zeroes, whatever the disk has put there before it failed. */
static void test_disk_failures(void **state)
{
	struct driver *d = create(TT_VIRTIO_SLOT_BLK);
	uint8_t zeroes[1024] = { 0 };
	uint32_t written;

	(void)state;
	memset(d->disk.data, 0x77, 1024);
	memset(driver_at(d, DATA), 0x33, 1024);
	d->disk.fail = -EIO;
	assert_int_equal(request(d, IN, 0, 1024, &written), IOERR);
	assert_int_equal(written, 1025);
	assert_memory_equal(driver_at(d, DATA), zeroes, 1024);
	assert_int_equal(request(d, OUT, 0, 512, NULL), IOERR);
	assert_int_equal(request(d, FLUSH, 0, 0, NULL), IOERR);
	d->disk.fail = 0;
	assert_int_equal(request(d, FLUSH, 0, 0, NULL), OK);
	assert_int_equal(d->disk.flushes, 2);
	destroy(d);
}

/* A seam that says "failed" without asking the disk, as a replay does. */
static int failing_attempt(struct tt_seam *self, struct tt_vcpu *vcpu, int (*perform)(void *ctx),
			   void *ctx)
{
	(void)self;
	(void)vcpu;
	(void)perform;
	(void)ctx;
	return -ENOSPC;
}

static void test_disk_failures_that_are_replayed(void **state)
{
	struct driver *d = create(TT_VIRTIO_SLOT_BLK);
	struct tt_seam_ops ops = *d->f.seam.ops;
	uint8_t zeroes[512] = { 0 };

	(void)state;
	ops.attempt = failing_attempt;
	d->f.seam.ops = &ops;
	memset(driver_at(d, DATA), 0x33, 512);
	assert_int_equal(request(d, IN, 0, 512, NULL), IOERR);
	assert_memory_equal(driver_at(d, DATA), zeroes, 512);
	assert_int_equal(request(d, OUT, 0, 512, NULL), IOERR);
	assert_int_equal(d->disk.calls, 0);
	destroy(d);
}

static void put_range(struct driver *d, unsigned int index, uint64_t sector, uint32_t count,
		      uint32_t flags)
{
	memcpy(driver_at(d, DATA + 16 * index), &sector, 8);
	memcpy(driver_at(d, DATA + 16 * index + 8), &count, 4);
	memcpy(driver_at(d, DATA + 16 * index + 12), &flags, 4);
}

static void test_disk_discard_and_zeroes(void **state)
{
	struct driver *d = create(TT_VIRTIO_SLOT_BLK);
	unsigned int i;

	(void)state;
	memset(d->disk.data, 0x77, sizeof(d->disk.data));
	put_range(d, 0, 1, 2, 0);
	put_range(d, 1, 5, 1, 0);
	assert_int_equal(request(d, WRITE_ZEROES, 0, 32, NULL), OK);
	for (i = 0; i < 8; i++)
		assert_int_equal(d->disk.data[512 * i], i == 1 || i == 2 || i == 5 ? 0 : 0x77);
	assert_int_equal(d->disk.discards, 0);
	put_range(d, 0, 6, 1, 1); /* may unmap */
	assert_int_equal(request(d, WRITE_ZEROES, 0, 16, NULL), OK);
	assert_int_equal(d->disk.discards, 1);
	put_range(d, 0, 8, 8, 0);
	assert_int_equal(request(d, DISCARD, 0, 16, NULL), OK);
	assert_int_equal(d->disk.discards, 2);
	assert_int_equal(d->disk.data[8 * 512], 0);

	d->disk.calls = 0;
	put_range(d, 0, 8, 8, 1); /* no such flag for discard */
	assert_int_equal(request(d, DISCARD, 0, 16, NULL), UNSUPP);
	put_range(d, 0, 8, 8, 2);
	assert_int_equal(request(d, WRITE_ZEROES, 0, 16, NULL), UNSUPP);
	put_range(d, 0, MEMORY_DISK_SECTORS, 1, 0);
	assert_int_equal(request(d, DISCARD, 0, 16, NULL), IOERR);
	put_range(d, 0, 1, UINT32_MAX, 0);
	assert_int_equal(request(d, DISCARD, 0, 16, NULL), IOERR);
	put_range(d, 0, UINT64_MAX, 2, 0);
	assert_int_equal(request(d, WRITE_ZEROES, 0, 16, NULL), IOERR);
	/* One bad range of two: nothing is done. */
	put_range(d, 0, 20, 1, 0);
	put_range(d, 1, MEMORY_DISK_SECTORS, 1, 0);
	assert_int_equal(request(d, WRITE_ZEROES, 0, 32, NULL), IOERR);
	assert_int_equal(request(d, WRITE_ZEROES, 0, 15, NULL), IOERR);
	assert_int_equal(request(d, WRITE_ZEROES, 0, 17 * 16, NULL), IOERR);
	assert_int_equal(request(d, DISCARD, 0, 0, NULL), IOERR);
	assert_int_equal(d->disk.calls, 0);
	destroy(d);
}

/* A seam whose second attempt fails, as it did in a recording. */
static int second_attempt_fails(struct tt_seam *self, struct tt_vcpu *vcpu, int (*perform)(void *ctx),
				void *ctx)
{
	static unsigned int attempts;

	(void)self;
	(void)vcpu;
	return ++attempts == 2 ? -EIO : perform(ctx);
}

/* What was done before a failure is done in a replay, too: each range is an attempt. */
static void test_disk_failure_between_ranges(void **state)
{
	struct driver *d = create(TT_VIRTIO_SLOT_BLK);
	struct tt_seam_ops ops = *d->f.seam.ops;

	(void)state;
	ops.attempt = second_attempt_fails;
	d->f.seam.ops = &ops;
	memset(d->disk.data, 0x77, sizeof(d->disk.data));
	put_range(d, 0, 1, 1, 0);
	put_range(d, 1, 3, 1, 0);
	put_range(d, 2, 5, 1, 0);
	assert_int_equal(request(d, WRITE_ZEROES, 0, 48, NULL), IOERR);
	assert_int_equal(d->disk.data[1 * 512], 0);
	assert_int_equal(d->disk.data[3 * 512], 0x77);
	assert_int_equal(d->disk.data[5 * 512], 0x77);
	assert_int_equal(d->disk.calls, 1);
	destroy(d);
}

static void test_disk_identity_and_unknown_requests(void **state)
{
	struct driver *d = create(TT_VIRTIO_SLOT_BLK);
	char expected[20] = "serial-number";

	(void)state;
	memset(driver_at(d, DATA), 0xff, 64);
	assert_int_equal(request(d, GET_ID, 0, 20, NULL), OK);
	assert_memory_equal(driver_at(d, DATA), expected, 20);
	assert_int_equal(*(uint8_t *)driver_at(d, DATA + 20), 0xff);
	assert_int_equal(request(d, GET_ID, 0, 4, NULL), OK);
	memset(d->disk.disk.serial, 'x', 20); /* without an end */
	assert_int_equal(request(d, GET_ID, 0, 64, NULL), OK);
	assert_memory_equal(driver_at(d, DATA), "xxxxxxxxxxxxxxxxxxxx", 20);
	d->disk.disk.serial[0] = 0;
	assert_int_equal(request(d, GET_ID, 0, 20, NULL), OK);
	assert_string_equal(driver_at(d, DATA), "virtio-blk0");
	assert_int_equal(request(d, 2, 0, 512, NULL), UNSUPP);
	assert_int_equal(request(d, 14, 0, 16, NULL), UNSUPP); /* secure erase */
	assert_int_equal(request(d, 0xffffffff, 0, 0, NULL), UNSUPP);
	assert_int_equal(d->disk.calls, 0);
	destroy(d);
}

static void test_readonly_disk(void **state)
{
	struct driver *d = create(TT_VIRTIO_SLOT_BLK);
	struct tt_error err = { 0 };

	(void)state;
	/* Another machine, with the disk twice. */
	d->disk.disk.readonly = true;
	fake_machine_destroy(&d->f);
	fake_machine_create_bare(&d->f, 1);
	d->f.m.config.num_disks = 2;
	d->f.m.config.disks[0] = d->f.m.config.disks[1] = &d->disk.disk;
	assert_int_equal(tt_irqchip_create(&d->f.m, &err), 0);
	assert_int_equal(tt_devices_create(&d->f.m, &err), 0);
	driver_open(d, TT_VIRTIO_SLOT_BLK + 1);
	assert_int_equal(driver_offered(d) & (1 << 5 | 1 << 13 | 1 << 14), 1 << 5);
	driver_start(d);
	put_range(d, 0, 0, 1, 0);
	assert_int_equal(request(d, OUT, 0, 512, NULL), IOERR);
	assert_int_equal(request(d, DISCARD, 0, 16, NULL), IOERR);
	assert_int_equal(request(d, WRITE_ZEROES, 0, 16, NULL), IOERR);
	assert_int_equal(request(d, FLUSH, 0, 0, NULL), OK);
	assert_int_equal(d->disk.calls, 0);
	assert_int_equal(request(d, IN, 0, 512, NULL), OK);
	destroy(d);
}

/* ------------------------------------------------------------------ network */

static void test_net_configuration(void **state)
{
	struct driver *d = create(TT_VIRTIO_SLOT_NET);

	(void)state;
	assert_int_equal(driver_offered(d), F_VERSION | F_INDIRECT | 1 << 5);
	assert_int_equal(driver_read(d, d->config, 4), 0x03020102);
	assert_int_equal(driver_read(d, d->config + 4, 2), 0x0504);
	destroy(d);
}

static void transmit(struct driver *d, uint32_t len)
{
	const struct buffer frame[] = { { HEADER, 12, false }, { DATA, len, false } };
	uint32_t written;

	driver_add(d, 1, frame, 2);
	driver_kick(d, 1);
	assert_true(driver_take_used(d, 1, &written) >= 0);
	assert_int_equal(written, 0);
}

static void test_net_transmit(void **state)
{
	struct driver *d = create(TT_VIRTIO_SLOT_NET);
	const struct buffer whole = { HEADER, 12 + 60, false };

	(void)state;
	memset(driver_at(d, DATA), 0x42, 2000);
	transmit(d, TT_FRAME_MAX);
	assert_int_equal(d->net.sent, 1);
	assert_int_equal(d->net.len, TT_FRAME_MAX);
	assert_memory_equal(d->net.frame, driver_at(d, DATA), TT_FRAME_MAX);
	transmit(d, 14);
	assert_int_equal(d->net.len, 14);
	transmit(d, TT_FRAME_MAX + 1); /* lost */
	transmit(d, 13);
	assert_int_equal(d->net.sent, 2);
	memset(driver_at(d, HEADER + 12), 0x24, 60); /* header and frame in one buffer */
	driver_add(d, 1, &whole, 1);
	driver_kick(d, 1);
	assert_int_equal(d->net.sent, 3);
	assert_int_equal(d->net.len, 60);
	assert_int_equal(d->net.frame[59], 0x24);
	destroy(d);
}

static size_t deliver(struct driver *d, enum tt_input_id id)
{
	uint8_t data[TT_INPUT_MAX];
	size_t len = tt_input_take(&d->f.m, id, data, sizeof(data));

	assert_int_equal(tt_input_deliver(&d->f.m, id, data, len), 0);
	return len;
}

static void test_net_receive(void **state)
{
	struct driver *d = create(TT_VIRTIO_SLOT_NET);
	const struct buffer split[] = { { HEADER, 12, true }, { DATA, TT_FRAME_MAX, true } };
	const struct buffer whole = { DATA, 12 + TT_FRAME_MAX, true };
	const uint8_t header[12] = { [10] = 1 };
	uint8_t frame[TT_FRAME_MAX];
	uint32_t len;

	(void)state;
	memset(frame, 0x11, sizeof(frame));
	assert_int_equal(tt_input_post(&d->f.m, TT_INPUT_NET0, frame, sizeof(frame)), 0);
	assert_int_equal(tt_input_post(&d->f.m, TT_INPUT_NET0, frame, 60), 0);
	assert_false(tt_input_ready(&d->f.m)); /* no room yet */
	driver_add(d, 0, split, 2);
	assert_true(tt_input_ready(&d->f.m));
	driver_add(d, 0, &whole, 1);
	driver_kick(d, 0);
	assert_int_equal(driver_take_used(d, 0, NULL), -1);
	memset(driver_at(d, HEADER), 0xff, 12);
	assert_int_equal(deliver(d, TT_INPUT_NET0), TT_FRAME_MAX);
	assert_int_equal(driver_take_used(d, 0, &len), 0);
	assert_int_equal(len, 12 + TT_FRAME_MAX);
	assert_memory_equal(driver_at(d, HEADER), header, 12);
	assert_memory_equal(driver_at(d, DATA), frame, TT_FRAME_MAX);
	assert_int_equal(driver_read(d, d->isr, 1), 1);
	assert_int_equal(deliver(d, TT_INPUT_NET0), 60);
	assert_int_equal(driver_take_used(d, 0, &len), 2);
	assert_int_equal(len, 72);
	assert_memory_equal(driver_at(d, DATA), header, 12);
	assert_memory_equal(driver_at(d, DATA + 12), frame, 60);
	assert_false(tt_input_ready(&d->f.m));
	destroy(d);
}

static void test_net_short_buffers(void **state)
{
	struct driver *d = create(TT_VIRTIO_SLOT_NET);
	const struct buffer small = { DATA, 12 + TT_FRAME_MAX - 1, true };
	const struct buffer header = { HEADER, 11, false };

	(void)state;
	tt_input_post(&d->f.m, TT_INPUT_NET0, "frame frame frame", 17);
	driver_add(d, 0, &small, 1);
	assert_false(tt_input_ready(&d->f.m));
	driver_kick(d, 0);
	assert_non_null(strstr(d->messages, "shorter"));
	driver_start(d);
	driver_add(d, 1, &header, 1);
	driver_kick(d, 1);
	assert_non_null(strstr(d->messages, "no header"));
	assert_int_equal(d->num_messages, 2);
	assert_int_equal(d->net.sent, 0);
	d->num_messages = 0;
	destroy(d);
}

struct tapped {
	unsigned int calls, to_guest;
	size_t len;
};

static void take_frame(void *ctx, unsigned int index, bool to_guest, const void *frame, size_t len)
{
	struct tapped *t = ctx;

	assert_int_equal(index, 0);
	assert_non_null(frame);
	t->calls++;
	t->to_guest += to_guest;
	t->len = len;
}

static void test_net_tap(void **state)
{
	struct driver *d = create(TT_VIRTIO_SLOT_NET);
	const struct buffer whole = { DATA, 12 + TT_FRAME_MAX, true };
	struct tapped t = { 0 };

	(void)state;
	d->f.m.frame_tap = take_frame;
	d->f.m.frame_tap_ctx = &t;
	transmit(d, 77);
	assert_int_equal(t.calls, 1);
	assert_int_equal(t.to_guest, 0);
	assert_int_equal(t.len, 77);
	driver_add(d, 0, &whole, 1);
	tt_input_post(&d->f.m, TT_INPUT_NET0, "frame frame frame", 17);
	deliver(d, TT_INPUT_NET0);
	assert_int_equal(t.calls, 2);
	assert_int_equal(t.to_guest, 1);
	assert_int_equal(t.len, 17);
	destroy(d);
}

/* ------------------------------------------------------------------ console */

static void test_console(void **state)
{
	struct driver *d = create(TT_VIRTIO_SLOT_CONSOLE);
	const struct buffer out[] = { { DATA, 6, false }, { DATA + 100, 5, false } };
	const struct buffer in = { DATA + 200, 4, true };
	uint32_t len;

	(void)state;
	assert_int_equal(driver_offered(d), F_VERSION | F_INDIRECT);
	memcpy(driver_at(d, DATA), "hello ", 6);
	memcpy(driver_at(d, DATA + 100), "world", 5);
	driver_add(d, 1, out, 2);
	driver_kick(d, 1);
	assert_int_equal(driver_take_used(d, 1, NULL), 0);
	assert_int_equal(d->console0_len, 11);
	assert_memory_equal(d->console0, "hello world", 11);
	assert_int_equal(d->f.console_len, 0); /* nothing on the serial line */

	assert_int_equal(tt_input_post(&d->f.m, TT_INPUT_CONSOLE0, "input", 5), 0);
	assert_false(tt_input_ready(&d->f.m));
	driver_add(d, 0, &in, 1);
	driver_kick(d, 0);
	assert_int_equal(deliver(d, TT_INPUT_CONSOLE0), 4);
	assert_int_equal(driver_take_used(d, 0, &len), 0);
	assert_int_equal(len, 4);
	assert_memory_equal(driver_at(d, DATA + 200), "inpu", 4);
	driver_add(d, 0, &in, 1);
	assert_int_equal(deliver(d, TT_INPUT_CONSOLE0), 1);
	assert_int_equal(driver_take_used(d, 0, &len), 1);
	assert_int_equal(len, 1);
	assert_int_equal(*(char *)driver_at(d, DATA + 200), 't');

	d->f.m.console0_write = NULL; /* nobody reads */
	driver_add(d, 1, out, 2);
	driver_kick(d, 1);
	assert_true(driver_take_used(d, 1, NULL) >= 0);

	driver_add(d, 0, out, 1);
	driver_kick(d, 0);
	assert_non_null(strstr(d->messages, "cannot be written"));
	d->num_messages = 0;
	destroy(d);
}

/* ------------------------------------------------------------------ entropy */

static void test_entropy(void **state)
{
	struct driver *d = create(TT_VIRTIO_SLOT_RNG);
	const struct buffer want[] = { { DATA, 100, true }, { DATA + 0x1000, 28, true } };
	const struct buffer much = { DATA, 65536, true };
	const struct buffer none = { DATA, 8, false };
	uint8_t zeroes[64] = { 0 }, given[128], byte = 0x5a;
	uint32_t len;

	(void)state;
	assert_false(tt_input_ready(&d->f.m));
	driver_add(d, 0, want, 2);
	driver_kick(d, 0);
	assert_true(tt_input_ready(&d->f.m));
	assert_int_equal(driver_take_used(d, 0, NULL), -1);
	assert_int_equal(deliver(d, TT_INPUT_ENTROPY), 128);
	assert_int_equal(driver_take_used(d, 0, &len), 0);
	assert_int_equal(len, 128);
	assert_memory_not_equal(driver_at(d, DATA + 36), zeroes, 64);
	assert_false(tt_input_ready(&d->f.m));

	/* A replay delivers what the log says. */
	memset(given, 0xc3, sizeof(given));
	driver_add(d, 0, want, 2);
	assert_int_equal(tt_input_deliver(&d->f.m, TT_INPUT_ENTROPY, given, 128), 0);
	assert_memory_equal(driver_at(d, DATA), given, 100);
	assert_memory_equal(driver_at(d, DATA + 0x1000), given, 28);
	assert_int_equal(tt_input_deliver(&d->f.m, TT_INPUT_ENTROPY, &byte, 1),
			 -EINVAL); /* no room */
	assert_int_equal(driver_take_used(d, 0, &len), 2);

	driver_add(d, 0, &much, 1);
	assert_int_equal(deliver(d, TT_INPUT_ENTROPY), TT_INPUT_MAX);
	assert_int_equal(driver_take_used(d, 0, &len), 4);
	assert_int_equal(len, TT_INPUT_MAX);

	driver_add(d, 0, &none, 1);
	assert_false(tt_input_ready(&d->f.m));
	driver_kick(d, 0);
	assert_non_null(strstr(d->messages, "entropy"));
	d->num_messages = 0;
	destroy(d);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_disk_configuration),
		cmocka_unit_test(test_disk_reads_and_writes),
		cmocka_unit_test(test_disk_scattered_data),
		cmocka_unit_test(test_disk_requests_out_of_range),
		cmocka_unit_test(test_disk_failures),
		cmocka_unit_test(test_disk_failures_that_are_replayed),
		cmocka_unit_test(test_disk_discard_and_zeroes),
		cmocka_unit_test(test_disk_failure_between_ranges),
		cmocka_unit_test(test_disk_identity_and_unknown_requests),
		cmocka_unit_test(test_readonly_disk),
		cmocka_unit_test(test_net_configuration),
		cmocka_unit_test(test_net_transmit),
		cmocka_unit_test(test_net_receive),
		cmocka_unit_test(test_net_short_buffers),
		cmocka_unit_test(test_net_tap),
		cmocka_unit_test(test_console),
		cmocka_unit_test(test_entropy),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
