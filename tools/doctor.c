// SPDX-License-Identifier: GPL-2.0
/*
 * doctor.c - ttvm doctor: can this machine record and replay, and if not, what to try next.
 */
#include <errno.h>
#include <getopt.h>
#include <jansson.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "doctor.h"
#include "ttvm.h"

/* In this order; later ones use what earlier ones found. */
static void (*const checks[])(struct checkup *c) = {
	check_cpu,
	check_tsc,
	check_kvm,
	check_kvm_kind,
	check_nested_paging,
	check_guest,
	check_pmu_model,
	check_counters,
	check_nmi_watchdog,
	check_throttling,
	check_paranoid,
	check_spec_lock_map,
	check_smi,
	check_module,
	check_counting,
	check_landing,
};

/* ------------------------------------------------------------------ findings */

static void add(struct checkup *c, const char *name, enum check_status status,
		const char *next_step, const char *format, va_list args)
{
	struct check *check;

	if (c->num_checks == MAX_CHECKS)
		return;
	check = &c->checks[c->num_checks++];
	check->name = name;
	check->status = status;
	vsnprintf(check->detail, sizeof(check->detail), format, args);
	snprintf(check->next_step, sizeof(check->next_step), "%s", next_step);
}

void check_ok(struct checkup *c, const char *name, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	add(c, name, CHECK_OK, "", format, args);
	va_end(args);
}

void check_warning(struct checkup *c, const char *name, const char *next_step,
		   const char *format, ...)
{
	va_list args;

	va_start(args, format);
	add(c, name, CHECK_WARNING, next_step, format, args);
	va_end(args);
}

void check_failed(struct checkup *c, const char *name, const char *next_step, const char *format,
		  ...)
{
	va_list args;

	va_start(args, format);
	add(c, name, CHECK_FAILED, next_step, format, args);
	va_end(args);
}

int read_line(const char *path, char *text, size_t size)
{
	FILE *file = fopen(path, "re");
	int ret = 0;

	if (!file)
		return -errno;
	if (!fgets(text, size, file))
		ret = ferror(file) ? -EIO : -ENODATA;
	else
		text[strcspn(text, "\n")] = '\0';
	fclose(file);
	return ret;
}

/* ------------------------------------------------------------------ saying it */

static const char *status_name(enum check_status status)
{
	switch (status) {
	case CHECK_OK:
		return "ok";
	case CHECK_WARNING:
		return "warning";
	default:
		return "failed";
	}
}

static unsigned int count(const struct checkup *c, enum check_status status)
{
	unsigned int i, n = 0;

	for (i = 0; i < c->num_checks; i++)
		n += c->checks[i].status == status;
	return n;
}

static void print_text(const struct checkup *c)
{
	unsigned int i, failed = count(c, CHECK_FAILED), warnings = count(c, CHECK_WARNING);

	for (i = 0; i < c->num_checks; i++) {
		const struct check *check = &c->checks[i];

		printf("%-8s %-15s %s\n", status_name(check->status), check->name, check->detail);
		if (check->next_step[0])
			printf("%-8s %-15s try: %s\n", "", "", check->next_step);
	}
	if (failed)
		printf("\nAs it is, this machine cannot record or replay: %u check%s failed. `tools/lab/run` brings a "
		       "machine that can.\n", failed, failed > 1 ? "s" : "");
	else if (warnings)
		printf("\nThis machine can record and replay; see the %u warning%s.\n", warnings,
		       warnings > 1 ? "s" : "");
	else
		puts("\nThis machine can record and replay.");
}

static int print_json(const struct checkup *c)
{
	json_t *list = json_array(), *root;
	unsigned int i;
	int ret;

	for (i = 0; i < c->num_checks; i++) {
		const struct check *check = &c->checks[i];

		json_array_append_new(list, json_pack("{s:s, s:s, s:s, s:s}", "name", check->name,
						      "status", status_name(check->status),
						      "detail", check->detail, "next_step",
						      check->next_step));
	}
	root = json_pack("{s:b, s:o}", "usable", count(c, CHECK_FAILED) == 0, "checks", list);
	ret = json_dumpf(root, stdout, JSON_INDENT(1));
	putchar('\n');
	json_decref(root);
	return ret;
}

/* ------------------------------------------------------------------ the command */

static const struct option long_options[] = {
	{ "json", no_argument, NULL, 'j' },
	{ "help", no_argument, NULL, 'h' },
	{ 0 },
};

static const char help[] =
	"usage: ttvm doctor [OPTION]...\n\n"
	"Say whether this machine can record and replay: KVM, the module, the PMU, known errata. The\n"
	"last checks run a tiny guest whose instructions and branches are known. For each problem the\n"
	"next step to try is named. Run as root, it sees MSRs, too. Takes a few seconds.\n\n"
	"      --json   print JSON: usable, and for each check name, status, detail, next_step\n"
	"  -h, --help   this text\n\n"
	"Exit status: 0 recording is possible (perhaps with warnings), 1 it is not, or usage error.\n";

int cmd_doctor(int argc, char **argv)
{
	static struct checkup checkup;
	bool json = false;
	size_t i;
	int c;

	optind = 1;
	while ((c = getopt_long(argc, argv, "h", long_options, NULL)) != -1) {
		switch (c) {
		case 'j':
			json = true;
			break;
		case 'h':
			fputs(help, stdout);
			return EXIT_OK;
		default:
			say("`ttvm doctor --help` lists the options");
			return EXIT_SETUP;
		}
	}
	if (optind != argc) {
		say("unexpected argument '%s'; usage: ttvm doctor [OPTION]...", argv[optind]);
		return EXIT_SETUP;
	}
	for (i = 0; i < sizeof(checks) / sizeof(checks[0]); i++)
		checks[i](&checkup);
	if (json)
		print_json(&checkup);
	else
		print_text(&checkup);
	if (fflush(stdout) || ferror(stdout)) {
		say("the output could not be written: %s", strerror(errno));
		return EXIT_SETUP;
	}
	return count(&checkup, CHECK_FAILED) ? EXIT_SETUP : EXIT_OK;
}
