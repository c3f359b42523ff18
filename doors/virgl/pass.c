/* SPDX-License-Identifier: MIT */
/*
 * What never concerns APIR goes to the real library as it is; without it, it is refused. A blob of ours is unknown there,
 * which is the right answer where a picture is asked for.
 */
#include <errno.h>
#include <stddef.h>

#include "doors/virgl/fences.h"
#include "doors/virgl/real.h"

#define PASS(type, name, params, args, otherwise)                                                                      \
	type virgl_##name params                                                                                       \
	{                                                                                                              \
		fences_note_submit(0);                                                                                 \
		return real()->name ? real()->name args : (otherwise);                                                 \
	}
#define PASS_VOID(name, params, args)                                                                                  \
	void virgl_##name params                                                                                       \
	{                                                                                                              \
		fences_note_submit(0);                                                                                 \
		if (real()->name)                                                                                      \
			real()->name args;                                                                             \
	}

/* clang-format off */
PASS_VOID(renderer_force_ctx_0, (void), ())
PASS(int, renderer_execute, (void *args, uint32_t size), (args, size), -EINVAL)
PASS(int, renderer_export_fence, (uint64_t fence_id, int *fd), (fence_id, fd), -EINVAL)
PASS(int, renderer_export_signalled_fence, (void), (), -1)
PASS(int, renderer_attach_fence, (int ctx_id, int fd), (ctx_id, fd), -EINVAL)
PASS(int, renderer_get_fence_fd, (uint64_t fence_id), (fence_id), -1)
PASS(int, renderer_get_dev_fd, (int ctx_id), (ctx_id), -1)
PASS(int, renderer_resource_create, (struct virgl_renderer_resource_create_args *args, struct iovec *iov, uint32_t n_iov),
	(args, iov, n_iov), EINVAL)
PASS(int, renderer_resource_import_eglimage, (struct virgl_renderer_resource_create_args *args, void *image),
	(args, image), EINVAL)
PASS(int, renderer_resource_import_blob, (const struct virgl_renderer_resource_import_blob_args *args), (args), -EINVAL)
PASS_VOID(renderer_resource_set_priv, (uint32_t res_id, void *priv), (res_id, priv))
PASS(void *, renderer_resource_get_priv, (uint32_t res_id), (res_id), NULL)
PASS(int, renderer_resource_attach_iov, (int res_id, struct iovec *iov, int n_iov), (res_id, iov, n_iov), EINVAL)
PASS(int, renderer_transfer_read_iov, (uint32_t res_id, uint32_t ctx_id, uint32_t level, uint32_t stride,
	uint32_t layer_stride, struct virgl_box *box, uint64_t offset, struct iovec *iov, int n_iov),
	(res_id, ctx_id, level, stride, layer_stride, box, offset, iov, n_iov), EINVAL)
PASS(int, renderer_transfer_write_iov, (uint32_t res_id, uint32_t ctx_id, int level, uint32_t stride, uint32_t layer_stride,
	struct virgl_box *box, uint64_t offset, struct iovec *iov, unsigned n_iov),
	(res_id, ctx_id, level, stride, layer_stride, box, offset, iov, n_iov), EINVAL)
PASS(void *, renderer_get_cursor_data, (uint32_t res_id, uint32_t *width, uint32_t *height), (res_id, width, height), NULL)
PASS_VOID(renderer_get_rect, (int res_id, struct iovec *iov, unsigned n_iov, uint32_t offset, int x, int y, int width, int height),
	(res_id, iov, n_iov, offset, x, y, width, height))
PASS(int, renderer_get_fd_for_texture, (uint32_t tex_id, int *fd), (tex_id, fd), -1)
PASS(int, renderer_get_fd_for_texture2, (uint32_t tex_id, int *fd, int *stride, int *offset), (tex_id, fd, stride, offset), -1)
PASS(virgl_debug_callback_type, set_debug_callback, (virgl_debug_callback_type callback), (callback), NULL)
PASS_VOID(set_log_callback, (virgl_log_callback_type callback, void *user, virgl_free_data_callback_type free_user),
	(callback, user, free_user))
/* clang-format on */

/* Without the real library the VMM has nothing attached; it must not read what it didn't write. */
void virgl_renderer_resource_detach_iov(int res_id, struct iovec **iov, int *n_iov)
{
	fences_note_submit(0);
	if (iov)
		*iov = NULL;
	if (n_iov)
		*n_iov = 0;
	if (real()->renderer_resource_detach_iov)
		real()->renderer_resource_detach_iov(res_id, iov, n_iov);
}
