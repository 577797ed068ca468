"""Sessions that log in and then say nothing, by what docs/PROTOCOL.md says.

Whom it talks to it has just started itself, on loopback, so it does not look at the server's key.
"""

import contextlib
import resource
import socket
import ssl
import struct

from .process import Failed

HELLO, LOGIN, WELCOME, LOGGED_IN, KEYS = 0x01, 0x02, 0x41, 0x42, 0x43


def text(value):
    """A CBOR text string of less than 256 bytes."""
    data = value.encode()
    return (bytes([0x60 + len(data)]) if len(data) < 24 else bytes([0x78, len(data)])) + data


def frame(kind, number, body):
    return struct.pack(">BBII", kind, 0, number, len(body)) + body


def exactly(stream, count):
    data = b""
    while len(data) < count:
        more = stream.recv(count - len(data))
        if not more:
            raise Failed("the server closed an idle session")
        data += more
    return data


def expect(stream, wanted):
    """Reads answers up to `wanted`; what the server announces meanwhile is skipped."""
    kind = KEYS
    while kind == KEYS:
        kind, _, _, length = struct.unpack(">BBII", exactly(stream, 10))
        exactly(stream, length)
    if kind != wanted:
        raise Failed(f"an idle session could not log in: answer {kind:#x}, not {wanted:#x}")


@contextlib.contextmanager
def sessions(port, user, password, count):
    """Holds `count` logged-in sessions."""
    files = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (files, files))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.set_alpn_protocols(["sealane/1"])
    with contextlib.ExitStack() as held:
        for _ in range(count):
            plain = held.enter_context(socket.create_connection(("127.0.0.1", port)))
            stream = held.enter_context(context.wrap_socket(plain))
            hello = b"\xa1\x00\x01"  # {0: 1}
            login = b"\xa2\x00" + text(user) + b"\x01" + text(password)
            stream.sendall(frame(HELLO, 1, hello) + frame(LOGIN, 2, login))
            for answer in (WELCOME, LOGGED_IN):
                expect(stream, answer)
        yield
