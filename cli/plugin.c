/* SPDX-License-Identifier: MIT */
/*
 * Which plugin a command of `run` gets, and by which way. ggml loads what lies in its folder before its CPU library, and
 * what GGML_BACKEND_PATH names after it; a program that takes the last device for the CPU can't do with the latter. The
 * variable is set in both cases, since the command may bring a ggml with another folder: a second image offers nothing.
 */
#include <glob.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

#include "cli/cli.h"
#include "platform/library.h"

/* The first match of PLACE/name, or of PLACE itself where name is empty, in the folders of distributions' ggml. */
static bool in_places(char *out, size_t size, const char *name)
{
	bool found = false;

	for (size_t i = 0; !found && library_places[i]; i++) {
		glob_t g = { 0 };

		snprintf(out, size, "%s%s%s", library_places[i], *name ? "/" : "", name);
		found = glob(out, 0, NULL, &g) == 0;
		if (found)
			snprintf(out, size, "%s", g.gl_pathv[0]);
		globfree(&g);
	}
	return found;
}

bool plugin_choose(struct plugin_choice *c, const char *option)
{
	char path[PATH_MAX];

	c->in_folder = in_places(c->folder, sizeof c->folder, PLUGIN_FILE);
	if (!c->in_folder && !in_places(c->folder, sizeof c->folder, ""))
		snprintf(c->folder, sizeof c->folder, "its plugin folder");
	if (option && !strcmp(option, "none"))
		return true;
	if (!option && !path_find(path, sizeof path, "guest", PLUGIN_FILE, PLUGINDIR)) {
		fprintf(stderr, "ggml-virtgpu: " PLUGIN_FILE " is not in " PLUGINDIR ": give --plugin PATH\n");
		return false;
	}
	if (option || !realpath(path, c->path))
		snprintf(c->path, sizeof c->path, "%s", option ? option : path);
	return true;
}

void plugin_tell(const struct plugin_choice *c)
{
	if (c->in_folder)
		fprintf(stderr, "ggml-virtgpu: plugin: %s, from ggml's folder%s%s\n", c->folder,
			*c->path ? "; for a ggml with another folder GGML_BACKEND_PATH=" : "", c->path);
	else if (*c->path)
		fprintf(stderr, "ggml-virtgpu: plugin: %s, by GGML_BACKEND_PATH: after the CPU\n", c->path);
	else
		fprintf(stderr, "ggml-virtgpu: plugin: what the command's ggml finds\n");
}

void plugin_tell_abort(const struct plugin_choice *c, int status)
{
	bool aborted = WIFSIGNALED(status) ? WTERMSIG(status) == SIGABRT : WEXITSTATUS(status) == 128 + SIGABRT;

	if (aborted && *c->path && !c->in_folder)
		fprintf(stderr,
			"ggml-virtgpu: the command aborted. It had the plugin by GGML_BACKEND_PATH, so after the CPU; "
			"if it "
			"takes the last device for the CPU, copy %s to %s\n",
			c->path, c->folder);
}
