/* SPDX-License-Identifier: MIT */
/* See abi.h. */
#include "ggml-abi/abi.h"

void abi_buft_init(union abi_buft *buft, enum abi_version api, const struct abi_buft_i *iface,
	struct abi_device *device, void *context)
{
	if (api == ABI_API_2) {
		buft->v2 = (struct abi_buft_2){ .iface = *iface, .device = device, .context = context };
		return;
	}
	buft->v3 = (struct abi_buft_3){
		.get_name = iface->get_name,
		.alloc_buffer = iface->alloc_buffer,
		.get_alignment = iface->get_alignment,
		.get_max_size = iface->get_max_size,
		.get_alloc_size = iface->get_alloc_size,
		.is_host = iface->is_host,
		.device = device,
		.context = context,
	};
}

void *abi_buft_context(const union abi_buft *buft, enum abi_version api)
{
	return api == ABI_API_2 ? buft->v2.context : buft->v3.context;
}

bool abi_tensor_extent(
	const int64_t ne[ABI_DIMS], const size_t nb[ABI_DIMS], int64_t blck, size_t type_size, size_t *bytes)
{
	size_t sum, add;
	int first = 0;

	for (int i = 0; i < ABI_DIMS; i++) {
		if (ne[i] < 0)
			return false;
	}
	for (int i = 0; i < ABI_DIMS; i++) {
		if (ne[i] == 0) {
			*bytes = 0;
			return true;
		}
	}
	if (blck == 1) {
		sum = type_size;
	} else {
		if (__builtin_mul_overflow((size_t)ne[0], nb[0], &sum))
			return false;
		sum /= (size_t)blck;
		first = 1;
	}
	for (int i = first; i < ABI_DIMS; i++) {
		if (__builtin_mul_overflow((size_t)(ne[i] - 1), nb[i], &add) || __builtin_add_overflow(sum, add, &sum))
			return false;
	}
	*bytes = sum;
	return true;
}
