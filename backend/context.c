/* SPDX-License-Identifier: MIT */
/* See context.h. */
#include "backend/context.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>

#include "backend/log.h"

#define FAKE_ALIGN (UINT64_C(1) << 21)

static const char *context_config_get(void *user, const char *key)
{
	const struct backend_context *ctx = user;

	return ctx->callbacks->get_config(ctx->id, key);
}

void context_close(struct backend_context *ctx)
{
	const struct counters *c = &ctx->counters;
	struct buffer *b;
	uint32_t pos = 0;

	context_drain(ctx);
	pinned_fini(&ctx->pinned);
	graph_store_clear(&ctx->graphs, &ctx->lib.fn);
	if (ctx->optimized)
		graph_free(&ctx->lib.fn, ctx->optimized);
	graph_incoming_fini(&ctx->incoming);
	free(ctx->spare.memory);
	while ((b = handle_next(&ctx->handles, OBJ_BUFFER, &pos)))
		context_free_buffer(ctx, b);
	handle_table_fini(&ctx->handles);
	library_close(&ctx->lib);
	if (c->graphs || c->refused)
		backend_log(ABI_LOG_INFO,
			"context %" PRIu32 ": %" PRIu64 " commands, %" PRIu64 " graphs computed (%" PRIu64
			" reused, %" PRIu64 " of them named again), %" PRIu64 " nodes, %" PRIu64 " bytes set, %" PRIu64
			" bytes read, %" PRIu64 " refusals",
			ctx->id, c->commands, c->graphs, c->graphs_reused, c->graphs_again, c->nodes, c->bytes_set,
			c->bytes_get, c->refused);
	free(ctx);
}

/* What the wire's numbers mean before names are told. */
static void context_numbers_start(struct backend_context *ctx)
{
	struct abi_names canonical;

	abi_names_canonical(&canonical);
	abi_numbers_map(&ctx->numbers, &canonical, &ctx->lib.names);
}

struct backend_context *context_open(uint32_t id, struct apir_callbacks *callbacks, uint32_t *code)
{
	struct backend_context *ctx = calloc(1, sizeof *ctx);

	*code = APIR_LOAD_INIT + APIR_INIT_NO_MEMORY;
	if (!ctx)
		return NULL;
	ctx->id = id;
	ctx->callbacks = callbacks;
	ctx->next_fake = FAKE_BASE;
	handle_table_init(&ctx->handles, MAX_OBJECTS);
	*code = library_open(&ctx->lib, context_config_get, ctx);
	if (*code == APIR_LOAD_INIT + APIR_INIT_OK) {
		context_numbers_start(ctx);
		ctx->buft_handle = handle_add(&ctx->handles, OBJ_BUFT, ctx->lib.buft);
		ctx->pinned.by = ctx->lib.pinner;
		if (ctx->buft_handle)
			return ctx;
		*code = APIR_LOAD_INIT + APIR_INIT_NO_MEMORY;
	}
	context_close(ctx);
	return NULL;
}

void context_drain(struct backend_context *ctx)
{
	if (ctx->computing)
		ctx->lib.fn.synchronize(ctx->lib.backend);
	ctx->computing = false;
}

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

static uint64_t context_config_number(struct backend_context *ctx, const char *key)
{
	const char *v = ctx->callbacks->get_config(ctx->id, key);

	return v ? strtoull(v, NULL, 10) : 0;
}

uint64_t context_blob_serial(struct backend_context *ctx, uint32_t res_id)
{
	char key[48];

	snprintf(key, sizeof key, "apir.blob.%" PRIu32 ".serial", res_id);
	return context_config_number(ctx, key);
}

uint64_t context_blobs_dropped(struct backend_context *ctx)
{
	return context_config_number(ctx, "apir.blobs.dropped");
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
	struct buffer *b = buffer_adopt(&ctx->lib.fn, ggml, mapping, mapping_size);
	uint64_t handle;

	if (!b)
		return 0;
	handle = handle_add(&ctx->handles, OBJ_BUFFER, b);
	if (!handle) {
		buffer_release(&ctx->lib.fn, b);
		return 0;
	}
	b->fake = ctx->next_fake;
	ctx->next_fake = round_up(ctx->next_fake + b->size, FAKE_ALIGN) + FAKE_ALIGN;
	return handle;
}

void context_free_buffer(struct backend_context *ctx, struct buffer *b)
{
	graph_store_leave(&ctx->graphs, &ctx->lib.fn, b);
	buffer_release(&ctx->lib.fn, b);
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
