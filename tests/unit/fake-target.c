// SPDX-License-Identifier: GPL-2.0
/*
 * fake-target.c - see fake-target.h.
 */
#include <string.h>

#include "fake-target.h"

static struct fake_target *fake_of(struct tt_debug_target *target)
{
	return (struct fake_target *)((char *)target - offsetof(struct fake_target, target));
}

static int fake_attach(struct tt_debug_target *target, struct tt_error *err)
{
	(void)err;
	fake_of(target)->attached = true;
	fake_of(target)->attaches++;
	return 0;
}

static void fake_detach(struct tt_debug_target *target)
{
	fake_of(target)->attached = false;
}

static void fake_kill(struct tt_debug_target *target)
{
	fake_of(target)->killed = true;
}

static int fake_read_registers(struct tt_debug_target *target, struct tt_registers *r, struct tt_error *err)
{
	(void)err;
	*r = fake_of(target)->registers;
	return 0;
}

static int fake_write_registers(struct tt_debug_target *target, const struct tt_registers *r, struct tt_error *err)
{
	if (r->regs.rax == 0xbad)
		return tt_fail(err, -EINVAL, "not this value");
	fake_of(target)->registers = *r;
	return 0;
}

/* Clips *len to what is there. */
static uint8_t *find(struct fake_target *f, bool physical, uint64_t address, size_t *len)
{
	uint64_t offset = physical ? address : address - FAKE_MEMORY_AT;

	if (offset >= FAKE_MEMORY_SIZE)
		*len = offset = 0;
	else if (*len > FAKE_MEMORY_SIZE - offset)
		*len = FAKE_MEMORY_SIZE - offset;
	return f->memory + offset;
}

static size_t fake_read_memory(struct tt_debug_target *target, bool physical, uint64_t address, void *data, size_t len)
{
	uint8_t *at = find(fake_of(target), physical, address, &len);

	if (len)
		memcpy(data, at, len);
	return len;
}

static size_t fake_write_memory(struct tt_debug_target *target, bool physical, uint64_t address, const void *data, size_t len)
{
	uint8_t *at = find(fake_of(target), physical, address, &len);

	if (len)
		memcpy(at, data, len);
	return len;
}

static int fake_set_points(struct tt_debug_target *target, const struct tt_point *points, size_t count, struct tt_error *err)
{
	struct fake_target *f = fake_of(target);

	if (count > FAKE_MAX_POINTS)
		return tt_fail(err, -ENOSPC, "no more than %d", FAKE_MAX_POINTS);
	if (count)
		memcpy(f->points, points, count * sizeof(*points));
	f->num_points = count;
	return 0;
}

/* One instruction; true when something happens there. */
static bool advance(struct fake_target *f, int direction, struct tt_stop *stop)
{
	uint64_t *rip = (uint64_t *)&f->registers.regs.rip;
	size_t i;

	if (direction < 0 && !*rip) {
		stop->reason = TT_STOP_HISTORY_BEGIN;
		return true;
	}
	if (f->target.backwards && direction > 0 && *rip == FAKE_HISTORY_END) {
		stop->reason = TT_STOP_HISTORY_END;
		return true;
	}
	*rip += direction;
	for (i = 0; i < f->num_points; i++) {
		if (f->points[i].address != *rip)
			continue;
		stop->reason = TT_STOP_POINT;
		stop->point = f->points[i];
		return true;
	}
	return false;
}

static int fake_step(struct tt_debug_target *target, int64_t count, struct tt_stop *stop, struct tt_error *err)
{
	(void)err;
	stop->reason = TT_STOP_STEP;
	for (; count; count += count < 0 ? 1 : -1)
		if (advance(fake_of(target), count < 0 ? -1 : 1, stop))
			break;
	return 0;
}

static int fake_run(struct tt_debug_target *target, bool backwards, struct tt_stop *stop, struct tt_error *err)
{
	struct fake_target *f = fake_of(target);

	(void)err;
	pthread_mutex_lock(&f->lock);
	f->running = true;
	pthread_cond_broadcast(&f->changed);
	stop->reason = TT_STOP_INTERRUPTED;
	while (!f->interrupted && !f->ended) {
		if (f->run_forever)
			pthread_cond_wait(&f->changed, &f->lock);
		else if (advance(f, backwards ? -1 : 1, stop))
			break;
	}
	if (f->ended)
		*stop = (struct tt_stop){ .reason = TT_STOP_EXITED, .status = 7 };
	f->running = f->interrupted = false;
	pthread_mutex_unlock(&f->lock);
	return 0;
}

static void fake_interrupt(struct tt_debug_target *target)
{
	struct fake_target *f = fake_of(target);

	pthread_mutex_lock(&f->lock);
	f->interrupted = true;
	pthread_cond_broadcast(&f->changed);
	pthread_mutex_unlock(&f->lock);
}

static int fake_position(struct tt_debug_target *target, uint64_t *instructions, uint64_t *ns, struct tt_error *err)
{
	(void)err;
	*instructions = fake_of(target)->registers.regs.rip;
	*ns = *instructions * 1000;
	return 0;
}

static int fake_go(struct tt_debug_target *target, uint64_t instructions, struct tt_error *err)
{
	if (instructions > FAKE_HISTORY_END)
		return tt_fail(err, -ERANGE, "the recording has %d instructions", FAKE_HISTORY_END);
	fake_of(target)->registers.regs.rip = instructions;
	return 0;
}

static int fake_seek_event(struct tt_debug_target *target, uint64_t event, struct tt_error *err)
{
	return fake_go(target, event * 100, err);
}

static int fake_seek_time(struct tt_debug_target *target, uint64_t ns, struct tt_error *err)
{
	return fake_go(target, ns / 1000, err);
}

static int fake_text(struct tt_debug_target *target, const char *args, FILE *out, struct tt_error *err)
{
	int i;

	(void)target;
	if (!strcmp(args, "fail"))
		return tt_fail(err, -EIO, "a failure");
	/* More than one packet of output. */
	for (i = 0; i < 1000; i++)
		fprintf(out, "line %d %s\n", i, args);
	return 0;
}

void fake_target_init(struct fake_target *f, bool recording)
{
	memset(f, 0, sizeof(*f));
	f->ops = (struct tt_debug_ops){
		.attach = fake_attach,
		.detach = fake_detach,
		.kill = fake_kill,
		.read_registers = fake_read_registers,
		.write_registers = fake_write_registers,
		.read_memory = fake_read_memory,
		.write_memory = fake_write_memory,
		.set_points = fake_set_points,
		.step = fake_step,
		.run = fake_run,
		.interrupt = fake_interrupt,
	};
	f->target.ops = &f->ops;
	f->target.name = recording ? "a recording" : "a live run";
	f->target.backwards = recording;
	if (recording) {
		f->ops.write_registers = NULL;
		f->ops.write_memory = NULL;
		f->ops.position = fake_position;
		f->ops.go = fake_go;
		f->ops.seek_event = fake_seek_event;
		f->ops.seek_time = fake_seek_time;
		f->ops.events = f->ops.checkpoint = f->ops.disk = f->ops.console = fake_text;
	}
	pthread_mutex_init(&f->lock, NULL);
	pthread_cond_init(&f->changed, NULL);
}

void fake_target_destroy(struct fake_target *f)
{
	pthread_cond_destroy(&f->changed);
	pthread_mutex_destroy(&f->lock);
}

void fake_target_end(struct fake_target *f)
{
	pthread_mutex_lock(&f->lock);
	f->ended = true;
	pthread_cond_broadcast(&f->changed);
	pthread_mutex_unlock(&f->lock);
}

void fake_target_wait(struct fake_target *f)
{
	pthread_mutex_lock(&f->lock);
	while (!f->running)
		pthread_cond_wait(&f->changed, &f->lock);
	pthread_mutex_unlock(&f->lock);
}
