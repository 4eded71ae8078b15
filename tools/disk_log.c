// SPDX-License-Identifier: GPL-2.0
/*
 * disk_log.c - ttvm disk log and info: what is in a history.
 */
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "disk.h"

enum { OPT_JSON = 256, OPT_LAST };

/* Everything that a history says of itself, in arrays. */
struct history {
	struct ttdisk *disk;
	struct ttdisk_info info;
	bool damaged;		   /* only what lies before the damage is listed */
	struct ttdisk_mark *marks; /* sorted by the points that they name */
	size_t num_marks;
	struct ttdisk_session *sessions;
	size_t num_sessions;
};

static void close_history(struct history *h)
{
	free(h->marks);
	free(h->sessions);
	if (h->disk)
		ttdisk_close(h->disk);
}

static int grow(void *array, size_t count, size_t element)
{
	void **p = array, *more;

	if (count & (count - 1) || count == 1)
		return 0;
	more = realloc(*p, (count ? 2 * count : 2) * element);
	if (!more)
		return -ENOMEM;
	*p = more;
	return 0;
}

static int compare_marks(const void *a, const void *b)
{
	const struct ttdisk_mark *x = a, *y = b;

	if (x->epoch != y->epoch)
		return x->epoch < y->epoch ? -1 : 1;
	return (x->record > y->record) - (x->record < y->record);
}

/* The first mark in that epoch or behind it. */
static size_t first_mark(const struct history *h, uint64_t epoch)
{
	size_t low = 0, high = h->num_marks;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (h->marks[middle].epoch < epoch)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

static int open_history(struct history *h, const char *name, struct tt_error *err)
{
	struct ttdisk_session session = { 0 };
	struct ttdisk_mark mark = { 0 };
	int ret;

	memset(h, 0, sizeof(*h));
	ret = disk_open_at(name, TTDISK_READ, "now", &h->disk, err);
	if (ret == -EUCLEAN) {
		struct tt_error first = *err;

		/* What lies before the damage can still be seen. */
		ret = disk_open_at(name, TTDISK_READ, "base", &h->disk, err);
		h->damaged = !ret;
		if (!ret)
			say("%s", first.text);
	}
	if (ret)
		return ret;
	ttdisk_get_info(h->disk, &h->info);
	while ((ret = ttdisk_next_mark(h->disk, &mark, err)) > 0) {
		if (grow(&h->marks, h->num_marks, sizeof(mark)))
			return tt_fail(err, -ENOMEM, "out of memory");
		h->marks[h->num_marks++] = mark;
	}
	if (h->num_marks)
		qsort(h->marks, h->num_marks, sizeof(mark), compare_marks);
	while (!ret && (ret = ttdisk_next_session(h->disk, &session, err)) > 0) {
		if (grow(&h->sessions, h->num_sessions, sizeof(session)))
			return tt_fail(err, -ENOMEM, "out of memory");
		h->sessions[h->num_sessions++] = session;
		ret = 0;
	}
	return ret;
}

/* ------------------------------------------------------------------ log */

struct log_options {
	bool json;
	uint64_t last; /* 0: all */
};

static json_t *marks_of(const struct history *h, uint64_t epoch)
{
	json_t *array = json_array();
	size_t i;

	for (i = first_mark(h, epoch); i < h->num_marks && h->marks[i].epoch == epoch; i++)
		json_array_append_new(array, disk_json_text(h->marks[i].name));
	return array;
}

static json_t *epoch_json(const struct history *h, const struct ttdisk_epoch *e)
{
	char time[DISK_TIME_SIZE];

	disk_time_text(e->time_ns, time);
	return json_pack("{s:I, s:s, s:I, s:I, s:I, s:I, s:I, s:o, s:o, s:b, s:b}", "epoch", (json_int_t)e->epoch,
			 "time", time, "time_ns", (json_int_t)e->time_ns, "instr", (json_int_t)e->instr, "bytes",
			 (json_int_t)e->bytes, "history_bytes", (json_int_t)e->history_bytes, "records",
			 (json_int_t)(e->end_record - e->first_record), "marks", marks_of(h, e->epoch), "recording",
			 e->recording[0] ? disk_json_text(e->recording) : json_null(), "open", e->open, "folded",
			 e->folded);
}

static void print_epoch(const struct history *h, const struct ttdisk_epoch *e)
{
	char time[DISK_TIME_SIZE];
	size_t i;

	disk_time_text(e->time_ns, time);
	printf("%7" PRIu64 "  %s  %15" PRIu64 "  %12" PRIu64, e->epoch, time, e->instr, e->bytes);
	if (e->open)
		printf("  (not flushed)");
	if (e->folded)
		printf("  (folded)");
	for (i = first_mark(h, e->epoch); i < h->num_marks && h->marks[i].epoch == e->epoch; i++) {
		printf("  mark:");
		disk_print(h->marks[i].name);
		/* not at its end */
		if (h->marks[i].record < e->end_record)
			printf("@%" PRIu64, h->marks[i].instr);
	}
	putchar('\n');
}

/* One by one, because there may be millions. */
static int show_epoch(const struct history *h, const struct log_options *o, const struct ttdisk_epoch *e,
		      const char **separator, struct tt_error *err)
{
	json_t *json;
	int ret;

	if (!o->json) {
		print_epoch(h, e);
		return 0;
	}
	json = epoch_json(h, e);
	printf("%s\n  ", *separator);
	*separator = ",";
	ret = json ? json_dumpf(json, stdout, JSON_COMPACT) : -1;
	json_decref(json);
	return ret ? tt_fail(err, -ENOMEM, "out of memory") : 0;
}

static int walk_log(const struct history *h, const struct log_options *o, struct tt_error *err)
{
	struct ttdisk_epoch epoch = { .time_ns = h->info.created_ns };
	const char *separator = "";
	uint64_t skip = 0, total = 0;
	int ret = 0;

	/* The base is no epoch, but marks on it must be seen somewhere. */
	if (h->num_marks && !h->marks[0].epoch && !o->last)
		ret = show_epoch(h, o, &epoch, &separator, err);
	epoch = (struct ttdisk_epoch){ 0 };
	if (o->last) {
		while ((ret = ttdisk_next_epoch(h->disk, &epoch, err)) > 0)
			total++;
		skip = total > o->last ? total - o->last : 0;
		epoch = (struct ttdisk_epoch){ 0 };
	}
	while (!ret && (ret = ttdisk_next_epoch(h->disk, &epoch, err)) > 0) {
		ret = 0;
		if (skip)
			skip--;
		else
			ret = show_epoch(h, o, &epoch, &separator, err);
	}
	return ret;
}

static const char log_usage[] = "ttvm disk log DISK [OPTION]...";
static const char log_help[] =
	"usage: ttvm disk log DISK [OPTION]...\n\n"
	"List the epochs of a disk's history. An epoch is what lies between two flushes of the guest; its end is the point\n"
	"epoch:K. Each line has K, the time of the flush, the guest's instruction count, bytes written, and marks.\n\n"
	"      --last N            only the last N epochs\n"
	"      --json              print a JSON array\n"
	"  -h, --help              this text\n\n" DISK_STATUS_HELP;

int disk_cmd_log(int argc, char **argv)
{
	static const struct option long_options[] = {
		{ "json", no_argument, NULL, OPT_JSON },
		{ "last", required_argument, NULL, OPT_LAST },
		{ "help", no_argument, NULL, 'h' },
		{ 0 },
	};
	struct log_options o = { 0 };
	struct tt_error err = { 0 };
	struct history h;
	char **args;
	int c, ret;

	while ((c = getopt_long(argc, argv, "h", long_options, NULL)) != -1) {
		switch (c) {
		case OPT_JSON:
			o.json = true;
			break;
		case OPT_LAST:
			if (!parse_number(optarg, &o.last) || !o.last) {
				say("--last %s: not a number of epochs", optarg);
				return EXIT_SETUP;
			}
			break;
		case 'h':
			fputs(log_help, stdout);
			return disk_end_output();
		default:
			say("`ttvm disk log --help` lists the options");
			return EXIT_SETUP;
		}
	}
	args = disk_arguments(argc, argv, 1, log_usage);
	if (!args)
		return EXIT_SETUP;
	ret = open_history(&h, args[0], &err);
	if (!ret) {
		if (o.json)
			putchar('[');
		else
			printf("%7s  %-30s  %15s  %12s\n", "EPOCH", "TIME", "INSTR", "BYTES");
		ret = walk_log(&h, &o, &err);
		if (o.json)
			puts("\n]");
	}
	c = disk_end_output();
	if (c == EXIT_OK && h.damaged)
		c = EXIT_BAD_LOG;
	close_history(&h);
	return ret ? disk_fail(ret, &err) : c;
}

/* ------------------------------------------------------------------ info */

static json_t *info_json(const struct history *h)
{
	const struct ttdisk_info *i = &h->info;
	char time[DISK_TIME_SIZE];
	json_t *root, *marks = json_array(), *sessions = json_array();
	size_t n;

	for (n = 0; n < h->num_marks; n++) {
		disk_time_text(h->marks[n].time_ns, time);
		json_array_append_new(marks, json_pack("{s:o, s:I, s:s, s:I, s:I}", "name",
						       disk_json_text(h->marks[n].name), "epoch",
						       (json_int_t)h->marks[n].epoch, "time", time, "instr",
						       (json_int_t)h->marks[n].instr, "record",
						       (json_int_t)h->marks[n].record));
	}
	for (n = 0; n < h->num_sessions; n++) {
		disk_time_text(h->sessions[n].time_ns, time);
		json_array_append_new(sessions, json_pack("{s:o, s:s, s:I, s:s}", "recording",
							  disk_json_text(h->sessions[n].recording), "departure",
							  h->sessions[n].departure, "epoch",
							  (json_int_t)h->sessions[n].epoch, "time", time));
	}
	disk_time_text(i->created_ns, time);
	root = json_pack("{s:o, s:o, s:b, s:b, s:I, s:s, s:s, s:I, s:I, s:I, s:I, s:I}", "history", disk_json_text(i->path),
			 "base", disk_json_text(i->base), "branch", i->is_branch, "partial", i->is_partial, "bytes",
			 (json_int_t)(i->sectors * TTDISK_SECTOR), "uuid", i->uuid, "created", time, "epochs",
			 (json_int_t)i->epochs, "records", (json_int_t)i->records, "history_bytes",
			 (json_int_t)i->history_bytes, "dropped_bytes", (json_int_t)i->dropped_bytes, "index_bytes",
			 (json_int_t)i->index_bytes);
	if (root && i->is_branch)
		json_object_set_new(root, "parent", disk_json_text(i->parent));
	json_object_set_new(root, "marks", marks);
	json_object_set_new(root, "recordings", sessions);
	return root;
}

static void print_info(const struct history *h)
{
	const struct ttdisk_info *i = &h->info;
	char text[DISK_TIME_SIZE];
	size_t n;

	printf("history     ");
	disk_print(i->path);
	printf("\n%s      ", i->is_branch ? "parent" : i->is_partial ? "parts " : "base  ");
	disk_print(i->base);
	disk_size_text(i->sectors * TTDISK_SECTOR, text, sizeof(text));
	printf("\nsize        %s (%" PRIu64 " sectors)\nuuid        %s\n", text, i->sectors, i->uuid);
	disk_time_text(i->created_ns, text);
	printf("created     %s\nepochs      %" PRIu64 ", with %" PRIu64 " records\n", text, i->epochs, i->records);
	disk_size_text(i->history_bytes, text, sizeof(text));
	printf("takes       %s", text);
	if (i->index_bytes) {
		disk_size_text(i->index_bytes, text, sizeof(text));
		printf(", and %s for the index", text);
	}
	if (i->dropped_bytes)
		printf("; %" PRIu64 " bytes at its end are not valid", i->dropped_bytes);
	putchar('\n');
	for (n = 0; n < h->num_marks; n++) {
		printf("mark        ");
		disk_print(h->marks[n].name);
		disk_time_text(h->marks[n].time_ns, text);
		printf(", epoch %" PRIu64 ", %s\n", h->marks[n].epoch, text);
	}
	for (n = 0; n < h->num_sessions; n++) {
		printf("recording   ");
		disk_print(h->sessions[n].recording);
		disk_time_text(h->sessions[n].time_ns, text);
		printf(", after epoch %" PRIu64 ", %s\n", h->sessions[n].epoch, text);
	}
}

static const char info_usage[] = "ttvm disk info DISK [OPTION]...";
static const char info_help[] =
	"usage: ttvm disk info DISK [OPTION]...\n\n"
	"Say what a time-travel disk is: its base, size, epochs, marks, and the recordings made on it.\n\n"
	"      --json              print JSON\n"
	"  -h, --help              this text\n\n" DISK_STATUS_HELP;

int disk_cmd_info(int argc, char **argv)
{
	static const struct option long_options[] = {
		{ "json", no_argument, NULL, OPT_JSON },
		{ "help", no_argument, NULL, 'h' },
		{ 0 },
	};
	struct tt_error err = { 0 };
	bool json = false;
	struct history h;
	char **args;
	int c, ret;

	while ((c = getopt_long(argc, argv, "h", long_options, NULL)) != -1) {
		switch (c) {
		case OPT_JSON:
			json = true;
			break;
		case 'h':
			fputs(info_help, stdout);
			return disk_end_output();
		default:
			say("`ttvm disk info --help` lists the options");
			return EXIT_SETUP;
		}
	}
	args = disk_arguments(argc, argv, 1, info_usage);
	if (!args)
		return EXIT_SETUP;
	ret = open_history(&h, args[0], &err);
	if (ret) {
		ret = disk_fail(ret, &err);
	} else if (json) {
		ret = disk_print_json(info_json(&h));
	} else {
		print_info(&h);
		ret = disk_end_output();
	}
	if (ret == EXIT_OK && h.damaged)
		ret = EXIT_BAD_LOG;
	close_history(&h);
	return ret;
}
