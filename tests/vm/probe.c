/* SPDX-License-Identifier: MIT */
/* Loads the plugin at GGML_BACKEND_PATH and nothing else, prints how many devices it has, and their names; probe FILE: to
 * that file, and what the program has open, for where stdout is closed. */
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <ggml-backend.h>

#define FDS 64

static char links[FDS][256];

static void descriptors_look(void)
{
	for (int fd = 0; fd < FDS; fd++) {
		char path[32];

		snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
		if (readlink(path, links[fd], sizeof links[fd] - 1) < 0)
			links[fd][0] = '\0';
	}
}

int main(int argc, char **argv)
{
	const char *path = getenv("GGML_BACKEND_PATH");
	ggml_backend_reg_t reg = path ? ggml_backend_load(path) : NULL;

	if (!reg) {
		fprintf(stderr, "probe: cannot load '%s'\n", path ? path : "");
		return 1;
	}
	descriptors_look();
	if (argc > 1 && !freopen(argv[1], "w", stdout))
		return 1;
	printf("devices: %zu\n", ggml_backend_reg_dev_count(reg));
	for (size_t i = 0; i < ggml_backend_reg_dev_count(reg); i++)
		printf("  %s\n", ggml_backend_dev_name(ggml_backend_reg_dev_get(reg, i)));
	for (int fd = 0; argc > 1 && fd < FDS; fd++) {
		if (links[fd][0])
			printf("descriptor %d: %s\n", fd, links[fd]);
	}
	return 0;
}
