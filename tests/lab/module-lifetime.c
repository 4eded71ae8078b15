// SPDX-License-Identifier: GPL-2.0
/*
 * module-lifetime.c - a small VMM for module-lifetime.sh: attaches a vCPU and does what its argument says.
 *
 *   forever       run an endless guest, until killed
 *   count N       run N rounds of a loop, check that the counts are exact
 *   close-kvm     close KVM's descriptors before ttvm's, with the vCPU attached
 *   close-ttvm    the other way around
 *   exit          end without closing anything
 *   fork          leave a child behind that holds all descriptors, and end; the child ends a second later
 *   idle          attach, never run, until killed
 * Prints "attached" when it is.
 */
#include "module-guest.h"

GUEST(forever, "1: rdtsc\n"
	       "dec %rcx\n"
	       "jmp 1b\n");
GUEST(count, "1: rdtsc\n"
	     "dec %rcx\n"
	     "jnz 1b\n"
	     "out %al, $0x80\n");

static int run_count(struct guest *g, uint64_t rounds)
{
	struct kvm_regs regs;

	guest_load(g, count_start, count_end);
	regs = guest_regs(g);
	regs.rcx = rounds;
	ioctl(g->vcpu, KVM_SET_REGS, &regs);
	return guest_run(g);
}

static int count(struct guest *g, uint64_t rounds)
{
	if (run_count(g, rounds) != KVM_EXIT_IO) {
		fprintf(stderr, "KVM_RUN ended with %u, stop reason %u\n", g->run->exit_reason, g->page->stop_reason);
		return 1;
	}
	if (g->page->branches != rounds || g->page->instructions != 2 * rounds || g->page->emulated != rounds) {
		fprintf(stderr, "%llu branches, %llu + %llu instructions, not %llu, %llu + %llu\n", g->page->branches,
			g->page->instructions, g->page->emulated, (unsigned long long)rounds,
			(unsigned long long)rounds * 2, (unsigned long long)rounds);
		return 1;
	}
	return 0;
}

int main(int argc, char **argv)
{
	const char *what = argc > 1 ? argv[1] : "";
	struct guest g;

	guest_new(&g);
	if (guest_attach(&g)) {
		fprintf(stderr, "cannot attach: %s\n", g.attach.why_not);
		return 1;
	}
	g.page->clock = (struct ttvm_clock){ .flags = TTVM_CLOCK_ENABLED, .rdtsc_ticks = 1, .base = 1 };
	printf("attached\n");
	fflush(stdout);

	if (!strcmp(what, "forever")) {
		guest_load(&g, forever_start, forever_end);
		guest_run(&g);
		return 1;
	}
	if (!strcmp(what, "count"))
		return count(&g, argc > 2 ? strtoull(argv[2], NULL, 0) : 1000);
	if (!strcmp(what, "idle"))
		pause();
	if (count(&g, 1000))
		return 1;
	if (!strcmp(what, "close-kvm")) {
		close(g.vcpu);
		close(g.vm);
		close(g.kvm);
		munmap(g.run, 0x3000);
		munmap(g.mem, GUEST_SIZE);
		usleep(50000);
		close(g.ttvm);
	} else if (!strcmp(what, "close-ttvm")) {
		munmap(g.page, 4096);	/* a mapping holds the file open, too */
		close(g.ttvm);
		return run_count(&g, 1000) == KVM_EXIT_IO ? 0 : 1;	/* a plain KVM guest again */
	} else if (!strcmp(what, "fork")) {
		if (fork() == 0)
			sleep(1);
	}
	return 0;
}
