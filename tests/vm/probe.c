/* SPDX-License-Identifier: MIT */
/* Loads the plugin at GGML_BACKEND_PATH and nothing else, prints how many devices it has, and their names. */
#include <stdio.h>
#include <stdlib.h>

#include <ggml-backend.h>

int main(void)
{
	const char *path = getenv("GGML_BACKEND_PATH");
	ggml_backend_reg_t reg = path ? ggml_backend_load(path) : NULL;

	if (!reg) {
		fprintf(stderr, "probe: cannot load '%s'\n", path ? path : "");
		return 1;
	}
	printf("devices: %zu\n", ggml_backend_reg_dev_count(reg));
	for (size_t i = 0; i < ggml_backend_reg_dev_count(reg); i++)
		printf("  %s\n", ggml_backend_dev_name(ggml_backend_reg_dev_get(reg, i)));
	return 0;
}
