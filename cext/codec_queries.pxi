# Part of codec.pyx: Stat and Find, and which Kinds a peer did not know (RFC 6940 7.4.3, 7.4.4, 7.4.1.2).

# --- Stat (7.4.3) -----------------------------------------------------------------------------------

cdef object read_stat_req(Reader* r, const Context* context):
    resource = read_resource_id(r)
    return StatReq(resource, items(r, 2, read_stored_data_specifier, context, "StatReq"))


cdef int write_stat_req(_Writer w, object value) except -1:
    write_resource_id(w, value.resource)
    return put_items(w, value.specifiers, 2, write_stored_data_specifier, "StatReq")


cdef object read_meta_data(Reader* r, const Context* context):
    exists = boolean(r, "MetaData")
    cdef uint32_t value_length = u32(r, "MetaData")
    cdef uint8_t hash_algorithm = u8(r, "MetaData")
    return MetaData(True if exists else False, value_length, hash_algorithm, opaque(r, 1, "MetaData"))


cdef int write_meta_data(_Writer w, object value) except -1:
    put_boolean(w, value.exists)
    put(w, value.value_length, 4, "MetaData")
    put(w, value.hash_algorithm, 1, "MetaData")
    return put_opaque(w, value.hash_value, 1, "MetaData")


cdef object read_array_entry_meta(Reader* r, const Context* context):
    cdef uint32_t index = u32(r, "ArrayEntryMeta")
    return ArrayEntryMeta(index, read_meta_data(r, context))


cdef int write_array_entry_meta(_Writer w, object value) except -1:
    put(w, value.index, 4, "ArrayEntryMeta")
    return write_meta_data(w, value.value)


cdef object read_dictionary_entry_meta(Reader* r, const Context* context):
    key = opaque(r, 2, "DictionaryEntryMeta")
    return DictionaryEntryMeta(key, read_meta_data(r, context))


cdef int write_dictionary_entry_meta(_Writer w, object value) except -1:
    put_opaque(w, value.key, 2, "DictionaryEntryMeta")
    return write_meta_data(w, value.value)


cdef object read_stored_meta_data_of(Reader* r, const Context* context, int model):
    # value_length is the size of the rest, as the length of StoredData is (7.4.3.2, notes 1.8).
    cdef Reader inner
    cdef uint64_t storage_time
    cdef uint32_t lifetime
    bounded(r, u32(r, "StoredMetaData"), &inner, "StoredMetaData")
    storage_time = u64(&inner, "StoredMetaData")
    lifetime = u32(&inner, "StoredMetaData")
    if model == DICTIONARY:
        metadata = read_dictionary_entry_meta(&inner, context)
    elif model == SINGLE:
        metadata = read_meta_data(&inner, context)
    elif model == ARRAY:
        metadata = read_array_entry_meta(&inner, context)
    else:
        metadata = fixed(&inner, inner.left, "StoredMetaData")
    ended(&inner, "StoredMetaData")
    return StoredMetaData(storage_time, lifetime, metadata)


cdef int write_stored_meta_data(_Writer w, object value) except -1:
    cdef size_t start = begin(w, 4)
    metadata = value.metadata
    cls = type(metadata)
    put(w, value.storage_time, 8, "StoredMetaData")
    put(w, value.lifetime, 4, "StoredMetaData")
    if cls is DictionaryEntryMeta:
        write_dictionary_entry_meta(w, metadata)
    elif cls is MetaData:
        write_meta_data(w, metadata)
    elif cls is ArrayEntryMeta:
        write_array_entry_meta(w, metadata)
    else:
        put_fixed(w, metadata, "StoredMetaData")
    return end(w, start, 4, "StoredMetaData")


cdef object read_stored_meta_data(Reader* r, const Context* context):
    return read_stored_meta_data_of(r, context, context.model)


cdef object read_stat_kind_response(Reader* r, const Context* context):
    cdef Context of_kind = context[0]
    cdef uint32_t kind = u32(r, "StatKindResponse")
    cdef uint64_t generation = u64(r, "StatKindResponse")
    of_kind.model = model_of(context, kind)
    return StatKindResponse(kind, generation, items(r, 4, read_stored_meta_data, &of_kind, "StatKindResponse"))


cdef int write_stat_kind_response(_Writer w, object value) except -1:
    put(w, value.kind, 4, "StatKindResponse")
    put(w, value.generation, 8, "StatKindResponse")
    return put_items(w, value.values, 4, write_stored_meta_data, "StatKindResponse")


cdef object read_stat_ans(Reader* r, const Context* context):
    return StatAns(items(r, 4, read_stat_kind_response, context, "StatAns"))


cdef int write_stat_ans(_Writer w, object value) except -1:
    return put_items(w, value.kind_responses, 4, write_stat_kind_response, "StatAns")


# --- Find (7.4.4) -----------------------------------------------------------------------------------

cdef object read_kind_id(Reader* r, const Context* context):
    return u32(r, "KindId")


cdef int write_kind_id(_Writer w, object value) except -1:
    return put(w, value, 4, "KindId")


cdef object read_find_req(Reader* r, const Context* context):
    resource = read_resource_id(r)
    return FindReq(resource, items(r, 1, read_kind_id, context, "FindReq"))


cdef int write_find_req(_Writer w, object value) except -1:
    write_resource_id(w, value.resource)
    return put_items(w, value.kinds, 1, write_kind_id, "FindReq")


cdef object read_find_kind_data(Reader* r, const Context* context):
    cdef uint32_t kind = u32(r, "FindKindData")
    return FindKindData(kind, read_resource_id(r))


cdef int write_find_kind_data(_Writer w, object value) except -1:
    put(w, value.kind, 4, "FindKindData")
    return write_resource_id(w, value.closest)


cdef object read_find_ans(Reader* r, const Context* context):
    return FindAns(items(r, 2, read_find_kind_data, context, "FindAns"))


cdef int write_find_ans(_Writer w, object value) except -1:
    return put_items(w, value.results, 2, write_find_kind_data, "FindAns")


# --- Error_Unknown_Kind (7.4.1.2) -------------------------------------------------------------------

cdef object read_unknown_kinds(Reader* r, const Context* context):
    return UnknownKinds(items(r, 1, read_kind_id, context, "UnknownKinds"))


cdef int write_unknown_kinds(_Writer w, object value) except -1:
    return put_items(w, value.kinds, 1, write_kind_id, "UnknownKinds")
