/* SPDX-License-Identifier: MIT */
/* The APIR backend library, and what it may ask us. */
#ifndef WORKER_LIBRARY_H
#define WORKER_LIBRARY_H

#include "backend/apir_backend.h"
#include "proto/cursor.h"
#include "worker/blobs.h"
#include "worker/settings.h"

struct library {
	uint32_t (*initialize)(uint32_t, struct apir_callbacks *);
	void (*deinit)(uint32_t);
	uint32_t (*dispatcher)(
		uint32_t, struct apir_callbacks *, uint32_t, char *, const char *, char *, const char *, char **);
	bool ready;
};

/* Loads what the settings name, for this context; both are asked for as long as it is loaded, and it is one a process. An
 * enum apir_load_code, or beyond. */
uint32_t library_load(struct library *l, uint32_t ctx_id, const struct settings *settings, const struct blobs *blobs);
/* Forwards a function's arguments, and what it replies. An enum apir_forward_code, or beyond. */
uint32_t library_forward(
	const struct library *l, uint32_t ctx_id, uint32_t function, struct cursor *in, struct cursor *out);
/* Lets it free what the context has. */
void library_unload(struct library *l, uint32_t ctx_id);

#endif
