// SPDX-License-Identifier: GPL-2.0
/*
 * traveller.c - see traveller.h.
 *
 * On its way the machine leaves checkpoints behind: a row over the whole recording, and, when it goes back, some at
 * distances that halve towards where it goes, because who takes one step back will take another.
 */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "traveller.h"

#define NEAREST 8 /* instructions: a checkpoint closer to the goal is of no use */
#define MAX_TRIES 6
#define MARGIN_GROWTH 4

/* ------------------------------------------------------------------ on the machine's thread */

static void note(struct tt_timeline *t, const char *text)
{
	if (t->options.message)
		t->options.message(t->options.ctx, text);
}

/* Output that nobody has seen yet. */
static void show_output(struct tt_timeline *t, const void *data, size_t len)
{
	t->console_seen += len;
	fwrite(data, 1, len, t->output);
	if (t->options.console)
		t->options.console(t->options.ctx, data, len);
}

static void console_write(void *ctx, const void *data, size_t len)
{
	struct tt_timeline *t = ctx;
	uint64_t begin = t->console_at, end = begin + len;

	t->console_at = end;
	if (end <= t->console_seen)
		return;
	if (begin < t->console_seen) {
		data = (const char *)data + (t->console_seen - begin);
		len = end - t->console_seen;
	}
	show_output(t, data, len);
}

static uint64_t here(struct tt_timeline *t)
{
	struct tt_vcpu *vcpu = &t->machine.vcpus[0];
	const struct replayer_vcpu *rv = vcpu->seam_data;

	return tt_instructions(vcpu, rv->session.page);
}

/* The first place behind `instruction` for a checkpoint near the goal. */
static uint64_t next_near(const struct tt_timeline *t, uint64_t instruction)
{
	uint64_t left;

	if (instruction + 2 * NEAREST >= t->near_goal)
		return UINT64_MAX;
	left = t->near_goal - instruction;
	return instruction + (left + 1) / 2;
}

static void plan_pass(struct tt_timeline *t, uint64_t instruction)
{
	uint64_t due = tt_checkpoint_due(t->checkpoints, instruction);

	t->rep->pass_at = due < t->near_next ? due : t->near_next;
}

static void pass(void *ctx, struct tt_vcpu *vcpu)
{
	struct tt_timeline *t = ctx;
	uint64_t instruction = here(t);
	bool near = instruction < tt_checkpoint_due(t->checkpoints, instruction);
	struct tt_replayer_place place;
	struct tt_error err = { 0 };

	tt_replayer_save(t->rep, vcpu, &place);
	if (tt_checkpoint_take(t->checkpoints, &place, instruction, near, t->console_at, &err)) {
		/* Going on without is slower, and as right. */
		note(t, err.text);
		t->rep->pass_at = UINT64_MAX;
		return;
	}
	if (near)
		t->near_next = next_near(t, instruction);
	plan_pass(t, instruction);
}

static int load(struct tt_timeline *t, struct tt_vcpu *vcpu)
{
	struct tt_error *err = &t->machine.error;
	uint64_t from = t->load;
	int ret;

	while ((ret = tt_checkpoint_load(t->checkpoints, t->rep, vcpu, from, &t->console_at, err)) == -EBADMSG) {
		note(t, "a checkpoint in memory is damaged: replaying from the one before");
		from = tt_checkpoint_before(t->checkpoints, from);
	}
	if (!ret)
		t->position = from;
	return ret;
}

/* Does what the user's thread wants next. True: the machine goes on. */
static bool go(struct tt_timeline *t, struct tt_vcpu *vcpu)
{
	struct tt_machine *m = &t->machine;
	int ret = 0;

	pthread_mutex_lock(&t->lock);
	m->stop_requested = vcpu->run->immediate_exit = t->interrupted;
	pthread_mutex_unlock(&t->lock);
	if (t->load != TT_FROM_HERE)
		ret = load(t, vcpu);
	if (!ret)
		ret = tt_replayer_set_goal(t->rep, vcpu, t->goal, &t->onlooker);
	if (ret) {
		t->load_error = ret;
		return false;
	}
	m->end = TT_END_NONE;
	plan_pass(t, t->position);
	return true;
}

static bool stopped(void *ctx, struct tt_vcpu *vcpu)
{
	struct tt_timeline *t = ctx;
	uint64_t before = t->position;
	bool on;

	t->position = here(t);
	t->executed += t->position - before;
	pthread_mutex_lock(&t->lock);
	t->state = STANDS;
	pthread_cond_broadcast(&t->changed);
	while (t->state == STANDS)
		pthread_cond_wait(&t->changed, &t->lock);
	on = t->state == MOVES;
	pthread_mutex_unlock(&t->lock);
	return on && go(t, vcpu);
}

static void *machine_main(void *arg)
{
	struct tt_timeline *t = arg;

	tt_machine_run(&t->machine);
	pthread_mutex_lock(&t->lock);
	t->state = ENDED;
	pthread_cond_broadcast(&t->changed);
	pthread_mutex_unlock(&t->lock);
	return NULL;
}

/* ------------------------------------------------------------------ on the user's thread: sending the machine */

static void wait_for_machine(struct tt_timeline *t)
{
	pthread_mutex_lock(&t->lock);
	while (t->state == MOVES)
		pthread_cond_wait(&t->changed, &t->lock);
	pthread_mutex_unlock(&t->lock);
}

/* The machine does not stand any more: why? */
static int failure(struct tt_timeline *t, struct tt_error *err)
{
	const struct tt_error *why = &t->machine.error;

	if (why->code)
		return tt_fail(err, why->code, "%s", why->text);
	return tt_fail(err, t->load_error ? t->load_error : -EIO, "the replay has ended");
}

/* From a checkpoint (or TT_FROM_HERE: from here) to the goal. 0 when the machine stands somewhere. */
static int send(struct tt_timeline *t, uint64_t from, struct tt_goal goal, const struct tt_onlooker *onlooker,
		struct tt_error *err)
{
	pthread_mutex_lock(&t->lock);
	if (t->state == STANDS) {
		t->load = from;
		t->goal = goal;
		t->onlooker = onlooker ? *onlooker : (struct tt_onlooker){ 0 };
		t->state = MOVES;
		pthread_cond_broadcast(&t->changed);
	}
	pthread_mutex_unlock(&t->lock);
	wait_for_machine(t);
	return t->state == STANDS ? 0 : failure(t, err);
}

int tt_travel(struct tt_timeline *t, uint64_t from, struct tt_goal goal, const struct tt_onlooker *onlooker,
	      enum tt_outcome *outcome, struct tt_error *err)
{
	uint64_t start = from == TT_FROM_HERE ? t->position : from, margin = t->rep->margin;
	struct tt_replayer_result result;
	int tries, ret;

	for (tries = 1;;) {
		ret = send(t, from, goal, onlooker, err);
		if (ret)
			break;
		tt_replayer_result(t->rep, &result);
		if (result.outcome != TT_OUTCOME_OVERSHOT || tries == MAX_TRIES)
			break;
		if (!result.strayed) {
			note(t, "an alarm came too late; replaying a part again");
			t->rep->margin *= MARGIN_GROWTH;
			tries++;
		}
		from = tt_checkpoint_before(t->checkpoints, start);
	}
	t->rep->margin = margin;
	if (ret)
		return ret;
	*outcome = result.outcome;
	switch (result.outcome) {
	case TT_OUTCOME_DONE:
	case TT_OUTCOME_NO_GOAL:
	case TT_OUTCOME_STOPPED:
		return 0;
	case TT_OUTCOME_DIVERGED:
	case TT_OUTCOME_OVERSHOT:
		return tt_fail(err, -EBADE, "the replay diverges from the recording %s", result.report);
	default:
		return failure(t, err);
	}
}

void tt_travel_near(struct tt_timeline *t, uint64_t from, uint64_t goal)
{
	t->near_goal = goal;
	t->near_next = goal ? next_near(t, from) : UINT64_MAX;
}

/* ------------------------------------------------------------------ life */

/* What an earlier session has left. Without it the checkpoints are made on the way. */
static int load_cache(struct tt_timeline *t, struct tt_error *err)
{
	struct tt_error why = { 0 };
	void *output = NULL;
	size_t size = 0;
	int ret = -ENOENT;

	if (t->options.cache)
		ret = tt_checkpoints_load(t->checkpoints, t->options.cache, &output, &size, &why);
	if (ret == -ENOMEM)
		return tt_fail(err, ret, "%s", why.text);
	if (ret && ret != -ENOENT)
		note(t, why.text);
	t->cached = tt_checkpoints_taken(t->checkpoints);
	/* What the machine had written when it was furthest: it may begin behind that now. */
	if (output)
		show_output(t, output, size);
	free(output);
	return 0;
}

static void save_cache(struct tt_timeline *t)
{
	struct tt_error why = { 0 };

	if (!t->options.cache || !t->checkpoints || tt_checkpoints_taken(t->checkpoints) == t->cached)
		return;
	fflush(t->output);
	if (tt_checkpoints_save(t->checkpoints, t->options.cache, t->output_text, t->output_size, &why))
		note(t, why.text);
}

static int create_machine(struct tt_timeline *t, const char *path, struct tt_error *err)
{
	struct tt_replayer_options options = {
		.goal = { TT_GOAL_INSTRUCTION, 0 },
		.stopped = stopped,
		.pass = pass,
		.ctx = t,
		.strays = &t->strays,
	};
	uint64_t bytes = t->options.checkpoint_bytes;
	int kvm_fd, ret = tt_log_open(path, &t->log, err);

	if (ret)
		return ret;
	ret = tt_config_load(t->log, &t->config, &t->facts, &t->strings, err);
	if (ret)
		return ret;
	kvm_fd = tt_kvm_open(err);
	if (kvm_fd < 0)
		return kvm_fd;
	ret = tt_cpuid_check(kvm_fd, t->config.cpuid, t->config.cpu_model, err);
	close(kvm_fd);
	if (ret)
		return ret;
	options.exact_instructions = t->facts.exact_instructions;
	ret = tt_replayer_create(t->log, &options, &t->rep, err);
	if (ret)
		return ret;
	ret = tt_outside_open(&t->config, &t->facts, path, t->options.disks, t->options.num_disks, err);
	if (ret)
		return ret;
	t->has_outside = true;
	ret = tt_machine_create(&t->machine, &t->config, tt_replayer_seam(t->rep), err);
	if (ret)
		return ret;
	t->has_machine = true;
	t->machine.console_write = console_write;
	t->machine.console_ctx = t;
	ret = tt_checkpoints_create(&t->machine, t->facts.id, bytes ? bytes : TT_CHECKPOINT_BYTES, &t->checkpoints, err);
	if (!ret && t->options.whole_pages)
		tt_checkpoints_keep_whole(t->checkpoints);
	return ret ? ret : load_cache(t, err);
}

int tt_traveller_start(struct tt_timeline *t, const char *path, struct tt_error *err)
{
	int ret;

	t->near_next = UINT64_MAX;
	t->state = MOVES;
	pthread_mutex_init(&t->lock, NULL);
	pthread_cond_init(&t->changed, NULL);
	t->output = open_memstream(&t->output_text, &t->output_size);
	ret = t->output ? create_machine(t, path, err) : tt_fail(err, -ENOMEM, "out of memory");
	if (ret)
		return ret;
	ret = -pthread_create(&t->thread, NULL, machine_main, t);
	if (ret)
		return tt_fail(err, ret, "cannot start a thread: %s", strerror(-ret));
	t->has_thread = true;
	wait_for_machine(t);
	return t->state == STANDS ? 0 : failure(t, err);
}

void tt_traveller_stop(struct tt_timeline *t)
{
	if (t->has_thread) {
		pthread_mutex_lock(&t->lock);
		if (t->state == STANDS)
			t->state = QUITS;
		pthread_cond_broadcast(&t->changed);
		pthread_mutex_unlock(&t->lock);
		pthread_join(t->thread, NULL);
	}
	save_cache(t);
	tt_checkpoints_destroy(t->checkpoints);
	if (t->has_machine)
		tt_machine_destroy(&t->machine);
	if (t->has_outside)
		tt_outside_close(&t->config);
	if (t->rep)
		tt_replayer_destroy(t->rep);
	if (t->log)
		tt_log_close(t->log);
	free(t->strings);
	if (t->output)
		fclose(t->output);
	free(t->output_text);
	pthread_cond_destroy(&t->changed);
	pthread_mutex_destroy(&t->lock);
}
