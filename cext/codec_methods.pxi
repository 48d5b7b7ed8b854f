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


cdef object read_probe_type(Reader* r, const Context* context):
    cdef uint8_t type = u8(r, "ProbeReq")
    if type == 0:
        broken(r, "ProbeReq", "type 0 is invalid")
    return type


cdef int write_probe_type(_Writer w, object value) except -1:
    if not value:
        refused(w, "ProbeReq", "type 0 is invalid")
    return put(w, value, 1, "ProbeReq")


cdef object read_probe_req(Reader* r, const Context* context):
    return ProbeReq(items(r, 1, read_probe_type, context, "ProbeReq"))


cdef int write_probe_req(_Writer w, object value) except -1:
    return put_items(w, value.requested_info, 1, write_probe_type, "ProbeReq")


cdef object read_probe_information(Reader* r, const Context* context):
    cdef Reader inner
    cdef uint8_t type = u8(r, "ProbeInformation")
    bounded(r, u8(r, "ProbeInformation"), &inner, "ProbeInformation")
    if type == 0:
        broken(r, "ProbeInformation", "type 0 is invalid")
    if type <= UPTIME:
        value = u32(&inner, "ProbeInformation")
        ended(&inner, "ProbeInformation")
    else:  # "This type may be extended"
        value = fixed(&inner, inner.left, "ProbeInformation")
    return ProbeInformation(type, value)


cdef int write_probe_information(_Writer w, object value) except -1:
    cdef size_t start
    type = value.type
    if not type:
        refused(w, "ProbeInformation", "type 0 is invalid")
    put(w, type, 1, "ProbeInformation")
    start = begin(w, 1)
    if type <= UPTIME:
        put(w, value.value, 4, "ProbeInformation")
    else:
        put_fixed(w, value.value, "ProbeInformation")
    return end(w, start, 1, "ProbeInformation")


cdef object read_probe_ans(Reader* r, const Context* context):
    return ProbeAns(items(r, 2, read_probe_information, context, "ProbeAns"))


cdef int write_probe_ans(_Writer w, object value) except -1:
    return put_items(w, value.probe_info, 2, write_probe_information, "ProbeAns")


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
    if application == 0:
        broken(r, "AppAttachReq", "application 0 is invalid")
    role = opaque(r, 1, "AppAttachReq")
    return AppAttachReqAns(ufrag, password, application, role, items(r, 2, read_ice_candidate, context, "AppAttachReq"))


cdef int write_app_attach(_Writer w, object value) except -1:
    if not value.application:
        refused(w, "AppAttachReq", "application 0 is invalid")
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


cdef object read_kind_description(Reader* r, const Context* context):
    return opaque(r, 2, "KindDescription")


cdef int write_kind_description(_Writer w, object value) except -1:
    return put_opaque(w, value, 2, "KindDescription")


cdef object read_config_update_req(Reader* r, const Context* context):
    cdef Reader inner
    cdef uint8_t type = u8(r, "ConfigUpdateReq")
    bounded(r, u32(r, "ConfigUpdateReq"), &inner, "ConfigUpdateReq")
    config_data, kinds = b"", ()
    if type == 0:
        broken(r, "ConfigUpdateReq", "type 0 is invalid")
    elif type == CONFIG:
        config_data = opaque(&inner, 3, "ConfigUpdateReq")
    elif type == KIND:
        kinds = items(&inner, 3, read_kind_description, context, "ConfigUpdateReq")
    else:  # "This structure allows for unknown content types"
        config_data = fixed(&inner, inner.left, "ConfigUpdateReq")
    ended(&inner, "ConfigUpdateReq")
    return ConfigUpdateReq(type, config_data, kinds)


cdef int write_config_update_req(_Writer w, object value) except -1:
    cdef size_t start
    type = value.type
    if not type:
        refused(w, "ConfigUpdateReq", "type 0 is invalid")
    if type == KIND and value.config_data:
        refused(w, "ConfigUpdateReq", "type kind has no config_data")
    if type != KIND and value.kinds:
        refused(w, "ConfigUpdateReq", "only type kind has kinds")
    put(w, type, 1, "ConfigUpdateReq")
    start = begin(w, 4)
    if type == CONFIG:
        put_opaque(w, value.config_data, 3, "ConfigUpdateReq")
    elif type == KIND:
        put_items(w, value.kinds, 3, write_kind_description, "ConfigUpdateReq")
    else:
        put_fixed(w, value.config_data, "ConfigUpdateReq")
    return end(w, start, 4, "ConfigUpdateReq")


cdef object read_config_update_ans(Reader* r, const Context* context):
    return ConfigUpdateAns()


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
