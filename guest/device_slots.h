/* SPDX-License-Identifier: MIT */
/* A device as ggml has it. */
#ifndef GUEST_DEVICE_SLOTS_H
#define GUEST_DEVICE_SLOTS_H

#include "guest/device.h"

/* Makes dev->object, which belongs to the registry. */
void device_slots_init(struct device *dev, struct abi_reg *reg);

#endif
