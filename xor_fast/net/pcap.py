"""Packets of our own TLS connections in a pcapng file that carries its own keys, without any capture right.

A node sees the ciphertext of the connections it accepts when it does their TLS itself, over memory BIOs: slow, and
only for `--pcap`. The bytes are written as TCP segments with headers made up here, and the key log of OpenSSL goes
into Decryption Secrets Blocks, so that `tshark -r FILE` decrypts with no option. Only the accepting side writes: the
files of all nodes of an overlay, merged, hold each connection once.
"""

import asyncio
import os
import socket
import ssl
import struct
from collections.abc import Callable, Iterable
from contextlib import suppress
from time import time_ns
from typing import cast

from xor_fast import limits
from xor_fast.errors import ConfigError
from xor_fast.net.journal import Journal, explain
from xor_fast.net.openssl import TlsError
from xor_fast.net.tls import Credentials, Tls
from xor_fast.net.transport import READ_BUFFER, Connection

# --- the file (draft-ietf-opsawg-pcapng; every block: type, length, body in 4-byte steps, length again) --------------

_SECTION, _INTERFACE, _PACKET, _SECRETS = 0x0A0D0D0A, 1, 6, 10
_LINKTYPE_RAW = 101  # each packet begins with its IP header
_TLS_KEY_LOG = 0x544C534B
_SEGMENT = 16384  # TCP payload of one made-up packet
_ENCODING_DER = 2  # _ssl.ENCODING_DER
_SYN, _ACK, _PSH, _FIN = 0x02, 0x10, 0x08, 0x01


def _block(kind: int, body: bytes) -> bytes:
    body += bytes(-len(body) % 4)
    length = struct.pack("<I", len(body) + 12)
    return struct.pack("<I", kind) + length + body + length


_HEADER = _block(_SECTION, struct.pack("<IHHq", 0x1A2B3C4D, 1, 0, -1)) + _block(
    _INTERFACE, struct.pack("<HHI", _LINKTYPE_RAW, 0, 0)
)


class PcapFile:
    """Appends blocks to a new file, each with one write, so that a killed process leaves whole blocks behind."""

    def __init__(self, path: str) -> None:
        try:
            self._descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND, 0o600)
            os.write(self._descriptor, _HEADER)
        except OSError as error:
            raise ConfigError(f"cannot write packets to {path}: {explain(error)}") from None
        self._path = path
        self._is_broken = False

    def packet(self, microseconds: int, data: bytes) -> None:
        head = struct.pack("<IIIII", 0, microseconds >> 32, microseconds & 0xFFFFFFFF, len(data), len(data))
        self._append(_block(_PACKET, head + data))

    def secrets(self, key_log: bytes) -> None:
        self._append(_block(_SECRETS, struct.pack("<II", _TLS_KEY_LOG, len(key_log)) + key_log))

    def _append(self, block: bytes) -> None:
        """A full disk ends the file, and not the connections that are written down."""
        if self._is_broken:
            return
        try:
            os.write(self._descriptor, block)
        except OSError as error:
            self._is_broken = True
            Journal().say("error", f"no more packets are written to {self._path}: {explain(error)}")

    def close(self) -> None:
        os.close(self._descriptor)


def merge(files: Iterable[str], out: str) -> int:
    """One file of several written by PcapFile: all keys first, then the packets in order of time. Their number."""
    secrets: list[bytes] = []
    packets: list[tuple[int, bytes]] = []
    for path in files:
        with open(path, "rb") as file:
            content = file.read()
        at = 0
        while at + 12 <= len(content):
            kind, length = struct.unpack_from("<II", content, at)
            if length < 12 or at + length > len(content):
                break  # the process was killed within a block
            if kind == _SECRETS:
                secrets.append(content[at : at + length])
            elif kind == _PACKET:
                high, low = struct.unpack_from("<II", content, at + 12)
                packets.append((high << 32 | low, content[at : at + length]))
            at += length
    packets.sort(key=lambda packet: packet[0])  # stable: one file's packets of one microsecond stay in order
    with open(os.open(out, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
        file.write(_HEADER + b"".join(secrets) + b"".join(block for _, block in packets))
    return len(packets)


# --- one TCP connection, made up -------------------------------------------------------------------------------------


class _Conversation:
    """Writes the segments of one accepted connection. Side 0 is the client, side 1 the server."""

    def __init__(self, file: PcapFile, sock: socket.socket) -> None:
        self._file = file
        ends = [sock.getpeername()[:2], sock.getsockname()[:2]]
        self._addresses = [socket.inet_pton(sock.family, host) for host, _ in ends]
        self._ports = [port for _, port in ends]
        self._next = [0, 0]  # the sequence number each side sends next
        self._finished = [False, False]
        now = microseconds()
        self._segment(now, 0, _SYN)
        self._next[0] = 1
        self._segment(now, 1, _SYN | _ACK)
        self._next[1] = 1
        self._segment(now, 0, _ACK)

    def data(self, now: int, side: int, data: bytes) -> None:
        for at in range(0, len(data), _SEGMENT):
            piece = data[at : at + _SEGMENT]
            self._segment(now, side, _PSH | _ACK, piece)
            self._next[side] = (self._next[side] + len(piece)) & 0xFFFFFFFF

    def finish(self, side: int) -> None:
        if not self._finished[side]:
            self._finished[side] = True
            self._segment(microseconds(), side, _FIN | _ACK)
            self._next[side] = (self._next[side] + 1) & 0xFFFFFFFF

    def _segment(self, now: int, side: int, flags: int, data: bytes = b"") -> None:
        source, target = self._addresses[side], self._addresses[1 - side]
        acknowledged = self._next[1 - side] if flags & _ACK else 0
        tcp = struct.pack(
            ">HHIIBBHHH",
            self._ports[side], self._ports[1 - side], self._next[side], acknowledged, 5 << 4, flags, 65535, 0, 0,
        )  # fmt: skip
        length = len(tcp) + len(data)
        if len(source) == 4:
            pseudo = source + target + struct.pack(">HH", 6, length)
            ip = struct.pack(">BBHHHBBH4s4s", 0x45, 0, 20 + length, 0, 0x4000, 64, 6, 0, source, target)
            ip = ip[:10] + _checksum(ip) + ip[12:]
        else:
            pseudo = source + target + struct.pack(">II", length, 6)
            ip = struct.pack(">IHBB", 6 << 28, length, 6, 64) + source + target
        tcp = tcp[:16] + _checksum(pseudo + tcp + data) + tcp[18:]
        self._file.packet(now, ip + tcp + data)


def _checksum(data: bytes) -> bytes:
    """RFC 1071."""
    total = sum(struct.unpack(f">{(len(data) + 1) // 2}H", data + bytes(len(data) % 2)))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return struct.pack(">H", ~total & 0xFFFF)


def microseconds() -> int:
    return time_ns() // 1000


# --- TLS in our own hands --------------------------------------------------------------------------------------------


class TappedTls(Tls):
    """As Tls, and what comes to the listening ports is written to a file, with its keys."""

    def __init__(self, credentials: Credentials, file: PcapFile) -> None:
        super().__init__(credentials)
        self._file = file
        # OpenSSL appends to the key log by name: in memory, read through our own descriptor
        self._key_log = os.memfd_create("keys")
        self._key_log_read = 0
        self._server = _server_context(credentials)
        self._server.keylog_filename = f"/proc/self/fd/{self._key_log}"

    async def accept(
        self, sock: socket.socket, connection: Connection, greeted: Callable[[], None] = lambda: None
    ) -> None:
        conversation = _Conversation(self._file, sock)
        tapped = _TappedTransport(self._server, connection, greeted, conversation, self.write_keys)
        await asyncio.get_running_loop().connect_accepted_socket(lambda: tapped, sock)
        try:
            async with asyncio.timeout(limits.HANDSHAKE_TIMEOUT):
                await tapped.ready
        except BaseException:
            tapped.abort()
            raise

    def write_keys(self) -> None:
        """Put new lines of the key log into the file; before the packets that need them, for tshark reads it once."""
        lines = os.pread(self._key_log, 1 << 20, self._key_log_read)
        if lines:
            self._key_log_read += len(lines)
            self._file.secrets(lines)


def _server_context(credentials: Credentials) -> ssl.SSLContext:
    """Of Python's `ssl`, which works in memory; the same rules as in openssl.pyx."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.options |= ssl.OP_NO_RENEGOTIATION | ssl.OP_NO_TICKET
    context.num_tickets = 0
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_verify_locations(cadata=b"".join(credentials.roots))
    pem = "".join(map(ssl.DER_cert_to_PEM_cert, credentials.certificates)).encode()
    # ssl reads keys from files only: one in memory, which vanishes with its descriptor
    descriptor = os.memfd_create("key")
    try:
        os.write(descriptor, credentials.key + b"\n" + pem)
        context.load_cert_chain(f"/proc/self/fd/{descriptor}")
    finally:
        os.close(descriptor)
    return context


def _tls_error(error: ssl.SSLError) -> TlsError:
    if isinstance(error, ssl.SSLCertVerificationError):
        return TlsError(f"certificate refused: {error.verify_message}")
    return TlsError("TLS: " + (error.reason or "connection closed").lower().replace("_", " "))


class _TappedTransport(asyncio.Protocol):
    """The server side of one TLS connection: a Transport to its user, a protocol to the TCP below."""

    def __init__(
        self,
        context: ssl.SSLContext,
        connection: Connection,
        greeted: Callable[[], None],
        conversation: _Conversation,
        write_keys: Callable[[], None],
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self.ready: asyncio.Future[None] = self._loop.create_future()
        self._connection = connection
        self._greeted = greeted
        self._conversation = conversation
        self._write_keys = write_keys
        self._incoming = ssl.MemoryBIO()
        self._outgoing = ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._incoming, self._outgoing, server_side=True)
        self._is_closing = False
        self._is_paused = False

    # --- to the TCP below ---

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._tcp = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        now = microseconds()
        self._incoming.write(data)
        begins = not self._connection.is_up and self._shake_hands()
        # After TLS has seen the bytes, when their keys are known, and before its answer to them
        self._write_keys()
        self._conversation.data(now, 0, data)
        self._flush()
        if begins:
            self._connection.connection_made(self)
            self.ready.set_result(None)
        if self._connection.is_up:
            self._deliver()

    def eof_received(self) -> None:
        self._conversation.finish(0)

    def pause_writing(self) -> None:
        if self._connection.is_up:
            self._connection.pause_writing()

    def resume_writing(self) -> None:
        if self._connection.is_up:
            self._connection.resume_writing()

    def connection_lost(self, exc: Exception | None) -> None:
        self._is_closing = True
        self._conversation.finish(1)
        self._conversation.finish(0)
        if self._connection.is_up:
            self._connection.connection_lost(exc)
        else:
            self._fail(exc or ConnectionResetError("closed within the handshake"))

    def _shake_hands(self) -> bool:
        try:
            self._tls.do_handshake()
        except ssl.SSLWantReadError:
            if self._tls.cipher() is not None:
                self._greeted()
            return False
        except ssl.SSLError as error:
            self._fail(_tls_error(error))
            self._loop.call_soon(self._tcp.close)  # after the alert
            return False
        return not self.ready.done()

    def _fail(self, error: Exception) -> None:
        if not self.ready.done():
            self.ready.set_exception(error)

    def _deliver(self) -> None:
        """Clear bytes to the connection; a close_notify or an error ends it."""
        try:
            while not (self._is_paused or self._is_closing):
                count = cast(int, self._tls.read(len(READ_BUFFER), READ_BUFFER))
                if not count:
                    break
                self._connection.data_received(READ_BUFFER[:count])
            else:
                return
        except ssl.SSLWantReadError:
            return
        except ssl.SSLError:
            pass
        self.close()

    def _flush(self) -> None:
        data = self._outgoing.read()
        if data:
            self._conversation.data(microseconds(), 1, data)
            self._tcp.write(data)

    # --- to the user of the connection ---

    def peer_certificates(self) -> list[bytes]:
        chain = self._tls._sslobj.get_unverified_chain()  # type: ignore[attr-defined]  # public in Python 3.13
        return [certificate.public_bytes(_ENCODING_DER) for certificate in chain]

    def limit_backlog(self, size: int) -> None:
        self._tcp.set_write_buffer_limits(size)

    def write(self, data: bytes) -> None:
        if self._is_closing or not data:
            return
        self._tls.write(data)
        self._flush()

    def pause_reading(self) -> None:
        self._is_paused = True
        self._tcp.pause_reading()

    def resume_reading(self) -> None:
        if self._is_paused and not self._is_closing:
            self._is_paused = False
            self._tcp.resume_reading()
            self._loop.call_soon(self._deliver)

    def close(self) -> None:
        if self._is_closing:
            return
        self._is_closing = True
        with suppress(ssl.SSLError):
            self._tls.unwrap()  # the other side's close_notify is not waited for
        self._flush()
        self._tcp.close()

    def abort(self) -> None:
        self._is_closing = True
        self._tcp.abort()
