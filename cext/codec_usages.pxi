# Part of codec.pyx: what usages store (RFC 6940 9, XEP-0415 4.2).

# --- TURN (RFC 6940 9) ------------------------------------------------------------------------------

cdef object read_turn_server(Reader* r, const Context* context):
    at = &TURN_SERVER
    made = blank(at.cls)
    fill_u8(made, at.iteration, u8(r, "TurnServer"))
    fill(made, at.server_address, read_ip_address_port(r, context))
    return made


cdef int write_turn_server(Writer* w, object value) except -1:
    at = &TURN_SERVER
    expect(value, at.cls)
    put(w, field(value, at.iteration), 1, "TurnServer")
    return write_ip_address_port(w, field(value, at.server_address))


# --- XMPP usage (XEP-0415 4.2) ----------------------------------------------------------------------

cdef object read_xmpp_location(Reader* r, const Context* context):
    cdef Reader inner
    cdef uint8_t type = type_of(r, "XmppLocation")
    at = &XMPP_LOCATION
    made = blank(at.cls)
    bounded(r, u16(r, "XmppLocation"), &inner, "XmppLocation")
    address, priority, destination_list = b"", 0, ()
    if type == LOCATION_ADDRESS:
        address = opaque(&inner, 2, "XmppLocation")
    elif type == LOCATION_ROUTE:
        priority = <object>u8(&inner, "XmppLocation")
        destination_list = items(&inner, 2, read_destination, context, "XmppLocation")
    else:  # "This type can be extended"
        address = fixed(&inner, inner.left, "XmppLocation")
    ended(&inner, "XmppLocation")
    fill_u8(made, at.type, type)
    fill(made, at.address, address)
    fill(made, at.priority, priority)
    fill(made, at.destination_list, destination_list)
    return made


cdef int write_xmpp_location(Writer* w, object value) except -1:
    cdef size_t start
    cdef uint64_t type
    at = &XMPP_LOCATION
    expect(value, at.cls)
    type = put(w, field(value, at.type), 1, "XmppLocation")
    address = field(value, at.address)
    if type == 0:
        refused(w, "XmppLocation", "type 0 is invalid")
    if type == LOCATION_ROUTE and address:
        refused(w, "XmppLocation", "a route has no address")
    if type != LOCATION_ROUTE and (field(value, at.priority) or field(value, at.destination_list)):
        refused(w, "XmppLocation", "only a route has priority and destination_list")
    start = begin(w, 2)
    if type == LOCATION_ADDRESS:
        put_opaque(w, address, 2, "XmppLocation")
    elif type == LOCATION_ROUTE:
        put(w, field(value, at.priority), 1, "XmppLocation")
        put_items(w, field(value, at.destination_list), 2, write_destination, "XmppLocation")
    else:
        put_fixed(w, address, "XmppLocation")
    return end(w, start, 2, "XmppLocation")
