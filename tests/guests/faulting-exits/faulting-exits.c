// SPDX-License-Identifier: GPL-2.0
/*
 * faulting-exits - instructions that leave the guest and end in an exception while the timer
 * interrupts: RDMSR of a register that does not exist (#GP), INSB to a page that is not there (#PF),
 * OUT in a single step (#DB). The exit is over before the exception is raised. Provokes interrupts
 * that are injected in between and lost: then the LAPIC waits for their EOI for ever.
 */
#include "guest.h"

#define TICKS	 400
#define PATIENCE 20000 /* rounds without a tick: seconds where an exit takes 30 microseconds */

#define NO_SUCH_MSR  0x12345678
#define SCRATCH_PORT 0x3ff
#define RDMSR_LENGTH 2

GUEST("faulting-exits");

static uint8_t page[4096] __attribute__((aligned(4096)));
static volatile uint64_t protection_faults, page_faults, steps;

static void protection_fault(struct frame *f)
{
	protection_faults++;
	fold_irq(f->rip);
	f->rip += RDMSR_LENGTH;
}

static void page_fault(struct frame *f)
{
	page_faults++;
	fold_irq(f->rip);
	window_table[0] = (uintptr_t)page | PTE_PRESENT | PTE_WRITE;
	invlpg(WINDOW);
}

static void single_step(struct frame *f)
{
	steps++;
	fold_irq(f->rip);
	f->rflags &= ~RFLAGS_TF;
}

static void input_to_absent_page(void)
{
	uint64_t to = WINDOW;

	window_table[0] = 0;
	invlpg(WINDOW);
	asm volatile("insb" : "+D"(to) : "d"(SCRATCH_PORT) : "memory");
	if (page[0] != 0x5a)
		guest_fail("INSB that faulted stored something else", page[0]);
}

static void step_over_output(void)
{
	/* The trap comes after the instruction behind POPF. */
	asm volatile("pushfq; orl %0, (%%rsp); popfq; outb %%al, %%dx"
		     :
		     : "i"(RFLAGS_TF), "a"(0x5a), "d"(SCRATCH_PORT)
		     : "memory", "cc");
}

void guest_main(void)
{
	uint64_t rounds = 0, seen = 0, quiet = 0;

	window_create();
	set_handler(VECTOR_GP, protection_fault);
	set_handler(VECTOR_PF, page_fault);
	set_handler(VECTOR_DB, single_step);
	outb(SCRATCH_PORT, 0x5a);
	timer_periodic(PERIOD_FAST, TICKS);
	sti();
	while (timer_is_on()) {
		rdmsr(NO_SUCH_MSR);
		input_to_absent_page();
		step_over_output();
		rounds++;
		quiet = ticks == seen ? quiet + 1 : 0;
		seen = ticks;
		if (quiet > PATIENCE)
			guest_fail("the timer has stopped interrupting", ticks);
	}
	cli();
	if (protection_faults != rounds || page_faults != rounds || steps != rounds)
		guest_fail("not every instruction has faulted once", rounds);
	fold(rounds);
}
