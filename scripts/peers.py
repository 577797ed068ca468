"""The tools that `scripts/bench` compares, each with a server of its own on 127.0.0.1.

A tool has: offer(source) makes a file downloadable, get(target) and put(source) run the client once,
arrived() is where an upload ends, clear() removes it, facts() says what ran, stop() ends the server.
"""

import contextlib
import os
import pathlib
import re
import shutil
import socket
import subprocess
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
PROGRAMS = {  # program: Debian package
    "curl": "curl",
    "nginx": "nginx",
    "openssl": "openssl",
    "scp": "openssh-client",
    "ssh-keygen": "openssh-client",
    "sshd": "openssh-server",
}
SEARCH = os.environ.get("PATH", "") + ":/usr/sbin:/sbin"


class Failed(Exception):
    """Something this script needs did not work; the text says what."""


def program(name):
    """Path of an installed program, or None."""
    return shutil.which(name, path=SEARCH)


def run(arguments, deadline, **options):
    """Runs a program to its end and returns what it wrote to both streams."""
    left = deadline - time.monotonic()
    if left <= 0:
        raise Failed("out of time (see --limit)")
    try:
        done = subprocess.run(
            [str(argument) for argument in arguments], stdin=subprocess.DEVNULL, text=True,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=left, **options)
    except subprocess.TimeoutExpired:
        raise Failed(f"out of time (see --limit): {arguments[0]}") from None
    if done.returncode != 0:
        command = " ".join(str(argument) for argument in arguments)
        raise Failed(f"exit status {done.returncode}: {command}\n{done.stdout.strip()}")
    return done.stdout


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Server:
    """A server process of ours: ready when it takes connections, stopped by its process id."""

    def __init__(self, arguments, port, log, **options):
        self.log = log
        with open(log, "ab") as stream:
            self.process = subprocess.Popen(
                [str(argument) for argument in arguments], stdin=subprocess.DEVNULL,
                stdout=stream, stderr=stream, start_new_session=True, **options)
        try:
            self.wait_until_ready(port)
        except BaseException:
            self.stop()
            raise

    def wait_until_ready(self, port):
        for _ in range(200):
            if self.process.poll() is not None:
                break
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
                return
            time.sleep(0.05)
        raise Failed(f"{self.process.args[0]} does not serve:\n{self.log.read_text()}")

    def peak_memory(self):
        """Largest resident set so far, in bytes."""
        status = pathlib.Path(f"/proc/{self.process.pid}/status").read_text()
        return int(re.search(r"VmHWM:\s+(\d+) kB", status).group(1)) * 1024

    def stop(self):
        self.process.terminate()
        try:
            self.process.wait(5)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


class Scp:
    """scp (SFTP protocol) to an sshd with its own keys, as the current user."""

    def __init__(self, where, deadline):
        self.where, self.deadline = where, deadline
        self.port = free_port()
        for name in ("host", "user"):
            run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", where / name], deadline)
        shutil.copy(where / "user.pub", where / "authorized")
        key = " ".join((where / "host.pub").read_text().split()[:2])
        (where / "known").write_text(f"[127.0.0.1]:{self.port} {key}\n")
        # The subsystem inside sshd: another one is started by the user's shell with whatever that loads.
        (where / "config").write_text(
            f"ListenAddress 127.0.0.1:{self.port}\nHostKey {where}/host\nPidFile none\n"
            f"AuthorizedKeysFile {where}/authorized\nStrictModes no\nUsePAM no\n"
            f"PasswordAuthentication no\nSubsystem sftp internal-sftp\n")
        self.privileges = pathlib.Path("/run/sshd")
        self.made = os.geteuid() == 0 and not self.privileges.exists()
        if self.made:
            self.privileges.mkdir(mode=0o755)
        self.server = Server(
            [program("sshd"), "-D", "-e", "-f", where / "config"], self.port, where / "log")

    def copy(self, *ends, verbose="-q"):
        return run(
            ["scp", verbose, "-F", "/dev/null", "-i", self.where / "user", "-P", self.port,
             "-o", "BatchMode=yes", "-o", f"UserKnownHostsFile={self.where}/known", *ends],
            self.deadline)

    def offer(self, source):
        self.source = source

    def get(self, target):
        self.copy(f"127.0.0.1:{self.source}", target)

    def put(self, source):
        self.copy(source, f"127.0.0.1:{self.where}/arrived")

    def arrived(self):
        return self.where / "arrived"

    def clear(self):
        self.arrived().unlink()

    def facts(self):
        small = self.where / "small"
        small.write_bytes(b"x")
        log = self.copy(small, f"127.0.0.1:{small}.2", verbose="-v")
        cipher = re.search(r"client->server cipher: (\S+)", log)
        version = run(["ssh", "-V"], self.deadline).split(",")[0].strip()
        return f"scp: {version}, {cipher.group(1) if cipher else 'cipher unknown'}, public key login"

    def stop(self):
        self.server.stop()
        if self.made:
            with contextlib.suppress(OSError):
                self.privileges.rmdir()


class Curl:
    """curl with an nginx that serves files and takes PUT over TLS 1.3, otherwise as shipped."""

    def __init__(self, where, deadline):
        self.where, self.deadline = where, deadline
        self.port = free_port()
        self.address = f"https://127.0.0.1:{self.port}"
        run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256",
             "-nodes", "-days", "2", "-subj", "/CN=localhost", "-addext",
             "subjectAltName=IP:127.0.0.1", "-keyout", where / "key.pem",
             "-out", where / "cert.pem"], deadline)
        for name in ("get", "put"):
            (where / name).mkdir()
        user = "user root;" if os.geteuid() == 0 else ""
        paths = " ".join(
            f"{name}_temp_path {where}/temp;" for name in
            ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
        (where / "nginx.conf").write_text(
            f"{user} daemon off; worker_processes auto; pid {where}/pid;\n"
            "events { worker_connections 768; }\n"
            f"http {{ sendfile on; tcp_nopush on; access_log off; client_max_body_size 0; {paths}\n"
            f"server {{ listen 127.0.0.1:{self.port} ssl; ssl_protocols TLSv1.3;\n"
            f"ssl_certificate {where}/cert.pem; ssl_certificate_key {where}/key.pem; root {where};\n"
            "location /put/ { dav_methods PUT; } } }\n")
        log = where / "log"
        self.server = Server(
            [program("nginx"), "-p", where, "-e", log, "-c", where / "nginx.conf"], self.port, log)

    def curl(self, *arguments):
        return run(["curl", "-q", "-sSf", "--tlsv1.3", "--cacert", self.where / "cert.pem",
                    *arguments], self.deadline, env={"PATH": SEARCH})

    def offer(self, source):
        os.link(source, self.where / "get" / source.name)
        self.name = source.name

    def get(self, target):
        self.curl("-o", target, f"{self.address}/get/{self.name}")

    def put(self, source):
        self.curl("-T", source, f"{self.address}/put/arrived")

    def arrived(self):
        return self.where / "put" / "arrived"

    def clear(self):
        self.arrived().unlink()

    def facts(self):
        log = self.curl("-v", "-o", "/dev/null", "-r", "0-0", f"{self.address}/get/{self.name}")
        cipher = re.search(r"SSL connection using (.*)", log)
        client = " ".join(run(["curl", "--version"], self.deadline).split()[:2])
        server = run([program("nginx"), "-v"], self.deadline).split()[-1]
        return f"curl: {client}, {server}, {cipher.group(1) if cipher else 'cipher unknown'}, no login"

    def stop(self):
        self.server.stop()


class Sealane:
    """sealane and sealaned, an account with a password, an address with pins."""

    def __init__(self, where, deadline, programs):
        self.where, self.deadline, self.programs = where, deadline, programs
        self.port = free_port()
        self.environment = {
            "PATH": SEARCH, "HOME": str(where), "SEALANE_PASSWORD": "correct horse battery staple"}
        self.base = where / "server"
        self.config = self.base / "config.toml"
        (where / "password").write_text(self.environment["SEALANE_PASSWORD"] + "\n")
        (where / "password").chmod(0o600)
        self.call("sealane-admin", "init", self.base, "--listen", f"127.0.0.1:{self.port}")
        self.call("sealane-admin", "--config", self.config, "account", "add", "bench",
                  "--password-file", where / "password", "--quota", "64G")
        printed = self.call("sealane-admin", "--config", self.config, "address")
        address = re.search(r"sealane://(?:[^@/\s]*@)?([^/?\s]+)/?\?(\S+)", printed)
        if address is None:
            raise Failed(f"no address in what sealane-admin said:\n{printed}")
        self.host, self.pins = address.groups()
        self.start()

    def start(self):
        self.server = Server(
            [self.programs / "sealaned", "--config", self.config], self.port,
            self.where / "log", env=self.environment)

    def call(self, name, *arguments):
        return run([self.programs / name, *arguments], self.deadline, env=self.environment)

    def address(self, name):
        return f"sealane://bench@{self.host}/{name}?{self.pins}"

    def offer(self, source):
        self.name = source.name
        self.call("sealane", "put", "-q", source, self.address(source.name))

    def get(self, target):
        self.call("sealane", "get", "-q", self.address(self.name), target)

    def put(self, source):
        self.call("sealane", "put", "-q", source, self.address("arrived"))

    def arrived(self):
        return next(path for path in self.base.rglob("arrived") if path.is_file())

    def clear(self):
        self.call("sealane", "rm", "-q", self.address("arrived"))

    def facts(self):
        version = self.call("sealane", "--version").strip()
        commit = "no checkout"
        if program("git") and (ROOT / ".git").exists():
            describe = ["git", "-C", ROOT, "describe", "--always", "--dirty"]
            commit = run(describe, self.deadline).strip()
        return f"sealane: {version} ({commit}), password login (argon2id) included"

    def memory_after(self, source, target):
        """Peak memory of a fresh server that has sent and received one file of this size."""
        self.stop()
        self.start()
        self.put(source)
        self.call("sealane", "get", "-q", self.address("arrived"), target)
        peak = self.server.peak_memory()
        target.unlink()
        self.clear()
        return peak

    def stop(self):
        self.server.stop()


def install_missing(tools):
    needed = {"scp": ("scp", "ssh-keygen", "sshd"), "curl": ("curl", "nginx", "openssl")}
    missing = sorted({PROGRAMS[p] for t in tools for p in needed.get(t, ()) if not program(p)})
    if not missing:
        return
    command = ["apt-get", "install", "-y", "--no-install-recommends", *missing]
    if os.geteuid() != 0 or not program("apt-get"):
        raise Failed(f"missing programs; as root: {' '.join(command)}")
    soon = time.monotonic() + 300
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    run(["apt-get", "update"], soon)
    run(command, soon, env=environment)
