/* SPDX-License-Identifier: GPL-2.0 */
/*
 * module-check.h - what the module's test programs share: expectations, the list of tests, the output.
 *
 * A program defines a table of tests and returns check_main(). It prints "ok NAME" or "not ok NAME: why" per test; the exit
 * status is 0, 1 when one failed, 77 when this machine cannot run them. Arguments: [--skid N] [NAME...]; with --skid, alarms
 * may come up to N events late.
 */
#ifndef TTVM_MODULE_CHECK_H
#define TTVM_MODULE_CHECK_H

#include <stdarg.h>

#include "module-guest.h"

static char failure[512];	/* of the running test; empty while it holds */
static uint64_t skid;

__attribute__((format(printf, 1, 2))) static void fail(const char *format, ...)
{
	va_list args;

	if (failure[0])
		return;
	va_start(args, format);
	vsnprintf(failure, sizeof(failure), format, args);
	va_end(args);
}

#define EXPECT_EQ(what, got, want)                                                                                    \
	do {                                                                                                          \
		unsigned long long got_ = (got), want_ = (want);                                                      \
		if (got_ != want_)                                                                                    \
			fail("line %d: %s is %llu (0x%llx), not %llu (0x%llx)", __LINE__, what, got_, got_, want_,    \
			     want_);                                                                                  \
	} while (0)

/* A guest with a session. */
static inline void attached_guest(struct guest *g)
{
	guest_new(g);
	if (guest_attach(g)) {
		fprintf(stderr, "cannot attach: %s\n", g->attach.why_not);
		exit(1);
	}
}

/* Run to the next OUT; anything else is a failure. */
static inline void run_to_out(struct guest *g)
{
	int reason = guest_run(g);

	if (reason != KVM_EXIT_IO)
		fail("KVM_RUN ended with %d (raw exit 0x%x, stop reason %u, rip 0x%llx), not at an OUT", reason,
		     g->page->exit_code, g->page->stop_reason, (unsigned long long)g->page->rip);
}

struct check_test {
	const char *name;
	void (*run)(void);
};

static inline bool is_chosen(const char *name, char **names, int n)
{
	int i;

	for (i = 0; i < n; i++)
		if (!strcmp(name, names[i]))
			return true;
	return n == 0;
}

static inline int check_main(const struct check_test *tests, unsigned int n, int argc, char **argv)
{
	int failed = 0, first = 1;
	unsigned int i;

	if (argc > 2 && !strcmp(argv[1], "--skid")) {
		skid = strtoull(argv[2], NULL, 0);
		first = 3;
	}
	if (access("/dev/kvm", R_OK | W_OK) || access(TTVM_DEVICE, R_OK | W_OK)) {
		printf("no /dev/kvm or no " TTVM_DEVICE "\n");
		return 77;
	}
	for (i = 0; i < n; i++) {
		if (!is_chosen(tests[i].name, argv + first, argc - first))
			continue;
		failure[0] = 0;
		tests[i].run();
		if (failure[0]) {
			printf("not ok %s: %s\n", tests[i].name, failure);
			failed++;
		} else {
			printf("ok %s\n", tests[i].name);
		}
		fflush(stdout);
	}
	return failed ? 1 : 0;
}

#endif
