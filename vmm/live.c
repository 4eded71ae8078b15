// SPDX-License-Identifier: GPL-2.0
/*
 * live.c - the seam of an ordinary run: time is the host's TSC, interrupts go in as soon as the guest takes them, and
 * nothing is written down. The guest's RDTSC runs natively, so no module is needed.
 */
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <x86intrin.h>

#include "vmm.h"

#define MSR_IA32_TSC 0x10

struct live_vcpu {
	struct tt_host_timer timer;
	uint64_t origin;	/* host TSC at virtual time 0 */
	uint64_t guest_offset;	/* guest TSC - host TSC */
};

static struct live_vcpu *live_of(struct tt_vcpu *vcpu)
{
	return vcpu->seam_data;
}

static int write_guest_tsc(struct tt_vcpu *vcpu, uint64_t value)
{
	struct {
		struct kvm_msrs head;
		struct kvm_msr_entry entry;
	} msr = { .head.nmsrs = 1, .entry = { .index = MSR_IA32_TSC, .data = value } };

	return ioctl(vcpu->fd, KVM_SET_MSRS, &msr) == 1 ? 0 : -EIO;
}

/* What KVM adds to the host's TSC in this guest. */
static uint64_t read_guest_offset(struct tt_vcpu *vcpu)
{
	uint64_t offset = 0;
	struct kvm_device_attr attr = {
		.group = KVM_VCPU_TSC_CTRL,
		.attr = KVM_VCPU_TSC_OFFSET,
		.addr = (uintptr_t)&offset,
	};

	if (ioctl(vcpu->fd, KVM_GET_DEVICE_ATTR, &attr) < 0) {
		struct {
			struct kvm_msrs head;
			struct kvm_msr_entry entry;
		} msr = { .head.nmsrs = 1, .entry.index = MSR_IA32_TSC };

		ioctl(vcpu->fd, KVM_GET_MSRS, &msr);
		offset = msr.entry.data - __rdtsc();
	}
	return offset;
}

static int live_vcpu_start(struct tt_seam *self, struct tt_vcpu *vcpu)
{
	struct live_vcpu *live = calloc(1, sizeof(*live));
	int ret;

	(void)self;
	if (!live)
		return -ENOMEM;
	vcpu->seam_data = live;
	ret = write_guest_tsc(vcpu, 0);
	if (ret)
		return ret;
	live->guest_offset = read_guest_offset(vcpu);
	live->origin = -live->guest_offset;
	return tt_host_timer_create(&live->timer, vcpu->machine->config.tsc_hz);
}

static void live_vcpu_end(struct tt_seam *self, struct tt_vcpu *vcpu)
{
	struct live_vcpu *live = live_of(vcpu);

	(void)self;
	if (!live)
		return;
	tt_host_timer_destroy(&live->timer);
	free(live);
	vcpu->seam_data = NULL;
}

static uint64_t live_now(struct tt_seam *self, struct tt_vcpu *vcpu)
{
	struct live_vcpu *live = live_of(vcpu);

	(void)self;
	return live ? __rdtsc() - live->origin : 0;
}

static uint64_t live_guest_tsc(struct tt_seam *self, struct tt_vcpu *vcpu)
{
	(void)self;
	return __rdtsc() + live_of(vcpu)->guest_offset;
}

static void live_set_tsc(struct tt_seam *self, struct tt_vcpu *vcpu, uint64_t value)
{
	(void)self;
	if (!write_guest_tsc(vcpu, value))
		live_of(vcpu)->guest_offset = read_guest_offset(vcpu);
}

static void arm_timer(struct tt_vcpu *vcpu)
{
	uint64_t next = tt_timers_next(vcpu->machine);

	if (next != TT_TIME_NEVER)
		tt_host_timer_set(&live_of(vcpu)->timer, live_of(vcpu)->origin + next);
}

static void take_inputs(struct tt_machine *m)
{
	uint8_t data[TT_INPUT_MAX];
	size_t len;
	int id;

	for (id = 0; id < TT_NR_INPUTS; id++)
		while ((len = tt_input_take(m, id, data, sizeof(data))) != 0)
			tt_input_deliver(m, id, data, len);
}

/* All that is due, and the interrupt window when one has to wait for the guest. */
static int live_sync(struct tt_seam *self, struct tt_vcpu *vcpu)
{
	struct tt_machine *m = vcpu->machine;
	bool blocked;
	int vector, ret;

	if (m->stop_requested) {
		tt_machine_end(m, TT_END_REQUEST, 0);
		return 0;
	}
	take_inputs(m);
	ret = tt_vcpu_sync(vcpu, live_now(self, vcpu), &vector, &blocked);
	if (ret)
		return ret;
	vcpu->run->request_interrupt_window = !vcpu->hold_interrupts && (blocked || tt_irq_pending(vcpu) >= 0);
	arm_timer(vcpu);
	return 0;
}

static int live_before_run(struct tt_seam *self, struct tt_vcpu *vcpu)
{
	(void)self;
	(void)vcpu;
	return 0;
}

static int live_interrupted(struct tt_seam *self, struct tt_vcpu *vcpu, enum tt_interruption why)
{
	if (why == TT_INTERRUPTED_KICK)
		tt_host_timer_rang(&live_of(vcpu)->timer);
	return live_sync(self, vcpu);
}

static int live_wait(struct tt_seam *self, struct tt_vcpu *vcpu)
{
	struct tt_machine *m = vcpu->machine;
	uint64_t next = tt_timers_next(m);
	int ret;

	tt_host_sleep_until(vcpu, m->config.tsc_hz,
			    next == TT_TIME_NEVER ? next : live_of(vcpu)->origin + next);
	tt_host_timer_rang(&live_of(vcpu)->timer);
	pthread_mutex_lock(&m->device_lock);
	m->current = vcpu;
	ret = live_sync(self, vcpu);
	m->current = NULL;
	pthread_mutex_unlock(&m->device_lock);
	return ret;
}

/* The guest's TSC is the hardware's plus an offset; KVM's way to set the offset itself is exact, where there is one. */
static void live_resumed(struct tt_seam *self, struct tt_vcpu *vcpu, uint64_t ticks)
{
	struct live_vcpu *live = live_of(vcpu);
	uint64_t offset = live->guest_offset - ticks;
	struct kvm_device_attr attr = {
		.group = KVM_VCPU_TSC_CTRL,
		.attr = KVM_VCPU_TSC_OFFSET,
		.addr = (uintptr_t)&offset,
	};

	live->origin += ticks;
	if (ioctl(vcpu->fd, KVM_SET_DEVICE_ATTR, &attr) < 0)
		live_set_tsc(self, vcpu, __rdtsc() + offset);
	else
		live->guest_offset = offset;
}

static int live_attempt(struct tt_seam *self, struct tt_vcpu *vcpu, int (*perform)(void *ctx), void *ctx)
{
	(void)self;
	(void)vcpu;
	return perform(ctx);
}

static uint64_t live_instructions(struct tt_seam *self, struct tt_vcpu *vcpu)
{
	(void)self;
	(void)vcpu;
	return 0;
}

static const struct tt_seam_ops live_ops = {
	.name = "live",
	.vcpu_start = live_vcpu_start,
	.now = live_now,
	.set_tsc = live_set_tsc,
	.guest_tsc = live_guest_tsc,
	.before_run = live_before_run,
	.after_exit = live_sync,
	.interrupted = live_interrupted,
	.wait = live_wait,
	.attempt = live_attempt,
	.instructions = live_instructions,
	.resumed = live_resumed,
	.vcpu_end = live_vcpu_end,
};

struct tt_seam *tt_live_create(struct tt_error *err)
{
	struct tt_seam *seam = calloc(1, sizeof(*seam));

	if (!seam)
		tt_fail(err, -ENOMEM, "out of memory");
	else
		seam->ops = &live_ops;
	return seam;
}
