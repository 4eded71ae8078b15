// SPDX-License-Identifier: GPL-2.0
/*
 * module-test.c - what the module refuses, counts and answers, checked on guests of a few instructions each.
 *
 * Runs in the test machine as root; see module-check.h. Stops are the matter of module-stops.c.
 */
#include <linux/perf_event.h>
#include <pthread.h>
#include <sched.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "module-check.h"
#include "module-guest.h"

/* ---- what the device says, and what it refuses ---- */

static void test_info(void)
{
	struct ttvm_info info;
	struct guest g;

	guest_new(&g);
	if (ioctl(g.ttvm, TTVM_GET_INFO, &info))
		die("TTVM_GET_INFO");
	EXPECT_EQ("abi_version", info.abi_version, TTVM_ABI_VERSION);
	EXPECT_EQ("vendor", info.vendor, TTVM_VENDOR_SVM);
	EXPECT_EQ("sessions", info.sessions, 0);
	if (info.num_counters < 3)
		fail("only %u counters", info.num_counters);
	if (info.why_not[0])
		fail("not usable: %s", info.why_not);
	guest_attach(&g);
	ioctl(g.ttvm, TTVM_GET_INFO, &info);
	EXPECT_EQ("sessions while attached", info.sessions, 1);
	guest_free(&g);
}

static void expect_refusal(struct guest *g, const char *what, int err, const char *word)
{
	int got = guest_attach(g);

	if (got != err)
		fail("%s: error %d, not %d", what, got, err);
	else if (!strstr(g->attach.why_not, word))
		fail("%s: the reason '%s' does not say '%s'", what, g->attach.why_not, word);
}

static void test_refuse_descriptors(void)
{
	struct guest a, b;
	int null = open("/dev/null", O_RDWR);

	guest_new(&a);
	guest_new(&b);
	a.attach.vm_fd = -1;
	expect_refusal(&a, "closed vm_fd", -EBADF, "vm_fd");
	a.attach.vm_fd = null;
	expect_refusal(&a, "/dev/null as VM", -EINVAL, "not a KVM VM");
	a.attach.vm_fd = a.vcpu;
	expect_refusal(&a, "a vCPU as VM", -EINVAL, "not a KVM VM");
	a.attach.vm_fd = a.vm;
	a.attach.vcpu_fd = 999;
	expect_refusal(&a, "closed vcpu_fd", -EBADF, "vcpu_fd");
	a.attach.vcpu_fd = null;
	expect_refusal(&a, "/dev/null as vCPU", -EINVAL, "not a vCPU of this VM");
	a.attach.vcpu_fd = b.vcpu;
	expect_refusal(&a, "another VM's vCPU", -EINVAL, "not a vCPU of this VM");
	a.attach.vcpu_fd = a.vcpu;
	a.attach.flags = 1;
	expect_refusal(&a, "unknown flags", -EINVAL, "flags");
	a.attach.flags = 0;
	if (guest_attach(&a) || a.attach.why_not[0])
		fail("after all refusals, a correct attach fails: %s", a.attach.why_not);
	close(null);
	guest_free(&a);
	guest_free(&b);
}

static void test_refuse_twice(void)
{
	struct guest g;
	int first;

	attached_guest(&g);
	expect_refusal(&g, "same file again", -EBUSY, "attached");
	first = g.ttvm;
	g.ttvm = open(TTVM_DEVICE, O_RDWR);
	expect_refusal(&g, "same vCPU, other file", -EEXIST, "session already");
	close(g.ttvm);
	g.ttvm = first;
	guest_free(&g);
}

static void test_refuse_other_process(void)
{
	struct guest g;
	int status;

	guest_new(&g);
	if (fork() == 0) {
		expect_refusal(&g, "a child's attach", -EACCES, "another process");
		_exit(failure[0] ? 1 : 0);
	}
	wait(&status);
	if (status)
		fail("a child process could attach its parent's VM, or the reason is wrong");
	if (guest_attach(&g))
		fail("the parent cannot attach afterwards: %s", g.attach.why_not);
	guest_free(&g);
}

static void test_refuse_no_counter(void)
{
	struct perf_event_attr attr = { .type = PERF_TYPE_RAW, .size = sizeof(attr), .config = 0x76, .pinned = 1 };
	int fds[64], n = 0, cpu = sched_getcpu();
	cpu_set_t before, here;
	struct guest g;

	/* Take every counter of this CPU, as the NMI watchdog takes one. */
	sched_getaffinity(0, sizeof(before), &before);
	CPU_ZERO(&here);
	CPU_SET(cpu, &here);
	sched_setaffinity(0, sizeof(here), &here);
	while (n < 64 && (fds[n] = syscall(SYS_perf_event_open, &attr, -1, cpu, -1, 0)) >= 0)
		n++;
	guest_new(&g);
	expect_refusal(&g, "no free counter", -EBUSY, "nmi_watchdog");
	while (n > 0)
		close(fds[--n]);
	if (guest_attach(&g))
		fail("with the counters free again: %s", g.attach.why_not);
	guest_free(&g);
	sched_setaffinity(0, sizeof(before), &before);
}

static void *alarm_from_thread(void *g)
{
	return (void *)(intptr_t)guest_alarm(g, TTVM_COUNTER_BRANCHES, 5);
}

static void test_refuse_calls(void)
{
	pthread_t thread;
	struct guest g;
	void *result;

	guest_new(&g);
	EXPECT_EQ("alarm before attach", -guest_alarm(&g, TTVM_COUNTER_BRANCHES, 5), ENOTCONN);
	EXPECT_EQ("detach before attach", ioctl(g.ttvm, TTVM_DETACH) ? errno : 0, ENOTCONN);
	EXPECT_EQ("unknown ioctl", ioctl(g.ttvm, _IO(TTVM_IOC_MAGIC, 0x70)) ? errno : 0, ENOTTY);
	if (mmap(NULL, 8192, PROT_READ, MAP_SHARED, g.ttvm, 0) != MAP_FAILED)
		fail("mmap of two pages succeeds");
	if (mmap(NULL, 4096, PROT_READ, MAP_PRIVATE, g.ttvm, 0) != MAP_FAILED)
		fail("private mmap succeeds");
	guest_attach(&g);
	EXPECT_EQ("alarm on counter 2", -guest_alarm(&g, 2, 5), EINVAL);
	pthread_create(&thread, NULL, alarm_from_thread, &g);
	pthread_join(thread, &result);
	EXPECT_EQ("alarm from another thread", -(intptr_t)result, EPERM);
	guest_free(&g);
}

/* ---- counting ---- */

GUEST(count, "1: dec %rcx\n"
	     "jnz 1b\n"
	     "out %al, $0x80\n"
	     "2: loop 2b\n"
	     "jmp 3f\n"
	     "3: out %al, $0x80\n");

static void set_rcx(struct guest *g, uint64_t rcx)
{
	struct kvm_regs regs = guest_regs(g);

	regs.rcx = rcx;
	if (ioctl(g->vcpu, KVM_SET_REGS, &regs))
		die("KVM_SET_REGS");
}

static void test_counts(void)
{
	static const uint64_t rounds[] = { 1, 2, 3, 10, 999, 70001, 3000000, 40000000 };
	uint64_t branches = 0, instructions = 0;
	struct guest g;
	unsigned int i;

	attached_guest(&g);
	for (i = 0; i < sizeof(rounds) / sizeof(rounds[0]); i++) {
		guest_load(&g, count_start, count_end);
		set_rcx(&g, rounds[i]);
		run_to_out(&g);
		branches += rounds[i];
		instructions += 2 * rounds[i];
		EXPECT_EQ("branches after DEC/JNZ", g.page->branches, branches);
		EXPECT_EQ("instructions after DEC/JNZ", g.page->instructions, instructions);
		guest_settle(&g);
		set_rcx(&g, 5);
		run_to_out(&g);
		branches += 5;
		instructions += 5 + 1;
		EXPECT_EQ("branches after LOOP", g.page->branches, branches);
		EXPECT_EQ("instructions after LOOP and JMP", g.page->instructions, instructions);
		guest_settle(&g);
	}
	/* Loading moved RIP as well: two OUTs less one settled at the end, seven loads. */
	EXPECT_EQ("emulated", g.page->emulated, 2 * i - 1);
	guest_free(&g);
}

GUEST(emulated, "mov $0x10000000, %ebx\n"
		"mov (%rbx), %eax\n"	/* MMIO */
		"mov %eax, (%rbx)\n"
		"in $0x80, %al\n"
		"xor %eax, %eax\n"
		"cpuid\n"
		"mov %cr4, %rax\n"
		"mov %rax, %cr4\n"
		"wbinvd\n"
		"out %al, $0x80\n"
		"nop\n"
		"out %al, $0x80\n");

/* retired + emulated counts every instruction once, whoever completes it. */
static void test_emulated(void)
{
	uint64_t last_out = GUEST_CODE + (emulated_end - emulated_start) - 2;
	struct guest g;
	int i;

	attached_guest(&g);
	guest_load(&g, emulated_start, emulated_end);
	for (i = 0; i < 20 && g.page->rip != last_out; i++)
		if (guest_run(&g) < 0)
			die("KVM_RUN");
	EXPECT_EQ("RIP", g.page->rip, last_out);
	EXPECT_EQ("retired and emulated", g.page->instructions + g.page->emulated, 11);
	guest_free(&g);
}

static void test_set_counts(void)
{
	struct ttvm_counts counts = { .branches = 1ull << 40, .instructions = 1ull << 50, .emulated = 77 };
	struct guest g;

	attached_guest(&g);
	guest_load(&g, count_start, count_end);
	set_rcx(&g, 1000);
	run_to_out(&g);
	guest_load(&g, count_start, count_end);
	set_rcx(&g, 10);
	if (ioctl(g.ttvm, TTVM_SET_COUNTS, &counts))
		fail("TTVM_SET_COUNTS: %s", strerror(errno));
	EXPECT_EQ("branches at once", g.page->branches, counts.branches);
	run_to_out(&g);
	EXPECT_EQ("branches", g.page->branches, counts.branches + 10);
	EXPECT_EQ("instructions", g.page->instructions, counts.instructions + 20);
	EXPECT_EQ("emulated", g.page->emulated, counts.emulated);
	guest_free(&g);
}

static void test_reattach(void)
{
	struct guest g;
	int i;

	guest_new(&g);
	for (i = 0; i < 20; i++) {
		if (guest_attach(&g))
			fail("attach %d: %s", i, g.attach.why_not);
		EXPECT_EQ("branches after attach", g.page->branches, 0);
		guest_load(&g, count_start, count_end);
		set_rcx(&g, 100);
		run_to_out(&g);
		EXPECT_EQ("branches", g.page->branches, 100);
		EXPECT_EQ("emulated", g.page->emulated, 0);
		if (ioctl(g.ttvm, TTVM_DETACH))
			fail("detach %d: %s", i, strerror(errno));
		set_rcx(&g, 100);
		guest_run(&g);
		EXPECT_EQ("branches after detach", g.page->branches, 100);
	}
	guest_free(&g);
}

/* ---- the virtual TSC ---- */

#define READS 200

static uint64_t *guest_data(struct guest *g)
{
	return (uint64_t *)(g->mem + GUEST_DATA);
}

/* 3 branches between two reads; every read is stored. */
GUEST(rdtsc, "mov $0x20000, %edi\n"
	     "mov $200, %ebx\n"
	     "1: rdtsc\n"
	     "mov %eax, (%rdi)\n"
	     "mov %edx, 4(%rdi)\n"
	     "add $8, %rdi\n"
	     "test %eax, %eax\n"
	     "jz 2f\n"
	     "2: jnz 3f\n"
	     "3: dec %ebx\n"
	     "jnz 1b\n"
	     "out %al, $0x80\n");

static void test_rdtsc(void)
{
	uint64_t base = 0xfffffff0ull, rate = 3 * 1024 + 7, previous = 0, want;
	struct guest g;
	int i;

	attached_guest(&g);
	g.page->clock = (struct ttvm_clock){
		.flags = TTVM_CLOCK_ENABLED, .rdtsc_ticks = 5, .base = base, .rate = rate, .extra = 11
	};
	guest_load(&g, rdtsc_start, rdtsc_end);
	run_to_out(&g);
	for (i = 0; i < READS; i++) {
		want = base + (3 * i * rate >> TTVM_CLOCK_SHIFT) + 11 + 5 * (i + 1);
		EXPECT_EQ("RDTSC", guest_data(&g)[i], want);
		if (guest_data(&g)[i] <= previous)
			fail("read %d is not larger than the one before", i);
		previous = guest_data(&g)[i];
	}
	EXPECT_EQ("extra", g.page->clock.extra, 11 + 5 * READS);
	EXPECT_EQ("rdtsc", g.page->rdtsc, READS);
	EXPECT_EQ("branches", g.page->branches, 3 * READS);
	/* Each read is one emulated instruction, and none that has retired. */
	EXPECT_EQ("emulated", g.page->emulated, READS);
	EXPECT_EQ("instructions", g.page->instructions, 2 + 8 * READS);
	EXPECT_EQ("exits_by_reason[RDTSC]", g.page->exits_by_reason[0x6e], READS);
	guest_free(&g);
}

GUEST(rdtscp, "mov $0xc0000103, %ecx\n"	/* TSC_AUX */
	      "mov $0x12345678, %eax\n"
	      "xor %edx, %edx\n"
	      "wrmsr\n"
	      "mov $-1, %rax\n"
	      "mov %rax, %rcx\n"
	      "mov %rax, %rdx\n"
	      "rdtscp\n"
	      "out %al, $0x80\n");

static void test_rdtscp(void)
{
	struct kvm_regs regs;
	struct guest g;

	attached_guest(&g);
	g.page->clock = (struct ttvm_clock){ .flags = TTVM_CLOCK_ENABLED, .rdtsc_ticks = 1, .base = 0xabc123456789ull };
	guest_load(&g, rdtscp_start, rdtscp_end);
	run_to_out(&g);
	regs = guest_regs(&g);
	EXPECT_EQ("RAX", regs.rax, 0x2345678a);
	EXPECT_EQ("RDX", regs.rdx, 0xabc1);
	EXPECT_EQ("RCX", regs.rcx, 0x12345678);
	EXPECT_EQ("rdtsc", g.page->rdtsc, 1);
	guest_free(&g);
}

static void run_reads(struct guest *g)
{
	guest_load(g, rdtsc_start, rdtsc_end);
	run_to_out(g);
}

static void test_rdtsc_off(void)
{
	struct guest g;

	attached_guest(&g);
	run_reads(&g);
	EXPECT_EQ("rdtsc", g.page->rdtsc, 0);
	EXPECT_EQ("instructions", g.page->instructions, 2 + 9 * READS);
	g.page->clock = (struct ttvm_clock){ .flags = TTVM_CLOCK_ENABLED, .rdtsc_ticks = 1, .base = 1 };
	run_reads(&g);
	EXPECT_EQ("rdtsc, enabled", g.page->rdtsc, READS);
	g.page->clock.flags = 0;
	run_reads(&g);
	EXPECT_EQ("rdtsc, disabled again", g.page->rdtsc, READS);
	ioctl(g.ttvm, TTVM_DETACH);
	run_reads(&g);
	EXPECT_EQ("rdtsc, detached", g.page->rdtsc, READS);
	guest_free(&g);
}

/* The guest sets TF around RDTSC and RDTSCP; its #DB handler writes down where it was. */
GUEST(trap_flag, "mov $0x20000, %edi\n"
		 "pushfq\n"
		 "orl $0x100, (%rsp)\n"
		 "popfq\n"
		 "nop\n"
		 "rdtsc\n"
		 "nop\n"
		 "rdtscp\n"
		 "rdtsc\n"
		 "pushfq\n"
		 "andl $~0x100, (%rsp)\n"
		 "popfq\n"
		 "out %al, $0x80\n");
GUEST(trap_handler, "push %rax\n"
		    "mov 8(%rsp), %rax\n"
		    "mov %rax, (%rdi)\n"
		    "mov %dr6, %rax\n"
		    "mov %rax, 8(%rdi)\n"
		    "mov 24(%rsp), %rax\n"
		    "mov %rax, 16(%rdi)\n"
		    "add $24, %rdi\n"
		    "mov $0xffff0ff0, %eax\n"
		    "mov %rax, %dr6\n"
		    "pop %rax\n"
		    "iretq\n");

static uint64_t run_trap_flag(struct guest *g, uint64_t *where)
{
	memset(g->mem + GUEST_DATA, 0, 4096);
	guest_set_handler(g, 1, trap_handler_start, trap_handler_end);
	guest_load(g, trap_flag_start, trap_flag_end);
	run_to_out(g);
	memcpy(where, g->mem + GUEST_DATA, 4096);
	return (guest_regs(g).rdi - GUEST_DATA) / 24;
}

static void test_rdtsc_guest_tf(void)
{
	uint64_t with[512], without[512], n;
	struct guest g;
	unsigned int i;

	attached_guest(&g);
	n = run_trap_flag(&g, without);
	g.page->clock = (struct ttvm_clock){ .flags = TTVM_CLOCK_ENABLED, .rdtsc_ticks = 1, .base = 1 };
	EXPECT_EQ("number of traps", run_trap_flag(&g, with), n);
	EXPECT_EQ("number of traps", n, 8);
	EXPECT_EQ("rdtsc", g.page->rdtsc, 3);
	for (i = 0; i < 3 * n; i++)
		EXPECT_EQ(i % 3 == 0 ? "RIP of a trap" : i % 3 == 1 ? "DR6" : "pushed RFLAGS", with[i], without[i]);
	guest_free(&g);
}

static void test_rdtsc_stepped(void)
{
	uint64_t rips[2][20];
	struct guest g;
	int pass, i;

	attached_guest(&g);
	for (pass = 0; pass < 2; pass++) {
		g.page->clock = (struct ttvm_clock){ .flags = pass ? TTVM_CLOCK_ENABLED : 0, .rdtsc_ticks = 1, .base = 1 };
		guest_load(&g, rdtsc_start, rdtsc_end);
		guest_debug(&g, KVM_GUESTDBG_SINGLESTEP, 0);
		for (i = 0; i < 20; i++) {
			EXPECT_EQ("KVM_RUN", guest_run(&g), KVM_EXIT_DEBUG);
			rips[pass][i] = guest_regs(&g).rip;
		}
		guest_debug(&g, 0, 0);
	}
	EXPECT_EQ("rdtsc", g.page->rdtsc, 2);
	for (i = 0; i < 20; i++)
		EXPECT_EQ("RIP of a step", rips[1][i], rips[0][i]);
	guest_free(&g);
}

static const struct check_test tests[] = {
	{ "info", test_info },
	{ "refuse-descriptors", test_refuse_descriptors },
	{ "refuse-twice", test_refuse_twice },
	{ "refuse-other-process", test_refuse_other_process },
	{ "refuse-no-counter", test_refuse_no_counter },
	{ "refuse-calls", test_refuse_calls },
	{ "counts", test_counts },
	{ "emulated", test_emulated },
	{ "set-counts", test_set_counts },
	{ "reattach", test_reattach },
	{ "rdtsc", test_rdtsc },
	{ "rdtscp", test_rdtscp },
	{ "rdtsc-off", test_rdtsc_off },
	{ "rdtsc-guest-tf", test_rdtsc_guest_tf },
	{ "rdtsc-stepped", test_rdtsc_stepped },
};

int main(int argc, char **argv)
{
	return check_main(tests, sizeof(tests) / sizeof(tests[0]), argc, argv);
}
