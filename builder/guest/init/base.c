/* Memory, files, and what people read on the console. With no memory for a few strings there is nothing to go on with.
 */

#include "init.h"

#include <stdarg.h>

void *larger(void *old, size_t size) {
    void *memory = realloc(old, size);
    if (!memory)
        fail("out of memory", "the machine has too little", "give it more");
    return memory;
}

void append(struct words *to, const char *word) {
    to->at = larger(to->at, (to->count + 2) * sizeof *to->at);
    to->at[to->count++] = (char *)word;
    to->at[to->count] = NULL;
}

static char *joined(const char *first, va_list rest) {
    char *text = NULL;
    size_t length = 0;
    for (const char *part = first; part; part = va_arg(rest, const char *)) {
        size_t size = strlen(part);
        text = larger(text, length + size + 1);
        memcpy(text + length, part, size + 1);
        length += size;
    }
    return text;
}

char *join(const char *first, ...) {
    va_list rest;
    va_start(rest, first);
    char *text = joined(first, rest);
    va_end(rest);
    return text;
}

char *digits(unsigned long number) {
    char text[24], *at = text + sizeof text - 1;
    for (*at = 0; number || !*at; number /= 10)
        *--at = (char)('0' + number % 10);
    return join(at, END);
}

/* Read a whole file, with a NUL behind it; NULL where it cannot be read. Files of /proc do not know their size. */
char *read_file(const char *path, size_t *size) {
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return NULL;
    size_t used = 0, room = 65536;
    char *data = larger(NULL, room);
    ssize_t got;
    while ((got = read(fd, data + used, room - used - 1)) > 0)
        if (room - (used += (size_t)got) < 2)
            data = larger(data, room *= 2);
    close(fd);
    data[used] = 0;
    if (size)
        *size = used;
    return got < 0 ? NULL : data;
}

bool write_file(const char *path, const char *text, size_t size) {
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    ssize_t put;
    for (; fd >= 0 && size && (put = write(fd, text, size)) > 0; size -= (size_t)put)
        text += put;
    return fd >= 0 && close(fd) == 0 && !size;
}

/* The kernel opens the console for process 1 where there is a node for it; an initramfs may have none. */
void open_console(void) {
    int console = open("/dev/console", O_RDWR | O_NOCTTY | O_CLOEXEC);
    if (console < 0)
        console = open("/dev/null", O_RDWR | O_CLOEXEC);
    for (int fd = 0; fd < 3 && console >= 0; fd++)
        dup2(console, fd);
}

static void print(const char *text) {
    char *line = join("rootfs-builder init: ", text, "\n", END);
    /* A name may hold what would move the reader's cursor. */
    for (char *at = line; at[1]; at++)
        if ((unsigned char)*at < ' ' || *at == 127)
            *at = '?';
    if (write(2, line, strlen(line)) < 0)
        return;
}

void say(const char *first, ...) {
    va_list rest;
    va_start(rest, first);
    print(joined(first, rest));
    va_end(rest);
}

_Noreturn void fail(const char *what, const char *why, const char *todo) {
    print(join(what, ": ", why, "; ", todo, END));
    end(OURS);
}

void pause_for(int milliseconds) { nanosleep(&(struct timespec){0, milliseconds * 1000000L}, NULL); }
