// SPDX-License-Identifier: GPL-2.0
/*
 * bus.c - who answers at an address: port I/O and memory-mapped I/O.
 *
 * Claims are few and seldom change: a sorted array with a binary search, and the last hit tried
 * first because guests talk to one device for a while. A device is only called for accesses of 1,
 * 2, 4 or 8 bytes that lie inside its claim; everything else is split into bytes here, so that no
 * device has to think about straddling accesses.
 */
#include <stdlib.h>

#include "devices.h"
#include "internal.h"

struct claim {
	uint64_t base;
	uint64_t size;
	tt_io_read read;
	tt_io_write write;
	void *ctx;
};

struct space {
	struct claim *claims; /* sorted by base, disjoint */
	size_t nr;
	size_t last; /* index of the last hit */
};

struct bus {
	struct space pio;
	struct space mmio;
};

static struct bus *machine_bus(struct tt_machine *m)
{
	if (!m->bus)
		m->bus = calloc(1, sizeof(struct bus));
	return m->bus;
}

void tt_bus_destroy(struct tt_machine *m)
{
	struct bus *bus = m->bus;

	if (!bus)
		return;
	free(bus->pio.claims);
	free(bus->mmio.claims);
	free(bus);
	m->bus = NULL;
}

static int space_add(struct space *space, const struct claim *claim)
{
	struct claim *claims;
	size_t at;

	if (!claim->size || claim->base + (claim->size - 1) < claim->base)
		return -EINVAL;
	for (at = 0; at < space->nr && space->claims[at].base < claim->base; at++)
		;
	if (at > 0 && claim->base - space->claims[at - 1].base < space->claims[at - 1].size)
		return -EEXIST;
	if (at < space->nr && space->claims[at].base - claim->base < claim->size)
		return -EEXIST;
	claims = realloc(space->claims, (space->nr + 1) * sizeof(*claims));
	if (!claims)
		return -ENOMEM;
	memmove(&claims[at + 1], &claims[at], (space->nr - at) * sizeof(*claims));
	claims[at] = *claim;
	space->claims = claims;
	space->nr++;
	space->last = 0;
	return 0;
}

int tt_bus_add_pio(struct tt_machine *m, uint16_t base, uint32_t size, tt_io_read read,
		   tt_io_write write, void *ctx)
{
	struct claim claim = { base, size, read, write, ctx };
	struct bus *bus = machine_bus(m);

	if (size > 0x10000u - base)
		return -EINVAL;
	return bus ? space_add(&bus->pio, &claim) : -ENOMEM;
}

int tt_bus_add_mmio(struct tt_machine *m, uint64_t base, uint64_t size, tt_io_read read,
		    tt_io_write write, void *ctx)
{
	struct claim claim = { base, size, read, write, ctx };
	struct bus *bus = machine_bus(m);

	return bus ? space_add(&bus->mmio, &claim) : -ENOMEM;
}

static void space_remove(struct space *space, uint64_t base)
{
	size_t at;

	for (at = 0; at < space->nr && space->claims[at].base != base; at++)
		;
	if (at == space->nr)
		return;
	space->nr--;
	memmove(&space->claims[at], &space->claims[at + 1],
		(space->nr - at) * sizeof(*space->claims));
	space->last = 0;
}

void tt_bus_remove_pio(struct tt_machine *m, uint16_t base)
{
	struct bus *bus = m->bus;

	if (bus)
		space_remove(&bus->pio, base);
}

void tt_bus_remove_mmio(struct tt_machine *m, uint64_t base)
{
	struct bus *bus = m->bus;

	if (bus)
		space_remove(&bus->mmio, base);
}

static const struct claim *space_find(struct space *space, uint64_t addr)
{
	size_t low = 0, high = space->nr;

	if (high && addr - space->claims[space->last].base < space->claims[space->last].size)
		return &space->claims[space->last];
	while (low < high) {
		size_t middle = (low + high) / 2;
		const struct claim *claim = &space->claims[middle];

		if (addr < claim->base) {
			high = middle;
		} else if (addr - claim->base >= claim->size) {
			low = middle + 1;
		} else {
			space->last = middle;
			return claim;
		}
	}
	return NULL;
}

/* The device may change the claims meanwhile: nobody uses claim afterwards. */
static void claim_access(const struct claim *claim, uint64_t addr, void *data, unsigned int len,
			 bool write)
{
	if (write && claim->write)
		claim->write(claim->ctx, addr, data, len);
	else if (!write && claim->read)
		claim->read(claim->ctx, addr, data, len);
	else if (!write)
		memset(data, 0xff, len);
}

static void space_access(struct space *space, uint64_t addr, void *data, unsigned int len,
			 bool write)
{
	const struct claim *claim = space_find(space, addr);
	uint8_t *bytes = data;
	unsigned int i;

	if (claim && len <= 8 && !(len & (len - 1)) && len <= claim->size &&
	    addr - claim->base <= claim->size - len) {
		claim_access(claim, addr, data, len, write);
		return;
	}
	for (i = 0; i < len; i++) {
		claim = space_find(space, addr + i);
		if (claim)
			claim_access(claim, addr + i, &bytes[i], 1, write);
		else if (!write)
			bytes[i] = 0xff;
	}
}

void tt_bus_pio(struct tt_machine *m, uint16_t port, void *data, unsigned int len, bool write)
{
	struct bus *bus = m->bus;

	if (bus)
		space_access(&bus->pio, port, data, len, write);
	else if (!write)
		memset(data, 0xff, len);
}

void tt_bus_mmio(struct tt_machine *m, uint64_t addr, void *data, unsigned int len, bool write)
{
	struct bus *bus = m->bus;

	if (bus)
		space_access(&bus->mmio, addr, data, len, write);
	else if (!write)
		memset(data, 0xff, len);
}
