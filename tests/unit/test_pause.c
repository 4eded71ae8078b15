// SPDX-License-Identifier: GPL-2.0
/*
 * test_pause.c - stopping vCPU threads, and having them do something. The vCPUs are threads that do nothing but what
 * vcpu.c does around KVM_RUN.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <unistd.h>
#include <cmocka.h>

#include "fake-machine.h"
#include "internal.h"

struct rig {
	struct fake_machine f;
	struct tt_seam_ops ops;
	pthread_t threads[2];
	unsigned int laps[2]; /* how often each vCPU went round */
	uint64_t resumed;     /* ticks */
	unsigned int resumes;
};

static struct rig *rig_of(struct tt_vcpu *vcpu)
{
	return (struct rig *)vcpu->machine;
}

static void resumed(struct tt_seam *self, struct tt_vcpu *vcpu, uint64_t ticks)
{
	(void)self;
	if (vcpu->index)
		return;
	rig_of(vcpu)->resumed += ticks;
	rig_of(vcpu)->resumes++;
}

static void *vcpu_main(void *arg)
{
	struct tt_vcpu *vcpu = arg;
	struct tt_machine *m = vcpu->machine;

	while (m->end == TT_END_NONE) {
		if (__atomic_load_n(&m->attention, __ATOMIC_RELAXED))
			tt_pause_point(vcpu);
		__atomic_fetch_add(&rig_of(vcpu)->laps[vcpu->index], 1, __ATOMIC_RELAXED);
		usleep(50);
		if (m->stop_requested)
			tt_machine_end(m, TT_END_REQUEST, 0);
	}
	tt_pause_wake(m);
	return NULL;
}

static void start(struct rig *rig, unsigned int num_vcpus)
{
	unsigned int i;

	*rig = (struct rig){ 0 };
	fake_machine_create_bare(&rig->f, num_vcpus);
	rig->ops = *rig->f.seam.ops;
	rig->ops.resumed = resumed;
	rig->f.seam.ops = &rig->ops;
	for (i = 0; i < num_vcpus; i++)
		assert_int_equal(pthread_create(&rig->threads[i], NULL, vcpu_main, &rig->f.m.vcpus[i]), 0);
}

static void join(struct rig *rig)
{
	unsigned int i;

	for (i = 0; i < rig->f.m.config.num_vcpus; i++)
		pthread_join(rig->threads[i], NULL);
	tt_pause_end(&rig->f.m);
}

static void stop(struct rig *rig)
{
	tt_machine_request_stop(&rig->f.m);
	join(rig);
	fake_machine_destroy(&rig->f);
}

static unsigned int laps(struct rig *rig, unsigned int i)
{
	return __atomic_load_n(&rig->laps[i], __ATOMIC_RELAXED);
}

/* It goes on, as soon as a busy host lets it. */
static void expect_lap(struct rig *rig, unsigned int i, unsigned int before)
{
	int tries;

	for (tries = 0; tries < 5000 && laps(rig, i) == before; tries++)
		usleep(1000);
	assert_true(laps(rig, i) > before);
}

static void test_pause_and_resume(void **state)
{
	unsigned int before[2];
	struct rig rig;

	(void)state;
	start(&rig, 2);
	assert_false(tt_machine_is_paused(&rig.f.m));
	assert_int_equal(tt_machine_pause(&rig.f.m), 0);
	assert_true(tt_machine_is_paused(&rig.f.m));
	before[0] = laps(&rig, 0);
	before[1] = laps(&rig, 1);
	usleep(20000);
	assert_int_equal(laps(&rig, 0), before[0]);
	assert_int_equal(laps(&rig, 1), before[1]);
	assert_int_equal(tt_machine_pause(&rig.f.m), 0); /* already */
	tt_machine_resume(&rig.f.m);
	expect_lap(&rig, 0, before[0]);
	expect_lap(&rig, 1, before[1]);
	assert_true(rig.resumes >= 1);
	assert_true(rig.resumed > 1000000); /* TSC ticks of 20 ms on any host */
	assert_false(tt_machine_is_paused(&rig.f.m));
	assert_int_equal(__atomic_load_n(&rig.f.m.attention, __ATOMIC_RELAXED), 0);
	stop(&rig);
}

/* The debugger's and the user's pause do not end each other. */
static void test_two_reasons(void **state)
{
	unsigned int before;
	struct rig rig;

	(void)state;
	start(&rig, 1);
	tt_machine_hold(&rig.f.m);
	assert_int_equal(tt_machine_pause(&rig.f.m), 0);
	tt_machine_resume(&rig.f.m);
	assert_true(tt_machine_is_paused(&rig.f.m));
	before = laps(&rig, 0);
	usleep(20000);
	assert_int_equal(laps(&rig, 0), before);
	assert_int_equal(tt_machine_pause(&rig.f.m), 0);
	tt_machine_release(&rig.f.m);
	assert_true(tt_machine_is_paused(&rig.f.m));
	tt_machine_resume(&rig.f.m);
	expect_lap(&rig, 0, before);
	stop(&rig);
}

static void visit(void *ctx, struct tt_vcpu *vcpu)
{
	pthread_t *where = ctx;

	assert_int_equal(vcpu->index, 0);
	assert_ptr_equal(vcpu->machine->current, vcpu);
	assert_int_not_equal(pthread_mutex_trylock(&vcpu->machine->device_lock), 0);
	*where = pthread_self();
}

static void test_visits_running_and_paused(void **state)
{
	struct rig rig;
	pthread_t where;
	unsigned int i;

	(void)state;
	start(&rig, 2);
	rig.f.m.current = NULL;
	for (i = 0; i < 4; i++) {
		where = pthread_self();
		assert_int_equal(tt_machine_visit(&rig.f.m, visit, &where, 5000), 0);
		assert_true(pthread_equal(where, rig.threads[0]));
		if (i == 1)
			tt_machine_pause(&rig.f.m);
	}
	assert_true(tt_machine_is_paused(&rig.f.m));
	tt_machine_resume(&rig.f.m);
	stop(&rig);
}

static void *visitor(void *arg)
{
	struct rig *rig = arg;
	pthread_t where;
	int i, ret = 0;

	for (i = 0; i < 200 && !ret; i++)
		ret = tt_machine_visit(&rig->f.m, visit, &where, 5000);
	return ret ? arg : NULL;
}

static void test_many_at_once(void **state)
{
	pthread_t visitors[4];
	struct rig rig;
	void *failed;
	int i;

	(void)state;
	start(&rig, 2);
	rig.f.m.current = NULL;
	for (i = 0; i < 4; i++)
		pthread_create(&visitors[i], NULL, visitor, &rig);
	for (i = 0; i < 100; i++) {
		assert_int_equal(tt_machine_pause(&rig.f.m), 0);
		tt_machine_resume(&rig.f.m);
	}
	for (i = 0; i < 4; i++) {
		pthread_join(visitors[i], &failed);
		assert_null(failed);
	}
	stop(&rig);
}

static void test_stop_ends_a_pause(void **state)
{
	pthread_t where;
	struct rig rig;

	(void)state;
	start(&rig, 2);
	assert_int_equal(tt_machine_pause(&rig.f.m), 0);
	tt_machine_request_stop(&rig.f.m);
	join(&rig);
	assert_int_equal(rig.f.m.end, TT_END_REQUEST);
	assert_int_equal(tt_machine_pause(&rig.f.m), -ESHUTDOWN);
	assert_int_equal(tt_machine_visit(&rig.f.m, visit, &where, 5000), -ESHUTDOWN);
	assert_false(tt_machine_is_paused(&rig.f.m));
	fake_machine_destroy(&rig.f);
}

/* No vCPU thread: it is busy elsewhere for ever. */
static void test_visit_times_out(void **state)
{
	struct fake_machine f;
	pthread_t where;

	(void)state;
	fake_machine_create_bare(&f, 1);
	assert_int_equal(tt_machine_visit(&f.m, visit, &where, 20), -ETIMEDOUT);
	assert_int_equal(f.m.attention, 0); /* withdrawn */
	fake_machine_destroy(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_pause_and_resume),
		cmocka_unit_test(test_two_reasons),
		cmocka_unit_test(test_visits_running_and_paused),
		cmocka_unit_test(test_many_at_once),
		cmocka_unit_test(test_stop_ends_a_pause),
		cmocka_unit_test(test_visit_times_out),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
