/* SPDX-License-Identifier: MIT */
#include "ggml-abi/written.h"

#include <string.h>

static_assert(ABI_SRCS <= 16, "a bit for each");

void abi_written_learn(const struct abi_symbols *s, uint16_t written[ABI_N_OPS])
{
	for (int32_t op = 0; op < ABI_N_OPS; op++)
		written[op] = strcmp(s->op_name(op), "OPT_STEP_ADAMW") == 0 ? 1u << 2 | 1u << 3 : 0; /* both moments */
}
