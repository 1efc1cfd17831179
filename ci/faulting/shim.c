/* Counts system calls of certain kinds, and has the n-th one fail or do less: preloaded by ci/faults.

   What is to happen stands in a page that all processes of a run share (FAULTS_PAGE, a file). Calls count only where they
   touch what is below FAULTS_UNDER, so that modules that are imported do not; pipes and sockets, which know no full disks
   and no bad blocks, may be cut short and interrupted. A process that was
   started takes part from its first mkdir on (FAULTS_FROM=mkdir), or at once (FAULTS_FROM=start); one that was forked
   calls faults_begin. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <unistd.h>

enum { READS = 1, WRITES = 2, OPENS = 4, RENAMES = 8, SYNCS = 16, ROOM = 32, COPIES = 64 };

struct page {
    long made;    /* calls of the kinds asked for, so far */
    long at;      /* the number of the first that is hit; 0: none */
    long last;    /* the number of the last that is hit */
    int kinds;     /* which kinds count */
    int error;    /* 0: do half of it */
    long each[8];  /* calls so far, by kind: by the number of its bit */
    char hit[512]; /* which call that was, and of what */
};

static struct page *page;
static char under[PATH_MAX];
static size_t under_length;
static int begun;

__attribute__((constructor)) static void start(void)
{
    const char *path = getenv("FAULTS_PAGE"), *place = getenv("FAULTS_UNDER"), *from = getenv("FAULTS_FROM");
    if (path == NULL || place == NULL)
        return;
    int fd = open(path, O_RDWR | O_CLOEXEC);
    if (fd < 0)
        return;
    void *mapped = mmap(NULL, sizeof(struct page), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    close(fd);
    if (mapped == MAP_FAILED)
        return;
    under_length = strlen(place);
    if (under_length >= sizeof under)
        return;
    memcpy(under, place, under_length + 1);
    page = mapped;
    begun = from != NULL && strcmp(from, "start") == 0;
}

void faults_begin(void) { begun = 1; }

static int is_below(const char *path)
{
    return strncmp(path, under, under_length) == 0 && (path[under_length] == '/' || path[under_length] == 0);
}

static int describe(int fd, char *target, size_t size)
{
    char link[64];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, target, size - 1);
    target[length < 0 ? 0 : length] = 0;
    return length > 0;
}

/* 0: go on as ever; 1: fail, errno is set; 2: do half of it. */
static int hit(int kind, const char *name, int fd, const char *path)
{
    if (page == NULL || !begun || !(page->kinds & kind))
        return 0;
    int before = errno;
    char target[PATH_MAX] = "";
    int of_pipes = page->error == 0 || page->error == EINTR;
    int counts;
    if (path != NULL && path[0] == '/')
        counts = is_below(path) || strncmp(path, "/proc/self/fd/", 14) == 0;
    else if (path != NULL && fd == AT_FDCWD)
        counts = getcwd(target, sizeof target) != NULL && is_below(target);
    else if (path == NULL && fd <= 2)
        counts = 0;
    else
        counts = describe(fd, target, sizeof target) &&
                 (is_below(target) || (of_pipes && (strncmp(target, "pipe:", 5) == 0 || strncmp(target, "socket:", 7) == 0)));
    errno = before;
    if (!counts)
        return 0;
    __atomic_add_fetch(&page->each[__builtin_ctz(kind)], 1, __ATOMIC_SEQ_CST);
    long number = __atomic_add_fetch(&page->made, 1, __ATOMIC_SEQ_CST);
    if (page->at == 0 || number < page->at || number > page->last)
        return 0;
    if (number == page->at)
        snprintf(page->hit, sizeof page->hit, "%.40s %.200s %.200s", name, target, path ? path : "");
    if (page->error == 0)
        return 2;
    errno = page->error;
    return 1;
}

#define REAL(name) \
    static __typeof__(name) *real; \
    if (real == NULL) \
        real = (__typeof__(name) *)dlsym(RTLD_NEXT, #name)

#define SIZED(kind, name, parameters, size, after) \
    ssize_t name parameters \
    { \
        REAL(name); \
        int way = hit(kind, #name, fd, NULL); \
        if (way == 1) \
            return -1; \
        if (way == 2 && size > 1) \
            size /= 2; \
        return real after; \
    }

SIZED(READS, read, (int fd, void *data, size_t size), size, (fd, data, size))
SIZED(READS, pread, (int fd, void *data, size_t size, off_t at), size, (fd, data, size, at))
SIZED(READS, pread64, (int fd, void *data, size_t size, off64_t at), size, (fd, data, size, at))
SIZED(READS, readv, (int fd, const struct iovec *data, int size), size, (fd, data, size))
SIZED(WRITES, write, (int fd, const void *data, size_t size), size, (fd, data, size))
SIZED(WRITES, pwrite, (int fd, const void *data, size_t size, off_t at), size, (fd, data, size, at))
SIZED(WRITES, pwrite64, (int fd, const void *data, size_t size, off64_t at), size, (fd, data, size, at))
SIZED(WRITES, writev, (int fd, const struct iovec *data, int size), size, (fd, data, size))
SIZED(READS, recv, (int fd, void *data, size_t size, int flags), size, (fd, data, size, flags))
SIZED(WRITES, send, (int fd, const void *data, size_t size, int flags), size, (fd, data, size, flags))
SIZED(COPIES, sendfile, (int fd, int from, off_t *at, size_t size), size, (fd, from, at, size))
SIZED(COPIES, sendfile64, (int fd, int from, off64_t *at, size_t size), size, (fd, from, at, size))
SIZED(COPIES, copy_file_range, (int from, off64_t *at, int fd, off64_t *to, size_t size, unsigned flags), size,
      (from, at, fd, to, size, flags))
SIZED(COPIES, splice, (int from, off64_t *at, int fd, off64_t *to, size_t size, unsigned flags), size,
      (from, at, fd, to, size, flags))

#define WHOLE(kind, name, parameters, fd, path, after) \
    int name parameters \
    { \
        REAL(name); \
        if (hit(kind, #name, fd, path)) { \
            if (page->error == 0) \
                return real after; \
            return -1; \
        } \
        return real after; \
    }

WHOLE(SYNCS, fsync, (int fd), fd, NULL, (fd))
WHOLE(SYNCS, fdatasync, (int fd), fd, NULL, (fd))
WHOLE(SYNCS, syncfs, (int fd), fd, NULL, (fd))
WHOLE(ROOM, ftruncate, (int fd, off_t size), fd, NULL, (fd, size))
WHOLE(ROOM, ftruncate64, (int fd, off64_t size), fd, NULL, (fd, size))
WHOLE(ROOM, fallocate, (int fd, int mode, off_t at, off_t size), fd, NULL, (fd, mode, at, size))
WHOLE(ROOM, fallocate64, (int fd, int mode, off64_t at, off64_t size), fd, NULL, (fd, mode, at, size))
WHOLE(RENAMES, rename, (const char *path, const char *new), AT_FDCWD, path, (path, new))
WHOLE(RENAMES, renameat, (int fd, const char *path, int other, const char *new), fd, path, (fd, path, other, new))
WHOLE(RENAMES, renameat2, (int fd, const char *path, int other, const char *new, unsigned flags), fd, path,
      (fd, path, other, new, flags))
WHOLE(RENAMES, unlink, (const char *path), AT_FDCWD, path, (path))
WHOLE(RENAMES, unlinkat, (int fd, const char *path, int flags), fd, path, (fd, path, flags))
WHOLE(RENAMES, rmdir, (const char *path), AT_FDCWD, path, (path))
WHOLE(RENAMES, linkat, (int fd, const char *path, int other, const char *new, int flags), fd, path,
      (fd, path, other, new, flags))

int mkdir(const char *path, mode_t mode)
{
    REAL(mkdir);
    const char *from = getenv("FAULTS_FROM");
    begun = begun || (from != NULL && strcmp(from, "mkdir") == 0);
    return hit(RENAMES, "mkdir", AT_FDCWD, path) == 1 ? -1 : real(path, mode);
}

int mkdirat(int fd, const char *path, mode_t mode)
{
    REAL(mkdirat);
    const char *from = getenv("FAULTS_FROM");
    begun = begun || (from != NULL && strcmp(from, "mkdir") == 0);
    return hit(RENAMES, "mkdirat", fd, path) == 1 ? -1 : real(fd, path, mode);
}

#define OPENING(name, parameters, fd, arguments) \
    int name parameters \
    { \
        REAL(name); \
        mode_t mode = 0; \
        if (flags & (O_CREAT | O_TMPFILE)) { \
            va_list rest; \
            va_start(rest, flags); \
            mode = va_arg(rest, mode_t); \
            va_end(rest); \
        } \
        if (hit(OPENS, #name, fd, path) == 1) \
            return -1; \
        return real arguments; \
    }

OPENING(open, (const char *path, int flags, ...), AT_FDCWD, (path, flags, mode))
OPENING(open64, (const char *path, int flags, ...), AT_FDCWD, (path, flags, mode))
OPENING(openat, (int fd, const char *path, int flags, ...), fd, (fd, path, flags, mode))
OPENING(openat64, (int fd, const char *path, int flags, ...), fd, (fd, path, flags, mode))
