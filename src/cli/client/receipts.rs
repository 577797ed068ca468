//! `put --receipt` and `receipt check`: what the server signed about the files it got.

use std::collections::{BTreeMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde_json::json;
use tokio::task::JoinSet;

use super::args::CheckReceipt;
use super::files::utc;
use super::names;
use super::remote::{Access, Remote};
use crate::cli::{Exit, Failure, Ui, errors, untrusted};
use sealane_base::files::{EntryKind, FileSource, Tree};
use sealane_base::fsio;
use sealane_base::types::text::printable;
use sealane_base::types::{Digest, Pin, RemotePath};
use sealane_client::session::SessionError;
use sealane_client::tree::{Exclude, Problem, walk};
use sealane_client::{ReceiptError, SignedReceipt};
use sealane_protocol::transfer::{self, Meter, TransferError};
use sealane_tls::trust::{HostPort, KnownServer, State};

/// Receipts asked for at once.
const SIDE_BY_SIDE: usize = 16;
/// Largest file of receipts, written and read.
const MAX_FILE: u64 = 1 << 30;

/// Has the server sign each of `files`, by path and root, and writes that to `paper`. Gives the
/// failures.
pub(super) async fn fetch(
    remote: &Remote,
    paper: &Path,
    files: Vec<(RemotePath, Digest)>,
) -> Vec<Failure> {
    let (mut files, mut running) = (files.into_iter(), JoinSet::new());
    let (mut receipts, mut failures) = (Vec::new(), Vec::new());
    loop {
        while running.len() < SIDE_BY_SIDE.min(remote.client.max_requests())
            && remote.client.failure().is_none()
            && let Some((path, root)) = files.next()
        {
            let client = remote.client.clone();
            running.spawn(async move {
                let signed = client.receipt(&path, root).await;
                (path, signed)
            });
        }
        let Some(Ok((path, signed))) = running.join_next().await else { break };
        let what = format!("receipt of {path}");
        match signed {
            Ok(receipt) => receipts.push(receipt),
            Err(ReceiptError::Session(error)) => failures.push(errors::session(&what, &error)),
            Err(error) => failures.push(Failure::new(Exit::Integrity, format!("{what}: {error}"))),
        }
    }
    receipts.sort_by(|one, other| one.receipt.path.cmp(&other.receipt.path));
    let text = SignedReceipt::write_all(remote.server(), &receipts);
    if text.len() as u64 > MAX_FILE {
        let why = format!("the receipts are longer than {MAX_FILE} bytes and could not be read");
        failures.push(Failure::new(Exit::Other, why).hint("ask for them in parts"));
    } else if let Err(error) = fsio::write_atomic(paper, text.as_bytes(), 0o644) {
        failures.push(Failure::new(Exit::Other, error.to_string()));
    }
    failures
}

/// Checks the receipts in a file, and that local files are what they are about.
pub(super) async fn check(ui: Ui, access: &Access, args: &CheckReceipt) -> Result<(), Failure> {
    let name = args.receipt.display().to_string();
    let text = fsio::read_bounded(&args.receipt, MAX_FILE).map_err(|error| {
        let exit = if error.is_not_found() { Exit::NotFound } else { Exit::Other };
        Failure::new(exit, error.to_string())
    })?;
    let wrong = |error: ReceiptError| Failure::new(Exit::Integrity, format!("{name}: {error}"));
    let mut good = Vec::new();
    let (named, receipts) = SignedReceipt::read_all(&text).map_err(wrong)?;
    for (path, read) in receipts {
        let at = |error| Failure::new(Exit::Integrity, format!("{name}: {path}: {error}"));
        good.push(read.map_err(at)?);
    }
    let signers = signers(access, &named, &good).map_err(|error| error.of(&name))?;
    for (pin, signer) in &signers {
        ui.line(&format!("signed by {signer} with the key {pin}"));
    }
    for signed in &good {
        let receipt = &signed.receipt;
        let time = utc(i64::try_from(receipt.time).unwrap_or(0).saturating_mul(1_000_000_000));
        ui.object(&json!({
            "type": "receipt", "account": receipt.account.as_str(), "path": receipt.path.as_str(),
            "size": receipt.size, "root": receipt.root.to_string(), "time": time,
            "key": signed.pin().to_string(), "server": signers.get(&signed.pin()),
        }));
        let (path, root) = (&receipt.path, &receipt.root);
        ui.line(&format!("{root}  {time}  {}  {path}", receipt.account));
    }
    let roots: HashSet<Digest> = good.iter().map(|signed| signed.receipt.root).collect();
    for named in &args.files {
        for file in files_of(named).await? {
            let root = root_of(&file).await?;
            if !roots.contains(&root) {
                let text = format!("{}: {root} is not in {name}", file.display());
                return Err(Failure::new(Exit::Integrity, text));
            }
        }
    }
    ui.object(&json!({ "type": "result", "ok": true, "receipts": good.len() }));
    Ok(())
}

/// Why a receipt cannot be believed.
enum Unbelieved {
    Receipt(String, ReceiptError),
    Store(Failure),
}

impl Unbelieved {
    fn of(self, file: &str) -> Failure {
        match self {
            Self::Store(failure) => failure,
            Self::Receipt(path, error) => {
                Failure::new(Exit::Trust, format!("{file}: {path}: {error}"))
                    .hint("if it is the server's key, say so with --pin, or 'sealane trust add'")
            }
        }
    }
}

/// Who signed, by key. Each must be a key of --pin, else of the server that the file names: that
/// this is known with the key, and the key was not revoked.
fn signers(
    access: &Access,
    named: &str,
    good: &[SignedReceipt],
) -> Result<BTreeMap<Pin, String>, Unbelieved> {
    let mut signers = BTreeMap::new();
    if !access.pins.is_empty() {
        for signed in good {
            let pin = signed.pin();
            if !access.pins.contains(&pin) {
                return Err(unbelieved(signed, ReceiptError::Key(pin)));
            }
            signers.insert(pin, format!("the server of --pin, which says it is {named}"));
        }
        return Ok(signers);
    }
    let known = names::store().load().map_err(|e| Unbelieved::Store(untrusted::store(&e)))?;
    let server = HostPort::parse(named).and_then(|host_port| known.at(&host_port));
    let is_its = |server: &KnownServer, pin: &Pin| {
        server.key(pin).is_some_and(|key| key.state != State::Revoked)
    };
    for signed in good {
        let pin = signed.pin();
        if known.is_revoked(&pin) {
            return Err(unbelieved(signed, ReceiptError::Key(pin)));
        }
        match server.filter(|server| is_its(server, &pin)) {
            Some(server) => signers.insert(pin, in_words(server)),
            None => {
                let other = known.iter().find(|other| is_its(other, &pin));
                return Err(unbelieved(
                    signed,
                    match other {
                        Some(other) => {
                            let (signer, named) = (in_words(other), printable(named));
                            ReceiptError::Server { pin, signer, named }
                        }
                        None => ReceiptError::Key(pin),
                    },
                ));
            }
        };
    }
    Ok(signers)
}

fn unbelieved(signed: &SignedReceipt, error: ReceiptError) -> Unbelieved {
    Unbelieved::Receipt(signed.receipt.path.to_string(), error)
}

/// Where a known server is, and what the user calls it.
fn in_words(server: &KnownServer) -> String {
    match &server.name {
        Some(name) => format!("{} ({})", server.host_port, name.as_str()),
        None => server.host_port.to_string(),
    }
}

/// The file that is named, or all files in the directory that is.
async fn files_of(named: &Path) -> Result<Vec<PathBuf>, Failure> {
    if !named.is_dir() {
        return Ok(vec![named.to_owned()]);
    }
    let name = named.display().to_string();
    let tree = Tree::open(named).map_err(|error| errors::storage(&name, &error))?;
    let listing = walk(&Arc::new(tree), &Exclude::default()).await;
    let listing = listing.map_err(|error| errors::session(&name, &error))?;
    if let Some(Problem { path, error }) = listing.problems.first() {
        return Err(Failure::new(Exit::Other, format!("{name}/{path}: {error}")));
    }
    let files = listing.entries.iter().filter(|entry| entry.kind == EntryKind::File);
    Ok(files.map(|entry| named.join(entry.path.as_str())).collect())
}

async fn root_of(path: &Path) -> Result<Digest, Failure> {
    let (local, name) = (path.to_owned(), path.display().to_string());
    let read = tokio::task::spawn_blocking(move || -> Result<_, TransferError> {
        let source = FileSource::open(&local)?;
        transfer::root_of(&source, &Meter::default(), &|| false)
    });
    let read = read.await.unwrap_or(Err(TransferError::Thread)).map_err(SessionError::from);
    read.map_err(|error| errors::session(&name, &error))
}
