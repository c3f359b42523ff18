/* SPDX-License-Identifier: MIT */
/* The real backend library, REAL_BACKEND, but for what it says of a graph's order: one lie after the other, then the truth. */
#include <dlfcn.h>
#include <stdint.h>
#include <string.h>

#include "backend/apir_backend.h"
#include "proto/apir_wire.h"

#define EXPORT __attribute__((visibility("default")))

static void real(const char *name, void *f)
{
	static void *handle;
	void *found;

	if (!handle)
		handle = dlopen(REAL_BACKEND, RTLD_NOW | RTLD_LOCAL);
	found = handle ? dlsym(handle, name) : NULL;
	memcpy(f, &found, sizeof found);
}

EXPORT uint32_t apir_backend_initialize(uint32_t ctx_id, struct apir_callbacks *callbacks)
{
	uint32_t (*initialize)(uint32_t, struct apir_callbacks *);

	real("apir_backend_initialize", &initialize);
	return initialize(ctx_id, callbacks);
}

EXPORT void apir_backend_deinit(uint32_t ctx_id)
{
	void (*deinit)(uint32_t);

	real("apir_backend_deinit", &deinit);
	deinit(ctx_id);
}

/* About n nodes, in the blob and in the answer. */
static uint32_t lie_tell(uint32_t *order, uint32_t n, uint32_t *n_deps)
{
	static uint32_t lies;
	struct apir_dep *dep = (void *)(order + n);

	switch (lies++) {
	case 0: /* one is there twice */
		order[0] = order[1];
		break;
	case 1: /* there are no such nodes */
		order[0] = n;
		break;
	case 2:
		order[n - 1] = UINT32_MAX;
		break;
	case 3: /* what is read comes behind its readers */
		for (uint32_t i = 0; i < n; i++)
			order[i] = n - 1 - i;
		break;
	case 4: /* of no tensor, until no node */
		*dep = (struct apir_dep){ 1u << 20, 0 };
		break;
	case 5:
		*dep = (struct apir_dep){ 0, n };
		break;
	case 6: /* more than there can be */
		*n_deps = UINT32_MAX;
		break;
	case 7:
		*n_deps = 1u << 16;
		break;
	case 8:
		return APIR_FN_FAILED;
	case 9:
		return APIR_FN_INVALID;
	default:
		break;
	}
	return APIR_FN_OK;
}

EXPORT uint32_t apir_backend_dispatcher(uint32_t ctx_id, struct apir_callbacks *callbacks, uint32_t function,
	char *dec_cur, const char *dec_end, char *enc_cur, const char *enc_end, char **enc_cur_after)
{
	uint32_t (*dispatcher)(
		uint32_t, struct apir_callbacks *, uint32_t, char *, const char *, char *, const char *, char **);
	uint32_t code, res, n;
	uint32_t *blob = NULL;

	real("apir_backend_dispatcher", &dispatcher);
	if (function == APIR_FN_GRAPH_OPTIMIZE) {
		memcpy(&res, dec_cur, sizeof res);
		blob = callbacks->get_shmem_ptr(ctx_id, res);
		n = *blob;
	}
	code = dispatcher(ctx_id, callbacks, function, dec_cur, dec_end, enc_cur, enc_end, enc_cur_after);
	return blob && code == APIR_FN_OK ? lie_tell(blob, n, (uint32_t *)(void *)enc_cur) : code;
}
