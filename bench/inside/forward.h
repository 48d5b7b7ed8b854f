/* The forward decision and the rewrite of one message in plain C: what cext/switch is measured against. */
#ifndef XOR_FAST_BENCH_FORWARD_H
#define XOR_FAST_BENCH_FORWARD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum outcome { FORWARDED_BY_C, DELIVERED_BY_C, DROPPED_BY_C, ANSWERED_BY_C };

/* A Node-ID or Resource-ID of 16 bytes. */
struct key {
    uint64_t high, low;
};

struct output {
    uint8_t *data;
    size_t size, capacity;
    uint32_t next_sequence;
};

/* A peer of the routing table and its link. */
struct peer {
    struct key id;
    struct output *link;
};

struct node {
    uint32_t overlay;
    uint32_t max_message_size;
    uint8_t initial_ttl;
    bool joined;
    struct key own;
    size_t own_place;       /* of our own entry in the table */
    size_t count;           /* of entries, our own among them */
    struct peer *table;     /* ascending */
    uint64_t counts[4];     /* of each outcome */
};

/* Check a message, decide where it goes, and put it into that link's output as a data frame. */
enum outcome forward(struct node *node, const struct key *source, const uint8_t *message, size_t size);

struct key key_at(const uint8_t *p);

#endif
