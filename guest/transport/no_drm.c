/* SPDX-License-Identifier: MIT */
/* Stands in for drm.c on systems that have no virtio-gpu render nodes. */
#include "guest/transport/transport.h"

#include <errno.h>
#include <stdio.h>

int transport_drm_open(struct transport **out, int use_apir_capset, char *err, size_t err_size)
{
	(void)out;
	(void)use_apir_capset;
	snprintf(err, err_size, "this system has no virtio-gpu render nodes: set GGML_VIRTGPU_SOCKET");
	return -ENODEV;
}
