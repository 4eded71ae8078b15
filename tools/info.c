// SPDX-License-Identifier: GPL-2.0
/*
 * info.c - ttvm info: what is in a recording. Neither KVM nor the module is needed.
 */
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "event_text.h"
#include "ttvm.h"

struct info_options {
	const char *log;
	bool json;
	bool events;
	uint64_t from, to; /* event numbers, both included */
};

/* Everything that is said about a log but its events. */
struct recording {
	const char *path;
	struct tt_log *log;
	const struct tt_log_info *info;
	bool has_config;
	struct tt_machine_config config;
	struct tt_recording_facts facts;
	struct tt_error config_error;
	char *strings;
	uint64_t rebase;	/* sum of all rebases of vCPU 0, ticks */
	bool broken;		/* an event could not be read */
	struct tt_error event_error;
};

enum { OPT_JSON = 256, OPT_EVENTS };

static const struct option long_options[] = {
	{ "json", no_argument, NULL, OPT_JSON },
	{ "events", optional_argument, NULL, OPT_EVENTS },
	{ "help", no_argument, NULL, 'h' },
	{ 0 },
};

static const char help[] =
	"usage: ttvm info LOG [OPTION]...\n\n"
	"Say what is in a recording.\n\n"
	"      --events[=FROM-TO]  list the events, or those with these numbers (FROM-, -TO, N)\n"
	"      --json              print JSON\n"
	"  -h, --help              this text\n\n"
	"Exit status: 0 success (also for the recording of a recorder that was killed, with a note on\n"
	"stderr), 1 usage error or missing file, 4 damaged or unreadable log.\n";

/* FROM-TO, FROM-, -TO, or one number. */
static bool parse_range(const char *text, uint64_t *from, uint64_t *to)
{
	const char *dash = strchr(text, '-');
	char first[32];

	if (!dash) {
		if (!parse_number(text, from))
			return false;
		*to = *from;
		return true;
	}
	if ((size_t)(dash - text) >= sizeof(first) || (dash == text && !dash[1]))
		return false;
	memcpy(first, text, dash - text);
	first[dash - text] = '\0';
	if (dash != text && !parse_number(first, from))
		return false;
	if (dash[1] && !parse_number(dash + 1, to))
		return false;
	return *from <= *to;
}

static int parse_options(int argc, char **argv, struct info_options *o)
{
	int c;

	*o = (struct info_options){ .to = UINT64_MAX };
	optind = 1;
	while ((c = getopt_long(argc, argv, "h", long_options, NULL)) != -1) {
		switch (c) {
		case OPT_JSON:
			o->json = true;
			break;
		case OPT_EVENTS:
			o->events = true;
			if (optarg && !parse_range(optarg, &o->from, &o->to)) {
				say("--events=%s: not a range of event numbers; say 10-20, 10-, -20 or 10",
				    optarg);
				return -1;
			}
			break;
		case 'h':
			fputs(help, stdout);
			return 0;
		default:
			say("`ttvm info --help` lists the options");
			return -1;
		}
	}
	if (optind + 1 != argc) {
		say("one log, please; usage: ttvm info LOG [OPTION]...");
		return -1;
	}
	o->log = argv[optind];
	return 1;
}

/* ------------------------------------------------------------------ what there is to say */

static const char *status_name(enum tt_log_status status)
{
	switch (status) {
	case TT_LOG_CLEAN:
		return "clean";
	case TT_LOG_RECOVERED:
		return "recovered";
	default:
		return "damaged";
	}
}

/* One pass over the events of vCPU 0: time is nowhere in the log but in the sum of its steps. */
static void sum_rebases(struct recording *r)
{
	struct tt_event event;
	int ret;

	while ((ret = tt_log_next(r->log, 0, &event, &r->event_error)) > 0)
		r->rebase += event.rebase;
	r->broken = ret < 0;
}

static uint64_t section_size(const struct recording *r, const char *name)
{
	size_t i;

	for (i = 0; i < tt_log_num_sections(r->log); i++)
		if (!strcmp(tt_log_section_at(r->log, i)->name, name))
			return tt_log_section_at(r->log, i)->size;
	return 0;
}

/* Instructions of vCPU 0 that are known to have been executed: all, if the recording has an end. */
static uint64_t instructions(const struct recording *r)
{
	size_t n = tt_log_num_frames(r->log, 0);
	uint64_t last = r->info->last.pos.instructions, frame = 0;

	if (!r->info->has_end && n)
		frame = tt_log_frame_at(r->log, 0, n - 1)->first.instructions;
	return last > frame ? last : frame;
}

static double guest_seconds(const struct recording *r)
{
	return r->has_config ? (double)r->rebase / r->config.tsc_hz : 0;
}

static struct tt_digests end_digests(const struct tt_event *end)
{
	return (struct tt_digests){ .registers = end->end.registers,
				    .memory = end->end.memory,
				    .devices = end->end.devices };
}

static void date_text(uint64_t seconds, const char *format, char *text, size_t size)
{
	time_t when = seconds;
	struct tm tm;

	if (!gmtime_r(&when, &tm) || !strftime(text, size, format, &tm))
		snprintf(text, size, "%llu s after the epoch", (unsigned long long)seconds);
}

/* ------------------------------------------------------------------ text */

static void print_size(const char *label, uint64_t bytes)
{
	static const char *const units[] = { "bytes", "KiB", "MiB", "GiB" };
	double value = bytes;
	size_t unit = 0;

	while (value >= 1024 && unit < 3) {
		value /= 1024;
		unit++;
	}
	printf("%s%.*f %s", label, unit && value < 100 ? 1 : 0, value, units[unit]);
}

/* Text from a log may come from anywhere: it must not steer the reader's terminal. */
static void print_safely(const char *text)
{
	for (; *text; text++)
		putchar((unsigned char)*text < ' ' || *text == 0x7f ? '?' : *text);
}

static void print_devices(const struct recording *r)
{
	unsigned int i;

	for (i = 0; i < r->config.num_disks; i++) {
		const struct tt_disk_source *disk = &r->facts.disks[i];

		printf("disk          ");
		print_safely(disk->history);
		print_size(", ", disk->sectors * TT_SECTOR_SIZE);
		printf("%s, at ", disk->readonly ? ", read-only" : "");
		print_safely(disk->departure);
		putchar('\n');
	}
	for (i = 0; i < r->config.num_nets; i++) {
		const uint8_t *mac = r->facts.macs[i];

		printf("network       %02x:%02x:%02x:%02x:%02x:%02x\n", mac[0], mac[1], mac[2], mac[3], mac[4],
		       mac[5]);
	}
}

static void print_machine(const struct recording *r)
{
	const struct tt_machine_config *c = &r->config;
	char date[64];

	print_size("machine       ", c->memory_size);
	printf(" memory, %u vCPU%s of model ", c->num_vcpus, c->num_vcpus > 1 ? "s" : "");
	print_safely(c->cpu_model);
	printf(", TSC %.3f MHz\n", c->tsc_hz / 1e6);
	print_devices(r);
	printf("%s", c->firmware.size ? "firmware      " : "kernel        ");
	print_safely(c->kernel_name);
	print_size(" (", c->firmware.size ? c->firmware.size : c->kernel.size);
	if (c->initrd.size)
		print_size("), initrd (", c->initrd.size);
	printf(")\ncommand line  ");
	print_safely(c->command_line);
	date_text(r->facts.started, "%Y-%m-%d %H:%M:%S UTC", date, sizeof(date));
	printf("\nrecorded      %s, by ttvm ", date);
	print_safely(r->facts.ttvm_version);
	printf(" on Linux ");
	print_safely(r->facts.host_kernel);
	printf(", CPU ");
	print_safely(r->facts.host_cpu);
	printf(", as ");
	print_safely(r->facts.id);
	putchar('\n');
	if (r->facts.origin.id[0]) {
		printf("forked        from ");
		print_safely(r->facts.origin.id);
		printf(" after instruction %llu\n", (unsigned long long)r->facts.origin.instructions);
	}
}

static void print_end(const struct recording *r)
{
	const struct tt_event *last = &r->info->last;
	struct tt_digests d;

	if (!r->info->has_end) {
		printf("ended         unknown: the recording has no end%s\n",
		       r->info->being_written ? " yet, it is being written" : "");
		return;
	}
	printf("ended         %s", end_name(last->end.how));
	if (last->end.how == TT_END_STATUS)
		printf(", the guest's status is %d", last->end.status);
	d = end_digests(last);
	printf("\ndigests       registers=%016llx memory=%016llx devices=%016llx digest=%016llx\n",
	       (unsigned long long)d.registers, (unsigned long long)d.memory,
	       (unsigned long long)d.devices, (unsigned long long)tt_digests_combine(&d));
}

static void print_text(const struct recording *r)
{
	const struct tt_log_info *info = r->info;
	const char *exactly = info->has_end ? "" : "at least ";

	printf("log           %s: %s, format version %u, id %016llx\n", r->path,
	       status_name(info->status), info->version, (unsigned long long)info->salt);
	if (info->text[0])
		printf("              %s\n", info->text);
	if (info->writer_error)
		printf("              the recording ended early: %s\n",
		       strerror(info->writer_error));
	if (r->has_config)
		print_machine(r);
	print_end(r);
	printf("instructions  %s%llu%s\n", exactly, (unsigned long long)instructions(r),
	       r->has_config && !r->facts.exact_instructions ? " (this CPU's counter is not exact)" : "");
	if (r->has_config)
		printf("guest time    at least %.3f s (the clock's steps; what lies between them is not "
		       "in the log)\n", guest_seconds(r));
	printf("events        %llu in %llu frame%s\n", (unsigned long long)info->events,
	       (unsigned long long)info->frames, info->frames == 1 ? "" : "s");
	printf("bytes         %llu: %llu of events (%llu before compression), %llu of header and trailer",
	       (unsigned long long)info->file_bytes, (unsigned long long)info->event_bytes,
	       (unsigned long long)info->raw_bytes, (unsigned long long)info->section_bytes);
	if (info->dropped_bytes)
		printf(", %llu unusable at the end", (unsigned long long)info->dropped_bytes);
	putchar('\n');
}

static int print_events(struct recording *r, const struct info_options *o)
{
	char line[EVENT_LINE_MAX];
	struct tt_event event;
	unsigned int vcpu;
	int ret = 0;

	for (vcpu = 0; vcpu < r->info->num_vcpus && ret >= 0; vcpu++) {
		uint64_t number = o->from;

		if (number >= tt_log_num_events(r->log, vcpu))
			continue;
		ret = tt_log_seek_event(r->log, vcpu, number, &r->event_error);
		if (ret)
			return ret;
		for (; number <= o->to; number++) {
			ret = tt_log_next(r->log, vcpu, &event, &r->event_error);
			if (ret <= 0)
				break;
			event_line(number, &event, r->info->num_vcpus > 1, line);
			puts(line);
		}
	}
	return ret < 0 ? ret : 0;
}

/* ------------------------------------------------------------------ JSON */

static json_t *hex(uint64_t value)
{
	return json_sprintf("%016llx", (unsigned long long)value);
}

static json_t *disks_json(const struct recording *r)
{
	json_t *array = json_array();
	unsigned int i;

	for (i = 0; i < r->config.num_disks; i++) {
		const struct tt_disk_source *disk = &r->facts.disks[i];

		json_array_append_new(array, json_pack("{s:s, s:s, s:s, s:I, s:b}", "history", disk->history,
						       "departure", disk->departure, "serial", disk->serial,
						       "sectors", (json_int_t)disk->sectors, "readonly",
						       disk->readonly));
	}
	return array;
}

static json_t *nets_json(const struct recording *r)
{
	json_t *array = json_array();
	unsigned int i;

	for (i = 0; i < r->config.num_nets; i++) {
		const uint8_t *mac = r->facts.macs[i];

		json_array_append_new(array, json_sprintf("%02x:%02x:%02x:%02x:%02x:%02x", mac[0], mac[1],
							  mac[2], mac[3], mac[4], mac[5]));
	}
	return array;
}

/* null for what is no fork */
static json_t *origin_json(const struct tt_origin *origin)
{
	return origin->id[0] ? json_pack("{s:s, s:I}", "recording", origin->id, "instructions",
					 (json_int_t)origin->instructions) :
			       json_null();
}

static void set_machine(json_t *root, const struct recording *r)
{
	const struct tt_machine_config *c = &r->config;

	json_object_set_new(root, "machine",
			    json_pack("{s:I, s:i, s:s, s:I, s:I, s:s, s:s, s:I, s:I, s:I, s:o, s:o}", "memory",
				      (json_int_t)c->memory_size, "vcpus", c->num_vcpus, "cpu_model", c->cpu_model, "tsc_hz",
				      (json_int_t)c->tsc_hz, "wall_clock",
				      (json_int_t)c->wall_clock, "kernel", c->kernel_name,
				      "command_line", c->command_line, "kernel_bytes",
				      (json_int_t)section_size(r, TT_LOG_SECTION_KERNEL),
				      "initrd_bytes",
				      (json_int_t)section_size(r, TT_LOG_SECTION_INITRD),
				      "firmware_bytes",
				      (json_int_t)section_size(r, TT_LOG_SECTION_FIRMWARE),
				      "disks", disks_json(r), "nets", nets_json(r)));
	json_object_set_new(root, "recording",
			    json_pack("{s:s, s:o, s:s, s:s, s:s, s:I, s:b}", "id", r->facts.id, "origin",
				      origin_json(&r->facts.origin), "host_kernel",
				      r->facts.host_kernel, "host_cpu", r->facts.host_cpu, "ttvm",
				      r->facts.ttvm_version, "started",
				      (json_int_t)r->facts.started, "exact_instructions",
				      r->facts.exact_instructions));
	json_object_set_new(root, "guest_seconds_at_least", json_real(guest_seconds(r)));
}

static void set_end(json_t *root, const struct recording *r)
{
	const struct tt_event *last = &r->info->last;
	struct tt_digests d;

	if (!r->info->has_end) {
		json_object_set_new(root, "ended", json_null());
		json_object_set_new(root, "digests", json_null());
		return;
	}
	d = end_digests(last);
	json_object_set_new(root, "ended", json_pack("{s:s, s:i}", "how", end_name(last->end.how),
						     "status", last->end.status));
	json_object_set_new(root, "digests",
			    json_pack("{s:o, s:o, s:o, s:o}", "registers", hex(d.registers),
				      "memory", hex(d.memory), "devices", hex(d.devices), "digest",
				      hex(tt_digests_combine(&d))));
}

static json_t *describe(const struct recording *r)
{
	const struct tt_log_info *info = r->info;
	json_t *root = json_pack("{s:s, s:s, s:s, s:i, s:o, s:b, s:i}", "log", r->path, "status",
				 status_name(info->status), "text", info->text, "version",
				 info->version, "id", hex(info->salt), "being_written",
				 info->being_written, "vcpus", info->num_vcpus);

	if (!root)
		return NULL;
	json_object_set_new(root, "recording_error", info->writer_error ?
			    json_string(strerror(info->writer_error)) : json_null());
	if (r->has_config)
		set_machine(root, r);
	set_end(root, r);
	json_object_set_new(root, "instructions", json_integer(instructions(r)));
	json_object_set_new(root, "instructions_exact", json_boolean(info->has_end));
	json_object_set_new(root, "events", json_integer(info->events));
	json_object_set_new(root, "frames", json_integer(info->frames));
	json_object_set_new(root, "bytes",
			    json_pack("{s:I, s:I, s:I, s:I, s:I}", "file",
				      (json_int_t)info->file_bytes, "events",
				      (json_int_t)info->event_bytes, "events_raw",
				      (json_int_t)info->raw_bytes, "header_and_trailer",
				      (json_int_t)info->section_bytes, "dropped",
				      (json_int_t)info->dropped_bytes));
	return root;
}

static int print_json_events(struct recording *r, const struct info_options *o)
{
	const char *separator = "";
	struct tt_event event;
	unsigned int vcpu;
	int ret = 0;

	for (vcpu = 0; vcpu < r->info->num_vcpus && ret >= 0; vcpu++) {
		uint64_t number = o->from;

		if (number >= tt_log_num_events(r->log, vcpu))
			continue;
		ret = tt_log_seek_event(r->log, vcpu, number, &r->event_error);
		if (ret)
			return ret;
		for (; number <= o->to; number++) {
			json_t *one;

			ret = tt_log_next(r->log, vcpu, &event, &r->event_error);
			if (ret <= 0)
				break;
			one = event_json(number, &event);
			printf("%s\n  ", separator);
			separator = ",";
			if (!one || json_dumpf(one, stdout, JSON_COMPACT) < 0)
				ret = tt_fail(&r->event_error, -ENOMEM, "out of memory");
			json_decref(one);
		}
	}
	return ret < 0 ? ret : 0;
}

static int print_json(struct recording *r, const struct info_options *o)
{
	json_t *root = describe(r);
	char *text = root ? json_dumps(root, JSON_INDENT(1)) : NULL;
	int ret = 0;

	json_decref(root);
	if (!text)
		return tt_fail(&r->event_error, -EINVAL, "cannot be described in JSON: is its name not UTF-8 "
			       "text, or memory short?");
	if (!o->events) {
		puts(text);
	} else {
		/*
		 * A log can have millions of events, so they are written one by one, as the last
		 * member of the object.
		 */
		text[strlen(text) - strlen("\n}")] = '\0';
		printf("%s,\n \"event_list\": [", text);
		ret = print_json_events(r, o);
		puts("\n ]\n}");
	}
	free(text);
	return ret;
}

/* ------------------------------------------------------------------ the command */

static int show(struct recording *r, const struct info_options *o)
{
	int ret;

	sum_rebases(r);
	if (o->json) {
		ret = print_json(r, o);
	} else {
		print_text(r);
		ret = o->events ? print_events(r, o) : 0;
	}
	if (fflush(stdout) || ferror(stdout)) {
		say("the output could not be written: %s", strerror(errno));
		return EXIT_SETUP;
	}
	if (!r->has_config)
		say("%s: %s", r->path, r->config_error.text);
	if (ret || r->broken)
		say("%s: %s", r->path, r->event_error.text);
	if (r->info->status != TT_LOG_CLEAN)
		say("%s: %s", r->path, r->info->text);
	if (!r->has_config || ret || r->broken || r->info->status == TT_LOG_DAMAGED)
		return EXIT_BAD_LOG;
	return EXIT_OK;
}

/* Of the errors of tt_log_open(): is it the file's content? */
static bool is_bad_log(int error)
{
	return error == -EBADMSG || error == -ENODATA || error == -EPROTONOSUPPORT || error == -EIO;
}

int cmd_info(int argc, char **argv)
{
	struct info_options options;
	struct recording r = { 0 };
	struct tt_error err = { 0 };
	int ret = parse_options(argc, argv, &options);

	if (ret <= 0)
		return ret ? EXIT_SETUP : EXIT_OK;
	r.path = options.log;
	ret = tt_log_open(options.log, &r.log, &err);
	if (ret) {
		say_error(&err);
		return is_bad_log(ret) ? EXIT_BAD_LOG : EXIT_SETUP;
	}
	r.info = tt_log_info(r.log);
	r.has_config = !tt_config_load(r.log, &r.config, &r.facts, &r.strings, &r.config_error);
	ret = show(&r, &options);
	free(r.strings);
	tt_log_close(r.log);
	return ret;
}
