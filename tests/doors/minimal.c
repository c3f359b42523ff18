/* SPDX-License-Identifier: MIT */
/*
 * A host that isn't ours: minimal SOCKET [KIND] serves clients there, each in a process of its own, with the
 * APIR component (apir/apir.h) replaced by what a hypervisor needs at the least to use an APIR backend library.
 *
 * The socket door is the real one, the backend library is the real one, named by VIRGL_APIR_BACKEND_LIBRARY. Between
 * them are only the two callbacks of APIR 0.2: get_config() knows the keys of the four variables and answers NULL
 * to any other, also to "apir.blob.N.size"; get_shmem_ptr() knows the client's blobs. Commands run within
 * apir_submit(), and the reply is written where the guest sees it, as upstream's hypervisor does it. The handshake
 * is answered with version 0.1, and what follows the guest's version is not looked at: there is no heartbeat.
 * Functions are passed on by number, whatever it is; whether the library knows it is not this host's concern. KIND:
 *     original    it is: an index of no function of APIR 0.2 is answered as upstream's library answers it
 *     first       a FORWARD's success is told by 0, as our own first hosts did
 *     boaster     hello's answer claims every feature that the guest didn't ask for, besides
 *
 * When a client leaves, its process prints what it has asked for in one line, which tests read:
 *     minimal PID: handshake of N bytes, C calls, the highest function is F
 */
#include "apir/apir.h"

#include <dlfcn.h>
#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <linux/futex.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>

#include "backend/apir_backend.h"
#include "doors/socket/socket_door.h"
#include "log/log.h"
#include "proto/apir_wire.h"
#include "proto/cursor.h"
#include "proto/util.h"

#define OLD_MINOR 1u
/* In figures, so that a wrong name for them shows. */
#define FORWARD_BASE  4u
#define INVALID_INDEX 6u
#define N_FUNCTIONS   23u
#define MAX_BLOBS     1024

struct blob {
	uint32_t res_id; /* 0: free */
	int fd;
	char *ptr;
	uint64_t size;
};

/* The client's: one process serves one client, which has one context. */
struct apir {
	struct blob blobs[MAX_BLOBS];
	uint32_t ctx_id;
	bool loaded;
	size_t handshake_bytes; /* of arguments */
	uint64_t calls;
	uint32_t highest;
};

static struct apir apir;
static bool is_original, is_first, is_boaster;

static struct {
	uint32_t (*initialize)(uint32_t, struct apir_callbacks *);
	void (*deinit)(uint32_t); /* NULL: it has none */
	uint32_t (*dispatcher)(
		uint32_t, struct apir_callbacks *, uint32_t, char *, const char *, char *, const char *, char **);
} library;

static struct blob *blob_find(uint32_t res_id)
{
	for (size_t i = 0; res_id && i < MAX_BLOBS; i++) {
		if (apir.blobs[i].res_id == res_id)
			return &apir.blobs[i];
	}
	return NULL;
}

static const char *get_config(uint32_t ctx_id, const char *key)
{
	static const char *const known[][2] = {
		{ "apir.load_library.path", "VIRGL_APIR_BACKEND_LIBRARY" },
		{ "ggml.library.path", "APIR_LLAMA_CPP_GGML_LIBRARY_PATH" },
		{ "ggml.library.reg", "APIR_LLAMA_CPP_GGML_LIBRARY_REG" },
		{ "ggml.library.init", "APIR_LLAMA_CPP_GGML_LIBRARY_INIT" },
	};

	(void)ctx_id;
	for (size_t i = 0; i < ARRAY_SIZE(known); i++) {
		if (!strcmp(known[i][0], key))
			return getenv(known[i][1]);
	}
	return NULL;
}

static void *get_shmem_ptr(uint32_t ctx_id, uint32_t res_id)
{
	struct blob *b = blob_find(res_id);

	(void)ctx_id;
	return b ? b->ptr : NULL;
}

static struct apir_callbacks callbacks = { get_config, get_shmem_ptr };

static bool symbol_load(void *handle, const char *name, void *out)
{
	void *f = dlsym(handle, name);

	memcpy(out, &f, sizeof f);
	return f != NULL;
}

static uint32_t load_library(uint32_t ctx_id)
{
	const char *path = get_config(ctx_id, "apir.load_library.path");
	uint32_t code;
	void *handle;

	if (apir.loaded)
		return APIR_LOAD_ALREADY;
	if (!path)
		return APIR_LOAD_ENV_MISSING;
	handle = dlopen(path, RTLD_NOW | RTLD_LOCAL);
	if (!handle) {
		log_error("%s", dlerror());
		return APIR_LOAD_CANNOT_OPEN;
	}
	if (!symbol_load(handle, "apir_backend_initialize", &library.initialize) ||
		!symbol_load(handle, "apir_backend_dispatcher", &library.dispatcher))
		return APIR_LOAD_SYMBOL_MISSING;
	symbol_load(handle, "apir_backend_deinit", &library.deinit);
	code = library.initialize(ctx_id, &callbacks);
	apir.loaded = code == APIR_LOAD_INIT;
	return apir.loaded ? APIR_LOAD_OK : APIR_LOAD_INIT + code;
}

static uint32_t handshake(struct cursor *in, struct cursor *out)
{
	apir.handshake_bytes = cursor_left(in);
	return cursor_write_u32(out, APIR_PROTOCOL_MAJOR) && cursor_write_u32(out, OLD_MINOR) ? APIR_HANDSHAKE_MAGIC
	                                                                                      : 0;
}

/* hello's arguments and its reply have the same form: uint32 version, uint64 features. */
static void boast(const uint8_t *asked, char *reply)
{
	uint64_t wanted, features;

	memcpy(&wanted, asked + sizeof(uint32_t), sizeof wanted);
	memcpy(&features, reply + sizeof(uint32_t), sizeof features);
	features |= ~wanted;
	memcpy(reply + sizeof(uint32_t), &features, sizeof features);
}

static uint32_t forward(uint32_t ctx_id, uint32_t function, struct cursor *in, struct cursor *out)
{
	char *start = (char *)out->data, *after = start;
	uint32_t code;

	if (!apir.loaded)
		return APIR_FORWARD_NO_DISPATCH;
	apir.calls++;
	if (function > apir.highest)
		apir.highest = function;
	if (is_original && function >= N_FUNCTIONS)
		return FORWARD_BASE + INVALID_INDEX;
	code = library.dispatcher(ctx_id, &callbacks, function, (char *)in->data + in->pos, (char *)in->data + in->size,
		start, start + out->size, &after);
	if (is_boaster && function == APIR_FN_HELLO && !code)
		boast(in->data + in->pos, start);
	return is_first && !code ? 0 : FORWARD_BASE + code;
}

int apir_submit(struct apir *a, uint32_t ctx_id, uint32_t ring, const void *cmd, size_t size)
{
	static _Alignas(8) uint8_t copy[APIR_CMD_MAX]; /* the backend library takes bytes that it may write to */
	struct cursor in = cursor_over(copy, size), out;
	_Atomic uint32_t *word;
	struct blob *reply;
	int32_t type, flags;
	uint32_t reply_id, code;

	(void)a, (void)ring;
	if (size > sizeof copy)
		return -EMSGSIZE;
	memcpy(copy, cmd, size);
	if (!cursor_read_i32(&in, &type) || !cursor_read_i32(&in, &flags) || !cursor_read_u32(&in, &reply_id))
		return -EBADMSG;
	reply = blob_find(reply_id);
	if (!reply)
		return -EBADMSG;
	word = (_Atomic uint32_t *)(void *)reply->ptr;
	out = cursor_over(reply->ptr + sizeof *word, reply->size - sizeof *word);
	switch (type) {
	case APIR_HANDSHAKE:
		code = handshake(&in, &out);
		break;
	case APIR_LOADLIBRARY:
		code = load_library(ctx_id);
		break;
	case APIR_FORWARD:
		code = forward(ctx_id, (uint32_t)flags, &in, &out);
		break;
	default:
		return -EBADMSG;
	}
	atomic_store_explicit(word, code + 1, memory_order_release); /* the guest acquires in its transport's wait */
	syscall(SYS_futex, word, FUTEX_WAKE, INT_MAX, NULL, NULL, 0);
	return 0;
}

/* No report will come: everything submitted is done when apir_submit() returns, and the door sees to the rest. */
int apir_fence(struct apir *a, uint32_t ctx_id, uint32_t ring, uint64_t fence_id)
{
	(void)a, (void)ctx_id, (void)ring, (void)fence_id;
	return -ENOENT;
}

int apir_create(struct apir **out, const struct apir_options *opt, const struct apir_listener *l, void *user)
{
	(void)opt, (void)l, (void)user;
	*out = &apir;
	return 0;
}

void apir_destroy(struct apir *a)
{
	if (a->loaded && library.deinit)
		library.deinit(a->ctx_id);
	fprintf(stderr, "minimal %d: handshake of %zu bytes, %" PRIu64 " calls, the highest function is %" PRIu32 "\n",
		(int)getpid(), a->handshake_bytes, a->calls, a->highest);
}

/* Nothing ever happens later: poll() ignores the descriptor. */
int apir_fd(const struct apir *a)
{
	(void)a;
	return -1;
}

int apir_dispatch(struct apir *a)
{
	(void)a;
	return 0;
}

void apir_kick(struct apir *a)
{
	(void)a;
}

int apir_capset(const struct apir *a, uint32_t capset_id, void *data, size_t size)
{
	const struct apir_capset caps = { .version = 1, .supports_blob_resources = 1 };

	(void)a;
	if (capset_id != APIR_CAPSET_APIR)
		return -ENOENT;
	if (data)
		memcpy(data, &caps, size < sizeof caps ? size : sizeof caps);
	return sizeof caps;
}

bool apir_routes_venus(const struct apir *a)
{
	(void)a;
	return false;
}

int apir_context_create(struct apir *a, uint32_t ctx_id, const char *name)
{
	(void)name;
	a->ctx_id = ctx_id;
	return 0;
}

int apir_blob_create(struct apir *a, uint32_t res_id, uint64_t size)
{
	AUTO_CLOSE int fd = memfd_create("minimal", MFD_CLOEXEC);
	struct blob *b = a->blobs;
	void *p;

	while (b < a->blobs + MAX_BLOBS && b->res_id)
		b++;
	if (b == a->blobs + MAX_BLOBS)
		return -EDQUOT;
	if (size > INT64_MAX || fd < 0 || ftruncate(fd, (off_t)size) < 0)
		return -ENOMEM;
	p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (p == MAP_FAILED)
		return -errno;
	*b = (struct blob){ .res_id = res_id, .fd = fd_steal(&fd), .ptr = p, .size = size };
	return 0;
}

int apir_blob_fd(const struct apir *a, uint32_t res_id, uint64_t *size)
{
	const struct blob *b = blob_find(res_id);

	(void)a;
	if (!b)
		return -ENOENT;
	*size = b->size;
	return b->fd;
}

int apir_blob_attach(struct apir *a, uint32_t ctx_id, uint32_t res_id)
{
	(void)a, (void)ctx_id, (void)res_id;
	return 0;
}

int apir_blob_unref(struct apir *a, uint32_t res_id)
{
	struct blob *b = blob_find(res_id);

	(void)a;
	if (!b)
		return -ENOENT;
	munmap(b->ptr, b->size);
	close(b->fd);
	*b = (struct blob){ 0 };
	return 0;
}

static int listen_at(const char *path)
{
	struct sockaddr_un to = { .sun_family = AF_UNIX };
	AUTO_CLOSE int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd < 0)
		return -errno;
	if (strlen(path) >= sizeof to.sun_path)
		return -ENAMETOOLONG;
	memcpy(to.sun_path, path, strlen(path));
	if (bind(fd, (const struct sockaddr *)&to, sizeof to) < 0 || listen(fd, 8) < 0)
		return -errno;
	return fd_steal(&fd);
}

static int client_serve(int conn)
{
	const struct apir_options none = { 0 };
	const struct socket_door_options opt = { .apir = &none };

	prctl(PR_SET_PDEATHSIG, SIGTERM);
	log_name("minimal %d", (int)getpid());
	return socket_door_serve(conn, -1, &opt) ? 1 : 0;
}

int main(int argc, char **argv)
{
	int listener = -EINVAL;

	is_original = argc == 3 && !strcmp(argv[2], "original");
	is_first = argc == 3 && !strcmp(argv[2], "first");
	is_boaster = argc == 3 && !strcmp(argv[2], "boaster");
	if (argc == 2 || is_original || is_first || is_boaster)
		listener = listen_at(argv[1]);
	if (listener < 0) {
		fprintf(stderr, "minimal: cannot listen (%s); usage: minimal SOCKET [original|first|boaster]\n",
			strerror(-listener));
		return 2;
	}
	signal(SIGPIPE, SIG_IGN);
	signal(SIGCHLD, SIG_IGN); /* nobody asks for their status */
	fprintf(stderr, "minimal %d: serving %s\n", (int)getpid(), argv[1]);
	for (;;) {
		int conn = accept4(listener, NULL, NULL, SOCK_CLOEXEC);

		if (conn < 0)
			continue;
		if (fork() == 0)
			return client_serve(conn);
		close(conn);
	}
}
