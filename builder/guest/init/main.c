/* Process 1 of a machine that runs one image: prepares what a container would find, runs the image's process, ends.
 *
 * The kernel starts it from the disk (init=/.rootfs-builder/init) or as /init of an initramfs, which mounts the disk
 * and goes on there: with what the initramfs describes, or else by starting the disk's own init. */

#include "init.h"

#define OVERRIDE RUN "/override"

static _Noreturn void hand_over(void) {
    const char *program = option("init", DISK "/init");
    execl(program, program, END);
    fail(program, strerror(errno), "name the disk's init with init=");
}

/* From the initramfs to the disk; returns only where the initramfs itself says what to run. */
static void leave_initramfs(struct description *what) {
    size_t size = 0;
    const char *override = read_file(INITRAMFS "/override", &size);
    bool described = access(INITRAMFS "/description", F_OK) == 0;
    if (described)
        read_description(what, INITRAMFS "/description");
    load_modules();
    mount_disk("/root");
    make_writable("/root", INITRAMFS);
    if (override) {
        mount_rest();
        mkdir(RUN, 0755);
        if (!write_file(OVERRIDE, override, size))
            fail(OVERRIDE, strerror(errno), "give the machine more memory");
    }
    if (!described)
        hand_over();
}

/* Reap until nobody is left, or for so long. */
static bool all_gone(int milliseconds) {
    for (pid_t found = 0; found >= 0; milliseconds -= found ? 0 : 10) {
        if (milliseconds < 0)
            return false;
        if ((found = waitpid(-1, NULL, WNOHANG)) == 0)
            pause_for(10);
    }
    return true;
}

/* End the machine: nobody left, everything written, the status told, the power off. */
_Noreturn void end(int status) {
    /* -1 is everybody but process 1. */
    kill(-1, SIGTERM);
    if (!all_gone(2000)) {
        kill(-1, SIGKILL);
        all_gone(5000);
    }
    finish_relays();
    sync();
    unmount_all();
    const char *line = join("status ", digits((unsigned long)status), "\n", END);
    if (ports[CONTROL] < 0 || write(ports[CONTROL], line, strlen(line)) < 0)
        say("the process ended with status ", digits((unsigned long)status), END);
    /* Firecracker ends when the guest resets through the keyboard controller, the others when the power goes off. */
    reboot(!strcmp(option("reboot", ""), "k") ? RB_AUTOBOOT : RB_POWER_OFF);
    for (;;)
        pause();
}

int main(void) {
    if (getpid() != 1) {
        say("this is process 1 of a machine, and nothing else", END);
        return OURS;
    }
    /* Signals are taken one at a time, when there is an answer to them. */
    sigset_t all;
    sigfillset(&all);
    sigprocmask(SIG_SETMASK, &all, NULL);
    umask(022);
    mount_kernel();
    open_console();
    if (flag("rb.probe"))
        end(0);

    static struct description what = {.cwd = "/", .stop = SIGTERM};
    if (access(INITRAMFS, F_OK) == 0) {
        leave_initramfs(&what);
    } else {
        read_description(&what, DISK "/description");
        make_writable("/", DISK);
    }
    mount_rest();
    override(&what, OVERRIDE);
    open_ports();
    set_up_network();
    write_host_files(&what);
    if (what.takeover)
        take_over(&what);
    end(run(&what));
}
