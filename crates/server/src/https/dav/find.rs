//! `PROPFIND`: what a file or directory is, and what is in it, page by page.

use std::sync::Arc;

use bytes::Bytes;
use hyper::StatusCode;
use tokio::sync::mpsc::Sender;
use tokio::time::timeout;
use tracing::Instrument as _;

use super::asked::{Asked, as_xml, error};
use super::locking::{seen, whole};
use super::properties::{CLOSING, OPENING, Resource, Wanted};
use super::xml::{self, Element};
use crate::https::answer::{Answer, answer};
use crate::https::body::{Body, CutOff};
use crate::https::problem::Problem;
use crate::https::session::Session;
use sealane_base::files::{EntryKind, StorageError};
use sealane_base::types::RemotePath;
use sealane_core::service::Login;
use sealane_core::storage::{Entry, Usage};

/// Names in one piece of an answer, and properties that may be asked for.
const PAGE: usize = 128;
const MOST_PROPERTIES: usize = 128;

/// Answers `PROPFIND` of depth 0 and 1.
pub(super) async fn serve(asked: Asked<'_>) -> Result<Answer, Problem> {
    let Asked { session, login, place, headers, body } = asked;
    let depth = headers.get("depth").map_or(&b"infinity"[..], |depth| depth.as_bytes());
    let is_deep = match depth {
        b"0" => false,
        b"1" => true,
        _ => {
            // Which the RFC lets a server refuse, with these words.
            let mut told = Problem::new(StatusCode::FORBIDDEN, "infinite-depth", "");
            told.detail = "directories are listed one at a time: Depth 0 or 1".to_owned();
            return Ok(error(&told, "propfind-finite-depth"));
        }
    };
    let wanted = wanted(xml::parse(&body.collect(xml::MAX_BODY).await?)?)?;
    let (home, path) = (Arc::clone(login.home()), place.path.clone());
    let look = move || {
        let entry = home.stat(&path)?;
        Ok::<_, StorageError>((entry, home.usage().ok()))
    };
    let (entry, usage) = login.queue().run(look).await?;
    let is_directory = entry.kind == EntryKind::Directory;
    let telling = Telling {
        session: Arc::clone(session),
        login: Arc::clone(login),
        path: place.path,
        wanted,
        usage,
    };
    let first = telling.resource(telling.path.clone(), entry)?.tell(&telling.wanted);
    let first = format!("{OPENING}{first}");
    if !is_deep || !is_directory {
        return Ok(as_xml(answer(StatusCode::MULTI_STATUS, Body::whole(first + CLOSING))));
    }
    let (pieces, body) = Body::pieces(None);
    let stop = session.stop.clone();
    let work = async move { stop.run_until_cancelled_owned(telling.tell(first, pieces)).await };
    tokio::spawn(work.in_current_span());
    Ok(as_xml(answer(StatusCode::MULTI_STATUS, body)))
}

fn wanted(request: Option<Element>) -> Result<Wanted, Problem> {
    let Some(request) = request else { return Ok(Wanted::All) };
    let wrong = || Problem::bad_request("the body asks for no properties");
    if !request.name.is_dav("propfind") {
        return Err(wrong());
    }
    if let Some(named) = request.child("prop") {
        if named.children.len() > MOST_PROPERTIES {
            return Err(Problem::bad_request("too many properties are asked for"));
        }
        let names = named.children.iter().map(|child| child.name.clone());
        return Ok(Wanted::These(names.collect()));
    }
    match (request.child("allprop"), request.child("propname")) {
        (Some(_), None) => Ok(Wanted::All),
        (None, Some(_)) => Ok(Wanted::Names),
        _ => Err(wrong()),
    }
}

/// A listing on its way to a peer.
struct Telling {
    session: Arc<Session>,
    login: Arc<Login>,
    path: RemotePath,
    wanted: Wanted,
    usage: Option<Usage>,
}

impl Telling {
    fn resource(&self, path: RemotePath, entry: Entry) -> Result<Resource, Problem> {
        let account = self.login.principal().name();
        let locks = self.session.door.locks.covering(account, &whole(&self.login, &path)?);
        let locks = locks.into_iter().map(|lock| seen(&self.login, lock)).collect();
        Ok(Resource { path, entry, usage: self.usage, locks })
    }

    async fn tell(self, first: String, pieces: Sender<Result<Bytes, CutOff>>) {
        if self.tell_all(first, &pieces).await.is_none() {
            // The peer sees that it is not all.
            let _ = pieces.try_send(Err(CutOff));
        }
    }

    async fn tell_all(&self, first: String, pieces: &Sender<Result<Bytes, CutOff>>) -> Option<()> {
        let (home, path) = (Arc::clone(self.login.home()), self.path.clone());
        let mut scan = self.login.queue().run(move || home.scan(&path)).await.ok()?;
        let mut text = first;
        loop {
            let read = move || {
                let page = scan.next_page(PAGE);
                (scan, page)
            };
            let (next, page) = self.login.queue().run(read).await;
            scan = next;
            let page = page.ok()?;
            for entry in page.entries {
                // What is neither cannot be opened.
                if matches!(entry.kind, EntryKind::File | EntryKind::Directory)
                    && let Ok(path) = self.path.join(&entry.name)
                {
                    text += &self.resource(path, entry).ok()?.tell(&self.wanted);
                }
            }
            if !page.more {
                text += CLOSING;
            }
            if !text.is_empty() {
                self.give(std::mem::take(&mut text).into(), pieces).await?;
            }
            if !page.more {
                // The end, which an empty piece says.
                return self.give(Bytes::new(), pieces).await;
            }
        }
    }

    async fn give(&self, piece: Bytes, pieces: &Sender<Result<Bytes, CutOff>>) -> Option<()> {
        let patience = self.session.door.limits.transfer_stall;
        timeout(patience, pieces.send(Ok(piece))).await.ok()?.ok()
    }
}
