/* SPDX-License-Identifier: GPL-2.0 */
/*
 * pages.h - versions of guest pages: what checkpoints are made of.
 *
 * Moments are numbers that grow with time (a checkpoint's instruction). A page that was written before a moment, and after
 * the moment before it, has a version at that moment: its content there. So the content at any moment is the page's last
 * version up to it, and a moment that is not needed any more can be taken out by handing its versions to the next one. The
 * first moment has a version of every page that is not zero.
 *
 * Zero pages cost nothing but their entry, and so do those that are on a disk at that moment, too (disk_pages.h); others are
 * compressed (zstd). Not thread-safe.
 */
#ifndef TTVM_REPLAY_PAGES_H
#define TTVM_REPLAY_PAGES_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "disk_pages.h"

struct tt_pages;

/* Of a memory with so many pages. NULL: out of memory. */
struct tt_pages *tt_pages_create(uint64_t num_pages);
void tt_pages_destroy(struct tt_pages *pages);
/* How pages are read from disks: as tt_disk_pages_read(), of which ctx is the machine. */
void tt_pages_set_disks(struct tt_pages *pages, int (*read)(void *ctx, tt_disk_place place, void *content), void *ctx);
/* For measurements: from now on keep zero pages like others. */
void tt_pages_keep_zeros(struct tt_pages *pages);

/* The content of a page at a moment; there is no version of it at that moment yet. 0 or -ENOMEM. */
int tt_pages_put(struct tt_pages *pages, uint64_t moment, uint64_t page, const void *content);
/* Likewise, but the content is on a disk at this moment. */
int tt_pages_put_place(struct tt_pages *pages, uint64_t moment, uint64_t page, const struct tt_placed *placed);
/*
 * The content at a moment, to `content`; the disks must be where they are at that moment. 0, or -EBADMSG: the version is damaged, or the
 * disk has something else there.
 */
int tt_pages_get(const struct tt_pages *pages, uint64_t moment, uint64_t page, void *content);
/* Where the page is at a moment, if it is kept by its place; else 0. */
tt_disk_place tt_pages_place(const struct tt_pages *pages, uint64_t moment, uint64_t page);
/* Has the page a version of its own behind `moment` and up to `last`? */
bool tt_pages_has_newer(const struct tt_pages *pages, uint64_t moment, uint64_t last, uint64_t page);
/* Set the bits of the pages that have versions at this moment. */
void tt_pages_mark(const struct tt_pages *pages, uint64_t moment, uint64_t *bits);
/* Forget a moment; `next` is the one behind it, or UINT64_MAX when it was the last. Not the first moment. */
void tt_pages_drop(struct tt_pages *pages, uint64_t moment, uint64_t next);

/*
 * All of it to a file, and from there into an empty one of as many pages. What is wrong with a version shows when it is asked for; what
 * is wrong with the rest, here. 0, -EIO, -ENOMEM, or -EBADMSG, and the pages can only be destroyed.
 */
int tt_pages_save(const struct tt_pages *pages, FILE *file);
int tt_pages_load(struct tt_pages *pages, FILE *file);

struct tt_pages_size {
	uint64_t bytes;		/* that all of it takes */
	uint64_t versions;
	uint64_t zero;		/* of them */
	uint64_t on_disk;	/* of them */
};

struct tt_pages_size tt_pages_size(const struct tt_pages *pages);

#endif /* TTVM_REPLAY_PAGES_H */
