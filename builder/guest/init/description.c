/* What to run, as the build wrote it down (builder/guest/description.py has the form), and the kernel's command line:
 * words at spaces, which double quotes hold together, as the kernel itself reads it. In values of ours %XX is a byte in
 * hexadecimal, so that any text survives whatever hands the line on. */

#include "init.h"

#define VERSION "rootfs-builder 1"
#define REBUILD "build the disk again"

static unsigned long number(const char *path, const char *text) {
    char *rest;
    unsigned long value = strtoul(text, &rest, 10);
    if (*text < '0' || *text > '9' || *rest || value > 0xfffffffe)
        fail(path, "it is damaged", REBUILD);
    return value;
}

static void take(struct description *to, const char *path, const char *key, const char *value) {
    const struct {
        const char *key;
        struct words *list;
    } lists[] = {{"entrypoint", &to->entrypoint}, {"cmd", &to->cmd},    {"env", &to->env},
                 {"nameserver", &to->nameservers}, {"host", &to->hosts}, {"write", &to->write}};
    for (size_t i = 0; i < sizeof lists / sizeof *lists; i++)
        if (!strcmp(key, lists[i].key)) {
            append(lists[i].list, value);
            return;
        }
    if (!strcmp(key, "cwd"))
        to->cwd = value;
    else if (!strcmp(key, "hostname"))
        to->hostname = value;
    else if (!strcmp(key, "uid"))
        to->uid = (uid_t)number(path, value);
    else if (!strcmp(key, "gid"))
        to->gid = (gid_t)number(path, value);
    else if (!strcmp(key, "group")) {
        to->groups = larger(to->groups, (to->group_count + 1) * sizeof *to->groups);
        to->groups[to->group_count++] = (gid_t)number(path, value);
    } else if (!strcmp(key, "stop"))
        to->stop = (int)number(path, value);
    else if (!strcmp(key, "takeover"))
        to->takeover = true;
    else
        fail(path, join("it says ", key, ", which this init does not know", END), REBUILD);
}

void read_description(struct description *to, const char *path) {
    size_t size;
    char *at = read_file(path, &size), *stop = at + size;
    if (!at)
        fail(path, strerror(errno), REBUILD);
    if (size < sizeof VERSION || strcmp(at, VERSION))
        fail(path, "it is damaged, or of another version", REBUILD);
    for (at += sizeof VERSION; at < stop; at += strlen(at) + 1) {
        /* Only the last string may be this one, and must: whatever is cut off or added is noticed. */
        if (!strcmp(at, "end") && at + sizeof "end" == stop)
            return;
        char *key = at;
        if (!(at = strchr(at, '=')))
            break;
        *at++ = 0;
        take(to, path, key, at);
    }
    fail(path, "it is damaged", REBUILD);
}

static void set_variable(struct words *env, const char *setting) {
    size_t name = strcspn(setting, "=") + 1;
    for (size_t i = 0; i < env->count; i++)
        if (!strncmp(env->at[i], setting, name)) {
            env->at[i] = (char *)setting;
            return;
        }
    append(env, setting);
}

static unsigned hexadecimal(char digit) {
    const char *all = "0123456789abcdef", *found = digit ? strchr(all, digit | (digit >= 'A' ? 0x20 : 0)) : NULL;
    return found ? (unsigned)(found - all) : 16;
}

/* Undo %XX, and cut the quotes, in place. */
static void decode(char *word) {
    bool ours = !strncmp(word, "rb.", 3);
    char *to = word;
    for (char *from = word; *from; from++) {
        unsigned high = ours && *from == '%' ? hexadecimal(from[1]) : 16, low = high < 16 ? hexadecimal(from[2]) : 16;
        if (low < 16) {
            *to++ = (char)(high << 4 | low);
            from += 2;
        } else if (*from != '"') {
            *to++ = *from;
        }
    }
    *to = 0;
}

static const struct words *options(void) {
    static struct words given;
    char *at = given.count ? NULL : read_file("/proc/cmdline", NULL);
    while (at && *at) {
        char *word = at;
        for (bool quoted = false; *at && (quoted || !strchr(" \n", *at)); at++)
            quoted ^= *at == '"';
        if (*at)
            *at++ = 0;
        decode(word);
        append(&given, word);
    }
    return &given;
}

static const char *value(const char *word, const char *name) {
    size_t length = strlen(name);
    return !strncmp(word, name, length) && word[length] == '=' ? word + length + 1 : NULL;
}

/* The last one counts, as in the kernel. */
const char *option(const char *name, const char *otherwise) {
    const struct words *all = options();
    for (size_t i = 0; i < all->count; i++) {
        const char *found = value(all->at[i], name);
        otherwise = found ? found : otherwise;
    }
    return otherwise;
}

bool flag(const char *name) {
    const struct words *all = options();
    for (size_t i = 0; i < all->count; i++)
        if (!strcmp(all->at[i], name))
            return true;
    return false;
}

static void replace(struct description *to, const struct description *with) {
    if (with->cmd.count)
        to->cmd = with->cmd;
    for (size_t i = 0; i < with->env.count; i++)
        set_variable(&to->env, with->env.at[i]);
    to->hostname = with->hostname ? with->hostname : to->hostname;
}

/* Let the description at `path`, where there is one, and then the kernel's command line have the last word. */
void override(struct description *to, const char *path) {
    static struct description file, line;
    if (access(path, F_OK) == 0)
        read_description(&file, path);
    replace(to, &file);
    for (size_t i = 0; i < options()->count; i++) {
        const char *cmd = value(options()->at[i], "rb.cmd"), *env = value(options()->at[i], "rb.env");
        if (cmd || env)
            append(cmd ? &line.cmd : &line.env, cmd ? cmd : env);
    }
    line.hostname = option("rb.hostname", NULL);
    replace(to, &line);
}
