/* SPDX-License-Identifier: MIT */
/* The type of a device's buffers, as ggml has it. */
#ifndef GUEST_BUFFER_TYPE_H
#define GUEST_BUFFER_TYPE_H

#include "guest/device.h"

/* Makes dev->buft. */
void buffer_type_init(struct device *dev);

#endif
