/* SPDX-License-Identifier: MIT */
/*
 * Which operation and which type a number on the wire means. A guest that speaks plain APIR 0.2 sends its ggml's own
 * numbers, which are taken for those that its peers have; one that asks for our names translates to ours itself.
 */
#include "backend/functions.h"

#include <inttypes.h>

#include "backend/log.h"

void numbers_start(struct backend_context *ctx)
{
	struct abi_names canonical;

	abi_names_canonical(&canonical);
	abi_numbers_map(&ctx->numbers, &canonical, &ctx->lib.names);
}

uint32_t on_names(struct backend_context *ctx, struct cursor *in, struct cursor *out)
{
	const char *version;

	if (!cursor_read_string(in, &version))
		return APIR_FN_REFUSED;
	if (!cursor_write_string(out, ctx->lib.fn.version()) || !abi_names_write(out, &ctx->lib.names))
		return APIR_FN_FAILED;
	backend_log(ABI_LOG_DEBUG, "context %" PRIu32 ": the guest's ggml is %.40s, ours %s", ctx->id, version,
		ctx->lib.fn.version());
	graph_store_empty(ctx); /* the same bytes may mean something else from now on */
	abi_numbers_map(&ctx->numbers, &ctx->lib.names, &ctx->lib.names);
	return APIR_FN_OK;
}
