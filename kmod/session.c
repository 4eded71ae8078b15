// SPDX-License-Identifier: GPL-2.0
/*
 * session.c - the life of a session.
 *
 * open() makes one with its shared page; TTVM_ATTACH binds it to a vCPU; TTVM_DETACH or the last close() unbinds it; the
 * page lives on for as long as something maps it. While attached, the session holds the VM (so KVM's own files may be
 * closed in any order), the attaching thread's task_struct (the identity of the only thread that may arm an alarm; the
 * thread may be gone), and, through the open file, the module.
 *
 * Locks, outermost first: tt_session.lock, then perf's and the table's in hooks.c. mmap() takes none of them, because
 * it is called under the mmap lock, which copying to and from userspace under tt_session.lock may take.
 */
#include <linux/file.h>
#include <linux/fs.h>
#include <linux/slab.h>
#include <linux/uaccess.h>

#include "compat/compat.h"
#include "session.h"

static_assert(sizeof(struct ttvm_page) <= PAGE_SIZE);

/* ---- what this machine offers ---- */

static const struct tt_vendor *vendor_of_machine(const char **why)
{
	*why = NULL;
	if (boot_cpu_has(X86_FEATURE_SVM)) {
		if (!tt_compat_kvm_ready())
			*why = "KVM for AMD is not loaded: modprobe kvm_amd (is SVM enabled in the firmware?)";
		return &tt_svm;
	}
	if (boot_cpu_has(X86_FEATURE_VMX))
		*why = "this version of ttvm.ko drives AMD's virtualization only, not Intel's";
	else
		*why = "this CPU offers no hardware virtualization (SVM)";
	return NULL;
}

static int get_info(struct ttvm_info __user *user)
{
	struct ttvm_info info = {
		.abi_version = TTVM_ABI_VERSION,
		.num_counters = tt_counters_of_machine(),
		.sessions = tt_hooks_count(),
	};
	const struct tt_vendor *vendor;
	const char *why;

	vendor = vendor_of_machine(&why);
	if (vendor)
		info.vendor = vendor->id;
	else if (boot_cpu_has(X86_FEATURE_VMX))
		info.vendor = TTVM_VENDOR_VMX;
	if (!why && info.num_counters == 0)
		why = "no performance counters: enable the (virtual) PMU of this machine";
	else if (!why && info.num_counters < TT_COUNTERS + 1)
		why = "too few performance counters: three are needed";
	if (why)
		strscpy(info.why_not, why, sizeof(info.why_not));
	return copy_to_user(user, &info, sizeof(info)) ? -EFAULT : 0;
}

/* ---- attach ---- */

static int refuse(struct ttvm_attach *args, int err, const char *why)
{
	strscpy(args->why_not, why, sizeof(args->why_not));
	return err;
}

/* On success s->kvm (referenced) and s->vcpu are set. */
static int find_vcpu(struct tt_session *s, struct ttvm_attach *args)
{
	struct file *vm_file = fget(args->vm_fd);
	struct file *vcpu_file = fget(args->vcpu_fd);
	struct kvm_vcpu *vcpu, *found = NULL;
	struct kvm *kvm;
	unsigned long i;
	int err;

	if (!vm_file || !vcpu_file) {
		err = refuse(args, -EBADF, vm_file ? "vcpu_fd is not an open file" : "vm_fd is not an open file");
		goto out;
	}
	if (!file_is_kvm(vm_file)) {
		err = refuse(args, -EINVAL, "vm_fd is not a KVM VM: pass the descriptor from KVM_CREATE_VM");
		goto out;
	}
	kvm = vm_file->private_data;
	if (kvm->mm != current->mm) {
		err = refuse(args, -EACCES, "the VM belongs to another process: attach from the one that made it");
		goto out;
	}
	/* Nothing but the VM's own list makes private_data a vCPU. */
	kvm_for_each_vcpu(i, vcpu, kvm)
		if (vcpu == vcpu_file->private_data)
			found = vcpu;
	if (!found) {
		err = refuse(args, -EINVAL, "vcpu_fd is not a vCPU of this VM: pass the one from KVM_CREATE_VCPU");
		goto out;
	}
	kvm_get_kvm(kvm);
	s->kvm = kvm;
	s->vcpu = found;
	err = 0;
out:
	if (vcpu_file)
		fput(vcpu_file);
	if (vm_file)
		fput(vm_file);
	return err;
}

static void release_vcpu(struct tt_session *s)
{
	kvm_put_kvm(s->kvm);
	s->kvm = NULL;
	s->vcpu = NULL;
}

static int attach(struct tt_session *s, struct ttvm_attach *args)
{
	const char *why;
	int err;

	if (s->attached)
		return refuse(args, -EBUSY, "this file has a vCPU attached: TTVM_DETACH it, or open the device again");
	if (args->flags || args->reserved)
		return refuse(args, -EINVAL, "flags and reserved must be 0");
	s->vendor = vendor_of_machine(&why);
	if (why)
		return refuse(args, -ENODEV, why);

	err = find_vcpu(s, args);
	if (err)
		return err;
	why = s->vendor->bind(s);
	if (why) {
		err = refuse(args, -ENODEV, why);
		goto err_vcpu;
	}

	memset(s->page, 0, PAGE_SIZE);
	s->dying = false;
	s->compare_rip = false;
	s->rip = 0;
	s->emulated = 0;
	memset(&s->resume, 0, sizeof(s->resume));
	memset(s->alarm.armed, 0, sizeof(s->alarm.armed));
	s->alarm.config[TTVM_COUNTER_BRANCHES] = args->branch_event;
	s->alarm.config[TTVM_COUNTER_INSTRUCTIONS] = args->instr_event;
	err = tt_counters_open(s, args->why_not);
	if (err)
		goto err_vcpu;

	s->task = get_task_struct(current);
	err = tt_hooks_add(s);
	if (err) {
		refuse(args, err, err == -EEXIST ? "the vCPU has a session already: detach that one" :
						   "the kernel refuses hooks into KVM: see dmesg");
		goto err_counters;
	}
	s->attached = true;
	return 0;

err_counters:
	put_task_struct(s->task);
	tt_counters_close(s);
err_vcpu:
	release_vcpu(s);
	return err;
}

static int attach_ioctl(struct tt_session *s, struct ttvm_attach __user *user)
{
	struct ttvm_attach args;
	int err;

	if (copy_from_user(&args, user, sizeof(args)))
		return -EFAULT;
	memset(args.why_not, 0, sizeof(args.why_not));
	err = attach(s, &args);
	if (copy_to_user(user->why_not, args.why_not, sizeof(args.why_not)) && !err)
		err = -EFAULT;
	return err;
}

/* ---- detach ---- */

/*
 * Safe from any thread, also while another is inside KVM_RUN: that one goes on without us from its next VM entry. In
 * this order nothing is used after it is gone: no new work by the hooks, no work under way, no more overflow
 * interrupts, no trace left in the vCPU, no hook that knows the session, and only then the vCPU itself.
 */
static void detach(struct tt_session *s)
{
	WRITE_ONCE(s->dying, true);
	tt_hooks_drain(s);
	tt_counters_close(s);
	tt_alarm_clear(s);
	tt_resume_unmask(s);
	tt_hooks_del(s);
	put_task_struct(s->task);
	release_vcpu(s);
	s->attached = false;
}

/* ---- the other ioctls ---- */

static int set_alarm(struct tt_session *s, struct ttvm_alarm __user *user)
{
	struct ttvm_alarm args;

	if (copy_from_user(&args, user, sizeof(args)))
		return -EFAULT;
	if (args.reserved || args.counter >= TT_COUNTERS)
		return -EINVAL;
	return tt_alarm_set(s, args.counter, args.target);
}

static int set_counts(struct tt_session *s, struct ttvm_counts __user *user)
{
	struct tt_counter *branches = &s->counter[TTVM_COUNTER_BRANCHES];
	struct tt_counter *instructions = &s->counter[TTVM_COUNTER_INSTRUCTIONS];
	struct ttvm_counts args;
	int err = 0;

	if (copy_from_user(&args, user, sizeof(args)))
		return -EFAULT;

	tt_alarm_clear(s);
	local_irq_disable();
	if (tt_counter_read(branches) && tt_counter_read(instructions)) {
		branches->offset += args.branches - branches->value;
		branches->value = args.branches;
		instructions->offset += args.instructions - instructions->value;
		instructions->value = args.instructions;
		s->emulated = args.emulated;
		s->compare_rip = false;
		s->resume.pending = false;
		s->page->branches = args.branches;
		s->page->instructions = args.instructions;
		s->page->emulated = args.emulated;
	} else {
		err = -EBUSY;
	}
	local_irq_enable();
	return err;
}

static long session_ioctl(struct file *file, unsigned int cmd, unsigned long arg)
{
	struct tt_session *s = file->private_data;
	void __user *user = (void __user *)arg;
	int err;

	if (cmd == TTVM_GET_INFO)
		return get_info(user);

	err = mutex_lock_killable(&s->lock);
	if (err)
		return err;
	switch (cmd) {
	case TTVM_ATTACH:
		err = attach_ioctl(s, user);
		break;
	case TTVM_DETACH:
		if (s->attached)
			detach(s);
		else
			err = -ENOTCONN;
		break;
	case TTVM_ALARM:
	case TTVM_SET_COUNTS:
		if (!s->attached)
			err = -ENOTCONN;
		else if (s->task != current)
			err = -EPERM;
		else
			err = cmd == TTVM_ALARM ? set_alarm(s, user) : set_counts(s, user);
		break;
	default:
		err = -ENOTTY;
	}
	mutex_unlock(&s->lock);
	return err;
}

/* ---- open, mmap, close ---- */

static int session_open(struct inode *inode, struct file *file)
{
	struct tt_session *s = kzalloc(sizeof(*s), GFP_KERNEL_ACCOUNT);

	if (!s)
		return -ENOMEM;
	s->page = (struct ttvm_page *)get_zeroed_page(GFP_KERNEL_ACCOUNT);
	if (!s->page) {
		kfree(s);
		return -ENOMEM;
	}
	mutex_init(&s->lock);
	tt_stop_init(s);
	/* In place of the misc device, which misc_open() has left here. */
	file->private_data = s;
	return 0;
}

static int session_mmap(struct file *file, struct vm_area_struct *vma)
{
	struct tt_session *s = file->private_data;

	if (vma->vm_pgoff != 0 || vma->vm_end - vma->vm_start != PAGE_SIZE || !(vma->vm_flags & VM_SHARED))
		return -EINVAL;
	tt_vm_flags_set(vma, VM_DONTCOPY | VM_DONTEXPAND | VM_DONTDUMP);
	return vm_insert_page(vma, vma->vm_start, virt_to_page(s->page));
}

static int session_release(struct inode *inode, struct file *file)
{
	struct tt_session *s = file->private_data;

	if (s->attached)
		detach(s);
	free_page((unsigned long)s->page);
	kfree(s);
	return 0;
}

const struct file_operations tt_session_fops = {
	.owner = THIS_MODULE,
	.open = session_open,
	.unlocked_ioctl = session_ioctl,
	.compat_ioctl = compat_ptr_ioctl,
	.mmap = session_mmap,
	.release = session_release,
	.llseek = noop_llseek,
};
