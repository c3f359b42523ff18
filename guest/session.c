/* SPDX-License-Identifier: MIT */
/*
 * See session.h. How a wait ends: the reply word is set; or the transport knows that the host is gone (a fence
 * without an answer, a closed socket); or the heartbeat word has stood still for SESSION_PATIENCE_MS, which is
 * counted in slices that we waited ourselves, so that a guest that was paused doesn't see a dead host.
 */
#include "guest/session.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "guest/say.h"

#define SLICE_MS          100
#define SPIN_NS           100000 /* a short command's answer comes within this; sleeping would cost more */
#define SPIN_LONG_NS      10000
#define GREETING_MS       5000
#define LOAD_MS           120000
#define HEARTBEAT_OFFSET  (APIR_REPLY_BLOB_SIZE - 64)
#define MAX_COMPLAINTS    20

/* Set in a forked child: its parent's context isn't its own. */
static _Atomic bool forked;

static void on_fork(void)
{
	forked = true;
}

static void fork_watch(void)
{
	pthread_atfork(NULL, NULL, on_fork);
}

bool session_alive(const struct session *s)
{
	return !atomic_load_explicit(&s->dead, memory_order_relaxed) && !atomic_load_explicit(&forked, memory_order_relaxed);
}

void session_note_loss(struct session *s)
{
	atomic_store(&s->failed, true);
}

bool session_lost(const struct session *s)
{
	return atomic_load(&s->failed);
}

bool session_take_loss(struct session *s)
{
	return atomic_exchange(&s->failed, false);
}

/* In a forked child the lock may be held by a thread that isn't there; nothing is sent from there anyway. */
void session_lock(struct session *s)
{
	if (!atomic_load_explicit(&forked, memory_order_relaxed))
		pthread_mutex_lock(&s->lock);
}

void session_unlock(struct session *s)
{
	if (!atomic_load_explicit(&forked, memory_order_relaxed))
		pthread_mutex_unlock(&s->lock);
}

static uint64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static inline void cpu_relax(void)
{
#if defined(__x86_64__)
	__builtin_ia32_pause();
#elif defined(__aarch64__)
	__asm__ volatile("yield");
#endif
}

static bool word_spin(const _Atomic uint32_t *word, uint64_t ns)
{
	uint64_t until = now_ns() + ns;

	do {
		for (int i = 0; i < 32; i++) {
			if (atomic_load_explicit(word, memory_order_acquire))
				return true;
			cpu_relax();
		}
	} while (now_ns() < until);
	return false;
}

/* limit_ms bounds the whole wait where there is no heartbeat; 0: none. 0 or -EPIPE, -ETIMEDOUT. */
static int reply_wait(struct session *s, const _Atomic uint32_t *word, bool long_wait, uint32_t limit_ms)
{
	uint32_t waited = 0, still = 0;
	uint32_t beat = s->beat ? atomic_load_explicit(s->beat, memory_order_relaxed) : 0;

	if (word_spin(word, long_wait ? SPIN_LONG_NS : SPIN_NS))
		return 0;
	for (;;) {
		int r = s->transport->ops->wait(s->transport, word, SLICE_MS);

		if (r > 0)
			return 0;
		if (r < 0 && r != -EINTR)
			return -EPIPE;
		waited += SLICE_MS;
		if (!s->beat) {
			if (limit_ms && waited >= limit_ms)
				return -ETIMEDOUT;
			continue;
		}
		if (atomic_load_explicit(s->beat, memory_order_relaxed) != beat) { /* the worker's heartbeat_run() adds */
			beat = atomic_load_explicit(s->beat, memory_order_relaxed);
			still = 0;
		} else {
			still += SLICE_MS;
			if (still >= SESSION_PATIENCE_MS)
				return -EPIPE;
		}
	}
}

/* Sends a command whose answer goes to `reply`, under the lock. */
static int command_send(struct session *s, const struct shm *reply, const void *cmd, size_t size, unsigned flags)
{
	_Atomic uint32_t *word = reply->ptr;
	int err;

	if (!session_alive(s))
		return -EPIPE;
	atomic_store_explicit(word, 0, memory_order_relaxed); /* the submission orders it before the host's store */
	/* A host without a heartbeat is another's: it may not take the empty command of a late fence. */
	err = s->transport->ops->submit(s->transport, cmd, size, s->beat ? flags : flags | SUBMIT_FENCE);
	if (err)
		atomic_store(&s->dead, true);
	return err ? -EPIPE : 0;
}

/* The host's code once it has answered, or -errno having marked the session dead. */
static int64_t command_await(struct session *s, const struct shm *reply, bool long_wait, uint32_t limit_ms)
{
	const _Atomic uint32_t *word = reply->ptr;
	int err = session_alive(s) ? reply_wait(s, word, long_wait, limit_ms) : -EPIPE;

	if (!err)
		return (int64_t)atomic_load_explicit(word, memory_order_acquire) - 1; /* pairs with the worker's release */
	atomic_store(&s->dead, true);
	return err;
}

static int64_t command_run(struct session *s, const void *cmd, size_t size, bool long_wait, uint32_t limit_ms)
{
	int err = command_send(s, &s->reply, cmd, size, long_wait ? SUBMIT_FENCE : 0);

	return err ? err : command_await(s, &s->reply, long_wait, limit_ms);
}

static size_t header_write(const struct session *s, uint8_t *out, enum apir_type type, int32_t flags,
		const struct shm *reply)
{
	int32_t base = s->transport->capset_id == APIR_CAPSET_VENUS ? APIR_VENUS_TYPE_BASE : 0;
	int32_t words[3] = { (int32_t)type + base, flags, (int32_t)reply->res_id };

	static_assert(sizeof words == APIR_CMD_HEADER_SIZE, "wire");
	memcpy(out, words, sizeof words);
	return sizeof words;
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
	n = header_write(s, cmd, APIR_HANDSHAKE, 0, &s->reply);
	memcpy(cmd + n, version, sizeof version);
	memcpy(cmd + n + sizeof version, &g, sizeof g);
	code = command_run(s, cmd, sizeof cmd, false, GREETING_MS);
	if (code == -ETIMEDOUT || code == -EPIPE) {
		snprintf(err, err_size, "%s: the host did not answer APIR's handshake: its device has no APIR (on a Venus device set "
				"VIRGL_ROUTE_VENUS_TO_APIR on the host), or its worker could not start (see the host's log)",
				s->transport->where);
		return (int)code;
	}
	memcpy(answer, (char *)s->reply.ptr + sizeof(uint32_t), sizeof answer);
	if (code != APIR_HANDSHAKE_MAGIC || answer[0] != APIR_PROTOCOL_MAJOR) {
		snprintf(err, err_size, "%s: the host speaks APIR %u.%u (code %#llx), this plugin %u.%u: update the older one",
				s->transport->where, answer[0], answer[1], (unsigned long long)code, APIR_PROTOCOL_MAJOR,
				APIR_PROTOCOL_MINOR);
		return -EPROTO;
	}
	if (answer[2] == APIR_GREETING_MAGIC)
		s->beat = (_Atomic uint32_t *)(void *)((char *)s->reply.ptr + HEARTBEAT_OFFSET);
	return 0;
}

static const char *load_error(int64_t code)
{
	static const char *const texts[] = {
		[APIR_LOAD_HYPERCALL] = "the hypervisor could not start the call",
		[APIR_LOAD_ALREADY] = "the library was loaded already",
		[APIR_LOAD_ENV_MISSING] = "a variable or key is missing",
		[APIR_LOAD_CANNOT_OPEN] = "it cannot be opened",
		[APIR_LOAD_SYMBOL_MISSING] = "a symbol is missing",
	};
	static const char *const inits[] = {
		[APIR_INIT_NO_REG] = "its registration function returned nothing",
		[APIR_INIT_NO_DEVICE] = "it offers no such device",
		[APIR_INIT_NO_BACKEND] = "its device could not be initialised",
		[APIR_INIT_BAD_ABI] = "its ggml version is not supported",
		[APIR_INIT_NO_MEMORY] = "out of memory",
	};

	if (code > 0 && code < APIR_LOAD_INIT)
		return texts[code];
	code -= APIR_LOAD_INIT;
	return code > 0 && code < (int64_t)ARRAY_SIZE(inits) ? inits[code] : "unknown code";
}

static int session_load(struct session *s, char *err, size_t err_size)
{
	uint8_t cmd[APIR_CMD_HEADER_SIZE];
	int64_t code = command_run(s, cmd, header_write(s, cmd, APIR_LOADLIBRARY, 0, &s->reply), true, LOAD_MS);
	const char *what, *hint;

	if (code == APIR_LOAD_OK)
		return 0;
	if (code < 0) {
		snprintf(err, err_size, "%s: the host's worker ended while it loaded its libraries: see the host's log",
				s->transport->where);
		return (int)code;
	}
	if (code < APIR_LOAD_INIT) {
		what = "the host cannot load the APIR backend library";
		hint = "VIRGL_APIR_BACKEND_LIBRARY";
	} else {
		code -= APIR_LOAD_INIT;
		what = "the host's backend library cannot use the GGML library";
		hint = code == APIR_LOAD_SYMBOL_MISSING ? "APIR_LLAMA_CPP_GGML_LIBRARY_REG" : "APIR_LLAMA_CPP_GGML_LIBRARY_PATH";
	}
	snprintf(err, err_size, "%s: %s: %s (code %lld): check %s and the log on the host", s->transport->where, what,
			load_error(code), (long long)code, hint);
	return -EREMOTEIO;
}

static int transport_open(struct transport **out, char *err, size_t err_size)
{
	const char *path = getenv("GGML_VIRTGPU_SOCKET");
	int use_apir = getenv("GGML_REMOTING_USE_APIR_CAPSET") != NULL;

	return path ? transport_socket_open(out, path, use_apir, err, err_size) : transport_drm_open(out, use_apir, err, err_size);
}

int session_open(struct session *s, char *err, size_t err_size)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;
	int e;

	pthread_once(&once, fork_watch);
	*s = (struct session){ 0 };
	pthread_mutex_init(&s->lock, NULL);
	e = transport_open(&s->transport, err, err_size);
	if (e < 0)
		return e;
	e = s->transport->ops->blob_create(s->transport, APIR_REPLY_BLOB_SIZE, &s->reply);
	if (!e)
		e = s->transport->ops->blob_create(s->transport, APIR_DATA_BLOB_SIZE, &s->data);
	if (e < 0)
		snprintf(err, err_size, "%s: the host gives no shared memory (%s): enlarge the device's host-visible window",
				s->transport->where, strerror(-e));
	if (!e)
		e = session_greet(s, err, err_size);
	if (!e)
		e = session_load(s, err, err_size);
	if (e < 0)
		session_close(s);
	return e;
}

static void slot_free(struct session *s, struct slot *slot)
{
	if (slot->data.ptr)
		s->transport->ops->blob_destroy(s->transport, &slot->data);
	if (slot->reply.ptr)
		s->transport->ops->blob_destroy(s->transport, &slot->reply);
}

void session_close(struct session *s)
{
	if (!s->transport)
		return;
	if (session_alive(s)) {
		if (s->data.ptr)
			s->transport->ops->blob_destroy(s->transport, &s->data);
		for (size_t i = 0; i < SESSION_SLOTS; i++)
			slot_free(s, &s->slots[i]);
		if (s->reply.ptr)
			s->transport->ops->blob_destroy(s->transport, &s->reply);
		s->transport->ops->close(s->transport);
	}
	s->transport = NULL;
	atomic_store(&s->dead, true);
}

void call_header(struct call *c, enum apir_fn fn)
{
	struct session *s = c->session;
	size_t n = header_write(s, s->command, APIR_FORWARD, (int32_t)fn, &s->reply);

	c->broken = false;
	c->args = cursor_over(s->command, sizeof s->command);
	c->args.pos = n;
}

void call_begin(struct call *c, struct session *s, enum apir_fn fn, const char *name)
{
	c->session = s;
	c->name = name;
	session_lock(s);
	/* What is pending must be there before anything that could see that it isn't. */
	if (fn >= APIR_FN_BUFFER_BASE && s->pending.n)
		pending_flush(s);
	call_header(c, fn);
}

void call_u32(struct call *c, uint32_t v)
{
	c->broken |= !cursor_write_u32(&c->args, v);
}

void call_u64(struct call *c, uint64_t v)
{
	c->broken |= !cursor_write_u64(&c->args, v);
}

void call_bytes(struct call *c, const void *p, size_t n)
{
	c->broken |= !cursor_write(&c->args, p, n);
}

/* At most a few lines a session: a program that loops must not flood its log. */
static void complain(struct session *s, const char *name, int64_t code)
{
	static const char *const reasons[] = { "done", "it could not be done", "it was refused" };
	int64_t fn = code - APIR_FORWARD_BASE;

	if (atomic_fetch_add(&s->complaints, 1) >= MAX_COMPLAINTS)
		return;
	if (code < 0)
		say_error("%s: %s: the host is gone (its worker or device process ended): see the host's log, then start this "
			  "program again", s->transport->where, name);
	else
		say_error("%s: %s failed on the host: %s (code %lld): see the host's log", s->transport->where, name,
				fn >= 0 && fn < (int64_t)ARRAY_SIZE(reasons) ? reasons[fn] : "unknown", (long long)code);
}

/* Waits for what was posted in the slot, if anything; where that failed it is reported, and the next compute fails. */
static void slot_settle(struct session *s, struct slot *slot)
{
	int32_t status = 0;
	int64_t code;

	if (!slot->posted)
		return;
	code = command_await(s, &slot->reply, slot->has_status, 0);
	if (code == APIR_FORWARD_OK && slot->has_status)
		memcpy(&status, (char *)slot->reply.ptr + sizeof(uint32_t), sizeof status);
	if (code != APIR_FORWARD_OK || status) {
		if (code != APIR_FORWARD_OK)
			complain(s, slot->posted, code);
		session_note_loss(s);
	}
	slot->posted = NULL;
}

void call_settle(struct call *c)
{
	for (size_t i = 0; i < SESSION_SLOTS; i++)
		slot_settle(c->session, &c->session->slots[i]);
}

void session_settle(struct session *s)
{
	struct call c;

	c.session = s;
	session_lock(s);
	call_settle(&c);
	session_unlock(s);
}

struct slot *call_slot(struct call *c, bool data)
{
	struct session *s = c->session;
	struct slot *slot = &s->slots[0];

	for (size_t i = 0; i < SESSION_SLOTS && slot->posted; i++)
		slot = &s->slots[i];
	if (slot->posted)
		call_settle(c);
	if (!session_alive(s))
		return NULL;
	if (!slot->reply.ptr && s->transport->ops->blob_create(s->transport, APIR_BLOB_GRANULE, &slot->reply) < 0)
		return NULL;
	if (data && !slot->data.ptr && s->transport->ops->blob_create(s->transport, PENDING_RUN, &slot->data) < 0)
		return NULL;
	return slot;
}

void call_post(struct call *c, struct slot *slot, bool has_status)
{
	struct session *s = c->session;
	bool was_alive = session_alive(s);

	/* The answer goes to the slot's own blob. */
	memcpy(s->command + 2 * sizeof(int32_t), &slot->reply.res_id, sizeof slot->reply.res_id);
	if (!c->broken && command_send(s, &slot->reply, s->command, c->args.pos, has_status ? 0 : SUBMIT_MORE) == 0) {
		slot->posted = c->name;
		slot->has_status = has_status;
		return;
	}
	if (was_alive)
		complain(s, c->name, -EPIPE);
	session_note_loss(s);
}

static int run(struct call *c, bool long_wait, bool quiet)
{
	struct session *s = c->session;
	bool was_alive = session_alive(s);
	int64_t code;

	if (c->broken)
		return -EMSGSIZE;
	for (size_t i = 0; i < SESSION_SLOTS; i++)
		long_wait |= s->slots[i].posted && s->slots[i].has_status; /* a graph is computed first */
	code = command_run(s, s->command, c->args.pos, long_wait, 0);
	/* Commands are executed in order: what was posted before has its answer now. */
	if (code >= 0)
		call_settle(c);
	if (code != APIR_FORWARD_OK && was_alive && !(quiet && code > 0))
		complain(s, c->name, code);
	if (code < 0)
		return -EPIPE;
	if (code != APIR_FORWARD_OK)
		return -EREMOTEIO;
	c->reply = cursor_over((char *)s->reply.ptr + sizeof(uint32_t), HEARTBEAT_OFFSET - sizeof(uint32_t));
	return 0;
}

int call_run(struct call *c)
{
	return run(c, false, false);
}

int call_run_long(struct call *c)
{
	return run(c, true, false);
}

int call_try(struct call *c)
{
	return run(c, false, true);
}

void call_end(struct call *c)
{
	session_unlock(c->session);
}
