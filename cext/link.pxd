"""One link: its outbox, both sequence spaces, the ACKs it owes and the round trips it measures (RFC 6940 6.6.2, 6.6.5).

Plain C functions over one struct, compiled into `switch`. Frames are never sent again on TLS; ACKs only measure.
"""

from libc.math cimport INFINITY, ceil, fabs
from libc.stdint cimport uint8_t, uint32_t, uint64_t

from xor_fast.cext.ids cimport Id
from xor_fast.cext.wire cimport ACK_SIZE, DATA_HEADER_SIZE, Buffer, extend, release, write_ack, write_data_header


cdef enum:
    HISTORY = 32            # received sequence numbers an ACK speaks of (6.6.2)
    MARKS = 32              # turns with frames that wait for an ACK; later frames then count from the newest of them
    WHOLE_WINDOW = 0xFFFFFFFE


cdef enum:
    # Of a link whose certificate has several Node-IDs (6.1.2), until an Attach tells for which it speaks.
    BOUND = 0
    NAMED = 1               # by a Ping, or an Attach with somebody else
    NAMELESS = 2


cdef struct Mark:
    uint32_t sequence       # first frame of a turn that is not acknowledged yet
    double sent_at


cdef struct Link:
    Id node_id
    int number              # slot and generation
    bint is_full            # the driver's buffer is above its mark
    bint is_dirty           # stands in the switch's list of links with something to send
    bint is_broken          # the peer broke the framing; nothing more is read
    uint8_t standing        # may the other side do more than Ping and Attach?
    bint was_silent         # as `silence_changes` told last
    bint speaks_again       # it was told to be silent, and is not any more
    double heard_at
    Buffer outbox
    Buffer partial          # the unread start of a frame
    uint32_t next_sequence
    uint32_t first_mark     # marks[] is used as a circle
    uint32_t mark_count
    Mark marks[MARKS]
    double srtt             # 0.0: no sample yet
    double rttvar
    double rto
    uint64_t received       # data frames so far
    uint32_t run            # how many of the last of them came in order
    uint32_t history[HISTORY]


cdef inline void release_link(Link* link) noexcept nogil:
    release(&link.outbox)
    release(&link.partial)


cdef inline uint8_t* open_frame(Link* link, size_t size, double now) noexcept nogil:
    """Put the header of a data frame into the outbox; where its `size` bytes of message go. NULL without memory."""
    cdef uint8_t* out = extend(&link.outbox, DATA_HEADER_SIZE + size)
    if out == NULL:
        return NULL
    write_data_header(out, link.next_sequence, <uint32_t>size)
    note_sent(link, now)
    link.next_sequence += 1
    return out + DATA_HEADER_SIZE


cdef inline bint put_ack(Link* link, uint32_t sequence, uint32_t received) noexcept nogil:
    cdef uint8_t* out = extend(&link.outbox, ACK_SIZE)
    if out == NULL:
        return False
    write_ack(out, sequence, received)
    return True


cdef inline uint32_t note_received(Link* link, uint32_t sequence) noexcept nogil:
    """Remember a received frame N; the mask of its ACK: bit N-M for each remembered M with N-32 < M < N (notes 4.9)."""
    cdef uint32_t mask = 0, behind, i
    cdef uint32_t last = link.history[(link.received - 1) % HISTORY]
    cdef bint in_order = link.received > 0 and sequence == last + 1
    if in_order and link.run >= HISTORY - 1:
        mask = WHOLE_WINDOW
    else:
        for i in range(<uint32_t>min(link.received, <uint64_t>HISTORY)):
            behind = sequence - link.history[i]
            if 0 < behind < 32:
                mask |= <uint32_t>1 << behind
    if not in_order:
        link.run = 1
    elif link.run < HISTORY:
        link.run += 1
    link.history[link.received % HISTORY] = sequence
    link.received += 1
    return mask


cdef inline void note_sent(Link* link, double now) noexcept nogil:
    """Frames of one turn share a mark, as they share their time."""
    cdef Mark* mark
    if link.mark_count > 0:
        mark = &link.marks[(link.first_mark + link.mark_count - 1) % MARKS]
        if mark.sent_at == now or link.mark_count == MARKS:
            return
    mark = &link.marks[(link.first_mark + link.mark_count) % MARKS]
    mark.sequence = link.next_sequence
    mark.sent_at = now
    link.mark_count += 1


cdef inline bint note_acked(Link* link, uint32_t sequence, double now, double floor, double ceiling) noexcept nogil:
    """An ACK acknowledges all frames up to its own on an ordered stream. False if it names none that waits for one."""
    cdef Mark* mark
    cdef uint32_t oldest, end
    if link.mark_count == 0:
        return False
    oldest = link.marks[link.first_mark % MARKS].sequence
    if sequence - oldest >= link.next_sequence - oldest:
        return False
    while True:
        mark = &link.marks[link.first_mark % MARKS]
        end = link.marks[(link.first_mark + 1) % MARKS].sequence if link.mark_count > 1 else link.next_sequence
        if sequence - mark.sequence < end - mark.sequence:
            break
        link.first_mark += 1
        link.mark_count -= 1
    measure(link, now - mark.sent_at, floor, ceiling)
    mark.sequence = sequence + 1
    if mark.sequence == end:
        link.first_mark += 1
        link.mark_count -= 1
    link.speaks_again = link.was_silent and not is_silent(link, now)
    return True


cdef inline void measure(Link* link, double sample, double floor, double ceiling) noexcept nogil:
    """RFC 6298 section 2 with the factors it names; rounded up to the millisecond (6.6.3.1)."""
    if sample < 0.0:
        return
    if link.srtt == 0.0:
        link.srtt = sample
        link.rttvar = sample / 2
    else:
        link.rttvar = 0.75 * link.rttvar + 0.25 * fabs(link.srtt - sample)
        link.srtt = 0.875 * link.srtt + 0.125 * sample
    link.rto = min(max(ceil((link.srtt + max(0.001, 4 * link.rttvar)) * 1000) / 1000, floor), ceiling)


cdef inline bint is_silent(const Link* link, double now) noexcept nogil:
    """Does the oldest frame without ACK wait as long as the RTO?"""
    return now >= silent_from(link)


cdef inline double silent_from(const Link* link) noexcept nogil:
    """When that frame will have waited so long; infinity when none waits."""
    return link.marks[link.first_mark % MARKS].sent_at + link.rto if link.mark_count > 0 else INFINITY


cdef inline double silence_change(const Link* link) noexcept nogil:
    """When the link's silence begins or, if it has been told, ended."""
    if link.was_silent:
        return link.heard_at if link.speaks_again else INFINITY
    return silent_from(link)
