"""The table of links. A link's number is its slot and, above, the slot's generation, so that nobody takes a later link of
the slot for it (RFC 6940 6.3.2.2); an index leads from a Node-ID to its link. Plain C functions, compiled into `switch`.
"""

from libc.math cimport INFINITY
from libc.stdint cimport uint8_t, uint64_t
from libc.stdlib cimport calloc, free, malloc, realloc
from libc.string cimport memmove

from xor_fast.cext.ids cimport Id, equal
from xor_fast.cext.link cimport NAMELESS, Link, release_link, silence_change


cdef enum:
    SLOT_BITS = 12              # of a link's number
    FIRST_SLOTS = 64            # there is room for from the start: most nodes have some dozens of links


cdef struct Slot:
    Link* link                  # NULL: free
    uint8_t generation          # of its next link
    double silence              # its link's `silence_change`, side by side: asked for after every event of a driver


cdef struct Table:
    Slot* slots
    int slot_count              # how many there is room for
    int max_slots
    int generations
    uint8_t first_generation
    int next_slot
    int* live                   # slots in use, oldest link first
    int live_count
    int* dirty                  # slots of the links with something to send
    int dirty_count
    int* index                  # open addressing from Node-ID to slot, -1 where free
    size_t index_size           # a power of two, above twice live_count


cdef inline bint open_table(Table* t, int max_slots, int generations, int first_generation) noexcept nogil:
    """False without memory, as below."""
    t.max_slots = max_slots
    t.generations = generations
    t.first_generation = <uint8_t>first_generation
    return grow(t, FIRST_SLOTS) and grow_index(t)


cdef inline void close_table(Table* t) noexcept nogil:
    cdef int i
    for i in range(t.live_count):
        release_link(t.slots[t.live[i]].link)
        free(t.slots[t.live[i]].link)
    free(t.slots)
    free(t.live)
    free(t.dirty)
    free(t.index)


cdef inline bint grow(Table* t, int count) noexcept nogil:
    """Room for more links."""
    cdef size_t size = <size_t>count
    cdef Slot* slots = <Slot*>realloc(t.slots, size * sizeof(Slot))
    if slots != NULL:
        t.slots = slots
    cdef int* live = <int*>realloc(t.live, size * sizeof(int))
    if live != NULL:
        t.live = live
    cdef int* dirty = <int*>realloc(t.dirty, size * sizeof(int))
    if dirty != NULL:
        t.dirty = dirty
    if slots == NULL or live == NULL or dirty == NULL:
        return False
    while t.slot_count < count:
        t.slots[t.slot_count].link = NULL
        t.slots[t.slot_count].generation = t.first_generation
        t.slots[t.slot_count].silence = INFINITY
        t.slot_count += 1
    return True


cdef inline bint grow_index(Table* t) noexcept nogil:
    cdef size_t size = 2 * t.index_size if t.index_size else 16
    cdef int* index = <int*>malloc(size * sizeof(int))
    if index == NULL:
        return False
    free(t.index)
    t.index = index
    t.index_size = size
    index_links(t)
    return True


cdef inline Link* add_link(Table* t) noexcept nogil:
    """An empty one; `index_links` has to follow once it has its Node-ID. The table has to have fewer than max_slots."""
    cdef Link* link
    # In rotation, so that a slot rests as long as possible before it is used again (6.3.2.2).
    cdef int slot = t.next_slot
    while slot < t.slot_count and t.slots[slot].link != NULL:
        slot = (slot + 1) % t.max_slots
    if slot == t.slot_count and not grow(t, min(2 * t.slot_count, t.max_slots)):
        return NULL
    if t.index_size <= 2 * <size_t>(t.live_count + 1) and not grow_index(t):
        return NULL
    link = <Link*>calloc(1, sizeof(Link))
    if link == NULL:
        return NULL
    link.number = slot | <int>t.slots[slot].generation << SLOT_BITS
    t.next_slot = (slot + 1) % t.max_slots
    t.slots[slot].generation = <uint8_t>((t.slots[slot].generation + 1) % t.generations)
    t.slots[slot].link = link
    t.live[t.live_count] = slot
    t.live_count += 1
    return link


cdef inline void remove_link(Table* t, Link* link) noexcept nogil:
    cdef int slot = slot_of(link.number)
    t.live_count = without(t.live, t.live_count, slot)
    if link.is_dirty:
        t.dirty_count = without(t.dirty, t.dirty_count, slot)
    t.slots[slot].link = NULL
    t.slots[slot].silence = INFINITY
    release_link(link)
    free(link)
    index_links(t)


cdef inline Link* link_at(const Table* t, int number) noexcept nogil:
    """NULL: there is none of this number, or none any more."""
    cdef Link* link
    if number < 0 or slot_of(number) >= t.slot_count:
        return NULL
    link = t.slots[slot_of(number)].link
    return link if link != NULL and link.number == number else NULL


cdef inline int slot_of(int number) noexcept nogil:
    return number & ((1 << SLOT_BITS) - 1)


cdef inline Link* find(const Table* t, const Id* node_id) noexcept nogil:
    """The newest link of a node, or NULL."""
    cdef size_t i = bucket(node_id) & (t.index_size - 1)
    while t.index[i] >= 0:
        if equal(&t.slots[t.index[i]].link.node_id, node_id):
            return t.slots[t.index[i]].link
        i = (i + 1) & (t.index_size - 1)
    return NULL


cdef inline int links_of(const Table* t, const Id* node_id) noexcept nogil:
    """How many links have this Node-ID."""
    cdef const Link* link
    cdef int i, count = 0
    for i in range(t.live_count):
        link = t.slots[t.live[i]].link
        count += link.standing != NAMELESS and equal(&link.node_id, node_id)
    return count


cdef inline void index_links(Table* t) noexcept nogil:
    """Made anew for each opened or closed link: that is rare, and a handshake costs far more."""
    cdef const Link* link
    cdef size_t i
    cdef int n
    for i in range(t.index_size):
        t.index[i] = -1
    for n in range(t.live_count):
        link = t.slots[t.live[n]].link
        if link.standing == NAMELESS:
            continue
        i = bucket(&link.node_id) & (t.index_size - 1)
        # A later link of the same node takes the place of the earlier one.
        while t.index[i] >= 0 and not equal(&t.slots[t.index[i]].link.node_id, &link.node_id):
            i = (i + 1) & (t.index_size - 1)
        t.index[i] = t.live[n]


cdef inline size_t bucket(const Id* node_id) noexcept nogil:
    """Node-IDs are spread already; the product also spreads those that tests count up."""
    return <size_t>((node_id.high ^ node_id.low ^ node_id.tail) * <uint64_t>0x9E3779B97F4A7C15 >> 32)


cdef inline void touch(Table* t, Link* link) noexcept nogil:
    """It has something to send."""
    if not link.is_dirty:
        link.is_dirty = True
        t.dirty[t.dirty_count] = slot_of(link.number)
        t.dirty_count += 1


cdef inline void note_silence(Table* t, const Link* link) noexcept nogil:
    """A frame of it was sent or acknowledged."""
    t.slots[slot_of(link.number)].silence = silence_change(link)


cdef inline int without(int* slots, int count, int slot) noexcept nogil:
    """Take one slot out of a list, keeping its order; the new count."""
    cdef int i
    for i in range(count):
        if slots[i] == slot:
            memmove(slots + i, slots + i + 1, <size_t>(count - i - 1) * sizeof(int))
            return count - 1
    return count
