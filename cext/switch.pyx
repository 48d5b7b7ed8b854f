from enum import IntEnum
from typing import NamedTuple

from cpython.buffer cimport PyBUF_SIMPLE, PyBuffer_Release, PyObject_GetBuffer
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from libc.math cimport INFINITY
from libc.stdint cimport uint16_t
from libc.string cimport memcpy
from xor_fast.cext.ids cimport (
    equal,
    id_bytes,
    load_id,
    load_u16,
    load_u24,
    load_u32,
    read_id,
    store_u16,
)
from xor_fast.cext.link cimport (
    BOUND,
    NAMED,
    NAMELESS,
    is_silent,
    note_acked,
    note_received,
    open_frame,
    put_ack,
)
from xor_fast.cext.passage cimport (
    ACKED,
    BYTES_IN,
    BYTES_OUT,
    DELIVER,
    DELIVERED,
    DROP,
    DROP_ACK,
    DROP_BAD_LIST,
    DROP_DESTINATION_TYPE,
    DROP_FOREIGN_NODE,
    DROP_FORWARD_CRITICAL,
    DROP_FRAME_SIZE,
    DROP_FRAME_TYPE,
    DROP_INBOX_FULL,
    DROP_LINK_FULL,
    DROP_LONG_LIST,
    DROP_NO_DESTINATION,
    DROP_NO_MEMORY,
    DROP_NO_ROUTE,
    DROP_OPAQUE_ID,
    DROP_OUTBOX_FULL,
    DROP_RESOURCE_PLACE,
    DROP_STALE_LINK,
    DROP_TOO_LARGE,
    DROP_LOOP,
    DROP_TTL_ZERO,
    FORWARD,
    FORWARDED,
    HELD_BACK,
    ORIGINATED,
    RECEIVED,
    TOO_LARGE,
    TTL_EXCEEDED,
    UNATTACHED,
    VIA_NOT_SHORTENED,
    VIA_SHORTENED,
    check,
    times_forwarded,
    verdict_of,
)
from xor_fast.cext.returning cimport OPAQUE_SIZE, SECRET_SIZE, Saved, close_returns, open_returns, save_way, saved_way
from xor_fast.cext.table cimport (
    add_link,
    close_table,
    find,
    index_links,
    link_at,
    links_of,
    note_silence,
    open_table,
    remove_link,
    touch,
)
from xor_fast.cext.wire cimport (
    ACK_FRAME,
    ACK_SIZE,
    DATA_FRAME,
    DATA_HEADER_SIZE,
    FIXED_SIZE,
    FRAGMENT_OFFSET,
    KEPT_CAPACITY,
    NODE,
    OPAQUE_ID,
    RELO_TOKEN,
    RESOURCE,
    Changes,
    Destination,
    Reader,
    changed_size,
    empty,
    extend,
    forwarded_size,
    read_destination,
    read_header,
    reader,
    release,
    write_changed,
    write_forwarded,
    write_node,
)

from xor_fast import limits
from xor_fast.errors import WireError

SELF = -2

cdef tuple NAMES = tuple("""
    received acked delivered forwarded originated bytes_in bytes_out drop_stale_link drop_frame_type
    drop_frame_size drop_token drop_header drop_length drop_overlay drop_version drop_fragment_bit
    drop_ttl_too_large drop_too_large drop_bad_list drop_long_list drop_resource_place drop_no_destination
    drop_duplicate_destination drop_bad_option drop_opaque_id drop_destination_type drop_foreign_node
    drop_no_route drop_ttl_zero drop_loop drop_forward_critical drop_link_full drop_outbox_full drop_inbox_full
    drop_ack drop_no_memory held_back via_shortened via_not_shortened
""".split())
assert len(NAMES) == COUNTS

# The bounds as C values, read once.
cdef int MAX_LINKS = limits.MAX_LINKS
cdef int LINK_GENERATIONS = limits.LINK_GENERATIONS
cdef int MAX_LINKS_PER_NODE = limits.MAX_LINKS_PER_NODE
cdef int INBOX_MESSAGES = limits.INBOX_MESSAGES
cdef size_t OUTBOX_SIZE = limits.OUTBOX_SIZE
cdef size_t MAX_DESTINATIONS = limits.MAX_DESTINATIONS
cdef size_t MAX_VISITS = limits.MAX_VISITS
cdef size_t RETURN_STATES = limits.RETURN_STATES
cdef size_t RETURN_STATE_SIZE = limits.RETURN_STATE_SIZE
cdef size_t MAX_HEADER_GROWTH = limits.MAX_HEADER_GROWTH
cdef double RTO_FLOOR = limits.RTO_FLOOR
cdef double RTO_CEILING = limits.RTO_CEILING

cdef enum:
    SPARES = 64                 # buffers kept for the links that will need one next
    LINK_NUMBER = 0x7FFF        # what a compact id has room for
    OWN_MESSAGE = -2            # SELF

cdef enum:
    # Of Python's ViaLists.
    WHOLE = 0
    LINK_IDS = 1
    STATE = 2

cdef struct Kept:
    int link
    int verdict
    size_t size


class Verdict(IntEnum):
    DELIVER = 0
    FORWARDED = 1
    DROPPED = 2
    TTL_EXCEEDED = 3
    UNSUPPORTED_OPTION = 4
    INCOMPATIBLE = 5
    TOO_LARGE = 6
    INVALID = 7
    UNATTACHED = 8


cdef tuple VERDICTS = tuple(Verdict)


class ViaLists(IntEnum):
    WHOLE = 0
    LINK_IDS = 1
    STATE = 2


class Received(NamedTuple):
    link: int
    verdict: Verdict
    message: bytes


cdef class Switch:
    def __cinit__(
        self, Ring ring not None, uint32_t overlay, *, uint8_t initial_ttl=100, uint32_t max_message_size=5000,
        int first_generation=0, int via_lists=WHOLE, bytes secret=b"", double request_lifetime=15.0,
    ):
        if max_message_size > <uint32_t>limits.MAX_MESSAGE_SIZE:
            raise ValueError(f"max_message_size is above limits.MAX_MESSAGE_SIZE = {limits.MAX_MESSAGE_SIZE}")
        if not 0 <= first_generation < LINK_GENERATIONS:
            raise ValueError(f"first_generation has to be 0 to {LINK_GENERATIONS - 1}")
        self.ring = ring
        self.node_id = ring.node_id
        self.id_length = read_id(ring.node_id, &self.own)
        read_id(b"\xff" * len(ring.node_id), &self.wildcard)
        self.rules.overlay = overlay
        self.rules.initial_ttl = initial_ttl
        self.rules.max_message_size = max_message_size
        self.rules.id_length = self.id_length
        self.rules.max_destinations = MAX_DESTINATIONS
        if via_lists == STATE:
            if len(secret) != SECRET_SIZE:
                raise ValueError(f"secret has {len(secret)} bytes; it has to be {SECRET_SIZE} random ones")
            if not open_returns(
                &self.returns, RETURN_STATES, RETURN_STATE_SIZE, request_lifetime,
                <const uint8_t*>PyBytes_AS_STRING(secret)
            ):
                raise MemoryError
        self.via_lists = ViaLists(via_lists)
        if not open_table(&self.table, MAX_LINKS, LINK_GENERATIONS, first_generation):
            raise MemoryError

    def __dealloc__(self):
        close_table(&self.table)
        release(&self.inbox)
        close_returns(&self.returns)

    @property
    def overlay(self):
        return self.rules.overlay

    @property
    def initial_ttl(self):
        return self.rules.initial_ttl

    @property
    def max_message_size(self):
        return self.rules.max_message_size

    # --- links --------------------------------------------------------------------------------------

    def open_link(self, double now, bytes node_id not None, *, bint is_bound=True):
        cdef Id key
        cdef Link* link
        if read_id(node_id, &key) != self.id_length:
            raise ValueError(f"a Node-ID of this overlay has {self.id_length} bytes, not {len(node_id)}")
        if self.table.live_count == MAX_LINKS or (is_bound and links_of(&self.table, &key) >= MAX_LINKS_PER_NODE):
            return -1
        link = add_link(&self.table)
        if link == NULL:
            raise MemoryError
        link.node_id = key
        link.standing = BOUND if is_bound else NAMELESS
        link.heard_at = now
        link.rto = RTO_FLOOR
        index_links(&self.table)
        return link.number

    def bind_link(self, int link, bytes node_id not None, bint is_attached):
        cdef Id key
        cdef Link* found = link_at(&self.table, link)
        if found == NULL or read_id(node_id, &key) != self.id_length:
            raise ValueError(f"link {link} is not open, or the Node-ID has not {self.id_length} bytes")
        if found.standing == NAMELESS or not equal(&found.node_id, &key):
            if links_of(&self.table, &key) >= MAX_LINKS_PER_NODE:
                return False
        found.node_id = key
        found.standing = BOUND if is_attached else NAMED
        index_links(&self.table)
        return True

    def pass_held(self, double now, int link, bytes message not None):
        cdef Link* source = link_at(&self.table, link)
        if source != NULL:
            self.pass_checked(
                source, <const uint8_t*>PyBytes_AS_STRING(message), <size_t>PyBytes_GET_SIZE(message), now, False
            )

    def close_link(self, int link):
        cdef Link* closed = link_at(&self.table, link)
        if closed != NULL:
            remove_link(&self.table, closed)

    def link_of(self, bytes node_id not None):
        cdef Id key
        if read_id(node_id, &key) != self.id_length:
            return -1
        cdef Link* link = find(&self.table, &key)
        return -1 if link == NULL else link.number

    def node_of(self, int link):
        cdef Link* found = link_at(&self.table, link)
        return None if found == NULL else id_bytes(&found.node_id, self.id_length)

    def links(self):
        return [self.table.slots[self.table.live[i]].link.number for i in range(self.table.live_count)]

    def set_full(self, int link, bint is_full):
        cdef Link* found = link_at(&self.table, link)
        if found != NULL:
            found.is_full = is_full

    def silent_links(self, double now):
        return [
            self.table.slots[self.table.live[i]].link.number for i in range(self.table.live_count) if is_silent(self.table.slots[self.table.live[i]].link, now)
        ]

    @property
    def silence_at(self):
        cdef double earliest = INFINITY
        cdef int i
        for i in range(self.table.slot_count):
            earliest = min(earliest, self.table.slots[i].silence)
        return earliest

    def silence_changes(self, double now):
        cdef list out = []
        cdef Link* link
        cdef int i
        for i in range(self.table.live_count):
            if self.table.slots[self.table.live[i]].silence <= now:
                link = self.table.slots[self.table.live[i]].link
                link.was_silent = not link.was_silent
                link.speaks_again = False
                note_silence(&self.table, link)
                out.append((link.number, <bint>link.was_silent))
        return out

    def idle_since(self, int link):
        cdef Link* found = link_at(&self.table, link)
        return 0.0 if found == NULL else found.heard_at

    def rtt(self, int link):
        cdef Link* found = link_at(&self.table, link)
        return 0.0 if found == NULL else found.srtt

    # --- in and out ---------------------------------------------------------------------------------

    def receive(self, double now, int link, data not None):
        cdef Py_buffer view
        cdef Link* source = link_at(&self.table, link)
        cdef bint is_sound
        if source == NULL:
            self.counts[DROP_STALE_LINK] += 1
            return False
        if source.is_broken:
            return False
        PyObject_GetBuffer(data, &view, PyBUF_SIMPLE)
        is_sound = self.read_frames(source, <const uint8_t*>view.buf, <size_t>view.len, now)
        PyBuffer_Release(&view)
        return is_sound

    def originate(self, double now, bytes message not None, int link=-1):
        cdef Passage p
        cdef Outcome outcome
        self.read_own(message, &p)
        p.now = now
        if p.header.ttl > self.rules.initial_ttl:
            # "MUST NOT exceed 100 unless defined otherwise by the overlay configuration" (6.3.2).
            return VERDICTS[TTL_EXCEEDED]
        if p.size > self.rules.max_message_size:
            return VERDICTS[TOO_LARGE]
        if link >= 0:
            p.target = link_at(&self.table, link)
            outcome = DROP_STALE_LINK if p.target == NULL else FORWARDED
        else:
            outcome = self.route(&p)
        if outcome == FORWARDED:
            outcome = self.put(&p, p.header.ttl, NULL, now)
        if outcome == DELIVERED and not self.keep(OWN_MESSAGE, DELIVER, p.message, p.size):
            outcome = DROP_INBOX_FULL
        if outcome == FORWARDED or outcome == DELIVERED:
            self.counts[ORIGINATED] += 1
            return VERDICTS[FORWARD if outcome == FORWARDED else DELIVER]
        self.counts[outcome] += 1
        return VERDICTS[DROP]

    def first_hop(self, bytes message not None):
        cdef Passage p
        self.read_own(message, &p)
        cdef Outcome outcome = self.route(&p)
        if outcome == DELIVERED:
            return SELF
        return p.target.number if outcome == FORWARDED else -1

    def sends(self):
        cdef list out = []
        cdef Link* link
        cdef int i
        for i in range(self.table.dirty_count):
            link = self.table.slots[self.table.dirty[i]].link
            link.is_dirty = False
            self.counts[BYTES_OUT] += link.outbox.size
            out.append(
                (link.number, PyBytes_FromStringAndSize(<char*>link.outbox.data, <Py_ssize_t>link.outbox.size))
            )
            give_back(&link.outbox)
        self.table.dirty_count = 0
        return out

    @property
    def dirty(self):
        return self.table.dirty_count > 0

    @property
    def has_inbox(self):
        return self.inbox_count > 0

    def take_inbox(self):
        cdef list out = []
        cdef Kept kept
        cdef const uint8_t* p = self.inbox.data
        for _ in range(self.inbox_count):
            memcpy(&kept, p, sizeof(Kept))
            p += sizeof(Kept)
            out.append(
                tuple.__new__(Received, (
                    kept.link, VERDICTS[kept.verdict], PyBytes_FromStringAndSize(<const char*>p, <Py_ssize_t>kept.size)
                ))
            )
            p += kept.size
        self.inbox_count = 0
        empty(&self.inbox)
        return out

    @property
    def counters(self):
        return {name: self.counts[i] for i, name in enumerate(NAMES)}

    # --- frames (6.6.2) -----------------------------------------------------------------------------

    cdef bint read_frames(self, Link* link, const uint8_t* data, size_t size, double now) noexcept nogil:
        """False: the framing is broken. Whole frames are read where they stand; only an unread rest is copied."""
        cdef size_t needed
        cdef uint8_t* rest
        link.heard_at = now
        self.counts[BYTES_IN] += size
        if link.partial.size > 0 and not self.finish_partial(link, &data, &size, now):
            return False
        while size > 0:
            needed = self.frame_size(data, size)
            if needed == 0:
                link.is_broken = True
                return False
            if needed > size:
                break
            self.take_frame(link, data, needed, now)
            data += needed
            size -= needed
        if size > 0:
            borrow(&link.partial)
            rest = extend(&link.partial, size)
            if rest == NULL:
                self.counts[DROP_NO_MEMORY] += 1
                link.is_broken = True
                return False
            memcpy(rest, data, size)
        return True

    cdef bint finish_partial(self, Link* link, const uint8_t** data, size_t* size, double now) noexcept nogil:
        """Add to the frame that was begun in an earlier read just what it lacks."""
        cdef Buffer* partial = &link.partial
        cdef size_t needed, missing
        cdef uint8_t* rest
        while True:
            needed = self.frame_size(partial.data, partial.size)
            if needed == 0:
                link.is_broken = True
                return False
            if needed == partial.size:
                self.take_frame(link, partial.data, needed, now)
                give_back(partial)
                return True
            missing = min(needed - partial.size, size[0])
            if missing == 0:
                return True
            rest = extend(partial, missing)
            if rest == NULL:
                self.counts[DROP_NO_MEMORY] += 1
                link.is_broken = True
                return False
            memcpy(rest, data[0], missing)
            data[0] += missing
            size[0] -= missing

    cdef size_t frame_size(self, const uint8_t* frame, size_t known) noexcept nogil:
        """Size of the frame as far as its first `known` (at least 1) bytes tell it; 0 when it is none we accept.

        A length above the overlay's maximum ends the link before a byte of the message is kept (6.6): a message is
        taken that much larger as a via list may have grown on its way, so that Error_Message_Too_Large can answer it.
        """
        cdef size_t size
        if frame[0] == ACK_FRAME:
            return ACK_SIZE
        if frame[0] != DATA_FRAME:
            self.counts[DROP_FRAME_TYPE] += 1
            return 0
        if known < DATA_HEADER_SIZE:
            return DATA_HEADER_SIZE
        size = load_u24(frame + 5)
        if size > self.rules.max_message_size + MAX_HEADER_GROWTH:
            self.counts[DROP_FRAME_SIZE] += 1
            return 0
        return DATA_HEADER_SIZE + size

    cdef void take_frame(self, Link* link, const uint8_t* frame, size_t size, double now) noexcept nogil:
        cdef uint32_t sequence = load_u32(frame + 1), mask
        if frame[0] == ACK_FRAME:
            if note_acked(link, sequence, now, RTO_FLOOR, RTO_CEILING):
                self.counts[ACKED] += 1
                note_silence(&self.table, link)
            return
        self.counts[RECEIVED] += 1
        mask = note_received(link, sequence)
        borrow(&link.outbox)
        # A peer that does not read must not make us keep ACKs for it without bound.
        if link.is_full or link.outbox.size > OUTBOX_SIZE or not put_ack(link, sequence, mask):
            self.counts[DROP_ACK] += 1
        else:
            touch(&self.table, link)
        self.pass_on(link, frame + DATA_HEADER_SIZE, size - DATA_HEADER_SIZE, now)

    # --- one message (6.1) --------------------------------------------------------------------------

    cdef void pass_on(self, Link* source, const uint8_t* message, size_t size, double now) noexcept nogil:
        self.pass_checked(source, message, size, now, source.standing != BOUND)

    cdef inline void pass_checked(
        self, Link* source, const uint8_t* message, size_t size, double now, bint is_held
    ) noexcept nogil:
        """Check, then deliver, forward or drop; a request whose refusal the RFC wants answered goes to the inbox, and so
        does what a link that has not attached says: it is looked at there before it may go on (6.1.2)."""
        cdef Passage p
        cdef int verdict
        p.message = message
        p.size = size
        p.is_request = False
        p.source = &source.node_id
        p.now = now
        cdef Outcome outcome = check(&p, &self.rules)
        if is_held and outcome == FORWARDED:
            self.counts[HELD_BACK if self.keep(source.number, UNATTACHED, message, size) else DROP_INBOX_FULL] += 1
            return
        if outcome == FORWARDED:
            outcome = self.route(&p)
        if outcome == FORWARDED:
            outcome = self.forward(&p, source, now)
        verdict = verdict_of(outcome)
        if verdict == DELIVER or (p.is_request and verdict >= TTL_EXCEEDED):
            if not self.keep(source.number, verdict, message, size):
                outcome = DROP_INBOX_FULL
        self.counts[outcome] += 1

    cdef Outcome route(self, Passage* p) noexcept nogil:
        """Where the first Destination leads (6.1.1 to 6.1.3): DELIVERED, FORWARDED with its target, or a drop."""
        cdef size_t start = FIXED_SIZE + p.header.via_size
        cdef Reader r = reader(p.message + start, p.header.destination_size, 0)
        cdef Destination entry
        cdef Id key
        p.target = NULL
        p.stripped = 0
        p.inserted_size = 0
        while read_destination(&r, &entry):
            if entry.type == OPAQUE_ID:
                if not self.expand(p, &entry):
                    # None of ours, or not any more: a silent drop, never a guess (6.1.3).
                    return DROP_OPAQUE_ID
                p.stripped = r.offset
                # The list is looked at again (6.1.3): now it begins with the node that the request came from.
                key = load_id(p.inserted + 2, self.id_length)
                p.target = find(&self.table, &key)
                if p.target != NULL:
                    return FORWARDED
                return DROP_FOREIGN_NODE if self.ring.is_own_range(&key) else self.route_by_ring(p, &key)
            if entry.type != NODE and entry.type != RESOURCE:
                return DROP_DESTINATION_TYPE
            if entry.size != self.id_length:
                return DROP_BAD_LIST
            key = load_id(entry.value, self.id_length)
            if entry.type == RESOURCE:
                if not self.ring.is_own_range(&key):
                    return self.route_by_ring(p, &key)
                # It "MUST be the only entry", else a silent drop (6.1.1); own entries ahead of it are stripped by now.
                return DELIVERED if r.left == 0 else DROP_RESOURCE_PLACE
            if equal(&key, &self.wildcard):
                # Whatever stands behind it: "never forwarded; it is consumed locally" (6.1.1).
                return DELIVERED
            if not equal(&key, &self.own):
                # In the Connection Table, clients included: straight there (6.1.2), also within our own range (6.1.1).
                p.target = find(&self.table, &key)
                if p.target != NULL:
                    return FORWARDED
                return DROP_FOREIGN_NODE if self.ring.is_own_range(&key) else self.route_by_ring(p, &key)
            if r.left == 0:
                return DELIVERED
            # Ours, and not the last: strip it and look again (6.1.1).
            p.stripped = r.offset
        return DROP_NO_DESTINATION

    cdef bint expand(self, Passage* p, const Destination* entry) noexcept nogil:
        """What an opaque id of ours stands for."""
        cdef const Saved* saved
        cdef const Link* link
        if self.via_lists == LINK_IDS and entry.encoded_size == 2:
            # Slot and generation: a link that came into the place of the one that was meant has another (6.3.2.2).
            link = link_at(&self.table, load_u16(entry.value) & LINK_NUMBER)
            if link == NULL:
                return False
            p.inserted_size = write_node(p.way, &link.node_id, self.id_length)
            p.inserted = p.way
            return True
        saved = saved_way(&self.returns, entry.value, entry.size, p.now)
        if saved == NULL:
            return False
        p.inserted = saved.way
        p.inserted_size = saved.size
        return True

    cdef size_t shorten(self, Passage* p, const Link* source, Changes* c) noexcept nogil:
        """The entry that leads back to the source, and with STATE along the whole via list, 6.1.2."""
        cdef Saved* saved
        if self.via_lists == LINK_IDS:
            store_u16(p.via, <uint16_t>(0x8000 | source.number))
            self.counts[VIA_SHORTENED] += 1
            return 2
        if self.via_lists == STATE and p.header.via_size > 0:
            saved = save_way(
                &self.returns, &source.node_id, self.id_length, p.message + FIXED_SIZE, p.header.via_size, p.now
            )
            if saved != NULL:
                p.via[0] = OPAQUE_ID
                p.via[1] = OPAQUE_SIZE + 1
                p.via[2] = OPAQUE_SIZE
                memcpy(p.via + 3, saved.opaque, OPAQUE_SIZE)
                c.via_kept = 0
                self.counts[VIA_SHORTENED] += 1
                return 3 + OPAQUE_SIZE
            self.counts[VIA_NOT_SHORTENED] += 1
        return write_node(p.via, &source.node_id, self.id_length)

    cdef Outcome route_by_ring(self, Passage* p, const Id* target) noexcept nogil:
        # When its list led here (6.1.1, 6.1.3), the node it came from has not looked for the way to what stands next.
        cdef const Id* peer = self.ring.next_peer(target, p.source if p.stripped == 0 else NULL)
        if peer != NULL:
            p.target = find(&self.table, peer)
        return FORWARDED if p.target != NULL else DROP_NO_ROUTE

    cdef Outcome forward(self, Passage* p, Link* source, double now) noexcept nogil:
        """Transit (6.1.2, 6.3.2)."""
        cdef const Link* via = NULL
        if p.header.ttl == 0:
            return DROP_TTL_ZERO
        # In an answer the flags are not set (6.3.2.3), and nobody could be told.
        if p.is_critical and p.is_request:
            return DROP_FORWARD_CRITICAL
        # Answers need no way back (6.1.2). A later fragment does not show what it is, so it is treated as a request.
        if p.is_request or p.header.fragment & FRAGMENT_OFFSET:
            if p.via_count == MAX_DESTINATIONS:
                return DROP_LONG_LIST
            # Several peers that disagree about a range may send a message in a circle: not until its TTL ends. By way
            # of a node it was told to pass (6.1.1), it may come here a second time.
            if p.via_count > MAX_VISITS and times_forwarded(p, &self.own, self.id_length) >= MAX_VISITS:
                return DROP_LOOP
            via = source
        return self.put(p, p.header.ttl - 1, via, now)

    cdef Outcome put(self, Passage* p, uint8_t ttl, const Link* via, double now) noexcept nogil:
        """Into the target's outbox. via: the link that the way back leads over, NULL if there is none to note."""
        cdef Link* target = p.target
        cdef const Id* hop = &via.node_id if via != NULL else NULL
        cdef bint is_changed = p.inserted_size > 0 or (via != NULL and self.via_lists != WHOLE)
        cdef Changes c
        cdef size_t size
        cdef uint8_t* out
        if is_changed:
            c.via_kept = p.header.via_size
            c.added = p.via
            c.added_size = self.shorten(p, via, &c) if via != NULL else 0
            c.stripped = p.stripped
            c.inserted = p.inserted if p.inserted_size > 0 else p.way
            c.inserted_size = p.inserted_size
            size = changed_size(p.size, &p.header, &c)
        else:
            size = forwarded_size(p.size, hop, self.id_length, p.stripped)
        # What the next hop would refuse, and close our link for (6.6), is refused here.
        if size > self.rules.max_message_size:
            return DROP_TOO_LARGE
        if target.is_full:
            return DROP_LINK_FULL
        if target.outbox.size + DATA_HEADER_SIZE + size > OUTBOX_SIZE:
            return DROP_OUTBOX_FULL
        borrow(&target.outbox)
        out = open_frame(target, size, now)
        if out == NULL:
            return DROP_NO_MEMORY
        note_silence(&self.table, target)
        if is_changed:
            write_changed(out, p.message, p.size, &p.header, ttl, &c)
        else:
            write_forwarded(out, p.message, p.size, &p.header, ttl, hop, self.id_length, p.stripped)
        touch(&self.table, target)
        return FORWARDED

    cdef bint keep(self, int link, int verdict, const uint8_t* message, size_t size) noexcept nogil:
        """Into the inbox, with its verdict."""
        cdef Kept kept
        cdef uint8_t* out
        if self.inbox_count == INBOX_MESSAGES:
            return False
        out = extend(&self.inbox, sizeof(Kept) + size)
        if out == NULL:
            return False
        kept.link = link
        kept.verdict = verdict
        kept.size = size
        memcpy(out, &kept, sizeof(Kept))
        memcpy(out + sizeof(Kept), message, size)
        self.inbox_count += 1
        return True

    cdef int read_own(self, bytes message, Passage* p) except -1:
        """A message made here. WireError if its header is none: that is a mistake of the caller."""
        p.message = <const uint8_t*>PyBytes_AS_STRING(message)
        p.size = <size_t>PyBytes_GET_SIZE(message)
        p.source = NULL
        p.target = NULL
        p.stripped = 0
        p.inserted_size = 0
        p.now = INFINITY
        cdef Reader r = reader(p.message, p.size, 0)
        if not read_header(&r, &p.header) or p.header.token != <uint32_t>RELO_TOKEN or p.header.length != p.size:
            raise WireError(r.offset, "ForwardingHeader", "not a whole message")
        return 0


# Buffers that no link needs at the moment. A link without bytes has none: of the thousands of a simulation, or of a
# quiet node, hardly one does at a time. Only used with the GIL, or within one call of a switch, which holds it.
cdef Buffer spare[SPARES]
cdef int spare_count = 0


cdef inline void borrow(Buffer* buffer) noexcept nogil:
    global spare_count
    if buffer.data == NULL and spare_count > 0:
        spare_count -= 1
        buffer[0] = spare[spare_count]


cdef inline void give_back(Buffer* buffer) noexcept nogil:
    global spare_count
    buffer.size = 0
    if spare_count == SPARES or buffer.capacity > KEPT_CAPACITY:
        release(buffer)
    elif buffer.data != NULL:
        spare[spare_count] = buffer[0]
        spare_count += 1
        buffer.data = NULL
        buffer.capacity = 0
