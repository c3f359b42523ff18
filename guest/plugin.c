/* SPDX-License-Identifier: MIT */
/*
 * The plugin's entrance. ggml's loader calls ggml_backend_init(); who called tells which ggml it is, and everything
 * else follows from asking that one. Whatever goes wrong, the program goes on with no device of ours and one line
 * that says why.
 */
#include "guest/guest.h"

#include <dlfcn.h>
#include <stdio.h>
#include <string.h>

#include "ggml-abi/counts.h"
#include "ggml-abi/idle.h"
#include "ggml-abi/written.h"
#include "ggml-abi/probe.h"
#include "guest/say.h"

#define EXPORT   __attribute__((visibility("default")))
#define REG_NAME "VirtGPU"

struct plugin plugin;

static const char *reg_name(struct abi_reg *r)
{
	(void)r;
	return REG_NAME;
}

static size_t reg_device_count(struct abi_reg *r)
{
	(void)r;
	return plugin.n_devices;
}

static struct abi_device *reg_device(struct abi_reg *r, size_t i)
{
	(void)r;
	return i < plugin.n_devices ? &plugin.device : NULL;
}

/* Optional functions that programs look up: none yet. */
static void *reg_proc_address(struct abi_reg *r, const char *name)
{
	(void)r;
	(void)name;
	return NULL;
}

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

/* Another image of this plugin, loaded from another path, has the device. */
static bool registered_already(void *handle)
{
	struct abi_reg *(*by_name)(const char *);
	void *f = dlsym(handle, "ggml_backend_reg_by_name");

	if (!f)
		return false;
	memcpy(&by_name, &f, sizeof f);
	return by_name(REG_NAME) != NULL;
}

/* llama.cpp's own complaint, "invalid device", follows where the device was asked for by its name. */
static void say_no_device(const char *err)
{
	say_warn("no device: %s; programs go on with the CPU, but llama.cpp given '-dev %s' ends with 'invalid device'",
		err, plugin.device_name);
}

/* ", ggml 0.25.1 here and 0.27.0 on the host" where they differ: whoever reads of a missing operation looks for it. */
static void versions_tell(char *text, size_t size)
{
	const char *own = plugin.fn.version();

	*text = '\0';
	if (plugin.host_version[0] && strcmp(plugin.host_version, own) != 0)
		snprintf(text, size, ", ggml %.31s here and %s on the host", own, plugin.host_version);
}

static bool plugin_setup(const void *caller)
{
	void *handle = library_of(caller);
	const char *missing = "dladdr";
	char err[384], versions[96];

	if (!handle || abi_symbols_load(&plugin.fn, handle, &missing) < 0) {
		say_error("cannot find the ggml that loads this plugin (no %s()): supported: " ABI_SUPPORTED, missing);
		return false;
	}
	say_through(&plugin.fn);
	if (abi_symbols_check(&plugin.fn, err, sizeof err) < 0 ||
		abi_probe(&plugin.fn, handle, &plugin.api, err, sizeof err) < 0) {
		say_error("%s: install the ggml-virtgpu that knows it", err);
		return false;
	}
	plugin.reg = (struct abi_reg){
		.api_version = (int32_t)plugin.api,
		.get_name = reg_name,
		.get_device_count = reg_device_count,
		.get_device = reg_device,
		.get_proc_address = reg_proc_address,
	};
	if (registered_already(handle))
		return true;
	abi_idle_learn(&plugin.fn, plugin.idle);
	abi_written_learn(&plugin.fn, plugin.written);
	plugin.has_counts = abi_counts_check(&plugin.fn, handle);
	if (device_name_choose(err, sizeof err) < 0 || session_open(&plugin.session, err, sizeof err) < 0) {
		say_no_device(err);
		return true;
	}
	if (device_setup(err, sizeof err) < 0) {
		session_close(&plugin.session);
		say_no_device(err);
		return true;
	}
	plugin.n_devices = 1;
	versions_tell(versions, sizeof versions);
	say_info("%s: %s (over %s, capset %u, plugin API %d%s%s)", plugin.session.connection.transport->where,
		plugin.device_description, plugin.session.connection.transport->ops->name,
		plugin.session.connection.transport->capset_id, plugin.api,
		plugin.session.plain ? ", plain APIR 0.2" : "", versions);
	return true;
}

EXPORT struct abi_reg *ggml_backend_init(void);

/* NULL only where not even an empty registry can be offered: to a ggml that we don't know. */
EXPORT struct abi_reg *ggml_backend_init(void)
{
	static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
	static bool done, usable;
	int cancel_state;

	pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &cancel_state);
	pthread_mutex_lock(&lock);
	if (!done)
		usable = plugin_setup(__builtin_return_address(0));
	done = true;
	pthread_mutex_unlock(&lock);
	pthread_setcancelstate(cancel_state, NULL);
	return usable ? &plugin.reg : NULL;
}
