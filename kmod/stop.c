// SPDX-License-Identifier: GPL-2.0
/*
 * stop.c - leaving KVM_RUN close to a count, or exactly at a position.
 *
 * KVM offers modules no call to end KVM_RUN, but one request does nothing else: KVM_REQ_REPORT_TPR_ACCESS makes it return 0
 * with KVM_EXIT_TPR_ACCESS, after completing a half-done instruction and before injecting anything. KVM looks at its
 * requests before each VM entry.
 *
 * Alarm: a second perf event per counter samples with a period that never elapses. To arm it, the counter is loaded so
 * that it overflows at the target; perf then reloads the endless period, so an alarm rings once and perf's throttling has
 * nothing to throttle. The overflow is an NMI. It may come between KVM's look at the requests and the VM entry, so it also
 * queues an irq_work, whose interrupt ends that entry before the first guest instruction.
 *
 * An alarm can ring late (skid), or never, when perf reloads the counter at a context switch while the overflow is
 * pending. Every exit therefore compares the counting event with the target: the alarm is late at most until the next
 * exit, and an exit happens at each tick of the host.
 *
 * Filter: a hardware breakpoint at the target's RIP hits each time around a loop. All but the right hit are resumed here,
 * with RFLAGS.RF set so that the instruction executes, at a twentieth of the price of a trip to userspace. RF would be
 * visible to the guest (an interrupt pushes it) and to userspace, so it is set at the entry and, unless the instruction has
 * retired and so cleared it, taken away at the next exit. The breakpoint may then hit once more, and is swallowed once more.
 */
#include <linux/xxhash.h>

#include "session.h"

/* Larger than any count that a guest can reach while the alarm is open; perf splits it if the hardware is narrower. */
#define TT_ENDLESS (1ull << 46)

/* ---- leaving KVM_RUN ---- */

/* At an exit or from NMI: KVM_RUN returns before the next entry. */
void tt_stop_at_exit(struct tt_session *s, u32 reason)
{
	WRITE_ONCE(s->page->stop_reason, reason);
	kvm_make_request(KVM_REQ_REPORT_TPR_ACCESS, s->vcpu);
}

/* At an entry: KVM has looked at its requests, so the entry must fail to execute anything. */
void tt_stop_at_entry(struct tt_session *s, u32 reason)
{
	tt_stop_at_exit(s, reason);
	irq_work_queue(&s->alarm.kick);
}

void tt_stop_begin(struct tt_session *s)
{
	/* A request that is still pending has not been reported yet, nor has its reason. */
	if (unlikely(s->page->stop_reason) && !kvm_test_request(KVM_REQ_REPORT_TPR_ACCESS, s->vcpu))
		s->page->stop_reason = TTVM_STOP_NONE;
}

static void cancel_stop(struct tt_session *s)
{
	if (s->page->stop_reason == TTVM_STOP_NONE)
		return;
	kvm_clear_request(KVM_REQ_REPORT_TPR_ACCESS, s->vcpu);
	s->page->stop_reason = TTVM_STOP_NONE;
}

/* ---- the alarm ---- */

static void alarm_rings(struct perf_event *event, struct perf_sample_data *data, struct pt_regs *regs)
{
	struct tt_session *s = event->overflow_handler_context;
	u32 counter = event == s->alarm.event[TTVM_COUNTER_INSTRUCTIONS] ? TTVM_COUNTER_INSTRUCTIONS :
									   TTVM_COUNTER_BRANCHES;

	/* Our reload, not perf's, decides how often this is called. */
	event->hw.interrupts = 0;
	s->page->alarms++;
	if (!READ_ONCE(s->alarm.armed[counter]))
		return;
	WRITE_ONCE(s->alarm.armed[counter], false);
	s->alarm.rung = counter;
	tt_stop_at_entry(s, TTVM_STOP_ALARM);
}

static void kick_done(struct irq_work *work)
{
}

void tt_stop_init(struct tt_session *s)
{
	init_irq_work(&s->alarm.kick, kick_done);
}

/* Make sure that the sampling event of this counter exists. Called by the session's thread. */
int tt_alarm_open(struct tt_session *s, u32 counter)
{
	struct perf_event *event = s->alarm.event[counter];

	if (event)
		return 0;
	event = tt_perf_open(s->alarm.config[counter], TT_ENDLESS, alarm_rings, s);
	if (IS_ERR(event))
		return PTR_ERR(event);
	s->alarm.event[counter] = event;
	return 0;
}

void tt_alarm_close(struct tt_session *s)
{
	int i;

	for (i = 0; i < TT_COUNTERS; i++) {
		s->alarm.armed[i] = false;
		if (s->alarm.event[i])
			perf_event_release_kernel(s->alarm.event[i]);
		s->alarm.event[i] = NULL;
	}
	irq_work_sync(&s->alarm.kick);
}

/* Let the event overflow after so many more counts. Interrupts are off; false when the event is not running here. */
static bool program(struct perf_event *event, u64 distance)
{
	if (!tt_perf_running(event))
		return false;
	event->pmu->stop(event, PERF_EF_UPDATE);
	event->hw.interrupts = 0;
	local64_set(&event->hw.period_left, distance);
	event->pmu->start(event, PERF_EF_RELOAD);
	return true;
}

/* A counter as the ABI counts it, as of its last read. */
static u64 alarm_now(const struct tt_session *s, u32 counter)
{
	u64 now = s->counter[counter].value;

	return counter == TTVM_COUNTER_INSTRUCTIONS ? now + s->emulated : now;
}

/* Both alarms. */
void tt_alarm_clear(struct tt_session *s)
{
	u32 i;

	for (i = 0; i < TT_COUNTERS; i++)
		WRITE_ONCE(s->alarm.armed[i], false);
	cancel_stop(s);
}

/* Called by the session's thread outside KVM_RUN. 0, or -errno when the counters cannot be had. */
int tt_alarm_set(struct tt_session *s, u32 counter, u64 target)
{
	int err = 0;

	WRITE_ONCE(s->alarm.armed[counter], false);
	if (s->alarm.rung == counter)
		cancel_stop(s);
	if (target == 0)
		return 0;
	err = tt_alarm_open(s, counter);
	if (err)
		return err;

	local_irq_disable();
	s->alarm.target[counter] = target;
	if (!tt_counter_read(&s->counter[counter])) {
		err = -EBUSY;
	} else if (alarm_now(s, counter) >= target) {
		s->alarm.rung = counter;
		tt_stop_at_exit(s, TTVM_STOP_ALARM);
	} else if (!program(s->alarm.event[counter], target - alarm_now(s, counter))) {
		err = -EBUSY;
	} else {
		WRITE_ONCE(s->alarm.armed[counter], true);
	}
	local_irq_enable();
	return err;
}

/*
 * At entry: KVM has completed an instruction that the PMU has not seen. If an alarm waits for instructions, its event has
 * one less to count.
 */
void tt_alarm_emulated(struct tt_session *s)
{
	const u32 counter = TTVM_COUNTER_INSTRUCTIONS;
	struct tt_alarm *alarm = &s->alarm;
	u64 now;

	if (likely(!READ_ONCE(alarm->armed[counter])))
		return;
	tt_counter_read(&s->counter[counter]);
	now = alarm_now(s, counter);
	if (now < alarm->target[counter]) {
		program(alarm->event[counter], alarm->target[counter] - now);
		return;
	}
	WRITE_ONCE(alarm->armed[counter], false);
	alarm->rung = counter;
	tt_stop_at_entry(s, TTVM_STOP_ALARM);
}

/* At exit, counters up to date: the overflow's NMI, had it come, would have disarmed the alarm by now. */
void tt_alarm_check(struct tt_session *s)
{
	u32 i;

	for (i = 0; i < TT_COUNTERS; i++) {
		if (!READ_ONCE(s->alarm.armed[i]) || alarm_now(s, i) < s->alarm.target[i])
			continue;
		WRITE_ONCE(s->alarm.armed[i], false);
		s->alarm.rung = i;
		s->page->alarms_late++;
		tt_stop_at_exit(s, TTVM_STOP_LATE);
	}
}

/* ---- the filter for hardware breakpoints ---- */

static bool is_wanted(struct tt_session *s, const struct ttvm_stop *stop, u64 rip)
{
	u64 words[TTVM_CHECK_WORDS];
	u32 check;

	if (rip != stop->rip)
		return false;
	if ((stop->flags & TTVM_STOP_INSTRUCTIONS) &&
	    alarm_now(s, TTVM_COUNTER_INSTRUCTIONS) < stop->instructions)
		return false;
	if (stop->check_mask == 0)
		return true;
	s->vendor->registers(s, words);
	words[TTVM_CHECK_WORDS - 1] &= ~TTVM_CHECK_RFLAGS_IGNORED;
	check = (u32)xxh64(words, sizeof(words), 0);
	return ((check ^ stop->check) & stop->check_mask) == 0;
}

/* At exit, filter on, counters up to date: a vCPU that has run past the position will not come back to it. */
void tt_stop_check(struct tt_session *s)
{
	u64 branches = s->counter[TTVM_COUNTER_BRANCHES].value;
	u64 target = READ_ONCE(s->page->stop.branches);

	if (likely(branches <= target || branches - target <= TTVM_STOP_SLACK))
		return;
	s->page->alarms_late++;
	tt_stop_at_exit(s, TTVM_STOP_LATE);
}

/* At a #DB exit, counters up to date. True when the hit was not the wanted one, and has been undone. */
bool tt_stop_filter(struct tt_session *s, const struct tt_exit *x)
{
	const struct ttvm_stop *stop = &s->page->stop;
	u64 branches = s->counter[TTVM_COUNTER_BRANCHES].value;

	if (!(READ_ONCE(stop->flags) & TTVM_STOP_FILTER) || !s->vendor->is_breakpoint(s))
		return false;
	if (branches > stop->branches || (branches == stop->branches && is_wanted(s, stop, x->rip)))
		return false;

	s->vendor->swallow_debug(s);
	s->resume.pending = true;
	s->resume.rip = x->rip;
	s->resume.branches = branches;
	return true;
}

/* At the entry after a swallowed hit, or after masked breakpoints. */
void tt_resume_at_entry(struct tt_session *s, u64 rip)
{
	tt_resume_unmask(s);
	if (!s->resume.pending)
		return;
	s->resume.pending = false;
	if (rip != s->resume.rip || s->vendor->injects_interrupt(s))
		return;
	s->vendor->set_resume_flag(s, true);
	s->resume.set = true;
}

/*
 * At the exit that follows. If the instruction has not retired, KVM may be about to emulate it, and its emulator reports
 * userspace's breakpoints whatever RF says; so it must not see them until the next entry.
 */
void tt_resume_at_exit(struct tt_session *s, const struct tt_exit *x)
{
	struct kvm_vcpu *vcpu = s->vcpu;

	s->resume.set = false;
	if (x->rip != s->resume.rip || s->counter[TTVM_COUNTER_BRANCHES].value != s->resume.branches)
		return;
	s->vendor->set_resume_flag(s, false);
	if (x->kind == TT_EXIT_OTHER && (vcpu->guest_debug & KVM_GUESTDBG_USE_HW_BP)) {
		s->resume.masked_dr7 = vcpu->arch.guest_debug_dr7;
		vcpu->arch.guest_debug_dr7 = 0;
	}
}

/*
 * With userspace's breakpoints, KVM reports every #DB to userspace, also those of a guest that steps itself by its trap
 * flag. Those are the guest's: KVM must not know of the breakpoints while it handles this exit.
 */
void tt_stop_pass_step(struct tt_session *s)
{
	struct kvm_vcpu *vcpu = s->vcpu;

	if (likely(!(vcpu->guest_debug & KVM_GUESTDBG_USE_HW_BP)) ||
	    (vcpu->guest_debug & KVM_GUESTDBG_SINGLESTEP) || !s->vendor->take_step(s))
		return;
	vcpu->guest_debug &= ~KVM_GUESTDBG_USE_HW_BP;
	s->resume.masked_debug = true;
}

void tt_resume_unmask(struct tt_session *s)
{
	struct kvm_vcpu *vcpu = s->vcpu;

	if (s->resume.masked_debug && (vcpu->guest_debug & KVM_GUESTDBG_ENABLE))
		vcpu->guest_debug |= KVM_GUESTDBG_USE_HW_BP;
	s->resume.masked_debug = false;

	/* Unless userspace has set others in the meantime. */
	if (s->resume.masked_dr7 && (vcpu->guest_debug & KVM_GUESTDBG_USE_HW_BP) &&
	    vcpu->arch.guest_debug_dr7 == 0)
		vcpu->arch.guest_debug_dr7 = s->resume.masked_dr7;
	s->resume.masked_dr7 = 0;
}
