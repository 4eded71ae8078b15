/* SPDX-License-Identifier: GPL-2.0 */
/*
 * control.h - steering a run from outside: commands in JSON over a unix socket, or typed at the console.
 */
#ifndef TTVM_TOOLS_CONTROL_H
#define TTVM_TOOLS_CONTROL_H

#include <jansson.h>

#include "replay.h"

#define CONTROL_TEXT_MAX 512
#define CONTROL_LINE_MAX 1024 /* of a request, with its newline */

struct control;

struct control_options {
	const char *path; /* of the socket; NULL: only control_command() */
	struct tt_machine *machine;
	struct tt_recorder *recorder; /* NULL: nothing is recorded */
	/*
	 * A mark is being set, after it went to the recording; on vCPU 0's thread, device lock held. instructions is 0
	 * where nobody counts. 0 or -errno; -ENOTSUP: no disk keeps marks. May be NULL.
	 */
	int (*on_mark)(void *ctx, const char *name, uint64_t instructions);
	void *on_mark_ctx;
};

/* After tt_machine_create(). Starts a thread when there is a socket. */
int control_start(const struct control_options *options, struct control **control, struct tt_error *err);
/* After tt_machine_run(), before tt_machine_destroy(). NULL is fine. */
void control_stop(struct control *control);
/* Somebody has sent `stop`. */
bool control_asked_to_stop(const struct control *control);

/* Carry out one request; any thread but a vCPU's. The reply is the caller's. */
json_t *control_serve(struct control *control, const json_t *request);
/* The same in words, "mark NAME" for example, with the answer as a line of text. */
void control_command(struct control *control, const char *words, char text[CONTROL_TEXT_MAX]);

/* The request for a command in words, or NULL with err filled in. */
json_t *control_request(const char *words, struct tt_error *err);
/* A reply as a line of text: name=value pairs, or what is wrong. */
void control_reply_text(const json_t *reply, char text[CONTROL_TEXT_MAX]);

#endif /* TTVM_TOOLS_CONTROL_H */
