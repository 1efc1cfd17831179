/* The image's process: how it starts, what it hears, how it ends. */

#include "init.h"

static char **arguments(const struct description *what) {
    struct words all = {0};
    for (size_t i = 0; i < what->entrypoint.count; i++)
        append(&all, what->entrypoint.at[i]);
    for (size_t i = 0; i < what->cmd.count; i++)
        append(&all, what->cmd.at[i]);
    if (!all.count)
        fail("there is nothing to run", "the image has neither Entrypoint nor Cmd", "build it with --cmd, or say rb.cmd=");
    return all.at;
}

/* Become the program, looked up as execvp(3) does; returns with errno. */
static void become(char **argv, const struct words *env) {
    char *none[] = {NULL}, **environment = env->count ? env->at : none, *path = "";
    for (size_t i = 0; i < env->count; i++)
        path = strncmp(env->at[i], "PATH=", 5) ? path : env->at[i] + 5;
    if (strchr(argv[0], '/')) {
        execve(argv[0], argv, environment);
        return;
    }
    int error = ENOENT;
    for (char *rest = join(path, END), *folder; (folder = strsep(&rest, ":"));) {
        execve(join(*folder ? folder : ".", "/", argv[0], END), argv, environment);
        error = errno == ENOENT || errno == ENOTDIR ? error : errno;
        if (error != ENOENT && error != EACCES)
            break;
    }
    errno = error;
}

/* The device behind /dev/console, which itself can control no session. */
static int open_terminal(void) {
    char *active = read_file("/sys/class/tty/console/active", NULL);
    if (!active)
        return -1;
    active[strcspn(active, "\n")] = 0;
    char *last = strrchr(active, ' ');
    return open(join("/dev/", last ? last + 1 : active, END), O_RDWR | O_NOCTTY | O_CLOEXEC);
}

static bool entered(const char *directory) {
    char *path = join(directory, END);
    for (char *at = path; chdir(directory) && (at = strchr(at + 1, '/')); *at = '/') {
        *at = 0;
        mkdir(path, 0755);
    }
    mkdir(directory, 0755);
    return chdir(directory) == 0;
}

/* How far a child came that did not become the program. */
struct failure {
    enum { DIRECTORY, USER, PROGRAM } step;
    int error;
};

static _Noreturn void start_child(const struct description *what, char **argv, const int streams[3], int said) {
    struct failure failure = {DIRECTORY, 0};
    struct rlimit files = {1024, 524288};
    setsid();
    if (isatty(streams[0])) {
        /* Else a process of an ordinary user could not open /dev/stdout. */
        if (fchown(streams[0], what->uid, (gid_t)-1) || fchmod(streams[0], 0620) || ioctl(streams[0], TIOCSCTTY, 1))
            say("the console controls no session: ", strerror(errno), END);
    }
    for (int i = 0; i < 3; i++)
        dup2(streams[i], i);
    syscall(SYS_close_range, 3, ~0U, 4 /* CLOSE_RANGE_CLOEXEC */);
    setrlimit(RLIMIT_NOFILE, &files);
    for (int signal = 1; signal <= 64; signal++)
        sigaction(signal, &(struct sigaction){.sa_handler = SIG_DFL}, NULL);
    if (entered(what->cwd)) {
        failure.step = USER;
        /* In this order: each takes away the right to the ones before it. */
        if (!setgroups(what->group_count, what->groups) && !setgid(what->gid) && !setuid(what->uid)) {
            failure.step = PROGRAM;
            sigset_t none;
            sigemptyset(&none);
            sigprocmask(SIG_SETMASK, &none, NULL);
            become(argv, &what->env);
        }
    }
    failure.error = errno;
    _exit(write(said, &failure, sizeof failure) < 0 ? NOT_EXECUTABLE : NOT_FOUND);
}

/* Say why the program did not start, and return the status that a shell would give. */
static int not_started(const char *program, const struct description *what, const struct failure *failure) {
    const char *why = strerror(failure->error);
    bool missing = failure->step == PROGRAM && (failure->error == ENOENT || failure->error == ENOTDIR);
    if (failure->step == DIRECTORY)
        say("the working directory ", what->cwd, " cannot be entered: ", why, END);
    else if (failure->step == USER)
        say("user ", digits(what->uid), " cannot run anything: ", why, END);
    else if (missing && strchr(program, '/') && !access(program, F_OK))
        say(program, " cannot be run: the interpreter that it names is not in the image", END);
    else if (missing)
        say(program, " is not in the image", strchr(program, '/') ? "" : ", in no directory of its PATH", END);
    else
        say(program, " cannot be run: ", failure->error == ENOEXEC ? "it is no program of this machine" : why, END);
    return missing ? NOT_FOUND : NOT_EXECUTABLE;
}

/* Give the process its 0, 1, 2: pipes to the host's ports, or the console. */
static void open_streams(int streams[3]) {
    int pipes[3][2];
    if (ports[OUT] < 0) {
        int terminal = open_terminal();
        streams[0] = streams[1] = streams[2] = terminal >= 0 ? terminal : 2;
        return;
    }
    for (int i = 0; i < 3; i++)
        if (pipe2(pipes[i], O_CLOEXEC))
            fail("pipes", strerror(errno), "give the machine more memory");
    relay(ports[IN], pipes[0][1]);
    relay(pipes[1][0], ports[OUT]);
    relay(pipes[2][0], ports[ERR]);
    streams[0] = pipes[0][0], streams[1] = pipes[1][1], streams[2] = pipes[2][1];
}

/* The kernel's log tells of each process that it kills for memory. */
static bool killed_for_memory(void) {
    int fd = open("/dev/kmsg", O_RDONLY | O_NONBLOCK | O_CLOEXEC);
    char record[1024];
    ssize_t got;
    while (fd >= 0 && ((got = read(fd, record, sizeof record - 1)) > 0 || (got < 0 && errno == EPIPE))) {
        record[got > 0 ? got : 0] = 0;
        if (strstr(record, "Killed process "))
            return true;
    }
    return false;
}

/* Reap, forward and stop until `child` has ended; return its status as waitpid(2) gives it. */
static int attend(pid_t child, int stop) {
    time_t deadline = 0, patience = atoi(option("rb.stop-timeout", "10"));
    sigset_t all;
    sigfillset(&all);
    for (;;) {
        int status;
        for (pid_t pid; (pid = waitpid(-1, &status, WNOHANG)) > 0;)
            if (pid == child)
                return status;
        struct timespec now;
        siginfo_t info;
        clock_gettime(CLOCK_MONOTONIC, &now);
        if (deadline && now.tv_sec >= deadline)
            kill(child, SIGKILL);
        int signal = sigtimedwait(&all, &info, &(struct timespec){1, 0});
        /* Ctrl-Alt-Del, with which Firecracker asks for an end, is the kernel's own SIGINT. */
        if (signal == SIGPWR || (signal == SIGINT && info.si_code == SI_KERNEL)) {
            kill(child, stop);
            deadline = deadline ? deadline : now.tv_sec + patience;
        } else if (signal > 0 && signal != SIGCHLD && info.si_code <= 0) {
            kill(child, signal);
        }
    }
}

int run(const struct description *what) {
    char **argv = arguments(what);
    int streams[3], said[2];
    open_streams(streams);
    reboot(RB_DISABLE_CAD);
    pid_t child = pipe2(said, O_CLOEXEC) ? -1 : fork();
    if (child < 0)
        fail("a process", strerror(errno), "give the machine more memory");
    if (child == 0)
        start_child(what, argv, streams, said[1]);
    close(said[1]);
    for (int i = 0; i < 3 && streams[i] > 2; i++)
        close(streams[i]);
    listen_for_stop(SIGPWR);
    struct failure failure;
    if (read(said[0], &failure, sizeof failure) == sizeof failure)
        return not_started(argv[0], what, &failure);
    int status = attend(child, what->stop);
    if (WIFEXITED(status))
        return WEXITSTATUS(status);
    if (WTERMSIG(status) == SIGKILL && killed_for_memory())
        say("the kernel killed ", argv[0], ", for the machine's memory is used up; give it more", END);
    return BY_SIGNAL + WTERMSIG(status);
}

/* Let an image's own init be process 1; a process beside it listens for what the outside wants. */
_Noreturn void take_over(const struct description *what) {
    char **argv = arguments(what);
    if (ports[CONTROL] >= 0 && fork() == 0) {
        setsid();
        listen_for_stop(what->stop);
        for (;;)
            pause();
    }
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    if (!entered(what->cwd))
        say("the working directory ", what->cwd, " cannot be entered: ", strerror(errno), END);
    become(argv, &what->env);
    fail(argv[0], strerror(errno), "the image's init has to be a program");
}
