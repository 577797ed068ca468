//! `key`: makes, shows and enrols the user's own key.

use std::path::Path;

use clap::Subcommand;
use serde_json::json;
use time::OffsetDateTime;

use super::names;
use super::own_key::{self, OwnKey};
use super::remote::Access;
use crate::cli::{Exit, Failure, Ui, errors};
use crate::config::environment;
use sealane_base::fsio;
use sealane_base::types::text::printable;
use sealane_base::types::{Address, Pin};
use sealane_protocol::Status;
use sealane_tls::generate;

const MODE: u32 = 0o600;
const DIRECTORY_MODE: u32 = 0o700;

#[derive(Debug, Subcommand)]
pub(super) enum KeyCommand {
    /// Make a key that logs in instead of a password; never overwrites one
    ///
    /// It lies in `sealane/key.pem` in the configuration directory unless `--key` or `SEALANE_KEY`
    /// says where.
    Generate {
        /// P-256 instead of Ed25519
        #[arg(long)]
        p256: bool,
    },
    /// Show the key's pin, which an administrator enters with `sealane-admin account key add`
    Show,
    /// Log in with the password once more, and let the key log in from then on; one that does
    /// already is left as it is
    ///
    /// Example: `sealane key enroll ann@work --comment laptop`
    Enroll {
        /// The server: its name, host:port or address, with the account
        #[arg(value_name = "[USER@]SERVER", value_parser = server)]
        server: Address,
        /// What the administrator sees of it [default: the name of this machine]
        #[arg(long, value_name = "TEXT")]
        comment: Option<String>,
    },
}

/// `work`, `ann@work`, `ann@host:port` or a whole address.
fn server(text: &str) -> Result<Address, String> {
    if Address::looks_like(text) {
        return Address::parse(text).map_err(|error| error.to_string());
    }
    let is_place = text.rsplit_once(':').is_some_and(|(_, port)| port.parse::<u16>().is_ok());
    if is_place {
        return Address::parse(&format!("sealane://{text}")).map_err(|error| error.to_string());
    }
    let named = if text.ends_with(':') { text.to_owned() } else { format!("{text}:") };
    names::address(&named).map_err(|error| error.to_string())
}

/// Runs one of them.
pub(super) async fn run(ui: Ui, access: &Access, command: KeyCommand) -> Result<(), Failure> {
    match command {
        KeyCommand::Generate { p256 } => make(ui, access, p256),
        KeyCommand::Show => {
            let key = OwnKey::require(access.key.clone())?;
            show(ui, &key.path, &key.identity.pin());
            Ok(())
        }
        KeyCommand::Enroll { server, comment } => enroll(ui, access, &server, comment).await,
    }
}

fn make(ui: Ui, access: &Access, p256: bool) -> Result<(), Failure> {
    let wrong = |error: fsio::FsError| {
        let failure = Failure::new(Exit::Other, error.to_string());
        if error.is_exists() {
            failure
                .because_it_exists()
                .hint("a key is never overwritten: 'sealane key show' shows it; move it away first")
        } else {
            failure
        }
    };
    let Some((path, is_named)) = own_key::place(access.key.clone()) else {
        return Err(Failure::new(Exit::Usage, "there is no place for a key")
            .hint("set HOME, or say where with --key"));
    };
    if let Some(directory) = environment::config_directory().filter(|_| !is_named) {
        fsio::create_directories(&directory, DIRECTORY_MODE).map_err(wrong)?;
    }
    let made = generate::client_key(p256, OffsetDateTime::now_utc())
        .map_err(|error| Failure::new(Exit::Other, error.to_string()))?;
    let text = zeroize::Zeroizing::new([made.key_pem.expose(), &made.certificate_pem].concat());
    fsio::create_new(&path, text.as_bytes(), MODE).map_err(wrong)?;
    show(ui, &path, &made.pin);
    ui.note("next: sealane key enroll USER@SERVER, or give the pin to the administrator");
    Ok(())
}

fn show(ui: Ui, path: &Path, pin: &Pin) {
    let shown = printable(&path.to_string_lossy());
    ui.line(&pin.to_string());
    ui.line(&pin.read_aloud());
    ui.note(&format!(
        "from '{shown}'; the same with openssl x509 -in '{shown}' -pubkey -noout | openssl pkey -pubin \
         -outform der | openssl dgst -sha256 -binary | base64"
    ));
    ui.object(&json!({
        "type": "result", "ok": true, "file": path, "pin": pin.to_string(), "read_aloud": pin.read_aloud(),
    }));
}

async fn enroll(
    ui: Ui,
    access: &Access,
    server: &Address,
    comment: Option<String>,
) -> Result<(), Failure> {
    let key = OwnKey::require(access.key.clone())?;
    let comment = comment.unwrap_or_else(machine);
    let (place, pin) = (server.host_port(), key.identity.pin());
    let user = server.user.clone().map(|user| user.to_string()).unwrap_or_default();
    let remote = access.connect_to_enroll(server, OwnKey::require(access.key.clone())?).await?;
    let enrolled = remote.client.enroll(&comment).await;
    remote.close().await;
    let is_new = enrolled.is_ok();
    if let Err(error) = enrolled {
        // One that logs in already is all that was wanted.
        let refused = error.status() == Some(Status::NotEnrolled);
        if !refused || !access.accepts(server, &key).await {
            return Err(errors::session(&place, &error));
        }
    }
    let since = if is_new { "from now on" } else { "already" };
    ui.line(&format!("{user} logs in to {place} with the key {pin} {since}"));
    ui.object(&json!({ "type": "result", "ok": true, "pin": pin.to_string(), "new": is_new }));
    Ok(())
}

fn machine() -> String {
    let name = rustix::system::uname();
    printable(&name.nodename().to_string_lossy()).chars().take(64).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_is_named_in_every_usual_way() {
        for (text, address) in [
            ("ann@files.example:1", "sealane://ann@files.example:1/"),
            ("sealane://ann@files.example:1", "sealane://ann@files.example:1/"),
            ("ann@[::1]:1", "sealane://ann@[::1]:1/"),
        ] {
            assert_eq!(server(text).unwrap().to_string(), address);
        }
        assert!(server("nobody-knows").unwrap_err().contains("no server is called 'nobody-knows'"));
    }
}
