// SPDX-License-Identifier: GPL-2.0
/*
 * pmu-selftest.c - is counting in guest mode exact on this machine?
 *
 * Runs known code in a small VM of its own and compares what two perf events that count in guest
 * mode only (retired instructions, retired conditional branches) say with what the code must give:
 * undisturbed, with timer signals, with interrupts injected, single-stepped from inside and from
 * outside, and with hardware breakpoints. Then it lets an event sample and looks how late each
 * interrupt comes.
 *
 * usage: pmu-selftest [-r RUNS] [MAX_SKID]
 * RUNS is how often each shape of code runs in each way (default 10). MAX_SKID is how many branches
 * an interrupt may be late (default 1, which Linux itself causes: it never programs less than 2).
 * Prints "ok NAME" or "not ok NAME: why" per test; exits 0, 1, or 77 when the machine cannot run it.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/kvm.h>
#include <linux/perf_event.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <unistd.h>

#include "pmu-guest.h"

#define EVENT_INSNS 0xc0
#define EVENT_BRANCHES 0xd1

#define MEM_SIZE (8 << 20)
#define GDT 0x1000
#define TSS 0x1400
#define IDT 0x2000
#define PAGE_TABLES 0x4000 /* PML4, PDPT, PD */
#define STACK 0x20000
#define CODE 0x100000

#define RFLAGS_TF (1 << 8)
#define RFLAGS_IF (1 << 9)
#define RFLAGS_RF (1 << 16)

#define SEL_CODE 0x08
#define SEL_DATA 0x10
#define SEL_USER_DATA (0x18 | 3)
#define SEL_USER_CODE (0x20 | 3)
#define SEL_TSS 0x28

struct counts {
	uint64_t insns, branches;
};

struct vm {
	int kvm, fd, vcpu;
	struct kvm_run *run;
	uint8_t *mem;
	int insns, branches; /* perf events */
};

struct shape {
	const char *name;
	const uint8_t *entry;
	uint64_t rounds;
	struct counts (*expected)(uint64_t rounds);
};

static volatile struct kvm_run *kicked_run;
static int failures;

static void skip(const char *what)
{
	printf("skip: %s: %s\n", what, strerror(errno));
	exit(77);
}

static uint64_t guest_address(const uint8_t *label)
{
	return CODE + (uint64_t)(label - guest_start);
}

static void report(const char *shape, const char *way, const char *problem)
{
	if (problem[0]) {
		printf("not ok %s, %s: %s\n", shape, way, problem);
		failures++;
	} else {
		printf("ok %s, %s\n", shape, way);
	}
	fflush(stdout);
}

/* ---- the machine ---- */

static void set_gate(struct vm *vm, int vector, const uint8_t *handler, int dpl)
{
	uint64_t *gate = (uint64_t *)(vm->mem + IDT) + 2 * vector;
	uint64_t to = guest_address(handler);

	gate[0] = (to & 0xffff) | (uint64_t)SEL_CODE << 16 | (uint64_t)(0x8e | dpl << 5) << 40 |
		  (to >> 16 & 0xffff) << 48;
	gate[1] = to >> 32;
}

static void build_tables(struct vm *vm)
{
	static const uint64_t gdt[] = {
		0, 0x00af9b000000ffff, 0x00cf93000000ffff, 0x00cff3000000ffff, 0x00affb000000ffff,
		0x0000890000000067 | (uint64_t)TSS << 16, 0,
	};
	uint64_t *table = (uint64_t *)(vm->mem + PAGE_TABLES);
	int i;

	memcpy(vm->mem + GDT, gdt, sizeof(gdt));
	*(uint64_t *)(vm->mem + TSS + 4) = STACK; /* rsp0 */
	table[0] = (PAGE_TABLES + 0x1000) | 7;
	table[512] = (PAGE_TABLES + 0x2000) | 7;
	for (i = 0; i < MEM_SIZE >> 21; i++)
		table[1024 + i] = (uint64_t)i << 21 | 0x87;
	for (i = 0; i < 256; i++)
		set_gate(vm, i, handler_end, 0);
	set_gate(vm, 0, handler_skip2, 0);
	set_gate(vm, 1, handler_debug, 0);
	set_gate(vm, 3, handler_return, 3);
	set_gate(vm, 6, handler_skip2, 0);
	set_gate(vm, 14, handler_page_fault, 0);
	set_gate(vm, 0x20, handler_irq, 0);
	set_gate(vm, 0x80, handler_return, 3);
	set_gate(vm, 0x81, handler_end, 3);
	memcpy(vm->mem + CODE, guest_start, guest_end - guest_start);
	memset(vm->mem + 0x200000, 'x', 50);
	memset(vm->mem + 0x200000 + 51, 'x', 5000);
}

static void set_segments(struct vm *vm)
{
	struct kvm_segment data = { .limit = ~0u, .selector = SEL_DATA, .type = 3, .present = 1,
				    .db = 1, .s = 1, .g = 1 };
	struct kvm_segment code = { .limit = ~0u, .selector = SEL_CODE, .type = 11, .present = 1,
				    .l = 1, .s = 1, .g = 1 };
	struct kvm_sregs sregs;

	if (ioctl(vm->vcpu, KVM_GET_SREGS, &sregs))
		skip("KVM_GET_SREGS");
	sregs.ds = sregs.es = sregs.fs = sregs.gs = sregs.ss = data;
	sregs.cs = code;
	sregs.tr = (struct kvm_segment){ .base = TSS, .limit = 0x67, .selector = SEL_TSS,
					 .type = 11, .present = 1 };
	sregs.gdt.base = GDT;
	sregs.gdt.limit = 0x37;
	sregs.idt.base = IDT;
	sregs.idt.limit = 0xfff;
	sregs.cr3 = PAGE_TABLES;
	sregs.cr4 = 1 << 5;
	sregs.efer = 0x500;
	sregs.cr0 = 0x80010031;
	if (ioctl(vm->vcpu, KVM_SET_SREGS, &sregs))
		skip("KVM_SET_SREGS");
}

static int open_event(uint64_t config, uint64_t period, bool no_user, bool no_kernel)
{
	struct perf_event_attr attr = {
		.type = PERF_TYPE_RAW,
		.size = sizeof(attr),
		.config = config,
		.sample_period = period,
		.exclude_host = 1,
		.exclude_user = no_user,
		.exclude_kernel = no_kernel,
		.pinned = 1,
		.disabled = 1,
	};

	if (period) {
		attr.sample_type = PERF_SAMPLE_IP | PERF_SAMPLE_READ;
		attr.wakeup_events = 1;
	}
	return syscall(SYS_perf_event_open, &attr, 0, -1, -1, 0);
}

static uint64_t read_event(int fd)
{
	uint64_t value;

	/* a pinned event that could not be scheduled reads as end of file */
	if (read(fd, &value, sizeof(value)) != sizeof(value)) {
		printf("not ok counters: an event is not scheduled\n");
		exit(1);
	}
	return value;
}

static void set_cpuid(struct vm *vm)
{
	struct {
		struct kvm_cpuid2 head;
		struct kvm_cpuid_entry2 entries[256];
	} cpuid = { .head.nent = 256 };

	if (ioctl(vm->kvm, KVM_GET_SUPPORTED_CPUID, &cpuid) ||
	    ioctl(vm->vcpu, KVM_SET_CPUID2, &cpuid))
		skip("KVM_SET_CPUID2");
}

static void open_vm(struct vm *vm)
{
	struct kvm_userspace_memory_region region = { .memory_size = MEM_SIZE };

	vm->kvm = open("/dev/kvm", O_RDWR | O_CLOEXEC);
	if (vm->kvm < 0)
		skip("/dev/kvm");
	vm->fd = ioctl(vm->kvm, KVM_CREATE_VM, 0);
	if (vm->fd < 0)
		skip("KVM_CREATE_VM");
	vm->mem = mmap(NULL, MEM_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	region.userspace_addr = (uintptr_t)vm->mem;
	if (vm->mem == MAP_FAILED || ioctl(vm->fd, KVM_SET_USER_MEMORY_REGION, &region))
		skip("guest memory");
	vm->vcpu = ioctl(vm->fd, KVM_CREATE_VCPU, 0);
	vm->run = mmap(NULL, ioctl(vm->kvm, KVM_GET_VCPU_MMAP_SIZE, 0), PROT_READ | PROT_WRITE,
		       MAP_SHARED, vm->vcpu, 0);
	if (vm->run == MAP_FAILED)
		skip("KVM_CREATE_VCPU");
	set_cpuid(vm);
	build_tables(vm);
	set_segments(vm);
	vm->insns = open_event(EVENT_INSNS, 0, false, false);
	vm->branches = open_event(EVENT_BRANCHES, 0, false, false);
	if (vm->insns < 0 || vm->branches < 0)
		skip("perf_event_open");
	ioctl(vm->insns, PERF_EVENT_IOC_ENABLE, 0);
	ioctl(vm->branches, PERF_EVENT_IOC_ENABLE, 0);
}

/* ---- running one shape in one way ---- */

enum way { PLAIN, SIGNALS, INTERRUPTS, STEPPED, BREAKPOINT, GUEST_BREAKPOINT, WAYS };

static const char *const way_names[WAYS] = {
	"undisturbed", "timer signals", "interrupts", "single-stepped by the host",
	"host's breakpoint and RF", "guest's own breakpoint",
};

static void start(struct vm *vm, const struct shape *shape, bool interrupts)
{
	struct kvm_regs regs = {
		.rip = guest_address(shape->entry),
		.rsp = STACK - 256,
		.rflags = 2 | (interrupts ? RFLAGS_IF : 0),
		.rcx = 1000,
		.r8 = shape->rounds,
	};

	set_segments(vm);
	ioctl(vm->vcpu, KVM_SET_REGS, &regs);
	/* start cold: the first touches fault in the nested page tables */
	madvise(vm->mem + 0x300000, 0x100000, MADV_DONTNEED);
}

static void set_debug(struct vm *vm, enum way way, uint64_t address)
{
	struct kvm_guest_debug debug = { 0 };
	struct kvm_debugregs registers = { .dr6 = 0xffff0ff0, .dr7 = 0x400 };

	if (way == STEPPED)
		debug.control = KVM_GUESTDBG_ENABLE | KVM_GUESTDBG_SINGLESTEP;
	if (way == BREAKPOINT) {
		debug.control = KVM_GUESTDBG_ENABLE | KVM_GUESTDBG_USE_HW_BP;
		debug.arch.debugreg[0] = address;
		debug.arch.debugreg[7] = 0x402;
	}
	if (way == GUEST_BREAKPOINT) {
		registers.db[0] = address;
		registers.dr7 = 0x402;
	}
	ioctl(vm->vcpu, KVM_SET_DEBUGREGS, &registers);
	ioctl(vm->vcpu, KVM_SET_GUEST_DEBUG, &debug);
}

static void set_timer(int microseconds)
{
	struct itimerval timer = { .it_interval.tv_usec = microseconds,
				   .it_value.tv_usec = microseconds };

	setitimer(ITIMER_REAL, &timer, NULL);
}

static void on_alarm(int signal)
{
	(void)signal;
	if (kicked_run)
		kicked_run->immediate_exit = 1;
}

/* Over the host's breakpoint: the way ttvm's module does it, by setting RF. */
static void resume_over(struct vm *vm)
{
	struct kvm_regs regs;

	ioctl(vm->vcpu, KVM_GET_REGS, &regs);
	regs.rflags |= RFLAGS_RF;
	ioctl(vm->vcpu, KVM_SET_REGS, &regs);
}

/* Until hlt. *EVENTS: debug exits or injected interrupts. */
static int run_to_end(struct vm *vm, enum way way, uint64_t *events)
{
	struct kvm_interrupt interrupt = { .irq = 0x20 };

	*events = 0;
	for (;;) {
		int rc = ioctl(vm->vcpu, KVM_RUN, 0);

		vm->run->immediate_exit = 0;
		if (rc < 0 && errno != EINTR)
			return -errno;
		if (rc < 0) {
			if (way == INTERRUPTS && vm->run->ready_for_interrupt_injection &&
			    !ioctl(vm->vcpu, KVM_INTERRUPT, &interrupt))
				++*events;
			continue;
		}
		switch (vm->run->exit_reason) {
		case KVM_EXIT_HLT:
			return 0;
		case KVM_EXIT_DEBUG:
			++*events;
			if (way == BREAKPOINT)
				resume_over(vm);
			break;
		case KVM_EXIT_IRQ_WINDOW_OPEN:
			break;
		default:
			return -(int)vm->run->exit_reason;
		}
	}
}

/* Handlers that the way of running adds. */
static void add_events(struct counts *want, enum way way, uint64_t events)
{
	if (way == INTERRUPTS)
		want->insns += 2 * events;
	if (way == GUEST_BREAKPOINT)
		want->insns += 3 * events;
}

static void run_shape(struct vm *vm, const struct shape *shape, enum way way, int runs)
{
	char problem[200] = "";
	uint64_t total = 0;
	int i;

	set_debug(vm, way, guest_address(shape->entry));
	for (i = 0; i < runs && !problem[0]; i++) {
		struct counts want = shape->expected(shape->rounds), got;
		struct kvm_regs regs;
		uint64_t events;
		int rc;

		start(vm, shape, way == INTERRUPTS);
		got.insns = -read_event(vm->insns);
		got.branches = -read_event(vm->branches);
		if (way == SIGNALS || way == INTERRUPTS)
			set_timer(300 + 17 * i);
		kicked_run = vm->run;
		rc = run_to_end(vm, way, &events);
		kicked_run = NULL;
		set_timer(0);
		got.insns += read_event(vm->insns);
		got.branches += read_event(vm->branches);
		ioctl(vm->vcpu, KVM_GET_REGS, &regs);
		if (way == GUEST_BREAKPOINT)
			events = regs.r15;
		add_events(&want, way, events);
		total += events;
		if (rc)
			snprintf(problem, sizeof(problem), "run %d: KVM_RUN: %d", i, rc);
		else if (got.insns != want.insns || got.branches != want.branches)
			snprintf(problem, sizeof(problem),
				 "run %d: %lld instructions, %lld branches too many (of %llu, %llu; "
				 "%llu events)", i, (long long)(got.insns - want.insns),
				 (long long)(got.branches - want.branches),
				 (unsigned long long)want.insns, (unsigned long long)want.branches,
				 (unsigned long long)events);
		else if ((way == BREAKPOINT || way == GUEST_BREAKPOINT) &&
			 events != (shape->entry == shape_faults ? 1 : shape->rounds))
			snprintf(problem, sizeof(problem), "run %d: %llu hits of the breakpoint", i,
				 (unsigned long long)events);
		else if (way == INTERRUPTS && regs.r14 != events)
			snprintf(problem, sizeof(problem), "run %d: %llu of %llu interrupts came", i,
				 (unsigned long long)regs.r14, (unsigned long long)events);
	}
	set_debug(vm, PLAIN, 0);
	if (!problem[0] && way == INTERRUPTS && !total && shape->rounds > 1000)
		snprintf(problem, sizeof(problem), "no interrupt was injected");
	report(shape->name, way_names[way], problem);
}

/* ---- shapes ---- */

static struct counts expect_loop(uint64_t n)
{
	return (struct counts){ 2 * n, n };
}

static struct counts expect_mix(uint64_t n)
{
	uint64_t odd = (n + 1) / 2, even = n / 2;

	return (struct counts){ 12 * odd + 10 * even + 103, 3 * odd + 4 * even + 100 };
}

static struct counts expect_rep(uint64_t n)
{
	return (struct counts){ 16 * n, n };
}

static struct counts expect_faults(uint64_t n)
{
	return (struct counts){ 16 * n + 1, n };
}

static struct counts expect_user(uint64_t n)
{
	return (struct counts){ 2 * n + 8, n };
}

static struct counts expect_step(uint64_t n)
{
	return (struct counts){ 6 + 2 * n + 3 * (2 * n + 3), n };
}

static struct counts expect_cross(uint64_t n)
{
	return (struct counts){ 8 * n, n };
}

static struct counts expect_jumps(uint64_t n)
{
	return (struct counts){ 52 * n, n };
}

static void test_counting(struct vm *vm, int runs)
{
	static const struct shape shapes[] = {
		{ "loop", shape_loop, 3000000, expect_loop },
		{ "branches and calls", shape_mix, 400000, expect_mix },
		{ "string instructions", shape_rep, 40, expect_rep },
		{ "faults", shape_faults, 3000, expect_faults },
		{ "user mode", shape_user, 1000000, expect_user },
		{ "trap flag", shape_step, 3000, expect_step },
		{ "page crossing", shape_cross, 300000, expect_cross },
		{ "unconditional jumps", shape_jumps, 50000, expect_jumps },
	};
	size_t i;

	for (i = 0; i < sizeof(shapes) / sizeof(shapes[0]); i++) {
		struct shape slow = shapes[i];
		bool tables = slow.entry == shape_user;

		run_shape(vm, &shapes[i], PLAIN, runs);
		run_shape(vm, &shapes[i], SIGNALS, runs);
		if (!tables && slow.entry != shape_step && slow.entry != shape_faults)
			run_shape(vm, &shapes[i], INTERRUPTS, runs);
		slow.rounds = slow.entry == shape_rep ? 1 : 200;
		if (slow.entry != shape_step && slow.entry != shape_faults && !tables)
			run_shape(vm, &slow, STEPPED, runs);
		if (slow.entry == shape_loop || slow.entry == shape_mix ||
		    slow.entry == shape_cross) {
			run_shape(vm, &slow, BREAKPOINT, runs);
			run_shape(vm, &slow, GUEST_BREAKPOINT, runs);
		}
	}
}

static void test_modes(struct vm *vm)
{
	static const struct shape shape = { "user mode", shape_user, 10000, expect_user };
	int user = open_event(EVENT_INSNS, 0, false, true);
	int kernel = open_event(EVENT_INSNS, 0, true, false);
	char problem[200] = "";
	uint64_t events;

	ioctl(user, PERF_EVENT_IOC_ENABLE, 0);
	ioctl(kernel, PERF_EVENT_IOC_ENABLE, 0);
	start(vm, &shape, false);
	run_to_end(vm, PLAIN, &events);
	if (read_event(user) != 2 * shape.rounds + 1 || read_event(kernel) != 7)
		snprintf(problem, sizeof(problem), "%llu user, %llu kernel instructions",
			 (unsigned long long)read_event(user),
			 (unsigned long long)read_event(kernel));
	report(shape.name, "by privilege level", problem);
	close(user);
	close(kernel);
}

/* ---- sampling ---- */

struct sample {
	struct perf_event_header header;
	uint64_t ip, count;
};

/*
 * A loop of N rounds with an interrupt every PERIOD rounds: all must come, each late by at most
 * MAX_SKID, while the loop's first instruction is the one that waits.
 */
static void test_sampling(struct vm *vm, const struct shape *loop, uint64_t event, uint64_t period,
			  uint64_t samples, uint64_t max_skid)
{
	struct shape shape = { loop->name, loop->entry, (samples + 1) * period - period / 2,
			       loop->expected };
	const char *name = shape.name;
	size_t page = sysconf(_SC_PAGESIZE), size = 64 * page;
	struct perf_event_mmap_page *ring;
	char problem[200] = "";
	struct counts got, round = shape.expected(1), want = shape.expected(shape.rounds);
	uint64_t events, at, seen = 0, worst = 0;
	uint64_t unit = event == EVENT_INSNS ? round.insns : round.branches;
	int fd = open_event(event, period * unit, false, false);

	ring = mmap(NULL, size + page, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (fd < 0 || ring == MAP_FAILED)
		skip("a sampling event");
	start(vm, &shape, false);
	got.insns = -read_event(vm->insns);
	got.branches = -read_event(vm->branches);
	ioctl(fd, PERF_EVENT_IOC_ENABLE, 0);
	run_to_end(vm, PLAIN, &events);
	ioctl(fd, PERF_EVENT_IOC_DISABLE, 0);
	got.insns += read_event(vm->insns);
	got.branches += read_event(vm->branches);

	for (at = ring->data_tail; at < ring->data_head && !problem[0];) {
		struct sample *s = (struct sample *)((char *)ring + page + at % size);
		uint64_t late;

		at += s->header.size;
		if (s->header.type != PERF_RECORD_SAMPLE)
			continue;
		seen++;
		late = (s->count - seen * period * unit);
		if (late > worst && (int64_t)late >= 0)
			worst = late;
		if (late > max_skid)
			snprintf(problem, sizeof(problem), "interrupt %llu came %lld late",
				 (unsigned long long)seen, (long long)late);
		else if (max_skid <= 1 && late == 0 && s->ip != guest_address(shape.entry))
			snprintf(problem, sizeof(problem), "interrupt %llu came at %llx, not %llx",
				 (unsigned long long)seen, (unsigned long long)s->ip,
				 (unsigned long long)guest_address(shape.entry));
	}
	if (!problem[0] && seen != samples)
		snprintf(problem, sizeof(problem), "%llu interrupts of %llu",
			 (unsigned long long)seen, (unsigned long long)samples);
	if (!problem[0] && (got.insns != want.insns || got.branches != want.branches))
		snprintf(problem, sizeof(problem), "%lld instructions, %lld branches too many",
			 (long long)(got.insns - want.insns),
			 (long long)(got.branches - want.branches));
	if (!problem[0] && max_skid > 1 && worst == 0)
		snprintf(problem, sizeof(problem), "no interrupt was late at all");
	report(name, "sampling", problem);
	printf("# %s: %llu interrupts, the latest by %llu\n", name, (unsigned long long)seen,
	       (unsigned long long)worst);
	munmap(ring, size + page);
	close(fd);
}

int main(int argc, char **argv)
{
	static const struct shape many = { "every 100003 branches", shape_loop, 0, expect_loop };
	static const struct shape few = { "every 5003 branches", shape_loop, 0, expect_loop };
	static const struct shape insns = { "every 100042 instructions", shape_loop, 0, expect_loop };
	static const struct shape jumps = { "every 260156 instructions, jumps", shape_jumps, 0,
					    expect_jumps };
	struct sigaction action = { .sa_handler = on_alarm };
	uint64_t max_skid = 1;
	struct vm vm;
	int option, runs = 10;

	while ((option = getopt(argc, argv, "r:")) != -1) {
		if (option != 'r') {
			fprintf(stderr, "usage: pmu-selftest [-r RUNS] [MAX_SKID]\n");
			return 2;
		}
		runs = atoi(optarg);
	}
	if (optind < argc)
		max_skid = strtoull(argv[optind], NULL, 0);

	sigaction(SIGALRM, &action, NULL);
	open_vm(&vm);
	test_counting(&vm, runs);
	test_modes(&vm);
	test_sampling(&vm, &many, EVENT_BRANCHES, 100003, 30, max_skid);
	test_sampling(&vm, &few, EVENT_BRANCHES, 5003, 100, max_skid);
	test_sampling(&vm, &insns, EVENT_INSNS, 50021, 30, max_skid);
	test_sampling(&vm, &jumps, EVENT_INSNS, 5003, 30, max_skid);
	if (failures)
		printf("%d tests failed\n", failures);
	return failures != 0;
}
