// SPDX-License-Identifier: GPL-2.0
/*
 * points.c - breakpoints and watchpoints: the list that a client adds to and takes from. How many there can be, and of what
 * size, is the target's business.
 */
#include <stdlib.h>
#include <string.h>

#include "gdb.h"

static bool same(const struct tt_point *a, const struct tt_point *b)
{
	return a->kind == b->kind && a->address == b->address && a->len == b->len;
}

/* The target gets a new list; the old one is kept when it refuses. */
static void change(struct gdb_session *s, const struct tt_point *add, const struct tt_point *take)
{
	struct tt_point *points = calloc(s->num_points + 1, sizeof(*points));
	struct tt_error err = { 0 };
	size_t i, n = 0;
	int ret;

	if (!points)
		return gdb_answer_error(s, "out of memory");
	for (i = 0; i < s->num_points; i++)
		if (!take || !same(&s->points[i], take))
			points[n++] = s->points[i];
	if (add)
		points[n++] = *add;
	ret = s->target->ops->set_points(s->target, points, n, &err);
	gdb_answer_result(s, ret, &err);
	if (ret) {
		free(points);
		return;
	}
	free(s->points);
	s->points = points;
	s->num_points = n;
}

void gdb_serve_point(struct gdb_session *s, const char *packet, bool insert)
{
	struct tt_point point;
	const char *at = packet;
	uint64_t kind;
	size_t i;

	/* No conditions behind it: we did not offer any. */
	if (!gdb_parse_number(&at, ',', &kind) || !gdb_parse_number(&at, ',', &point.address) ||
	    !gdb_parse_number(&at, 0, &point.len) || *at)
		return gdb_answer_error(s, "a malformed packet");
	if (kind > TT_POINT_ACCESS)
		return; /* unknown: an empty answer */
	point.kind = kind;
	for (i = 0; i < s->num_points && !same(&s->points[i], &point); i++)
		;
	/* Packets may be repeated: once more is the same as once. */
	if ((i < s->num_points) == insert)
		gdb_answer(s, "OK");
	else
		change(s, insert ? &point : NULL, insert ? NULL : &point);
}

void gdb_points_clear(struct gdb_session *s)
{
	struct tt_error err;

	s->target->ops->set_points(s->target, NULL, 0, &err);
	free(s->points);
	s->points = NULL;
	s->num_points = 0;
}
