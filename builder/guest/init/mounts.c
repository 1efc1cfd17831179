/* The file systems that a container finds, a root that can be written, and the devices below it. */

#include "init.h"

#include <dirent.h>
#include <linux/dm-ioctl.h>
#include <sys/sendfile.h>
#include <sys/syscall.h>
#include <sys/vfs.h>

static const struct place {
    const char *type, *path;
    unsigned long flags;
    const char *data;
} places[] = {{"devtmpfs", "/dev", MS_NOSUID, "mode=0755"},
              {"proc", "/proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL},
              {"sysfs", "/sys", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL},
              {"devpts", "/dev/pts", MS_NOSUID | MS_NOEXEC, "newinstance,ptmxmode=0666,mode=0620,gid=5"},
              {"tmpfs", "/dev/shm", MS_NOSUID | MS_NODEV, "mode=1777"},
              {"mqueue", "/dev/mqueue", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL},
              {"cgroup2", "/sys/fs/cgroup", MS_NOSUID | MS_NODEV | MS_NOEXEC, "nsdelegate,memory_recursiveprot"},
              {"tmpfs", "/run", MS_NOSUID | MS_NODEV, "mode=0755"},
              {"tmpfs", "/tmp", MS_NOSUID | MS_NODEV, "mode=1777"}};
/* How many come first, which one is filled, and which one is there only where it is needed. */
enum { KERNEL = 3, FILLED = 7, TMP = 8 };

static void mount_at(const struct place *place) {
    struct stat here, above;
    mkdir(place->path, 0755);
    /* What is mounted is on another device than the directory around it. */
    if (!stat(place->path, &here) && !stat(join(place->path, "/.."), &above) && here.st_dev != above.st_dev) return;
    int failed = mount(place->type, place->path, place->type, place->flags, place->data);
    if (failed && errno == EINVAL) /* an older kernel may lack an option */
        failed = mount(place->type, place->path, place->type, place->flags, NULL);
    if (failed && errno != ENODEV) say(place->type, " cannot be mounted at ", place->path, ": ", strerror(errno));
}

void mount_kernel(void) {
    for (int i = 0; i < KERNEL; i++) mount_at(&places[i]);
}

/* Copy a file's content; false, with errno, where that cannot be. */
static bool filled(const char *from, const char *to) {
    int in = open(from, O_RDONLY | O_CLOEXEC), out = open(to, O_WRONLY | O_CLOEXEC);
    ssize_t sent = 1;
    while (sent > 0) sent = sendfile(out, in, NULL, 1 << 30);
    close(in);
    close(out);
    return !sent;
}

/* Make `to` what `from` is, with all that is in it; false, with errno, where that cannot be. */
static bool copied(const char *from, const char *to) {
    static char target[4096]; /* one for all folders within folders, on whose stack it would be too much */
    struct stat as;
    if (lstat(from, &as)) return false;
    if (S_ISLNK(as.st_mode)) {
        ssize_t size = readlink(from, target, sizeof target - 1);
        target[size > 0 ? size : 0] = 0;
        return !symlink(target, to) && !lchown(to, as.st_uid, as.st_gid);
    }
    DIR *folder = S_ISDIR(as.st_mode) ? opendir(from) : NULL;
    bool whole = folder ? !mkdir(to, 0700) || errno == EEXIST
                        : !S_ISDIR(as.st_mode) && !mknod(to, as.st_mode, as.st_rdev);
    for (struct dirent *entry; folder && whole && (entry = readdir(folder));)
        whole = !strcmp(entry->d_name, ".") || !strcmp(entry->d_name, "..") ||
                copied(join(from, "/", entry->d_name), join(to, "/", entry->d_name));
    if (folder) closedir(folder);
    return whole && (!S_ISREG(as.st_mode) || filled(from, to)) && !chown(to, as.st_uid, as.st_gid) &&
           !chmod(to, as.st_mode & 07777); /* last: owners and content take bits away */
}

/* Have a /run in memory, as machines do, with what the image keeps in its own, as in a container: folders for sockets,
 * for the most part. The inits of distributions fill it themselves. */
static void mount_run(void) {
    struct stat image, memory;
    bool there = !described[TAKEOVER].count && !chdir("/run") && !stat(".", &image);
    mount_at(&places[FILLED]);
    if (there && !stat("/run", &memory) && memory.st_dev != image.st_dev && !copied(".", "/run")) {
        say("what the image has in /run cannot be copied: ", strerror(errno));
        /* Half of it would be worse, and memory that is full takes no socket; but some of it has to take one. */
        if (!access(".", W_OK)) umount2("/run", MNT_DETACH);
    }
    there = !chdir("/");
}

void mount_rest(void) {
    for (int i = KERNEL; i < FILLED; i++) mount_at(&places[i]);
    mount_run();
    const char *links[][2] = {{"/dev/fd", ""}, {"/dev/stdin", "/0"}, {"/dev/stdout", "/1"}, {"/dev/stderr", "/2"}};
    for (int i = 0; i < 4; i++)
        if (symlink(join("/proc/self/fd", links[i][1]), links[i][0]) && errno != EEXIST)
            say(links[i][0], " cannot be made: ", strerror(errno));
    /* An image without a /tmp, and a root that stays read-only, get one in memory. */
    if (access("/tmp/.", W_OK)) mount_at(&places[TMP]);
}

/* Load the modules that the initramfs lists, one a line, in that order. */
void load_modules(void) {
    char *order = read_file(INITRAMFS "/modules/order", NULL);
    for (char *name; (name = strsep(&order, "\n")) && *name;) {
        int fd = open(join(INITRAMFS "/modules/", name), O_RDONLY | O_CLOEXEC);
        if (fd < 0 || (syscall(SYS_finit_module, fd, "", 0) && errno != EEXIST))
            say("the module ", name, " cannot be loaded: ", strerror(errno));
        close(fd);
    }
}

/* Wait for a disk that a driver is about to find: it has ten seconds. */
static bool wait_for(const char *device) {
    for (int i = 0; i < 2000 && access(device, F_OK); i++) usleep(5000);
    return !access(device, F_OK);
}

/* A request to the device mapper, and behind it the targets of a device: more than a kernel command line can hold. */
static struct {
    struct dm_ioctl head;
    _Alignas(8) char targets[1 << 20];
} request;

static struct dm_ioctl *about(const char *name, unsigned flags) {
    request.head = (struct dm_ioctl){.version = {4}, .data_size = sizeof request, .flags = flags};
    request.head.data_start = sizeof request - sizeof request.targets;
    strncpy(request.head.name, name, sizeof request.head.name - 1);
    return &request.head;
}

/* Write `START LENGTH TYPE ARGUMENTS` down, when the disks among the arguments are there; return the end. */
static char *add_target(char *at, char *table) {
    struct dm_target_spec *target = memset(at, 0, sizeof *target);
    target->sector_start = strtoull(table, &table, 10);
    target->length = strtoull(table, &table, 10);
    table += strspn(table, " ");
    strncpy(target->target_type, strsep(&table, " "), sizeof target->target_type - 1);
    char *text = strcpy(at + sizeof *target, table ? table : "");
    target->next = (unsigned)(sizeof *target + strlen(text) + 8) & ~7U;
    for (char *word; (word = strsep(&table, " "));)
        if (!strncmp(word, "/dev/", 5)) wait_for(word);
    return at + target->next;
}

/* Create NAME,UUID,MINOR,FLAGS,TABLE[,TABLE...], where UUID and MINOR may be empty. */
static bool created(int control, char *rest) {
    char *fields[4], *end = request.targets;
    unsigned count = 0;
    for (int i = 0; i < 4; i++) {
        rest += rest ? strspn(rest, " ") : 0;
        fields[i] = rest ? strsep(&rest, ",") : "";
    }
    for (char *table; (table = strsep(&rest, ",")); count++) end = add_target(end, table);
    struct dm_ioctl *head = about(fields[0], *fields[2] ? DM_PERSISTENT_DEV_FLAG : 0);
    strncpy(head->uuid, fields[1], sizeof head->uuid - 1);
    head->dev = (number(fields[2]) & 0xff) | (number(fields[2]) & 0xfff00) << 12;
    if (ioctl(control, DM_DEV_CREATE, head)) return false;
    about(fields[0], strcmp(fields[3], "ro") ? 0 : DM_READONLY_FLAG)->target_count = count;
    return !ioctl(control, DM_TABLE_LOAD, head) && !ioctl(control, DM_DEV_SUSPEND, about(fields[0], 0));
}

/* Create the devices that dm-mod.create= names (the kernel's admin-guide/device-mapper/dm-init.rst), such as one with
 * dm-verity, unless `root` is there: a kernel whose device mapper is a module gets it too late to do that itself. */
static void create_mapped(const char *root) {
    char *devices = access(root, F_OK) && flag("dm-mod.create") ? join(option("dm-mod.create", "")) : NULL;
    int control = devices ? open("/dev/mapper/control", O_RDWR | O_CLOEXEC) : -1;
    for (char *device; (device = strsep(&devices, ";"));)
        if (!created(control, device))
            fail("dm-mod.create=", strerror(errno), "the kernel needs dm-verity, and the hash and disks that it names");
    close(control);
}

/* Why a disk is not mounted: the C library has no words for one that is damaged. */
static const char *reason(void) { return errno == EUCLEAN ? "it is damaged" : strerror(errno); }

/* Mount the root as the kernel would: read-only, unless `rw` says otherwise and the disk lets us. */
void mount_disk(const char *at) {
    const char *device = option("root", "/dev/vda"), *type = option("rootfstype", "ext4");
    create_mapped(device);
    mkdir(at, 0755);
    if (!wait_for(device) ||
        ((!flag("rw") || mount(device, at, type, 0, NULL)) && mount(device, at, type, MS_RDONLY, NULL) &&
         (flag("rootfstype") || mount(device, at, "erofs", MS_RDONLY, NULL))))
        fail(device, reason(),
             "root= and rootfstype= have to name the disk, and the kernel needs their drivers");
}

/* Lay an overlay at a place. On a disk that is full it is read-only, until what it has deleted there, to begin anew, is
 * written. */
static bool overlaid(const char *at, const char *layers) {
    struct statfs on = {0};
    bool done = !mount("overlay", at, "overlay", 0, layers);
    if (!done || statfs(at, &on) || !(on.f_flags & MS_RDONLY)) return done;
    umount2(at, 0);
    sync();
    return !mount("overlay", at, "overlay", 0, layers);
}

/* Go to `root`, and have an overlay over one that is read-only, unless rb.ro says no: its upper half is in memory or on
 * the disk rb.data. `scratch` is a directory for the mount points `upper` and `merged`. */
void make_writable(const char *root, const char *scratch) {
    const char *top = join(scratch, "/upper"), *merged = join(scratch, "/merged"), *disk = option("rb.data", NULL);
    struct statfs on = {0};
    statfs(root, &on);
    /* The init of the initramfs may have made the overlay already: two over one disk would spoil it. */
    if (!flag("rb.ro") && (disk ? on.f_type != 0x794c7630 /* overlayfs */ : on.f_flags & MS_RDONLY)) {
        const char *upper = join(top, "/upper"), *work = join(top, "/work");
        mkdir(top, 0755);
        mkdir(merged, 0755);
        if (disk ? !wait_for(disk) || mount(disk, top, "ext4", 0, NULL) : mount("tmpfs", top, "tmpfs", 0, "mode=0755"))
            fail(disk ? disk : "tmpfs", reason(), "rb.data= has to name a disk with ext4");
        mkdir(upper, 0755);
        mkdir(work, 0755);
        if (overlaid(merged, join("lowerdir=", root, ",upperdir=", upper, ",workdir=", work)))
            root = merged;
        else if (disk)
            fail("rb.data", strerror(errno), "take a kernel with overlayfs");
        else
            say("the root stays read-only, for this kernel has no overlayfs: ", strerror(errno));
    }
    if (!strcmp(root, "/")) return;
    if (chdir(root) || mount(".", "/", NULL, MS_MOVE, NULL) || chroot(".") || chdir("/"))
        fail(root, strerror(errno), "this should not happen");
    /* Anew, for a move would follow the image's links out of it. */
    mount_kernel();
}

/* Make a file system read-only: it is clean on its disk then. False where that did not take all that was written to it,
 * of which a process hears only where it asks (fsync(2)). */
static bool closed(const char *at) {
    int fd = open(at, O_RDONLY | O_CLOEXEC);
    bool whole = fd < 0 || !syncfs(fd);
    close(fd);
    mount(NULL, at, NULL, MS_REMOUNT | MS_RDONLY, NULL);
    return whole;
}

/* Close the disks; what is not in use is unmounted. False, and a word, where they did not take all. */
bool unmount_all(void) {
    const char *disk = flag("rb.ro") ? NULL : option("rb.data", NULL);
    sync();
    bool whole = closed("/");
    /* Where the init of the initramfs has mounted it nobody gets any more; here it is once more, the same one. */
    if (disk && !mount(disk, "/run", "ext4", 0, NULL)) whole &= closed("/run");
    if (!whole)
        say(disk ? disk : option("root", "/dev/vda"),
            " did not take all that was written to it, and what was not written anew is lost; make room on its host");
    umount2("/", MNT_DETACH);
    return whole;
}
