/* SPDX-License-Identifier: MIT */
/* The rows of test_reference.c, which alone includes this: what is set, what the guest gets, what both ends print. */
#ifndef TESTS_PROTOCOL_REFERENCE_ROWS_H
#define TESTS_PROTOCOL_REFERENCE_ROWS_H

#define WORKER    "ggml-virtgpu worker * (context 1): error: "
#define BACKEND   "ggml-virtgpu-backend: "
#define NO_DEVICE "ggml-virtgpu: no device: $SOCKET: "
#define SEE_LOG   " and the log on the host"
#define NO_APIR   NO_DEVICE "the host cannot load the APIR backend library: "
#define NO_GGML   NO_DEVICE "the host's backend library cannot use the GGML library: "
#define HAS_CPU   "ggml-virtgpu: $SOCKET: ggml-virtgpu: * (over socket, capset 10, plugin API 2)"
#define HAS(d)    "ggml-virtgpu: $SOCKET: ggml-virtgpu: wrapped device " #d " (over socket, capset 10, plugin API 2)"

#define BACKEND_LIB "apir.load_library.path"
#define PATH        "ggml.library.path"
#define REG         "ggml.library.reg"
#define INIT        "ggml.library.init"
#define THREADS     "ggml.threads"
#define DEVICES     "ggml.devices"

/* The backend library's codes come behind the loader's, the GGML library's behind the backend library's. */
#define BY_BACKEND(code) (APIR_LOAD_INIT + (code))
#define BY_GGML(code)    (2 * APIR_LOAD_INIT + (code))

#define NO_BACKEND_LIB "cannot open the APIR backend library: env var 'VIRGL_APIR_BACKEND_LIBRARY' not defined"
#define BAD_BACKEND    "cannot open the APIR backend library (VIRGL_APIR_BACKEND_LIBRARY): "
#define CHECK_BACKEND  ": check VIRGL_APIR_BACKEND_LIBRARY" SEE_LOG
#define BAD_PATH       "cannot open the GGML library (APIR_LLAMA_CPP_GGML_LIBRARY_PATH): "
#define CHECK_PATH     ": check APIR_LLAMA_CPP_GGML_LIBRARY_PATH" SEE_LOG
#define CHECK_BOTH     ": check APIR_LLAMA_CPP_GGML_LIBRARY_PATH, APIR_LLAMA_CPP_GGML_LIBRARY_REG" SEE_LOG
#define CHECK_SYMBOLS  ": check APIR_LLAMA_CPP_GGML_LIBRARY_REG, APIR_LLAMA_CPP_GGML_LIBRARY_INIT" SEE_LOG
#define CHECK_DEVICES  ": check APIR_LLAMA_CPP_GGML_LIBRARY_PATH, ggml.devices" SEE_LOG
#define CHECK_INIT     ": check APIR_LLAMA_CPP_GGML_LIBRARY_INIT, ggml.threads" SEE_LOG
#define SUPPORTED      "supported: plugin API 2*"

#define BACKEND_ROW(row_name, value, row_code, line, text)                                                             \
	{                                                                                                              \
		.name = #row_name, .set = { { BACKEND_LIB, value, ANY } }, .code = row_code, .host = WORKER line,      \
		.guest = NO_APIR text CHECK_BACKEND,                                                                   \
	}
/* What another's library answers, in figures. */
#define SAYS_ROW(row_name, initialise, row_code, text)                                                                 \
	{                                                                                                              \
		.name = #row_name, .set = { { BACKEND_LIB, "$APIRFAKE", ANY }, { "fake.code", initialise, KEY } },     \
		.code = row_code,                                                                                      \
		.host = WORKER "the APIR backend library '$APIRFAKE' refused to start (code " initialise               \
			       "); its own log says why",                                                              \
		.guest = NO_GGML text,                                                                                 \
	}
#define PATH_ROW(row_name, value, row_code, line, text)                                                                \
	{                                                                                                              \
		.name = #row_name, .set = { { PATH, value, ANY } }, .code = BY_BACKEND(row_code),                      \
		.host = BACKEND line, .guest = NO_GGML text,                                                           \
	}
#define REG_ROW(row_name, lib, reg, row_code, line, text)                                                              \
	{                                                                                                              \
		.name = #row_name, .set = { { PATH, lib, ANY }, { REG, reg, ANY } }, .code = row_code,                 \
		.host = BACKEND line, .guest = NO_GGML text,                                                           \
	}
#define THREADS_ROW(row_name, value)                                                                                   \
	{                                                                                                              \
		.name = #row_name, .set = { { THREADS, value, ANY } }, .code = BY_GGML(APIR_INIT_NO_BACKEND),          \
		.host = BACKEND "ggml.threads: '" value "' is no number from 1 to 512",                                \
		.guest = NO_GGML "its device could not be initialised (code 9)" CHECK_INIT,                            \
	}
#define DEVICES_ROW(row_name, value)                                                                                   \
	{                                                                                                              \
		.name = #row_name, .set = { { PATH, "$WRAP", VARIABLE }, { DEVICES, value, ANY } },                    \
		.code = BY_GGML(APIR_INIT_NO_DEVICE),                                                                  \
		.host = BACKEND "ggml.devices: '" value "' is no list of numbers from 0 to 2, the devices of '$WRAP'", \
		.guest = NO_GGML "it offers no such device (code 8)" CHECK_DEVICES,                                    \
	}
#define DEVICE_ROW(row_name, value, device)                                                                            \
	{                                                                                                              \
		.name = #row_name, .set = { { PATH, "$WRAP", ANY }, { DEVICES, value, ANY } },                         \
		.host = "wrap: the device made a backend of device " #device, .guest = HAS(device),                    \
	}
#define THREAD_ROW(row_name, value)                                                                                    \
	{                                                                                                              \
		.name = #row_name, .set = { { PATH, "$WRAP", ANY }, { THREADS, value, ANY } },                         \
		.host = "wrap: " value " threads", .guest = HAS(0),                                                    \
	}

static const struct row rows[] = {
	/* VIRGL_APIR_BACKEND_LIBRARY, apir.load_library.path */
	BACKEND_ROW(backend_unset, NULL, 3, NO_BACKEND_LIB, "a variable or key is missing (code 3)"),
	BACKEND_ROW(backend_empty, "", 3, NO_BACKEND_LIB, "a variable or key is missing (code 3)"),
	BACKEND_ROW(backend_missing_file, "$NONE", 4,
		BAD_BACKEND "$NONE: cannot open shared object file: No such file or directory",
		"it cannot be opened (code 4)"),
	BACKEND_ROW(backend_directory, "$DIR", 4, BAD_BACKEND "$DIR: cannot read file data: Is a directory",
		"it cannot be opened (code 4)"),
	BACKEND_ROW(backend_no_library, "$TEXT", 4, BAD_BACKEND "$TEXT: invalid ELF header",
		"it cannot be opened (code 4)"),
	BACKEND_ROW(backend_without_symbols, "$CPU", 5,
		"'$CPU' (VIRGL_APIR_BACKEND_LIBRARY) is no APIR backend library: it has no apir_backend_initialize()",
		"a symbol is missing (code 5)"),
	BACKEND_ROW(backend_without_one_symbol, "$APIRHALF", 5,
		"'$APIRHALF' (VIRGL_APIR_BACKEND_LIBRARY) is no APIR backend library: it has no "
		"apir_backend_dispatcher()",
		"a symbol is missing (code 5)"),
	{
		.name = "backend_initialise_returns_0",
		.set = { { BACKEND_LIB, "$APIRFAKE", ANY } },
		.code = BY_BACKEND(0),
		.host = WORKER "the APIR backend library '$APIRFAKE' refused to start (code 0); its own log says why",
		.guest = NO_GGML "unknown code (code 0)" CHECK_BACKEND,
	},
	SAYS_ROW(backend_says_no_library, "4", 10, "it cannot be opened (code 4)" CHECK_PATH),
	SAYS_ROW(backend_says_failed, "11", 17, "its backend failed (code 5)" CHECK_PATH),
	SAYS_ROW(backend_says_no_reg, "12", 18, "its registration function returned nothing (code 6)" CHECK_PATH),
	SAYS_ROW(backend_says_already, "13", 19, "it is in use already (code 7)" CHECK_BACKEND),
	SAYS_ROW(backend_says_no_device, "14", 20, "it offers no such device (code 8)" CHECK_DEVICES),
	SAYS_ROW(backend_says_no_backend, "15", 21, "its device could not be initialised (code 9)" CHECK_INIT),
	SAYS_ROW(backend_says_no_memory, "107", 113, "out of memory (code 101)" CHECK_PATH),
	SAYS_ROW(backend_says_something_new, "40", 46, "unknown code (code 34)" CHECK_BACKEND),
	{ .name = "backend_without_deinit", .set = { { BACKEND_LIB, "$APIRSHIM", ANY } }, .guest = HAS_CPU },
	{ .name = "backend_used", .set = { { BACKEND_LIB, "$BACKEND", ANY } }, .guest = HAS_CPU },

	/* APIR_LLAMA_CPP_GGML_LIBRARY_PATH, ggml.library.path */
	PATH_ROW(path_unset, NULL, 3,
		"cannot open the GGML library: env var 'APIR_LLAMA_CPP_GGML_LIBRARY_PATH' not defined",
		"a variable or key is missing (code 3)" CHECK_BOTH),
	PATH_ROW(path_empty, "", 3,
		"cannot open the GGML library: env var 'APIR_LLAMA_CPP_GGML_LIBRARY_PATH' not defined",
		"a variable or key is missing (code 3)" CHECK_BOTH),
	PATH_ROW(path_missing_file, "$NONE", 4,
		BAD_PATH "$NONE: cannot open shared object file: No such file or directory",
		"it cannot be opened (code 4)" CHECK_PATH),
	PATH_ROW(path_directory, "$DIR", 4, BAD_PATH "$DIR: cannot read file data: Is a directory",
		"it cannot be opened (code 4)" CHECK_PATH),
	PATH_ROW(path_no_library, "$TEXT", 4, BAD_PATH "$TEXT: invalid ELF header",
		"it cannot be opened (code 4)" CHECK_PATH),
	PATH_ROW(path_without_symbol, "$FAKE", 5,
		"cannot find the GGML backend registration symbol 'ggml_backend_init' (from "
		"APIR_LLAMA_CPP_GGML_LIBRARY_REG) in '$FAKE'",
		"a symbol is missing (code 5)" CHECK_SYMBOLS),
	REG_ROW(path_no_ggml, "libm.so.6", "cos", BY_GGML(APIR_INIT_BAD_ABI),
		"'libm.so.6' is no GGML library that we can use: libggml-base's ggml_*() is not among its "
		"dependencies; " SUPPORTED,
		"its ggml version is not supported (code 100)" CHECK_PATH),
	REG_ROW(path_unknown_ggml, "$FAKE", "fake_future", BY_GGML(APIR_INIT_BAD_ABI),
		"'$FAKE' has plugin API 99 (ggml 0.25.1); " SUPPORTED,
		"its ggml version is not supported (code 100)" CHECK_PATH),
	REG_ROW(path_without_device, "$FAKE", "fake_no_device", BY_GGML(APIR_INIT_NO_DEVICE),
		"the GGML library '$FAKE' (fake) offers no device: is its hardware and driver there?",
		"it offers no such device (code 8)" CHECK_DEVICES),
	REG_ROW(path_with_accelerators_only, "$FAKE", "fake_accel", BY_GGML(APIR_INIT_NO_DEVICE),
		"'$FAKE': device broken is an accelerator (ACCEL), which computes some operations beside a CPU and no "
		"whole model: name a GPU's or the CPU's library",
		"it offers no such device (code 8)" CHECK_DEVICES),
	REG_ROW(path_device_does_not_start, "$FAKE", "fake_no_backend", BY_GGML(APIR_INIT_NO_BACKEND),
		"'$FAKE': device broken could not be initialised",
		"its device could not be initialised (code 9)" CHECK_INIT),
	{
		.name = "path_crashes",
		.set = { { PATH, "$FAKE", ANY }, { REG, "fake_crash", ANY } },
		.code = LOST,
		.host = "ggml-virtgpu *: error: context 1 (*): its worker was ended by signal 9 (Killed)*: the context "
			"is "
			"lost, others go on",
		.guest = NO_DEVICE "the host's worker ended before it had loaded its libraries: see the host's log",
	},
	{ .name = "path_used", .set = { { PATH, "$CPU", ANY } }, .guest = HAS_CPU },

	/* APIR_LLAMA_CPP_GGML_LIBRARY_REG, ggml.library.reg */
	REG_ROW(reg_empty, "$CPU", "", BY_BACKEND(APIR_LOAD_ENV_MISSING),
		"cannot register the GGML library: env var 'APIR_LLAMA_CPP_GGML_LIBRARY_REG' not defined",
		"a variable or key is missing (code 3)" CHECK_BOTH),
	REG_ROW(reg_missing, "$CPU", "no_such_reg", BY_BACKEND(APIR_LOAD_SYMBOL_MISSING),
		"cannot find the GGML backend registration symbol 'no_such_reg' (from APIR_LLAMA_CPP_GGML_LIBRARY_REG) "
		"in "
		"'$CPU'",
		"a symbol is missing (code 5)" CHECK_SYMBOLS),
	REG_ROW(reg_returns_null, "$FAKE", "fake_null", BY_GGML(APIR_INIT_NO_REG),
		"'$FAKE': fake_null() returned no backend: is the library's hardware and driver there?",
		"its registration function returned nothing (code 6)" CHECK_PATH),
	{ .name = "reg_unset_is_ggml_backend_init",
		.set = { { PATH, "$WRAP", ANY }, { REG, NULL, ANY } },
		.host = "wrap: the device made a backend of device 0",
		.guest = HAS(0) },
	{ .name = "reg_used",
		.set = { { PATH, "$CPU", ANY }, { REG, "ggml_backend_cpu_reg", ANY } },
		.guest = HAS_CPU },

	/* APIR_LLAMA_CPP_GGML_LIBRARY_INIT, ggml.library.init */
	{ .name = "init_missing",
		.set = { { INIT, "no_such_init", ANY } },
		.code = BY_BACKEND(APIR_LOAD_SYMBOL_MISSING),
		.host = BACKEND "cannot find the backend's init function 'no_such_init' (from "
				"APIR_LLAMA_CPP_GGML_LIBRARY_INIT) in '$CPU'",
		.guest = NO_GGML "a symbol is missing (code 5)" CHECK_SYMBOLS },
	{ .name = "init_returns_null",
		.set = { { PATH, "$WRAP", ANY }, { INIT, "wrap_make_none", ANY } },
		.code = BY_GGML(APIR_INIT_NO_BACKEND),
		.host = BACKEND "'$WRAP': device CPU could not be initialised by wrap_make_none",
		.guest = NO_GGML "its device could not be initialised (code 9)" CHECK_INIT },
	{ .name = "init_unset_is_the_devices_own",
		.set = { { PATH, "$WRAP", ANY }, { INIT, NULL, ANY } },
		.host = "wrap: the device made a backend of device 0",
		.host2 = "wrap: computing on the backend made by the device",
		.guest = HAS(0) },
	{ .name = "init_empty_is_the_devices_own",
		.set = { { PATH, "$WRAP", ANY }, { INIT, "", ANY } },
		.host = "wrap: the device made a backend of device 0",
		.host2 = "wrap: computing on the backend made by the device",
		.guest = HAS(0) },
	{ .name = "init_makes_the_backend",
		.set = { { PATH, "$WRAP", ANY }, { INIT, "wrap_make", ANY } },
		.host = "wrap: wrap_make made a backend of device 0",
		.host2 = "wrap: computing on the backend made by wrap_make",
		.guest = HAS(0) },
	{ .name = "init_makes_what_the_device_cannot",
		.set = { { PATH, "$WRAP", ANY }, { REG, "wrap_only_init", ANY }, { INIT, "wrap_make", ANY } },
		.host = "wrap: wrap_make made a backend of device 0",
		.host2 = "wrap: computing on the backend made by wrap_make",
		.guest = HAS(0) },
	{ .name = "without_init_the_device_is_asked",
		.set = { { PATH, "$WRAP", ANY }, { REG, "wrap_only_init", ANY } },
		.code = BY_GGML(APIR_INIT_NO_BACKEND),
		.host = "wrap: the device's own init was called",
		.host2 = BACKEND "'$WRAP': device CPU could not be initialised",
		.guest = NO_GGML "its device could not be initialised (code 9)" CHECK_INIT },
	{ .name = "init_gets_the_devices_number",
		.set = { { PATH, "$WRAP", ANY }, { INIT, "wrap_make", ANY }, { DEVICES, "2", ANY } },
		.host = "wrap: wrap_make made a backend of device 2",
		.host2 = "wrap: computing on the backend made by wrap_make",
		.guest = HAS(2) },

	/* ggml.threads */
	THREAD_ROW(threads_least, "1"),
	THREAD_ROW(threads_three, "3"),
	{ .name = "threads_most",
		.set = { { PATH, "$WRAP", ANY }, { THREADS, "512", ANY } },
		.host = "wrap: 512 threads",
		.guest = HAS(0),
		.idle = true },
	THREADS_ROW(threads_empty, ""),
	THREADS_ROW(threads_zero, "0"),
	THREADS_ROW(threads_negative, "-1"),
	THREADS_ROW(threads_too_many, "513"),
	THREADS_ROW(threads_overflow, "99999999999999999999"),
	THREADS_ROW(threads_word, "all"),
	THREADS_ROW(threads_unit, "4x"),
	THREADS_ROW(threads_space, " 4"),
	THREADS_ROW(threads_list, "4,5"),

	/* ggml.devices */
	{ .name = "devices_unset_is_the_first",
		.set = { { PATH, "$WRAP", ANY }, { DEVICES, NULL, ANY } },
		.host = "wrap: the device made a backend of device 0",
		.guest = HAS(0) },
	{ .name = "devices_unset_passes_over_an_accelerator",
		.set = { { PATH, "$WRAP", ANY }, { REG, "wrap_accel", ANY } },
		.host = "wrap: the device made a backend of device 1",
		.guest = HAS(1) },
	{ .name = "devices_names_an_accelerator",
		.set = { { PATH, "$WRAP", ANY }, { REG, "wrap_accel", ANY }, { DEVICES, "0", ANY } },
		.code = BY_GGML(APIR_INIT_NO_DEVICE),
		.host = BACKEND "'$WRAP': device CPU is an accelerator (ACCEL), *",
		.guest = NO_GGML "it offers no such device (code 8)" CHECK_DEVICES },
	DEVICE_ROW(devices_one, "1", 1),
	DEVICE_ROW(devices_first_of_a_list, "2,0,1", 2),
	DEVICES_ROW(devices_empty, ""),
	DEVICES_ROW(devices_beyond, "3"),
	DEVICES_ROW(devices_beyond_later, "0,3"),
	DEVICES_ROW(devices_negative, "-1"),
	DEVICES_ROW(devices_overflow, "99999999999999999999"),
	DEVICES_ROW(devices_word, "first"),
	DEVICES_ROW(devices_word_later, "0,x"),
	DEVICES_ROW(devices_comma_at_the_end, "0,"),
	DEVICES_ROW(devices_comma_first, ",0"),
	DEVICES_ROW(devices_space, "0, 1"),
};

#endif
