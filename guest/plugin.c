/* SPDX-License-Identifier: MIT */
/*
 * The plugin's entrance. ggml's loader calls ggml_backend_init(); who called tells which ggml it is, and everything
 * else follows from asking that one. Whatever goes wrong, the program goes on with no device of ours and one line
 * that says why.
 */
#include <dlfcn.h>
#include <stdio.h>
#include <string.h>

#include "guest/buffer_type.h"
#include "guest/device_counters.h"
#include "guest/device_slots.h"
#include "guest/own_ggml.h"
#include "guest/say.h"
#include "guest/shared_buffer.h"

#define EXPORT   __attribute__((visibility("default")))
#define REG_NAME "VirtGPU"

/* What ggml is offered: the registry, and the devices in it. */
struct plugin {
	struct abi_reg reg; /* its context is this */
	struct host host;
	size_t n_devices;
	struct device device;
};

static const char *reg_name(struct abi_reg *r)
{
	(void)r;
	return REG_NAME;
}

static size_t reg_device_count(struct abi_reg *r)
{
	const struct plugin *p = r->context;

	return p->n_devices;
}

static struct abi_device *reg_device(struct abi_reg *r, size_t i)
{
	struct plugin *p = r->context;

	return i < p->n_devices ? &p->device.object : NULL;
}

/* Optional functions that programs look up. */
static void *reg_proc_address(struct abi_reg *r, const char *name)
{
	(void)r;
	return !strcmp(name, GGML_BACKEND_VIRTGPU_COUNTERS) ? (void *)device_counters : NULL;
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
static void say_no_device(const struct device *dev, const char *err)
{
	say_warn("no device: %s; programs go on with the CPU, but llama.cpp given '-dev %s' ends with 'invalid device'",
		err, dev->name);
}

/* ", ggml 0.25.1 here and 0.27.0 on the host" where they differ: whoever reads of a missing operation looks for it. */
static void versions_tell(const struct host *host, char *text, size_t size)
{
	const char *here = own.fn.version();

	*text = '\0';
	if (host->version[0] && strcmp(host->version, here) != 0)
		snprintf(text, size, ", ggml %.31s here and %s on the host", here, host->version);
}

/* The host and its device. 0, or -errno and a line. */
static int plugin_connect(struct plugin *p, char *err, size_t err_size)
{
	int e = device_name_choose(&p->device, err, err_size);

	if (!e)
		e = session_open(&p->host.session, err, err_size);
	if (e < 0)
		return e;
	*err = '\0';
	e = device_init(&p->device, &p->host, err, err_size);
	if (!e)
		e = host_agree(&p->host);
	if (!e)
		return 0;
	if (!*err)
		snprintf(err, err_size, "%s: the host does not describe its device (%s): see the host's log",
			p->host.session.connection.transport->where, strerror(-e));
	session_close(&p->host.session);
	return e;
}

static bool plugin_setup(struct plugin *p, const void *caller)
{
	void *handle = own_ggml_find(caller);
	const struct transport *t;
	char err[384], versions[96];

	if (!handle)
		return false;
	p->reg = (struct abi_reg){
		.api_version = (int32_t)own.api,
		.get_name = reg_name,
		.get_device_count = reg_device_count,
		.get_device = reg_device,
		.get_proc_address = reg_proc_address,
		.context = p,
	};
	if (registered_already(handle))
		return true;
	own_ggml_learn(handle);
	if (plugin_connect(p, err, sizeof err) < 0) {
		say_no_device(&p->device, err);
		return true;
	}
	buffer_type_init(&p->device);
	shared_buffer_init(&p->device);
	device_slots_init(&p->device, &p->reg);
	p->n_devices = 1;
	versions_tell(&p->host, versions, sizeof versions);
	t = p->host.session.connection.transport;
	say_info("%s: %s (over %s, capset %u, plugin API %d%s%s)", t->where, p->device.description, t->ops->name,
		t->capset_id, own.api, p->host.session.plain ? ", plain APIR 0.2" : "", versions);
	return true;
}

EXPORT struct abi_reg *ggml_backend_init(void);

/* NULL only where not even an empty registry can be offered: to a ggml that we don't know. */
EXPORT struct abi_reg *ggml_backend_init(void)
{
	static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
	static struct plugin plugin;
	static bool done, usable;
	int cancel_state;

	pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &cancel_state);
	pthread_mutex_lock(&lock);
	if (!done)
		usable = plugin_setup(&plugin, __builtin_return_address(0));
	done = true;
	pthread_mutex_unlock(&lock);
	pthread_setcancelstate(cancel_state, NULL);
	return usable ? &plugin.reg : NULL;
}
