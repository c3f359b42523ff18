/* SPDX-License-Identifier: MIT */
/*
 * virglrenderer 1.x's interface towards a VMM, as far as this door reads it: numbers and structures; the functions are in
 * virgl_functions.h. What the door only passes on stays an incomplete type. tests/virgl/header.c compares both with the
 * header that distributions ship.
 */
#ifndef DOORS_VIRGL_VIRGL_API_H
#define DOORS_VIRGL_VIRGL_API_H

#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/uio.h>

#include "doors/virgl/virgl_functions.h"

#define VIRGL_FLAG_EGL           (1 << 0)
#define VIRGL_FLAG_VENUS         (1 << 6)
#define VIRGL_FLAG_NO_VIRGL      (1 << 7)
#define VIRGL_FLAG_ASYNC_FENCES  (1 << 8) /* fence callbacks come from any thread, at any time */
#define VIRGL_FLAG_RENDER_SERVER (1 << 9)

#define VIRGL_CALLBACKS_MAX            4 /* the newest version that we know */
#define VIRGL_CALLBACKS_CONTEXT_FENCES 3 /* the first that has write_context_fence */

struct virgl_renderer_callbacks {
	int version;
	void (*write_fence)(void *cookie, uint32_t fence);
	void *(*create_gl_context)(void *cookie, int scanout, void *param);
	void (*destroy_gl_context)(void *cookie, void *context);
	int (*make_current)(void *cookie, int scanout, void *context);
	int (*get_drm_fd)(void *cookie);                                                              /* 2 */
	void (*write_context_fence)(void *cookie, uint32_t ctx_id, uint32_t ring, uint64_t fence_id); /* 3 */
	int (*get_server_fd)(void *cookie, uint32_t version);                                         /* 3 */
	void *(*get_egl_display)(void *cookie);                                                       /* 4 */
};

#define VIRGL_CONTEXT_CAPSET_MASK 0xffu /* of the flags that a context is made with */
#define VIRGL_CAPSET_VIRGL2       2u

#define VIRGL_BLOB_MEM_HOST3D 2u
#define VIRGL_BLOB_FD_SHM     3u
#define VIRGL_MAP_CACHED      1u

struct virgl_renderer_resource_create_blob_args {
	uint32_t res_handle;
	uint32_t ctx_id;
	uint32_t blob_mem;
	uint32_t blob_flags;
	uint64_t blob_id;
	uint64_t size; /* bytes */
	const struct iovec *iovecs;
	uint32_t num_iovs;
};

struct virgl_renderer_resource_info {
	uint32_t handle;
	uint32_t format, width, height, depth, flags, tex_id, stride; /* of a picture */
	int drm_fourcc;
	int fd; /* borrowed; -1: none */
};

struct virgl_renderer_resource_info_ext {
	int version;
	struct virgl_renderer_resource_info base;
	bool has_dmabuf_export;
	int planes;
	uint64_t modifiers;
	void *d3d_texture;
};

enum virgl_log_level_flags { VIRGL_LOG_DEBUG };
typedef void (*virgl_debug_callback_type)(const char *format, va_list args);
typedef void (*virgl_log_callback_type)(enum virgl_log_level_flags level, const char *message, void *user);
typedef void (*virgl_free_data_callback_type)(void *user);

struct virgl_box;
struct virgl_renderer_resource_create_args;
struct virgl_renderer_resource_import_blob_args;

#define VIRGL_EXPORT __attribute__((visibility("default")))

#define VIRGL_DECLARE(type, name, params) VIRGL_EXPORT type virgl_##name params;
VIRGL_FUNCTIONS(VIRGL_DECLARE)
#undef VIRGL_DECLARE

/*
 * Ours: sets a configuration key for one context, or, with ctx_id 0, for every context made from now on; wins over the
 * environment, and is read when the context's libraries are loaded. May come before virgl_renderer_init(). Copies both
 * strings. 0 or -errno.
 */
VIRGL_EXPORT int virgl_apir_configure_kv(uint32_t ctx_id, const char *key, const char *value);

#endif
