/* SPDX-License-Identifier: MIT */
/*
 * An APIR backend library that never starts: its initialise answers the number in the key "fake.code" (none: 0, which
 * no working library answers). Built with HALF it lacks the dispatcher.
 */
#include <stdint.h>
#include <stdlib.h>

#include "backend/apir_backend.h"

#define EXPORT __attribute__((visibility("default")))

EXPORT uint32_t apir_backend_initialize(uint32_t ctx_id, struct apir_callbacks *callbacks)
{
	const char *code = callbacks->get_config(ctx_id, "fake.code");

	return code ? (uint32_t)strtoul(code, NULL, 10) : 0;
}

EXPORT void apir_backend_deinit(uint32_t ctx_id)
{
	(void)ctx_id;
}

#ifndef HALF
EXPORT uint32_t apir_backend_dispatcher(uint32_t ctx_id, struct apir_callbacks *callbacks, uint32_t function,
	char *dec_cur, const char *dec_end, char *enc_cur, const char *enc_end, char **enc_cur_after)
{
	(void)ctx_id, (void)callbacks, (void)function, (void)dec_cur, (void)dec_end, (void)enc_end;
	*enc_cur_after = enc_cur;
	return 0;
}
#endif
