/* SPDX-License-Identifier: MIT */
/*
 * doors/virgl's declarations against the header that distributions ship. Compiled twice: with REAL_HEADER it takes the
 * distribution's structures and numbers, else ours; both print one table, which must be the same. The functions' types
 * are compared by the compiler.
 */
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

#ifdef REAL_HEADER
#define VIRGL_RENDERER_UNSTABLE_APIS
#include <virgl/virglrenderer.h>

#include "doors/virgl/virgl_functions.h"

#define SAME_TYPE(type, name, params)                                                                                  \
	_Static_assert(__builtin_types_compatible_p(__typeof__(virgl_##name), type params), "virgl_" #name);
VIRGL_FUNCTIONS(SAME_TYPE)

#define VIRGL_FLAG_EGL            VIRGL_RENDERER_USE_EGL
#define VIRGL_FLAG_VENUS          VIRGL_RENDERER_VENUS
#define VIRGL_FLAG_NO_VIRGL       VIRGL_RENDERER_NO_VIRGL
#define VIRGL_FLAG_ASYNC_FENCES   VIRGL_RENDERER_ASYNC_FENCE_CB
#define VIRGL_FLAG_RENDER_SERVER  VIRGL_RENDERER_RENDER_SERVER
#define VIRGL_CALLBACKS_MAX       VIRGL_RENDERER_CALLBACKS_VERSION
#define VIRGL_CONTEXT_CAPSET_MASK VIRGL_RENDERER_CONTEXT_FLAG_CAPSET_ID_MASK
#define VIRGL_BLOB_MEM_HOST3D     VIRGL_RENDERER_BLOB_MEM_HOST3D
#define VIRGL_BLOB_FD_SHM         VIRGL_RENDERER_BLOB_FD_TYPE_SHM
#define VIRGL_MAP_CACHED          VIRGL_RENDERER_MAP_CACHE_CACHED
#else
#include "doors/virgl/virgl_api.h"
#endif

#define NUMBER(name)       printf(#name " %lld\n", (long long)(name))
#define SIZE(type)         printf("sizeof " #type " %zu\n", sizeof(struct type))
#define OFFSET(type, ours) printf(#type "." #ours " %zu\n", offsetof(struct type, ours))
#define CALLBACK(name)     OFFSET(virgl_renderer_callbacks, name)
#define BLOB(name)         OFFSET(virgl_renderer_resource_create_blob_args, name)

int main(void)
{
	NUMBER(VIRGL_FLAG_EGL);
	NUMBER(VIRGL_FLAG_VENUS);
	NUMBER(VIRGL_FLAG_NO_VIRGL);
	NUMBER(VIRGL_FLAG_ASYNC_FENCES);
	NUMBER(VIRGL_FLAG_RENDER_SERVER);
	NUMBER(VIRGL_CALLBACKS_MAX);
	NUMBER(VIRGL_CONTEXT_CAPSET_MASK);
	NUMBER(VIRGL_BLOB_MEM_HOST3D);
	NUMBER(VIRGL_BLOB_FD_SHM);
	NUMBER(VIRGL_MAP_CACHED);
	SIZE(virgl_renderer_callbacks);
	CALLBACK(write_fence);
	CALLBACK(create_gl_context);
	CALLBACK(destroy_gl_context);
	CALLBACK(make_current);
	CALLBACK(get_drm_fd);
	CALLBACK(write_context_fence);
	CALLBACK(get_server_fd);
	CALLBACK(get_egl_display);
	SIZE(virgl_renderer_resource_create_blob_args);
	BLOB(res_handle);
	BLOB(ctx_id);
	BLOB(blob_mem);
	BLOB(blob_flags);
	BLOB(blob_id);
	BLOB(size);
	BLOB(iovecs);
	BLOB(num_iovs);
	SIZE(virgl_renderer_resource_info);
	OFFSET(virgl_renderer_resource_info, handle);
	OFFSET(virgl_renderer_resource_info, tex_id);
	OFFSET(virgl_renderer_resource_info, drm_fourcc);
	OFFSET(virgl_renderer_resource_info, fd);
	SIZE(virgl_renderer_resource_info_ext);
	OFFSET(virgl_renderer_resource_info_ext, version);
	OFFSET(virgl_renderer_resource_info_ext, base);
	OFFSET(virgl_renderer_resource_info_ext, has_dmabuf_export);
	OFFSET(virgl_renderer_resource_info_ext, planes);
	OFFSET(virgl_renderer_resource_info_ext, modifiers);
	return 0;
}
