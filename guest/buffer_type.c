/* SPDX-License-Identifier: MIT */
/* The device's buffer type: what the host said of it once, and the sizes that it is asked for, remembered. */
#include "guest/guest.h"

#include <stdio.h>

static const char *buft_name(union abi_buft *buft)
{
	(void)buft;
	return plugin.device_name;
}

static struct abi_buffer *buft_alloc(union abi_buft *buft, size_t size)
{
	(void)buft;
	return buffer_new(size);
}

static size_t buft_alignment(union abi_buft *buft)
{
	(void)buft;
	return plugin.alignment;
}

static size_t buft_max_size(union abi_buft *buft)
{
	(void)buft;
	return plugin.max_size;
}

/* 0: the host doesn't say. */
static uint64_t host_alloc_size(const struct abi_tensor *t, size_t least)
{
	uint64_t size = 0;
	struct call c;

	call_begin(&c, &plugin.session, APIR_FN_BUFT_ALLOC_SIZE, "get_alloc_size");
	call_u64(&c, plugin.buft_handle);
	tensor_encode_raw(&c, t);
	if (call_run(&c) < 0 || !cursor_read_u64(&c.reply, &size) || size < least)
		size = 0;
	call_end(&c);
	return size;
}

/* Devices pad rows of quantised types, and some operations need memory behind their result: only the host knows. */
static size_t buft_alloc_size(union abi_buft *buft, const struct abi_tensor *t)
{
	size_t plain = plugin.fn.nbytes(t);
	struct signature sig;
	uint64_t size = 0;

	(void)buft;
	if (!session_alive(&plugin.session) || !session_enter())
		return plain;
	signature_make(&sig, t);
	if (!memo_get(&plugin.alloc_sizes, &sig, &size)) {
		size = host_alloc_size(t, plain);
		if (size)
			memo_put(&plugin.alloc_sizes, &sig, size);
	}
	session_leave();
	return size ? size : plain;
}

static bool buft_is_host(union abi_buft *buft)
{
	(void)buft;
	return false;
}

void buffer_type_setup(void)
{
	static const struct abi_buft_i iface = {
		.get_name = buft_name,
		.alloc_buffer = buft_alloc,
		.get_alignment = buft_alignment,
		.get_max_size = buft_max_size,
		.get_alloc_size = buft_alloc_size,
		.is_host = buft_is_host,
	};

	abi_buft_init(&plugin.buft, plugin.api, &iface, &plugin.device, NULL);
}
