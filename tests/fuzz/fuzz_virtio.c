// SPDX-License-Identifier: GPL-2.0
/*
 * fuzz_virtio.c - libFuzzer target: a driver that does anything to a virtio device.
 *
 * sources: vmm/[a-z]*.c tests/unit/fake-machine.c tests/unit/virtio-driver.c
 *
 *   tests/fuzz/build tests/fuzz/fuzz_virtio.c build/fuzz_virtio
 *   build/fuzz_virtio -max_total_time=60
 *
 * The first byte chooses the device, which is started properly. The rest are steps: a byte that
 * says what, and its arguments. Nothing may crash or hang, disks are asked only for what is on them
 * and in RAM, and (looked at now and then, because it costs much) two machines that are given the
 * same must end up the same.
 */
#include <stdlib.h>
#include <string.h>

#include "virtio-driver.h"
#include "virtio.h"

#define MAX_STEPS 512
#define HEADER	  SCRATCH
#define DATA	  (SCRATCH + 0x1000)
#define STATUS	  (SCRATCH + 0x800)

struct input {
	const uint8_t *data;
	size_t size;
};

static uint64_t take(struct input *in, unsigned int bytes)
{
	uint64_t value = 0;
	unsigned int i;

	for (i = 0; i < bytes && in->size; i++, in->data++, in->size--)
		value |= (uint64_t)*in->data << 8 * i;
	return value;
}

/* ------------------------------------------------------------------ a suspicious disk */

static struct driver *current;

static void check(uint64_t sector, const struct iovec *iov, int iovcnt)
{
	const struct tt_memory *mem = &current->f.m.memory;
	uint64_t bytes = 0;
	int i;

	if (!iovcnt || iovcnt > TT_VIRTIO_QUEUE_SIZE)
		abort();
	for (i = 0; i < iovcnt; i++) {
		const uint8_t *at = iov[i].iov_base;

		if (!iov[i].iov_len || at < mem->hva || at + iov[i].iov_len > mem->hva + mem->size)
			abort();
		bytes += iov[i].iov_len;
	}
	if (bytes % TT_SECTOR_SIZE || sector > MEMORY_DISK_SECTORS ||
	    bytes / TT_SECTOR_SIZE > MEMORY_DISK_SECTORS - sector)
		abort();
}

static int checked_read(struct tt_disk *disk, uint64_t sector, const struct iovec *iov, int iovcnt)
{
	(void)disk;
	check(sector, iov, iovcnt);
	memset(iov->iov_base, 0x5a, iov->iov_len);
	return sector % 5 ? 0 : -EIO;
}

static int checked_write(struct tt_disk *disk, uint64_t sector, const struct iovec *iov, int iovcnt,
			 uint64_t instr)
{
	(void)disk;
	(void)instr;
	check(sector, iov, iovcnt);
	return sector % 5 ? 0 : -ENOSPC;
}

static int checked_zero(struct tt_disk *disk, uint64_t sector, uint64_t count, bool discard,
			uint64_t instr)
{
	(void)disk;
	(void)discard;
	(void)instr;
	if (sector > MEMORY_DISK_SECTORS || count > MEMORY_DISK_SECTORS - sector)
		abort();
	return 0;
}

static int checked_flush(struct tt_disk *disk, uint64_t instr)
{
	(void)disk;
	(void)instr;
	return 0;
}

static const struct tt_disk_ops checked_ops = { checked_read, checked_write, checked_zero,
						checked_flush, NULL };

/* ------------------------------------------------------------------ steps */

/* Where descriptors point to: mostly RAM, at its edges, and what is not RAM. */
static uint64_t some_address(struct input *in)
{
	static const uint64_t bases[] = { SCRATCH,
					  SCRATCH,
					  SCRATCH,
					  0,
					  QUEUE_AREA(0),
					  QUEUE_AREA(1),
					  FAKE_RAM_SIZE - 64,
					  TT_LAPIC_BASE,
					  0xe0000000,
					  UINT64_MAX - 32 };
	uint8_t which = take(in, 1);

	return bases[which % 10] + (which / 10) * 4;
}

static uint32_t some_length(struct input *in)
{
	static const uint32_t lengths[] = { 16, 1, 512, 12, 1526, 0, 4096, 32, 65536, 0xffffffff };
	uint8_t which = take(in, 1);

	return lengths[which % 10] + which / 10 % 8;
}

static void put_descriptor(struct driver *d, struct input *in)
{
	uint8_t where = take(in, 1);
	uint64_t address = some_address(in);
	uint32_t len = some_length(in);
	uint16_t flags = take(in, 1), next = flags >> 4;

	flags &= 0xf;
	if (where & 0x80) /* in a table of its own, for indirect ones */
		driver_descriptor(d, 0, (SCRATCH - QUEUE_AREA(0)) / 16 + where % 32, address, len,
				  flags, next);
	else
		driver_descriptor(d, where & 1, where >> 1 & 15, address, len, flags, next);
}

/* A chain as a disk wants it, with something wrong in it now and then. */
static void put_request(struct driver *d, struct input *in)
{
	static const uint8_t types[] = { 0, 1, 4, 8, 11, 13, 2, 255 };
	uint32_t header[4] = { types[take(in, 1) % 8], 0, take(in, 1) };
	uint32_t len = some_length(in);
	bool to_driver = take(in, 1) & 1;
	struct buffer buffers[] = { { HEADER, 16, false },
				    { DATA, len, to_driver },
				    { STATUS, 1, true } };

	memcpy(driver_at(d, HEADER), header, sizeof(header));
	*(uint32_t *)driver_at(d, DATA) = take(in, 1);
	*(uint32_t *)driver_at(d, DATA + 8) = take(in, 1);
	driver_add(d, 0, buffers, 3);
}

static void give_input(struct driver *d, struct input *in)
{
	static const uint8_t ids[] = { TT_INPUT_ENTROPY, TT_INPUT_CONSOLE0, TT_INPUT_NET0 };
	uint8_t data[TT_INPUT_MAX];
	unsigned int id = ids[take(in, 1) % 3];
	size_t len = take(in, 2) % (sizeof(data) + 1);

	memset(data, 0xa5, len);
	tt_input_ready(&d->f.m);
	tt_input_deliver(&d->f.m, id, data, len); /* or not: it may have no room */
}

static void step(struct driver *d, struct input *in)
{
	uint8_t what = take(in, 1);
	unsigned int len = 1u << (what >> 6);
	uint32_t at;

	switch (what & 0xf) {
	case 0:
		driver_kick(d, what >> 4 & 3);
		break;
	case 1:
	case 2:
	case 3:
		put_descriptor(d, in);
		break;
	case 4:
		driver_offer(d, what >> 4 & 1, take(in, 1) & 31);
		break;
	case 5:
		driver_start(d);
		break;
	case 6: /* guest memory */
		at = take(in, 2);
		*(uint32_t *)driver_at(d, QUEUE_AREA(0) + (at & ~3u)) = take(in, 4);
		break;
	case 7: /* common configuration */
		driver_write(d, d->common + take(in, 1) % 0x40, take(in, len), len);
		break;
	case 8: /* the rest of the memory BAR */
		driver_write(d, d->common + take(in, 2) % 4096, take(in, len), len);
		break;
	case 9:
		driver_read(d, d->common + take(in, 2) % 4096, len);
		break;
	case 10:
		driver_pci_write(d, d->slot, take(in, 1), take(in, 4), len & 7 ? len : 4);
		break;
	case 11:
		driver_pci_read(d, d->slot, take(in, 1), len & 7 ? len : 4);
		break;
	case 12:
		put_request(d, in);
		break;
	case 13:
		give_input(d, in);
		break;
	case 14:
		driver_take_used(d, what >> 4 & 1, NULL);
		fake_take_interrupt(&d->f);
		break;
	case 15:
		driver_negotiate(d, take(in, 8));
		break;
	}
}

static void run(struct driver *d, const uint8_t *data, size_t size)
{
	static const uint8_t slots[] = { TT_VIRTIO_SLOT_BLK, TT_VIRTIO_SLOT_NET,
					 TT_VIRTIO_SLOT_CONSOLE, TT_VIRTIO_SLOT_RNG };
	struct input in = { data, size };
	unsigned int steps;

	current = d;
	driver_create(d);
	d->disk.disk.ops = &checked_ops;
	driver_open(d, slots[take(&in, 1) % 4]);
	driver_start(d);
	for (steps = 0; in.size && steps < MAX_STEPS; steps++)
		step(d, &in);
}

static struct driver *run_new(const uint8_t *data, size_t size)
{
	struct driver *d = malloc(sizeof(*d));

	if (!d)
		abort();
	run(d, data, size);
	return d;
}

static void compare(struct driver *a, struct driver *b)
{
	size_t size_a, size_b;
	uint8_t *state_a = fake_machine_state(&a->f, &size_a),
		*state_b = fake_machine_state(&b->f, &size_b);

	if (size_a != size_b || memcmp(state_a, state_b, size_a) ||
	    memcmp(a->f.m.memory.hva, b->f.m.memory.hva, FAKE_RAM_SIZE))
		abort();
	free(state_a);
	free(state_b);
}

static void destroy(struct driver *d)
{
	driver_destroy(d);
	free(d);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct driver *a = run_new(data, size), *b;

	if (size % 16 == 15) {
		b = run_new(data, size);
		compare(a, b);
		destroy(b);
	}
	destroy(a);
	return 0;
}
