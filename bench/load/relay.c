/* The reference for bench/load: a plain C transit peer on OpenSSL and epoll, doing what RFC 6940 asks of one for a
 * message on its way and nothing else: frame, ACK, header check, ttl less one, previous hop into the via list,
 * route by the first destination entry to a directly connected peer; output joined, one SSL_write a link and pass.
 *
 *     relay DIRECTORY        root.pem and relay.pem are in it; prints "port N", serves until killed
 */
#include "link.h"

enum {
    TOKEN = 0xd2454c4f, /* RFC 6940 6.3.2 */
    VERSION = 0x0a,
    INITIAL_TTL = 100,
    TABLE_SIZE = 4096, /* a power of two, well above the number of links */
    VIA_ENTRY_SIZE = 2 + ID_SIZE,
};

static struct link *table[TABLE_SIZE]; /* by Node-ID, open addressing */

static struct link **slot_of(const uint8_t *id) {
    uint32_t i = get32(id + ID_SIZE - 4) % TABLE_SIZE;
    while (table[i] && memcmp(table[i]->id, id, ID_SIZE)) i = (i + 1) % TABLE_SIZE;
    return &table[i];
}

/* The 16-byte id of the first destination entry, a Node-ID (01 10 ...) or a Resource-ID (02 11 10 ...). */
static const uint8_t *first_destination(const uint8_t *list, size_t size) {
    if (size >= 2 + ID_SIZE && list[0] == 1 && list[1] == ID_SIZE) return list + 2;
    if (size >= 3 + ID_SIZE && list[0] == 2 && list[1] == ID_SIZE + 1 && list[2] == ID_SIZE) return list + 3;
    return NULL;
}

static void on_message(struct link *link, uint8_t *message, size_t size) {
    if (size < HEADER_SIZE + 2) return;
    size_t via = get16(message + 32), destinations = get16(message + 34), options = get16(message + 36);
    size_t contents = HEADER_SIZE + via + destinations + options;
    uint8_t ttl = message[11];
    if (get32(message) != TOKEN || message[10] != VERSION || get32(message + 16) != size || contents + 2 > size ||
        ttl == 0 || ttl > INITIAL_TTL)
        return;
    const uint8_t *id = first_destination(message + HEADER_SIZE + via, destinations);
    struct link *target = id ? *slot_of(id) : NULL;
    if (!target) return;

    bool is_request = get16(message + contents) & 1; /* answers collect no via entries (6.1.2) */
    size_t growth = is_request ? VIA_ENTRY_SIZE : 0;
    uint8_t *p = extend_message(target, size + growth);
    memcpy(p, message, HEADER_SIZE + via);
    p[11] = ttl - 1;
    put32(p + 16, (uint32_t)(size + growth));
    put16(p + 32, (uint32_t)(via + growth));
    p += HEADER_SIZE + via;
    if (is_request) {
        p[0] = 1;
        p[1] = ID_SIZE;
        memcpy(p + 2, link->id, ID_SIZE);
        p += VIA_ENTRY_SIZE;
    }
    memcpy(p, message + HEADER_SIZE + via, size - HEADER_SIZE - via);
}

static int listen_on_loopback(void) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof address;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    if (fd < 0 || bind(fd, (struct sockaddr *)&address, size) || listen(fd, 128)) die("listen");
    getsockname(fd, (struct sockaddr *)&address, &size);
    printf("port %d\n", ntohs(address.sin_port));
    fflush(stdout);
    return fd;
}

static void accept_links(int epoll, int listener, SSL_CTX *context) {
    for (int fd; (fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK)) >= 0;) {
        struct link *link = make_link(context, fd);
        SSL_set_accept_state(link->ssl);
        watch(epoll, link);
    }
}

static void shake_hands(struct link *link) {
    int n = SSL_do_handshake(link->ssl);
    if (n == 1) {
        X509 *certificate = SSL_get1_peer_certificate(link->ssl);
        read_node_id(link, certificate);
        X509_free(certificate);
        *slot_of(link->id) = link;
        link->ready = true;
    } else if (SSL_get_error(link->ssl, n) != SSL_ERROR_WANT_READ) {
        die("handshake");
    }
}

int main(int argc, char **argv) {
    if (argc != 2) return fprintf(stderr, "usage: relay DIRECTORY\n"), 2;
    SSL_CTX *context = make_context(TLS_server_method(), argv[1], "relay");
    int epoll = epoll_create1(0), listener = listen_on_loopback();
    struct epoll_event event = {.events = EPOLLIN}, events[MAX_EVENTS]; /* data.ptr NULL: the listener */
    epoll_ctl(epoll, EPOLL_CTL_ADD, listener, &event);
    for (;;) {
        int count = epoll_wait(epoll, events, MAX_EVENTS, -1);
        for (int i = 0; i < count; i++) {
            struct link *link = events[i].data.ptr;
            if (!link) {
                accept_links(epoll, listener, context);
                continue;
            }
            if (!link->ready) shake_hands(link);
            if (link->ready && (events[i].events & EPOLLIN) && !read_link(link)) return 0; /* the load is over */
            if (link->ready && (events[i].events & EPOLLOUT)) write_link(epoll, link);
        }
        write_dirty(epoll);
    }
}
