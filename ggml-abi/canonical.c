/* SPDX-License-Identifier: MIT */
/*
 * What APIR 0.2's numbers mean, and ours until names were told. The protocol itself doesn't say: its peers send their
 * ggml's own, and these are ggml 0.25's and 0.27's, which are the same.
 */
#include <string.h>

#include "ggml-abi/names.h"
#include "proto/util.h"

static const char *const ops[] = { "NONE", "DUP", "ADD", "ADD_ID", "ADD1", "ACC", "SUB", "MUL", "DIV", "SQR", "SQRT",
	"LOG", "SIN", "COS", "SUM", "SUM_ROWS", "CUMSUM", "MEAN", "ARGMAX", "COUNT_EQUAL", "REPEAT", "REPEAT_BACK",
	"CONCAT", "SILU_BACK", "NORM", "RMS_NORM", "RMS_NORM_BACK", "GROUP_NORM", "L2_NORM", "MUL_MAT", "MUL_MAT_ID",
	"OUT_PROD", "SCALE", "SET", "CPY", "CONT", "RESHAPE", "VIEW", "PERMUTE", "TRANSPOSE", "GET_ROWS",
	"GET_ROWS_BACK", "SET_ROWS", "DIAG", "DIAG_MASK_INF", "DIAG_MASK_ZERO", "SOFT_MAX", "SOFT_MAX_BACK", "ROPE",
	"ROPE_BACK", "CLAMP", "CONV_TRANSPOSE_1D", "IM2COL", "IM2COL_BACK", "IM2COL_3D", "COL2IM_1D", "CONV_2D",
	"CONV_3D", "CONV_2D_DW", "CONV_TRANSPOSE_2D", "POOL_1D", "POOL_2D", "POOL_2D_BACK", "UPSCALE", "PAD",
	"PAD_REFLECT_1D", "ROLL", "ARANGE", "TIMESTEP_EMBEDDING", "ARGSORT", "TOP_K", "LEAKY_RELU", "TRI", "FILL",
	"FLASH_ATTN_EXT", "FLASH_ATTN_BACK", "SSM_CONV", "SSM_SCAN", "WIN_PART", "WIN_UNPART", "GET_REL_POS",
	"ADD_REL_POS", "RWKV_WKV6", "GATED_LINEAR_ATTN", "RWKV_WKV7", "SOLVE_TRI", "GATED_DELTA_NET",
	"LIGHTNING_INDEXER", "DSV4_HC_COMB", "DSV4_HC_PRE", "DSV4_HC_POST", "UNARY", "MAP_CUSTOM1", "MAP_CUSTOM2",
	"MAP_CUSTOM3", "CUSTOM", "CROSS_ENTROPY_LOSS", "CROSS_ENTROPY_LOSS_BACK", "OPT_STEP_ADAMW", "OPT_STEP_SGD",
	"GLU" };

static const char *const unary[] = { "ABS", "SGN", "NEG", "STEP", "TANH", "ELU", "RELU", "SIGMOID", "GELU",
	"GELU_QUICK", "SILU", "HARDSWISH", "HARDSIGMOID", "EXP", "EXPM1", "SOFTPLUS", "GELU_ERF", "XIELU", "FLOOR",
	"CEIL", "ROUND", "TRUNC" };

static const char *const glu[] = { "REGLU", "GEGLU", "SWIGLU", "SWIGLU_OAI", "GEGLU_ERF", "GEGLU_QUICK",
	"SWIGLU_CLAMP" };

/* An empty name: no type has that number any more. */
static const struct abi_name types[] = { { "f32", 1, 4 }, { "f16", 1, 2 }, { "q4_0", 32, 18 }, { "q4_1", 32, 20 },
	{ "", 0, 0 }, { "", 0, 0 }, { "q5_0", 32, 22 }, { "q5_1", 32, 24 }, { "q8_0", 32, 34 }, { "q8_1", 32, 36 },
	{ "q2_K", 256, 84 }, { "q3_K", 256, 110 }, { "q4_K", 256, 144 }, { "q5_K", 256, 176 }, { "q6_K", 256, 210 },
	{ "q8_K", 256, 292 }, { "iq2_xxs", 256, 66 }, { "iq2_xs", 256, 74 }, { "iq3_xxs", 256, 98 },
	{ "iq1_s", 256, 50 }, { "iq4_nl", 32, 18 }, { "iq3_s", 256, 110 }, { "iq2_s", 256, 82 }, { "iq4_xs", 256, 136 },
	{ "i8", 1, 1 }, { "i16", 1, 2 }, { "i32", 1, 4 }, { "i64", 1, 8 }, { "f64", 1, 8 }, { "iq1_m", 256, 56 },
	{ "bf16", 1, 2 }, { "", 0, 0 }, { "", 0, 0 }, { "", 0, 0 }, { "tq1_0", 256, 54 }, { "tq2_0", 256, 66 },
	{ "", 0, 0 }, { "", 0, 0 }, { "", 0, 0 }, { "mxfp4", 32, 17 }, { "nvfp4", 64, 36 }, { "q1_0", 128, 18 },
	{ "q2_0", 64, 18 } };

static void list_fill(struct abi_names *names, enum abi_list list, const char *const *texts, uint32_t n)
{
	names->n[list] = n;
	for (uint32_t i = 0; i < n; i++)
		strcpy(names->names[list][i].text, texts[i]);
}

void abi_names_canonical(struct abi_names *names)
{
	*names = (struct abi_names){ 0 };
	list_fill(names, ABI_OPS, ops, ARRAY_SIZE(ops));
	list_fill(names, ABI_UNARY, unary, ARRAY_SIZE(unary));
	list_fill(names, ABI_GLU, glu, ARRAY_SIZE(glu));
	names->n[ABI_TYPES] = ARRAY_SIZE(types);
	memcpy(names->names[ABI_TYPES], types, sizeof types);
}
