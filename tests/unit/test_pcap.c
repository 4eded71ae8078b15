// SPDX-License-Identifier: GPL-2.0
/*
 * test_pcap.c - what we write as a capture file, read by libpcap.
 */
#include <fcntl.h>
#include <pcap/pcap.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#include "../../tools/capture.h"
#include "net.h"

#define START 1700000000999999999ull /* ns since the epoch */

static void test_libpcap_reads_it(void **state)
{
	char path[] = "/tmp/ttvm-pcap.XXXXXX", why[PCAP_ERRBUF_SIZE];
	static const size_t sizes[] = { 60, 1, TT_FRAME_MAX, 4096, 61 };
	uint8_t frame[4096];
	struct capture out;
	struct pcap_pkthdr *header;
	const u_char *data;
	struct tt_error err;
	uint64_t ns;
	pcap_t *in;
	size_t i;

	(void)state;
	close(mkstemp(path));
	assert_int_equal(capture_create(&out, path, &err), 0);
	for (i = 0; i < 5; i++) {
		memset(frame, (int)i + 1, sizeof(frame));
		capture_write(&out, START + i * i, frame, sizes[i]);
	}
	assert_int_equal(out.frames, 5);
	assert_int_equal(out.bytes, 60 + 1 + TT_FRAME_MAX + 4096 + 61);
	assert_int_equal(capture_finish(&out), 0);

	in = pcap_open_offline_with_tstamp_precision(path, PCAP_TSTAMP_PRECISION_NANO, why);
	if (!in)
		fail_msg("libpcap: %s", why);
	assert_int_equal(pcap_datalink(in), DLT_EN10MB);
	for (i = 0; i < 5; i++) {
		assert_int_equal(pcap_next_ex(in, &header, &data), 1);
		assert_int_equal(header->caplen, sizes[i]);
		assert_int_equal(header->len, sizes[i]);
		ns = header->ts.tv_sec * 1000000000ull + header->ts.tv_usec; /* nanoseconds, as asked for */
		assert_int_equal(ns, START + i * i);
		memset(frame, (int)i + 1, sizeof(frame));
		assert_memory_equal(data, frame, sizes[i]);
	}
	assert_int_equal(pcap_next_ex(in, &header, &data), PCAP_ERROR_BREAK);
	pcap_close(in);
	unlink(path);
}

static void test_errors(void **state)
{
	struct capture out;
	struct tt_error err;
	uint8_t frame[1500] = { 0 };
	int i;

	(void)state;
	assert_int_equal(capture_create(&out, "/nowhere/x.pcap", &err), -ENOENT);
	assert_string_equal(err.text, "/nowhere/x.pcap: No such file or directory");
	if (access("/dev/full", W_OK))
		skip();
	assert_int_equal(capture_create(&out, "/dev/full", &err), 0);
	for (i = 0; i < 100; i++)
		capture_write(&out, 0, frame, sizeof(frame));
	assert_int_equal(capture_finish(&out), -ENOSPC);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_libpcap_reads_it),
		cmocka_unit_test(test_errors),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
