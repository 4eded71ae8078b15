// SPDX-License-Identifier: GPL-2.0
/*
 * hooks.c - what happens right before every VM entry and right after every VM exit.
 *
 * The hooks are called for all vCPUs of the machine; a small hash table, read under RCU and keyed by the vCPU's address,
 * finds those that have a session. They take no lock: the fields that they change belong to the thread inside KVM_RUN.
 *
 * Whatever the entry hook changes in the hardware's control block, the exit hook changes back. KVM therefore never runs
 * with our settings, and detaching needs no lock of KVM's: it keeps further entries out (dying), waits until the vCPU
 * has left the guest, and is done.
 */
#include <linux/delay.h>
#include <linux/hashtable.h>

#include "compat/compat.h"
#include "session.h"

static DEFINE_HASHTABLE(table, 6);
static DEFINE_MUTEX(table_lock);	/* the table for writing, sessions, and whether the hooks are in place */
static unsigned int sessions;

static __always_inline struct tt_session *find_session(struct kvm_vcpu *vcpu)
{
	struct tt_session *s;

	/* Interrupts are off, which is all that RCU asks of a reader whose writers use synchronize_rcu(). */
	hash_for_each_possible_rcu_notrace(table, s, node, (unsigned long)vcpu)
		if (s->vcpu == vcpu)
			return s;
	return NULL;
}

/* ---- entry ---- */

void tt_enter(struct kvm_vcpu *vcpu)
{
	struct tt_session *s = find_session(vcpu);
	u64 rip;

	if (!s || READ_ONCE(s->dying))
		return;

	rip = s->vendor->rip(s);
	tt_stop_begin(s);
	if (s->compare_rip && rip != s->rip) {
		s->page->emulated = ++s->emulated;
		tt_alarm_emulated(s);
	}
	if (unlikely(s->resume.pending || s->resume.masked_dr7 || s->resume.masked_debug))
		tt_resume_at_entry(s, rip);
	if (unlikely(!tt_perf_running(s->counter[TTVM_COUNTER_BRANCHES].event) ||
		     !tt_perf_running(s->counter[TTVM_COUNTER_INSTRUCTIONS].event)))
		tt_stop_at_entry(s, TTVM_STOP_COUNTER);

	s->vendor->enter(s, tt_clock_enabled(s));
	WRITE_ONCE(s->in_guest, true);
}

/* ---- exit ---- */

static void read_counter(struct tt_session *s, enum ttvm_counter which, u64 *where)
{
	if (unlikely(!tt_counter_read(&s->counter[which])))
		tt_stop_at_exit(s, TTVM_STOP_COUNTER);
	*where = s->counter[which].value;
}

void tt_leave(struct kvm_vcpu *vcpu)
{
	struct tt_session *s = find_session(vcpu);
	struct ttvm_page *page;
	struct tt_exit x;

	if (!s || !s->in_guest)
		return;

	page = s->page;
	s->vendor->leave(s, &x);
	s->rip = x.rip;
	s->compare_rip = true;
	page->rip = x.rip;
	page->exit_code = x.code;
	page->midway = x.midway;
	page->exits++;
	page->exits_by_reason[x.slot]++;

	read_counter(s, TTVM_COUNTER_BRANCHES, &page->branches);
	/* Also where RDTSC is answered right here: a signal may send KVM_RUN home from this very exit. */
	read_counter(s, TTVM_COUNTER_INSTRUCTIONS, &page->instructions);
	if (unlikely(s->resume.set))
		tt_resume_at_exit(s, &x);

	switch (x.kind) {
	case TT_EXIT_TSC:
		s->vendor->complete_tsc(s, &x, tt_clock_rdtsc(s));
		page->rdtsc++;
		break;
	case TT_EXIT_DEBUG:
		if (tt_stop_filter(s, &x))
			page->db_swallowed++;
		break;
	case TT_EXIT_DR7:
	case TT_EXIT_OTHER:
		break;
	}
	if (x.kind != TT_EXIT_OTHER)
		tt_stop_pass_step(s);
	if (tt_alarm_armed(s))
		tt_alarm_check(s);
	if (unlikely(READ_ONCE(page->stop.flags) & TTVM_STOP_FILTER))
		tt_stop_check(s);
	WRITE_ONCE(s->in_guest, false);
}

/* ---- sessions come and go ---- */

int tt_hooks_add(struct tt_session *s)
{
	struct tt_session *other;
	int err = 0;

	mutex_lock(&table_lock);
	hash_for_each_possible(table, other, node, (unsigned long)s->vcpu)
		if (other->vcpu == s->vcpu)
			err = -EEXIST;
	if (!err && sessions == 0)
		err = tt_compat_hook();
	if (!err) {
		hash_add_rcu(table, &s->node, (unsigned long)s->vcpu);
		sessions++;
	}
	mutex_unlock(&table_lock);
	return err;
}

void tt_hooks_drain(struct tt_session *s)
{
	/* From here on no entry hook begins to work on s ... */
	synchronize_rcu();
	/* ... and the exit hook of a vCPU that is inside the guest ends what the last entry hook began. */
	while (READ_ONCE(s->in_guest)) {
		kvm_vcpu_kick(s->vcpu);
		usleep_range(20, 100);
	}
}

void tt_hooks_del(struct tt_session *s)
{
	mutex_lock(&table_lock);
	hash_del_rcu(&s->node);
	if (--sessions == 0)
		tt_compat_unhook();
	mutex_unlock(&table_lock);
	synchronize_rcu();
}

unsigned int tt_hooks_count(void)
{
	return READ_ONCE(sessions);
}
