// SPDX-License-Identifier: GPL-2.0
/*
 * description.c - the registers as gdb numbers and sees them: the target description (GDB manual, appendix G) and the way
 * between it and KVM's structs. The order of the tables is the numbering.
 *
 * Features org.gnu.gdb.i386.* are what gdb's i386:x86-64 expects; org.ttvm.system is ours: what `info registers system` shows.
 */
#include <stdlib.h>
#include <string.h>

#include "gdb.h"

struct reg {
	const char *name;
	const char *type;
	const char *group;	/* NULL: by its type */
	uint16_t offset;	/* in struct tt_registers */
	uint8_t size;		/* bytes in gdb */
	uint8_t width;		/* bytes in struct tt_registers; less than size: zero-extended */
};

#define AT(member) offsetof(struct tt_registers, member)
#define FXSAVE(offset) (AT(xsave) + (offset))	/* Intel SDM vol. 1, table 10-2: 64-bit mode with REX.W */
#define AVX_OFFSET 576				/* the same on all CPUs that have it: CPUID leaf 13, subleaf 2 */

#define GPR(name, type) { #name, type, NULL, AT(regs.name), 8, 8 }
#define SELECTOR(name) { #name, "int32", NULL, AT(sregs.name.selector), 4, 2 }
#define X87(n) { "st" #n, "i387_ext", NULL, FXSAVE(32 + 16 * n), 10, 10 }
#define X87_CONTROL(name, offset, width) { name, "int", "float", FXSAVE(offset), 4, width }
#define XMM(n) { "xmm" #n, "vec128", "vector", FXSAVE(160 + 16 * n), 16, 16 }
#define YMM(n) { "ymm" #n "h", "uint128", NULL, FXSAVE(AVX_OFFSET + 16 * n), 16, 16 }
#define SYSTEM(name, type, member) { name, type, "system", AT(member), 8, sizeof(((struct tt_registers *)0)->member) }

/* FXSAVE has a bit per register, gdb two as FSAVE. */
#define ABRIDGED_TAGS FXSAVE(4)

static const struct reg core[] = {
	GPR(rax, "int64"), GPR(rbx, "int64"), GPR(rcx, "int64"), GPR(rdx, "int64"),
	GPR(rsi, "int64"), GPR(rdi, "int64"), GPR(rbp, "data_ptr"), GPR(rsp, "data_ptr"),
	GPR(r8, "int64"), GPR(r9, "int64"), GPR(r10, "int64"), GPR(r11, "int64"),
	GPR(r12, "int64"), GPR(r13, "int64"), GPR(r14, "int64"), GPR(r15, "int64"),
	GPR(rip, "code_ptr"),
	{ "eflags", "i386_eflags", NULL, AT(regs.rflags), 4, 4 },
	SELECTOR(cs), SELECTOR(ss), SELECTOR(ds), SELECTOR(es), SELECTOR(fs), SELECTOR(gs),
	X87(0), X87(1), X87(2), X87(3), X87(4), X87(5), X87(6), X87(7),
	X87_CONTROL("fctrl", 0, 2), X87_CONTROL("fstat", 2, 2), X87_CONTROL("ftag", 4, 1),
	X87_CONTROL("fiseg", 12, 2), X87_CONTROL("fioff", 8, 4), X87_CONTROL("foseg", 20, 2),
	X87_CONTROL("fooff", 16, 4), X87_CONTROL("fop", 6, 2),
};

static const struct reg sse[] = {
	XMM(0), XMM(1), XMM(2), XMM(3), XMM(4), XMM(5), XMM(6), XMM(7),
	XMM(8), XMM(9), XMM(10), XMM(11), XMM(12), XMM(13), XMM(14), XMM(15),
	{ "mxcsr", "i386_mxcsr", "vector", FXSAVE(24), 4, 4 },
};

static const struct reg segments[] = {
	{ "fs_base", "int64", NULL, AT(sregs.fs.base), 8, 8 },
	{ "gs_base", "int64", NULL, AT(sregs.gs.base), 8, 8 },
};

static const struct reg system_registers[] = {
	SYSTEM("cr0", "ttvm_cr0", sregs.cr0),
	SYSTEM("cr2", "uint64", sregs.cr2),
	SYSTEM("cr3", "uint64", sregs.cr3),
	SYSTEM("cr4", "ttvm_cr4", sregs.cr4),
	SYSTEM("cr8", "uint64", sregs.cr8),
	SYSTEM("efer", "ttvm_efer", sregs.efer),
	SYSTEM("cs_base", "uint64", sregs.cs.base),
	SYSTEM("ss_base", "uint64", sregs.ss.base),
	SYSTEM("ds_base", "uint64", sregs.ds.base),
	SYSTEM("es_base", "uint64", sregs.es.base),
	SYSTEM("gdtr_base", "uint64", sregs.gdt.base),
	SYSTEM("gdtr_limit", "uint64", sregs.gdt.limit),
	SYSTEM("idtr_base", "uint64", sregs.idt.base),
	SYSTEM("idtr_limit", "uint64", sregs.idt.limit),
	SYSTEM("tr", "uint64", sregs.tr.selector),
	SYSTEM("tr_base", "uint64", sregs.tr.base),
	SYSTEM("tr_limit", "uint64", sregs.tr.limit),
	SYSTEM("ldtr", "uint64", sregs.ldt.selector),
	SYSTEM("ldtr_base", "uint64", sregs.ldt.base),
	SYSTEM("ldtr_limit", "uint64", sregs.ldt.limit),
	SYSTEM("dr0", "uint64", debug.db[0]),
	SYSTEM("dr1", "uint64", debug.db[1]),
	SYSTEM("dr2", "uint64", debug.db[2]),
	SYSTEM("dr3", "uint64", debug.db[3]),
	SYSTEM("dr6", "uint64", debug.dr6),
	SYSTEM("dr7", "uint64", debug.dr7),
	SYSTEM("star", "uint64", msrs[TT_MSR_STAR]),
	SYSTEM("lstar", "uint64", msrs[TT_MSR_LSTAR]),
	SYSTEM("cstar", "uint64", msrs[TT_MSR_CSTAR]),
	SYSTEM("sfmask", "uint64", msrs[TT_MSR_SFMASK]),
	SYSTEM("kernel_gs_base", "uint64", msrs[TT_MSR_KERNEL_GS_BASE]),
	SYSTEM("sysenter_cs", "uint64", msrs[TT_MSR_SYSENTER_CS]),
	SYSTEM("sysenter_esp", "uint64", msrs[TT_MSR_SYSENTER_ESP]),
	SYSTEM("sysenter_eip", "uint64", msrs[TT_MSR_SYSENTER_EIP]),
	SYSTEM("pat", "uint64", msrs[TT_MSR_PAT]),
	SYSTEM("apic_base", "uint64", msrs[TT_MSR_APIC_BASE]),
};

static const struct reg avx_registers[] = {
	YMM(0), YMM(1), YMM(2), YMM(3), YMM(4), YMM(5), YMM(6), YMM(7),
	YMM(8), YMM(9), YMM(10), YMM(11), YMM(12), YMM(13), YMM(14), YMM(15),
};

struct flag {
	const char *name;
	uint8_t bit;
};

static const struct flag eflags[] = {
	{ "CF", 0 }, { "PF", 2 }, { "AF", 4 }, { "ZF", 6 }, { "SF", 7 }, { "TF", 8 }, { "IF", 9 }, { "DF", 10 },
	{ "OF", 11 }, { "NT", 14 }, { "RF", 16 }, { "VM", 17 }, { "AC", 18 }, { "VIF", 19 }, { "VIP", 20 }, { "ID", 21 },
	{ NULL, 0 },
};
static const struct flag mxcsr[] = {
	{ "IE", 0 }, { "DE", 1 }, { "ZE", 2 }, { "OE", 3 }, { "UE", 4 }, { "PE", 5 }, { "DAZ", 6 }, { "IM", 7 },
	{ "DM", 8 }, { "ZM", 9 }, { "OM", 10 }, { "UM", 11 }, { "PM", 12 }, { "FZ", 15 }, { NULL, 0 },
};
static const struct flag cr0[] = {
	{ "PE", 0 }, { "MP", 1 }, { "EM", 2 }, { "TS", 3 }, { "ET", 4 }, { "NE", 5 }, { "WP", 16 }, { "AM", 18 },
	{ "NW", 29 }, { "CD", 30 }, { "PG", 31 }, { NULL, 0 },
};
static const struct flag cr4[] = {
	{ "VME", 0 }, { "PVI", 1 }, { "TSD", 2 }, { "DE", 3 }, { "PSE", 4 }, { "PAE", 5 }, { "MCE", 6 }, { "PGE", 7 },
	{ "PCE", 8 }, { "OSFXSR", 9 }, { "OSXMMEXCPT", 10 }, { "UMIP", 11 }, { "LA57", 12 }, { "FSGSBASE", 16 },
	{ "PCIDE", 17 }, { "OSXSAVE", 18 }, { "SMEP", 20 }, { "SMAP", 21 }, { "PKE", 22 }, { NULL, 0 },
};
static const struct flag efer[] = {
	{ "SCE", 0 }, { "LME", 8 }, { "LMA", 10 }, { "NXE", 11 }, { "SVME", 12 }, { "FFXSR", 14 }, { NULL, 0 },
};

static const struct feature {
	const char *name;
	const struct reg *regs;
	unsigned int count;
} features[] = {
#define FEATURE(name, table) { name, table, sizeof(table) / sizeof(table[0]) }
	FEATURE("org.gnu.gdb.i386.core", core),
	FEATURE("org.gnu.gdb.i386.sse", sse),
	FEATURE("org.gnu.gdb.i386.segments", segments),
	FEATURE("org.ttvm.system", system_registers),
	FEATURE("org.gnu.gdb.i386.avx", avx_registers), /* last: not all guests have it */
};
#define NUM_FEATURES (sizeof(features) / sizeof(features[0]))

static size_t num_features(bool avx)
{
	return avx ? NUM_FEATURES : NUM_FEATURES - 1;
}

/* ------------------------------------------------------------------ XML */

static void print_flags(FILE *out, const char *id, unsigned int size, const struct flag *flag)
{
	fprintf(out, "<flags id=\"%s\" size=\"%u\">", id, size);
	for (; flag->name; flag++)
		fprintf(out, "<field name=\"%s\" start=\"%u\" end=\"%u\"/>", flag->name, flag->bit, flag->bit);
	fputs("</flags>\n", out);
}

static void print_types(FILE *out, const struct reg *table)
{
	static const char vectors[] = "<vector id=\"v4f\" type=\"ieee_single\" count=\"4\"/>\n"
				      "<vector id=\"v2d\" type=\"ieee_double\" count=\"2\"/>\n"
				      "<vector id=\"v16i8\" type=\"int8\" count=\"16\"/>\n"
				      "<vector id=\"v8i16\" type=\"int16\" count=\"8\"/>\n"
				      "<vector id=\"v4i32\" type=\"int32\" count=\"4\"/>\n"
				      "<vector id=\"v2i64\" type=\"int64\" count=\"2\"/>\n"
				      "<union id=\"vec128\">"
				      "<field name=\"v4_float\" type=\"v4f\"/><field name=\"v2_double\" type=\"v2d\"/>"
				      "<field name=\"v16_int8\" type=\"v16i8\"/><field name=\"v8_int16\" type=\"v8i16\"/>"
				      "<field name=\"v4_int32\" type=\"v4i32\"/><field name=\"v2_int64\" type=\"v2i64\"/>"
				      "<field name=\"uint128\" type=\"uint128\"/></union>\n";

	if (table == core) {
		print_flags(out, "i386_eflags", 4, eflags);
	} else if (table == sse) {
		fputs(vectors, out);
		print_flags(out, "i386_mxcsr", 4, mxcsr);
	} else if (table == system_registers) {
		print_flags(out, "ttvm_cr0", 8, cr0);
		print_flags(out, "ttvm_cr4", 8, cr4);
		print_flags(out, "ttvm_efer", 8, efer);
	}
}

char *gdb_description(bool avx)
{
	char *text = NULL;
	size_t size, f;
	FILE *out = open_memstream(&text, &size);
	unsigned int i;

	if (!out)
		return NULL;
	fputs("<?xml version=\"1.0\"?>\n<!DOCTYPE target SYSTEM \"gdb-target.dtd\">\n<target version=\"1.0\">\n"
	      "<architecture>i386:x86-64</architecture>\n", out);
	for (f = 0; f < num_features(avx); f++) {
		fprintf(out, "<feature name=\"%s\">\n", features[f].name);
		print_types(out, features[f].regs);
		for (i = 0; i < features[f].count; i++) {
			const struct reg *reg = &features[f].regs[i];

			fprintf(out, "<reg name=\"%s\" bitsize=\"%d\" type=\"%s\"", reg->name, reg->size * 8, reg->type);
			if (reg->group)
				fprintf(out, " group=\"%s\"", reg->group);
			fputs("/>\n", out);
		}
		fputs("</feature>\n", out);
	}
	fputs("</target>\n", out);
	if (fclose(out)) {
		free(text);
		return NULL;
	}
	return text;
}

/* ------------------------------------------------------------------ values */

unsigned int gdb_num_registers(bool avx)
{
	unsigned int sum = 0;
	size_t f;

	for (f = 0; f < num_features(avx); f++)
		sum += features[f].count;
	return sum;
}

static const struct reg *find(unsigned int n)
{
	const struct feature *f = features;

	for (; n >= f->count; f++)
		n -= f->count;
	return &f->regs[n];
}

/* Empty is 3. For others gdb looks no further than the value itself: 0, valid. */
static uint16_t full_tags(uint8_t abridged)
{
	uint16_t full = 0;
	int i;

	for (i = 0; i < 8; i++)
		if (!(abridged & 1 << i))
			full |= 3 << 2 * i;
	return full;
}

static uint8_t abridge_tags(uint16_t full)
{
	uint8_t abridged = 0;
	int i;

	for (i = 0; i < 8; i++)
		if ((full >> 2 * i & 3) != 3)
			abridged |= 1 << i;
	return abridged;
}

size_t gdb_register_get(const struct tt_registers *r, unsigned int n, uint8_t value[GDB_MAX_REGISTER])
{
	const struct reg *reg = find(n);
	const uint8_t *at = (const uint8_t *)r + reg->offset;
	uint16_t tags;

	memset(value, 0, GDB_MAX_REGISTER);
	memcpy(value, at, reg->width);
	if (reg->offset == ABRIDGED_TAGS) {
		tags = full_tags(*at);
		memcpy(value, &tags, sizeof(tags));
	}
	return reg->size;
}

void gdb_register_set(struct tt_registers *r, unsigned int n, const uint8_t value[GDB_MAX_REGISTER])
{
	const struct reg *reg = find(n);
	uint8_t *at = (uint8_t *)r + reg->offset;
	uint16_t tags;

	memcpy(&tags, value, sizeof(tags));
	if (reg->offset == ABRIDGED_TAGS)
		*at = abridge_tags(tags);
	else
		memcpy(at, value, reg->width);
}
