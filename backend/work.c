/* SPDX-License-Identifier: MIT */
/* See work.h. Shapes are the guest's word, so nothing here may wrap. */
#include "backend/work.h"

#include <errno.h>
#include <string.h>

#include "proto/util.h"

#define EACH 16 /* an element, of what isn't multiply-adds: transcendentals, conversions, memory */

static const struct {
	const char *name;
	enum work_kind kind;
} special[] = {
	{ "MUL_MAT", WORK_INNER },
	{ "MUL_MAT_ID", WORK_INNER },
	{ "OUT_PROD", WORK_OUTER },
	{ "FLASH_ATTN_EXT", WORK_ATTENTION },
	{ "FLASH_ATTN_BACK", WORK_ATTENTION },
	{ "CONV_2D", WORK_KERNEL },
	{ "CONV_2D_DW", WORK_KERNEL },
	{ "CONV_TRANSPOSE_1D", WORK_KERNEL_ALL },
	{ "CONV_TRANSPOSE_2D", WORK_KERNEL_ALL },
	{ "CONV_3D", WORK_KERNEL_ALL },
	{ "SSM_SCAN", WORK_INNER },
	{ "RWKV_WKV6", WORK_INNER },
	{ "RWKV_WKV7", WORK_INNER },
	{ "GATED_LINEAR_ATTN", WORK_INNER },
	{ "GATED_DELTA_NET", WORK_INNER },
	{ "SOLVE_TRI", WORK_INNER },
	{ "LIGHTNING_INDEXER", WORK_INNER },
	{ "POOL_1D", WORK_WINDOW },
	{ "POOL_2D", WORK_WINDOW_2D },
	{ "POOL_2D_BACK", WORK_WINDOW_2D },
	{ "GROUP_NORM", WORK_GROUPS },
};

bool work_learn(struct work *w, const struct abi_symbols *fn, const char *value)
{
	char *end = NULL;

	for (int32_t op = 0; op < ABI_N_OPS; op++) {
		const char *name = fn->op_name(op);

		w->kinds[op] = WORK_EACH;
		for (size_t i = 0; name && i < ARRAY_SIZE(special); i++) {
			if (!strcmp(name, special[i].name))
				w->kinds[op] = (uint8_t)special[i].kind;
		}
	}
	w->most = WORK_DEFAULT;
	if (!value)
		return true;
	errno = 0;
	w->most = strtoull(value, &end, 10);
	return *value >= '0' && *value <= '9' && !*end && !errno && w->most > 0 && w->most <= WORK_MOST;
}

static uint64_t times(uint64_t a, uint64_t b)
{
	uint64_t r;

	return __builtin_mul_overflow(a, b, &r) ? UINT64_MAX : r;
}

static uint64_t more(uint64_t a, uint64_t b)
{
	return a > b ? a : b;
}

static uint64_t dim(const struct abi_tensor *t, int i)
{
	return t && t->ne[i] > 0 ? (uint64_t)t->ne[i] : 1;
}

/* The first n dimensions'; 0: there is no such tensor. An empty row counts as one: kernels go through all rows. */
static uint64_t elements(const struct abi_tensor *t, int n)
{
	uint64_t r = t ? 1 : 0;

	for (int i = 0; t && i < n; i++)
		r = times(r, dim(t, i));
	return r;
}

static uint64_t param(const struct abi_tensor *node, int i)
{
	return node->op_params[i] > 0 ? (uint64_t)node->op_params[i] : 1;
}

uint64_t work_add(const struct work *w, const struct abi_tensor *node, uint64_t sum)
{
	const struct abi_tensor *a = node->src[0], *b = node->src[1];
	uint64_t result = elements(node, ABI_DIMS), read = result, cost, rows, r;

	for (int s = 0; s < ABI_SRCS; s++)
		read = more(read, elements(node->src[s], ABI_DIMS));
	cost = times(read, EACH);
	switch (w->kinds[node->op]) {
	case WORK_INNER:
		cost = more(cost, times(result, dim(a, 0)));
		break;
	case WORK_OUTER:
		cost = more(cost, times(result, dim(a, 1)));
		break;
	case WORK_KERNEL:
		cost = more(cost, times(result, elements(a, ABI_DIMS - 1)));
		break;
	case WORK_KERNEL_ALL:
		cost = more(cost, times(more(result, elements(b, ABI_DIMS)), elements(a, ABI_DIMS)));
		break;
	case WORK_ATTENTION:
		rows = times(times(dim(a, 1), dim(a, 2)), dim(a, 3));
		cost = more(cost, times(times(rows, dim(b, 1)), dim(a, 0) + dim(node->src[2], 0)));
		break;
	case WORK_WINDOW:
		cost = more(cost, times(read, param(node, 1)));
		break;
	case WORK_WINDOW_2D:
		cost = more(cost, times(read, param(node, 1) * param(node, 2)));
		break;
	case WORK_GROUPS:
		cost = more(cost, times(times(param(node, 0), dim(node, 3)), EACH));
		break;
	default:
		break;
	}
	return __builtin_add_overflow(sum, cost, &r) ? UINT64_MAX : r;
}
