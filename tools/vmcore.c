// SPDX-License-Identifier: GPL-2.0
/*
 * vmcore.c - writing an ELF core of a machine. The file:
 *
 *	ELF header		ET_CORE, EM_X86_64
 *	program headers		PT_NOTE; a PT_LOAD for each region of RAM; a PT_LOAD for each stretch of virtual addresses
 *	notes			per vCPU CORE/NT_PRSTATUS and CORE/NT_FPREGSET, then QEMU; VMCOREINFO
 *	memory			each region of RAM once, from a multiple of 4096 on; pages of zeros are holes
 *
 * Who reads physical memory (crash, makedumpfile) takes the first PT_LOAD whose p_paddr fits: one of
 * the regions. gdb reads by p_vaddr, so all that vCPU 0's page tables map has a PT_LOAD of its own, which shows the
 * same bytes of the file; that is what QEMU's `dump-guest-memory -p` does. A region's own p_vaddr is where Linux maps
 * it whole, in its direct map, as in the vmcores of kdump; without such a place it is PHYSICAL_ALIAS + p_paddr, where
 * no x86-64 has memory, and without paging p_paddr.
 *
 * The note QEMU (struct qemu_state; target/i386/arch_dump.c there) has the system registers that NT_PRSTATUS lacks:
 * crash finds the kernel by them when there is no VMCOREINFO.
 */
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/procfs.h>
#include <sys/stat.h>
#include <sys/user.h>
#include <unistd.h>

#include "vmcore.h"

#define PHYSICAL_ALIAS 0x8000000000000000ull
#define MAX_REGIONS 2
#define CHUNK (1u << 20)	/* bytes written in one go */
#define RFLAGS_RF (1ull << 16)	/* may be the debugger's doing */

struct qemu_segment {
	uint32_t selector, limit, flags, padding;
	uint64_t base;
};

/* Version 1. flags are the descriptor's second word without base and limit. */
struct qemu_state {
	uint32_t version, size;
	uint64_t rax, rbx, rcx, rdx, rsi, rdi, rsp, rbp;
	uint64_t r8, r9, r10, r11, r12, r13, r14, r15;
	uint64_t rip, rflags;
	struct qemu_segment cs, ds, es, fs, gs, ss;
	struct qemu_segment ldt, tr, gdt, idt;
	uint64_t cr[5];
	uint64_t kernel_gs_base;
};

_Static_assert(sizeof(struct qemu_state) == 440, "as QEMU writes it");
_Static_assert(sizeof(struct elf_prstatus) == 336 && sizeof(struct user_fpregs_struct) == 512, "as Linux writes them");

struct region {
	uint64_t physical, size;
	uint64_t offset;	/* in the file */
	uint64_t address;	/* p_vaddr */
	const uint8_t *data;
};

struct output {
	const struct vmcore *core;
	int fd;
	struct region regions[MAX_REGIONS];
	unsigned int num_regions;
	struct tt_mapping *mappings;
	size_t num_mappings;
	bool cut;		/* there are more of them */
	uint8_t *notes;
	size_t notes_size, notes_room;
	uint64_t notes_offset;
};

/* ------------------------------------------------------------------ notes */

static void put_note(struct output *o, const char *name, uint32_t type, const void *data, size_t size)
{
	const Elf64_Nhdr head = { .n_namesz = strlen(name) + 1, .n_descsz = size, .n_type = type };
	uint8_t *at = o->notes + o->notes_size;

	memcpy(at, &head, sizeof(head));
	memcpy(at + sizeof(head), name, head.n_namesz);
	at += sizeof(head) + (head.n_namesz + 3) / 4 * 4;
	memcpy(at, data, size);
	o->notes_size = at - o->notes + (size + 3) / 4 * 4;
}

static void put_status(struct output *o, unsigned int index, const struct tt_registers *r)
{
	const struct kvm_sregs *s = &r->sregs;
	const struct user_regs_struct regs = {
		.r15 = r->regs.r15, .r14 = r->regs.r14, .r13 = r->regs.r13, .r12 = r->regs.r12,
		.r11 = r->regs.r11, .r10 = r->regs.r10, .r9 = r->regs.r9, .r8 = r->regs.r8,
		.rax = r->regs.rax, .rbx = r->regs.rbx, .rcx = r->regs.rcx, .rdx = r->regs.rdx,
		.rsi = r->regs.rsi, .rdi = r->regs.rdi, .rbp = r->regs.rbp, .rsp = r->regs.rsp,
		.rip = r->regs.rip, .eflags = r->regs.rflags & ~RFLAGS_RF,
		.orig_rax = -1, /* in no system call */
		.cs = s->cs.selector, .ss = s->ss.selector, .ds = s->ds.selector,
		.es = s->es.selector, .fs = s->fs.selector, .gs = s->gs.selector,
		.fs_base = s->fs.base, .gs_base = s->gs.base,
	};
	/* A debugger's thread; 0 would be none. */
	struct elf_prstatus status = { .pr_pid = index + 1 };

	_Static_assert(sizeof(regs) == sizeof(status.pr_reg), "the same registers");
	memcpy(&status.pr_reg, &regs, sizeof(regs));
	put_note(o, "CORE", NT_PRSTATUS, &status, sizeof(status));
	put_note(o, "CORE", NT_FPREGSET, r->xsave.region, sizeof(struct user_fpregs_struct));
}

static struct qemu_segment qemu_segment(const struct kvm_segment *s)
{
	return (struct qemu_segment){
		.selector = s->selector,
		.limit = s->limit,
		.flags = s->type << 8 | s->s << 12 | s->dpl << 13 | s->present << 15 | s->avl << 20 | s->l << 21 |
			 s->db << 22 | (uint32_t)s->g << 23,
		.base = s->base,
	};
}

static void put_state(struct output *o, const struct tt_registers *r)
{
	const struct kvm_sregs *s = &r->sregs;
	const struct qemu_state state = {
		.version = 1,
		.size = sizeof(state),
		.rax = r->regs.rax, .rbx = r->regs.rbx, .rcx = r->regs.rcx, .rdx = r->regs.rdx,
		.rsi = r->regs.rsi, .rdi = r->regs.rdi, .rsp = r->regs.rsp, .rbp = r->regs.rbp,
		.r8 = r->regs.r8, .r9 = r->regs.r9, .r10 = r->regs.r10, .r11 = r->regs.r11,
		.r12 = r->regs.r12, .r13 = r->regs.r13, .r14 = r->regs.r14, .r15 = r->regs.r15,
		.rip = r->regs.rip, .rflags = r->regs.rflags & ~RFLAGS_RF,
		.cs = qemu_segment(&s->cs), .ds = qemu_segment(&s->ds), .es = qemu_segment(&s->es),
		.fs = qemu_segment(&s->fs), .gs = qemu_segment(&s->gs), .ss = qemu_segment(&s->ss),
		.ldt = qemu_segment(&s->ldt), .tr = qemu_segment(&s->tr),
		.gdt = { .limit = s->gdt.limit, .base = s->gdt.base },
		.idt = { .limit = s->idt.limit, .base = s->idt.base },
		.cr = { s->cr0, 0, s->cr2, s->cr3, s->cr4 },
		.kernel_gs_base = r->msrs[TT_MSR_KERNEL_GS_BASE],
	};

	put_note(o, "QEMU", 0, &state, sizeof(state));
}

static int make_notes(struct output *o, struct tt_error *err)
{
	const struct vmcore *core = o->core;
	unsigned int i;

	/* Bounds: 32 bytes for each note's head, name and padding. */
	o->notes_room = core->num_vcpus * (sizeof(struct elf_prstatus) + sizeof(struct user_fpregs_struct) +
					   sizeof(struct qemu_state) + 3 * 32) +
			(core->info ? core->info->size + 32 : 0);
	o->notes = calloc(1, o->notes_room);
	if (!o->notes)
		return tt_fail(err, -ENOMEM, "out of memory");
	for (i = 0; i < core->num_vcpus; i++)
		put_status(o, i, &core->registers[i]);
	for (i = 0; i < core->num_vcpus; i++)
		put_state(o, &core->registers[i]);
	if (core->info)
		put_note(o, "VMCOREINFO", 0, core->info->text, core->info->size);
	return 0;
}

/* ------------------------------------------------------------------ segments */

static void add_region(struct output *o, uint64_t physical, uint64_t size)
{
	struct region *r = &o->regions[o->num_regions];

	if (!size)
		return;
	*r = (struct region){ .physical = physical, .size = size, .data = tt_memory_at(o->core->memory, physical, size) };
	o->num_regions++;
}

/* Where the region is mapped as a whole in the upper half, which is the kernel's; one such place is as good as another. */
static void place_region(const struct output *o, struct region *r, bool paging)
{
	size_t i;

	r->address = paging ? PHYSICAL_ALIAS + r->physical : r->physical;
	for (i = 0; i < o->num_mappings; i++) {
		const struct tt_mapping *m = &o->mappings[i];

		if (m->address >> 63 && m->physical <= r->physical && m->physical + m->size >= r->physical + r->size)
			r->address = m->address + (r->physical - m->physical);
	}
}

/* A mapping that shows what a region shows at the same place is of no use beside it. */
static bool is_covered(const struct output *o, const struct tt_mapping *m)
{
	unsigned int i;

	for (i = 0; i < o->num_regions; i++)
		if (m->address >= o->regions[i].address && m->physical >= o->regions[i].physical &&
		    m->address - o->regions[i].address == m->physical - o->regions[i].physical &&
		    m->physical + m->size <= o->regions[i].physical + o->regions[i].size)
			return true;
	return false;
}

static int find_segments(struct output *o, struct tt_error *err)
{
	const struct tt_memory *mem = o->core->memory;
	ssize_t found = tt_memory_mappings(mem, &o->core->registers[0].sregs, &o->mappings);
	size_t i, kept = 0;

	if (found < 0)
		return tt_fail(err, (int)found, "out of memory");
	o->num_mappings = found;
	o->cut = found == TT_MAX_MAPPINGS;
	add_region(o, 0, mem->low_size);
	add_region(o, TT_RAM_ABOVE, mem->size - mem->low_size);
	for (i = 0; i < o->num_regions; i++)
		place_region(o, &o->regions[i], found > 0);
	for (i = 0; i < o->num_mappings; i++)
		if (!is_covered(o, &o->mappings[i]))
			o->mappings[kept++] = o->mappings[i];
	o->num_mappings = kept;
	return 0;
}

static uint64_t file_offset(const struct output *o, uint64_t physical)
{
	const struct region *r = &o->regions[o->num_regions > 1 && physical >= o->regions[1].physical];

	return r->offset + (physical - r->physical);
}

static uint64_t page_up(uint64_t n)
{
	return (n + TT_PAGE_SIZE - 1) & ~(uint64_t)(TT_PAGE_SIZE - 1);
}

/* Where everything stands in the file; its size. */
static uint64_t lay_out(struct output *o, uint64_t headers)
{
	uint64_t at = headers;
	unsigned int i;

	o->notes_offset = at;
	at = page_up(at + o->notes_size);
	for (i = 0; i < o->num_regions; i++) {
		o->regions[i].offset = at;
		at += o->regions[i].size;
	}
	return at;
}

static void fill_segments(const struct output *o, Elf64_Phdr *phdr)
{
	/* p_align is 0 as in kdump's: by that crash tells a vmcore from a netdump, an older format. */
	const Elf64_Phdr load = { .p_type = PT_LOAD, .p_flags = PF_R | PF_W | PF_X };
	size_t i;

	*phdr++ = (Elf64_Phdr){ .p_type = PT_NOTE, .p_offset = o->notes_offset, .p_filesz = o->notes_size,
				.p_memsz = o->notes_size, .p_align = 4 };
	for (i = 0; i < o->num_regions; i++, phdr++) {
		*phdr = load;
		phdr->p_offset = o->regions[i].offset;
		phdr->p_vaddr = o->regions[i].address;
		phdr->p_paddr = o->regions[i].physical;
		phdr->p_filesz = phdr->p_memsz = o->regions[i].size;
	}
	for (i = 0; i < o->num_mappings; i++, phdr++) {
		*phdr = load;
		phdr->p_offset = file_offset(o, o->mappings[i].physical);
		phdr->p_vaddr = o->mappings[i].address;
		phdr->p_paddr = o->mappings[i].physical;
		phdr->p_filesz = phdr->p_memsz = o->mappings[i].size;
	}
}

/* ------------------------------------------------------------------ writing */

static int write_all(int fd, const void *data, size_t len, uint64_t offset)
{
	size_t done;

	for (done = 0; done < len;) {
		ssize_t n = pwrite(fd, (const char *)data + done, len - done, (off_t)(offset + done));

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n ? -errno : -EIO;
		done += n;
	}
	return 0;
}

/*
 * More segments than e_phnum can count: their number stands in the one section header, behind the program headers
 * (System V ABI, chapter 4, PN_XNUM).
 */
static int write_headers(struct output *o, uint64_t *size)
{
	const size_t segments = 1 + o->num_regions + o->num_mappings;
	const bool many = segments >= PN_XNUM;
	const Elf64_Shdr count = { .sh_info = (Elf64_Word)segments };
	const uint64_t segments_end = sizeof(Elf64_Ehdr) + segments * sizeof(Elf64_Phdr);
	const Elf64_Ehdr ehdr = {
		.e_ident = { ELFMAG0, ELFMAG1, ELFMAG2, ELFMAG3, ELFCLASS64, ELFDATA2LSB, EV_CURRENT },
		.e_type = ET_CORE,
		.e_machine = EM_X86_64,
		.e_version = EV_CURRENT,
		.e_ehsize = sizeof(Elf64_Ehdr),
		.e_phoff = sizeof(Elf64_Ehdr),
		.e_phentsize = sizeof(Elf64_Phdr),
		.e_phnum = many ? PN_XNUM : segments,
		.e_shoff = many ? segments_end : 0,
		.e_shentsize = many ? sizeof(Elf64_Shdr) : 0,
		.e_shnum = many,
	};
	Elf64_Phdr *phdrs = calloc(segments, sizeof(*phdrs));
	int ret;

	if (!phdrs)
		return -ENOMEM;
	*size = lay_out(o, segments_end + (many ? sizeof(Elf64_Shdr) : 0));
	fill_segments(o, phdrs);
	ret = write_all(o->fd, &ehdr, sizeof(ehdr), 0);
	if (!ret)
		ret = write_all(o->fd, phdrs, segments * sizeof(*phdrs), sizeof(ehdr));
	if (!ret && many)
		ret = write_all(o->fd, &count, sizeof(count), segments_end);
	free(phdrs);
	return ret;
}

static bool is_zero(const uint8_t *page)
{
	static const uint8_t zero[TT_PAGE_SIZE];

	return !memcmp(page, zero, TT_PAGE_SIZE);
}

/* Bits of pages that were never touched are 0: reading those would give them memory. */
static int write_region(const struct output *o, const struct region *r, const uint64_t *touched,
			struct vmcore_stats *stats)
{
	const struct vmcore *core = o->core;
	uint64_t first = (r->data - core->memory->hva) / TT_PAGE_SIZE, at, run;
	int ret;

	for (at = 0; at < r->size;) {
		for (run = 0; run < CHUNK && at + run < r->size; run += TT_PAGE_SIZE) {
			uint64_t page = first + (at + run) / TT_PAGE_SIZE;

			if (!(touched[page / 64] & 1ull << page % 64) || is_zero(r->data + at + run))
				break;
		}
		ret = write_all(o->fd, r->data + at, run, r->offset + at);
		if (ret)
			return ret;
		stats->stored += run;
		at += run;
		if (run < CHUNK && at < r->size)
			at += TT_PAGE_SIZE; /* the page that ended the run becomes a hole */
		if ((run || !(at % CHUNK)) && core->progress && core->progress(core->ctx, first * TT_PAGE_SIZE + at))
			return -EINTR;
	}
	return 0;
}

static int write_memory(struct output *o, struct vmcore_stats *stats)
{
	const struct tt_memory *mem = o->core->memory;
	uint64_t *touched = calloc((mem->size / TT_PAGE_SIZE + 63) / 64, sizeof(*touched));
	unsigned int i;
	int ret = touched ? 0 : -ENOMEM;

	if (touched)
		tt_memory_touched(mem, touched);
	for (i = 0; i < o->num_regions && !ret; i++)
		ret = write_region(o, &o->regions[i], touched, stats);
	free(touched);
	return ret;
}

static int write_file(struct output *o, const char *path, struct vmcore_stats *stats, struct tt_error *err)
{
	int ret = write_headers(o, &stats->bytes);

	if (!ret && ftruncate(o->fd, (off_t)stats->bytes))
		ret = -errno;
	if (!ret)
		ret = write_all(o->fd, o->notes, o->notes_size, o->notes_offset);
	if (!ret)
		ret = write_memory(o, stats);
	if (!ret && fsync(o->fd))
		ret = -errno;
	return ret ? tt_fail(err, ret, "%s: %s", path, ret == -EINTR ? "given up" : strerror(-ret)) : 0;
}

/* A path that is no regular file (/dev/full, a pipe) cannot be replaced by one. */
static int check_path(const char *path, struct tt_error *err)
{
	struct stat st;

	if (!stat(path, &st) && !S_ISREG(st.st_mode))
		return tt_fail(err, -EINVAL, "%s: not a regular file, and a core is no stream", path);
	return 0;
}

int vmcore_write(const struct vmcore *core, const char *path, struct vmcore_stats *stats, struct tt_error *err)
{
	struct output o = { .core = core, .fd = -1 };
	size_t room = strlen(path) + sizeof(".XXXXXX");
	char *name = malloc(room);
	int ret = check_path(path, err);

	*stats = (struct vmcore_stats){ 0 };
	if (ret)
		goto out;
	ret = name ? 0 : tt_fail(err, -ENOMEM, "out of memory");
	if (!ret)
		ret = find_segments(&o, err);
	if (!ret)
		ret = make_notes(&o, err);
	if (ret)
		goto out;
	stats->mappings = o.num_mappings;
	stats->cut = o.cut;
	snprintf(name, room, "%s.XXXXXX", path);
	o.fd = mkostemp(name, O_CLOEXEC);
	if (o.fd < 0) {
		ret = tt_fail(err, -errno, "%s: %s", path, strerror(errno));
		goto out;
	}
	ret = write_file(&o, path, stats, err);
	if (close(o.fd) && !ret)
		ret = tt_fail(err, -errno, "%s: %s", path, strerror(errno));
	if (!ret && rename(name, path))
		ret = tt_fail(err, -errno, "%s: %s", path, strerror(errno));
	if (ret)
		unlink(name);
out:
	free(o.mappings);
	free(o.notes);
	free(name);
	return ret;
}
