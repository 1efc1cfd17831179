/* The file systems that a container finds, and a root that can be written. */

#include "init.h"

static const struct place {
    const char *type, *path;
    unsigned long flags;
    const char *data;
} kernel[] = {{"devtmpfs", "/dev", MS_NOSUID, "mode=0755"},
              {"proc", "/proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL},
              {"sysfs", "/sys", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL}},
  rest[] = {{"devpts", "/dev/pts", MS_NOSUID | MS_NOEXEC, "newinstance,ptmxmode=0666,mode=0620,gid=5"},
            {"tmpfs", "/dev/shm", MS_NOSUID | MS_NODEV, "mode=1777"},
            {"mqueue", "/dev/mqueue", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL},
            {"tmpfs", "/run", MS_NOSUID | MS_NODEV, "mode=0755"},
            {"cgroup2", "/sys/fs/cgroup", MS_NOSUID | MS_NODEV | MS_NOEXEC, "nsdelegate,memory_recursiveprot"}},
  tmp = {"tmpfs", "/tmp", MS_NOSUID | MS_NODEV, "mode=1777"};
#define COUNT(array) (sizeof array / sizeof *array)

static const char *const links[][2] = {{"/proc/self/fd", "/dev/fd"},
                                       {"/proc/self/fd/0", "/dev/stdin"},
                                       {"/proc/self/fd/1", "/dev/stdout"},
                                       {"/proc/self/fd/2", "/dev/stderr"}};

static void mount_at(const struct place *place) {
    struct stat here, above;
    mkdir(place->path, 0755);
    /* What is mounted is on another device than the directory around it. */
    if (!stat(place->path, &here) && !stat(join(place->path, "/..", END), &above) && here.st_dev != above.st_dev)
        return;
    int failed = mount(place->type, place->path, place->type, place->flags, place->data);
    if (failed && errno == EINVAL) /* an older kernel may lack an option */
        failed = mount(place->type, place->path, place->type, place->flags, NULL);
    if (failed && errno != ENODEV)
        say(place->type, " cannot be mounted at ", place->path, ": ", strerror(errno), END);
}

void mount_kernel(void) {
    for (size_t i = 0; i < COUNT(kernel); i++)
        mount_at(&kernel[i]);
}

void mount_rest(void) {
    for (size_t i = 0; i < COUNT(rest); i++)
        mount_at(&rest[i]);
    for (size_t i = 0; i < COUNT(links); i++)
        if (symlink(links[i][0], links[i][1]) && errno != EEXIST)
            say(links[i][1], " cannot be made: ", strerror(errno), END);
    /* An image without a /tmp, and a root that stays read-only, get one in memory. */
    if (access("/tmp", W_OK))
        mount_at(&tmp);
}

/* Load the modules that the initramfs lists, one a line, in that order. */
void load_modules(void) {
    char *order = read_file(INITRAMFS "/modules/order", NULL);
    for (char *name = order ? strtok(order, "\n") : NULL; name; name = strtok(NULL, "\n")) {
        int fd = open(join(INITRAMFS "/modules/", name, END), O_RDONLY | O_CLOEXEC);
        if (fd < 0 || (syscall(SYS_finit_module, fd, "", 0) && errno != EEXIST))
            say("the module ", name, " cannot be loaded: ", strerror(errno), END);
        close(fd);
    }
}

/* Wait for a disk that a driver is about to find: it has ten seconds. */
bool wait_for(const char *device) {
    for (int i = 0; i < 2000 && access(device, F_OK); i++)
        pause_for(5);
    return !access(device, F_OK);
}

static bool mounted(const char *device, const char *at, const char *type, unsigned long flags) {
    mkdir(at, 0755);
    return wait_for(device) && !mount(device, at, type, flags, NULL);
}

/* Mount the root as the kernel would: read-only, unless `rw` says otherwise and the disk lets us. */
void mount_disk(const char *at) {
    const char *device = option("root", "/dev/vda"), *type = option("rootfstype", "ext4");
    create_mapped(device);
    if ((!flag("rw") || !mounted(device, at, type, 0)) && !mounted(device, at, type, MS_RDONLY) &&
        (option("rootfstype", NULL) || !mounted(device, at, "erofs", MS_RDONLY)))
        fail(device, strerror(errno), "root= and rootfstype= say which disk is the root, the kernel needs their drivers");
}

/* Make `root` the root of everything, with the kernel's file systems moved there. */
static void enter(const char *root) {
    for (size_t i = 0; i < COUNT(kernel); i++) {
        const char *target = join(root, kernel[i].path, END);
        mkdir(target, 0755);
        if (mount(kernel[i].path, target, NULL, MS_MOVE, NULL))
            say(kernel[i].path, " cannot be moved to the disk: ", strerror(errno), END);
    }
    if (chdir(root) || mount(".", "/", NULL, MS_MOVE, NULL) || chroot(".") || chdir("/"))
        fail(root, strerror(errno), "this should not happen");
}

/* The directory whose file system gets what is written over a read-only root. */
static int upper = -1;

/* Go to `root`; over one that is read-only goes an overlay, whose upper half is in memory or on the disk rb.data.
 * `scratch` is a directory for the mount points `upper` and `merged`. */
void make_writable(const char *root, const char *scratch) {
    const char *top = join(scratch, "/upper", END), *merged = join(scratch, "/merged", END), *disk = option("rb.data", NULL);
    struct statvfs status;
    if (!flag("rb.ro") && !statvfs(root, &status) && status.f_flag & ST_RDONLY) {
        mkdir(top, 0755);
        mkdir(merged, 0755);
        if (disk ? !mounted(disk, top, "ext4", 0) : mount("tmpfs", top, "tmpfs", 0, "mode=0755"))
            fail(disk ? disk : "tmpfs", strerror(errno), "rb.data= has to name a disk with ext4");
        upper = open(top, O_PATH | O_DIRECTORY | O_CLOEXEC);
        mkdirat(upper, "upper", 0755);
        mkdirat(upper, "work", 0755);
        const char *data = join("lowerdir=", root, ",upperdir=", top, "/upper,workdir=", top, "/work", END);
        if (!mount("overlay", merged, "overlay", 0, data))
            root = merged;
        else if (disk)
            fail("rb.data", strerror(errno), "take a kernel with overlayfs");
        else
            say("the root stays read-only, for this kernel has no overlayfs: ", strerror(errno), END);
    }
    if (strcmp(root, "/"))
        enter(root);
}

/* What is read-only is clean on its disk. */
void unmount_all(void) {
    mount(NULL, "/", NULL, MS_REMOUNT | MS_RDONLY, NULL);
    if (upper >= 0)
        mount(NULL, join("/proc/self/fd/", digits((unsigned long)upper), END), NULL, MS_REMOUNT | MS_RDONLY, NULL);
    sync();
}
