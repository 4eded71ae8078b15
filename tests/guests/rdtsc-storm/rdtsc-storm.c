// SPDX-License-Identifier: GPL-2.0
/*
 * rdtsc-storm - RDTSC and RDTSCP as fast as they go, alone, with interrupts, and single-stepped by
 * the guest's own trap flag. Provokes time that a replay computes differently, time that stands
 * still or runs backwards, and a trap that gets lost over an instruction which the hypervisor
 * completes.
 */
#include "guest.h"

#define READS	3000
#define TICKS	200
#define STEPS	400
#define MSR_TSC		0x10
#define MSR_TSC_AUX	0xc0000103

GUEST("rdtsc-storm");

extern const char step_begin[], step_end[];

static uint64_t last;
static volatile uint64_t steps, last_step;
static bool has_rdtscp;

static void check(uint64_t now)
{
	if (now <= last)
		guest_fail("time did not advance since", last);
	last = now;
	fold(now);
}

static uint64_t rdtscp(uint32_t *aux)
{
	uint32_t low, high;

	asm volatile("rdtscp" : "=a"(low), "=d"(high), "=c"(*aux) : : "memory");
	return (uint64_t)high << 32 | low;
}

static void read_often(uint64_t number)
{
	uint32_t aux;

	while (number--) {
		check(rdtsc());
		if (has_rdtscp) {
			check(rdtscp(&aux));
			if (aux != 0x1234)
				guest_fail("RDTSCP gave another TSC_AUX", aux);
		}
	}
}

static void debug_trap(struct frame *f)
{
	steps++;
	fold_irq(f->rip);
	fold_irq(f->rax);
	if (f->rip >= (uintptr_t)step_begin && f->rip <= (uintptr_t)step_end) {
		/* Instructions here are 2 or 3 bytes long: one trap for each. */
		if (last_step && f->rip > last_step && f->rip - last_step > 3)
			guest_fail("a step was lost before", f->rip);
		last_step = f->rip;
	}
	if (f->rip >= (uintptr_t)step_end)
		f->rflags &= ~(uint64_t)RFLAGS_TF;
}

static void __attribute__((noinline)) step(void)
{
	uint64_t before = steps;

	last_step = 0;
	asm volatile("pushfq; orl $0x100, (%%rsp); popfq\n"
		     "step_begin: rdtsc\n"
		     "mov %%eax, %%esi\n"
		     "rdtsc\n"
		     "sub %%eax, %%esi\n"
		     "step_end: nop; nop"
		     : : : "rax", "rdx", "rsi", "cc", "memory");
	/* POPFQ itself does not trap. One after each of the four instructions. */
	if (steps - before != 4)
		guest_fail("number of traps in four steps", steps - before);
}

void guest_main(void)
{
	uint64_t i;

	has_rdtscp = cpuid(0x80000001, 0).edx & 1u << 27;
	if (has_rdtscp)
		wrmsr(MSR_TSC_AUX, 0x1234);
	set_handler(VECTOR_DB, debug_trap);

	read_often(READS);
	timer_periodic(PERIOD_FAST, TICKS);
	sti();
	while (timer_is_on())
		read_often(8);
	for (i = 0; i < STEPS; i++)
		step();
	timer_periodic(PERIOD_FAST, TICKS);
	while (timer_is_on()) {
		check(rdtsc());
		step();
	}
	cli();
	/* The TSC can be set and runs on from there (QEMU's emulation ignores it). */
	if (under_ttvm()) {
		wrmsr(MSR_TSC, 0x123456789abcull);
		last = 0x123456789abcull;
		read_often(10);
		if (last > 0x133456789abcull)
			guest_fail("the TSC was not set", last);
	}
	fold(steps);
}
