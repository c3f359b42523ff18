/* SPDX-License-Identifier: MIT */
/* The device's host buffer type, as ggml calls it: memory here, for the program's own use, that the host copies straight from
 * and to. */
#ifndef GUEST_SHARED_BUFFER_H
#define GUEST_SHARED_BUFFER_H

#include "guest/device.h"

void shared_buffer_init(struct device *dev);
/* NULL: it has none. */
union abi_buft *shared_buffer_type(struct device *dev);

#endif
