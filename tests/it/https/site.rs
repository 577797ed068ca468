//! A server with an HTTPS door, curl, and a connection to say anything over.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::{Command, Output, Stdio};
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use rustls::{ClientConnection, StreamOwned};
use sealane_base::types::{Address, PinSet};

use crate::support::site::{PASSWORD, Server, Site};

/// A running server with an account `ann`.
pub struct Web {
    pub site: Site,
    pub server: Server,
    pub address: SocketAddr,
}

/// An answer, as it came.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub headers: String,
    pub body: Vec<u8>,
}

pub type Connection = StreamOwned<ClientConnection, TcpStream>;

impl Web {
    pub fn new(quota: &str) -> Self {
        Self::with(quota, &[])
    }

    /// With some keys of the configuration changed.
    pub fn with(quota: &str, keys: &[(&str, &str)]) -> Self {
        let site = Site::new();
        site.account("ann", quota);
        site.configure(keys);
        site.append("[[door]]\nkind = \"https\"\nlisten = \"127.0.0.1:0\"\n");
        Self::on(site)
    }

    /// Starts the server of a site that names a door.
    pub fn on(site: Site) -> Self {
        let server = site.start();
        let address = door_of(&server);
        Self { site, server, address }
    }

    pub fn url(&self, path: &str) -> String {
        format!("https://localhost:{}{path}", self.address.port())
    }

    /// The pin of the server, as curl writes it.
    pub fn pin(&self) -> String {
        let bytes = URL_SAFE_NO_PAD.decode(self.site.pin().trim_start_matches("sha256.")).unwrap();
        format!("sha256//{}", STANDARD.encode(bytes))
    }

    /// curl, as `ann`, for a server that its pin makes known.
    pub fn curl(&self) -> Command {
        let mut command = Command::new("curl");
        // `-k` for the name in the certificate: the pin is checked all the same.
        command.args(["-sSk", "--path-as-is", "--max-time", "60", "--pinnedpubkey"]);
        command.arg(self.pin()).args(["-u", &format!("ann:{PASSWORD}")]).stdin(Stdio::null());
        command
    }

    /// Runs curl on `path` with further arguments.
    pub fn ask(&self, path: &str, arguments: &[&str]) -> Answer {
        self.ask_as(self.curl(), path, arguments)
    }

    pub fn ask_as(&self, mut curl: Command, path: &str, arguments: &[&str]) -> Answer {
        let output = curl.arg("-i").args(arguments).arg(self.url(path)).output().unwrap();
        Answer::of(&output)
    }

    /// Puts `bytes` with their length.
    pub fn put(&self, path: &str, bytes: &[u8], arguments: &[&str]) -> Answer {
        let file = self.site.file("sent", bytes);
        let arguments = [&["-T", file.to_str().unwrap()], arguments].concat();
        self.ask(path, &arguments)
    }

    pub fn get(&self, path: &str) -> Vec<u8> {
        let answer = self.ask(path, &[]);
        assert_eq!(answer.status, 200, "{answer:?}");
        answer.body
    }

    /// What is in the file of that name in the home.
    pub fn stored(&self, name: &str) -> Vec<u8> {
        std::fs::read(self.site.home("ann").join(name)).unwrap()
    }

    /// A connection on which nothing was said.
    pub fn connect(&self) -> Connection {
        let address = Address::parse(&self.site.address(&self.server, "ann", "")).unwrap();
        let pins = PinSet::new(address.pins.clone()).unwrap();
        let config = sealane_tls::client_config(pins).unwrap();
        let mut config = rustls::ClientConfig::clone(&config);
        config.alpn_protocols = Vec::new();
        let stream = TcpStream::connect(self.address).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        let name = "localhost".try_into().unwrap();
        StreamOwned::new(ClientConnection::new(Arc::new(config), name).unwrap(), stream)
    }

    /// The header that says who is asking.
    pub fn credential() -> String {
        format!("Authorization: Basic {}\r\n", STANDARD.encode(format!("ann:{PASSWORD}")))
    }
}

/// Where the door of a server is.
pub fn door_of(server: &Server) -> SocketAddr {
    let log = server.log();
    let line = log.lines().find_map(|line| line.strip_prefix("https on "));
    line.unwrap_or_else(|| panic!("{log}")).parse().unwrap()
}

/// Says `text` and reads until the server closes.
pub fn converse(connection: &mut Connection, text: &str) -> String {
    let _ = connection.write_all(text.as_bytes());
    rest(connection)
}

/// What comes first.
pub fn first(connection: &mut Connection) -> String {
    let mut buffer = [0; 4096];
    let count = connection.read(&mut buffer).unwrap();
    String::from_utf8_lossy(&buffer[..count]).into_owned()
}

/// All that comes until the server closes, with or without TLS's closing alert.
pub fn rest(connection: &mut Connection) -> String {
    let (mut answer, mut buffer) = (Vec::new(), [0; 4096]);
    while let Ok(count @ 1..) = connection.read(&mut buffer) {
        answer.extend_from_slice(&buffer[..count]);
    }
    String::from_utf8_lossy(&answer).into_owned()
}

impl Answer {
    fn of(output: &Output) -> Self {
        let said = String::from_utf8_lossy(&output.stderr);
        let mut rest = &output.stdout[..];
        loop {
            let end = rest.windows(4).position(|four| four == b"\r\n\r\n");
            let end = end.unwrap_or_else(|| panic!("no answer: {said}"));
            let headers = String::from_utf8_lossy(&rest[..end]).into_owned();
            rest = &rest[end + 4..];
            let status = headers.split(' ').nth(1).unwrap().parse().unwrap();
            // Those before the last one tell that the request may go on.
            if status >= 200 {
                return Self { status, headers, body: rest.to_vec() };
            }
        }
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        let lines = self.headers.lines().filter_map(|line| line.split_once(": "));
        lines.filter(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value).next()
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The last word of the type of a problem.
    pub fn problem(&self) -> String {
        assert_eq!(self.header("content-type"), Some("application/problem+json"), "{self:?}");
        let body: serde_json::Value = serde_json::from_slice(&self.body).unwrap();
        assert_eq!(body["status"], self.status);
        assert!(body["title"].is_string() && body["detail"].is_string(), "{body}");
        body["type"].as_str().unwrap().rsplit(':').next().unwrap().to_owned()
    }
}
