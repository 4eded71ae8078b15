/* SPDX-License-Identifier: GPL-2.0 */
/*
 * guest.h - what a test kernel stands on: checksum, console, interrupts, LAPIC timer, page tables.
 * A guest includes nothing else and defines guest_main(), which runs with interrupts off until it
 * says sti(). Returning from it is success.
 */
#ifndef TTVM_GUEST_H
#define TTVM_GUEST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

void guest_main(void);
extern const char guest_name[];
#define GUEST(name) const char guest_name[] = name

/* ------------------------------------------------------------------ instructions */

static inline void outb(uint16_t port, uint8_t value)
{
	asm volatile("outb %0, %1" : : "a"(value), "Nd"(port) : "memory");
}

static inline uint8_t inb(uint16_t port)
{
	uint8_t value;

	asm volatile("inb %1, %0" : "=a"(value) : "Nd"(port) : "memory");
	return value;
}

static inline uint32_t inl(uint16_t port)
{
	uint32_t value;

	asm volatile("inl %1, %0" : "=a"(value) : "Nd"(port) : "memory");
	return value;
}

static inline void sti(void)
{
	asm volatile("sti" : : : "memory");
}

static inline void cli(void)
{
	asm volatile("cli" : : : "memory");
}

/* Nothing can come between the two: STI takes effect one instruction later. */
static inline void sti_hlt(void)
{
	asm volatile("sti; hlt" : : : "memory");
}

static inline uint64_t rdtsc(void)
{
	uint32_t low, high;

	asm volatile("rdtsc" : "=a"(low), "=d"(high) : : "memory");
	return (uint64_t)high << 32 | low;
}

static inline void wrmsr(uint32_t index, uint64_t value)
{
	asm volatile("wrmsr" : : "c"(index), "a"((uint32_t)value), "d"((uint32_t)(value >> 32))
		     : "memory");
}

static inline uint64_t rdmsr(uint32_t index)
{
	uint32_t low, high;

	asm volatile("rdmsr" : "=a"(low), "=d"(high) : "c"(index) : "memory");
	return (uint64_t)high << 32 | low;
}

struct cpuid {
	uint32_t eax, ebx, ecx, edx;
};

static inline struct cpuid cpuid(uint32_t leaf, uint32_t index)
{
	struct cpuid c;

	asm volatile("cpuid" : "=a"(c.eax), "=b"(c.ebx), "=c"(c.ecx), "=d"(c.edx)
		     : "a"(leaf), "c"(index));
	return c;
}

/* ttvm says so in its hypervisor leaf. Other machines may lack what only ttvm promises. */
static inline bool under_ttvm(void)
{
	struct cpuid c = cpuid(0x40000000, 0);

	return c.ebx == 0x4d565454 && c.ecx == 0x4d565454 && c.edx == 0x4d565454;
}

/* ------------------------------------------------------------------ checksum, console, end */

static inline uint64_t mix(uint64_t sum, uint64_t value)
{
	return ((sum << 7 | sum >> 57) ^ value) * 0x9e3779b97f4a7c15ull;
}

/* Two sums, so that an interrupt in the middle of a fold() loses nothing: fold_irq() in handlers. */
void fold(uint64_t value);
void fold_irq(uint64_t value);
void fold_bytes(const void *data, size_t len);

void print(const char *text);
void print_hex(uint64_t value);
void print_number(uint64_t value);
/* End the machine. guest_end(0) prints the checksum line first, as does return from guest_main(). */
_Noreturn void guest_end(uint8_t status);
/* What should be true on any x86 is not: say so and end with status 1. */
_Noreturn void guest_fail(const char *what, uint64_t value);

/* A sequence that is the same in every run: xorshift64. */
uint64_t next_random(uint64_t *seed);

/* ------------------------------------------------------------------ interrupts */

/* As pushed by start.S. Changing it changes what is returned to. */
struct frame {
	uint64_t r15, r14, r13, r12, r11, r10, r9, r8, rbp, rdi, rsi, rdx, rcx, rbx, rax;
	uint64_t vector, error, rip, cs, rflags, rsp, ss;
};

#define RFLAGS_TF (1u << 8)
#define RFLAGS_IF (1u << 9)
#define RFLAGS_RF (1u << 16)

enum {
	VECTOR_DE = 0,
	VECTOR_DB = 1,
	VECTOR_BP = 3,
	VECTOR_UD = 6,
	VECTOR_DF = 8,
	VECTOR_GP = 13,
	VECTOR_PF = 14,
	VECTOR_MF = 16,
	VECTOR_XM = 19,
	VECTOR_SELF_LOW = 0x31,
	VECTOR_TIMER = 0x40,
	VECTOR_SERIAL = 0x51,
	VECTOR_SELF_HIGH = 0x71,
	VECTOR_SPURIOUS = 0xff,
};

typedef void (*handler_fn)(struct frame *f);
/* A vector without a handler ends the guest with status 2 and its frame on the console. */
void set_handler(uint8_t vector, handler_fn handler);

/* ------------------------------------------------------------------ local APIC, IOAPIC */

#define LAPIC_EOI		0xb0
#define LAPIC_TPR		0x80
#define LAPIC_ICR		0x300
#define LAPIC_TIMER_CURRENT	0x390

uint32_t lapic_read(uint32_t reg);
void lapic_write(uint32_t reg, uint32_t value);
void lapic_self_ipi(uint8_t vector);

/*
 * The timer interrupts with VECTOR_TIMER. Its default handler counts `ticks` and folds what was
 * interrupted: rip, rcx, rsi, rdi, rflags and the TSC. tick_hook, when set, is called too.
 */
extern volatile uint64_t ticks;
extern void (*tick_hook)(struct frame *f);
/*
 * Interrupt every `count` counts, `number` times, then stop: on a machine so slow that the handler
 * outlasts the period, the guest ends all the same.
 */
void timer_periodic(uint32_t count, uint64_t number);
bool timer_is_on(void);
void timer_one_shot(uint32_t count);
bool timer_has_deadline(void);
void timer_deadline(uint64_t tsc);
void timer_stop(void);
/* Acknowledge and count, for guests that have a timer handler of their own. */
void timer_tick(struct frame *f);

/* Route an IOAPIC pin to a vector, edge triggered. */
void ioapic_route(unsigned int pin, uint8_t vector);

/* Counts of the timer per interrupt: at 1-4 GHz 25 microseconds to 2 milliseconds. */
#define PERIOD_STORM	100000
#define PERIOD_FAST	1000000
#define PERIOD_SLOW	2000000

/* ------------------------------------------------------------------ page tables */

#define PTE_PRESENT	(1ull << 0)
#define PTE_WRITE	(1ull << 1)
#define PTE_ACCESSED	(1ull << 5)
#define PTE_DIRTY	(1ull << 6)

/* 2 MiB of address space that starts out without pages. */
#define WINDOW		0x40000000ull
#define WINDOW_PAGES	512

/* Take the large page at WINDOW away and put an empty page table there. */
void window_create(void);
extern volatile uint64_t window_table[WINDOW_PAGES];

static inline void invlpg(uint64_t address)
{
	asm volatile("invlpg (%0)" : : "r"(address) : "memory");
}

static inline uint64_t read_cr2(void)
{
	uint64_t value;

	asm volatile("mov %%cr2, %0" : "=r"(value));
	return value;
}

#endif /* TTVM_GUEST_H */
