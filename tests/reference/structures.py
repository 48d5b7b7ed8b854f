"""Random structures for property tests: what an implementation of RFC 6940 may send, unknown types included."""

from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

from xor_fast import messages as m
from xor_fast.messages import DataModel

KINDS = {1: DataModel.SINGLE, 2: DataModel.ARRAY, 3: DataModel.DICTIONARY}
UNKNOWN_KINDS = st.one_of(st.integers(4, 0xFFFFFFFF), st.just(0))

u8, u16, u32, u64 = (st.integers(0, 256**width - 1) for width in (1, 2, 4, 8))
code_point = st.integers(1, 255)
short = st.binary(max_size=20)
resource_id = st.one_of(st.binary(min_size=16, max_size=16), st.binary(max_size=254))


def few(items: SearchStrategy[object]) -> SearchStrategy[tuple[object, ...]]:
    return st.lists(items, max_size=3).map(tuple)


def strategies(node_id_length: int) -> dict[type[m.Body], SearchStrategy[m.Body]]:
    """One strategy for every structure, in an overlay with this node-id-length and with KINDS."""
    build = st.builds
    node_id = st.binary(min_size=node_id_length, max_size=node_id_length)
    compact = build(lambda high, low: bytes([0x80 | high, low]), st.integers(0, 127), u8)
    destination = st.one_of(
        build(m.Destination, st.just(1), node_id),
        build(m.Destination, st.just(2), resource_id),
        build(m.Destination, st.just(3), short),
        build(m.Destination, st.just(3), compact, st.just(True)),
        build(m.Destination, st.integers(4, 127), short),
    )
    option = build(m.ForwardingOption, code_point, u8, short)
    fixed = (u32, u16, u8, u64, few(destination), few(destination), few(option), u32)
    header = build(m.ForwardingHeader, *fixed, st.integers(1 << 31, (1 << 32) - 1))
    header_of_whole = build(
        m.ForwardingHeader, *fixed, st.integers(0, 63).map(lambda reserved: 0xC0000000 | reserved << 24)
    )
    extension = build(m.MessageExtension, st.integers(1, 0xFFFF), st.booleans(), short)
    identity = st.one_of(
        build(m.SignerIdentity, st.sampled_from((1, 2)), u8, st.binary(max_size=64)), st.just(m.SignerIdentity(3))
    )
    signature = build(m.Signature, u8, u8, identity, short)
    certificate = build(m.GenericCertificate, u8, short)
    security = build(m.SecurityBlock, few(certificate), signature)

    address = st.one_of(
        build(m.IpAddressPort, st.just(1), st.binary(min_size=4, max_size=4), u16),
        build(m.IpAddressPort, st.just(2), st.binary(min_size=16, max_size=16), u16),
        build(m.IpAddressPort, st.integers(3, 255), short, st.just(0)),
    )
    ice_extension = build(m.IceExtension, short, short)
    candidate = st.one_of(
        build(m.IceCandidate, address, code_point, short, u32, st.just(1), st.none(), few(ice_extension)),
        build(m.IceCandidate, address, code_point, short, u32, st.sampled_from((2, 4)), address, few(ice_extension)),
    )
    node_ids = few(node_id)

    data_value = build(m.DataValue, st.booleans(), short)
    array_entry = build(m.ArrayEntry, u32, data_value)
    dictionary_entry = build(m.DictionaryEntry, short, data_value)
    opaque_data = build(m.StoredData, u64, u32, short)
    of_kind = [
        (st.just(1), few(build(m.StoredData, u64, u32, data_value, signature)), st.none()),
        (st.just(2), few(build(m.StoredData, u64, u32, array_entry, signature)), few(build(m.ArrayRange, u32, u32))),
        (st.just(3), few(build(m.StoredData, u64, u32, dictionary_entry, signature)), few(short)),
        (UNKNOWN_KINDS, few(opaque_data), short),
    ]
    store_kind_data = st.one_of(*(build(m.StoreKindData, kind, u64, values) for kind, values, _ in of_kind))
    fetch_kind = st.one_of(*(build(m.FetchKindResponse, kind, u64, values) for kind, values, _ in of_kind))
    specifier = st.one_of(*(build(m.StoredDataSpecifier, kind, u64, choice) for kind, _, choice in of_kind))
    store_response = build(m.StoreKindResponse, u32, u64, node_ids)
    location = st.one_of(
        build(m.XmppLocation, st.just(1), short),
        build(m.XmppLocation, st.just(2), st.just(b""), u8, few(destination)),
        build(m.XmppLocation, st.integers(3, 255), short),
    )
    update = st.one_of(
        build(m.UpdateReq, u32, st.just(1)),
        build(m.UpdateReq, u32, st.just(2), node_ids, node_ids),
        build(m.UpdateReq, u32, st.just(3), node_ids, node_ids, node_ids),
    )
    probe_information = st.one_of(
        build(m.ProbeInformation, st.sampled_from((1, 2, 3)), u32),
        build(m.ProbeInformation, st.integers(4, 255), short),
    )
    config_update = st.one_of(
        build(m.ConfigUpdateReq, st.just(1), short),
        build(m.ConfigUpdateReq, st.just(2), st.just(b""), few(short)),
        build(m.ConfigUpdateReq, st.integers(3, 255), short),
    )
    meta_data = build(m.MetaData, st.booleans(), u32, u8, st.binary(max_size=64))
    array_meta = build(m.ArrayEntryMeta, u32, meta_data)
    dictionary_meta = build(m.DictionaryEntryMeta, short, meta_data)
    opaque_meta = build(m.StoredMetaData, u64, u32, short)
    meta_of_kind = [
        (st.just(1), build(m.StoredMetaData, u64, u32, meta_data)),
        (st.just(2), build(m.StoredMetaData, u64, u32, array_meta)),
        (st.just(3), build(m.StoredMetaData, u64, u32, dictionary_meta)),
        (UNKNOWN_KINDS, opaque_meta),
    ]
    stat_kind = st.one_of(*(build(m.StatKindResponse, kind, u64, few(stored)) for kind, stored in meta_of_kind))
    find_kind = build(m.FindKindData, u32, resource_id)
    found: dict[type[m.Body], SearchStrategy[m.Body]] = {
        m.Destination: destination,
        m.ForwardingOption: option,
        m.ForwardingHeader: header,
        m.MessageExtension: extension,
        m.ErrorResponse: build(m.ErrorResponse, u16, short),
        m.UnknownKinds: build(m.UnknownKinds, few(u32)),
        m.GenericCertificate: certificate,
        m.SignerIdentity: identity,
        m.Signature: signature,
        m.SecurityBlock: security,
        m.JoinReq: build(m.JoinReq, node_id, short),
        m.JoinAns: build(m.JoinAns, short),
        m.LeaveReq: build(m.LeaveReq, node_id, short),
        m.LeaveAns: st.just(m.LeaveAns()),
        m.UpdateReq: update,
        m.UpdateAns: st.just(m.UpdateAns()),
        m.RouteQueryReq: build(m.RouteQueryReq, st.booleans(), destination, short),
        m.RouteQueryAns: build(m.RouteQueryAns, node_id),
        m.ProbeReq: build(m.ProbeReq, few(code_point)),
        m.ProbeInformation: probe_information,
        m.ProbeAns: build(m.ProbeAns, few(probe_information)),
        m.IpAddressPort: address,
        m.IceExtension: ice_extension,
        m.IceCandidate: candidate,
        m.AttachReqAns: build(m.AttachReqAns, short, short, short, few(candidate), st.booleans()),
        m.AppAttachReqAns: build(m.AppAttachReqAns, short, short, st.integers(1, 0xFFFF), short, few(candidate)),
        m.PingReq: build(m.PingReq, short),
        m.PingAns: build(m.PingAns, u64, u64),
        m.ConfigUpdateReq: config_update,
        m.ConfigUpdateAns: st.just(m.ConfigUpdateAns()),
        m.DataValue: data_value,
        m.ArrayEntry: array_entry,
        m.DictionaryEntry: dictionary_entry,
        m.StoredData: opaque_data,
        m.StoreKindData: store_kind_data,
        m.StoreReq: build(m.StoreReq, resource_id, u8, few(store_kind_data)),
        m.StoreKindResponse: store_response,
        m.StoreAns: build(m.StoreAns, few(store_response)),
        m.ArrayRange: build(m.ArrayRange, u32, u32),
        m.StoredDataSpecifier: specifier,
        m.FetchReq: build(m.FetchReq, resource_id, few(specifier)),
        m.FetchKindResponse: fetch_kind,
        m.FetchAns: build(m.FetchAns, few(fetch_kind)),
        m.StatReq: build(m.StatReq, resource_id, few(specifier)),
        m.MetaData: meta_data,
        m.ArrayEntryMeta: array_meta,
        m.DictionaryEntryMeta: dictionary_meta,
        m.StoredMetaData: opaque_meta,
        m.StatKindResponse: stat_kind,
        m.StatAns: build(m.StatAns, few(stat_kind)),
        m.FindReq: build(m.FindReq, resource_id, few(u32)),
        m.FindKindData: find_kind,
        m.FindAns: build(m.FindAns, few(find_kind)),
        m.TurnServer: build(m.TurnServer, u8, address),
        m.ChordLeaveData: build(m.ChordLeaveData, st.sampled_from((1, 2)), node_ids),
        m.XmppLocation: location,
    }
    contents = st.one_of(*(st.tuples(st.just(int(code)), found[cls]) for code, cls in BODIES.items()))
    unknown = st.tuples(st.sampled_from((*WITHOUT_STRUCT, 0x7FFF)), short)
    found[m.Message] = st.tuples(header_of_whole, st.one_of(contents, unknown), few(extension), security).map(
        lambda parts: m.Message(parts[0], *parts[1], *parts[2:])
    )
    return found


BODIES: dict[int, type[m.Body]] = {
    m.Code.PROBE_REQ: m.ProbeReq,
    m.Code.PROBE_ANS: m.ProbeAns,
    m.Code.ATTACH_REQ: m.AttachReqAns,
    m.Code.ATTACH_ANS: m.AttachReqAns,
    m.Code.STORE_REQ: m.StoreReq,
    m.Code.STORE_ANS: m.StoreAns,
    m.Code.FETCH_REQ: m.FetchReq,
    m.Code.FETCH_ANS: m.FetchAns,
    m.Code.FIND_REQ: m.FindReq,
    m.Code.FIND_ANS: m.FindAns,
    m.Code.JOIN_REQ: m.JoinReq,
    m.Code.JOIN_ANS: m.JoinAns,
    m.Code.LEAVE_REQ: m.LeaveReq,
    m.Code.LEAVE_ANS: m.LeaveAns,
    m.Code.UPDATE_REQ: m.UpdateReq,
    m.Code.UPDATE_ANS: m.UpdateAns,
    m.Code.ROUTE_QUERY_REQ: m.RouteQueryReq,
    m.Code.ROUTE_QUERY_ANS: m.RouteQueryAns,
    m.Code.PING_REQ: m.PingReq,
    m.Code.PING_ANS: m.PingAns,
    m.Code.STAT_REQ: m.StatReq,
    m.Code.STAT_ANS: m.StatAns,
    m.Code.APP_ATTACH_REQ: m.AppAttachReqAns,
    m.Code.APP_ATTACH_ANS: m.AppAttachReqAns,
    m.Code.CONFIG_UPDATE_REQ: m.ConfigUpdateReq,
    m.Code.CONFIG_UPDATE_ANS: m.ConfigUpdateAns,
    m.Code.ERROR: m.ErrorResponse,
}
WITHOUT_STRUCT = tuple(int(code) for code in m.Code if code not in BODIES)
