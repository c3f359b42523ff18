/* SPDX-License-Identifier: MIT */
/* The command line: one file a verb; what verbs share is here. */
#ifndef CLI_CLI_H
#define CLI_CLI_H

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "apir/apir.h"
#include "platform/library.h"

/* Our libraries' files. */
#define BACKEND_FILE LIBRARY_NAME("ggml-virtgpu-backend")
#define PLUGIN_FILE  LIBRARY_NAME("ggml-virtgpu")

/* Verbs: argv[0] is the verb; they return the exit status. */
int verb_serve(int argc, char **argv);
int verb_run(int argc, char **argv);

/* options.c: what serve and run both take */
struct host_options {
	struct {
		const char *key, *value;
	} keys[64]; /* -o key=value, in order */
	size_t n_keys;
	const char *ggml; /* --ggml PATH|auto; NULL: the environment, else auto */
	bool verbose;
	struct apir_options apir;
};

#define HOST_SHORT_OPTIONS "o:vh"
#define HOST_LONG_OPTIONS                                                                                              \
	{ "ggml", required_argument, NULL, 'g' }, { "backend", required_argument, NULL, 'b' },                         \
		{ "worker", required_argument, NULL, 'w' }, { "verbose", no_argument, NULL, 'v' },                     \
	{                                                                                                              \
		"help", no_argument, NULL, 'h'                                                                         \
	}
#define HOST_HELP                                                                                                      \
	"  --ggml PATH|auto    the GGML library that computes; auto: the best one installed\n"                         \
	"                      (default: APIR_LLAMA_CPP_GGML_LIBRARY_PATH, else auto)\n"                               \
	"  -o KEY=VALUE        a configuration key, e.g. ggml.threads=4; wins over the variables\n"                    \
	"  --backend PATH      " BACKEND_FILE " (default: VIRGL_APIR_BACKEND_LIBRARY, else ours)\n"                    \
	"  --worker PATH       ggml-virtgpu-worker (default: ours)\n"                                                  \
	"  -v, --verbose       say more\n"

/* Takes one getopt result; false: it was refused, with a line that says what is allowed. */
bool host_option(struct host_options *o, int opt, const char *arg);
/* Settles defaults (the libraries); false: a line said why not. */
bool host_options_settle(struct host_options *o);
/* The doors' configure callback; user is a struct host_options. */
int host_configure(struct apir *a, void *user);
/* The same as "KEY=VALUE" strings, NULL at the end; malloc'ed, strings too. NULL: no memory. */
char **host_settings(const struct host_options *o);

/* auto.c: the best GGML library installed, by asking each in a child process. malloc'ed; NULL: none. */
char *ggml_find(bool verbose);

/* paths.c: a file of ours: beside the program (also in the build tree), else where it is installed. false: neither. */
bool path_find(char *out, size_t size, const char *build_dir, const char *name, const char *installed_dir);

/* plugin.c: the plugin of a command, and how the command's ggml comes by it */
struct plugin_choice {
	char path[PATH_MAX];   /* for GGML_BACKEND_PATH; empty: --plugin none */
	char folder[PATH_MAX]; /* with in_folder the plugin there, else where to put one */
	bool in_folder;
};

/* option: --plugin's, or NULL. false: a line said why not. */
bool plugin_choose(struct plugin_choice *c, const char *option);
void plugin_tell(const struct plugin_choice *c);
/* What may be the reason, if the command's wait status says that it aborted. */
void plugin_tell_abort(const struct plugin_choice *c, int status);

/* sweeper.c: removes a socket and its folder when this process ends, however it does. */
struct sweeper {
	pid_t pid;
	int fd;
};

/* Signals are to be held; 0 or -errno. */
int sweeper_start(struct sweeper *s, const char *socket, const char *dir);
/* Has it remove them now, and waits for that. */
void sweeper_end(struct sweeper *s);

/* supervisor.c: a socket that is listened on, each connection served by a process of its own */
enum door_kind { DOOR_VHOST_USER, DOOR_SOCKET, DOOR_WORKERS };

struct door {
	enum door_kind kind;
	const char *path;
	int fd;
	size_t n_serving; /* connections at the moment */
};

struct supervisor {
	struct door *doors;
	size_t n_doors;
	struct host_options *host;
	uint64_t window; /* bytes, 0: default */
	bool venus;
	int private_fd; /* that door processes don't keep open; -1: none */
};

/* Listens; replaces a stale socket file. 0, or -errno having said why. */
int door_listen(struct door *d);
/* Serves until SIGTERM or SIGINT, or until `child` (0: none) has ended, whose wait status goes to *status. Removes the
 * sockets. 0 or -errno. */
int supervisor_run(struct supervisor *s, int child, int *status);
/* Blocks the signals that supervisor_run() waits for: before any child is started. */
void supervisor_prepare(void);
/* In a child that is to run another program: the signals as they were. */
void supervisor_unprepare(void);

#endif
