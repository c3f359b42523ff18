/* SPDX-License-Identifier: MIT */
/*
 * Which operation and which type a number on the wire means. A guest that speaks plain APIR 0.2 sends its ggml's own
 * numbers, which are taken for those that its peers have; one that asks for our names translates to ours itself.
 */
#include "backend/functions.h"

#include <inttypes.h>
#include <string.h>

#include "backend/log.h"

#define VERSION_CHARS "0123456789.-+abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
#define VERSION_MAX   40

uint32_t on_names(struct backend_context *ctx, struct cursor *in, struct cursor *out)
{
	const char *version;
	int plain;

	if (!cursor_read_string(in, &version))
		return APIR_FN_REFUSED;
	if (!cursor_write_string(out, ctx->lib.fn.version()) || !abi_names_write(out, &ctx->lib.names))
		return APIR_FN_FAILED;
	/* As far as it can be one: a guest must not write lines of its own. */
	plain = (int)strspn(version, VERSION_CHARS);
	plain = plain < VERSION_MAX ? plain : VERSION_MAX;
	backend_log(ABI_LOG_DEBUG, "context %" PRIu32 ": the guest's ggml is %.*s, ours %s", ctx->id, plain, version,
		ctx->lib.fn.version());
	graph_store_clear(&ctx->graphs, &ctx->lib.fn); /* the same bytes may mean something else from now on */
	abi_numbers_map(&ctx->numbers, &ctx->lib.names, &ctx->lib.names);
	return APIR_FN_OK;
}
