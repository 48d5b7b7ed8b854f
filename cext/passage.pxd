"""One message on its way through: what its forwarding header says, and the rules it has to pass (RFC 6940 6.3.2).

Plain C functions, compiled into `switch`. Each says what became of the message: FORWARDED while nothing is wrong.
"""

from libc.stdint cimport uint8_t, uint16_t, uint32_t
from libc.string cimport memcmp

from xor_fast.cext.ids cimport Id, equal, load_id, load_u32
from xor_fast.cext.link cimport Link
from xor_fast.cext.wire cimport (
    FIXED_SIZE,
    FRAGMENT_BIT,
    FRAGMENT_OFFSET,
    NODE,
    RELO_TOKEN,
    RESOURCE,
    Destination,
    Header,
    Reader,
    read_destination,
    read_header,
    read_u8,
    read_u16,
    reader,
    take,
)


# What is counted; names and order as in NAMES of switch.pyx.
cdef enum:
    RECEIVED
    ACKED
    DELIVERED
    FORWARDED
    ORIGINATED
    BYTES_IN
    BYTES_OUT
    DROP_STALE_LINK
    DROP_FRAME_TYPE
    DROP_FRAME_SIZE
    DROP_TOKEN
    DROP_HEADER
    DROP_LENGTH
    DROP_OVERLAY
    DROP_VERSION
    DROP_FRAGMENT_BIT
    DROP_TTL_TOO_LARGE
    DROP_TOO_LARGE
    DROP_BAD_LIST
    DROP_LONG_LIST
    DROP_RESOURCE_PLACE
    DROP_NO_DESTINATION
    DROP_DUPLICATE_DESTINATION
    DROP_BAD_OPTION
    DROP_OPAQUE_ID
    DROP_DESTINATION_TYPE
    DROP_FOREIGN_NODE
    DROP_NO_ROUTE
    DROP_TTL_ZERO
    DROP_LOOP
    DROP_FORWARD_CRITICAL
    DROP_LINK_FULL
    DROP_OUTBOX_FULL
    DROP_INBOX_FULL
    DROP_ACK
    DROP_NO_MEMORY
    HELD_BACK
    VIA_SHORTENED
    VIA_NOT_SHORTENED
    COUNTS


cdef enum:
    # Of Python's Verdict.
    DELIVER = 0
    FORWARD = 1
    DROP = 2
    TTL_EXCEEDED = 3
    UNSUPPORTED_OPTION = 4
    INCOMPATIBLE = 5
    TOO_LARGE = 6
    INVALID = 7
    UNATTACHED = 8


cdef enum:
    VERSION = 0x0A
    FORWARD_CRITICAL = 0x01
    LAST_ANSWER = 0xFFFF        # the message code of Error: odd, and an answer all the same


cdef enum:
    ENTRY_SIZE = 24             # room for one entry of ours in a list


cdef struct Rules:
    # What this overlay and node allow.
    uint32_t overlay
    uint8_t initial_ttl
    uint32_t max_message_size
    size_t id_length
    size_t max_destinations


# What became of a message, as the place of its counter.
ctypedef int Outcome


cdef struct Passage:
    # One message on its way through.
    const uint8_t* message
    size_t size
    Header header
    bint is_request
    bint is_critical        # it has an option that no forwarder may ignore
    size_t via_count
    const Id* source        # the node it came from; NULL: ourselves
    size_t stripped         # bytes of own entries at the start of the destination list
    Link* target            # where it goes on to; NULL: to ourselves
    double now
    # Only when via lists are shortened:
    const uint8_t* inserted # in the place of what was stripped
    size_t inserted_size
    uint8_t way[ENTRY_SIZE] # an entry that is inserted
    uint8_t via[ENTRY_SIZE] # an entry that is added


cdef inline Outcome check(Passage* p, const Rules* rules) noexcept nogil:
    """FORWARDED when nothing is wrong with the header, else what is."""
    cdef Outcome outcome = check_header(p, rules)
    cdef size_t count
    cdef const uint8_t* lists = p.message + FIXED_SIZE
    if outcome == FORWARDED:
        outcome = check_list(rules, lists, p.header.via_size, True, False, &p.via_count)
    if outcome == FORWARDED:
        # A loop made of repeated entries is refused (13.6.5); the way back of an answer may pass a node twice
        # (notes 2.15).
        outcome = check_list(
            rules, lists + p.header.via_size, p.header.destination_size, False, p.is_request, &count
        )
        if outcome == FORWARDED and count == 0:
            outcome = DROP_NO_DESTINATION
    if outcome == FORWARDED:
        outcome = check_options(p)
    return outcome


cdef inline Outcome check_header(Passage* p, const Rules* rules) noexcept nogil:
    """The rules of 6.3.2 in its order; token and lengths first, as nothing else can be believed without them."""
    cdef Header* h = &p.header
    cdef Reader r = reader(p.message, p.size, 0)
    cdef uint16_t code
    if p.size >= 4 and load_u32(p.message) != <uint32_t>RELO_TOKEN:
        return DROP_TOKEN
    if not read_header(&r, h):
        return DROP_HEADER
    if h.length != p.size:
        return DROP_LENGTH
    # Only the first fragment shows the message code.
    if h.fragment & FRAGMENT_OFFSET == 0:
        if not read_u16(&r, &code):
            return DROP_HEADER
        p.is_request = code & 1 and code != LAST_ANSWER
    if h.overlay != rules.overlay:
        return DROP_OVERLAY
    if h.version != VERSION:
        return DROP_VERSION
    if not h.fragment & <uint32_t>FRAGMENT_BIT:
        return DROP_FRAGMENT_BIT
    if h.ttl > rules.initial_ttl:
        return DROP_TTL_TOO_LARGE
    if p.size > rules.max_message_size:
        return DROP_TOO_LARGE
    return FORWARDED


cdef inline Outcome check_list(
    const Rules* rules, const uint8_t* entries, size_t size, bint is_via, bint is_unique, size_t* count
) noexcept nogil:
    cdef Reader r = reader(entries, size, 0), earlier
    cdef Destination entry, other
    count[0] = 0
    while r.left > 0:
        if count[0] == rules.max_destinations:
            return DROP_LONG_LIST
        if not read_destination(&r, &entry) or (entry.type == NODE and entry.size != rules.id_length):
            return DROP_BAD_LIST
        # "It is meaningless to try to route through a resource" (6.3.2.2).
        if entry.type == RESOURCE and (is_via or r.left > 0):
            return DROP_RESOURCE_PLACE
        if is_unique and count[0] > 0:
            earlier = reader(entries, <size_t>(entry.encoded - entries), 0)
            while read_destination(&earlier, &other):
                if (
                    other.encoded_size == entry.encoded_size
                    and memcmp(other.encoded, entry.encoded, entry.encoded_size) == 0
                ):
                    return DROP_DUPLICATE_DESTINATION
        count[0] += 1
    return FORWARDED


cdef inline size_t times_forwarded(const Passage* p, const Id* own, size_t id_length) noexcept nogil:
    """How often the via list says that we have forwarded this request. Its first entry made it."""
    cdef Reader r = reader(p.message + FIXED_SIZE, p.header.via_size, 0)
    cdef Destination entry
    cdef Id hop
    cdef size_t times = 0
    read_destination(&r, &entry)
    while read_destination(&r, &entry):
        if entry.type == NODE:
            hop = load_id(entry.value, id_length)
            times += equal(&hop, own)
    return times


cdef inline Outcome check_options(Passage* p) noexcept nogil:
    """We know no option (6.3.2.3)."""
    cdef size_t start = p.header.size - p.header.options_size
    cdef Reader r = reader(p.message + start, p.header.options_size, start)
    cdef uint8_t type, flags
    cdef uint16_t size
    cdef const uint8_t* option
    p.is_critical = False
    while r.left > 0:
        if not (read_u8(&r, &type) and read_u8(&r, &flags) and read_u16(&r, &size) and take(&r, size, &option)):
            return DROP_BAD_OPTION
        if flags & FORWARD_CRITICAL:
            p.is_critical = True
    return FORWARDED


cdef inline int verdict_of(Outcome outcome) noexcept nogil:
    """Which refusals the RFC wants answered (6.1, 6.3.2, 6.3.2.3, 6.6, 13.6.5)."""
    if outcome == DELIVERED:
        return DELIVER
    if outcome == FORWARDED:
        return FORWARD
    if outcome == DROP_TTL_ZERO or outcome == DROP_TTL_TOO_LARGE or outcome == DROP_LOOP:
        return TTL_EXCEEDED
    if outcome == DROP_FORWARD_CRITICAL:
        return UNSUPPORTED_OPTION
    if outcome == DROP_OVERLAY or outcome == DROP_VERSION:
        return INCOMPATIBLE
    if outcome == DROP_DUPLICATE_DESTINATION:
        return INVALID
    return TOO_LARGE if outcome == DROP_TOO_LARGE else DROP
