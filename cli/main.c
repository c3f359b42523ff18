/* SPDX-License-Identifier: MIT */
/* ggml-virtgpu: finds the verb. */
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "cli/cli.h"
#include "proto/util.h"

static const struct {
	const char *name;
	int (*run)(int, char **);
	const char *help;
} verbs[] = {
	{ "serve", verb_serve, "offer this machine's GGML library to VMs and containers" },
	{ "run", verb_run, "give one command the device, with no VM at all" },
};

static void usage(FILE *f)
{
	fprintf(f, "usage: ggml-virtgpu VERB [OPTIONS]\n\n");
	for (size_t i = 0; i < ARRAY_SIZE(verbs); i++)
		fprintf(f, "  %-8s %s\n", verbs[i].name, verbs[i].help);
	fprintf(f, "\nggml-virtgpu VERB --help tells a verb's options.\n");
}

/* What a parent closed would be taken by the first that we open: a log would go into a socket. */
static void std_open(void)
{
	for (int fd = 0; fd <= STDERR_FILENO; fd++) {
		if (fcntl(fd, F_GETFD) < 0 && open("/dev/null", O_RDWR) < 0)
			return;
	}
}

int main(int argc, char **argv)
{
	std_open();
	/* A log's reader may go away, a client may hang up, a file be as large as is allowed: none of that may end a door. */
	signal(SIGPIPE, SIG_IGN);
	signal(SIGXFSZ, SIG_IGN);
	if (argc >= 2 && (!strcmp(argv[1], "--help") || !strcmp(argv[1], "-h"))) {
		usage(stdout);
		return 0;
	}
	if (argc >= 2 && !strcmp(argv[1], "--version")) {
		printf("ggml-virtgpu " VERSION "\n");
		return 0;
	}
	for (size_t i = 0; argc >= 2 && i < ARRAY_SIZE(verbs); i++) {
		if (!strcmp(argv[1], verbs[i].name))
			return verbs[i].run(argc - 1, argv + 1);
	}
	if (argc >= 2)
		fprintf(stderr, "ggml-virtgpu: '%s' is no verb\n", argv[1]);
	usage(stderr);
	return 2;
}
