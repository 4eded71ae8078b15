// SPDX-License-Identifier: GPL-2.0
/*
 * stepping - instructions for a debugger to step through while a timer interrupts: each begins at a symbol, step_N or halt_N,
 * and leads to the next one. The guest itself looks for traces of the stepping: a trap flag that it did not set.
 */
#include "guest.h"

#define TICKS	  60
#define TRAP_FLAG (1ull << 8)
#define MSR_STAR  0xc0000081
#define MSR_LSTAR 0xc0000082
#define MSR_SFMASK 0xc0000084
#define VECTOR_BP 3

GUEST("stepping");

extern const char syscall_entry[];
volatile uint64_t rounds;

static void check(const char *where, uint64_t flags)
{
	if (flags & TRAP_FLAG)
		guest_fail(where, flags);
}

static void on_int3(struct frame *f)
{
	check("a trap flag after INT3", f->rflags);
}

/* With interrupts on. */
static void __attribute__((noinline)) straight(void)
{
	uint64_t pushed, syscalled;

	asm volatile(".globl step_0, step_1, step_2, step_3, step_4, step_5, step_6, step_7, step_8, step_9, step_10\n"
		     ".globl step_11, step_12, step_13, step_14, syscall_entry\n"
		     "step_0: pushf\n"
		     "step_1: pop %0\n"
		     "step_2: mov $0x1b, %%ecx\n"
		     "step_3: rdmsr\n"		       /* leaves KVM, as the next two do */
		     "step_4: out %%al, $0x80\n"
		     "step_5: mov 0xfee00030, %%eax\n"
		     "step_6: cpuid\n"		       /* served in KVM */
		     "step_7: rdtsc\n"
		     "step_8: call step_9\n"
		     "step_9: lea 8(%%rsp), %%rsp\n"
		     "step_10: xor %%ecx, %%ecx\n"
		     "step_11: jz step_12\n"
		     "ud2\n"
		     "step_12: syscall\n"
		     "step_13: int3\n"
		     "step_14: jmp 1f\n"
		     /* Back in the way that needs no ring 3. */
		     "syscall_entry: mov %%r11, %1; sti; jmp *%%rcx\n"
		     "1:" : "=&r"(pushed), "=&r"(syscalled) : : "rax", "rbx", "rcx", "rdx", "r11", "memory");
	check("a trap flag was pushed", pushed);
	check("a trap flag in R11 after SYSCALL", syscalled);
}

/* With interrupts off at first. */
static void __attribute__((noinline)) halting(void)
{
	asm volatile(".globl halt_1, halt_2, halt_3, halt_4\n"
		     "sti\n"
		     "halt_1: hlt\n"
		     "halt_2: incq rounds(%%rip)\n"
		     "halt_3: nop\n"
		     "halt_4: cli" : : : "memory");
}

void guest_main(void)
{
	set_handler(VECTOR_BP, on_int3);
	wrmsr(MSR_STAR, 0x08ull << 32); /* this code segment and the next */
	wrmsr(MSR_LSTAR, (uintptr_t)syscall_entry);
	wrmsr(MSR_SFMASK, TRAP_FLAG | 1 << 9);
	timer_periodic(PERIOD_FAST, TICKS);
	while (timer_is_on()) {
		sti();
		straight();
		cli();
		if (timer_is_on())
			halting();
	}
	fold(rounds);
}
