// SPDX-License-Identifier: GPL-2.0
/*
 * hook.c - where stock KVM lets us in.
 *
 * Before the VM entry: the kvm_entry tracepoint, at the start of svm_vcpu_run() and vmx_vcpu_run(). Interrupts are off and
 * KVM has looked at its requests for the last time.
 *
 * After the VM exit we must come before KVM reads the exit code, because answering RDTSC means to rewrite it. In 6.12
 * the kvm_exit tracepoint does: it fires at the end of svm_vcpu_run(). In 6.1 it fires inside svm_handle_exit(), after the
 * exit code has been read, with interrupts on; there, ftrace calls us at the first instruction of that function instead.
 * Only the address of the vCPU, its first argument, is looked at; nothing of the function is redirected.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/ftrace.h>
#include <linux/tracepoint.h>

#include "../session.h"
#include "compat.h"

/* Declared here as in arch/x86/kvm/trace.h, which is private. Older 6.1.y pass no second argument: never use it. */
DECLARE_TRACE(kvm_entry, TP_PROTO(struct kvm_vcpu *vcpu, bool force), TP_ARGS(vcpu, force));
DECLARE_TRACE(kvm_exit, TP_PROTO(struct kvm_vcpu *vcpu, u32 isa), TP_ARGS(vcpu, isa));

static void entry_probe(void *data, struct kvm_vcpu *vcpu, bool force)
{
	tt_enter(vcpu);
}

#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 12, 0)

static void exit_probe(void *data, struct kvm_vcpu *vcpu, u32 isa)
{
	tt_leave(vcpu);
}

static int hook_exit(void)
{
	return register_trace_kvm_exit(exit_probe, NULL);
}

static void unhook_exit(void)
{
	unregister_trace_kvm_exit(exit_probe, NULL);
}

void tt_compat_exit(void)
{
}

#else

static void notrace exit_called(unsigned long ip, unsigned long parent_ip, struct ftrace_ops *ops,
				struct ftrace_regs *fregs)
{
	struct pt_regs *regs = ftrace_get_regs(fregs);
	unsigned long flags;

	if (WARN_ON_ONCE(!regs))
		return;
	local_irq_save(flags);
	tt_leave((struct kvm_vcpu *)regs->di);
	local_irq_restore(flags);
}

/* PERMANENT: refuse to start, or to be stopped, by the kernel.ftrace_enabled sysctl, rather than to miss exits. */
static struct ftrace_ops exit_ops = {
	.func = exit_called,
	.flags = FTRACE_OPS_FL_SAVE_REGS | FTRACE_OPS_FL_PERMANENT,
};

static int hook_exit(void)
{
	static unsigned char name[] = "svm_handle_exit";
	int err;

	err = ftrace_set_filter(&exit_ops, name, sizeof(name) - 1, 1);
	if (err)
		return err;
	return register_ftrace_function(&exit_ops);
}

static void unhook_exit(void)
{
	unregister_ftrace_function(&exit_ops);
}

/* The ops may not be used again after this, so it waits for the module's end. */
void tt_compat_exit(void)
{
	ftrace_free_filter(&exit_ops);
}

#endif

int tt_compat_hook(void)
{
	int err;

	err = hook_exit();
	if (err) {
		pr_err("cannot hook VM exits (%d)\n", err);
		return err;
	}
	err = register_trace_kvm_entry(entry_probe, NULL);
	if (err)
		unhook_exit();
	return err;
}

void tt_compat_unhook(void)
{
	unregister_trace_kvm_entry(entry_probe, NULL);
	unhook_exit();
	tracepoint_synchronize_unregister();
}

bool tt_compat_kvm_ready(void)
{
	/* Filled in when a vendor module sets up its hardware; the vendor's name itself is not exported. */
	return kvm_nr_uret_msrs > 0;
}
