// SPDX-License-Identifier: GPL-2.0
/*
 * pause.c - another thread wants something of the vCPU threads: that they stand still for a while, or that one of them
 * does something for it.
 *
 * Both happen on the vCPU's own thread, between two entries into the guest, so that no other code needs to know of them.
 * machine->attention keeps that cheap: one word to look at before each entry.
 *
 * What a visit does and how long a pause takes must leave no trace in what the guest sees: a recording does not contain
 * them. Virtual time follows the host's; a seam takes the length of a pause off it (tt_seam_ops.resumed).
 */
#include <stdlib.h>
#include <time.h>
#include <x86intrin.h>

#include "internal.h"

enum pauser { PAUSED_BY_USER = 1, PAUSED_BY_DEBUGGER = 2 };

struct visit {
	void (*visit)(void *ctx, struct tt_vcpu *vcpu);
	void *ctx;
	bool begun;
	bool done;
	struct visit *next;
};

struct pause {
	pthread_mutex_t lock;
	pthread_cond_t changed;	   /* any of the following */
	unsigned int wanted;	   /* who wants one: bits of enum pauser */
	unsigned int standing;	   /* vCPUs that do nothing but wait for the end of the pause */
	bool ended;		   /* no vCPU runs any more */
	struct visit *visits;	   /* in the order in which they came; those that have not begun */
};

int tt_pause_create(struct tt_machine *m, struct tt_error *err)
{
	struct pause *p = calloc(1, sizeof(*p));
	pthread_condattr_t attr;

	if (!p)
		return tt_fail(err, -ENOMEM, "out of memory");
	pthread_mutex_init(&p->lock, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&p->changed, &attr);
	pthread_condattr_destroy(&attr);
	m->pause = p;
	return 0;
}

void tt_pause_destroy(struct tt_machine *m)
{
	struct pause *p = m->pause;

	if (!p)
		return;
	pthread_cond_destroy(&p->changed);
	pthread_mutex_destroy(&p->lock);
	free(p);
	m->pause = NULL;
}

/* With the lock held. */
static void update_attention(struct tt_machine *m)
{
	const struct pause *p = m->pause;

	__atomic_store_n(&m->attention, p->wanted != 0 || p->visits, __ATOMIC_SEQ_CST);
}

static void kick_all(struct tt_machine *m)
{
	unsigned int i;

	for (i = 0; i < m->config.num_vcpus; i++)
		tt_vcpu_kick(&m->vcpus[i]);
}

/* ------------------------------------------------------------------ on the vCPU threads */

/* With the lock held, which is let go during a visit. */
static void make_visits(struct tt_vcpu *vcpu)
{
	struct tt_machine *m = vcpu->machine;
	struct pause *p = m->pause;
	struct visit *v;

	while (!vcpu->index && (v = p->visits) != NULL) {
		p->visits = v->next;
		v->begun = true;
		update_attention(m);
		pthread_mutex_unlock(&p->lock);

		pthread_mutex_lock(&m->device_lock);
		m->current = vcpu;
		v->visit(v->ctx, vcpu);
		m->current = NULL;
		pthread_mutex_unlock(&m->device_lock);

		pthread_mutex_lock(&p->lock);
		v->done = true;
		pthread_cond_broadcast(&p->changed);
	}
}

static bool must_stand(const struct tt_machine *m)
{
	const struct pause *p = m->pause;

	return p->wanted && !m->stop_requested && m->end == TT_END_NONE;
}

/* Take the time since `since` off the vCPU's; returns now. */
static uint64_t skip_time(struct tt_vcpu *vcpu, uint64_t since)
{
	struct tt_seam *seam = vcpu->machine->seam;
	uint64_t now = __rdtsc();

	if (seam->ops->resumed)
		seam->ops->resumed(seam, vcpu, now - since);
	return now;
}

void tt_pause_point(struct tt_vcpu *vcpu)
{
	struct tt_machine *m = vcpu->machine;
	struct pause *p = m->pause;
	uint64_t since;

	pthread_mutex_lock(&p->lock);
	make_visits(vcpu);
	if (must_stand(m)) {
		since = __rdtsc();
		p->standing++;
		pthread_cond_broadcast(&p->changed);
		while (must_stand(m)) {
			pthread_cond_wait(&p->changed, &p->lock);
			/* A visitor that looks at the clock sees it stand still. */
			since = skip_time(vcpu, since);
			make_visits(vcpu);
		}
		skip_time(vcpu, since);
		p->standing--;
	}
	pthread_mutex_unlock(&p->lock);
}

void tt_pause_end(struct tt_machine *m)
{
	struct pause *p = m->pause;

	pthread_mutex_lock(&p->lock);
	p->ended = true;
	pthread_cond_broadcast(&p->changed);
	pthread_mutex_unlock(&p->lock);
}

/* ------------------------------------------------------------------ on other threads */

void tt_pause_wake(struct tt_machine *m)
{
	struct pause *p = m->pause;

	pthread_mutex_lock(&p->lock);
	pthread_cond_broadcast(&p->changed);
	pthread_mutex_unlock(&p->lock);
}

/* With the lock held. */
static void begin_pause(struct tt_machine *m, enum pauser who)
{
	struct pause *p = m->pause;

	p->wanted |= who;
	update_attention(m);
	kick_all(m);
}

static void end_pause(struct tt_machine *m, enum pauser who)
{
	struct pause *p = m->pause;

	pthread_mutex_lock(&p->lock);
	p->wanted &= ~who;
	update_attention(m);
	pthread_cond_broadcast(&p->changed);
	pthread_mutex_unlock(&p->lock);
}

void tt_machine_hold(struct tt_machine *m)
{
	struct pause *p = m->pause;

	pthread_mutex_lock(&p->lock);
	begin_pause(m, PAUSED_BY_DEBUGGER);
	pthread_mutex_unlock(&p->lock);
}

void tt_machine_release(struct tt_machine *m)
{
	end_pause(m, PAUSED_BY_DEBUGGER);
}

int tt_machine_pause(struct tt_machine *m)
{
	struct pause *p = m->pause;
	int ret;

	pthread_mutex_lock(&p->lock);
	begin_pause(m, PAUSED_BY_USER);
	while (p->wanted && m->end == TT_END_NONE && p->standing < m->config.num_vcpus)
		pthread_cond_wait(&p->changed, &p->lock);
	ret = m->end == TT_END_NONE ? 0 : -ESHUTDOWN;
	pthread_mutex_unlock(&p->lock);
	return ret;
}

void tt_machine_resume(struct tt_machine *m)
{
	end_pause(m, PAUSED_BY_USER);
}

bool tt_machine_is_paused(struct tt_machine *m)
{
	struct pause *p = m->pause;
	bool paused;

	pthread_mutex_lock(&p->lock);
	paused = must_stand(m);
	pthread_mutex_unlock(&p->lock);
	return paused;
}

static struct timespec deadline_in(unsigned int ms)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	t.tv_sec += ms / 1000;
	t.tv_nsec += ms % 1000 * 1000000l;
	if (t.tv_nsec >= 1000000000) {
		t.tv_sec++;
		t.tv_nsec -= 1000000000;
	}
	return t;
}

/* With the lock held: the visit will not be made any more. */
static void withdraw(struct tt_machine *m, const struct visit *v)
{
	struct pause *p = m->pause;
	struct visit **at = &p->visits;

	while (*at && *at != v)
		at = &(*at)->next;
	if (*at)
		*at = v->next;
	update_attention(m);
}

int tt_machine_visit(struct tt_machine *m, void (*visit)(void *ctx, struct tt_vcpu *vcpu), void *ctx,
		     unsigned int timeout_ms)
{
	struct visit v = { .visit = visit, .ctx = ctx };
	const struct timespec deadline = deadline_in(timeout_ms);
	struct pause *p = m->pause;
	struct visit **tail;
	int timed_out = 0;

	pthread_mutex_lock(&p->lock);
	for (tail = &p->visits; *tail; tail = &(*tail)->next)
		;
	*tail = &v;
	update_attention(m);
	pthread_cond_broadcast(&p->changed);
	if (!p->ended)
		tt_vcpu_kick(&m->vcpus[0]);
	/* One that has begun is waited for in any case: it uses ctx. */
	while (!v.done && (v.begun || (!p->ended && !timed_out))) {
		if (v.begun)
			pthread_cond_wait(&p->changed, &p->lock);
		else
			timed_out = pthread_cond_timedwait(&p->changed, &p->lock, &deadline);
	}
	if (!v.done)
		withdraw(m, &v);
	pthread_mutex_unlock(&p->lock);
	if (v.done)
		return 0;
	return timed_out ? -ETIMEDOUT : -ESHUTDOWN;
}
