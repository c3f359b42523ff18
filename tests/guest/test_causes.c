/* SPDX-License-Identifier: MIT */
/*
 * GGML_VIRTGPU_SOCKET names something that is of no use: the program goes on without the device, and the one line that
 * the plugin prints, compared whole, names the layer and the cure. The servers here speak vtest and APIR up to the step at
 * which the row has them fail; what a real host says is in protocol/test_reference.c.
 */
#include "tests/support/cm.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "proto/apir_wire.h"
#include "proto/util.h"
#include "tests/guest/program.h"
#include "tests/support/capture.h"
#include "tests/support/child.h"
#include "tests/support/process.h"
#include "tests/support/vtest_peer.h"

/* What is at the path, and how far its server goes before it hangs up. */
enum place {
	NOTHING,
	A_FILE,
	A_FOLDER,
	STALE,  /* a socket that nobody listens on */
	LOCKED, /* a socket that this user may not use */
	LONG,   /* no path at all: it is longer than can be */
	EMPTY,
	SILENT, /* a server that says nothing */
	NO_VTEST,
	OLD_VTEST, /* version 2 */
	NO_CAPSETS,
	NO_CAPSET,
	VENUS_ONLY,
	NO_CONTEXT,
	NO_MEMORY,
	MUTE_APIR, /* no answer to the handshake */
	NO_APIR,
	OTHER_APIR,    /* version 1.0 */
	NO_LIBRARY,    /* hangs up at LOADLIBRARY */
	NO_DEVICE,     /* hangs up at the first function */
	FUNCTION_CODE, /* answers the first function with the row's code */
	ALIGNMENT,     /* its device has the row's */
};

struct row {
	const char *name;
	enum place place;
	const char *line; /* behind "ggml-virtgpu: no device: PATH: " */
	uint32_t code;    /* FUNCTION_CODE's; ALIGNMENT's */
	const char *told; /* the line before, with PATH for %s; NULL: none */
};

#define VARIABLE "GGML_VIRTGPU_SOCKET"
#define START    "start `ggml-virtgpu serve` on it, or set " VARIABLE " to the socket that it listens on"
#define NOT_APIR                                                                                                       \
	"the host did not answer APIR's handshake: its device has no APIR (on a Venus device set "                     \
	"VIRGL_ROUTE_VENUS_TO_APIR on the host), or its worker could not start (see the host's log)"
/* Behind every reason: what follows, since llama.cpp's own line doesn't say why. */
#define ADVICE "programs go on with the CPU, but llama.cpp given '-dev VirtGPU0' ends with 'invalid device'"
#define GONE                                                                                                           \
	"ggml-virtgpu: %s: get_description: the host is gone (its worker or device process ended): see the host's "    \
	"log, then start this program again\n"

/* 1 to 3 are the dispatch's, 4 + n the function's own. */
#define CODE_ROW(row_name, row_code, why)                                                                              \
	{                                                                                                              \
		.name = #row_name, .place = FUNCTION_CODE, .code = row_code,                                           \
		.line = "the host does not describe its device (Remote I/O error): see the host's log",                \
		.told = "ggml-virtgpu: %s: get_description failed on the host: " why " (code " #row_code               \
			"): see the host's log\n",                                                                     \
	}

#define ALIGNMENT_ROW(row_name, row_alignment)                                                                         \
	{                                                                                                              \
		.name = #row_name, .place = ALIGNMENT, .code = row_alignment,                                          \
		.line = "the host's device aligns to " #row_alignment                                                  \
			" bytes, and here it can be a power of two up to a page's size: name another device or GGML "  \
			"library on the host (ggml.devices, ggml.library.path)",                                       \
	}

static const struct row rows[] = {
	{ "socket_is_nothing", .place = NOTHING, .line = "cannot connect (No such file or directory): " START },
	{ "socket_is_a_file", .place = A_FILE, .line = "cannot connect (Connection refused): " START },
	{ "socket_is_a_folder", .place = A_FOLDER,
		.line = "cannot connect (Is a directory): " VARIABLE
			" has to name the socket itself, in that folder or wherever it is" },
	{ "socket_is_empty", .place = EMPTY, .line = "cannot connect (Connection refused): " START },
	{ "socket_that_nobody_serves", .place = STALE, .line = "cannot connect (Connection refused): " START },
	{ "socket_without_permission", .place = LOCKED,
		.line = "cannot connect (Permission denied): this user may not use the socket; allow it, or run as the "
			"user "
			"that "
			"made it" },
	{ "socket_path_too_long", .place = LONG,
		.line = "cannot connect (File name too long): a socket's path has at most 107 bytes" },
	{ "socket_server_is_silent", .place = SILENT,
		.line = "no answer within 5 s: is it a vtest server, and is it free?" },
	{ "socket_server_hangs_up", .place = NO_VTEST,
		.line = "no vtest server answers there (Broken pipe): " VARIABLE
			" has to name the socket of `ggml-virtgpu serve`" },
	{ "socket_server_is_old", .place = OLD_VTEST,
		.line = "the server speaks version 2 of vtest, 3 is needed: update it" },
	{ "socket_server_tells_no_capsets", .place = NO_CAPSETS,
		.line = "the server could not be asked for its capsets: Broken pipe" },
	{ "socket_server_without_capset", .place = NO_CAPSET,
		.line = "the server offers neither the APIR (10) nor the Venus (4) capset: use `ggml-virtgpu serve`, "
			"or a "
			"server "
			"with APIR" },
	{ "socket_server_without_the_apir_capset", .place = VENUS_ONLY,
		.line = "the server doesn't offer the APIR capset (10), which GGML_REMOTING_USE_APIR_CAPSET asks for: "
			"unset "
			"it, or "
			"use a server with APIR" },
	{ "socket_server_makes_no_context", .place = NO_CONTEXT,
		.line = "the server could not make a context of capset 4 (Broken pipe): see its log" },
	{ "host_without_memory", .place = NO_MEMORY,
		.line = "the host gives no shared memory (16384 bytes for the start): its log says why: a limit of "
			"memory, files or descriptors, a filter of system calls, or this connection's share" },
	{ "host_does_not_answer", .place = MUTE_APIR, .line = NOT_APIR },
	{ "host_hangs_up", .place = NO_APIR, .line = NOT_APIR },
	{ "host_of_another_version", .place = OTHER_APIR,
		.line = "the host speaks APIR 1.0 (code 0xab1e), this plugin 0.2: update the older one" },
	{ "host_ends_while_it_loads", .place = NO_LIBRARY,
		.line = "the host's worker ended before it had loaded its libraries: see the host's log" },
	{ "host_ends_before_it_describes", .place = NO_DEVICE,
		.line = "the host does not describe its device (Broken pipe): see the host's log", .told = GONE },
	CODE_ROW(host_has_no_dispatch, 1, "its library isn't loaded"),
	CODE_ROW(host_times_out, 2, "it took too long"),
	CODE_ROW(host_fails_to_sync, 3, "its answer is not complete"),
	CODE_ROW(host_cannot_do_a_function, 5, "it could not be done"),
	CODE_ROW(host_refuses_a_function, 6, "it was refused"),
	CODE_ROW(host_does_not_know_a_function, 10, "it doesn't know the function"),
	CODE_ROW(host_answers_something_new, 77, "unknown"),
	ALIGNMENT_ROW(host_aligns_to_more_than_a_page, 1073741824),
	ALIGNMENT_ROW(host_aligns_to_no_power_of_two, 48),
	ALIGNMENT_ROW(host_aligns_to_nothing, 0),
};

static char dir[] = "/tmp/test-causes-XXXXXX";
static char path[256];
static int listener = -1;

/* The server */

/* The first blob is the one for replies; its memory comes back. */
static void *answer_blob(int fd, enum place place, size_t size)
{
	static uint32_t last;
	uint32_t res = place == NO_MEMORY ? 0 : ++last;
	int mem = memfd_create("blob", MFD_CLOEXEC);
	union {
		char space[CMSG_SPACE(sizeof(int))];
		struct cmsghdr align;
	} control = { 0 };
	struct iovec iov = { (char[1]){ 0 }, 1 };
	struct msghdr m = { .msg_iov = &iov, .msg_iovlen = 1 };
	struct cmsghdr *c;
	void *p = NULL;

	vtest_peer_answer(fd, VTEST_RESOURCE_CREATE_BLOB, &res, 1);
	if (res) {
		CHECK(mem >= 0 && ftruncate(mem, (off_t)size) == 0);
		p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, mem, 0);
		CHECK(p != MAP_FAILED);
		m.msg_control = control.space;
		m.msg_controllen = sizeof control.space;
		c = CMSG_FIRSTHDR(&m);
		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(sizeof(int));
		memcpy(CMSG_DATA(c), &mem, sizeof mem);
	}
	CHECK(sendmsg(fd, &m, MSG_NOSIGNAL) == 1);
	close(mem);
	return p;
}

/* What a device is, as far as the plugin asks up to its alignment. */
static void answer_function(uint32_t function, uint32_t alignment, uint32_t *reply)
{
	const uint64_t description[2] = { 4, 0x646c6f }, number = function == APIR_FN_BUFT_ALIGNMENT ? alignment : 1;

	if (function == APIR_FN_DEVICE_DESCRIPTION)
		memcpy(reply + 1, description, sizeof description);
	else
		memcpy(reply + 1, &number, sizeof number);
	atomic_store((_Atomic uint32_t *)(void *)reply, APIR_FORWARD_OK + 1);
}

/* Answers one APIR command; false: hangs up instead. */
static bool answer_apir(const struct row *r, uint32_t type, uint32_t function, uint32_t *reply)
{
	enum place place = r->place;
	_Atomic uint32_t *word = (_Atomic uint32_t *)(void *)reply;

	if (type >= APIR_VENUS_TYPE_BASE)
		type -= APIR_VENUS_TYPE_BASE;
	if (type == APIR_HANDSHAKE && place != MUTE_APIR && place != NO_APIR) {
		reply[1] = place == OTHER_APIR ? 1 : APIR_PROTOCOL_MAJOR;
		reply[2] = place == OTHER_APIR ? 0 : APIR_PROTOCOL_MINOR;
		atomic_store(word, APIR_HANDSHAKE_MAGIC + 1);
		return true;
	}
	if (type == APIR_LOADLIBRARY && place >= NO_DEVICE) {
		atomic_store(word, APIR_LOAD_OK + 1);
		return true;
	}
	if (place == FUNCTION_CODE) {
		atomic_store(word, r->code + 1);
		return true;
	}
	if (place == ALIGNMENT)
		answer_function(function, r->code, reply);
	return place == MUTE_APIR || place == ALIGNMENT;
}

/* Answers until the step at which this place fails. */
static void serve(int fd, const struct row *r)
{
	enum place place = r->place;
	static uint32_t words[0x8000];
	uint32_t version = place == OLD_VTEST ? 2 : VTEST_VERSION, *reply = NULL;
	struct vtest_header h;

	while (vtest_peer_hear(fd, &h, words, sizeof words)) {
		if (place == SILENT || vtest_peer_greet(fd, &h, version))
			continue;
		if (h.command == VTEST_GET_CAPSET && place != NO_CAPSETS)
			vtest_peer_offer(
				fd, place != NO_CAPSET && (place != VENUS_ONLY || words[0] == APIR_CAPSET_VENUS));
		else if (h.command == VTEST_RESOURCE_CREATE_BLOB && !reply)
			reply = answer_blob(fd, place, words[2]);
		else if (h.command == VTEST_RESOURCE_CREATE_BLOB)
			answer_blob(fd, place, words[2]);
		else if (h.command == VTEST_SUBMIT_CMD2 && !answer_apir(r, words[words[2]], words[words[2] + 1], reply))
			return;
		else if (h.command == VTEST_GET_CAPSET || (h.command == VTEST_CONTEXT_INIT && place == NO_CONTEXT))
			return;
	}
}

static void server_run(void *arg)
{
	const struct row *r = arg;
	int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);

	CHECK(fd >= 0);
	if (r->place != NO_VTEST)
		serve(fd, r);
}

/* The places */

static void socket_make(bool listens, mode_t mode)
{
	listener = vtest_peer_listen(path, listens, mode);
	assert_true(listener >= 0);
}

static void place_make(enum place place)
{
	FILE *f;

	snprintf(path, sizeof path, "%s/place", dir);
	switch (place) {
	case NOTHING:
		break;
	case A_FILE:
		f = fopen(path, "w");
		assert_non_null(f);
		fclose(f);
		break;
	case A_FOLDER:
		assert_int_equal(mkdir(path, 0700), 0);
		break;
	case STALE:
		socket_make(false, 0600);
		break;
	case LOCKED:
		socket_make(true, 0);
		break;
	case LONG:
		memset(path, 'x', 120);
		path[120] = '\0';
		break;
	case EMPTY:
		path[0] = '\0';
		break;
	default:
		socket_make(true, 0600);
		break;
	}
}

static void program_run(void *arg)
{
	const struct row *r = arg;
	struct program p;

	child_powers_drop();
	if (r->place == VENUS_ONLY)
		setenv("GGML_REMOTING_USE_APIR_CAPSET", "", 1);
	program_load(&p, path);
	CHECK(p.g.reg_dev_count(p.reg) == 0);
	CHECK(p.f.backend_dev_count() == 0);
}

static void row_test(void **state)
{
	const struct row *r = *state;
	char wanted[1024], told[512] = "", *heard;
	const char *line;
	int program, served = 0;
	struct capture c;
	pid_t server = 0;

	place_make(r->place);
	capture_begin(&c);
	if (r->place >= SILENT)
		server = child_start(server_run, (void *)(uintptr_t)r);
	program = child_run(program_run, (void *)(uintptr_t)r);
	if (server)
		served = child_end(server);
	heard = capture_end(&c);
	if (listener >= 0)
		close(listener);
	listener = -1;
	remove(path); /* if anything was there */
	if (r->told)  /* it was a host already, so that is told first */
		snprintf(told, sizeof told, r->told, path);
	snprintf(wanted, sizeof wanted, "%sggml-virtgpu: no device: %s: %s; " ADVICE "\n", told, path, r->line);
	line = strstr(heard, "ggml-virtgpu: ");
	if (program || served || !line || strncmp(line, wanted, strlen(wanted)) != 0 ||
		strstr(line + strlen(wanted), "ggml-virtgpu: "))
		fail_msg("the program ended with %d, the server with %d; wanted one line: %sheard: %s", program, served,
			wanted, heard);
	free(heard);
}

static int prepare(void **state)
{
	(void)state;
	unsetenv("GGML_REMOTING_USE_APIR_CAPSET");
	return mkdtemp(dir) ? 0 : -1;
}

static int clean(void **state)
{
	(void)state;
	return rmdir(dir);
}

int main(void)
{
	struct CMUnitTest tests[ARRAY_SIZE(rows)];

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
		tests[i] = (struct CMUnitTest){
			.name = rows[i].name, .test_func = row_test, .initial_state = (void *)(uintptr_t)&rows[i]
		};
	return _cmocka_run_group_tests("causes", tests, ARRAY_SIZE(rows), prepare, clean);
}
