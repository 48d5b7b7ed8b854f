# Part of codec.pyx: Store and Fetch (RFC 6940 7 to 7.4.2).

# --- storage (7) ------------------------------------------------------------------------------------

cdef object read_data_value(Reader* r, const Context* context):
    exists = boolean(r, "DataValue")
    return DataValue(True if exists else False, opaque(r, 4, "DataValue"))


cdef int write_data_value(_Writer w, object value) except -1:
    put_boolean(w, value.exists)
    return put_opaque(w, value.value, 4, "DataValue")


cdef object read_array_entry(Reader* r, const Context* context):
    cdef uint32_t index = u32(r, "ArrayEntry")
    return ArrayEntry(index, read_data_value(r, context))


cdef int write_array_entry(_Writer w, object value) except -1:
    put(w, value.index, 4, "ArrayEntry")
    return write_data_value(w, value.value)


cdef object read_dictionary_entry(Reader* r, const Context* context):
    key = opaque(r, 2, "DictionaryEntry")
    return DictionaryEntry(key, read_data_value(r, context))


cdef int write_dictionary_entry(_Writer w, object value) except -1:
    put_opaque(w, value.key, 2, "DictionaryEntry")
    return write_data_value(w, value.value)


cdef int write_stored_data_value(_Writer w, object value) except -1:
    """The data model is not on the wire (7.2)."""
    cls = type(value)
    if cls is DictionaryEntry:
        return write_dictionary_entry(w, value)
    if cls is DataValue:
        return write_data_value(w, value)
    if cls is ArrayEntry:
        return write_array_entry(w, value)
    raise TypeError(f"StoredDataValue: {cls.__name__} is none of the three data models")


cdef int model_of(const Context* context, uint32_t kind) except -1:
    """The DataModel of a Kind, or UNKNOWN_KIND."""
    cdef PyObject* found
    kinds = <object>context.kinds
    if PyDict_CheckExact(kinds):
        found = PyDict_GetItemWithError(kinds, kind)
        return UNKNOWN_KIND if found is NULL else <object>found
    model = None if kinds is None else kinds.get(kind)
    return UNKNOWN_KIND if model is None else model


cdef object read_stored_data(Reader* r, const Context* context):
    cdef Reader inner
    cdef uint64_t storage_time
    cdef uint32_t lifetime
    bounded(r, u32(r, "StoredData"), &inner, "StoredData")
    storage_time = u64(&inner, "StoredData")
    lifetime = u32(&inner, "StoredData")
    if context.model == DICTIONARY:
        value = read_dictionary_entry(&inner, context)
    elif context.model == SINGLE:
        value = read_data_value(&inner, context)
    elif context.model == ARRAY:
        value = read_array_entry(&inner, context)
    else:  # where the value ends and the signature starts is known to those who know the Kind
        return StoredData(storage_time, lifetime, fixed(&inner, inner.left, "StoredData"), UNSIGNED)
    signature = read_signature(&inner, context)
    ended(&inner, "StoredData")
    return StoredData(storage_time, lifetime, value, signature)


cdef int write_stored_data(_Writer w, object value) except -1:
    cdef size_t start = begin(w, 4)
    data, signature = value.value, value.signature
    put(w, value.storage_time, 8, "StoredData")
    put(w, value.lifetime, 4, "StoredData")
    if isinstance(data, bytes):
        if signature != UNSIGNED:
            refused(w, "StoredData", "the value of an unknown Kind holds its own signature")
        put_fixed(w, data, "StoredData")
    else:
        write_stored_data_value(w, data)
        write_signature(w, signature)
    return end(w, start, 4, "StoredData")


cdef tuple stored_values(Reader* r, const Context* context, uint32_t kind, str structure):
    """StoredData<0..2^32-1>; the data model of its values follows from the Kind alone (7.2)."""
    cdef Context of_kind = context[0]
    of_kind.model = model_of(context, kind)
    return items(r, 4, read_stored_data, &of_kind, structure)


cdef object read_store_kind_data(Reader* r, const Context* context):
    cdef uint32_t kind = u32(r, "StoreKindData")
    cdef uint64_t generation_counter = u64(r, "StoreKindData")
    return StoreKindData(kind, generation_counter, stored_values(r, context, kind, "StoreKindData"))


cdef int write_store_kind_data(_Writer w, object value) except -1:
    put(w, value.kind, 4, "StoreKindData")
    put(w, value.generation_counter, 8, "StoreKindData")
    return put_items(w, value.values, 4, write_stored_data, "StoreKindData")


cdef object read_store_req(Reader* r, const Context* context):
    cdef uint8_t replica_number
    resource = read_resource_id(r)
    replica_number = u8(r, "StoreReq")
    return StoreReq(resource, replica_number, items(r, 4, read_store_kind_data, context, "StoreReq"))


cdef int write_store_req(_Writer w, object value) except -1:
    write_resource_id(w, value.resource)
    put(w, value.replica_number, 1, "StoreReq")
    return put_items(w, value.kind_data, 4, write_store_kind_data, "StoreReq")


cdef object read_store_kind_response(Reader* r, const Context* context):
    cdef uint32_t kind = u32(r, "StoreKindResponse")
    cdef uint64_t generation_counter = u64(r, "StoreKindResponse")
    return StoreKindResponse(kind, generation_counter, items(r, 2, read_node_id, context, "StoreKindResponse"))


cdef int write_store_kind_response(_Writer w, object value) except -1:
    put(w, value.kind, 4, "StoreKindResponse")
    put(w, value.generation_counter, 8, "StoreKindResponse")
    return put_items(w, value.replicas, 2, write_node_id, "StoreKindResponse")


cdef object read_store_ans(Reader* r, const Context* context):
    return StoreAns(items(r, 2, read_store_kind_response, context, "StoreAns"))


cdef int write_store_ans(_Writer w, object value) except -1:
    return put_items(w, value.kind_responses, 2, write_store_kind_response, "StoreAns")


cdef object read_array_range(Reader* r, const Context* context):
    # Declared int32, yet 0xffffffff is the last element: unsigned, as the index of an ArrayEntry (7.4.2.1).
    cdef uint32_t first = u32(r, "ArrayRange")
    return ArrayRange(first, u32(r, "ArrayRange"))


cdef int write_array_range(_Writer w, object value) except -1:
    put(w, value.first, 4, "ArrayRange")
    return put(w, value.last, 4, "ArrayRange")


cdef object read_dictionary_key(Reader* r, const Context* context):
    return opaque(r, 2, "DictionaryKey")


cdef int write_dictionary_key(_Writer w, object value) except -1:
    return put_opaque(w, value, 2, "DictionaryKey")


cdef object read_stored_data_specifier(Reader* r, const Context* context):
    cdef Reader inner
    cdef uint32_t kind = u32(r, "StoredDataSpecifier")
    cdef uint64_t generation = u64(r, "StoredDataSpecifier")
    cdef int model = model_of(context, kind)
    bounded(r, u16(r, "StoredDataSpecifier"), &inner, "StoredDataSpecifier")
    if model == DICTIONARY:
        specifier = items(&inner, 2, read_dictionary_key, context, "StoredDataSpecifier")
    elif model == ARRAY:
        specifier = items(&inner, 2, read_array_range, context, "StoredDataSpecifier")
    elif model == SINGLE:
        specifier = None
    else:
        specifier = fixed(&inner, inner.left, "StoredDataSpecifier")
    ended(&inner, "StoredDataSpecifier")
    return StoredDataSpecifier(kind, generation, specifier)


cdef int write_specifier_item(_Writer w, object value) except -1:
    if isinstance(value, bytes):
        return write_dictionary_key(w, value)
    return write_array_range(w, value)


cdef int write_stored_data_specifier(_Writer w, object value) except -1:
    cdef size_t start
    specifier = value.model_specifier
    put(w, value.kind, 4, "StoredDataSpecifier")
    put(w, value.generation, 8, "StoredDataSpecifier")
    start = begin(w, 2)
    if isinstance(specifier, bytes):
        put_fixed(w, specifier, "StoredDataSpecifier")
    elif specifier is not None:
        put_items(w, specifier, 2, write_specifier_item, "StoredDataSpecifier")
    return end(w, start, 2, "StoredDataSpecifier")


cdef object read_fetch_req(Reader* r, const Context* context):
    resource = read_resource_id(r)
    return FetchReq(resource, items(r, 2, read_stored_data_specifier, context, "FetchReq"))


cdef int write_fetch_req(_Writer w, object value) except -1:
    write_resource_id(w, value.resource)
    return put_items(w, value.specifiers, 2, write_stored_data_specifier, "FetchReq")


cdef object read_fetch_kind_response(Reader* r, const Context* context):
    cdef uint32_t kind = u32(r, "FetchKindResponse")
    cdef uint64_t generation = u64(r, "FetchKindResponse")
    return FetchKindResponse(kind, generation, stored_values(r, context, kind, "FetchKindResponse"))


cdef int write_fetch_kind_response(_Writer w, object value) except -1:
    put(w, value.kind, 4, "FetchKindResponse")
    put(w, value.generation, 8, "FetchKindResponse")
    return put_items(w, value.values, 4, write_stored_data, "FetchKindResponse")


cdef object read_fetch_ans(Reader* r, const Context* context):
    return FetchAns(items(r, 4, read_fetch_kind_response, context, "FetchAns"))


cdef int write_fetch_ans(_Writer w, object value) except -1:
    return put_items(w, value.kind_responses, 4, write_fetch_kind_response, "FetchAns")
