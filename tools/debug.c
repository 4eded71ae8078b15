// SPDX-License-Identifier: GPL-2.0
/*
 * debug.c - ttvm debug: gdb on a recording, forward and back.
 */
#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "debug_script.h"
#include "debug_target.h"
#include "ttvm.h"

#define MAX_GDB_ARGUMENTS 100
#define MAX_FILES 32 /* of symbols */

enum {
	OPT_TO_INSTR = 256,
	OPT_GDB,
	OPT_SYMBOLS,
	OPT_DISK,
	OPT_CHECKPOINT_SPACE, OPT_NO_CACHE,
};

static const struct option long_options[] = {
	{ "to-instr", required_argument, NULL, OPT_TO_INSTR },
	{ "gdb", required_argument, NULL, OPT_GDB },
	{ "symbols", required_argument, NULL, OPT_SYMBOLS },
	{ "disk", required_argument, NULL, OPT_DISK },
	{ "checkpoint-space", required_argument, NULL, OPT_CHECKPOINT_SPACE },
	{ "no-cache", no_argument, NULL, OPT_NO_CACHE },
	{ "help", no_argument, NULL, 'h' },
	{ 0 },
};

static const char help[] =
	"usage: ttvm debug LOG [OPTION]... [-- GDB-ARGUMENT...]\n\n"
	"Look at a recording in gdb, and run it forward and back: all of gdb's reverse commands work, and\n"
	"`monitor help` lists what there is besides. What stands behind -- goes to gdb.\n\n"
	"      --to-instr N   begin after exactly N instructions (0)\n"
	"      --symbols FILE names of functions and variables: an ELF file with symbols, as vmlinux or a\n"
	"                     program of the guest, System.map, or the guest's /proc/kallsyms; KASLR is taken\n"
	"                     care of. FILE@ADDRESS is loaded at ADDRESS (hexadecimal). Again for more files\n"
	"      --gdb WHERE    start no gdb, but let any connect there: [HOST:]PORT (of this machine by\n"
	"                     default), or the path of a unix socket, with a slash in it\n"
	"      --disk FILE    where the recording's first disk (.ttd) is now; again for the second, and so\n"
	"                     on (default: in the folder of the log, or where it was)\n"
	"      --checkpoint-space SIZE   memory for checkpoints, as in 512M (512M)\n"
	"      --no-cache     do not keep them in LOG.checkpoints for the next session\n"
	"  -h, --help         this text\n\n"
	"Exit status: 0 success, 1 usage or set-up error, 3 divergence, 4 damaged or unreadable log;\n"
	"that of gdb when it is started.\n";

struct debug_options {
	struct recording_options recording;
	const char *disks[TT_MAX_DISKS];
	const char *gdb;	/* where to listen, or NULL */
	char **gdb_arguments;	/* up to a NULL */
	const char *symbols[MAX_FILES];
	unsigned int num_symbols;
	char cache[PATH_MAX];
};

static int parse_options(int argc, char **argv, struct debug_options *o)
{
	struct recording_options *r = &o->recording;
	bool no_cache = false;
	int c;

	optind = 1;
	while ((c = getopt_long(argc, argv, "h", long_options, NULL)) != -1) {
		switch (c) {
		case OPT_TO_INSTR:
			if (parse_number(optarg, &r->instruction))
				break;
			say("--to-instr %s: not a number", optarg);
			return -1;
		case OPT_GDB:
			o->gdb = optarg;
			break;
		case OPT_SYMBOLS:
			if (o->num_symbols == MAX_FILES) {
				say("--symbols: %d files at most", MAX_FILES);
				return -1;
			}
			o->symbols[o->num_symbols++] = optarg;
			break;
		case OPT_DISK:
			if (r->num_disks == TT_MAX_DISKS) {
				say("--disk: %d disks at most", TT_MAX_DISKS);
				return -1;
			}
			o->disks[r->num_disks++] = optarg;
			break;
		case OPT_CHECKPOINT_SPACE:
			if (parse_size(optarg, &r->checkpoint_bytes) && r->checkpoint_bytes)
				break;
			say("--checkpoint-space %s: not a size", optarg);
			return -1;
		case OPT_NO_CACHE:
			no_cache = true;
			break;
		case 'h':
			fputs(help, stdout);
			return 0;
		default:
			say("`ttvm debug --help` lists the options");
			return -1;
		}
	}
	/* getopt_long() has moved everything that is no option to the end, with a "--" in front of it if there was one. */
	if (optind == argc || (optind + 1 < argc && strcmp(argv[optind - 1], "--"))) {
		say("one log, please; usage: ttvm debug LOG [OPTION]... [-- GDB-ARGUMENT...]");
		return -1;
	}
	r->log = argv[optind];
	if (!no_cache && snprintf(o->cache, sizeof(o->cache), "%s" TT_CHECKPOINT_SUFFIX, r->log) < (int)sizeof(o->cache))
		r->cache = o->cache;
	r->disks = o->disks;
	o->gdb_arguments = &argv[optind + 1];
	if (argc - optind - 1 > MAX_GDB_ARGUMENTS) {
		say("%d arguments for gdb at most", MAX_GDB_ARGUMENTS);
		return -1;
	}
	if (o->gdb && *o->gdb_arguments) {
		say("--gdb: no gdb is started, so %s is for nobody", *o->gdb_arguments);
		return -1;
	}
	if (o->gdb && o->num_symbols) {
		say("--gdb: no gdb is started, so --symbols is for nobody; say `add-symbol-file` to the one that connects");
		return -1;
	}
	return 1;
}

static void message(void *ctx, const char *text)
{
	(void)ctx;
	say("%s", text);
}

/* Until a signal, or until a client has ended the session. */
static void serve(struct tt_debug_target *target)
{
	const struct timespec moment = { .tv_nsec = 200000000 };
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGHUP);
	while (!recording_target_killed(target) && sigtimedwait(&set, NULL, &moment) < 0)
		;
}

/* gdb in the foreground; returns its exit status. The terminal's Ctrl-C is for it: here it is blocked. */
static int run_gdb(const struct debug_options *o, const char *name, const char *script)
{
	/* A `monitor goto` to the other end of a recording takes longer than gdb waits for an answer. */
	char *argv[MAX_GDB_ARGUMENTS + 10] = { "gdb", "-q", "-iex", "set remotetimeout 600", "-ix", (char *)script };
	char connect[LISTEN_NAME_MAX + 32];
	int argc = 6, i, status;
	sigset_t none;
	pid_t pid;

	/* gdb reads symbols first, wherever they stand, then obeys commands in their order. */
	snprintf(connect, sizeof(connect), "target remote %s", name);
	argv[argc++] = "-ex";
	argv[argc++] = connect;
	for (i = 0; o->gdb_arguments[i]; i++)
		argv[argc++] = o->gdb_arguments[i];
	pid = fork();
	if (!pid) {
		sigemptyset(&none);
		sigprocmask(SIG_SETMASK, &none, NULL);
		execvp(argv[0], argv);
		say("gdb: %s; is it installed? --gdb serves one that runs elsewhere", strerror(errno));
		_exit(EXIT_SETUP);
	}
	if (pid < 0 || waitpid(pid, &status, 0) < 0) {
		say("cannot start gdb: %s", strerror(errno));
		return EXIT_SETUP;
	}
	return WIFEXITED(status) ? WEXITSTATUS(status) : EXIT_SETUP;
}

static int serve_at(const char *where, const struct debug_options *o, struct tt_debug_target *target, const char *folder)
{
	struct tt_gdb_options options = { .target = target, .message = message, .looks_again = !o->gdb };
	char name[LISTEN_NAME_MAX], script[PATH_MAX];
	struct tt_gdb_server *server = NULL;
	struct tt_error err = { 0 };
	int status = EXIT_OK;

	options.listen_fd = listen_at(where, name, &err);
	if (options.listen_fd < 0 || tt_gdb_start(&options, &server, &err)) {
		status = say_error(&err);
	} else if (o->gdb) {
		say("gdb can connect: target remote %s", name);
		serve(target);
	} else {
		snprintf(script, sizeof(script), "%s/%s", folder, DEBUG_SCRIPT);
		status = run_gdb(o, name, script);
	}
	tt_gdb_stop(server);
	if (options.listen_fd >= 0 && strchr(name, '/'))
		unlink(name);
	return status;
}

static int serve_recording(const struct debug_options *o, struct tt_debug_target *target)
{
	const struct tt_memory *mem = &recording_target_machine(target)->memory;
	char folder[] = "/tmp/ttvm-debug.XXXXXX", where[64];
	struct tt_error err = { 0 };
	int status;

	if (o->gdb)
		return serve_at(o->gdb, o, target, NULL);
	if (!mkdtemp(folder)) {
		say("%s: %s", folder, strerror(errno));
		return EXIT_SETUP;
	}
	snprintf(where, sizeof(where), "%s/gdb", folder);
	if (debug_script_write(folder, o->symbols, o->num_symbols, mem, &err))
		status = say_error(&err);
	else
		status = serve_at(where, o, target, folder);
	debug_script_remove(folder, o->num_symbols);
	rmdir(folder);
	return status;
}

int cmd_debug(int argc, char **argv)
{
	struct debug_options o = { 0 };
	struct tt_debug_target *target;
	struct tt_error err = { 0 };
	int status, ret = parse_options(argc, argv, &o);

	if (ret <= 0)
		return ret ? EXIT_SETUP : EXIT_OK;
	watch_block_signals();
	ret = recording_target_create(&o.recording, &target, &err);
	if (ret) {
		say_error(&err);
		return ret == -EBADE ? EXIT_DIVERGED : ret == -EBADMSG || ret == -ENODATA || ret == -EPROTONOSUPPORT ?
								EXIT_BAD_LOG : EXIT_SETUP;
	}
	status = serve_recording(&o, target);
	recording_target_destroy(target);
	return status;
}
