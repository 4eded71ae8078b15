// SPDX-License-Identifier: GPL-2.0
/*
 * cpuid.c - the guest's CPUID table: made from KVM's when recording, compared with KVM's when
 * replaying elsewhere.
 *
 * The table is built leaf by leaf from nothing, so that a leaf or bit that a future KVM reports
 * stays hidden. Three kinds of content: feature bits (cpuid_features.c), the host's identity
 * (vendor, family, model, brand: the vendor decides which paths a kernel takes), and constants of
 * our own where the host's values would only differ from machine to machine (caches, topology,
 * address sizes). docs/cpu.md explains.
 */
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>

#include "cpuid.h"

#define MAX_ENTRIES   64
#define MAX_SUPPORTED 1024
#define SIGNATURE     0x40000000u
#define PHYSICAL_BITS 40
#define VIRTUAL_BITS  48
#define CPUID_1_ECX_XSAVE (1u << 26)

struct model {
	const char *name;
	bool v3;
	bool host; /* and what else the host has, if it is the same in every replay */
};

static const struct model models[] = {
	{ .name = "x86-64-v2" },
	{ .name = "x86-64-v3", .v3 = true },
	{ .name = "host", .host = true },
};

static const struct kvm_cpuid_entry2 *find(const struct kvm_cpuid2 *cpuid, uint32_t function,
					   uint32_t index)
{
	uint32_t i;

	for (i = 0; i < cpuid->nent; i++) {
		const struct kvm_cpuid_entry2 *e = &cpuid->entries[i];

		if (e->function == function && e->index == index)
			return e;
	}
	return NULL;
}

static uint32_t entry_reg(const struct kvm_cpuid_entry2 *e, unsigned int reg)
{
	switch (reg) {
	case REG_EAX:
		return e->eax;
	case REG_EBX:
		return e->ebx;
	case REG_ECX:
		return e->ecx;
	default:
		return e->edx;
	}
}

uint32_t tt_cpuid_get(const struct kvm_cpuid2 *cpuid, uint32_t function, uint32_t index,
		      unsigned int reg)
{
	const struct kvm_cpuid_entry2 *e = find(cpuid, function, index);

	return e ? entry_reg(e, reg) : 0;
}

static void vendor_name(const struct kvm_cpuid2 *cpuid, char name[13])
{
	uint32_t words[3] = {
		tt_cpuid_get(cpuid, 0, 0, REG_EBX),
		tt_cpuid_get(cpuid, 0, 0, REG_EDX),
		tt_cpuid_get(cpuid, 0, 0, REG_ECX),
	};

	memcpy(name, words, 12);
	name[12] = 0;
}

bool tt_cpuid_is_intel(const struct kvm_cpuid2 *cpuid)
{
	char vendor[13];

	vendor_name(cpuid, vendor);
	return strcmp(vendor, "GenuineIntel") == 0;
}

static void add(struct kvm_cpuid2 *cpuid, uint32_t function, uint32_t index, uint32_t eax,
		uint32_t ebx, uint32_t ecx, uint32_t edx)
{
	bool indexed = function == 4 || function == 7 || function == 0xd;

	cpuid->entries[cpuid->nent++] = (struct kvm_cpuid_entry2){
		.function = function,
		.index = index,
		.flags = indexed ? KVM_CPUID_FLAG_SIGNIFCANT_INDEX : 0,
		.eax = eax,
		.ebx = ebx,
		.ecx = ecx,
		.edx = edx,
	};
}

/* Does a guest of this model get a feature that the host has? */
static bool offers(const struct model *model, enum tt_cpu_policy policy)
{
	switch (policy) {
	case CPU_REQUIRED:
	case CPU_OPTIONAL:
		return true;
	case CPU_V3:
		return model->v3;
	case CPU_HOST:
		return model->host;
	case CPU_HOST_AVX:
		return model->host && model->v3;
	default:
		return false;
	}
}

/* The feature bits of one register of one leaf for this model on this host. */
static uint32_t feature_word(const struct kvm_cpuid2 *supported, const struct model *model,
			     uint32_t function, uint32_t index, unsigned int reg)
{
	uint32_t has = tt_cpuid_get(supported, function, index, reg), word = 0;
	size_t i;

	for (i = 0; i < tt_cpu_num_features; i++) {
		const struct tt_cpu_feature *f = &tt_cpu_features[i];
		uint32_t bit = 1u << f->bit;

		if (f->function != function || f->index != index || f->reg != reg)
			continue;
		if (f->policy == CPU_PROVIDED)
			word |= bit;
		else if (offers(model, f->policy))
			word |= bit & has;
	}
	return word;
}

static void add_features(struct kvm_cpuid2 *cpuid, const struct kvm_cpuid2 *supported,
			 const struct model *model, uint32_t function, uint32_t eax, uint32_t ebx)
{
	add(cpuid, function, 0, eax | feature_word(supported, model, function, 0, REG_EAX),
	    ebx | feature_word(supported, model, function, 0, REG_EBX),
	    feature_word(supported, model, function, 0, REG_ECX),
	    feature_word(supported, model, function, 0, REG_EDX));
}

/*
 * Leaves that only Intel's CPUs have. One core of one thread with caches of its own (type | level
 * << 5 | self-init << 8; line - 1 | ways - 1 << 22; sets - 1); TSC = crystal * ebx / eax, which
 * Linux believes on Intel and then calibrates nothing.
 */
static void add_intel_leaves(struct kvm_cpuid2 *cpuid, uint64_t tsc_hz)
{
	uint32_t ratio = tsc_hz > UINT32_MAX ? 2 : 1, mhz = tsc_hz / 1000000;

	add(cpuid, 2, 0, 0x00feff01, 0, 0, 0);		  /* ask leaf 4 */
	add(cpuid, 4, 0, 0x121, 7u << 22 | 63, 63, 0);	  /* 32 KiB data */
	add(cpuid, 4, 1, 0x122, 7u << 22 | 63, 63, 0);	  /* 32 KiB instructions */
	add(cpuid, 4, 2, 0x143, 7u << 22 | 63, 1023, 0);  /* 512 KiB */
	add(cpuid, 4, 3, 0x163, 15u << 22 | 63, 8191, 0); /* 8 MiB */
	add(cpuid, 4, 4, 0, 0, 0, 0);
	add(cpuid, 0x15, 0, 1, ratio, tsc_hz / ratio, 0);
	add(cpuid, 0x16, 0, mhz, mhz, 100, 0);
}

/* x87, SSE and AVX state in the standard format, no compaction, no supervisor state. */
static void add_xsave_leaves(struct kvm_cpuid2 *cpuid)
{
	add(cpuid, 0xd, 0, 7, 832, 832, 0);
	add(cpuid, 0xd, 1, 0, 0, 0, 0);
	add(cpuid, 0xd, 2, 256, 576, 0, 0);
}

static void copy_leaf(struct kvm_cpuid2 *cpuid, const struct kvm_cpuid2 *supported,
		      uint32_t function)
{
	const struct kvm_cpuid_entry2 *e = find(supported, function, 0);

	if (e)
		add(cpuid, function, 0, e->eax, e->ebx, e->ecx, e->edx);
}

static void build(struct kvm_cpuid2 *cpuid, const struct kvm_cpuid2 *supported,
		  const struct model *model, uint64_t tsc_hz)
{
	uint32_t host_bits = tt_cpuid_get(supported, 0x80000008, 0, REG_EAX) & 0xff;
	uint32_t bits = host_bits && host_bits < PHYSICAL_BITS ? host_bits : PHYSICAL_BITS;
	uint32_t function, max = model->v3 ? 0xd : 7;
	bool intel = tt_cpuid_is_intel(supported);
	char signature[13] = "TTVMTTVMTTVM";
	uint32_t words[3];

	memcpy(words, signature, 12);

	add(cpuid, 0, 0, intel ? 0x16 : max, tt_cpuid_get(supported, 0, 0, REG_EBX),
	    tt_cpuid_get(supported, 0, 0, REG_ECX), tt_cpuid_get(supported, 0, 0, REG_EDX));
	/* EBX: APIC id 0, one logical processor, CLFLUSH of 8 * 8 bytes */
	add_features(cpuid, supported, model, 1, tt_cpuid_get(supported, 1, 0, REG_EAX), 0x10800);
	add_features(cpuid, supported, model, 6, 0, 0);
	add_features(cpuid, supported, model, 7, 0, 0);
	if (model->v3)
		add_xsave_leaves(cpuid);
	if (intel)
		add_intel_leaves(cpuid, tsc_hz);

	add(cpuid, SIGNATURE, 0, SIGNATURE, words[0], words[1], words[2]);

	add(cpuid, 0x80000000, 0, intel ? 0x80000008 : 0x80000021, words[0], words[1], words[2]);
	cpuid->entries[cpuid->nent - 1].ebx = intel ? 0 : tt_cpuid_get(supported, 0, 0, REG_EBX);
	cpuid->entries[cpuid->nent - 1].ecx = intel ? 0 : tt_cpuid_get(supported, 0, 0, REG_ECX);
	cpuid->entries[cpuid->nent - 1].edx = intel ? 0 : tt_cpuid_get(supported, 0, 0, REG_EDX);
	add_features(cpuid, supported, model, 0x80000001,
		     tt_cpuid_get(supported, 0x80000001, 0, REG_EAX), 0);
	for (function = 0x80000002; function <= 0x80000004; function++)
		copy_leaf(cpuid, supported, function);
	if (intel) {
		add(cpuid, 0x80000006, 0, 0, 0, 512u << 16 | 6u << 12 | 64, 0);
	} else {
		/* L1 TLBs of 64 entries, 32 KiB L1 8-way; L2 512 KiB 8-way, L3 8 MiB 16-way */
		add(cpuid, 0x80000005, 0, 0xff40ff40, 0xff40ff40, 0x20080140, 0x20080140);
		add(cpuid, 0x80000006, 0, 0, 0x42004200, 0x02006140, 0x00408140);
	}
	add_features(cpuid, supported, model, 0x80000007, 0, 0);
	add_features(cpuid, supported, model, 0x80000008, bits | VIRTUAL_BITS << 8, 0);
	if (!intel)
		add_features(cpuid, supported, model, 0x80000021, 0, 0);
}

/* A feature of this policy that the host lacks, or NULL. */
static const struct tt_cpu_feature *lacks(const struct kvm_cpuid2 *supported, enum tt_cpu_policy policy)
{
	size_t i;

	for (i = 0; i < tt_cpu_num_features; i++) {
		const struct tt_cpu_feature *f = &tt_cpu_features[i];

		if (f->policy == policy && !(tt_cpuid_get(supported, f->function, f->index, f->reg) & 1u << f->bit))
			return f;
	}
	return NULL;
}

static const struct model *find_model(const char *name)
{
	size_t i;

	for (i = 0; i < sizeof(models) / sizeof(models[0]); i++)
		if (!name || !strcmp(models[i].name, name))
			return &models[i];
	return NULL;
}

int tt_cpuid_narrow(const struct kvm_cpuid2 *supported, const char *name, uint64_t tsc_hz,
		    struct kvm_cpuid2 **cpuid, struct tt_error *err)
{
	const struct model *found = find_model(name);
	const struct tt_cpu_feature *missing;
	struct model model;

	if (!found)
		return tt_fail(err, -EINVAL, "unknown CPU model '%s'; there are x86-64-v2 (default), x86-64-v3 and host", name);
	model = *found;
	missing = lacks(supported, CPU_REQUIRED);
	if (!missing && model.v3)
		missing = lacks(supported, CPU_V3);
	if (missing)
		return tt_fail(err, -EOPNOTSUPP, "CPU model %s needs %s, which this machine's KVM does not offer%s", model.name,
			       missing->name, missing->policy == CPU_V3 ? "; use the model x86-64-v2" : "");
	if (model.host)
		model.v3 = !lacks(supported, CPU_V3);
	*cpuid = calloc(1, sizeof(**cpuid) + MAX_ENTRIES * sizeof((*cpuid)->entries[0]));
	if (!*cpuid)
		return tt_fail(err, -ENOMEM, "out of memory");
	build(*cpuid, supported, &model, tsc_hz);
	return 0;
}

/* What a recording's CPU offers and this one does not, for a message. */
struct missing {
	char names[320];
	unsigned int count;
	unsigned int unnamed;	/* names that have no room */
	bool portable;		/* x86-64-v2 would have done without all of them */
};

static void note(struct missing *missing, const char *name, bool portable)
{
	size_t len = strlen(missing->names);

	missing->portable = portable && (missing->portable || !missing->count);
	missing->count++;
	if (len + strlen(name) + 3 > sizeof(missing->names))
		missing->unnamed++;
	else
		snprintf(missing->names + len, sizeof(missing->names) - len, "%s%s", len ? ", " : "", name);
}

/* The bits `word` of a register, by name when they have one. */
static void note_bits(struct missing *missing, const struct kvm_cpuid_entry2 *e, unsigned int reg, uint32_t word)
{
	char name[48];
	size_t i;

	for (i = 0; i < tt_cpu_num_features; i++) {
		const struct tt_cpu_feature *f = &tt_cpu_features[i];
		uint32_t bit = 1u << f->bit;

		if (f->function != e->function || f->index != e->index || f->reg != reg || !(word & bit))
			continue;
		note(missing, f->name, f->policy == CPU_V3 || f->policy == CPU_HOST || f->policy == CPU_HOST_AVX);
		word &= ~bit;
	}
	for (; word; word &= word - 1) {
		snprintf(name, sizeof(name), "bit %d of CPUID %x.%x:e%cx", __builtin_ctz(word), e->function, e->index,
			 'a' + reg);
		note(missing, name, false);
	}
}

static int refuse(const struct missing *missing, const char *model, struct tt_error *err)
{
	char more[32] = "";

	if (missing->unnamed)
		snprintf(more, sizeof(more), " and %u more", missing->unnamed);
	return tt_fail(err, -EOPNOTSUPP, "this recording's CPU, of model %s, offers %s%s, which this machine's KVM does not; replay it "
		       "on a CPU that has %s%s", model, missing->names, more, missing->count > 1 ? "them" : "it",
		       missing->portable ? ", or record with --cpu-model x86-64-v2" : "");
}

/* Registers of a leaf that consist of feature bits. */
static unsigned int feature_registers(const struct kvm_cpuid_entry2 *e)
{
	unsigned int regs = 0;
	size_t i;

	for (i = 0; i < tt_cpu_num_features; i++) {
		const struct tt_cpu_feature *f = &tt_cpu_features[i];

		if (f->function == e->function && f->index == e->index)
			regs |= 1u << f->reg;
	}
	return regs;
}

static uint32_t provided_bits(const struct kvm_cpuid_entry2 *e, unsigned int reg)
{
	uint32_t word = 0;
	size_t i;

	for (i = 0; i < tt_cpu_num_features; i++) {
		const struct tt_cpu_feature *f = &tt_cpu_features[i];

		if (f->function == e->function && f->index == e->index && f->reg == reg &&
		    f->policy == CPU_PROVIDED)
			word |= 1u << f->bit;
	}
	return word;
}

int tt_cpuid_compare(const struct kvm_cpuid2 *supported, const struct kvm_cpuid2 *cpuid, const char *model,
		     struct tt_error *err)
{
	struct missing missing = { 0 };
	char here[13], there[13];
	unsigned int reg, bits, host_bits;
	uint32_t i;

	vendor_name(supported, here);
	vendor_name(cpuid, there);
	if (memcmp(here, there, 12) != 0)
		return tt_fail(err, -EOPNOTSUPP,
			       "this recording was made on a CPU of %s, this machine's is of %s; "
			       "replay it on a CPU of the same vendor",
			       there, here);
	for (i = 0; i < cpuid->nent; i++) {
		const struct kvm_cpuid_entry2 *e = &cpuid->entries[i];
		unsigned int regs = feature_registers(e);

		for (reg = REG_EAX; reg <= REG_EDX; reg++) {
			uint32_t word = entry_reg(e, reg) & ~provided_bits(e, reg) &
					~tt_cpuid_get(supported, e->function, e->index, reg);

			if (regs & 1u << reg)
				note_bits(&missing, e, reg, word);
		}
	}
	if (missing.count)
		return refuse(&missing, model, err);
	bits = tt_cpuid_get(cpuid, 0x80000008, 0, REG_EAX) & 0xff;
	host_bits = tt_cpuid_get(supported, 0x80000008, 0, REG_EAX) & 0xff;
	if (host_bits && bits > host_bits)
		return tt_fail(err, -EOPNOTSUPP,
			       "this recording's CPU has physical addresses of %u bits, this "
			       "machine's only %u",
			       bits, host_bits);
	return 0;
}

static int get_supported(int kvm_fd, struct kvm_cpuid2 **supported, struct tt_error *err)
{
	uint32_t room;

	for (room = 128; room <= MAX_SUPPORTED; room *= 2) {
		struct kvm_cpuid2 *cpuid;
		int error;

		cpuid = calloc(1, sizeof(*cpuid) + room * sizeof(cpuid->entries[0]));
		if (!cpuid)
			return tt_fail(err, -ENOMEM, "out of memory");
		cpuid->nent = room;
		if (ioctl(kvm_fd, KVM_GET_SUPPORTED_CPUID, cpuid) == 0) {
			*supported = cpuid;
			return 0;
		}
		error = errno;
		free(cpuid);
		if (error != E2BIG)
			return tt_fail(err, -error, "KVM_GET_SUPPORTED_CPUID: %s", strerror(error));
	}
	return tt_fail(err, -E2BIG, "KVM_GET_SUPPORTED_CPUID: more than %d entries", MAX_SUPPORTED);
}

bool tt_cpuid_has_xsave(const struct kvm_cpuid2 *cpuid)
{
	return tt_cpuid_get(cpuid, 1, 0, REG_ECX) & CPUID_1_ECX_XSAVE;
}

const char *tt_cpuid_guess_model(const struct kvm_cpuid2 *cpuid)
{
	return models[tt_cpuid_has_xsave(cpuid)].name;
}

int tt_cpuid_create(int kvm_fd, const char *model, uint64_t tsc_hz, struct kvm_cpuid2 **cpuid,
		    struct tt_error *err)
{
	struct kvm_cpuid2 *supported;
	int ret;

	ret = get_supported(kvm_fd, &supported, err);
	if (ret)
		return ret;
	ret = tt_cpuid_narrow(supported, model, tsc_hz, cpuid, err);
	free(supported);
	return ret;
}

int tt_cpuid_check(int kvm_fd, const struct kvm_cpuid2 *cpuid, const char *model, struct tt_error *err)
{
	struct kvm_cpuid2 *supported;
	int ret;

	ret = get_supported(kvm_fd, &supported, err);
	if (ret)
		return ret;
	ret = tt_cpuid_compare(supported, cpuid, model, err);
	free(supported);
	return ret;
}
