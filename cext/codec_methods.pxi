# Part of codec.pyx: the bodies of the topology and connection methods (RFC 6940 6.4.2, 6.5, 10.7 to 10.9).

# --- topology (6.4.2) -------------------------------------------------------------------------------

cdef object read_join_req(Reader* r, const Context* context):
    at = &JOIN_REQ
    made = blank(at.cls)
    fill(made, at.joining_peer_id, read_node_id(r, context))
    fill(made, at.overlay_specific_data, opaque(r, 2, "JoinReq"))
    return made


cdef int write_join_req(Writer* w, object value) except -1:
    at = &JOIN_REQ
    expect(value, at.cls)
    write_node_id(w, field(value, at.joining_peer_id))
    return put_opaque(w, field(value, at.overlay_specific_data), 2, "JoinReq")


cdef object read_join_ans(Reader* r, const Context* context):
    at = &JOIN_ANS
    made = blank(at.cls)
    fill(made, at.overlay_specific_data, opaque(r, 2, "JoinAns"))
    return made


cdef int write_join_ans(Writer* w, object value) except -1:
    at = &JOIN_ANS
    expect(value, at.cls)
    return put_opaque(w, field(value, at.overlay_specific_data), 2, "JoinAns")


cdef object read_leave_req(Reader* r, const Context* context):
    at = &LEAVE_REQ
    made = blank(at.cls)
    fill(made, at.leaving_peer_id, read_node_id(r, context))
    fill(made, at.overlay_specific_data, opaque(r, 2, "LeaveReq"))
    return made


cdef int write_leave_req(Writer* w, object value) except -1:
    at = &LEAVE_REQ
    expect(value, at.cls)
    write_node_id(w, field(value, at.leaving_peer_id))
    return put_opaque(w, field(value, at.overlay_specific_data), 2, "LeaveReq")


cdef object read_leave_ans(Reader* r, const Context* context):
    return blank(LEAVE_ANS.cls)


cdef object read_update_ans(Reader* r, const Context* context):
    return blank(UPDATE_ANS.cls)


cdef int write_nothing(Writer* w, object value) except -1:
    return 0


cdef object read_route_query_req(Reader* r, const Context* context):
    at = &ROUTE_QUERY_REQ
    made = blank(at.cls)
    fill(made, at.send_update, boolean(r, "RouteQueryReq"))
    fill(made, at.destination, read_destination(r, context))
    fill(made, at.overlay_specific_data, opaque(r, 2, "RouteQueryReq"))
    return made


cdef int write_route_query_req(Writer* w, object value) except -1:
    at = &ROUTE_QUERY_REQ
    expect(value, at.cls)
    put_boolean(w, field(value, at.send_update))
    write_destination(w, field(value, at.destination))
    return put_opaque(w, field(value, at.overlay_specific_data), 2, "RouteQueryReq")


cdef object read_probe_type(Reader* r, const Context* context):
    return type_of(r, "ProbeReq")


cdef int write_probe_type(Writer* w, object value) except -1:
    if put(w, value, 1, "ProbeReq") == 0:
        refused(w, "ProbeReq", "type 0 is invalid")
    return 0


cdef object read_probe_req(Reader* r, const Context* context):
    at = &PROBE_REQ
    made = blank(at.cls)
    fill(made, at.requested_info, items(r, 1, read_probe_type, context, "ProbeReq"))
    return made


cdef int write_probe_req(Writer* w, object value) except -1:
    at = &PROBE_REQ
    expect(value, at.cls)
    return put_items(w, field(value, at.requested_info), 1, write_probe_type, "ProbeReq")


cdef object read_probe_information(Reader* r, const Context* context):
    cdef Reader inner
    cdef uint8_t type = type_of(r, "ProbeInformation")
    at = &PROBE_INFORMATION
    made = blank(at.cls)
    bounded(r, u8(r, "ProbeInformation"), &inner, "ProbeInformation")
    fill_u8(made, at.type, type)
    if type <= UPTIME:
        fill(made, at.value, u32(&inner, "ProbeInformation"))
    else:  # "This type may be extended"
        fill(made, at.value, fixed(&inner, inner.left, "ProbeInformation"))
    ended(&inner, "ProbeInformation")
    return made


cdef int write_probe_information(Writer* w, object value) except -1:
    cdef size_t start
    cdef uint64_t type
    at = &PROBE_INFORMATION
    expect(value, at.cls)
    type = put(w, field(value, at.type), 1, "ProbeInformation")
    if type == 0:
        refused(w, "ProbeInformation", "type 0 is invalid")
    start = begin(w, 1)
    if type <= UPTIME:
        put(w, field(value, at.value), 4, "ProbeInformation")
    else:
        put_fixed(w, field(value, at.value), "ProbeInformation")
    return end(w, start, 1, "ProbeInformation")


cdef object read_probe_ans(Reader* r, const Context* context):
    at = &PROBE_ANS
    made = blank(at.cls)
    fill(made, at.probe_info, items(r, 2, read_probe_information, context, "ProbeAns"))
    return made


cdef int write_probe_ans(Writer* w, object value) except -1:
    at = &PROBE_ANS
    expect(value, at.cls)
    return put_items(w, field(value, at.probe_info), 2, write_probe_information, "ProbeAns")


# --- connections (6.5) ------------------------------------------------------------------------------

cdef object read_ice_extension(Reader* r, const Context* context):
    at = &ICE_EXTENSION
    made = blank(at.cls)
    fill(made, at.name, opaque(r, 2, "IceExtension"))
    fill(made, at.value, opaque(r, 2, "IceExtension"))
    return made


cdef int write_ice_extension(Writer* w, object value) except -1:
    at = &ICE_EXTENSION
    expect(value, at.cls)
    put_opaque(w, field(value, at.name), 2, "IceExtension")
    return put_opaque(w, field(value, at.value), 2, "IceExtension")


cdef object read_ice_candidate(Reader* r, const Context* context):
    cdef uint8_t type
    at = &ICE_CANDIDATE
    made = blank(at.cls)
    fill(made, at.addr_port, read_ip_address_port(r, context))
    fill_u8(made, at.overlay_link, type_of(r, "IceCandidate"))
    fill(made, at.foundation, opaque(r, 1, "IceCandidate"))
    fill(made, at.priority, u32(r, "IceCandidate"))
    type = u8(r, "IceCandidate")
    fill_u8(made, at.type, type)
    if type == SRFLX or type == RELAY:
        fill(made, at.rel_addr_port, read_ip_address_port(r, context))
    elif type == HOST:
        fill(made, at.rel_addr_port, None)
    else:  # 3 is reserved, and nobody says whether rel_addr_port follows it (6.5.1.1)
        broken(r, "IceCandidate", "an unknown candidate type", 1)
    fill(made, at.extensions, items(r, 2, read_ice_extension, context, "IceCandidate"))
    return made


cdef int write_ice_candidate(Writer* w, object value) except -1:
    cdef uint64_t type
    at = &ICE_CANDIDATE
    expect(value, at.cls)
    write_ip_address_port(w, field(value, at.addr_port))
    if put(w, field(value, at.overlay_link), 1, "IceCandidate") == 0:
        refused(w, "IceCandidate", "type 0 is invalid")
    put_opaque(w, field(value, at.foundation), 1, "IceCandidate")
    put(w, field(value, at.priority), 4, "IceCandidate")
    type = put(w, field(value, at.type), 1, "IceCandidate")
    if type != HOST and type != SRFLX and type != RELAY:
        refused(w, "IceCandidate", "an unknown candidate type")
    rel_addr_port = field(value, at.rel_addr_port)
    if (type == HOST) != (rel_addr_port is None):
        refused(w, "IceCandidate", "rel_addr_port stands for srflx and relay, and for them alone")
    if rel_addr_port is not None:
        write_ip_address_port(w, rel_addr_port)
    return put_items(w, field(value, at.extensions), 2, write_ice_extension, "IceCandidate")


cdef object read_attach(Reader* r, const Context* context):
    at = &ATTACH_REQ_ANS
    made = blank(at.cls)
    fill(made, at.ufrag, opaque(r, 1, "AttachReqAns"))
    fill(made, at.password, opaque(r, 1, "AttachReqAns"))
    fill(made, at.role, opaque(r, 1, "AttachReqAns"))
    fill(made, at.candidates, items(r, 2, read_ice_candidate, context, "AttachReqAns"))
    fill(made, at.send_update, boolean(r, "AttachReqAns"))
    return made


cdef int write_attach(Writer* w, object value) except -1:
    at = &ATTACH_REQ_ANS
    expect(value, at.cls)
    put_opaque(w, field(value, at.ufrag), 1, "AttachReqAns")
    put_opaque(w, field(value, at.password), 1, "AttachReqAns")
    put_opaque(w, field(value, at.role), 1, "AttachReqAns")
    put_items(w, field(value, at.candidates), 2, write_ice_candidate, "AttachReqAns")
    return put_boolean(w, field(value, at.send_update))


cdef object read_app_attach(Reader* r, const Context* context):
    cdef uint16_t application
    at = &APP_ATTACH_REQ_ANS
    made = blank(at.cls)
    fill(made, at.ufrag, opaque(r, 1, "AppAttachReq"))
    fill(made, at.password, opaque(r, 1, "AppAttachReq"))
    application = u16(r, "AppAttachReq")
    if application == 0:
        broken(r, "AppAttachReq", "application 0 is invalid", 2)
    fill(made, at.application, application)
    fill(made, at.role, opaque(r, 1, "AppAttachReq"))
    fill(made, at.candidates, items(r, 2, read_ice_candidate, context, "AppAttachReq"))
    return made


cdef int write_app_attach(Writer* w, object value) except -1:
    at = &APP_ATTACH_REQ_ANS
    expect(value, at.cls)
    put_opaque(w, field(value, at.ufrag), 1, "AppAttachReq")
    put_opaque(w, field(value, at.password), 1, "AppAttachReq")
    if put(w, field(value, at.application), 2, "AppAttachReq") == 0:
        refused(w, "AppAttachReq", "application 0 is invalid")
    put_opaque(w, field(value, at.role), 1, "AppAttachReq")
    return put_items(w, field(value, at.candidates), 2, write_ice_candidate, "AppAttachReq")


cdef object read_ping_req(Reader* r, const Context* context):
    at = &PING_REQ
    made = blank(at.cls)
    fill(made, at.padding, opaque(r, 2, "PingReq"))
    return made


cdef int write_ping_req(Writer* w, object value) except -1:
    at = &PING_REQ
    expect(value, at.cls)
    return put_opaque(w, field(value, at.padding), 2, "PingReq")


cdef object read_ping_ans(Reader* r, const Context* context):
    at = &PING_ANS
    made = blank(at.cls)
    fill(made, at.response_id, u64(r, "PingAns"))
    fill(made, at.time, u64(r, "PingAns"))
    return made


cdef int write_ping_ans(Writer* w, object value) except -1:
    at = &PING_ANS
    expect(value, at.cls)
    put(w, field(value, at.response_id), 8, "PingAns")
    put(w, field(value, at.time), 8, "PingAns")
    return 0


cdef object read_kind_description(Reader* r, const Context* context):
    return opaque(r, 2, "KindDescription")


cdef int write_kind_description(Writer* w, object value) except -1:
    return put_opaque(w, value, 2, "KindDescription")


cdef object read_config_update_req(Reader* r, const Context* context):
    cdef Reader inner
    cdef uint8_t type = type_of(r, "ConfigUpdateReq")
    at = &CONFIG_UPDATE_REQ
    made = blank(at.cls)
    bounded(r, u32(r, "ConfigUpdateReq"), &inner, "ConfigUpdateReq")
    config_data, kinds = b"", ()
    if type == CONFIG:
        config_data = opaque(&inner, 3, "ConfigUpdateReq")
    elif type == KIND:
        kinds = items(&inner, 3, read_kind_description, context, "ConfigUpdateReq")
    else:  # "This structure allows for unknown content types"
        config_data = fixed(&inner, inner.left, "ConfigUpdateReq")
    ended(&inner, "ConfigUpdateReq")
    fill_u8(made, at.type, type)
    fill(made, at.config_data, config_data)
    fill(made, at.kinds, kinds)
    return made


cdef int write_config_update_req(Writer* w, object value) except -1:
    cdef size_t start
    cdef uint64_t type
    at = &CONFIG_UPDATE_REQ
    expect(value, at.cls)
    type = put(w, field(value, at.type), 1, "ConfigUpdateReq")
    if type == 0:
        refused(w, "ConfigUpdateReq", "type 0 is invalid")
    if type == KIND and field(value, at.config_data):
        refused(w, "ConfigUpdateReq", "type kind has no config_data")
    if type != KIND and field(value, at.kinds):
        refused(w, "ConfigUpdateReq", "only type kind has kinds")
    start = begin(w, 4)
    if type == CONFIG:
        put_opaque(w, field(value, at.config_data), 3, "ConfigUpdateReq")
    elif type == KIND:
        put_items(w, field(value, at.kinds), 3, write_kind_description, "ConfigUpdateReq")
    else:
        put_fixed(w, field(value, at.config_data), "ConfigUpdateReq")
    return end(w, start, 4, "ConfigUpdateReq")


cdef object read_config_update_ans(Reader* r, const Context* context):
    return blank(CONFIG_UPDATE_ANS.cls)


# --- CHORD-RELOAD (10.7 to 10.9) --------------------------------------------------------------------

cdef object read_chord_update(Reader* r, const Context* context):
    cdef uint8_t type
    at = &UPDATE_REQ
    made = blank(at.cls)
    fill(made, at.uptime, u32(r, "ChordUpdate"))
    type = u8(r, "ChordUpdate")
    fill_u8(made, at.type, type)
    predecessors = successors = fingers = ()
    if type < PEER_READY or type > FULL:
        broken(r, "ChordUpdate", "an unknown type", 1)
    if type >= NEIGHBORS:
        predecessors = items(r, 2, read_node_id, context, "ChordUpdate")
        successors = items(r, 2, read_node_id, context, "ChordUpdate")
    if type == FULL:
        fingers = items(r, 2, read_node_id, context, "ChordUpdate")
    fill(made, at.predecessors, predecessors)
    fill(made, at.successors, successors)
    fill(made, at.fingers, fingers)
    return made


cdef int write_chord_update(Writer* w, object value) except -1:
    cdef uint64_t type
    at = &UPDATE_REQ
    expect(value, at.cls)
    put(w, field(value, at.uptime), 4, "ChordUpdate")
    type = put(w, field(value, at.type), 1, "ChordUpdate")
    if not PEER_READY <= type <= FULL:
        refused(w, "ChordUpdate", "an unknown type")
    if type >= NEIGHBORS:
        put_items(w, field(value, at.predecessors), 2, write_node_id, "ChordUpdate")
        put_items(w, field(value, at.successors), 2, write_node_id, "ChordUpdate")
    elif field(value, at.predecessors) or field(value, at.successors):
        refused(w, "ChordUpdate", "type peer_ready lists no peers")
    if type == FULL:
        put_items(w, field(value, at.fingers), 2, write_node_id, "ChordUpdate")
    elif field(value, at.fingers):
        refused(w, "ChordUpdate", "only type full lists fingers")
    return 0


cdef object read_chord_route_query_ans(Reader* r, const Context* context):
    at = &ROUTE_QUERY_ANS
    made = blank(at.cls)
    fill(made, at.next_peer, read_node_id(r, context))
    return made


cdef int write_chord_route_query_ans(Writer* w, object value) except -1:
    at = &ROUTE_QUERY_ANS
    expect(value, at.cls)
    return write_node_id(w, field(value, at.next_peer))


cdef object read_chord_leave_data(Reader* r, const Context* context):
    cdef uint8_t type = u8(r, "ChordLeaveData")
    at = &CHORD_LEAVE_DATA
    if type != FROM_SUCC and type != FROM_PRED:
        broken(r, "ChordLeaveData", "an unknown type", 1)
    made = blank(at.cls)
    fill_u8(made, at.type, type)
    fill(made, at.peers, items(r, 2, read_node_id, context, "ChordLeaveData"))
    return made


cdef int write_chord_leave_data(Writer* w, object value) except -1:
    cdef uint64_t type
    at = &CHORD_LEAVE_DATA
    expect(value, at.cls)
    type = put(w, field(value, at.type), 1, "ChordLeaveData")
    if type != FROM_SUCC and type != FROM_PRED:
        refused(w, "ChordLeaveData", "an unknown type")
    return put_items(w, field(value, at.peers), 2, write_node_id, "ChordLeaveData")
