// SPDX-License-Identifier: GPL-2.0
/*
 * module-stops.c - leaving KVM_RUN close to a count (alarms) and exactly at a position (the breakpoint filter).
 *
 * Runs in the test machine as root; see module-check.h. What the module refuses and counts is the matter of module-test.c.
 */
#include <linux/perf_event.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <xxhash.h>

#include "module-check.h"

#define RFLAGS_RF (1ull << 16)

/* ---- alarms ---- */

GUEST(spin, "1: dec %rcx\n"
	    "jnz 1b\n"
	    "out %al, $0x80\n");

static void load_spin(struct guest *g, uint64_t rounds)
{
	struct kvm_regs regs;

	guest_load(g, spin_start, spin_end);
	regs = guest_regs(g);
	regs.rcx = rounds;
	ioctl(g->vcpu, KVM_SET_REGS, &regs);
}

static void test_alarm(void)
{
	static const uint64_t distances[] = { 1, 2, 3, 5, 10, 100, 1000, 12345, 250001, 5000000 };
	uint64_t target, worst = 0;
	struct guest g;
	unsigned int i;

	attached_guest(&g);
	load_spin(&g, 1ull << 40);
	for (i = 0; i < 100; i++) {
		target = g.page->branches + distances[i % 10];
		EXPECT_EQ("TTVM_ALARM", guest_alarm(&g, TTVM_COUNTER_BRANCHES, target), 0);
		EXPECT_EQ("exit reason", guest_run(&g), KVM_EXIT_TPR_ACCESS);
		if (g.page->stop_reason != TTVM_STOP_ALARM && (!skid || g.page->stop_reason != TTVM_STOP_LATE))
			fail("stop reason is %u, not an alarm", g.page->stop_reason);
		if (g.page->branches < target)
			fail("alarm rings early");
		if (g.page->branches - target > worst)
			worst = g.page->branches - target;
	}
	/* Linux programs no distance below 2, so one too many is as exact as it gets. */
	if (worst > 1 + skid)
		fail("an alarm rings %llu branches late", (unsigned long long)worst);
	EXPECT_EQ("branches by RCX", (1ull << 40) - guest_regs(&g).rcx - g.page->branches <= 1, 1);
	guest_free(&g);
}

static void test_alarm_reached(void)
{
	struct guest g;
	uint64_t now;

	attached_guest(&g);
	load_spin(&g, 1ull << 40);
	guest_alarm(&g, TTVM_COUNTER_BRANCHES, 1000);
	guest_run(&g);
	now = g.page->branches;
	guest_alarm(&g, TTVM_COUNTER_BRANCHES, now);
	EXPECT_EQ("exit reason", guest_run(&g), KVM_EXIT_TPR_ACCESS);
	EXPECT_EQ("stop reason", g.page->stop_reason, TTVM_STOP_ALARM);
	EXPECT_EQ("branches", g.page->branches, now);
	/* An alarm that is replaced before KVM_RUN is gone, also when it has been reached. */
	guest_alarm(&g, TTVM_COUNTER_BRANCHES, now);
	guest_alarm(&g, TTVM_COUNTER_BRANCHES, now + 1000);
	EXPECT_EQ("exit reason, second", guest_run(&g), KVM_EXIT_TPR_ACCESS);
	EXPECT_EQ("reached the second", g.page->branches >= now + 1000, 1);
	guest_free(&g);
}

/* Each counter has its own alarm. */
static void test_alarm_both(void)
{
	uint64_t branches, instructions;
	struct guest g;

	attached_guest(&g);
	load_spin(&g, 1ull << 40);
	guest_alarm(&g, TTVM_COUNTER_BRANCHES, 10000);
	guest_alarm(&g, TTVM_COUNTER_INSTRUCTIONS, 10000);
	EXPECT_EQ("exit reason", guest_run(&g), KVM_EXIT_TPR_ACCESS);
	instructions = g.page->instructions;
	EXPECT_EQ("exit reason", guest_run(&g), KVM_EXIT_TPR_ACCESS);
	branches = g.page->branches;
	if (instructions < 10000 || instructions > 10001 + skid)
		fail("the instruction alarm rings at %llu", (unsigned long long)instructions);
	if (branches < 10000 || branches > 10001 + skid)
		fail("the branch alarm rings at %llu", (unsigned long long)branches);
	guest_free(&g);
}

static void test_alarm_disarmed(void)
{
	struct guest g;

	attached_guest(&g);
	load_spin(&g, 100000);
	guest_alarm(&g, TTVM_COUNTER_BRANCHES, 5000);
	guest_alarm(&g, TTVM_COUNTER_BRANCHES, 0);
	run_to_out(&g);
	EXPECT_EQ("branches", g.page->branches, 100000);
	EXPECT_EQ("stop reason", g.page->stop_reason, TTVM_STOP_NONE);
	guest_free(&g);
}

/* One emulated and two retired instructions per round. */
GUEST(tsc_spin, "1: rdtsc\n"
		"dec %rcx\n"
		"jnz 1b\n"
		"out %al, $0x80\n");

static void test_alarm_instructions(void)
{
	static const uint64_t distances[] = { 1, 2, 3, 4, 5, 17, 300, 4001, 30000 };
	uint64_t now = 0, target;
	struct kvm_regs regs;
	struct guest g;
	unsigned int i;

	attached_guest(&g);
	g.page->clock = (struct ttvm_clock){ .flags = TTVM_CLOCK_ENABLED, .rdtsc_ticks = 1, .base = 1 };
	guest_load(&g, tsc_spin_start, tsc_spin_end);
	for (i = 0; i < 45; i++) {
		target = now + distances[i % 9];
		EXPECT_EQ("TTVM_ALARM", guest_alarm(&g, TTVM_COUNTER_INSTRUCTIONS, target), 0);
		EXPECT_EQ("exit reason", guest_run(&g), KVM_EXIT_TPR_ACCESS);
		regs = guest_regs(&g);
		now = g.page->instructions + g.page->emulated + (regs.rip != g.page->rip);
		if (now < target || now > target + 1 + skid)
			fail("distance %llu: rings at %llu, not %llu", (unsigned long long)distances[i % 9],
			     (unsigned long long)now, (unsigned long long)target);
		/* RCX and RIP tell the true number of instructions. */
		EXPECT_EQ("instructions", now, -regs.rcx * 3 + (regs.rip - GUEST_CODE == 2 ? 1 :
						regs.rip - GUEST_CODE == 5 ? -1 : 0));
	}
	guest_free(&g);
}

/* Alarms near context switches get lost by perf; the stop must then come at an exit, and say so. */
static void test_alarm_busy_host(void)
{
	uint64_t target, late = 0, worst = 0;
	pid_t busy[4];
	struct guest g;
	int i;

	for (i = 0; i < 4; i++) {
		busy[i] = fork();
		if (busy[i] == 0)
			for (;;)
				sched_yield();
	}
	attached_guest(&g);
	load_spin(&g, 1ull << 40);
	for (i = 0; i < 60; i++) {
		target = g.page->branches + 200000;
		guest_alarm(&g, TTVM_COUNTER_BRANCHES, target);
		EXPECT_EQ("exit reason", guest_run(&g), KVM_EXIT_TPR_ACCESS);
		if (g.page->branches < target)
			fail("alarm rings early");
		if (g.page->stop_reason == TTVM_STOP_LATE)
			late++;
		else if (g.page->branches - target > worst)
			worst = g.page->branches - target;
	}
	EXPECT_EQ("alarms_late", g.page->alarms_late, late);
	if (worst > 1 + skid)
		fail("an alarm rings %llu branches late, and is not reported as late", (unsigned long long)worst);
	guest_free(&g);
	for (i = 0; i < 4; i++) {
		kill(busy[i], SIGKILL);
		waitpid(busy[i], NULL, 0);
	}
}

/* ---- landing ---- */

#define SPIN_JNZ (GUEST_CODE + 3)

static void set_stop(struct guest *g, uint64_t branches, uint64_t rip)
{
	g->page->stop = (struct ttvm_stop){ .flags = TTVM_STOP_FILTER, .branches = branches, .rip = rip };
}

static void test_landing(void)
{
	static const uint64_t targets[] = { 0, 1, 2, 50, 777, 100000, 100001, 3000000, 50000000 };
	uint64_t target, swallowed;
	struct kvm_regs regs;
	struct guest g;
	unsigned int i;

	attached_guest(&g);
	load_spin(&g, 1ull << 40);
	for (i = 0; i < sizeof(targets) / sizeof(targets[0]); i++) {
		target = targets[i];
		if (target > g.page->branches + 200 + skid) {
			g.page->stop.flags = 0;
			guest_debug(&g, 0, 0);
			guest_alarm(&g, TTVM_COUNTER_BRANCHES, target - 100 - skid);
			EXPECT_EQ("exit reason", guest_run(&g), KVM_EXIT_TPR_ACCESS);
		}
		swallowed = g.page->db_swallowed;
		set_stop(&g, target, SPIN_JNZ);
		guest_debug(&g, KVM_GUESTDBG_USE_HW_BP, SPIN_JNZ);
		EXPECT_EQ("exit reason", guest_run(&g), KVM_EXIT_DEBUG);
		regs = guest_regs(&g);
		EXPECT_EQ("branches", g.page->branches, target);
		EXPECT_EQ("RIP", regs.rip, SPIN_JNZ);
		EXPECT_EQ("RCX", (1ull << 40) - regs.rcx, target + 1);
		EXPECT_EQ("RFLAGS.RF and TF", regs.rflags & 0x10100, 0);
		if (g.page->db_swallowed - swallowed > 800 + skid)
			fail("%llu hits before the target", g.page->db_swallowed - swallowed);
	}
	guest_free(&g);
}

/* A hit counts twice when the host interrupts before the resumed instruction is over. */
static void expect_swallowed(struct guest *g, uint64_t hits)
{
	if (g->page->db_swallowed < hits || g->page->db_swallowed > hits + hits / 2)
		fail("%llu hits were swallowed, not %llu", g->page->db_swallowed, (unsigned long long)hits);
}

static uint32_t register_check(const struct kvm_regs *r)
{
	uint64_t words[TTVM_CHECK_WORDS] = {
		r->rax, r->rcx, r->rdx, r->rbx, r->rsp, r->rbp, r->rsi, r->rdi, r->r8,	r->r9,
		r->r10, r->r11, r->r12, r->r13, r->r14, r->r15, r->rflags & ~TTVM_CHECK_RFLAGS_IGNORED,
	};

	return XXH64(words, sizeof(words), 0);
}

/* No conditional branch at all: only the registers tell one round from another. */
GUEST(rounds, "1: inc %rax\n"
	      "nop\n"
	      "jmp 1b\n");

static void test_landing_check(void)
{
	struct kvm_regs regs;
	struct guest g;
	uint32_t check;
	int i;

	attached_guest(&g);
	guest_load(&g, rounds_start, rounds_end);
	guest_debug(&g, KVM_GUESTDBG_USE_HW_BP, GUEST_CODE + 3);
	for (i = 0; i < 300; i++) {
		EXPECT_EQ("exit reason", guest_run(&g), KVM_EXIT_DEBUG);
		/* Stop here, one round after the other: KVM resumes from where userspace was told only without RF. */
		regs = guest_regs(&g);
		if (regs.rax == 250)
			break;
		regs.rflags |= RFLAGS_RF;
		ioctl(g.vcpu, KVM_SET_REGS, &regs);
	}
	EXPECT_EQ("RAX", regs.rax, 250);
	check = register_check(&regs);

	guest_load(&g, rounds_start, rounds_end);
	set_stop(&g, g.page->branches, GUEST_CODE + 3);
	g.page->stop.check = check;
	g.page->stop.check_mask = ~0u;
	EXPECT_EQ("exit reason", guest_run(&g), KVM_EXIT_DEBUG);
	regs = guest_regs(&g);
	EXPECT_EQ("RAX", regs.rax, 250);
	EXPECT_EQ("check", register_check(&regs), check);
	expect_swallowed(&g, 249);
	guest_free(&g);
}

static void test_landing_overshot(void)
{
	struct guest g;

	attached_guest(&g);
	load_spin(&g, 1ull << 40);
	set_stop(&g, 100, SPIN_JNZ);
	g.page->stop.check = 1;
	g.page->stop.check_mask = ~0u;	/* matches never, so the target is missed */
	guest_debug(&g, KVM_GUESTDBG_USE_HW_BP, SPIN_JNZ);
	EXPECT_EQ("exit reason", guest_run(&g), KVM_EXIT_DEBUG);
	EXPECT_EQ("branches", g.page->branches, 101);
	expect_swallowed(&g, 101);

	/* Without a breakpoint in the way, the next exit that is far enough beyond tells. */
	guest_debug(&g, 0, 0);
	EXPECT_EQ("exit reason", guest_run(&g), KVM_EXIT_TPR_ACCESS);
	EXPECT_EQ("stop reason", g.page->stop_reason, TTVM_STOP_LATE);
	EXPECT_EQ("beyond the slack", g.page->branches > 100 + TTVM_STOP_SLACK, 1);
	guest_free(&g);
}

static void test_filter_off(void)
{
	struct guest g;

	attached_guest(&g);
	load_spin(&g, 1ull << 40);
	set_stop(&g, 100, SPIN_JNZ);
	g.page->stop.flags = 0;
	guest_debug(&g, KVM_GUESTDBG_USE_HW_BP, SPIN_JNZ);
	EXPECT_EQ("exit reason", guest_run(&g), KVM_EXIT_DEBUG);
	EXPECT_EQ("branches", g.page->branches, 0);
	EXPECT_EQ("db_swallowed", g.page->db_swallowed, 0);
	guest_free(&g);
}

/* Every kind of instruction that can follow a swallowed hit; what it leaves behind is in registers and at GUEST_DATA. */
GUEST(traces, "mov $0x20000, %edi\n"
	      "mov $0x10000000, %ebx\n"
	      "xor %eax, %eax\n"
	      "cpuid\n"
	      "mov $0x10000000, %ebx\n"
	      "rdtsc\n"
	      "mov %eax, (%rdi)\n"
	      "mov (%rbx), %eax\n"
	      "mov %rcx, (%rbx)\n"
	      "out %al, $0x81\n"
	      "in $0x81, %al\n"
	      "mov %cr4, %rax\n"
	      "mov %rax, %cr4\n"
	      "mov %cr3, %rax\n"
	      "mov %rax, %cr3\n"
	      "invlpg (%rdi)\n"
	      "mov %dr6, %rax\n"
	      "mov %rax, 8(%rdi)\n"
	      "pushfq\n"
	      "popq 16(%rdi)\n"
	      "ud2\n"
	      "lea 0x100(%rdi), %rsi\n"
	      "mov $16, %ecx\n"
	      "xchg %rsi, %rdi\n"
	      "rep movsb\n"
	      "wbinvd\n"
	      "mov $0xc0000080, %ecx\n"
	      "rdmsr\n"
	      "hlt\n"
	      "out %al, $0x80\n");
/* #UD: write down the pushed RFLAGS, go on behind the UD2. */
GUEST(skip_ud2, "push %rax\n"
		"mov 24(%rsp), %rax\n"
		"mov %rax, 0x40(%rdi)\n"
		"addq $2, 8(%rsp)\n"
		"pop %rax\n"
		"iretq\n");

struct trace {
	struct kvm_regs regs;
	uint8_t data[0x200];
	uint64_t rf_exits;
	bool finished;
};

static void run_traces(struct guest *g, struct trace *t)
{
	uint64_t end = GUEST_CODE + (traces_end - traces_start) - 2;
	int i;

	memset(t, 0, sizeof(*t));
	memset(g->mem + GUEST_DATA, 0x5a, sizeof(t->data));
	memset(g->mem + GUEST_DATA + 0x40, 0, 8);
	guest_set_handler(g, 6, skip_ud2_start, skip_ud2_end);
	guest_load(g, traces_start, traces_end);
	g->page->clock.extra = 0;
	for (i = 0; i < 30; i++) {
		int reason = guest_run(g);

		if (reason == KVM_EXIT_MMIO || reason == KVM_EXIT_IO)
			guest_settle(g);
		if (guest_regs(g).rflags & RFLAGS_RF)
			t->rf_exits++;
		if (reason == KVM_EXIT_IO && g->page->rip == end) {
			t->finished = true;
			break;
		}
		if (reason != KVM_EXIT_MMIO && reason != KVM_EXIT_IO && reason != KVM_EXIT_HLT)
			break;
	}
	t->regs = guest_regs(g);
	memcpy(t->data, g->mem + GUEST_DATA, sizeof(t->data));
}

static void test_landing_leaves_no_trace(void)
{
	struct trace plain, filtered;
	struct guest g;
	uint64_t rips[64], hits;
	int n = 0, i;

	attached_guest(&g);
	g.page->clock = (struct ttvm_clock){ .flags = TTVM_CLOCK_ENABLED, .rdtsc_ticks = 1, .base = 1 };
	run_traces(&g, &plain);
	EXPECT_EQ("plain run", plain.finished, true);

	/* The start of every instruction, by single steps. */
	guest_load(&g, traces_start, traces_end);
	while (n < 60) {
		uint64_t rip = guest_regs(&g).rip;

		if (rip < GUEST_HANDLER && (n == 0 || rip > rips[n - 1]))
			rips[n++] = rip;
		if (rip == GUEST_CODE + (uint64_t)(traces_end - traces_start) - 2)
			break;
		guest_debug(&g, KVM_GUESTDBG_SINGLESTEP, 0);	/* KVM's emulator drops TF */
		guest_run(&g);
	}
	set_stop(&g, ~0ull, 0);	/* never reached: every hit is swallowed */
	for (i = 0; i < n; i++) {
		hits = g.page->db_swallowed;
		guest_debug(&g, KVM_GUESTDBG_USE_HW_BP, rips[i]);
		run_traces(&g, &filtered);
		if (!filtered.finished || g.page->db_swallowed == hits ||
		    memcmp(&filtered.regs, &plain.regs, sizeof(plain.regs)) ||
		    memcmp(filtered.data, plain.data, sizeof(plain.data)) || filtered.rf_exits)
			fail("breakpoint at +0x%llx: finished %d (at rip 0x%llx, raw exit 0x%x, reason %u), %llu hits, registers "
			     "%s, memory %s, %llu exits show RF",
			     (unsigned long long)rips[i] - GUEST_CODE, filtered.finished, g.page->rip, g.page->exit_code,
			     g.run->exit_reason, g.page->db_swallowed - hits,
			     memcmp(&filtered.regs, &plain.regs, sizeof(plain.regs)) ? "differ" : "same",
			     memcmp(filtered.data, plain.data, sizeof(plain.data)) ? "differs" : "same",
			     (unsigned long long)filtered.rf_exits);
	}
	if (n < 28)
		fail("only %d instructions were tried", n);
	guest_free(&g);
}

/* ---- what goes wrong while attached ---- */

static void test_counter_lost(void)
{
	struct perf_event_attr attr = { .type = PERF_TYPE_RAW, .size = sizeof(attr), .config = 0x76, .pinned = 1 };
	cpu_set_t before, here;
	int fds[64], n = 0, cpu;
	struct guest g;

	sched_getaffinity(0, sizeof(before), &before);
	cpu = sched_getcpu();
	CPU_ZERO(&here);
	CPU_SET(cpu, &here);
	sched_setaffinity(0, sizeof(here), &here);
	attached_guest(&g);
	load_spin(&g, 1000);
	/* A CPU's pinned events go before a thread's. */
	while (n < 64 && (fds[n] = syscall(SYS_perf_event_open, &attr, -1, cpu, -1, 0)) >= 0)
		n++;
	EXPECT_EQ("exit reason", guest_run(&g), KVM_EXIT_TPR_ACCESS);
	EXPECT_EQ("stop reason", g.page->stop_reason, TTVM_STOP_COUNTER);
	EXPECT_EQ("RIP", guest_regs(&g).rip, GUEST_CODE);
	EXPECT_EQ("TTVM_ALARM", -guest_alarm(&g, TTVM_COUNTER_BRANCHES, 10), EBUSY);
	while (n > 0)
		close(fds[--n]);
	ioctl(g.ttvm, TTVM_DETACH);
	if (guest_attach(&g))
		fail("with the counters free again: %s", g.attach.why_not);
	run_to_out(&g);
	EXPECT_EQ("branches", g.page->branches, 1000);
	guest_free(&g);
	sched_setaffinity(0, sizeof(before), &before);
}

static void *run_attached(void *argument)
{
	struct guest *g = argument;
	int reason = 0;

	if (guest_attach(g))
		return g->attach.why_not;
	__atomic_store_n(&g->attach.reserved, 1, __ATOMIC_RELEASE);	/* to say: running */
	do
		reason = guest_run(g);
	while (reason == KVM_EXIT_TPR_ACCESS);
	return reason == KVM_EXIT_IO ? NULL : "the guest did not reach its end";
}

static void test_detach_while_running(void)
{
	struct guest g;
	int i;

	for (i = 0; i < 20; i++) {
		pthread_t thread;
		void *why;

		guest_new(&g);
		g.page->clock = (struct ttvm_clock){ .flags = TTVM_CLOCK_ENABLED, .rdtsc_ticks = 1, .base = 1 };
		guest_load(&g, tsc_spin_start, tsc_spin_end);
		{
			struct kvm_regs regs = guest_regs(&g);

			regs.rcx = 300000;
			ioctl(g.vcpu, KVM_SET_REGS, &regs);
		}
		pthread_create(&thread, NULL, run_attached, &g);
		while (!__atomic_load_n(&g.attach.reserved, __ATOMIC_ACQUIRE))
			;
		g.page->clock = (struct ttvm_clock){ .flags = TTVM_CLOCK_ENABLED, .rdtsc_ticks = 1, .base = 1 };
		usleep(1000 + i * 500);
		if (ioctl(g.ttvm, TTVM_DETACH))
			fail("detach: %s", strerror(errno));
		pthread_join(thread, &why);
		if (why)
			fail("round %d: %s (exit reason %u)", i, (char *)why, g.run->exit_reason);
		guest_free(&g);
	}
}

static const struct check_test tests[] = {
	{ "alarm", test_alarm },
	{ "alarm-reached", test_alarm_reached },
	{ "alarm-both", test_alarm_both },
	{ "alarm-disarmed", test_alarm_disarmed },
	{ "alarm-instructions", test_alarm_instructions },
	{ "alarm-busy-host", test_alarm_busy_host },
	{ "landing", test_landing },
	{ "landing-check", test_landing_check },
	{ "landing-overshot", test_landing_overshot },
	{ "landing-leaves-no-trace", test_landing_leaves_no_trace },
	{ "filter-off", test_filter_off },
	{ "counter-lost", test_counter_lost },
	{ "detach-while-running", test_detach_while_running },
};

int main(int argc, char **argv)
{
	return check_main(tests, sizeof(tests) / sizeof(tests[0]), argc, argv);
}
