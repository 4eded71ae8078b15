// SPDX-License-Identifier: GPL-2.0
/*
 * test_log_size.c - bytes per second of guests whose events look like those of Linux guests,
 * against the targets. One frame per second, as the writer makes them by default.
 *
 * The models: jitter of branch counts as of an interpreter-speed host, one ratio of instructions to
 * branches with some jitter, addresses drawn from a few hundred hot ones with a long tail, random
 * checks, host latencies exponentially distributed, ticks rounded down to 4096.
 */
#include "log_events.h"

#include <math.h>
#include <time.h>

#define SECONDS	   20
#define TSC_HZ	   3e9
#define TICK_UNIT  4096
#define NUM_HOT	   300
#define NUM_KERNEL 400

struct model {
	uint64_t state;
	struct tt_position pos;
	uint64_t hot[NUM_HOT];
	uint64_t kernel[NUM_KERNEL];
	double weight[NUM_HOT];	/* cumulative */
};

static double uniform(struct model *model)
{
	return (double)(random64(&model->state) >> 11) / (double)(1ull << 53);
}

static double exponential(struct model *model, double mean)
{
	return -mean * log(1 - uniform(model));
}

static double normal(struct model *model)
{
	return sqrt(-2 * log(1 - uniform(model))) * cos(2 * M_PI * uniform(model));
}

static void model_init(struct model *model, uint64_t seed)
{
	double sum = 0;

	memset(model, 0, sizeof(*model));
	model->state = seed;
	for (int i = 0; i < NUM_HOT; i++) {
		model->hot[i] = 0x55d4c3a01000 + random_below(&model->state, 0x3000);
		model->weight[i] = sum += pow(i + 1, -0.7);
	}
	for (int i = 0; i < NUM_KERNEL; i++)
		model->kernel[i] = 0xffffffff81000000 + random_below(&model->state, 0x800000);
}

static uint64_t hot_rip(struct model *model)
{
	double pick = uniform(model) * model->weight[NUM_HOT - 1];
	int i = 0;

	if (uniform(model) < 0.08)
		return model->kernel[random_below(&model->state, NUM_KERNEL)];
	while (model->weight[i] < pick)
		i++;
	return model->hot[i];
}

static uint64_t ticks(double value)
{
	return value < TICK_UNIT ? TICK_UNIT : (uint64_t)value / TICK_UNIT * TICK_UNIT;
}

static void append_event(struct model *model, struct tt_log_writer *writer, bool at_exit,
			 double rebase, int vector)
{
	struct tt_event event = { .kind = TT_EVENT_SYNC, .at_exit = at_exit, .pos = model->pos,
				  .rebase = ticks(rebase), .vector = (int16_t)vector };

	event.pos.check = (uint32_t)random64(&model->state);
	assert_int_equal(tt_log_append(writer, &event), 0);
}

/*
 * Instructions per branch. 300000 blocks of 2 to 12 instructions in any order would differ by 0.1 %
 * from interval to interval; code has phases.
 */
static double ratio(struct model *model)
{
	return 6.4 * (1 + 0.002 * normal(model));
}

/* 250 timer interrupts a second; after every second one, an exit brings the clock forward. */
static void compute_second(struct model *model, struct tt_log_writer *writer)
{
	for (int i = 0; i < 250; i++) {
		double branches = 300000 * (1 + 0.1 * normal(model));

		branches = fmax(floor(branches), 1);
		model->pos.branches += (uint64_t)branches;
		model->pos.instructions += (uint64_t)(branches * ratio(model));
		model->pos.rip = hot_rip(model);
		append_event(model, writer, false,
			     TSC_HZ / 250 - branches * 1.2 + exponential(model, 60000), 0xec);
		model->pos.exits += random_below(&model->state, 6) ? 2 : 4;
		if (random_below(&model->state, 2))
			append_event(model, writer, true, 600000 + exponential(model, 600000),
				     TT_VECTOR_NONE);
	}
}

/* Wake-ups from HLT, by the timer most of the time. */
static void idle_second(struct model *model, struct tt_log_writer *writer)
{
	for (int i = 0; i < 50; i++) {
		model->pos.exits += 1 + random_below(&model->state, 4);
		append_event(model, writer, true, exponential(model, TSC_HZ / 50),
			     random_below(&model->state, 10) ? 0xec : 0x24);
	}
}

static double measure(const char *name, void (*second)(struct model *, struct tt_log_writer *),
		      int level)
{
	const char *path = test_path("size");
	struct tt_log_options options = { .flush_ms = 3600000, .level = level };
	struct tt_log_writer *writer;
	struct tt_log_stats stats;
	static struct model model;
	double bytes;

	model_init(&model, 42);
	assert_int_equal(tt_log_writer_create(path, NULL, 0, &options, &writer, NULL), 0);
	for (int i = 0; i < SECONDS; i++) {
		second(&model, writer);
		assert_int_equal(tt_log_writer_flush(writer), 0);
	}
	assert_int_equal(tt_log_writer_close(writer, &stats, NULL), 0);
	assert_int_equal(stats.frames, SECONDS);
	unlink(path);
	bytes = (double)stats.file_bytes / SECONDS;
	print_message("%s: %.0f events/s, %.0f bytes/s raw, %.0f bytes/s in the file, %.2f bytes "
		      "per event (level %d)\n",
		      name, (double)stats.events / SECONDS, (double)stats.raw_bytes / SECONDS,
		      bytes, (double)stats.file_bytes / (double)stats.events, level);
	return bytes;
}

static void compute_guest(void **unused)
{
	(void)unused;
	assert_true(measure("compute", compute_second, 3) <= 3000);
}

static void idle_guest(void **unused)
{
	(void)unused;
	assert_true(measure("idle", idle_second, 3) <= 1000);
}

/* Not a test of speed, but a figure to look at. */
static void cost_of_an_append(void **unused)
{
	enum { N = 2000 };
	const char *path = test_path("cost");
	struct tt_event event = { .kind = TT_EVENT_SYNC };
	struct tt_log_writer *writer;
	struct timespec start, end;
	double best = 1e9;

	(void)unused;
	assert_int_equal(tt_log_writer_create(path, NULL, 0, NULL, &writer, NULL), 0);
	for (int round = 0; round < 20; round++) {
		double ns;

		clock_gettime(CLOCK_MONOTONIC, &start);
		for (int i = 0; i < N; i++) {
			event.pos.branches += 1000;
			assert_int_equal(tt_log_append(writer, &event), 0);
		}
		clock_gettime(CLOCK_MONOTONIC, &end);
		ns = ((double)(end.tv_sec - start.tv_sec) * 1e9 +
		      (double)(end.tv_nsec - start.tv_nsec)) / N;
		best = ns < best ? ns : best;
		assert_int_equal(tt_log_writer_flush(writer), 0);
	}
	assert_int_equal(tt_log_writer_close(writer, NULL, NULL), 0);
	unlink(path);
	print_message("append: %.0f ns\n", best);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(compute_guest),
		cmocka_unit_test(idle_guest),
		cmocka_unit_test(cost_of_an_append),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
