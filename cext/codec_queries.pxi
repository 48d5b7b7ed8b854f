# Part of codec.pyx: Stat and Find, and which Kinds a peer did not know (RFC 6940 7.4.3, 7.4.4, 7.4.1.2).

# --- Stat (7.4.3) -----------------------------------------------------------------------------------

cdef object read_stat_req(Reader* r, const Context* context):
    at = &STAT_REQ
    made = blank(at.cls)
    fill(made, at.resource, read_resource_id(r))
    fill(made, at.specifiers, items(r, 2, read_stored_data_specifier, context, "StatReq"))
    return made


cdef int write_stat_req(Writer* w, object value) except -1:
    at = &STAT_REQ
    expect(value, at.cls)
    write_resource_id(w, field(value, at.resource))
    return put_items(w, field(value, at.specifiers), 2, write_stored_data_specifier, "StatReq")


cdef object read_meta_data(Reader* r, const Context* context):
    at = &META_DATA
    made = blank(at.cls)
    fill(made, at.exists, boolean(r, "MetaData"))
    fill(made, at.value_length, u32(r, "MetaData"))
    fill_u8(made, at.hash_algorithm, u8(r, "MetaData"))
    fill(made, at.hash_value, opaque(r, 1, "MetaData"))
    return made


cdef int write_meta_data(Writer* w, object value) except -1:
    at = &META_DATA
    expect(value, at.cls)
    put_boolean(w, field(value, at.exists))
    put(w, field(value, at.value_length), 4, "MetaData")
    put(w, field(value, at.hash_algorithm), 1, "MetaData")
    return put_opaque(w, field(value, at.hash_value), 1, "MetaData")


cdef object read_array_entry_meta(Reader* r, const Context* context):
    at = &ARRAY_ENTRY_META
    made = blank(at.cls)
    fill(made, at.index, u32(r, "ArrayEntryMeta"))
    fill(made, at.value, read_meta_data(r, context))
    return made


cdef int write_array_entry_meta(Writer* w, object value) except -1:
    at = &ARRAY_ENTRY_META
    expect(value, at.cls)
    put(w, field(value, at.index), 4, "ArrayEntryMeta")
    return write_meta_data(w, field(value, at.value))


cdef object read_dictionary_entry_meta(Reader* r, const Context* context):
    at = &DICTIONARY_ENTRY_META
    made = blank(at.cls)
    fill(made, at.key, opaque(r, 2, "DictionaryEntryMeta"))
    fill(made, at.value, read_meta_data(r, context))
    return made


cdef int write_dictionary_entry_meta(Writer* w, object value) except -1:
    at = &DICTIONARY_ENTRY_META
    expect(value, at.cls)
    put_opaque(w, field(value, at.key), 2, "DictionaryEntryMeta")
    return write_meta_data(w, field(value, at.value))


cdef object read_stored_meta_data(Reader* r, const Context* context):
    # value_length is the size of the rest, as the length of StoredData is (7.4.3.2, notes 1.8).
    cdef Reader inner
    at = &STORED_META_DATA
    made = blank(at.cls)
    bounded(r, u32(r, "StoredMetaData"), &inner, "StoredMetaData")
    fill(made, at.storage_time, u64(&inner, "StoredMetaData"))
    fill(made, at.lifetime, u32(&inner, "StoredMetaData"))
    if context.model == DICTIONARY:
        fill(made, at.metadata, read_dictionary_entry_meta(&inner, context))
    elif context.model == SINGLE:
        fill(made, at.metadata, read_meta_data(&inner, context))
    elif context.model == ARRAY:
        fill(made, at.metadata, read_array_entry_meta(&inner, context))
    else:
        fill(made, at.metadata, fixed(&inner, inner.left, "StoredMetaData"))
    ended(&inner, "StoredMetaData")
    return made


cdef int write_stored_meta_data(Writer* w, object value) except -1:
    cdef size_t start = begin(w, 4)
    at = &STORED_META_DATA
    expect(value, at.cls)
    metadata = field(value, at.metadata)
    cls = type(metadata)
    put(w, field(value, at.storage_time), 8, "StoredMetaData")
    put(w, field(value, at.lifetime), 4, "StoredMetaData")
    if cls is DictionaryEntryMeta:
        write_dictionary_entry_meta(w, metadata)
    elif cls is MetaData:
        write_meta_data(w, metadata)
    elif cls is ArrayEntryMeta:
        write_array_entry_meta(w, metadata)
    else:
        put_fixed(w, metadata, "StoredMetaData")
    return end(w, start, 4, "StoredMetaData")


cdef object read_stat_kind_response(Reader* r, const Context* context):
    at = &STAT_KIND_RESPONSE
    made = blank(at.cls)
    kind = <object>u32(r, "StatKindResponse")
    fill(made, at.kind, kind)
    fill(made, at.generation, u64(r, "StatKindResponse"))
    fill(made, at.values, values_of(r, context, kind, read_stored_meta_data, "StatKindResponse"))
    return made


cdef int write_stat_kind_response(Writer* w, object value) except -1:
    at = &STAT_KIND_RESPONSE
    expect(value, at.cls)
    put(w, field(value, at.kind), 4, "StatKindResponse")
    put(w, field(value, at.generation), 8, "StatKindResponse")
    return put_items(w, field(value, at.values), 4, write_stored_meta_data, "StatKindResponse")


cdef object read_stat_ans(Reader* r, const Context* context):
    at = &STAT_ANS
    made = blank(at.cls)
    fill(made, at.kind_responses, items(r, 4, read_stat_kind_response, context, "StatAns"))
    return made


cdef int write_stat_ans(Writer* w, object value) except -1:
    at = &STAT_ANS
    expect(value, at.cls)
    return put_items(w, field(value, at.kind_responses), 4, write_stat_kind_response, "StatAns")


# --- Find (7.4.4) -----------------------------------------------------------------------------------

cdef object read_kind_id(Reader* r, const Context* context):
    return u32(r, "KindId")


cdef int write_kind_id(Writer* w, object value) except -1:
    put(w, value, 4, "KindId")
    return 0


cdef object read_find_req(Reader* r, const Context* context):
    at = &FIND_REQ
    made = blank(at.cls)
    fill(made, at.resource, read_resource_id(r))
    fill(made, at.kinds, items(r, 1, read_kind_id, context, "FindReq"))
    return made


cdef int write_find_req(Writer* w, object value) except -1:
    at = &FIND_REQ
    expect(value, at.cls)
    write_resource_id(w, field(value, at.resource))
    return put_items(w, field(value, at.kinds), 1, write_kind_id, "FindReq")


cdef object read_find_kind_data(Reader* r, const Context* context):
    at = &FIND_KIND_DATA
    made = blank(at.cls)
    fill(made, at.kind, u32(r, "FindKindData"))
    fill(made, at.closest, read_resource_id(r))
    return made


cdef int write_find_kind_data(Writer* w, object value) except -1:
    at = &FIND_KIND_DATA
    expect(value, at.cls)
    put(w, field(value, at.kind), 4, "FindKindData")
    return write_resource_id(w, field(value, at.closest))


cdef object read_find_ans(Reader* r, const Context* context):
    at = &FIND_ANS
    made = blank(at.cls)
    fill(made, at.results, items(r, 2, read_find_kind_data, context, "FindAns"))
    return made


cdef int write_find_ans(Writer* w, object value) except -1:
    at = &FIND_ANS
    expect(value, at.cls)
    return put_items(w, field(value, at.results), 2, write_find_kind_data, "FindAns")


# --- Error_Unknown_Kind (7.4.1.2) -------------------------------------------------------------------

cdef object read_unknown_kinds(Reader* r, const Context* context):
    at = &UNKNOWN_KINDS
    made = blank(at.cls)
    fill(made, at.kinds, items(r, 1, read_kind_id, context, "UnknownKinds"))
    return made


cdef int write_unknown_kinds(Writer* w, object value) except -1:
    at = &UNKNOWN_KINDS
    expect(value, at.cls)
    return put_items(w, field(value, at.kinds), 1, write_kind_id, "UnknownKinds")
