/* SPDX-License-Identifier: GPL-2.0 */
/*
 * error.h - how a failure travels: functions return 0 or -errno, and fill a struct tt_error with one sentence that names
 * the thing, the cause and the next step. Only tools/ prints it.
 */
#ifndef TTVM_ERROR_H
#define TTVM_ERROR_H

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>

struct tt_error {
	int code;	/* -errno, or 0 */
	char text[512];	/* without "ttvm: " and without a newline */
};

/* Fill err (which may be NULL) and return code, so that callers can write `return tt_fail(err, -EINVAL, ...)`. */
__attribute__((format(printf, 3, 4))) static inline int tt_fail(struct tt_error *err, int code,
								const char *format, ...)
{
	va_list args;

	if (!err)
		return code;
	err->code = code;
	va_start(args, format);
	vsnprintf(err->text, sizeof(err->text), format, args);
	va_end(args);
	return code;
}

#endif /* TTVM_ERROR_H */
