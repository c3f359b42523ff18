/* SPDX-License-Identifier: MIT */
/*
 * See guard.h. The handler puts private zeroed memory in the mapping's place and returns; the instruction is run again
 * and finds that. Several threads may do so at once: they all put zeros there.
 *
 * A program that installs a handler of its own later, and hands on what isn't its own, hands it to us: that must not go
 * round in circles. So each handler that we were put in front of has a layer, with a function of its own that knows what
 * was there before, and no layer comes twice in a chain. Nobody tells when a handler is of no use any more, so layers aren't
 * given back; a handler that is installed again, with the same flags, has its old one.
 *
 * Everything that the handler calls is async-signal-safe, mmap() by being nothing but a system call.
 */
#include "platform/guard.h"

#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <sys/mman.h>

#include "proto/util.h"

#define MAPPINGS_MAX 128
#define LAYERS_MAX   64

static struct mapping {
	_Atomic uintptr_t start; /* 0: free */
	_Atomic size_t size;
	_Atomic(_Atomic bool *) lost;
} mappings[MAPPINGS_MAX];

static struct layer {
	struct sigaction before; /* written before the handler is installed, never again */
	_Atomic bool spent;      /* it wanted to be called once only, and was */
	bool used;
} layers[LAYERS_MAX];

static bool started; /* the handler is in place */

/* True: the address is guarded, and can be touched now. */
static bool mapping_replace(uintptr_t at)
{
	for (size_t i = 0; i < MAPPINGS_MAX; i++) {
		struct mapping *m = &mappings[i];
		uintptr_t start = atomic_load(&m->start);
		size_t size = atomic_load(&m->size);
		_Atomic bool *lost = atomic_load(&m->lost);

		/* The slot may become another mapping's meanwhile; only while it doesn't do the three belong together. */
		if (!start || at < start || at - start >= size || atomic_load(&m->start) != start)
			continue;
		atomic_store(lost, true);
		return mmap((void *)start, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1,
			       0) != MAP_FAILED;
	}
	return false;
}

static bool from_an_access(const siginfo_t *info)
{
	return info->si_code > 0 && info->si_code != BUS_MCEERR_AO;
}

/* As the system would have: by faulting once more, or by the same signal when we have returned. */
static void end_by_default(int sig, const siginfo_t *info)
{
	const struct sigaction action = { .sa_handler = SIG_DFL };

	sigaction(sig, &action, NULL);
	if (!from_an_access(info))
		raise(sig);
}

static void hand_on(struct layer *l, int sig, siginfo_t *info, void *context)
{
	const struct sigaction *to = &l->before;
	sigset_t mask = to->sa_mask, old, one;

	if (to->sa_handler == SIG_IGN && !from_an_access(info))
		return;
	if (to->sa_handler == SIG_DFL || to->sa_handler == SIG_IGN ||
		(((unsigned)to->sa_flags & SA_RESETHAND) && atomic_exchange(&l->spent, true))) {
		end_by_default(sig, info);
		return;
	}
	pthread_sigmask(SIG_BLOCK, &mask, &old);
	if (to->sa_flags & SA_NODEFER) {
		sigemptyset(&one);
		sigaddset(&one, sig);
		pthread_sigmask(SIG_UNBLOCK, &one, NULL);
	}
	if (to->sa_flags & SA_SIGINFO)
		to->sa_sigaction(sig, info, context);
	else
		to->sa_handler(sig);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
}

static void on_signal(size_t which, int sig, siginfo_t *info, void *context)
{
	int err = errno;

	if (!from_an_access(info) || !mapping_replace((uintptr_t)info->si_addr))
		hand_on(&layers[which], sig, info, context);
	errno = err;
}

/* A function for each layer. */
#define LAYER(n)                                                                                                       \
	static void layer_##n(int sig, siginfo_t *info, void *context)                                                 \
	{                                                                                                              \
		on_signal(0##n, sig, info, context);                                                                   \
	}
#define HANDLER(n)  layer_##n,
#define EIGHT(f, n) f(n##0) f(n##1) f(n##2) f(n##3) f(n##4) f(n##5) f(n##6) f(n##7)
#define EACH(f)     EIGHT(f, 0) EIGHT(f, 1) EIGHT(f, 2) EIGHT(f, 3) EIGHT(f, 4) EIGHT(f, 5) EIGHT(f, 6) EIGHT(f, 7)

EACH(LAYER)
static void (*const handlers[])(int, siginfo_t *, void *) = { EACH(HANDLER) };
static_assert(ARRAY_SIZE(handlers) == LAYERS_MAX, "numbered in octal");

/* The layer that stands in front of this action, or could; NULL: there are too many. */
static struct layer *layer_for(const struct sigaction *action)
{
	for (size_t i = 0; i < LAYERS_MAX; i++) {
		if (layers[i].used && layers[i].before.sa_handler == action->sa_handler &&
			layers[i].before.sa_flags == action->sa_flags)
			return &layers[i];
	}
	for (size_t i = 0; i < LAYERS_MAX; i++) {
		if (!layers[i].used)
			return &layers[i];
	}
	return NULL;
}

/* On the stack where the program's own handler would run, and interrupting system calls no more than it would. */
static void handler_front(void)
{
	struct sigaction now, ours = { .sa_flags = SA_SIGINFO };
	struct layer *l;
	bool handled;

	if (sigaction(SIGBUS, NULL, &now) < 0)
		return;
	for (size_t i = 0; i < LAYERS_MAX && layers[i].used; i++) {
		if ((now.sa_flags & SA_SIGINFO) && now.sa_sigaction == handlers[i])
			return;
	}
	l = layer_for(&now);
	if (!l)
		return;
	if (!l->used)
		l->before = now;
	l->used = true;
	atomic_store(&l->spent, false);
	handled = now.sa_handler != SIG_DFL && now.sa_handler != SIG_IGN;
	ours.sa_sigaction = handlers[l - layers];
	ours.sa_flags |= handled ? now.sa_flags & (SA_ONSTACK | SA_RESTART) : SA_ONSTACK | SA_RESTART;
	sigemptyset(&ours.sa_mask);
	sigaction(SIGBUS, &ours, NULL);
}

int guard_add(void *ptr, size_t size, _Atomic bool *lost)
{
	static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
	int err = -ENOSPC;

	pthread_mutex_lock(&lock);
	for (size_t i = 0; err && i < MAPPINGS_MAX; i++) {
		struct mapping *m = &mappings[i];

		if (atomic_load(&m->start))
			continue;
		atomic_store(&m->size, size);
		atomic_store(&m->lost, lost);
		atomic_store(&m->start, (uintptr_t)ptr);
		err = 0;
	}
	if (!err)
		handler_front();
	started |= !err;
	pthread_mutex_unlock(&lock);
	return err;
}

void guard_remove(void *ptr)
{
	for (size_t i = 0; i < MAPPINGS_MAX; i++) {
		uintptr_t start = (uintptr_t)ptr;

		if (ptr && atomic_compare_exchange_strong(&mappings[i].start, &start, 0))
			return;
	}
}

void guard_abandon(void)
{
	for (size_t i = 0; i < MAPPINGS_MAX; i++)
		atomic_store(&mappings[i].start, 0);
}

/* A fault in a thread that blocks the signal ends the program without asking anybody. */
bool guard_enter(void)
{
	sigset_t bus, old;

	if (started)
		handler_front();
	sigemptyset(&bus);
	sigaddset(&bus, SIGBUS);
	return pthread_sigmask(SIG_UNBLOCK, &bus, &old) == 0 && sigismember(&old, SIGBUS) == 1;
}

void guard_leave(bool entered)
{
	sigset_t bus;

	if (!entered)
		return;
	sigemptyset(&bus);
	sigaddset(&bus, SIGBUS);
	pthread_sigmask(SIG_BLOCK, &bus, NULL);
}
