//! `trust`: shows and changes the known servers.

use std::path::PathBuf;

use clap::Subcommand;
use serde_json::json;

use super::names;
use super::remote::Access;
use crate::cli::untrusted::{day, store as failure};
use crate::cli::{Exit, Failure, Ui};
use sealane_base::fsio;
use sealane_base::types::text::printable;
use sealane_base::types::{Address, Pin, PinSet, Username};
use sealane_tls::trust::{
    DamagedEntry, HostPort, KnownServer, KnownServers, MAX_FILE, ServerName, Source, TrustError,
};

#[derive(Debug, Subcommand)]
pub(super) enum TrustCommand {
    /// List known servers, one a line
    List,
    /// Show a server's keys, or those of all
    Show {
        /// Its name, host:port or address
        server: Option<String>,
    },
    /// Remember a server by the keys in the address, without connecting
    ///
    /// Without keys it looks at the one that the server shows, and asks for it at a terminal (or
    /// takes it with --accept-new).
    ///
    /// Example: `sealane trust add --name work 'sealane://ahpu@host/?pin=sha256.…&pin=sha256.…'`
    Add {
        /// Call it so: NAME:PATH then works wherever an address does; names that it has already
        /// stay
        #[arg(long, value_name = "NAME", value_parser = ServerName::parse)]
        name: Option<ServerName>,
        /// Its address, or host:port
        #[arg(value_name = "ADDRESS")]
        server: String,
        /// Its keys, the one in use first, then its backups
        #[arg(value_name = "PIN", value_parser = Pin::parse)]
        keys: Vec<Pin>,
    },
    /// Put a new key in the place of one that is known
    Replace {
        /// Its name, host:port or address
        server: String,
        /// The key that is known
        #[arg(long, value_name = "PIN", value_parser = Pin::parse)]
        old: Pin,
        /// The key that the administrator confirmed
        #[arg(long, value_name = "PIN", value_parser = Pin::parse)]
        new: Pin,
    },
    /// Forget a server with all its keys
    Remove {
        /// Its name, host:port or address
        #[arg(required_unless_present = "damaged")]
        server: Option<String>,
        /// Instead of one server: every entry of the file that cannot be read
        #[arg(long, conflicts_with = "server")]
        damaged: bool,
    },
    /// Print everything known, for `trust import` on another machine
    Export,
    /// Take over what another machine exported; nothing known is changed
    Import {
        /// The file
        file: PathBuf,
    },
}

/// Runs one of them.
pub(super) async fn run(ui: Ui, access: &Access, command: TrustCommand) -> Result<(), Failure> {
    match command {
        TrustCommand::List => list(ui),
        TrustCommand::Show { server } => show(ui, server.as_deref()),
        TrustCommand::Add { name, server, keys } => add(ui, access, name, &server, keys).await,
        TrustCommand::Replace { server, old, new } => {
            change(ui, &server, |known, host_port| known.replace(host_port, &old, new, now()))
        }
        TrustCommand::Remove { server: Some(server), .. } => {
            change(ui, &server, KnownServers::remove)
        }
        TrustCommand::Remove { server: None, .. } => remove_damaged(ui),
        TrustCommand::Export => export(ui),
        TrustCommand::Import { file } => import(ui, &file),
    }
}

/// Seconds since 1970.
fn now() -> i64 {
    time::OffsetDateTime::now_utc().unix_timestamp()
}

fn load() -> Result<KnownServers, Failure> {
    names::store().load().map_err(|error| failure(&error))
}

fn list(ui: Ui) -> Result<(), Failure> {
    let known = load()?;
    for server in known.iter() {
        ui.object(&object("server", server));
        let names: Vec<_> = server.names().map(ServerName::as_str).collect();
        let name = if names.is_empty() { "-".to_owned() } else { names.join(",") };
        let keys: Vec<_> =
            server.pins().iter().flat_map(PinSet::iter).map(Pin::to_string).collect();
        ui.line(&format!("{name:<12}  {}  {}", server.host_port, keys.join(" ")));
    }
    tell_damaged(ui, &known);
    ui.object(&json!({ "type": "result", "ok": true, "servers": known.iter().count() }));
    Ok(())
}

/// Entries that cannot be read are no reason to show nothing.
fn tell_damaged(ui: Ui, known: &KnownServers) {
    for DamagedEntry { host_port, name, why, .. } in known.damaged() {
        let host_port = host_port.as_ref().map(ToString::to_string);
        ui.object(&json!({
            "type": "damaged", "server": host_port, "name": name.as_ref().map(ServerName::as_str),
            "why": printable(why),
        }));
        let which = host_port.unwrap_or_else(|| "an entry without a server".to_owned());
        ui.note(&format!(
            "{which} is not used, its entry is damaged: {}; 'sealane trust remove' forgets it",
            printable(why)
        ));
    }
}

fn remove_damaged(ui: Ui) -> Result<(), Failure> {
    let removed = names::store().update(|known| Ok(known.remove_damaged()));
    let removed = removed.map_err(|error| failure(&error))?;
    ui.note(&format!("{removed} damaged entries are forgotten"));
    ui.object(&json!({ "type": "result", "ok": true, "removed": removed }));
    Ok(())
}

fn show(ui: Ui, server: Option<&str>) -> Result<(), Failure> {
    let known = load()?;
    tell_damaged(ui, &known);
    let only = server.map(|text| host_port(&known, text)).transpose()?;
    let mut shown = 0;
    for server in
        known.iter().filter(|one| only.as_ref().is_none_or(|host_port| one.host_port == *host_port))
    {
        shown += 1;
        ui.object(&object("server", server));
        print(ui, server);
    }
    match &only {
        Some(host_port) if shown == 0 => Err(failure(&TrustError::Unknown(host_port.to_string()))),
        _ => {
            ui.object(&json!({ "type": "result", "ok": true, "servers": shown }));
            Ok(())
        }
    }
}

fn print(ui: Ui, server: &KnownServer) {
    ui.line(&server.host_port.to_string());
    for name in server.names() {
        let user = server.user_of(name).map(|user| format!(", account {user}"));
        ui.line(&format!("  name {name}{}", user.unwrap_or_default()));
    }
    for key in &server.keys {
        let seen = key.last_seen.map_or("never".to_owned(), day);
        ui.line(&format!("  {:<8} {}", key.state.as_str(), key.pin));
        ui.line(&format!("           {}", key.pin.read_aloud()));
        ui.line(&format!(
            "           from {}, known since {}, {} since {}, last seen {seen}",
            key.source.as_str(),
            day(key.first_seen),
            key.state.as_str(),
            day(key.since)
        ));
    }
}

fn object(of: &str, server: &KnownServer) -> serde_json::Value {
    let keys = server.keys.iter().map(|key| {
        json!({
            "pin": key.pin.to_string(), "state": key.state.as_str(), "source": key.source.as_str(),
            "first_seen": key.first_seen, "last_seen": key.last_seen, "since": key.since,
        })
    });
    json!({
        "type": of, "server": server.host_port.to_string(), "epoch": server.epoch,
        "name": server.name.as_ref().map(ServerName::as_str),
        "names": server.names().map(ServerName::as_str).collect::<Vec<_>>(),
        "user": server.user.as_ref().map(Username::as_str), "keys": keys.collect::<Vec<_>>(),
    })
}

async fn add(
    ui: Ui,
    access: &Access,
    name: Option<ServerName>,
    server: &str,
    keys: Vec<Pin>,
) -> Result<(), Failure> {
    let (host_port, user, in_address) = server_of(server)?;
    let is_known = load()?.at(&host_port).is_some();
    let (keys, source) = match (keys.is_empty(), in_address.is_empty()) {
        (false, true) => (keys, Source::Typed),
        (true, false) => (in_address, Source::Address),
        (false, false) => {
            return Err(Failure::new(
                Exit::Usage,
                "the address names keys, and so do the arguments",
            )
            .hint("leave one of them out"));
        }
        (true, true) if !access.pins.is_empty() => (access.pins.clone(), Source::Typed),
        (true, true) if is_known => (Vec::new(), Source::Typed),
        (true, true) => {
            let (pin, source) = access.first_contact(&host_port).await?;
            (vec![pin], source)
        }
    };
    let change = |known: &mut KnownServers| {
        if let Some(pins) = PinSet::new(keys) {
            known.add(&host_port, &pins, source, now())?;
        }
        name.map_or(Ok(()), |name| known.set_name(&host_port, name, user))
    };
    names::store().update(change).map_err(|error| failure(&error))?;
    if !is_known && load()?.at(&host_port).is_some_and(|server| server.keys.len() == 1) {
        ui.note("no backup key is known: give the whole address, which has both");
    }
    done(ui);
    Ok(())
}

/// Place, account and keys of `sealane://…` or `host:port`.
fn server_of(text: &str) -> Result<(HostPort, Option<Username>, Vec<Pin>), Failure> {
    if !Address::looks_like(text) {
        let host_port = HostPort::parse(text).ok_or_else(|| no_server(text))?;
        return Ok((host_port, None, Vec::new()));
    }
    let wrong = |error: sealane_base::types::address::AddressError| {
        Failure::new(Exit::Usage, error.to_string())
    };
    let address = Address::parse(text).map_err(wrong)?;
    if !address.path.is_root() {
        return Err(Failure::new(
            Exit::Usage,
            "a name stands for a server and an account, not for a path",
        )
        .hint("leave the path out of the address"));
    }
    Ok((HostPort::of(&address), address.user, address.pins))
}

fn no_server(text: &str) -> Failure {
    Failure::new(
        Exit::Usage,
        format!("'{text}' is neither a known name nor host:port nor an address"),
    )
    .hint("'sealane trust list' shows the known servers")
}

/// The place of a server that is named, or given by host and port, or by address.
fn host_port(known: &KnownServers, text: &str) -> Result<HostPort, Failure> {
    let named = ServerName::parse(text).ok().and_then(|name| known.named(&name));
    if let Some(server) = named {
        return Ok(server.host_port.clone());
    }
    let damaged = known
        .damaged()
        .iter()
        .find(|entry| entry.name.as_ref().is_some_and(|name| name.as_str() == text));
    if let Some(host_port) = damaged.and_then(|entry| entry.host_port.clone()) {
        return Ok(host_port);
    }
    let address = Address::parse(text).ok().map(|address| HostPort::of(&address));
    address.or_else(|| HostPort::parse(text)).ok_or_else(|| no_server(text))
}

fn change(
    ui: Ui,
    server: &str,
    change: impl FnOnce(&mut KnownServers, &HostPort) -> Result<(), TrustError>,
) -> Result<(), Failure> {
    let host_port = host_port(&load()?, server)?;
    names::store().update(|known| change(known, &host_port)).map_err(|error| failure(&error))?;
    done(ui);
    Ok(())
}

fn export(ui: Ui) -> Result<(), Failure> {
    let known = load()?;
    let text = String::from_utf8_lossy(&known.export()).into_owned();
    text.lines().for_each(|line| ui.line(line));
    for server in known.iter() {
        ui.object(&object("server", server));
    }
    Ok(())
}

fn import(ui: Ui, file: &std::path::Path) -> Result<(), Failure> {
    let bytes = fsio::read_bounded(file, MAX_FILE).map_err(|error| {
        let exit = if error.is_not_found() { Exit::NotFound } else { Exit::Usage };
        Failure::new(exit, error.to_string())
    })?;
    let added = names::store().update(|known| known.import(file, &bytes));
    let added = added.map_err(|error| match &error {
        // It is not our own file that is damaged.
        TrustError::Damaged { path, .. } | TrustError::Newer { path, .. } if path == file => {
            Failure::new(Exit::Usage, error.to_string())
                .hint("'sealane trust export' writes such a file; nothing known was changed")
        }
        _ => failure(&error),
    })?;
    ui.note(&format!("{added} servers are new"));
    ui.object(&json!({ "type": "result", "ok": true, "added": added }));
    Ok(())
}

fn done(ui: Ui) {
    ui.object(&json!({ "type": "result", "ok": true }));
}
