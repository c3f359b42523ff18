/* SPDX-License-Identifier: MIT */
/* Events as ggml has them: how far the order of commands has come. All streams have the same order, so none waits for another. */
#ifndef GUEST_EVENT_H
#define GUEST_EVENT_H

#include "ggml-abi/abi.h"

/* The slots of devices and streams. */
void *event_new(struct abi_device *object);
void event_free(struct abi_device *object, void *event);
void event_synchronize(struct abi_device *object, void *event);
void event_record(struct abi_backend *object, void *event);
void event_wait(struct abi_backend *object, void *event);

#endif
