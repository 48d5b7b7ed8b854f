from libc.stdlib cimport free, malloc, realloc
from libc.string cimport memmove

from xor_fast.cext.ids cimport Id, equal, id_bytes, less, read_id, within


cdef class Ring:
    def __cinit__(self, bytes node_id not None):
        cdef Id own
        self.id_length = read_id(node_id, &own)
        self.node_id = node_id
        self.capacity = 64
        self.entries = <Id*>malloc(self.capacity * sizeof(Id))
        if self.entries == NULL:
            raise MemoryError
        # The own Node-ID stands among the others: then "largest before", "first at or after" and "predecessor" are all
        # neighbours in one array, and the arithmetic modulo the ring is the step from its end to its start.
        self.entries[0] = own
        self.count = 1
        self.own = 0
        self.joined = False

    def __dealloc__(self):
        free(self.entries)

    def add(self, bytes node_id not None):
        cdef Id entry
        cdef Id* grown
        self.read(node_id, &entry)
        cdef size_t i = self.lower_bound(&entry)
        if i < self.count and equal(&self.entries[i], &entry):
            if i == self.own:
                raise ValueError("a node never enters itself into its routing table (RFC 6940 10.7.3)")
            return False
        if self.count == self.capacity:
            grown = <Id*>realloc(self.entries, 2 * self.capacity * sizeof(Id))
            if grown == NULL:
                raise MemoryError
            self.entries = grown
            self.capacity *= 2
        memmove(&self.entries[i + 1], &self.entries[i], (self.count - i) * sizeof(Id))
        self.entries[i] = entry
        self.count += 1
        if i <= self.own:
            self.own += 1
        return True

    def remove(self, bytes node_id not None):
        cdef Id entry
        self.read(node_id, &entry)
        cdef size_t i = self.lower_bound(&entry)
        if i == self.count or i == self.own or not equal(&self.entries[i], &entry):
            return False
        memmove(&self.entries[i], &self.entries[i + 1], (self.count - i - 1) * sizeof(Id))
        self.count -= 1
        if i < self.own:
            self.own -= 1
        return True

    def __contains__(self, node_id):
        cdef Id entry
        if not isinstance(node_id, bytes) or <size_t>len(node_id) != self.id_length:
            return False
        read_id(node_id, &entry)
        cdef size_t i = self.lower_bound(&entry)
        return i < self.count and i != self.own and equal(&self.entries[i], &entry)

    def __len__(self):
        return self.count - 1

    def __iter__(self):
        return iter([self.at(i) for i in range(self.count) if i != self.own])

    def next_hop(self, bytes target not None):
        cdef Id key
        self.read(target, &key)
        cdef const Id* peer = self.next_peer(&key, NULL)
        return None if peer == NULL else id_bytes(peer, self.id_length)

    def next_hops(self, bytes target not None, size_t count):
        cdef Id key
        cdef list hops = []
        cdef size_t after, before
        self.read(target, &key)
        after = self.lower_bound(&key)
        before = (after if after else self.count) - 1
        if after < self.count and after != self.own and equal(&self.entries[after], &key):
            hops.append(self.at(after))
            after += 1
        while before != self.own and <size_t>len(hops) < count:
            hops.append(self.at(before))
            before = (before if before else self.count) - 1
        after %= self.count
        while after != self.own and <size_t>len(hops) < count:
            hops.append(self.at(after))
            after = (after + 1) % self.count
        return hops[:count]

    def is_responsible(self, bytes target not None):
        cdef Id key
        self.read(target, &key)
        return self.is_own_range(&key)

    def owner(self, bytes target not None):
        cdef Id key
        self.read(target, &key)
        return self.at(self.lower_bound(&key))

    def successors(self, size_t count):
        return [self.at(self.own + i) for i in range(1, min(count + 1, self.count))]

    def predecessors(self, size_t count):
        return [self.at(self.own + self.count - i) for i in range(1, min(count + 1, self.count))]

    def replica_set(self, bytes target not None, size_t count):
        cdef Id key
        self.read(target, &key)
        cdef size_t first = self.lower_bound(&key)
        return [self.at(first + i) for i in range(min(count + 1, self.count))]

    cdef size_t lower_bound(self, const Id* target) noexcept nogil:
        """Index of the first entry at or after target; `count` when there is none before the array wraps."""
        cdef const Id* base = self.entries
        cdef size_t left = self.count, half
        while left > 0:
            half = left // 2
            if less(base + half, target):
                base += half + 1
                left -= half + 1
            else:
                left = half
        return <size_t>(base - self.entries)

    cdef bint is_own_range(self, const Id* target) noexcept nogil:
        """10.1: predecessor < target <= self. Alone, we are the predecessor, and (self, self] is the whole ring."""
        cdef size_t predecessor = (self.own if self.own else self.count) - 1
        return self.joined and within(&self.entries[predecessor], target, &self.entries[self.own])

    cdef const Id* next_peer(self, const Id* target, const Id* source) noexcept nogil:
        """10.3; NULL when nobody is left. The pointer holds until the table changes. source: the peer whose next hop
        towards the target we are, or NULL.

        The largest ahead of the target is no next hop when it is the source: knowing nobody between itself and the
        target, it took us for the first behind, and would again; those further ahead would lead to it. But somebody
        behind the target and nearer than ourselves is known here, or the target would be ours. So "no such node is
        found" ahead, and it goes to the smallest behind.
        """
        cdef size_t after = self.lower_bound(target)
        cdef size_t before = (after if after else self.count) - 1
        if after == self.count:
            after = 0
        if after != self.own and equal(&self.entries[after], target):
            return &self.entries[after]
        # The entry just before target is the largest in (self, target), unless that entry is ourselves.
        if before != self.own and (source == NULL or not equal(&self.entries[before], source)):
            return &self.entries[before]
        if after == self.own:
            # We claim no range, as we are joining or leaving: our successor does.
            after = (after + 1) % self.count
        return NULL if after == before else &self.entries[after]

    cdef bytes at(self, size_t i):
        return id_bytes(&self.entries[i % self.count], self.id_length)

    cdef int read(self, bytes node_id, Id* out) except -1:
        if read_id(node_id, out) != self.id_length:
            raise ValueError(f"an id of {len(node_id)} bytes does not lie on a ring of {self.id_length}-byte ids")
        return 0
