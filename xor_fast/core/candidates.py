"""IceCandidates of the No-ICE link types (RFC 6940 6.5.1.1, 6.5.1.11): addresses in, addresses out."""

from collections.abc import Iterable
from ipaddress import ip_address

from xor_fast import limits
from xor_fast.actions import Address
from xor_fast.messages import AddressType, CandidateType, IceCandidate, IpAddressPort, OverlayLinkType

_HOST_PRIORITY = (126 << 24) | (65535 << 8) | 255  # RFC 5245 4.1.2.1 for the one host candidate of one component


def candidates_of(addresses: Iterable[Address]) -> tuple[IceCandidate, ...]:
    """A host candidate of TLS-TCP-FH-NO-ICE for each address, best first."""
    return tuple(
        IceCandidate(
            addr_port=_wire_address(address),
            overlay_link=OverlayLinkType.TLS_TCP_FH_NO_ICE,
            foundation=b"%d" % (index + 1),
            priority=_HOST_PRIORITY - index,
            type=CandidateType.HOST,
        )
        for index, address in enumerate(addresses)
    )


def addresses_of(candidates: Iterable[IceCandidate]) -> tuple[Address, ...]:
    """Where a TLS connection can be tried, by falling priority; other link types are passed over."""
    usable = [
        candidate
        for candidate in candidates
        if candidate.overlay_link == OverlayLinkType.TLS_TCP_FH_NO_ICE and candidate.addr_port.port
    ]
    usable.sort(key=lambda candidate: -candidate.priority)
    return tuple(
        (str(ip_address(candidate.addr_port.address)), candidate.addr_port.port)
        for candidate in usable[: limits.MAX_CANDIDATES]
    )


def _wire_address(address: Address) -> IpAddressPort:
    host = ip_address(address[0])
    return IpAddressPort(AddressType.IPV4 if host.version == 4 else AddressType.IPV6, host.packed, address[1])
