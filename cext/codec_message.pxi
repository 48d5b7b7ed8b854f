# Part of codec.pyx: what every message is made of (RFC 6940 6.3.1.1 to 6.3.4).

# --- common definitions (6.3.1.1) -------------------------------------------------------------------

cdef object read_node_id(Reader* r, const Context* context):
    return fixed(r, context.node_id_length, "NodeId")


cdef int write_node_id(_Writer w, object value) except -1:
    cdef size_t count = len(value)
    if not MIN_NODE_ID <= count <= MAX_NODE_ID:
        refused(w, "NodeId", "a Node-ID has 16 to 20 bytes")
    if w.node_id_length and count != w.node_id_length:
        refused(w, "NodeId", "Node-IDs of two lengths in one message")
    w.node_id_length = count
    return put_fixed(w, value, "NodeId")


cdef object read_resource_id(Reader* r):
    cdef size_t count = u8(r, "ResourceId")
    if count > MAX_RESOURCE_ID:
        broken(r, "ResourceId", "longer than 254 bytes")
    return fixed(r, count, "ResourceId")


cdef int write_resource_id(_Writer w, object value) except -1:
    if len(value) > MAX_RESOURCE_ID:
        refused(w, "ResourceId", "longer than 254 bytes")
    return put_opaque(w, value, 1, "ResourceId")


cdef object read_ip_address_port(Reader* r, const Context* context):
    cdef Reader inner
    cdef uint8_t type = u8(r, "IpAddressPort")
    bounded(r, u8(r, "IpAddressPort"), &inner, "IpAddressPort")
    if type == 0:
        broken(r, "IpAddressPort", "type 0 is invalid")
    if type > IPV6:  # "can still parse the IpAddressPort field and then discard it"
        return IpAddressPort(type, fixed(&inner, inner.left, "IpAddressPort"), 0)
    address = fixed(&inner, 4 if type == IPV4 else 16, "IpAddressPort")
    port = u16(&inner, "IpAddressPort")
    ended(&inner, "IpAddressPort")
    return IpAddressPort(type, address, port)


cdef int write_ip_address_port(_Writer w, object value) except -1:
    cdef size_t start
    type, address = value.type, value.address
    if not type:
        refused(w, "IpAddressPort", "type 0 is invalid")
    put(w, type, 1, "IpAddressPort")
    start = begin(w, 1)
    put_fixed(w, address, "IpAddressPort")
    if type <= IPV6:
        if len(address) != (4 if type == IPV4 else 16):
            refused(w, "IpAddressPort", "the address does not have the length of its type")
        put(w, value.port, 2, "IpAddressPort")
    elif value.port:
        refused(w, "IpAddressPort", "an unknown type has no port of its own")
    return end(w, start, 1, "IpAddressPort")


# --- forwarding header (6.3.2) ----------------------------------------------------------------------

cdef object read_destination(Reader* r, const Context* context):
    cdef Reader inner
    cdef uint8_t type
    if r.left and r.at[0] & COMPACT_BIT:  # the 16-bit form has neither type nor length (6.3.2.2)
        return Destination(OPAQUE_ID, fixed(r, 2, "Destination"), True)
    type = u8(r, "Destination")
    bounded(r, u8(r, "Destination"), &inner, "Destination")
    if type == 0:
        broken(r, "Destination", "type 0 is invalid")
    elif type == NODE:
        value = read_node_id(&inner, context)
    elif type == RESOURCE:
        value = read_resource_id(&inner)
    elif type == OPAQUE_ID:
        value = opaque(&inner, 1, "Destination")
    else:  # "allows an implementation which does not understand a given DestinationType to skip over it"
        value = fixed(&inner, inner.left, "Destination")
    ended(&inner, "Destination")
    return Destination(type, value, False)


cdef int write_destination(_Writer w, object value) except -1:
    cdef size_t start
    type, data = value.type, value.value
    if value.compact:
        if type != OPAQUE_ID or len(data) != 2 or not data[0] & COMPACT_BIT:
            refused(w, "Destination", "the 16-bit form is an opaque id of two bytes with the top bit set")
        return put_fixed(w, data, "Destination")
    if not 0 < type < COMPACT_BIT:
        refused(w, "Destination", "a type is 1 to 127")
    put(w, type, 1, "Destination")
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
    cdef uint8_t type = u8(r, "ForwardingOption")
    cdef uint8_t flags = u8(r, "ForwardingOption")
    if type == 0:
        broken(r, "ForwardingOption", "type 0 is invalid")
    return ForwardingOption(type, flags, opaque(r, 2, "ForwardingOption"))


cdef int write_forwarding_option(_Writer w, object value) except -1:
    if not value.type:
        refused(w, "ForwardingOption", "type 0 is invalid")
    put(w, value.type, 1, "ForwardingOption")
    put(w, value.flags, 1, "ForwardingOption")
    return put_opaque(w, value.option, 2, "ForwardingOption")


cdef inline bint is_whole(uint32_t fragment) noexcept:
    """The last fragment, and the first (6.7)."""
    return fragment & FRAGMENT_LAST != 0 and fragment & FRAGMENT_OFFSET == 0


cdef int read_sound_header(Reader* r, Header* h) except -1:
    """The header of the message or fragment that fills `r`; leaves `r` behind it."""
    cdef size_t whole = r.left
    if not read_header(r, h):
        broken(r, "ForwardingHeader", "cut short")
    if h.token != RELO_TOKEN:
        broken(r, "ForwardingHeader", "not a RELOAD message")
    if h.version != VERSION:
        broken(r, "ForwardingHeader", "the version is not 1.0")
    if not h.fragment & FRAGMENT_BIT:
        broken(r, "ForwardingHeader", "the high bit of fragment is not set")
    if h.length != whole:
        broken(r, "ForwardingHeader", "length is not the size of the message")
    return 0


cdef object read_forwarding_header(Reader* r, const Context* context):
    cdef Header h
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
    return ForwardingHeader(
        h.overlay, h.configuration_sequence, h.ttl, h.transaction_id, destination_list, via_list, options,
        h.max_response_length, h.fragment, VERSION,
    )


cdef int put_list(_Writer w, size_t length_at, object values, WriteFunction write) except -1:
    """A list of the header, and its length at its own place ahead of all three."""
    cdef size_t start = w.buffer.size
    for value in values:
        write(w, value)
    if (w.buffer.size - start) >> 16:
        refused(w, "ForwardingHeader", "a list longer than 65,535 bytes")
    store_u16(w.buffer.data + length_at, <uint16_t>(w.buffer.size - start))
    return 0


cdef int write_forwarding_header(_Writer w, object value) except -1:
    """The length field counts the header alone; `assemble` puts the length of the message there."""
    cdef size_t start = w.buffer.size
    if value.version != VERSION:
        refused(w, "ForwardingHeader", "the version is not 1.0")
    if not value.fragment >> 31:
        refused(w, "ForwardingHeader", "the high bit of fragment is not set")
    store_u32(room(w, 4), RELO_TOKEN)
    put(w, value.overlay, 4, "ForwardingHeader")
    put(w, value.configuration_sequence, 2, "ForwardingHeader")
    put(w, value.version, 1, "ForwardingHeader")
    put(w, value.ttl, 1, "ForwardingHeader")
    put(w, value.fragment, 4, "ForwardingHeader")
    room(w, 4)  # length
    put(w, value.transaction_id, 8, "ForwardingHeader")
    put(w, value.max_response_length, 4, "ForwardingHeader")
    room(w, 6)
    put_list(w, start + 32, value.via_list, write_destination)
    put_list(w, start + 34, value.destination_list, write_destination)
    put_list(w, start + 36, value.options, write_forwarding_option)
    return set_length(w, start)


cdef int set_length(_Writer w, size_t start) except -1:
    if (w.buffer.size - start) >> 32:
        refused(w, "ForwardingHeader", "longer than a length of 32 bits can say")
    store_u32(w.buffer.data + start + 16, <uint32_t>(w.buffer.size - start))
    return 0


# --- message contents (6.3.3) -----------------------------------------------------------------------

cdef object read_message_extension(Reader* r, const Context* context):
    cdef uint16_t type = u16(r, "MessageExtension")
    if type == 0:
        broken(r, "MessageExtension", "type 0 is invalid")
    critical = boolean(r, "MessageExtension")
    return MessageExtension(type, True if critical else False, opaque(r, 4, "MessageExtension"))


cdef int write_message_extension(_Writer w, object value) except -1:
    if not value.type:
        refused(w, "MessageExtension", "type 0 is invalid")
    put(w, value.type, 2, "MessageExtension")
    put_boolean(w, value.critical)
    return put_opaque(w, value.extension_contents, 4, "MessageExtension")


cdef object read_error_response(Reader* r, const Context* context):
    cdef uint16_t error_code = u16(r, "ErrorResponse")
    return ErrorResponse(error_code, opaque(r, 2, "ErrorResponse"))


cdef int write_error_response(_Writer w, object value) except -1:
    put(w, value.error_code, 2, "ErrorResponse")
    return put_opaque(w, value.error_info, 2, "ErrorResponse")


# --- security block (6.3.4) -------------------------------------------------------------------------

cdef object read_generic_certificate(Reader* r, const Context* context):
    cdef uint8_t type = u8(r, "GenericCertificate")
    return GenericCertificate(type, opaque(r, 2, "GenericCertificate"))


cdef int write_generic_certificate(_Writer w, object value) except -1:
    put(w, value.type, 1, "GenericCertificate")
    return put_opaque(w, value.certificate, 2, "GenericCertificate")


cdef object read_signer_identity(Reader* r, const Context* context):
    cdef Reader inner
    cdef uint8_t identity_type = u8(r, "SignerIdentity")
    cdef uint8_t hash_alg = 0
    hash_value = b""
    bounded(r, u16(r, "SignerIdentity"), &inner, "SignerIdentity")
    if identity_type == CERT_HASH or identity_type == CERT_HASH_NODE_ID:
        hash_alg = u8(&inner, "SignerIdentity")
        hash_value = opaque(&inner, 1, "SignerIdentity")
    elif identity_type != IDENTITY_NONE:
        broken(r, "SignerIdentity", "an unknown type")
    ended(&inner, "SignerIdentity")
    return SignerIdentity(identity_type, hash_alg, hash_value)


cdef int write_signer_identity(_Writer w, object value) except -1:
    cdef size_t start
    identity_type = value.identity_type
    put(w, identity_type, 1, "SignerIdentity")
    start = begin(w, 2)
    if identity_type == CERT_HASH or identity_type == CERT_HASH_NODE_ID:
        put(w, value.hash_alg, 1, "SignerIdentity")
        put_opaque(w, value.certificate_hash, 1, "SignerIdentity")
    elif identity_type != IDENTITY_NONE:
        refused(w, "SignerIdentity", "an unknown type")
    elif value.hash_alg or value.certificate_hash:
        refused(w, "SignerIdentity", "type none has no hash")
    return end(w, start, 2, "SignerIdentity")


cdef object read_signature(Reader* r, const Context* context):
    # TLS 1.2 puts the hash before the signature algorithm (RFC 5246 7.4.1.4.1).
    cdef uint8_t hash_algorithm = u8(r, "Signature")
    cdef uint8_t signature_algorithm = u8(r, "Signature")
    identity = read_signer_identity(r, context)
    return Signature(hash_algorithm, signature_algorithm, identity, opaque(r, 2, "Signature"))


cdef int write_signature(_Writer w, object value) except -1:
    put(w, value.hash_algorithm, 1, "Signature")
    put(w, value.signature_algorithm, 1, "Signature")
    write_signer_identity(w, value.identity)
    return put_opaque(w, value.signature_value, 2, "Signature")


cdef object read_security_block(Reader* r, const Context* context):
    certificates = items(r, 2, read_generic_certificate, context, "SecurityBlock")
    return SecurityBlock(certificates, read_signature(r, context))


cdef int write_security_block(_Writer w, object value) except -1:
    put_items(w, value.certificates, 2, write_generic_certificate, "SecurityBlock")
    return write_signature(w, value.signature)
