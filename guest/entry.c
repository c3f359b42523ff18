/* SPDX-License-Identifier: MIT */
/* See entry.h. */
#include "guest/entry.h"

#include <pthread.h>
#include <signal.h>

#include "guest/say.h"
#include "guest/connection.h"

#define REFUSALS_TOLD 5

/* This thread is within a call. A signal handler reads and writes it, too. */
static _Thread_local volatile sig_atomic_t inside;
/* Whether the program lets this thread be cancelled, for its end. */
static _Thread_local int cancel_state;
/* What a handler asked for in vain; NULL: nothing, or it was told already. */
static const char *_Atomic refused;

bool entry_begin(const char *what)
{
	if (connection_forked())
		return false;
	if (inside) {
		if (what)
			atomic_store(&refused, what);
		return false;
	}
	/* A handler between the two is refused, and so leaves cancel_state alone. */
	inside = true;
	pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &cancel_state);
	return true;
}

/* A handler can't print: its thread may hold the very locks that printing takes. */
static void refusal_tell(void)
{
	static _Atomic uint32_t told;
	const char *what = atomic_load(&refused) ? atomic_exchange(&refused, NULL) : NULL;

	if (what && atomic_fetch_add(&told, 1) < REFUSALS_TOLD)
		say_warn("%s: not done: a signal handler (or a log callback) asked for it within another call of the "
			 "same thread; set a flag there, and ask when that call is over",
			what);
}

void entry_forked_tell(void)
{
	static _Atomic bool told;

	if (connection_forked() && !atomic_exchange(&told, true))
		say_error("no device: this process was forked from the one that has it, and shares no connection with "
			  "it: "
			  "load ggml after the fork, or start a program of its own (exec)");
}

void entry_end(void)
{
	int state = cancel_state;

	refusal_tell();
	inside = false;
	pthread_setcancelstate(state, NULL);
}
