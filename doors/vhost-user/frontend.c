/* SPDX-License-Identifier: MIT */
/*
 * The main channel. Each message has a row with the bytes that it must bring and its handler, which returns
 * 0 or -errno, for QEMU if it wants an acknowledgement, REPLIED when the message has a reply of its own, or
 * DECLINED when the acknowledgement says no and nothing is wrong.
 *
 * A stopped ring means one of two things, and QEMU doesn't say which: the VM is paused and will go on where
 * it was, or the guest has reset the device. A pause must not cost the guest its contexts. What tells a
 * reset: the guest's vCPUs run, for its next driver reads the configuration; or the control queue starts
 * elsewhere than where it stopped. Until either is seen everything is kept.
 */
#include "frontend.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#include "log/log.h"
#include "platform/clock.h"

#define REPLIED  1
#define DECLINED 2

#define DECLINES_MAX 2048

/* linux/virtio_config.h has it, together with much else */
#define VIRTIO_F_VERSION_1_BIT 32

#define FEATURES                                                                                                       \
	(1ull << VIRTIO_F_VERSION_1_BIT | 1ull << VU_F_PROTOCOL_FEATURES | 1ull << VIRTIO_GPU_F_VIRGL |                \
		1ull << VIRTIO_GPU_F_RESOURCE_BLOB | 1ull << VIRTIO_GPU_F_CONTEXT_INIT |                               \
		1ull << VIRTIO_RING_F_INDIRECT_DESC)

#define PROTOCOL_FEATURES                                                                                              \
	(1ull << VU_PF_MQ | 1ull << VU_PF_REPLY_ACK | 1ull << VU_PF_BACKEND_REQ | 1ull << VU_PF_CONFIG |               \
		1ull << VU_PF_BACKEND_SEND_FD | 1ull << VU_PF_CONFIGURE_MEM_SLOTS | 1ull << VU_PF_SHMEM)

static int reply(struct door *d, const void *body, uint32_t size)
{
	int err = vu_channel_send(&d->main, d->main.hdr.request, VU_REPLY, body, size, -1);

	return err < 0 ? err : REPLIED;
}

static int reply_u64(struct door *d, uint64_t v)
{
	return reply(d, &v, sizeof v);
}

/* The guest's driver is gone. */
static void reset(struct door *d, const char *how)
{
	log_info("the guest was reset (%s)", how);
	d->halted = false;
	gpu_reset(&d->gpu);
}

static struct virtqueue *queue_at(struct door *d, uint64_t index)
{
	return index < GPU_QUEUES ? &d->queues[index] : NULL;
}

static int on_get_features(struct door *d)
{
	return reply_u64(d, FEATURES);
}

static int on_set_features(struct door *d)
{
	d->features = d->main.body.u64;
	return d->features & ~FEATURES ? -EINVAL : 0;
}

static int on_set_owner(struct door *d)
{
	(void)d;
	return 0;
}

static int on_reset_owner(struct door *d)
{
	reset(d, "RESET_OWNER");
	return 0;
}

static int on_get_protocol_features(struct door *d)
{
	return reply_u64(d, PROTOCOL_FEATURES);
}

static int on_set_protocol_features(struct door *d)
{
	uint64_t need = 1ull << VU_PF_BACKEND_REQ | 1ull << VU_PF_BACKEND_SEND_FD | 1ull << VU_PF_SHMEM |
	                1ull << VU_PF_CONFIGURE_MEM_SLOTS;

	d->protocol_features = d->main.body.u64;
	if (need & ~d->protocol_features)
		log_warn("this QEMU lacks vhost-user features 0x%llx: blobs can't be mapped; QEMU 11 or "
			 "later is needed",
			(unsigned long long)(need & ~d->protocol_features));
	return d->protocol_features & ~PROTOCOL_FEATURES ? -EINVAL : 0;
}

static int on_get_queue_num(struct door *d)
{
	return reply_u64(d, GPU_QUEUES);
}

/* A bucket that fills by one a second: a guest can't fill the host's disk with QEMU's complaints. */
static bool may_decline(struct door *d)
{
	int64_t now = clock_ms() / 1000, since = now - d->declines_at;

	d->declines_at = now;
	d->declines = since > DECLINES_MAX - d->declines ? DECLINES_MAX : d->declines + since;
	if (d->declines == 0)
		return false;
	d->declines--;
	return true;
}

/*
 * Adds one region, with its descriptor.
 *
 * Mapped blobs come along here too, when the guest can see them. The device needs none of them, so while it
 * runs they are declined: QEMU 11.1 keeps a list of the regions that we took, and when the guest resets the
 * device while blobs are mapped it frees them, looks for them at the next start because they are still on
 * that list, and crashes. A declined region costs a line in QEMU's log ("vhost_set_mem_table failed") and is
 * offered again with every later change, so a guest that maps without end is let have its way. While the
 * device starts, after a pause, a refusal would keep it from starting.
 */
static int add_region(struct door *d, const struct vu_region *r, unsigned fd_index)
{
	AUTO_CLOSE int fd = vu_channel_take_fd(&d->main, fd_index);
	struct stat st;

	if (fd < 0)
		return -EBADF;
	if (fstat(fd, &st) < 0)
		return -errno;
	if (!window_owns(&d->window, st.st_dev, st.st_ino))
		return guest_memory_add(&d->memory, r, fd);
	if (d->queues[GPU_CONTROL].started) {
		/* What QEMU acknowledged before it sent this is read first: it is among what was committed.
		 */
		window_dispatch(&d->window);
		window_committed(&d->window);
		if (may_decline(d))
			return DECLINED;
	}
	return guest_memory_add(&d->memory, r, -1);
}

static int on_set_mem_table(struct door *d)
{
	const struct vu_mem_table *t = &d->main.body.mem_table;
	int err, result = 0;

	if (t->count > VU_TABLE_REGIONS || t->count > d->main.fd_count)
		return -EINVAL;
	guest_memory_clear(&d->memory);
	for (unsigned i = 0; i < t->count; i++)
		if ((err = add_region(d, &t->regions[i], i)) != 0 && result >= 0)
			result = err;
	return result;
}

static int on_get_max_mem_slots(struct door *d)
{
	return reply_u64(d, GUEST_MEMORY_SLOTS);
}

static int on_add_mem_reg(struct door *d)
{
	return add_region(d, &d->main.body.mem_reg.region, 0);
}

static int on_rem_mem_reg(struct door *d)
{
	return guest_memory_remove(&d->memory, &d->main.body.mem_reg.region);
}

static int on_set_vring_num(struct door *d)
{
	const struct vu_vring_state *s = &d->main.body.vring_state;
	struct virtqueue *q = queue_at(d, s->index);

	if (!q || s->num == 0 || s->num > VIRTQUEUE_NUM_MAX || (s->num & (s->num - 1)))
		return -EINVAL;
	q->num = s->num;
	q->resolved = false;
	return 0;
}

static int on_set_vring_addr(struct door *d)
{
	const struct vu_vring_addr *a = &d->main.body.vring_addr;
	struct virtqueue *q = queue_at(d, a->index);

	if (!q || a->desc % 16 || a->avail % 2 || a->used % 4)
		return -EINVAL;
	q->addr = *a;
	q->resolved = false;
	return 0;
}

static int on_set_vring_base(struct door *d)
{
	const struct vu_vring_state *s = &d->main.body.vring_state;
	struct virtqueue *q = queue_at(d, s->index);

	if (!q || s->num > UINT16_MAX)
		return -EINVAL;
	if (d->halted && s->index == GPU_CONTROL && s->num != q->avail_next)
		reset(d, "its rings start anew");
	q->avail_next = (uint16_t)s->num;
	return 0;
}

static int on_get_vring_base(struct door *d)
{
	struct vu_vring_state s = d->main.body.vring_state;
	struct virtqueue *q = queue_at(d, s.index);

	if (!q)
		return -EINVAL;
	if (s.index == GPU_CONTROL && q->started) {
		window_stop(&d->window);
		d->halted = true;
	}
	gpu_flush(&d->gpu);
	virtqueue_stop(q);
	virtqueue_close(q);
	s.num = q->avail_next;
	return reply(d, &s, sizeof s);
}

/* The ring that a KICK, CALL or ERR is about, with the descriptor that it brought, or -1; NULL: no such ring.
 */
static struct virtqueue *take_vring_fd(struct door *d, int *fd)
{
	uint64_t v = d->main.body.u64;
	int flags;

	*fd = v & VU_VRING_NO_FD ? -1 : vu_channel_take_fd(&d->main, 0);
	/* QEMU's are non-blocking already; the loop relies on it. */
	if (*fd >= 0 && (flags = fcntl(*fd, F_GETFL)) >= 0 && !(flags & O_NONBLOCK))
		fcntl(*fd, F_SETFL, flags | O_NONBLOCK);
	return queue_at(d, v & VU_VRING_INDEX_MASK);
}

static void replace_fd(int *old, int *fd)
{
	if (*old >= 0)
		close(*old);
	*old = fd_steal(fd);
}

static int on_set_vring_kick(struct door *d)
{
	AUTO_CLOSE int fd = -1;
	struct virtqueue *q = take_vring_fd(d, &fd);

	/* Without a descriptor we would have to poll the ring, which QEMU never asks for. */
	if (!q || fd < 0)
		return -EINVAL;
	replace_fd(&q->kick, &fd);
	virtqueue_start(q);
	if (!(d->features & 1ull << VU_F_PROTOCOL_FEATURES))
		q->enabled = true;
	if (q->index == GPU_CONTROL) {
		d->halted = false;
		window_resume(&d->window);
	}
	return 0;
}

static int on_set_vring_call(struct door *d)
{
	AUTO_CLOSE int fd = -1;
	struct virtqueue *q = take_vring_fd(d, &fd);

	if (!q)
		return -EINVAL;
	replace_fd(&q->call, &fd);
	/* Whatever the descriptor before it didn't get through is told once more. */
	q->notify = q->started;
	return 0;
}

static int on_set_vring_err(struct door *d)
{
	(void)d; /* a broken ring is told in the log; the descriptor gets closed */
	return 0;
}

static int on_set_vring_enable(struct door *d)
{
	const struct vu_vring_state *s = &d->main.body.vring_state;
	struct virtqueue *q = queue_at(d, s->index);

	if (!q || s->num > 1)
		return -EINVAL;
	q->enabled = s->num;
	return 0;
}

static int on_set_backend_req_fd(struct door *d)
{
	int fd = vu_channel_take_fd(&d->main, 0);

	return fd < 0 ? -EBADF : window_connect(&d->window, fd);
}

static int on_get_config(struct door *d)
{
	struct vu_config c = { .offset = d->main.body.config.offset, .size = d->main.body.config.size };
	struct gpu_config config;

	if (d->halted)
		reset(d, "its next driver looks at the device");
	if (!range_ok(c.offset, c.size, VU_CONFIG_MAX))
		/* an empty reply is the protocol's way to refuse */
		return reply(d, NULL, 0);
	gpu_config_fill(&d->gpu, &config);
	if (c.offset < sizeof config) {
		size_t n = sizeof config - c.offset;

		memcpy(c.data, (uint8_t *)&config + c.offset, n < c.size ? n : c.size);
	}
	return reply(d, &c, VU_CONFIG_HEADER + c.size);
}

static int on_set_config(struct door *d)
{
	(void)d; /* the guest acknowledges display events, of which there are none */
	return 0;
}

static int on_get_shmem_config(struct door *d)
{
	struct vu_shmem_config c = { .count = 1 };

	c.sizes[WINDOW_SHMID] = d->window.size;
	return reply(d, &c, sizeof c);
}

static const struct message {
	uint32_t size; /* of the body, at least */
	int (*handle)(struct door *d);
} messages[] = {
	[VU_GET_FEATURES] = { 0, on_get_features },
	[VU_SET_FEATURES] = { sizeof(uint64_t), on_set_features },
	[VU_SET_OWNER] = { 0, on_set_owner },
	[VU_RESET_OWNER] = { 0, on_reset_owner },
	[VU_SET_MEM_TABLE] = { 8, on_set_mem_table },
	[VU_SET_VRING_NUM] = { sizeof(struct vu_vring_state), on_set_vring_num },
	[VU_SET_VRING_ADDR] = { sizeof(struct vu_vring_addr), on_set_vring_addr },
	[VU_SET_VRING_BASE] = { sizeof(struct vu_vring_state), on_set_vring_base },
	[VU_GET_VRING_BASE] = { sizeof(struct vu_vring_state), on_get_vring_base },
	[VU_SET_VRING_KICK] = { sizeof(uint64_t), on_set_vring_kick },
	[VU_SET_VRING_CALL] = { sizeof(uint64_t), on_set_vring_call },
	[VU_SET_VRING_ERR] = { sizeof(uint64_t), on_set_vring_err },
	[VU_GET_PROTOCOL_FEATURES] = { 0, on_get_protocol_features },
	[VU_SET_PROTOCOL_FEATURES] = { sizeof(uint64_t), on_set_protocol_features },
	[VU_GET_QUEUE_NUM] = { 0, on_get_queue_num },
	[VU_SET_VRING_ENABLE] = { sizeof(struct vu_vring_state), on_set_vring_enable },
	[VU_SET_BACKEND_REQ_FD] = { 0, on_set_backend_req_fd },
	[VU_GET_CONFIG] = { VU_CONFIG_HEADER, on_get_config },
	[VU_SET_CONFIG] = { VU_CONFIG_HEADER, on_set_config },
	[VU_GET_MAX_MEM_SLOTS] = { 0, on_get_max_mem_slots },
	[VU_ADD_MEM_REG] = { sizeof(struct vu_mem_reg), on_add_mem_reg },
	[VU_REM_MEM_REG] = { sizeof(struct vu_mem_reg), on_rem_mem_reg },
	[VU_GET_SHMEM_CONFIG] = { 0, on_get_shmem_config },
};
static_assert(ARRAY_SIZE(messages) == VU_REQUEST_COUNT, "a row per message");

static int handle(struct door *d)
{
	const struct vu_header *h = &d->main.hdr;
	int r = -EOPNOTSUPP;

	if (h->request < ARRAY_SIZE(messages) && messages[h->request].handle)
		r = h->size < messages[h->request].size ? -EBADMSG : messages[h->request].handle(d);
	if (r == REPLIED)
		return 0;
	if (r < 0)
		log_warn("QEMU's message %u (%s): %s", h->request, vu_request_name(h->request), strerror(-r));
	if (!(h->flags & VU_NEED_REPLY) || !(d->protocol_features & 1ull << VU_PF_REPLY_ACK))
		return 0;
	r = reply_u64(d, r != 0);
	return r < 0 ? r : 0;
}

int frontend_dispatch(struct door *d)
{
	int r;

	while ((r = vu_channel_read(&d->main)) > 0) {
		r = handle(d);
		vu_channel_next(&d->main);
		if (r < 0)
			return r;
	}
	return r;
}
