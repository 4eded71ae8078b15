// SPDX-License-Identifier: GPL-2.0
/*
 * watch.c - one thread beside a running machine: it takes the signals that mean "stop", keeps the time limit, and calls for
 * progress.
 */
#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "ttvm.h"

#define TICK_MS 200

static void stop_signals(sigset_t *set)
{
	sigemptyset(set);
	sigaddset(set, SIGINT);
	sigaddset(set, SIGTERM);
	sigaddset(set, SIGHUP);
}

void watch_block_signals(void)
{
	sigset_t set;

	stop_signals(&set);
	pthread_sigmask(SIG_BLOCK, &set, NULL);
	/* A reader that goes away shows as EPIPE, a file that grows too large as EFBIG. */
	signal(SIGPIPE, SIG_IGN);
	signal(SIGXFSZ, SIG_IGN);
}

bool watch_wants_end(void)
{
	sigset_t waiting;

	sigpending(&waiting);
	return sigismember(&waiting, SIGINT) == 1 || sigismember(&waiting, SIGTERM) == 1 ||
	       sigismember(&waiting, SIGHUP) == 1;
}

static void *watch_main(void *arg)
{
	struct watch *w = arg;
	double end = w->timeout > 0 ? seconds_now() + w->timeout : 0;
	struct pollfd signals = { .events = POLLIN };
	sigset_t set;

	stop_signals(&set);
	signals.fd = signalfd(-1, &set, SFD_CLOEXEC);
	while (!w->done) {
		int wait = TICK_MS;

		if (end && !w->timed_out && (end - seconds_now()) * 1000 < wait)
			wait = end > seconds_now() ? (end - seconds_now()) * 1000 + 1 : 0;
		poll(&signals, 1, wait);
		if (w->done)
			break;
		if (signals.revents & POLLIN) {
			struct signalfd_siginfo info;

			if (read(signals.fd, &info, sizeof(info)) == sizeof(info)) {
				w->caught = info.ssi_signo;
				tt_machine_request_stop(w->machine);
			}
		}
		if (end && !w->timed_out && seconds_now() >= end) {
			w->timed_out = true;
			tt_machine_request_stop(w->machine);
		}
		if (w->progress)
			w->progress(w->progress_ctx);
	}
	close(signals.fd);
	return NULL;
}

int watch_start(struct watch *w, struct tt_error *err)
{
	int ret = pthread_create(&w->thread, NULL, watch_main, w);

	return ret ? tt_fail(err, -ret, "cannot start a thread: %s", strerror(ret)) : 0;
}

void watch_stop(struct watch *w)
{
	w->done = true;
	/* poll() looks at `done` within TICK_MS; a signal to that thread alone ends it at once */
	pthread_kill(w->thread, SIGHUP);
	pthread_join(w->thread, NULL);
}
