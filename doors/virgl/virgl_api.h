/* SPDX-License-Identifier: MIT */
/*
 * virglrenderer 1.x's interface towards a VMM, as far as this door reads it: numbers, structures, and every function
 * that the library exports. tests/lab compares it with the header that distributions ship. What the door only passes
 * on stays an incomplete type.
 */
#ifndef DOORS_VIRGL_VIRGL_API_H
#define DOORS_VIRGL_VIRGL_API_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/uio.h>

#define VIRGL_FLAG_EGL          (1 << 0)
#define VIRGL_FLAG_VENUS        (1 << 6)
#define VIRGL_FLAG_NO_VIRGL     (1 << 7)
#define VIRGL_FLAG_ASYNC_FENCES (1 << 8) /* fence callbacks come from any thread, at any time */

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

struct virgl_box;
struct virgl_renderer_resource_create_args;
struct virgl_renderer_resource_import_blob_args;

#define VIRGL_EXPORT __attribute__((visibility("default")))

/* clang-format off */
/* Every function of the library: X(type of result, its name behind virgl_, parameters). */
#define VIRGL_FUNCTIONS(X)                                                                                             \
	X(int, renderer_init, (void *cookie, int flags, struct virgl_renderer_callbacks *cb))                          \
	X(void, renderer_cleanup, (void *cookie))                                                                      \
	X(void, renderer_reset, (void))                                                                                \
	X(void, renderer_poll, (void))                                                                                 \
	X(int, renderer_get_poll_fd, (void))                                                                           \
	X(void, renderer_force_ctx_0, (void))                                                                          \
	X(int, renderer_execute, (void *args, uint32_t size))                                                          \
	X(void, renderer_get_cap_set, (uint32_t set, uint32_t *version, uint32_t *size))                               \
	X(void, renderer_fill_caps, (uint32_t set, uint32_t version, void *caps))                                      \
	X(int, renderer_context_create, (uint32_t ctx_id, uint32_t n, const char *name))                               \
	X(int, renderer_context_create_with_flags, (uint32_t ctx_id, uint32_t flags, uint32_t n, const char *name))    \
	X(void, renderer_context_destroy, (uint32_t ctx_id))                                                           \
	X(int, renderer_context_create_fence, (uint32_t ctx_id, uint32_t flags, uint32_t ring, uint64_t fence_id))     \
	X(void, renderer_context_poll, (uint32_t ctx_id))                                                              \
	X(int, renderer_context_get_poll_fd, (uint32_t ctx_id))                                                        \
	X(int, renderer_create_fence, (int fence_id, uint32_t ctx_id))                                                 \
	X(int, renderer_export_fence, (uint64_t fence_id, int *fd))                                                    \
	X(int, renderer_export_signalled_fence, (void))                                                                \
	X(int, renderer_attach_fence, (int ctx_id, int fd))                                                            \
	X(int, renderer_get_fence_fd, (uint64_t fence_id))                                                             \
	X(int, renderer_get_dev_fd, (int ctx_id))                                                                      \
	X(int, renderer_submit_cmd, (void *cmd, int ctx_id, int n_words))                                              \
	X(int, renderer_submit_cmd2, (void *cmd, int ctx_id, int n_words, uint64_t *fences, uint32_t n_fences))        \
	X(int, renderer_resource_create,                                                                               \
		(struct virgl_renderer_resource_create_args *args, struct iovec *iov, uint32_t n_iov))                 \
	X(int, renderer_resource_import_eglimage, (struct virgl_renderer_resource_create_args *args, void *image))     \
	X(int, renderer_resource_create_blob, (const struct virgl_renderer_resource_create_blob_args *args))           \
	X(int, renderer_resource_import_blob, (const struct virgl_renderer_resource_import_blob_args *args))           \
	X(int, renderer_resource_export_blob, (uint32_t res_id, uint32_t *fd_type, int *fd))                           \
	X(void, renderer_resource_unref, (uint32_t res_id))                                                            \
	X(int, renderer_resource_map, (uint32_t res_id, void **map, uint64_t *size))                                   \
	X(int, renderer_resource_map_fixed, (uint32_t res_id, void *addr))                                             \
	X(int, renderer_resource_unmap, (uint32_t res_id))                                                             \
	X(int, renderer_resource_get_map_info, (uint32_t res_id, uint32_t *info))                                      \
	X(int, renderer_resource_get_info, (int res_id, struct virgl_renderer_resource_info *info))                    \
	X(int, renderer_resource_get_info_ext, (int res_id, struct virgl_renderer_resource_info_ext *info))            \
	X(void, renderer_resource_set_priv, (uint32_t res_id, void *priv))                                             \
	X(void *, renderer_resource_get_priv, (uint32_t res_id))                                                       \
	X(int, renderer_resource_attach_iov, (int res_id, struct iovec *iov, int n_iov))                               \
	X(void, renderer_resource_detach_iov, (int res_id, struct iovec **iov, int *n_iov))                            \
	X(void, renderer_ctx_attach_resource, (int ctx_id, int res_id))                                                \
	X(void, renderer_ctx_detach_resource, (int ctx_id, int res_id))                                                \
	X(int, renderer_transfer_read_iov,                                                                             \
		(uint32_t res_id, uint32_t ctx_id, uint32_t level, uint32_t stride, uint32_t layer_stride,             \
			struct virgl_box *box, uint64_t offset, struct iovec *iov, int n_iov))                         \
	X(int, renderer_transfer_write_iov,                                                                            \
		(uint32_t res_id, uint32_t ctx_id, int level, uint32_t stride, uint32_t layer_stride,                  \
			struct virgl_box *box, uint64_t offset, struct iovec *iov, unsigned n_iov))                    \
	X(void *, renderer_get_cursor_data, (uint32_t res_id, uint32_t *width, uint32_t *height))                      \
	X(void, renderer_get_rect,                                                                                     \
		(int res_id, struct iovec *iov, unsigned n_iov, uint32_t offset, int x, int y, int width, int height)) \
	X(int, renderer_get_fd_for_texture, (uint32_t tex_id, int *fd))                                                \
	X(int, renderer_get_fd_for_texture2, (uint32_t tex_id, int *fd, int *stride, int *offset))                     \
	X(void *, set_debug_callback, (void *callback))                                                                \
	X(void, set_log_callback, (void *callback, void *user, void *free_user))
/* clang-format on */

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
