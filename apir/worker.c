/* SPDX-License-Identifier: MIT */
/* See worker.h. */
#include "apir/worker.h"

#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "proto/util.h"
#include "proto/worker_wire.h"

extern char **environ;

/* What a worker may inherit: what GPU libraries and their loaders read, and our own variables. Not LD_PRELOAD: a
 * VMM may have been given us by it. */
static bool env_kept(const char *var)
{
	static const char *const prefixes[] = {
		"APIR_",
		"VIRGL_APIR_",
		"GGML_",
		"CUDA_",
		"NVIDIA_",
		"HIP_",
		"ROCR_",
		"ROCM_",
		"HSA_",
		"GPU_",
		"VK_",
		"MESA_",
		"LP_",
		"GALLIUM_",
		"LIBGL_",
		"RADV_",
		"ANV_",
		"ZE_",
		"ONEAPI_",
		"SYCL_",
		"OPENBLAS_",
		"OMP_",
		"KMP_",
		"XDG_",
		"LC_",
		"PATH=",
		"HOME=",
		"USER=",
		"LANG=",
		"TZ=",
		"TMPDIR=",
		"LD_LIBRARY_PATH=",
		"ASAN_OPTIONS=",
		"UBSAN_OPTIONS=",
		"LSAN_OPTIONS=",
		"TSAN_OPTIONS=",
	};

	for (size_t i = 0; i < ARRAY_SIZE(prefixes); i++) {
		if (!strncmp(var, prefixes[i], strlen(prefixes[i])))
			return true;
	}
	return false;
}

static char **env_clean(void)
{
	size_t n = 0, kept = 0;
	char **env;

	while (environ[n])
		n++;
	env = calloc(n + 1, sizeof *env);
	for (size_t i = 0; env && i < n; i++) {
		if (env_kept(environ[i]))
			env[kept++] = environ[i];
	}
	return env;
}

int worker_start(struct process *p, const char *path, uint32_t ctx_id, int sock, char *const *fixed)
{
	AUTO_FREE char **env = env_clean();
	AUTO_FREE char **argv = NULL;
	size_t n = 0;
	char id[16];

	while (fixed && fixed[n])
		n++;
	argv = calloc(n + 3, sizeof *argv);
	if (!env || !argv)
		return -ENOMEM;
	snprintf(id, sizeof id, "%u", ctx_id);
	argv[0] = (char[]){ "ggml-virtgpu-worker" };
	argv[1] = id;
	if (n)
		memcpy(argv + 2, fixed, n * sizeof *argv);
	return process_start(p, path, argv, env, sock, WORKER_FD);
}

/* The counters are of all processes and say nothing of when: so they are told, and who it was isn't. */
const char *worker_killed(const struct process_end *end, const struct memory_kills *since, char *out, size_t size)
{
	static const char as[] = ", as the kernel does when memory is out";
	struct memory_kills now;

	*out = '\0';
	if (!end->by_signal || end->code != SIGKILL)
		return out;
	memory_kills(&now);
	if (now.group > since->group)
		snprintf(out, size, "%s (ended so since it started: %" PRIu64 " in its cgroup)", as,
			now.group - since->group);
	else if (now.machine > since->machine)
		snprintf(out, size, "%s (ended so since it started: %" PRIu64 " on this machine)", as,
			now.machine - since->machine);
	else if (!now.told)
		snprintf(out, size, "%s (here it can't be asked)", as);
	return out;
}
