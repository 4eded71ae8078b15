// SPDX-License-Identifier: GPL-2.0
/*
 * test_log_failure.c - the log's writer when things go wrong: slow, full and failing disks, a
 * kernel without io_uring, kill -9.
 *
 * This file has its own pwrite(), which the linker prefers to libc's: with no_io_uring all writes
 * of a log come through it.
 */
#include "log_events.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>

/* ------------------------------------------------------------------ a disk with faults */

static struct {
	size_t at_most;		/* bytes per call; 0: no limit */
	useconds_t delay;
	uint64_t fail_from;	/* offset at and behind which writes fail */
	uint64_t fail_from_then; /* the same, after the first failure */
	unsigned int fail_times;
	int fail_errno;
} disk;

ssize_t pwrite(int fd, const void *data, size_t size, off_t offset)
{
	struct iovec vector = { (void *)data, size };

	if (disk.delay)
		usleep(disk.delay);
	if (disk.fail_times && (uint64_t)offset + size > disk.fail_from) {
		if ((uint64_t)offset >= disk.fail_from) {
			disk.fail_times--;
			disk.fail_from = disk.fail_from_then;
			errno = disk.fail_errno;
			return -1;
		}
		vector.iov_len = disk.fail_from - (uint64_t)offset;
	}
	if (disk.at_most && vector.iov_len > disk.at_most)
		vector.iov_len = disk.at_most;
	return pwritev(fd, &vector, 1, offset);
}

static int reset_disk(void **unused)
{
	(void)unused;
	memset(&disk, 0, sizeof(disk));
	return 0;
}

/* ------------------------------------------------------------------ helpers */

/* A frame for every 4 KiB of events. */
static struct tt_log_options frequent(bool no_io_uring)
{
	return (struct tt_log_options){ .flush_bytes = 4096, .no_io_uring = no_io_uring };
}

static struct tt_log_writer *create(const char *path, const struct tt_log_options *options)
{
	struct tt_log_section section = { "config", "{}", 2 };
	struct tt_log_writer *writer;
	struct tt_error err = { 0 };

	if (tt_log_writer_create(path, &section, 1, options, &writer, &err))
		fail_msg("tt_log_writer_create: %s", err.text);
	return writer;
}

/* Append until it fails or n events are in; the error. */
static int append_until_error(struct tt_log_writer *writer, uint64_t seed, uint64_t n)
{
	struct event_source *source = malloc(sizeof(*source));
	struct tt_event event;
	int ret = 0;

	source_init(source, seed, 0, 2000);
	while (n-- && !ret) {
		source_next(source, &event);
		ret = tt_log_append(writer, &event);
	}
	free(source);
	return ret;
}

/* The events of the log at path are a prefix of those of the source; their number. */
static uint64_t check_log(const char *path, uint64_t seed, enum tt_log_status status,
			  int writer_error)
{
	struct event_source *source = malloc(sizeof(*source));
	struct tt_error err = { 0 };
	struct tt_log *log;
	uint64_t n;

	if (tt_log_open(path, &log, &err))
		fail_msg("tt_log_open: %s", err.text);
	if (tt_log_info(log)->status != status)
		fail_msg("status %d, not %d: %s", tt_log_info(log)->status, status,
			 tt_log_info(log)->text);
	assert_int_equal(tt_log_info(log)->writer_error, writer_error);
	source_init(source, seed, 0, 2000);
	n = assert_prefix(log, source);
	assert_int_equal(n, tt_log_info(log)->events);
	tt_log_close(log);
	free(source);
	return n;
}

/* ------------------------------------------------------------------ slow disks */

struct producer {
	struct tt_log_writer *writer;
	struct event_source source;
	int error;
};

#define PRODUCER_EVENTS 20000

static void *produce(void *arg)
{
	struct producer *producer = arg;
	struct tt_event event;

	for (int i = 0; i < PRODUCER_EVENTS && !producer->error; i++) {
		source_next(&producer->source, &event);
		producer->error = tt_log_append(producer->writer, &event);
	}
	return NULL;
}

/* Two vCPUs that are faster than the disk: they wait, the rings go round, nothing is lost. */
static void slow_disk_loses_nothing(void **unused)
{
	const char *path = test_path("slow");
	struct tt_log_options options = { .num_vcpus = 2, .ring_bytes = 1, .no_io_uring = true };
	static struct producer producers[2];
	pthread_t threads[2];
	struct tt_log_writer *writer;
	struct tt_log_stats stats;
	struct tt_log *log;

	(void)unused;
	disk.delay = 1000;
	writer = create(path, &options);
	for (uint16_t i = 0; i < 2; i++) {
		producers[i].writer = writer;
		source_init(&producers[i].source, i + 1, i, i ? TT_EVENT_MAX_PAYLOAD : 100);
		assert_int_equal(pthread_create(&threads[i], NULL, produce, &producers[i]), 0);
	}
	for (int i = 0; i < 2; i++) {
		pthread_join(threads[i], NULL);
		assert_int_equal(producers[i].error, 0);
	}
	assert_int_equal(tt_log_writer_close(writer, &stats, NULL), 0);
	assert_int_equal(stats.events, 2 * PRODUCER_EVENTS);
	assert_true(stats.stalls > 0);
	assert_false(stats.io_uring);

	assert_int_equal(tt_log_open(path, &log, NULL), 0);
	assert_int_equal(tt_log_info(log)->status, TT_LOG_CLEAN);
	for (uint16_t i = 0; i < 2; i++) {
		source_init(&producers[i].source, i + 1, i, i ? TT_EVENT_MAX_PAYLOAD : 100);
		assert_int_equal(assert_prefix(log, &producers[i].source), PRODUCER_EVENTS);
	}
	tt_log_close(log);
	unlink(path);
}

static void short_writes_are_continued(void **unused)
{
	const char *path = test_path("short");
	struct tt_log_options options = frequent(true);
	struct tt_log_writer *writer;

	(void)unused;
	disk.at_most = 100;
	writer = create(path, &options);
	assert_int_equal(append_until_error(writer, 1, 500), 0);
	assert_int_equal(tt_log_writer_close(writer, NULL, NULL), 0);
	assert_int_equal(check_log(path, 1, TT_LOG_CLEAN, 0), 500);
	unlink(path);
}

/* ------------------------------------------------------------------ failing disks */

/* One write fails: the log ends at the last whole frame, is closed, and says why. */
static void write_error_ends_the_recording(void **unused)
{
	const char *path = test_path("eio");
	struct tt_log_options options = frequent(true);
	struct tt_log_writer *writer;
	struct tt_error err = { 0 };
	struct tt_log_stats stats;

	(void)unused;
	disk.fail_from = disk.fail_from_then = 10000;
	disk.fail_times = 1;
	disk.fail_errno = EIO;
	writer = create(path, &options);
	assert_int_equal(append_until_error(writer, 2, 1000000), -EIO);
	assert_int_equal(tt_log_writer_error(writer), -EIO);
	assert_int_equal(tt_log_writer_flush(writer), -EIO);
	assert_int_equal(tt_log_writer_close(writer, &stats, &err), -EIO);
	assert_int_equal(err.code, -EIO);
	assert_true(stats.events > 0);
	assert_int_equal(check_log(path, 2, TT_LOG_CLEAN, -EIO), stats.events);
	unlink(path);
}

/* All further writes fail: the log cannot be closed, but everything before is there. */
static void dead_disk_leaves_a_prefix(void **unused)
{
	const char *path = test_path("dead");
	struct tt_log_options options = frequent(true);
	struct tt_log_writer *writer;
	struct tt_log_stats stats;
	struct stat st;

	(void)unused;
	disk.fail_from = 10000;
	disk.fail_times = UINT32_MAX;
	disk.fail_errno = EIO;
	writer = create(path, &options);
	assert_int_equal(append_until_error(writer, 3, 1000000), -EIO);
	assert_int_equal(tt_log_writer_close(writer, &stats, NULL), -EIO);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_size, stats.file_bytes);
	assert_int_equal(check_log(path, 3, TT_LOG_RECOVERED, 0), stats.events);
	unlink(path);
}

/* The first write fails: no recording, and the reason is told at once. */
static void error_at_the_start_is_reported(void **unused)
{
	const char *path = test_path("start");
	struct tt_log_options options = frequent(true);
	struct tt_log_writer *writer;
	struct tt_error err = { 0 };

	(void)unused;
	disk.fail_times = UINT32_MAX;
	disk.fail_errno = ENOSPC;
	assert_int_equal(tt_log_writer_create(path, NULL, 0, &options, &writer, &err), -ENOSPC);
	assert_non_null(strstr(err.text, "No space left"));
	unlink(path);
}

/* Run in a child: a failing assertion there is a status that is not 0. */
static int in_child(int (*run)(const char *path, bool no_io_uring), const char *path,
		    bool no_io_uring)
{
	pid_t child;
	int status;

	fflush(NULL);
	child = fork();
	if (!child)
		_exit(run(path, no_io_uring));
	assert_int_equal(waitpid(child, &status, 0), child);
	if (WIFSIGNALED(status))
		fail_msg("the child died of signal %d", WTERMSIG(status));
	return WEXITSTATUS(status);
}

#define CHILD_SKIP 77

static int fill_small_disk(const char *dir, bool no_io_uring)
{
	struct tt_log_options options = frequent(no_io_uring);
	struct tt_log_writer *writer;
	struct tt_log_stats stats;
	char path[300];
	int ret;

	if (unshare(CLONE_NEWNS) && unshare(CLONE_NEWUSER | CLONE_NEWNS))
		return CHILD_SKIP;
	mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL);
	if (mkdir(dir, 0700) || mount("ttvm-test", dir, "tmpfs", 0, "size=1m"))
		return CHILD_SKIP;
	snprintf(path, sizeof(path), "%s/log.zst", dir);
	writer = create(path, &options);
	ret = append_until_error(writer, 4, 1000000);
	if (ret != -ENOSPC)
		return 2;
	ret = tt_log_writer_close(writer, &stats, NULL);
	if (ret != -ENOSPC)
		return 3;
	/* most of the disk was used, and there was still room to close the log properly */
	if (stats.events != check_log(path, 4, TT_LOG_CLEAN, -ENOSPC))
		return 4;
	return stats.file_bytes < 800000 ? 5 : 0;
}

static void full_disk_closes_the_log(void **unused)
{
	const char *dir = test_path("full");

	(void)unused;
	for (int no_io_uring = 0; no_io_uring < 2; no_io_uring++) {
		int ret = in_child(fill_small_disk, dir, no_io_uring);

		rmdir(dir);
		if (ret == CHILD_SKIP) {
			print_message("skipped: cannot mount a tmpfs here\n");
			skip();
		}
		assert_int_equal(ret, 0);
	}
}

static int reach_size_limit(const char *path, bool no_io_uring)
{
	struct tt_log_options options = frequent(no_io_uring);
	struct rlimit limit = { 20000, 20000 };
	struct tt_log_writer *writer;

	if (setrlimit(RLIMIT_FSIZE, &limit))
		return 2;
	writer = create(path, &options);
	if (append_until_error(writer, 5, 1000000) != -EFBIG)
		return 3;
	return tt_log_writer_close(writer, NULL, NULL) == -EFBIG ? 0 : 4;
}

static void size_limit_leaves_a_prefix(void **unused)
{
	const char *path = test_path("limit");
	struct tt_log *log;
	bool clean;

	(void)unused;
	for (int no_io_uring = 0; no_io_uring < 2; no_io_uring++) {
		assert_int_equal(in_child(reach_size_limit, path, no_io_uring), 0);
		/* what is left below the limit may be enough to close the log, or not */
		assert_int_equal(tt_log_open(path, &log, NULL), 0);
		clean = tt_log_info(log)->status == TT_LOG_CLEAN;
		tt_log_close(log);
		assert_true(check_log(path, 5, clean ? TT_LOG_CLEAN : TT_LOG_RECOVERED,
				      clean ? -EFBIG : 0) > 0);
		unlink(path);
	}
}

/* ------------------------------------------------------------------ no io_uring */

static int record_without_io_uring(const char *path, bool unused)
{
	struct sock_filter filter[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_io_uring_setup, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | ENOSYS),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog program = { sizeof(filter) / sizeof(*filter), filter };
	struct tt_log_options options = frequent(false);
	struct tt_log_writer *writer;
	struct tt_log_stats stats;

	(void)unused;
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) ||
	    prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program))
		return CHILD_SKIP;
	writer = create(path, &options);
	if (append_until_error(writer, 7, 1000) ||
	    tt_log_writer_close(writer, &stats, NULL))
		return 2;
	return stats.io_uring ? 3 : 0;
}

static void kernel_without_io_uring(void **unused)
{
	const char *path = test_path("seccomp");
	int ret = in_child(record_without_io_uring, path, false);

	(void)unused;
	if (ret == CHILD_SKIP)
		skip();
	assert_int_equal(ret, 0);
	assert_int_equal(check_log(path, 7, TT_LOG_CLEAN, 0), 1000);
	unlink(path);
}

/* ------------------------------------------------------------------ kill -9 */

struct shared {
	_Atomic uint64_t appended;
	_Atomic uint64_t flushed;
};

static void record_until_killed(const char *path, uint64_t seed, struct shared *shared)
{
	struct tt_log_options options = { .flush_ms = 2, .flush_bytes = 16384,
					  .no_io_uring = seed % 2 };
	struct event_source *source = malloc(sizeof(*source));
	struct tt_log_writer *writer = create(path, &options);
	struct tt_event event;

	source_init(source, seed, 0, 2000);
	for (uint64_t n = 1;; n++) {
		source_next(source, &event);
		if (tt_log_append(writer, &event))
			_exit(2);
		atomic_store(&shared->appended, n);
		if (n % 500 == 0) {
			tt_log_writer_flush(writer);
			atomic_store(&shared->flushed, n);
		}
	}
}

/* Whenever the recorder is killed: what was flushed is there, and is what was appended. */
static void killed_recorder_leaves_a_prefix(void **unused)
{
	const char *path = test_path("kill");
	struct shared *shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE,
				     MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	uint64_t state = 12345, recovered, total = 0, target;

	(void)unused;
	assert_ptr_not_equal(shared, MAP_FAILED);
	for (uint64_t seed = 1; seed <= 60; seed++) {
		struct tt_log *log;
		pid_t child;
		int status;

		unlink(path);
		shared->appended = shared->flushed = 0;
		fflush(NULL);
		child = fork();
		if (!child)
			record_until_killed(path, seed, shared);
		/* every third one right away, wherever it is; the others at some event */
		target = seed % 3 ? random_below(&state, 20000) : 0;
		for (int i = 0; i < 100000 && atomic_load(&shared->appended) < target; i++)
			usleep(100);
		usleep((useconds_t)random_below(&state, 3000));
		kill(child, SIGKILL);
		assert_int_equal(waitpid(child, &status, 0), child);
		assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);

		status = tt_log_open(path, &log, NULL);
		if (status) {
			/* killed before the header was whole */
			assert_int_equal(shared->flushed, 0);
			continue;
		}
		tt_log_close(log);
		recovered = check_log(path, seed, TT_LOG_RECOVERED, 0);
		assert_true(recovered >= shared->flushed);
		assert_true(recovered <= shared->appended + 1);
		total += recovered;
	}
	assert_true(total > 0);
	munmap(shared, sizeof(*shared));
	unlink(path);
}

/* Without a flush, too: events older than flush_ms are in the file. */
static void killed_recorder_loses_one_interval(void **unused)
{
	const char *path = test_path("interval");
	struct tt_log_options options = { .flush_ms = 100 };
	uint64_t events = 0;
	struct tt_log *log;
	pid_t child;
	int status;

	(void)unused;
	fflush(NULL);
	child = fork();
	if (!child) {
		struct tt_log_writer *writer = create(path, &options);

		append_until_error(writer, 9, 10);
		pause();
	}
	/* 100 ms, or longer where machines are busy */
	for (int i = 0; i < 100 && !events; i++) {
		usleep(100000);
		if (tt_log_open(path, &log, NULL))
			continue;
		events = tt_log_info(log)->events;
		tt_log_close(log);
	}
	kill(child, SIGKILL);
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_int_equal(check_log(path, 9, TT_LOG_RECOVERED, 0), 10);
	unlink(path);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(slow_disk_loses_nothing, reset_disk),
		cmocka_unit_test_setup(short_writes_are_continued, reset_disk),
		cmocka_unit_test_setup(write_error_ends_the_recording, reset_disk),
		cmocka_unit_test_setup(dead_disk_leaves_a_prefix, reset_disk),
		cmocka_unit_test_setup(error_at_the_start_is_reported, reset_disk),
		cmocka_unit_test_setup(full_disk_closes_the_log, reset_disk),
		cmocka_unit_test_setup(size_limit_leaves_a_prefix, reset_disk),
		cmocka_unit_test_setup(kernel_without_io_uring, reset_disk),
		cmocka_unit_test_setup(killed_recorder_leaves_a_prefix, reset_disk),
		cmocka_unit_test_setup(killed_recorder_loses_one_interval, reset_disk),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
