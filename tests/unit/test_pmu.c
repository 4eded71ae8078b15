// SPDX-License-Identifier: GPL-2.0
/*
 * test_pmu.c - the table of PMU events and errata: each CPU finds its own row, and docs/pmu.md has it.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "replay.h"

#define AMD "AuthenticAMD"
#define INTEL "GenuineIntel"

#define ZEN TT_ERRATUM_SPEC_LOCK_MAP

/* CPUs that people have; models from their vendors' documents. */
static const struct {
	const char *cpu, *vendor;
	unsigned int family, model;
	const char *name;
	uint64_t branch_event;
	unsigned int errata;
} cpus[] = {
	{ "EPYC 7601 (Naples)", AMD, 0x17, 0x01, "AMD Zen/Zen+", 0xd1, ZEN | TT_ERRATUM_LS_CFG_SHARED },
	{ "Ryzen 7 2700X (Pinnacle Ridge)", AMD, 0x17, 0x08, "AMD Zen/Zen+", 0xd1, ZEN | TT_ERRATUM_LS_CFG_SHARED },
	{ "Ryzen 5 3500U (Picasso)", AMD, 0x17, 0x18, "AMD Zen/Zen+", 0xd1, ZEN | TT_ERRATUM_LS_CFG_SHARED },
	{ "EPYC 7742 (Rome)", AMD, 0x17, 0x31, "AMD Zen 2", 0xd1, ZEN },
	{ "Ryzen 9 3950X (Matisse)", AMD, 0x17, 0x71, "AMD Zen 2", 0xd1, ZEN },
	{ "EPYC 7763 (Milan)", AMD, 0x19, 0x01, "AMD Zen 3", 0xd1, ZEN },
	{ "Ryzen 9 5950X (Vermeer)", AMD, 0x19, 0x21, "AMD Zen 3", 0xd1, ZEN },
	{ "Ryzen 7 6800U (Rembrandt)", AMD, 0x19, 0x44, "AMD Zen 3", 0xd1, ZEN },
	{ "EPYC 9654 (Genoa)", AMD, 0x19, 0x11, "AMD Zen 4", 0xd1, ZEN },
	{ "Ryzen 9 7950X (Raphael)", AMD, 0x19, 0x61, "AMD Zen 4", 0xd1, ZEN },
	{ "EPYC 9755 (Turin)", AMD, 0x1a, 0x02, "AMD Zen 5", 0xd1, ZEN },
	{ "Core i7-4770 (Haswell)", INTEL, 6, 0x3c, "Intel Haswell", 0x01c4, 0 },
	{ "Xeon E5-2690 v4 (Broadwell)", INTEL, 6, 0x4f, "Intel Broadwell-EP", 0x01c4, 0 },
	{ "Core i7-6700 (Skylake)", INTEL, 6, 0x5e, "Intel Skylake", 0x01c4, 0 },
	{ "Xeon Platinum 8280 (Cascade Lake)", INTEL, 6, 0x55, "Intel Skylake-SP", 0x01c4, 0 },
	{ "Core i7-8700 (Coffee Lake)", INTEL, 6, 0x9e, "Intel Coffee Lake", 0x01c4, 0 },
	{ "Core i9-10900K (Comet Lake)", INTEL, 6, 0xa5, "Intel Comet Lake", 0x01c4, TT_ERRATUM_SMI },
	{ "Xeon Platinum 8380 (Ice Lake)", INTEL, 6, 0x6a, "Intel Ice Lake-SP", 0x11c4, TT_ERRATUM_SMI },
	{ "Core i7-1185G7 (Tiger Lake)", INTEL, 6, 0x8c, "Intel Tiger Lake", 0x11c4, TT_ERRATUM_SMI },
	{ "Core i9-11900K (Rocket Lake)", INTEL, 6, 0xa7, "Intel Rocket Lake", 0x11c4, TT_ERRATUM_SMI },
	{ "Xeon Platinum 8480+ (Sapphire Rapids)", INTEL, 6, 0x8f, "Intel Sapphire Rapids", 0x11c4, TT_ERRATUM_SMI },
};

static void cpus_find_their_rows(void **state)
{
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(cpus) / sizeof(cpus[0]); i++) {
		const struct tt_pmu *pmu = tt_pmu_of(cpus[i].vendor, cpus[i].family, cpus[i].model);

		if (!pmu)
			fail_msg("%s is not known", cpus[i].cpu);
		if (strcmp(pmu->name, cpus[i].name) || pmu->branch_event != cpus[i].branch_event ||
		    pmu->errata != cpus[i].errata)
			fail_msg("%s is taken for %s, event %llx, errata %x", cpus[i].cpu, pmu->name,
				 (unsigned long long)pmu->branch_event, pmu->errata);
		assert_int_equal(pmu->instr_event, 0xc0);
		assert_true(pmu->skid >= 125);
		assert_false(pmu->exact_instructions); /* nobody has shown that */
	}
}

static void others_are_not_known(void **state)
{
	(void)state;
	assert_null(tt_pmu_of(AMD, 0x15, 0x02));   /* Piledriver has no such event */
	assert_null(tt_pmu_of(INTEL, 6, 0x3a));	   /* Ivy Bridge */
	assert_null(tt_pmu_of(INTEL, 6, 0x97));	   /* Alder Lake: two kinds of cores */
	assert_null(tt_pmu_of(INTEL, 6, 0xb7));	   /* Raptor Lake */
	assert_null(tt_pmu_of(INTEL, 6, 0x5c));	   /* Goldmont */
	assert_null(tt_pmu_of(INTEL, 0x17, 0x01)); /* AMD's family, but not its vendor */
	assert_null(tt_pmu_of("HygonGenuine", 0x18, 0x00));
	assert_null(tt_pmu_of("", 0, 0));
}

static void document_has_every_row(void **state)
{
	static const char *const vendors[] = { AMD, INTEL };
	static char text[65536];
	FILE *f = fopen("docs/pmu.md", "r");
	unsigned int vendor, family, model, rows = 0;
	const struct tt_pmu *last = NULL;
	char row[128];
	size_t len;

	(void)state;
	if (!f)
		skip(); /* not started in the source folder */
	len = fread(text, 1, sizeof(text) - 1, f);
	text[len] = '\0';
	fclose(f);
	for (vendor = 0; vendor < 2; vendor++) {
		for (family = 0; family < 0x20; family++) {
			for (model = 0; model < 0x100; model++) {
				const struct tt_pmu *pmu = tt_pmu_of(vendors[vendor], family, model);

				if (!pmu || pmu == last)
					continue;
				last = pmu;
				rows++;
				snprintf(row, sizeof(row), "| %s | `%#llx` | %llu |", pmu->name, (unsigned long long)pmu->branch_event,
					 (unsigned long long)pmu->skid);
				if (!strstr(text, row))
					fail_msg("docs/pmu.md does not have: %s", row);
			}
		}
	}
	assert_true(rows > 20);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(cpus_find_their_rows),
		cmocka_unit_test(others_are_not_known),
		cmocka_unit_test(document_has_every_row),
	};

	return cmocka_run_group_tests_name("pmu", tests, NULL, NULL);
}
