// SPDX-License-Identifier: GPL-2.0
/*
 * selftest.c - the self-test's guest and its seam.
 *
 * The guest runs OUTER_ROUNDS times INNER_ROUNDS loops and makes one exit of each kind that matters
 * per outer round: RDTSC (answered by the module), CPUID (emulated by KVM), a port access (served
 * here). Its inner loop has a locked access, because some CPUs miscount branches next to those (AMD
 * Zen's SpecLockMap).
 */
#include <elf.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <x86intrin.h>

#include "internal.h"
#include "selftest.h"

#define MEMORY_SIZE (8u << 20)
#define LOAD_GPA 0x100000u
#define OUTER_ROUNDS 64
#define INNER_ROUNDS 20000
#define LANDINGS 32
#define END_STATUS 42
#define TIME_LIMIT 20 /* seconds */
#define XEN_ELFNOTE_PHYS32_ENTRY 18

#define TEXT_OF(x) #x
#define TEXT(x) TEXT_OF(x)

/*
 * Behind each line: instructions, "b" for a conditional branch. The PVH protocol starts it in flat
 * 32-bit mode.
 */
asm(".pushsection .rodata\n"
    ".code32\n"
    "tt_selftest_guest:\n"
    "	mov $" TEXT(OUTER_ROUNDS) ", %esi\n"		/* 1 */
    "	xor %edi, %edi\n"				/* 1 */
    "1:	mov $" TEXT(INNER_ROUNDS) ", %ecx\n"		/* 1 each outer round */
    "2:	add %ecx, %eax\n"				/* 1 each inner round */
    "	lock incl " TEXT(LOAD_GPA) "+tt_selftest_word-tt_selftest_guest\n" /* 1 */
    "	test $1, %cl\n"					/* 1 */
    "	jz tt_selftest_landing\n"			/* 1b */
    "	nop\n"						/* 1 if the round's number is odd */
    "tt_selftest_landing:\n"
    "	dec %ecx\n"					/* 1 */
    "	jnz 2b\n"					/* 1b */
    "	rdtsc\n"					/* 1 each outer round */
    "	add %eax, %edi\n"				/* 1 */
    "	xor %eax, %eax\n"				/* 1 */
    "	cpuid\n"					/* 1 */
    "	add %eax, %edi\n"				/* 1 */
    "	out %al, $0x80\n"				/* 1 */
    "	dec %esi\n"					/* 1 */
    "	jnz 1b\n"					/* 1b */
    "	mov $" TEXT(END_STATUS) ", %al\n"		/* 1 */
    "	out %al, $" TEXT(TT_PORT_DEBUG_EXIT) "\n"	/* 1 */
    "	.balign 4\n"
    "tt_selftest_word:\n"
    "	.long 0\n"
    "tt_selftest_end:\n"
    ".code64\n"
    ".popsection\n");

extern const uint8_t tt_selftest_guest[], tt_selftest_landing[], tt_selftest_end[];

#define BRANCHES_PER_OUTER (2ull * INNER_ROUNDS + 1)
#define BRANCHES (OUTER_ROUNDS * BRANCHES_PER_OUTER)
#define INSTRUCTIONS_PER_OUTER (1 + 6ull * INNER_ROUNDS + INNER_ROUNDS / 2 + 8)
#define INSTRUCTIONS (2 + OUTER_ROUNDS * INSTRUCTIONS_PER_OUTER + 2)

/* ------------------------------------------------------------------ the guest as an ELF file */

struct image {
	Elf32_Ehdr ehdr;
	Elf32_Phdr load;
	Elf32_Phdr notes;
	struct {
		Elf32_Nhdr head;
		char owner[4];
		uint32_t entry;
	} note;
	uint8_t code[256];
};

static void make_image(struct image *image)
{
	size_t size = tt_selftest_end - tt_selftest_guest;

	memset(image, 0, sizeof(*image));
	memcpy(image->ehdr.e_ident, ELFMAG, SELFMAG);
	image->ehdr.e_ident[EI_CLASS] = ELFCLASS32;
	image->ehdr.e_ident[EI_DATA] = ELFDATA2LSB;
	image->ehdr.e_ident[EI_VERSION] = EV_CURRENT;
	image->ehdr.e_type = ET_EXEC;
	image->ehdr.e_machine = EM_386;
	image->ehdr.e_version = EV_CURRENT;
	image->ehdr.e_entry = LOAD_GPA;
	image->ehdr.e_phoff = offsetof(struct image, load);
	image->ehdr.e_ehsize = sizeof(image->ehdr);
	image->ehdr.e_phentsize = sizeof(image->load);
	image->ehdr.e_phnum = 2;
	image->load = (Elf32_Phdr){ .p_type = PT_LOAD,
				    .p_offset = offsetof(struct image, code),
				    .p_vaddr = LOAD_GPA,
				    .p_paddr = LOAD_GPA,
				    .p_filesz = size,
				    .p_memsz = size,
				    .p_flags = PF_R | PF_W | PF_X };
	image->notes = (Elf32_Phdr){ .p_type = PT_NOTE,
				     .p_offset = offsetof(struct image, note),
				     .p_filesz = sizeof(image->note),
				     .p_align = 4 };
	image->note.head = (Elf32_Nhdr){ .n_namesz = 4,
					 .n_descsz = 4,
					 .n_type = XEN_ELFNOTE_PHYS32_ENTRY };
	memcpy(image->note.owner, "Xen", 4);
	image->note.entry = LOAD_GPA;
	_Static_assert(sizeof(image->code) == 256, "the guest is about 70 bytes long");
	memcpy(image->code, tt_selftest_guest, size);
}

/* ------------------------------------------------------------------ the seam */

struct selftest {
	struct tt_seam seam;
	enum tt_selftest_kind kind;
	const struct tt_pmu *pmu;
	struct tt_selftest_result *result;
	struct tt_session session;
	struct tt_clock clock;
	struct tt_host_timer timer;
	bool have_timer;
	uint64_t deadline;	/* host TSC */
	bool timed_out;
	/* LAND */
	unsigned int next;	/* landing that is aimed at */
	bool alarm_set;
	bool breakpoint_set;
	uint64_t alarm;		/* branches */
};

/* Where landing number i is: outer round, inner round, and the branches that lead there. */
struct target {
	uint32_t outer;
	uint32_t inner;
	uint64_t branches;
};

static struct target target_of(unsigned int i)
{
	struct target t = {
		.outer = i * (OUTER_ROUNDS / LANDINGS),
		/*
		 * In the last quarter, so that even the largest margin begins in the same outer
		 * round.
		 */
		.inner = INNER_ROUNDS - 1 - i * 797 % (INNER_ROUNDS / 4),
	};

	t.branches = t.outer * BRANCHES_PER_OUTER + 2ull * t.inner + 1;
	return t;
}

static struct selftest *selftest_of(struct tt_seam *seam)
{
	return (struct selftest *)seam;
}

static int selftest_vcpu_start(struct tt_seam *seam, struct tt_vcpu *vcpu)
{
	struct selftest *t = selftest_of(seam);
	struct tt_machine *m = vcpu->machine;
	int ret = tt_host_timer_create(&t->timer, m->config.tsc_hz);

	if (ret)
		return tt_fail(&m->error, ret, "cannot create a timer: %s", strerror(-ret));
	t->have_timer = true;
	t->deadline = __rdtsc() + TIME_LIMIT * m->config.tsc_hz;
	tt_host_timer_set(&t->timer, t->deadline);
	if (t->kind == TT_SELFTEST_PLAIN)
		return 0;
	ret = tt_session_open(&t->session, vcpu, t->pmu, &m->error);
	if (!ret)
		tt_clock_start(&t->clock, t->session.page, m->config.tsc_hz);
	return ret;
}

static uint64_t selftest_now(struct tt_seam *seam, struct tt_vcpu *vcpu)
{
	struct selftest *t = selftest_of(seam);

	(void)vcpu;
	return t->session.page ? tt_clock_now(&t->clock) : 0;
}

static void selftest_set_tsc(struct tt_seam *seam, struct tt_vcpu *vcpu, uint64_t value)
{
	/* The guest never does. */
	(void)seam;
	(void)vcpu;
	(void)value;
}

static int set_alarm(struct selftest *t, struct tt_vcpu *vcpu, const struct target *target)
{
	int ret;

	t->alarm = target->branches - t->result->margin;
	ret = tt_session_alarm(&t->session, TTVM_COUNTER_BRANCHES, t->alarm,
			       &vcpu->machine->error);
	if (ret)
		return ret;
	t->alarm_set = true;
	return 0;
}

static int set_breakpoint(struct selftest *t, struct tt_vcpu *vcpu, const struct target *target)
{
	struct ttvm_stop *stop = &t->session.page->stop;
	uint64_t rip = LOAD_GPA + (tt_selftest_landing - tt_selftest_guest);
	const struct tt_breakpoint landing = { TT_BREAK_EXECUTE, rip, 1 };
	int ret = tt_breakpoints_set(vcpu, &landing, 1);

	if (ret)
		return tt_fail(&vcpu->machine->error, ret, "cannot set a hardware breakpoint: %s",
			       strerror(-ret));
	stop->branches = target->branches;
	stop->rip = rip;
	stop->check_mask = 0;
	stop->flags = TTVM_STOP_FILTER;
	t->breakpoint_set = true;
	return 0;
}

static void forget_target(struct selftest *t, struct tt_vcpu *vcpu)
{
	if (t->breakpoint_set)
		tt_breakpoints_set(vcpu, NULL, 0);
	t->session.page->stop.flags = 0;
	t->breakpoint_set = false;
	t->alarm_set = false;
	t->next++;
}

static int selftest_before_run(struct tt_seam *seam, struct tt_vcpu *vcpu)
{
	struct selftest *t = selftest_of(seam);
	struct target target;

	if (t->kind != TT_SELFTEST_LAND || t->next >= LANDINGS)
		return 0;
	target = target_of(t->next);
	if (t->session.page->branches > target.branches) {
		t->result->landings_missed++;
		forget_target(t, vcpu);
		return selftest_before_run(seam, vcpu);
	}
	return t->alarm_set ? 0 : set_alarm(t, vcpu, &target);
}

static int selftest_after_exit(struct tt_seam *seam, struct tt_vcpu *vcpu)
{
	struct selftest *t = selftest_of(seam);

	(void)vcpu;
	if (t->session.page)
		tt_clock_count_exit(&t->clock);
	return 0;
}

static int module_stopped(struct selftest *t, struct tt_vcpu *vcpu)
{
	const struct ttvm_page *page = t->session.page;
	struct target target = target_of(t->next);

	if (page->stop_reason == TTVM_STOP_COUNTER)
		return tt_fail(&vcpu->machine->error, -EBUSY, "the PMU's counters were taken away");
	if (!t->alarm_set || t->breakpoint_set || page->branches < t->alarm)
		return 0;
	if (page->stop_reason == TTVM_STOP_LATE)
		t->result->alarms_lost++;
	else
		t->result->alarms++;
	if (page->branches - t->alarm > t->result->lateness)
		t->result->lateness = page->branches - t->alarm;
	return page->branches > target.branches ? 0 : set_breakpoint(t, vcpu, &target);
}

static void debug_stopped(struct selftest *t, struct tt_vcpu *vcpu)
{
	const struct kvm_regs *regs = &tt_vcpu_sync_regs(vcpu)->regs;
	struct target target = target_of(t->next);

	if (!t->breakpoint_set)
		return;
	if (t->session.page->branches == target.branches &&
	    regs->rip == t->session.page->stop.rip &&
	    (uint32_t)regs->rcx == INNER_ROUNDS - target.inner &&
	    (uint32_t)regs->rsi == OUTER_ROUNDS - target.outer)
		t->result->landings++;
	else
		t->result->landings_missed++;
	forget_target(t, vcpu);
}

static int selftest_interrupted(struct tt_seam *seam, struct tt_vcpu *vcpu,
				enum tt_interruption why)
{
	struct selftest *t = selftest_of(seam);

	if (__rdtsc() >= t->deadline) {
		t->timed_out = true;
		tt_machine_end(vcpu->machine, TT_END_REQUEST, 0);
		return 0;
	}
	if (t->kind == TT_SELFTEST_PLAIN)
		return 0;
	if (why == TT_INTERRUPTED_MODULE)
		return module_stopped(t, vcpu);
	if (why == TT_INTERRUPTED_DEBUG)
		debug_stopped(t, vcpu);
	return 0;
}

static int selftest_wait(struct tt_seam *seam, struct tt_vcpu *vcpu)
{
	(void)seam;
	return tt_fail(&vcpu->machine->error, -EIO, "the guest halted, which it never does");
}

static void selftest_vcpu_end(struct tt_seam *seam, struct tt_vcpu *vcpu)
{
	struct selftest *t = selftest_of(seam);
	struct tt_selftest_result *r = t->result;
	const struct ttvm_page *page = t->session.page;

	if (t->have_timer)
		tt_host_timer_destroy(&t->timer);
	if (!page)
		return;
	if (vcpu->machine->end == TT_END_STATUS && !tt_vcpu_settle(vcpu)) {
		r->branches = page->branches;
		r->instructions = tt_instructions(vcpu, page);
		r->rdtsc = page->rdtsc;
		r->breakpoint_hits = page->db_swallowed;
		tt_vcpu_register_digest(vcpu, &r->registers);
	}
	tt_session_close(&t->session);
}

static const struct tt_seam_ops selftest_ops = {
	.name = "selftest",
	.vcpu_start = selftest_vcpu_start,
	.now = selftest_now,
	.set_tsc = selftest_set_tsc,
	.guest_tsc = selftest_now,
	.before_run = selftest_before_run,
	.after_exit = selftest_after_exit,
	.interrupted = selftest_interrupted,
	.wait = selftest_wait,
	.vcpu_end = selftest_vcpu_end,
};

/* ------------------------------------------------------------------ one run */

static int run_machine(struct selftest *t, const struct tt_machine_config *config,
		       struct tt_error *err)
{
	struct tt_machine machine;
	int ret = tt_machine_create(&machine, config, &t->seam, err);

	if (ret)
		return ret;
	ret = tt_machine_run(&machine);
	if (ret)
		tt_fail(err, ret, "%s", machine.error.text);
	else if (t->timed_out)
		ret = tt_fail(err, -ETIMEDOUT, "a tiny guest did not come to its end within %d s",
			      TIME_LIMIT);
	else if (machine.end != TT_END_STATUS || machine.end_status != END_STATUS)
		ret = tt_fail(err, -EIO, "a tiny guest crashed instead of running to its end");
	tt_machine_destroy(&machine);
	return ret;
}

int tt_selftest_run(enum tt_selftest_kind kind, const struct tt_pmu *pmu,
		    struct tt_selftest_result *result, struct tt_error *err)
{
	struct selftest t = { .seam.ops = &selftest_ops,
			      .kind = kind,
			      .pmu = pmu,
			      .result = result,
			      .session.fd = -1 };
	struct image image;
	struct tt_machine_config config = { .memory_size = MEMORY_SIZE,
					    .num_vcpus = 1,
					    .kernel_name = "the self-test's guest",
					    .kernel = { &image, sizeof(image) },
					    .command_line = "" };
	struct kvm_cpuid2 *cpuid = NULL;
	int kvm_fd, ret;

	*result = (struct tt_selftest_result){ .branches_expected = BRANCHES,
					       .instructions_expected = INSTRUCTIONS,
					       .rdtsc_expected = OUTER_ROUNDS,
					       .margin = pmu ? pmu->skid + 16 : 0 };
	make_image(&image);
	kvm_fd = tt_kvm_open(err);
	if (kvm_fd < 0)
		return kvm_fd;
	ret = tt_host_tsc_hz(kvm_fd, &config.tsc_hz, err);
	if (!ret)
		ret = tt_cpuid_create(kvm_fd, NULL, config.tsc_hz, &cpuid, err);
	close(kvm_fd);
	if (ret)
		return ret;
	config.cpuid = cpuid;
	ret = run_machine(&t, &config, err);
	free(cpuid);
	return ret;
}
