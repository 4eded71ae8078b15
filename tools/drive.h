/* SPDX-License-Identifier: GPL-2.0 */
/*
 * drive.h - a machine that lives: its console, control socket, debugger, signals and time limit, and what is said at the end. Shared
 * by ttvm run and ttvm fork.
 */
#ifndef TTVM_TOOLS_DRIVE_H
#define TTVM_TOOLS_DRIVE_H

#include <getopt.h>

#include "ttvm.h"

struct drive_options {
	const char *console;
	const char *control;	/* path of a socket, or NULL */
	const char *gdb;	/* where a debugger can connect, or NULL */
	bool gdb_wait;
	const char *record;	/* NULL: do not record */
	const char *stats;
	double timeout;
	double digest_every;
	double checkpoint_every; /* seconds of the guest's time; 0: none */
	uint64_t checkpoint_bytes;
	bool run_on;
	bool pause_on_disk_error;
	bool guest_status;
	bool quiet;
};

/* Their options, for getopt_long(3); a command's own begin at OPT_OWN. */
enum {
	OPT_CONSOLE = 256,
	OPT_CONTROL,
	OPT_STATS,
	OPT_TIMEOUT,
	OPT_DIGEST_EVERY,
	OPT_ON_LOG_ERROR,
	OPT_ON_DISK_ERROR,
	OPT_GUEST_STATUS,
	OPT_OWN,
};

#define DRIVE_LONG_OPTIONS \
	{ "timeout", required_argument, NULL, OPT_TIMEOUT }, \
	{ "console", required_argument, NULL, OPT_CONSOLE }, \
	{ "control", required_argument, NULL, OPT_CONTROL }, \
	{ "digest-every", required_argument, NULL, OPT_DIGEST_EVERY }, \
	{ "on-log-error", required_argument, NULL, OPT_ON_LOG_ERROR }, \
	{ "on-disk-error", required_argument, NULL, OPT_ON_DISK_ERROR }, \
	{ "guest-status", no_argument, NULL, OPT_GUEST_STATUS }, \
	{ "stats", required_argument, NULL, OPT_STATS }, \
	{ "quiet", no_argument, NULL, 'q' }

/* 1: it was one of these; 0: it is none; -1: its argument makes no sense, which was said. */
int drive_option(struct drive_options *o, int c, const char *argument);

/* A recorder as the options say. origin is zero for what is not a fork; the rest as in struct tt_recorder_options. */
int drive_create_recorder(const struct drive_options *o, const struct tt_machine_config *config, const char *id,
			  const struct tt_disk_source *disks, const struct tt_origin *origin,
			  struct tt_recorder **recorder, struct tt_error *err);

/* The guest's output goes to the console, the machine's messages to the user. */
void drive_connect(struct tt_machine *m, struct console *console);

/*
 * Let the machine run, by run(m), which returns when it has ended, as tt_machine_run() does; recorder is NULL in an ordinary
 * run. The console is closed. Returns the exit status; run is not called when something cannot be set up.
 */
int drive_machine(const struct drive_options *o, struct tt_machine *m, struct tt_recorder *recorder,
		  struct console *console, int (*run)(struct tt_machine *m));

#endif /* TTVM_TOOLS_DRIVE_H */
