/* SPDX-License-Identifier: MIT */
/* See context.h. */
#include "backend/context.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/mman.h>

#include "backend/log.h"

#define FAKE_ALIGN (UINT64_C(1) << 21)

bool context_shm_size(struct backend_context *ctx, uint32_t res_id, uint64_t *size)
{
	static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
	static bool warned;
	char key[48];
	const char *v;

	snprintf(key, sizeof key, "apir.blob.%" PRIu32 ".size", res_id);
	v = ctx->callbacks->get_config(ctx->id, key);
	if (v) {
		*size = strtoull(v, NULL, 10);
		return true;
	}
	pthread_mutex_lock(&lock);
	if (!warned)
		backend_log(ABI_LOG_WARN, "this host does not tell the sizes of blobs: it trusts its guests");
	warned = true;
	pthread_mutex_unlock(&lock);
	return false;
}

void *context_shm(struct backend_context *ctx, uint32_t res_id, uint64_t off, uint64_t n)
{
	char *p = ctx->callbacks->get_shmem_ptr(ctx->id, res_id);
	uint64_t size;

	if (!p || (context_shm_size(ctx, res_id, &size) && !range_ok(off, n, size)))
		return NULL;
	return p + off;
}

uint64_t context_add_buffer(struct backend_context *ctx, struct abi_buffer *ggml, void *mapping, uint64_t mapping_size)
{
	struct buffer *b = malloc(sizeof *b);
	uint64_t handle;

	if (!b) {
		ctx->lib.fn.buffer_free(ggml);
		if (mapping)
			munmap(mapping, mapping_size);
		return 0;
	}
	*b = (struct buffer){
		.ggml = ggml,
		.size = ctx->lib.fn.buffer_get_size(ggml),
		.mapping = mapping,
		.fake = ctx->next_fake,
	};
	b->base = b->size ? ctx->lib.fn.buffer_get_base(ggml) : NULL;
	handle = handle_add(&ctx->handles, OBJ_BUFFER, b);
	if (!handle) {
		context_free_buffer(ctx, b);
		return 0;
	}
	ctx->next_fake = round_up(ctx->next_fake + b->size, FAKE_ALIGN) + FAKE_ALIGN;
	return handle;
}

void context_free_buffer(struct backend_context *ctx, struct buffer *b)
{
	graph_store_drop(&ctx->graphs, &ctx->lib.fn, b);
	ctx->lib.fn.buffer_free(b->ggml);
	if (b->mapping)
		munmap(b->mapping, b->size);
	free(b);
}

void context_refuse(struct backend_context *ctx, const char *fmt, ...)
{
	char why[256];
	va_list ap;

	if (ctx->counters.refused++ >= 20)
		return;
	va_start(ap, fmt);
	vsnprintf(why, sizeof why, fmt, ap);
	va_end(ap);
	backend_log(ABI_LOG_WARN, "context %" PRIu32 ": refused: %s%s", ctx->id, why,
		ctx->counters.refused == 20 ? " (further refusals aren't logged)" : "");
}
