//! The properties that files and directories have, and answers that list them.

use std::time::Instant;

use quick_xml::escape::escape;

use super::table::Lock;
use super::xml::{DAV, Name};
use crate::https::conditions;
use crate::https::place::Encoded;
use sealane_base::files::EntryKind;
use sealane_base::types::RemotePath;
use sealane_core::storage::{Entry, Usage};

/// Where WebDAV is served.
pub(in crate::https) const PREFIX: &str = "/dav";

pub(super) const OPENING: &str =
    "<?xml version=\"1.0\" encoding=\"utf-8\"?>\n<D:multistatus xmlns:D=\"DAV:\">";
pub(super) const CLOSING: &str = "</D:multistatus>\n";

const NAMES: [&str; 10] = [
    "resourcetype",
    "displayname",
    "getcontentlength",
    "getcontenttype",
    "getlastmodified",
    "getetag",
    "supportedlock",
    "lockdiscovery",
    "quota-available-bytes",
    "quota-used-bytes",
];

/// Of which properties a client wants to hear.
#[derive(Clone, Debug)]
pub(super) enum Wanted {
    All,
    Names,
    These(Vec<Name>),
}

/// A file or directory, as its properties tell of it.
#[derive(Debug)]
pub(super) struct Resource {
    pub(super) path: RemotePath,
    pub(super) entry: Entry,
    pub(super) usage: Option<Usage>,
    /// With the paths that the client knows.
    pub(super) locks: Vec<Lock>,
}

/// The path of a resource as a URL names it.
pub(super) fn href(path: &RemotePath, is_directory: bool) -> String {
    let slash = if is_directory && !path.is_root() { "/" } else { "" };
    format!("{PREFIX}{}{slash}", Encoded(path))
}

impl Resource {
    fn is_directory(&self) -> bool {
        self.entry.kind == EntryKind::Directory
    }

    /// What a property of WebDAV holds, as XML; `None` if there is none of that name.
    fn value(&self, name: &str) -> Option<String> {
        let is_directory = self.is_directory();
        Some(match name {
            "resourcetype" if is_directory => "<D:collection/>".to_owned(),
            "resourcetype" => String::new(),
            "displayname" => escape(self.entry.name.as_str()).into_owned(),
            "getcontentlength" if !is_directory => self.entry.size.to_string(),
            "getcontenttype" if !is_directory => "application/octet-stream".to_owned(),
            "getlastmodified" => conditions::date(self.entry.modified)?,
            "getetag" if !is_directory => {
                escape(conditions::tag(self.entry.version).as_str()).into_owned()
            }
            "supportedlock" => ["exclusive", "shared"]
                .map(|scope| {
                    format!(
                        "<D:lockentry><D:lockscope><D:{scope}/></D:lockscope>\
                         <D:locktype><D:write/></D:locktype></D:lockentry>"
                    )
                })
                .concat(),
            "lockdiscovery" => self.locks.iter().map(active).collect(),
            "quota-available-bytes" if is_directory => {
                let Usage { used, reserved, limit } = self.usage?;
                limit.saturating_sub(used.saturating_add(reserved)).to_string()
            }
            "quota-used-bytes" if is_directory => {
                let Usage { used, reserved, .. } = self.usage?;
                used.saturating_add(reserved).to_string()
            }
            _ => return None,
        })
    }

    /// One response of an answer to `PROPFIND`.
    pub(super) fn tell(&self, wanted: &Wanted) -> String {
        let all = || NAMES.map(|local| Name { namespace: DAV.to_owned(), local: local.to_owned() });
        let (names, is_named) = match wanted {
            Wanted::All => (all().to_vec(), false),
            Wanted::Names => (all().to_vec(), false),
            Wanted::These(names) => (names.clone(), true),
        };
        let (mut found, mut missing) = (String::new(), String::new());
        for name in &names {
            let value = (name.namespace == DAV).then(|| self.value(&name.local)).flatten();
            let (opening, closing) = (name.opening(), name.closing());
            match value {
                Some(_) if matches!(wanted, Wanted::Names) => found += &format!("<{opening}/>"),
                Some(value) => found += &format!("<{opening}>{value}</{closing}>"),
                None if is_named => missing += &format!("<{opening}/>"),
                None => {}
            }
        }
        let mut stats = String::new();
        if !found.is_empty() || missing.is_empty() {
            stats += &propstat(&found, "200 OK");
        }
        if !missing.is_empty() {
            stats += &propstat(&missing, "404 Not Found");
        }
        response(&href(&self.path, self.is_directory()), &stats)
    }
}

pub(super) fn propstat(properties: &str, status: &str) -> String {
    format!(
        "<D:propstat><D:prop>{properties}</D:prop>\
         <D:status>HTTP/1.1 {status}</D:status></D:propstat>"
    )
}

pub(super) fn response(href: &str, stats: &str) -> String {
    format!("<D:response><D:href>{}</D:href>{stats}</D:response>\n", escape(href))
}

/// A lock as it is shown, its path being that which the client knows.
pub(super) fn active(lock: &Lock) -> String {
    let scope = if lock.is_shared { "shared" } else { "exclusive" };
    let depth = if lock.is_deep { "infinity" } else { "0" };
    let left = lock.until.saturating_duration_since(Instant::now());
    // A part of a second is one that is left.
    let seconds = left.as_millis().div_ceil(1000);
    let Lock { token, owner, path, .. } = lock;
    let root = href(path, false);
    format!(
        "<D:activelock><D:locktype><D:write/></D:locktype><D:lockscope><D:{scope}/></D:lockscope>\
         <D:depth>{depth}</D:depth><D:owner>{owner}</D:owner>\
         <D:timeout>Second-{seconds}</D:timeout>\
         <D:locktoken><D:href>{token}</D:href></D:locktoken>\
         <D:lockroot><D:href>{root}</D:href></D:lockroot></D:activelock>"
    )
}
