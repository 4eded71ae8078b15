// SPDX-License-Identifier: GPL-2.0
/*
 * ctl.c - ttvm ctl: say something to a run through its control socket.
 */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "control.h"
#include "ttvm.h"

enum { OPT_JSON = 256 };

static const struct option long_options[] = {
	{ "json", no_argument, NULL, OPT_JSON },
	{ "help", no_argument, NULL, 'h' },
	{ 0 },
};

static const char help[] =
	"usage: ttvm ctl SOCKET COMMAND [OPTION]...\n\n"
	"Steer a run that listens on a control socket; see ttvm-run(1).\n\n"
	"  status        say how far it is: state, guest's seconds, instructions, events and bytes of the log\n"
	"  pause         stop the guest where it is; no time passes for it\n"
	"  resume        let it go on\n"
	"  mark NAME     give this moment a name, in the log and in the histories of the disks\n"
	"  stop          end the run; a recording ends cleanly\n\n"
	"      --json    print the answer as it came\n"
	"  -h, --help    this text\n\n"
	"Exit status: 0 it was done, 1 usage or set-up error, or it could not be done.\n";

/* The answer's line, which is the caller's. */
static char *ask(int fd, const json_t *request, struct tt_error *err)
{
	char *text = json_dumps(request, JSON_COMPACT), *line = NULL;
	size_t capacity = 0;
	FILE *stream;

	if (!text || send(fd, text, strlen(text), MSG_NOSIGNAL) < 0 || send(fd, "\n", 1, MSG_NOSIGNAL) < 0) {
		tt_fail(err, -errno, "%s", strerror(errno));
		free(text);
		return NULL;
	}
	free(text);
	stream = fdopen(dup(fd), "r");
	if (!stream || getline(&line, &capacity, stream) <= 0) {
		tt_fail(err, -EPIPE, "the run ended without an answer");
		free(line);
		line = NULL;
	}
	if (stream)
		fclose(stream);
	return line;
}

static int talk(const char *path, const json_t *request, bool json)
{
	char text[CONTROL_TEXT_MAX], *line = NULL;
	struct tt_error err = { 0 };
	json_t *reply = NULL;
	json_error_t problem;
	int fd = unix_connect(path, &err), status = EXIT_SETUP;

	if (fd < 0)
		return say_error(&err);
	line = ask(fd, request, &err);
	if (!line) {
		say("%s: %s", path, err.text);
		goto out;
	}
	reply = json_loads(line, 0, &problem);
	control_reply_text(reply, text);
	if (json_is_true(json_object_get(reply, "ok"))) {
		status = EXIT_OK;
		if (!json)
			puts(text);
	} else {
		say("%s", text);
	}
	if (json)
		fputs(line, stdout);
out:
	json_decref(reply);
	free(line);
	close(fd);
	return status;
}

int cmd_ctl(int argc, char **argv)
{
	struct tt_error err = { 0 };
	char words[128];
	json_t *request;
	bool json = false;
	int c, status;

	optind = 1;
	while ((c = getopt_long(argc, argv, "h", long_options, NULL)) != -1) {
		switch (c) {
		case OPT_JSON:
			json = true;
			break;
		case 'h':
			fputs(help, stdout);
			return EXIT_OK;
		default:
			say("`ttvm ctl --help` lists the commands");
			return EXIT_SETUP;
		}
	}
	if (argc - optind < 2 || argc - optind > 3) {
		say("a socket and a command, please; usage: ttvm ctl SOCKET status|pause|resume|mark NAME|stop");
		return EXIT_SETUP;
	}
	if (argc - optind == 3)
		snprintf(words, sizeof(words), "%s %s", argv[optind + 1], argv[optind + 2]);
	else
		snprintf(words, sizeof(words), "%s", argv[optind + 1]);
	request = control_request(words, &err);
	if (!request)
		return say_error(&err);
	status = talk(argv[optind], request, json);
	json_decref(request);
	return status;
}
