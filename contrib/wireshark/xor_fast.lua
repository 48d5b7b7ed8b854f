-- XMPP over RELOAD (XEP-0415) in Wireshark: what packet-reload does not know or reads at a wrong place, shown beside it.
-- A post-dissector: it takes the bytes Wireshark's RELOAD dissector has found and adds a tree "XOR". See README.md.

local xor = Proto("xor", "XMPP Overlay for RELOAD (XEP-0415)")

xor.prefs.kind = Pref.uint("Kind-ID of XMPP-LOCATION", 5, "XEP-0415 says 5; an overlay may use one of the private range")

local KIND_NAME = "XMPP-LOCATION"
local VERSIONS = { [0x01] = "0.1 (a draft)", [0x0a] = "1.0 (RFC 6940)" }
local APPLICATIONS = { [5222] = "xmpp (XEP-0415)" }
local LOCATION_TYPES = { [1] = "xmpp_location_address", [2] = "xmpp_location_route" }
local DESTINATION_TYPES = { [1] = "node", [2] = "resource", [3] = "opaque_id_type" }
local CANDIDATE_TYPES = { [1] = "host", [2] = "srflx", [4] = "relay" }
-- Kinds of other documents whose data model is a dictionary: SIP-REGISTRATION (RFC 7904), REDIR (RFC 7374)
local OTHER_DICTIONARIES = { [1] = true, [104] = true }

local f = {
  version = ProtoField.uint8("xor.version", "version", base.DEC, VERSIONS),
  application = ProtoField.uint16("xor.application", "application", base.DEC, APPLICATIONS),
  kind = ProtoField.uint32("xor.kind", "kind", base.DEC),
  location = ProtoField.none("xor.location", "XmppLocation"),
  key = ProtoField.bytes("xor.location.key", "key (Node-ID of the writer)"),
  exists = ProtoField.bool("xor.location.exists", "exists"),
  type = ProtoField.uint8("xor.location.type", "type", base.DEC, LOCATION_TYPES),
  address = ProtoField.string("xor.location.address", "address", base.UNICODE),
  priority = ProtoField.uint8("xor.location.priority", "priority", base.DEC),
  destination = ProtoField.none("xor.location.destination", "Destination"),
  destination_type = ProtoField.uint8("xor.location.destination.type", "type", base.DEC, DESTINATION_TYPES),
  node_id = ProtoField.bytes("xor.location.node_id", "node_id"),
  resource_id = ProtoField.bytes("xor.location.resource_id", "resource_id"),
  opaque_id = ProtoField.bytes("xor.location.opaque_id", "opaque_id"),
  data = ProtoField.bytes("xor.location.data", "data"),
  fetch_key = ProtoField.bytes("xor.fetch.key", "key"),
  fetch_all = ProtoField.none("xor.fetch.all", "all keys"),
  candidate = ProtoField.none("xor.candidate", "IceCandidate"),
  candidate_priority = ProtoField.uint32("xor.candidate.priority", "priority", base.DEC),
  candidate_type = ProtoField.uint8("xor.candidate.type", "type", base.DEC, CANDIDATE_TYPES),
}
xor.fields = f

local e = {
  malformed = ProtoExpert.new("xor.malformed", "Malformed", expert.group.MALFORMED, expert.severity.ERROR),
  full_address = ProtoExpert.new(
    "xor.location.address.full", "The address is not bare (XEP-0415 4.2)", expert.group.PROTOCOL, expert.severity.WARN
  ),
  not_a_node = ProtoExpert.new(
    "xor.location.route.end", "The route does not end at a node", expert.group.PROTOCOL, expert.severity.WARN
  ),
}
xor.experts = e

-- What Wireshark's dissector has found
local found = {
  stream = Field.new("tcp.stream"),
  version = Field.new("reload.forwarding.version"),
  application = Field.new("reload.application"),
  kind_of_data = Field.new("reload.kinddata.kind"),
  kind_listed = Field.new("reload.kindid"),
  candidate = Field.new("reload.icecandidate"),
  store_req = Field.new("reload.storereq"),
  fetch_req = Field.new("reload.fetchreq"),
  stat_req = Field.new("reload.statreq"),
  fetch_ans = Field.new("reload.fetchans"),
}

-- Reading with bounds -------------------------------------------------------------------------------------------------

-- What is not as the RFC says, unlike an error of this script, is a table; see `guarded`.
local function refuse(text)
  error({ malformed = text })
end

local Reader = {}
Reader.__index = Reader

local function reader(range)
  return setmetatable({ range = range, at = 0, size = range and range:len() or 0 }, Reader)
end

function Reader:more()
  return self.at < self.size
end

-- The next bytes as a TvbRange; none of them is nil, for Wireshark has no empty ranges.
function Reader:take(count, what)
  if count > self.size - self.at then
    refuse(what .. " is cut short")
  end
  local start = self.at
  self.at = start + count
  return count > 0 and self.range(start, count) or nil
end

function Reader:number(width, what)
  local range = self:take(width, what)
  return range:uint(), range
end

-- opaque<0..2^(8 width)-1>
function Reader:vector(width, what)
  return self:take(self:number(width, what), what)
end

function Reader:finish(what)
  if self:more() then
    refuse(what .. " is longer than its content")
  end
end

-- Runs a reader over something a peer sent; what it refuses becomes an expert item.
local function guarded(tree, work, ...)
  local fine, problem = pcall(work, tree, ...)
  if fine then
    return
  end
  if type(problem) ~= "table" then
    error(problem, 0)
  end
  tree:add_proto_expert_info(e.malformed, "Malformed: " .. problem.malformed)
end

-- RFC 3629: UTF-8 without surrogates and overlong forms
local function is_utf8(bytes)
  local at = 1
  local function follows(low, high)
    local byte = bytes:byte(at)
    at = at + 1
    return byte and byte >= (low or 0x80) and byte <= (high or 0xbf)
  end
  while at <= #bytes do
    local first = bytes:byte(at)
    at = at + 1
    local fine = first < 0x80
    if first >= 0xc2 and first <= 0xdf then
      fine = follows()
    elseif first >= 0xe0 and first <= 0xef then
      fine = follows(first == 0xe0 and 0xa0 or nil, first == 0xed and 0x9f or nil) and follows()
    elseif first >= 0xf0 and first <= 0xf4 then
      fine = follows(first == 0xf0 and 0x90 or nil, first == 0xf4 and 0x8f or nil) and follows() and follows()
    end
    if not fine then
      return false
    end
  end
  return true
end

-- XmppLocation (XEP-0415 4.2) -----------------------------------------------------------------------------------------

-- One Destination (RFC 6940 6.3.2.2); returns whether it is a node.
local function destination(tree, input)
  local start = input.at
  local first = input:number(1, "Destination")
  if first >= 0x80 then
    input:take(1, "opaque id of two bytes")
    local range = input.range(start, 2)
    tree:add(f.destination, range):append_text(": opaque id"):add(f.opaque_id, range)
    return false
  end
  local content = input:vector(1, "Destination")
  local item = tree:add(f.destination, input.range(start, input.at - start))
  item:add(f.destination_type, input.range(start, 1))
  item:append_text(": " .. (DESTINATION_TYPES[first] or "of an unknown type"))
  if first == 0 then
    refuse("Destination of type 0")
  elseif first == 1 then
    local size = content and content:len() or 0
    if size < 16 or size > 20 then
      refuse("Node-ID of " .. size .. " bytes")
    end
    item:add(f.node_id, content)
  elseif first == 2 or first == 3 then
    local inside = reader(content)
    local id = inside:vector(1, "id of a Destination")
    inside:finish("Destination")
    if id then
      item:add(first == 2 and f.resource_id or f.opaque_id, id)
    end
  end
  return first == 1
end

local function location_address(item, inside)
  local range = inside:vector(2, "address")
  inside:finish("XmppLocation")
  if not range then
    refuse("address is empty")
  end
  if not is_utf8(range:raw()) then
    refuse("address is not UTF-8")
  end
  local text = range:string(ENC_UTF_8)
  local shown = item:add_packet_field(f.address, range, ENC_UTF_8)
  item:append_text(": the address " .. text)
  if text:find("/", 1, true) then
    shown:add_proto_expert_info(e.full_address)
  end
end

local function location_route(item, inside)
  local _, priority = inside:number(1, "priority")
  item:add(f.priority, priority)
  local list = reader(inside:vector(2, "destination_list"))
  inside:finish("XmppLocation")
  local count, is_node = 0, false
  while list:more() do
    is_node = destination(item, list)
    count = count + 1
  end
  item:append_text(": a route of " .. count .. (count == 1 and " destination" or " destinations"))
  if not is_node then
    item:add_proto_expert_info(e.not_a_node)
  end
end

local function location(item, value)
  local input = reader(value)
  local type, type_range = input:number(1, "type")
  item:add(f.type, type_range)
  if type == 0 then
    refuse("XmppLocation of type 0")
  end
  local content = input:vector(2, "XmppLocation")
  input:finish("value")
  if type == 1 then
    location_address(item, reader(content))
  elseif type == 2 then
    location_route(item, reader(content))
  elseif content then
    item:append_text(": of an unknown type")
    item:add(f.data, content)
  end
end

-- StoreReq and FetchAns (RFC 6940 7.4.1.1, 7.4.2.2) -------------------------------------------------------------------

-- One StoredData whose value is a DictionaryEntry.
local function stored_location(tree, range)
  local input = reader(range)
  input:take(12, "StoredData") -- storage_time, lifetime
  local key = input:vector(2, "key")
  local exists, exists_range = input:number(1, "exists")
  local value = input:vector(4, "value")
  local item = tree:add(f.location, value or exists_range)
  if key then
    item:add(f.key, key)
  end
  item:add(f.exists, exists_range)
  if exists ~= 0 then
    guarded(item, location, value)
  else
    item:append_text(": none, or removed")
    if value then
      refuse("value that does not exist is not empty")
    end
  end
end

local function kinds_with_values(tree, list)
  local input = reader(list)
  while input:more() do
    local kind = input:number(4, "kind")
    input:take(8, "generation_counter")
    local values = reader(input:vector(4, "values"))
    while kind == xor.prefs.kind and values:more() do
      guarded(tree, stored_location, values:vector(4, "StoredData"))
    end
  end
end

local function store_req(tree, range)
  local input = reader(range)
  input:vector(1, "resource")
  input:take(1, "replica_number")
  kinds_with_values(tree, input:vector(4, "kind_data"))
end

local function fetch_ans(tree, range)
  kinds_with_values(tree, reader(range):vector(4, "kind_responses"))
end

-- FetchReq, StatReq (7.4.2.1): Wireshark reads dictionary keys from the start of the list of specifiers.
local function specifiers(tree, range)
  local input = reader(range)
  input:vector(1, "resource")
  local list = reader(input:vector(2, "specifiers"))
  while list:more() do
    local kind, kind_range = list:number(4, "kind")
    list:take(8, "generation")
    local content = list:vector(2, "model_specifier")
    if kind == xor.prefs.kind or OTHER_DICTIONARIES[kind] then
      local inside = reader(content)
      local keys = reader(inside:vector(2, "keys"))
      inside:finish("model_specifier")
      if not keys:more() then
        tree:add(f.fetch_all, kind_range):append_text(" of Kind " .. kind)
      end
      while keys:more() do
        local key = keys:vector(2, "key")
        if key then
          tree:add(f.fetch_key, key):append_text(" (Kind " .. kind .. ")")
        end
      end
    end
  end
end

-- IceCandidate (6.5.1.1): Wireshark reads the priority from the start of the candidate.
local function candidate(tree, range)
  local input = reader(range)
  input:take(1, "type of an address")
  input:vector(1, "address")
  input:take(1, "overlay_link")
  input:vector(1, "foundation")
  local number, priority = input:number(4, "priority")
  local _, type = input:number(1, "type")
  local item = tree:add(f.candidate, range):append_text(": priority " .. number)
  item:add(f.candidate_priority, priority)
  item:add(f.candidate_type, type)
end

-- RELOAD in TLS (6.6.2) -----------------------------------------------------------------------------------------------
-- Wireshark decrypts TLS with a key log but asks no RELOAD dissector about the clear bytes: here it is asked.

local DATA, ACK = 0x80, 0x81
local TOKEN = 0xd2454c4f
local framing = DissectorTable.get("tcp.port"):get_dissector(6084)

-- The size of the frame at this place, nil where too few bytes are there to say; and whether it is a frame at all.
local function frame_size(tvb, at)
  local left, type = tvb:len() - at, tvb(at, 1):uint()
  if type == ACK then
    return 9, true
  elseif type == DATA then
    return left >= 8 and 8 + tvb(at + 5, 3):uint() or nil, true
  end
  return nil, false
end

-- Connections known to carry frames, by their number
local links = {}

function xor.init()
  links = {}
end

-- Whether a connection that is new to us speaks RELOAD: its first frame is data, number 0 (6.6.2), or one of a
-- connection whose beginning was not captured.
local function begins_with_frames(tvb)
  local size = tvb:len()
  local type = tvb(0, 1):uint()
  if type == DATA and size >= 12 then
    return tvb(8, 4):uint() == TOKEN
  elseif type == DATA then
    return size >= 8 and tvb(1, 4):uint() == 0
  end
  return type == ACK and (size == 9 or size > 9 and (tvb(9, 1):uint() == DATA or tvb(9, 1):uint() == ACK))
end

local function frames_in_tls(tvb, pinfo, tree)
  local stream = found.stream()
  local link = stream and stream.value or -1
  if tvb:len() == 0 or not (links[link] or begins_with_frames(tvb)) then
    return false
  end
  links[link] = true
  local at = 0
  while at < tvb:len() do
    local size, is_frame = frame_size(tvb, at)
    if not is_frame then
      return at > 0
    end
    if not size or at + size > tvb:len() then
      pinfo.desegment_offset = at
      pinfo.desegment_len = size and at + size - tvb:len() or DESEGMENT_ONE_MORE_SEGMENT
      break
    end
    framing:call(tvb(at, size):tvb(), pinfo, tree)
    at = at + size
  end
  return true
end

xor:register_heuristic("tls", frames_in_tls)

-- One packet ----------------------------------------------------------------------------------------------------------

local BODIES = {
  { found.candidate, candidate },
  { found.store_req, store_req },
  { found.fetch_req, specifiers },
  { found.stat_req, specifiers },
  { found.fetch_ans, fetch_ans },
}

function xor.dissector(_, _, tree)
  local versions = { found.version() }
  if #versions == 0 then
    return
  end
  local top = tree:add(xor, versions[1].range)
  for _, version in ipairs(versions) do
    top:add(f.version, version.range)
  end
  for _, application in ipairs({ found.application() }) do
    top:add(f.application, application.range)
  end
  for _, finder in ipairs({ found.kind_of_data, found.kind_listed }) do
    for _, kind in ipairs({ finder() }) do
      if kind.value == xor.prefs.kind then
        top:add(f.kind, kind.range):append_text(" (" .. KIND_NAME .. ")")
      end
    end
  end
  for _, body in ipairs(BODIES) do
    local finder, work = body[1], body[2]
    for _, field in ipairs({ finder() }) do
      guarded(top, work, field.range)
    end
  end
end

register_postdissector(xor)
