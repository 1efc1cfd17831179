/* What to run, as the build wrote it down (builder/guest/description.py has the form), and the kernel's command line:
 * words at spaces, which double quotes hold together, as the kernel itself reads it; %XX is a byte in hexadecimal. */

#include "init.h"

#include <ctype.h>

#define VERSION "rootfs-builder 2"
#define REBUILD "build the disk again"

struct words described[KEYS];
static const char *const keys[KEYS] = {"entrypoint",    "cmd",      "env",      "volume", "cwd", "hostname", "hosts",
                                       "hostname-file", "resolver", "takeover", "uid",    "gid", "group",    "stop"};

const char *last(enum key key, const char *otherwise) {
    return described[key].count ? described[key].at[described[key].count - 1] : otherwise;
}

unsigned number(const char *text) { return (unsigned)strtoul(text, NULL, 10); }

/* Whether a value may stand for a key: those of numbers have digits only, and fit. */
static bool fits(enum key key, const char *value) {
    unsigned long most = key == STOP ? 64 : 0xfffffffe;
    size_t size = strlen(value);
    return key < UID || (size && size <= 10 && strspn(value, FIGURES) == size && strtoul(value, NULL, 10) <= most);
}

void read_description(const char *path) {
    size_t size = 0;
    char *at = read_file(path, &size);
    if (!at) fail(path, strerror(errno), REBUILD);
    if (size < sizeof VERSION || strcmp(at, VERSION)) fail(path, "it is damaged, or of another version", REBUILD);
    const char *stop = at + size;
    for (at += sizeof VERSION; at < stop; at += strlen(at) + 1) {
        /* Only the last string may be this one, and must: whatever is cut off or added is noticed. */
        if (!strcmp(at, "end") && at + sizeof "end" == stop) return;
        char *name = strsep(&at, "=");
        enum key key = 0;
        while (key < KEYS && strcmp(name, keys[key])) key++;
        if (!at || (key < KEYS && !fits(key, at))) break;
        if (key == KEYS) fail(path, join("it says ", name, ", which this init does not know"), REBUILD);
        append(&described[key], at);
    }
    fail(path, "it is damaged", REBUILD);
}

/* The words of the kernel's command line, and those that an initramfs adds, for which that is too short. */
static const struct words *options(void) {
    static struct words given;
    size_t size = 0;
    char *from = given.count ? NULL : read_file("/proc/cmdline", NULL), *word = from, *to = from;
    for (bool quoted = false; from && *from; from++) {
        char hexadecimal[] = {from[1], from[1] ? from[2] : 0, 0};
        if (*from == '%' && isxdigit(hexadecimal[0]) && isxdigit(hexadecimal[1])) {
            *to++ = (char)strtoul(hexadecimal, NULL, 16);
            from += 2;
        } else if (*from == '"') {
            quoted = !quoted;
        } else if (quoted || !strchr(" \n", *from)) {
            *to++ = *from;
        } else {
            *to = 0;
            append(&given, word);
            word = to = from + 1;
        }
    }
    char *at = from ? read_file(MORE_OPTIONS, &size) : NULL;
    for (const char *stop = at + size; at && at < stop; at += strlen(at) + 1) append(&given, at);
    return &given;
}

/* All values of an option; "" stands for one without. */
struct words values(const char *name) {
    struct words found = {0};
    size_t length = strlen(name);
    for (size_t i = 0; i < options()->count; i++) {
        const char *word = options()->at[i];
        if (!strncmp(word, name, length) && strchr("=", word[length]))
            append(&found, word + length + (word[length] == '='));
    }
    return found;
}

/* The last one counts, as in the kernel. */
const char *option(const char *name, const char *otherwise) {
    struct words all = values(name);
    return all.count ? all.at[all.count - 1] : otherwise;
}

bool flag(const char *name) { return option(name, NULL) != NULL; }
