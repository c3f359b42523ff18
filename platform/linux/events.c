/* SPDX-License-Identifier: MIT */
/* See events.h: epoll, with an eventfd as the wake and a timerfd as the alarm. */
#include "platform/events.h"

#include <errno.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/timerfd.h>

#include "proto/util.h"

struct events {
	int epoll, wake, timer;
};

/* epoll's words for our own descriptors */
#define WORD_WAKE  UINT64_MAX
#define WORD_TIMER (UINT64_MAX - 1)

int events_create(struct events **out)
{
	struct events *e = malloc(sizeof *e);
	int err = 0;

	if (!e)
		return -ENOMEM;
	e->epoll = fd_above_std(epoll_create1(EPOLL_CLOEXEC));
	e->wake = fd_above_std(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
	e->timer = fd_above_std(timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK));
	if (e->epoll < 0 || e->wake < 0 || e->timer < 0)
		err = -errno;
	if (!err)
		err = events_add(e, e->wake, WORD_WAKE);
	if (!err)
		err = events_add(e, e->timer, WORD_TIMER);
	if (err) {
		events_destroy(e);
		return err;
	}
	*out = e;
	return 0;
}

void events_destroy(struct events *e)
{
	if (!e)
		return;
	if (e->epoll >= 0)
		close(e->epoll);
	if (e->wake >= 0)
		close(e->wake);
	if (e->timer >= 0)
		close(e->timer);
	free(e);
}

int events_fd(const struct events *e)
{
	return e->epoll;
}

int events_add(struct events *e, int fd, uint64_t word)
{
	struct epoll_event ev = { .events = EPOLLIN, .data.u64 = word };

	return epoll_ctl(e->epoll, EPOLL_CTL_ADD, fd, &ev) < 0 ? -errno : 0;
}

int events_want_write(struct events *e, int fd, uint64_t word, bool want)
{
	struct epoll_event ev = { .events = want ? EPOLLIN | EPOLLOUT : EPOLLIN, .data.u64 = word };

	return epoll_ctl(e->epoll, EPOLL_CTL_MOD, fd, &ev) < 0 ? -errno : 0;
}

void events_wake(struct events *e)
{
	eventfd_write(e->wake, 1);
}

void events_alarm(struct events *e, int64_t at_ms)
{
	struct itimerspec t = { 0 };

	t.it_value.tv_sec = (time_t)(at_ms / 1000);
	t.it_value.tv_nsec = (long)(at_ms % 1000) * 1000000;
	timerfd_settime(e->timer, TFD_TIMER_ABSTIME, &t, NULL);
}

int events_take(struct events *e, struct event out[EVENTS_MAX])
{
	struct epoll_event evs[EVENTS_MAX];
	int n = epoll_wait(e->epoll, evs, EVENTS_MAX, 0), taken = 0;
	uint64_t count;

	if (n < 0)
		return errno == EINTR ? 0 : -errno;
	for (int i = 0; i < n; i++) {
		uint64_t word = evs[i].data.u64;

		if (word == WORD_WAKE || word == WORD_TIMER) {
			if (read(word == WORD_WAKE ? e->wake : e->timer, &count, sizeof count) < 0)
				continue;
			word = EVENTS_OWN;
		}
		out[taken++] = (struct event){ .word = word, .writable = evs[i].events & EPOLLOUT };
	}
	return taken;
}
