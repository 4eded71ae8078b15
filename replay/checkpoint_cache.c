// SPDX-License-Identifier: GPL-2.0
/*
 * checkpoint_cache.c - checkpoints in a file, so that the next session need not replay to have them.
 *
 *	header | zstd: note, entries: each a struct entry and its snapshot | page versions (pages.c)
 *
 * Pages that are on a disk are there by their place, so it needs the disks, too. It is derived and may be deleted. It is of use to programs of the same sources, on the same kind of CPU and kernel, for the
 * same recording only, because it holds structures of the program and of KVM as they are in memory; `identity` says so. For
 * the same reason it is used only if nobody else can have written it.
 */
#include <cpuid.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/utsname.h>
#include <unistd.h>
#include <xxhash.h>
#include <zstd.h>

#include "checkpoint_list.h"

#define MAGIC "ttvmckpt"
#define FORMAT 2
#define LEVEL 1
#define MAX_ENTRIES 65536
#define MAX_BYTES (1ull << 32) /* of note and entries */

struct header {
	char magic[8];
	uint32_t format;
	uint32_t count;		/* of entries */
	uint64_t identity;
	uint64_t interval;
	uint64_t note_bytes;
	uint64_t raw_bytes;	/* of note and entries */
	uint64_t packed_bytes;
	uint64_t hash;		/* of what is packed */
	uint64_t check;		/* of the header before */
};

struct entry {
	uint64_t instruction;
	uint64_t note;
	uint64_t snapshot_size;
	uint32_t near;
	uint32_t unused;
	struct tt_replayer_place place;
};

static uint64_t identity(const struct tt_checkpoints *c)
{
	static const char program[] = STATE_SOURCES " " __VERSION__; /* the Makefile's hash of them */
	const uint64_t memory = c->machine->memory.size;
	XXH64_state_t *xxh = XXH64_createState();
	uint32_t cpu[4] = { 0 };
	struct utsname host;
	uint64_t hash;

	if (!xxh)
		abort();
	XXH64_reset(xxh, 0);
	XXH64_update(xxh, program, sizeof(program));
	uname(&host);
	XXH64_update(xxh, host.release, strlen(host.release));
	/* Family, model, features (Intel SDM vol. 2, "CPUID", leaf 1); EBX has the number of the core. */
	__get_cpuid(1, &cpu[0], &cpu[1], &cpu[2], &cpu[3]);
	cpu[1] = 0;
	XXH64_update(xxh, cpu, sizeof(cpu));
	XXH64_update(xxh, c->recording, strlen(c->recording));
	XXH64_update(xxh, &memory, sizeof(memory));
	hash = XXH64_digest(xxh);
	XXH64_freeState(xxh);
	return hash;
}

static uint64_t padded(uint64_t size)
{
	return (size + 7) & ~7ull;
}

static uint64_t check_of(const struct header *h)
{
	return XXH64(h, offsetof(struct header, check), 0);
}

/* ------------------------------------------------------------------ saving */

/* The note and all entries, to be freed; NULL: out of memory. */
static uint8_t *gather(const struct tt_checkpoints *c, const void *note, size_t note_size, uint64_t *size)
{
	uint8_t *raw, *to;
	size_t i;

	*size = padded(note_size);
	for (i = 0; i < c->count; i++)
		*size += sizeof(struct entry) + padded(tt_snapshot_size(c->list[i].snapshot));
	raw = calloc(1, *size ? *size : 1);
	if (!raw)
		return NULL;
	memcpy(raw, note, note_size);
	to = raw + padded(note_size);
	for (i = 0; i < c->count; i++) {
		const struct checkpoint *k = &c->list[i];
		struct entry *e = (struct entry *)to;

		e->instruction = k->instruction;
		e->note = k->note;
		e->snapshot_size = tt_snapshot_size(k->snapshot);
		e->near = k->near;
		e->place = k->place;
		memcpy(e + 1, k->snapshot, e->snapshot_size);
		to += sizeof(*e) + padded(e->snapshot_size);
	}
	return raw;
}

static int write_all(const struct tt_checkpoints *c, const void *note, size_t note_size, FILE *file)
{
	struct header h = { .magic = MAGIC, .format = FORMAT, .count = c->count, .identity = identity(c),
			    .interval = c->interval, .note_bytes = note_size };
	uint8_t *raw = gather(c, note, note_size, &h.raw_bytes), *packed = NULL;
	size_t size;
	int ret = -ENOMEM;

	if (raw)
		packed = malloc(ZSTD_compressBound(h.raw_bytes));
	if (packed) {
		size = ZSTD_compress(packed, ZSTD_compressBound(h.raw_bytes), raw, h.raw_bytes, LEVEL);
		h.packed_bytes = ZSTD_isError(size) ? 0 : size;
		h.hash = XXH64(packed, h.packed_bytes, 0);
		h.check = check_of(&h);
		ret = fwrite(&h, sizeof(h), 1, file) == 1 && fwrite(packed, 1, h.packed_bytes, file) == h.packed_bytes ?
			      tt_pages_save(c->pages, file) : -EIO;
	}
	free(packed);
	free(raw);
	return ret;
}

int tt_checkpoints_save(const struct tt_checkpoints *c, const char *path, const void *note, size_t note_size,
			struct tt_error *err)
{
	char new[PATH_MAX];
	FILE *file = NULL;
	int fd, ret;

	if (snprintf(new, sizeof(new), "%s.XXXXXX", path) >= (int)sizeof(new))
		return tt_fail(err, -ENAMETOOLONG, "%s: the name is too long", path);
	fd = mkstemp(new);
	if (fd >= 0)
		file = fdopen(fd, "w");
	if (!file) {
		ret = tt_fail(err, -errno, "%s: %s", new, strerror(errno));
		if (fd >= 0)
			close(fd);
		return ret;
	}
	ret = write_all(c, note, note_size, file);
	if (fclose(file) && !ret)
		ret = -errno;
	if (!ret && rename(new, path))
		ret = -errno;
	if (!ret)
		return 0;
	unlink(new);
	return tt_fail(err, ret, "%s: cannot keep the checkpoints: %s", path, strerror(-ret));
}

/* ------------------------------------------------------------------ loading */

static bool add_entries(struct tt_checkpoints *c, const struct header *h, const uint8_t *raw)
{
	uint64_t left = h->raw_bytes - padded(h->note_bytes);
	uint32_t i;

	raw += padded(h->note_bytes);

	for (i = 0; i < h->count; i++) {
		const struct entry *e = (const struct entry *)raw;
		struct tt_snapshot *snapshot;
		struct checkpoint *k;

		if (left < sizeof(*e) || e->snapshot_size > left - sizeof(*e))
			return false;
		snapshot = tt_snapshot_of_bytes(c->machine, e + 1, e->snapshot_size);
		k = snapshot ? checkpoint_insert(c, e->instruction) : NULL;
		if (!k) {
			free(snapshot);
			return false;
		}
		k->note = e->note;
		k->near = e->near;
		k->snapshot = snapshot;
		k->place = e->place;
		c->snapshot_bytes += e->snapshot_size;
		raw += sizeof(*e) + padded(e->snapshot_size);
		left -= sizeof(*e) + padded(e->snapshot_size);
	}
	return !left && c->count && !c->list[0].instruction;
}

/* *note becomes a part of an allocation that begins there, and must be freed. */
static int read_entries(struct tt_checkpoints *c, const struct header *h, FILE *file, void **note)
{
	uint8_t *packed = malloc(h->packed_bytes), *raw = malloc(h->raw_bytes);
	bool good = false;

	if (packed && raw)
		good = fread(packed, 1, h->packed_bytes, file) == h->packed_bytes &&
		       XXH64(packed, h->packed_bytes, 0) == h->hash &&
		       ZSTD_decompress(raw, h->raw_bytes, packed, h->packed_bytes) == h->raw_bytes &&
		       add_entries(c, h, raw);
	free(packed);
	if (good)
		*note = raw;
	else
		free(raw);
	return good ? 0 : -EBADMSG;
}

static bool is_sane(const struct header *h)
{
	return !memcmp(h->magic, MAGIC, sizeof(h->magic)) && h->format == FORMAT && h->check == check_of(h) && h->count &&
	       h->count <= MAX_ENTRIES && h->raw_bytes <= MAX_BYTES && h->packed_bytes <= MAX_BYTES &&
	       h->note_bytes <= h->raw_bytes && padded(h->note_bytes) <= h->raw_bytes && h->interval;
}

static int read_all(struct tt_checkpoints *c, FILE *file, void **note, size_t *note_size)
{
	struct header h;
	int ret;

	if (fread(&h, sizeof(h), 1, file) != 1 || !is_sane(&h))
		return -EBADMSG;
	if (h.identity != identity(c))
		return -ESTALE;
	c->interval = h.interval;
	ret = read_entries(c, &h, file, note);
	if (ret)
		return ret;
	*note_size = h.note_bytes;
	return tt_pages_load(c->pages, file);
}

/* What is in it becomes the state of devices, unseen: it must come from this user. */
static bool is_own(FILE *file)
{
	struct stat st;

	return !fstat(fileno(file), &st) && st.st_uid == geteuid() && !(st.st_mode & (S_IWGRP | S_IWOTH));
}

int tt_checkpoints_load(struct tt_checkpoints *c, const char *path, void **note, size_t *note_size, struct tt_error *err)
{
	FILE *file = fopen(path, "r");
	int ret;

	*note = NULL;
	if (!file)
		return tt_fail(err, -errno, "%s: %s", path, strerror(errno));
	if (!is_own(file)) {
		fclose(file);
		return tt_fail(err, -EPERM, "%s: others may write to it; not used", path);
	}
	ret = read_all(c, file, note, note_size);
	fclose(file);
	if (!ret)
		ret = checkpoints_begin(c, err);
	if (ret) {
		free(*note);
		*note = NULL;
		if (tt_checkpoints_clear(c))
			return tt_fail(err, -ENOMEM, "out of memory");
		return tt_fail(err, ret, ret == -ESTALE ? "%s: checkpoints of another recording, program or machine" :
							  "%s: damaged; the checkpoints are made again", path);
	}
	checkpoints_make_room(c);
	c->at = 0;
	return 0;
}
