// SPDX-License-Identifier: GPL-2.0
/*
 * test_cpuid.c - the guest's CPUID table against made-up hosts: nothing slips through, what is
 * missing is named.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "cpuid.h"

#define TSC_HZ 2600000000ull
#define ROOM 64


static struct kvm_cpuid_entry2 *entry(struct kvm_cpuid2 *t, uint32_t function, uint32_t index)
{
	uint32_t i;

	for (i = 0; i < t->nent; i++) {
		if (t->entries[i].function == function && t->entries[i].index == index)
			return &t->entries[i];
	}
	assert_true(t->nent < ROOM);
	t->entries[t->nent] = (struct kvm_cpuid_entry2){ .function = function, .index = index };
	return &t->entries[t->nent++];
}

static uint32_t *reg_of(struct kvm_cpuid_entry2 *e, unsigned int reg)
{
	uint32_t *regs[] = { &e->eax, &e->ebx, &e->ecx, &e->edx };

	return regs[reg];
}

static uint32_t *feature_word(struct kvm_cpuid2 *t, const char *name, uint32_t *bit)
{
	size_t i;

	for (i = 0; i < tt_cpu_num_features; i++) {
		const struct tt_cpu_feature *f = &tt_cpu_features[i];

		if (strcmp(f->name, name) == 0) {
			*bit = 1u << f->bit;
			return reg_of(entry(t, f->function, f->index), f->reg);
		}
	}
	fail_msg("no feature %s", name);
	return NULL;
}

static bool has(struct kvm_cpuid2 *t, const char *name)
{
	uint32_t bit, *word = feature_word(t, name, &bit);

	return *word & bit;
}

static void take_away(struct kvm_cpuid2 *t, const char *name)
{
	uint32_t bit, *word = feature_word(t, name, &bit);

	*word &= ~bit;
}

/* A host that says yes to every feature bit there is, named or not. */
static struct kvm_cpuid2 *make_host(const char *vendor)
{
	struct kvm_cpuid2 *t = calloc(1, sizeof(*t) + ROOM * sizeof(t->entries[0]));
	struct kvm_cpuid_entry2 *e;
	uint32_t words[3];
	size_t i;

	for (i = 0; i < tt_cpu_num_features; i++) {
		const struct tt_cpu_feature *f = &tt_cpu_features[i];

		e = entry(t, f->function, f->index);
		*reg_of(e, f->reg) = UINT32_MAX;
	}
	memcpy(words, vendor, 12);
	e = entry(t, 0, 0);
	e->eax = 0x20;
	e->ebx = words[0];
	e->edx = words[1];
	e->ecx = words[2];
	entry(t, 1, 0)->eax = 0x00a20f10;
	entry(t, 0x80000001, 0)->eax = 0x00a20f10;
	entry(t, 0x80000008, 0)->eax = 0x3030;
	memcpy(&entry(t, 0x80000002, 0)->eax, "Some CPU", 8);
	return t;
}

static struct kvm_cpuid2 *narrow(const struct kvm_cpuid2 *host, const char *model)
{
	struct kvm_cpuid2 *table = NULL, *roomy;
	struct tt_error err;

	assert_int_equal(tt_cpuid_narrow(host, model, TSC_HZ, &table, &err), 0);
	/* has() adds empty entries, so give it room. */
	roomy = calloc(1, sizeof(*roomy) + ROOM * sizeof(roomy->entries[0]));
	memcpy(roomy, table, sizeof(*table) + table->nent * sizeof(table->entries[0]));
	free(table);
	return roomy;
}

static void what_is_not_offered_stays_hidden(void **state)
{
	struct kvm_cpuid2 *host = make_host("AuthenticAMD"), *v2 = narrow(host, NULL);
	size_t i;

	(void)state;
	for (i = 0; i < tt_cpu_num_features; i++) {
		const struct tt_cpu_feature *f = &tt_cpu_features[i];
		bool offered = f->policy == CPU_REQUIRED || f->policy == CPU_OPTIONAL || f->policy == CPU_PROVIDED;

		if (has(v2, f->name) != offered)
			fail_msg("%s is %s", f->name, offered ? "missing" : "offered");
	}
	/* Bits without a name: 7.0:edx.31..0 has a host of all ones, the guest none. */
	assert_int_equal(tt_cpuid_get(v2, 7, 0, REG_EDX), 0);
	assert_int_equal(tt_cpuid_get(v2, 1, 0, REG_EDX) & (1u << 10 | 1u << 18 | 1u << 20), 0);
	assert_int_equal(tt_cpuid_get(v2, 0xa, 0, REG_EAX), 0);
	assert_int_equal(tt_cpuid_get(v2, 0x40000000, 0, REG_EAX), 0x40000000);
	free(v2);
	free(host);
}

static void v3_adds_avx_in_the_standard_format_only(void **state)
{
	struct kvm_cpuid2 *host = make_host("AuthenticAMD"), *v3 = narrow(host, "x86-64-v3");

	(void)state;
	assert_true(has(v3, "avx2"));
	assert_true(has(v3, "xsave"));
	assert_false(has(v3, "xsaveopt"));
	assert_false(has(v3, "xsaves"));
	assert_int_equal(tt_cpuid_get(v3, 0, 0, REG_EAX), 0xd);
	assert_int_equal(tt_cpuid_get(v3, 0xd, 0, REG_EAX), 7);
	assert_int_equal(tt_cpuid_get(v3, 0xd, 2, REG_EBX), 576);
	free(v3);
	free(host);
}

static void host_offers_what_can_be_replayed(void **state)
{
	struct kvm_cpuid2 *host = make_host("AuthenticAMD"), *table = narrow(host, "host");
	size_t i;

	(void)state;
	for (i = 0; i < tt_cpu_num_features; i++)
		if (has(table, tt_cpu_features[i].name) != (tt_cpu_features[i].policy != CPU_HIDDEN))
			fail_msg("%s", tt_cpu_features[i].name);
	free(table);
	/* Not part of AVX: a program would not know how to save it. */
	take_away(host, "avx2");
	take_away(host, "sha_ni");
	table = narrow(host, "host");
	assert_true(has(table, "adx"));
	assert_false(has(table, "sha_ni"));
	assert_false(has(table, "xsave"));
	assert_false(has(table, "avx"));
	assert_false(has(table, "vaes"));
	assert_false(has(table, "bmi2"));
	assert_int_equal(tt_cpuid_get(table, 0, 0, REG_EAX), 7);
	assert_string_equal(tt_cpuid_guess_model(table), "x86-64-v2");
	free(table);
	free(host);
}

static void intel_is_told_the_tsc_frequency(void **state)
{
	struct kvm_cpuid2 *host = make_host("GenuineIntel"), *v2 = narrow(host, NULL);

	(void)state;
	assert_true(tt_cpuid_get(v2, 0, 0, REG_EAX) >= 0x16);
	assert_int_equal(tt_cpuid_get(v2, 0x15, 0, REG_ECX), TSC_HZ);
	assert_int_equal(tt_cpuid_get(v2, 0x15, 0, REG_EAX), 1);
	assert_int_equal(tt_cpuid_get(v2, 0x15, 0, REG_EBX), 1);
	assert_int_equal(tt_cpuid_get(v2, 0x16, 0, REG_EAX), 2600);
	free(v2);
	free(host);
}

static void host_without_a_baseline_feature_is_refused(void **state)
{
	struct kvm_cpuid2 *host = make_host("AuthenticAMD"), *table;
	struct tt_error err;

	(void)state;
	take_away(host, "sse4_2");
	assert_int_equal(tt_cpuid_narrow(host, NULL, TSC_HZ, &table, &err), -EOPNOTSUPP);
	assert_non_null(strstr(err.text, "x86-64-v2 needs sse4_2"));
	free(host);

	host = make_host("AuthenticAMD");
	take_away(host, "avx2");
	assert_int_equal(tt_cpuid_narrow(host, "x86-64-v3", TSC_HZ, &table, &err), -EOPNOTSUPP);
	assert_non_null(strstr(err.text, "use the model x86-64-v2"));
	assert_int_equal(tt_cpuid_narrow(host, "pentium", TSC_HZ, &table, &err), -EINVAL);
	assert_non_null(strstr(err.text, "unknown CPU model 'pentium'"));
	free(host);
}

static void table_is_accepted_where_it_was_made(void **state)
{
	static const char *const vendors[] = { "AuthenticAMD", "GenuineIntel" };
	static const char *const models[] = { "x86-64-v2", "x86-64-v3", "host" };
	struct tt_error err;
	size_t i, j;

	(void)state;
	for (i = 0; i < 2; i++) {
		for (j = 0; j < 3; j++) {
			struct kvm_cpuid2 *host = make_host(vendors[i]);
			struct kvm_cpuid2 *table = narrow(host, models[j]);

			assert_int_equal(tt_cpuid_compare(host, table, "x86-64-v2", &err), 0);
			/* KVM does not speak of what the VMM provides. */
			take_away(host, "tsc_deadline_timer");
			take_away(host, "hypervisor");
			assert_int_equal(tt_cpuid_compare(host, table, "x86-64-v2", &err), 0);
			free(table);
			free(host);
		}
	}
}

static void missing_feature_is_named_in_replay(void **state)
{
	struct kvm_cpuid2 *host = make_host("AuthenticAMD"), *table = narrow(host, NULL);
	struct tt_error err;

	(void)state;
	take_away(host, "smap");
	assert_int_equal(tt_cpuid_compare(host, table, "x86-64-v2", &err), -EOPNOTSUPP);
	assert_non_null(strstr(err.text, "of model x86-64-v2, offers smap, which"));
	free(host);

	/* A bit that only another version of ttvm knows. */
	host = make_host("AuthenticAMD");
	entry(table, 1, 0)->edx |= 1u << 10;
	entry(host, 1, 0)->edx &= ~(1u << 10);
	assert_int_equal(tt_cpuid_compare(host, table, "x86-64-v2", &err), -EOPNOTSUPP);
	assert_non_null(strstr(err.text, "bit 10 of CPUID 1.0:edx"));
	assert_null(strstr(err.text, "or record with"));
	free(host);
	free(table);

	host = make_host("AuthenticAMD");
	table = narrow(host, NULL);
	entry(host, 0x80000008, 0)->eax = 0x3024;
	assert_int_equal(tt_cpuid_compare(host, table, "x86-64-v2", &err), -EOPNOTSUPP);
	assert_non_null(strstr(err.text, "40 bits, this machine's only 36"));
	free(host);

	host = make_host("GenuineIntel");
	assert_int_equal(tt_cpuid_compare(host, table, "x86-64-v2", &err), -EOPNOTSUPP);
	assert_non_null(strstr(err.text, "AuthenticAMD, this machine's is of GenuineIntel"));
	free(host);
	free(table);
}

static void all_missing_features_are_named(void **state)
{
	struct kvm_cpuid2 *host = make_host("AuthenticAMD"), *table = narrow(host, "x86-64-v3");
	struct tt_error err;
	size_t i;

	(void)state;
	take_away(host, "avx");
	take_away(host, "bmi2");
	take_away(host, "avx2");
	assert_int_equal(tt_cpuid_compare(host, table, "x86-64-v3", &err), -EOPNOTSUPP);
	assert_non_null(strstr(err.text, "of model x86-64-v3, offers avx, avx2, bmi2, which"));
	assert_non_null(strstr(err.text, "or record with --cpu-model x86-64-v2"));
	/* What v2 has as well is no reason to record with v2. */
	take_away(host, "aes");
	assert_int_equal(tt_cpuid_compare(host, table, "x86-64-v3", &err), -EOPNOTSUPP);
	assert_null(strstr(err.text, "or record with"));
	for (i = 0; i < tt_cpu_num_features; i++)
		take_away(host, tt_cpu_features[i].name);
	assert_int_equal(tt_cpuid_compare(host, table, "x86-64-v3", &err), -EOPNOTSUPP);
	assert_non_null(strstr(err.text, " more, which"));
	assert_non_null(strstr(err.text, "has them"));
	free(host);
	free(table);
}

static void document_names_every_feature(void **state)
{
	FILE *f = fopen("docs/cpu.md", "r");
	char text[65536], word[64];
	size_t i, len;

	(void)state;
	if (!f)
		skip(); /* not started in the source folder */
	len = fread(text, 1, sizeof(text) - 1, f);
	text[len] = 0;
	fclose(f);
	for (i = 0; i < tt_cpu_num_features; i++) {
		snprintf(word, sizeof(word), "`%s`", tt_cpu_features[i].name);
		if (!strstr(text, word))
			fail_msg("docs/cpu.md does not speak of %s", word);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_not_offered_stays_hidden),
		cmocka_unit_test(v3_adds_avx_in_the_standard_format_only),
		cmocka_unit_test(host_offers_what_can_be_replayed),
		cmocka_unit_test(intel_is_told_the_tsc_frequency),
		cmocka_unit_test(host_without_a_baseline_feature_is_refused),
		cmocka_unit_test(table_is_accepted_where_it_was_made),
		cmocka_unit_test(missing_feature_is_named_in_replay),
		cmocka_unit_test(all_missing_features_are_named),
		cmocka_unit_test(document_names_every_feature),
	};

	return cmocka_run_group_tests_name("cpuid", tests, NULL, NULL);
}
