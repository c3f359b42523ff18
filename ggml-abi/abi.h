/* SPDX-License-Identifier: MIT */
/*
 * Our own declarations of what we use of ggml's ABI, so that neither library needs ggml at build time and one
 * binary serves every version that we know. Source: ggml's public headers and the slots that the shipped
 * binaries call (API 2: ggml 0.21 to 0.25, API 3: ggml 0.27); tests/abi/ compares with the real headers.
 *
 * Opaque to us: graphs, contexts. Sizes are in bytes.
 */
#ifndef GGML_ABI_ABI_H
#define GGML_ABI_ABI_H

#include <assert.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define ABI_DIMS    4
#define ABI_SRCS    10
#define ABI_NAME    64
#define ABI_PARAMS  16
#define ABI_OBJECT  32  /* what a context adds to each tensor */
#define ABI_N_OPS   101 /* names 0..100 exist in every version that we know */
#define ABI_N_TYPES 43
#define ABI_N_UNARY 22
#define ABI_N_GLU   7
#define ABI_TYPE_I8 24

enum abi_version { ABI_API_2 = 2, ABI_API_3 = 3 };

enum abi_status {
	ABI_STATUS_ALLOC_FAILED = -2,
	ABI_STATUS_FAILED = -1,
	ABI_STATUS_SUCCESS = 0,
	ABI_STATUS_ABORTED = 1
};
enum abi_dev_type { ABI_DEV_CPU = 0, ABI_DEV_GPU = 1, ABI_DEV_IGPU = 2, ABI_DEV_ACCEL = 3 };
enum abi_usage { ABI_USAGE_ANY = 0, ABI_USAGE_WEIGHTS = 1, ABI_USAGE_COMPUTE = 2 };
enum abi_log_level { ABI_LOG_NONE, ABI_LOG_DEBUG, ABI_LOG_INFO, ABI_LOG_WARN, ABI_LOG_ERROR, ABI_LOG_CONT };

struct abi_buffer;
struct abi_graph;
struct abi_context;
union abi_buft;

struct abi_tensor {
	int32_t type;
	struct abi_buffer *buffer;
	int64_t ne[ABI_DIMS]; /* elements */
	size_t nb[ABI_DIMS];  /* strides, bytes */
	int32_t op;
	int32_t op_params[ABI_PARAMS];
	int32_t flags;
	struct abi_tensor *src[ABI_SRCS];
	struct abi_tensor *view_src;
	size_t view_offs;
	void *data;
	char name[ABI_NAME];
	void *extra;
	char padding[8];
};
static_assert(sizeof(struct abi_tensor) == 336, "ggml_tensor");

struct abi_reg {
	int32_t api_version;
	const char *(*get_name)(struct abi_reg *);
	size_t (*get_device_count)(struct abi_reg *);
	struct abi_device *(*get_device)(struct abi_reg *, size_t);
	void *(*get_proc_address)(struct abi_reg *, const char *);
	void *context;
};
static_assert(sizeof(struct abi_reg) == 0x30, "ggml_backend_reg");

struct abi_props {
	const char *name, *description;
	size_t memory_free, memory_total;
	int32_t type;
	const char *device_id;
	bool async, host_buffer, buffer_from_host_ptr, events, mmap_support;
};
static_assert(offsetof(struct abi_props, async) == 0x30, "ggml_backend_dev_props");

struct abi_device {
	const char *(*get_name)(struct abi_device *);
	const char *(*get_description)(struct abi_device *);
	void (*get_memory)(struct abi_device *, size_t *, size_t *);
	int32_t (*get_type)(struct abi_device *);
	void (*get_props)(struct abi_device *, struct abi_props *);
	struct abi_backend *(*init_backend)(struct abi_device *, const char *);
	union abi_buft *(*get_buffer_type)(struct abi_device *);
	union abi_buft *(*get_host_buffer_type)(struct abi_device *);
	struct abi_buffer *(*buffer_from_host_ptr)(struct abi_device *, void *, size_t, size_t);
	bool (*supports_op)(struct abi_device *, const struct abi_tensor *);
	bool (*supports_buft)(struct abi_device *, union abi_buft *);
	bool (*offload_op)(struct abi_device *, const struct abi_tensor *);
	void *(*event_new)(struct abi_device *);
	void (*event_free)(struct abi_device *, void *);
	void (*event_synchronize)(struct abi_device *, void *);
	struct abi_reg *reg;
	void *context;
};
static_assert(offsetof(struct abi_device, reg) == 0x78, "ggml_backend_device");

/* The slots in API 2's order; API 3 has two more, which we leave NULL: ggml then sums what the plain ones say. */
struct abi_buft_i {
	const char *(*get_name)(union abi_buft *);
	struct abi_buffer *(*alloc_buffer)(union abi_buft *, size_t);
	size_t (*get_alignment)(union abi_buft *);
	size_t (*get_max_size)(union abi_buft *);
	size_t (*get_alloc_size)(union abi_buft *, const struct abi_tensor *);
	bool (*is_host)(union abi_buft *);
};

struct abi_buft_2 {
	struct abi_buft_i iface;
	struct abi_device *device;
	void *context;
};
static_assert(offsetof(struct abi_buft_2, device) == 0x30, "ggml_backend_buffer_type, API 2");

struct abi_buft_3 {
	const char *(*get_name)(union abi_buft *);
	struct abi_buffer *(*alloc_buffer)(union abi_buft *, size_t);
	struct abi_buffer *(*alloc_buffer_n)(union abi_buft *, struct abi_tensor **, int);
	size_t (*get_alignment)(union abi_buft *);
	size_t (*get_max_size)(union abi_buft *);
	size_t (*get_alloc_size)(union abi_buft *, const struct abi_tensor *);
	size_t (*get_alloc_size_n)(union abi_buft *, struct abi_tensor **, int);
	bool (*is_host)(union abi_buft *);
	struct abi_device *device;
	void *context;
};
static_assert(offsetof(struct abi_buft_3, device) == 0x40, "ggml_backend_buffer_type, API 3");

union abi_buft {
	struct abi_buft_2 v2;
	struct abi_buft_3 v3;
};

struct abi_buffer_i {
	void (*free_buffer)(struct abi_buffer *);
	void *(*get_base)(struct abi_buffer *);
	int32_t (*init_tensor)(struct abi_buffer *, struct abi_tensor *);
	void (*memset_tensor)(struct abi_buffer *, struct abi_tensor *, uint8_t, size_t, size_t);
	void (*set_tensor)(struct abi_buffer *, struct abi_tensor *, const void *, size_t, size_t);
	void (*get_tensor)(struct abi_buffer *, const struct abi_tensor *, void *, size_t, size_t);
	void (*set_tensor_2d)(
		struct abi_buffer *, struct abi_tensor *, const void *, size_t, size_t, size_t, size_t, size_t);
	void (*get_tensor_2d)(
		struct abi_buffer *, const struct abi_tensor *, void *, size_t, size_t, size_t, size_t, size_t);
	bool (*cpy_tensor)(struct abi_buffer *, const struct abi_tensor *, struct abi_tensor *);
	void (*clear)(struct abi_buffer *, uint8_t);
	void (*reset)(struct abi_buffer *);
};

/* Made only by ggml's ggml_backend_buffer_init(), freed only by its ggml_backend_buffer_free(). */
struct abi_buffer {
	struct abi_buffer_i iface;
	union abi_buft *buft;
	void *context;
	size_t size;
	int32_t usage;
};
static_assert(offsetof(struct abi_buffer, buft) == 0x58, "ggml_backend_buffer");

/* The tensor keeps its memory until that node has been computed. */
struct abi_optimize_params {
	void (*add_alloc_dep)(void *user_data, struct abi_tensor *tensor, struct abi_tensor *until);
	void *user_data;
};

struct abi_backend_i {
	const char *(*get_name)(struct abi_backend *);
	void (*free)(struct abi_backend *);
	void (*set_tensor_async)(struct abi_backend *, struct abi_tensor *, const void *, size_t, size_t);
	void (*get_tensor_async)(struct abi_backend *, const struct abi_tensor *, void *, size_t, size_t);
	void (*set_tensor_2d_async)(void);
	void (*get_tensor_2d_async)(void);
	bool (*cpy_tensor_async)(
		struct abi_backend *, struct abi_backend *, const struct abi_tensor *, struct abi_tensor *);
	void (*synchronize)(struct abi_backend *);
	void (*graph_plan_create)(void);
	void (*graph_plan_free)(void);
	void (*graph_plan_update)(void);
	void (*graph_plan_compute)(void);
	int32_t (*graph_compute)(struct abi_backend *, struct abi_graph *);
	void (*event_record)(struct abi_backend *, void *);
	void (*event_wait)(struct abi_backend *, void *);
	/* Older ones take two arguments, and don't see a third: optimize.h. */
	void (*graph_optimize)(struct abi_backend *, struct abi_graph *, struct abi_optimize_params *);
};

struct abi_backend {
	const uint8_t *guid; /* 16 bytes */
	struct abi_backend_i iface;
	struct abi_device *device;
	void *context;
};
static_assert(offsetof(struct abi_backend, device) == 0x88, "ggml_backend");

struct abi_event {
	struct abi_device *device;
	void *context;
};

struct abi_init_params {
	size_t mem_size;
	void *mem_buffer;
	bool no_alloc;
};

/* Lays out a buffer type as the given API has it; iface's slots may be NULL where ggml allows it. */
void abi_buft_init(union abi_buft *buft, enum abi_version api, const struct abi_buft_i *iface,
	struct abi_device *device, void *context);
void *abi_buft_context(const union abi_buft *buft, enum abi_version api);

/* Bytes from a tensor's first to its last element by its shape and strides, as ggml_nbytes() counts them.
 * False when a dimension is negative or the sum doesn't fit in 64 bits. blck and type_size are the type's. */
bool abi_tensor_extent(
	const int64_t ne[ABI_DIMS], const size_t nb[ABI_DIMS], int64_t blck, size_t type_size, size_t *bytes);

#endif
