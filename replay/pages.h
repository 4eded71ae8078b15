/* SPDX-License-Identifier: GPL-2.0 */
/*
 * pages.h - versions of guest pages: what checkpoints are made of.
 *
 * Moments are numbers that grow with time (a checkpoint's instruction). A page that was written before a moment, and after
 * the moment before it, has a version at that moment: its content there. So the content at any moment is the page's last
 * version up to it, and a moment that is not needed any more can be taken out by handing its versions to the next one. The
 * first moment has a version of every page that is not zero.
 *
 * Zero pages cost nothing but their entry; others are compressed (zstd). Not thread-safe.
 */
#ifndef TTVM_REPLAY_PAGES_H
#define TTVM_REPLAY_PAGES_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

struct tt_pages;

/* Of a memory with so many pages. NULL: out of memory. */
struct tt_pages *tt_pages_create(uint64_t num_pages);
void tt_pages_destroy(struct tt_pages *pages);

/* The content of a page at a moment; there is no version of it at that moment yet. 0 or -ENOMEM. */
int tt_pages_put(struct tt_pages *pages, uint64_t moment, uint64_t page, const void *content);
/* The content at a moment, to `content`. 0, or -EBADMSG: the version is damaged. */
int tt_pages_get(const struct tt_pages *pages, uint64_t moment, uint64_t page, void *content);
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

/* Bytes that all of it takes; versions; those of them that are zero. */
void tt_pages_size(const struct tt_pages *pages, uint64_t *bytes, uint64_t *versions, uint64_t *zero);

#endif /* TTVM_REPLAY_PAGES_H */
