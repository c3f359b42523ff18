/* SPDX-License-Identifier: MIT */
/*
 * The host: our connection to it, and what both have agreed on. Numbers of operations and types are each ggml's own. What
 * travels are the host's, once it has told its names; with a host that doesn't, those that APIR 0.2's peers have. What the
 * host's ggml lacks isn't supported.
 */
#ifndef GUEST_HOST_H
#define GUEST_HOST_H

#include "ggml-abi/names.h"
#include "guest/session.h"

struct host {
	struct session session;
	struct abi_numbers numbers; /* from our ggml's to the wire's */
	char version[32];           /* of its ggml; empty: it doesn't tell */
};

/* What both ends can beyond APIR 0.2, and what numbers mean. 0 or -errno. */
int host_agree(struct host *host);

#endif
