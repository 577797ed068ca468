//! A session after its login, told any bytes as a sequence of frames: it may refuse and close, it
//! may not panic, linger, or leave a quota off by a byte.
//!
//! The input is a list of `kind, step of the id, length (2 bytes), body`; frames get well-formed
//! headers from it, so that a fuzzer needs no luck to get beyond them. The clock stands still
//! unless everybody waits for it.

use std::path::Path;
use std::sync::{Arc, mpsc};
use std::time::Duration;

use sealane_base::types::{Digest, RemotePath, Secret, Username};
use sealane_core::accounts::{
    AccountManager, AccountStore, Authenticator, DirectoryStore, Exposure, HashCost, LoginSettings,
};
use sealane_core::service::Service;
use sealane_core::storage::{EmbeddedStore, Store, View};
use sealane_protocol::frame::ChunkPrefix;
use sealane_protocol::message::{Hello, Login};
use sealane_protocol::wire::{FrameReader, Memory};
use sealane_protocol::{ClientMessage, Header, Side, VERSION};
use sealane_server::sealane::{Limits, Sealane, Terms, TokenTable, serve};
use tokio::io::{AsyncRead, AsyncWriteExt, duplex, split};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

const USER: &str = "ahpu";
const PASSWORD: &str = "correct horse";
/// Little, so that it runs out.
const QUOTA: u64 = 4 << 20;
const COST: HashCost = HashCost { memory_kib: 64, iterations: 1, parallelism: 1 };
/// Virtual time after which a session whose peer has hung up lingers.
const LINGERS: Duration = Duration::from_secs(5);
const DEADLINE: Duration = Duration::from_secs(30);
/// Room for all that is said and answered, so that one end can speak before it listens.
const PIPE: usize = 64 << 20;

const CHUNK: u8 = 0x80;
const END: u8 = 0x81;
/// Frames in one input.
const MOST: usize = 64;

/// Says what `input` says to a session of its own.
pub fn session(input: &[u8]) {
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    let runtime = runtime.enable_all().start_paused(true).build().expect("a runtime");
    let directory = tempfile::tempdir().expect("a temporary directory");
    let (door, homes) = door(directory.path());
    let (user, place) = (Username::parse(USER), RemotePath::parse(&format!("homes/{USER}")));
    let (user, place) = (user.expect("a name"), place.expect("a path"));
    // As long as somebody holds the home it has one ledger.
    let _home = homes.open_home(&user, &place, QUOTA, View::default());
    let _home = _home.and_then(|mut opening| opening.finish()).expect("a home");
    runtime.block_on(run(door, input));
    // Threads that work for the session end with the runtime.
    drop(runtime);
    let audit = homes.audit(&user, false).expect("files can be counted").expect("the home is open");
    let usage = audit.ledger.expect("an open home has a ledger");
    assert_eq!((audit.drift(), usage.reserved), (0, 0), "{audit:?}");
    assert!(audit.on_disk() <= QUOTA, "{audit:?}");
}

async fn run(door: Sealane, input: &[u8]) {
    let (near, far) = duplex(PIPE);
    let connection = door.service.connect(([127, 0, 0, 1], 1).into(), "sealane");
    let terms = Terms {
        deadline: Instant::now() + DEADLINE,
        drain: CancellationToken::new(),
        keys: None,
        client_key: None,
        signer: None,
        exporter: Some([7; 32]),
    };
    let served = tokio::spawn(async move { serve(far, &door, &connection, terms).await });
    let (reader, mut writer) = split(near);
    let mut reader = FrameReader::new(reader, Side::Server, DEADLINE);
    let hello = Hello { version: VERSION, agent: None, features: None };
    let login = Login { user: USER.to_owned(), password: Some(Secret::new(PASSWORD.to_owned())) };
    let greeting = [ClientMessage::Hello(hello).encode(1), ClientMessage::Login(login).encode(2)];
    // Passwords are checked on threads that the clock does not know of: it must not move meanwhile.
    let (logged_in, until_then) = mpsc::channel::<()>();
    let still = tokio::task::spawn_blocking(move || until_then.recv());
    writer.write_all(&greeting.concat()).await.expect("the pipe has room");
    loop {
        let header = reader.header().await.expect("a frame").expect("an answer to the login");
        if pass(&mut reader, &header).await {
            break;
        }
    }
    drop(logged_in);
    let _ = still.await;
    // A session that has closed takes nothing more.
    let _ = writer.write_all(&frames(input)).await;
    let _ = writer.shutdown().await;
    let since = Instant::now();
    while let Ok(Some(header)) = reader.header().await {
        pass(&mut reader, &header).await;
    }
    let ended = served.await;
    assert!(ended.is_ok(), "the session died: {ended:?}");
    assert!(since.elapsed() < LINGERS, "lingered for {:?}", since.elapsed());
}

/// Reads the rest of a frame; whether it is the answer to the login.
async fn pass<R: AsyncRead + Unpin>(reader: &mut FrameReader<R>, header: &Header) -> bool {
    reader.discard(header.length).await.is_ok() && header.id == 2
}

fn door(directory: &Path) -> (Sealane, Arc<EmbeddedStore>) {
    let accounts = directory.join("accounts");
    std::fs::create_dir(&accounts).expect("a directory");
    let store: Arc<dyn AccountStore> = Arc::new(DirectoryStore::open(&accounts).expect("accounts"));
    let manager = AccountManager::new(store.clone(), COST, Default::default()).expect("a manager");
    let user = Username::parse(USER).expect("a name");
    manager.add(&user, &Secret::new(PASSWORD.to_owned()), QUOTA, None).expect("an account");
    let settings = LoginSettings { cost: COST, ..LoginSettings::default() };
    let home = directory.join("data/homes").join(USER);
    std::fs::create_dir_all(home.join("d")).expect("a home");
    std::fs::write(home.join("a"), b"bytes").expect("a file");
    let authenticator = Authenticator::new(store, settings).expect("logins");
    let homes = EmbeddedStore::open(&directory.join("data")).expect("homes");
    let door = Sealane {
        service: Service::new(authenticator, homes.clone(), Exposure::Network, 16),
        limits: Limits::default(),
        tokens: TokenTable::new(4),
        memory: Memory::new(64 << 20),
        sending: Memory::new(64 << 20),
        answers: Memory::new(64 << 20),
    };
    (door, homes)
}

/// `input` as frames. Digests that nobody guesses are put in: those of chunks, and of a file of one
/// chunk.
fn frames(mut input: &[u8]) -> Vec<u8> {
    let (mut said, mut last, mut file) = (Vec::new(), 2u32, Digest::of_bytes(b""));
    for _ in 0..MOST {
        let Some((&[kind, step, low, high], rest)) = input.split_first_chunk::<4>() else { break };
        let length = usize::from(u16::from_le_bytes([low, high])).min(rest.len());
        let (body, rest) = rest.split_at(length);
        let id = last.saturating_add_signed(i32::from(step.cast_signed()).min(1));
        last = last.max(id);
        let body = match (kind, body) {
            (CHUNK, [index, bytes @ ..]) => {
                file = Digest::of_bytes(bytes);
                let prefix = ChunkPrefix { index: u32::from(*index), digest: file };
                [&prefix.encode()[..], bytes].concat()
            }
            (END, []) => file.0.to_vec(),
            _ => body.to_vec(),
        };
        said.extend([kind, 0]);
        said.extend(id.to_be_bytes());
        said.extend(u32::try_from(body.len()).unwrap_or_default().to_be_bytes());
        said.extend(body);
        input = rest;
    }
    said
}
