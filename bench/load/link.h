/* TLS links with RELOAD framing (RFC 6940 6.6.2) on epoll: what the reference relay and the load generator share.
 *
 * A program defines on_message() and calls run_pass(): read every ready link, hand each framed message over,
 * then write once to every link that has output. Any surprise ends the program: it is a measuring instrument.
 */
#ifndef XOR_FAST_LOAD_LINK_H
#define XOR_FAST_LOAD_LINK_H

#define _GNU_SOURCE /* accept4 */
#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
    ID_SIZE = 16,
    INPUT_SIZE = 65536,
    MAX_LINKS = 1024,
    DATA = 128,
    ACK = 129,
    FRAME_HEADER_SIZE = 8,
    ACK_FRAME_SIZE = 9,
    MAX_MESSAGE_SIZE = 5000,
    HEADER_SIZE = 38,
    MAX_EVENTS = 256,
};

struct link {
    int fd;
    SSL *ssl;
    uint8_t id[ID_SIZE];        /* Node-ID of the client side's certificate */
    uint8_t *input, *output;
    size_t input_size, output_size, output_capacity;
    uint32_t next_sequence;     /* of our next data frame */
    uint32_t last_received, received; /* newest sequence number seen, and bit k: last_received - k was seen */
    bool ready, dirty, blocked; /* handshake done; has output; the socket takes no more for now */
};

static struct link *dirty[MAX_LINKS];
static int dirty_count;
static uint64_t acks; /* received */

static void on_message(struct link *link, uint8_t *message, size_t size);

static void die(const char *what) {
    perror(what);
    ERR_print_errors_fp(stderr);
    exit(1);
}

static uint16_t get16(const uint8_t *p) { return (uint16_t)(p[0] << 8 | p[1]); }
static uint32_t get24(const uint8_t *p) { return (uint32_t)p[0] << 16 | (uint32_t)p[1] << 8 | p[2]; }
static uint32_t get32(const uint8_t *p) { return (uint32_t)p[0] << 24 | get24(p + 1); }
static void put16(uint8_t *p, uint32_t v) { p[0] = (uint8_t)(v >> 8), p[1] = (uint8_t)v; }
static void put32(uint8_t *p, uint32_t v) { put16(p, v >> 16), put16(p + 2, v); }

/* Room for `size` more bytes of output; the link is written to at the end of the pass. */
static uint8_t *extend_output(struct link *link, size_t size) {
    if (link->output_size + size > link->output_capacity) {
        link->output_capacity = 2 * (link->output_size + size);
        link->output = realloc(link->output, link->output_capacity);
        if (!link->output) die("realloc");
    }
    if (!link->dirty) {
        link->dirty = true;
        dirty[dirty_count++] = link;
    }
    uint8_t *p = link->output + link->output_size;
    link->output_size += size;
    return p;
}

/* Room for a message in a data frame with the link's next sequence number. */
static uint8_t *extend_message(struct link *link, size_t size) {
    uint8_t *p = extend_output(link, FRAME_HEADER_SIZE + size);
    p[0] = DATA;
    put32(p + 1, link->next_sequence++);
    p[5] = (uint8_t)(size >> 16);
    put16(p + 6, (uint32_t)size);
    return p + FRAME_HEADER_SIZE;
}

static void acknowledge(struct link *link, uint32_t sequence) {
    uint32_t step = sequence - link->last_received;
    link->received = step < 32 ? (link->received << step) | 1 : 1;
    link->last_received = sequence;
    uint8_t *p = extend_output(link, ACK_FRAME_SIZE);
    p[0] = ACK;
    put32(p + 1, sequence);
    put32(p + 5, link->received & ~1u); /* bit N-M for N-32 < M < N */
}

static void take_frames(struct link *link) {
    uint8_t *p = link->input, *end = link->input + link->input_size;
    for (;;) {
        size_t left = (size_t)(end - p);
        if (left >= ACK_FRAME_SIZE && p[0] == ACK) {
            acks++;
            p += ACK_FRAME_SIZE;
        } else if (left >= FRAME_HEADER_SIZE && p[0] == DATA) {
            size_t size = get24(p + 5);
            if (size > MAX_MESSAGE_SIZE) die("frame too large");
            if (left < FRAME_HEADER_SIZE + size) break;
            acknowledge(link, get32(p + 1));
            on_message(link, p + FRAME_HEADER_SIZE, size);
            p += FRAME_HEADER_SIZE + size;
        } else if (left && p[0] != ACK && p[0] != DATA) {
            die("not a frame");
        } else {
            break;
        }
    }
    link->input_size = (size_t)(end - p);
    if (p != link->input) memmove(link->input, p, link->input_size);
}

/* False: the other side has closed. */
static bool read_link(struct link *link) {
    do {
        int n = SSL_read(link->ssl, link->input + link->input_size, (int)(INPUT_SIZE - link->input_size));
        if (n <= 0) {
            if (SSL_get_error(link->ssl, n) == SSL_ERROR_WANT_READ) break;
            return false;
        }
        link->input_size += (size_t)n;
        take_frames(link);
    } while (SSL_has_pending(link->ssl));
    return true;
}

static void wait_for(int epoll, struct link *link, uint32_t events) {
    struct epoll_event event = {.events = events, .data.ptr = link};
    if (epoll_ctl(epoll, EPOLL_CTL_MOD, link->fd, &event)) die("epoll_ctl");
}

static void write_link(int epoll, struct link *link) {
    size_t done = 0;
    bool blocked = false;
    while (done < link->output_size && !blocked) {
        int n = SSL_write(link->ssl, link->output + done, (int)(link->output_size - done));
        if (n > 0) done += (size_t)n;
        else if (SSL_get_error(link->ssl, n) == SSL_ERROR_WANT_WRITE) blocked = true;
        else die("SSL_write");
    }
    link->output_size -= done;
    if (link->output_size) memmove(link->output, link->output + done, link->output_size);
    if (blocked != link->blocked) wait_for(epoll, link, EPOLLIN | (blocked ? EPOLLOUT : 0));
    link->blocked = blocked;
    link->dirty = false;
}

static void write_dirty(int epoll) {
    int count = dirty_count;
    dirty_count = 0;
    for (int i = 0; i < count; i++) write_link(epoll, dirty[i]);
}

/* The Node-ID of the RELOAD URI in a certificate: reload://<01 10 and 16 bytes, as hex>@... (RFC 6940 14.15) */
static void read_node_id(struct link *link, X509 *certificate) {
    static const char prefix[] = "reload://0110";
    GENERAL_NAMES *names = X509_get_ext_d2i(certificate, NID_subject_alt_name, NULL, NULL);
    bool found = false;
    for (int i = 0; i < sk_GENERAL_NAME_num(names); i++) {
        const GENERAL_NAME *name = sk_GENERAL_NAME_value(names, i);
        if (name->type != GEN_URI) continue;
        const char *uri = (const char *)ASN1_STRING_get0_data(name->d.uniformResourceIdentifier);
        if (strncmp(uri, prefix, sizeof prefix - 1)) continue;
        found = true;
        for (int k = 0; k < ID_SIZE; k++) sscanf(uri + sizeof prefix - 1 + 2 * k, "%2hhx", &link->id[k]);
    }
    if (!found) die("no Node-ID in the certificate");
    GENERAL_NAMES_free(names);
}

static SSL_CTX *make_context(const SSL_METHOD *method, const char *directory, const char *name) {
    char path[4096];
    SSL_CTX *context = SSL_CTX_new(method);
    snprintf(path, sizeof path, "%s/root.pem", directory);
    if (!SSL_CTX_load_verify_locations(context, path, NULL)) die(path);
    snprintf(path, sizeof path, "%s/%s.pem", directory, name); /* key and certificate */
    if (!SSL_CTX_use_certificate_chain_file(context, path) ||
        !SSL_CTX_use_PrivateKey_file(context, path, SSL_FILETYPE_PEM))
        die(path);
    SSL_CTX_set_min_proto_version(context, TLS1_3_VERSION);
    SSL_CTX_set_verify(context, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, NULL);
    SSL_CTX_set_num_tickets(context, 0);
    SSL_CTX_set_read_ahead(context, 1); /* one read call a record instead of two */
    SSL_CTX_set_mode(context, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    return context;
}

/* A link on a connected socket whose TLS handshake is still to be done. */
static struct link *make_link(SSL_CTX *context, int fd) {
    int yes = 1;
    struct link *link = calloc(1, sizeof *link);
    link->input = malloc(INPUT_SIZE);
    link->fd = fd;
    link->ssl = SSL_new(context);
    if (!link->input || !link->ssl) die("make_link");
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
    SSL_set_fd(link->ssl, fd);
    return link;
}

static void watch(int epoll, struct link *link) {
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = link};
    fcntl(link->fd, F_SETFL, fcntl(link->fd, F_GETFL) | O_NONBLOCK);
    if (epoll_ctl(epoll, EPOLL_CTL_ADD, link->fd, &event)) die("epoll_ctl");
}

#endif
