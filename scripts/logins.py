"""A server of its own for scripts that measure logins, and logins made by hand: the bytes of HELLO and LOGIN,
so that nothing but the server is timed."""
import contextlib
import json
import pathlib
import signal
import socket
import ssl
import struct
import subprocess
import threading
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
PASSWORD = "correct horse battery"
NAMES = {0: "LET IN", 100: "login refused", 101: "busy", 103: "reset required", 104: "must wait"}


class Site:
    """A new server's directory, and the programs that work on it."""

    def __init__(self, programs, directory):
        self.programs, self.root = pathlib.Path(programs), directory / "site"
        made = self.program("sealane-admin", "init", self.root, "--listen", "127.0.0.1:0")
        self.pins = made.split()[0].split("?", 1)[1]
        self.password = directory / "password"
        self.password.write_text(PASSWORD)
        self.password.chmod(0o600)

    def program(self, name, *arguments, **options):
        command = [str(self.programs / name), *map(str, arguments)]
        return subprocess.run(command, check=True, capture_output=True, text=True, **options).stdout

    def admin(self, *arguments):
        return self.program("sealane-admin", "--config", self.root / "config.toml", *arguments)

    def account(self, name):
        self.admin("account", "add", name, "--password-file", self.password)

    @contextlib.contextmanager
    def server(self):
        """The process number and the address of a running server."""
        command = [str(self.programs / "sealaned"), "--config", str(self.root / "config.toml")]
        process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
        try:
            address = None
            for line in process.stderr:
                if line.startswith("listening on "):
                    host, port = line.split()[-1].rsplit(":", 1)
                    address = (host, int(port))
                    break
            threading.Thread(target=lambda: [None for _ in process.stderr], daemon=True).start()
            yield process.pid, address
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait()

    def ask(self, question):
        """Asks the running server what `sealane-admin` asks it."""
        with socket.socket(socket.AF_UNIX) as stream:
            stream.connect(str(self.root / "data" / ".control"))
            stream.sendall(json.dumps(question).encode() + b"\n")
            return json.loads(stream.makefile().readline())


def tls():
    """Nothing is checked: whoever measures made the server."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.set_alpn_protocols(["sealane/1"])
    return context


def text(value):
    raw = value.encode()
    head = bytes([0x60 + len(raw)]) if len(raw) < 24 else bytes([0x78, len(raw)])
    return head + raw


def header(kind, number, length):
    return bytes([kind, 0]) + struct.pack(">II", number, length)


def read_exactly(stream, count):
    data = b""
    while len(data) < count:
        more = stream.recv(count - len(data))
        if not more:
            raise ConnectionError("closed")
        data += more
    return data


def log_in(address, source, user, password, context):
    """The status that the login got (0: let in), and the seconds from the last byte sent to it."""
    plain = socket.create_connection(address, timeout=20, source_address=(source, 0))
    plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    with context.wrap_socket(plain) as stream:
        hello = b"\xa1\x00\x01"
        login = b"\xa2\x00" + text(user) + b"\x01" + text(password)
        begin = time.perf_counter()
        stream.sendall(header(0x01, 1, len(hello)) + hello + header(0x02, 2, len(login)) + login)
        while True:
            head = read_exactly(stream, 10)
            body = read_exactly(stream, struct.unpack(">I", head[6:10])[0])
            if head[0] == 0x7F:
                status = body[3] if body[2] == 0x18 else struct.unpack(">H", body[3:5])[0]
                return status, time.perf_counter() - begin
            if head[0] == 0x42:
                return 0, time.perf_counter() - begin
