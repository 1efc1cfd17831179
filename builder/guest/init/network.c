/* The network as ip= describes it, and the files that name hosts. */

#include "init.h"

/* ip=CLIENT:SERVER:GATEWAY:NETMASK:HOSTNAME:DEVICE:AUTOCONF:DNS0:DNS1 (the kernel's nfsroot.rst). */
enum { CLIENT, SERVER, GATEWAY, NETMASK, HOSTNAME, DEVICE, AUTOCONF, DNS0, DNS1, FIELDS };
static const char *fields[FIELDS] = {"", "", "", "", "", "", "", "", ""};

static void set_flags(int fd, const char *device, short flags) {
    struct ifreq request = {0};
    strncpy(request.ifr_name, device, IFNAMSIZ - 1);
    if (!ioctl(fd, SIOCGIFFLAGS, &request)) {
        request.ifr_flags |= flags;
        ioctl(fd, SIOCSIFFLAGS, &request);
    }
}

static struct sockaddr address(const char *text) {
    struct sockaddr_in inet = {.sin_family = AF_INET, .sin_addr.s_addr = inet_addr(text)};
    struct sockaddr generic;
    memcpy(&generic, &inet, sizeof generic);
    return generic;
}

/* The first interface by name that is not the loopback, or "". */
static const char *first_device(void) {
    const char *name = "";
    DIR *directory = opendir("/sys/class/net");
    for (struct dirent *entry; directory && (entry = readdir(directory));)
        if (entry->d_name[0] != '.' && strcmp(entry->d_name, "lo") && (!*name || strcmp(entry->d_name, name) < 0))
            name = join(entry->d_name, END);
    return name;
}

static void configure(int fd) {
    const char *device = *fields[DEVICE] ? fields[DEVICE] : first_device();
    struct ifreq request = {0};
    strncpy(request.ifr_name, device, IFNAMSIZ - 1);
    if (!ioctl(fd, SIOCGIFADDR, &request))
        return; /* the kernel has done it */
    request.ifr_addr = address(fields[CLIENT]);
    bool failed = inet_addr(fields[CLIENT]) == INADDR_NONE || ioctl(fd, SIOCSIFADDR, &request);
    request.ifr_netmask = address(fields[NETMASK]);
    failed |= *fields[NETMASK] && ioctl(fd, SIOCSIFNETMASK, &request);
    set_flags(fd, device, IFF_UP);
    struct rtentry route = {.rt_flags = RTF_UP | RTF_GATEWAY, .rt_gateway = address(fields[GATEWAY])};
    route.rt_dst = route.rt_genmask = address("0.0.0.0");
    failed |= *fields[GATEWAY] && ioctl(fd, SIOCADDRT, &route) && errno != EEXIST;
    if (failed)
        say("ip=", option("ip", ""), " cannot be set up on ", device, ": ", strerror(errno),
            "; without a kernel that does DHCP (CONFIG_IP_PNP) it must have the address", END);
}

void set_up_network(void) {
    char *rest = join(option("ip", ""), END);
    for (int field = CLIENT; rest && field < FIELDS; field++)
        fields[field] = strsep(&rest, ":");
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    set_flags(fd, "lo", IFF_UP);
    if (*fields[CLIENT])
        configure(fd);
    close(fd);
    /* As in a container: an ordinary user may serve port 80, and ping. */
    write_file("/proc/sys/net/ipv4/ip_unprivileged_port_start", "0", 1);
    write_file("/proc/sys/net/ipv4/ping_group_range", "0 2147483647", 12);
}

static const char *resolver(const struct description *what) {
    const char *text = "";
    for (size_t i = 0; i < what->nameservers.count; i++)
        text = join(text, "nameserver ", what->nameservers.at[i], "\n", END);
    for (int field = DNS0; !what->nameservers.count && field <= DNS1; field++)
        if (*fields[field])
            text = join(text, "nameserver ", fields[field], "\n", END);
    /* What the kernel heard by DHCP stands here, in the form of resolv.conf. */
    const char *heard = *text ? NULL : read_file("/proc/net/pnp", NULL);
    return heard ? heard : text;
}

static const char *names(const struct description *what) {
    const char *text = "127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n";
    bool known = inet_addr(fields[CLIENT]) != INADDR_NONE;
    if (what->hostname)
        text = join(text, known ? fields[CLIENT] : "127.0.1.1", "\t", what->hostname, "\n", END);
    for (size_t i = 0; i < what->hosts.count; i++)
        text = join(text, what->hosts.at[i], "\n", END);
    return text;
}

/* Write a file of /etc, or lay it over the one of a root that cannot be written. A symlink there leads nowhere. */
static void place(const char *name, const char *text) {
    const char *path = join("/etc/", name, END), *ours = join(RUN "/", name, END);
    struct stat status;
    mkdir("/etc", 0755);
    mkdir(RUN, 0755);
    if (!lstat(path, &status) && S_ISLNK(status.st_mode))
        unlink(path);
    if (!write_file(path, text, strlen(text)) &&
        (!write_file(ours, text, strlen(text)) || mount(ours, path, NULL, MS_BIND, NULL)))
        say(path, " cannot be written: ", strerror(errno), END);
}

void write_host_files(const struct description *what) {
    const char *hostname = what->hostname ? what->hostname : fields[HOSTNAME];
    if (*hostname && sethostname(hostname, strlen(hostname)))
        say("the host name ", hostname, " is refused: ", strerror(errno), END);
    for (size_t i = 0; i < what->write.count; i++) {
        const char *name = what->write.at[i];
        const char *text = !strcmp(name, "hosts") ? names(what)
                           : strcmp(name, "hostname") ? resolver(what)
                           : *hostname ? join(hostname, "\n", END)
                                       : "";
        if (*text)
            place(name, text);
    }
}
