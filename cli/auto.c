/* SPDX-License-Identifier: MIT */
/*
 * --ggml auto: looks where distributions put GGML libraries, and asks each in a child process whether it has a
 * device here: drivers get loaded there, not in the door. GPUs come before CPUs; among CPU variants the library's
 * own score decides.
 */
#include <dlfcn.h>
#include <glob.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>

#include "cli/cli.h"
#include "ggml-abi/symbols.h"
#include "platform/library.h"
#include "proto/util.h"

#define PROBE_MS 30000

/* Best first; those of one rank are compared by score. Not here: blas, rpc, and ourselves. */
static const char *const kinds[] = { "cuda", "hip", "musa", "cann", "sycl", "metal", "vulkan", "opencl", "cpu-*",
	"cpu" };

/* An accelerator beside a CPU, as BLAS is, computes no whole model. */
static bool has_device(const struct abi_symbols *fn, struct abi_reg *reg)
{
	for (size_t i = 0; i < fn->reg_dev_count(reg); i++) {
		if (fn->dev_type(fn->reg_dev_get(reg, i)) != ABI_DEV_ACCEL)
			return true;
	}
	return false;
}

/* The library's word about itself here: 0: no use, else higher is better. In a child. */
static int library_score(const char *path)
{
	void *handle = dlopen(path, RTLD_NOW | RTLD_LOCAL), *f;
	struct abi_symbols fn;
	struct abi_reg *(*init)(void), *reg;
	const char *missing;
	int (*score)(void), s = 1;

	if (!handle || abi_symbols_load(&fn, handle, &missing) < 0)
		return 0;
	f = dlsym(handle, "ggml_backend_score");
	if (f) {
		memcpy(&score, &f, sizeof f);
		s = score();
	}
	f = s > 0 ? dlsym(handle, "ggml_backend_init") : NULL;
	if (!f)
		return 0;
	memcpy(&init, &f, sizeof f);
	reg = init();
	return reg && has_device(&fn, reg) ? s : 0;
}

static int library_ask(const char *path)
{
	int pipes[2], score = 0;
	struct pollfd p;
	pid_t pid;

	if (pipe(pipes) < 0)
		return 0;
	pid = fork();
	if (pid == 0) {
		int s;

		close(pipes[0]);
		dup2(STDERR_FILENO, STDOUT_FILENO);
		s = library_score(path);
		_exit(write(pipes[1], &s, sizeof s) == sizeof s ? 0 : 1);
	}
	close(pipes[1]);
	p = (struct pollfd){ .fd = pipes[0], .events = POLLIN };
	if (pid > 0 && poll(&p, 1, PROBE_MS) > 0 && read(pipes[0], &score, sizeof score) != sizeof score)
		score = 0; /* it died of its driver */
	close(pipes[0]);
	if (pid > 0) {
		kill(pid, SIGKILL);
		waitpid(pid, NULL, 0);
	}
	return score;
}

char *ggml_find(bool verbose)
{
	char *best = NULL;
	int best_score = 0;

	for (size_t k = 0; !best && k < ARRAY_SIZE(kinds); k++) {
		for (size_t i = 0; !best && library_places[i]; i++) {
			char pattern[128];
			glob_t g = { 0 };

			snprintf(pattern, sizeof pattern, "%s/" GGML_BACKEND_NAME("%s"), library_places[i], kinds[k]);
			if (glob(pattern, 0, NULL, &g) == 0) {
				for (size_t n = 0; n < g.gl_pathc; n++) {
					int score = library_ask(g.gl_pathv[n]);

					if (verbose)
						fprintf(stderr, "ggml-virtgpu: %s: score %d\n", g.gl_pathv[n], score);
					if (score > best_score) {
						free(best);
						best = strdup(g.gl_pathv[n]);
						best_score = score;
					}
				}
			}
			globfree(&g);
		}
	}
	return best;
}
