/* SPDX-License-Identifier: MIT */
/* The graphs' functions. */
#include "backend/functions.h"

#include "backend/graph_optimize.h"
#include "backend/graph_run.h"

static uint32_t fn_graph_run(struct backend_context *ctx, struct cursor *in, struct cursor *out, bool again)
{
	struct graph_request at = { .again = again };
	int32_t status;

	if (!cursor_read_u32(in, &at.res) || !cursor_read_u64(in, &at.size))
		return APIR_FN_REFUSED;
	at.bytes = context_shm(ctx, at.res, 0, at.size);
	if (!at.bytes) {
		context_refuse(ctx, "graph_compute: blob %u is unknown or smaller than %llu bytes", at.res,
			(unsigned long long)at.size);
		return APIR_FN_REFUSED;
	}
	if (!graph_request_run(ctx, &at, &status))
		return APIR_FN_REFUSED;
	return fn_reply(cursor_write_i32(out, status));
}

uint32_t on_graph_compute(struct backend_context *ctx, struct cursor *in, struct cursor *out)
{
	return fn_graph_run(ctx, in, out, false);
}

uint32_t on_graph_again(struct backend_context *ctx, struct cursor *in, struct cursor *out)
{
	return fn_graph_run(ctx, in, out, true);
}

uint32_t on_graph_optimize(struct backend_context *ctx, struct cursor *in, struct cursor *out)
{
	uint32_t res, code, n_deps;
	uint64_t size;
	void *shm;

	if (!cursor_read_u32(in, &res) || !cursor_read_u64(in, &size) || size > APIR_OPTIMIZE_MAX)
		return APIR_FN_REFUSED;
	if (!ctx->lib.optimizes)
		return APIR_FN_FAILED;
	shm = context_shm(ctx, res, 0, size);
	if (!shm) {
		context_refuse(ctx, "graph_optimize: blob %u is unknown or smaller than %llu bytes", res,
			(unsigned long long)size);
		return APIR_FN_REFUSED;
	}
	code = graph_optimize(ctx, shm, size, &n_deps);
	return code == APIR_FN_OK ? fn_reply(cursor_write_u32(out, n_deps)) : code;
}

/* Which dispatch() has done. */
uint32_t on_synchronize(struct backend_context *ctx, struct cursor *in, struct cursor *out)
{
	(void)ctx;
	(void)in;
	(void)out;
	return APIR_FN_OK;
}
