/* SPDX-License-Identifier: GPL-2.0 */
/*
 * ttvm.h - what the subcommands of the ttvm command share. Each subcommand is one file with one function cmd_NAME().
 */
#ifndef TTVM_TOOLS_H
#define TTVM_TOOLS_H

#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "console.h"
#include "replay.h"
#include "vmm.h"

/* Exit status, as in ttvm(1). */
enum {
	EXIT_OK = 0,
	EXIT_SETUP = 1,		/* usage or set-up error */
	EXIT_CRASH = 2,		/* the guest crashed (triple fault) */
	EXIT_DIVERGED = 3,
	EXIT_BAD_LOG = 4,	/* damaged or unreadable */
	EXIT_LOG_ENDED = 5,	/* recording ended early: disk full, I/O error */
};

/* ---- command.c: tables of commands ---- */

struct command {
	const char *name;
	int (*run)(int argc, char **argv);
	const char *summary;
};

/* "  name     summary", a line each. */
void commands_list(FILE *out, const struct command *commands, size_t count);
/* NULL: no such command. */
const struct command *commands_find(const struct command *commands, size_t count, const char *name);
bool is_help_word(const char *word); /* --help, -h, help */

int cmd_run(int argc, char **argv);
int cmd_replay(int argc, char **argv);
int cmd_debug(int argc, char **argv);
int cmd_dump(int argc, char **argv);
int cmd_profile(int argc, char **argv);
int cmd_fork(int argc, char **argv);
int cmd_verify(int argc, char **argv);
int cmd_info(int argc, char **argv);
int cmd_trace(int argc, char **argv);
int cmd_ctl(int argc, char **argv);
int cmd_disk(int argc, char **argv);
int cmd_pack(int argc, char **argv);
int cmd_unpack(int argc, char **argv);
int cmd_doctor(int argc, char **argv);

/* ---- message.c: what is said to the user, and how words become numbers ---- */

/* "ttvm: " + text + newline on stderr. */
__attribute__((format(printf, 1, 2))) void say(const char *format, ...);
/* The same for an error; returns EXIT_SETUP. */
int say_error(const struct tt_error *err);
/* "512M", "2G", "4096K", plain bytes. False when it is not a size. */
bool parse_size(const char *text, uint64_t *bytes);
bool parse_number(const char *text, uint64_t *value);
bool parse_seconds(const char *text, double *seconds);
/* Seconds on the monotonic clock. */
double seconds_now(void);

/* ---- file.c: whole files ---- */

/* Map a file read-only. Release with unmap_file(). */
int map_file(const char *path, struct tt_blob *blob, struct tt_error *err);
void unmap_file(struct tt_blob *blob);

/* ---- socket.c: unix sockets by path, TCP; a descriptor or -errno ---- */

int unix_connect(const char *path, struct tt_error *err);
/* Non-blocking, for this user only. A socket that nobody listens on any more is replaced. */
int unix_listen(const char *path, struct tt_error *err);
/* Where somebody listens, as gdb's `target remote` takes it: a path, or HOST:PORT. */
#define LISTEN_NAME_MAX 128
/*
 * Listen at [HOST:]PORT, by default for this machine only, or at a path, which contains a slash. name becomes what to connect
 * to; port 0 is any free one.
 */
int listen_at(const char *where, char name[LISTEN_NAME_MAX], struct tt_error *err);

/* ---- watch.c: signals, time limit, progress, while a machine runs ---- */

struct watch {
	pthread_t thread;
	struct tt_machine *machine;
	double timeout;			/* seconds, 0: none */
	void (*progress)(void *ctx);	/* called about 5 times a second, may be NULL */
	void *progress_ctx;
	volatile bool done;
	volatile sig_atomic_t caught;	/* the signal that asked to stop */
	bool timed_out;
};

/* Block the signals that watch_start()'s thread will take; first thing in a subcommand, before any thread. */
void watch_block_signals(void);
/* Where no watch is at work: does one of these signals wait? */
bool watch_wants_end(void);
int watch_start(struct watch *watch, struct tt_error *err);
void watch_stop(struct watch *watch);

/* ---- registers.c ---- */

/* All registers of a settled vCPU on stdout. */
int print_registers(struct tt_vcpu *vcpu);

/* ---- stats.c ---- */

/* Counts of a run as one JSON object in a file, for scripts and the benchmark. */
int write_stats(const char *path, const char *what, double seconds, const struct tt_run_counts *counts,
		const struct tt_log_stats *log, struct tt_error *err);

#endif /* TTVM_TOOLS_H */
