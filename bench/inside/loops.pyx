"""Loops inside compiled code, for what has to be measured without a call from Python around it."""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from libc.stdint cimport uint8_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free

from xor_fast.cext.link cimport Link
from xor_fast.cext.switch cimport Switch
from xor_fast.cext.table cimport link_at


cdef extern from "forward.h" nogil:
    cdef struct key:
        pass
    cdef struct output:
        uint8_t* data
        size_t size
    cdef struct peer:
        key id
        output* link
    cdef struct node:
        uint32_t overlay
        uint32_t max_message_size
        uint8_t initial_ttl
        bint joined
        key own
        size_t own_place
        size_t count
        peer* table
        uint64_t counts[4]
    int forward(node* n, const key* source, const uint8_t* message, size_t size) noexcept
    key key_at(const uint8_t* p) noexcept


cdef extern from "sha1.h" nogil:
    void sha1(const uint8_t* data, size_t size, uint8_t* digest) noexcept


cdef extern from "<openssl/sha.h>" nogil:
    ctypedef struct SHA_CTX:
        pass
    uint8_t* SHA1(const uint8_t* data, size_t size, uint8_t* digest) noexcept
    int SHA1_Init(SHA_CTX* context) noexcept
    int SHA1_Update(SHA_CTX* context, const void* data, size_t size) noexcept
    int SHA1_Final(uint8_t* digest, SHA_CTX* context) noexcept


def empty(bytes data not None):
    """A compiled call with one argument, and nothing in it."""


cdef class Inputs:
    """Byte strings where C finds them."""

    cdef tuple kept
    cdef const uint8_t** data
    cdef size_t* sizes
    cdef size_t count

    def __cinit__(self, strings):
        self.kept = tuple(strings)
        self.count = <size_t>len(self.kept)
        self.data = <const uint8_t**>calloc(self.count, sizeof(uint8_t*))
        self.sizes = <size_t*>calloc(self.count, sizeof(size_t))
        if self.data == NULL or self.sizes == NULL:
            raise MemoryError
        for i in range(self.count):
            self.data[i] = <const uint8_t*>PyBytes_AS_STRING(self.kept[i])
            self.sizes[i] = <size_t>PyBytes_GET_SIZE(self.kept[i])

    def __dealloc__(self):
        free(self.data)
        free(self.sizes)


# --- SHA-1 ------------------------------------------------------------------------------------------

cdef bytes digest_of(const uint8_t* digest):
    return PyBytes_FromStringAndSize(<const char*>digest, 20)


def ours(Inputs names not None, size_t times):
    """cext/sha1.h; the digest of the last name."""
    cdef uint8_t digest[20]
    cdef size_t i, at = 0
    for i in range(times):
        sha1(names.data[at], names.sizes[at], digest)
        at = at + 1 if at + 1 < names.count else 0
    return digest_of(digest)


def openssl(Inputs names not None, size_t times):
    """OpenSSL's one-shot function."""
    cdef uint8_t digest[20]
    cdef size_t i, at = 0
    for i in range(times):
        SHA1(names.data[at], names.sizes[at], digest)
        at = at + 1 if at + 1 < names.count else 0
    return digest_of(digest)


def openssl_low_level(Inputs names not None, size_t times):
    """OpenSSL's three functions that go around its look-up of algorithms (deprecated in OpenSSL 3)."""
    cdef uint8_t digest[20]
    cdef SHA_CTX context
    cdef size_t i, at = 0
    for i in range(times):
        SHA1_Init(&context)
        SHA1_Update(&context, names.data[at], names.sizes[at])
        SHA1_Final(digest, &context)
        at = at + 1 if at + 1 < names.count else 0
    return digest_of(digest)


# --- forwarding -------------------------------------------------------------------------------------

cdef class Forwarding:
    """The same messages through a Switch and through forward.c, into the outboxes of the same peers.

    Outboxes are emptied after each round of messages, in both by setting their size.
    """

    cdef readonly Switch switch
    cdef Inputs messages
    cdef Link* source
    cdef Link** links
    cdef size_t link_count
    cdef node c
    cdef key c_source
    cdef output* c_links

    def __cinit__(self, Switch switch not None, peers, source, messages):
        """`peers`: Node-IDs of the routing table, each with an open link in `switch`; `source` is one of them."""
        cdef size_t i, at = 0
        self.switch = switch
        self.messages = Inputs(messages)
        peers = sorted(peers)
        self.link_count = <size_t>len(peers)
        self.links = <Link**>calloc(self.link_count, sizeof(Link*))
        self.c_links = <output*>calloc(self.link_count, sizeof(output))
        self.c.count = self.link_count + 1
        self.c.table = <peer*>calloc(self.c.count, sizeof(peer))
        if self.links == NULL or self.c_links == NULL or self.c.table == NULL:
            raise MemoryError
        for i, node_id in enumerate(peers):
            self.links[i] = link_at(&switch.table, switch.link_of(node_id))
        self.source = link_at(&switch.table, switch.link_of(source))
        self.c_source = id_of(source)
        self.c.overlay, self.c.initial_ttl = switch.overlay, switch.initial_ttl
        self.c.max_message_size, self.c.joined = switch.max_message_size, switch.ring.joined
        self.c.own = id_of(switch.node_id)
        for i, node_id in enumerate(sorted([*peers, switch.node_id])):
            self.c.table[i].id = id_of(node_id)
            if node_id == switch.node_id:
                self.c.own_place = i
            else:
                self.c.table[i].link = &self.c_links[at]
                at += 1

    def __dealloc__(self):
        cdef size_t i
        for i in range(self.link_count):
            free(self.c_links[i].data)
        free(self.c_links)
        free(self.c.table)
        free(self.links)

    def ours(self, size_t times):
        cdef size_t i, at = 0
        self.clear()
        with nogil:
            for i in range(times):
                if at == self.messages.count:
                    at = 0
                    self.clear()
                self.switch.pass_on(self.source, self.messages.data[at], self.messages.sizes[at], 0.0)
                at += 1

    def reference(self, size_t times):
        cdef size_t i, at = 0
        self.clear()
        with nogil:
            for i in range(times):
                if at == self.messages.count:
                    at = 0
                    self.clear()
                forward(&self.c, &self.c_source, self.messages.data[at], self.messages.sizes[at])
                at += 1

    cdef void clear(self) noexcept nogil:
        cdef size_t i
        for i in range(self.link_count):
            self.links[i].outbox.size = 0
            self.c_links[i].size = 0

    def ours_sent(self):
        """What stands in the outboxes of the switch, peer by peer."""
        return [
            PyBytes_FromStringAndSize(<char*>self.links[i].outbox.data, <Py_ssize_t>self.links[i].outbox.size)
            for i in range(self.link_count)
        ]

    def reference_sent(self):
        """The same of forward.c."""
        return [
            PyBytes_FromStringAndSize(<char*>self.c_links[i].data, <Py_ssize_t>self.c_links[i].size)
            for i in range(self.link_count)
        ]

    def decisions(self):
        """What forward.c decided, and how often."""
        return dict(zip(("forwarded", "delivered", "dropped", "refused"), self.c.counts))


cdef key id_of(bytes node_id):
    return key_at(<const uint8_t*>PyBytes_AS_STRING(node_id))
