/* The channels of `rootfs-builder boot`: virtio ports by name, with bytes as they are; and how the outside says stop.
 *
 * A port can be open only once, so the process gets pipes, which threads relay: /dev/stdout can be opened again then. */

#include "init.h"

#define CLASS "/sys/class/virtio-ports/"

static const char *const names[PORTS] = {"rb.in\n", "rb.out\n", "rb.err\n", "rb.control\n"};
int ports[PORTS] = {-1, -1, -1, -1};

static bool opened(const char *device) {
    const char *name = read_file(join(CLASS, device, "/name", END), NULL);
    for (int i = 0; name && i < PORTS; i++)
        if (!strcmp(name, names[i]) && ports[i] < 0)
            return (ports[i] = open(join("/dev/", device, END), O_RDWR | O_CLOEXEC)) >= 0;
    return false;
}

/* The host says with rb.ports that there will be ports; they come up one by one. */
void open_ports(void) {
    int missing = flag("rb.ports") ? PORTS : 0;
    for (int tries = 0; missing && tries < 5000; tries++, pause_for(2)) {
        DIR *directory = opendir(CLASS);
        for (struct dirent *entry; directory && (entry = readdir(directory));)
            missing -= opened(entry->d_name);
        if (directory)
            closedir(directory);
    }
    if (missing)
        fail("rb.ports", "the kernel shows none", "it needs the driver virtio_console");
}

struct way {
    int from, to;
};

static pthread_t start(void *(*work)(void *), int from, int to) {
    struct way *way = malloc(sizeof *way);
    pthread_t thread;
    if (way)
        *way = (struct way){from, to};
    if (!way || pthread_create(&thread, NULL, work, way))
        fail("threads", "the machine has too little memory", "give it more");
    return thread;
}

static void *copy(void *argument) {
    struct way *way = argument;
    static _Thread_local char buffer[16384];
    ssize_t got, put = 1;
    while (put > 0 && (got = read(way->from, buffer, sizeof buffer)) > 0)
        for (ssize_t done = 0; done < got && (put = write(way->to, buffer + done, (size_t)(got - done))) > 0; done += put)
            ;
    close(way->from);
    close(way->to);
    return NULL;
}

static pthread_t outputs[2];
static size_t output_count;

/* Copy on a thread until one side is closed. What goes to the host is waited for in the end. */
void relay(int from, int to) {
    pthread_t thread = start(copy, from, to);
    if (to == ports[OUT] || to == ports[ERR])
        outputs[output_count++] = thread;
}

void finish_relays(void) {
    while (output_count)
        pthread_join(outputs[--output_count], NULL);
}

/* A line on the control port, or a press of the power button, is a signal for process 1. */
static void *listen_to(void *argument) {
    struct way *way = argument;
    struct input_event event;
    char byte;
    if (way->from == ports[CONTROL])
        while (read(way->from, &byte, 1) == 1)
            byte == '\n' ? kill(1, way->to) : 0;
    else
        while (read(way->from, &event, sizeof event) == sizeof event)
            event.type == EV_KEY && event.code == KEY_POWER && event.value == 1 ? kill(1, way->to) : 0;
    return NULL;
}

/* Send process 1 a signal whenever the outside asks for an end. */
void listen_for_stop(int signal) {
    char path[] = "/dev/input/event0";
    for (int fd = ports[CONTROL]; path[sizeof path - 2] <= '9'; path[sizeof path - 2]++) {
        if (fd >= 0)
            start(listen_to, fd, signal);
        fd = open(path, O_RDONLY | O_CLOEXEC);
    }
}
