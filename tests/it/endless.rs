//! A server that proved its key and lists for ever: the client stops, and its memory has a bound.

use std::net::SocketAddr;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use sealane_protocol::message::{Entries, Entry, LoggedIn, Partial, PartialsAre, Refused};
use sealane_protocol::wire::FrameReader;
use sealane_protocol::{Kind, ServerMessage, Side, Status};
use sealane_tls::Identity;
use tokio::io::{AsyncWriteExt as _, split};
use tokio::net::{TcpListener, TcpStream};

use crate::support::peer::welcome;
use crate::support::site::client;
use crate::support::text;

/// What `docs/OPERATIONS.md` says, in KiB.
const MOST_MEMORY: u64 = 512 << 10;

/// How a directory has no end.
#[derive(Clone, Copy, Debug)]
enum Endless {
    /// It has any number of files.
    Wide,
    /// It has directories, each of which has as many.
    Deep,
}

struct Liar {
    address: SocketAddr,
    pin: String,
}

impl Liar {
    async fn start(kind: Endless) -> Self {
        let made = sealane_tls::generate::key_pair(time::OffsetDateTime::now_utc()).unwrap();
        let (certificate, key) = (made.certificate_pem, made.key_pem);
        let identity = Identity::from_pem(certificate.as_bytes(), key.expose().as_bytes()).unwrap();
        let pin = identity.pin().to_address_form();
        let config = sealane_tls::server_config(identity, Vec::new()).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let config = Arc::clone(&config);
                tokio::spawn(async move {
                    let stream = sealane_tls::accept(config, stream).await.ok()?;
                    lie(stream, kind).await
                });
            }
        });
        Self { address, pin }
    }

    fn url(&self) -> String {
        format!("sealane://ann@{}/?pin={}", self.address, self.pin)
    }
}

/// Answers until the client goes.
async fn lie(stream: sealane_tls::TlsStream<TcpStream>, endless: Endless) -> Option<()> {
    let (read, mut write) = split(stream);
    let mut reader = FrameReader::new(read, Side::Client, Duration::from_secs(60));
    let (mut number, mut last) = (0_u64, 0_u64);
    loop {
        let header = reader.header().await.ok()??;
        reader.discard(header.length).await.ok()?;
        let answer = match header.kind {
            Kind::Hello => ServerMessage::Welcome(welcome()),
            Kind::Login => ServerMessage::LoggedIn(LoggedIn { user: "ann".into() }),
            Kind::Stat => ServerMessage::Entry(entry("", 1)),
            Kind::List => loop {
                match endless {
                    Endless::Deep => break page(&mut number, 1, None),
                    Endless::Wide => {
                        let more = page(&mut number, 0, Some(true)).encode(header.id);
                        write.write_all(&more).await.ok()?;
                    }
                }
            },
            Kind::Partials => {
                let partials = (0..100).map(|_| partial(&mut last)).collect();
                ServerMessage::PartialsAre(PartialsAre { partials, more: true })
            }
            _ => ServerMessage::Refused(Refused::new(Status::NotFound)),
        };
        write.write_all(&answer.encode(header.id)).await.ok()?;
    }
}

fn entry(name: &str, kind: u8) -> Entry {
    Entry { name: name.to_owned(), kind, size: 1, modified: 0, mode: 0o777 }
}

fn page(number: &mut u64, kind: u8, follows: Option<bool>) -> ServerMessage {
    let more = |_| {
        *number += 1;
        entry(&format!("{number:0>200}"), kind)
    };
    let entries = (0..900).map(more).collect();
    ServerMessage::Entries(Entries { entries, more: false, hidden: 0, follows, unfit: None })
}

fn partial(last: &mut u64) -> Partial {
    *last += 1;
    let path = Some(vec!["x".repeat(250); 16].join("/"));
    Partial { id: format!("{last:032x}"), path, received: 1, size: 1, modified: 0 }
}

/// Runs a command to its end; what it said, and the most memory it had, in KiB.
fn peak(mut command: Command) -> (bool, String, u64) {
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    let status = format!("/proc/{}/status", child.id());
    let mut peak = 0;
    while child.try_wait().unwrap().is_none() {
        let said = std::fs::read_to_string(&status).unwrap_or_default();
        let line = said.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let now = line.and_then(|line| line.trim().trim_end_matches(" kB").parse::<u64>().ok());
        peak = peak.max(now.unwrap_or(0));
        if peak > 2 * MOST_MEMORY {
            child.kill().unwrap();
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    let output = child.wait_with_output().unwrap();
    (output.status.success(), String::from_utf8_lossy(&output.stderr).into_owned(), peak)
}

async fn is_bounded(kind: Endless, commands: &[&[&str]]) {
    let liar = Liar::start(kind).await;
    let directory = tempfile::tempdir().unwrap();
    let (url, here) = (liar.url(), text(directory.path()).to_owned());
    for arguments in commands {
        let fill = |argument: &&str| argument.replace("URL", &url).replace("HERE", &here);
        let command = client(arguments.iter().map(fill));
        let ended = tokio::task::spawn_blocking(move || peak(command)).await;
        let (is_done, said, peak) = ended.unwrap();
        assert!(peak < MOST_MEMORY, "{arguments:?}: {peak} KiB");
        assert!(!is_done && said.contains("MiB of names"), "{arguments:?}: {said}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_directory_without_end_has_a_bound_in_memory() {
    let commands: [&[&str]; 4] = [
        &["ls", "URL"],
        &["get", "-r", "URL", "HERE"],
        &["sync", "URL", "HERE"],
        &["partial", "ls", "URL"],
    ];
    is_bounded(Endless::Wide, &commands).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tree_without_end_has_a_bound_in_memory() {
    let commands: [&[&str]; 3] =
        [&["get", "-r", "URL", "HERE"], &["sync", "URL", "HERE"], &["verify", "-r", "HERE", "URL"]];
    is_bounded(Endless::Deep, &commands).await;
}
