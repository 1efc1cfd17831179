/* What the parts of init share. All of it runs as process 1 of a machine that holds one image's process. */

#pragma once

#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/input.h>
#include <net/if.h>
#include <net/route.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

/* Where the disk keeps what the build put there, where an initramfs does, and our files in a running guest. */
#define DISK "/.rootfs-builder"
#define INITRAMFS "/rb"
#define RUN "/run/rootfs-builder"

/* Exit statuses as podman's: ours, not executable, not found, and a death by a signal. */
enum { OURS = 125, NOT_EXECUTABLE = 126, NOT_FOUND = 127, BY_SIGNAL = 128 };

/* A list of strings that ends with NULL, as execve(2) wants it; `at` is NULL where the list is empty. */
struct words {
    char **at;
    size_t count;
};

/* base.c: memory, files, words for people. Lists of arguments end with END. */
#define END ((char *)NULL)
void *larger(void *old, size_t size);
void append(struct words *to, const char *word);
char *join(const char *first, ...);
char *digits(unsigned long number);
char *read_file(const char *path, size_t *size);
bool write_file(const char *path, const char *text, size_t size);
void open_console(void);
void say(const char *first, ...);
_Noreturn void fail(const char *what, const char *why, const char *todo);
void pause_for(int milliseconds);

/* description.c: what to run, and the kernel's command line. */
struct description {
    struct words entrypoint, cmd, env, nameservers, hosts, write;
    const char *cwd, *hostname;
    gid_t *groups;
    size_t group_count;
    uid_t uid;
    gid_t gid;
    int stop;
    bool takeover; /* the program is an init itself, and becomes process 1 */
};
void read_description(struct description *to, const char *path);
void override(struct description *to, const char *path);
const char *option(const char *name, const char *otherwise);
bool flag(const char *name);

/* mounts.c: the file systems that a container finds, and a root that can be written. */
void mount_kernel(void);
void mount_rest(void);
bool wait_for(const char *device);
void mount_disk(const char *at);
void load_modules(void);
void make_writable(const char *root, const char *scratch);
void unmount_all(void);

/* mapped.c: devices that the kernel makes of others. */
void create_mapped(const char *root);

/* network.c */
void set_up_network(void);
void write_host_files(const struct description *what);

/* ports.c: the channels of `rootfs-builder boot`, and how the outside says stop. */
enum port { IN, OUT, ERR, CONTROL, PORTS };
extern int ports[PORTS];
void open_ports(void);
void relay(int from, int to);
void finish_relays(void);
void listen_for_stop(int signal);

/* process.c */
int run(const struct description *what);
_Noreturn void take_over(const struct description *what);

/* main.c */
_Noreturn void end(int status);
