// SPDX-License-Identifier: GPL-2.0
/*
 * disk_text.c - words for times, sizes and names.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "disk.h"

#define NS 1000000000ll

void disk_time_text(int64_t ns, char text[DISK_TIME_SIZE])
{
	int64_t rest = ((ns % NS) + NS) % NS;
	time_t seconds = (ns - rest) / NS;
	struct tm tm;
	size_t len;

	if (!gmtime_r(&seconds, &tm)) {
		snprintf(text, DISK_TIME_SIZE, "?");
		return;
	}
	len = strftime(text, DISK_TIME_SIZE, "%Y-%m-%dT%H:%M:%S", &tm);
	snprintf(text + len, DISK_TIME_SIZE - len, ".%09lldZ", (long long)rest);
}

/* Exactly n digits. */
static bool parse_digits(const char **p, int n, int *value)
{
	for (*value = 0; n; n--, (*p)++) {
		if (**p < '0' || **p > '9')
			return false;
		*value = 10 * *value + (**p - '0');
	}
	return true;
}

static bool parse_fields(const char **p, const char *separators, int *fields, int count)
{
	int i;

	for (i = 0; i < count; i++) {
		if (i) {
			/* RFC 3339: T and Z may be lower case, and a blank may be between date and time */
			bool between = separators[i - 1] == 'T' && (**p == 't' || **p == ' ');

			if (**p != separators[i - 1] && !between)
				return false;
			(*p)++;
		}
		if (!parse_digits(p, separators[0] == '-' && !i ? 4 : 2, &fields[i]))
			return false;
	}
	return true;
}

bool disk_time_parse(const char *text, int64_t *ns)
{
	int f[6], offset[2] = { 0 }, sign, digit = 0;
	int64_t fraction = 0, unit = NS;
	const char *p = text;
	struct tm tm = { 0 };
	time_t seconds;

	if (!parse_fields(&p, "--T::", f, 6))
		return false;
	if (*p == '.') {
		p++;
		if (*p < '0' || *p > '9')
			return false;
		for (; *p >= '0' && *p <= '9'; p++) {
			digit = *p - '0';
			unit /= 10;
			fraction += digit * unit;
		}
	}
	if (*p == 'Z' || *p == 'z') {
		sign = 0;
		p++;
	} else if (*p == '+' || *p == '-') {
		sign = *p++ == '+' ? 1 : -1;
		if (!parse_fields(&p, ":", offset, 2) || offset[0] > 23 || offset[1] > 59)
			return false;
	} else {
		return false;
	}
	if (*p || f[1] < 1 || f[1] > 12 || f[2] < 1 || f[2] > 31 || f[3] > 23 || f[4] > 59 || f[5] > 60)
		return false;
	tm.tm_year = f[0] - 1900;
	tm.tm_mon = f[1] - 1;
	tm.tm_mday = f[2];
	tm.tm_hour = f[3];
	tm.tm_min = f[4];
	tm.tm_sec = f[5];
	seconds = timegm(&tm);
	/* timegm() turns February 30 into March */
	if (seconds < 0 || seconds >= INT64_MAX / NS - 86400 || tm.tm_mon != f[1] - 1)
		return false;
	*ns = (seconds - sign * (offset[0] * 3600ll + offset[1] * 60)) * NS + fraction;
	return *ns >= 0;
}

void disk_size_text(uint64_t bytes, char *text, size_t size)
{
	static const char *const units[] = { "bytes", "KiB", "MiB", "GiB", "TiB" };
	double value = bytes;
	size_t unit = 0;

	while (value >= 1024 && unit < 4) {
		value /= 1024;
		unit++;
	}
	snprintf(text, size, "%.*f %s", unit && value < 100 ? 1 : 0, value, units[unit]);
}

void disk_print(const char *text)
{
	for (; *text; text++)
		putchar((unsigned char)*text < ' ' || *text == 0x7f ? '?' : *text);
}

/* The length of the character at s if it is proper UTF-8, else 0; jansson is the judge of the fine points. */
static size_t character(const char *s)
{
	unsigned char c = *s;
	size_t len = c < 0x80 ? 1 : c >= 0xf0 ? 4 : c >= 0xe0 ? 3 : c >= 0xc2 ? 2 : 0;
	json_t *probe;

	if (strnlen(s, len) < len || !len)
		return 0;
	probe = json_stringn(s, len);
	json_decref(probe);
	return probe ? len : 0;
}

json_t *disk_json_text(const char *text)
{
	json_t *json = json_string(text);
	char *copy, *to;
	size_t len;

	if (json)
		return json;
	to = copy = malloc(3 * strlen(text) + 1);
	if (!copy)
		return NULL;
	while (*text) {
		len = character(text);
		if (len) {
			memcpy(to, text, len);
			text += len;
			to += len;
		} else {
			memcpy(to, "\xef\xbf\xbd", 3);
			text++;
			to += 3;
		}
	}
	*to = '\0';
	json = json_string(copy);
	free(copy);
	return json;
}

int disk_print_json(json_t *json)
{
	int ret = json ? json_dumpf(json, stdout, JSON_INDENT(1)) : -1;

	json_decref(json);
	if (ret) {
		say("the JSON could not be made: out of memory?");
		return EXIT_SETUP;
	}
	putchar('\n');
	return disk_end_output();
}
