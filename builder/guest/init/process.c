/* The image's process: how it starts, what it hears, how it ends. */

#include "init.h"

#include <grp.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/time.h>

/* The program and its arguments, where rb.cmd= takes the place of Cmd. */
static char **arguments(void) {
    struct words all = described[ENTRYPOINT], cmd = values("rb.cmd");
    cmd = cmd.count ? cmd : described[CMD];
    for (size_t i = 0; i < cmd.count; i++) append(&all, cmd.at[i]);
    if (!all.count)
        fail("there is nothing to run", "the image has neither Entrypoint nor Cmd",
             "build it with --cmd, or say rb.cmd=");
    return all.at;
}

/* Make a directory, and those above it, and go there. */
static bool entered(const char *directory) {
    char *path = join(directory, "/");
    for (char *at = path; chdir(directory) && (at = strchr(at + 1, '/')); *at = '/') *at = 0, mkdir(path, 0755);
    return chdir(directory) == 0;
}

/* Make the volumes that the image only names, as Docker and podman do; where they cannot be, the process will say so. */
void make_volumes(void) {
    for (size_t i = 0; i < described[VOLUME].count; i++) entered(described[VOLUME].at[i]);
}

/* Become the program, with nothing blocked or ignored, and its environment; returns with errno. */
static void become(char **argv) {
    const struct words settings[] = {described[ENV], values("rb.env")};
    sigset_t all;
    sigfillset(&all);
    for (int signal = 1; signal <= SIGRTMAX; signal++)
        sigaction(signal, &(struct sigaction){.sa_handler = SIG_DFL}, NULL);
    sigprocmask(SIG_UNBLOCK, &all, NULL);
    clearenv();
    if (isatty(0)) putenv("TERM=xterm"); /* as docker's and podman's --tty */
    for (int from = 0; from < 2; from++)
        for (size_t i = 0; i < settings[from].count; i++) putenv(settings[from].at[i]);
    close(OPTIONS_FD);
    execvp(argv[0], argv);
}

/* Take what a container's process has; say what is in the way, and return the status that a shell would give. */
static int start(char **argv, const int streams[3]) {
    const struct rlimit files = {1024, 524288}, processes = {RLIM_INFINITY, RLIM_INFINITY};
    const char *program = argv[0], *cwd = last(CWD, "/"), *uid = last(UID, "0");
    size_t count = described[GROUP].count;
    gid_t *groups = larger(NULL, (count + 1) * sizeof *groups);
    for (size_t i = 0; i < count; i++) groups[i] = number(described[GROUP].at[i]);
    setsid();
    /* Else a process of an ordinary user could not open /dev/stdout. */
    if (isatty(streams[0]) && (fchown(streams[0], number(uid), (gid_t)-1) || ioctl(streams[0], TIOCSCTTY, 1)))
        say("the console controls no session: ", strerror(errno));
    console = fcntl(2, F_DUPFD_CLOEXEC, OPTIONS_FD + 1);
    for (int i = 0; i < 3; i++) dup2(streams[i], i);
    setrlimit(RLIMIT_NOFILE, &files);
    setrlimit(RLIMIT_NPROC, &processes);
    if (!entered(cwd))
        return say("the working directory ", cwd, " cannot be entered: ", strerror(errno)), NOT_EXECUTABLE;
    /* In this order: each takes away the right to the ones before it. */
    if (setgroups(count, groups) || setgid(number(last(GID, "0"))) || setuid(number(uid)))
        return say("user ", uid, " cannot run anything: ", strerror(errno)), NOT_EXECUTABLE;
    /* As process 1 it would hear of orphans, and complains where it does not. */
    if (!strcmp(strrchr(join("/", program), '/'), "/tini")) prctl(PR_SET_CHILD_SUBREAPER, 1);
    become(argv);
    const char *why = errno == ENOEXEC ? "it is no program of this machine" : strerror(errno);
    if (errno != ENOENT && errno != ENOTDIR) return say(program, " cannot be run: ", why), NOT_EXECUTABLE;
    if (!strchr(program, '/')) return say(program, " is not in the image, in no directory of its PATH"), NOT_FOUND;
    if (access(program, F_OK)) return say(program, " is not in the image"), NOT_FOUND;
    return say(program, " cannot be run: the interpreter that it names is not in the image"), NOT_FOUND;
}

/* Whether the kernel's log tells of a process that it killed for memory. */
static bool killed_for_memory(void) {
    int fd = open("/dev/kmsg", O_RDONLY | O_NONBLOCK | O_CLOEXEC);
    char record[1024] = "";
    ssize_t got = 0;
    while (!strstr(record, "Killed process ") && fd >= 0 && (got >= 0 || errno == EPIPE))
        record[(got = read(fd, record, sizeof record - 1)) > 0 ? got : 0] = 0;
    return strstr(record, "Killed process ");
}

/* rb.stop-timeout= in milliseconds, where tenths of seconds count, but not 0, with which timers never end. */
static long patience(void) {
    const char *given = option("rb.stop-timeout", "10"), *rest = given + strspn(given, FIGURES);
    const char *tenths = *rest == '.' ? rest + 1 : rest;
    if (rest == given || tenths[strspn(tenths, FIGURES)])
        return say("rb.stop-timeout=", given, " is no number of seconds, so it is 10"), 10000;
    return rest - given > 6 ? 1000000000 : 1 + (long)number(given) * 1000 + (*tenths ? *tenths - '0' : 0) * 100;
}

/* Reap, forward and stop until `child` has ended; return its status as waitpid(2) gives it. */
static int attend(pid_t child, int stop) {
    long limit = patience();
    struct itimerval timer = {.it_value = {limit / 1000, limit % 1000 * 1000}};
    sigset_t all;
    sigfillset(&all);
    for (;;) {
        int status;
        for (pid_t pid; (pid = waitpid(-1, &status, WNOHANG)) > 0;)
            if (pid == child) return status;
        siginfo_t info;
        int signal = sigwaitinfo(&all, &info);
        /* Ctrl-Alt-Del, with which Firecracker asks for an end, is the kernel's own SIGINT. */
        if (signal == SIGPWR || (signal == SIGINT && info.si_code == SI_KERNEL)) {
            kill(child, stop);
            if (limit) setitimer(ITIMER_REAL, &timer, NULL);
            limit = 0; /* asked again, it has no longer */
        } else if (signal == SIGALRM && info.si_code == SI_KERNEL) {
            kill(child, SIGKILL);
        } else if (signal > 0 && signal != SIGCHLD && info.si_code <= 0) {
            kill(child, signal);
        }
    }
}

/* Run the process, with pipes to the host's ports, or else the console, as 0, 1 and 2; return its exit status. */
int run(void) {
    char **argv = arguments();
    int terminal = ports[OUT] < 0 ? fcntl(2, F_DUPFD_CLOEXEC, 3) : -1,
        ends[] = {terminal, -1, -1, terminal, -1, terminal};
    for (int i = 0; i < 6 && terminal < 0; i += 2)
        /* The process's own, or else that of an ordinary user could not open /dev/stdout. */
        if (pipe2(ends + i, O_CLOEXEC) || fchown(ends[i], number(last(UID, "0")), (gid_t)-1))
            fail("pipes", strerror(errno), "give the machine more memory");
    reboot(RB_DISABLE_CAD);
    pid_t child = fork();
    if (child < 0) fail("a process", strerror(errno), "give the machine more memory");
    if (child == 0) _exit(start(argv, (int[]){ends[0], ends[3], ends[5]}));
    /* What is written to /proc/1/fd/1 goes where it would in a container, as the output of cron's jobs does. */
    if (terminal < 0) console = fcntl(2, F_DUPFD_CLOEXEC, OPTIONS_FD + 1), dup2(ends[3], 1), dup2(ends[5], 2);
    for (int i = 0; i < 6; i += i ? 2 : 3) close(ends[i]);
    if (terminal < 0) relay(ports[IN], ends[1]), relay(ends[2], ports[OUT]), relay(ends[4], ports[ERR]);
    listen_for_stop(SIGPWR);
    int status = attend(child, (int)number(last(STOP, "15")));
    /* The end of its session hung up the console. */
    if (terminal >= 0) dup2(open("/dev/console", O_RDWR | O_APPEND | O_NOCTTY | O_CLOEXEC), 2);
    if (status && killed_for_memory())
        say("the kernel killed ", argv[0], ", or what it ran, for the machine's memory is used up; give it more");
    return WIFEXITED(status) ? WEXITSTATUS(status) : BY_SIGNAL + WTERMSIG(status);
}

/* Let an image's own init be process 1; beside it another passes on what the outside wants, and tells that of the end.
 */
_Noreturn void take_over(void) {
    char **argv = arguments();
    if (fork() == 0) {
        sigset_t ending;
        int signal;
        sigemptyset(&ending);
        sigaddset(&ending, SIGTERM);
        setsid();
        listen_for_stop((int)number(last(STOP, "15")));
        sigwait(&ending, &signal);
        tell_status(0);
        _exit(0);
    }
    entered(last(CWD, "/"));
    become(argv);
    fail(argv[0], strerror(errno), "the image's init has to be a program");
}
