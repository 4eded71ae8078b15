// SPDX-License-Identifier: GPL-2.0
/*
 * pages.c - versions of guest pages. Each page has a list of its versions, the newest first; each moment has a list of the
 * versions that are its own.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>
#include <zstd.h>

#include "pages.h"
#include "vmm.h"

#define LEVEL 1

struct version {
	struct version *older;		/* of the same page */
	struct version *next;		/* at the same moment */
	uint64_t moment;
	uint32_t page;
	uint32_t size;			/* of data; 0: the page is zero, or at its place */
	uint64_t hash;			/* of data; of the page when it is at its place */
	tt_disk_place place;
	uint8_t data[];
};

/* A version in a file; then its data. Such an entry with size UINT32_MAX ends the list. */
struct entry {
	uint64_t moment;
	uint64_t hash;
	uint32_t page;
	uint32_t size;
	tt_disk_place place;
};

struct moment {
	uint64_t moment;
	struct version *versions;
};

struct tt_pages {
	struct version **newest;	/* by page */
	uint64_t num_pages;
	struct moment *moments;		/* ascending */
	size_t num_moments;
	size_t room;
	ZSTD_CCtx *compressor;
	ZSTD_DCtx *decompressor;	/* one of its own for each page costs more than the page */
	int (*read)(void *ctx, tt_disk_place place, void *content);
	void *ctx;
	bool keep_zeros;
	struct tt_pages_size size;
};

static const uint8_t zero_page[TT_PAGE_SIZE];

struct tt_pages *tt_pages_create(uint64_t num_pages)
{
	struct tt_pages *p = calloc(1, sizeof(*p));

	if (!p)
		return NULL;
	p->num_pages = num_pages;
	p->newest = calloc(num_pages, sizeof(struct version *));
	p->compressor = ZSTD_createCCtx();
	p->decompressor = ZSTD_createDCtx();
	if (!p->newest || !p->compressor || !p->decompressor) {
		tt_pages_destroy(p);
		return NULL;
	}
	p->size.bytes = num_pages * sizeof(struct version *);
	return p;
}

void tt_pages_set_disks(struct tt_pages *p, int (*read)(void *ctx, tt_disk_place place, void *content), void *ctx)
{
	p->read = read;
	p->ctx = ctx;
}

void tt_pages_keep_zeros(struct tt_pages *p)
{
	p->keep_zeros = true;
}

void tt_pages_destroy(struct tt_pages *p)
{
	struct version *v, *older;
	uint64_t page;

	if (!p)
		return;
	for (page = 0; p->newest && page < p->num_pages; page++) {
		for (v = p->newest[page]; v; v = older) {
			older = v->older;
			free(v);
		}
	}
	ZSTD_freeCCtx(p->compressor);
	ZSTD_freeDCtx(p->decompressor);
	free(p->newest);
	free(p->moments);
	free(p);
}

/* Index of the first moment that is not before this one. */
static size_t find(const struct tt_pages *p, uint64_t moment)
{
	size_t low = 0, high = p->num_moments, mid;

	while (low < high) {
		mid = (low + high) / 2;
		if (p->moments[mid].moment < moment)
			low = mid + 1;
		else
			high = mid;
	}
	return low;
}

static struct moment *find_exactly(const struct tt_pages *p, uint64_t moment)
{
	size_t i = find(p, moment);

	return i < p->num_moments && p->moments[i].moment == moment ? &p->moments[i] : NULL;
}

static struct moment *find_or_add(struct tt_pages *p, uint64_t moment)
{
	size_t i = find(p, moment), room = p->room ? 2 * p->room : 64;
	struct moment *moments = p->moments;

	if (i < p->num_moments && moments[i].moment == moment)
		return &moments[i];
	if (p->num_moments == p->room) {
		moments = realloc(moments, room * sizeof(*moments));
		if (!moments)
			return NULL;
		p->moments = moments;
		p->room = room;
	}
	memmove(&moments[i + 1], &moments[i], (p->num_moments++ - i) * sizeof(*moments));
	moments[i] = (struct moment){ .moment = moment };
	return &moments[i];
}

static struct version *compress(struct tt_pages *p, const void *content)
{
	uint8_t packed[ZSTD_COMPRESSBOUND(TT_PAGE_SIZE)];
	struct version *v;
	size_t size;

	if (!p->keep_zeros && !memcmp(content, zero_page, TT_PAGE_SIZE))
		return calloc(1, sizeof(*v));
	size = ZSTD_compressCCtx(p->compressor, packed, sizeof(packed), content, TT_PAGE_SIZE, LEVEL);
	if (ZSTD_isError(size) || size >= TT_PAGE_SIZE)
		size = TT_PAGE_SIZE;
	v = malloc(sizeof(*v) + size);
	if (!v)
		return NULL;
	v->size = size;
	v->place = 0;
	memcpy(v->data, size == TT_PAGE_SIZE ? content : packed, size);
	v->hash = XXH64(v->data, size, 0);
	return v;
}

/* v, which may be NULL, becomes the page's version at this moment, or is freed. */
static int add(struct tt_pages *p, struct version *v, uint64_t moment, uint64_t page)
{
	struct version **at = &p->newest[page];
	struct moment *m = v ? find_or_add(p, moment) : NULL;

	if (!m) {
		free(v);
		return -ENOMEM;
	}
	v->moment = moment;
	v->page = page;
	v->next = m->versions;
	m->versions = v;
	while (*at && (*at)->moment > moment)
		at = &(*at)->older;
	v->older = *at;
	*at = v;
	p->size.bytes += sizeof(*v) + v->size;
	p->size.versions++;
	p->size.zero += !v->size && !v->place;
	p->size.on_disk += v->place != 0;
	return 0;
}

int tt_pages_put(struct tt_pages *p, uint64_t moment, uint64_t page, const void *content)
{
	return add(p, compress(p, content), moment, page);
}

int tt_pages_put_place(struct tt_pages *p, uint64_t moment, uint64_t page, const struct tt_placed *placed)
{
	struct version *v = calloc(1, sizeof(*v));

	if (v) {
		v->place = placed->place;
		v->hash = placed->hash;
	}
	return add(p, v, moment, page);
}

/* The page's version at a moment; NULL: it was zero since the beginning. */
static const struct version *version_at(const struct tt_pages *p, uint64_t moment, uint64_t page)
{
	const struct version *v = p->newest[page];

	while (v && v->moment > moment)
		v = v->older;
	return v;
}

tt_disk_place tt_pages_place(const struct tt_pages *p, uint64_t moment, uint64_t page)
{
	const struct version *v = version_at(p, moment, page);

	return v ? v->place : 0;
}

bool tt_pages_has_newer(const struct tt_pages *p, uint64_t moment, uint64_t last, uint64_t page)
{
	const struct version *v = version_at(p, last, page);

	return v && v->moment > moment;
}

static int get_placed(const struct tt_pages *p, const struct version *v, void *content)
{
	if (!p->read || p->read(p->ctx, v->place, content) || XXH64(content, TT_PAGE_SIZE, 0) != v->hash)
		return -EBADMSG;
	return 0;
}

int tt_pages_get(const struct tt_pages *p, uint64_t moment, uint64_t page, void *content)
{
	const struct version *v = version_at(p, moment, page);

	if (v && v->place)
		return get_placed(p, v, content);
	if (!v || !v->size) {
		memset(content, 0, TT_PAGE_SIZE);
		return 0;
	}
	if (XXH64(v->data, v->size, 0) != v->hash)
		return -EBADMSG;
	if (v->size == TT_PAGE_SIZE)
		memcpy(content, v->data, TT_PAGE_SIZE);
	else if (ZSTD_decompressDCtx(p->decompressor, content, TT_PAGE_SIZE, v->data, v->size) != TT_PAGE_SIZE)
		return -EBADMSG;
	return 0;
}

void tt_pages_mark(const struct tt_pages *p, uint64_t moment, uint64_t *bits)
{
	const struct moment *m = find_exactly(p, moment);
	const struct version *v;

	for (v = m ? m->versions : NULL; v; v = v->next)
		bits[v->page / 64] |= 1ull << v->page % 64;
}

static void free_version(struct tt_pages *p, struct version *v)
{
	struct version **at = &p->newest[v->page];

	while (*at != v)
		at = &(*at)->older;
	*at = v->older;
	p->size.bytes -= sizeof(*v) + v->size;
	p->size.versions--;
	p->size.zero -= !v->size && !v->place;
	p->size.on_disk -= v->place != 0;
	free(v);
}

/* The version of the same page that comes right after v, or NULL. */
static struct version *newer(const struct tt_pages *p, const struct version *v)
{
	struct version *n = p->newest[v->page];

	if (n == v)
		return NULL;
	while (n->older != v)
		n = n->older;
	return n;
}

void tt_pages_drop(struct tt_pages *p, uint64_t moment, uint64_t next)
{
	struct moment *m = find_exactly(p, moment), *heir;
	struct version *v, *following, *after;

	if (!m)
		return;
	/* Adding a moment can only fail for want of memory: then the versions stay where they are, which is harmless. */
	heir = next == UINT64_MAX ? NULL : find_or_add(p, next);
	if (next != UINT64_MAX && !heir)
		return;
	m = find_exactly(p, moment);
	for (v = m->versions; v; v = following) {
		following = v->next;
		after = newer(p, v);
		if (!heir || (after && after->moment <= next)) {
			free_version(p, v);
			continue;
		}
		v->moment = next;
		v->next = heir->versions;
		heir->versions = v;
	}
	memmove(m, m + 1, (--p->num_moments - (m - p->moments)) * sizeof(*m));
}

struct tt_pages_size tt_pages_size(const struct tt_pages *p)
{
	return p->size;
}

int tt_pages_save(const struct tt_pages *p, FILE *file)
{
	struct entry entry = { .size = UINT32_MAX };
	const struct version *v;
	size_t i;

	/* By moment, so that loading puts each page's newest version last, which is the fast way. */
	for (i = 0; i < p->num_moments; i++) {
		for (v = p->moments[i].versions; v; v = v->next) {
			const struct entry e = { v->moment, v->hash, v->page, v->size, v->place };

			if (fwrite(&e, sizeof(e), 1, file) != 1 || fwrite(v->data, 1, v->size, file) != v->size)
				return -EIO;
		}
	}
	return fwrite(&entry, sizeof(entry), 1, file) == 1 ? 0 : -EIO;
}

int tt_pages_load(struct tt_pages *p, FILE *file)
{
	struct version *v;
	struct entry e;
	int ret = 0;

	while (!ret) {
		if (fread(&e, sizeof(e), 1, file) != 1)
			return -EBADMSG;
		if (e.size == UINT32_MAX)
			return 0;
		if (e.page >= p->num_pages || e.size > TT_PAGE_SIZE || (e.size && e.place) ||
		    (p->newest[e.page] && p->newest[e.page]->moment >= e.moment))
			return -EBADMSG;
		v = malloc(sizeof(*v) + e.size);
		if (!v)
			return -ENOMEM;
		v->size = e.size;
		v->hash = e.hash;
		v->place = e.place;
		if (fread(v->data, 1, e.size, file) != e.size) {
			free(v);
			return -EBADMSG;
		}
		ret = add(p, v, e.moment, e.page);
	}
	return ret;
}
