/* SPDX-License-Identifier: MIT */
/*
 * See session.h. Opening: choose the protocol, connect, make the blobs, greet (versions, heartbeat), have the backend
 * library loaded; each step's failure is one line that names the layer and the cure.
 */
#include "guest/session.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "guest/blob.h"
#include "guest/command.h"
#include "platform/guard.h"
#include "proto/util.h"

#define GREETING_MS 5000
#define LOAD_MS     120000

#define PROTOCOL_ENV   "GGML_VIRTGPU_PROTOCOL"
#define PROTOCOL_PLAIN "0.2"
static_assert(APIR_PROTOCOL_MAJOR == 0 && APIR_PROTOCOL_MINOR == 2, "PROTOCOL_PLAIN names it");

/* Set in a forked child: its parent's context isn't its own. */
static _Atomic bool forked;
static struct session *_Atomic opened; /* whose transport is to be left then */

/* What the child keeps of its parent's connection would keep the worker alive, and its memory, after the parent's end. Its
 * mappings it hasn't got: blob.c. */
static void on_fork(void)
{
	struct session *s = atomic_load(&opened);

	atomic_store(&forked, true);
	if (s && s->transport)
		s->transport->ops->leave(s->transport);
	guard_abandon();
}

static void fork_watch(void)
{
	pthread_atfork(NULL, NULL, on_fork);
}

bool session_alive(const struct session *s)
{
	return !atomic_load_explicit(&s->dead, memory_order_relaxed) &&
	       !atomic_load_explicit(&s->torn, memory_order_relaxed) &&
	       !atomic_load_explicit(&forked, memory_order_relaxed);
}

bool session_death_untold(struct session *s)
{
	return !session_forked() && !atomic_exchange(&s->told, true);
}

bool session_forked(void)
{
	return atomic_load_explicit(&forked, memory_order_relaxed);
}

void session_lock(struct session *s)
{
	pthread_mutex_lock(&s->lock);
}

void session_unlock(struct session *s)
{
	pthread_mutex_unlock(&s->lock);
}

/* Unset is the newest that both ends speak; each of our extensions is asked for on its own (greeting, hello). */
static int protocol_choose(struct session *s, char *err, size_t err_size)
{
	const char *wanted = getenv(PROTOCOL_ENV);

	s->plain = wanted && !strcmp(wanted, PROTOCOL_PLAIN);
	if (!wanted || s->plain)
		return 0;
	snprintf(err, err_size,
		PROTOCOL_ENV " is '%.40s': set it to " PROTOCOL_PLAIN " for plain APIR " PROTOCOL_PLAIN
			     ", or unset it for the newest protocol that both ends speak",
		wanted);
	return -EINVAL;
}

static int session_greet(struct session *s, char *err, size_t err_size)
{
	uint32_t version[2] = { APIR_PROTOCOL_MAJOR, APIR_PROTOCOL_MINOR };
	struct apir_greeting g = { APIR_GREETING_MAGIC, s->reply.res_id, HEARTBEAT_OFFSET };
	uint8_t cmd[APIR_CMD_HEADER_SIZE + sizeof version + sizeof g];
	uint32_t answer[3];
	int64_t code;
	size_t n;

	memset(s->reply.ptr, 0, sizeof(uint32_t) + sizeof answer);
	n = command_header(s, cmd, APIR_HANDSHAKE, 0, &s->reply);
	memcpy(cmd + n, version, sizeof version);
	n += sizeof version;
	if (!s->plain) {
		memcpy(cmd + n, &g, sizeof g);
		n += sizeof g;
	}
	code = command_run(s, cmd, n, false, GREETING_MS);
	if (code == -EAGAIN) {
		snprintf(err, err_size, COMMAND_UNSENT, s->transport->where, "handshake");
		return -EAGAIN;
	}
	if (code == -ETIMEDOUT || code == -EPIPE) {
		snprintf(err, err_size,
			"%s: the host did not answer APIR's handshake: its device has no APIR (on a Venus device set "
			"VIRGL_ROUTE_VENUS_TO_APIR on the host), or its worker could not start (see the host's log)",
			s->transport->where);
		return (int)code;
	}
	memcpy(answer, (char *)s->reply.ptr + sizeof(uint32_t), sizeof answer);
	if (code != APIR_HANDSHAKE_MAGIC || answer[0] != APIR_PROTOCOL_MAJOR) {
		snprintf(err, err_size,
			"%s: the host speaks APIR %u.%u (code %#llx), this plugin %u.%u: update the older one",
			s->transport->where, answer[0], answer[1], (unsigned long long)code, APIR_PROTOCOL_MAJOR,
			APIR_PROTOCOL_MINOR);
		return -EPROTO;
	}
	if (!s->plain && answer[2] == APIR_GREETING_MAGIC) {
		pulse_start(&s->pulse, (_Atomic uint32_t *)(void *)((char *)s->reply.ptr + HEARTBEAT_OFFSET));
		s->transport->takes_fences = true; /* it is ours */
	}
	return 0;
}

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

static int session_load(struct session *s, char *err, size_t err_size)
{
	uint8_t cmd[APIR_CMD_HEADER_SIZE];
	int64_t code = command_run(s, cmd, command_header(s, cmd, APIR_LOADLIBRARY, 0, &s->reply), true, LOAD_MS);
	/* whose trouble it is, and its number there */
	bool backend = code < APIR_LOAD_INIT;
	int64_t own = code - (code < BY_BACKEND(0) ? 0 : code < BY_GGML(0) ? BY_BACKEND(0) : BY_GGML(0));
	const struct load_error *e;

	if (code == APIR_LOAD_OK)
		return 0;
	if (code == -EAGAIN) {
		snprintf(err, err_size, COMMAND_UNSENT, s->transport->where, "load_library");
		return -EAGAIN;
	}
	if (code < 0) {
		snprintf(err, err_size,
			"%s: the host's worker ended before it had loaded its libraries: see the host's log",
			s->transport->where);
		return (int)code;
	}
	e = load_error(code);
	snprintf(err, err_size, "%s: %s: %s (code %lld): check %s and the log on the host", s->transport->where,
		backend ? "the host cannot load the APIR backend library"
			: "the host's backend library cannot use the GGML library",
		e->text, (long long)own, e->check);
	return -EREMOTEIO;
}

static int transport_open(struct transport **out, char *err, size_t err_size)
{
	const char *path = getenv("GGML_VIRTGPU_SOCKET");
	int use_apir = getenv("GGML_REMOTING_USE_APIR_CAPSET") != NULL;

	return path ? transport_socket_open(out, path, use_apir, err, err_size)
	            : transport_drm_open(out, use_apir, err, err_size);
}

static int peer_waited(void *session, uint32_t ms)
{
	return pulse_waited(session, ms);
}

/* A host that is ours may read commands from a ring. It is offered with another handshake: the first decides whose context it
 * is, by its size too. Where there is no memory for one, or an older host, commands go through the door. */
static void ring_offer(struct session *s)
{
	const struct {
		uint32_t version[2];
		struct apir_greeting greeting;
		struct apir_ring_offer ring;
	} offer = {
		{ APIR_PROTOCOL_MAJOR, APIR_PROTOCOL_MINOR },
		{ APIR_GREETING_MAGIC, s->reply.res_id, HEARTBEAT_OFFSET },
		{ APIR_RING_MAGIC, s->past.shm.res_id },
	};
	uint8_t cmd[APIR_CMD_HEADER_SIZE + sizeof offer];
	size_t n = command_header(s, cmd, APIR_HANDSHAKE, 0, &s->reply);
	uint32_t answer[3];
	int64_t code;

	memset(s->reply.ptr, 0, sizeof(uint32_t) + sizeof answer);
	memcpy(cmd + n, &offer, sizeof offer);
	code = command_run(s, cmd, n + sizeof offer, false, 0);
	memcpy(answer, (char *)s->reply.ptr + sizeof(uint32_t), sizeof answer);
	s->past.open = code == APIR_HANDSHAKE_MAGIC && answer[2] == APIR_RING_MAGIC;
}

static void ring_start(struct session *s)
{
	if (!s->pulse.word || blob_make(s, RING_SIZE, &s->past.shm) < 0)
		return;
	ring_open(&s->past.ring, s->past.shm.ptr);
	ring_offer(s);
	if (session_alive(s) && !s->past.open)
		blob_drop(s, &s->past.shm);
}

/* Blobs, greeting, libraries. */
static int session_start(struct session *s, char *err, size_t err_size)
{
	size_t size = APIR_REPLY_BLOB_SIZE;
	int e = blob_make(s, size, &s->reply);

	if (!e) {
		size = BULK_PIECE;
		e = blob_make(s, size, &s->bulk[0].shm);
	}
	if (e < 0)
		blob_fault(s, e, size, "the start", err, err_size);
	if (!e)
		e = session_greet(s, err, err_size);
	if (!e && s->pulse.word) {
		s->transport->waited = peer_waited;
		s->transport->user = s;
	}
	if (!e)
		ring_start(s);                         /* whose end session_load() tells */
	s->transport->answer_ms = SESSION_BEATLESS_MS; /* it may be computing before it looks at what is asked */
	return e ? e : session_load(s, err, err_size);
}

int session_open(struct session *s, char *err, size_t err_size)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;
	int e;

	pthread_once(&once, fork_watch);
	*s = (struct session){ 0 };
	pthread_mutex_init(&s->lock, NULL);
	e = protocol_choose(s, err, err_size);
	if (!e)
		e = pulse_patience(&s->pulse, err, err_size);
	if (!e)
		e = transport_open(&s->transport, err, err_size);
	if (!e) {
		atomic_store(&opened, s);
		e = session_start(s, err, err_size);
	}
	if (e < 0)
		session_close(s);
	blobs_leave(s);
	return e;
}

static void slot_free(struct session *s, struct slot *slot)
{
	if (slot->data.ptr)
		blob_drop(s, &slot->data);
	if (slot->reply.ptr)
		blob_drop(s, &slot->reply);
}

void session_close(struct session *s)
{
	if (!s->transport)
		return;
	if (session_alive(s)) {
		for (size_t i = 0; i < BULK_BLOBS; i++) {
			if (s->bulk[i].shm.ptr)
				blob_drop(s, &s->bulk[i].shm);
		}
		for (size_t i = 0; i < SESSION_SLOTS; i++)
			slot_free(s, &s->slots[i]);
		if (s->past.shm.ptr)
			blob_drop(s, &s->past.shm);
		if (s->reply.ptr)
			blob_drop(s, &s->reply);
	}
	atomic_store(&opened, NULL);
	s->transport->ops->close(s->transport); /* the host can forget us */
	s->transport = NULL;
	atomic_store(&s->dead, true);
}
