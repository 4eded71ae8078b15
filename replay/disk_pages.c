// SPDX-License-Identifier: GPL-2.0
/*
 * disk_pages.c - see disk_pages.h.
 */
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#include "disk.h"
#include "disk_pages.h"

#define SECTOR_BITS 48
#define PAGE_SECTORS (TT_PAGE_SIZE / TT_SECTOR_SIZE)

struct tt_disk_pages {
	struct tt_machine *machine;
	void (*tap)(void *ctx, const struct tt_disk_request *request); /* whose place we have taken */
	void *tap_ctx;
	uint64_t words;
	tt_disk_place *where;			/* of each page: what it was read from or written to last */
	tt_disk_place *kept;			/* what the checkpoint refers to instead of the page, or 0 */
	uint64_t *referred;			/* a bit per page: kept is not 0 */
	uint64_t *changed[TT_MAX_DISKS];	/* a bit per PAGE_SECTORS of the disk: since the last checkpoint */
};

static tt_disk_place place_of(unsigned int disk, uint64_t sector)
{
	return (uint64_t)(disk + 1) << SECTOR_BITS | sector;
}

static unsigned int disk_of(tt_disk_place place)
{
	return (place >> SECTOR_BITS) - 1;
}

static uint64_t sector_of(tt_disk_place place)
{
	return place & ((1ull << SECTOR_BITS) - 1);
}

static uint64_t blocks(const struct tt_disk *disk)
{
	return disk->sectors / PAGE_SECTORS + 1;
}

static bool test(const uint64_t *bits, uint64_t i)
{
	return bits[i / 64] & 1ull << i % 64;
}

/* ------------------------------------------------------------------ what the guest wants of its disks */

/* Memory and disk are the same now. Only whole pages in one piece are of interest. */
static void transferred(struct tt_disk_pages *p, const struct tt_disk_request *r)
{
	const struct tt_memory *mem = &p->machine->memory;
	uint64_t sector = r->sector, at, end, page;
	int i;

	for (i = 0; i < r->iovcnt; sector += r->iov[i++].iov_len / TT_SECTOR_SIZE) {
		at = (const uint8_t *)r->iov[i].iov_base - mem->hva;
		end = at + r->iov[i].iov_len;
		if (r->iov[i].iov_len % TT_SECTOR_SIZE)
			return; /* a piece that ends within a sector */
		for (page = (at + TT_PAGE_SIZE - 1) / TT_PAGE_SIZE; (page + 1) * TT_PAGE_SIZE <= end; page++)
			if (!((page * TT_PAGE_SIZE - at) % TT_SECTOR_SIZE))
				p->where[page] = place_of(r->index, sector + (page * TT_PAGE_SIZE - at) / TT_SECTOR_SIZE);
	}
}

static void changed(struct tt_disk_pages *p, const struct tt_disk_request *r)
{
	uint64_t *bits = p->changed[r->index], block;

	for (block = r->sector / PAGE_SECTORS; block <= (r->sector + r->sectors - 1) / PAGE_SECTORS; block++)
		bits[block / 64] |= 1ull << block % 64;
}

static void tap(void *ctx, const struct tt_disk_request *r)
{
	struct tt_disk_pages *p = ctx;

	if (r->sectors && strcmp(r->what, "read"))
		changed(p, r);
	if (r->iov && !r->failed)
		transferred(p, r);
	if (p->tap)
		p->tap(p->tap_ctx, r);
}

/* ------------------------------------------------------------------ checkpoints */

int tt_disk_pages_read(void *ctx, tt_disk_place place, void *content)
{
	const struct tt_machine *m = ctx;
	const struct iovec iov = { content, TT_PAGE_SIZE };
	struct tt_disk *disk;

	if (!place || disk_of(place) >= m->config.num_disks)
		return -EINVAL;
	disk = m->config.disks[disk_of(place)];
	if (sector_of(place) + PAGE_SECTORS > disk->sectors)
		return -EINVAL;
	return disk->ops->read(disk, sector_of(place), &iov, 1);
}

static void refer(struct tt_disk_pages *p, uint64_t page, tt_disk_place place)
{
	p->kept[page] = place;
	if (place)
		p->referred[page / 64] |= 1ull << page % 64;
	else
		p->referred[page / 64] &= ~(1ull << page % 64);
}

static void forget_changes(struct tt_disk_pages *p)
{
	unsigned int i;

	for (i = 0; i < p->machine->config.num_disks; i++)
		memset(p->changed[i], 0, (blocks(p->machine->config.disks[i]) + 63) / 64 * sizeof(uint64_t));
}

void tt_disk_pages_stale(struct tt_disk_pages *p, uint64_t *written)
{
	uint64_t word, bits, page, first;
	const uint64_t *disk;

	for (word = 0; word < p->words; word++) {
		for (bits = p->referred[word]; bits; bits &= bits - 1) {
			page = word * 64 + __builtin_ctzll(bits);
			disk = p->changed[disk_of(p->kept[page])];
			first = sector_of(p->kept[page]);
			if (test(disk, first / PAGE_SECTORS) || test(disk, (first + PAGE_SECTORS - 1) / PAGE_SECTORS))
				written[word] |= bits & -bits;
		}
	}
	forget_changes(p);
}

/* Is it there? *hash of its content then. */
static bool is_on_disk(const struct tt_disk_pages *p, uint64_t page, uint64_t *hash)
{
	const uint8_t *memory = p->machine->memory.hva + page * TT_PAGE_SIZE;
	uint8_t content[TT_PAGE_SIZE];

	if (tt_disk_pages_read(p->machine, p->where[page], content) || memcmp(content, memory, TT_PAGE_SIZE))
		return false;
	*hash = XXH64(content, TT_PAGE_SIZE, 0);
	return true;
}

void tt_disk_pages_find(struct tt_disk_pages *p, const uint64_t *written, struct tt_placed *placed)
{
	uint64_t word, bits, page;

	for (word = 0; word < p->words; word++) {
		for (bits = written[word]; bits; bits &= bits - 1, placed++) {
			page = word * 64 + __builtin_ctzll(bits);
			placed->place = p->where[page] && is_on_disk(p, page, &placed->hash) ? p->where[page] : 0;
			refer(p, page, placed->place);
		}
	}
}

void tt_disk_pages_restored(struct tt_disk_pages *p, uint64_t page, tt_disk_place place)
{
	p->where[page] = place;
	refer(p, page, place);
}

void tt_disk_pages_moved(struct tt_disk_pages *p)
{
	forget_changes(p);
}

/* ------------------------------------------------------------------ life */

int tt_disk_pages_create(struct tt_machine *m, struct tt_disk_pages **pages)
{
	struct tt_disk_pages *p = calloc(1, sizeof(*p));
	bool complete;
	unsigned int i;

	if (!p)
		return -ENOMEM;
	p->machine = m;
	p->tap = m->disk_tap;
	p->tap_ctx = m->disk_tap_ctx;
	m->disk_tap = tap;
	m->disk_tap_ctx = p;
	p->words = (m->memory.size / TT_PAGE_SIZE + 63) / 64;
	p->where = calloc(p->words * 64, sizeof(*p->where));
	p->kept = calloc(p->words * 64, sizeof(*p->kept));
	p->referred = calloc(p->words, sizeof(*p->referred));
	complete = p->where && p->kept && p->referred;
	for (i = 0; i < m->config.num_disks; i++) {
		p->changed[i] = calloc((blocks(m->config.disks[i]) + 63) / 64, sizeof(uint64_t));
		complete &= p->changed[i] != NULL;
	}
	if (!complete) {
		tt_disk_pages_destroy(p);
		return -ENOMEM;
	}
	*pages = p;
	return 0;
}

void tt_disk_pages_destroy(struct tt_disk_pages *p)
{
	unsigned int i;

	if (!p)
		return;
	p->machine->disk_tap = p->tap;
	p->machine->disk_tap_ctx = p->tap_ctx;
	for (i = 0; i < TT_MAX_DISKS; i++)
		free(p->changed[i]);
	free(p->where);
	free(p->kept);
	free(p->referred);
	free(p);
}
