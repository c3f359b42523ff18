/* SPDX-License-Identifier: MIT */
/* ggml-virtgpu serve: opens the doors. */
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <string.h>

#include "cli/cli.h"
#include "log/log.h"
#include "platform/self.h"
#include "proto/util.h"

#define MAX_DOORS 32

static const char help[] =
	"usage: ggml-virtgpu serve [OPTIONS] --vhost-user PATH | --socket PATH | --workers PATH ...\n\n"
	"  --vhost-user PATH   a virtio-gpu device for QEMU's vhost-user-test-device-pci; one VM a connection\n"
	"  --socket PATH       a socket for programs of containers and of this machine; many at once\n"
	"  --workers PATH      a socket for hypervisors that may not start programs: workers for their contexts\n"
	"  --window SIZE       the device's host-visible window, 8G by default; a power of two from 2M\n"
	"  --venus-capset      offer capset 4 too, as VIRGL_ROUTE_VENUS_TO_APIR does\n" HOST_HELP;

/* "8G", "512M": bytes, a power of two from 2 MiB to 16 TiB, since QEMU makes it a PCI BAR; 0: it is no such thing. */
static uint64_t size_parse(const char *s)
{
	char *end;
	unsigned long long v = strtoull(s, &end, 10);
	unsigned shift = *end == 'G' ? 30 : *end == 'M' ? 20 : *end == 'K' ? 10 : 0;

	if (end == s || *s == '-' || (*end && shift == 0) || (*end && end[1]) || v > UINT64_MAX >> (shift + 1))
		return 0;
	v <<= shift;
	return v < 2u << 20 || v > 1ull << 44 || (v & (v - 1)) ? 0 : v;
}

int verb_serve(int argc, char **argv)
{
	static const struct option options[] = { { "vhost-user", required_argument, NULL, 'V' },
		{ "socket", required_argument, NULL, 's' }, { "workers", required_argument, NULL, 'P' },
		{ "window", required_argument, NULL, 'W' }, { "venus-capset", no_argument, NULL, 'c' },
		HOST_LONG_OPTIONS, { 0 } };
	static struct host_options host;
	static struct door doors[MAX_DOORS];
	struct supervisor s = { .doors = doors, .host = &host, .private_fd = -1 };
	int opt, err = 0;

	log_name("serve");
	self_hide(); /* from workers, which are processes of this user; doors inherit it */
	while ((opt = getopt_long(argc, argv, HOST_SHORT_OPTIONS, options, NULL)) != -1) {
		switch (opt) {
		case 'V':
		case 's':
		case 'P':
			if (s.n_doors == MAX_DOORS) {
				fprintf(stderr, "ggml-virtgpu: more than %d doors\n", MAX_DOORS);
				return 2;
			}
			doors[s.n_doors++] = (struct door){ opt == 'V'   ? DOOR_VHOST_USER
							    : opt == 's' ? DOOR_SOCKET
									 : DOOR_WORKERS,
				optarg, -1, 0 };
			break;
		case 'W':
			s.window = size_parse(optarg);
			if (!s.window) {
				fprintf(stderr,
					"ggml-virtgpu: --window '%s': give a power of two such as 8G, from 2M to "
					"16384G\n",
					optarg);
				return 2;
			}
			break;
		case 'c':
			s.venus = true;
			break;
		case 'h':
			fputs(help, stdout);
			return 0;
		default:
			if (!host_option(&host, opt, optarg)) {
				if (opt == '?')
					fputs(help, stderr);
				return 2;
			}
		}
	}
	if (optind < argc || !s.n_doors) {
		fprintf(stderr, "ggml-virtgpu: %s%s\n",
			optind < argc ? "unexpected argument "
				      : "give a door: --vhost-user PATH, --socket PATH or --workers PATH",
			optind < argc ? argv[optind] : "");
		return 2;
	}
	if (!host_options_settle(&host))
		return 1;
	supervisor_prepare();
	for (size_t i = 0; !err && i < s.n_doors; i++)
		err = door_listen(&doors[i]);
	if (err)
		return 1;
	for (size_t i = 0; i < s.n_doors; i++)
		fprintf(stderr, "ggml-virtgpu: serving %s\n", doors[i].path);
	err = supervisor_run(&s, 0, NULL);
	if (err < 0)
		fprintf(stderr, "ggml-virtgpu: cannot serve: %s\n", strerror(-err));
	return err < 0;
}
