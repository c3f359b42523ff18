/* SPDX-License-Identifier: MIT */
/*
 * How the plugin reaches the host: one transport is one connection with one APIR context on it.
 *
 * Two kinds: a virtio-gpu render node (drm.c; no_drm.c where the system has none) and a socket that speaks
 * virglrenderer's vtest protocol (socket.c). Functions return 0 or -errno. A transport is used under its session's
 * lock: one thread at a time.
 */
#ifndef GUEST_TRANSPORT_TRANSPORT_H
#define GUEST_TRANSPORT_TRANSPORT_H

#include <errno.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct transport;

/* Memory shared with the host: a blob, mapped. */
struct shm {
	uint32_t res_id; /* the host's name for it */
	uint32_t handle; /* the transport's own (GEM handle) */
	void *ptr;
	size_t size; /* bytes, as mapped */
	bool stays;  /* nobody can take it away as long as it is mapped */
};

/* Expect a long wait: prepare one that costs no processor time. Without it, such a wait first has to send a fence of
 * its own, an empty command. Where the host isn't known to take fences there is neither. */
#define SUBMIT_FENCE 1u
/* Another command follows at once: this one may be held back until then. */
#define SUBMIT_MORE 2u

struct transport_ops {
	const char *name; /* "virtio-gpu", "socket" */
	/* What to do where the host gives no blob. */
	const char *no_blob;
	/* Makes a mappable host blob of at least `size` bytes, attached to our context, zeroed. -EREMOTEIO: the host gives
	 * none; other errors are this side's. */
	int (*blob_create)(struct transport *t, size_t size, struct shm *out);
	void (*blob_destroy)(struct transport *t, struct shm *shm);
	/*
	 * Sends one command (its bytes are copied); the host answers in shared memory. flags: what the caller knows of
	 * what comes next, below. An error that transport_passing() is one of: nothing was sent, and the same may be tried again.
	 */
	int (*submit)(struct transport *t, const void *cmd, size_t size, unsigned flags);
	/* A command went past the transport: no fence of what was submitted is that one's. NULL: it has none. */
	void (*passed)(struct transport *t);
	/*
	 * Blocks until *word != 0 (returns 1), timeout_ms passed (returns 0), or the host is known to be gone
	 * (-EPIPE): the submission's fence signalled, or the peer hung up, with the word still 0. Returns 1
	 * whenever the word is set on return, whatever else happened.
	 */
	int (*wait)(struct transport *t, const _Atomic uint32_t *word, int timeout_ms);
	/* Whether the host, or the way to it, is known to be gone. Asks nobody who might not answer. */
	bool (*gone)(struct transport *t);
	/* In a forked child, as the first thing there: closes its copies of the descriptors, since the host takes them
	 * for its parent's. Async-signal-safe. Nothing is sent or waited for on t afterwards. */
	void (*leave)(struct transport *t);
	/* Frees t and all that it holds; blobs must have been destroyed. */
	void (*close)(struct transport *t);
};

/* What a system lacks at times, for its own part: nothing is known of the host then. */
static inline bool transport_passing(int err)
{
	return err == -EINTR || err == -EAGAIN || err == -ENOMEM || err == -ENOBUFS || err == -ENOSPC;
}

struct transport {
	const struct transport_ops *ops;
	/* Told of each slice of a wait for the peer to take or to say something; < 0 ends it. NULL: it may take answer_ms. */
	int (*waited)(void *user, uint32_t ms);
	void *user;
	int answer_ms;      /* 0: some seconds, as while we don't know who it is */
	uint32_t capset_id; /* APIR_CAPSET_APIR or APIR_CAPSET_VENUS */
	/* The host has proved to be ours, so it takes fences and empty commands. llama.cpp's own virglrenderer ends the
	 * context for a fence, or takes it and never signals it. Set by the session; false at first. */
	bool takes_fences;
	char where[128]; /* for messages: "/dev/dri/renderD128", "/run/x.sock" */
};

/*
 * Both connect, choose the capset and make the context. Capset rule: where use_apir_capset (the variable
 * GGML_REMOTING_USE_APIR_CAPSET is set) APIR's (10) is required; else Venus' (4), and where that isn't offered
 * but APIR's is, APIR's. On failure they return -errno and write one line (no newline, no prefix) to err that
 * names what was tried and the cure. *out is owned by the caller, ops->close() frees it.
 */
int transport_drm_open(struct transport **out, int use_apir_capset, char *err, size_t err_size);
int transport_socket_open(struct transport **out, const char *path, int use_apir_capset, char *err, size_t err_size);

/* The capset rule itself. offers(user, id): 1 if the host offers that capset. Returns the id, or 0: none fits. */
uint32_t transport_choose_capset(int use_apir_capset, int (*offers)(void *user, uint32_t id), void *user);

#endif
