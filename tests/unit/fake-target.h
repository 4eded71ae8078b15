/* SPDX-License-Identifier: GPL-2.0 */
/*
 * fake-target.h - something for the gdb server to debug: registers, a page of memory, a list of points, and a program of
 * which instruction n is at address n.
 */
#ifndef TTVM_FAKE_TARGET_H
#define TTVM_FAKE_TARGET_H

#include <pthread.h>

#include "debug.h"

#define FAKE_MEMORY_AT	 0x1000	/* virtual; its physical address is 0 */
#define FAKE_MEMORY_SIZE 4096
#define FAKE_MAX_POINTS	 4
#define FAKE_HISTORY_END 1000	/* instructions, when it is a recording */

struct fake_target {
	struct tt_debug_target target;
	struct tt_debug_ops ops;	/* what a test changes */
	struct tt_registers registers;
	uint8_t memory[FAKE_MEMORY_SIZE];
	struct tt_point points[FAKE_MAX_POINTS];
	size_t num_points;
	bool attached, killed, run_forever;
	unsigned int attaches;
	pthread_mutex_t lock;	/* of what follows */
	pthread_cond_t changed;
	bool running, interrupted, ended;
};

/* A live one can be written to and knows no position; a recording goes backwards and has all monitor commands. */
void fake_target_init(struct fake_target *f, bool recording);
void fake_target_destroy(struct fake_target *f);
/* The guest has ended with status 7. */
void fake_target_end(struct fake_target *f);
/* Wait until it runs. */
void fake_target_wait(struct fake_target *f);

#endif /* TTVM_FAKE_TARGET_H */
