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

static uint64_t work_times(uint64_t a, uint64_t b)
{
	uint64_t r;

	return __builtin_mul_overflow(a, b, &r) ? UINT64_MAX : r;
}

static uint64_t work_max(uint64_t a, uint64_t b)
{
	return a > b ? a : b;
}

static uint64_t work_dim(const struct abi_tensor *t, int i)
{
	return t && t->ne[i] > 0 ? (uint64_t)t->ne[i] : 1;
}

/* The first n dimensions'; 0: there is no such tensor. An empty row counts as one: kernels go through all rows. */
static uint64_t work_elements(const struct abi_tensor *t, int n)
{
	uint64_t r = t ? 1 : 0;

	for (int i = 0; t && i < n; i++)
		r = work_times(r, work_dim(t, i));
	return r;
}

static uint64_t work_param(const struct abi_tensor *node, int i)
{
	return node->op_params[i] > 0 ? (uint64_t)node->op_params[i] : 1;
}

uint64_t work_add(const struct work *w, const struct abi_tensor *node, uint64_t sum)
{
	const struct abi_tensor *a = node->src[0], *b = node->src[1];
	uint64_t result = work_elements(node, ABI_DIMS), read = result, cost, rows, r;

	for (int s = 0; s < ABI_SRCS; s++)
		read = work_max(read, work_elements(node->src[s], ABI_DIMS));
	cost = work_times(read, EACH);
	switch (w->kinds[node->op]) {
	case WORK_INNER:
		cost = work_max(cost, work_times(result, work_dim(a, 0)));
		break;
	case WORK_OUTER:
		cost = work_max(cost, work_times(result, work_dim(a, 1)));
		break;
	case WORK_KERNEL:
		cost = work_max(cost, work_times(result, work_elements(a, ABI_DIMS - 1)));
		break;
	case WORK_KERNEL_ALL:
		cost = work_max(
			cost, work_times(work_max(result, work_elements(b, ABI_DIMS)), work_elements(a, ABI_DIMS)));
		break;
	case WORK_ATTENTION:
		rows = work_times(work_times(work_dim(a, 1), work_dim(a, 2)), work_dim(a, 3));
		cost = work_max(
			cost, work_times(work_times(rows, work_dim(b, 1)), work_dim(a, 0) + work_dim(node->src[2], 0)));
		break;
	case WORK_WINDOW:
		cost = work_max(cost, work_times(read, work_param(node, 1)));
		break;
	case WORK_WINDOW_2D:
		cost = work_max(cost, work_times(read, work_param(node, 1) * work_param(node, 2)));
		break;
	case WORK_GROUPS:
		cost = work_max(cost, work_times(work_times(work_param(node, 0), work_dim(node, 3)), EACH));
		break;
	default:
		break;
	}
	return __builtin_add_overflow(sum, cost, &r) ? UINT64_MAX : r;
}
