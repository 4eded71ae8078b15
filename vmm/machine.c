// SPDX-License-Identifier: GPL-2.0
/*
 * machine.c - putting the machine together in order, running it, taking it apart.
 */
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>
#include <xxhash.h>

#include "vmm.h"
#include "internal.h"

/* Three pages that Intel's real mode needs; in the hole below 4 GiB, away from all devices. */
#define TSS_ADDRESS 0xfffbd000ul
#define IDENTITY_MAP_ADDRESS 0xfffbc000ull

static const struct {
	int cap;
	const char *name;
} required_caps[] = {
	{ KVM_CAP_USER_MEMORY, "KVM_CAP_USER_MEMORY" },
	{ KVM_CAP_IMMEDIATE_EXIT, "KVM_CAP_IMMEDIATE_EXIT" },
	{ KVM_CAP_SYNC_REGS, "KVM_CAP_SYNC_REGS" },
	{ KVM_CAP_X86_USER_SPACE_MSR, "KVM_CAP_X86_USER_SPACE_MSR" },
	{ KVM_CAP_X86_MSR_FILTER, "KVM_CAP_X86_MSR_FILTER" },
};

int tt_kvm_open(struct tt_error *err)
{
	int fd = open("/dev/kvm", O_RDWR | O_CLOEXEC), version;
	char hint[256];
	size_t i;

	if (fd < 0 && errno == EACCES) {
		tt_access_hint("/dev/kvm", hint, sizeof(hint));
		return tt_fail(err, -EACCES, "/dev/kvm: permission denied; try %s", hint);
	}
	if (fd < 0)
		return tt_fail(err, -errno, "/dev/kvm: %s; is a KVM module loaded? `ttvm doctor` says more",
			       strerror(errno));
	version = ioctl(fd, KVM_GET_API_VERSION, 0);
	if (version != KVM_API_VERSION) {
		close(fd);
		return tt_fail(err, -ENOTSUP, "/dev/kvm: KVM API version %d, expected %d", version,
			       KVM_API_VERSION);
	}
	for (i = 0; i < sizeof(required_caps) / sizeof(required_caps[0]); i++) {
		if (ioctl(fd, KVM_CHECK_EXTENSION, required_caps[i].cap) <= 0) {
			close(fd);
			return tt_fail(err, -ENOTSUP, "/dev/kvm: this KVM lacks %s; Linux 5.10 or newer "
				       "with hardware virtualization has it", required_caps[i].name);
		}
	}
	return fd;
}

/* A signal during the RCU grace period of its creation makes KVM give up: that is not an error. */
static int create_vm_fd(int kvm_fd, struct tt_error *err)
{
	int fd;

	do {
		fd = ioctl(kvm_fd, KVM_CREATE_VM, 0);
	} while (fd < 0 && errno == EINTR);
	return fd < 0 ? tt_fail(err, -errno, "KVM_CREATE_VM: %s", strerror(errno)) : fd;
}

int tt_host_tsc_hz(int kvm_fd, uint64_t *hz, struct tt_error *err)
{
	int vm_fd = create_vm_fd(kvm_fd, err), vcpu_fd, khz = -1;

	if (vm_fd < 0)
		return vm_fd;
	vcpu_fd = ioctl(vm_fd, KVM_CREATE_VCPU, 0);
	if (vcpu_fd >= 0) {
		khz = ioctl(vcpu_fd, KVM_GET_TSC_KHZ, 0);
		close(vcpu_fd);
	}
	close(vm_fd);
	if (khz <= 0)
		return tt_fail(err, -EIO, "KVM does not know the TSC's frequency");
	*hz = khz * 1000ull;
	return 0;
}

static int set_memory_slot(struct tt_machine *m, uint32_t slot, uint64_t gpa, uint64_t size, void *hva,
			   uint32_t flags, struct tt_error *err)
{
	struct kvm_userspace_memory_region region = {
		.slot = slot,
		.flags = flags,
		.guest_phys_addr = gpa,
		.memory_size = size,
		.userspace_addr = (uintptr_t)hva,
	};

	if (size && ioctl(m->vm_fd, KVM_SET_USER_MEMORY_REGION, &region) < 0)
		return tt_fail(err, -errno, "KVM refuses %llu MiB of guest memory: %s",
			       (unsigned long long)(size >> 20), strerror(errno));
	return 0;
}

static int set_memory_slots(struct tt_machine *m, uint32_t flags, struct tt_error *err)
{
	struct tt_memory *mem = &m->memory;
	int ret = set_memory_slot(m, 0, 0, mem->low_size, mem->hva, flags, err);

	return ret ? ret : set_memory_slot(m, 1, 1ull << 32, mem->size - mem->low_size,
					   mem->hva + mem->low_size, flags, err);
}

static int create_vm(struct tt_machine *m, struct tt_error *err)
{
	uint64_t identity = IDENTITY_MAP_ADDRESS;
	int ret;

	m->kvm_fd = tt_kvm_open(err);
	if (m->kvm_fd < 0)
		return m->kvm_fd;
	m->vm_fd = create_vm_fd(m->kvm_fd, err);
	if (m->vm_fd < 0)
		return m->vm_fd;
	if (ioctl(m->vm_fd, KVM_SET_IDENTITY_MAP_ADDR, &identity) < 0 ||
	    ioctl(m->vm_fd, KVM_SET_TSS_ADDR, TSS_ADDRESS) < 0)
		return tt_fail(err, -errno, "KVM_SET_TSS_ADDR: %s", strerror(errno));
	ret = tt_memory_create(&m->memory, m->config.memory_size, err);
	if (!ret)
		ret = set_memory_slots(m, 0, err);
	if (!ret)
		ret = tt_msr_filter_install(m->vm_fd, err);
	return ret;
}

int tt_machine_create(struct tt_machine *m, const struct tt_machine_config *config,
		      struct tt_seam *seam, struct tt_error *err)
{
	pthread_mutexattr_t attr;
	unsigned int i;
	int ret;

	memset(m, 0, sizeof(*m));
	m->kvm_fd = m->vm_fd = -1;
	m->config = *config;
	m->seam = seam;
	pthread_mutexattr_init(&attr);
	pthread_mutex_init(&m->device_lock, &attr);
	pthread_mutexattr_destroy(&attr);

	ret = tt_pause_create(m, err);
	if (!ret)
		ret = create_vm(m, err);
	if (ret)
		goto err_destroy;
	m->vcpus = calloc(config->num_vcpus, sizeof(*m->vcpus));
	if (!m->vcpus) {
		ret = tt_fail(err, -ENOMEM, "out of memory");
		goto err_destroy;
	}
	for (i = 0; i < config->num_vcpus; i++) {
		ret = tt_vcpu_create(m, i, err);
		if (ret)
			goto err_destroy;
	}
	ret = tt_irqchip_create(m, err);
	if (ret)
		goto err_destroy;
	ret = tt_devices_create(m, err);
	if (ret)
		goto err_destroy;
	ret = tt_boot_load(m, err);
	if (ret)
		goto err_destroy;
	return 0;

err_destroy:
	tt_machine_destroy(m);
	return ret;
}

void tt_machine_destroy(struct tt_machine *m)
{
	unsigned int i;

	for (i = 0; m->vcpus && i < m->config.num_vcpus; i++)
		tt_vcpu_destroy(&m->vcpus[i]);
	free(m->vcpus);
	m->vcpus = NULL;
	while (m->devices) {
		struct tt_device *dev = m->devices;

		m->devices = dev->next;
		if (dev->destroy)
			dev->destroy(dev);
	}
	tt_bus_destroy(m);
	tt_timers_destroy(m);
	tt_inputs_destroy(m);
	tt_pause_destroy(m);
	if (m->vm_fd >= 0)
		close(m->vm_fd);
	if (m->kvm_fd >= 0)
		close(m->kvm_fd);
	m->vm_fd = m->kvm_fd = -1;
	tt_memory_destroy(&m->memory);
	pthread_mutex_destroy(&m->device_lock);
}

int tt_machine_run(struct tt_machine *m)
{
	unsigned int i, started;
	int ret = 0;

	for (started = 0; started < m->config.num_vcpus; started++) {
		ret = tt_vcpu_start(&m->vcpus[started]);
		if (ret) {
			tt_machine_end(m, TT_END_ERROR, 0);
			tt_fail(&m->error, ret, "cannot start a vCPU thread: %s", strerror(-ret));
			break;
		}
	}
	for (i = 0; i < started; i++)
		pthread_join(m->vcpus[i].thread, NULL);
	tt_pause_end(m);
	return m->end == TT_END_ERROR ? m->error.code : ret;
}

void tt_machine_end(struct tt_machine *m, enum tt_end end, int status)
{
	if (m->end != TT_END_NONE)
		return;
	m->end_status = status;
	m->end = end;
}

void tt_machine_request_stop(struct tt_machine *m)
{
	unsigned int i;

	m->stop_requested = 1;
	tt_pause_wake(m);
	for (i = 0; i < m->config.num_vcpus; i++)
		tt_vcpu_kick(&m->vcpus[i]);
}

void tt_device_add(struct tt_machine *m, struct tt_device *dev)
{
	struct tt_device **tail = &m->devices;

	while (*tail)
		tail = &(*tail)->next;
	dev->next = NULL;
	*tail = dev;
}

int tt_machine_track_writes(struct tt_machine *m, uint64_t *bits, struct tt_error *err)
{
	uint64_t words = (m->memory.size / TT_PAGE_SIZE + 63) / 64;
	int ret;

	if (!m->memory.written)
		m->memory.written = calloc(words, sizeof(*m->memory.written));
	if (!m->memory.written)
		return tt_fail(err, -ENOMEM, "out of memory");
	ret = set_memory_slots(m, KVM_MEM_LOG_DIRTY_PAGES, err);
	if (!ret)
		tt_memory_touched(&m->memory, bits);
	return ret;
}

/* KVM has a bit per page, too, and pads each slot to whole words. */
static int written_by_vcpus(struct tt_machine *m, uint32_t slot, uint64_t first, uint64_t pages, uint64_t *bits)
{
	uint64_t *bitmap = calloc((pages + 63) / 64, sizeof(*bitmap)), i, page;
	struct kvm_dirty_log log = { .slot = slot };
	int ret = 0;

	if (!bitmap)
		return -ENOMEM;
	log.dirty_bitmap = bitmap;
	if (ioctl(m->vm_fd, KVM_GET_DIRTY_LOG, &log) < 0)
		ret = -errno;
	for (i = 0; !ret && i < (pages + 63) / 64; i++) {
		for (; bitmap[i]; bitmap[i] &= bitmap[i] - 1) {
			page = first + i * 64 + __builtin_ctzll(bitmap[i]);
			bits[page / 64] |= 1ull << page % 64;
		}
	}
	free(bitmap);
	return ret;
}

int tt_machine_written_pages(struct tt_machine *m, uint64_t *bits)
{
	struct tt_memory *mem = &m->memory;
	uint64_t pages = mem->size / TT_PAGE_SIZE, low = mem->low_size / TT_PAGE_SIZE, i;
	int ret = written_by_vcpus(m, 0, 0, low, bits);

	if (!ret && pages > low)
		ret = written_by_vcpus(m, 1, low, pages - low, bits);
	for (i = 0; i < (pages + 63) / 64; i++) {
		bits[i] |= mem->written[i];
		mem->written[i] = 0;
	}
	return ret;
}

uint64_t tt_machine_device_digest(const struct tt_machine *m)
{
	XXH64_state_t *xxh = XXH64_createState();
	const struct tt_device *dev;
	uint64_t digest;

	if (!xxh)
		abort();
	XXH64_reset(xxh, 0);
	for (dev = m->devices; dev; dev = dev->next)
		XXH64_update(xxh, dev->state, dev->state_size);
	digest = XXH64_digest(xxh);
	XXH64_freeState(xxh);
	return digest;
}

uint64_t tt_machine_now(struct tt_machine *m)
{
	struct tt_vcpu *vcpu = m->current ? m->current : &m->vcpus[0];

	return m->seam->ops->now(m->seam, vcpu);
}

uint64_t tt_ticks_from_ns(const struct tt_machine *m, uint64_t ns)
{
	return (unsigned __int128)ns * m->config.tsc_hz / 1000000000u;
}

uint64_t tt_ticks_to_ns(const struct tt_machine *m, uint64_t ticks)
{
	return (unsigned __int128)ticks * 1000000000u / m->config.tsc_hz;
}
