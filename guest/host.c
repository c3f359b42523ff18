/* SPDX-License-Identifier: MIT */
/* See host.h. */
#include "guest/host.h"

#include <errno.h>
#include <stdio.h>

#include "guest/own_ggml.h"
#include "guest/turn.h"

/* An older host doesn't know the question; then it is nothing. Nothing holds that wasn't offered, whatever the host says. */
static void host_hello(struct host *host)
{
	const uint64_t offered = APIR_FEATURE_WRITE | APIR_FEATURE_NAMES | APIR_FEATURE_MEMORY | APIR_FEATURE_AGAIN |
	                         APIR_FEATURE_ASYNC | APIR_FEATURE_AT | (own.has_counts ? APIR_FEATURE_USE_COUNTS : 0) |
	                         (own.optimize != ABI_OPTIMIZE_UNKNOWN ? APIR_FEATURE_OPTIMIZE : 0);
	uint64_t answer;
	uint32_t version;
	struct call c;

	turn_begin(&c, &host->session, APIR_FN_HELLO, "hello");
	call_u32(&c, APIR_HELLO_VERSION);
	call_u64(&c, offered);
	if (call_try(&c) < 0 || !cursor_read_u32(&c.reply, &version) || !cursor_read_u64(&c.reply, &answer))
		answer = 0;
	host->session.features = answer & offered;
	host->session.queue.async = host->session.features & APIR_FEATURE_ASYNC;
	turn_end(&c);
}

/* Into *theirs; the host translates nothing from then on. */
static int host_names(struct host *host, struct abi_names *theirs)
{
	const char *version;
	struct call c;
	int err;

	turn_begin(&c, &host->session, APIR_FN_NAMES, "names");
	c.broken |= !cursor_write_string(&c.args, own.fn.version());
	err = call_run(&c);
	if (!err && (!cursor_read_string(&c.reply, &version) || !abi_names_read(&c.reply, theirs)))
		err = -EPROTO;
	if (!err)
		snprintf(host->version, sizeof host->version, "%s", version);
	turn_end(&c);
	return err;
}

int host_agree(struct host *host)
{
	struct abi_names ours, theirs;
	int err = 0;

	if (!host->session.plain)
		host_hello(host);
	abi_names_learn(&ours, &own.fn);
	abi_names_canonical(&theirs);
	if (host->session.features & APIR_FEATURE_NAMES)
		err = host_names(host, &theirs);
	if (!err)
		abi_numbers_map(&host->numbers, &ours, &theirs);
	return err;
}
