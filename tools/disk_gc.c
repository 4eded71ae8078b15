// SPDX-License-Identifier: GPL-2.0
/*
 * disk_gc.c - ttvm disk gc and check: the care of a history.
 */
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "disk.h"

enum { OPT_KEEP = 256, OPT_KEEP_EPOCHS, OPT_KEEP_RECORDINGS, OPT_DRY_RUN, OPT_REPAIR, OPT_ACCEPT_BASE, OPT_JSON };

/* ------------------------------------------------------------------ gc */

#define NS 1000000000ull

static const char gc_usage[] = "ttvm disk gc DISK --keep RULE... [OPTION]...";
static const char gc_help[] =
	"usage: ttvm disk gc DISK --keep RULE... [OPTION]...\n\n"
	"Shrink a history: points in time that no rule keeps are given up. Now and marks are always kept.\n\n"
	"      --keep RULES        what else to keep, separated by commas:\n"
	"                            7d          every point of the last 7 days; also w, h, m, s\n"
	"                            epochs:N    every point of the last N epochs\n"
	"                            recordings  the points at which recordings began, so that they can be replayed\n"
	"                            marks       nothing else\n"
	"      --keep-epochs N     the same as --keep epochs:N\n"
	"      --keep-recordings   the same as --keep recordings\n"
	"  -n, --dry-run           only say what would be gained\n"
	"      --json              print the result as JSON\n"
	"  -h, --help              this text\n\n" DISK_STATUS_HELP;

/* "7d" and so on; false when it is not an age. */
static bool parse_age(const char *text, uint64_t *seconds)
{
	static const struct {
		char unit;
		uint64_t seconds;
	} units[] = { { 's', 1 }, { 'm', 60 }, { 'h', 3600 }, { 'd', 86400 }, { 'w', 7 * 86400 } };
	size_t len = strlen(text), i;
	char number[16];

	if (len < 2 || len > sizeof(number))
		return false;
	memcpy(number, text, len - 1);
	number[len - 1] = '\0';
	for (i = 0; i < sizeof(units) / sizeof(units[0]); i++) {
		if (text[len - 1] != units[i].unit)
			continue;
		if (!parse_number(number, seconds) || *seconds > (100ull * 365 * 86400) / units[i].seconds)
			return false;
		*seconds *= units[i].seconds;
		return true;
	}
	return false;
}

static bool parse_epochs(const char *text, struct ttdisk_gc_options *o)
{
	uint64_t count;

	if (!parse_number(text, &count) || !count) {
		say("--keep-epochs %s: not a number of epochs", text);
		return false;
	}
	if (count > o->keep_epochs)
		o->keep_epochs = count;
	return true;
}

static bool parse_rule(const char *rule, struct ttdisk_gc_options *o)
{
	uint64_t age, now, since;

	if (!strcmp(rule, "marks"))
		return true;
	if (!strcmp(rule, "recordings")) {
		o->keep_recordings = true;
		return true;
	}
	if (!strncmp(rule, "epochs:", 7))
		return parse_epochs(rule + 7, o);
	if (!parse_age(rule, &age)) {
		say("--keep %s: not a rule; say an age like 7d or 12h, epochs:N, recordings, or marks", rule);
		return false;
	}
	now = time(NULL);
	since = age < now ? (now - age) * NS : 1;
	if (!o->keep_since_ns || since < o->keep_since_ns)
		o->keep_since_ns = since;
	return true;
}

static bool parse_rules(const char *rules, struct ttdisk_gc_options *o)
{
	char rule[64];

	for (;;) {
		size_t len = strcspn(rules, ",");

		if (len >= sizeof(rule)) {
			say("--keep %s: not a rule", rules);
			return false;
		}
		memcpy(rule, rules, len);
		rule[len] = '\0';
		if (!parse_rule(rule, o))
			return false;
		if (!rules[len])
			return true;
		rules += len + 1;
	}
}

static void print_gc(const struct ttdisk_gc_options *o, const struct ttdisk_gc_result *r)
{
	const char *would = o->dry_run ? "would be " : "";
	char before[32], after[32];

	disk_size_text(r->bytes_before, before, sizeof(before));
	disk_size_text(r->bytes_after, after, sizeof(after));
	printf("epochs      %" PRIu64 ", %swere %" PRIu64 "\n", r->epochs_after, o->dry_run ? "now " : "",
	       r->epochs_before);
	printf("takes       %s%s%s, %s %s\n", would, o->dry_run ? "at most " : "", after, o->dry_run ? "is" : "was",
	       before);
	if (r->recordings_lost)
		printf("recordings  %" PRIu64 " cannot be replayed any more%s\n", r->recordings_lost,
		       o->dry_run ? " then; --keep recordings keeps what they need" : "");
}

static json_t *gc_json(const struct ttdisk_gc_options *o, const struct ttdisk_gc_result *r)
{
	return json_pack("{s:b, s:I, s:I, s:I, s:I, s:I}", "dry_run", o->dry_run, "bytes_before",
			 (json_int_t)r->bytes_before, "bytes_after", (json_int_t)r->bytes_after, "epochs_before",
			 (json_int_t)r->epochs_before, "epochs_after", (json_int_t)r->epochs_after, "recordings_lost",
			 (json_int_t)r->recordings_lost);
}

int disk_cmd_gc(int argc, char **argv)
{
	static const struct option long_options[] = {
		{ "keep", required_argument, NULL, OPT_KEEP },
		{ "keep-epochs", required_argument, NULL, OPT_KEEP_EPOCHS },
		{ "keep-recordings", no_argument, NULL, OPT_KEEP_RECORDINGS },
		{ "dry-run", no_argument, NULL, 'n' },
		{ "json", no_argument, NULL, OPT_JSON },
		{ "help", no_argument, NULL, 'h' },
		{ 0 },
	};
	struct ttdisk_gc_options o = { 0 };
	struct ttdisk_gc_result result = { 0 };
	bool rules = false, json = false;
	char history[DISK_PATH_SIZE];
	struct tt_error err = { 0 };
	char **args;
	int c, ret;

	while ((c = getopt_long(argc, argv, "nh", long_options, NULL)) != -1) {
		switch (c) {
		case OPT_KEEP:
			if (!parse_rules(optarg, &o))
				return EXIT_SETUP;
			rules = true;
			break;
		case OPT_KEEP_EPOCHS:
			if (!parse_epochs(optarg, &o))
				return EXIT_SETUP;
			rules = true;
			break;
		case OPT_KEEP_RECORDINGS:
			rules = o.keep_recordings = true;
			break;
		case 'n':
			o.dry_run = true;
			break;
		case OPT_JSON:
			json = true;
			break;
		case 'h':
			fputs(gc_help, stdout);
			return disk_end_output();
		default:
			say("`ttvm disk gc --help` lists the options");
			return EXIT_SETUP;
		}
	}
	args = disk_arguments(argc, argv, 1, gc_usage);
	if (!args)
		return EXIT_SETUP;
	if (!rules) {
		say("what is to be kept? For example --keep 7d,recordings; with --keep marks nothing but now and marks");
		return EXIT_SETUP;
	}
	ret = disk_history(args[0], history, &err);
	if (!ret)
		ret = ttdisk_gc(history, &o, &result, &err);
	if (ret)
		return disk_fail(ret, &err);
	if (json)
		return disk_print_json(gc_json(&o, &result));
	print_gc(&o, &result);
	return disk_end_output();
}

/* ------------------------------------------------------------------ check */

static const char check_usage[] = "ttvm disk check DISK [OPTION]...";
static const char check_help[] =
	"usage: ttvm disk check DISK [OPTION]...\n\n"
	"Verify every byte of a history, its base and its index.\n\n"
	"      --repair            cut off what is not valid, and make the index anew. If flushed data was damaged, what is\n"
	"                          cut off is kept in F.ttd.dropped\n"
	"      --accept-base       with --repair: the base as it is now is the right one\n"
	"      --json              print JSON\n"
	"  -h, --help              this text\n\n"
	"Exit status: 0 clean, or cut short by a crash with nothing lost that was flushed; 1 usage or set-up error;\n"
	"4 damaged, or the base is another.\n";

static const char *health_name(enum ttdisk_health health)
{
	switch (health) {
	case TTDISK_CLEAN:
		return "clean";
	case TTDISK_CUT:
		return "cut";
	default:
		return "damaged";
	}
}

static json_t *check_json(const struct ttdisk_check_result *r)
{
	return json_pack("{s:s, s:b, s:b, s:b, s:I, s:I, s:I, s:I, s:I, s:o}", "health", health_name(r->health),
			 "base_changed", r->base_changed, "index_good", r->index_good, "repaired", r->repaired, "records",
			 (json_int_t)r->records, "epochs", (json_int_t)r->epochs, "valid_bytes",
			 (json_int_t)r->valid_bytes, "dropped_bytes", (json_int_t)r->dropped_bytes, "dropped_records",
			 (json_int_t)r->dropped_records, "text", disk_json_text(r->text));
}

static void print_check(const char *history, const struct ttdisk_check_result *r)
{
	disk_print(history);
	printf(": %s%s\n", health_name(r->health), r->repaired ? ", repaired" : "");
	printf("  %" PRIu64 " epochs, %" PRIu64 " records, %" PRIu64 " bytes are valid", r->epochs, r->records,
	       r->valid_bytes);
	if (r->dropped_bytes)
		printf("; %" PRIu64 " bytes are not", r->dropped_bytes);
	if (r->dropped_records)
		printf(" (%" PRIu64 " whole records)", r->dropped_records);
	printf("\n  the base is %s\n  the index is %s\n", r->base_changed ? "not the one of this history" : "unchanged",
	       r->index_good ? "right" : "missing or old, which is harmless");
	if (r->text[0]) {
		printf("  ");
		disk_print(r->text);
		putchar('\n');
	}
}

int disk_cmd_check(int argc, char **argv)
{
	static const struct option long_options[] = {
		{ "repair", no_argument, NULL, OPT_REPAIR },
		{ "accept-base", no_argument, NULL, OPT_ACCEPT_BASE },
		{ "json", no_argument, NULL, OPT_JSON },
		{ "help", no_argument, NULL, 'h' },
		{ 0 },
	};
	struct ttdisk_check_result result = { 0 };
	char history[DISK_PATH_SIZE];
	struct tt_error err = { 0 };
	unsigned int flags = 0;
	bool json = false, bad;
	char **args;
	int c, ret;

	while ((c = getopt_long(argc, argv, "h", long_options, NULL)) != -1) {
		switch (c) {
		case OPT_REPAIR:
			flags |= TTDISK_REPAIR;
			break;
		case OPT_ACCEPT_BASE:
			flags |= TTDISK_ACCEPT_BASE;
			break;
		case OPT_JSON:
			json = true;
			break;
		case 'h':
			fputs(check_help, stdout);
			return disk_end_output();
		default:
			say("`ttvm disk check --help` lists the options");
			return EXIT_SETUP;
		}
	}
	args = disk_arguments(argc, argv, 1, check_usage);
	if (!args)
		return EXIT_SETUP;
	if (flags == TTDISK_ACCEPT_BASE) {
		say("--accept-base goes with --repair");
		return EXIT_SETUP;
	}
	ret = disk_history(args[0], history, &err);
	if (!ret)
		ret = ttdisk_check(history, flags, &result, &err);
	if (ret)
		return disk_fail(ret, &err);
	if (json) {
		ret = disk_print_json(check_json(&result));
	} else {
		print_check(history, &result);
		ret = disk_end_output();
	}
	bad = (result.health == TTDISK_DAMAGED && !result.repaired) ||
	      (result.base_changed && !(flags & TTDISK_ACCEPT_BASE));
	return ret ? ret : bad ? EXIT_BAD_LOG : EXIT_OK;
}
