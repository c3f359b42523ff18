/* SPDX-License-Identifier: MIT */
/* See pinner.h. */
#include "backend/pinner.h"

#include <stdlib.h>
#include <string.h>

const struct pinner *pinner_for(const char *reg_name, const char *device_name)
{
	size_t n = strlen(reg_name);

	/* ggml numbers its devices as the driver does. */
	if (!strcmp(reg_name, "CUDA") && !strncmp(device_name, reg_name, n) && device_name[n] >= '0' &&
		device_name[n] <= '9')
		return pinner_cuda(atoi(device_name + n));
	return NULL;
}
