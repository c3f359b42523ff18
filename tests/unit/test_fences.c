/* SPDX-License-Identifier: MIT */
/*
 * Which submissions carry a fence, over a render node: none until the host has proved to be ours, since llama.cpp's own
 * virglrenderer ends the context for one (behind its render server), or takes it and never signals it (in process). The
 * session and the transport are the plugin's; libdrm is tests/support/fake_drm.c, and the hosts behind it are here.
 */
#include "tests/support/cm.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "guest/session.h"
#include "proto/util.h"
#include "tests/support/fake_drm.h"

/* Longer than any spinning: an answer that comes at once would hide how it is waited for. */
#define ANSWER_US 5000

enum kind {
	RENDER_SERVER, /* the original's: a fence ends the context */
	IN_PROCESS,    /* the original's: a fence is taken and never signalled */
	OURS,
};

static struct {
	enum kind kind;
	bool ended, mute; /* the context is; the host answers no more */
	bool hold;        /* answers when a fence comes, not before */
	unsigned commands, fences, empty, handshake_fences;
	pthread_t last;
	bool answering;
	struct answer {
		uint32_t res;      /* 0: nothing is to be answered */
		uint32_t words[4]; /* the reply word, then what lies behind it */
	} next;
} host;

static void *answer_later(void *unused)
{
	uint32_t *reply = fake_drm_blob(host.next.res);

	(void)unused;
	usleep(ANSWER_US);
	memcpy(reply + 1, host.next.words + 1, sizeof host.next.words - sizeof host.next.words[0]);
	atomic_store((_Atomic uint32_t *)(void *)reply, host.next.words[0]);
	if (host.kind == OURS)
		fake_drm_signal();
	return NULL;
}

static void host_joined(void)
{
	if (host.answering)
		pthread_join(host.last, NULL);
	host.answering = false;
}

static void host_execute(const void *cmd, size_t size, bool fence)
{
	uint32_t head[3], type;

	host.fences += fence;
	host.empty += !size;
	host.commands += size > 0;
	if (host.kind == RENDER_SERVER && (fence || !size))
		host.ended = true;
	if (size >= sizeof head) {
		host_joined();
		memcpy(head, cmd, sizeof head);
		type = head[0] - APIR_VENUS_TYPE_BASE;
		host.next = (struct answer){ .res = head[2] };
		if (type == APIR_HANDSHAKE) {
			host.handshake_fences += fence;
			host.next.words[0] = APIR_HANDSHAKE_MAGIC + 1;
			host.next.words[2] = host.kind == OURS ? 2 : 1; /* minor */
			host.next.words[3] = host.kind == OURS ? APIR_GREETING_MAGIC : 0;
		} else {
			host.next.words[0] = type == APIR_LOADLIBRARY ? APIR_LOAD_OK + 1 : APIR_FORWARD_OK + 1;
		}
	}
	if (!host.answering && !host.ended && !host.mute && host.next.res && !(host.hold && !fence))
		host.answering = pthread_create(&host.last, NULL, answer_later, NULL) == 0;
}

static struct fake_drm node = {
	.driver = "virtio_gpu",
	.capsets = 1u << APIR_CAPSET_VENUS,
	.execute = host_execute,
};

static struct session session;

static void host_up(enum kind kind)
{
	memset(&host, 0, sizeof host);
	host.kind = kind;
	fake_drm_be(&node);
}

static void session_up(enum kind kind)
{
	char err[384] = "";

	host_up(kind);
	if (session_open(&session, err, sizeof err) < 0)
		fail_msg("%s", err);
}

static void session_down(void)
{
	session_close(&session);
	host_joined();
}

static int64_t run(bool long_wait, uint32_t limit_ms)
{
	uint8_t cmd[APIR_CMD_HEADER_SIZE];

	return channel_run(&session.channel, cmd,
		channel_header(&session.channel, cmd, APIR_FORWARD, 1, &session.channel.reply), long_wait, limit_ms);
}

static void a_host_that_fences_would_end_is_sent_none(void **state)
{
	(void)state;
	session_up(RENDER_SERVER);
	for (int i = 0; i < 3; i++) {
		assert_int_equal(run(true, 0), APIR_FORWARD_OK);
		assert_int_equal(run(false, 0), APIR_FORWARD_OK);
	}
	assert_int_equal(host.commands, 2 + 6);
	assert_int_equal(host.fences, 0);
	assert_int_equal(host.empty, 0);
	session_down();
}

static void a_host_that_never_signals_is_sent_none(void **state)
{
	(void)state;
	session_up(IN_PROCESS);
	assert_int_equal(run(true, 0), APIR_FORWARD_OK);
	assert_int_equal(run(false, 0), APIR_FORWARD_OK);
	assert_int_equal(host.commands, 2 + 2);
	assert_int_equal(host.fences, 0);
	assert_int_equal(host.empty, 0);
	session_down();
}

/* GGML_VIRTGPU_PROTOCOL=0.2 asks for nothing that could prove it. */
static void plain_sends_none(void **state)
{
	(void)state;
	setenv("GGML_VIRTGPU_PROTOCOL", "0.2", 1);
	session_up(OURS);
	unsetenv("GGML_VIRTGPU_PROTOCOL");
	assert_int_equal(run(true, 0), APIR_FORWARD_OK);
	assert_int_equal(host.fences, 0);
	assert_int_equal(host.empty, 0);
	session_down();
}

static void ours_is_sent_them_once_it_has_answered_the_greeting(void **state)
{
	(void)state;
	session_up(OURS);
	assert_int_equal(host.handshake_fences, 0);
	assert_true(host.fences > 0); /* with LOADLIBRARY */
	host.fences = host.empty = 0; /* it may have been slow to say whether it reads a ring */
	assert_int_equal(run(true, 0), APIR_FORWARD_OK);
	assert_int_equal(host.fences, 1);
	assert_int_equal(host.empty, 0);
	host.hold = true; /* until it takes longer than expected */
	assert_int_equal(run(false, 0), APIR_FORWARD_OK);
	assert_int_equal(host.empty, 1);
	session_down();
}

/* Its limit of descriptors is reached: that is no fault of the host's, and not for ever. */
static void a_program_that_can_have_no_fence_is_answered(void **state)
{
	(void)state;
	session_up(OURS);
	node.no_fence = EMFILE;
	host.commands = host.fences = host.empty = 0;
	assert_int_equal(run(true, 0), APIR_FORWARD_OK);
	assert_int_equal(run(false, 0), APIR_FORWARD_OK); /* nor can it wait with one */
	assert_int_equal(host.commands, 2);
	assert_int_equal(host.fences + host.empty, 0);
	node.no_fence = 0;
	assert_int_equal(run(true, 0), APIR_FORWARD_OK);
	assert_int_equal(host.fences, 1);
	assert_true(session_alive(&session));
	session_down();
}

static struct {
	int times, error;
} failing;

static int fails_for_a_while(void)
{
	return failing.times && failing.times-- ? failing.error : 0;
}

static void node_fails(int (*how)(void), int error, int times)
{
	node.failing = how;
	failing.error = error;
	failing.times = times;
}

/* What session_open() says when the node fails so in the meantime. */
static int start_fails(int (*how)(void), int error, int times, char err[384])
{
	int r;

	host_up(OURS);
	node_fails(how, error, times);
	*err = '\0';
	r = session_open(&session, err, 384);
	node.failing = NULL;
	host_joined();
	return r;
}

static void what_the_system_lacks_for_a_moment_is_waited_for(void **state)
{
	static const int errors[] = { ENOMEM, ENOSPC, ENOBUFS, EINTR, EAGAIN };

	(void)state;
	session_up(OURS);
	for (size_t i = 0; i < ARRAY_SIZE(errors); i++) {
		node_fails(fails_for_a_while, errors[i], 3);
		host.commands = 0;
		assert_int_equal(run(i & 1, 0), APIR_FORWARD_OK);
		assert_int_equal(host.commands, 1);
		assert_int_equal(failing.times, 0);
	}
	node.failing = NULL;
	session_down();
}

/* The command is not sent, and nothing else is spoiled. */
static void what_it_lacks_for_longer_fails_this_command_only(void **state)
{
	(void)state;
	session_up(OURS);
	node_fails(fails_for_a_while, ENOMEM, 1000);
	host.commands = 0;
	assert_int_equal(run(true, 0), -EAGAIN);
	assert_in_range(failing.times, 900, 999); /* there is an end to it */
	assert_int_equal(host.commands, 0);
	assert_true(session_alive(&session));
	failing.times = 0;
	assert_int_equal(run(true, 0), APIR_FORWARD_OK);
	node.failing = NULL;
	session_down();
}

/* The command is with the host: only the fence to wait with isn't to be had. */
static bool no_more_fences;

static int fails_behind_a_command(void)
{
	return host.commands && no_more_fences ? ENOMEM : 0;
}

static void an_answer_is_waited_for_without_a_fence_where_there_is_no_memory_for_one(void **state)
{
	(void)state;
	session_up(OURS);
	node.failing = fails_behind_a_command;
	no_more_fences = true;
	host.commands = host.fences = 0;
	assert_int_equal(run(false, 0), APIR_FORWARD_OK);
	assert_int_equal(host.fences, 0);
	assert_true(session_alive(&session));
	no_more_fences = false;
	node.failing = NULL;
	session_down();
}

static void any_other_failure_is_the_devices_end(void **state)
{
	(void)state;
	session_up(OURS);
	node_fails(fails_for_a_while, ENODEV, 1);
	assert_int_equal(run(true, 0), -EPIPE);
	assert_false(session_alive(&session));
	node.failing = NULL;
	session_down();
}

static void a_start_that_cannot_be_sent_says_so(void **state)
{
	char err[384];

	(void)state;
	assert_int_equal(start_fails(fails_for_a_while, ENOMEM, 1000, err), -EAGAIN);
	assert_string_equal(err,
		FAKE_DRM_NODE ": handshake: not sent: this system has no memory for it: end other programs, or "
			      "give it more memory");
}

/* Where there is no memory for the offer of a ring, commands go through the door. */
static int fails_behind_the_greeting(void)
{
	return host.commands == 1 && failing.times && failing.times-- ? failing.error : 0;
}

static void an_offer_that_cannot_be_sent_is_no_end_of_the_host(void **state)
{
	char err[384];

	(void)state;
	if (start_fails(fails_behind_the_greeting, ENOMEM, 12, err) < 0)
		print_message("%s\n", err);
	assert_true(session_alive(&session));
	session_down();
}

static void a_worker_that_ends_at_the_offer_of_a_ring_is_told_as_one_that_ends_a_step_later(void **state)
{
	char err[384];

	(void)state;
	assert_int_equal(start_fails(fails_behind_the_greeting, ENODEV, 1, err), -EPIPE);
	assert_int_equal(failing.times, 0);
	assert_string_equal(
		err, FAKE_DRM_NODE ": the host's worker ended before it had loaded its libraries: see the host's log");
}

static void a_wait_without_fences_ends_at_its_limit(void **state)
{
	(void)state;
	session_up(RENDER_SERVER);
	host.mute = true;
	assert_int_equal(run(true, 250), -ETIMEDOUT);
	assert_false(session_alive(&session));
	session_down();
}

static void *unplug_later(void *unused)
{
	(void)unused;
	usleep(ANSWER_US);
	fake_drm_be(NULL);
	return NULL;
}

static void a_wait_without_fences_ends_with_the_device(void **state)
{
	pthread_t t;

	(void)state;
	session_up(IN_PROCESS);
	host.mute = true;
	assert_int_equal(pthread_create(&t, NULL, unplug_later, NULL), 0);
	assert_int_equal(run(true, 0), -EPIPE);
	pthread_join(t, NULL);
	assert_false(session_alive(&session));
	session_down();
}

/* Here, since it takes a virtio-gpu device: either side may be the one that can't. */
static void a_virtual_machine_without_a_blob_is_told_both_causes(void **state)
{
	const struct fake_drm no_blob = { .driver = "virtio_gpu", .capsets = 1u << APIR_CAPSET_APIR };
	char err[384] = "";

	(void)state;
	fake_drm_be(&no_blob);
	assert_int_equal(session_open(&session, err, sizeof err), -EREMOTEIO);
	assert_string_equal(err, FAKE_DRM_NODE
		": the host gives no shared memory (16384 bytes for the start): enlarge the device's "
		"host-visible window (`serve --window`, QEMU's hostmem=), or mend what kept the host from "
		"making it, by its log");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_host_that_fences_would_end_is_sent_none),
		cmocka_unit_test(a_host_that_never_signals_is_sent_none),
		cmocka_unit_test(plain_sends_none),
		cmocka_unit_test(ours_is_sent_them_once_it_has_answered_the_greeting),
		cmocka_unit_test(a_program_that_can_have_no_fence_is_answered),
		cmocka_unit_test(what_the_system_lacks_for_a_moment_is_waited_for),
		cmocka_unit_test(what_it_lacks_for_longer_fails_this_command_only),
		cmocka_unit_test(an_answer_is_waited_for_without_a_fence_where_there_is_no_memory_for_one),
		cmocka_unit_test(any_other_failure_is_the_devices_end),
		cmocka_unit_test(a_start_that_cannot_be_sent_says_so),
		cmocka_unit_test(an_offer_that_cannot_be_sent_is_no_end_of_the_host),
		cmocka_unit_test(a_worker_that_ends_at_the_offer_of_a_ring_is_told_as_one_that_ends_a_step_later),
		cmocka_unit_test(a_wait_without_fences_ends_at_its_limit),
		cmocka_unit_test(a_wait_without_fences_ends_with_the_device),
		cmocka_unit_test(a_virtual_machine_without_a_blob_is_told_both_causes),
	};

	unsetenv("GGML_VIRTGPU_SOCKET");
	unsetenv("GGML_REMOTING_USE_APIR_CAPSET");
	unsetenv("GGML_VIRTGPU_PROTOCOL");
	return cmocka_run_group_tests(tests, NULL, NULL);
}
