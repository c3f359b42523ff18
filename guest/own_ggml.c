/* SPDX-License-Identifier: MIT */
/* See own_ggml.h. */
#include "guest/own_ggml.h"

#include <dlfcn.h>

#include "ggml-abi/counts.h"
#include "ggml-abi/idle.h"
#include "ggml-abi/probe.h"
#include "ggml-abi/uid.h"
#include "ggml-abi/written.h"
#include "guest/say.h"

struct own_ggml own;

/* The library that the address lies in; also found when it was loaded RTLD_LOCAL. NULL: it isn't to be had. */
static void *library_of(const void *address)
{
	Dl_info info;
	void *handle;

	if (!dladdr(address, &info) || !info.dli_fname)
		return NULL;
	handle = dlopen(info.dli_fname, RTLD_LAZY | RTLD_NOLOAD);
	/* A program that ggml is linked into statically isn't found by its name. */
	return handle ? handle : dlopen(NULL, RTLD_LAZY);
}

void *own_ggml_find(const void *caller)
{
	void *handle = library_of(caller);
	const char *missing = "dladdr";
	char err[384];

	if (!handle || abi_symbols_load(&own.fn, handle, &missing) < 0) {
		say_error("cannot find the ggml that loads this plugin (no %s()): supported: " ABI_SUPPORTED, missing);
		return NULL;
	}
	say_through(&own.fn);
	if (abi_symbols_check(&own.fn, err, sizeof err) < 0 ||
		abi_probe(&own.fn, handle, &own.api, err, sizeof err) < 0) {
		say_error("%s: install the ggml-virtgpu that knows it", err);
		return NULL;
	}
	return handle;
}

void own_ggml_learn(void *handle)
{
	abi_idle_learn(&own.fn, own.idle);
	abi_written_learn(&own.fn, own.written);
	own.has_counts = abi_counts_check(&own.fn, handle);
	own.has_uid = own.has_counts && abi_uid_check(&own.fn);
	own.optimize = abi_optimize_learn(&own.fn);
}
