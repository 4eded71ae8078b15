/* SPDX-License-Identifier: GPL-2.0 */
/*
 * TLB entries that outlive VMRUN and #VMEXIT, as on a processor with address space identifiers.
 *
 * QEMU empties its TLB at every world switch, which makes an exit cost some 20 us and, worse, lets
 * the guest's accessed bits depend on how often the host was interrupted. Here the guest has MMU
 * modes of its own (MMU_GUEST_SHIFT above the host's): a change of control registers flushes the
 * modes of the current world only, and a world switch flushes nothing unless the guest that enters
 * is not the one that left: another ASID, other control registers, or the hypervisor asked for it.
 * One guest's entries are kept at a time. A hypervisor that is correct on hardware is correct here.
 *
 * Translated code is found by flags that contain HF_GUEST_MASK, so the worlds do not mix there.
 */
#include "qemu/osdep.h"
#include "cpu.h"
#include "exec/exec-all.h"

#define HOST_MODES ((1 << MMU_PHYS_IDX) - 1)
#define GUEST_MODES (HOST_MODES << MMU_GUEST_SHIFT)

static SVMWorld svm_world(CPUX86State *env, uint32_t asid)
{
	return (SVMWorld){
		.cr0 = env->cr[0],
		.cr3 = env->cr[3],
		.cr4 = env->cr[4],
		.efer = env->efer,
		.nested_cr3 = env->hflags2 & HF2_NPT_MASK ? env->nested_cr3 : 0,
		.nested_pg_mode = env->nested_pg_mode,
		.asid = asid,
	};
}

void x86_tlb_flush_world(CPUX86State *env)
{
	if (!env->svm_switching)
		tlb_flush_by_mmuidx(env_cpu(env),
				    env->hflags & HF_GUEST_MASK ? GUEST_MODES : HOST_MODES);
}

/* VMRUN has loaded the guest's state. */
void svm_world_enter(CPUX86State *env, uint32_t asid, bool flush)
{
	SVMWorld world = svm_world(env, asid);

	env->svm_switching = false;
	if (flush || memcmp(&world, &env->svm_last, sizeof(world)))
		tlb_flush_by_mmuidx(env_cpu(env), GUEST_MODES | 1 << MMU_NESTED_IDX);
	env->svm_asid = asid;
}

/*
 * #VMEXIT, before the host's state is loaded. A VMRUN that failed half way leaves no world that
 * could be entered again.
 */
void svm_world_leave(CPUX86State *env)
{
	if (env->svm_switching)
		memset(&env->svm_last, 0, sizeof(env->svm_last));
	else
		env->svm_last = svm_world(env, env->svm_asid);
	env->svm_switching = true;
}
