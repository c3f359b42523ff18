/* SPDX-License-Identifier: MIT */
/* A stream (ggml's "backend"). */
#ifndef GUEST_STREAM_H
#define GUEST_STREAM_H

struct abi_backend;
struct abi_device;

/* ggml's init_backend of a device of ours. */
struct abi_backend *stream_new(struct abi_device *device, const char *params);

#endif
