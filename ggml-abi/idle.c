/* SPDX-License-Identifier: MIT */
#include "ggml-abi/idle.h"

#include <string.h>

void abi_idle_learn(const struct abi_symbols *s, bool idle[ABI_N_OPS])
{
	static const char *const names[] = { "NONE", "VIEW", "RESHAPE", "PERMUTE", "TRANSPOSE" };

	for (int32_t op = 0; op < ABI_N_OPS; op++) {
		const char *name = s->op_name(op);

		idle[op] = false;
		for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
			idle[op] |= !strcmp(name, names[i]);
	}
}
