#!/usr/bin/env python3
"""A client of Sealane by a stranger: everything in it comes from docs/PROTOCOL.md and tests/vectors.

usage: client.py ADDRESS PASSWORD VECTORS

It logs in, lists, sends 3 MiB in chunks, fetches them, and sends them once more, of which nothing must cross the wire.
It ends with "all is well", or with a traceback. It needs the packages blake3 and cbor2.
"""

import hashlib
import json
import pathlib
import re
import socket
import ssl
import struct
import sys
import urllib.parse

import blake3
import cbor2

MIB = 1 << 20
HELLO, LOGIN, PUT, PUT_SMALL, GET, LIST, STAT, REMOVE = 0x01, 0x02, 0x10, 0x11, 0x12, 0x13, 0x14, 0x16
WELCOME, LOGGED_IN, KEYS, ACCEPTED, OFFER, FILE = 0x41, 0x42, 0x43, 0x50, 0x51, 0x52
ENTRIES, ENTRY, DONE, COMMITTED, REFUSED = 0x53, 0x54, 0x55, 0x58, 0x7F
CHUNK, END, CLAIMS, ACK, PING, PONG = 0x80, 0x81, 0x82, 0x83, 0x84, 0x85

# BLAKE3, as its paper has it (section 3 here wants what libraries seldom offer).
IV = (0x6A09E667, 0xBB67AE85, 0x3C6EF372, 0xA54FF53A, 0x510E527F, 0x9B05688C, 0x1F83D9AB, 0x5BE0CD19)
ORDER = (2, 6, 3, 10, 7, 0, 4, 13, 1, 11, 12, 5, 9, 14, 15, 8)
CHUNK_START, CHUNK_END, PARENT, ROOT = 1, 2, 4, 8
MIXED = ((0, 4, 8, 12), (1, 5, 9, 13), (2, 6, 10, 14), (3, 7, 11, 15),
         (0, 5, 10, 15), (1, 6, 11, 12), (2, 7, 8, 13), (3, 4, 9, 14))
WORD = 0xFFFFFFFF


def compress(value, block, counter, length, flags):
    words = struct.unpack("<16I", block.ljust(64, b"\0"))
    state = [*value, *IV[:4], counter & WORD, counter >> 32, length, flags]
    for _ in range(7):
        for at, (a, b, c, d) in enumerate(MIXED):
            va, vb, vc, vd = state[a], state[b], state[c], state[d]
            va = (va + vb + words[2 * at]) & WORD
            vd ^= va
            vd = (vd >> 16 | vd << 16) & WORD
            vc = (vc + vd) & WORD
            vb ^= vc
            vb = (vb >> 12 | vb << 20) & WORD
            va = (va + vb + words[2 * at + 1]) & WORD
            vd ^= va
            vd = (vd >> 8 | vd << 24) & WORD
            vc = (vc + vd) & WORD
            vb ^= vc
            state[a], state[b], state[c], state[d] = va, (vb >> 7 | vb << 25) & WORD, vc, vd
        words = [words[at] for at in ORDER]
    return [state[at] ^ state[at + 8] for at in range(8)]


def parent(left, right, root=0):
    return compress(IV, struct.pack("<16I", *left, *right), 0, 64, PARENT | root)


def leaf(data, counter):
    value, blocks = IV, [data[at:at + 64] for at in range(0, len(data), 64)] or [b""]
    for at, block in enumerate(blocks):
        flags = (CHUNK_START if at == 0 else 0) | (CHUNK_END if at == len(blocks) - 1 else 0)
        value = compress(value, block, counter, len(block), flags)
    return value


def power_below(count):
    return 1 << (count - 1).bit_length() - 1


def chaining_value(data, counter):
    if len(data) <= 1024:
        return leaf(data, counter)
    left = 1024 * power_below(-(-len(data) // 1024))
    return parent(chaining_value(data[:left], counter), chaining_value(data[left:], counter + left // 1024))


def merge(values, root=0):
    if len(values) == 1:
        return values[0]
    left = power_below(len(values))
    return parent(merge(values[:left]), merge(values[left:]), root)


def chunk_log2(size):
    return next(log2 for log2 in (20, 21, 22) if size <= 1 << 20 + log2)


class Layout:
    """The chunks of a file."""

    def __init__(self, data):
        self.log2 = chunk_log2(len(data))
        step = 1 << self.log2
        self.chunks = [data[at:at + step] for at in range(0, len(data), step)] or [b""]
        self.root = blake3.blake3(data).digest()
        if len(self.chunks) == 1:
            self.digests = [self.root]
            return
        values = [chaining_value(chunk, at * step // 1024) for at, chunk in enumerate(self.chunks)]
        self.digests = [struct.pack("<8I", *value) for value in values]
        assert struct.pack("<8I", *merge(values, ROOT)) == self.root


def public_key_info(certificate):
    """The SubjectPublicKeyInfo of a DER certificate: the seventh part of its first part, or the sixth."""
    def parts(data):
        while data:
            length, head = data[1], 2
            if length & 0x80:
                head = 2 + (length & 0x7F)
                length = int.from_bytes(data[2:head], "big")
            yield data[0], data[:head + length], data[head:head + length]
            data = data[head + length:]
    to_be_signed = next(parts(next(parts(certificate))[2]))[2]
    fields = [field for field in parts(to_be_signed) if field[0] != 0xA0]
    return fields[5][1]


class Address:
    """sealane://account@host:port/?pin=…"""

    def __init__(self, text):
        parts = re.fullmatch(r"sealane://(?:([^@/?]+)@)?(\[[^]]+]|[^:/?]+)(?::(\d+))?(/[^?]*)?(?:\?(.*))?", text)
        account, host, port, _, pins = parts.groups()
        self.account, self.host = urllib.parse.unquote(account), host.strip("[]")
        self.port = int(port or 9901)
        self.pins = [self.pin(urllib.parse.unquote(part[4:])) for part in pins.split("&")]

    @staticmethod
    def pin(text):
        import base64
        if text.startswith("sha256//"):
            return base64.b64decode(text[8:], validate=True)
        assert text.startswith("sha256.")
        return base64.urlsafe_b64decode(text[7:] + "=")


class Refused(Exception):
    """With its status."""


class Client:
    def __init__(self, address, password):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.minimum_version = ssl.TLSVersion.TLSv1_3
        # The signature is verified all the same; the key is compared below, before anything is said.
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        context.set_alpn_protocols(["sealane/1"])
        plain = socket.create_connection((address.host, address.port), timeout=60)
        self.stream = context.wrap_socket(plain)
        assert self.stream.selected_alpn_protocol() == "sealane/1"
        key = public_key_info(self.stream.getpeercert(binary_form=True))
        assert hashlib.sha256(key).digest() in address.pins, "another key"
        self.last = 0
        hello = self.ask(HELLO, {0: 1, 1: "stranger/1", 2: []})
        login = self.ask(LOGIN, {0: address.account, 1: password})
        welcome = self.answer(hello, WELCOME)
        assert welcome[0] == 1 and welcome[2] >= 16 and welcome[3] >= 4
        kind, number, keys = self.next()
        if kind == KEYS:
            assert number == 0 and 1 <= len(cbor2.loads(keys)[1]) <= 4
            kind, number, keys = self.next()
        assert (kind, number) == (LOGGED_IN, login), (kind, keys)

    def send(self, kind, number, body=b"", flags=0):
        self.stream.sendall(struct.pack(">BBII", kind, flags, number, len(body)) + body)

    def ask(self, kind, fields, behind=b""):
        self.last += 1
        self.send(kind, self.last, cbor2.dumps(fields, canonical=True) + behind)
        return self.last

    def exactly(self, count):
        data = bytearray()
        while len(data) < count:
            more = self.stream.recv(count - len(data))
            if not more:
                raise ConnectionError("closed")
            data += more
        return bytes(data)

    def next(self):
        while True:
            kind, self.flags, number, length = struct.unpack(">BBII", self.exactly(10))
            body = self.exactly(length)
            if kind == PING:
                self.send(PONG, 0, body)
            elif kind == REFUSED:
                raise Refused(cbor2.loads(body)[0])
            elif kind != PONG:
                return kind, number, body

    def answer(self, number, kind):
        got, of, body = self.next()
        assert (got, of) == (kind, number), (got, of)
        return cbor2.loads(body)

    def call(self, kind, fields, expected):
        return self.answer(self.ask(kind, fields), expected)

    def list(self, path):
        number, names = self.ask(LIST, {0: path, 2: True}), {}
        while True:
            page = self.answer(number, ENTRIES)
            names |= {entry[0]: entry for entry in page[0]}
            if not page.get(3):
                return names

    def put(self, path, file, data):
        """Sends what the server does not hold; how many chunks that were."""
        number = self.ask(PUT, {0: path, 1: len(data), 2: file.log2, 3: 10**18, 4: 0o640})
        has_claims, claims, sent, open_ = self.answer(number, ACCEPTED)[0], [], 0, 0
        while has_claims:
            kind, of, body = self.next()
            assert (kind, of) == (CLAIMS, number)
            first, digests = struct.unpack(">I", body[:4])[0], body[4:]
            assert first == len(claims) and len(digests) % 32 == 0
            assert digests or (first == 0 and self.flags == 1), "an empty page after others"
            claims += [digests[at:at + 32] for at in range(0, len(digests), 32)]
            has_claims = self.flags != 1
        for index, (chunk, digest) in enumerate(zip(file.chunks, file.digests)):
            if index < len(claims) and claims[index] == digest:
                continue
            if open_ == 2:
                self.acknowledged(number)
                open_ -= 1
            self.send(CHUNK, number, struct.pack(">I", index) + digest + chunk)
            sent, open_ = sent + 1, open_ + 1
        while open_:
            self.acknowledged(number)
            open_ -= 1
        self.send(END, number, file.root)
        committed = self.answer(number, COMMITTED)
        assert committed == {0: len(data), 1: file.root}
        return sent

    def acknowledged(self, number):
        kind, of, _ = self.next()
        assert (kind, of, self.flags) == (ACK, number, 0)

    def get(self, path):
        number = self.ask(GET, {0: path, 1: False})
        kind, of, body = self.next()
        assert of == number
        if kind == FILE:
            head = cbor2.dumps(cbor2.loads(body), canonical=True)
            data = body[len(head):]
            assert cbor2.loads(head)[0] == blake3.blake3(data).digest()
            return data
        assert kind == OFFER
        offer, data, digests = cbor2.loads(body), b"", []
        assert offer[1] == chunk_log2(offer[0])
        while True:
            kind, of, body = self.next()
            assert of == number
            if kind == END:
                assert len(data) == offer[0] and body == blake3.blake3(data).digest()
                assert Layout(data).digests == digests
                return data
            assert kind == CHUNK and body[:4] == struct.pack(">I", len(digests))
            digests.append(body[4:36])
            data += body[36:]
            self.send(ACK, number, body[:4])

    def close(self):
        self.stream.unwrap()
        self.stream.close()


def made(seed, size):
    blocks = (hashlib.sha256(seed.encode() + struct.pack(">Q", at)).digest() for at in range(-(-size // 32)))
    return b"".join(blocks)[:size]


def check_vectors(vectors):
    digests = json.loads((vectors / "digests.json").read_text())
    for file in digests["files"]:
        if file["size"] > MIB + 1:
            continue
        layout = Layout(made(digests["seed"], file["size"]))
        assert layout.root.hex() == file["root"] and layout.log2 == file["k"]
        assert [digest.hex() for digest in layout.digests] == file["chunks"]
    for layout in digests["layouts"]:
        assert chunk_log2(layout["size"]) == layout["k"]
    join = json.loads((vectors / "proofs.json").read_text())["join"]
    key, *exporters = (bytes.fromhex(join[name]) for name in ("token", "session exporter", "joining exporter"))
    assert blake3.blake3(b"".join(exporters), key=key).hexdigest() == join["proof"]


def main():
    address, password, vectors = Address(sys.argv[1]), sys.argv[2], pathlib.Path(sys.argv[3])
    check_vectors(vectors)
    client = Client(address, password)
    assert client.list("") == {}
    data = made("stranger", 3 * MIB)
    file = Layout(data)
    assert client.put("large", file, data) == 3
    assert client.get("large") == data
    assert client.put("large", file, data) == 0, "an unchanged file crossed the wire"
    changed = data[:MIB] + b"x" + data[MIB + 1:]
    again = Layout.__new__(Layout)
    again.__dict__.update(file.__dict__, chunks=[changed[at:at + MIB] for at in range(0, 3 * MIB, MIB)])
    again.digests = [*file.digests[:1], struct.pack("<8I", *chaining_value(again.chunks[1], 1024)), file.digests[2]]
    again.root = blake3.blake3(changed).digest()
    assert client.put("large", again, changed) == 1
    small = client.ask(PUT_SMALL, {0: "small", 1: blake3.blake3(b"few").digest()}, b"few")
    assert client.answer(small, COMMITTED)[0] == 3
    assert client.get("small") == b"few"
    assert client.put("empty", Layout(b""), b"") == 1
    names = client.list("")
    assert {name: entry[2] for name, entry in names.items()} == {"large": 3 * MIB, "small": 3, "empty": 0}
    entry = client.call(STAT, {0: "large"}, ENTRY)
    assert entry == {0: "large", 1: 0, 2: 3 * MIB, 3: 10**18, 4: 0o640}, entry
    try:
        client.call(STAT, {0: "none"}, ENTRY)
        raise AssertionError("there is none")
    except Refused as refused:
        assert refused.args == (200,)
    client.call(REMOVE, {0: "small", 1: False}, DONE)
    client.close()
    try:
        Client(address, "wrong")
        raise AssertionError("a wrong password")
    except Refused as refused:
        assert refused.args == (100,)
    print("all is well")


if __name__ == "__main__":
    main()
