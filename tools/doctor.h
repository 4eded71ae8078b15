/* SPDX-License-Identifier: GPL-2.0 */
/*
 * doctor.h - the checks of ttvm doctor, and how they report.
 */
#ifndef TTVM_TOOLS_DOCTOR_H
#define TTVM_TOOLS_DOCTOR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "replay.h"

enum check_status {
	CHECK_OK,
	CHECK_WARNING,	/* recording works, but something may spoil it */
	CHECK_FAILED,	/* recording does not work */
};

struct check {
	const char *name;
	enum check_status status;
	char detail[512];	/* one sentence */
	char next_step[256];	/* what to try: a command, if one helps; empty when all is well */
};

#define MAX_CHECKS 32

/* All that was found so far. A check adds its finding and what later checks depend on. */
struct checkup {
	struct check checks[MAX_CHECKS];
	unsigned int num_checks;
	const struct tt_pmu *pmu;	/* NULL: not known to count exactly */
	bool kvm_works;
	bool module_works;
};

/* Add a finding. The format is that of the detail; next_step is copied. */
__attribute__((format(printf, 3, 4))) void check_ok(struct checkup *c, const char *name,
						     const char *format, ...);
__attribute__((format(printf, 4, 5))) void check_warning(struct checkup *c, const char *name,
							  const char *next_step,
							  const char *format, ...);
__attribute__((format(printf, 4, 5))) void check_failed(struct checkup *c, const char *name,
							 const char *next_step,
							 const char *format, ...);

/* The first line of a small file of /proc or /sys, without newline. 0 or -errno. */
int read_line(const char *path, char *text, size_t size);

/* ---- doctor_kvm.c: the CPU, KVM, and whether a guest runs ---- */
void check_cpu(struct checkup *c);
void check_tsc(struct checkup *c);
void check_kvm(struct checkup *c);
void check_kvm_kind(struct checkup *c);
void check_nested_paging(struct checkup *c);
void check_guest(struct checkup *c);

/* ---- doctor_pmu.c: counters, and what disturbs them ---- */
void check_pmu_model(struct checkup *c);
void check_counters(struct checkup *c);
void check_nmi_watchdog(struct checkup *c);
void check_throttling(struct checkup *c);
void check_paranoid(struct checkup *c);
void check_spec_lock_map(struct checkup *c);
void check_smi(struct checkup *c);

/* ---- doctor_module.c: ttvm.ko, and the self-test through it ---- */
void check_module(struct checkup *c);
void check_counting(struct checkup *c);
void check_landing(struct checkup *c);

#endif /* TTVM_TOOLS_DOCTOR_H */
