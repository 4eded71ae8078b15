/* SPDX-License-Identifier: GPL-2.0 */
/*
 * internal.h - what the files of vmm/ share among themselves; nobody else includes it.
 */
#ifndef TTVM_VMM_INTERNAL_H
#define TTVM_VMM_INTERNAL_H

#include "vmm.h"

/* vcpu.c */
int tt_vcpu_create(struct tt_machine *m, unsigned int index, struct tt_error *err);
void tt_vcpu_destroy(struct tt_vcpu *vcpu);
int tt_vcpu_start(struct tt_vcpu *vcpu);

/* msr.c: the registers that KVM keeps; up to max of their numbers. Returns how many there are. */
size_t tt_msr_kept_by_kvm(uint32_t *index, size_t max);

/* pause.c */
int tt_pause_create(struct tt_machine *m, struct tt_error *err);
void tt_pause_destroy(struct tt_machine *m);
/* vCPU thread, while machine->attention is set: before it enters the guest or waits. */
void tt_pause_point(struct tt_vcpu *vcpu);
/* A reason to stand still may have gone: stop_requested, or the end of the machine. Any thread. */
void tt_pause_wake(struct tt_machine *m);
/* All vCPU threads have ended. */
void tt_pause_end(struct tt_machine *m);

/* bus.c, timer.c, input.c: free what hangs off the machine; fine when nothing was ever added */
void tt_bus_destroy(struct tt_machine *m);
void tt_timers_destroy(struct tt_machine *m);
void tt_inputs_destroy(struct tt_machine *m);

#endif /* TTVM_VMM_INTERNAL_H */
