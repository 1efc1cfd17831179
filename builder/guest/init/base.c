/* Memory, files, and what people read on the console. */

#include "init.h"

#include <stdarg.h>

int console = 2;

void *larger(void *old, size_t size) {
    void *memory = realloc(old, size);
    if (!memory) fail("out of memory", "the machine has too little", "give it more");
    return memory;
}

void append(struct words *to, const char *word) {
    to->at = larger(to->at, (to->count + 2) * sizeof *to->at);
    to->at[to->count++] = (char *)word;
    to->at[to->count] = NULL;
}

char *join_all(const char *first, ...) {
    char *text = NULL;
    size_t length = 0;
    va_list rest;
    va_start(rest, first);
    for (const char *part = first; part; part = va_arg(rest, const char *)) {
        size_t size = strlen(part);
        text = memcpy((char *)larger(text, length + size + 1) + length, part, size + 1) - length;
        length += size;
    }
    va_end(rest);
    return text;
}

/* Read a whole file, with a NUL behind it; NULL, with errno, where it cannot be read: that takes no memory, for ports are
 * tried thousands of times. A fifo of the image's is not waited for. */
char *read_file(const char *path, size_t *size) {
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0) return NULL;
    char *data = NULL;
    size_t used = 0;
    ssize_t got;
    while ((got = read(fd, (data = larger(data, used + 65536)) + used, 65535)) > 0) used += (size_t)got;
    close(fd);
    if (got < 0) return free(data), NULL;
    data[used] = 0;
    *(size ? size : &used) = used;
    return data;
}

bool write_file(const char *path, const char *text) {
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NONBLOCK, 0644);
    return fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text) && close(fd) == 0;
}

/* Print a line, in which a name may hold what would move the reader's cursor. */
void print(char *line) {
    for (char *at = line; at[1]; at++) *at = (unsigned char)*at < ' ' || *at == 127 ? '?' : *at;
    for (ssize_t put; *line && (put = write(console, line, strlen(line))) > 0;) line += put;
}

_Noreturn void fail(const char *what, const char *why, const char *todo) {
    say(what, ": ", why, "; ", todo);
    end(OURS);
}
