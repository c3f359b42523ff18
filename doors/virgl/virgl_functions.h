/* SPDX-License-Identifier: MIT */
/* Every function that virglrenderer 1.x exports: X(type of result, its name behind virgl_, parameters). */
#ifndef DOORS_VIRGL_VIRGL_FUNCTIONS_H
#define DOORS_VIRGL_VIRGL_FUNCTIONS_H

/* clang-format off */
#define VIRGL_FUNCTIONS(X)											 \
	X(int, renderer_init, (void *cookie, int flags, struct virgl_renderer_callbacks *cb))			 \
	X(void, renderer_cleanup, (void *cookie))								 \
	X(void, renderer_reset, (void))										 \
	X(void, renderer_poll, (void))										 \
	X(int, renderer_get_poll_fd, (void))									 \
	X(void, renderer_force_ctx_0, (void))									 \
	X(int, renderer_execute, (void *args, uint32_t size))							 \
	X(void, renderer_get_cap_set, (uint32_t set, uint32_t *version, uint32_t *size))			 \
	X(void, renderer_fill_caps, (uint32_t set, uint32_t version, void *caps))				 \
	X(int, renderer_context_create, (uint32_t ctx_id, uint32_t n, const char *name))			 \
	X(int, renderer_context_create_with_flags, (uint32_t ctx_id, uint32_t flags, uint32_t n, const char *name)) \
	X(void, renderer_context_destroy, (uint32_t ctx_id))							 \
	X(int, renderer_context_create_fence, (uint32_t ctx_id, uint32_t flags, uint32_t ring, uint64_t fence_id)) \
	X(void, renderer_context_poll, (uint32_t ctx_id))							 \
	X(int, renderer_context_get_poll_fd, (uint32_t ctx_id))							 \
	X(int, renderer_create_fence, (int fence_id, uint32_t ctx_id))						 \
	X(int, renderer_export_fence, (uint64_t fence_id, int *fd))						 \
	X(int, renderer_export_signalled_fence, (void))								 \
	X(int, renderer_attach_fence, (int ctx_id, int fd))							 \
	X(int, renderer_get_fence_fd, (uint64_t fence_id))							 \
	X(int, renderer_get_dev_fd, (int ctx_id))								 \
	X(int, renderer_submit_cmd, (void *cmd, int ctx_id, int n_words))					 \
	X(int, renderer_submit_cmd2, (void *cmd, int ctx_id, int n_words, uint64_t *fences, uint32_t n_fences))	 \
	X(int, renderer_resource_create,									 \
		(struct virgl_renderer_resource_create_args *args, struct iovec *iov, uint32_t n_iov))		 \
	X(int, renderer_resource_import_eglimage, (struct virgl_renderer_resource_create_args *args, void *image)) \
	X(int, renderer_resource_create_blob, (const struct virgl_renderer_resource_create_blob_args *args))	 \
	X(int, renderer_resource_import_blob, (const struct virgl_renderer_resource_import_blob_args *args))	 \
	X(int, renderer_resource_export_blob, (uint32_t res_id, uint32_t *fd_type, int *fd))			 \
	X(void, renderer_resource_unref, (uint32_t res_id))							 \
	X(int, renderer_resource_map, (uint32_t res_id, void **map, uint64_t *size))				 \
	X(int, renderer_resource_map_fixed, (uint32_t res_id, void *addr))					 \
	X(int, renderer_resource_unmap, (uint32_t res_id))							 \
	X(int, renderer_resource_get_map_info, (uint32_t res_id, uint32_t *info))				 \
	X(int, renderer_resource_get_info, (int res_id, struct virgl_renderer_resource_info *info))		 \
	X(int, renderer_resource_get_info_ext, (int res_id, struct virgl_renderer_resource_info_ext *info))	 \
	X(void, renderer_resource_set_priv, (uint32_t res_id, void *priv))					 \
	X(void *, renderer_resource_get_priv, (uint32_t res_id))						 \
	X(int, renderer_resource_attach_iov, (int res_id, struct iovec *iov, int n_iov))			 \
	X(void, renderer_resource_detach_iov, (int res_id, struct iovec **iov, int *n_iov))			 \
	X(void, renderer_ctx_attach_resource, (int ctx_id, int res_id))						 \
	X(void, renderer_ctx_detach_resource, (int ctx_id, int res_id))						 \
	X(int, renderer_transfer_read_iov,									 \
		(uint32_t res_id, uint32_t ctx_id, uint32_t level, uint32_t stride, uint32_t layer_stride,	 \
			struct virgl_box *box, uint64_t offset, struct iovec *iov, int n_iov))			 \
	X(int, renderer_transfer_write_iov,									 \
		(uint32_t res_id, uint32_t ctx_id, int level, uint32_t stride, uint32_t layer_stride,		 \
			struct virgl_box *box, uint64_t offset, struct iovec *iov, unsigned n_iov))		 \
	X(void *, renderer_get_cursor_data, (uint32_t res_id, uint32_t *width, uint32_t *height))		 \
	X(void, renderer_get_rect,										 \
		(int res_id, struct iovec *iov, unsigned n_iov, uint32_t offset, int x, int y, int width, int height)) \
	X(int, renderer_get_fd_for_texture, (uint32_t tex_id, int *fd))						 \
	X(int, renderer_get_fd_for_texture2, (uint32_t tex_id, int *fd, int *stride, int *offset))		 \
	X(virgl_debug_callback_type, set_debug_callback, (virgl_debug_callback_type callback))			 \
	X(void, set_log_callback,										 \
		(virgl_log_callback_type callback, void *user, virgl_free_data_callback_type free_user))
/* clang-format on */

#endif
