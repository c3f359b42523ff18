/* SPDX-License-Identifier: MIT */
/* See loading.h. */
#include "guest/loading.h"

#include <errno.h>
#include <stdio.h>

#define LOADING_MS 120000

/* LOADLIBRARY's codes, in words and with what to look at on the host. */
struct load_error {
	int64_t code;
	const char *text, *check;
};

#define BACKEND_ENV "VIRGL_APIR_BACKEND_LIBRARY"
#define PATH_ENV    "APIR_LLAMA_CPP_GGML_LIBRARY_PATH"
#define REG_ENV     "APIR_LLAMA_CPP_GGML_LIBRARY_REG"
#define INIT_ENV    "APIR_LLAMA_CPP_GGML_LIBRARY_INIT"

/* The APIR backend library, by the hypervisor; the GGML library, by the APIR backend library; then what became of it. */
#define BY_BACKEND(code) (APIR_LOAD_INIT + (code))
#define BY_GGML(code)    (2 * APIR_LOAD_INIT + (code))

static const struct load_error *load_error(int64_t code)
{
	static const struct load_error errors[] = {
		{ APIR_LOAD_HYPERCALL, "the hypervisor could not start the call", BACKEND_ENV },
		{ APIR_LOAD_ALREADY, "the library was loaded already", BACKEND_ENV },
		{ APIR_LOAD_ENV_MISSING, "a variable or key is missing", BACKEND_ENV },
		{ APIR_LOAD_CANNOT_OPEN, "it cannot be opened", BACKEND_ENV },
		{ APIR_LOAD_SYMBOL_MISSING, "a symbol is missing", BACKEND_ENV },
		{ BY_BACKEND(APIR_LOAD_ENV_MISSING), "a variable or key is missing", PATH_ENV ", " REG_ENV },
		{ BY_BACKEND(APIR_LOAD_CANNOT_OPEN), "it cannot be opened", PATH_ENV },
		{ BY_BACKEND(APIR_LOAD_SYMBOL_MISSING), "a symbol is missing", REG_ENV ", " INIT_ENV },
		{ BY_GGML(APIR_INIT_FAILED), "its backend failed", PATH_ENV },
		{ BY_GGML(APIR_INIT_NO_REG), "its registration function returned nothing", PATH_ENV },
		{ BY_GGML(APIR_INIT_ALREADY), "it is in use already", BACKEND_ENV },
		{ BY_GGML(APIR_INIT_NO_DEVICE), "it offers no such device", PATH_ENV ", ggml.devices" },
		{ BY_GGML(APIR_INIT_NO_BACKEND), "its device could not be initialised", INIT_ENV ", ggml.threads" },
		{ BY_GGML(APIR_INIT_BAD_ABI), "its ggml version is not supported", PATH_ENV },
		{ BY_GGML(APIR_INIT_NO_MEMORY), "out of memory", PATH_ENV },
		{ -1, "unknown code", BACKEND_ENV },
	};
	const struct load_error *e = errors;

	while (e->code != code && e->code != -1)
		e++;
	return e;
}

int loading_run(struct channel *c, char *err, size_t err_size)
{
	uint8_t cmd[APIR_CMD_HEADER_SIZE];
	size_t n = channel_header(c, cmd, APIR_LOADLIBRARY, 0, &c->reply);
	int64_t code = channel_run(c, cmd, n, CHANNEL_LATE, LOADING_MS);
	const char *where = c->pulse->connection->transport->where;
	/* whose trouble it is, and its number there */
	bool backend = code < APIR_LOAD_INIT;
	int64_t own = code - (code < BY_BACKEND(0) ? 0 : code < BY_GGML(0) ? BY_BACKEND(0) : BY_GGML(0));
	const struct load_error *e;

	if (code == APIR_LOAD_OK)
		return 0;
	if (code == -EAGAIN) {
		snprintf(err, err_size, COMPLAINT_UNSENT, where, "load_library");
		return -EAGAIN;
	}
	if (code < 0) {
		snprintf(err, err_size,
			"%s: the host's worker ended before it had loaded its libraries: see the host's log", where);
		return (int)code;
	}
	e = load_error(code);
	snprintf(err, err_size, "%s: %s: %s (code %lld): check %s and the log on the host", where,
		backend ? "the host cannot load the APIR backend library"
			: "the host's backend library cannot use the GGML library",
		e->text, (long long)own, e->check);
	return -EREMOTEIO;
}
