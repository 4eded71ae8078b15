// SPDX-License-Identifier: GPL-2.0
/*
 * watch.c - watching memory by guarding its pages.
 *
 * An instruction that uses a guarded page is broken off before it has done anything (vmm/guard.c). The guard is opened,
 * and the instruction makes one step (step.c): its passage. What it did to memory is known from its operands
 * (access.c), with the registers before and after; addresses are translated by the guest's page tables, so an access by
 * any address counts. Then the guard closes again. An interrupt's or exception's frame is a write as well, and what
 * brings it to the stack passes in the same way.
 *
 * What is broken off has set accessed and dirty bits on the way to the page. It sets the same again in its passage, and
 * nothing comes in between: an event that belongs before the instruction is found by its breakpoint, which hits before
 * the access, no checkpoint is taken, and the machine does not stop there.
 *
 * Hits are told with the number of instructions with which the access is complete. Others than the guest's instructions
 * have none of their own: KVM's emulator works for the one that has exited, a device in the midst of an exit, or with
 * an event, before the next one. It is in memory when that one is complete.
 */
#include <string.h>
#include <sys/ioctl.h>

#include "replayer.h"

#define RFLAGS_DF (1ull << 10)

static bool overlaps(uint64_t a, uint64_t a_len, uint64_t b, uint64_t b_len)
{
	return a < b + b_len && b < a + a_len;
}

static void tell(struct tt_replayer *rep, uint64_t instruction, uint64_t gpa, uint64_t len, bool write)
{
	const struct tt_watch *w = rep->onlooker.watch;
	size_t i;

	for (i = 0; i < w->num_pieces; i++) {
		const struct tt_watch_piece *p = &w->pieces[i];

		if ((write || p->reads) && overlaps(gpa, len, p->gpa, p->length) &&
		    w->hit(w->ctx, instruction, p->index))
			rep->watch_stops = true;
	}
}

static void tell_access(struct tt_replayer *rep, struct tt_vcpu *vcpu, const struct kvm_sregs *sregs,
			uint64_t instruction, const struct tt_access *access)
{
	uint64_t at = access->address, left = access->length, n, gpa;

	for (; left; left -= n, at += n) {
		n = TT_PAGE_SIZE - at % TT_PAGE_SIZE;
		if (n > left)
			n = left;
		gpa = tt_vcpu_translate(vcpu, sregs, at);
		if (gpa != UINT64_MAX)
			tell(rep, instruction, gpa, n, access->write);
	}
}

static void tell_accesses(struct tt_replayer *rep, struct tt_vcpu *vcpu, const struct kvm_sregs *sregs,
			  uint64_t instruction, const struct tt_accesses *a)
{
	const struct tt_watch *w = rep->onlooker.watch;
	unsigned int i;

	for (i = 0; i < a->n; i++)
		tell_access(rep, vcpu, sregs, instruction, &a->list[i]);
	/* It used one of the pages: rather one hit too many than one too few. */
	if (a->unknown)
		tell(rep, instruction, w->pieces[0].gpa, w->pieces[0].length, false);
}

/* The instruction that is under way, as the last VM exit found it, is this one when it is complete. */
static uint64_t under_way(const struct tt_replayer *rep)
{
	return rep->page->instructions + rep->page->emulated + 1;
}

static void device_wrote(void *ctx, uint64_t gpa, uint64_t len)
{
	struct tt_replayer *rep = ctx;

	if (rep->page && rep->onlooker.watch)
		tell(rep, under_way(rep), gpa, len, true);
}

/* ------------------------------------------------------------------ the passage */

/* What KVM delivers at the next entry, or -1. */
static int pending_vector(struct tt_vcpu *vcpu)
{
	struct kvm_vcpu_events events;

	if (ioctl(vcpu->fd, KVM_GET_VCPU_EVENTS, &events) < 0)
		return -errno;
	if (events.exception.injected)
		return events.exception.nr;
	if (events.interrupt.injected)
		return events.interrupt.nr;
	return events.nmi.injected ? 2 : -1;
}

/* No step can be made here: code of a BIOS, say. Who watches must do it in another way. */
static int give_up(struct tt_replayer *rep, struct tt_vcpu *vcpu)
{
	const struct tt_watch *w = rep->onlooker.watch;

	vcpu->machine->error = (struct tt_error){ 0 };
	rep->outcome = TT_OUTCOME_RUNNING;
	w->stepped(w->ctx, false);
	return tt_replayer_stop(rep, vcpu, TT_OUTCOME_DONE);
}

static int begin_passage(struct tt_replayer *rep, struct tt_vcpu *vcpu)
{
	struct tt_passage *p = &rep->passage;
	int vector = pending_vector(vcpu), ret;

	memset(p, 0, sizeof(*p));
	p->regs = tt_vcpu_sync_regs(vcpu)->regs;
	if (ioctl(vcpu->fd, KVM_GET_SREGS, &p->sregs) < 0)
		return tt_fail(&vcpu->machine->error, -errno, "KVM_GET_SREGS: %s", strerror(errno));
	p->delivers = vector >= 0;
	if (!p->delivers)
		tt_accesses_at(vcpu, &p->sregs, &p->regs, &p->accesses);
	rep->injected = vector;
	rep->step_from = tt_instructions(vcpu, rep->page);
	/* The breakpoints are the step's now; the plan aims at the next event anew. */
	rep->page->stop.flags = 0;
	if (rep->landing == TT_LANDING_BREAKPOINT)
		rep->landing = TT_LANDING_IDLE;
	ret = tt_landing_step(rep, vcpu);
	if (ret == -EOPNOTSUPP || ret == -EFAULT)
		return give_up(rep, vcpu);
	rep->guard.open = p->active = !ret;
	return ret;
}

/* SS was loaded, and another instruction executed with it. */
static void tell_second(struct tt_replayer *rep, struct tt_vcpu *vcpu, const struct kvm_regs *after)
{
	const struct tt_passage *p = &rep->passage;
	struct kvm_regs between = p->regs;
	struct tt_accesses second;

	between.rip += p->accesses.length;
	if (p->accesses.n) /* POP SS */
		between.rsp += p->accesses.list[0].length;
	tt_accesses_at(vcpu, &p->sregs, &between, &second);
	tt_accesses_made(&second, &between, after, true);
	tell_accesses(rep, vcpu, &p->sregs, rep->step_from + 2, &second);
}

static void tell_passage(struct tt_replayer *rep, struct tt_vcpu *vcpu, uint64_t at)
{
	const struct kvm_regs *after = &tt_vcpu_sync_regs(vcpu)->regs;
	struct tt_passage *p = &rep->passage;
	bool completed = at > rep->step_from;
	struct tt_access frame;
	struct kvm_sregs sregs;

	/* What one that waits for its device will write was told at its exit. */
	tt_accesses_made(&p->accesses, &p->regs, after, completed);
	tell_accesses(rep, vcpu, &p->sregs, rep->step_from + 1, &p->accesses);
	if (at > rep->step_from + 1)
		tell_second(rep, vcpu, after);
	if (!p->returned || (completed && !p->accesses.interrupts) || ioctl(vcpu->fd, KVM_GET_SREGS, &sregs) < 0)
		return;
	frame = tt_frame_pushed(vcpu, &p->sregs, &p->regs, &sregs, after);
	tell_access(rep, vcpu, &sregs, rep->step_from + 1, &frame);
}

static int end_passage(struct tt_replayer *rep, struct tt_vcpu *vcpu, uint64_t at)
{
	const struct tt_watch *w = rep->onlooker.watch;

	rep->passage.active = rep->guard.open = false;
	if (rep->exact && at > rep->step_from + rep->step.length)
		return tt_landing_strayed(rep, vcpu, at);
	tell_passage(rep, vcpu, at);
	if (w->stepped(w->ctx, true))
		rep->watch_stops = true;
	return tt_landing_stepped(rep, vcpu);
}

int tt_watch_plan(struct tt_replayer *rep, struct tt_vcpu *vcpu)
{
	uint64_t at;
	int ret = 0;

	if (!rep->onlooker.watch)
		return 0;
	if (rep->passage.active) {
		at = tt_instructions(vcpu, rep->page);
		/* Else a kick, an alarm: on with it. */
		if (rep->passage.returned || vcpu->unsettled || at > rep->step_from)
			ret = end_passage(rep, vcpu, at);
	}
	if (ret || rep->passage.active || !rep->watch_stops || vcpu->machine->end != TT_END_NONE)
		return ret;
	ret = tt_vcpu_settle(vcpu);
	return ret ? ret : tt_replayer_stop(rep, vcpu, TT_OUTCOME_DONE);
}

/* ------------------------------------------------------------------ called on the way */

bool tt_watch_interrupted(struct tt_replayer *rep, struct tt_vcpu *vcpu, enum tt_interruption why, int *ret)
{
	const struct kvm_run *run = vcpu->run;

	*ret = 0;
	switch (why) {
	case TT_INTERRUPTED_GUARD:
		*ret = begin_passage(rep, vcpu);
		return true;
	case TT_INTERRUPTED_EMULATED:
		tell(rep, under_way(rep), run->mmio.phys_addr, run->mmio.len, run->mmio.is_write);
		return true;
	case TT_INTERRUPTED_DEBUG:
		rep->passage.returned = rep->passage.active;
		return rep->passage.active;
	default:
		return false;
	}
}

/*
 * INS, and MOVS from a device: the write to memory comes when the instruction is completed, which may happen while
 * nothing is guarded. Its reads were made before the exit. (Registers that have moved on belong to a write to a device,
 * whose reads were told already.)
 */
void tt_watch_exit(struct tt_replayer *rep, struct tt_vcpu *vcpu)
{
	const struct kvm_regs *regs = &tt_vcpu_sync_regs(vcpu)->regs;
	struct tt_accesses a;
	struct kvm_sregs sregs;
	unsigned int i;

	if (!vcpu->unsettled || regs->rip != rep->page->rip || ioctl(vcpu->fd, KVM_GET_SREGS, &sregs) < 0)
		return;
	tt_accesses_at(vcpu, &sregs, regs, &a);
	for (i = 0; i < a.n; i++) {
		struct tt_access *access = &a.list[i];
		uint64_t more = a.repeated && regs->rcx ? (regs->rcx - 1) * access->length : 0;

		if (!access->write)
			continue;
		if (regs->rflags & RFLAGS_DF)
			access->address -= more;
		access->length += more;
		tell_access(rep, vcpu, &sregs, under_way(rep), access);
	}
}

void tt_watch_begin(struct tt_replayer *rep, struct tt_vcpu *vcpu)
{
	const struct tt_watch *w = rep->onlooker.watch;

	rep->watch_stops = false;
	rep->guard = (struct tt_guard){ .pages = w->pages, .num_pages = w->num_pages,
					.device_wrote = device_wrote, .ctx = rep };
	vcpu->machine->memory.guard = &rep->guard;
}

void tt_watch_end(struct tt_replayer *rep, struct tt_vcpu *vcpu)
{
	rep->passage.active = false;
	vcpu->machine->memory.guard = NULL;
}
