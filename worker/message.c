/* SPDX-License-Identifier: MIT */
/* See message.h. */
#include "worker/message.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <sys/socket.h>

#include "log/log.h"
#include "proto/cursor.h"
#include "proto/util.h"
#include "worker/sequence.h"

static int message_submit(struct worker *w, uint8_t *payload, size_t size)
{
	struct cursor c = cursor_over(payload, size);
	struct worker_cmd head;
	uint8_t *cmd;

	while (cursor_left(&c)) {
		if (!cursor_read(&c, &head, sizeof head) || !(cmd = cursor_take(&c, round_up(head.size, 8))))
			return -EBADMSG;
		sequence_door(w, cmd, head.size);
	}
	return 0;
}

void message_serve(struct worker *w, const struct worker_msg *m, uint8_t *payload, size_t size, int fd)
{
	struct worker_msg done = { .type = WORKER_FENCE_DONE, .id = m->id, .value = m->value };
	int err = 0;

	switch (m->type) {
	case WORKER_CONFIG:
		err = settings_add(&w->settings, (const char *)payload, size);
		break;
	case WORKER_BLOB_ADD:
		err = fd < 0 ? -EBADF : blobs_add(&w->blobs, m->id, fd, m->value);
		fd = -1;
		break;
	case WORKER_BLOB_DEL:
		sequence_run(w); /* which may be answered there */
		blobs_remove(&w->blobs, m->id);
		break;
	case WORKER_SUBMIT:
		err = message_submit(w, payload, size);
		break;
	case WORKER_FENCE:
		sequence_run(w);
		if (send(WORKER_FD, &done, sizeof done, MSG_NOSIGNAL) < 0)
			err = -errno;
		break;
	default:
		err = -EBADMSG;
		break;
	}
	if (fd >= 0)
		close(fd);
	if (err)
		log_warn("message %" PRIu32 " about %" PRIu32 ": %s", m->type, m->id, strerror(-err));
}
