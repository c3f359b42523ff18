/* SPDX-License-Identifier: MIT */
#include "backend/graph_check.h"

#include "backend/context.h"

const char *graph_operand_fault(const struct backend_context *ctx, const struct abi_tensor *t)
{
	const char *why = NULL;

	if (!t->data)
		return "it lies in no buffer";
	ops_check_layout(&ctx->lib.ops, t, &why);
	return why;
}

static bool graph_work_check(struct backend_context *ctx, const struct abi_tensor *node, uint32_t i, uint64_t *sum)
{
	const struct work *w = &ctx->lib.work;

	*sum = work_add(w, node, *sum);
	if (*sum <= w->most)
		return true;
	context_refuse(ctx,
		"graph: up to node %u (%s) it is %llu multiply-adds' work, and %llu are allowed: raise "
		"ggml.graph.work",
		i, ctx->lib.fn.op_name(node->op), (unsigned long long)*sum, (unsigned long long)w->most);
	return false;
}

bool graph_node_check(struct backend_context *ctx, const struct abi_tensor *node, uint32_t i, uint64_t *work)
{
	const char *why;

	if (!ctx->lib.ops.computes[node->op])
		return true;
	if (!ops_check_srcs(&ctx->lib.ops, node, &why) || (why = graph_operand_fault(ctx, node)) ||
		(node->view_src && (why = graph_operand_fault(ctx, node->view_src)))) {
		context_refuse(ctx, "graph: node %u (%s): %s", i, ctx->lib.fn.op_name(node->op), why);
		return false;
	}
	for (int s = 0; s < ABI_SRCS; s++) {
		why = node->src[s] ? graph_operand_fault(ctx, node->src[s]) : NULL;
		if (why) {
			context_refuse(
				ctx, "graph: node %u (%s): source %d: %s", i, ctx->lib.fn.op_name(node->op), s, why);
			return false;
		}
	}
	if (!ctx->lib.fn.dev_supports_op(ctx->lib.device, node)) {
		context_refuse(
			ctx, "graph: node %u: the device does not support this %s", i, ctx->lib.fn.op_name(node->op));
		return false;
	}
	return graph_work_check(ctx, node, i, work);
}
