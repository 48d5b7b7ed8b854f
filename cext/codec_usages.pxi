# Part of codec.pyx: what usages store (RFC 6940 9, XEP-0415 4.2).

# --- TURN (RFC 6940 9) ------------------------------------------------------------------------------

cdef object read_turn_server(Reader* r, const Context* context):
    cdef uint8_t iteration = u8(r, "TurnServer")
    return TurnServer(iteration, read_ip_address_port(r, context))


cdef int write_turn_server(_Writer w, object value) except -1:
    put(w, value.iteration, 1, "TurnServer")
    return write_ip_address_port(w, value.server_address)


# --- XMPP usage (XEP-0415 4.2) ----------------------------------------------------------------------

cdef object read_xmpp_location(Reader* r, const Context* context):
    cdef Reader inner
    cdef uint8_t type = u8(r, "XmppLocation")
    cdef uint8_t priority
    bounded(r, u16(r, "XmppLocation"), &inner, "XmppLocation")
    if type == 0:
        broken(r, "XmppLocation", "type 0 is not a location")
    elif type == LOCATION_ADDRESS:
        location = XmppLocation(type, opaque(&inner, 2, "XmppLocation"), 0, ())
    elif type == LOCATION_ROUTE:
        priority = u8(&inner, "XmppLocation")
        destination_list = items(&inner, 2, read_destination, context, "XmppLocation")
        location = XmppLocation(type, b"", priority, destination_list)
    else:  # "This type can be extended"
        location = XmppLocation(type, fixed(&inner, inner.left, "XmppLocation"), 0, ())
    ended(&inner, "XmppLocation")
    return location


cdef int write_xmpp_location(_Writer w, object value) except -1:
    cdef size_t start
    type, address = value.type, value.address
    if not type:
        refused(w, "XmppLocation", "type 0 is not a location")
    if type == LOCATION_ROUTE and address:
        refused(w, "XmppLocation", "a route has no address")
    if type != LOCATION_ROUTE and (value.priority or value.destination_list):
        refused(w, "XmppLocation", "only a route has priority and destination_list")
    put(w, type, 1, "XmppLocation")
    start = begin(w, 2)
    if type == LOCATION_ADDRESS:
        put_opaque(w, address, 2, "XmppLocation")
    elif type == LOCATION_ROUTE:
        put(w, value.priority, 1, "XmppLocation")
        put_items(w, value.destination_list, 2, write_destination, "XmppLocation")
    else:
        put_fixed(w, address, "XmppLocation")
    return end(w, start, 2, "XmppLocation")
