/* SPDX-License-Identifier: MIT */
/* The host's options, shared by the verbs that serve. */
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

#include "apir/config.h"
#include "cli/cli.h"
#include "log/log.h"

static const char *const known_keys = "apir.load_library.path, ggml.library.path, ggml.library.reg, ggml.library.init, "
				      "ggml.threads, ggml.devices, ggml.graph.work";

static bool key_add(struct host_options *o, const char *key, const char *value)
{
	if (o->n_keys == sizeof o->keys / sizeof o->keys[0]) {
		fprintf(stderr, "ggml-virtgpu: more than %zu keys\n", o->n_keys);
		return false;
	}
	o->keys[o->n_keys].key = key;
	o->keys[o->n_keys++].value = value;
	return true;
}

static bool key_known(const char *key, size_t n)
{
	const char *at = known_keys;

	while ((at = strstr(at, "."))) {
		const char *start = at, *end = at;

		while (start > known_keys && start[-1] != ' ')
			start--;
		end = start + strcspn(start, ",");
		if ((size_t)(end - start) == n && !strncmp(start, key, n))
			return true;
		at = end;
	}
	return false;
}

static bool key_parse(struct host_options *o, const char *arg)
{
	const char *eq = strchr(arg, '=');
	char *copy;

	if (!eq || !key_known(arg, (size_t)(eq - arg))) {
		fprintf(stderr, "ggml-virtgpu: -o '%s': give KEY=VALUE with a key of: %s\n", arg, known_keys);
		return false;
	}
	copy = strdup(arg); /* lives as long as the program */
	if (!copy)
		return false;
	copy[eq - arg] = '\0';
	return key_add(o, copy, copy + (eq - arg) + 1);
}

bool host_option(struct host_options *o, int opt, const char *arg)
{
	switch (opt) {
	case 'o':
		return key_parse(o, arg);
	case 'g':
		o->ggml = arg;
		return true;
	case 'b':
		return key_add(o, "apir.load_library.path", arg);
	case 'w':
		o->apir.worker = arg;
		return true;
	case 'v':
		o->verbose = true;
		log_verbose();
		return true;
	default:
		return false;
	}
}

static bool key_given(const struct host_options *o, const char *key, const char *env)
{
	for (size_t i = 0; i < o->n_keys; i++) {
		if (!strcmp(o->keys[i].key, key))
			return true;
	}
	return getenv(env) != NULL;
}

bool host_options_settle(struct host_options *o)
{
	static char backend[PATH_MAX], worker[PATH_MAX];
	bool automatic = o->ggml && !strcmp(o->ggml, "auto");

	if (!key_given(o, "apir.load_library.path", "VIRGL_APIR_BACKEND_LIBRARY")) {
		if (!path_find(backend, sizeof backend, "backend", BACKEND_FILE, PRIVLIBDIR)) {
			fprintf(stderr,
				"ggml-virtgpu: " BACKEND_FILE " is not in " PRIVLIBDIR ": give --backend PATH\n");
			return false;
		}
		if (!key_add(o, "apir.load_library.path", backend))
			return false;
	}
	if (!o->apir.worker && path_find(worker, sizeof worker, "worker", "ggml-virtgpu-worker", APIR_LIBEXECDIR))
		o->apir.worker = worker;
	if (o->ggml && !automatic)
		return key_add(o, "ggml.library.path", o->ggml);
	if (automatic || !key_given(o, "ggml.library.path", "APIR_LLAMA_CPP_GGML_LIBRARY_PATH")) {
		char *best = ggml_find(o->verbose);

		if (!best) {
			fprintf(stderr, "ggml-virtgpu: no GGML library with a device is installed: install one or give "
					"--ggml PATH\n");
			return false;
		}
		return key_add(o, "ggml.library.path", best);
	}
	return true;
}

int host_configure(struct apir *a, void *user)
{
	const struct host_options *o = user;
	int err = 0;

	for (size_t i = 0; !err && i < o->n_keys; i++)
		err = apir_configure(a, 0, o->keys[i].key, o->keys[i].value);
	return err;
}

/* What the environment says counts, too; a key wins over its variable. */
static int setting_append(void *user, const char *key, const char *value)
{
	char ***list = user, **grown, *both = NULL;
	size_t n = 0;

	while (*list && (*list)[n])
		n++;
	grown = realloc(*list, (n + 2) * sizeof *grown);
	if (!grown)
		return -ENOMEM;
	*list = grown;
	grown[n] = grown[n + 1] = NULL;
	if (asprintf(&both, "%s=%s", key, value) < 0)
		return -ENOMEM;
	grown[n] = both;
	return 0;
}

char **host_settings(const struct host_options *o)
{
	struct config c = { 0 };
	char **list = NULL;
	int err = 0;

	for (size_t i = 0; !err && i < o->n_keys; i++)
		err = config_set(&c, 0, o->keys[i].key, o->keys[i].value);
	if (!err)
		err = config_each(&c, 0, setting_append, &list);
	config_fini(&c);
	return err ? NULL : list;
}
