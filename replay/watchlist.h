/* SPDX-License-Identifier: GPL-2.0 */
/*
 * watchlist.h - a list of breakpoints as the machine can watch them: debug registers, or guarded pages and some
 * registers.
 */
#ifndef TTVM_REPLAY_WATCHLIST_H
#define TTVM_REPLAY_WATCHLIST_H

#include "replayer.h"

/* Pieces that fit debug registers. */
struct tt_register_list {
	struct tt_breakpoint *list;
	unsigned int *owner;		/* the breakpoint of the user's that list[i] is a part of */
	size_t n, room;
};

struct tt_watchlist {
	struct tt_register_list all;	/* everything, for debug registers alone */
	/* The same, with guarded pages. None: num_pages is 0. */
	struct tt_guarded_page *pages;
	size_t num_pages;
	struct tt_watch_piece *pieces;
	size_t num_pieces;
	struct tt_register_list rest;	/* what pages are no help for */
};

/*
 * Of a machine that stands still; its page tables are used as they are now. 0, or -errno with err filled in: -EINVAL a
 * watched range is empty or wraps, -E2BIG. tt_watchlist_free() in either case.
 */
int tt_watchlist_make(struct tt_watchlist *w, struct tt_vcpu *vcpu, enum tt_watch_by by,
		      const struct tt_breakpoint *list, unsigned int n, struct tt_error *err);
void tt_watchlist_free(struct tt_watchlist *w);

#endif /* TTVM_REPLAY_WATCHLIST_H */
