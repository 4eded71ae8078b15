// SPDX-License-Identifier: GPL-2.0
/*
 * fork.c - ttvm fork: from an instruction of a recording on, live, with other input; a new recording, and new disks.
 *
 * The recording is replayed up to there, and what was replayed is copied into the new one, which is therefore whole: it is
 * replayed, debugged and forked like any other. Its disks are branches of the old ones at the old recording's departure;
 * the replay writes to them what the guest wrote up to the fork.
 */
#include <errno.h>
#include <getopt.h>
#include <libgen.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "drive.h"
#include "guest.h"
#include "net.h"
#include "replay_log.h"

#define MAX_TRIES 6
#define MARGIN_GROWTH 4
#define FIRST_MARGIN 64
#define DEFAULT_LOG "fork.zst"
#define LOG_SUFFIX ".zst"
#define ENTER "\r"

struct fork_options {
	struct drive_options drive;
	struct guest_options nets;	/* only those of it */
	const char *log;
	struct tt_goal goal;		/* where it leaves the recording; or */
	const char *mark;
	unsigned int num_goals;		/* that were given */
	uint64_t instruction;		/* the same, when it is known */
	const char *type;		/* what is typed at the fork, or NULL */
	const char *disks[TT_MAX_DISKS]; /* where the recording's are now */
	unsigned int num_disks;
	const char *branches[TT_MAX_DISKS];
	unsigned int num_branches;
};

enum { OPT_TO_INSTR = OPT_OWN, OPT_TO_EVENT, OPT_TO_MARK, OPT_AT_FORK, OPT_BRANCH, OPT_NET };

static const struct option long_options[] = {
	{ "to-instr", required_argument, NULL, OPT_TO_INSTR },
	{ "to-event", required_argument, NULL, OPT_TO_EVENT },
	{ "to-mark", required_argument, NULL, OPT_TO_MARK },
	{ "record", required_argument, NULL, 'r' },
	{ "at-fork", required_argument, NULL, OPT_AT_FORK },
	{ "disk", required_argument, NULL, 'd' },
	{ "branch", required_argument, NULL, OPT_BRANCH },
	{ "net", required_argument, NULL, OPT_NET },
	DRIVE_LONG_OPTIONS,
	{ "help", no_argument, NULL, 'h' },
	{ 0 },
};

static const char help[] =
	"usage: ttvm fork LOG --to-instr N|--to-event K|--to-mark NAME [OPTION]...\n\n"
	"Let the guest of a recording live on from there, with other input than it got then. That is a new\n"
	"recording, with disks of its own; the old ones stay as they are.\n\n"
	"      --to-instr N            where it leaves the recording: after N instructions\n"
	"      --to-event K            where event number K (from 0) is about to take effect\n"
	"      --to-mark NAME          where `ttvm ctl` set this mark\n"
	"  -r, --record FILE           the new recording (default: " DEFAULT_LOG ")\n"
	"      --at-fork TEXT          type TEXT and Enter into the serial console, first of all\n"
	"  -d, --disk FILE             where the recording's first disk (.ttd) is now; again for the second,\n"
	"                              and so on (default: in the folder of the log, or where it was)\n"
	"      --branch FILE           the new history (.ttd) of the first disk that is written; again for\n"
	"                              the next, and so on (default: like the new recording, -disk0.ttd)\n"
	"      --net WHAT              connect the first network: user[,tcp:HOSTPORT:GUESTPORT[,udp:...]] or\n"
	"                              tap:INTERFACE; again for the next (default: nobody is there)\n"
	"      --timeout SECONDS       stop the guest after that time; the recording ends cleanly\n"
	"      --console WHERE         the serial console: stdio (default; Ctrl-A h lists its keys), none,\n"
	"                              pty, socket:PATH, or a file for its output\n"
	"      --control SOCKET        listen there for `ttvm ctl`\n"
	"      --guest-status          exit with the status that the guest wrote to its debug-exit port\n"
	"      --digest-every SEC      log a digest of all state this often, for ttvm verify\n"
	"      --on-log-error WHAT     stop (default) or continue, when the log cannot be written any more\n"
	"      --on-disk-error WHAT    report it to the guest (default), or pause until there is room again\n"
	"      --stats FILE            write counts of the run to FILE as JSON\n"
	"  -q, --quiet                 no last line, no progress\n"
	"  -h, --help                  this text\n\n"
	"Exit status: 0 success, 1 usage or set-up error, 2 the guest crashed, 3 divergence, 4 damaged or\n"
	"unreadable log, 5 the recording ended early (what was written can be replayed).\n";

static bool take_path(const char *option, const char **list, unsigned int *n, const char *path)
{
	if (*n == TT_MAX_DISKS) {
		say("%s: %d disks at most", option, TT_MAX_DISKS);
		return false;
	}
	list[(*n)++] = path;
	return true;
}

/* 1: go on, 0: all is said, -1: usage error. */
static int parse_options(int argc, char **argv, struct fork_options *o)
{
	int c, ret;

	*o = (struct fork_options){ .drive = { .console = "stdio", .record = DEFAULT_LOG } };
	optind = 1;
	while ((c = getopt_long(argc, argv, "r:d:qh", long_options, NULL)) != -1) {
		switch (c) {
		case OPT_TO_INSTR:
		case OPT_TO_EVENT:
			o->goal.kind = c == OPT_TO_INSTR ? TT_GOAL_INSTRUCTION : TT_GOAL_EVENT;
			o->num_goals++;
			if (!parse_number(optarg, &o->goal.value)) {
				say("--to-%s %s: not a number", c == OPT_TO_INSTR ? "instr" : "event", optarg);
				return -1;
			}
			break;
		case OPT_TO_MARK:
			o->mark = optarg;
			o->num_goals++;
			break;
		case 'r':
			o->drive.record = optarg;
			break;
		case OPT_AT_FORK:
			o->type = optarg;
			break;
		case 'd':
			if (!take_path("--disk", o->disks, &o->num_disks, optarg))
				return -1;
			break;
		case OPT_BRANCH:
			if (!take_path("--branch", o->branches, &o->num_branches, optarg))
				return -1;
			break;
		case OPT_NET:
			if (!guest_parse_net(&o->nets, optarg))
				return -1;
			break;
		case 'h':
			fputs(help, stdout);
			return 0;
		default:
			ret = drive_option(&o->drive, c, optarg);
			if (!ret)
				say("`ttvm fork --help` lists the options");
			if (ret <= 0)
				return -1;
		}
	}
	if (o->num_goals > 1) {
		say("--to-instr, --to-event and --to-mark exclude each other");
		return -1;
	}
	if (optind + 1 != argc || !o->num_goals) {
		say("usage: ttvm fork LOG --to-instr N|--to-event K|--to-mark NAME [OPTION]...");
		return -1;
	}
	o->log = argv[optind];
	return 1;
}

/* ------------------------------------------------------------------ the machine, past and present */

struct fork {
	struct tt_machine machine; /* first: the two are converted into each other */
	struct fork_options *o;
	struct tt_log *log;
	struct tt_machine_config config;
	struct tt_recording_facts facts;
	char *strings;			/* of the configuration */
	char id[TT_RECORDING_ID_SIZE];	/* of the new recording */
	struct tt_disk_source sources[TT_MAX_DISKS];
	char branches[TT_MAX_DISKS][PATH_MAX]; /* that were made; "" for none */
	struct tt_replayer *replayer;
	struct tt_recorder *recorder;
	struct tt_strays strays;
	struct tt_witness witness;
	uint64_t margin;
	pthread_t thread;
	pthread_mutex_t lock;
	pthread_cond_t changed;
	enum { REPLAYS, STANDS, LIVES, QUITS, ENDED } state;
	int result;			/* of tt_machine_run() */
	double started;
};

/* The recording's end is not that of the new one. */
static void copy_event(void *ctx, struct tt_vcpu *vcpu, uint64_t number, const struct tt_event *event)
{
	struct fork *f = ctx;
	struct tt_mark mark;

	(void)vcpu;
	(void)number;
	if (event->kind == TT_EVENT_END)
		return;
	if (event->kind == TT_EVENT_MARK && event->payload_len >= sizeof(mark)) {
		/* It is passed over early: it may belong to the future. */
		memcpy(&mark, event->payload, sizeof(mark));
		if (mark.instructions > f->o->instruction)
			return;
	}
	/* An error stays, and shows when the recorder takes over. */
	tt_recorder_copy(f->recorder, event);
}

static void set_state(struct fork *f, int state)
{
	pthread_mutex_lock(&f->lock);
	f->state = state;
	pthread_cond_broadcast(&f->changed);
	pthread_mutex_unlock(&f->lock);
}

/* The machine's thread: the replay has come to an outcome. */
static bool stopped(void *ctx, struct tt_vcpu *vcpu)
{
	struct fork *f = ctx;
	bool lives;

	pthread_mutex_lock(&f->lock);
	f->state = STANDS;
	pthread_cond_broadcast(&f->changed);
	while (f->state == STANDS)
		pthread_cond_wait(&f->changed, &f->lock);
	lives = f->state == LIVES;
	pthread_mutex_unlock(&f->lock);
	return lives && !tt_recorder_take_over(f->recorder, f->replayer, vcpu);
}

static void *machine_main(void *arg)
{
	struct fork *f = arg;

	f->result = tt_machine_run(&f->machine);
	set_state(f, ENDED);
	return NULL;
}

static void join(struct fork *f)
{
	pthread_join(f->thread, NULL);
}

/* For drive_machine(). */
static int live_on(struct tt_machine *m)
{
	struct fork *f = (struct fork *)m;

	set_state(f, LIVES);
	join(f);
	return f->result;
}

static void show_progress(void *ctx)
{
	struct fork *f = ctx;
	uint64_t events, instructions;

	tt_replayer_progress(f->replayer, &events, &instructions);
	if (seconds_now() - f->started < 1 || !f->o->instruction)
		return;
	fprintf(stderr, "\rttvm: %3.0f %% of the way to the fork   ", 100.0 * instructions / f->o->instruction);
}

/* ------------------------------------------------------------------ disks, networks, log */

static void name_branch(const struct fork *f, unsigned int number, char path[PATH_MAX])
{
	const char *record = f->o->drive.record;
	size_t len = strlen(record), suffix = strlen(LOG_SUFFIX);

	if (number < f->o->num_branches) {
		snprintf(path, PATH_MAX, "%s", f->o->branches[number]);
		return;
	}
	if (len > suffix && !strcmp(record + len - suffix, LOG_SUFFIX))
		len -= suffix;
	snprintf(path, PATH_MAX, "%.*s-disk%u.ttd", (int)len, record, number);
}

static int open_disks(struct fork *f, struct tt_error *err)
{
	char path[PATH_MAX], *folder;
	unsigned int i, written = 0;
	int ret = 0;

	snprintf(path, sizeof(path), "%s", f->o->log);
	folder = dirname(path);
	for (i = 0; !ret && i < f->config.num_disks; i++) {
		const char *now = i < f->o->num_disks ? f->o->disks[i] : NULL;
		const struct tt_disk_source *source = &f->facts.disks[i];

		f->sources[i] = *source;
		if (source->readonly) {
			ret = tt_disk_open_departure(source, now, folder, &f->config.disks[i], err);
			continue;
		}
		name_branch(f, written++, f->branches[i]);
		ret = tt_disk_open_branch(source, now, folder, f->branches[i], f->id, &f->config.disks[i], &f->sources[i],
					  err);
		if (ret)
			f->branches[i][0] = '\0'; /* none was made, or not by us */
	}
	return ret;
}

static int open_nets(struct fork *f, struct tt_error *err)
{
	unsigned int i;
	int ret = 0;

	for (i = 0; !ret && i < f->config.num_nets; i++) {
		if (i < f->o->nets.num_nets)
			ret = guest_open_net(&f->o->nets.nets[i], &f->config.nets[i], err);
		else if (!(f->config.nets[i] = tt_net_open_none()))
			ret = tt_fail(err, -ENOMEM, "out of memory");
		if (!ret)
			memcpy(f->config.nets[i]->mac, f->facts.macs[i], sizeof(f->facts.macs[i]));
	}
	return ret;
}

static int create_recorder(struct fork *f, struct tt_error *err)
{
	struct tt_origin origin = { .instructions = f->o->instruction };

	snprintf(origin.id, sizeof(origin.id), "%s", f->facts.id);
	return drive_create_recorder(&f->o->drive, &f->config, f->id, f->sources, &origin, &f->recorder, err);
}

static int create_replayer(struct fork *f, struct tt_error *err)
{
	const struct tt_replayer_options options = {
		.exact_instructions = f->facts.exact_instructions,
		.goal = { TT_GOAL_INSTRUCTION, f->o->instruction },
		.margin = f->margin,
		.strays = &f->strays,
		.stopped = stopped,
		.witness = &f->witness,
		.ctx = f,
	};

	f->witness = (struct tt_witness){ .event = copy_event, .ctx = f };
	return tt_replayer_create(f->log, &options, &f->replayer, err);
}

/* Forget a fork that came to nothing. */
static void discard(struct fork *f)
{
	struct tt_error err = { 0 };
	unsigned int i;

	for (i = 0; i < f->config.num_disks; i++) {
		if (f->branches[i][0] && ttdisk_drop_branch(f->branches[i], &err))
			say_error(&err);
		f->branches[i][0] = '\0';
	}
	unlink(f->o->drive.record);
}

/* ------------------------------------------------------------------ one try */

/* The machine stands where the recording ends or differs, or has failed: what to say, and the exit status. */
static int no_fork(struct fork *f, const struct tt_replayer_result *r)
{
	switch (r->outcome) {
	case TT_OUTCOME_DIVERGED:
	case TT_OUTCOME_OVERSHOT:
		say("%s: the replay diverges from the recording %s", f->o->log, r->report);
		return EXIT_DIVERGED;
	case TT_OUTCOME_NO_GOAL:
		say("%s: the recording ends at instruction %llu, before that position", f->o->log,
		    (unsigned long long)r->counts.instructions);
		return EXIT_SETUP;
	case TT_OUTCOME_STOPPED:
		say("stopped before the fork");
		return EXIT_SETUP;
	default:
		return f->machine.error.code ? say_error(&f->machine.error) : EXIT_SETUP;
	}
}

/* Replay up to the fork. True: the machine stands there, or somewhere else: see *outcome. */
static bool replay_to_fork(struct fork *f, struct tt_replayer_result *r, struct tt_error *err)
{
	struct watch watch = { .machine = &f->machine };
	bool stands;
	int ret;

	if (!f->o->drive.quiet && isatty(STDERR_FILENO)) {
		watch.progress = show_progress;
		watch.progress_ctx = f;
	}
	f->state = REPLAYS;
	f->started = seconds_now();
	if (watch_start(&watch, err))
		return false;
	ret = pthread_create(&f->thread, NULL, machine_main, f);
	if (ret) {
		watch_stop(&watch);
		tt_fail(err, -ret, "cannot start a thread: %s", strerror(ret));
		return false;
	}
	pthread_mutex_lock(&f->lock);
	while (f->state == REPLAYS)
		pthread_cond_wait(&f->changed, &f->lock);
	stands = f->state == STANDS;
	pthread_mutex_unlock(&f->lock);
	watch_stop(&watch);
	if (watch.progress)
		fprintf(stderr, "\r%*s\r", 40, "");
	tt_replayer_result(f->replayer, r);
	if (!stands)
		join(f);
	return stands;
}

static int type_text(struct fork *f, struct tt_error *err)
{
	const char *text = f->o->type;
	int ret;

	if (!text)
		return 0;
	ret = tt_input_post(&f->machine, TT_INPUT_SERIAL0, text, strlen(text));
	if (!ret)
		ret = tt_input_post(&f->machine, TT_INPUT_SERIAL0, ENTER, strlen(ENTER));
	return ret ? tt_fail(err, ret, "--at-fork: that is more than can be typed at once") : 0;
}

static int go_live(struct fork *f, struct console *console)
{
	struct tt_error err = { 0 };
	unsigned int i;
	int status;

	drive_connect(&f->machine, console);
	if (type_text(f, &err) || guest_start_nets(&f->machine, &err))
		return say_error(&err);
	if (!f->o->drive.quiet) {
		say("live from instruction %llu on; recording to %s", (unsigned long long)f->o->instruction,
		    f->o->drive.record);
		for (i = 0; i < f->config.num_disks; i++)
			if (f->branches[i][0])
				say("disk %u is %s", i, f->branches[i]);
	}
	status = drive_machine(&f->o->drive, &f->machine, f->recorder, console, live_on);
	guest_stop_nets(&f->machine);
	return status;
}

/* *again: an alarm came too late, and another try may be luckier. */
static int fork_once(struct fork *f, struct console *console, bool *again)
{
	struct tt_replayer_result result = { .outcome = TT_OUTCOME_FAILED };
	struct tt_error err = { 0 };
	bool has_machine = false, lives = false;
	int status = EXIT_SETUP;

	*again = false;
	if (open_disks(f, &err) || open_nets(f, &err) || create_recorder(f, &err) || create_replayer(f, &err) ||
	    tt_machine_create(&f->machine, &f->config, tt_replayer_seam(f->replayer), &err)) {
		say_error(&err);
		goto out;
	}
	has_machine = true;
	if (!replay_to_fork(f, &result, &err)) {
		status = err.code ? say_error(&err) : no_fork(f, &result);
		goto out;
	}
	if (result.outcome == TT_OUTCOME_OVERSHOT)
		*again = true;
	else if (result.outcome != TT_OUTCOME_DONE)
		status = no_fork(f, &result);
	else {
		status = go_live(f, console);
		lives = f->state == ENDED;
	}
	if (!lives) {
		set_state(f, QUITS);
		join(f);
	}
out:
	if (has_machine)
		tt_machine_destroy(&f->machine);
	if (f->replayer)
		tt_replayer_destroy(f->replayer);
	tt_recorder_destroy(f->recorder);
	tt_outside_close(&f->config);
	f->replayer = NULL;
	f->recorder = NULL;
	if (!lives)
		discard(f);
	if (*again && !result.strayed)
		f->margin = (f->margin ? f->margin : FIRST_MARGIN) * MARGIN_GROWTH;
	return status;
}

/* ------------------------------------------------------------------ the command */

/* The new recording must not take the place of the old one. */
static bool is_same_file(const char *a, const char *b)
{
	struct stat sa, sb;

	return !stat(a, &sa) && !stat(b, &sb) && sa.st_dev == sb.st_dev && sa.st_ino == sb.st_ino;
}

/* Has the guest ended the machine before that instruction, or with it? One that was stopped can go on. */
static bool is_over(const struct fork *f)
{
	const struct tt_log_info *info = tt_log_info(f->log);

	return info->has_end && info->last.end.how != TT_END_REQUEST &&
	       f->o->instruction >= info->last.pos.instructions;
}

static int note_instruction(void *ctx, struct tt_machine *m, const struct tt_replayer_result *result)
{
	struct fork *f = ctx;

	(void)m;
	f->o->instruction = result->counts.instructions;
	return EXIT_OK;
}

/*
 * The new recording's header says at which instruction it begins to differ, before it does. Of a mark the log says that. Most
 * events know positions only, so a replay has to go there and count.
 */
static int find_instruction(struct fork *f)
{
	struct replay_options replay = { .log = f->o->log, .goal = f->o->goal, .mark = f->o->mark, .quiet = true,
					 .num_disks = f->o->num_disks, .arrived = note_instruction, .ctx = f };
	struct tt_error err = { 0 };

	if (replay_find_mark(&replay, f->log, &err) || tt_log_seek_event(f->log, 0, 0, &err))
		return say_error(&err);
	f->o->instruction = replay.goal.value;
	if (replay.goal.kind == TT_GOAL_INSTRUCTION)
		return EXIT_OK;
	memcpy(replay.disks, f->o->disks, sizeof(replay.disks));
	return replay_log(&replay);
}

static int open_recording(struct fork *f)
{
	struct tt_error err = { 0 };
	int kvm_fd, ret = tt_log_open(f->o->log, &f->log, &err);

	if (ret) {
		say_error(&err);
		return ret == -ENOENT || ret == -EACCES ? EXIT_SETUP : EXIT_BAD_LOG;
	}
	if (tt_config_load(f->log, &f->config, &f->facts, &f->strings, &err)) {
		say_error(&err);
		return EXIT_BAD_LOG;
	}
	ret = find_instruction(f);
	if (ret)
		return ret;
	if (is_over(f)) {
		say("%s: the guest ends at instruction %llu; fork it before", f->o->log,
		    (unsigned long long)tt_log_info(f->log)->last.pos.instructions);
		return EXIT_SETUP;
	}
	if (f->o->num_disks > f->config.num_disks || f->o->num_branches > f->config.num_disks) {
		say("the recording has %u disks only", f->config.num_disks);
		return EXIT_SETUP;
	}
	if (f->o->nets.num_nets > f->config.num_nets) {
		say("the recording has %u networks only", f->config.num_nets);
		return EXIT_SETUP;
	}
	kvm_fd = tt_kvm_open(&err);
	ret = kvm_fd < 0 ? kvm_fd : tt_cpuid_check(kvm_fd, f->config.cpuid, f->config.cpu_model, &err);
	if (kvm_fd >= 0)
		close(kvm_fd);
	return ret ? say_error(&err) : EXIT_OK;
}

static int fork_recording(struct fork_options *o)
{
	struct fork *f = calloc(1, sizeof(*f));
	struct tt_error err = { 0 };
	struct console console;
	bool again = true;
	int status, tries;

	if (!f) {
		say("out of memory");
		return EXIT_SETUP;
	}
	f->o = o;
	pthread_mutex_init(&f->lock, NULL);
	pthread_cond_init(&f->changed, NULL);
	tt_recording_new_id(f->id);
	status = open_recording(f);
	if (!status && is_same_file(o->log, o->drive.record)) {
		say("--record %s: that is the recording to be forked", o->drive.record);
		status = EXIT_SETUP;
	}
	if (!status && console_open(&console, o->drive.console, &err)) {
		status = say_error(&err);
	} else if (!status) {
		for (tries = 0; again && tries < MAX_TRIES + TT_MAX_STRAYS; tries++)
			status = fork_once(f, &console, &again);
		if (again)
			say("%s: the position cannot be reached: alarms come too late", o->log);
		console_close(&console);
	}
	if (f->log)
		tt_log_close(f->log);
	free(f->strings);
	pthread_cond_destroy(&f->changed);
	pthread_mutex_destroy(&f->lock);
	free(f);
	return status;
}

int cmd_fork(int argc, char **argv)
{
	struct fork_options options;
	int ret = parse_options(argc, argv, &options);

	if (ret <= 0)
		return ret ? EXIT_SETUP : EXIT_OK;
	watch_block_signals();
	return fork_recording(&options);
}
