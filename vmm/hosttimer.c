// SPDX-License-Identifier: GPL-2.0
/*
 * hosttimer.c - the host's clock for seams that follow real time: wake a vCPU thread at a host TSC value.
 *
 * A POSIX timer signals the vCPU thread itself. Guests move their timer at every tick, nearly always to a later time, so
 * the host's timer is moved only when it must ring earlier: an early ring costs one look, a timer_settime() per guest
 * tick costs more.
 */
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>
#include <x86intrin.h>

#include "vmm.h"

static struct timespec ticks_to_timespec(uint64_t ticks, uint64_t tsc_hz)
{
	uint64_t ns = (unsigned __int128)ticks * 1000000000u / tsc_hz;

	return (struct timespec){ .tv_sec = ns / 1000000000u, .tv_nsec = ns % 1000000000u };
}

int tt_host_timer_create(struct tt_host_timer *timer, uint64_t tsc_hz)
{
	struct sigevent event = {
		.sigev_notify = SIGEV_THREAD_ID,
		.sigev_signo = TT_KICK_SIGNAL,
	};

	event._sigev_un._tid = syscall(SYS_gettid);
	timer->tsc_hz = tsc_hz;
	timer->armed = TT_TIME_NEVER;
	return timer_create(CLOCK_MONOTONIC, &event, &timer->id) < 0 ? -errno : 0;
}

void tt_host_timer_destroy(struct tt_host_timer *timer)
{
	timer_delete(timer->id);
}

void tt_host_timer_rang(struct tt_host_timer *timer)
{
	timer->armed = TT_TIME_NEVER;
}

void tt_host_timer_set(struct tt_host_timer *timer, uint64_t when)
{
	struct itimerspec spec = { 0 };
	uint64_t now = __rdtsc();

	if (when == TT_TIME_NEVER)
		return;
	if (timer->armed != TT_TIME_NEVER && timer->armed > now && timer->armed <= when)
		return;
	spec.it_value = ticks_to_timespec(when > now ? when - now : 0, timer->tsc_hz);
	if (!spec.it_value.tv_sec && !spec.it_value.tv_nsec)
		spec.it_value.tv_nsec = 1; /* zero would disarm */
	timer_settime(timer->id, 0, &spec, NULL);
	timer->armed = when;
}

void tt_host_sleep_until(struct tt_vcpu *vcpu, uint64_t tsc_hz, uint64_t when)
{
	struct timespec span = { .tv_sec = 3600 };
	sigset_t kick, old;
	uint64_t now = __rdtsc();

	if (when != TT_TIME_NEVER) {
		if (when <= now)
			return;
		span = ticks_to_timespec(when - now, tsc_hz);
	}
	/* The handler notes a kick in immediate_exit; blocked meanwhile, so that none falls between look and sleep. */
	sigemptyset(&kick);
	sigaddset(&kick, TT_KICK_SIGNAL);
	pthread_sigmask(SIG_BLOCK, &kick, &old);
	if (!vcpu->run->immediate_exit)
		sigtimedwait(&kick, NULL, &span);
	vcpu->run->immediate_exit = 0;
	pthread_sigmask(SIG_SETMASK, &old, NULL);
}
