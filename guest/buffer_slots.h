/* SPDX-License-Identifier: MIT */
/* Buffers as ggml has them. */
#ifndef GUEST_BUFFER_SLOTS_H
#define GUEST_BUFFER_SLOTS_H

#include "guest/device.h"

/* Makes a buffer of the host's, NULL when it has no memory. */
struct abi_buffer *buffer_new(struct device *dev, size_t size);

#endif
