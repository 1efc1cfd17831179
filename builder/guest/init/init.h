/* What the parts of init share. All of it runs as process 1 of a machine that holds one image's process. */

#pragma once
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

/* Where the disk keeps what the build put there, where an initramfs does, and our files in a running guest; further
 * options, which an initramfs opens for itself and for the disk's init after it. */
#define DISK "/.rootfs-builder"
#define INITRAMFS "/rb"
#define RUN "/run/rootfs-builder"
#define MORE_OPTIONS "/proc/self/fd/9"
enum { OPTIONS_FD = 9 };

/* Exit statuses as podman's: ours, not executable, not found, and a death by a signal. */
enum { OURS = 125, NOT_EXECUTABLE = 126, NOT_FOUND = 127, BY_SIGNAL = 128 };

/* A list of strings that ends with NULL, as execve(2) wants it; `at` is NULL where the list is empty. */
struct words {
    char **at;
    size_t count;
};

/* base.c: memory, files, words for people. */
#define FIGURES "0123456789"
#define join(...) join_all(__VA_ARGS__, NULL)
#define say(...) print(join("rootfs-builder init: ", __VA_ARGS__, "\n"))
extern int console;
void *larger(void *old, size_t size);
void append(struct words *to, const char *word);
char *join_all(const char *first, ...) __attribute__((sentinel));
char *read_file(const char *path, size_t *size);
bool write_file(const char *path, const char *text);
void print(char *line);
_Noreturn void fail(const char *what, const char *why, const char *todo);

/* description.c: what to run, by the keys of builder/guest/description.py, and options. From UID on, they are numbers.
 */
enum key {
    ENTRYPOINT, CMD, ENV, VOLUME, CWD, HOSTNAME, HOSTS, HOSTNAME_FILE, RESOLVER, TAKEOVER, UID, GID, GROUP, STOP, KEYS
};
extern struct words described[KEYS];
const char *last(enum key key, const char *otherwise);
unsigned number(const char *text);
void read_description(const char *path);
struct words values(const char *name);
const char *option(const char *name, const char *otherwise);
bool flag(const char *name);

/* mounts.c */
void mount_kernel(void);
void mount_rest(void);
void load_modules(void);
void mount_disk(const char *at);
void make_writable(const char *root, const char *scratch);
bool unmount_all(void);

/* network.c */
void set_up_network(void);
void write_host_files(void);

/* ports.c */
enum port { IN, OUT, ERR, CONTROL, PORTS };
extern int ports[PORTS];
void open_ports(void);
void tell_status(int status);
void relay(int from, int to);
void finish_relays(void);
void listen_for_stop(int signal);

/* process.c, main.c */
void make_volumes(void);
int run(void);
_Noreturn void take_over(void);
_Noreturn void end(int status);
