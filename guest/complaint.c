/* SPDX-License-Identifier: MIT */
/* See complaint.h. */
#include "guest/complaint.h"

#include <errno.h>
#include <stdio.h>

#include "guest/say.h"
#include "proto/apir_wire.h"
#include "proto/util.h"

#define COMPLAINTS_MOST 20

bool complaints_left(struct complaints *c)
{
	return atomic_fetch_add(&c->n, 1) < COMPLAINTS_MOST;
}

static void about_end(const struct pulse *p, const char *name)
{
	const char *why = "its worker or device process ended", *cure = "see the host's log";
	char silence[64];

	if (atomic_load(&p->connection->torn)) {
		why = "the device was reset or unbound";
		cure = "see the system's log";
	} else if (atomic_load(&p->spent)) {
		snprintf(silence, sizeof silence, "it has not answered for %u s", p->patience_ms / 1000);
		why = silence;
		cure = "see what became of it";
	}
	say_error("%s: %s: the host is gone (%s): %s, then start this program again", p->connection->transport->where,
		name, why, cure);
}

void complaint_about(struct complaints *c, const char *name, int64_t code)
{
	static const char *const reasons[] = {
		[APIR_FORWARD_NO_DISPATCH] = "its library isn't loaded",
		[APIR_FORWARD_TIMEOUT] = "it took too long",
		[APIR_FORWARD_NO_SYNC] = "its answer is not complete",
		[APIR_FORWARD_BASE + APIR_FN_FAILED] = "it could not be done",
		[APIR_FORWARD_BASE + APIR_FN_REFUSED] = "it was refused",
		[APIR_FORWARD_BASE + APIR_FN_INVALID] = "it doesn't know the function",
	};
	struct connection *connection = c->pulse->connection;

	if (code < 0 && code != -EAGAIN) {
		/* A forked child has nothing to tell of it. */
		if (!connection_forked() && !atomic_exchange(&connection->told, true))
			about_end(c->pulse, name);
		return;
	}
	if (!complaints_left(c))
		return;
	if (code < 0)
		say_error(COMPLAINT_UNSENT, connection->transport->where, name);
	else
		say_error("%s: %s failed on the host: %s (code %lld): see the host's log", connection->transport->where,
			name, code < (int64_t)ARRAY_SIZE(reasons) && reasons[code] ? reasons[code] : "unknown",
			(long long)code);
}
