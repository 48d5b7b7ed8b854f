/* Load for one relay on 127.0.0.1: SOURCES links that send 300-byte requests, TARGETS links that receive them, both
 * as TLS clients with an own certificate each. A source keeps some messages under way; the next one leaves when a
 * target has got one of them. Every data frame is acknowledged, as RFC 6940 6.6.2 asks.
 *
 *     loadgen DIRECTORY PORT RELAY_PID OVERLAY_HASH SOURCES TARGETS
 *
 * root.pem, source0.pem, ..., target0.pem, ... are in DIRECTORY. For each line "DEPTH SECONDS" on standard input it
 * keeps DEPTH messages under way on each source link for so long, the first fifth of it as warm-up, and prints one line
 * of JSON: what the targets received meanwhile, and the CPU time the relay process spent on it. In between all is quiet.
 */
#include "link.h"

#include <time.h>

enum { MESSAGE_SIZE = 300, PING_REQUEST = 23, INITIAL_TTL = 100, RESOURCE_ENTRY_SIZE = 3 + ID_SIZE };

static struct link *sources[MAX_LINKS], *targets[MAX_LINKS];
static uint8_t target_ids[MAX_LINKS][ID_SIZE];
static uint8_t template[MESSAGE_SIZE];
static int source_count, target_count;
static uint64_t sent, received, wrong;
static bool stopping; /* send no more: what is under way shall arrive */

/* The message all sources send; transaction id and destination are filled in by send_message. */
static void make_template(uint32_t overlay) {
    uint8_t *p = template;
    put32(p, 0xd2454c4f);
    put32(p + 4, overlay);
    put16(p + 8, 1); /* configuration sequence */
    p[10] = 0x0a;
    p[11] = INITIAL_TTL;
    put32(p + 12, 0xc0000000); /* whole message: first and last fragment */
    put32(p + 16, MESSAGE_SIZE);
    put16(p + 34, RESOURCE_ENTRY_SIZE);
    p += HEADER_SIZE;
    p[0] = 2, p[1] = ID_SIZE + 1, p[2] = ID_SIZE;
    p += RESOURCE_ENTRY_SIZE;
    put16(p, PING_REQUEST);
    uint32_t body = (uint32_t)(template + MESSAGE_SIZE - p - 2 - 4 - 4 - 9);
    put32(p + 2, body);
    put16(p + 6, body - 2); /* PingReq.padding; then no extensions, and a SecurityBlock without a signer (all zero,
                               identity type none): a transit peer does not look at it (RFC 6940 6.1) */
    template[MESSAGE_SIZE - 5] = 3;
}

static void send_message(uint32_t source) {
    uint8_t *p = extend_message(sources[source], MESSAGE_SIZE);
    memcpy(p, template, MESSAGE_SIZE);
    put32(p + 20, source);
    put32(p + 24, (uint32_t)sent);
    memcpy(p + HEADER_SIZE + 3, target_ids[sent % (uint64_t)target_count], ID_SIZE);
    sent++;
}

/* What a target must see: the source's Node-ID as the only via entry, ttl less one, all else as it was sent. */
static void on_message(struct link *link, uint8_t *message, size_t size) {
    uint32_t source = get32(message + 20);
    const uint8_t *via = message + HEADER_SIZE, *rest = via + 2 + ID_SIZE;
    if (size != MESSAGE_SIZE + 2 + ID_SIZE || get32(message + 16) != size || message[11] != INITIAL_TTL - 1 ||
        get16(message + 32) != 2 + ID_SIZE || source >= (uint32_t)source_count ||
        memcmp(via + 2, sources[source]->id, ID_SIZE) || memcmp(rest + 3, link->id, ID_SIZE) ||
        memcmp(rest + RESOURCE_ENTRY_SIZE, template + HEADER_SIZE + RESOURCE_ENTRY_SIZE,
               MESSAGE_SIZE - HEADER_SIZE - RESOURCE_ENTRY_SIZE))
        wrong++;
    received++;
    if (source < (uint32_t)source_count && !stopping) send_message(source);
}

static struct link *open_link(int epoll, const char *directory, const char *kind, int number, int port) {
    char name[32];
    snprintf(name, sizeof name, "%s%d", kind, number);
    SSL_CTX *context = make_context(TLS_client_method(), directory, name);
    struct sockaddr_in address = {
        .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK), .sin_port = htons((uint16_t)port)};
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    if (fd < 0 || connect(fd, (struct sockaddr *)&address, sizeof address)) die("connect");
    struct link *link = make_link(context, fd);
    if (SSL_connect(link->ssl) != 1) die("handshake");
    read_node_id(link, SSL_CTX_get0_certificate(context));
    SSL_CTX_free(context);
    watch(epoll, link);
    return link;
}

static double now(clockid_t clock) {
    struct timespec t;
    if (clock_gettime(clock, &t)) die("clock_gettime");
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

/* One pass over what is ready. */
static void pass(int epoll) {
    struct epoll_event events[MAX_EVENTS];
    int count = epoll_wait(epoll, events, MAX_EVENTS, 5000);
    if (count == 0) die("nothing came back for 5 s");
    for (int i = 0; i < count; i++) {
        struct link *link = events[i].data.ptr;
        if ((events[i].events & EPOLLIN) && !read_link(link)) die("the relay closed a link");
        if (events[i].events & EPOLLOUT) write_link(epoll, link);
    }
    write_dirty(epoll);
}

static void run(int epoll, double seconds) {
    for (double end = now(CLOCK_MONOTONIC) + seconds; now(CLOCK_MONOTONIC) < end;) pass(epoll);
}

static void measure(int epoll, clockid_t relay_cpu, int depth, double seconds) {
    stopping = false;
    for (int i = 0; i < source_count * depth; i++) send_message((uint32_t)(i % source_count));
    write_dirty(epoll);
    run(epoll, seconds / 5);
    uint64_t messages = received, acks_before = acks;
    double cpu = now(relay_cpu), wall = now(CLOCK_MONOTONIC);
    run(epoll, seconds * 4 / 5);
    cpu = now(relay_cpu) - cpu, wall = now(CLOCK_MONOTONIC) - wall, messages = received - messages;
    printf("{\"messages\": %lu, \"acks\": %lu, \"wrong\": %lu, \"seconds\": %.6f, "
           "\"relay_cpu_seconds\": %.6f}\n",
           messages, acks - acks_before, wrong, wall, cpu);
    fflush(stdout);
    stopping = true;
    while (received < sent || acks < sent) pass(epoll);
}

int main(int argc, char **argv) {
    if (argc != 7)
        return fprintf(stderr, "usage: loadgen DIRECTORY PORT RELAY_PID OVERLAY_HASH SOURCES TARGETS\n"), 2;
    int epoll = epoll_create1(0), port = atoi(argv[2]), depth;
    double seconds;
    clockid_t relay_cpu;
    if (clock_getcpuclockid(atoi(argv[3]), &relay_cpu)) die("relay pid");
    make_template((uint32_t)strtoul(argv[4], NULL, 10));
    source_count = atoi(argv[5]), target_count = atoi(argv[6]);
    if (source_count > MAX_LINKS / 2 || target_count > MAX_LINKS / 2) die("too many links");
    for (int i = 0; i < target_count; i++) {
        targets[i] = open_link(epoll, argv[1], "target", i, port);
        memcpy(target_ids[i], targets[i]->id, ID_SIZE);
    }
    for (int i = 0; i < source_count; i++) sources[i] = open_link(epoll, argv[1], "source", i, port);
    while (scanf("%d %lf", &depth, &seconds) == 2) measure(epoll, relay_cpu, depth, seconds);
    return wrong != 0;
}
