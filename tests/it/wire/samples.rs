//! Every message that has a CBOR map: with all its optional fields, and with none.

use sealane_base::types::{Digest, Secret};
use sealane_protocol::message::{
    Accepted, AnnouncedKey, DiscardPartial, Empty, Enroll, Entries, Entry, File, Get, Hello, Join,
    KeySignature, Keys, List, LoggedIn, Login, Offer, Partial, Partials, PartialsAre, PathFlag,
    PathOnly, Put, PutSmall, ReceiptIs, ReceiptOf, Refused, Rename, SetMeta, SizeRoot, Tokens,
    TokensAre, UsageIs, Welcome,
};
use sealane_protocol::{ClientMessage, Kind, ServerMessage, Status, VERSION};

/// A message as it travels.
pub struct Sample {
    pub kind: Kind,
    /// Its rule in the document.
    pub rule: &'static str,
    /// Its frames: with every optional field, and with none.
    pub frames: [Vec<u8>; 2],
    /// Bytes of the file that follow the map.
    pub file: usize,
}

const DIGEST: Digest = Digest([0x5a; 32]);
const FILE: &[u8] = b"bytes of a file";

fn text(text: &str) -> String {
    text.to_owned()
}

fn client(rule: &'static str, messages: [ClientMessage; 2]) -> Sample {
    let kind = messages[0].kind();
    let file = if kind == Kind::PutSmall { FILE.len() } else { 0 };
    Sample { kind, rule, frames: messages.map(|message| message.encode(7)), file }
}

fn server(rule: &'static str, messages: [ServerMessage; 2]) -> Sample {
    let kind = messages[0].kind();
    let file = if kind == Kind::File { FILE.len() } else { 0 };
    Sample { kind, rule, frames: messages.map(|message| message.encode(7)), file }
}

/// What `make` makes of both choices: optional fields that are there, and such that are not.
fn both<T>(make: impl Fn(bool) -> T) -> [T; 2] {
    [make(true), make(false)]
}

/// One sample of each.
pub fn all() -> Vec<Sample> {
    [greeting(), files(), names(), others(), answers(), more_answers()]
        .into_iter()
        .flatten()
        .collect()
}

fn greeting() -> Vec<Sample> {
    let features = |all: bool| all.then(|| vec![1, u64::MAX]);
    vec![
        client(
            "hello",
            both(|all| {
                let agent = all.then(|| text("example/1"));
                ClientMessage::Hello(Hello { version: VERSION, agent, features: features(all) })
            }),
        ),
        client(
            "login",
            both(|all| {
                let password = all.then(|| Secret::new(text("secret")));
                ClientMessage::Login(Login { user: text("ann"), password })
            }),
        ),
        client("join", both(|_| ClientMessage::Join(Join { token: DIGEST, proof: DIGEST }))),
        client(
            "tokens",
            both(|all| ClientMessage::Tokens(Tokens { count: if all { u8::MAX } else { 0 } })),
        ),
        server(
            "welcome",
            both(|all| {
                ServerMessage::Welcome(Welcome {
                    version: VERSION,
                    agent: all.then(|| text("example/1")),
                    max_requests: u32::MAX,
                    max_transfers: 4,
                    features: features(all),
                })
            }),
        ),
        server("logged-in", both(|_| ServerMessage::LoggedIn(LoggedIn { user: text("ann") }))),
        server("joined", both(|_| ServerMessage::Joined(Empty {}))),
        server(
            "tokens-are",
            both(|all| {
                let count = if all { 15 } else { 1 };
                ServerMessage::TokensAre(TokensAre { tokens: vec![DIGEST; count] })
            }),
        ),
        server(
            "keys",
            both(|all| {
                let key = |state| AnnouncedKey {
                    public_key: vec![1],
                    state,
                    proof: all.then(|| vec![2; 64]),
                };
                let signed = KeySignature { public_key: vec![1], signature: vec![2] };
                let states = if all { 0..4 } else { 4..5 };
                ServerMessage::Keys(Keys {
                    epoch: u64::MAX,
                    keys: states.map(key).collect(),
                    statements: all.then(|| vec![signed]),
                })
            }),
        ),
    ]
}

fn files() -> Vec<Sample> {
    let path = || text("a/b");
    let modified = |all: bool| all.then_some(i64::MIN);
    let mode = |all: bool| all.then_some(0o777);
    vec![
        client(
            "put",
            both(|all| {
                let (modified, mode) = (modified(all), mode(all));
                ClientMessage::Put(Put {
                    path: path(),
                    size: 1 << 42,
                    chunk_log2: 22,
                    modified,
                    mode,
                })
            }),
        ),
        client(
            "put-small",
            both(|all| {
                let (modified, mode) = (modified(all), mode(all));
                let map = PutSmall { path: path(), digest: Digest::of_bytes(FILE), modified, mode };
                ClientMessage::PutSmall(map, FILE.to_vec())
            }),
        ),
        client(
            "get",
            both(|all| {
                let (pieces, small) = (all.then_some(true), all.then_some(false));
                ClientMessage::Get(Get { path: path(), claims: all, pieces, small })
            }),
        ),
        server(
            "accepted",
            both(|all| {
                ServerMessage::Accepted(Accepted { claims: all, pieces: all.then_some(true) })
            }),
        ),
        server(
            "offer",
            both(|all| {
                let (modified, mode) = (modified(all), mode(all));
                ServerMessage::Offer(Offer { size: 5 << 20, chunk_log2: 20, modified, mode })
            }),
        ),
        server(
            "file",
            both(|all| {
                let (modified, mode) = (modified(all), mode(all));
                let map = File { digest: Digest::of_bytes(FILE), modified, mode };
                ServerMessage::File(map, FILE.to_vec())
            }),
        ),
        server(
            "committed",
            both(|_| ServerMessage::Committed(SizeRoot { size: 1 << 42, root: DIGEST })),
        ),
    ]
}

fn names() -> Vec<Sample> {
    let path = || text("a/b");
    vec![
        client(
            "list",
            both(|all| {
                let (after, whole) = (all.then(|| text("x")), all.then_some(true));
                ClientMessage::List(List { path: path(), after, whole })
            }),
        ),
        client("stat", both(|_| ClientMessage::Stat(PathOnly { path: path() }))),
        client(
            "make-directory",
            both(|flag| ClientMessage::MakeDirectory(PathFlag { path: path(), flag })),
        ),
        client("remove", both(|flag| ClientMessage::Remove(PathFlag { path: path(), flag }))),
        client(
            "rename",
            both(|replace| ClientMessage::Rename(Rename { from: path(), to: text("c"), replace })),
        ),
        client(
            "set-meta",
            both(|all| {
                let (modified, mode) = (all.then_some(i64::MAX), all.then_some(0o640));
                ClientMessage::SetMeta(SetMeta { path: path(), modified, mode })
            }),
        ),
        client("digest-of", both(|_| ClientMessage::DigestOf(PathOnly { path: path() }))),
        client(
            "receipt",
            both(|all| {
                ClientMessage::ReceiptOf(ReceiptOf { path: path(), pin: all.then_some(DIGEST) })
            }),
        ),
    ]
}

fn others() -> Vec<Sample> {
    vec![
        client("usage", both(|_| ClientMessage::Usage(Empty {}))),
        client(
            "partials",
            both(|all| ClientMessage::Partials(Partials { after: all.then(|| "0a".repeat(16)) })),
        ),
        client(
            "discard-partial",
            both(|_| ClientMessage::DiscardPartial(DiscardPartial { id: "0a".repeat(16) })),
        ),
        client(
            "enroll",
            both(|all| ClientMessage::Enroll(Enroll { comment: all.then(|| text("laptop")) })),
        ),
    ]
}

fn answers() -> Vec<Sample> {
    let entry = |kind| Entry { name: text("x"), kind, size: 1, modified: -1, mode: 0o644 };
    vec![
        server(
            "entries",
            both(|all| {
                let entries = if all { (0..4).map(entry).collect() } else { Vec::new() };
                let follows = all.then_some(true);
                let unfit = all.then(|| vec![text("a\u{fffd}"), text("b\n/")]);
                ServerMessage::Entries(Entries { entries, more: false, hidden: 3, follows, unfit })
            }),
        ),
        server("entry", both(|_| ServerMessage::Entry(entry(1)))),
        server("done", both(|_| ServerMessage::Done(Empty {}))),
        server(
            "usage-is",
            both(|_| ServerMessage::UsageIs(UsageIs { used: 1, reserved: 2, limit: u64::MAX })),
        ),
        server("digest-is", both(|_| ServerMessage::DigestIs(SizeRoot { size: 0, root: DIGEST }))),
    ]
}

fn more_answers() -> Vec<Sample> {
    let partial = |path: Option<String>| Partial {
        id: "0a".repeat(16),
        path,
        received: 1,
        size: 2,
        modified: 3,
    };
    vec![
        server(
            "partials-are",
            both(|all| {
                let partials = vec![partial(all.then(|| text("a/b")))];
                ServerMessage::PartialsAre(PartialsAre { partials, more: all })
            }),
        ),
        server(
            "receipt-is",
            both(|_| {
                ServerMessage::ReceiptIs(ReceiptIs {
                    account: text("ann"),
                    size: 5,
                    root: DIGEST,
                    time: 1_790_000_000,
                    public_key: vec![1],
                    signature: vec![2],
                })
            }),
        ),
        server(
            "refused",
            both(|all| {
                let number = all.then_some(u64::MAX);
                ServerMessage::Refused(Refused {
                    short: number,
                    limit: number,
                    wait: number,
                    ..Refused::new(Status::Quota)
                })
            }),
        ),
    ]
}
