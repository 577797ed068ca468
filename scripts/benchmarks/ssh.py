"""What speaks to an sshd: scp, sftp, rsync and rclone, by public key as the current user."""

import contextlib
import getpass
import os
import pathlib
import re
import shlex
import shutil

from .process import free_port, program, run


class Ssh:
    """An sshd with keys of its own; the clients below differ in the command only."""

    trees = True
    server_needs = {"sshd": "openssh-server", "ssh": "openssh-client", "ssh-keygen": "openssh-client"}

    def __init__(self, place, _programs):
        self.place, self.where = place, place.where
        self.port = free_port()
        self.root = self.where / "root"
        self.root.mkdir()
        for name in ("host", "user"):
            run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", self.where / name], place.deadline)
        shutil.copy(self.where / "user.pub", self.where / "authorized")
        key = " ".join((self.where / "host.pub").read_text().split()[:2])
        (self.where / "known").write_text(f"[{place.address}]:{self.port} {key}\n")
        # The subsystem inside sshd, and a home without start-up files: rsync is started by the user's shell,
        # which would load whatever this user has there.
        (self.where / "config").write_text(
            f"ListenAddress {place.address}:{self.port}\nHostKey {self.where}/host\nPidFile none\n"
            f"AuthorizedKeysFile {self.where}/authorized\nStrictModes no\nUsePAM no\n"
            f"PasswordAuthentication no\nSubsystem sftp internal-sftp\nSetEnv HOME={self.where}\n")
        self.options = ["-F", "/dev/null", "-i", self.where / "user", "-o", "BatchMode=yes",
                        "-o", f"UserKnownHostsFile={self.where}/known"]
        self.made = self.make_privileges()
        self.server = place.serve(
            [program("sshd"), "-D", "-e", "-f", self.where / "config"], self.port)

    @staticmethod
    def make_privileges():
        """sshd's own directory, where its package's service never ran; None if there is nothing to undo."""
        privileges = pathlib.Path("/run/sshd")
        if os.geteuid() != 0 or privileges.exists():
            return None
        privileges.mkdir(mode=0o755)
        return privileges

    def there(self, name):
        return f"{self.place.address}:{self.root / name}"

    def offer(self, source):
        link(source, self.root / source.name)

    def arrived(self, name):
        return self.root / name

    def remove(self, name):
        remove(self.root / name)

    def cipher(self):
        log = self.place.run(["ssh", *self.options, "-v", "-p", self.port, self.place.address, "true"])
        found = re.search(r"client->server cipher: (\S+)", log)
        version = run(["ssh", "-V"], self.place.deadline).split(",")[0].strip()
        return f"{version}, {found.group(1) if found else 'cipher unknown'}, public key login"

    def stop(self):
        self.server.stop()
        if self.made:
            with contextlib.suppress(OSError):
                self.made.rmdir()


class Scp(Ssh):
    name = "scp"
    needs = {"scp": "openssh-client", **Ssh.server_needs}

    def copy(self, *arguments):
        self.place.run(["scp", "-q", *self.options, "-P", self.port, *arguments])

    def get(self, name, target):
        self.copy(self.there(name), target)

    def put(self, source, name):
        self.copy(source, self.there(name))

    def get_tree(self, name, target):
        self.copy("-r", self.there(name), target)

    def put_tree(self, source, name):
        self.copy("-r", source, self.there(name))

    def facts(self):
        return self.cipher()


class Sftp(Ssh):
    name = "sftp"
    needs = {"sftp": "openssh-client", **Ssh.server_needs}

    def batch(self, *commands):
        text = "".join(f"{command}\n" for command in commands)
        self.place.run(["sftp", "-q", *self.options, "-P", self.port, "-b", "-", self.place.address],
                       text=text)

    def get(self, name, target):
        self.batch(f"get {self.root / name} {target}")

    def put(self, source, name):
        self.batch(f"put {source} {self.root / name}")

    def get_tree(self, name, target):
        self.batch(f"get -R {self.root / name} {target}")

    def put_tree(self, source, name):
        self.batch(f"mkdir {self.root / name}", f"put -R {source}/* {self.root / name}")

    def facts(self):
        return self.cipher()


class Rsync(Ssh):
    name = "rsync"
    needs = {"rsync": "rsync", **Ssh.server_needs}

    def sync(self, *arguments):
        command = shlex.join(str(part) for part in ["ssh", *self.options, "-p", self.port])
        return self.place.run(["rsync", "-e", command, *arguments])

    def get(self, name, target):
        self.sync(self.there(name), target)

    def put(self, source, name):
        self.put_counted(source, name)

    def put_counted(self, source, name):
        """Uploads, and gives all bytes that rsync says it sent."""
        # A file that was changed within a second looks unchanged without -I.
        printed = self.sync("-I", "--stats", source, self.there(name))
        return int(re.search(r"Total bytes sent: ([\d,]+)", printed).group(1).replace(",", ""))

    def get_tree(self, name, target):
        self.sync("-a", f"{self.there(name)}/", target)

    def put_tree(self, source, name):
        self.sync("-a", f"{source}/", self.there(name))

    def facts(self):
        return " ".join(run(["rsync", "--version"], self.place.deadline).split()[:3]) + ", the same ssh"


class Rclone(Ssh):
    name = "rclone"
    needs = {"rclone": "rclone", **Ssh.server_needs}

    def clone(self, *arguments):
        # Its own ssh; the defaults otherwise: four transfers at once, sums compared where the server can.
        self.place.run(["rclone", "--config", "/dev/null", "-q", *arguments],
                       env={**os.environ, "HOME": str(self.where)})

    def far(self, name):
        return (f":sftp,host={self.place.address},port={self.port},user={getpass.getuser()},"
                f"key_file={self.where}/user,known_hosts_file={self.where}/known:{self.root / name}")

    def get(self, name, target):
        self.clone("copyto", self.far(name), target)

    def put(self, source, name):
        self.clone("copyto", source, self.far(name))

    def get_tree(self, name, target):
        self.clone("copy", self.far(name), target)

    def put_tree(self, source, name):
        self.clone("copy", source, self.far(name))

    def facts(self):
        version = run(["rclone", "version"], self.place.deadline).splitlines()[0]
        return f"{version}, SFTP by its own ssh"


def link(source, target):
    """Puts a file, or a tree of files, under another name without copying it."""
    if source.is_dir():
        shutil.copytree(source, target, copy_function=os.link)
    else:
        os.link(source, target)


def remove(path):
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
