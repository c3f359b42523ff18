/* SPDX-License-Identifier: MIT */
/*
 * ggml-virtgpu run -- CMD: a private socket door and the environment for CMD, which then has a device with no VM.
 * Ends when CMD does, with its status.
 */
#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>

#include "cli/cli.h"
#include "log/log.h"
#include "platform/self.h"

static const char help[] = "usage: ggml-virtgpu run [OPTIONS] [--] COMMAND [ARGUMENT ...]\n\n"
			   "  --plugin PATH       " PLUGIN_FILE " for the command (default: ours); none: what its "
			   "ggml finds\n" HOST_HELP;

static void command_exec(char **argv, const char *socket, const char *plugin)
{
	supervisor_unprepare();
	signal(SIGPIPE, SIG_DFL);
	signal(SIGXFSZ, SIG_DFL);
	setenv("GGML_VIRTGPU_SOCKET", socket, 1);
	if (*plugin)
		setenv("GGML_BACKEND_PATH", plugin, 1);
	execvp(argv[0], argv);
	fprintf(stderr, "ggml-virtgpu: cannot run '%s': %s\n", argv[0], strerror(errno));
	_exit(errno == ENOENT ? 127 : 126);
}

int verb_run(int argc, char **argv)
{
	static const struct option options[] = { { "plugin", required_argument, NULL, 'p' }, HOST_LONG_OPTIONS, { 0 } };
	static struct host_options host;
	static struct plugin_choice plugin;
	const char *plugin_option = NULL, *tmp = getenv("TMPDIR");
	char dir[128], path[160];
	struct door door = { DOOR_SOCKET, path, -1, 0 };
	struct supervisor s = { .doors = &door, .n_doors = 1, .host = &host };
	struct sweeper sweeper;
	int opt, err, status = 0;
	pid_t pid;

	log_name("run");
	self_hide(); /* as serve does; the command's own exec undoes it for the command */
	while ((opt = getopt_long(argc, argv, "+" HOST_SHORT_OPTIONS, options, NULL)) != -1) {
		if (opt == 'h') {
			fputs(help, stdout);
			return 0;
		}
		if (opt == 'p') {
			plugin_option = optarg;
		} else if (!host_option(&host, opt, optarg)) {
			if (opt == '?')
				fputs(help, stderr);
			return 2;
		}
	}
	if (optind >= argc) {
		fprintf(stderr, "ggml-virtgpu: give a command to run\n");
		return 2;
	}
	if (!plugin_choose(&plugin, plugin_option))
		return 1;
	if (!host_options_settle(&host))
		return 1;
	if (snprintf(dir, sizeof dir, "%s/ggml-virtgpu-XXXXXX", tmp ? tmp : "/tmp") >= (int)sizeof dir ||
		!mkdtemp(dir)) {
		fprintf(stderr, "ggml-virtgpu: cannot make a folder for the socket in '%s': %s\n", tmp ? tmp : "/tmp",
			strerror(errno));
		return 1;
	}
	snprintf(path, sizeof path, "%s/socket", dir);
	if (host.verbose)
		plugin_tell(&plugin);
	supervisor_prepare();
	err = sweeper_start(&sweeper, path, dir);
	if (err) {
		fprintf(stderr, "ggml-virtgpu: cannot start: %s\n", strerror(-err));
		rmdir(dir);
		return 1;
	}
	s.private_fd = sweeper.fd;
	err = door_listen(&door);
	pid = err ? -1 : fork();
	if (pid == 0)
		command_exec(argv + optind, path, plugin.path);
	if (pid > 0)
		err = supervisor_run(&s, pid, &status);
	sweeper_end(&sweeper);
	if (err || pid < 0)
		return 1;
	plugin_tell_abort(&plugin, status);
	return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}
