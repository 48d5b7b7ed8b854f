# Part of codec.pyx: the bodies of the topology and connection methods (RFC 6940 6.4.2, 6.5, 10.7 to 10.9).

# --- topology (6.4.2) -------------------------------------------------------------------------------

cdef object read_join_req(Reader* r, const Context* context):
    joining_peer_id = read_node_id(r, context)
    return JoinReq(joining_peer_id, opaque(r, 2, "JoinReq"))


cdef int write_join_req(_Writer w, object value) except -1:
    write_node_id(w, value.joining_peer_id)
    return put_opaque(w, value.overlay_specific_data, 2, "JoinReq")


cdef object read_join_ans(Reader* r, const Context* context):
    return JoinAns(opaque(r, 2, "JoinAns"))


cdef int write_join_ans(_Writer w, object value) except -1:
    return put_opaque(w, value.overlay_specific_data, 2, "JoinAns")


cdef object read_leave_req(Reader* r, const Context* context):
    leaving_peer_id = read_node_id(r, context)
    return LeaveReq(leaving_peer_id, opaque(r, 2, "LeaveReq"))


cdef int write_leave_req(_Writer w, object value) except -1:
    write_node_id(w, value.leaving_peer_id)
    return put_opaque(w, value.overlay_specific_data, 2, "LeaveReq")


cdef object read_leave_ans(Reader* r, const Context* context):
    return LeaveAns()


cdef object read_update_ans(Reader* r, const Context* context):
    return UpdateAns()


cdef int write_nothing(_Writer w, object value) except -1:
    return 0


cdef object read_route_query_req(Reader* r, const Context* context):
    send_update = boolean(r, "RouteQueryReq")
    destination = read_destination(r, context)
    return RouteQueryReq(True if send_update else False, destination, opaque(r, 2, "RouteQueryReq"))


cdef int write_route_query_req(_Writer w, object value) except -1:
    put_boolean(w, value.send_update)
    write_destination(w, value.destination)
    return put_opaque(w, value.overlay_specific_data, 2, "RouteQueryReq")


# --- connections (6.5) ------------------------------------------------------------------------------

cdef object read_ice_extension(Reader* r, const Context* context):
    name = opaque(r, 2, "IceExtension")
    return IceExtension(name, opaque(r, 2, "IceExtension"))


cdef int write_ice_extension(_Writer w, object value) except -1:
    put_opaque(w, value.name, 2, "IceExtension")
    return put_opaque(w, value.value, 2, "IceExtension")


cdef object read_ice_candidate(Reader* r, const Context* context):
    cdef uint8_t overlay_link, type
    cdef uint32_t priority
    addr_port = read_ip_address_port(r, context)
    overlay_link = u8(r, "IceCandidate")
    if overlay_link == 0:
        broken(r, "IceCandidate", "overlay link type 0 is invalid")
    foundation = opaque(r, 1, "IceCandidate")
    priority = u32(r, "IceCandidate")
    type = u8(r, "IceCandidate")
    rel_addr_port = None
    if type == SRFLX or type == RELAY:
        rel_addr_port = read_ip_address_port(r, context)
    elif type != HOST:  # 3 is reserved, and nobody says whether rel_addr_port follows it (6.5.1.1)
        broken(r, "IceCandidate", "an unknown candidate type")
    extensions = items(r, 2, read_ice_extension, context, "IceCandidate")
    return IceCandidate(addr_port, overlay_link, foundation, priority, type, rel_addr_port, extensions)


cdef int write_ice_candidate(_Writer w, object value) except -1:
    type, rel_addr_port = value.type, value.rel_addr_port
    if type != HOST and type != SRFLX and type != RELAY:
        refused(w, "IceCandidate", "an unknown candidate type")
    if (type == HOST) != (rel_addr_port is None):
        refused(w, "IceCandidate", "rel_addr_port stands for srflx and relay, and for them alone")
    if not value.overlay_link:
        refused(w, "IceCandidate", "overlay link type 0 is invalid")
    write_ip_address_port(w, value.addr_port)
    put(w, value.overlay_link, 1, "IceCandidate")
    put_opaque(w, value.foundation, 1, "IceCandidate")
    put(w, value.priority, 4, "IceCandidate")
    put(w, type, 1, "IceCandidate")
    if rel_addr_port is not None:
        write_ip_address_port(w, rel_addr_port)
    return put_items(w, value.extensions, 2, write_ice_extension, "IceCandidate")


cdef object read_attach(Reader* r, const Context* context):
    ufrag = opaque(r, 1, "AttachReqAns")
    password = opaque(r, 1, "AttachReqAns")
    role = opaque(r, 1, "AttachReqAns")
    candidates = items(r, 2, read_ice_candidate, context, "AttachReqAns")
    send_update = boolean(r, "AttachReqAns")
    return AttachReqAns(ufrag, password, role, candidates, True if send_update else False)


cdef int write_attach(_Writer w, object value) except -1:
    put_opaque(w, value.ufrag, 1, "AttachReqAns")
    put_opaque(w, value.password, 1, "AttachReqAns")
    put_opaque(w, value.role, 1, "AttachReqAns")
    put_items(w, value.candidates, 2, write_ice_candidate, "AttachReqAns")
    return put_boolean(w, value.send_update)


cdef object read_app_attach(Reader* r, const Context* context):
    cdef uint16_t application
    ufrag = opaque(r, 1, "AppAttachReq")
    password = opaque(r, 1, "AppAttachReq")
    application = u16(r, "AppAttachReq")
    role = opaque(r, 1, "AppAttachReq")
    return AppAttachReqAns(ufrag, password, application, role, items(r, 2, read_ice_candidate, context, "AppAttachReq"))


cdef int write_app_attach(_Writer w, object value) except -1:
    put_opaque(w, value.ufrag, 1, "AppAttachReq")
    put_opaque(w, value.password, 1, "AppAttachReq")
    put(w, value.application, 2, "AppAttachReq")
    put_opaque(w, value.role, 1, "AppAttachReq")
    return put_items(w, value.candidates, 2, write_ice_candidate, "AppAttachReq")


cdef object read_ping_req(Reader* r, const Context* context):
    return PingReq(opaque(r, 2, "PingReq"))


cdef int write_ping_req(_Writer w, object value) except -1:
    return put_opaque(w, value.padding, 2, "PingReq")


cdef object read_ping_ans(Reader* r, const Context* context):
    cdef uint64_t response_id = u64(r, "PingAns")
    return PingAns(response_id, u64(r, "PingAns"))


cdef int write_ping_ans(_Writer w, object value) except -1:
    put(w, value.response_id, 8, "PingAns")
    return put(w, value.time, 8, "PingAns")


# --- CHORD-RELOAD (10.7 to 10.9) --------------------------------------------------------------------

cdef object read_chord_update(Reader* r, const Context* context):
    cdef uint32_t uptime = u32(r, "ChordUpdate")
    cdef uint8_t type = u8(r, "ChordUpdate")
    predecessors = successors = fingers = ()
    if type < PEER_READY or type > FULL:
        broken(r, "ChordUpdate", "an unknown type")
    if type >= NEIGHBORS:
        predecessors = items(r, 2, read_node_id, context, "ChordUpdate")
        successors = items(r, 2, read_node_id, context, "ChordUpdate")
    if type == FULL:
        fingers = items(r, 2, read_node_id, context, "ChordUpdate")
    return UpdateReq(uptime, type, predecessors, successors, fingers)


cdef int write_chord_update(_Writer w, object value) except -1:
    type = value.type
    if not PEER_READY <= type <= FULL:
        refused(w, "ChordUpdate", "an unknown type")
    put(w, value.uptime, 4, "ChordUpdate")
    put(w, type, 1, "ChordUpdate")
    if type >= NEIGHBORS:
        put_items(w, value.predecessors, 2, write_node_id, "ChordUpdate")
        put_items(w, value.successors, 2, write_node_id, "ChordUpdate")
    elif value.predecessors or value.successors:
        refused(w, "ChordUpdate", "type peer_ready lists no peers")
    if type == FULL:
        put_items(w, value.fingers, 2, write_node_id, "ChordUpdate")
    elif value.fingers:
        refused(w, "ChordUpdate", "only type full lists fingers")
    return 0


cdef object read_chord_route_query_ans(Reader* r, const Context* context):
    return RouteQueryAns(read_node_id(r, context))


cdef int write_chord_route_query_ans(_Writer w, object value) except -1:
    return write_node_id(w, value.next_peer)


cdef object read_chord_leave_data(Reader* r, const Context* context):
    cdef uint8_t type = u8(r, "ChordLeaveData")
    if type != FROM_SUCC and type != FROM_PRED:
        broken(r, "ChordLeaveData", "an unknown type")
    return ChordLeaveData(type, items(r, 2, read_node_id, context, "ChordLeaveData"))


cdef int write_chord_leave_data(_Writer w, object value) except -1:
    if value.type != FROM_SUCC and value.type != FROM_PRED:
        refused(w, "ChordLeaveData", "an unknown type")
    put(w, value.type, 1, "ChordLeaveData")
    return put_items(w, value.peers, 2, write_node_id, "ChordLeaveData")
