/* SPDX-License-Identifier: MIT */
/* The function that counters.h promises. */
#ifndef GUEST_DEVICE_COUNTERS_H
#define GUEST_DEVICE_COUNTERS_H

#include "guest/counters.h"

bool device_counters(struct ggml_backend_device *object, struct ggml_backend_virtgpu_counters *out);

#endif
