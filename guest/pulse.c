/* SPDX-License-Identifier: MIT */
/*
 * See pulse.h. The host changes its word every APIR_HEARTBEAT_MS, so a word that has changed since the last look says that
 * it lived in between, and two looks with little time between them when that was.
 *
 * Silence is counted in slices that we waited ourselves: a program that was stopped, or whose machine slept, doesn't take
 * its own absence for the host's.
 */
#include "guest/pulse.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "guest/say.h"
#include "platform/clock.h"
#include "proto/apir_wire.h"

#define PATIENCE_ENV     "GGML_VIRTGPU_PATIENCE"
#define PATIENCE_DEFAULT 60
#define PATIENCE_MOST    86400
#define FRESH_MS         1000 /* several beats: a busy host is not silent */
#define STEP_MS          5
#define STEP_MOST_MS     100 /* a longer one was our own absence */

int pulse_patience(struct pulse *p, char *err, size_t err_size)
{
	const char *text = getenv(PATIENCE_ENV);
	unsigned long seconds = PATIENCE_DEFAULT;

	if (text) {
		seconds = strspn(text, "0123456789") == strlen(text) && strlen(text) <= 5 ? strtoul(text, NULL, 10) : 0;
		if (seconds < 1 || seconds > PATIENCE_MOST) {
			snprintf(err, err_size,
				PATIENCE_ENV
				" is '%.40s': set it to a number of seconds from 1 to %d, or unset it for %d",
				text, PATIENCE_MOST, PATIENCE_DEFAULT);
			return -EINVAL;
		}
	}
	p->patience_ms = (uint32_t)seconds * 1000;
	return 0;
}

void pulse_start(struct pulse *p, const _Atomic uint32_t *word)
{
	p->word = word;
	p->seen = atomic_load_explicit(word, memory_order_relaxed);
	pulse_answered(p);
}

void pulse_answered(struct pulse *p)
{
	if (p->word)
		p->looked_at = p->changed_at = p->alive_at = clock_ms();
}

/* True: it lived since the last look. */
static bool pulse_moved(struct pulse *p)
{
	uint32_t now = atomic_load_explicit(p->word, memory_order_relaxed); /* worker/heartbeat.c adds */
	int64_t at = clock_ms();
	bool changed = now != p->seen;

	if (changed && at - p->looked_at < FRESH_MS)
		p->alive_at = at;
	p->looked_at = at;
	p->seen = now;
	if (changed && p->told)
		say_info("%s: the host answers again", p->connection->transport->where);
	if (changed) {
		p->changed_at = at;
		p->still_ms = 0;
		p->told = false;
	}
	return changed;
}

static bool pulse_gone(const struct pulse *p)
{
	return atomic_load_explicit(p->word, memory_order_relaxed) == APIR_HEARTBEAT_GONE ||
	       !connection_alive(p->connection);
}

int pulse_waited(struct pulse *p, uint32_t ms)
{
	if (!p->word)
		return connection_alive(p->connection) ? 0 : -EPIPE;
	if (pulse_gone(p))
		return -EPIPE;
	if (pulse_moved(p))
		return 0;
	p->still_ms += ms;
	if (p->still_ms >= p->patience_ms) {
		atomic_store(&p->spent, true);
		return -EPIPE;
	}
	if (p->still_ms >= PULSE_TELL_MS && !p->told) {
		p->told = true;
		say_warn("%s: the host has not answered for %u s; waiting up to %u s (" PATIENCE_ENV
			 "): does it sleep, or is a process of it stopped?",
			p->connection->transport->where, p->still_ms / 1000, p->patience_ms / 1000);
	}
	return 0;
}

int pulse_wait(struct pulse *p, bool surely)
{
	const struct timespec step = { .tv_nsec = STEP_MS * 1000000 };
	int err = 0;

	if (!p->word)
		return 0;
	if (pulse_gone(p))
		return -EPIPE;
	pulse_moved(p);
	while (!err && p->looked_at - (surely ? p->alive_at : p->changed_at) >= FRESH_MS) {
		int64_t start = clock_ms(), took;

		nanosleep(&step, NULL);
		took = clock_ms() - start;
		err = pulse_waited(p, took < STEP_MOST_MS ? (uint32_t)took : STEP_MOST_MS);
		if (!err && p->connection->transport->ops->gone(p->connection->transport))
			err = -EPIPE;
	}
	return err;
}
