// SPDX-License-Identifier: GPL-2.0
/*
 * snapshot.c - the machine without its memory and disks, saved and put back.
 *
 * KVM's part are the states that its API names (Documentation/virt/kvm/api.rst); the order of loading matters: system
 * registers decide how the others are understood, and events come last, because setting system registers queues an
 * interrupt. The devices' part is their plain bytes (struct tt_device).
 *
 * KVM does not know that the memory below the guest was exchanged, and the processor may keep translations by the guest's
 * page tables as they were. Loading CR3 with another value and back makes KVM begin with an empty TLB.
 */
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>

#include "internal.h"

#define MAX_MSRS 128
#define MSR_MTRRCAP 0xfe
#define XSTATE_BV_WORD (512 / 4)
#define XSTATE_X87_SSE 3u
#define CR3_OTHER (1ull << 12)

struct vcpu_state {
	struct kvm_regs regs;
	struct kvm_sregs sregs;
	struct kvm_xsave xsave;
	struct kvm_xcrs xcrs;
	struct kvm_debugregs debugregs;
	struct kvm_vcpu_events events;
	struct {
		struct kvm_msrs head;
		struct kvm_msr_entry entries[MAX_MSRS];
	} msrs;
	uint64_t exits;
	bool halted;
	uint8_t cr8;
};

struct tt_snapshot {
	size_t size;
	unsigned int num_vcpus;
	struct vcpu_state vcpus[]; /* then the bytes of all devices, in their order */
};

static uint8_t *devices_of(const struct tt_snapshot *snapshot)
{
	return (uint8_t *)&snapshot->vcpus[snapshot->num_vcpus];
}

static int take_vcpu(struct tt_vcpu *vcpu, struct vcpu_state *s)
{
	uint32_t index[MAX_MSRS];
	size_t n = tt_msr_kept_by_kvm(index, MAX_MSRS), i;
	int got;

	if (ioctl(vcpu->fd, KVM_GET_REGS, &s->regs) < 0 || ioctl(vcpu->fd, KVM_GET_SREGS, &s->sregs) < 0 ||
	    ioctl(vcpu->fd, KVM_GET_XSAVE, &s->xsave) < 0 || ioctl(vcpu->fd, KVM_GET_XCRS, &s->xcrs) < 0 ||
	    ioctl(vcpu->fd, KVM_GET_DEBUGREGS, &s->debugregs) < 0 ||
	    ioctl(vcpu->fd, KVM_GET_VCPU_EVENTS, &s->events) < 0)
		return -errno;
	/* One at a time: KVM stops at the first that this CPU lacks. */
	for (i = 0; i < n && i < MAX_MSRS; i++) {
		struct {
			struct kvm_msrs head;
			struct kvm_msr_entry entry;
		} one = { .head.nmsrs = 1, .entry.index = index[i] };

		if (index[i] == MSR_MTRRCAP)
			continue; /* cannot be written */
		got = ioctl(vcpu->fd, KVM_GET_MSRS, &one);
		if (got < 0)
			return -errno;
		if (got == 1)
			s->msrs.entries[s->msrs.head.nmsrs++] = one.entry;
	}
	/* Parts that are marked as initial would leave MXCSR as it was (Intel SDM vol. 1, 13.6). Their bytes are here. */
	s->xsave.region[XSTATE_BV_WORD] |= XSTATE_X87_SSE;
	s->exits = vcpu->exits;
	s->halted = vcpu->halted;
	s->cr8 = vcpu->cr8;
	return 0;
}

static size_t full_size(const struct tt_machine *m)
{
	size_t size = sizeof(struct tt_snapshot) + m->config.num_vcpus * sizeof(struct vcpu_state);
	const struct tt_device *dev;

	for (dev = m->devices; dev; dev = dev->next)
		size += dev->state_size;
	return size;
}

int tt_snapshot_take(struct tt_machine *m, struct tt_snapshot **snapshot, struct tt_error *err)
{
	size_t size = full_size(m);
	const struct tt_device *dev;
	struct tt_snapshot *s;
	unsigned int i;
	uint8_t *to;
	int ret = 0;

	s = calloc(1, size);
	if (!s)
		return tt_fail(err, -ENOMEM, "out of memory");
	s->size = size;
	s->num_vcpus = m->config.num_vcpus;
	for (i = 0; !ret && i < m->config.num_vcpus; i++)
		ret = take_vcpu(&m->vcpus[i], &s->vcpus[i]);
	if (ret) {
		free(s);
		return tt_fail(err, ret, "KVM does not give the state of vCPU %u: %s", i - 1, strerror(-ret));
	}
	to = devices_of(s);
	for (dev = m->devices; dev; dev = dev->next) {
		memcpy(to, dev->state, dev->state_size);
		to += dev->state_size;
	}
	*snapshot = s;
	return 0;
}

/* An entry that must not execute anything: KVM_RUN brings kvm_run up to date. */
static int refresh_run(struct tt_vcpu *vcpu)
{
	struct kvm_run *run = vcpu->run;
	uint8_t kicked = run->immediate_exit;
	int ret;

	run->request_interrupt_window = 0;
	run->immediate_exit = 1;
	ret = ioctl(vcpu->fd, KVM_RUN, 0) < 0 && errno == EINTR ? 0 : -EIO;
	run->immediate_exit = kicked;
	return ret;
}

static int load_vcpu(struct tt_vcpu *vcpu, const struct vcpu_state *s)
{
	struct kvm_sregs other = s->sregs;

	other.cr3 ^= CR3_OTHER;
	vcpu->run->cr8 = vcpu->cr8 = s->cr8;
	if (ioctl(vcpu->fd, KVM_SET_SREGS, &other) < 0 || ioctl(vcpu->fd, KVM_SET_SREGS, &s->sregs) < 0 ||
	    ioctl(vcpu->fd, KVM_SET_MSRS, &s->msrs) != (int)s->msrs.head.nmsrs ||
	    ioctl(vcpu->fd, KVM_SET_XCRS, &s->xcrs) < 0 || ioctl(vcpu->fd, KVM_SET_XSAVE, &s->xsave) < 0 ||
	    ioctl(vcpu->fd, KVM_SET_DEBUGREGS, &s->debugregs) < 0 ||
	    ioctl(vcpu->fd, KVM_SET_REGS, &s->regs) < 0 || ioctl(vcpu->fd, KVM_SET_VCPU_EVENTS, &s->events) < 0)
		return errno ? -errno : -EIO;
	vcpu->exits = s->exits;
	vcpu->halted = s->halted;
	vcpu->unsettled = false;
	return refresh_run(vcpu);
}

int tt_snapshot_load(struct tt_machine *m, const struct tt_snapshot *snapshot, struct tt_error *err)
{
	const uint8_t *from = devices_of(snapshot);
	struct tt_device *dev;
	unsigned int i;
	int ret;

	/* KVM must not complete an instruction of the past in the registers of another time. */
	for (i = 0; i < snapshot->num_vcpus; i++) {
		ret = tt_vcpu_settle(&m->vcpus[i]);
		if (ret)
			return ret;
	}
	for (dev = m->devices; dev; dev = dev->next) {
		memcpy(dev->state, from, dev->state_size);
		from += dev->state_size;
	}
	/* Some look at others: when all are there. */
	for (dev = m->devices; dev; dev = dev->next)
		if (dev->restored)
			dev->restored(dev);
	for (i = 0; i < snapshot->num_vcpus; i++) {
		errno = 0;
		ret = load_vcpu(&m->vcpus[i], &snapshot->vcpus[i]);
		if (ret)
			return tt_fail(err, ret, "KVM does not take the state of vCPU %u: %s", i, strerror(-ret));
	}
	return 0;
}

size_t tt_snapshot_size(const struct tt_snapshot *snapshot)
{
	return snapshot->size;
}

struct tt_snapshot *tt_snapshot_of_bytes(const struct tt_machine *m, const void *bytes, size_t size)
{
	const struct tt_snapshot *from = bytes;
	struct tt_snapshot *s;

	if (size != full_size(m) || from->size != size || from->num_vcpus != m->config.num_vcpus)
		return NULL;
	s = malloc(size);
	if (s)
		memcpy(s, bytes, size);
	return s;
}
