// SPDX-License-Identifier: GPL-2.0
/*
 * checkpoint.c - see checkpoint.h.
 *
 * Which pages differ between the machine now and a checkpoint? Those written since the machine was last at some checkpoint
 * (`at`), and those that have versions between that one and the one to be loaded.
 */
#include <stdlib.h>
#include <string.h>

#include "checkpoint_list.h"

#define FIRST_INTERVAL 16000000ull /* instructions */
#define MAX_ROW 512
#define MAX_NEAR 24

int tt_checkpoints_create(struct tt_machine *m, const char *recording, uint64_t limit, struct tt_checkpoints **checkpoints,
			  struct tt_error *err)
{
	struct tt_checkpoints *c = calloc(1, sizeof(*c));

	if (!c)
		return tt_fail(err, -ENOMEM, "out of memory");
	c->machine = m;
	snprintf(c->recording, sizeof(c->recording), "%s", recording);
	c->limit = limit;
	c->words = (m->memory.size / TT_PAGE_SIZE + 63) / 64;
	c->written = calloc(c->words, sizeof(*c->written));
	if (!c->written || tt_checkpoints_clear(c)) {
		tt_checkpoints_destroy(c);
		return tt_fail(err, -ENOMEM, "out of memory");
	}
	*checkpoints = c;
	return 0;
}

int tt_checkpoints_clear(struct tt_checkpoints *c)
{
	while (c->count)
		free(c->list[--c->count].snapshot);
	tt_pages_destroy(c->pages);
	c->pages = tt_pages_create(c->machine->memory.size / TT_PAGE_SIZE);
	memset(c->written, 0, c->words * sizeof(*c->written));
	c->interval = FIRST_INTERVAL;
	c->snapshot_bytes = c->at = 0;
	if (!c->pages)
		return -ENOMEM;
	tt_pages_set_disks(c->pages, tt_disk_pages_read, c->machine);
	if (c->whole)
		tt_pages_keep_zeros(c->pages);
	return 0;
}

void tt_checkpoints_keep_whole(struct tt_checkpoints *c)
{
	c->whole = true;
	tt_pages_keep_zeros(c->pages);
}

void tt_checkpoints_destroy(struct tt_checkpoints *c)
{
	if (!c)
		return;
	while (c->count)
		free(c->list[--c->count].snapshot);
	free(c->list);
	free(c->written);
	tt_pages_destroy(c->pages);
	tt_disk_pages_destroy(c->disk_pages);
	free(c);
}

void tt_checkpoints_reset_distance(struct tt_checkpoints *c)
{
	c->interval = FIRST_INTERVAL;
}

/* ------------------------------------------------------------------ the list */

/* How many are at or before this instruction. */
static size_t count_before(const struct tt_checkpoints *c, uint64_t instruction)
{
	size_t n = c->count;

	while (n && c->list[n - 1].instruction > instruction)
		n--;
	return n;
}

static struct checkpoint *find(const struct tt_checkpoints *c, uint64_t instruction)
{
	size_t n = count_before(c, instruction);

	return n && c->list[n - 1].instruction == instruction ? &c->list[n - 1] : NULL;
}

uint64_t tt_checkpoint_before(const struct tt_checkpoints *c, uint64_t instruction)
{
	size_t n = count_before(c, instruction);

	return n ? c->list[n - 1].instruction : 0;
}

uint64_t tt_checkpoint_before_event(const struct tt_checkpoints *c, uint64_t event)
{
	size_t n = c->count;

	while (n && c->list[n - 1].place.event > event)
		n--;
	return n ? c->list[n - 1].instruction : 0;
}

uint64_t tt_checkpoint_due(const struct tt_checkpoints *c, uint64_t instruction)
{
	uint64_t last = 0;
	size_t i;

	for (i = 0; i < c->count; i++) {
		if (c->list[i].near)
			continue;
		if (c->list[i].instruction > instruction && c->list[i].instruction > last + c->interval)
			break;
		last = c->list[i].instruction;
	}
	return c->count ? last + c->interval : 0;
}

struct checkpoint *checkpoint_insert(struct tt_checkpoints *c, uint64_t instruction)
{
	size_t at = count_before(c, instruction), room = c->room ? 2 * c->room : 64;
	struct checkpoint *list = c->list;

	if (c->count == c->room) {
		list = realloc(list, room * sizeof(*list));
		if (!list)
			return NULL;
		c->list = list;
		c->room = room;
	}
	memmove(&list[at + 1], &list[at], (c->count++ - at) * sizeof(*list));
	list[at] = (struct checkpoint){ .instruction = instruction, .serial = c->taken++ };
	return &list[at];
}

/*
 * Forget a checkpoint. If the machine comes from it, it comes from the one before from now on, and what was written in
 * between counts as written since.
 */
static void drop(struct tt_checkpoints *c, struct checkpoint *k)
{
	size_t i = k - c->list;

	if (c->at == k->instruction) {
		tt_pages_mark(c->pages, c->at, c->written);
		c->at = c->list[i - 1].instruction;
	}
	tt_pages_drop(c->pages, k->instruction, i + 1 < c->count ? c->list[i + 1].instruction : UINT64_MAX);
	c->snapshot_bytes -= tt_snapshot_size(k->snapshot);
	free(k->snapshot);
	memmove(k, k + 1, (--c->count - i) * sizeof(*k));
}

static uint64_t bytes_of(const struct tt_checkpoints *c)
{
	return tt_pages_size(c->pages).bytes + c->snapshot_bytes;
}

/* The near one that was taken first goes. False: there is none. */
static bool drop_near(struct tt_checkpoints *c)
{
	struct checkpoint *oldest = NULL;
	size_t i;

	for (i = 1; i < c->count; i++)
		if (c->list[i].near && (!oldest || c->list[i].serial < oldest->serial))
			oldest = &c->list[i];
	if (oldest)
		drop(c, oldest);
	return oldest != NULL;
}

void checkpoints_make_room(struct tt_checkpoints *c)
{
	size_t near = 0, i;
	bool odd = false;

	for (i = 0; i < c->count; i++)
		near += c->list[i].near;
	if (near > MAX_NEAR)
		drop_near(c);
	while (bytes_of(c) > c->limit && drop_near(c))
		;
	while (c->count >= 3 && (bytes_of(c) > c->limit || c->count > MAX_ROW)) {
		c->interval *= 2;
		for (i = c->count - 1; i > 0; i--) {
			odd = !odd;
			if (odd && !c->list[i].near)
				drop(c, &c->list[i]);
		}
	}
}

/* ------------------------------------------------------------------ taking */

int checkpoints_begin(struct tt_checkpoints *c, struct tt_error *err)
{
	int ret = tt_machine_track_writes(c->machine, c->written, err);

	return ret || c->disk_pages ? ret : tt_disk_pages_create(c->machine, &c->disk_pages);
}

int tt_moment_place(struct tt_moment *moment, struct tt_disk_pages *disk_pages, uint64_t *written, uint64_t words)
{
	struct tt_placed *placed;
	uint64_t pages = 0, word;

	if (disk_pages)
		tt_disk_pages_stale(disk_pages, written);
	for (word = 0; word < words; word++)
		pages += __builtin_popcountll(written[word]);
	placed = calloc(pages + 1, sizeof(*placed));
	if (!placed)
		return -ENOMEM;
	if (disk_pages)
		tt_disk_pages_find(disk_pages, written, placed);
	moment->written = written;
	moment->placed = placed;
	return 0;
}

/*
 * Bring back a page. Nothing is written to one that has not changed: where the guest has executed code, even an emulator of the
 * machine below would have to forget what it knows of it.
 */
static int restore_page(const struct tt_checkpoints *c, uint64_t instruction, uint64_t page, void *at)
{
	uint8_t content[TT_PAGE_SIZE];
	int ret = tt_pages_get(c->pages, instruction, page, content);

	if (!ret && memcmp(at, content, sizeof(content)))
		memcpy(at, content, sizeof(content));
	return ret;
}

/* Bring the written pages back as they were at this checkpoint. */
static int restore_pages(struct tt_checkpoints *c, uint64_t instruction)
{
	uint64_t word, bits, page;
	int ret = 0;

	for (word = 0; word < c->words; word++) {
		for (bits = c->written[word]; !ret && bits; bits &= bits - 1) {
			page = word * 64 + __builtin_ctzll(bits);
			ret = restore_page(c, instruction, page, c->machine->memory.hva + page * TT_PAGE_SIZE);
			tt_disk_pages_restored(c->disk_pages, page, tt_pages_place(c->pages, instruction, page));
		}
	}
	return ret;
}

static int keep_pages(struct tt_checkpoints *c, const struct tt_moment *moment)
{
	const struct tt_placed *placed = moment->placed;
	const uint8_t *copy = moment->copies;
	uint64_t word, bits, page;
	int ret = 0;

	for (word = 0; word < c->words; word++) {
		for (bits = moment->written[word]; !ret && bits; bits &= bits - 1, placed++) {
			page = word * 64 + __builtin_ctzll(bits);
			if (placed->place) {
				ret = tt_pages_put_place(c->pages, moment->instruction, page, placed);
				continue;
			}
			ret = tt_pages_put(c->pages, moment->instruction, page,
					   copy ? copy : c->machine->memory.hva + page * TT_PAGE_SIZE);
			copy += copy ? TT_PAGE_SIZE : 0;
		}
	}
	return ret;
}

/*
 * A version at this moment serves later ones, too, that were taken before it and have none of their own: those need the content,
 * because nobody knows whether it is still in its place there.
 */
static void displace(struct tt_checkpoints *c, uint64_t instruction, struct tt_placed *placed)
{
	size_t next = count_before(c, instruction);
	uint64_t word, bits, page;

	for (word = 0; next < c->count && word < c->words; word++) {
		for (bits = c->written[word]; bits; bits &= bits - 1, placed++) {
			page = word * 64 + __builtin_ctzll(bits);
			if (!placed->place || tt_pages_has_newer(c->pages, instruction, c->list[next].instruction, page))
				continue;
			placed->place = 0;
			tt_disk_pages_restored(c->disk_pages, page, 0);
		}
	}
}

static int add(struct tt_checkpoints *c, const struct tt_moment *moment)
{
	int ret = keep_pages(c, moment);
	struct checkpoint *k = ret ? NULL : checkpoint_insert(c, moment->instruction);

	if (!k) {
		free(moment->snapshot);
		return -ENOMEM;
	}
	k->near = moment->near;
	k->note = moment->note;
	k->snapshot = moment->snapshot;
	k->place = moment->place;
	c->snapshot_bytes += tt_snapshot_size(k->snapshot);
	c->at = moment->instruction;
	return 0;
}

int tt_checkpoint_add(struct tt_checkpoints *c, const struct tt_moment *moment)
{
	int ret = add(c, moment);

	if (!ret)
		checkpoints_make_room(c);
	return ret;
}

int tt_checkpoint_take(struct tt_checkpoints *c, const struct tt_replayer_place *place, uint64_t instruction, bool near,
		       uint64_t note, struct tt_error *err)
{
	struct tt_moment moment = { .instruction = instruction, .note = note, .near = near, .place = *place,
				    .written = c->written };
	struct checkpoint *k = find(c, instruction);
	int ret;

	if (k) {
		k->near &= near;
		return 0;
	}
	ret = tt_snapshot_take(c->machine, &moment.snapshot, err);
	if (ret)
		return ret;
	ret = c->count ? tt_machine_written_pages(c->machine, c->written) : checkpoints_begin(c, err);
	if (!ret)
		ret = tt_moment_place(&moment, c->whole ? NULL : c->disk_pages, c->written, c->words);
	if (ret) {
		free(moment.snapshot);
	} else {
		displace(c, instruction, moment.placed);
		ret = add(c, &moment);
	}
	free(moment.placed);
	if (ret)
		return tt_fail(err, ret, "cannot take a checkpoint: %s", strerror(-ret));
	memset(c->written, 0, c->words * sizeof(*c->written));
	checkpoints_make_room(c);
	return 0;
}

/* ------------------------------------------------------------------ loading */

/* Pages that may differ from those of the checkpoint, into c->written. */
static int mark_changed(struct tt_checkpoints *c, uint64_t instruction)
{
	uint64_t low = c->at < instruction ? c->at : instruction;
	uint64_t high = c->at < instruction ? instruction : c->at;
	size_t i;

	for (i = 0; i < c->count; i++)
		if (c->list[i].instruction > low && c->list[i].instruction <= high)
			tt_pages_mark(c->pages, c->list[i].instruction, c->written);
	return tt_machine_written_pages(c->machine, c->written);
}

/* A write that was made at instruction n was there when n + 1 instructions had been completed. */
static int load_disks(struct tt_checkpoints *c, uint64_t instruction, struct tt_error *err)
{
	const struct tt_machine_config *config = &c->machine->config;
	unsigned int i;
	int ret = 0;

	for (i = 0; !ret && i < config->num_disks; i++)
		ret = tt_disk_goto(config->disks[i], c->recording, instruction, err);
	return ret;
}

int tt_checkpoint_load(struct tt_checkpoints *c, struct tt_replayer *rep, struct tt_vcpu *vcpu, uint64_t instruction,
		       uint64_t *note, struct tt_error *err)
{
	struct checkpoint *k = find(c, instruction);
	int ret;

	if (!k)
		return tt_fail(err, -ENOENT, "there is no checkpoint at instruction %llu",
			       (unsigned long long)instruction);
	ret = tt_vcpu_settle(vcpu);
	if (!ret)
		ret = mark_changed(c, instruction);
	if (ret)
		return tt_fail(err, ret, "cannot leave this place: %s", strerror(-ret));
	ret = load_disks(c, instruction, err);
	if (ret)
		return ret;
	ret = restore_pages(c, instruction);
	if (ret == -EBADMSG && instruction) {
		/* What has been loaded of it counts as written. */
		drop(c, k);
		return ret;
	}
	if (ret)
		return tt_fail(err, ret, "the checkpoint at the beginning is damaged in memory");
	tt_disk_pages_moved(c->disk_pages);
	ret = tt_snapshot_load(c->machine, k->snapshot, err);
	if (!ret)
		ret = tt_replayer_load(rep, vcpu, &k->place);
	if (ret)
		return ret;
	*note = k->note;
	c->at = instruction;
	c->loaded++;
	memset(c->written, 0, c->words * sizeof(*c->written));
	return 0;
}

uint64_t tt_checkpoints_taken(const struct tt_checkpoints *c)
{
	return c->taken;
}

void tt_checkpoints_get_stats(const struct tt_checkpoints *c, struct tt_timeline_stats *stats)
{
	const struct tt_pages_size size = tt_pages_size(c->pages);

	stats->checkpoints = c->count;
	stats->interval = c->interval;
	stats->taken = c->taken;
	stats->loaded = c->loaded;
	stats->checkpoint_bytes = bytes_of(c);
	stats->pages = size.versions;
	stats->zero_pages = size.zero;
	stats->disk_pages = size.on_disk;
}
