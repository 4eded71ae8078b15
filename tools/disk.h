/* SPDX-License-Identifier: GPL-2.0 */
/*
 * disk.h - what the subcommands of `ttvm disk` share. A subcommand is a function disk_cmd_NAME() in the file disk_NAME.c, or
 * in that of a relative.
 */
#ifndef TTVM_TOOLS_DISK_H
#define TTVM_TOOLS_DISK_H

#include <jansson.h>

#include "disk_source.h"
#include "ttdisk.h"
#include "ttvm.h"

int disk_cmd_create(int argc, char **argv);
int disk_cmd_branch(int argc, char **argv);
int disk_cmd_info(int argc, char **argv);
int disk_cmd_log(int argc, char **argv);
int disk_cmd_mark(int argc, char **argv);
int disk_cmd_unmark(int argc, char **argv);
int disk_cmd_diff(int argc, char **argv);
int disk_cmd_export(int argc, char **argv);
int disk_cmd_mount(int argc, char **argv);
int disk_cmd_gc(int argc, char **argv);
int disk_cmd_check(int argc, char **argv);

/* How T is written; for the help texts. */
#define DISK_POINT_HELP                                                                                               \
	"T is base, now, epoch:K (the end of that epoch), mark:NAME, time:2026-01-31T12:00:00Z, or\n"                 \
	"instr:N@LOG (as the guest had it after N instructions of that recording).\n"
#define DISK_STATUS_HELP                                                                                              \
	"Exit status: 0 success, 1 usage or set-up error, 4 damaged history, base or file system.\n"

/* ---- disk.c ---- */

/*
 * After getopt_long(): exactly `count` arguments, or say what is missing. usage is "ttvm disk NAME DISK ..."; returns the
 * arguments, or NULL.
 */
char **disk_arguments(int argc, char **argv, int count, const char *usage);
/* Say err and return the exit status for it. */
int disk_fail(int ret, const struct tt_error *err);
/* Flush stdout; the exit status: EXIT_OK, or EXIT_SETUP after saying that it could not be written. */
int disk_end_output(void);

/* ---- disk_point.c: which disk, and when ---- */

#define DISK_PATH_SIZE 4096

/* A point in time, with room for its name. */
struct disk_point {
	struct ttdisk_point point;
	char name[TTDISK_DEPARTURE_SIZE];
};

/* The history of a disk that was named by it, or by its raw image. -ENOENT, -EINVAL. */
int disk_history(const char *disk, char history[DISK_PATH_SIZE], struct tt_error *err);
/* Parse T. point must stay where it is. -EINVAL, or the error of opening LOG. */
int disk_point_parse(const char *text, struct disk_point *point, struct tt_error *err);
/* Open the disk that the user named at the T that the user gave. */
int disk_open_at(const char *disk, enum ttdisk_mode mode, const char *t, struct ttdisk **opened, struct tt_error *err);
/* An open disk as a source; disk stays its owner. */
struct disk_source disk_source_of(struct ttdisk *disk);

/* ---- disk_text.c: words for numbers ---- */

#define DISK_TIME_SIZE 40

/* RFC 3339, UTC, as precise as it must be to be given back as time:... */
void disk_time_text(int64_t ns, char text[DISK_TIME_SIZE]);
/* The same back; false when it is not such a time. */
bool disk_time_parse(const char *text, int64_t *ns);
/* "1.5 MiB" */
void disk_size_text(uint64_t bytes, char *text, size_t size);
/* Text from a guest's disk must not steer the terminal of who reads it. */
void disk_print(const char *text);
/* A JSON string of text that need not be UTF-8: other bytes become U+FFFD. */
json_t *disk_json_text(const char *text);
/* Print and free an array or object (NULL: memory was short); returns the exit status. */
int disk_print_json(json_t *json);

/* ---- disk_export.c ---- */

/* The nbdkit plugin beside this program, or where `make install` puts it. -ENOENT */
int disk_plugin_path(char path[DISK_PATH_SIZE], struct tt_error *err);
/* What the plugin is told, "history=..." and "departure=...": the point at which the disk is open, for good. */
#define DISK_PLUGIN_ARGUMENT (DISK_PATH_SIZE + 16)
int disk_plugin_arguments(struct ttdisk *disk, char history[DISK_PLUGIN_ARGUMENT], char departure[DISK_PLUGIN_ARGUMENT],
			  struct tt_error *err);

#endif /* TTVM_TOOLS_DISK_H */
