// SPDX-License-Identifier: GPL-2.0
/*
 * perfetto.c - writing Chrome's JSON trace events ("Trace Event Format", the Chromium project).
 *
 * An object whose traceEvents is an array of entries: ph is "M" (a name), "i" (an instant) or "X" (with a duration), ts
 * and dur are in microseconds, pid and tid make a track. Perfetto's own format is protobuf, which needs a library to
 * write and cannot be read by eye or jq; its user interface reads both.
 *
 * One entry stands on a line, so the file can be written as it comes. ts is written with three decimals: exact to the
 * nanosecond.
 */
#include <errno.h>
#include <stdarg.h>
#include <string.h>

#include "perfetto.h"

#define PID 1
#define NAME_MAX_BYTES 256

static const char *track_name(unsigned int track, char text[32])
{
	static const char *const names[] = {
		[PERFETTO_VCPU] = "vCPU 0",
		[PERFETTO_INTERRUPTS] = "interrupts",
		[PERFETTO_EVENTS] = "log",
		[PERFETTO_CONSOLE] = "console",
		[PERFETTO_EXITS] = "exits",
	};

	if (track < PERFETTO_DISK)
		return names[track];
	if (track < PERFETTO_NET)
		snprintf(text, 32, "disk %u", track - PERFETTO_DISK);
	else
		snprintf(text, 32, "network %u", track - PERFETTO_NET);
	return text;
}

/* ------------------------------------------------------------------ text */

static void put(struct perfetto *p, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void put(struct perfetto *p, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	if (!p->error && vfprintf(p->file, format, args) < 0)
		p->error = errno ? -errno : -EIO;
	va_end(args);
}

static void put_json(struct perfetto *p, json_t *value)
{
	if (!value) {
		p->error = p->error ? p->error : -ENOMEM;
		return;
	}
	if (!p->error && json_dumpf(value, p->file, JSON_COMPACT | JSON_ENCODE_ANY))
		p->error = errno ? -errno : -EIO;
	json_decref(value);
}

/* JSON is UTF-8, a guest's console is anything. */
static void put_text(struct perfetto *p, const char *text)
{
	char printable[NAME_MAX_BYTES];
	size_t i;

	for (i = 0; i < sizeof(printable) - 1 && text[i]; i++)
		printable[i] = text[i] >= ' ' && text[i] <= '~' ? text[i] : '?';
	printable[i] = '\0';
	put_json(p, json_string(printable));
}

/* ------------------------------------------------------------------ entries */

static void put_name(struct perfetto *p, const char *what, unsigned int track, const char *name)
{
	put(p, ",\n{\"ph\":\"M\",\"pid\":%d,\"tid\":%u,\"name\":\"%s_name\",\"args\":{\"name\":", PID, track, what);
	put_text(p, name);
	put(p, "}}");
}

static void put_entry(struct perfetto *p, unsigned int track, char ph, uint64_t ns, uint64_t duration, const char *name,
		      json_t *args)
{
	char text[32];

	if (++p->seen <= p->written) {
		json_decref(args);
		return;
	}
	p->written++;
	if (!(p->named & 1u << track)) {
		p->named |= 1u << track;
		put_name(p, "thread", track, track_name(track, text));
		put(p, ",\n{\"ph\":\"M\",\"pid\":%d,\"tid\":%u,\"name\":\"thread_sort_index\","
		       "\"args\":{\"sort_index\":%u}}", PID, track, track);
	}
	if (ns < p->last[track])
		ns = p->last[track];
	p->last[track] = ns;
	put(p, ",\n{\"ph\":\"%c\",\"pid\":%d,\"tid\":%u,\"ts\":%llu.%03llu", ph, PID, track, (unsigned long long)ns / 1000,
	    (unsigned long long)ns % 1000);
	if (ph == 'X')
		put(p, ",\"dur\":%llu.%03llu", (unsigned long long)duration / 1000, (unsigned long long)duration % 1000);
	else
		put(p, ",\"s\":\"t\"");
	put(p, ",\"name\":");
	put_text(p, name);
	if (args) {
		put(p, ",\"args\":");
		put_json(p, args);
	}
	put(p, "}");
}

void perfetto_instant(struct perfetto *p, unsigned int track, uint64_t ns, const char *name, json_t *args)
{
	put_entry(p, track, 'i', ns, 0, name, args);
}

void perfetto_slice(struct perfetto *p, unsigned int track, uint64_t ns, uint64_t duration, const char *name,
		    json_t *args)
{
	put_entry(p, track, 'X', ns, duration, name, args);
}

/* ------------------------------------------------------------------ the file */

int perfetto_create(struct perfetto *p, const char *path, const char *log, bool exact, struct tt_error *err)
{
	*p = (struct perfetto){ .file = strcmp(path, "-") ? fopen(path, "we") : stdout };
	if (!p->file)
		return tt_fail(err, -errno, "%s: %s", path, strerror(errno));
	put(p, "{\"displayTimeUnit\":\"ns\",\"otherData\":{\"ttvm\":\"%s\",\"times\":\"%s\"},\n\"traceEvents\":[\n"
	       "{\"ph\":\"M\",\"pid\":%d,\"name\":\"process_labels\",\"args\":{\"labels\":\"%s\"}}", TTVM_VERSION,
	    exact ? "virtual time" : "at least", PID, exact ? "virtual time" : "times are lower bounds");
	put_name(p, "process", 0, log);
	return 0;
}

void perfetto_restart(struct perfetto *p)
{
	p->seen = 0;
}

int perfetto_finish(struct perfetto *p)
{
	put(p, "\n]}\n");
	if (fflush(p->file) && !p->error)
		p->error = -errno;
	if (p->file != stdout && fclose(p->file) && !p->error)
		p->error = -errno;
	p->file = NULL;
	return p->error;
}
