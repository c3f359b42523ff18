/* SPDX-License-Identifier: MIT */
/*
 * The APIR backend library's interface: what a hypervisor's APIR component (ours, or virglrenderer's) loads.
 * Source: llama.cpp's ggml-virtgpu, APIR 0.2.
 */
#ifndef BACKEND_APIR_BACKEND_H
#define BACKEND_APIR_BACKEND_H

#include <stdint.h>

/* Given by the host of the library; valid until apir_backend_deinit() of that context. */
struct apir_callbacks {
	/* The value of a configuration key, NULL where it isn't set. Our host also answers "apir.blob.<res_id>.size"
	 * (decimal bytes). The string stays valid until the next call for the same context. */
	const char *(*get_config)(uint32_t ctx_id, const char *key);
	/* Where the context's blob is mapped, NULL if it has no such blob. The guest can write there at any time. */
	void *(*get_shmem_ptr)(uint32_t ctx_id, uint32_t res_id);
};

/* Opens the GGML library of the context. Returns APIR_LOAD_INIT + enum apir_init_code, so success is 6, or an
 * enum apir_load_code below that. */
uint32_t apir_backend_initialize(uint32_t ctx_id, struct apir_callbacks *callbacks);

/* Frees all that the context has. Optional: upstream's library may lack it. */
void apir_backend_deinit(uint32_t ctx_id);

/* Executes one FORWARD command: reads arguments from [dec_cur, dec_end), which must be private memory of the
 * host, writes its reply to [enc_cur, enc_end) and stores the reply's end in *enc_cur_after. Returns an
 * enum apir_fn_code. Calls for one context must not overlap. */
uint32_t apir_backend_dispatcher(uint32_t ctx_id, struct apir_callbacks *callbacks, uint32_t function, char *dec_cur,
	const char *dec_end, char *enc_cur, const char *enc_end, char **enc_cur_after);

#endif
