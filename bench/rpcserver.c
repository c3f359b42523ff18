/* SPDX-License-Identifier: MIT */
/*
 * Serves a device of this machine through ggml's own RPC backend: the peer that benchmarks compare with.
 * The RPC backend is a plugin, so its server is found by name in the registry, not linked.
 */
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <ggml-backend.h>
#include <ggml-rpc.h>

typedef __typeof__(&ggml_backend_rpc_start_server) start_server_fn;

static const char usage_text[] = "usage: rpcserver [--threads N] [--device NAME] ENDPOINT\n"
				 "  ENDPOINT        address and port to listen on, such as 127.0.0.1:50052\n"
				 "  --threads N     threads that compute (1)\n"
				 "  --device NAME   device to serve (the CPU)\n";

static int usage(FILE *to, int status)
{
	fputs(usage_text, to);
	return status;
}

static start_server_fn find_server(void)
{
	ggml_backend_reg_t rpc = ggml_backend_reg_by_name("RPC");
	void *fn = rpc ? ggml_backend_reg_get_proc_address(rpc, "ggml_backend_rpc_start_server") : NULL;

	return (start_server_fn)fn;
}

int main(int argc, char **argv)
{
	static const struct option options[] = {
		{ "threads", required_argument, NULL, 't' },
		{ "device", required_argument, NULL, 'd' },
		{ "help", no_argument, NULL, 'h' },
		{ 0 },
	};
	const char *name = NULL;
	unsigned long threads = 1;
	ggml_backend_dev_t dev;
	start_server_fn serve;
	char *end;
	int o;

	while ((o = getopt_long(argc, argv, "t:d:h", options, NULL)) != -1) {
		switch (o) {
		case 't':
			errno = 0;
			threads = strtoul(optarg, &end, 10);
			if (errno || *end || !threads || threads > 512) {
				fprintf(stderr, "rpcserver: --threads %s: want a number from 1 to 512\n", optarg);
				return 2;
			}
			break;
		case 'd':
			name = optarg;
			break;
		case 'h':
			return usage(stdout, 0);
		default:
			return usage(stderr, 2);
		}
	}
	if (optind != argc - 1)
		return usage(stderr, 2);

	ggml_backend_load_all();
	serve = find_server();
	if (!serve) {
		fputs("rpcserver: this ggml has no RPC backend\n", stderr);
		return 1;
	}
	dev = name ? ggml_backend_dev_by_name(name) : ggml_backend_dev_by_type(GGML_BACKEND_DEVICE_TYPE_CPU);
	if (!dev) {
		fprintf(stderr, "rpcserver: this ggml has no device %s\n", name ? name : "CPU");
		return 1;
	}
	printf("serving %s with %lu threads on %s\n", ggml_backend_dev_name(dev), threads, argv[optind]);
	fflush(stdout);
	/* Returns only when it cannot listen. */
	serve(argv[optind], NULL, threads, 1, &dev);
	fprintf(stderr, "rpcserver: cannot serve on %s\n", argv[optind]);
	return 1;
}
