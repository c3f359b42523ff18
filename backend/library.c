/* SPDX-License-Identifier: MIT */
/* See library.h. The messages about variables are part of the interface: docs/configuration.md. */
#include "backend/library.h"

#include <dlfcn.h>
#include <errno.h>
#include <limits.h>
#include <string.h>

#include "backend/cores.h"
#include "backend/log.h"
#include "ggml-abi/counts.h"
#include "ggml-abi/optimize.h"
#include "ggml-abi/uid.h"
#include "proto/apir_wire.h"

#define PATH_ENV    "APIR_LLAMA_CPP_GGML_LIBRARY_PATH"
#define REG_ENV     "APIR_LLAMA_CPP_GGML_LIBRARY_REG"
#define INIT_ENV    "APIR_LLAMA_CPP_GGML_LIBRARY_INIT"
#define THREADS_ENV "APIR_LLAMA_CPP_GGML_THREADS"
#define DEVICES_ENV "APIR_LLAMA_CPP_GGML_DEVICES"

#define library_fail(code, ...) (backend_log(ABI_LOG_ERROR, __VA_ARGS__), (uint32_t)(code))

/* A decimal number in [min, max] at the start of s; where it ends, or NULL: there is none. */
static const char *number_parse(const char *s, long min, long max, long *out)
{
	char *end;

	if (*s < '0' || *s > '9')
		return NULL;
	errno = 0;
	*out = strtol(s, &end, 10);
	return errno || *out < min || *out > max ? NULL : end;
}

/* Numbers below n with a comma between two, all of them good; *first is the first of them. */
static bool devices_parse(const char *s, size_t n, size_t *first)
{
	long v;

	for (bool is_first = true;; is_first = false) {
		s = number_parse(s, 0, (long)n - 1, &v);
		if (!s || (*s && *s != ','))
			return false;
		if (is_first)
			*first = (size_t)v;
		if (!*s++)
			return true;
	}
}

/* An accelerator takes a few operations off a CPU's hands; offered as a GPU it would be given whole models. */
static bool device_is_accelerator(const struct library *lib, struct abi_device *d)
{
	return d && lib->fn.dev_type(d) == ABI_DEV_ACCEL;
}

static uint32_t device_choose(
	struct library *lib, struct abi_reg *reg, const char *path, const char *wanted, size_t *index)
{
	size_t n = lib->fn.reg_dev_count(reg);

	*index = 0;
	if (n == 0)
		return library_fail(APIR_LOAD_INIT + APIR_INIT_NO_DEVICE,
			"the GGML library '%s' (%s) offers no device: "
			"is its hardware and driver there?",
			path, lib->fn.reg_name(reg));
	if (wanted && !devices_parse(wanted, n, index))
		return library_fail(APIR_LOAD_INIT + APIR_INIT_NO_DEVICE,
			"ggml.devices: '%s' is no list of numbers from 0 to %zu, "
			"the devices of '%s'",
			wanted, n - 1, path);
	while (!wanted && *index < n - 1 && device_is_accelerator(lib, lib->fn.reg_dev_get(reg, *index)))
		++*index;
	lib->device = lib->fn.reg_dev_get(reg, *index);
	if (device_is_accelerator(lib, lib->device))
		return library_fail(APIR_LOAD_INIT + APIR_INIT_NO_DEVICE,
			"'%s': device %s is an accelerator (ACCEL), which computes some operations beside a CPU and no "
			"whole model: name a GPU's or the CPU's library",
			path, lib->fn.dev_name(lib->device));
	return lib->device ? 0
	                   : library_fail(APIR_LOAD_INIT + APIR_INIT_NO_DEVICE,
				     "the GGML library '%s' has no device %zu", path, *index);
}

/* The host CPU computes with as many threads as asked for; other devices don't have the function. */
static uint32_t threads_set(struct library *lib, struct abi_reg *reg, const char *wanted)
{
	void (*set)(struct abi_backend *, int);
	void *f = lib->fn.reg_get_proc_address(reg, "ggml_backend_set_n_threads");
	long n = cores_physical();
	const char *end = wanted ? number_parse(wanted, 1, 512, &n) : NULL;

	if (wanted && (!end || *end))
		return library_fail(
			APIR_LOAD_INIT + APIR_INIT_NO_BACKEND, "ggml.threads: '%s' is no number from 1 to 512", wanted);
	if (!f)
		return 0;
	memcpy(&set, &f, sizeof set);
	set(lib->backend, (int)n);
	backend_log(ABI_LOG_DEBUG, "computing with %ld threads", n);
	return 0;
}

/* Where the hypervisor knows upstream's keys only, it can't be told ours: their variables are read here, in its process. */
static const char *config_ours(const char *(*get)(void *, const char *), void *user, const char *key, const char *env)
{
	const char *v = get(user, key);

	return v ? v : getenv(env);
}

uint32_t library_open(struct library *lib, const char *(*get)(void *, const char *), void *user)
{
	const char *path = get(user, "ggml.library.path"), *reg_name = get(user, "ggml.library.reg");
	const char *init_name = get(user, "ggml.library.init"), *missing = NULL;
	struct abi_reg *(*reg_fn)(void);
	struct abi_backend *(*init_fn)(size_t) = NULL;
	struct abi_reg *reg;
	char err[256];
	uint32_t code;
	size_t index;
	void *handle, *f;

	*lib = (struct library){ 0 };
	if (!path || !*path)
		return library_fail(
			APIR_LOAD_ENV_MISSING, "cannot open the GGML library: env var '" PATH_ENV "' not defined");
	if (!reg_name)
		reg_name = "ggml_backend_init";
	else if (!*reg_name)
		return library_fail(
			APIR_LOAD_ENV_MISSING, "cannot register the GGML library: env var '" REG_ENV "' not defined");
	handle = dlopen(path, RTLD_NOW | RTLD_LOCAL);
	if (!handle)
		return library_fail(
			APIR_LOAD_CANNOT_OPEN, "cannot open the GGML library (" PATH_ENV "): %s", dlerror());
	f = dlsym(handle, reg_name);
	if (!f)
		return library_fail(APIR_LOAD_SYMBOL_MISSING,
			"cannot find the GGML backend registration symbol '%s' (from " REG_ENV ") in '%s'", reg_name,
			path);
	memcpy(&reg_fn, &f, sizeof f);
	if (init_name && *init_name) {
		f = dlsym(handle, init_name);
		if (!f)
			return library_fail(APIR_LOAD_SYMBOL_MISSING,
				"cannot find the backend's init function '%s' (from " INIT_ENV ") in '%s'", init_name,
				path);
		memcpy(&init_fn, &f, sizeof f);
	}
	if (abi_symbols_load(&lib->fn, handle, &missing) < 0)
		return library_fail(APIR_LOAD_INIT + APIR_INIT_BAD_ABI,
			"'%s' is no GGML library that we can use: libggml-base's %s() is "
			"not among its dependencies; supported: " ABI_SUPPORTED,
			path, missing);
	backend_log_adopt(&lib->fn);
	if (abi_symbols_check(&lib->fn, err, sizeof err) < 0)
		return library_fail(APIR_LOAD_INIT + APIR_INIT_BAD_ABI, "'%s': %s", path, err);
	reg = reg_fn();
	if (!reg)
		return library_fail(APIR_LOAD_INIT + APIR_INIT_NO_REG,
			"'%s': %s() returned no backend: is the library's hardware and "
			"driver there?",
			path, reg_name);
	if (reg->api_version != ABI_API_2 && reg->api_version != ABI_API_3)
		return library_fail(APIR_LOAD_INIT + APIR_INIT_BAD_ABI,
			"'%s' has plugin API %d (ggml %s); supported: " ABI_SUPPORTED, path, reg->api_version,
			lib->fn.version());
	ops_learn(&lib->ops, &lib->fn);
	if (!work_learn(&lib->work, &lib->fn, get(user, "ggml.graph.work")))
		return library_fail(APIR_LOAD_INIT + APIR_INIT_NO_BACKEND,
			"ggml.graph.work: '%s' is no number from 1 to 2^62", get(user, "ggml.graph.work"));
	abi_names_learn(&lib->names, &lib->fn);
	lib->has_counts = abi_counts_check(&lib->fn, handle);
	lib->has_uid = lib->has_counts && abi_uid_check(&lib->fn);
	code = device_choose(lib, reg, path, config_ours(get, user, "ggml.devices", DEVICES_ENV), &index);
	if (code)
		return code;
	lib->backend = init_fn ? init_fn(index) : lib->fn.dev_init(lib->device, NULL);
	if (!lib->backend)
		return library_fail(APIR_LOAD_INIT + APIR_INIT_NO_BACKEND,
			"'%s': device %s could not be initialised%s%s", path, lib->fn.dev_name(lib->device),
			init_fn ? " by " : "", init_fn ? init_name : "");
	lib->optimizes = lib->backend->iface.graph_optimize && abi_optimize_learn(&lib->fn) != ABI_OPTIMIZE_UNKNOWN;
	lib->buft = lib->fn.dev_buffer_type(lib->device);
	code = threads_set(lib, reg, config_ours(get, user, "ggml.threads", THREADS_ENV));
	if (code) {
		library_close(lib);
		return code;
	}
	lib->pinner = pinner_for(lib->fn.reg_name(reg), lib->fn.dev_name(lib->device));
	backend_log(ABI_LOG_DEBUG, "opened '%s': ggml %s, %s, device %s (%s)", path, lib->fn.version(),
		lib->fn.reg_name(reg), lib->fn.dev_name(lib->device), lib->fn.dev_description(lib->device));
	return APIR_LOAD_INIT + APIR_INIT_OK;
}

void library_close(struct library *lib)
{
	if (lib->backend)
		lib->fn.backend_free(lib->backend);
	lib->backend = NULL;
}
