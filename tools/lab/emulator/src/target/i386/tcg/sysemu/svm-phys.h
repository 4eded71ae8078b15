/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The x86_*_phys() functions for the VMCB, the host save area and the permission maps, by way of
 * the TLB: a world switch makes about a hundred such accesses.
 */
#ifndef TARGET_I386_SVM_PHYS_H
#define TARGET_I386_SVM_PHYS_H

#define svm_phys_env(cs) ((CPUX86State *)(cs)->env_ptr)

#define x86_ldub_phys(cs, at) cpu_ldub_mmuidx_ra(svm_phys_env(cs), at, MMU_PHYS_IDX, 0)
#define x86_lduw_phys(cs, at) cpu_lduw_mmuidx_ra(svm_phys_env(cs), at, MMU_PHYS_IDX, 0)
#define x86_ldl_phys(cs, at) cpu_ldl_mmuidx_ra(svm_phys_env(cs), at, MMU_PHYS_IDX, 0)
#define x86_ldq_phys(cs, at) cpu_ldq_mmuidx_ra(svm_phys_env(cs), at, MMU_PHYS_IDX, 0)
#define x86_stb_phys(cs, at, val) cpu_stb_mmuidx_ra(svm_phys_env(cs), at, val, MMU_PHYS_IDX, 0)
#define x86_stl_phys(cs, at, val) cpu_stl_mmuidx_ra(svm_phys_env(cs), at, val, MMU_PHYS_IDX, 0)
#define x86_stq_phys(cs, at, val) cpu_stq_mmuidx_ra(svm_phys_env(cs), at, val, MMU_PHYS_IDX, 0)

#endif
