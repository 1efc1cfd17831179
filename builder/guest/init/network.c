/* The network as ip= describes it, and the files that name hosts. */

#include "init.h"

#include <arpa/inet.h>
#include <net/if.h>
#include <net/route.h>

/* ip=CLIENT:SERVER:GATEWAY:NETMASK:NAME:DEVICE:AUTOCONF:DNS0:DNS1 (the kernel's admin-guide/nfs/nfsroot.rst). */
enum { CLIENT, SERVER, GATEWAY, NETMASK, NAME, DEVICE, AUTOCONF, DNS0, DNS1, FIELDS };
static const char *fields[FIELDS] = {"", "", "", "", "", "", "", "", ""};

static bool is_address(const char *text) { return inet_addr(text) != INADDR_NONE; }

static struct sockaddr address(const char *text) {
    struct sockaddr_in inet = {.sin_family = AF_INET, .sin_addr.s_addr = inet_addr(text)};
    struct sockaddr generic;
    return *(struct sockaddr *)memcpy(&generic, &inet, sizeof generic);
}

/* Make one request about a device, whose other half is an address, or else that it be up. */
static bool asked(int fd, unsigned long what, const char *device, const char *text) {
    struct ifreq request = {.ifr_flags = strcmp(device, "lo") ? IFF_UP | IFF_MULTICAST : IFF_UP};
    if (text) request.ifr_addr = address(text);
    strncpy(request.ifr_name, device, IFNAMSIZ - 1);
    return !ioctl(fd, what, &request);
}

/* Give a device what the fields say, unless the kernel has done it; errno says why not. */
static bool configured(int fd, const char *device) {
    struct rtentry route = {.rt_flags = RTF_UP | RTF_GATEWAY, .rt_gateway = address(fields[GATEWAY])};
    route.rt_dst = route.rt_genmask = address("0.0.0.0");
    if (asked(fd, SIOCGIFADDR, device, NULL)) return true;
    errno = EINVAL;
    return is_address(fields[CLIENT]) && asked(fd, SIOCSIFADDR, device, fields[CLIENT]) &&
           (!*fields[NETMASK] || asked(fd, SIOCSIFNETMASK, device, fields[NETMASK])) &&
           asked(fd, SIOCSIFFLAGS, device, NULL) &&
           (!*fields[GATEWAY] || !ioctl(fd, SIOCADDRT, &route) || errno == EEXIST);
}

/* Also names the machine: rb.hostname does, else the build, else ip=. */
void set_up_network(void) {
    const char *ip = option("ip", "off"), *built = last(HOSTNAME, "");
    bool wanted = *ip && strcmp(ip, "off") && strcmp(ip, "none");
    char *rest = wanted ? join(ip) : NULL;
    for (int field = CLIENT; rest && field < FIELDS; field++) fields[field] = strsep(&rest, ":");
    const char *device = *fields[DEVICE] ? fields[DEVICE] : "eth0";
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    asked(fd, SIOCSIFFLAGS, "lo", NULL);
    if (wanted && !configured(fd, device))
        say("ip=", ip, " cannot be set up on ", device, ": ", strerror(errno),
            "; without a kernel that does DHCP (CONFIG_IP_PNP) it must have the address");
    close(fd);
    /* As in a container: an ordinary user may serve port 80, and ping. */
    write_file("/proc/sys/net/ipv4/ip_unprivileged_port_start", "0");
    write_file("/proc/sys/net/ipv4/ping_group_range", "0 2147483647");
    const char *name = option("rb.hostname", *fields[NAME] && !strcmp(built, "localhost") ? fields[NAME] : built);
    append(&described[HOSTNAME], name);
    if (strcmp(name, built)) append(&described[ENV], join("HOSTNAME=", name));
    if (sethostname(name, strlen(name))) say("the host name ", name, " is refused: ", strerror(errno));
}

/* Put a file of ours in place of one in /etc, which may be a link, a fifo or a hardlink to another; or lay it over that
 * where the root cannot be written. */
static void place(const char *name, const char *text) {
    const char *path = join("/etc/", name), *ours = join(RUN "/", name);
    mkdir("/etc", 0755);
    mkdir(RUN, 0755);
    unlink(path);
    if (!write_file(path, text) && (!write_file(ours, text) || mount(ours, path, NULL, MS_BIND, NULL)))
        say(path, " cannot be written: ", strerror(errno));
}

void write_host_files(void) {
    const char *hosts = last(HOSTS, NULL), *name = last(HOSTNAME, ""), *servers = last(RESOLVER, NULL);
    const char *own = is_address(fields[CLIENT]) ? fields[CLIENT] : "127.0.1.1";
    /* What listens on localhost would listen to the network, if that were a name of its address, too. */
    bool named = strcmp(name, "localhost");
    if (hosts) place("hosts", named ? join(hosts, own, "\t", name, "\n") : hosts);
    if (last(HOSTNAME_FILE, NULL)) place("hostname", join(name, "\n"));
    for (int field = DNS0; servers && !*last(RESOLVER, "") && field <= DNS1; field++)
        servers = *fields[field] ? join(servers, "nameserver ", fields[field], "\n") : servers;
    /* What the kernel heard by DHCP stands here, in the form of resolv.conf. */
    servers = servers && !*servers ? read_file("/proc/net/pnp", NULL) : servers;
    if (servers && *servers) place("resolv.conf", servers);
}
