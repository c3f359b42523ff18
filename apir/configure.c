/* SPDX-License-Identifier: MIT */
/* Configuration keys, sent to the workers that they are for. */
#include "apir/internal.h"

#include <errno.h>
#include <string.h>

#include "proto/util.h"

struct config_target {
	struct apir *a;
	struct context *c;
};

static int config_push(void *user, const char *key, const char *value)
{
	const struct config_target *t = user;
	struct worker_msg m = { .type = WORKER_CONFIG };
	size_t nk = strlen(key) + 1, nv = strlen(value) + 1;
	AUTO_FREE char *both = malloc(nk + nv);

	if (!both)
		return -ENOMEM;
	memcpy(both, key, nk);
	memcpy(both + nk, value, nv);
	return context_send(t->a, t->c, &m, both, nk + nv, -1);
}

int context_configure(struct apir *a, struct context *c)
{
	return config_each(&a->config, c->id, config_push, &(struct config_target){ a, c });
}

int apir_configure(struct apir *a, uint32_t ctx_id, const char *key, const char *value)
{
	int err = config_set(&a->config, ctx_id, key, value);

	for (size_t i = 0; !err && i < MAX_CONTEXTS; i++) {
		struct context *c = &a->contexts[i];

		/* A key for all must not hide one for this context. */
		if (c->state == CTX_LIVE && (ctx_id == 0 || c->id == ctx_id))
			err = config_push(&(struct config_target){ a, c }, key, config_get(&a->config, c->id, key));
	}
	return err;
}
