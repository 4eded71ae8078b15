// SPDX-License-Identifier: GPL-2.0
/*
 * watchlist.c - see watchlist.h.
 */
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>

#include "watchlist.h"

static bool add_register(struct tt_register_list *l, const struct tt_breakpoint *b, unsigned int owner)
{
	size_t room = l->room ? 2 * l->room : 16;
	struct tt_breakpoint *list = l->list;
	unsigned int *owners = l->owner;

	if (l->n == l->room) {
		list = realloc(list, room * sizeof(*list));
		if (!list)
			return false;
		l->list = list;
		owners = realloc(owners, room * sizeof(*owners));
		if (!owners)
			return false;
		l->owner = owners;
		l->room = room;
	}
	list[l->n] = *b;
	owners[l->n++] = owner;
	return true;
}

/* A debug register watches 1, 2, 4 or 8 aligned bytes. */
static bool add_range(struct tt_register_list *l, const struct tt_breakpoint *b, unsigned int owner)
{
	struct tt_breakpoint piece = *b;
	uint64_t left = b->length;

	for (; left; left -= piece.length, piece.address += piece.length) {
		for (piece.length = 8; piece.length > left || piece.address % piece.length; piece.length /= 2)
			;
		if (!add_register(l, &piece, owner))
			return false;
	}
	return true;
}

static uint64_t number_of_pieces(const struct tt_breakpoint *b)
{
	uint64_t head = -b->address % 8, pieces;

	if (head > b->length)
		head = b->length;
	pieces = (b->length - head) / 8;
	return pieces + __builtin_popcountll(head) + __builtin_popcountll((b->length - head) % 8);
}

/* By page, and those that count reads first. */
static int by_gpa(const void *a, const void *b)
{
	const struct tt_guarded_page *x = a, *y = b;

	return x->gpa != y->gpa ? (x->gpa < y->gpa ? -1 : 1) : (int)y->reads - (int)x->reads;
}

/* The part of a breakpoint that lies in one page of the guest's address space. */
static bool add_part(struct tt_watchlist *w, struct tt_vcpu *vcpu, const struct kvm_sregs *sregs,
		     const struct tt_breakpoint *part, unsigned int owner)
{
	uint64_t gpa = tt_vcpu_translate(vcpu, sregs, part->address);
	bool reads = part->kind == TT_BREAK_ACCESS;

	if (gpa == UINT64_MAX || !tt_memory_at(&vcpu->machine->memory, gpa & -(uint64_t)TT_PAGE_SIZE, TT_PAGE_SIZE))
		return add_range(&w->rest, part, owner);
	w->pages[w->num_pages++] = (struct tt_guarded_page){ gpa & -(uint64_t)TT_PAGE_SIZE, reads };
	w->pieces[w->num_pieces++] = (struct tt_watch_piece){ gpa, part->length, reads, owner };
	return true;
}

static uint64_t pages_of(const struct tt_breakpoint *b)
{
	return (b->address % TT_PAGE_SIZE + b->length - 1) / TT_PAGE_SIZE + 1;
}

static bool find_pages(struct tt_watchlist *w, struct tt_vcpu *vcpu, const struct kvm_sregs *sregs,
		       const struct tt_breakpoint *list, unsigned int n)
{
	uint64_t pages = 0, left;
	unsigned int i;
	size_t j, k = 0;

	for (i = 0; i < n; i++)
		if (list[i].kind != TT_BREAK_EXECUTE)
			pages += pages_of(&list[i]);
	w->pages = calloc(pages, sizeof(*w->pages));
	w->pieces = calloc(pages, sizeof(*w->pieces));
	if (!w->pages || !w->pieces)
		return false;
	for (i = 0; i < n; i++) {
		struct tt_breakpoint part = list[i];

		if (part.kind == TT_BREAK_EXECUTE && !add_register(&w->rest, &part, i))
			return false;
		left = part.kind == TT_BREAK_EXECUTE ? 0 : part.length;
		for (; left; left -= part.length, part.address += part.length) {
			part.length = TT_PAGE_SIZE - part.address % TT_PAGE_SIZE;
			if (part.length > left)
				part.length = left;
			if (!add_part(w, vcpu, sregs, &part, i))
				return false;
		}
	}
	qsort(w->pages, w->num_pages, sizeof(*w->pages), by_gpa);
	for (j = 0; j < w->num_pages; j++)
		if (!k || w->pages[k - 1].gpa != w->pages[j].gpa)
			w->pages[k++] = w->pages[j];
	w->num_pages = k;
	return true;
}

int tt_watchlist_make(struct tt_watchlist *w, struct tt_vcpu *vcpu, enum tt_watch_by by,
		      const struct tt_breakpoint *list, unsigned int n, struct tt_error *err)
{
	uint64_t pieces = 0;
	struct kvm_sregs sregs;
	unsigned int i;
	bool ok = true;

	memset(w, 0, sizeof(*w));
	for (i = 0; i < n; i++) {
		const struct tt_breakpoint *b = &list[i];

		if (b->kind == TT_BREAK_EXECUTE)
			continue;
		if (!b->length || b->address + b->length - 1 < b->address)
			return tt_fail(err, -EINVAL, "%llu bytes at %llx cannot be watched",
				       (unsigned long long)b->length, (unsigned long long)b->address);
		pieces += b->length > 8ull * TT_MAX_WATCHED ? TT_MAX_WATCHED + 1 : number_of_pieces(b);
		if (pieces > TT_MAX_WATCHED)
			return tt_fail(err, -E2BIG, "too much to watch: %llu MiB at most", TT_MAX_WATCHED * 8ull >> 20);
	}
	for (i = 0; i < n && ok; i++) {
		struct tt_breakpoint b = list[i];

		if (b.kind == TT_BREAK_EXECUTE)
			b.length = 1;
		ok = add_range(&w->all, &b, i);
	}
	if (ok && by != TT_WATCH_BY_REGISTERS && pieces > (by == TT_WATCH_BY_PAGES ? 0 : TT_WATCHED_BY_REGISTERS)) {
		if (ioctl(vcpu->fd, KVM_GET_SREGS, &sregs) < 0)
			return tt_fail(err, -errno, "KVM_GET_SREGS: %s", strerror(errno));
		ok = find_pages(w, vcpu, &sregs, list, n);
	}
	return ok ? 0 : tt_fail(err, -ENOMEM, "out of memory");
}

void tt_watchlist_free(struct tt_watchlist *w)
{
	free(w->all.list);
	free(w->all.owner);
	free(w->rest.list);
	free(w->rest.owner);
	free(w->pages);
	free(w->pieces);
	memset(w, 0, sizeof(*w));
}
