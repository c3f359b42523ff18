/* SPDX-License-Identifier: MIT */
/*
 * The configuration reference, row by row: what each variable and key does with good and bad values, which code the
 * guest gets, and the exact lines that the host and the guest's program print.
 *
 * Nothing here is made up but the broken libraries: a row is run by the real APIR component, worker, backend library
 * and ggml, first with a raw guest, which hears the code, then with the real plugin in a real program through the socket
 * door, whose line is compared. What a row sets is set in every way there is: as a variable, as a key for all contexts,
 * as one for this context, and late: after the context was made, before the library is loaded.
 *
 * The rows are in reference_rows.h. Lines are patterns of fnmatch(); $WORDS stand for paths (reference.c).
 * docs/configuration.md refers to rows by name.
 */
#include "tests/support/cm.h"

#include <dlfcn.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "backend/apir_backend.h"
#include "doors/socket/socket_door.h"
#include "proto/util.h"
#include "tests/guest/program.h"
#include "tests/protocol/harness.h"
#include "tests/protocol/reference.h"
#include "tests/support/capture.h"
#include "tests/support/child.h"
#include "tests/support/process.h"

#define CTX 1 /* also the socket door's number for its client's context */

/* Rows */

enum way { ANY, VARIABLE, KEY, KEY_OF_CONTEXT, LATE, LATE_OF_CONTEXT, WAYS };
static const char *const way_names[] = { "any", "a variable", "a key", "a key of the context", "a late key",
	"a late key of the context" };

struct setting {
	const char *key, *value; /* value NULL: it stays unset */
	enum way way;            /* ANY: the row is run in all of them */
};

struct row {
	const char *name;
	struct setting set[5];
	int64_t code;      /* LOADLIBRARY's */
	const char *host;  /* a line that the host prints; NULL: nothing of ours */
	const char *host2; /* and another */
	const char *guest; /* the plugin's line */
	bool idle;         /* it only loads: to compute so would take its time */
};

static const struct {
	const char *key, *variable;
} variables[] = {
	{ "apir.load_library.path", "VIRGL_APIR_BACKEND_LIBRARY" },
	{ "ggml.library.path", "APIR_LLAMA_CPP_GGML_LIBRARY_PATH" },
	{ "ggml.library.reg", "APIR_LLAMA_CPP_GGML_LIBRARY_REG" },
	{ "ggml.library.init", "APIR_LLAMA_CPP_GGML_LIBRARY_INIT" },
	{ "ggml.threads", "APIR_LLAMA_CPP_GGML_THREADS" },
	{ "ggml.devices", "APIR_LLAMA_CPP_GGML_DEVICES" },
};

/* What a row leaves out. */
static const struct setting defaults[] = {
	{ "apir.load_library.path", "$BACKEND", VARIABLE },
	{ "ggml.library.path", "$CPU", VARIABLE },
	{ "ggml.threads", "1", KEY },
};

#include "tests/protocol/reference_rows.h"

/* Running a row */

static struct guest g;
static char *heard; /* what the last run printed; kept here, since a failing test frees nothing */

static void hear(struct capture *c)
{
	free(heard);
	heard = capture_end(c);
}

static const char *variable_of(const char *key)
{
	for (size_t i = 0; i < ARRAY_SIZE(variables); i++) {
		if (!strcmp(variables[i].key, key))
			return variables[i].variable;
	}
	return NULL;
}

static bool row_names(const struct row *r, const char *key)
{
	for (size_t i = 0; i < ARRAY_SIZE(r->set) && r->set[i].key; i++) {
		if (!strcmp(r->set[i].key, key))
			return true;
	}
	return false;
}

/* Does fn for each setting of the row and each default that it doesn't name. */
static void settings_each(
	const struct row *r, enum way way, void (*fn)(void *, const struct setting *, enum way), void *user)
{
	for (size_t i = 0; i < ARRAY_SIZE(defaults); i++) {
		if (!row_names(r, defaults[i].key))
			fn(user, &defaults[i], defaults[i].way);
	}
	for (size_t i = 0; i < ARRAY_SIZE(r->set) && r->set[i].key; i++) {
		enum way w = r->set[i].way ? r->set[i].way : way;

		if (w == VARIABLE && !variable_of(r->set[i].key))
			w = KEY;
		if (r->set[i].value)
			fn(user, &r->set[i], w);
	}
}

static void variable_set(void *user, const struct setting *s, enum way way)
{
	(void)user;
	if (way == VARIABLE)
		setenv(variable_of(s->key), expand(s->value), 1);
}

static void variables_clear(void)
{
	for (size_t i = 0; i < ARRAY_SIZE(variables); i++)
		unsetenv(variables[i].variable);
}

static void key_set(void *user, const struct setting *s, enum way way)
{
	if (way == KEY || way == KEY_OF_CONTEXT)
		assert_int_equal(apir_configure(user, way == KEY ? 0 : CTX, s->key, expand(s->value)), 0);
}

static void late_key_set(void *user, const struct setting *s, enum way way)
{
	if (way == LATE || way == LATE_OF_CONTEXT)
		assert_int_equal(apir_configure(user, way == LATE ? 0 : CTX, s->key, expand(s->value)), 0);
}

/* A raw guest loads and, if that works, computes: LOADLIBRARY's code, or -100: the rest failed. */
static int64_t raw_run(const struct row *r, enum way way)
{
	struct capture c;
	struct host *h;
	uint32_t major, minor;
	int64_t code = -100;

	settings_each(r, way, variable_set, NULL);
	h = host_open(NULL, HOST_BARE);
	assert_non_null(h);
	settings_each(r, way, key_set, h->apir);
	capture_begin(&c);
	if (guest_open(&g, h, CTX)) {
		settings_each(r, way, late_key_set, h->apir);
		if (handshake(&g, &major, &minor) == APIR_HANDSHAKE_MAGIC)
			code = load_library(&g);
		if (code == APIR_LOAD_OK && !(guest_loaded(&g) && (r->idle || guest_computes(&g))))
			code = -100;
	}
	guest_close(&g);
	host_close(h);
	hear(&c);
	variables_clear();
	return code;
}

struct plugin_row {
	const struct row *row;
	enum way way;
	int listener;
};

static int door_configure(struct apir *a, void *user)
{
	const struct plugin_row *p = user;

	settings_each(p->row, p->way, key_set, a);
	return 0;
}

static void door_serve(void *arg)
{
	struct apir_options apir = { .worker = test_path("TEST_WORKER") };
	struct plugin_row *p = arg;
	struct socket_door_options opt = { .apir = &apir, .configure = door_configure, .user = p };
	int conn;

	settings_each(p->row, p->way, variable_set, NULL);
	conn = accept4(p->listener, NULL, NULL, SOCK_CLOEXEC);
	CHECK(conn >= 0);
	socket_door_serve(conn, -1, &opt);
}

static void program_run(void *unused)
{
	struct program p;

	(void)unused;
	program_load(&p, word("SOCKET"));
	_exit(0); /* LeakSanitizer crashes in a few of so many children; tests/guest has it look at the plugin */
}

static int listen_at(const char *path)
{
	struct sockaddr_un a = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	unlink(path);
	memcpy(a.sun_path, path, strlen(path) + 1);
	assert_true(fd >= 0 && bind(fd, (struct sockaddr *)&a, sizeof a) == 0 && listen(fd, 4) == 0);
	return fd;
}

/* A program loads the plugin, which finds a host so configured. */
static void plugin_run(const struct row *r, enum way way)
{
	struct plugin_row p = { r, way, listen_at(word("SOCKET")) };
	struct capture c;
	int program, served;
	pid_t door;

	capture_begin(&c);
	door = child_start(door_serve, &p);
	program = child_run(program_run, NULL);
	served = child_end(door);
	hear(&c);
	close(p.listener);
	if (program || served)
		fail_msg("%s: the program ended with %d, the door with %d: %s", r->name, program, served, heard);
}

static void must_say_once(const struct row *r, enum way way, const char *line)
{
	if (line && lines_like(heard, line) != 1)
		fail_msg("%s, by %s: wanted once the line '%s', heard: %s", r->name, way_names[way], expand(line),
			heard);
}

static void must_not_say(const struct row *r, enum way way, const char *line)
{
	if (lines_like(heard, line))
		fail_msg("%s, by %s: there must be no line '%s', heard: %s", r->name, way_names[way], line, heard);
}

/* Of the two ends' lines no more than those that are wanted. */
static void host_says(const struct row *r, enum way way)
{
	char refused[160];

	must_say_once(r, way, r->host);
	must_say_once(r, way, r->host2);
	if (r->code == APIR_LOAD_OK) {
		/* but the figures at a context's end */
		if (lines_like(heard, BACKEND "*") != lines_like(heard, BACKEND "context 1: * commands, *"))
			fail_msg("%s, by %s: heard: %s", r->name, way_names[way], heard);
		must_not_say(r, way, "ggml-virtgpu *");
	}
	if (r->code < APIR_LOAD_INIT)
		return;
	snprintf(refused, sizeof refused,
		WORKER "the APIR backend library '*' refused to start (code %d); its own log "
		       "says why",
		(int)r->code - APIR_LOAD_INIT);
	must_say_once(r, way, refused);
}

/* A line that gives the reason for no device goes on with what follows from it. */
static const char *guest_line(const struct row *r)
{
	static char line[512];

	if (strncmp(r->guest, NO_DEVICE, strlen(NO_DEVICE)) != 0)
		return r->guest;
	snprintf(line, sizeof line, "%s; programs go on with the CPU, *", r->guest);
	return line;
}

static void row_runs(const struct row *r, enum way way)
{
	int64_t code = raw_run(r, way);

	if (code != r->code)
		fail_msg("%s, by %s: code %lld, wanted %lld, heard: %s", r->name, way_names[way], (long long)code,
			(long long)r->code, heard);
	host_says(r, way);
	if (way == LATE || way == LATE_OF_CONTEXT || !r->guest)
		return; /* a program gives nobody time for it */
	plugin_run(r, way);
	must_say_once(r, way, guest_line(r));
	must_say_once(r, way, "ggml-virtgpu: *");
	if (!strncmp(r->guest, NO_DEVICE, strlen(NO_DEVICE)))
		must_say_once(r, way, r->host);
}

static void row_test(void **state)
{
	const struct row *r = *state;

	for (enum way way = VARIABLE; way < WAYS; way++)
		row_runs(r, way);
}

/* Who wins */

static const struct {
	const char *key, *good, *bad;
	int64_t bad_code;
} contested[] = {
	{ BACKEND_LIB, "$BACKEND", "$NONE", APIR_LOAD_CANNOT_OPEN },
	{ PATH, "$CPU", "$NONE", BY_BACKEND(APIR_LOAD_CANNOT_OPEN) },
	{ REG, "ggml_backend_cpu_reg", "no_such_reg", BY_BACKEND(APIR_LOAD_SYMBOL_MISSING) },
	{ INIT, "", "no_such_init", BY_BACKEND(APIR_LOAD_SYMBOL_MISSING) },
	{ THREADS, "1", "0", BY_GGML(APIR_INIT_NO_BACKEND) },
	{ DEVICES, "0", "7", BY_GGML(APIR_INIT_NO_DEVICE) },
};

/* The second way's value counts, good or bad, for every key. */
static void wins(enum way loser, enum way winner)
{
	for (size_t i = 0; i < ARRAY_SIZE(contested); i++) {
		const char *key = contested[i].key, *good = contested[i].good, *bad = contested[i].bad;
		const struct row to_good = { "precedence", { { key, bad, loser }, { key, good, winner } }, .code = 0 };
		const struct row to_bad = { "precedence", { { key, good, loser }, { key, bad, winner } },
			.code = contested[i].bad_code };

		if (loser == VARIABLE && !variable_of(key))
			continue;
		row_runs(&to_good, winner);
		row_runs(&to_bad, winner);
	}
}

static void a_key_wins_over_its_variable(void **state)
{
	(void)state;
	wins(VARIABLE, KEY);
	wins(VARIABLE, KEY_OF_CONTEXT);
}

static void a_key_of_the_context_wins_over_one_for_all(void **state)
{
	(void)state;
	wins(KEY, KEY_OF_CONTEXT);
	wins(LATE, KEY_OF_CONTEXT); /* whichever came last */
}

static void a_key_counts_that_comes_after_the_context_and_before_the_library(void **state)
{
	(void)state;
	wins(VARIABLE, LATE);
	wins(VARIABLE, LATE_OF_CONTEXT);
	wins(KEY, LATE);
	wins(KEY, LATE_OF_CONTEXT);
	wins(KEY_OF_CONTEXT, LATE_OF_CONTEXT);
}

static void an_empty_key_wins_over_its_variable(void **state)
{
	static const struct row backend = { "empty key",
		{ { BACKEND_LIB, "$BACKEND", VARIABLE }, { BACKEND_LIB, "", KEY } }, .code = APIR_LOAD_ENV_MISSING };
	static const struct row path = { "empty key", { { PATH, "$CPU", VARIABLE }, { PATH, "", KEY } },
		.code = BY_BACKEND(APIR_LOAD_ENV_MISSING) };
	static const struct row reg = { "empty key", { { REG, "ggml_backend_cpu_reg", VARIABLE }, { REG, "", KEY } },
		.code = BY_BACKEND(APIR_LOAD_ENV_MISSING) };

	(void)state;
	row_runs(&backend, KEY);
	row_runs(&path, KEY);
	row_runs(&reg, KEY);
}

static void loading_twice_is_code_2(void **state)
{
	struct host *h = host_open(NULL, HOST_GGML);

	(void)state;
	assert_true(h && guest_open(&g, h, 1) && guest_ready(&g));
	assert_int_equal(load_library(&g), APIR_LOAD_ALREADY);
	assert_int_equal(load_library(&g), APIR_LOAD_ALREADY);
	assert_true(guest_computes(&g));
	guest_close(&g);
	host_close(h);
}

static void functions_before_loading_have_no_dispatch(void **state)
{
	struct host *h = host_open(NULL, HOST_GGML);

	(void)state;
	assert_true(h && guest_open(&g, h, 1));
	for (uint32_t fn = 0; fn < APIR_FN_COUNT; fn++) {
		args_start(&g);
		assert_int_equal(forward(&g, fn), APIR_FORWARD_NO_DISPATCH);
	}
	assert_true(guest_ready(&g));
	guest_close(&g);
	host_close(h);
}

static void a_failed_load_can_be_tried_again_with_another_key(void **state)
{
	struct host *h = host_open(NULL, HOST_BACKEND);

	(void)state;
	assert_true(h && guest_open(&g, h, CTX));
	assert_int_equal(load_library(&g), BY_BACKEND(APIR_LOAD_ENV_MISSING));
	assert_int_equal(apir_configure(h->apir, CTX, PATH, word("CPU")), 0);
	assert_true(guest_ready(&g));
	assert_true(guest_computes(&g));
	guest_close(&g);
	host_close(h);
}

/* ggml.threads unset: a core is counted once, however many threads it runs */

static int cores_counted(void)
{
	int n = 0;
	long seen[CPU_SETSIZE];
	cpu_set_t set;

	assert_int_equal(sched_getaffinity(0, sizeof set, &set), 0);
	for (unsigned cpu = 0; cpu < CPU_SETSIZE; cpu++) {
		static const char *const files[] = { "physical_package_id", "core_id" };
		long id[2] = { 0, cpu };
		int i = 0;

		if (!CPU_ISSET(cpu, &set))
			continue;
		for (size_t k = 0; k < 2; k++) {
			char path[128];
			char *text;

			snprintf(path, sizeof path, "/sys/devices/system/cpu/cpu%u/topology/%s", cpu, files[k]);
			text = file_text(path);
			if (text)
				id[k] = strtol(text, NULL, 10);
			free(text);
		}
		while (i < n && seen[i] != (id[0] << 32 | id[1]))
			i++;
		seen[i] = id[0] << 32 | id[1];
		n += i == n;
	}
	return n;
}

static void threads_unset_is_the_hosts_physical_cores(void **state)
{
	char line[64];
	struct row r = { "threads unset", { { PATH, "$WRAP", VARIABLE }, { THREADS, NULL, VARIABLE } }, .host = line };

	(void)state;
	snprintf(line, sizeof line, "wrap: %d threads", cores_counted());
	row_runs(&r, VARIABLE);
}

/* A host with another APIR component */

static uint8_t foreign_blob[65536];

static const char *foreign_config(uint32_t ctx, const char *key)
{
	(void)ctx;
	return !strcmp(key, PATH) ? word("CPU") : NULL;
}

static void *foreign_shmem(uint32_t ctx, uint32_t res_id)
{
	(void)ctx;
	return res_id == 9 ? foreign_blob : NULL;
}

static void *backend_symbol(void *handle, const char *name)
{
	void *f = dlsym(handle, name);

	CHECK(f);
	return f;
}

static void foreign_host_run(void *unused)
{
	struct apir_callbacks callbacks = { foreign_config, foreign_shmem };
	uint32_t (*initialize)(uint32_t, struct apir_callbacks *);
	uint32_t (*dispatcher)(
		uint32_t, struct apir_callbacks *, uint32_t, char *, const char *, char *, const char *, char **);
	void *handle = dlopen(word("BACKEND"), RTLD_NOW | RTLD_LOCAL), *f;
	char in[512] = "", out[512], *after;
	struct apir_tensor t = tensor_f32(1, 0, 0, 8, 1);
	struct cursor c = cursor_over(in, sizeof in);
	uint64_t buft, buffer;

	(void)unused;
	CHECK(handle);
	f = backend_symbol(handle, "apir_backend_initialize");
	memcpy(&initialize, &f, sizeof f);
	f = backend_symbol(handle, "apir_backend_dispatcher");
	memcpy(&dispatcher, &f, sizeof f);
	CHECK(initialize(CTX, &callbacks) == APIR_LOAD_INIT);
#define CALL(fn) dispatcher(CTX, &callbacks, fn, in, in + sizeof in, out, out + sizeof out, &after)
	CHECK(CALL(APIR_FN_DEVICE_BUFFER_TYPE) == APIR_FN_OK);
	memcpy(&buft, out, sizeof buft);
	CHECK(cursor_write_u64(&c, buft) && cursor_write_u64(&c, 4096));
	CHECK(CALL(APIR_FN_BUFT_ALLOC_BUFFER) == APIR_FN_OK);
	memcpy(&buffer, out, sizeof buffer);
	t.buffer = buffer;
	c = cursor_over(in, sizeof in);
	CHECK(cursor_write_u64(&c, buffer) && cursor_write(&c, &t, sizeof t) && cursor_write_u32(&c, 9) &&
		cursor_write_u64(&c, 0) && cursor_write_u64(&c, 32));
	for (int i = 0; i < 3; i++)
		CHECK(CALL(APIR_FN_BUFFER_SET_TENSOR) == APIR_FN_OK);
}

static void a_host_that_does_not_tell_sizes_is_warned_about_once(void **state)
{
	(void)state;
	free(heard);
	assert_int_equal(child_run_heard(foreign_host_run, NULL, &heard), 0);
	assert_int_equal(
		lines_like(heard, BACKEND "this host does not tell the sizes of blobs: it trusts its guests"), 1);
}

#define TEST(name) cmocka_unit_test(name)

int main(void)
{
	static const struct CMUnitTest more[] = {
		TEST(loading_twice_is_code_2),
		TEST(functions_before_loading_have_no_dispatch),
		TEST(a_key_wins_over_its_variable),
		TEST(a_key_of_the_context_wins_over_one_for_all),
		TEST(a_key_counts_that_comes_after_the_context_and_before_the_library),
		TEST(an_empty_key_wins_over_its_variable),
		TEST(a_failed_load_can_be_tried_again_with_another_key),
		TEST(threads_unset_is_the_hosts_physical_cores),
		TEST(a_host_that_does_not_tell_sizes_is_warned_about_once),
	};
	struct CMUnitTest tests[ARRAY_SIZE(rows) + ARRAY_SIZE(more)];
	size_t n = 0;

	for (size_t i = 0; i < ARRAY_SIZE(more); i++)
		tests[n++] = more[i];
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
		tests[n++] = (struct CMUnitTest){
			.name = rows[i].name, .test_func = row_test, .initial_state = (void *)(uintptr_t)&rows[i]
		};
	return _cmocka_run_group_tests("reference", tests, n, reference_prepare, reference_clean);
}
