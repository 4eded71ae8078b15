// SPDX-License-Identifier: GPL-2.0
/*
 * test_perfetto.c - what we write as a timeline, read by a JSON library.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#include "../../tools/perfetto.h"

static const char *text_of(const json_t *object, const char *key)
{
	return json_string_value(json_object_get(object, key));
}

/* The i-th entry of a phase (from 0). */
static json_t *entry(json_t *root, const char *phase, size_t i)
{
	json_t *value;
	size_t at;

	json_array_foreach(json_object_get(root, "traceEvents"), at, value)
		if (!strcmp(text_of(value, "ph"), phase) && !i--)
			return value;
	return NULL;
}

static void test_a_library_reads_it(void **state)
{
	char path[] = "/tmp/ttvm-perfetto.XXXXXX";
	struct perfetto p;
	json_t *root, *e;
	json_error_t why;
	int try;

	(void)state;
	close(mkstemp(path));
	assert_int_equal(perfetto_create(&p, path, "a \"log\"", true, NULL), 0);
	/* The second try writes what the first did not come to. */
	for (try = 0; try < 2; try++) {
		perfetto_restart(&p);
		perfetto_instant(&p, PERFETTO_CONSOLE, 1234567, "quote \" back \\ \x1b[1m \xff",
				 json_pack("{s:i}", "instr", 5));
		perfetto_slice(&p, PERFETTO_VCPU, 2000000001, 3, "halted", NULL);
		if (try) {
			perfetto_instant(&p, PERFETTO_CONSOLE, 1234000, "earlier", NULL);
			perfetto_instant(&p, PERFETTO_DISK + 7, 1, "read", NULL);
			perfetto_instant(&p, PERFETTO_NET + 3, 1, "to the guest", NULL);
		}
	}
	assert_int_equal(p.written, 5);
	assert_int_equal(perfetto_finish(&p), 0);

	root = json_load_file(path, JSON_REJECT_DUPLICATES, &why);
	if (!root)
		fail_msg("line %d: %s", why.line, why.text);
	e = entry(root, "i", 0);
	assert_string_equal(text_of(e, "name"), "quote \" back \\ ?[1m ?");
	assert_true(json_number_value(json_object_get(e, "ts")) == 1234.567);
	assert_int_equal(json_integer_value(json_object_get(json_object_get(e, "args"), "instr")), 5);
	e = entry(root, "X", 0);
	assert_true(json_number_value(json_object_get(e, "ts")) == 2000000.001);
	assert_true(json_number_value(json_object_get(e, "dur")) == 0.003);
	assert_null(entry(root, "X", 1));
	/* Never earlier than the one before it on its track. */
	assert_true(json_number_value(json_object_get(entry(root, "i", 1), "ts")) == 1234.567);
	assert_non_null(entry(root, "i", 3));
	assert_null(entry(root, "i", 4));
	json_decref(root);
	unlink(path);
}

static void test_full_disk(void **state)
{
	struct perfetto p;
	int i;

	(void)state;
	assert_int_equal(perfetto_create(&p, "/dev/full", "log", false, NULL), 0);
	for (i = 0; i < 100000; i++)
		perfetto_instant(&p, PERFETTO_EXITS, i, "out 0x3f8", json_pack("{s:i}", "instr", i));
	assert_int_equal(perfetto_finish(&p), -ENOSPC);
	assert_int_equal(perfetto_create(&p, "/no/such/folder/file", "log", false, NULL), -ENOENT);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_a_library_reads_it),
		cmocka_unit_test(test_full_disk),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
