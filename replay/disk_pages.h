/* SPDX-License-Identifier: GPL-2.0 */
/*
 * disk_pages.h - pages of memory that are on a disk, too: a checkpoint keeps where, not what (Park et al., "Fast and space-efficient
 * virtual machine checkpointing", VEE 2011).
 *
 * A page that a disk was read into, or written from, is compared with the disk when a checkpoint is taken. If they are the same, the
 * checkpoint refers to the disk, as it is at that moment. When the disk changes there, the page counts as written, so that the next
 * checkpoint decides anew: thus what any checkpoint refers to is on the disk as it is at that checkpoint.
 *
 * All calls are made on the vCPU's thread, with the device lock.
 */
#ifndef TTVM_REPLAY_DISK_PAGES_H
#define TTVM_REPLAY_DISK_PAGES_H

#include "vmm.h"

/* Where a page is: a disk and a sector in one word. 0: nowhere. */
typedef uint64_t tt_disk_place;

/* A written page, and what a checkpoint keeps of it instead of its content, if place is not 0. */
struct tt_placed {
	tt_disk_place place;
	uint64_t hash; /* XXH64 of the content */
};

struct tt_disk_pages;

/* Looks at the machine's requests to its disks from now on. 0 or -ENOMEM. */
int tt_disk_pages_create(struct tt_machine *m, struct tt_disk_pages **pages);
/* Before the machine is. NULL is fine. */
void tt_disk_pages_destroy(struct tt_disk_pages *p);

/* Set the bits of pages that the last checkpoints refer to the disk for, and that are not there any more. */
void tt_disk_pages_stale(struct tt_disk_pages *p, uint64_t *written);
/* For each page in `written`, in their order: is it on a disk? The checkpoint refers to it then. */
void tt_disk_pages_find(struct tt_disk_pages *p, const uint64_t *written, struct tt_placed *placed);
/* The machine was put elsewhere, its disks, too: there a page is kept at that place, or (0) by itself. */
void tt_disk_pages_restored(struct tt_disk_pages *p, uint64_t page, tt_disk_place place);
/* ... and all pages have been told of. */
void tt_disk_pages_moved(struct tt_disk_pages *p);

/* What is there now: a page to content. ctx is the machine. 0 or -errno. */
int tt_disk_pages_read(void *ctx, tt_disk_place place, void *content);

#endif /* TTVM_REPLAY_DISK_PAGES_H */
