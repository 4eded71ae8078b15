// SPDX-License-Identifier: GPL-2.0
/*
 * cpuid_features.c - every CPUID feature bit that has a name here, and whether a guest gets it.
 *
 * docs/cpu.md gives the reason for each line; tests/unit/test_cpuid.c checks that it names them
 * all. A new feature is hidden until somebody has thought about what it does to replay.
 */
#include "cpuid.h"

#define LEAF1_C(name, bit, policy) { name, 1, 0, REG_ECX, bit, policy }
#define LEAF1_D(name, bit, policy) { name, 1, 0, REG_EDX, bit, policy }
#define LEAF7_B(name, bit, policy) { name, 7, 0, REG_EBX, bit, policy }
#define LEAF7_C(name, bit, policy) { name, 7, 0, REG_ECX, bit, policy }
#define LEAF7_D(name, bit, policy) { name, 7, 0, REG_EDX, bit, policy }
#define LEAF71_A(name, bit, policy) { name, 7, 1, REG_EAX, bit, policy }
#define XSAVE_A(name, bit, policy) { name, 0xd, 1, REG_EAX, bit, policy }
#define EXT1_C(name, bit, policy) { name, 0x80000001, 0, REG_ECX, bit, policy }
#define EXT1_D(name, bit, policy) { name, 0x80000001, 0, REG_EDX, bit, policy }
#define EXT8_B(name, bit, policy) { name, 0x80000008, 0, REG_EBX, bit, policy }
#define EXT21_A(name, bit, policy) { name, 0x80000021, 0, REG_EAX, bit, policy }

const struct tt_cpu_feature tt_cpu_features[] = {
	LEAF1_D("fpu", 0, CPU_REQUIRED),
	LEAF1_D("vme", 1, CPU_OPTIONAL),
	LEAF1_D("de", 2, CPU_OPTIONAL),
	LEAF1_D("pse", 3, CPU_REQUIRED),
	LEAF1_D("tsc", 4, CPU_PROVIDED),
	LEAF1_D("msr", 5, CPU_REQUIRED),
	LEAF1_D("pae", 6, CPU_REQUIRED),
	LEAF1_D("mce", 7, CPU_OPTIONAL),
	LEAF1_D("cx8", 8, CPU_REQUIRED),
	LEAF1_D("apic", 9, CPU_PROVIDED),
	LEAF1_D("sep", 11, CPU_REQUIRED),
	LEAF1_D("mtrr", 12, CPU_REQUIRED),
	LEAF1_D("pge", 13, CPU_REQUIRED),
	LEAF1_D("mca", 14, CPU_OPTIONAL),
	LEAF1_D("cmov", 15, CPU_REQUIRED),
	LEAF1_D("pat", 16, CPU_REQUIRED),
	LEAF1_D("pse36", 17, CPU_OPTIONAL),
	LEAF1_D("clflush", 19, CPU_REQUIRED),
	LEAF1_D("mmx", 23, CPU_REQUIRED),
	LEAF1_D("fxsr", 24, CPU_REQUIRED),
	LEAF1_D("sse", 25, CPU_REQUIRED),
	LEAF1_D("sse2", 26, CPU_REQUIRED),
	LEAF1_D("ss", 27, CPU_HIDDEN),
	LEAF1_D("ht", 28, CPU_HIDDEN),

	LEAF1_C("pni", 0, CPU_REQUIRED),
	LEAF1_C("pclmulqdq", 1, CPU_OPTIONAL),
	LEAF1_C("monitor", 3, CPU_HIDDEN),
	LEAF1_C("vmx", 5, CPU_HIDDEN),
	LEAF1_C("ssse3", 9, CPU_REQUIRED),
	LEAF1_C("fma", 12, CPU_V3),
	LEAF1_C("cx16", 13, CPU_REQUIRED),
	LEAF1_C("pdcm", 15, CPU_HIDDEN),
	LEAF1_C("pcid", 17, CPU_HIDDEN),
	LEAF1_C("sse4_1", 19, CPU_REQUIRED),
	LEAF1_C("sse4_2", 20, CPU_REQUIRED),
	LEAF1_C("x2apic", 21, CPU_HIDDEN),
	LEAF1_C("movbe", 22, CPU_V3),
	LEAF1_C("popcnt", 23, CPU_REQUIRED),
	LEAF1_C("tsc_deadline_timer", 24, CPU_PROVIDED),
	LEAF1_C("aes", 25, CPU_OPTIONAL),
	LEAF1_C("xsave", 26, CPU_V3),
	LEAF1_C("avx", 28, CPU_V3),
	LEAF1_C("f16c", 29, CPU_V3),
	LEAF1_C("rdrand", 30, CPU_HIDDEN),
	LEAF1_C("hypervisor", 31, CPU_PROVIDED),

	{ "arat", 6, 0, REG_EAX, 2, CPU_PROVIDED },
	{ "aperfmperf", 6, 0, REG_ECX, 0, CPU_HIDDEN },

	LEAF7_B("fsgsbase", 0, CPU_OPTIONAL),
	LEAF7_B("tsc_adjust", 1, CPU_HIDDEN),
	LEAF7_B("bmi1", 3, CPU_V3),
	LEAF7_B("hle", 4, CPU_HIDDEN),
	LEAF7_B("avx2", 5, CPU_V3),
	LEAF7_B("smep", 7, CPU_OPTIONAL),
	LEAF7_B("bmi2", 8, CPU_V3),
	LEAF7_B("erms", 9, CPU_HIDDEN),
	LEAF7_B("invpcid", 10, CPU_HIDDEN),
	LEAF7_B("rtm", 11, CPU_HIDDEN),
	LEAF7_B("avx512f", 16, CPU_HIDDEN),
	LEAF7_B("rdseed", 18, CPU_HIDDEN),
	LEAF7_B("adx", 19, CPU_HOST),
	LEAF7_B("smap", 20, CPU_OPTIONAL),
	LEAF7_B("clflushopt", 23, CPU_HOST),
	LEAF7_B("clwb", 24, CPU_HOST),
	LEAF7_B("sha_ni", 29, CPU_HOST),

	LEAF7_C("umip", 2, CPU_OPTIONAL),
	LEAF7_C("pku", 3, CPU_HIDDEN),
	LEAF7_C("waitpkg", 5, CPU_HIDDEN),
	LEAF7_C("shstk", 7, CPU_HIDDEN),
	LEAF7_C("gfni", 8, CPU_HOST),
	LEAF7_C("vaes", 9, CPU_HOST_AVX),
	LEAF7_C("vpclmulqdq", 10, CPU_HOST_AVX),
	LEAF7_C("la57", 16, CPU_HIDDEN),
	LEAF7_C("rdpid", 22, CPU_HOST),
	LEAF7_C("bus_lock_detect", 24, CPU_HIDDEN),
	LEAF7_C("movdiri", 27, CPU_HOST),
	LEAF7_C("movdir64b", 28, CPU_HOST),

	LEAF7_D("fsrm", 4, CPU_HIDDEN),
	LEAF7_D("md_clear", 10, CPU_HIDDEN),
	LEAF7_D("serialize", 14, CPU_HOST),
	LEAF7_D("tsxldtrk", 16, CPU_HIDDEN),
	LEAF7_D("ibt", 20, CPU_HIDDEN),
	LEAF7_D("amx_tile", 24, CPU_HIDDEN),
	LEAF7_D("spec_ctrl", 26, CPU_HIDDEN),
	LEAF7_D("intel_stibp", 27, CPU_HIDDEN),
	LEAF7_D("flush_l1d", 28, CPU_HIDDEN),
	LEAF7_D("arch_capabilities", 29, CPU_HIDDEN),
	LEAF7_D("spec_ctrl_ssbd", 31, CPU_HIDDEN),

	LEAF71_A("avx_vnni", 4, CPU_HIDDEN),
	LEAF71_A("avx512_bf16", 5, CPU_HIDDEN),
	LEAF71_A("fred", 17, CPU_HIDDEN),
	LEAF71_A("lkgs", 18, CPU_HIDDEN),

	XSAVE_A("xsaveopt", 0, CPU_HIDDEN),
	XSAVE_A("xsavec", 1, CPU_HIDDEN),
	XSAVE_A("xgetbv1", 2, CPU_HIDDEN),
	XSAVE_A("xsaves", 3, CPU_HIDDEN),

	EXT1_D("syscall", 11, CPU_REQUIRED),
	EXT1_D("nx", 20, CPU_REQUIRED),
	EXT1_D("mmxext", 22, CPU_HOST),
	EXT1_D("fxsr_opt", 25, CPU_HIDDEN),
	EXT1_D("pdpe1gb", 26, CPU_HIDDEN),
	EXT1_D("rdtscp", 27, CPU_OPTIONAL),
	EXT1_D("lm", 29, CPU_REQUIRED),

	EXT1_C("lahf_lm", 0, CPU_REQUIRED),
	EXT1_C("cmp_legacy", 1, CPU_HIDDEN),
	EXT1_C("svm", 2, CPU_HIDDEN),
	EXT1_C("cr8_legacy", 4, CPU_HIDDEN),
	EXT1_C("abm", 5, CPU_V3),
	EXT1_C("sse4a", 6, CPU_HOST),
	EXT1_C("misalignsse", 7, CPU_HOST),
	EXT1_C("3dnowprefetch", 8, CPU_OPTIONAL),
	EXT1_C("osvw", 9, CPU_HIDDEN),
	EXT1_C("ibs", 10, CPU_HIDDEN),
	EXT1_C("topoext", 22, CPU_HIDDEN),
	EXT1_C("perfctr_core", 23, CPU_HIDDEN),
	EXT1_C("perfctr_nb", 24, CPU_HIDDEN),
	EXT1_C("perfctr_llc", 28, CPU_HIDDEN),
	EXT1_C("mwaitx", 29, CPU_HIDDEN),

	{ "nonstop_tsc", 0x80000007, 0, REG_EDX, 8, CPU_PROVIDED },

	EXT8_B("clzero", 0, CPU_HOST),
	EXT8_B("irperf", 1, CPU_HIDDEN),
	EXT8_B("xsaveerptr", 2, CPU_OPTIONAL),
	EXT8_B("rdpru", 4, CPU_HIDDEN),
	EXT8_B("wbnoinvd", 9, CPU_HIDDEN),
	EXT8_B("ibpb", 12, CPU_HIDDEN),
	EXT8_B("ibrs", 14, CPU_HIDDEN),
	EXT8_B("stibp", 15, CPU_HIDDEN),
	EXT8_B("amd_ssbd", 24, CPU_HIDDEN),
	EXT8_B("virt_ssbd", 25, CPU_HIDDEN),

	EXT21_A("lfence_rdtsc", 2, CPU_OPTIONAL),
	EXT21_A("null_sel_clr_base", 6, CPU_OPTIONAL),
	EXT21_A("autoibrs", 8, CPU_HIDDEN),
};

const size_t tt_cpu_num_features = sizeof(tt_cpu_features) / sizeof(tt_cpu_features[0]);
