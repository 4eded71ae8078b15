// SPDX-License-Identifier: GPL-2.0
/*
 * live.c - a live run as a target: forward only, with what KVM_SET_GUEST_DEBUG offers.
 *
 * The vCPU stands in vmm/'s pause point while the client looks at it, and everything that concerns it is done by a visit on its
 * own thread. A breakpoint, a watchpoint or the end of a step is an exit of the vCPU, whose thread holds itself and wakes the
 * client's.
 *
 * Stepping. The CPU's trap flag does it. No interrupt is injected meanwhile (tt_vcpu_hold_interrupts()), or a step would
 * nearly always end in a timer interrupt's handler; one that was about to go in when the client came waits in vmm/. (KVM has
 * KVM_GUESTDBG_BLOCKIRQ for that, which works with KVM's own interrupt controllers only.)
 *   PUSHF stores the trap flag: it is taken out of the stored word.
 *   SYSCALL and INT would store it, too, and run on to their return: a breakpoint at their handler makes the step instead.
 *   A faulting instruction is stepped over with its handler: the CPU saves the trap flag with RFLAGS, and the trap comes when
 *   the handler has returned. A breakpoint in the handler ends the step, and the flag is taken away when it traps.
 *   HLT is one step, after which the CPU stands halted; the next one waits for an interrupt and goes on after its handler.
 *   MOV SS and the instruction behind it are one step, as on the bare CPU; on some, STI and the instruction behind it.
 *
 * The guest's own debug registers have no effect while a client is there.
 */
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>

#include "debug.h"

#define NUM_SLOTS 4		/* DR0 to DR3 */
#define VISIT_TIMEOUT 2000	/* ms */

#define RFLAGS_TF (1ull << 8)
#define DR6_SLOTS 0xfull
#define DR6_STEP (1ull << 14)
#define DR7_FIXED 0x700ull	/* bit 10 is always set; LE and GE as all debuggers do */
#define EFER_LMA (1ull << 10)
#define ENTRY_SLOT 3

enum {
	OPCODE_SYSCALL = 0x05, /* behind OPCODE_0F */
	OPCODE_0F = 0x0f,
	OPCODE_PUSHF = 0x9c,
	OPCODE_INT3 = 0xcc,
	OPCODE_INT = 0xcd,
	OPCODE_HLT = 0xf4,
	OPCODE_STI = 0xfb,
};


struct slot {
	uint64_t address;
	unsigned int type;	/* of DR7: 0 execute, 1 write, 3 read or write */
	unsigned int len;	/* 1, 2, 4, 8 */
	const struct tt_point *point;
};

struct live {
	struct tt_debug_target target;
	struct tt_debugger debugger;	/* what vmm/ knows of us */
	struct tt_machine *m;
	struct tt_registers registers;	/* as of the stop: what read_memory translates with */
	struct slot slots[NUM_SLOTS];
	unsigned int num_slots;
	bool attached;
	bool trap_flag_left;		/* in a saved RFLAGS, by a step that ended early */
	bool at_halt, at_pushf;		/* the instruction to be stepped */
	bool entry_set;			/* the debug register ENTRY_SLOT is at the handler that the instruction leads to */
	uint64_t entry;
	int error;			/* of a visit */

	pthread_mutex_t lock;		/* of all that follows */
	pthread_cond_t changed;
	bool stepping;
	bool stopped;			/* by the vCPU's thread */
	bool interrupted;
	bool ended;			/* no vCPU runs any more */
	struct tt_stop stop;
};

static struct live *live_of(struct tt_debug_target *target)
{
	return (struct live *)((char *)target - offsetof(struct live, target));
}

/* ------------------------------------------------------------------ on the vCPU's thread */

static int set_guest_debug(struct live *l, struct tt_vcpu *vcpu, bool step)
{
	struct kvm_guest_debug debug = { .control = KVM_GUESTDBG_ENABLE | KVM_GUESTDBG_USE_HW_BP };
	static const unsigned int len_bits[9] = { [1] = 0, [2] = 1, [4] = 3, [8] = 2 };
	unsigned int i;

	if (step && !l->entry_set)
		debug.control |= KVM_GUESTDBG_SINGLESTEP;
	debug.arch.debugreg[7] = DR7_FIXED;
	for (i = 0; i < l->num_slots; i++) {
		const struct slot *slot = &l->slots[i];

		debug.arch.debugreg[i] = slot->address;
		debug.arch.debugreg[7] |= 2ull << (2 * i);
		debug.arch.debugreg[7] |= (uint64_t)(slot->type | len_bits[slot->len] << 2) << (16 + 4 * i);
	}
	/* It may take the place of another one for the length of this instruction. */
	if (step && l->entry_set) {
		debug.arch.debugreg[ENTRY_SLOT] = l->entry;
		debug.arch.debugreg[7] &= ~(0xfull << (16 + 4 * ENTRY_SLOT));
		debug.arch.debugreg[7] |= 2ull << (2 * ENTRY_SLOT);
	}
	return ioctl(vcpu->fd, KVM_SET_GUEST_DEBUG, &debug) < 0 ? -errno : 0;
}

static void stop_here(struct live *l, const struct tt_stop *stop)
{
	tt_machine_hold(l->m);
	pthread_mutex_lock(&l->lock);
	l->stop = *stop;
	l->stopped = true;
	l->stepping = false;
	pthread_cond_signal(&l->changed);
	pthread_mutex_unlock(&l->lock);
}

/* A debug exception that we did not ask for: the guest's own, or what a step left behind. */
static void pass_exception(struct live *l, struct tt_vcpu *vcpu, uint64_t dr6)
{
	struct kvm_guest_debug debug = { .control = KVM_GUESTDBG_ENABLE | KVM_GUESTDBG_INJECT_DB };
	struct kvm_debugregs registers;
	struct kvm_regs regs;

	if ((dr6 & DR6_STEP) && l->trap_flag_left) {
		l->trap_flag_left = false;
		if (ioctl(vcpu->fd, KVM_GET_REGS, &regs) == 0) {
			regs.rflags &= ~RFLAGS_TF;
			ioctl(vcpu->fd, KVM_SET_REGS, &regs);
		}
		return;
	}
	if (ioctl(vcpu->fd, KVM_GET_DEBUGREGS, &registers) == 0) {
		registers.dr6 |= dr6 & ~DR6_SLOTS;
		ioctl(vcpu->fd, KVM_SET_DEBUGREGS, &registers);
	}
	ioctl(vcpu->fd, KVM_SET_GUEST_DEBUG, &debug);
	set_guest_debug(l, vcpu, false);
}

static void vcpu_exit(struct tt_debugger *debugger, struct tt_vcpu *vcpu)
{
	struct live *l = (struct live *)((char *)debugger - offsetof(struct live, debugger));
	bool halt = vcpu->run->exit_reason == KVM_EXIT_HLT;
	uint64_t dr6 = halt ? 0 : vcpu->run->debug.arch.dr6;
	struct tt_stop stop = { .reason = TT_STOP_STEP };
	unsigned int i;

	if (!l->attached)
		return;
	if (l->stepping && l->entry_set && (dr6 & 1u << ENTRY_SLOT))
		return stop_here(l, &stop);
	/* The CPU may set the bit of a breakpoint that is not enabled. */
	for (i = 0; i < l->num_slots; i++) {
		if (!(dr6 & 1u << i))
			continue;
		stop.reason = TT_STOP_POINT;
		stop.point = *l->slots[i].point;
		if (l->stepping && !l->entry_set && !(dr6 & DR6_STEP))
			l->trap_flag_left = true;
		return stop_here(l, &stop);
	}
	if (l->stepping && (halt ? l->at_halt : (dr6 & DR6_STEP) != 0))
		stop_here(l, &stop);
	else if (!halt)
		pass_exception(l, vcpu, dr6);
}

/* The handler of an interrupt vector (AMD APM vol. 2, section 8.9). */
static bool find_handler(struct tt_vcpu *vcpu, const struct kvm_sregs *s, unsigned int vector, uint64_t *address)
{
	size_t size = s->efer & EFER_LMA ? 16 : 8;
	uint64_t gate[2] = { 0 };

	if (!(s->cr0 & 1) || vector * size + size - 1 > s->idt.limit ||
	    tt_vcpu_read_virtual(vcpu, s, s->idt.base + vector * size, gate, size, false) < size)
		return false;
	*address = (gate[0] & 0xffff) | (gate[0] >> 32 & 0xffff0000) | gate[1] << 32;
	return true;
}

/* What is special about the instruction to be stepped. */
static void look_at_instruction(struct live *l, struct tt_vcpu *vcpu)
{
	const struct kvm_sregs *s = &l->registers.sregs;
	uint64_t address = (s->cs.l ? 0 : s->cs.base) + l->registers.regs.rip;
	uint8_t code[2] = { 0 };

	tt_vcpu_read_virtual(vcpu, s, address, code, sizeof(code), false);
	l->at_halt = code[0] == OPCODE_HLT || (code[0] == OPCODE_STI && code[1] == OPCODE_HLT);
	l->at_pushf = code[0] == OPCODE_PUSHF && !(l->registers.regs.rflags & RFLAGS_TF);
	l->entry_set = false;
	if (code[0] == OPCODE_INT3 || code[0] == OPCODE_INT) {
		l->entry_set = find_handler(vcpu, s, code[0] == OPCODE_INT3 ? 3 : code[1], &l->entry);
	} else if (code[0] == OPCODE_0F && code[1] == OPCODE_SYSCALL && (s->efer & EFER_LMA)) {
		l->entry = l->registers.msrs[s->cs.l ? TT_MSR_LSTAR : TT_MSR_CSTAR];
		l->entry_set = true;
	}
}

static void clear_stored_trap_flag(struct live *l, struct tt_vcpu *vcpu)
{
	const struct tt_registers *r = &l->registers;
	uint64_t at = (r->sregs.cs.l ? 0 : r->sregs.ss.base) + r->regs.rsp + 1;
	uint8_t flags;

	if (tt_vcpu_read_virtual(vcpu, &r->sregs, at, &flags, 1, false)) {
		flags &= ~(RFLAGS_TF >> 8);
		tt_vcpu_write_virtual(vcpu, &r->sregs, at, &flags, 1);
	}
}

/* Visits: ctx is the struct live, which gets the error. */

static void visit_stop(void *ctx, struct tt_vcpu *vcpu)
{
	struct live *l = ctx;

	/* Before the settling, which would end a step half-way. */
	l->error = set_guest_debug(l, vcpu, false);
	if (!l->error)
		l->error = tt_vcpu_settle(vcpu);
	if (!l->error)
		l->error = tt_vcpu_hold_interrupts(vcpu);
	if (!l->error)
		l->error = tt_registers_read(vcpu, &l->registers);
	if (!l->error && l->at_pushf && l->stopped && l->stop.reason == TT_STOP_STEP)
		clear_stored_trap_flag(l, vcpu);
	l->at_pushf = false;
}

static void visit_start(void *ctx, struct tt_vcpu *vcpu)
{
	struct live *l = ctx;

	if (l->stepping)
		look_at_instruction(l, vcpu);
	l->error = set_guest_debug(l, vcpu, l->stepping);
	if (!l->stepping)
		tt_vcpu_release_interrupts(vcpu);
}

static void visit_detach(void *ctx, struct tt_vcpu *vcpu)
{
	struct live *l = ctx;
	struct kvm_guest_debug debug = { .control = 0 };

	l->error = ioctl(vcpu->fd, KVM_SET_GUEST_DEBUG, &debug) < 0 ? -errno : 0;
	tt_vcpu_release_interrupts(vcpu);
}

struct write_visit {
	struct live *live;
	const struct tt_registers *registers;
};

static void visit_write(void *ctx, struct tt_vcpu *vcpu)
{
	struct write_visit *w = ctx;
	struct live *l = w->live;

	l->error = tt_registers_write(vcpu, &l->registers, w->registers);
	/* Also after a failure: some may have been written. */
	tt_registers_read(vcpu, &l->registers);
}

/* ------------------------------------------------------------------ on the client's thread */

static bool has_ended(struct live *l)
{
	bool ended;

	pthread_mutex_lock(&l->lock);
	ended = l->ended;
	pthread_mutex_unlock(&l->lock);
	return ended;
}

/* While the vCPU stands, or is about to. A disk that waits for space may keep it for long. */
static int visit(struct live *l, void (*what)(void *ctx, struct tt_vcpu *vcpu), void *ctx, struct tt_error *err)
{
	int ret;

	l->error = 0;
	do {
		ret = tt_machine_visit(l->m, what, ctx, VISIT_TIMEOUT);
	} while (ret == -ETIMEDOUT && !has_ended(l));
	if (ret)
		return tt_fail(err, -ESHUTDOWN, "the run has ended");
	return l->error ? tt_fail(err, l->error, "KVM: %s", strerror(-l->error)) : 0;
}

static int live_attach(struct tt_debug_target *target, struct tt_error *err)
{
	struct live *l = live_of(target);
	int ret;

	l->attached = true;
	l->interrupted = l->trap_flag_left = false;
	tt_machine_hold(l->m);
	ret = visit(l, visit_stop, l, err);
	if (ret)
		l->attached = false;
	return ret;
}

static void live_detach(struct tt_debug_target *target)
{
	struct live *l = live_of(target);

	l->attached = false;
	visit(l, visit_detach, l, NULL);
	tt_machine_release(l->m);
}

static void live_kill(struct tt_debug_target *target)
{
	tt_machine_request_stop(live_of(target)->m);
}

static int live_read_registers(struct tt_debug_target *target, struct tt_registers *r, struct tt_error *err)
{
	struct live *l = live_of(target);

	if (has_ended(l))
		return tt_fail(err, -ESHUTDOWN, "the run has ended");
	*r = l->registers;
	return 0;
}

static int live_write_registers(struct tt_debug_target *target, const struct tt_registers *r, struct tt_error *err)
{
	struct write_visit w = { .live = live_of(target), .registers = r };

	return visit(w.live, visit_write, &w, err);
}

/* All vCPUs stand, so memory does, too: devices work on vCPU threads. */
static void *physical_memory(struct live *l, uint64_t address, size_t *len)
{
	const struct tt_memory *mem = &l->m->memory;
	size_t in_page = 4096 - (address & 4095);

	if (*len > in_page)
		*len = in_page;
	return tt_memory_at(mem, address, *len);
}

static size_t live_read_memory(struct tt_debug_target *target, bool physical, uint64_t address, void *data, size_t len)
{
	struct live *l = live_of(target);

	return tt_debug_read_memory(&l->m->vcpus[0], &l->registers.sregs, physical, address, data, len);
}

static size_t live_write_memory(struct tt_debug_target *target, bool physical, uint64_t address, const void *data, size_t len)
{
	struct live *l = live_of(target);
	size_t done, n;

	if (!physical)
		return tt_vcpu_write_virtual(&l->m->vcpus[0], &l->registers.sregs, address, data, len);
	for (done = 0; done < len; done += n) {
		void *at;

		n = len - done;
		at = physical_memory(l, address + done, &n);
		if (!at)
			break;
		memcpy(at, (const char *)data + done, n);
	}
	return done;
}

/* One slot, unless there is one like it. */
static bool add_slot(struct slot *slots, unsigned int *count, const struct slot *slot)
{
	unsigned int i;

	for (i = 0; i < *count; i++)
		if (slots[i].address == slot->address && slots[i].type == slot->type && slots[i].len == slot->len)
			return true;
	if (*count == NUM_SLOTS)
		return false;
	slots[(*count)++] = *slot;
	return true;
}

/* A debug register watches 1, 2, 4 or 8 aligned bytes: a range takes as many as it has such pieces. */
static bool add_point(struct slot *slots, unsigned int *count, const struct tt_point *point)
{
	struct slot slot = { .address = point->address, .len = 1, .point = point };
	uint64_t left;

	if (point->kind <= TT_POINT_HARDWARE)
		return add_slot(slots, count, &slot);
	slot.type = point->kind == TT_POINT_WRITE ? 1 : 3; /* there is no way to watch reads only */
	for (left = point->len; left; left -= slot.len, slot.address += slot.len) {
		for (slot.len = 8; slot.len > left || slot.address % slot.len; slot.len /= 2)
			;
		if (!add_slot(slots, count, &slot))
			return false;
	}
	return true;
}

static int live_set_points(struct tt_debug_target *target, const struct tt_point *points, size_t count, struct tt_error *err)
{
	struct live *l = live_of(target);
	struct slot slots[NUM_SLOTS] = { 0 };
	unsigned int num_slots = 0;
	size_t i;

	for (i = 0; i < count; i++)
		if (!add_point(slots, &num_slots, &points[i]))
			return tt_fail(err, -ENOSPC, "a live run has the CPU's four debug registers for breakpoints and "
				       "watchpoints (up to 8 bytes each), and all are taken");
	memcpy(l->slots, slots, sizeof(slots));
	l->num_slots = num_slots;
	return 0;
}

/* How the machine ended, as a shell would see it. */
static void fill_end(const struct tt_machine *m, struct tt_stop *stop)
{
	stop->reason = m->end == TT_END_CRASH ? TT_STOP_CRASHED : TT_STOP_EXITED;
	stop->status = m->end == TT_END_STATUS ? m->end_status : m->end == TT_END_ERROR ? 1 : 0;
}

/* Let the vCPU go, wait for what happens, and have it stand again. */
static int go(struct live *l, bool step, struct tt_stop *stop, struct tt_error *err)
{
	int ret;

	l->stopped = false;
	l->stepping = step;
	ret = visit(l, visit_start, l, err);
	if (!ret) {
		tt_machine_release(l->m);
		pthread_mutex_lock(&l->lock);
		while (!l->stopped && !l->interrupted && !l->ended)
			pthread_cond_wait(&l->changed, &l->lock);
		pthread_mutex_unlock(&l->lock);
		tt_machine_hold(l->m);
		ret = visit(l, visit_stop, l, err);
	}
	if (ret == -ESHUTDOWN) {
		pthread_mutex_lock(&l->lock);
		while (!l->ended)
			pthread_cond_wait(&l->changed, &l->lock);
		pthread_mutex_unlock(&l->lock);
		fill_end(l->m, stop);
		return 0;
	}
	if (ret)
		return ret;
	pthread_mutex_lock(&l->lock);
	/* Both may have happened. */
	if (l->stopped)
		*stop = l->stop;
	else
		*stop = (struct tt_stop){ .reason = TT_STOP_INTERRUPTED };
	if (l->stepping && !l->stopped && !l->entry_set)
		l->trap_flag_left = true;
	l->stepping = l->interrupted = false;
	pthread_mutex_unlock(&l->lock);
	return 0;
}

static int live_step(struct tt_debug_target *target, int64_t count, struct tt_stop *stop, struct tt_error *err)
{
	int ret = 0;

	*stop = (struct tt_stop){ .reason = TT_STOP_STEP };
	if (count < 0)
		return tt_fail(err, -EOPNOTSUPP, "a live run cannot go back");
	while (!ret && count-- > 0 && stop->reason == TT_STOP_STEP)
		ret = go(live_of(target), true, stop, err);
	return ret;
}

static int live_run(struct tt_debug_target *target, bool backwards, struct tt_stop *stop, struct tt_error *err)
{
	if (backwards)
		return tt_fail(err, -EOPNOTSUPP, "a live run cannot go back");
	return go(live_of(target), false, stop, err);
}

static void live_interrupt(struct tt_debug_target *target)
{
	struct live *l = live_of(target);

	pthread_mutex_lock(&l->lock);
	l->interrupted = true;
	pthread_cond_signal(&l->changed);
	pthread_mutex_unlock(&l->lock);
}

static const struct tt_debug_ops live_ops = {
	.attach = live_attach,
	.detach = live_detach,
	.kill = live_kill,
	.read_registers = live_read_registers,
	.write_registers = live_write_registers,
	.read_memory = live_read_memory,
	.write_memory = live_write_memory,
	.set_points = live_set_points,
	.step = live_step,
	.run = live_run,
	.interrupt = live_interrupt,
};

/* ------------------------------------------------------------------ life */

int tt_debug_live_create(struct tt_machine *m, bool wait, struct tt_debug_target **target, struct tt_error *err)
{
	struct live *l = calloc(1, sizeof(*l));

	if (!l)
		return tt_fail(err, -ENOMEM, "out of memory");
	if (ioctl(m->vm_fd, KVM_CHECK_EXTENSION, KVM_CAP_SET_GUEST_DEBUG) <= 0) {
		free(l);
		return tt_fail(err, -ENOTSUP, "this KVM cannot debug its guests (KVM_CAP_SET_GUEST_DEBUG)");
	}
	l->target = (struct tt_debug_target){ .ops = &live_ops, .name = "a live run" };
	l->target.avx = tt_debug_has_avx(m);
	l->debugger.exit = vcpu_exit;
	l->m = m;
	pthread_mutex_init(&l->lock, NULL);
	pthread_cond_init(&l->changed, NULL);
	m->debugger = &l->debugger;
	if (wait)
		tt_machine_hold(m);
	*target = &l->target;
	return 0;
}

void tt_debug_live_end(struct tt_debug_target *target)
{
	struct live *l = live_of(target);

	pthread_mutex_lock(&l->lock);
	l->ended = true;
	pthread_cond_signal(&l->changed);
	pthread_mutex_unlock(&l->lock);
}

void tt_debug_live_destroy(struct tt_debug_target *target)
{
	struct live *l = live_of(target);

	l->m->debugger = NULL;
	pthread_cond_destroy(&l->changed);
	pthread_mutex_destroy(&l->lock);
	free(l);
}
