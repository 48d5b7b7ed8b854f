"""Every order of messages in small rings, through the real core: `xor-fast sim modelcheck`.

A world of real `Node`s without a clock. A *step* is one of: the first message of one direction of one connection is
delivered, a connection is made or its end is seen, an operation of the scenario begins (join, leave, kill, a write),
or, only when no message is under way, time passes to the next deadline. `explore.py` takes every step from every
state, breadth first, and looks at each state it has not met (`checks.py`).

**Equal states.** A node does nothing but by its own state and its own inputs (core is without I/O), so a state of the
world is the state of each node and what is under way. A node's state is told by `shape.py`; `machine.py` sees to it
that nothing in it depends on which of two unrelated events came first: links are named by who is at the other end,
tickets by what they were given for, transaction ids follow from what is asked, there is no chance, and the clock on the
wall stands still. `locals.py` carries out each input in each state of a node once and remembers what came of it.

**Reduction.** Each keeps all end states; `--no-reduction` turns them off, and a test compares.

1. Steps at different nodes commute, for a step changes its own node, takes from the head of a queue to it and appends
   to queues from it (`World.commute`; a dial also looks at who is dialled, a kill at what the others hold). *Sleep
   sets* (Godefroid) use that: of two such steps the second order is not taken again. All states are still visited, up
   to the ids of requests: these tell whether the same was asked before and is answered, which 2. may bring about a
   step earlier (in a ring of 2, 6 % of such pairs of steps led to states that differed, where looked at in ids alone).
   A state that is met again by a way that spared it less is expanded by the difference.
2. An UpdateAns or RouteQueryAns that changes nothing but the list of requests under way is taken at the moment it is
   sent. Its request was made with nothing to follow: whatever comes before it or after it at that node (another
   Update to the same peer, which cancels the request; the end of the link, which ends it) leads to the same state.
   The answer that ends an admission is told by what it does, and is delivered as any other message.
3. Where nobody leaves or dies, no peer is ever lost (`World.check_losses` watches over that). An Update at a joined
   peer that names nobody unknown and changes nothing then never will: it is a *persistent set* of one step, and where
   there is one, no other step is taken from that state. States in between are skipped; their claims and values are
   those of states that are visited, as the step changes none of them.

**Bounds**, named in the output when hit or always in force: states for each scenario (those on the edge are then
followed in one order each, as many again); every order within a window of virtual seconds after an operation and one
order after it; messages are faster than every timer; a connection ends with what was sent before; no silence, no slow
reader; nodes without disk; rings up to turning them.
"""
