/* The channels of `rootfs-builder boot`: virtio ports, with bytes as they are; and how the outside says stop.
 *
 * A port can be open only once, so the process gets pipes, which threads relay: /dev/stdout can be opened again then.
 */

#include "init.h"

#include <linux/input.h>

int ports[PORTS] = {-1, -1, -1, -1};

/* The host says with rb.ports that there will be ports, on one of the first virtio devices; they come up one by one. */
void open_ports(void) {
    static const char *const names[PORTS] = {"rb.in\n", "rb.out\n", "rb.err\n", "rb.control\n"};
    char device[] = "vport0p1", *name;
    for (int i = 0, tries = 0; flag("rb.ports") && i < PORTS; i++, device[7]++) {
        while (
            (!(name = read_file(join("/sys/class/virtio-ports/", device, "/name"), NULL)) || strcmp(name, names[i])) &&
            tries++ < 50000) {
            device[5] = (char)('0' + tries % 10);
            usleep(tries % 10 ? 0 : 2000);
        }
        if ((ports[i] = open(join("/dev/", device), O_RDWR | O_CLOEXEC)) < 0)
            fail("rb.ports", strerror(errno), "the kernel needs the driver virtio_console");
    }
}

/* Tell the host, or else whoever reads the console, how the process ended. */
void tell_status(int status) {
    char figures[] = {(char)('0' + status / 100), (char)('0' + status / 10 % 10), (char)('0' + status % 10), 0};
    char *line = join("status ", figures + (status < 100) + (status < 10), "\n");
    if (ports[CONTROL] < 0 || write(ports[CONTROL], line, strlen(line)) < 0)
        print(join("rootfs-builder init: the process ended with ", line));
}

/* Start a thread that gets a way: where it reads from, and where it writes to, or which signal it sends. */
static pthread_t start(void *(*work)(void *), int from, int to) {
    int *way = larger(NULL, 2 * sizeof *way);
    pthread_t thread;
    way[0] = from, way[1] = to;
    if (pthread_create(&thread, NULL, work, way)) fail("threads", "the machine has too little memory", "give it more");
    return thread;
}

static void *copy(void *argument) {
    const int *way = argument, from = way[0], to = way[1];
    char buffer[16384];
    ssize_t got, put = 1;
    while (put > 0 && (got = read(from, buffer, sizeof buffer)) > 0)
        for (char *at = buffer; got > 0 && (put = write(to, at, (size_t)got)) > 0; got -= put) at += put;
    close(from);
    close(to);
    return NULL;
}

static pthread_t relays[3], *relaying = relays;

/* Copy on a thread until one side is closed. */
void relay(int from, int to) { *relaying++ = start(copy, from, to); }

/* Wait for all that goes to the host; the first relay comes from there, and may wait for ever. */
void finish_relays(void) {
    /* Process 1 itself has the process's output open, too. */
    for (int fd = 1; relaying > relays + 1 && fd < 3; fd++) close(fd);
    while (relaying > relays + 1) pthread_join(*--relaying, NULL);
}

/* A line on the control port, or a press of the power button, is a signal for process 1. */
static void *listen_to(void *argument) {
    const int *way = argument, from = way[0], to = way[1];
    struct input_event event;
    while (read(from, &event, sizeof event) > 0)
        if (from == ports[CONTROL] || (event.type == EV_KEY && event.code == KEY_POWER && event.value == 1))
            kill(1, to);
    return NULL;
}

/* Send process 1 a signal whenever the outside asks for an end. */
void listen_for_stop(int signal) {
    char path[] = "/dev/input/event0";
    for (int fd = ports[CONTROL]; path[16] <= '9'; path[16]++) {
        if (fd >= 0) start(listen_to, fd, signal);
        fd = open(path, O_RDONLY | O_CLOEXEC);
    }
}
