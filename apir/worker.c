/* SPDX-License-Identifier: MIT */
/* See worker.h. */
#include "apir/worker.h"

#include <errno.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "apir/worker_wire.h"
#include "proto/util.h"

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

/* The counters are of all processes: another's end is taken for this one's only where both were killed. */
const char *worker_killed(const struct process_end *end, const struct memory_kills *since)
{
	struct memory_kills now;

	if (!end->by_signal || end->code != SIGKILL)
		return "";
	memory_kills(&now);
	if (now.group > since->group)
		return " by the kernel: out of memory, within its cgroup's limits or the machine's";
	if (now.machine > since->machine)
		return ", probably by the kernel: it has ended a process for want of memory";
	return now.told ? "" : ", probably by the kernel for want of memory: here it can't be asked";
}
