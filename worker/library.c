/* SPDX-License-Identifier: MIT */
/* See library.h. APIR's callbacks are told the context's number and nothing else, so whom they ask is this file's own. */
#include "worker/library.h"

#include <dlfcn.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "log/log.h"
#include "proto/apir_wire.h"

static struct {
	const struct settings *settings;
	const struct blobs *blobs;
} asked;

/* Ours beside the hypervisor's keys: "apir.blob.<res_id>.size", so that the library can check ranges, ".serial", and
 * "apir.blobs.dropped", so that it knows whether a blob is still the one that it was. */
static bool blob_config(const char *key, uint64_t *value)
{
	const struct mapping *m;
	uint32_t res_id;
	int end = 0;

	if (!strcmp(key, "apir.blobs.dropped")) {
		*value = asked.blobs->dropped;
		return true;
	}
	if (sscanf(key, "apir.blob.%" SCNu32 "%n", &res_id, &end) != 1)
		return false;
	m = blobs_find(asked.blobs, res_id);
	if (!m)
		return false;
	*value = !strcmp(key + end, ".size") ? m->size : m->serial;
	return !strcmp(key + end, ".size") || !strcmp(key + end, ".serial");
}

static const char *callback_config(uint32_t ctx_id, const char *key)
{
	static char text[24];
	uint64_t value;

	(void)ctx_id;
	if (strncmp(key, "apir.blob", strlen("apir.blob")) != 0)
		return settings_get(asked.settings, key);
	if (!blob_config(key, &value))
		return NULL;
	snprintf(text, sizeof text, "%" PRIu64, value);
	return text;
}

static void *callback_shmem(uint32_t ctx_id, uint32_t res_id)
{
	const struct mapping *m = blobs_find(asked.blobs, res_id);

	(void)ctx_id;
	return m ? m->ptr : NULL;
}

static struct apir_callbacks callbacks = { callback_config, callback_shmem };

/* path NULL: it need not be there. */
static bool symbol_load(void *handle, const char *name, void *out, const char *path)
{
	void *f = dlsym(handle, name);

	if (!f && path)
		log_error("'%s' (VIRGL_APIR_BACKEND_LIBRARY) is no APIR backend library: it has no %s()", path, name);
	memcpy(out, &f, sizeof f);
	return f != NULL;
}

uint32_t library_load(struct library *l, uint32_t ctx_id, const struct settings *settings, const struct blobs *blobs)
{
	const char *path = settings_get(settings, "apir.load_library.path");
	uint32_t code;
	void *handle;

	if (l->ready)
		return APIR_LOAD_ALREADY;
	if (!path || !*path) {
		log_error("cannot open the APIR backend library: env var 'VIRGL_APIR_BACKEND_LIBRARY' not defined");
		return APIR_LOAD_ENV_MISSING;
	}
	handle = dlopen(path, RTLD_NOW | RTLD_LOCAL);
	if (!handle) {
		log_error("cannot open the APIR backend library (VIRGL_APIR_BACKEND_LIBRARY): %s", dlerror());
		return APIR_LOAD_CANNOT_OPEN;
	}
	if (!symbol_load(handle, "apir_backend_initialize", &l->initialize, path) ||
		!symbol_load(handle, "apir_backend_dispatcher", &l->dispatcher, path))
		return APIR_LOAD_SYMBOL_MISSING;
	symbol_load(handle, "apir_backend_deinit", &l->deinit, NULL);
	asked.settings = settings;
	asked.blobs = blobs;
	code = l->initialize(ctx_id, &callbacks);
	l->ready = code == APIR_LOAD_INIT;
	if (!l->ready)
		log_error("the APIR backend library '%s' refused to start (code %" PRIu32 "); its own log says why",
			path, code);
	return l->ready ? APIR_LOAD_OK : APIR_LOAD_INIT + code;
}

uint32_t library_forward(
	const struct library *l, uint32_t ctx_id, uint32_t function, struct cursor *in, struct cursor *out)
{
	char *start = (char *)out->data + out->pos, *after = start;
	uint32_t code;

	if (!l->ready)
		return APIR_FORWARD_NO_DISPATCH;
	code = l->dispatcher(ctx_id, &callbacks, function, (char *)in->data + in->pos, (char *)in->data + in->size,
		start, (char *)out->data + out->size, &after);
	if (after < start || !cursor_take(out, (size_t)(after - start)))
		return APIR_FORWARD_NO_SYNC;
	return APIR_FORWARD_BASE + code;
}

void library_unload(struct library *l, uint32_t ctx_id)
{
	if (l->ready && l->deinit)
		l->deinit(ctx_id);
	l->ready = false;
}
