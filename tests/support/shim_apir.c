/* SPDX-License-Identifier: MIT */
/*
 * An APIR backend library with nothing beyond APIR 0.2, as upstream's is: it has no apir_backend_deinit(), and an index of
 * none of the 23 functions is answered with 6. All else is the real library's, REAL_BACKEND.
 */
#include <dlfcn.h>
#include <stdint.h>
#include <string.h>

#include "backend/apir_backend.h"

#define EXPORT __attribute__((visibility("default")))

static void *real(const char *name)
{
	static void *handle;

	if (!handle)
		handle = dlopen(REAL_BACKEND, RTLD_NOW | RTLD_LOCAL);
	return handle ? dlsym(handle, name) : NULL;
}

EXPORT uint32_t apir_backend_initialize(uint32_t ctx_id, struct apir_callbacks *callbacks)
{
	uint32_t (*initialize)(uint32_t, struct apir_callbacks *);
	void *f = real("apir_backend_initialize");

	if (!f)
		return 4;
	memcpy(&initialize, &f, sizeof f);
	return initialize(ctx_id, callbacks);
}

EXPORT uint32_t apir_backend_dispatcher(uint32_t ctx_id, struct apir_callbacks *callbacks, uint32_t function,
	char *dec_cur, const char *dec_end, char *enc_cur, const char *enc_end, char **enc_cur_after)
{
	uint32_t (*dispatcher)(
		uint32_t, struct apir_callbacks *, uint32_t, char *, const char *, char *, const char *, char **);
	void *f = real("apir_backend_dispatcher");

	*enc_cur_after = enc_cur;
	if (function >= 23 || !f)
		return 6;
	memcpy(&dispatcher, &f, sizeof f);
	return dispatcher(ctx_id, callbacks, function, dec_cur, dec_end, enc_cur, enc_end, enc_cur_after);
}
