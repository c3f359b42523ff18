/* SPDX-License-Identifier: MIT */
/*
 * The APIR component: contexts, blobs, configuration and log, behind every door.
 *
 * A door translates its own protocol (vhost-user, vtest, virglrenderer's API) into these calls. Everything is
 * non-blocking: commands go to the context's worker process and are answered in shared memory; the door learns
 * of finished fences and lost contexts through the listener, from within apir_dispatch(). One thread at a time
 * may be inside a struct apir.
 *
 * Functions return 0 or -errno unless they say otherwise. ctx_id and res_id are the door's own numbers, any
 * value but 0; they may come from a guest.
 */
#ifndef APIR_APIR_H
#define APIR_APIR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "apir/listener.h"

struct apir;

struct apir_limits {
	uint64_t blob_bytes; /* all blobs together; 0: default, three quarters of what the machine or our cgroup has */
	uint32_t blobs;    /* number; 0: default, as many of 16 KiB as those bytes hold, and half of our descriptors */
	uint32_t contexts; /* number; 0: default, 64 */
};

struct apir_options {
	const char *worker; /* path of ggml-virtgpu-worker; NULL: beside this program, else where it is installed */
	struct apir_limits limits;
};

/* *out is owned by the caller, apir_destroy() frees it and ends its workers. */
int apir_create(struct apir **out, const struct apir_options *opt, const struct apir_listener *l, void *user);
void apir_destroy(struct apir *a);

/* Sets a configuration key for one context, or, with ctx_id 0, for every context made from now on. Wins over the
 * environment. May come before the context exists; read when the library is loaded. Copies both strings. */
int apir_configure(struct apir *a, uint32_t ctx_id, const char *key, const char *value);

/* A pollable descriptor, readable when apir_dispatch() has work; owned by `a`. */
int apir_fd(const struct apir *a);
int apir_dispatch(struct apir *a);

/* Fills `data` (size bytes; zeros follow the capset) for capset 10, and for 4 where contexts of Venus are
 * APIR's; returns the capset's size, or -ENOENT. data may be NULL to ask for the size. */
int apir_capset(const struct apir *a, uint32_t capset_id, void *data, size_t size);
/* VIRGL_ROUTE_VENUS_TO_APIR is set, or apir_route_venus() was called. */
bool apir_routes_venus(const struct apir *a);
void apir_route_venus(struct apir *a);

/* name (may be NULL) is the guest program's, for the log. Starts the worker. -EEXIST, -EDQUOT, -ENOENT (no worker). */
int apir_context_create(struct apir *a, uint32_t ctx_id, const char *name);
void apir_context_destroy(struct apir *a, uint32_t ctx_id);

/* Makes a sealed memfd of `size` bytes (rounded up to a page), zeroed. -EDQUOT over the limits, or while what was given up
 * isn't gone. */
int apir_blob_create(struct apir *a, uint32_t res_id, uint64_t size);
/* Takes memory that somebody else made in as a blob: fd is duplicated. What could be shrunk under its users is sealed
 * first, or refused with -EPERM. */
int apir_blob_adopt(struct apir *a, uint32_t res_id, int fd);
/* The blob's memfd, borrowed, and its size in bytes (rounded); -ENOENT. */
int apir_blob_fd(const struct apir *a, uint32_t res_id, uint64_t *size);
/* Gives the blob to the context's worker, or takes it away; attaching twice is no error. */
int apir_blob_attach(struct apir *a, uint32_t ctx_id, uint32_t res_id);
int apir_blob_detach(struct apir *a, uint32_t ctx_id, uint32_t res_id);
/* Detaches it everywhere and drops the memfd. */
int apir_blob_unref(struct apir *a, uint32_t res_id);

/* Sends what was submitted. To be called when no more input is at hand, and always before the door sleeps: commands
 * come in bursts, and their worker is woken once for all of them. */
void apir_kick(struct apir *a);

/* Queues one command (copied, at most APIR_CMD_MAX bytes). The order per context is kept. A dead or unknown
 * context: -ENOENT; a guest that floods: -ENOBUFS, and the context is lost. */
int apir_submit(struct apir *a, uint32_t ctx_id, uint32_t ring, const void *cmd, size_t size);
/* Asks for fence_done(ctx_id, ring, fence_id) once everything submitted so far is done; on a dead context it is
 * reported by the next apir_dispatch(). -ENOENT: no such context, no report will come. -EINVAL: ring 2^32 - 2 is ours. */
int apir_fence(struct apir *a, uint32_t ctx_id, uint32_t ring, uint64_t fence_id);

#endif
