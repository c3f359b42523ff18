/* SPDX-License-Identifier: MIT */
/*
 * The three exported functions, over a table of contexts. They are found under a lock; what one does happens outside of it,
 * so that they don't wait for each other.
 */
#include "backend/functions.h"

#include <pthread.h>

#include "backend/log.h"

#define EXPORT       __attribute__((visibility("default")))
#define MAX_CONTEXTS 256

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct backend_context *contexts[MAX_CONTEXTS];

/* With id's context: its slot; without: a free one; NULL: all are taken. Under the lock. */
static struct backend_context **context_slot(uint32_t id)
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

static struct backend_context *context_of(uint32_t id)
{
	struct backend_context **slot, *ctx;

	pthread_mutex_lock(&lock);
	slot = context_slot(id);
	ctx = slot ? *slot : NULL;
	pthread_mutex_unlock(&lock);
	return ctx;
}

EXPORT uint32_t apir_backend_initialize(uint32_t ctx_id, struct apir_callbacks *callbacks)
{
	struct backend_context *ctx, **slot;
	uint32_t code;

	backend_log_open();
	if (context_of(ctx_id))
		return APIR_LOAD_INIT + APIR_INIT_ALREADY;
	ctx = context_open(ctx_id, callbacks, &code);
	if (!ctx)
		return code;
	pthread_mutex_lock(&lock);
	slot = context_slot(ctx_id);
	if (slot && !*slot) {
		*slot = ctx;
		ctx = NULL;
	}
	pthread_mutex_unlock(&lock);
	if (!ctx)
		return code;
	context_close(ctx);
	return APIR_LOAD_INIT + APIR_INIT_NO_MEMORY;
}

EXPORT void apir_backend_deinit(uint32_t ctx_id)
{
	struct backend_context *ctx = NULL, **slot;

	pthread_mutex_lock(&lock);
	slot = context_slot(ctx_id);
	if (slot && *slot) {
		ctx = *slot;
		*slot = NULL;
	}
	pthread_mutex_unlock(&lock);
	if (ctx)
		context_close(ctx);
}

EXPORT uint32_t apir_backend_dispatcher(uint32_t ctx_id, struct apir_callbacks *callbacks, uint32_t function,
	char *dec_cur, const char *dec_end, char *enc_cur, const char *enc_end, char **enc_cur_after)
{
	struct cursor in = cursor_over(dec_cur, (size_t)(dec_end - dec_cur));
	struct cursor out = cursor_over(enc_cur, (size_t)(enc_end - enc_cur));
	struct backend_context *ctx = context_of(ctx_id);
	uint32_t code = ctx ? dispatch(ctx, function, &in, &out) : APIR_FN_INVALID;

	(void)callbacks;
	*enc_cur_after = enc_cur + out.pos;
	return code;
}
