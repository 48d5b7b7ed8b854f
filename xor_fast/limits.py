"""Every bound of the node, in one place, each with its reason. What a bound drops has a counter.

Times are seconds unless the name says otherwise; sizes are bytes. What the overlay's configuration
document sets (max-message-size, initial-ttl, timers) is in `config.Overlay`, with the RFC's defaults.
"""

# --- one message -----------------------------------------------------------------------------------
MAX_MESSAGE_SIZE_DEFAULT = 5000  # RFC 6940 11.1, when the configuration says nothing
MAX_MESSAGE_SIZE = 1 << 20  # whatever a configuration says: a frame's 24-bit length must not pin 16 MiB a link
FRAME_HEADER_SIZE = 8  # type, 32-bit sequence, 24-bit length (RFC 6940 6.6.2)
INITIAL_TTL_DEFAULT = 100  # RFC 6940 6.3.2
EXPECTED_NODES = 1 << 20  # of an overlay, unless who makes it says otherwise
TTL_MARGIN = 3  # above the longest way through the ring: for tables that are being repaired
MAX_DESTINATIONS = 64  # entries of a destination or via list: above any TTL a sane overlay configures
MAX_VISITS = 2  # times one node forwards the same request: there, and back from a node that its list names
MAX_HEADER_GROWTH = MAX_DESTINATIONS * 22  # a frame this much above max-message-size is still read, to be answered
MAX_CERTIFICATE_SIZE = 8192  # DER; an RSA-4096 certificate with both names is below 2 kB

# --- links ------------------------------------------------------------------------------------------
MAX_LINKS = 4096  # slots a link number can name: 12 bits (RFC 6940 6.3.2.2)
MAX_PEERS = 3072  # in the routing table; the other slots are for clients and for who is joining
LINKS_LET_GO = 64  # at a time, when there are more: it takes a look at all
LINK_GENERATIONS = 8  # 3 bits beside the slot
MAX_LINKS_PER_NODE = 4  # simultaneous connections one Node-ID may hold: crossing Attaches make two
OUTBOX_SIZE = 2 << 20  # bytes waiting for one link; above it messages for that link are dropped
LINK_BACKLOG_MARK = 4 << 20  # bytes the driver lets a transport buffer before it calls the link full
RETURN_STATES = 4096  # ways back kept for shortened via lists; a power of two
RETURN_STATE_SIZE = MAX_DESTINATIONS * 22  # bytes of one: that many of the longest Node-IDs, so 6 MB in all
INBOX_MESSAGES = 1024  # messages for ourselves waiting within one turn
TRANSIT_ERRORS_PER_SECOND = 100  # Errors made for messages that are not for us: each costs a signature
HANDSHAKE_TIMEOUT = 5.0  # TLS; uvloop's own default of 60 s lets silent clients pile up
MAX_HANDSHAKES = 512  # unfinished TLS handshakes at a time, below the default descriptor limit of 1,024
LISTEN_BACKLOG = 1024  # connections the kernel keeps until we accept them
READ_SIZE = 1 << 18  # one buffer for the reads of all links: as much as uvloop takes from a socket at once
DIAL_TIMEOUT = 5.0  # one candidate
MAX_DIALS = 64  # connection attempts at a time
RTO_FLOOR = 1.0  # a link's RTO never falls below this: a busy peer is not a dead one
RTO_CEILING = 10.0
LINK_RETENTION = 30.0  # a silent link leaves the routing table at once, and is closed after this (RFC 6940 6.6.5)
OVERSLEPT = 0.5  # this late ourselves, we first read what has come, and judge the silence of others so much later
KEEPALIVE_INTERVAL = 300.0  # Ping to the wildcard on an idle link, which finds hung processes (core/liveness.py)
TCP_KEEPALIVE_IDLE = 20  # whole seconds; the kernel's keepalive, which costs 40 bytes, finds dead hosts ...
TCP_KEEPALIVE_INTERVAL = 5
TCP_KEEPALIVE_PROBES = 3  # ... within 35 s

# --- transactions -----------------------------------------------------------------------------------
MAX_TRANSMISSIONS = 5  # RFC 6940 6.2.1
MAX_REQUESTS = 4096  # own requests under way
MAX_FIRST_HOPS = 16  # other ways out that are looked at for one request
MAX_KEPT_ANSWERS = 8192  # answers kept for retransmitted requests
MAX_KEPT_ANSWER_BYTES = 16 << 20

# --- fragments (RFC 6940 6.7) ------------------------------------------------------------------------
FRAGMENT_SLACK = 32  # bytes left free below a link's limit, for the via list to grow
MIN_FRAGMENT = 256  # bytes of a message in each fragment but its last
MAX_REASSEMBLIES = 256  # messages of which some fragments are missing
MAX_REASSEMBLIES_PER_LINK = 32  # so that one neighbour cannot take the room of all
MAX_REASSEMBLY_BYTES = 4 << 20  # of all these messages together
MAX_REASSEMBLY_BYTES_PER_LINK = 1 << 20  # for the same reason

# --- lookups ----------------------------------------------------------------------------------------
LOOKUP_REQUESTS = 96  # of one lookup, at most: with 60 % of the peers silent the longest lookups need that many
LOOKUP_TIME = 25.0  # then it ends with what it has
LOOKUP_WIDTH = 2  # requests of one lookup that may be young, sent within the patience, at a time
LOOKUP_WINDOW = 3  # mean gaps behind the key where holders are looked for first
LOOKUP_HOLDERS = 5  # fewer peers known there: the window is widened. Three hold the value, a table may lack some
LOOKUP_WIDEST = 24  # mean gaps: what we take for the mean gap may be a third of it
LOOKUP_REACH = 10  # mean gaps ahead of the key: peers this near may know those behind it
LOOKUP_GUESSED_PEERS = 4096  # of an overlay that we are no part of: a client sees no gaps
LOOKUP_NAMES = 10  # nodes near the key that are taken from one peer's RouteQuery answers: it may invent them
LOOKUP_WAYS = 8  # over which one peer is asked at most, each named by another guide
LOOKUP_PATIENCE = (0.5, 3.0)  # between these: how long an answer may take, as measured, before another way is tried
LOOKUP_DOUBT = 3  # further requests without an answer until one peer's word is taken that there is nothing

# --- attach -----------------------------------------------------------------------------------------
MAX_ATTACHES = 256  # under way, both directions
MAX_CANDIDATES = 16  # of one Attach
ATTACH_TIMEOUT = 10.0  # from the answer to the finished connection
MAX_APP_PORTS = 64  # listening ports opened for AppAttach at a time
APP_ATTACH_TIMEOUT = 15.0  # a port is closed after this (notes 8.20)
MAX_APP_DIALS_PER_NODE = 4  # of one requester at a time: its candidates may lead nowhere, others wait behind it
MAX_PORT_HANDSHAKES = 4  # unfinished TLS handshakes on one of these ports: one is expected
MAX_EARLY_BYTES = 65536  # of an application connection nobody has taken yet; then it is not read on

# --- topology ---------------------------------------------------------------------------------------
NEIGHBOURS_EACH_SIDE = 3  # RFC 6940 10.1: at least three
MAX_ESTIMATED_NEIGHBOURS = 16  # on each side: log2 of 65,000 peers; who places its ids around us must not buy more
NEIGHBOURS_HYSTERESIS = 0.75  # the estimate of log2 N has to differ by this from the number kept
MAX_NEIGHBOURS = 32  # on each side, whatever a node's tuning says; and taken from one list of an Update
FINGERS = 16  # RFC 6940 10.7.4.3
MAX_FINGERS = 128  # bits of a Node-ID
REPLICAS = 2  # RFC 6940 10.4: the next two successors
UPDATE_COALESCE = 0.2  # changes within this go out as one Update (notes 6.11)
UPDATE_COALESCE_FAR = 0.8  # when none of the three nearest on each side is concerned
HOLD_DOWN = 30.0  # RFC 6940 10.7.1, before replicas are made for the replacement of a failed successor
MAX_HOLD_DOWN = 86400.0  # whatever a node's tuning says: a value has ended before its copies are made
RESCUE_DELAY = 1.0  # instead of the hold-down, when another near peer fails meanwhile: for triggered Updates
FAILED_PEER_MEMORY = 10.0  # for this long nobody's stale Update makes us Attach to a peer that has just failed
JOIN_RETRY = (0.3, 1.0)  # random wait before another try to join, or to connect as a client, doubled each time
JOIN_RETRY_CEILING = 30.0
CONNECT_TRIES = 3  # of a client that was never connected; then its owner decides. Once connected, it keeps trying
REPLICA_RETRY = 2.0  # after a replica was refused or lost, doubled each time while the neighbours stay the same
REPLICA_RETRY_CEILING = 120.0
SETTLING = 12.0  # beyond the hold-down, without a change nearby: longer than FAILED_PEER_MEMORY makes views differ
MAX_ASKED_FOR = 16  # Fetches under way because somebody says it has newer values of our range
HANDOVER_WINDOW = 16  # Stores under way to one peer: a joiner, a replica, the owner of what we owe
MAX_PUSHES = 8 * HANDOVER_WINDOW  # to all of them: several that are silent leave room for others
JOIN_TABLE_TIMEOUT = 5.0  # for the full Update of the admitting peer; then a joiner finds its successors by Ping
JOIN_ATTACH_TIMEOUT = 5.0  # a joiner asks to be let in even if one future neighbour does not answer its Attach
MAX_REMEMBERED_ADDRESSES = 4  # of one of them
MAX_REMEMBERED = 32  # peers whose addresses are kept, to find the ring again when all others are lost
REMEMBER_PAUSE = 30.0  # between two records of them: a bootstrap node meets many peers a second
LEAVE_TIMEOUT = 5.0  # for handing data on, then again for the answers to Leave: a leaver does not wait for ever
FINGER_SEARCH_DELAY = 2.0  # losses within this make one search
FINGER_SEARCH_AGAIN = 30.0  # after a search nobody answered
PARTITION_PROBE = 30.0  # how often a bootstrap node is asked who follows us, in an overlay of so many ...
PARTITION_PEERS = 16  # ... peers; in a larger one less often, for they all ask and one that notices is enough
HANDOVER_TIMEOUT = 60.0  # a joiner that does not take its data is given up
MAX_HEARSAY = 2 * MAX_NEIGHBOURS  # Attaches under way to nodes that one peer named: it may be lying
MAX_AVOIDED = 4096  # failed peers remembered: who names made-up ones must not make us remember more

# --- storage ----------------------------------------------------------------------------------------
MAX_STORED_BYTES = 256 << 20  # all values together
MAX_USER_BYTES = 16 << 20  # of these, signed by one user's devices: one account must not fill a peer
VALUE_OVERHEAD = 1000  # bytes of memory a value takes beside its own, alone at its place: measured
MAX_RESOURCES = 1 << 20
MAX_LIFETIME = 30 * 86400  # a value cannot pin memory longer than a month without being stored again
LONGEST_LIFETIME = (1 << 32) - 1  # that a value can have (RFC 6940 7)
MAX_VALUES_PER_STORE = 64  # values in one StoreReq
TOMBSTONE_FACTOR = 2  # nonexistent values kept: this many times max-count (notes 5.8)
COUNTER_MEMORY = 86400.0  # generation counters outlive their values by this (notes 5.3)
MAX_STORAGE_TIME = (1 << 64) - 1  # RFC 6940 7
MAX_GENERATION = (1 << 64) - 1  # RFC 6940 7.4.1.1; the counter after it is 1
MIN_STORED_META_DATA = 55  # one StoredMetaData with a SHA-256 digest (RFC 6940 7.4.3.2)
MIN_STORED_DATA = 28  # one StoredData without its value: what an answer grows by at least (RFC 6940 7.1)
STORE_TRIES = 8  # of one wish, when the responsible peer is just changing
STORE_RETRY = 0.5
MAX_HELD_STORES = 4096  # answers that wait for a replica's confirmation
MAX_UNWRITTEN = 4096  # Stores that wait for the disk; it has stopped if there are more
DISK_RETRY = 1.0  # after the disk failed, until it is tried again; doubled each time
DISK_RETRY_CEILING = 30.0
DISK_RETRY_RECORDS = 1024  # written at once while it recovers

# --- trust ------------------------------------------------------------------------------------------
CERTIFICATE_CACHE = 4096  # verified certificates kept by hash
MAX_INTERMEDIATES = 3  # CA certificates between a node and a root-cert; paths to try grow with their power
MAX_ISSUER_TRIES = 3  # certificates of one CA name tried at a step of a chain: a CA that changed its key has two
MAX_RSA_BITS = 4096  # of a node's key: verifying with a larger one lets a member burn everybody's time

# --- configuration document -------------------------------------------------------------------------
MAX_CONFIG_SIZE = 1 << 20  # bytes of XML; a document with 1,000 bad-node entries has about 60 kB
MAX_CONFIG_DEPTH = 32  # nested elements; RFC 6940 11.1 needs six, extensions may bring some more

# --- the driver -------------------------------------------------------------------------------------
LEAVE_WAIT = 20.0  # for the core to say that it has left, above twice LEAVE_TIMEOUT
CLOSE_TIMEOUT = 2.0  # for TLS connections to say goodbye when the node ends
LOG_BURST = 100  # lines of the log at once
LOG_RATE = 2.0  # lines a second in the long run
LOG_REMARK_INTERVAL = 60.0  # between two lines that say the same of the node itself, such as "out of descriptors"
MAX_CONTROL_REQUEST = 65536  # bytes of one line on the control socket

# --- XMPP -------------------------------------------------------------------------------------------
LOCATION_LIFETIME = 3600  # seconds; refreshed at half of it (notes 8.19)
LOCATION_RETRY = 10.0  # after a Store of the own location failed
LOCATION_MAX_COUNT = 32
LOCATION_MAX_SIZE = 2304
LOOKUP_DEPTH = 8  # addresses followed in a row (notes 8.9)
LOOKUP_FAN_OUT = 32  # nodes contacted for one address
MAX_STANZA_SIZE = 262144
MAX_STANZA_DEPTH = 64
MAX_TAG_SIZE = 16384  # one tag with its attributes: unfinished, it is scanned again with each piece that arrives
MAX_STREAM_NAMES_SIZE = 1 << 19  # all different names of one stream: expat forgets none while the stream lasts
MAX_STREAMS = 256
STREAM_IDLE_SPACE = 20.0  # a space is sent on an idle stream (RFC 6940 6.5.2.1: at least every 25 s)
STREAM_OPEN_TIMEOUT = 15.0  # from the connection to both stream headers
MAX_QUEUED_STANZAS = 1024  # received and not yet taken by the application
MAX_QUEUED_BYTES = 1 << 20  # of these; above it the connection is not read on

assert MAX_MESSAGE_SIZE < 1 << 24, "a frame's length has 24 bits (RFC 6940 6.6.2)"
assert RETURN_STATES & (RETURN_STATES - 1) == 0, "an opaque id has the low 32 bits of its number"
assert MAX_LINKS * LINK_GENERATIONS <= 1 << 15, "a link number must fit a compact Destination (RFC 6940 6.3.2.2)"
assert OUTBOX_SIZE > MAX_MESSAGE_SIZE + FRAME_HEADER_SIZE, "the largest message must fit an empty outbox"
assert MAX_MESSAGE_SIZE <= MAX_REASSEMBLY_BYTES_PER_LINK, "the largest message must fit, in whatever pieces it comes"
assert RTO_FLOOR <= RTO_CEILING <= LINK_RETENTION
assert REPLICAS < NEIGHBOURS_EACH_SIDE, "a peer must know the replica set of its predecessors"
assert STREAM_IDLE_SPACE < 25
assert MAX_STANZA_SIZE <= MAX_QUEUED_BYTES
assert LOCATION_MAX_COUNT <= LOOKUP_FAN_OUT
