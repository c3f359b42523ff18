/* SPDX-License-Identifier: MIT */
/*
 * The three exported functions: the table of contexts, and the table of functions.
 *
 * Contexts are found under a lock; what one does happens outside of it, so that they don't wait for each other.
 */
#include "backend/functions.h"

#include <inttypes.h>
#include <pthread.h>

#include "backend/log.h"

#define EXPORT       __attribute__((visibility("default")))
#define MAX_CONTEXTS 256

static const struct {
	const char *name;
	backend_fn *fn;
} functions[] = {
	[APIR_FN_DEVICE_COUNT_OLD] = { "device_get_device_count", on_device_count },
	[APIR_FN_DEVICE_COUNT] = { "device_get_count", on_device_count },
	[APIR_FN_DEVICE_NAME] = { "device_get_name", on_device_name },
	[APIR_FN_DEVICE_DESCRIPTION] = { "device_get_description", on_device_description },
	[APIR_FN_DEVICE_TYPE] = { "device_get_type", on_device_type },
	[APIR_FN_DEVICE_MEMORY] = { "device_get_memory", on_device_memory },
	[APIR_FN_DEVICE_SUPPORTS_OP] = { "device_supports_op", on_device_supports_op },
	[APIR_FN_DEVICE_BUFFER_TYPE] = { "device_get_buffer_type", on_device_buffer_type },
	[APIR_FN_DEVICE_PROPS] = { "device_get_props", on_device_props },
	[APIR_FN_DEVICE_BUFFER_FROM_PTR] = { "device_buffer_from_ptr", on_device_buffer_from_ptr },
	[APIR_FN_BUFT_NAME] = { "buffer_type_get_name", on_buft_name },
	[APIR_FN_BUFT_ALIGNMENT] = { "buffer_type_get_alignment", on_buft_alignment },
	[APIR_FN_BUFT_MAX_SIZE] = { "buffer_type_get_max_size", on_buft_max_size },
	[APIR_FN_BUFT_IS_HOST] = { "buffer_type_is_host", on_buft_is_host },
	[APIR_FN_BUFT_ALLOC_BUFFER] = { "buffer_type_alloc_buffer", on_buft_alloc_buffer },
	[APIR_FN_BUFT_ALLOC_SIZE] = { "buffer_type_get_alloc_size", on_buft_alloc_size },
	[APIR_FN_BUFFER_BASE] = { "buffer_get_base", on_buffer_base },
	[APIR_FN_BUFFER_SET_TENSOR] = { "buffer_set_tensor", on_buffer_set_tensor },
	[APIR_FN_BUFFER_GET_TENSOR] = { "buffer_get_tensor", on_buffer_get_tensor },
	[APIR_FN_BUFFER_CPY_TENSOR] = { "buffer_cpy_tensor", on_buffer_cpy_tensor },
	[APIR_FN_BUFFER_CLEAR] = { "buffer_clear", on_buffer_clear },
	[APIR_FN_BUFFER_FREE] = { "buffer_free_buffer", on_buffer_free },
	[APIR_FN_GRAPH_COMPUTE] = { "backend_graph_compute", on_graph_compute },
};
static_assert(ARRAY_SIZE(functions) == APIR_FN_COUNT, "a row per function");

/* Ours are few and far from upstream's numbers. */
static const struct {
	uint32_t number;
	const char *name;
	backend_fn *fn;
} extensions[] = {
	{ APIR_FN_HELLO, "hello", on_hello },
	{ APIR_FN_WRITE, "write", on_write },
	{ APIR_FN_GRAPH_AGAIN, "graph_again", on_graph_again },
	{ APIR_FN_NAMES, "names", on_names },
};

static backend_fn *function_find(uint32_t number, const char **name)
{
	if (number < ARRAY_SIZE(functions)) {
		*name = functions[number].name;
		return functions[number].fn;
	}
	for (size_t i = 0; i < ARRAY_SIZE(extensions); i++) {
		*name = extensions[i].name;
		if (extensions[i].number == number)
			return extensions[i].fn;
	}
	return NULL;
}

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct backend_context *contexts[MAX_CONTEXTS];

/* With id's context: its slot; without: a free one; NULL: all are taken. Under the lock. */
static struct backend_context **slot_for(uint32_t id)
{
	struct backend_context **empty = NULL;

	for (size_t i = 0; i < MAX_CONTEXTS; i++) {
		if (contexts[i] && contexts[i]->id == id)
			return &contexts[i];
		if (!contexts[i] && !empty)
			empty = &contexts[i];
	}
	return empty;
}

static struct backend_context *context_find(uint32_t id)
{
	struct backend_context **slot, *ctx;

	pthread_mutex_lock(&lock);
	slot = slot_for(id);
	ctx = slot ? *slot : NULL;
	pthread_mutex_unlock(&lock);
	return ctx;
}

static const char *config_get(void *user, const char *key)
{
	const struct backend_context *ctx = user;

	return ctx->callbacks->get_config(ctx->id, key);
}

static void context_end(struct backend_context *ctx)
{
	const struct counters *c = &ctx->counters;
	struct buffer *b;
	uint32_t pos = 0;

	graph_store_fini(&ctx->graphs, &ctx->lib.fn);
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

EXPORT uint32_t apir_backend_initialize(uint32_t ctx_id, struct apir_callbacks *callbacks)
{
	struct backend_context *ctx, **slot;
	uint32_t code;

	backend_log_open();
	if (context_find(ctx_id))
		return APIR_LOAD_INIT + APIR_INIT_ALREADY;
	ctx = calloc(1, sizeof *ctx);
	if (!ctx)
		return APIR_LOAD_INIT + APIR_INIT_NO_MEMORY;
	ctx->id = ctx_id;
	ctx->callbacks = callbacks;
	ctx->next_fake = FAKE_BASE;
	handle_table_init(&ctx->handles, MAX_OBJECTS);
	code = library_open(&ctx->lib, config_get, ctx);
	if (code != APIR_LOAD_INIT + APIR_INIT_OK) {
		context_end(ctx);
		return code;
	}
	numbers_start(ctx);
	ctx->buft_handle = handle_add(&ctx->handles, OBJ_BUFT, ctx->lib.buft);
	pthread_mutex_lock(&lock);
	slot = slot_for(ctx_id);
	if (slot && !*slot && ctx->buft_handle) {
		*slot = ctx;
		ctx = NULL;
	}
	pthread_mutex_unlock(&lock);
	if (!ctx)
		return code;
	context_end(ctx);
	return APIR_LOAD_INIT + APIR_INIT_NO_MEMORY;
}

EXPORT void apir_backend_deinit(uint32_t ctx_id)
{
	struct backend_context *ctx = NULL, **slot;

	pthread_mutex_lock(&lock);
	slot = slot_for(ctx_id);
	if (slot && *slot) {
		ctx = *slot;
		*slot = NULL;
	}
	pthread_mutex_unlock(&lock);
	if (ctx)
		context_end(ctx);
}

EXPORT uint32_t apir_backend_dispatcher(uint32_t ctx_id, struct apir_callbacks *callbacks, uint32_t function,
	char *dec_cur, const char *dec_end, char *enc_cur, const char *enc_end, char **enc_cur_after)
{
	struct cursor in = cursor_over(dec_cur, (size_t)(dec_end - dec_cur));
	struct cursor out = cursor_over(enc_cur, (size_t)(enc_end - enc_cur));
	struct backend_context *ctx = context_find(ctx_id);
	const char *name;
	backend_fn *fn = function_find(function, &name);
	uint32_t code;

	(void)callbacks;
	*enc_cur_after = enc_cur;
	if (!ctx || !fn)
		return APIR_FN_INVALID;
	ctx->counters.commands++;
	code = fn(ctx, &in, &out);
	if (code != APIR_FN_OK)
		backend_log(ABI_LOG_DEBUG, "context %" PRIu32 ": %s: code %" PRIu32, ctx_id, name, code);
	*enc_cur_after = enc_cur + out.pos;
	return code;
}
