/* Process 1 of a machine that runs one image: prepares what a container would find, runs the image's process, ends.
 * The kernel starts it from the disk (init=/.rootfs-builder/init) or as /init of an initramfs, which mounts the disk
 * and goes on there: with what the initramfs describes, or else by starting the disk's own init. */

#include "init.h"

/* Take the device behind /dev/console, which itself can control no session. */
static void open_console(void) {
    char *active = read_file("/sys/class/tty/console/active", NULL), *name = active ? strtok(active, "\n") : NULL;
    const char *device = !name ? "console" : strrchr(name, ' ') ? strrchr(name, ' ') + 1 : name;
    int opened = open(join("/dev/", device), O_RDWR | O_NOCTTY | O_CLOEXEC);
    if (opened < 0) opened = open("/dev/console", O_RDWR | O_NOCTTY | O_CLOEXEC);
    for (int fd = 0; fd < 3; fd++) dup2(opened < 0 ? open("/dev/null", O_RDWR | O_CLOEXEC) : opened, fd);
}

/* From the initramfs to the disk; returns only where the initramfs itself says what to run. */
static void leave_initramfs(void) {
    bool says = access(INITRAMFS "/description", F_OK) == 0;
    if (says) read_description(INITRAMFS "/description");
    load_modules();
    mount_disk("/root");
    make_writable("/root", INITRAMFS);
    if (says) return;
    const char *program = option("init", DISK "/init");
    execl(program, program, NULL);
    fail(program, strerror(errno), "name the disk's init with init=");
}

/* End the machine: nobody left, everything written, the status told, the power off. */
_Noreturn void end(int status) {
    kill(-1, SIGTERM); /* everybody but process 1 */
    for (int waited = 0, pid; waited < 700 && (pid = waitpid(-1, NULL, WNOHANG)) >= 0; waited += !pid) {
        if (waited == 200) kill(-1, SIGKILL);
        usleep(pid ? 0 : 10000);
    }
    finish_relays();
    if (!unmount_all() && !status) status = OURS;
    tell_status(status);
    /* Firecracker ends when the guest resets through the keyboard controller, the others when the power goes off. */
    reboot(*option("reboot", "") == 'k' ? RB_AUTOBOOT : RB_POWER_OFF);
    for (;;) pause();
}

int main(int argc, char **argv) {
    if (getpid() != 1) return say("this is process 1 of a machine, and nothing else"), OURS;
    /* Signals are taken one at a time, when there is an answer to them. */
    sigset_t all;
    sigfillset(&all);
    sigprocmask(SIG_SETMASK, &all, NULL);
    umask(022);
    /* So the kernel calls it; an image may hold a directory like that of the initramfs, too. */
    bool from_initramfs = argc && !strcmp(argv[0], "/init");
    if (from_initramfs) dup2(open(INITRAMFS "/options", O_RDONLY | O_CLOEXEC), OPTIONS_FD);
    mount_kernel();
    open_console();
    if (flag("rb.probe")) end(0);
    if (from_initramfs) {
        leave_initramfs();
    } else {
        read_description(DISK "/description");
        make_writable("/", DISK);
    }
    mount_rest();
    open_ports();
    set_up_network();
    write_host_files();
    make_volumes();
    if (described[TAKEOVER].count) take_over();
    end(run());
}
