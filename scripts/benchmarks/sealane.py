"""Sealane: an account with a password, an address with pins, everything else as `init` makes it."""

import os
import re

from .process import ROOT, SEARCH, Failed, free_port, program, run

PASSWORD = "correct horse battery staple"


class Sealane:
    """`sealane` and `sealaned`; each command logs in anew."""

    name = "sealane"
    needs = {}
    trees = True

    def __init__(self, place, programs):
        self.place, self.programs = place, programs
        self.environment = {"PATH": SEARCH, "HOME": str(place.where), "SEALANE_PASSWORD": PASSWORD}
        base = place.where / "server"
        self.config, self.homes = base / "config.toml", base / "data" / "homes" / "bench"
        password = place.where / "password"
        password.write_text(PASSWORD + "\n")
        password.chmod(0o600)
        self.port = free_port()
        self.admin("init", base, "--listen", f"{place.address}:{self.port}")
        self.admin("--config", self.config, "account", "add", "bench", "--password-file", password,
                   "--quota", "64G")
        printed = self.admin("--config", self.config, "address")
        pins = re.search(r"sealane://[^?\s]+\?(\S+)", printed)
        if pins is None:
            raise Failed(f"no address in what sealane-admin said:\n{printed}")
        self.pins = pins.group(1)
        self.allow_a_crowd()
        self.start()

    def allow_a_crowd(self):
        """All clients come from one address and use one account, and the long link is served by root."""
        text = self.config.read_text()
        limits = {"connections": 4096, "strangers": 2048, "strangers_per_source": 2048, "sessions_per_account": 2048,
                  "queue": 1024, "queue_seconds": 25}
        for key, value in limits.items():
            text = re.sub(rf"^{key} = .*$", f"{key} = {value}", text, flags=re.MULTILINE)
        if os.geteuid() == 0:
            text = re.sub(r"^# user = .*$", 'user = "root"', text, flags=re.MULTILINE)
        self.config.write_text(text)

    def start(self):
        self.server = self.place.serve(
            [self.programs / "sealaned", "--config", self.config], self.port, env=self.environment)

    def reconfigure(self, **values):
        """Starts anew with these numbers in `config.toml`, and with the password hashed at their cost."""
        text = self.config.read_text()
        for key, value in values.items():
            text, found = re.subn(rf"^{key} = .*$", f"{key} = {value}", text, flags=re.MULTILINE)
            if found != 1:
                raise Failed(f"config.toml has no line '{key} = …'")
        self.config.write_text(text)
        self.admin("--config", self.config, "account", "passwd", "bench", "--password-file",
                   self.place.where / "password")
        self.restart()

    def restart(self):
        """A server that remembers nothing and has touched no memory yet."""
        self.stop()
        self.start()

    def admin(self, *arguments):
        return run([self.programs / "sealane-admin", *arguments], self.place.deadline,
                   env=self.environment)

    def call(self, *arguments):
        return self.place.run([self.programs / "sealane", *arguments], env=self.environment)

    def address(self, name, port=None):
        """Where `name` is; `port` if something stands between."""
        return f"sealane://bench@{self.place.address}:{port or self.port}/{name}?{self.pins}"

    def offer(self, source):
        self.call("put", "-q", *(["-r"] if source.is_dir() else []), source, self.address(source.name))

    def get(self, name, target):
        self.call("get", "-q", self.address(name), target)

    def get_command(self, name, target):
        """A download as a command, for many at once."""
        return [self.programs / "sealane", "get", "-q", self.address(name), target], self.environment

    def put(self, source, name, port=None):
        self.call("put", "-q", source, self.address(name, port))

    def get_tree(self, name, target):
        self.call("get", "-rq", self.address(name), target)

    def put_tree(self, source, name):
        self.call("put", "-rq", source, self.address(name))

    def arrived(self, name):
        return self.homes / name

    def remove(self, name):
        self.call("rm", "-rq", self.address(name))

    def facts(self):
        version = self.call("--version").strip()
        commit = "no checkout"
        if program("git") and (ROOT / ".git").exists():
            describe = ["git", "-C", ROOT, "describe", "--always", "--dirty"]
            commit = run(describe, self.place.deadline).strip()
        return f"{version} ({commit}), TLS 1.3, password login (argon2id) included, always durable"

    def stop(self):
        self.server.stop()
