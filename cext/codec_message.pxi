# Part of codec.pyx: what every message is made of (RFC 6940 6.3.1.1 to 6.3.4).

# --- common definitions (6.3.1.1) -------------------------------------------------------------------

cdef object read_node_id(Reader* r, const Context* context):
    return fixed(r, context.node_id_length, "NodeId")


cdef int write_node_id(Writer* w, object value) except -1:
    cdef size_t count = size_of(value, "NodeId")
    if not MIN_NODE_ID <= count <= MAX_NODE_ID:
        refused(w, "NodeId", "a Node-ID has 16 to 20 bytes")
    if w.node_id_length and count != w.node_id_length:
        refused(w, "NodeId", "Node-IDs of two lengths in one message")
    w.node_id_length = count
    return put_fixed(w, value, "NodeId")


cdef object read_resource_id(Reader* r):
    cdef size_t count = u8(r, "ResourceId")
    if count > MAX_RESOURCE_ID:
        broken(r, "ResourceId", "longer than 254 bytes", 1)
    return fixed(r, count, "ResourceId")


cdef int write_resource_id(Writer* w, object value) except -1:
    if size_of(value, "ResourceId") > MAX_RESOURCE_ID:
        refused(w, "ResourceId", "longer than 254 bytes")
    return put_opaque(w, value, 1, "ResourceId")


cdef object read_ip_address_port(Reader* r, const Context* context):
    cdef Reader inner
    cdef uint8_t type = type_of(r, "IpAddressPort")
    at = &IP_ADDRESS_PORT
    bounded(r, u8(r, "IpAddressPort"), &inner, "IpAddressPort")
    made = blank(at.cls)
    fill_u8(made, at.type, type)
    if type <= IPV6:
        fill(made, at.address, fixed(&inner, 4 if type == IPV4 else 16, "IpAddressPort"))
        fill(made, at.port, u16(&inner, "IpAddressPort"))
    else:  # "can still parse the IpAddressPort field and then discard it"
        fill(made, at.address, fixed(&inner, inner.left, "IpAddressPort"))
        fill(made, at.port, 0)
    ended(&inner, "IpAddressPort")
    return made


cdef int write_ip_address_port(Writer* w, object value) except -1:
    cdef size_t start
    cdef uint64_t type
    at = &IP_ADDRESS_PORT
    expect(value, at.cls)
    type = put(w, field(value, at.type), 1, "IpAddressPort")
    if type == 0:
        refused(w, "IpAddressPort", "type 0 is invalid")
    address = field(value, at.address)
    start = begin(w, 1)
    put_fixed(w, address, "IpAddressPort")
    if type <= IPV6:
        if size_of(address, "IpAddressPort") != (4 if type == IPV4 else 16):
            refused(w, "IpAddressPort", "the address does not have the length of its type")
        put(w, field(value, at.port), 2, "IpAddressPort")
    elif field(value, at.port) != 0:
        refused(w, "IpAddressPort", "an unknown type has no port of its own")
    return end(w, start, 1, "IpAddressPort")


# --- forwarding header (6.3.2) ----------------------------------------------------------------------

cdef object read_destination(Reader* r, const Context* context):
    cdef Reader inner
    cdef uint8_t type
    at = &DESTINATION
    made = blank(at.cls)
    if r.left and r.at[0] & COMPACT_BIT:  # the 16-bit form has neither type nor length (6.3.2.2)
        fill_u8(made, at.type, OPAQUE_ID)
        fill(made, at.value, fixed(r, 2, "Destination"))
        fill(made, at.compact, True)
        return made
    type = type_of(r, "Destination")
    bounded(r, u8(r, "Destination"), &inner, "Destination")
    fill_u8(made, at.type, type)
    if type == NODE:
        fill(made, at.value, read_node_id(&inner, context))
    elif type == RESOURCE:
        fill(made, at.value, read_resource_id(&inner))
    elif type == OPAQUE_ID:
        fill(made, at.value, opaque(&inner, 1, "Destination"))
    else:  # "allows an implementation which does not understand a given DestinationType to skip over it"
        fill(made, at.value, fixed(&inner, inner.left, "Destination"))
    ended(&inner, "Destination")
    fill(made, at.compact, False)
    return made


cdef int write_destination(Writer* w, object value) except -1:
    cdef size_t start
    cdef uint64_t type
    at = &DESTINATION
    expect(value, at.cls)
    type = number(w, field(value, at.type), 1, "Destination")
    data = field(value, at.value)
    if field(value, at.compact):
        if type != OPAQUE_ID or size_of(data, "Destination") != 2 or not data[0] & COMPACT_BIT:
            refused(w, "Destination", "the 16-bit form is an opaque id of two bytes with the top bit set")
        return put_fixed(w, data, "Destination")
    if not 0 < type < COMPACT_BIT:
        refused(w, "Destination", "a type is 1 to 127")
    room(w, 1)[0] = <uint8_t>type
    start = begin(w, 1)
    if type == NODE:
        write_node_id(w, data)
    elif type == RESOURCE:
        write_resource_id(w, data)
    elif type == OPAQUE_ID:
        put_opaque(w, data, 1, "Destination")
    else:
        put_fixed(w, data, "Destination")
    return end(w, start, 1, "Destination")


cdef object read_forwarding_option(Reader* r, const Context* context):
    at = &FORWARDING_OPTION
    made = blank(at.cls)
    fill_u8(made, at.type, type_of(r, "ForwardingOption"))
    fill_u8(made, at.flags, u8(r, "ForwardingOption"))
    fill(made, at.option, opaque(r, 2, "ForwardingOption"))
    return made


cdef int write_forwarding_option(Writer* w, object value) except -1:
    at = &FORWARDING_OPTION
    expect(value, at.cls)
    if put(w, field(value, at.type), 1, "ForwardingOption") == 0:
        refused(w, "ForwardingOption", "type 0 is invalid")
    put(w, field(value, at.flags), 1, "ForwardingOption")
    return put_opaque(w, field(value, at.option), 2, "ForwardingOption")


cdef inline bint is_whole(uint32_t fragment) noexcept:
    """The last fragment, and the first (6.7)."""
    return fragment & FRAGMENT_LAST != 0 and fragment & FRAGMENT_OFFSET == 0


cdef int read_sound_header(Reader* r, Header* h) except -1:
    """The header of the message or fragment that fills `r`; leaves `r` behind it."""
    cdef size_t start = r.offset, whole = r.left
    if not read_header(r, h):
        broken(r, "ForwardingHeader", "cut short")
    if h.token != RELO_TOKEN:
        raise WireError(start, "ForwardingHeader", "not a RELOAD message")
    if h.version != VERSION:
        raise WireError(start + VERSION_AT, "ForwardingHeader", "the version is not 1.0")
    if not h.fragment & FRAGMENT_BIT:
        raise WireError(start + FRAGMENT_AT, "ForwardingHeader", "the high bit of fragment is not set")
    if h.length != whole:
        raise WireError(start + LENGTH_AT, "ForwardingHeader", "length is not the size of the message")
    return 0


cdef object read_forwarding_header(Reader* r, const Context* context):
    cdef Header h
    at = &FORWARDING_HEADER
    cdef Reader lists = r[0]
    cdef Reader part
    read_sound_header(r, &h)
    bounded(&lists, FIXED_SIZE, &part, "ForwardingHeader")
    bounded(&lists, h.via_size, &part, "ForwardingHeader")
    via_list = all_of(&part, read_destination, context)
    bounded(&lists, h.destination_size, &part, "ForwardingHeader")
    destination_list = all_of(&part, read_destination, context)
    bounded(&lists, h.options_size, &part, "ForwardingHeader")
    options = all_of(&part, read_forwarding_option, context)
    made = blank(at.cls)
    fill(made, at.overlay, h.overlay)
    fill(made, at.configuration_sequence, h.configuration_sequence)
    fill(made, at.ttl, h.ttl)
    fill(made, at.transaction_id, h.transaction_id)
    fill(made, at.destination_list, destination_list)
    fill(made, at.via_list, via_list)
    fill(made, at.options, options)
    fill(made, at.max_response_length, h.max_response_length)
    fill(made, at.fragment, h.fragment)
    fill(made, at.version, VERSION)
    return made


cdef int put_list(Writer* w, size_t length_at, object values, WriteFunction write) except -1:
    """A list of the header, and its length at its own place ahead of all three."""
    cdef size_t start = w.size
    for value in values:
        write(w, value)
    if (w.size - start) >> 16:
        refused(w, "ForwardingHeader", "a list longer than 65,535 bytes")
    store_u16(w.data + length_at, <uint16_t>(w.size - start))
    return 0


cdef int write_forwarding_header(Writer* w, object value) except -1:
    """The length field counts the header alone; whoever writes a message puts its length there."""
    at = &FORWARDING_HEADER
    cdef size_t start = w.size
    expect(value, at.cls)
    store_u32(room(w, 4), RELO_TOKEN)
    put(w, field(value, at.overlay), 4, "ForwardingHeader")
    put(w, field(value, at.configuration_sequence), 2, "ForwardingHeader")
    if put(w, field(value, at.version), 1, "ForwardingHeader") != VERSION:
        refused(w, "ForwardingHeader", "the version is not 1.0")
    put(w, field(value, at.ttl), 1, "ForwardingHeader")
    if not put(w, field(value, at.fragment), 4, "ForwardingHeader") >> 31:
        refused(w, "ForwardingHeader", "the high bit of fragment is not set")
    room(w, 4)  # length
    put(w, field(value, at.transaction_id), 8, "ForwardingHeader")
    put(w, field(value, at.max_response_length), 4, "ForwardingHeader")
    room(w, 6)
    put_list(w, start + 32, field(value, at.via_list), write_destination)
    put_list(w, start + 34, field(value, at.destination_list), write_destination)
    put_list(w, start + 36, field(value, at.options), write_forwarding_option)
    return set_length(w, start)


cdef int set_length(Writer* w, size_t start) except -1:
    if <uint64_t>(w.size - start) >> 32:
        refused(w, "ForwardingHeader", "longer than a length of 32 bits can say")
    store_u32(w.data + start + 16, <uint32_t>(w.size - start))
    return 0


# --- message contents (6.3.3) -----------------------------------------------------------------------

cdef object read_message_extension(Reader* r, const Context* context):
    cdef uint16_t type = u16(r, "MessageExtension")
    at = &MESSAGE_EXTENSION
    made = blank(at.cls)
    if type == 0:
        broken(r, "MessageExtension", "type 0 is invalid", 2)
    fill(made, at.type, type)
    fill(made, at.critical, boolean(r, "MessageExtension"))
    fill(made, at.extension_contents, opaque(r, 4, "MessageExtension"))
    return made


cdef int write_message_extension(Writer* w, object value) except -1:
    at = &MESSAGE_EXTENSION
    expect(value, at.cls)
    if put(w, field(value, at.type), 2, "MessageExtension") == 0:
        refused(w, "MessageExtension", "type 0 is invalid")
    put_boolean(w, field(value, at.critical))
    return put_opaque(w, field(value, at.extension_contents), 4, "MessageExtension")


cdef object read_error_response(Reader* r, const Context* context):
    at = &ERROR_RESPONSE
    made = blank(at.cls)
    fill(made, at.error_code, u16(r, "ErrorResponse"))
    fill(made, at.error_info, opaque(r, 2, "ErrorResponse"))
    return made


cdef int write_error_response(Writer* w, object value) except -1:
    at = &ERROR_RESPONSE
    expect(value, at.cls)
    put(w, field(value, at.error_code), 2, "ErrorResponse")
    return put_opaque(w, field(value, at.error_info), 2, "ErrorResponse")


# --- security block (6.3.4) -------------------------------------------------------------------------

cdef object read_generic_certificate(Reader* r, const Context* context):
    at = &GENERIC_CERTIFICATE
    made = blank(at.cls)
    fill_u8(made, at.type, u8(r, "GenericCertificate"))
    fill(made, at.certificate, opaque(r, 2, "GenericCertificate"))
    return made


cdef int write_generic_certificate(Writer* w, object value) except -1:
    at = &GENERIC_CERTIFICATE
    expect(value, at.cls)
    put(w, field(value, at.type), 1, "GenericCertificate")
    return put_opaque(w, field(value, at.certificate), 2, "GenericCertificate")


cdef object read_signer_identity(Reader* r, const Context* context):
    cdef Reader inner
    cdef uint8_t identity_type = u8(r, "SignerIdentity")
    at = &SIGNER_IDENTITY
    made = blank(at.cls)
    if identity_type < CERT_HASH or identity_type > IDENTITY_NONE:
        broken(r, "SignerIdentity", "an unknown type", 1)
    bounded(r, u16(r, "SignerIdentity"), &inner, "SignerIdentity")
    fill_u8(made, at.identity_type, identity_type)
    if identity_type == IDENTITY_NONE:
        fill(made, at.hash_alg, 0)
        fill(made, at.certificate_hash, b"")
    else:
        fill_u8(made, at.hash_alg, u8(&inner, "SignerIdentity"))
        fill(made, at.certificate_hash, opaque(&inner, 1, "SignerIdentity"))
    ended(&inner, "SignerIdentity")
    return made


cdef int write_signer_identity(Writer* w, object value) except -1:
    cdef size_t start
    cdef uint64_t identity_type
    at = &SIGNER_IDENTITY
    expect(value, at.cls)
    identity_type = put(w, field(value, at.identity_type), 1, "SignerIdentity")
    start = begin(w, 2)
    if identity_type == CERT_HASH or identity_type == CERT_HASH_NODE_ID:
        put(w, field(value, at.hash_alg), 1, "SignerIdentity")
        put_opaque(w, field(value, at.certificate_hash), 1, "SignerIdentity")
    elif identity_type != IDENTITY_NONE:
        refused(w, "SignerIdentity", "an unknown type")
    elif field(value, at.hash_alg) or field(value, at.certificate_hash):
        refused(w, "SignerIdentity", "type none has no hash")
    return end(w, start, 2, "SignerIdentity")


cdef object read_signature(Reader* r, const Context* context):
    at = &SIGNATURE
    # TLS 1.2 puts the hash before the signature algorithm (RFC 5246 7.4.1.4.1).
    made = blank(at.cls)
    fill_u8(made, at.hash_algorithm, u8(r, "Signature"))
    fill_u8(made, at.signature_algorithm, u8(r, "Signature"))
    fill(made, at.identity, read_signer_identity(r, context))
    fill(made, at.signature_value, opaque(r, 2, "Signature"))
    return made


cdef int write_signature(Writer* w, object value) except -1:
    at = &SIGNATURE
    expect(value, at.cls)
    put(w, field(value, at.hash_algorithm), 1, "Signature")
    put(w, field(value, at.signature_algorithm), 1, "Signature")
    write_signer_identity(w, field(value, at.identity))
    return put_opaque(w, field(value, at.signature_value), 2, "Signature")


cdef object read_security_block(Reader* r, const Context* context):
    at = &SECURITY_BLOCK
    made = blank(at.cls)
    fill(made, at.certificates, items(r, 2, read_generic_certificate, context, "SecurityBlock"))
    fill(made, at.signature, read_signature(r, context))
    return made


cdef int write_security_block(Writer* w, object value) except -1:
    at = &SECURITY_BLOCK
    expect(value, at.cls)
    put_items(w, field(value, at.certificates), 2, write_generic_certificate, "SecurityBlock")
    return write_signature(w, field(value, at.signature))
