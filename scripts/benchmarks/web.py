"""HTTPS and FTPS: curl from nginx, curl and lftp from vsftpd, each with a certificate of its own."""

import os
import re

from .process import SEARCH, free_port, program, run
from .ssh import link, remove


def certificate(place):
    """An EC key and a certificate for the address; one file with both for vsftpd."""
    key, cert = place.where / "key.pem", place.where / "cert.pem"
    run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
         "-days", "2", "-subj", "/CN=localhost", "-addext", f"subjectAltName=IP:{place.address}",
         "-keyout", key, "-out", cert], place.deadline)
    (place.where / "both.pem").write_text(key.read_text() + cert.read_text())


class Web:
    """What the three have in common: a directory that is served and written to."""

    trees = False

    def __init__(self, place, _programs):
        self.place, self.where = place, place.where
        self.port = free_port()
        self.root = self.where / "root"
        self.root.mkdir()
        certificate(place)
        self.server = self.serve()

    def offer(self, source):
        link(source, self.root / source.name)

    def arrived(self, name):
        return self.root / name

    def remove(self, name):
        remove(self.root / name)

    def curl(self, *arguments):
        return self.place.run(["curl", "-q", "-sSf", "--cacert", self.where / "cert.pem", *arguments],
                              env={"PATH": SEARCH})

    def negotiated(self, *arguments):
        log = self.curl("-v", "-o", "/dev/null", *arguments)
        cipher = re.search(r"SSL connection using (.*)", log)
        client = " ".join(run(["curl", "--version"], self.place.deadline).split()[:2])
        return f"{client}, {cipher.group(1) if cipher else 'cipher unknown'}"

    def stop(self):
        self.server.stop()


class Curl(Web):
    """curl with an nginx that serves files and takes PUT over TLS 1.3, otherwise as shipped."""

    name = "curl"
    needs = {"curl": "curl", "nginx": "nginx", "openssl": "openssl"}

    def serve(self):
        user = "user root;" if os.geteuid() == 0 else ""
        paths = " ".join(f"{name}_temp_path {self.where}/temp;" for name in
                         ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
        (self.where / "nginx.conf").write_text(
            f"{user} daemon off; worker_processes auto; pid {self.where}/pid;\n"
            "events { worker_connections 768; }\n"
            f"http {{ sendfile on; tcp_nopush on; access_log off; client_max_body_size 0; {paths}\n"
            f"server {{ listen {self.place.address}:{self.port} ssl; ssl_protocols TLSv1.3;\n"
            f"ssl_certificate {self.where}/cert.pem; ssl_certificate_key {self.where}/key.pem;\n"
            f"root {self.root}; location / {{ dav_methods PUT; }} }} }}\n")
        log = self.where / "log"
        return self.place.serve(
            [program("nginx"), "-p", self.where, "-e", log, "-c", self.where / "nginx.conf"], self.port)

    def address(self, name):
        return f"https://{self.place.address}:{self.port}/{name}"

    def get(self, name, target):
        self.curl("--tlsv1.3", "-o", target, self.address(name))

    def get_command(self, name, target):
        """A download as a command, for many at once."""
        command = ["curl", "-q", "-sSf", "--cacert", self.where / "cert.pem", "-o", target, self.address(name)]
        return command, {"PATH": SEARCH}

    def put(self, source, name):
        self.curl("--tlsv1.3", "-T", source, self.address(name))

    def facts(self):
        (self.root / "probe").write_text("x")
        server = run([program("nginx"), "-v"], self.place.deadline).split()[-1]
        return f"{self.negotiated(self.address('probe'))}, {server}, no login"


class CurlFtps(Web):
    """curl with a vsftpd that lets anybody read and write over TLS, both channels encrypted."""

    name = "curl-ftps"
    needs = {"curl": "curl", "vsftpd": "vsftpd", "openssl": "openssl"}

    def serve(self):
        (self.where / "empty").mkdir()
        (self.where / "vsftpd.conf").write_text("".join(f"{line}\n" for line in [
            "listen=YES", "background=NO", f"listen_address={self.place.address}",
            f"listen_port={self.port}", "local_enable=NO", "anonymous_enable=YES",
            f"anon_root={self.where}", "no_anon_password=YES", "write_enable=YES",
            "anon_upload_enable=YES", "anon_mkdir_write_enable=YES", "anon_other_write_enable=YES",
            "anon_umask=022", "anon_world_readable_only=NO", "run_as_launching_user=YES",
            f"secure_chroot_dir={self.where}/empty", "ssl_enable=YES", "allow_anon_ssl=YES",
            "force_anon_logins_ssl=YES", "force_anon_data_ssl=YES", "require_ssl_reuse=NO",
            f"rsa_cert_file={self.where}/both.pem", "ssl_tlsv1=YES", "ssl_ciphers=HIGH",
            "seccomp_sandbox=NO", "xferlog_enable=NO"]))
        return self.place.serve([program("vsftpd"), self.where / "vsftpd.conf"], self.port)

    def address(self, name):
        # Without a chroot paths are those of the machine, which FTP addresses spell with %2F.
        return f"ftp://{self.place.address}:{self.port}/%2F{self.root / name}"

    def get(self, name, target):
        self.curl("--ssl-reqd", "-o", target, self.address(name))

    def put(self, source, name):
        self.curl("--ssl-reqd", "-T", source, self.address(name))

    def facts(self):
        (self.root / "probe").write_text("x")
        # It prints its version into standard input, of all places: the package knows it as well.
        package = run(["dpkg-query", "-W", "-f", "${Version}", "vsftpd"], self.place.deadline)
        return f"{self.negotiated('--ssl-reqd', self.address('probe'))}, vsftpd {package}, no login"


class Lftp(CurlFtps):
    """lftp with the same vsftpd; trees by `mirror`, four files at once."""

    name = "lftp"
    needs = {"lftp": "lftp", **CurlFtps.needs}
    trees = True

    def lftp(self, *commands):
        settings = [f"set ssl:ca-file {self.where}/cert.pem", "set ftp:ssl-force yes",
                    "set ftp:ssl-allow-anonymous yes", "set ftp:ssl-protect-data yes",
                    "set net:max-retries 1", "set cmd:fail-exit yes",
                    f"open ftp://{self.place.address}:{self.port}"]
        self.place.run(["lftp", "--norc", "-c", "; ".join([*settings, *commands])],
                       env={"PATH": SEARCH, "HOME": str(self.where)})

    def get(self, name, target):
        self.lftp(f"get {self.root / name} -o {target}")

    def put(self, source, name):
        self.lftp(f"put {source} -o {self.root / name}")

    def get_tree(self, name, target):
        self.lftp(f"mirror -P 4 {self.root / name} {target}")

    def put_tree(self, source, name):
        self.lftp(f"mirror -R -P 4 {source} {self.root / name}")

    def facts(self):
        version = run(["lftp", "--version"], self.place.deadline)
        return f"lftp {re.search(r'Version ([0-9.]+)', version).group(1)}, FTPS from vsftpd, no login"
