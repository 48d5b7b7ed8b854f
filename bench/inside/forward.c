/* RFC 6940 6.1.1, 6.1.2, 6.3.2, 6.6.2 and 10.3, for a node that knows no forwarding option. The same checks in the same
 * order as cext/passage.pxd and cext/switch.pyx, for ids of 16 bytes, and each peer of the table has one link. */
#include "forward.h"

#include <stdlib.h>
#include <string.h>

enum {
    TOKEN = 0xD2454C4F,
    FIXED = 38,
    NODE = 1,
    RESOURCE = 2,
    OPAQUE_ID = 3,
    ID = 16,
    VIA_ENTRY = 2 + ID,
    FRAME_HEADER = 8,
    DATA = 128,
    MAX_ENTRIES = 64,
    MAX_OUTPUT = 1 << 20,
    FORWARD_CRITICAL = 1,
};

static inline uint16_t get16(const uint8_t *p) {
    uint16_t v;
    memcpy(&v, p, 2);
    return __builtin_bswap16(v);
}

static inline uint32_t get32(const uint8_t *p) {
    uint32_t v;
    memcpy(&v, p, 4);
    return __builtin_bswap32(v);
}

static inline uint64_t get64(const uint8_t *p) {
    uint64_t v;
    memcpy(&v, p, 8);
    return __builtin_bswap64(v);
}

static inline void put16(uint8_t *p, size_t v) {
    uint16_t swapped = __builtin_bswap16((uint16_t)v);
    memcpy(p, &swapped, 2);
}

static inline void put32(uint8_t *p, size_t v) {
    uint32_t swapped = __builtin_bswap32((uint32_t)v);
    memcpy(p, &swapped, 4);
}

static inline void put64(uint8_t *p, uint64_t v) {
    v = __builtin_bswap64(v);
    memcpy(p, &v, 8);
}

struct key key_at(const uint8_t *p) { return (struct key){get64(p), get64(p + 8)}; }

static inline bool less(struct key a, struct key b) { return a.high < b.high || (a.high == b.high && a.low < b.low); }
static inline bool equal(struct key a, struct key b) { return a.high == b.high && a.low == b.low; }

/* a < x <= b clockwise. */
static inline bool within(struct key a, struct key x, struct key b) {
    return less(a, b) ? less(a, x) && !less(b, x) : less(a, x) || !less(b, x);
}

struct entry {
    uint8_t type;
    const uint8_t *value;
    size_t size;
};

/* Where the entry at p ends, or NULL when it is none. */
static inline const uint8_t *read_entry(const uint8_t *p, const uint8_t *end, struct entry *e) {
    if (end - p < 2)
        return NULL;
    if (p[0] & 0x80) { /* compact */
        *e = (struct entry){OPAQUE_ID, p, 2};
        return p + 2;
    }
    *e = (struct entry){p[0], p + 2, p[1]};
    if (e->type == 0 || (size_t)(end - p) < 2 + e->size)
        return NULL;
    p += 2 + e->size;
    if (e->type == RESOURCE || e->type == OPAQUE_ID) {
        if (e->size == 0 || e->value[0] != e->size - 1)
            return NULL;
        e->value++;
        e->size--;
    }
    return p;
}

/* The number of entries, or -1 when the list may not pass. */
static inline int count_entries(const uint8_t *list, const uint8_t *end, bool is_via, bool is_unique) {
    const uint8_t *p = list;
    int count = 0;
    while (p < end) {
        struct entry e;
        const uint8_t *next = read_entry(p, end, &e);
        if (!next || count == MAX_ENTRIES || (e.type == NODE && e.size != ID))
            return -1;
        if (e.type == RESOURCE && (is_via || next < end))
            return -1;
        if (is_unique)
            for (const uint8_t *earlier = list; earlier < p;) {
                struct entry other;
                const uint8_t *after = read_entry(earlier, p, &other);
                if (after - earlier == next - p && memcmp(earlier, p, (size_t)(next - p)) == 0)
                    return -1;
                earlier = after;
            }
        p = next;
        count++;
    }
    return count;
}

static inline bool read_options(const uint8_t *p, const uint8_t *end, bool *is_critical) {
    *is_critical = false;
    while (p < end) {
        if (end - p < 4 || end - p - 4 < get16(p + 2))
            return false;
        *is_critical |= p[1] & FORWARD_CRITICAL;
        p += 4 + get16(p + 2);
    }
    return true;
}

/* The first entry of the table that is not before the key. */
static inline size_t lower_bound(const struct node *node, struct key key) {
    const struct peer *base = node->table;
    size_t left = node->count;
    while (left > 0) {
        size_t half = left / 2;
        if (less(base[half].id, key)) {
            base += half + 1;
            left -= half + 1;
        } else
            left = half;
    }
    return (size_t)(base - node->table);
}

static inline bool is_ours(const struct node *node, struct key key) {
    size_t before = (node->own_place ? node->own_place : node->count) - 1;
    return node->joined && within(node->table[before].id, key, node->own);
}

/* 10.3: the peer itself, else the largest before the key unless that is the source, else the smallest after. */
static inline struct output *next_hop(const struct node *node, struct key key, const struct key *source) {
    size_t after = lower_bound(node, key);
    size_t before = (after ? after : node->count) - 1;
    if (after == node->count)
        after = 0;
    if (after != node->own_place && equal(node->table[after].id, key))
        return node->table[after].link;
    if (before != node->own_place && !(source && equal(node->table[before].id, *source)))
        return node->table[before].link;
    if (after == node->own_place)
        after = (after + 1) % node->count;
    return after != before ? node->table[after].link : NULL;
}

static inline struct output *link_of(const struct node *node, struct key key) {
    size_t place = lower_bound(node, key);
    return place < node->count && equal(node->table[place].id, key) ? node->table[place].link : NULL;
}

static inline uint8_t *frame(struct output *link, size_t size) {
    size_t needed = link->size + FRAME_HEADER + size;
    if (needed > MAX_OUTPUT)
        return NULL;
    if (needed > link->capacity) {
        uint8_t *grown = realloc(link->data, 2 * needed);
        if (!grown)
            return NULL;
        link->data = grown;
        link->capacity = 2 * needed;
    }
    uint8_t *out = link->data + link->size;
    out[0] = DATA;
    put32(out + 4, size); /* it has 24 bits: the byte ahead of it belongs to the sequence number */
    put32(out + 1, link->next_sequence++);
    link->size = needed;
    return out + FRAME_HEADER;
}

static enum outcome decide(struct node *node, const struct key *source, const uint8_t *message, size_t size) {
    if (size < FIXED || get32(message) != TOKEN)
        return DROPPED_BY_C;
    size_t via_size = get16(message + 32), to_size = get16(message + 34), options_size = get16(message + 36);
    size_t header_size = FIXED + via_size + to_size + options_size;
    bool is_first = (get32(message + 12) & 0x00FFFFFF) == 0, is_request = false, is_critical;
    if (header_size > size || get32(message + 16) != size)
        return DROPPED_BY_C;
    if (is_first) {
        if (size - header_size < 2)
            return DROPPED_BY_C;
        uint16_t code = get16(message + header_size);
        is_request = code & 1 && code != 0xFFFF;
    }
    enum outcome refused = is_request ? ANSWERED_BY_C : DROPPED_BY_C;
    uint8_t ttl = message[11];
    if (get32(message + 4) != node->overlay || message[10] != 0x0A)
        return refused;
    if (!(message[12] & 0x80))
        return DROPPED_BY_C;
    if (ttl > node->initial_ttl || size > node->max_message_size)
        return refused;

    const uint8_t *via = message + FIXED, *to = via + via_size, *options = to + to_size;
    int via_count = count_entries(via, to, true, false);
    if (via_count < 0 || count_entries(to, options, false, is_request) < 1)
        return DROPPED_BY_C;
    if (!read_options(options, options + options_size, &is_critical))
        return DROPPED_BY_C;

    /* Entries that are our own are taken off the front. */
    struct output *link = NULL;
    const uint8_t *first = to;
    for (;;) {
        struct entry e;
        const uint8_t *next = read_entry(first, options, &e);
        if (!next || (e.type != NODE && e.type != RESOURCE) || e.size != ID)
            return DROPPED_BY_C;
        struct key key = key_at(e.value);
        if (e.type == RESOURCE) {
            if (is_ours(node, key))
                return next == options ? DELIVERED_BY_C : DROPPED_BY_C;
            link = next_hop(node, key, first == to ? source : NULL);
            break;
        }
        if (key.high == UINT64_MAX && key.low == UINT64_MAX)
            return DELIVERED_BY_C;
        if (!equal(key, node->own)) {
            link = link_of(node, key);
            if (!link && !is_ours(node, key))
                link = next_hop(node, key, first == to ? source : NULL);
            break;
        }
        if (next == options)
            return DELIVERED_BY_C;
        first = next;
    }
    if (!link)
        return DROPPED_BY_C;
    if (ttl == 0 || (is_critical && is_request))
        return refused;

    /* An answer needs no way back. */
    bool grows = is_request || !is_first;
    if (grows && via_count == MAX_ENTRIES)
        return DROPPED_BY_C;
    size_t stripped = (size_t)(first - to), grown = grows ? VIA_ENTRY : 0, sent = size - stripped + grown;
    if (sent > node->max_message_size)
        return refused;
    uint8_t *out = frame(link, sent);
    if (!out)
        return DROPPED_BY_C;
    memcpy(out, message, FIXED + via_size);
    out[11] = ttl - 1;
    put32(out + 16, sent);
    put16(out + 32, via_size + grown);
    put16(out + 34, to_size - stripped);
    out += FIXED + via_size;
    if (grows) {
        out[0] = NODE;
        out[1] = ID;
        put64(out + 2, source->high);
        put64(out + 10, source->low);
        out += VIA_ENTRY;
    }
    memcpy(out, first, size - (size_t)(first - message));
    return FORWARDED_BY_C;
}

enum outcome forward(struct node *node, const struct key *source, const uint8_t *message, size_t size) {
    enum outcome outcome = decide(node, source, message, size);
    node->counts[outcome]++;
    return outcome;
}
