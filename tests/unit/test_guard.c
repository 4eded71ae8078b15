// SPDX-License-Identifier: GPL-2.0
/*
 * Guarded pages: what they are protected from, when, and what a device's write is told as. Which memory instructions
 * use.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#include "decode.h"
#include "watchlist.h"

#define PAGE TT_PAGE_SIZE

/* ------------------------------------------------------------------ guard.c */

/* Can the kernel read, or write, a byte there for us? As KVM would. */
static bool kernel_reads(const void *at)
{
	int fds[2];
	bool ok;

	assert_int_equal(pipe(fds), 0);
	ok = write(fds[1], at, 1) == 1;
	close(fds[0]);
	close(fds[1]);
	return ok;
}

static bool kernel_writes(void *at)
{
	int fds[2];
	bool ok;

	assert_int_equal(pipe(fds), 0);
	assert_int_equal(write(fds[1], "x", 1), 1);
	ok = read(fds[0], at, 1) == 1;
	close(fds[0]);
	close(fds[1]);
	return ok;
}

static void protects_and_gives_back(void **state)
{
	const struct tt_guarded_page pages[] = { { PAGE, false }, { 2 * PAGE, true }, { 3 * PAGE, true }, { 9 * PAGE, false } };
	struct tt_guard guard = { .pages = pages, .num_pages = 4 };
	struct tt_memory mem;
	unsigned int i;

	(void)state;
	assert_int_equal(tt_memory_create(&mem, 16 * PAGE, NULL), 0);
	assert_int_equal(tt_guard_close(&mem), 0);
	assert_true(kernel_writes(mem.hva + PAGE));
	mem.guard = &guard;
	for (i = 0; i < 2; i++) {
		assert_int_equal(tt_guard_close(&mem), 0);
		assert_true(kernel_writes(mem.hva));
		assert_true(kernel_reads(mem.hva + PAGE));
		assert_false(kernel_writes(mem.hva + PAGE));
		assert_false(kernel_reads(mem.hva + 2 * PAGE));
		assert_false(kernel_reads(mem.hva + 4 * PAGE - 1));
		assert_true(kernel_writes(mem.hva + 4 * PAGE));
		assert_false(kernel_writes(mem.hva + 9 * PAGE + 5));
		assert_int_equal(tt_guard_lift(&mem), 0);
		assert_true(kernel_writes(mem.hva + PAGE) && kernel_writes(mem.hva + 2 * PAGE) &&
			    kernel_writes(mem.hva + 3 * PAGE) && kernel_writes(mem.hva + 9 * PAGE));
	}
	guard.open = true;
	assert_int_equal(tt_guard_close(&mem), 0);
	assert_true(kernel_writes(mem.hva + PAGE));
	tt_memory_destroy(&mem);
}

static uint64_t told_gpa, told_len;

static void tell(void *ctx, uint64_t gpa, uint64_t len)
{
	(void)ctx;
	told_gpa = gpa;
	told_len = len;
}

static void tells_what_devices_write(void **state)
{
	struct tt_guard guard = { .device_wrote = tell };
	struct tt_memory mem;

	(void)state;
	assert_int_equal(tt_memory_create(&mem, TT_RAM_BELOW_4G + 16 * PAGE, NULL), 0);
	mem.guard = &guard;
	tt_memory_wrote(&mem, mem.hva + 3 * PAGE, 40);
	assert_int_equal(told_gpa, 3 * PAGE);
	assert_int_equal(told_len, 40);
	/* Above the hole. */
	tt_memory_wrote(&mem, tt_memory_at(&mem, TT_RAM_ABOVE + 2 * PAGE, 8), 8);
	assert_true(told_gpa == TT_RAM_ABOVE + 2 * PAGE);
	tt_memory_destroy(&mem);
}

/* ------------------------------------------------------------------ access.c */

static struct tt_machine machine;
static struct tt_vcpu vcpu = { .machine = &machine };

static const struct kvm_sregs long_mode = { .cs.l = 1, .gs.base = 0x100000 };

/* Without paging, so that the code is where it is put. */
static struct tt_accesses decode(const char *code, size_t len, struct kvm_regs *regs)
{
	struct tt_accesses a;

	memcpy(machine.memory.hva + regs->rip, code, len);
	tt_accesses_at(&vcpu, &long_mode, regs, &a);
	return a;
}

static void knows_operands(void **state)
{
	static const struct {
		const char *name, *code;
		size_t len;
		unsigned int n;
		struct tt_access a[2];
	} rows[] = {
#define CODE(bytes) bytes, sizeof(bytes) - 1
		{ "mov rax, [rbx + rcx*8 + 5]", CODE("\x48\x8b\x44\xcb\x05"), 1, { { 0x3000 + 0x20 * 8 + 5, 8, 1, 0, 0 } } },
		{ "mov [rbx], ax", CODE("\x66\x89\x03"), 1, { { 0x3000, 2, 0, 1, 0 } } },
		{ "mov rax, gs:[8]", CODE("\x65\x48\x8b\x04\x25\x08\x00\x00\x00"), 1, { { 0x100008, 8, 1, 0, 0 } } },
		{ "push rax", CODE("\x50"), 1, { { 0x7ff8, 8, 0, 1, 0 } } },
		{ "push [rsp]", CODE("\xff\x34\x24"), 2, { { 0x8000, 8, 1, 0, 0 }, { 0x7ff8, 8, 0, 1, 0 } } },
		{ "pop [rsp + 8]", CODE("\x8f\x44\x24\x08"), 2, { { 0x8010, 8, 0, 1, 0 }, { 0x8000, 8, 1, 0, 0 } } },
		{ "call", CODE("\xe8\x00\x00\x00\x00"), 1, { { 0x7ff8, 8, 0, 1, 0 } } },
		{ "iretq", CODE("\x48\xcf"), 1, { { 0x8000, 40, 1, 0, 0 } } },
		{ "enter 16, 2", CODE("\xc8\x10\x00\x02"), 1, { { 0x7fe8, 24, 0, 1, 0 } } },
		{ "leave", CODE("\xc9"), 1, { { 0x9000, 8, 1, 0, 0 } } },
		{ "bts [rbx], rdx (-65)", CODE("\x48\x0f\xab\x13"), 1, { { 0x3000 - 16, 8, 1, 1, 0 } } },
		{ "bts [rbx], r8d (40)", CODE("\x44\x0f\xab\x03"), 1, { { 0x3004, 4, 1, 1, 0 } } },
		{ "bt [rbx], 7", CODE("\x48\x0f\xba\x23\x07"), 1, { { 0x3000, 8, 1, 0, 0 } } },
		{ "cmpxchg16b [rdi]", CODE("\x48\x0f\xc7\x0f"), 1, { { 0x5000, 16, 1, 1, 0 } } },
		{ "fxsave [rbx]", CODE("\x0f\xae\x03"), 1, { { 0x3000, 512, 0, 1, 0 } } },
		{ "xlat", CODE("\xd7"), 1, { { 0x3000 + 0x34, 1, 1, 0, 0 } } },
		{ "lea rax, [rbx]", CODE("\x48\x8d\x03"), 0, { { 0 } } },
		{ "nop [rbx]", CODE("\x0f\x1f\x03"), 0, { { 0 } } },
		{ "prefetcht0 [rbx]", CODE("\x0f\x18\x0b"), 0, { { 0 } } },
		{ "movsq", CODE("\x48\xa5"), 2,
		  { { 0x5000, 8, 0, 1, ZYDIS_REGISTER_RDI }, { 0x6000, 8, 1, 0, ZYDIS_REGISTER_RSI } } },
	};
	struct kvm_regs regs = { .rax = 0x1234, .rbx = 0x3000, .rcx = 0x20, .rdx = -65, .rsp = 0x8000, .rbp = 0x9000,
				 .rdi = 0x5000, .rsi = 0x6000, .r8 = 40, .rip = 0x1000 };
	unsigned int i, j;

	(void)state;
	assert_int_equal(tt_memory_create(&machine.memory, 16 * PAGE, NULL), 0);
	for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct tt_accesses a = decode(rows[i].code, rows[i].len, &regs);

		if (a.n != rows[i].n || a.length != rows[i].len)
			fail_msg("%s: %u accesses, %u bytes", rows[i].name, a.n, a.length);
		for (j = 0; j < a.n; j++) {
			const struct tt_access *x = &a.list[j], *y = &rows[i].a[j];

			if (x->address != y->address || x->length != y->length || x->read != y->read || x->write != y->write ||
			    x->string != y->string)
				fail_msg("%s: access %u: %u bytes at %lx", rows[i].name, j, (unsigned int)x->length,
					 (unsigned long)x->address);
		}
	}
	tt_memory_destroy(&machine.memory);
}

/* What a repeated instruction did is told by how far its registers went; an instruction that was broken off did nothing. */
static void knows_what_was_done(void **state)
{
	struct kvm_regs before = { .rdi = 0x5000, .rsi = 0x6000, .rcx = 10, .rip = 0x1000, .rsp = 0x8000 }, after = before;
	struct tt_accesses a;

	(void)state;
	assert_int_equal(tt_memory_create(&machine.memory, 16 * PAGE, NULL), 0);
	a = decode("\xf3\x48\xa5", 3, &before);
	assert_true(a.repeated);
	after.rdi += 24;
	after.rsi += 24;
	tt_accesses_made(&a, &before, &after, false);
	assert_int_equal(a.n, 2);
	assert_true(a.list[0].address == 0x5000 && a.list[0].length == 24 && a.list[0].write);
	assert_true(a.list[1].address == 0x6000 && a.list[1].length == 24 && !a.list[1].write);
	/* Downwards: the first of them is where it began. */
	a = decode("\xf3\x48\xab", 3, &before);
	after.rdi = before.rdi - 16;
	tt_accesses_made(&a, &before, &after, true);
	assert_true(a.n == 1 && a.list[0].address == 0x5000 - 8 && a.list[0].length == 16);
	a = decode("\xf3\x48\xab", 3, &before);
	tt_accesses_made(&a, &before, &before, true);
	assert_int_equal(a.n, 0);
	a = decode("\x50", 1, &before);
	tt_accesses_made(&a, &before, &after, false);
	assert_int_equal(a.n, 0);
	tt_memory_destroy(&machine.memory);
}

/* ------------------------------------------------------------------ watchlist.c */

static void cuts_ranges(void **state)
{
	const struct tt_breakpoint list[] = {
		{ TT_BREAK_EXECUTE, 0x1003, 0 }, { TT_BREAK_WRITE, 0x1003, 22 }, { TT_BREAK_ACCESS, 0x1000, 1 } };
	const struct tt_breakpoint bad[] = { { TT_BREAK_WRITE, 0x1000, 0 }, { TT_BREAK_WRITE, UINT64_MAX, 2 },
					     { TT_BREAK_WRITE, 0, 9ull * TT_MAX_WATCHED }, { TT_BREAK_WRITE, 0, 1ull << 62 } };
	static const struct {
		uint64_t address, length;
	} expected[] = { { 0x1003, 1 }, { 0x1003, 1 }, { 0x1004, 4 }, { 0x1008, 8 }, { 0x1010, 8 }, { 0x1018, 1 }, { 0x1000, 1 } };
	struct tt_watchlist w;
	struct tt_error err;
	size_t i;

	(void)state;
	assert_int_equal(tt_watchlist_make(&w, NULL, TT_WATCH_BY_REGISTERS, list, 3, &err), 0);
	assert_int_equal(w.all.n, 7);
	assert_int_equal(w.num_pages, 0);
	for (i = 0; i < 7; i++) {
		assert_true(w.all.list[i].address == expected[i].address && w.all.list[i].length == expected[i].length);
		assert_int_equal(w.all.owner[i], i == 0 ? 0 : i < 6 ? 1 : 2);
	}
	tt_watchlist_free(&w);
	for (i = 0; i < 4; i++) {
		assert_true(tt_watchlist_make(&w, NULL, TT_WATCH_BY_COST, &bad[i], 1, &err) < 0);
		tt_watchlist_free(&w);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(protects_and_gives_back), cmocka_unit_test(tells_what_devices_write),
		cmocka_unit_test(knows_operands),	   cmocka_unit_test(knows_what_was_done),
		cmocka_unit_test(cuts_ranges),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
