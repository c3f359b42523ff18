/* SPDX-License-Identifier: MIT */
/*
 * The transport without a virtual machine: a unix socket to our socket door, or to a virgl_test_server that
 * was taught APIR.
 *
 * Blobs are memfds that arrive over the socket; commands go out as one-batch submissions, without syncs,
 * since the answer is a word in a blob. The host wakes that word as a futex. Hosts that only store it are
 * noticed too: the waits between two looks start short and grow, up to WAIT_SLICE_MS, and each look asks
 * whether the peer is still there.
 */
#include "guest/transport/transport.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "guest/transport/deadline.h"
#include "guest/transport/vtest.h"
#include "platform/shm.h"
#include "platform/word.h"
#include "proto/apir_wire.h"
#include "proto/util.h"

#define WAIT_SLICE_MS 100
#define NAME_MAX_SENT 64u

struct submission {
	struct vtest_header h;
	uint32_t batches;
	struct vtest_batch batch;
};
static_assert(sizeof(struct submission) == 8 + 4 + 32, "wire");

struct socket_transport {
	struct transport base;
	struct vtest vtest;
	pid_t owner; /* a forked child has the descriptor too, but not the right to speak */
	uint8_t held[sizeof(struct submission) + APIR_CMD_MAX]; /* submissions that wait for another */
	size_t n_held;
};

static struct socket_transport *socket_of(struct transport *t)
{
	return (struct socket_transport *)t;
}

/* Sends what was held back: before anything else, so that the order is kept. */
static int held_send(struct socket_transport *s)
{
	size_t n = s->n_held;

	s->vtest.waited = s->base.waited;
	s->vtest.user = s->base.user;
	if (s->base.answer_ms)
		s->vtest.timeout_ms = s->base.answer_ms;
	s->n_held = 0;
	return n ? vtest_send_raw(&s->vtest, s->held, n) : 0;
}

static int resource_unref(struct socket_transport *s, uint32_t res_id)
{
	int err = held_send(s);

	return err ? err : vtest_send(&s->vtest, VTEST_RESOURCE_UNREF, &res_id, sizeof res_id);
}

/* A descriptor for a blob of at least `size` bytes, or -errno. */
static int blob_request(struct socket_transport *s, size_t size, uint32_t *res_id)
{
	const struct vtest_blob_create b = {
		.type = VTEST_BLOB_HOST3D,
		.flags = VTEST_BLOB_MAPPABLE,
		.size_lo = (uint32_t)size,
		.size_hi = (uint32_t)(size >> 32),
	};
	int fd, err;

	err = held_send(s);
	if (!err)
		err = vtest_send(&s->vtest, VTEST_RESOURCE_CREATE_BLOB, &b, sizeof b);
	if (!err)
		err = vtest_receive(&s->vtest, VTEST_RESOURCE_CREATE_BLOB, res_id, sizeof *res_id, sizeof *res_id);
	if (err < 0)
		return err;
	fd = vtest_receive_fd(&s->vtest);
	if (fd == -ENOENT)
		return *res_id ? -EPROTO : -EREMOTEIO;
	if (fd < 0 && *res_id) /* there it is */
		resource_unref(s, *res_id);
	return fd;
}

/* A file that is shorter than told would end the program with SIGBUS. */
static int blob_check(int fd, size_t size)
{
	struct stat st;

	if (fstat(fd, &st) < 0)
		return -errno;
	return S_ISREG(st.st_mode) && (uint64_t)st.st_size < size ? -EPROTO : 0;
}

static int socket_blob_create(struct transport *t, size_t size, struct shm *out)
{
	struct socket_transport *s = socket_of(t);
	size_t rounded = round_up(size, APIR_BLOB_GRANULE);
	uint32_t res_id = 0;
	void *ptr;
	bool sealed;
	int err;

	if (!rounded)
		return -EINVAL;

	AUTO_CLOSE int fd = blob_request(s, rounded, &res_id);

	if (fd < 0)
		return fd;
	sealed = shm_sealed(fd); /* before it is measured */
	err = blob_check(fd, rounded);
	if (!err) {
		ptr = mmap(NULL, rounded, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
		err = ptr == MAP_FAILED ? -errno : 0;
	}
	if (err) {
		resource_unref(s, res_id);
		return err;
	}
	*out = (struct shm){ .res_id = res_id, .ptr = ptr, .size = rounded, .stays = sealed };
	return 0;
}

static void socket_blob_destroy(struct transport *t, struct shm *shm)
{
	struct socket_transport *s = socket_of(t);

	if (shm->ptr)
		munmap(shm->ptr, shm->size);
	if (shm->res_id && s->owner == getpid())
		resource_unref(s, shm->res_id);
	*shm = (struct shm){ 0 };
}

/* The wait is on the word itself: no fence is needed. */
static int socket_submit(struct transport *t, const void *cmd, size_t size, unsigned flags)
{
	struct socket_transport *s = socket_of(t);
	size_t padded = round_up(size, 4);
	const uint32_t cmd_offset = (sizeof(struct submission) - sizeof(struct vtest_header)) / 4;
	const struct submission m = {
		.h = { .length = cmd_offset + (uint32_t)padded / 4, .command = VTEST_SUBMIT_CMD2 },
		.batches = 1,
		.batch = { .flags = VTEST_BATCH_RING, .cmd_offset = cmd_offset, .cmd_words = (uint32_t)padded / 4 },
	};
	int err = 0;

	if (!size || size > APIR_CMD_MAX)
		return -E2BIG;
	if (s->n_held + sizeof m + padded > sizeof s->held)
		err = held_send(s);
	memcpy(s->held + s->n_held, &m, sizeof m);
	memset(s->held + s->n_held + sizeof m + padded - 4, 0, 4);
	memcpy(s->held + s->n_held + sizeof m, cmd, size);
	s->n_held += sizeof m + padded;
	return err || (flags & SUBMIT_MORE) ? err : held_send(s);
}

static int socket_wait(struct transport *t, const _Atomic uint32_t *word, int timeout_ms)
{
	struct socket_transport *s = socket_of(t);
	int64_t deadline = deadline_after(timeout_ms);
	int slice = 1, err = held_send(s);

	if (err)
		return err;
	for (;;) {
		int left = deadline_left(deadline, slice);
		bool gone;

		/* pairs with the worker's release store of the word, behind the reply's bytes */
		if (atomic_load_explicit(word, memory_order_acquire))
			return 1;
		if (!left)
			return 0;
		word_sleep(word, left * INT64_C(1000000));
		if (atomic_load_explicit(word, memory_order_acquire))
			return 1;
		gone = vtest_hung_up(&s->vtest);
		/* the answer may have come before the peer went */
		if (gone)
			return atomic_load_explicit(word, memory_order_acquire) ? 1 : -EPIPE;
		slice = slice * 2 < WAIT_SLICE_MS ? slice * 2 : WAIT_SLICE_MS;
	}
}

static bool socket_gone(struct transport *t)
{
	return vtest_hung_up(&socket_of(t)->vtest);
}

static void socket_leave(struct transport *t)
{
	vtest_close(&socket_of(t)->vtest);
}

static void socket_close(struct transport *t)
{
	socket_leave(t);
	free(socket_of(t));
}

static const struct transport_ops socket_ops = {
	.name = "socket",
	.no_blob = "its log says why: a limit of memory, files or descriptors, a filter of system calls, or this "
		   "connection's share",
	.blob_create = socket_blob_create,
	.blob_destroy = socket_blob_destroy,
	.submit = socket_submit,
	.wait = socket_wait,
	.gone = socket_gone,
	.leave = socket_leave,
	.close = socket_close,
};

/* What opening passes along. */
struct opening {
	struct socket_transport *s;
	const char *path;
	int capset_err; /* of the last capset that was asked for */
	char *err;
	size_t err_size;
};

PRINTF_LIKE(3, 4) static int fail(const struct opening *o, int err, const char *fmt, ...)
{
	va_list ap;
	int n = snprintf(o->err, o->err_size, "%s: ", o->path);

	if (n >= 0 && (size_t)n < o->err_size) {
		va_start(ap, fmt);
		vsnprintf(o->err + n, o->err_size - (size_t)n, fmt, ap);
		va_end(ap);
	}
	return err;
}

static bool is_folder(const char *path)
{
	struct stat st;

	return stat(path, &st) == 0 && S_ISDIR(st.st_mode);
}

static const char *connect_cure(int err)
{
	switch (err) {
	case -ENOENT:
	case -ECONNREFUSED:
		return "start `ggml-virtgpu serve` on it, or set GGML_VIRTGPU_SOCKET to the socket that it "
		       "listens on";
	case -EISDIR:
		return "GGML_VIRTGPU_SOCKET has to name the socket itself, in that folder or wherever it is";
	case -EACCES:
	case -EPERM:
		return "this user may not use the socket; allow it, or run as the user that made it";
	case -ENAMETOOLONG:
		return "a socket's path has at most 107 bytes";
	case -ETIMEDOUT:
		return "its server takes no connections; restart it";
	default:
		return "GGML_VIRTGPU_SOCKET has to name the socket of `ggml-virtgpu serve`";
	}
}

static int offers_capset(void *user, uint32_t id)
{
	struct opening *o = user;
	const uint32_t ask[2] = { id, 0 };
	struct {
		uint32_t valid;
		struct apir_capset data;
	} answer = { 0 };
	int err = o->capset_err;

	if (!err)
		err = vtest_send(&o->s->vtest, VTEST_GET_CAPSET, ask, sizeof ask);
	if (!err)
		err = vtest_receive(&o->s->vtest, VTEST_GET_CAPSET, &answer, sizeof answer.valid, sizeof answer);
	o->capset_err = err < 0 ? err : 0;
	return err > 0 && answer.valid;
}

static int greet(const struct opening *o)
{
	char name[NAME_MAX_SENT];
	uint32_t version;
	int err;

	snprintf(name, sizeof name, "%s", program_invocation_short_name);
	err = vtest_send(&o->s->vtest, VTEST_CREATE_RENDERER, name, strlen(name) + 1);
	if (!err)
		err = vtest_negotiate(&o->s->vtest, &version);
	if (err == -ETIMEDOUT)
		return fail(o, err, "no answer within %d s: is it a vtest server, and is it free?",
			VTEST_TIMEOUT_MS / 1000);
	if (err)
		return fail(o, err,
			"no vtest server answers there (%s): GGML_VIRTGPU_SOCKET has to name the socket "
			"of `ggml-virtgpu serve`",
			strerror(-err));
	if (version != VTEST_VERSION)
		return fail(o, -EPROTONOSUPPORT, "the server speaks version %u of vtest, %u is needed: update it",
			version, VTEST_VERSION);
	return 0;
}

static int context_make(struct opening *o, int use_apir_capset)
{
	struct vtest *v = &o->s->vtest;
	uint32_t id = transport_choose_capset(use_apir_capset, offers_capset, o);
	int err;

	if (o->capset_err)
		return fail(o, o->capset_err, "the server could not be asked for its capsets: %s",
			strerror(-o->capset_err));
	if (!id && use_apir_capset)
		return fail(o, -ENOTSUP,
			"the server doesn't offer the APIR capset (%u), which "
			"GGML_REMOTING_USE_APIR_CAPSET asks for: unset it, or use a server with APIR",
			APIR_CAPSET_APIR);
	if (!id)
		return fail(o, -ENOTSUP,
			"the server offers neither the APIR (%u) nor the Venus (%u) capset: use "
			"`ggml-virtgpu serve`, or a server with APIR",
			APIR_CAPSET_APIR, APIR_CAPSET_VENUS);
	/* no reply; a server that can't make the context hangs up */
	err = vtest_send(v, VTEST_CONTEXT_INIT, &id, sizeof id);
	if (!err)
		err = vtest_ping(v);
	if (err)
		return fail(o, err, "the server could not make a context of capset %u (%s): see its log", id,
			strerror(-err));
	o->s->base.capset_id = id;
	return 0;
}

int transport_socket_open(struct transport **out, const char *path, int use_apir_capset, char *err, size_t err_size)
{
	struct socket_transport *s = calloc(1, sizeof *s);
	struct opening o = { .s = s, .path = path, .err = err, .err_size = err_size };
	int r;

	if (!s)
		return fail(&o, -ENOMEM, "out of memory");
	s->base.ops = &socket_ops;
	s->owner = getpid();
	snprintf(s->base.where, sizeof s->base.where, "%s", path);
	r = vtest_connect(&s->vtest, path);
	if (r == -ECONNREFUSED && is_folder(path))
		r = -EISDIR;
	if (r)
		fail(&o, r, "cannot connect (%s): %s", strerror(-r), connect_cure(r));
	if (!r)
		r = greet(&o);
	if (!r)
		r = context_make(&o, use_apir_capset);
	if (r) {
		socket_close(&s->base);
		return r;
	}
	*out = &s->base;
	return 0;
}
