# Part of codec.pyx: Store and Fetch (RFC 6940 7 to 7.4.2).

# --- storage (7) ------------------------------------------------------------------------------------

cdef object read_data_value(Reader* r, const Context* context):
    at = &DATA_VALUE
    made = blank(at.cls)
    fill(made, at.exists, boolean(r, "DataValue"))
    fill(made, at.value, opaque(r, 4, "DataValue"))
    return made


cdef int write_data_value(Writer* w, object value) except -1:
    at = &DATA_VALUE
    expect(value, at.cls)
    put_boolean(w, field(value, at.exists))
    return put_opaque(w, field(value, at.value), 4, "DataValue")


cdef object read_array_entry(Reader* r, const Context* context):
    at = &ARRAY_ENTRY
    made = blank(at.cls)
    fill(made, at.index, u32(r, "ArrayEntry"))
    fill(made, at.value, read_data_value(r, context))
    return made


cdef int write_array_entry(Writer* w, object value) except -1:
    at = &ARRAY_ENTRY
    expect(value, at.cls)
    put(w, field(value, at.index), 4, "ArrayEntry")
    return write_data_value(w, field(value, at.value))


cdef object read_dictionary_entry(Reader* r, const Context* context):
    at = &DICTIONARY_ENTRY
    made = blank(at.cls)
    fill(made, at.key, opaque(r, 2, "DictionaryEntry"))
    fill(made, at.value, read_data_value(r, context))
    return made


cdef int write_dictionary_entry(Writer* w, object value) except -1:
    at = &DICTIONARY_ENTRY
    expect(value, at.cls)
    put_opaque(w, field(value, at.key), 2, "DictionaryEntry")
    return write_data_value(w, field(value, at.value))


cdef int write_stored_data_value(Writer* w, object value) except -1:
    """The data model is not on the wire (7.2)."""
    cls = type(value)
    if cls is DictionaryEntry:
        return write_dictionary_entry(w, value)
    if cls is DataValue:
        return write_data_value(w, value)
    if cls is ArrayEntry:
        return write_array_entry(w, value)
    raise TypeError(f"StoredDataValue: {cls.__name__} is none of the three data models")


cdef int model_of(const Context* context, object kind) except -1:
    """The DataModel of a Kind, or UNKNOWN_KIND."""
    cdef PyObject* found
    cdef int n
    kinds = <object>context.kinds
    if kinds is None:
        return UNKNOWN_KIND
    if PyDict_CheckExact(kinds):
        found = PyDict_GetItemWithError(kinds, kind)
        if found is NULL:
            return UNKNOWN_KIND
        model = <object>found
    else:
        model = kinds.get(kind, UNKNOWN_KIND)
    n = PyLong_AsLong(model) if isinstance(model, int) else -1
    if n < UNKNOWN_KIND or n > DICTIONARY:
        raise ConfigError(f"kinds maps a Kind-ID to a DataModel, not to {model!r}")
    return n


cdef object read_stored_data(Reader* r, const Context* context):
    cdef Reader inner
    at = &STORED_DATA
    made = blank(at.cls)
    bounded(r, u32(r, "StoredData"), &inner, "StoredData")
    fill(made, at.storage_time, u64(&inner, "StoredData"))
    fill(made, at.lifetime, u32(&inner, "StoredData"))
    if context.model == DICTIONARY:
        fill(made, at.value, read_dictionary_entry(&inner, context))
    elif context.model == SINGLE:
        fill(made, at.value, read_data_value(&inner, context))
    elif context.model == ARRAY:
        fill(made, at.value, read_array_entry(&inner, context))
    else:  # where the value ends and the signature starts is known to those who know the Kind
        fill(made, at.value, fixed(&inner, inner.left, "StoredData"))
        fill(made, at.signature, UNSIGNED)
        return made
    fill(made, at.signature, read_signature(&inner, context))
    ended(&inner, "StoredData")
    return made


cdef int write_stored_data(Writer* w, object value) except -1:
    cdef size_t start = begin(w, 4)
    at = &STORED_DATA
    expect(value, at.cls)
    data, signature = field(value, at.value), field(value, at.signature)
    put(w, field(value, at.storage_time), 8, "StoredData")
    put(w, field(value, at.lifetime), 4, "StoredData")
    if isinstance(data, bytes):
        if signature is not UNSIGNED and signature != UNSIGNED:
            refused(w, "StoredData", "the value of an unknown Kind holds its own signature")
        put_fixed(w, data, "StoredData")
    else:
        write_stored_data_value(w, data)
        write_signature(w, signature)
    return end(w, start, 4, "StoredData")


cdef tuple values_of(Reader* r, const Context* context, object kind, ReadFunction read, str structure):
    """StoredData or StoredMetaData<0..2^32-1>, whose data model follows from the Kind alone (7.2)."""
    cdef Context of_kind = context[0]
    of_kind.model = model_of(context, kind)
    return items(r, 4, read, &of_kind, structure)


cdef object read_store_kind_data(Reader* r, const Context* context):
    at = &STORE_KIND_DATA
    made = blank(at.cls)
    kind = <object>u32(r, "StoreKindData")
    fill(made, at.kind, kind)
    fill(made, at.generation_counter, u64(r, "StoreKindData"))
    fill(made, at.values, values_of(r, context, kind, read_stored_data, "StoreKindData"))
    return made


cdef int write_store_kind_data(Writer* w, object value) except -1:
    at = &STORE_KIND_DATA
    expect(value, at.cls)
    put(w, field(value, at.kind), 4, "StoreKindData")
    put(w, field(value, at.generation_counter), 8, "StoreKindData")
    return put_items(w, field(value, at.values), 4, write_stored_data, "StoreKindData")


cdef object read_store_req(Reader* r, const Context* context):
    at = &STORE_REQ
    made = blank(at.cls)
    fill(made, at.resource, read_resource_id(r))
    fill_u8(made, at.replica_number, u8(r, "StoreReq"))
    fill(made, at.kind_data, items(r, 4, read_store_kind_data, context, "StoreReq"))
    return made


cdef int write_store_req(Writer* w, object value) except -1:
    at = &STORE_REQ
    expect(value, at.cls)
    write_resource_id(w, field(value, at.resource))
    put(w, field(value, at.replica_number), 1, "StoreReq")
    return put_items(w, field(value, at.kind_data), 4, write_store_kind_data, "StoreReq")


cdef object read_store_kind_response(Reader* r, const Context* context):
    at = &STORE_KIND_RESPONSE
    made = blank(at.cls)
    fill(made, at.kind, u32(r, "StoreKindResponse"))
    fill(made, at.generation_counter, u64(r, "StoreKindResponse"))
    fill(made, at.replicas, items(r, 2, read_node_id, context, "StoreKindResponse"))
    return made


cdef int write_store_kind_response(Writer* w, object value) except -1:
    at = &STORE_KIND_RESPONSE
    expect(value, at.cls)
    put(w, field(value, at.kind), 4, "StoreKindResponse")
    put(w, field(value, at.generation_counter), 8, "StoreKindResponse")
    return put_items(w, field(value, at.replicas), 2, write_node_id, "StoreKindResponse")


cdef object read_store_ans(Reader* r, const Context* context):
    at = &STORE_ANS
    made = blank(at.cls)
    fill(made, at.kind_responses, items(r, 2, read_store_kind_response, context, "StoreAns"))
    return made


cdef int write_store_ans(Writer* w, object value) except -1:
    at = &STORE_ANS
    expect(value, at.cls)
    return put_items(w, field(value, at.kind_responses), 2, write_store_kind_response, "StoreAns")


cdef object read_array_range(Reader* r, const Context* context):
    # Declared int32, yet 0xffffffff is the last element: unsigned, as the index of an ArrayEntry (7.4.2.1).
    at = &ARRAY_RANGE
    made = blank(at.cls)
    fill(made, at.first, u32(r, "ArrayRange"))
    fill(made, at.last, u32(r, "ArrayRange"))
    return made


cdef int write_array_range(Writer* w, object value) except -1:
    at = &ARRAY_RANGE
    expect(value, at.cls)
    put(w, field(value, at.first), 4, "ArrayRange")
    put(w, field(value, at.last), 4, "ArrayRange")
    return 0


cdef object read_dictionary_key(Reader* r, const Context* context):
    return opaque(r, 2, "DictionaryKey")


cdef int write_dictionary_key(Writer* w, object value) except -1:
    return put_opaque(w, value, 2, "DictionaryKey")


cdef object read_stored_data_specifier(Reader* r, const Context* context):
    cdef Reader inner
    cdef int model
    at = &STORED_DATA_SPECIFIER
    made = blank(at.cls)
    kind = <object>u32(r, "StoredDataSpecifier")
    model = model_of(context, kind)
    fill(made, at.kind, kind)
    fill(made, at.generation, u64(r, "StoredDataSpecifier"))
    bounded(r, u16(r, "StoredDataSpecifier"), &inner, "StoredDataSpecifier")
    if model == DICTIONARY:
        fill(made, at.model_specifier, items(&inner, 2, read_dictionary_key, context, "StoredDataSpecifier"))
    elif model == ARRAY:
        fill(made, at.model_specifier, items(&inner, 2, read_array_range, context, "StoredDataSpecifier"))
    elif model == SINGLE:
        fill(made, at.model_specifier, None)
    else:
        fill(made, at.model_specifier, fixed(&inner, inner.left, "StoredDataSpecifier"))
    ended(&inner, "StoredDataSpecifier")
    return made


cdef int write_stored_data_specifier(Writer* w, object value) except -1:
    cdef size_t start
    cdef WriteFunction write
    at = &STORED_DATA_SPECIFIER
    expect(value, at.cls)
    specifier = field(value, at.model_specifier)
    put(w, field(value, at.kind), 4, "StoredDataSpecifier")
    put(w, field(value, at.generation), 8, "StoredDataSpecifier")
    start = begin(w, 2)
    if isinstance(specifier, bytes):
        put_fixed(w, specifier, "StoredDataSpecifier")
    elif specifier is not None:
        write = write_dictionary_key if specifier and isinstance(specifier[0], bytes) else write_array_range
        put_items(w, specifier, 2, write, "StoredDataSpecifier")
    return end(w, start, 2, "StoredDataSpecifier")


cdef object read_fetch_req(Reader* r, const Context* context):
    at = &FETCH_REQ
    made = blank(at.cls)
    fill(made, at.resource, read_resource_id(r))
    fill(made, at.specifiers, items(r, 2, read_stored_data_specifier, context, "FetchReq"))
    return made


cdef int write_fetch_req(Writer* w, object value) except -1:
    at = &FETCH_REQ
    expect(value, at.cls)
    write_resource_id(w, field(value, at.resource))
    return put_items(w, field(value, at.specifiers), 2, write_stored_data_specifier, "FetchReq")


cdef object read_fetch_kind_response(Reader* r, const Context* context):
    at = &FETCH_KIND_RESPONSE
    made = blank(at.cls)
    kind = <object>u32(r, "FetchKindResponse")
    fill(made, at.kind, kind)
    fill(made, at.generation, u64(r, "FetchKindResponse"))
    fill(made, at.values, values_of(r, context, kind, read_stored_data, "FetchKindResponse"))
    return made


cdef int write_fetch_kind_response(Writer* w, object value) except -1:
    at = &FETCH_KIND_RESPONSE
    expect(value, at.cls)
    put(w, field(value, at.kind), 4, "FetchKindResponse")
    put(w, field(value, at.generation), 8, "FetchKindResponse")
    return put_items(w, field(value, at.values), 4, write_stored_data, "FetchKindResponse")


cdef object read_fetch_ans(Reader* r, const Context* context):
    at = &FETCH_ANS
    made = blank(at.cls)
    fill(made, at.kind_responses, items(r, 4, read_fetch_kind_response, context, "FetchAns"))
    return made


cdef int write_fetch_ans(Writer* w, object value) except -1:
    at = &FETCH_ANS
    expect(value, at.cls)
    return put_items(w, field(value, at.kind_responses), 4, write_fetch_kind_response, "FetchAns")
