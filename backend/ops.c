/* SPDX-License-Identifier: MIT */
/* See ops.h. Source of the sources' counts: ggml's constructors of each operation. */
#include "backend/ops.h"

#include <string.h>

#include "ggml-abi/idle.h"
#include "proto/util.h"

/* Those that differ from the rule: what computes is permitted, and reads one source. */
static const struct {
	const char *name;
	uint8_t min_srcs;
	enum { COMPUTES, POINTERS } kind;
} special[] = {
	{ "MAP_CUSTOM1", 1, POINTERS },
	{ "MAP_CUSTOM2", 2, POINTERS },
	{ "MAP_CUSTOM3", 3, POINTERS },
	{ "CUSTOM", 0, POINTERS },
	{ "ARANGE", 0, COMPUTES },
	{ "ADD", 2, COMPUTES },
	{ "ADD1", 2, COMPUTES },
	{ "ACC", 2, COMPUTES },
	{ "SUB", 2, COMPUTES },
	{ "MUL", 2, COMPUTES },
	{ "DIV", 2, COMPUTES },
	{ "COUNT_EQUAL", 2, COMPUTES },
	{ "CONCAT", 2, COMPUTES },
	{ "SILU_BACK", 2, COMPUTES },
	{ "RMS_NORM_BACK", 2, COMPUTES },
	{ "MUL_MAT", 2, COMPUTES },
	{ "OUT_PROD", 2, COMPUTES },
	{ "SET", 2, COMPUTES },
	{ "CPY", 2, COMPUTES },
	{ "GET_ROWS", 2, COMPUTES },
	{ "GET_ROWS_BACK", 2, COMPUTES },
	{ "SET_ROWS", 2, COMPUTES },
	{ "SOFT_MAX_BACK", 2, COMPUTES },
	{ "ROPE", 2, COMPUTES },
	{ "ROPE_BACK", 2, COMPUTES },
	{ "IM2COL", 2, COMPUTES },
	{ "IM2COL_BACK", 2, COMPUTES },
	{ "IM2COL_3D", 2, COMPUTES },
	{ "CONV_TRANSPOSE_1D", 2, COMPUTES },
	{ "CONV_2D_DW", 2, COMPUTES },
	{ "CONV_2D", 2, COMPUTES },
	{ "CONV_3D", 2, COMPUTES },
	{ "CONV_TRANSPOSE_2D", 2, COMPUTES },
	{ "POOL_2D_BACK", 2, COMPUTES },
	{ "SSM_CONV", 2, COMPUTES },
	{ "SOLVE_TRI", 2, COMPUTES },
	{ "CROSS_ENTROPY_LOSS", 2, COMPUTES },
	{ "DSV4_HC_PRE", 2, COMPUTES },
	{ "ADD_ID", 3, COMPUTES },
	{ "MUL_MAT_ID", 3, COMPUTES },
	{ "FLASH_ATTN_EXT", 3, COMPUTES },
	{ "ADD_REL_POS", 3, COMPUTES },
	{ "CROSS_ENTROPY_LOSS_BACK", 3, COMPUTES },
	{ "OPT_STEP_SGD", 3, COMPUTES },
	{ "DSV4_HC_COMB", 3, COMPUTES },
	{ "LIGHTNING_INDEXER", 3, COMPUTES },
	{ "DSV4_HC_POST", 3, COMPUTES },
	{ "FLASH_ATTN_BACK", 4, COMPUTES },
	{ "GATED_LINEAR_ATTN", 5, COMPUTES },
	{ "OPT_STEP_ADAMW", 5, COMPUTES },
	{ "RWKV_WKV6", 6, COMPUTES },
	{ "GATED_DELTA_NET", 6, COMPUTES },
	{ "SSM_SCAN", 7, COMPUTES },
	{ "RWKV_WKV7", 7, COMPUTES },
};

void ops_learn(struct ops *ops, const struct abi_symbols *fn)
{
	bool idle[ABI_N_OPS];

	abi_idle_learn(fn, idle);
	ops->unary = ops->glu = ops->cpy = -1;
	for (int32_t op = 0; op < ABI_N_OPS; op++) {
		const char *name = fn->op_name(op);

		ops->computes[op] = !idle[op];
		ops->permitted[op] = true;
		ops->min_srcs[op] = idle[op] ? 0 : 1;
		for (size_t i = 0; i < ARRAY_SIZE(special); i++) {
			if (strcmp(name, special[i].name) != 0)
				continue;
			ops->min_srcs[op] = special[i].min_srcs;
			ops->permitted[op] = special[i].kind != POINTERS;
		}
		if (!strcmp(name, "UNARY"))
			ops->unary = op;
		if (!strcmp(name, "GLU"))
			ops->glu = op;
		if (!strcmp(name, "CPY"))
			ops->cpy = op;
	}
	for (int32_t type = 0; type < ABI_N_TYPES; type++) {
		ops->blck_size[type] = fn->blck_size(type);
		ops->type_size[type] = fn->type_size(type);
	}
}

#define ops_refuse(text) (*why = (text), false)

bool ops_check_tensor(const struct ops *ops, const struct abi_tensor *t, size_t *extent, const char **why)
{
	int64_t elements = 1;

	if (t->type < 0 || t->type >= ABI_N_TYPES || ops->blck_size[t->type] <= 0 || ops->type_size[t->type] == 0)
		return ops_refuse("unknown tensor type");
	if (t->op < 0 || t->op >= ABI_N_OPS)
		return ops_refuse("unknown operation");
	if (!ops->permitted[t->op])
		return ops_refuse("an operation that carries host pointers");
	if (t->op == ops->unary && (t->op_params[0] < 0 || t->op_params[0] >= ABI_N_UNARY))
		return ops_refuse("unknown unary operation");
	if (t->op == ops->glu && (t->op_params[0] < 0 || t->op_params[0] >= ABI_N_GLU))
		return ops_refuse("unknown GLU operation");
	for (int i = 0; i < ABI_DIMS; i++) {
		if (t->ne[i] < 0 || __builtin_mul_overflow(elements, t->ne[i], &elements))
			return ops_refuse("impossible shape");
	}
	if (!abi_tensor_extent(t->ne, t->nb, ops->blck_size[t->type], ops->type_size[t->type], extent))
		return ops_refuse("impossible strides");
	return true;
}

bool ops_check_layout(const struct ops *ops, const struct abi_tensor *t, const char **why)
{
	const int64_t blck = ops->blck_size[t->type];

	if (blck > 1 && t->ne[0] % blck != 0)
		return ops_refuse("a row that isn't whole blocks");
	/* Kernels take neighbours to be at least an element apart, and blocks to lie side by side. */
	if (t->nb[0] < ops->type_size[t->type] || (blck > 1 && t->nb[0] != ops->type_size[t->type]))
		return ops_refuse("elements that overlap, or blocks that are apart");
	return true;
}

bool ops_check_srcs(const struct ops *ops, const struct abi_tensor *t, const char **why)
{
	for (int i = 0; i < ops->min_srcs[t->op]; i++) {
		if (!t->src[i])
			return ops_refuse("a source is missing");
	}
	return true;
}
