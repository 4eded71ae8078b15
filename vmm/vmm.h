/* SPDX-License-Identifier: GPL-2.0 */
/*
 * vmm.h - the machine: memory, vCPUs, interrupt controllers, devices, boot. The one public header of vmm/.
 *
 * vmm/ knows nothing of logs. Everything nondeterministic reaches the machine through struct tt_seam: what time it is,
 * when a vCPU may be interrupted, and what comes in from outside (console input, entropy). Three seams exist: live
 * (vmm/live.c), record and replay (replay/). Given the same boot and the same answers from the seam, the machine does
 * the same.
 *
 * Threads: one thread per vCPU. Devices, timers and interrupt controllers are touched by vCPU threads only, under the
 * machine's device lock; other threads may call tt_input_post(), tt_vcpu_kick(), and where it says so of tt_machine_*().
 *
 * Time: virtual TSC ticks (tsc_hz per second) since the start of the machine, everywhere in vmm/.
 */
#ifndef TTVM_VMM_H
#define TTVM_VMM_H

#include <linux/kvm.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <sys/uio.h>

#include "ttvm/error.h"

struct tt_machine;
struct tt_seam;
struct tt_vcpu;

#define TT_TIME_NEVER UINT64_MAX

/* ------------------------------------------------------------------ the seam */

enum tt_interruption {
	TT_INTERRUPTED_KICK,	/* KVM_RUN returned EINTR: a signal, a kick */
	TT_INTERRUPTED_WINDOW,	/* the guest can take an interrupt now (the seam had asked for the window) */
	TT_INTERRUPTED_DEBUG,	/* hardware breakpoint or single step */
	TT_INTERRUPTED_MODULE,	/* ttvm.ko left KVM_RUN: ttvm_page.stop_reason */
	TT_INTERRUPTED_GUARD,	/* the next instruction, or the delivery of an interrupt, was broken off: guard.c */
	TT_INTERRUPTED_EMULATED, /* KVM itself has made an access, for the guest's instruction: it stands in kvm_run.mmio */
};

/*
 * The calls of a seam; self is struct tt_machine.seam. All are made on the vCPU's own thread, with the device lock held
 * except before_run and wait. Those that return int return 0 to go on, or -errno to end the machine with TT_END_ERROR and
 * vcpu->machine->error filled in.
 */
struct tt_seam_ops {
	const char *name;
	/* The vCPU exists and its thread has started; nothing has been executed. */
	int (*vcpu_start)(struct tt_seam *self, struct tt_vcpu *vcpu);
	/* Virtual time at the vCPU's current position. Never runs backwards. */
	uint64_t (*now)(struct tt_seam *self, struct tt_vcpu *vcpu);
	/* The guest wrote IA32_TSC (or IA32_TSC_ADJUST, as the sum): RDTSC reads `value` from now on. Device time, which
	 * is what now() returns, does not jump: the guest's TSC is now() plus an offset. */
	void (*set_tsc)(struct tt_seam *self, struct tt_vcpu *vcpu, uint64_t value);
	/* What RDTSC would read now: now() + offset. */
	uint64_t (*guest_tsc)(struct tt_seam *self, struct tt_vcpu *vcpu);
	/* Before each KVM_RUN. */
	int (*before_run)(struct tt_seam *self, struct tt_vcpu *vcpu);
	/* A deterministic exit was dispatched to its device; vcpu->exits counts it. Its instruction may be half done (see
	 * tt_vcpu_settle()). The seam brings time forward, delivers inputs, and calls tt_vcpu_sync(). */
	int (*after_exit)(struct tt_seam *self, struct tt_vcpu *vcpu);
	/* KVM_RUN returned for a reason that is not the guest's doing. */
	int (*interrupted)(struct tt_seam *self, struct tt_vcpu *vcpu, enum tt_interruption why);
	/* The vCPU has halted and nothing is pending: returns when something may have happened. */
	int (*wait)(struct tt_seam *self, struct tt_vcpu *vcpu);
	/* A device's work on the outside world that may fail there (disk I/O), at a deterministic exit: perform(ctx) is
	 * called, or not where the recording says that it failed. Returns what the guest is to see: 0 or -errno. */
	int (*attempt)(struct tt_seam *self, struct tt_vcpu *vcpu, int (*perform)(void *ctx), void *ctx);
	/* Instructions that the vCPU has executed up to its current deterministic exit; 0 where nobody counts. */
	uint64_t (*instructions)(struct tt_seam *self, struct tt_vcpu *vcpu);
	/* The vCPU has stood still for so many host ticks more (tt_machine_pause()), which are not to be virtual time.
	 * Without the device lock. May be NULL. */
	void (*resumed)(struct tt_seam *self, struct tt_vcpu *vcpu, uint64_t ticks);
	/*
	 * The machine has ended (machine->end), and not for an error of the host's. True: it goes on after all, from a
	 * snapshot that was loaded here perhaps; machine->end is TT_END_NONE again. It may take its time. Without the
	 * device lock; the vCPU is settled or has no more instructions to complete. May be NULL.
	 */
	bool (*revive)(struct tt_seam *self, struct tt_vcpu *vcpu);
	/* The machine has ended or the vCPU was asked to stop: last call for this vCPU, on its thread. */
	void (*vcpu_end)(struct tt_seam *self, struct tt_vcpu *vcpu);
};

struct tt_seam {
	const struct tt_seam_ops *ops;
};

/* The seam of an ordinary run: host time, no module needed. The caller frees it with free(). */
struct tt_seam *tt_live_create(struct tt_error *err);

/* ------------------------------------------------------------------ memory */

#define TT_RAM_BELOW_4G 0xC0000000ull	/* RAM ends here at the latest below 4 GiB; the rest starts ... */
#define TT_RAM_ABOVE	0x100000000ull	/* ... at 4 GiB */

struct tt_memory {
	uint8_t *hva;		/* one mapping of all RAM, in gpa order without the hole */
	uint64_t size;		/* bytes, multiple of 4096 */
	uint64_t low_size;	/* bytes below the hole */
	uint64_t *written;	/* a bit per page of hva: devices wrote to it; NULL while nobody wants to know */
	struct tt_guard *guard;	/* borrowed; NULL: the guest may use all of it */
};

#define TT_PAGE_SIZE 4096u

int tt_memory_create(struct tt_memory *mem, uint64_t size, struct tt_error *err);
void tt_memory_destroy(struct tt_memory *mem);
/* Pointer to [gpa, gpa+len), or NULL when any byte of it is not RAM or the range wraps or crosses the hole. */
void *tt_memory_at(const struct tt_memory *mem, uint64_t gpa, uint64_t len);
/* A device writes to len bytes at that pointer into guest memory. To be said before or after, at the same exit. */
void tt_memory_wrote(const struct tt_memory *mem, const void *at, uint64_t len);
/* Set the bits (one per page of hva) of all pages but those that were never touched, which are zero. */
void tt_memory_touched(const struct tt_memory *mem, uint64_t *bits);
/* 64-bit digest of all RAM (XXH64 over (page number, content) of pages that are not zero). Vcpus must be stopped. */
uint64_t tt_memory_digest(const struct tt_memory *mem);

/* ------------------------------------------------------------------ guard.c: pages that the guest cannot use unseen */

struct tt_guarded_page {
	uint64_t gpa;		/* of RAM; a multiple of TT_PAGE_SIZE */
	bool reads;		/* reading counts as well, and fetching code */
};

/*
 * While the guest runs, these pages are protected in the mapping that KVM uses. An access by the CPU breaks the
 * instruction off before it has any effect but accessed and dirty bits on the way to the page:
 * tt_seam_ops.interrupted(TT_INTERRUPTED_GUARD). One by KVM's emulator is made, and told afterwards
 * (TT_INTERRUPTED_EMULATED). Everybody else, devices among them, sees memory as always: protection is in force inside
 * KVM_RUN only. The vCPU's thread changes all this, outside of KVM_RUN.
 */
struct tt_guard {
	const struct tt_guarded_page *pages;	/* borrowed; by gpa, each once */
	size_t num_pages;
	bool open;		/* let the guest pass; nothing is protected */
	/* A device says that it writes there (tt_memory_wrote()). May be NULL. */
	void (*device_wrote)(void *ctx, uint64_t gpa, uint64_t len);
	void *ctx;
};

/* Around KVM_RUN: protect the pages of mem->guard, and not any more. 0 or -errno: the host's kernel refuses. */
int tt_guard_close(const struct tt_memory *mem);
int tt_guard_lift(const struct tt_memory *mem);

/* ------------------------------------------------------------------ devices */

/*
 * A device. Its guest-visible state is one struct of plain data, without pointers and without padding, so that the state
 * digest and checkpoints are its bytes. Timers' deadlines are part of it.
 */
struct tt_device {
	const char *name;
	void *state;
	size_t state_size;
	void (*reset)(struct tt_device *dev);
	/* state was replaced as a whole (checkpoint): recompute what is derived from it. May be NULL. */
	void (*restored)(struct tt_device *dev);
	void (*destroy)(struct tt_device *dev); /* frees dev */
	struct tt_device *next;
};

void tt_device_add(struct tt_machine *m, struct tt_device *dev);

/* data is little-endian; len is 1, 2, 4 (or 8 for MMIO). addr is the address of the access, not an offset. */
typedef void (*tt_io_read)(void *ctx, uint64_t addr, void *data, unsigned int len);
typedef void (*tt_io_write)(void *ctx, uint64_t addr, const void *data, unsigned int len);

/* Claim [base, base+size). -EEXIST when it overlaps an earlier claim. Unclaimed reads give all ones. */
int tt_bus_add_pio(struct tt_machine *m, uint16_t base, uint32_t size, tt_io_read read,
		   tt_io_write write, void *ctx);
int tt_bus_add_mmio(struct tt_machine *m, uint64_t base, uint64_t size, tt_io_read read,
		    tt_io_write write, void *ctx);
/* Give up the claim that begins at base, if there is one. A device may do so while it serves an access. */
void tt_bus_remove_pio(struct tt_machine *m, uint16_t base);
void tt_bus_remove_mmio(struct tt_machine *m, uint64_t base);
/* Dispatch one access. Used by vcpu.c and by unit tests. */
void tt_bus_pio(struct tt_machine *m, uint16_t port, void *data, unsigned int len, bool write);
void tt_bus_mmio(struct tt_machine *m, uint64_t addr, void *data, unsigned int len, bool write);

/* A timer: *deadline (in the device's state) is the virtual time at which fire is called, TT_TIME_NEVER when off. fire must
 * move it forward or switch it off. */
void tt_timer_add(struct tt_machine *m, uint64_t *deadline, void (*fire)(void *ctx, uint64_t now),
		  void *ctx);
/* Fire all timers due at `now`, earliest deadline first, until none is due. */
void tt_timers_run(struct tt_machine *m, uint64_t now);
uint64_t tt_timers_next(const struct tt_machine *m);

/* Virtual time at the position of the vCPU that is accessing the device. */
uint64_t tt_machine_now(struct tt_machine *m);
/* ticks <-> nanoseconds without overflow (128-bit inside) */
uint64_t tt_ticks_from_ns(const struct tt_machine *m, uint64_t ns);
uint64_t tt_ticks_to_ns(const struct tt_machine *m, uint64_t ticks);

/* ------------------------------------------------------------------ interrupts */

#define TT_NR_GSI 24

/* Level of global system interrupt gsi: lines 0-15 reach PIC and IOAPIC (line 0 is IOAPIC pin 2), the rest the IOAPIC. */
void tt_irq_set(struct tt_machine *m, unsigned int gsi, bool level);
/* Raise and lower: an edge. */
void tt_irq_pulse(struct tt_machine *m, unsigned int gsi);
/* Message signalled interrupt. */
void tt_irq_msi(struct tt_machine *m, uint64_t address, uint32_t data);

/* Vector that the vCPU would take now if it were interruptible, or -1. Nothing changes. */
int tt_irq_pending(struct tt_vcpu *vcpu);
/* Acknowledge: the vector moves to in-service. Only after tt_irq_pending() returned one. */
int tt_irq_acknowledge(struct tt_vcpu *vcpu);

/* One per vCPU. Devices of the interrupt system are created by tt_irqchip_create(): PIC pair, IOAPIC, LAPICs. */
int tt_irqchip_create(struct tt_machine *m, struct tt_error *err);
/* IA32_APIC_BASE and IA32_TSC_DEADLINE as the guest sees them (MSR exits), and CR8 mirrored from/to kvm_run. */
int tt_lapic_read_msr(struct tt_vcpu *vcpu, uint32_t index, uint64_t *value);	/* 0 or -EINVAL: inject #GP */
int tt_lapic_write_msr(struct tt_vcpu *vcpu, uint32_t index, uint64_t value);
uint8_t tt_lapic_cr8(struct tt_vcpu *vcpu);
void tt_lapic_set_cr8(struct tt_vcpu *vcpu, uint8_t cr8);

/* ------------------------------------------------------------------ input from outside */

#define TT_MAX_DISKS 8
#define TT_MAX_NETS  4

/* Part of the log format: the numbers stay. */
enum tt_input_id {
	TT_INPUT_SERIAL0,
	TT_INPUT_ENTROPY,	/* virtio-rng */
	TT_INPUT_CONSOLE0,	/* virtio-console */
	TT_INPUT_NET0,		/* virtio-net, TT_MAX_NETS of them */
	TT_NR_INPUTS = TT_INPUT_NET0 + TT_MAX_NETS,
};

#define TT_INPUT_MAX 4096 /* bytes that a seam takes at a time */

struct tt_input {
	/* How many bytes the device takes now, and taking them (len <= room). On a vCPU thread, device lock held. */
	size_t (*room)(void *ctx);
	void (*deliver)(void *ctx, const void *data, size_t len);
	/* Where bytes come from that nobody posts (entropy): fill data when a seam takes, not in a replay. Returns how
	 * many were put there, <= max. Or NULL. Such an input is ready whenever it has room. */
	size_t (*fetch)(void *ctx, void *data, size_t max);
	/* Each post is one frame: taken and delivered whole, and dropped when room() is smaller than it. */
	bool frames;
	void *ctx;
};

void tt_input_register(struct tt_machine *m, enum tt_input_id id, const struct tt_input *input);
/* Any thread: queue bytes for the device and kick vCPU 0. -EAGAIN when more than 64 KiB are queued already. */
int tt_input_post(struct tt_machine *m, enum tt_input_id id, const void *data, size_t len);
/* For seams: take up to max queued bytes for a device that has room; returns their number. */
size_t tt_input_take(struct tt_machine *m, enum tt_input_id id, void *data, size_t max);
/* For seams: true when tt_input_take() of some input would give something. Cheap, any thread. */
bool tt_input_ready(struct tt_machine *m);
/* For seams, vCPU thread: hand bytes to the device (taken now, or read from a log). -EINVAL: no such device, or no room. */
int tt_input_deliver(struct tt_machine *m, enum tt_input_id id, const void *data, size_t len);

/* ------------------------------------------------------------------ the devices of the PC */

int tt_pit_create(struct tt_machine *m, struct tt_error *err);		/* 0x40-0x43, 0x61; GSI 0 */
int tt_rtc_create(struct tt_machine *m, struct tt_error *err);		/* 0x70-0x71; GSI 8; config.wall_clock */
int tt_serial_create(struct tt_machine *m, struct tt_error *err);	/* COM1 0x3f8; GSI 4; TT_INPUT_SERIAL0 */
int tt_i8042_create(struct tt_machine *m, struct tt_error *err);	/* 0x60, 0x64: reset by 0xfe */
int tt_pci_create(struct tt_machine *m, struct tt_error *err);		/* 0xcf8-0xcff: host bridge */
int tt_acpi_pm_create(struct tt_machine *m, struct tt_error *err);	/* PM1 event/control, PM timer, reset; GSI 9 */
int tt_debug_exit_create(struct tt_machine *m, struct tt_error *err);	/* 0xf4: the guest's own status */
/* All of the above, in a fixed order. */
int tt_devices_create(struct tt_machine *m, struct tt_error *err);

/* Ports and addresses that devices and ACPI tables share. */
#define TT_PORT_ACPI_PM1_EVENT	 0x600
#define TT_PORT_ACPI_PM1_CONTROL 0x604
#define TT_PORT_ACPI_PM_TIMER	 0x608
#define TT_PORT_ACPI_RESET	 0x60c	/* write 1 */
#define TT_PORT_DEBUG_EXIT	 0xf4
#define TT_GSI_ACPI_SCI		 9
#define TT_LAPIC_BASE		 0xfee00000ull
#define TT_IOAPIC_BASE		 0xfec00000ull
#define TT_ACPI_TABLES_GPA	 0xe0000ull	/* RSDP first, below 1 MiB, marked reserved in e820 */
#define TT_ACPI_TABLES_SIZE	 0x10000ull

/* ------------------------------------------------------------------ boot */

struct tt_blob {
	const void *data;
	size_t size;
};

/* What a machine is made from: everything that is in a log's header. Blobs are borrowed and must outlive the machine. */
struct tt_machine_config {
	uint64_t memory_size;		/* bytes */
	unsigned int num_vcpus;
	uint64_t tsc_hz;
	uint64_t wall_clock;		/* seconds since the epoch at virtual time 0, for the RTC */
	uint8_t rng_seed[32];		/* handed to Linux by the boot protocol (SETUP_RNG_SEED) */
	const char *kernel_name;	/* for messages */
	struct tt_blob kernel;		/* ELF or bzImage */
	struct tt_blob initrd;
	struct tt_blob firmware;	/* PC BIOS, run instead of a kernel when it is not empty */
	unsigned int num_disks;
	unsigned int num_nets;
	struct tt_disk *disks[TT_MAX_DISKS];	/* disk.h; borrowed */
	struct tt_net *nets[TT_MAX_NETS];	/* net.h; borrowed */
	bool virtio_console;		/* hvc0, beside the serial console */
	const char *command_line;
	const char *cpu_model;		/* name of the model that cpuid was made from */
	const struct kvm_cpuid2 *cpuid;	/* complete table for vCPU 0 */
};

/* Is it a kernel that tt_boot_load() takes? Fills err with what it is instead. No machine needed. */
int tt_boot_probe(const char *name, struct tt_blob kernel, struct tt_error *err);
/* Put kernel, initrd, command line, boot parameters, ACPI tables into memory and set vCPU 0's registers. */
int tt_boot_load(struct tt_machine *m, struct tt_error *err);
/* Write RSDP, XSDT, FADT, FACS, MADT, DSDT at TT_ACPI_TABLES_GPA. */
int tt_acpi_write_tables(struct tt_machine *m, struct tt_error *err);

/*
 * The guest's CPUID table: KVM's supported table narrowed to what can be replayed (DESIGN of the CPU model: docs/cpu.md).
 * model is a name ("x86-64-v2", ...) or NULL for the default. Allocated; the caller frees with free().
 */
int tt_cpuid_create(int kvm_fd, const char *model, uint64_t tsc_hz, struct kvm_cpuid2 **cpuid,
		    struct tt_error *err);
/* Can this host run a guest with that table, of that model? -EOPNOTSUPP and a message naming what is missing when not. */
int tt_cpuid_check(int kvm_fd, const struct kvm_cpuid2 *cpuid, const char *model, struct tt_error *err);
/* The model of a table that was made when there were but two, one of them with XSAVE. */
const char *tt_cpuid_guess_model(const struct kvm_cpuid2 *cpuid);
/* Does the guest have XSAVE? Its in-use bits may differ in a replay: docs/cpu.md. */
bool tt_cpuid_has_xsave(const struct kvm_cpuid2 *cpuid);
/* Register eax..edx (0..3) of a leaf of a table, 0 when it is absent. */
uint32_t tt_cpuid_get(const struct kvm_cpuid2 *cpuid, uint32_t function, uint32_t index,
		      unsigned int reg);
bool tt_cpuid_is_intel(const struct kvm_cpuid2 *cpuid);

/* Every MSR but the few that are plain CPU state (SYSENTER, STAR, FS base, PAT, MTRR...) comes to userspace. */
int tt_msr_filter_install(int vm_fd, struct tt_error *err);
/* Answer such an access. 0, or -EINVAL: inject #GP. With the device lock held, vcpu is the current one. */
int tt_msr_read(struct tt_vcpu *vcpu, uint32_t index, uint64_t *value);
int tt_msr_write(struct tt_vcpu *vcpu, uint32_t index, uint64_t value);

/* ------------------------------------------------------------------ vCPU and machine */

struct tt_vcpu {
	struct tt_machine *machine;
	unsigned int index;
	int fd;
	struct kvm_run *run;
	size_t run_size;
	pthread_t thread;
	bool running;		/* its thread can be kicked */
	bool halted;		/* after HLT, until an interrupt is injected */
	uint8_t cr8;		/* what run->cr8 was last known to be */
	uint64_t exits;		/* deterministic exits so far */
	bool unsettled;		/* the instruction of the last exit is completed by the next KVM_RUN only */
	bool hold_interrupts;	/* none is injected while the vCPU executes; a halted one wakes up as ever */
	bool withheld;		/* withheld_vector is in service already, and the next to be injected */
	uint8_t withheld_vector;
	void *seam_data;	/* the seam's own */
	void *lapic;		/* the interrupt controller's own */
};

enum tt_end {
	TT_END_NONE,
	TT_END_POWEROFF,	/* ACPI S5, or HLT with interrupts off for good */
	TT_END_RESET,		/* guest asked for a reset: ends the run like power-off */
	TT_END_CRASH,		/* triple fault */
	TT_END_STATUS,		/* debug-exit port: end_status */
	TT_END_REQUEST,		/* tt_machine_request_stop(): signal, timeout, end of replay */
	TT_END_ERROR,		/* machine->error */
};

/*
 * Who steps through a run that nobody records. Its exit() is called on the vCPU's thread, device lock held, after
 * KVM_EXIT_DEBUG, which the seam does not get then, and after KVM_EXIT_HLT.
 */
struct tt_debugger {
	void (*exit)(struct tt_debugger *self, struct tt_vcpu *vcpu);
};

/* What a guest wanted of a disk. */
struct tt_disk_request {
	unsigned int index;	/* of the disk */
	const char *what;	/* "read", "write", "flush", "discard", "zero" */
	uint64_t sector;
	uint64_t sectors;	/* 0 of a flush */
	const struct iovec *iov; /* "read", "write": in the guest's memory; else NULL */
	int iovcnt;
	bool failed;
};

struct tt_machine {
	struct tt_machine_config config;
	struct tt_seam *seam;
	int kvm_fd;
	int vm_fd;
	struct tt_memory memory;
	struct tt_vcpu *vcpus;
	struct tt_vcpu *current;	/* whose access a device is serving, under the device lock */
	pthread_mutex_t device_lock;
	struct tt_device *devices;
	void *bus;			/* bus.c's own */
	void *timers;			/* timer.c's own */
	void *irqchip;			/* irqchip's own */
	void *inputs;			/* input.c's own */
	void (*console_write)(void *ctx, const void *data, size_t len);
	void *console_ctx;
	void (*console0_write)(void *ctx, const void *data, size_t len); /* virtio-console; may be NULL */
	void *console0_ctx;
	/* One line for the user, in the manner of struct tt_error; may be NULL. Device lock held: must not block. */
	void (*message)(void *ctx, const char *text);
	void *message_ctx;
	/* Sees every frame of a network device, on a vCPU thread, device lock held. NULL: nobody looks. */
	void (*frame_tap)(void *ctx, unsigned int index, bool to_guest, const void *frame, size_t len);
	void *frame_tap_ctx;
	/* Sees every request to a disk when it has been served, likewise. */
	void (*disk_tap)(void *ctx, const struct tt_disk_request *request);
	void *disk_tap_ctx;
	uint64_t entry_rip;		/* where vCPU 0 starts */
	enum tt_end end;
	int end_status;
	volatile sig_atomic_t stop_requested;
	struct tt_debugger *debugger;	/* borrowed; NULL: none */
	int attention;			/* not 0: vCPU threads have business in pause.c */
	void *pause;			/* pause.c's own */
	struct tt_error error;
};

/* /dev/kvm with all that a machine needs; the file descriptor or -errno. */
int tt_kvm_open(struct tt_error *err);

/*
 * What to try when a device node of the host may not be opened (EACCES), as text that follows "try": which group to
 * join, or to log in again. Not for two threads at a time: it asks the C library's database of users.
 */
void tt_access_hint(const char *path, char *text, size_t size);
/* The host's TSC frequency, as KVM knows it. */
int tt_host_tsc_hz(int kvm_fd, uint64_t *hz, struct tt_error *err);
/* KVM, memory, devices, vCPUs; boot files loaded. seam is borrowed. */
int tt_machine_create(struct tt_machine *m, const struct tt_machine_config *config,
		      struct tt_seam *seam, struct tt_error *err);
void tt_machine_destroy(struct tt_machine *m);
/* Run until the machine has ended; 0, or the error of a vCPU. m->end says how. */
int tt_machine_run(struct tt_machine *m);
/* From the vCPU threads (devices): the machine ends after the current exit is complete. */
void tt_machine_end(struct tt_machine *m, enum tt_end end, int status);
/* Any thread: ask all vCPUs to stop soon. The seam ends the machine, with TT_END_REQUEST, where it sees fit. */
void tt_machine_request_stop(struct tt_machine *m);
/*
 * Any thread but a vCPU's: stop all vCPUs where they are, and let them go on. Virtual time stands still meanwhile, so the
 * guest notices nothing. pause returns when they stand, at once if they do already; -ESHUTDOWN: the machine has ended.
 */
int tt_machine_pause(struct tt_machine *m);
void tt_machine_resume(struct tt_machine *m);
bool tt_machine_is_paused(struct tt_machine *m);
/*
 * Any thread, vCPUs' too: the debugger's own pause, beside that of tt_machine_pause(); vCPUs stand while there is one of
 * them. hold does not wait: a visit that is made after it finds its vCPU standing.
 */
void tt_machine_hold(struct tt_machine *m);
void tt_machine_release(struct tt_machine *m);
/*
 * Any thread but a vCPU's: have visit(ctx, vcpu) called on vCPU 0's thread with the device lock held as soon as it is out
 * of the guest, and wait for that. visit must not touch what the guest sees. 0; -ESHUTDOWN: the machine has ended before;
 * -ETIMEDOUT: the vCPU was busy with something else for timeout_ms.
 */
int tt_machine_visit(struct tt_machine *m, void (*visit)(void *ctx, struct tt_vcpu *vcpu), void *ctx,
		     unsigned int timeout_ms);
/*
 * From now on the machine knows which pages of its memory are written: by vCPUs (KVM's dirty log) and by devices. Sets the
 * bits (as below) of those that may have been so far: all others are zero. vCPUs must be stopped. 0 or -errno.
 */
int tt_machine_track_writes(struct tt_machine *m, uint64_t *bits, struct tt_error *err);
/* Set the bits (one per page of memory.hva) of pages written since the last call. vCPUs must be stopped. 0 or -errno. */
int tt_machine_written_pages(struct tt_machine *m, uint64_t *bits);
/* 64-bit digest of all device state, interrupt controllers included. */
uint64_t tt_machine_device_digest(const struct tt_machine *m);

/* Any thread: make the vCPU leave KVM_RUN or wait() soon. */
void tt_vcpu_kick(struct tt_vcpu *vcpu);
/* The signal that kicks a vCPU thread; its handler makes the next or current KVM_RUN return at once. */
#define TT_KICK_SIGNAL SIGRTMIN

/*
 * The host's clock for seams that follow real time: an alarm that kicks one vCPU thread at a host TSC value. Created on that
 * thread; setting it to a later time than it is set to already costs nothing until it rings.
 */
struct tt_host_timer {
	timer_t id;
	uint64_t tsc_hz;
	uint64_t armed;	/* host TSC at which it rings, TT_TIME_NEVER when off */
};

int tt_host_timer_create(struct tt_host_timer *timer, uint64_t tsc_hz);
void tt_host_timer_destroy(struct tt_host_timer *timer);
/* The vCPU was kicked, perhaps by this timer, and perhaps a little early: it must be set again. */
void tt_host_timer_rang(struct tt_host_timer *timer);
/* Ring at host TSC value `when` at the latest; it may ring earlier (the caller looks again). */
void tt_host_timer_set(struct tt_host_timer *timer, uint64_t when);
/* Sleep on the vCPU thread until host TSC value `when` or a kick, whichever is first. */
void tt_host_sleep_until(struct tt_vcpu *vcpu, uint64_t tsc_hz, uint64_t when);

/* Complete a half-done instruction (PIO, MMIO, MSR exits) without running the guest: then registers are those of the next
 * instruction. 0 or -errno. */
int tt_vcpu_settle(struct tt_vcpu *vcpu);
/*
 * The vCPU's own thread, settled: from now on nothing is injected, an interrupt that waits in KVM for the next entry is taken
 * back. 0 or -errno. Release lets it and all others go in again.
 */
int tt_vcpu_hold_interrupts(struct tt_vcpu *vcpu);
void tt_vcpu_release_interrupts(struct tt_vcpu *vcpu);
/*
 * Guest-virtual reads by walking the guest's own page tables (KVM_TRANSLATE fails for user pages under SMAP). Returns the
 * number of bytes read, which is less than len when a page is not present. accessed_only: also stop at a page whose
 * accessed bits are not all set yet.
 */
size_t tt_vcpu_read_virtual(struct tt_vcpu *vcpu, const struct kvm_sregs *sregs, uint64_t address,
			    void *data, size_t len, bool accessed_only);
/* The same for writing: what the page tables allow does not matter. vCPUs must stand. */
size_t tt_vcpu_write_virtual(struct tt_vcpu *vcpu, const struct kvm_sregs *sregs, uint64_t address,
			     const void *data, size_t len);
/* Where a guest-virtual address is in guest-physical memory; UINT64_MAX: nowhere. sregs say by which tables. */
uint64_t tt_vcpu_translate(struct tt_vcpu *vcpu, const struct kvm_sregs *sregs, uint64_t address);
/* A stretch of virtual addresses and the RAM that it leads to. */
struct tt_mapping {
	uint64_t address;
	uint64_t physical;
	uint64_t size;
};
#define TT_MAX_MAPPINGS (1u << 20)
/*
 * Everything that the page tables of these system registers map to RAM, by rising address, as long stretches as there are;
 * nothing when paging is off. A table that is used in several places counts in the first of them only, and what is more than
 * TT_MAX_MAPPINGS is left out. vCPUs must stand. Their number, or -ENOMEM; the caller frees *list with free().
 */
ssize_t tt_memory_mappings(const struct tt_memory *mem, const struct kvm_sregs *sregs, struct tt_mapping **list);
/* 64-bit digest of the architectural registers (general, segment, control, MSR, FPU/SSE, debug). Settled vCPU. */
int tt_vcpu_register_digest(struct tt_vcpu *vcpu, uint64_t *digest);
/*
 * What happens at every point where the outside may act, the same in all seams: run the timers that are due at now, then
 * inject the pending interrupt if the vCPU can take it. 0 or -errno. *vector is the injected vector or -1; *blocked says
 * that an interrupt is pending which the vCPU cannot take yet.
 */
int tt_vcpu_sync(struct tt_vcpu *vcpu, uint64_t now, int *vector, bool *blocked);
/*
 * A snapshot: the machine as it is between two instructions, without its memory and its disks: all registers, what KVM is
 * about to inject, the devices. vCPUs must be stopped and settled. The caller frees it with free().
 */
struct tt_snapshot;
int tt_snapshot_take(struct tt_machine *m, struct tt_snapshot **snapshot, struct tt_error *err);
/*
 * Put the machine into that state. Memory first: KVM may look into it. The guest's TLB is emptied, and what KVM_RUN keeps
 * up to date (registers, flags) is right afterwards. On the vCPU's thread. 0, or -errno: the machine is of no use then.
 */
int tt_snapshot_load(struct tt_machine *m, const struct tt_snapshot *snapshot, struct tt_error *err);
/* Bytes that it takes. */
size_t tt_snapshot_size(const struct tt_snapshot *snapshot);
/*
 * A snapshot is plain bytes, tt_snapshot_size() of them: made of those again, for the same machine in the same version of the
 * program. To be freed; NULL: they are no snapshot of such a machine, or there is no memory.
 */
struct tt_snapshot *tt_snapshot_of_bytes(const struct tt_machine *m, const void *bytes, size_t size);
/* Registers as of the last exit, kept by KVM_CAP_SYNC_REGS (no system call). */
static inline struct kvm_sync_regs *tt_vcpu_sync_regs(struct tt_vcpu *vcpu)
{
	return &vcpu->run->s.regs;
}

#endif /* TTVM_VMM_H */
