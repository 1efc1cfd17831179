/* Mapped devices, such as a disk with dm-verity. A kernel whose device mapper is a module gets it too late to do itself
 * what dm-mod.create= says (its admin-guide/device-mapper/dm-init.rst), so init asks it for the same. */

#include "init.h"

#include <linux/dm-ioctl.h>

/* A request, and behind it the targets of a device: more room than what a kernel command line can hold needs. */
static struct {
    struct dm_ioctl head;
    _Alignas(8) char targets[1 << 18];
} request;
static unsigned target_count;

/* Add a target from `START LENGTH TYPE ARGUMENTS`, when the disks among the arguments are there. */
static size_t add_target(char *at, char *table) {
    struct dm_target_spec *target = (struct dm_target_spec *)at;
    if ((size_t)(request.targets + sizeof request.targets - at) < sizeof *target + strlen(table) + 8)
        fail("dm-mod.create=", "it is too long", "name fewer devices");
    *target = (struct dm_target_spec){.sector_start = strtoull(table, &table, 10)};
    target->length = strtoull(table, &table, 10);
    table += strspn(table, " ");
    char *type = strsep(&table, " "), *text = strcpy(at + sizeof *target, table ? table : "");
    strncpy(target->target_type, type, sizeof target->target_type - 1);
    target->next = (unsigned)(sizeof *target + strlen(text) + 8) & ~7U;
    for (char *word; (word = strsep(&table, " "));)
        if (!strncmp(word, "/dev/", 5))
            wait_for(word);
    return target->next;
}

static bool asked(int control, unsigned long what, const char *name, const char *uuid, uint64_t device, unsigned flags) {
    request.head = (struct dm_ioctl){.version = {4}, .data_size = sizeof request, .target_count = target_count};
    request.head.data_start = offsetof(typeof(request), targets);
    request.head.flags = flags;
    request.head.dev = device;
    strncpy(request.head.name, name, sizeof request.head.name - 1);
    strncpy(request.head.uuid, uuid, sizeof request.head.uuid - 1);
    return ioctl(control, what, &request) == 0;
}

/* Create NAME,UUID,MINOR,FLAGS,TABLE[,TABLE...], where UUID and MINOR may be empty. */
static bool created(int control, char *rest) {
    char *fields[4] = {NULL}, *at = request.targets;
    for (int i = 0; i < 4; i++) {
        rest += rest ? strspn(rest, " ") : 0;
        fields[i] = rest ? strsep(&rest, ",") : "";
    }
    target_count = 0;
    for (char *table; (table = strsep(&rest, ",")); target_count++)
        at += add_target(at, table);
    unsigned long minor = strtoul(fields[2], NULL, 10);
    uint64_t device = (minor & 0xff) | (minor & 0xfff00) << 12;
    unsigned numbered = *fields[2] ? DM_PERSISTENT_DEV_FLAG : 0, read_only = strcmp(fields[3], "ro") ? 0 : DM_READONLY_FLAG;
    return asked(control, DM_DEV_CREATE, fields[0], fields[1], device, numbered) &&
           asked(control, DM_TABLE_LOAD, fields[0], "", 0, read_only) && asked(control, DM_DEV_SUSPEND, fields[0], "", 0, 0);
}

/* Create the devices that dm-mod.create= names, apart by semicolons, unless the kernel has made `root` already. */
void create_mapped(const char *root) {
    char *devices = join(option("dm-mod.create", ""), END);
    if (!*devices || !access(root, F_OK))
        return;
    int control = open("/dev/mapper/control", O_RDWR | O_CLOEXEC);
    for (char *device; (device = strsep(&devices, ";"));)
        if (!created(control, device))
            fail("dm-mod.create=", strerror(errno), "the kernel needs dm-verity, and the hash and disks that it names");
    close(control);
}
