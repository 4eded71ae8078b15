// SPDX-License-Identifier: GPL-2.0
/*
 * vcpu.c - one thread per vCPU: enter the guest, see why it came back, serve it, ask the seam what happens next.
 *
 * Exits are of two kinds. Deterministic ones are the guest's own doing (port, MMIO, MSR, HLT): they are counted, served
 * by a device, and handed to the seam. All others (a kick, an interrupt window, a breakpoint, the module) are the host's
 * doing and concern the seam alone.
 */
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>
#include <xxhash.h>

#include "vmm.h"
#include "internal.h"

#define RFLAGS_IF (1ull << 9)

static _Thread_local struct kvm_run *thread_run;
static _Thread_local volatile sig_atomic_t thread_kicks;

static void kick_handler(int sig)
{
	(void)sig;
	thread_kicks++;
	/* Closes the window between the last look at stop_requested and KVM_RUN. */
	if (thread_run)
		thread_run->immediate_exit = 1;
}

static int vcpu_fail(struct tt_vcpu *vcpu, int code, const char *what)
{
	struct tt_machine *m = vcpu->machine;

	tt_fail(&m->error, code, "vCPU %u: %s: %s", vcpu->index, what, strerror(-code));
	tt_machine_end(m, TT_END_ERROR, 0);
	return code;
}

int tt_vcpu_create(struct tt_machine *m, unsigned int index, struct tt_error *err)
{
	struct tt_vcpu *vcpu = &m->vcpus[index];
	int run_size = ioctl(m->kvm_fd, KVM_GET_VCPU_MMAP_SIZE, 0);
	void *run;

	vcpu->machine = m;
	vcpu->index = index;
	vcpu->fd = ioctl(m->vm_fd, KVM_CREATE_VCPU, index);
	if (vcpu->fd < 0)
		return tt_fail(err, -errno, "KVM_CREATE_VCPU %u: %s", index, strerror(errno));
	run = mmap(NULL, run_size, PROT_READ | PROT_WRITE, MAP_SHARED, vcpu->fd, 0);
	if (run == MAP_FAILED)
		return tt_fail(err, -errno, "cannot map vCPU %u: %s", index, strerror(errno));
	vcpu->run = run;
	vcpu->run_size = run_size;
	vcpu->run->kvm_valid_regs = KVM_SYNC_X86_REGS;
	if (ioctl(vcpu->fd, KVM_SET_CPUID2, m->config.cpuid) < 0)
		return tt_fail(err, -errno, "KVM refuses the guest's CPUID table: %s", strerror(errno));
	return 0;
}

void tt_vcpu_destroy(struct tt_vcpu *vcpu)
{
	if (vcpu->run)
		munmap(vcpu->run, vcpu->run_size);
	if (vcpu->machine && vcpu->fd >= 0)
		close(vcpu->fd);
	vcpu->run = NULL;
	vcpu->fd = -1;
}

void tt_vcpu_kick(struct tt_vcpu *vcpu)
{
	if (__atomic_load_n(&vcpu->running, __ATOMIC_ACQUIRE))
		pthread_kill(vcpu->thread, TT_KICK_SIGNAL);
}

static void serve_io(struct tt_vcpu *vcpu)
{
	struct kvm_run *run = vcpu->run;
	uint8_t *data = (uint8_t *)run + run->io.data_offset;
	uint32_t i;

	for (i = 0; i < run->io.count; i++, data += run->io.size)
		tt_bus_pio(vcpu->machine, run->io.port, data, run->io.size,
			   run->io.direction == KVM_EXIT_IO_OUT);
}

static void serve_msr(struct tt_vcpu *vcpu)
{
	struct kvm_run *run = vcpu->run;
	uint64_t value = run->msr.data;
	int ret;

	if (run->exit_reason == KVM_EXIT_X86_RDMSR) {
		ret = tt_msr_read(vcpu, run->msr.index, &value);
		run->msr.data = value;
	} else {
		ret = tt_msr_write(vcpu, run->msr.index, value);
	}
	run->msr.error = ret != 0; /* #GP in the guest */
}

/* The exits that are the guest's own doing. False when this is none of them. */
static bool serve_exit(struct tt_vcpu *vcpu)
{
	struct kvm_run *run = vcpu->run;
	struct tt_machine *m = vcpu->machine;

	switch (run->exit_reason) {
	case KVM_EXIT_IO:
		serve_io(vcpu);
		break;
	case KVM_EXIT_MMIO:
		tt_bus_mmio(m, run->mmio.phys_addr, run->mmio.data, run->mmio.len,
			    run->mmio.is_write);
		break;
	case KVM_EXIT_X86_RDMSR:
	case KVM_EXIT_X86_WRMSR:
		serve_msr(vcpu);
		break;
	case KVM_EXIT_SET_TPR:
		break;
	case KVM_EXIT_HLT:
		vcpu->exits++;
		vcpu->unsettled = false;
		if (run->if_flag)
			vcpu->halted = true;
		else
			tt_machine_end(m, TT_END_POWEROFF, 0); /* nothing can wake it */
		return true;
	case KVM_EXIT_SHUTDOWN:
		vcpu->exits++;
		vcpu->unsettled = false;
		tt_machine_end(m, TT_END_CRASH, 0);
		return true;
	default:
		return false;
	}
	vcpu->exits++;
	vcpu->unsettled = true;
	return true;
}

int tt_vcpu_settle(struct tt_vcpu *vcpu)
{
	struct kvm_run *run = vcpu->run;
	sig_atomic_t kicks = thread_kicks;
	bool kicked = run->immediate_exit;

	/* An MMIO access that crosses pages comes in pieces: each is served before the instruction completes. */
	while (vcpu->unsettled) {
		vcpu->unsettled = false;
		run->immediate_exit = 1;
		if (ioctl(vcpu->fd, KVM_RUN, 0) == 0 && serve_exit(vcpu))
			continue;
		if (errno != EINTR)
			return vcpu_fail(vcpu, -errno, "completing an instruction");
	}
	run->immediate_exit = 0;
	if (kicked || kicks != thread_kicks)
		run->immediate_exit = 1; /* somebody else wants it too */
	return 0;
}

int tt_vcpu_hold_interrupts(struct tt_vcpu *vcpu)
{
	struct kvm_vcpu_events events;

	vcpu->hold_interrupts = true;
	vcpu->run->request_interrupt_window = 0;
	if (ioctl(vcpu->fd, KVM_GET_VCPU_EVENTS, &events) < 0)
		return -errno;
	if (!events.interrupt.injected || events.interrupt.soft)
		return 0;
	events.interrupt.injected = 0;
	if (ioctl(vcpu->fd, KVM_SET_VCPU_EVENTS, &events) < 0)
		return -errno;
	vcpu->withheld = true;
	vcpu->withheld_vector = events.interrupt.nr;
	return 0;
}

void tt_vcpu_release_interrupts(struct tt_vcpu *vcpu)
{
	vcpu->hold_interrupts = false;
	/* Through the seam first, which injects what is pending. */
	vcpu->run->immediate_exit = 1;
}

/* Is there an interrupt that may go in, as far as we are concerned? */
static bool has_interrupt(struct tt_vcpu *vcpu)
{
	if (vcpu->hold_interrupts && !vcpu->halted)
		return false;
	return vcpu->withheld || tt_irq_pending(vcpu) >= 0;
}

static uint32_t take_interrupt(struct tt_vcpu *vcpu)
{
	if (!vcpu->withheld)
		return tt_irq_acknowledge(vcpu);
	vcpu->withheld = false;
	return vcpu->withheld_vector;
}

int tt_vcpu_sync(struct tt_vcpu *vcpu, uint64_t now, int *vector, bool *blocked)
{
	struct kvm_interrupt interrupt;
	struct kvm_run *run = vcpu->run;
	int ret;

	*vector = -1;
	*blocked = false;
	tt_timers_run(vcpu->machine, now);
	if (!has_interrupt(vcpu))
		return 0;
	/*
	 * Completing an instruction can raise an exception (#GP of an MSR access, #PF of INS, #DB of a single step). KVM loses
	 * an interrupt that was queued before it, so the instruction is completed first.
	 */
	if (run->ready_for_interrupt_injection) {
		ret = tt_vcpu_settle(vcpu);
		if (ret)
			return ret;
		if (!has_interrupt(vcpu))
			return 0;
	}
	if (!run->ready_for_interrupt_injection) {
		*blocked = true;
		return 0;
	}
	interrupt.irq = take_interrupt(vcpu);
	if (ioctl(vcpu->fd, KVM_INTERRUPT, &interrupt) < 0)
		return vcpu_fail(vcpu, -errno, "KVM_INTERRUPT");
	/* One at a time: the flag is true again after the next KVM_RUN. */
	run->ready_for_interrupt_injection = 0;
	vcpu->halted = false;
	*vector = interrupt.irq;
	return 0;
}

static int unexpected_exit(struct tt_vcpu *vcpu)
{
	struct tt_machine *m = vcpu->machine;
	struct kvm_run *run = vcpu->run;
	struct kvm_sync_regs *regs = tt_vcpu_sync_regs(vcpu);

	if (run->exit_reason == KVM_EXIT_INTERNAL_ERROR)
		tt_fail(&m->error, -EIO, "vCPU %u: KVM internal error %u at rip %llx", vcpu->index,
			run->internal.suberror, (unsigned long long)regs->regs.rip);
	else if (run->exit_reason == KVM_EXIT_FAIL_ENTRY)
		tt_fail(&m->error, -EIO, "vCPU %u: the CPU refuses to enter the guest, reason %llx",
			vcpu->index,
			(unsigned long long)run->fail_entry.hardware_entry_failure_reason);
	else
		tt_fail(&m->error, -EIO, "vCPU %u: unexpected KVM exit %u at rip %llx", vcpu->index,
			run->exit_reason, (unsigned long long)regs->regs.rip);
	tt_machine_end(m, TT_END_ERROR, 0);
	return -EIO;
}

/*
 * KVM's emulator takes memory that it cannot access for a device's: an access to a guarded page. The instruction goes
 * on at the next KVM_RUN. This exit is none of the guest's doing, and not counted.
 */
static bool serve_guarded(struct tt_vcpu *vcpu)
{
	const struct tt_memory *mem = &vcpu->machine->memory;
	struct kvm_run *run = vcpu->run;
	void *at;

	if (!mem->guard || run->exit_reason != KVM_EXIT_MMIO)
		return false;
	at = tt_memory_at(mem, run->mmio.phys_addr, run->mmio.len);
	if (!at)
		return false;
	if (run->mmio.is_write) {
		memcpy(at, run->mmio.data, run->mmio.len);
		if (mem->written) /* not a device's write, but not in KVM's dirty log either */
			mem->written[((uint8_t *)at - mem->hva) / TT_PAGE_SIZE / 64] |=
				1ull << ((uint8_t *)at - mem->hva) / TT_PAGE_SIZE % 64;
	} else {
		memcpy(run->mmio.data, at, run->mmio.len);
	}
	vcpu->unsettled = true;
	return true;
}

static int handle_exit(struct tt_vcpu *vcpu)
{
	struct tt_machine *m = vcpu->machine;
	const struct tt_seam_ops *ops = m->seam->ops;
	struct kvm_run *run = vcpu->run;
	int ret;

	if (run->cr8 != vcpu->cr8) {
		vcpu->cr8 = run->cr8;
		tt_lapic_set_cr8(vcpu, vcpu->cr8);
	}
	switch (run->exit_reason) {
	case KVM_EXIT_DEBUG:
		if (m->debugger) {
			m->debugger->exit(m->debugger, vcpu);
			return 0;
		}
		return ops->interrupted(m->seam, vcpu, TT_INTERRUPTED_DEBUG);
	case KVM_EXIT_TPR_ACCESS:
		return ops->interrupted(m->seam, vcpu, TT_INTERRUPTED_MODULE);
	case KVM_EXIT_IRQ_WINDOW_OPEN:
		run->request_interrupt_window = 0;
		return ops->interrupted(m->seam, vcpu, TT_INTERRUPTED_WINDOW);
	case KVM_EXIT_INTR:
		return ops->interrupted(m->seam, vcpu, TT_INTERRUPTED_KICK);
	}
	if (serve_guarded(vcpu))
		return ops->interrupted(m->seam, vcpu, TT_INTERRUPTED_EMULATED);
	if (!serve_exit(vcpu))
		return unexpected_exit(vcpu);
	if (m->end != TT_END_NONE)
		return 0;
	if (m->debugger && run->exit_reason == KVM_EXIT_HLT)
		m->debugger->exit(m->debugger, vcpu);
	ret = ops->after_exit(m->seam, vcpu);
	run->cr8 = vcpu->cr8 = tt_lapic_cr8(vcpu);
	return ret;
}

static int run_once(struct tt_vcpu *vcpu)
{
	struct tt_machine *m = vcpu->machine;
	const struct tt_seam_ops *ops = m->seam->ops;
	int ret, run_errno, lifted;

	if (__atomic_load_n(&m->attention, __ATOMIC_RELAXED))
		tt_pause_point(vcpu);
	if (vcpu->halted)
		return ops->wait(m->seam, vcpu);
	ret = ops->before_run(m->seam, vcpu);
	if (ret || m->end != TT_END_NONE)
		return ret;
	ret = tt_guard_close(&m->memory);
	if (ret)
		return vcpu_fail(vcpu, ret, "protecting watched memory");
	vcpu->unsettled = false;
	ret = ioctl(vcpu->fd, KVM_RUN, 0);
	run_errno = errno;
	lifted = tt_guard_lift(&m->memory);
	if (lifted)
		return vcpu_fail(vcpu, lifted, "giving watched memory back");

	pthread_mutex_lock(&m->device_lock);
	m->current = vcpu;
	if (ret == 0) {
		ret = handle_exit(vcpu);
	} else if (run_errno == EINTR || run_errno == EAGAIN) {
		vcpu->run->immediate_exit = 0;
		ret = ops->interrupted(m->seam, vcpu, TT_INTERRUPTED_KICK);
	} else if (run_errno == EFAULT && m->memory.guard && !m->memory.guard->open) {
		ret = ops->interrupted(m->seam, vcpu, TT_INTERRUPTED_GUARD);
	} else {
		ret = vcpu_fail(vcpu, -run_errno, "KVM_RUN");
	}
	m->current = NULL;
	pthread_mutex_unlock(&m->device_lock);
	return ret;
}

/* The machine has ended: does its seam, or another that takes its place, let it go on? */
static bool revive(struct tt_vcpu *vcpu)
{
	struct tt_machine *m = vcpu->machine;

	return m->end != TT_END_ERROR && m->seam->ops->revive && m->seam->ops->revive(m->seam, vcpu);
}

static void *vcpu_main(void *arg)
{
	struct tt_vcpu *vcpu = arg;
	struct tt_machine *m = vcpu->machine;
	struct sigaction action = { .sa_handler = kick_handler };
	sigset_t kick;
	int ret;

	thread_run = vcpu->run;
	sigaction(TT_KICK_SIGNAL, &action, NULL);
	sigemptyset(&kick);
	sigaddset(&kick, TT_KICK_SIGNAL);
	pthread_sigmask(SIG_UNBLOCK, &kick, NULL);
	__atomic_store_n(&vcpu->running, true, __ATOMIC_RELEASE);
	if (m->stop_requested)
		vcpu->run->immediate_exit = 1;

	/* What KVM_RUN will keep up to date from now on. */
	ret = ioctl(vcpu->fd, KVM_GET_REGS, &tt_vcpu_sync_regs(vcpu)->regs) < 0 ? -errno : 0;
	if (!ret)
		ret = m->seam->ops->vcpu_start(m->seam, vcpu);
	while (!ret && (m->end == TT_END_NONE || revive(vcpu)))
		ret = run_once(vcpu);
	if (ret) {
		/* A seam that fails has said why in m->error. */
		if (!m->error.code)
			tt_fail(&m->error, ret, "vCPU %u: %s", vcpu->index, strerror(-ret));
		tt_machine_end(m, TT_END_ERROR, 0);
	}
	tt_pause_wake(m);
	m->seam->ops->vcpu_end(m->seam, vcpu);
	__atomic_store_n(&vcpu->running, false, __ATOMIC_RELEASE);
	pthread_sigmask(SIG_BLOCK, &kick, NULL);
	thread_run = NULL;
	return NULL;
}

int tt_vcpu_start(struct tt_vcpu *vcpu)
{
	sigset_t kick, old;
	int ret;

	/* Blocked in the new thread until its handler can work. */
	sigemptyset(&kick);
	sigaddset(&kick, TT_KICK_SIGNAL);
	pthread_sigmask(SIG_BLOCK, &kick, &old);
	ret = pthread_create(&vcpu->thread, NULL, vcpu_main, vcpu);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	return -ret;
}
