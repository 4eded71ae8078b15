// SPDX-License-Identifier: GPL-2.0
/*
 * replay.c - ttvm replay and ttvm verify: run a recording again, to its end or to any instruction.
 */
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <xxhash.h>

#include "replay_log.h"
#include "ttvm.h"

/* A lost alarm costs a fresh start. More than a few in a row are no accident. */
#define MAX_TRIES 6
#define MARGIN_GROWTH 4

enum {
	OPT_TO_INSTR = 256,
	OPT_TO_EVENT,
	OPT_TO_MARK,
	OPT_WALK,
	OPT_REGS,
	OPT_MEM_DIGEST,
	OPT_MARGIN,
	OPT_DISK,
	OPT_STATS,
};

static const struct option long_options[] = {
	{ "to-instr", required_argument, NULL, OPT_TO_INSTR },
	{ "to-event", required_argument, NULL, OPT_TO_EVENT },
	{ "to-mark", required_argument, NULL, OPT_TO_MARK },
	{ "walk", required_argument, NULL, OPT_WALK },
	{ "regs", no_argument, NULL, OPT_REGS },
	{ "mem-digest", no_argument, NULL, OPT_MEM_DIGEST },
	{ "margin", required_argument, NULL, OPT_MARGIN },
	{ "disk", required_argument, NULL, OPT_DISK },
	{ "stats", required_argument, NULL, OPT_STATS },
	{ "quiet", no_argument, NULL, 'q' },
	{ "help", no_argument, NULL, 'h' },
	{ 0 },
};

static const char replay_help[] =
	"usage: ttvm replay LOG [OPTION]...\n\n"
	"Replay a recording; the guest's console output appears on stdout, byte for byte.\n\n"
	"      --to-instr N   stop after exactly N instructions\n"
	"      --to-event K   stop where event number K (from 0) is about to take effect\n"
	"      --to-mark NAME stop where `ttvm ctl` set this mark\n"
	"      --walk COUNT   from --to-instr on, print one line for each of COUNT more instructions\n"
	"      --regs         print all registers at the end position on stdout\n"
	"      --mem-digest   print a digest of all guest memory there\n"
	"      --disk FILE    where the recording's first disk (.ttd) is now; again for the second, and so\n"
	"                     on (default: in the folder of the log, or where it was)\n"
	"      --margin N     branches before an event at which the PMU's alarm is set\n"
	"      --stats FILE   write counts of the replay to FILE as JSON\n"
	"  -q, --quiet        no console output\n"
	"  -h, --help         this text\n\n"
	"Exit status: 0 success, 1 usage or set-up error, 2 the guest crashed (as recorded),\n"
	"3 divergence, 4 damaged or unreadable log.\n";

static const char verify_help[] =
	"usage: ttvm verify LOG [OPTION]...\n\n"
	"Replay a recording silently, compare it with the recording at every event and at its end,\n"
	"and say whether it matches.\n\n"
	"      --disk FILE    where the recording's first disk (.ttd) is now; again for the second, and so\n"
	"                     on (default: in the folder of the log, or where it was)\n"
	"      --margin N     branches before an event at which the PMU's alarm is set\n"
	"      --stats FILE   write counts of the replay to FILE as JSON\n"
	"  -h, --help         this text\n\n"
	"Exit status: 0 it matches, 1 usage or set-up error, 3 divergence, 4 damaged or unreadable log\n"
	"(also when only the part before the damage could be compared).\n";

static bool take_number(const char *option, const char *text, uint64_t *value)
{
	if (parse_number(text, value))
		return true;
	say("%s %s: not a number", option, text);
	return false;
}

static int parse_options(int argc, char **argv, struct replay_options *o)
{
	bool has_instr = false, has_event = false;
	int c;

	optind = 1;
	while ((c = getopt_long(argc, argv, "qh", long_options, NULL)) != -1) {
		if (o->verify && c != 'h' && c != 'q' && c != OPT_MARGIN && c != OPT_DISK && c != OPT_STATS && c != '?') {
			say("verify always goes to the end; use `ttvm replay` to stop elsewhere");
			return -1;
		}
		switch (c) {
		case OPT_TO_INSTR:
			has_instr = true;
			o->goal.kind = TT_GOAL_INSTRUCTION;
			if (!take_number("--to-instr", optarg, &o->goal.value))
				return -1;
			break;
		case OPT_TO_EVENT:
			has_event = true;
			o->goal.kind = TT_GOAL_EVENT;
			if (!take_number("--to-event", optarg, &o->goal.value))
				return -1;
			break;
		case OPT_TO_MARK:
			o->mark = optarg;
			break;
		case OPT_WALK:
			if (!take_number("--walk", optarg, &o->walk))
				return -1;
			break;
		case OPT_MARGIN:
			if (!take_number("--margin", optarg, &o->margin))
				return -1;
			break;
		case OPT_DISK:
			if (o->num_disks == TT_MAX_DISKS) {
				say("--disk: %d disks at most", TT_MAX_DISKS);
				return -1;
			}
			o->disks[o->num_disks++] = optarg;
			break;
		case OPT_REGS:
			o->regs = true;
			break;
		case OPT_MEM_DIGEST:
			o->mem_digest = true;
			break;
		case OPT_STATS:
			o->stats = optarg;
			break;
		case 'q':
			o->quiet = true;
			break;
		case 'h':
			fputs(o->verify ? verify_help : replay_help, stdout);
			return 0;
		default:
			say("`ttvm %s --help` lists the options", o->verify ? "verify" : "replay");
			return -1;
		}
	}
	if (has_instr + has_event + (o->mark != NULL) > 1) {
		say("--to-instr, --to-event and --to-mark exclude each other");
		return -1;
	}
	if (o->walk && !has_instr) {
		say("--walk needs --to-instr: the place to walk from");
		return -1;
	}
	if (optind + 1 != argc) {
		say("one log, please; usage: ttvm %s LOG [OPTION]...", o->verify ? "verify" : "replay");
		return -1;
	}
	o->log = argv[optind];
	return 1;
}

/* ------------------------------------------------------------------ progress */

struct progress {
	struct tt_replayer *replayer;
	uint64_t events;	/* in the log */
	double start;
};

static void show_progress(void *ctx)
{
	struct progress *p = ctx;
	uint64_t events, instructions;
	double elapsed = seconds_now() - p->start;
	double share;

	tt_replayer_progress(p->replayer, &events, &instructions);
	if (elapsed < 1 || !events || !p->events)
		return;
	share = (double)events / p->events;
	fprintf(stderr, "\rttvm: %3.0f %% of the log, %.1f M instructions/s, %.0f s left   ", share * 100,
		instructions / elapsed / 1e6, elapsed / share - elapsed);
}

/* ------------------------------------------------------------------ one replay */

struct attempt {
	const struct replay_options *o;
	struct tt_log *log;
	struct tt_machine_config *config;
	struct tt_recording_facts facts;
	struct console *console;
	uint64_t margin;
	struct tt_strays strays;
	uint64_t walked;	/* the walk is shown up to here */
	struct tt_replayer_result result;
	bool guest_crashed;
	double seconds;
};

static void print_step(void *ctx, struct tt_vcpu *vcpu, uint64_t instruction)
{
	struct attempt *a = ctx;
	const struct kvm_regs *r = &tt_vcpu_sync_regs(vcpu)->regs;
	struct kvm_regs shown = *r;

	/* An earlier try has shown it. */
	if (instruction < a->walked)
		return;
	a->walked = instruction + 1;
	shown.rflags &= ~(1ull << 16); /* RF is the debugger's */
	printf("%llu rip=%016llx regs=%016llx\n", (unsigned long long)instruction, r->rip,
	       (unsigned long long)XXH64(&shown, sizeof(shown), 0));
}

/* Print what was asked for at the end position. */
static void print_state(const struct attempt *a, struct tt_machine *m)
{
	if (a->o->regs)
		print_registers(&m->vcpus[0]);
	if (a->o->mem_digest)
		printf("memory=%016llx\n", (unsigned long long)a->result.digests.memory);
	fflush(stdout);
}

/* One replay from the start. 0, or an exit status with the reason said. */
static int replay_once(struct attempt *a)
{
	const struct replay_options *o = a->o;
	struct tt_replayer_options options = { .exact_instructions = a->facts.exact_instructions,
					       .goal = o->goal,
					       .margin = a->margin,
					       .witness = o->witness,
					       .strays = &a->strays,
					       .step_to = o->goal.value + o->walk,
					       .on_step = o->walk ? print_step : NULL,
					       .on_step_ctx = a };
	struct tt_replayer *replayer;
	struct tt_machine machine;
	struct watch watch = { .machine = &machine };
	struct progress progress;
	struct tt_error err = { 0 };
	int ret, status = EXIT_OK;

	if (tt_replayer_create(a->log, &options, &replayer, &err))
		return say_error(&err);
	if (tt_outside_open(a->config, &a->facts, o->log, o->disks, o->num_disks, &err)) {
		tt_replayer_destroy(replayer);
		return say_error(&err);
	}
	if (tt_machine_create(&machine, a->config, tt_replayer_seam(replayer), &err)) {
		tt_outside_close(a->config);
		tt_replayer_destroy(replayer);
		return say_error(&err);
	}
	a->console->skip = a->console->written;
	a->console->written = 0;
	machine.console_write = console_write;
	machine.console_ctx = a->console;
	if (o->prepare)
		o->prepare(o->ctx, &machine);
	progress = (struct progress){ replayer, tt_log_num_events(a->log, 0), seconds_now() };
	if (isatty(STDERR_FILENO) && !o->walk) {
		watch.progress = show_progress;
		watch.progress_ctx = &progress;
	}
	if (watch_start(&watch, &err)) {
		status = say_error(&err);
		goto out;
	}
	ret = tt_machine_run(&machine);
	watch_stop(&watch);
	a->seconds = seconds_now() - progress.start;
	if (watch.progress && a->seconds > 1)
		fputs("\r\033[K", stderr);
	tt_replayer_result(replayer, &a->result);
	if (ret) {
		status = say_error(&machine.error);
	} else if (a->result.outcome == TT_OUTCOME_DONE) {
		console_close(a->console);
		print_state(a, &machine);
		if (o->arrived)
			status = o->arrived(o->ctx, &machine, &a->result);
	}
out:
	tt_machine_destroy(&machine);
	tt_outside_close(a->config);
	tt_replayer_destroy(replayer);
	return status;
}

/* ------------------------------------------------------------------ what came of it */

static int report(const struct attempt *a, const struct tt_log_info *info)
{
	const struct replay_options *o = a->o;
	const struct tt_replayer_result *r = &a->result;

	switch (r->outcome) {
	case TT_OUTCOME_DONE:
		break;
	case TT_OUTCOME_DIVERGED:
	case TT_OUTCOME_OVERSHOT:
		say("%s: the replay diverges from the recording %s", o->log, r->report);
		return EXIT_DIVERGED;
	case TT_OUTCOME_NO_GOAL:
		say("%s: the recording ends at instruction %llu, event %llu, before that position", o->log,
		    (unsigned long long)r->counts.instructions,
		    (unsigned long long)r->counts.events);
		return EXIT_SETUP;
	case TT_OUTCOME_STOPPED:
		say("stopped at instruction %llu", (unsigned long long)r->counts.instructions);
		return EXIT_SETUP;
	default:
		say("%s: the replay failed", o->log);
		return EXIT_SETUP;
	}
	if (o->verify && !r->digests_compared && info->status == TT_LOG_CLEAN)
		say("%s: matches up to its last event; it has no end to compare with", o->log);
	say("%s instr=%llu events=%llu seconds=%.3f digest=%016llx",
	    o->verify ? "verified" : "replayed", (unsigned long long)r->counts.instructions,
	    (unsigned long long)r->counts.events, a->seconds,
	    (unsigned long long)tt_digests_combine(&r->digests));
	if (info->status == TT_LOG_DAMAGED || (o->verify && info->status != TT_LOG_CLEAN))
		return EXIT_BAD_LOG;
	if (a->guest_crashed)
		return EXIT_CRASH;
	return EXIT_OK;
}

int replay_find_mark(struct replay_options *o, struct tt_log *log, struct tt_error *err)
{
	size_t len = o->mark ? strlen(o->mark) : 0;
	bool found = false;
	struct tt_event event;
	struct tt_mark mark;
	uint64_t number;
	int ret;

	if (!o->mark && o->goal.kind != TT_GOAL_EVENT)
		return 0;
	for (number = 0; (ret = tt_log_next(log, 0, &event, err)) > 0; number++) {
		if (event.kind != TT_EVENT_MARK || event.payload_len <= sizeof(mark))
			continue;
		if (o->mark ? event.payload_len != sizeof(mark) + len ||
				      memcmp((const char *)event.payload + sizeof(mark), o->mark, len) :
			      number != o->goal.value)
			continue;
		memcpy(&mark, event.payload, sizeof(mark));
		found = true;
		if (!o->mark)
			break;
	}
	if (ret < 0)
		return ret;
	if (o->mark && !found)
		return tt_fail(err, -ENOENT, "%s: no mark '%.63s'; `ttvm info --events` lists them", o->log, o->mark);
	if (found)
		o->goal = (struct tt_goal){ TT_GOAL_INSTRUCTION, mark.instructions };
	return 0;
}

static bool goal_is_in_log(const struct replay_options *o, const struct tt_log_info *info)
{
	if (o->goal.kind == TT_GOAL_INSTRUCTION && info->has_end &&
	    o->goal.value + o->walk > info->last.pos.instructions) {
		say("--to-instr %llu: the recording ends after %llu instructions",
		    (unsigned long long)(o->goal.value + o->walk),
		    (unsigned long long)info->last.pos.instructions);
		return false;
	}
	if (o->goal.kind == TT_GOAL_EVENT && o->goal.value >= info->events) {
		say("--to-event %llu: the recording has events 0 to %lld",
		    (unsigned long long)o->goal.value, (long long)info->events - 1);
		return false;
	}
	return true;
}

static int replay(struct attempt *a, const struct tt_log_info *info)
{
	const struct replay_options *o = a->o;
	struct tt_error err = { 0 };
	struct console console;
	int status, tries;

	if (console_open(&console, o->quiet || o->verify ? "none" : "stdio", &err))
		return say_error(&err);
	a->console = &console;
	a->margin = o->margin;
	for (tries = 1;;) {
		status = replay_once(a);
		if (status || a->result.outcome != TT_OUTCOME_OVERSHOT || tries == MAX_TRIES)
			break;
		if (a->result.strayed) {
			say("a rare exception was passed (event %llu); starting again",
			    (unsigned long long)a->result.event);
			continue;
		}
		/* The alarm was lost or late: again from the start, set earlier. */
		say("an alarm came too late (event %llu); starting again",
		    (unsigned long long)a->result.event);
		a->margin = (a->margin ? a->margin : 64) * MARGIN_GROWTH;
		tries++;
	}
	if (console_close(&console) && !status) {
		say("the console's output could not be written: %s", strerror(-console.error));
		status = EXIT_SETUP;
	}
	if (!status)
		status = report(a, info);
	if (o->stats && write_stats(o->stats, "replay", a->seconds, &a->result.counts, NULL, &err))
		say_error(&err);
	return status;
}

int replay_log(const struct replay_options *options)
{
	struct replay_options resolved = *options, *o = &resolved;
	struct attempt attempt = { .o = o };
	struct tt_machine_config config;
	const struct tt_log_info *info;
	struct tt_error err = { 0 };
	char *strings = NULL;
	int kvm_fd, status = EXIT_SETUP;

	if (tt_log_open(o->log, &attempt.log, &err)) {
		say_error(&err);
		return err.code == -ENOENT || err.code == -EACCES ? EXIT_SETUP : EXIT_BAD_LOG;
	}
	info = tt_log_info(attempt.log);
	if (info->status != TT_LOG_CLEAN)
		say("%s: %s", o->log, info->text);
	attempt.guest_crashed = info->has_end && info->last.end.how == TT_END_CRASH;
	if (tt_config_load(attempt.log, &config, &attempt.facts, &strings, &err)) {
		say_error(&err);
		status = EXIT_BAD_LOG;
		goto out;
	}
	attempt.config = &config;
	if (replay_find_mark(o, attempt.log, &err)) {
		say_error(&err);
		goto out;
	}
	if (!goal_is_in_log(o, info))
		goto out;
	kvm_fd = tt_kvm_open(&err);
	if (kvm_fd < 0 || tt_cpuid_check(kvm_fd, config.cpuid, config.cpu_model, &err)) {
		say_error(&err);
		if (kvm_fd >= 0)
			close(kvm_fd);
		goto out;
	}
	close(kvm_fd);
	status = replay(&attempt, info);
out:
	free(strings);
	tt_log_close(attempt.log);
	return status;
}

static int main_replay(int argc, char **argv, bool verify)
{
	struct replay_options options = { .verify = verify };
	int ret = parse_options(argc, argv, &options);

	if (ret <= 0)
		return ret ? EXIT_SETUP : EXIT_OK;
	watch_block_signals();
	return replay_log(&options);
}

int cmd_replay(int argc, char **argv)
{
	return main_replay(argc, argv, false);
}

int cmd_verify(int argc, char **argv)
{
	return main_replay(argc, argv, true);
}
