/* SPDX-License-Identifier: MIT */
#include "backend/graph_init.h"

#include "backend/context.h"
#include "backend/graph_check.h"
#include "backend/tensor.h"

bool graph_init(struct backend_context *ctx, const struct graph_incoming *in, struct graph *g)
{
	AUTO_FREE bool *done = calloc(in->n_tensors ? in->n_tensors : 1, sizeof *done);

	for (uint32_t i = 0; done && i < in->n_tensors; i++) {
		struct abi_tensor *t = &g->tensors[i];
		const char *why;

		if (graph_operand_fault(ctx, t) || (t->view_src && !done[t->view_src - g->tensors]))
			continue;
		if (!tensor_init(ctx, &in->tensors[i], t, &done[i], &why)) {
			context_refuse(ctx, "graph: tensor %u: %s", i, why);
			return false;
		}
	}
	return done != NULL;
}
