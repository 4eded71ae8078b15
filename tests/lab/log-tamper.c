// SPDX-License-Identifier: GPL-2.0
/*
 * log-tamper.c - negative controls: copy a log with one thing changed, to see that a replay notices it.
 *
 * usage: log-tamper IN OUT CHANGE [K]
 *
 * K is an event's number. The change is made at the first event from K on that it applies to, whose number is printed.
 *   drop, double          leave the event out, or write it twice
 *   drop-irq              leave out one that injects an interrupt
 *   branches+, branches-  move its position by one conditional branch (events between exits only)
 *   rip, check            change that part of its position
 *   rebase                let one millisecond more pass
 *   vector                inject another interrupt
 *   swap                  exchange what two neighbours do: rebase and vector. Vectors differ; two steps of the clock
 *                         that nobody looks at in between may well change places
 *   input                 change the first byte of an input's payload
 *   digest                change a logged digest
 *   state                 change the final digest of memory
 *   no-end                leave out the END
 *   none                  change nothing: the copy itself must replay
 *   cpuid, xsave          ask for a CPU feature that nobody has (a bit that stands for none), or for AVX-512
 *   no-model              leave out the name of the CPU model, as older versions did
 *   version               pretend that the file has another format version
 */
#include <fcntl.h>
#include <linux/kvm.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>
#include <xxhash.h>

#include "ttvm/log.h"

#define REBASE_MORE 2048000	/* a multiple of every quantum in use */

struct event_copy {
	struct tt_event event;
	unsigned char *payload;
};

static struct event_copy *events;
static size_t num_events;

static void die(const char *what, const struct tt_error *err)
{
	fprintf(stderr, "log-tamper: %s%s%s\n", what, err ? ": " : "", err ? err->text : "");
	exit(1);
}

static void load(struct tt_log *log)
{
	struct tt_error err = { 0 };
	struct tt_event event;
	int ret;

	events = calloc(tt_log_num_events(log, 0) + 2, sizeof(*events));
	while ((ret = tt_log_next(log, 0, &event, &err)) > 0) {
		struct event_copy *copy = &events[num_events++];

		copy->event = event;
		copy->payload = malloc(event.payload_len + 1);
		memcpy(copy->payload, event.payload, event.payload_len);
		copy->event.payload = copy->payload;
	}
	if (ret)
		die("cannot read", &err);
}

static bool is_timed(const struct tt_event *e)
{
	return e->kind == TT_EVENT_SYNC || e->kind == TT_EVENT_INPUT;
}

static void insert(size_t k)
{
	memmove(&events[k + 1], &events[k], (num_events - k) * sizeof(*events));
	num_events++;
}

static void drop(size_t k)
{
	memmove(&events[k], &events[k + 1], (num_events - k - 1) * sizeof(*events));
	num_events--;
}

static bool swap_effects(size_t k)
{
	struct tt_event *a = &events[k].event, *b;
	uint64_t rebase;
	int16_t vector;

	if (k + 1 >= num_events)
		return false;
	b = &events[k + 1].event;
	if (a->kind != TT_EVENT_SYNC || b->kind != TT_EVENT_SYNC ||
	    a->vector == b->vector)
		return false;
	rebase = a->rebase;
	vector = a->vector;
	a->rebase = b->rebase;
	a->vector = b->vector;
	b->rebase = rebase;
	b->vector = vector;
	return true;
}

/* Returns false when the change cannot be made at event k. */
static bool change_event(const char *change, size_t k)
{
	struct tt_event *e = &events[k].event;

	if (!strcmp(change, "drop") && is_timed(e)) {
		drop(k);
	} else if (!strcmp(change, "drop-irq") && is_timed(e) && e->vector > 0) {
		drop(k);
	} else if (!strcmp(change, "double") && is_timed(e)) {
		insert(k);
	} else if (!strcmp(change, "branches+") && is_timed(e) && !e->at_exit) {
		e->pos.branches++;
	} else if (!strcmp(change, "branches-") && is_timed(e) && !e->at_exit) {
		e->pos.branches--;
	} else if (!strcmp(change, "rip") && is_timed(e) && !e->at_exit) {
		e->pos.rip += 1;
	} else if (!strcmp(change, "check") && is_timed(e)) {
		e->pos.check ^= 0x10;
	} else if (!strcmp(change, "rebase") && is_timed(e)) {
		e->rebase += REBASE_MORE;
	} else if (!strcmp(change, "vector") && is_timed(e) && e->vector > 32) {
		e->vector ^= 1;
	} else if (!strcmp(change, "swap")) {
		return swap_effects(k);
	} else if (!strcmp(change, "input") && e->kind == TT_EVENT_INPUT && e->payload_len) {
		events[k].payload[0] ^= 1;
	} else if (!strcmp(change, "digest") && e->kind == TT_EVENT_DIGEST) {
		e->digest ^= 1;
	} else if (!strcmp(change, "state") && e->kind == TT_EVENT_END) {
		e->end.memory ^= 1;
	} else if (!strcmp(change, "no-end") && e->kind == TT_EVENT_END) {
		drop(k);
	} else {
		return false;
	}
	return true;
}

/* The configuration with another name for the CPU model's member, which nobody knows. */
static const void *without_model(const char *config, size_t size)
{
	char *copy = malloc(size), *member;

	memcpy(copy, config, size);
	member = memmem(copy, size, "\"cpu_model\"", strlen("\"cpu_model\""));
	if (!member)
		die("the log does not name the CPU model", NULL);
	member[1] = 'C';
	return copy;
}

static void write_log(struct tt_log *log, const char *path, const char *change)
{
	struct tt_log_section sections[TT_LOG_MAX_SECTIONS];
	struct tt_log_options options = { 0 };
	struct tt_log_writer *writer;
	struct tt_error err = { 0 };
	size_t i, j, n = tt_log_num_sections(log);

	for (i = 0; i < n; i++) {
		const void *data;
		size_t size;

		if (tt_log_section(log, tt_log_section_at(log, i)->name, &data, &size, &err))
			die("cannot read a section", &err);
		sections[i] = (struct tt_log_section){ tt_log_section_at(log, i)->name, data, size };
		if (!strcmp(sections[i].name, TT_LOG_SECTION_CONFIG) && !strcmp(change, "no-model"))
			sections[i].data = without_model(data, size);
		if (!strcmp(sections[i].name, TT_LOG_SECTION_CPUID) &&
		    (!strcmp(change, "cpuid") || !strcmp(change, "xsave"))) {
			struct kvm_cpuid2 *cpuid = malloc(size);

			memcpy(cpuid, data, size);
			sections[i].data = cpuid;
			for (j = 0; j < cpuid->nent; j++) {
				if (cpuid->entries[j].function == 7 && !strcmp(change, "xsave"))
					cpuid->entries[j].ebx |= 1u << 16;
				if (cpuid->entries[j].function == 1 && !strcmp(change, "cpuid"))
					cpuid->entries[j].edx |= 1u << 20 | 1u << 30;
			}
		}
	}
	if (tt_log_writer_create(path, sections, n, &options, &writer, &err))
		die("cannot write", &err);
	for (i = 0; i < num_events; i++)
		if (tt_log_append(writer, &events[i].event))
			die("the writer refuses the changed event", NULL);
	if (tt_log_writer_close(writer, NULL, &err))
		die("cannot close", &err);
}

/* Another version in the first header, with the hash that it needs (see replay/log_format.h). */
static void change_version(const char *path)
{
	unsigned char header[8192];
	uint32_t size, version;
	uint64_t hash;
	int fd = open(path, O_RDWR);

	if (fd < 0 || pread(fd, header, sizeof(header), 0) < 64)
		die("cannot change the version", NULL);
	memcpy(&size, header + 4, 4);
	memcpy(&version, header + 37, 4);
	version++;
	memcpy(header + 37, &version, 4);
	hash = XXH64(header + 16, size - 8, 0);
	memcpy(header + 8, &hash, 8);
	if (pwrite(fd, header, 8 + size, 0) != (ssize_t)(8 + size))
		die("cannot change the version", NULL);
	close(fd);
}

static bool changes_an_event(const char *change)
{
	return strcmp(change, "cpuid") && strcmp(change, "xsave") && strcmp(change, "version") &&
	       strcmp(change, "no-model") && strcmp(change, "none");
}

int main(int argc, char **argv)
{
	struct tt_error err = { 0 };
	struct tt_log *log;
	size_t k;

	if (argc < 4 || argc > 5)
		die("usage: log-tamper IN OUT CHANGE [K]", NULL);
	if (tt_log_open(argv[1], &log, &err))
		die("cannot open", &err);
	load(log);
	k = argc > 4 ? strtoull(argv[4], NULL, 0) : 0;
	if (changes_an_event(argv[3])) {
		bool done = false;

		for (; k < num_events && !done; k += !done)
			done = change_event(argv[3], k);
		if (!done)
			die("no event from there on that this change applies to", NULL);
		printf("%zu\n", k);
	}
	write_log(log, argv[2], argv[3]);
	tt_log_close(log);
	if (!strcmp(argv[3], "version"))
		change_version(argv[2]);
	return 0;
}
