// SPDX-License-Identifier: GPL-2.0
/*
 * counter.c - retired branches and instructions in guest mode, from perf events.
 *
 * The events belong to the thread that attached (perf moves them along with it) and are pinned, so they either run
 * whenever the thread does, or are in the error state and stay there. An event that does not run silently reads as
 * unchanged; therefore both hooks look at tt_perf_running() and stop the guest rather than let it run uncounted.
 */
#include <asm/perf_event.h>

#include "session.h"

/*
 * Open a raw event that counts guest mode only, on the current thread. With a period it samples, and handler is called from
 * NMI at overflow; without, it only counts. It counts at once. Returns an ERR_PTR on failure.
 */
struct perf_event *tt_perf_open(u64 config, u64 period, perf_overflow_handler_t handler, void *context)
{
	struct perf_event_attr attr = {
		.type = PERF_TYPE_RAW,
		.size = sizeof(attr),
		.config = config,
		.sample_period = period,
		.pinned = 1,
		.exclude_host = 1,
	};

	return perf_event_create_kernel_counter(&attr, -1, current, handler, context);
}

/* Does the event count on this CPU now? Interrupts or preemption are off. */
bool tt_perf_running(const struct perf_event *event)
{
	return READ_ONCE(event->state) == PERF_EVENT_STATE_ACTIVE &&
	       READ_ONCE(event->oncpu) == smp_processor_id();
}

/* General-purpose counters of this CPU, 0 without a PMU that perf can drive. */
unsigned int tt_counters_of_machine(void)
{
	struct x86_pmu_capability pmu;

	perf_get_x86_pmu_capability(&pmu);
	return pmu.num_counters_gp;
}

static int open_counter(struct tt_counter *counter, u64 config, const char *what, char why[96])
{
	struct perf_event *event = tt_perf_open(config, 0, NULL, NULL);
	bool running;

	if (IS_ERR(event)) {
		snprintf(why, 96, "perf refuses the %s event 0x%llx (error %ld): is there a PMU?", what, config,
			 PTR_ERR(event));
		return PTR_ERR(event);
	}
	counter->event = event;
	counter->offset = 0;
	counter->value = 0;

	preempt_disable();
	running = tt_perf_running(event);
	preempt_enable();
	if (!running) {
		snprintf(why, 96, "no free PMU counter for %s: try sysctl kernel.nmi_watchdog=0, or end perf", what);
		return -EBUSY;
	}
	return 0;
}

/* Open both counters and the alarm's first event for the current thread. On failure nothing is left open. */
int tt_counters_open(struct tt_session *s, char why[96])
{
	int err;

	if (tt_counters_of_machine() == 0) {
		strscpy(why, "no performance counters: enable the (virtual) PMU of this machine", 96);
		return -ENODEV;
	}
	err = open_counter(&s->counter[TTVM_COUNTER_BRANCHES], s->alarm.config[TTVM_COUNTER_BRANCHES], "branch",
			   why);
	if (!err)
		err = open_counter(&s->counter[TTVM_COUNTER_INSTRUCTIONS],
				   s->alarm.config[TTVM_COUNTER_INSTRUCTIONS], "instruction", why);
	if (!err) {
		err = tt_alarm_open(s, TTVM_COUNTER_BRANCHES);
		if (err)
			strscpy(why, "no free PMU counter for the alarm: try sysctl kernel.nmi_watchdog=0", 96);
	}
	if (err)
		tt_counters_close(s);
	return err;
}

void tt_counters_close(struct tt_session *s)
{
	int i;

	tt_alarm_close(s);
	for (i = 0; i < TT_COUNTERS; i++) {
		if (s->counter[i].event)
			perf_event_release_kernel(s->counter[i].event);
		s->counter[i].event = NULL;
	}
}
