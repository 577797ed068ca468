//! `account key`: which keys log in to an account without a password.

use clap::Subcommand;
use serde_json::{Value, json};
use time::{Date, OffsetDateTime};

use super::running;
use super::words::aligned;
use crate::cli::{Failure, Ui};
use crate::config::Settings;
use sealane_base::types::{Network, Permissions, Pin, RemotePath, Username, day};
use sealane_core::accounts::{AccountKey, AccountManager, KeyProblem};

#[derive(Debug, Subcommand)]
pub(super) enum KeyCommand {
    /// Let a key log in; `sealane key show` prints its pin.
    #[command(
        after_help = "Examples:\n  sealane-admin account key add bob sha256//… --comment laptop\n  \
                      sealane-admin account key add bob sha256//… --permissions write --root incoming \\\n    \
                      --from 192.0.2.0/24 --expires 2027-01-31"
    )]
    Add {
        /// The account.
        #[arg(value_name = "NAME", value_parser = Username::parse)]
        name: Username,
        /// The key: `sha256//BASE64` or `sha256.BASE64URL`.
        #[arg(value_name = "PIN", value_parser = Pin::parse)]
        pin: Pin,
        /// Whose or which it is.
        #[arg(long, value_name = "TEXT", default_value = "")]
        comment: String,
        /// The last day (UTC) on which it may log in.
        #[arg(long, value_name = "DAY", value_parser = parse_day)]
        expires: Option<Date>,
        /// Where it may log in from: addresses or networks, with commas or given again [default:
        /// anywhere].
        #[arg(long, value_name = "NETWORK", value_delimiter = ',', value_parser = Network::parse)]
        from: Vec<Network>,
        /// What it may do: some of read, write and list.
        #[arg(long, value_name = "LIST", default_value = "read,write,list", value_parser = Permissions::parse)]
        permissions: Permissions,
        /// A directory in the home that is all of it for this key; made at its first login.
        #[arg(long, value_name = "PATH", default_value = "", value_parser = RemotePath::parse)]
        root: RemotePath,
    },
    /// List the keys of an account.
    #[command(after_help = "Example:\n  sealane-admin account key list bob")]
    List {
        /// The account.
        #[arg(value_name = "NAME", value_parser = Username::parse)]
        name: Username,
    },
    /// Refuse a key from now on, and end the sessions it has.
    #[command(after_help = "Example:\n  sealane-admin account key revoke bob sha256//…")]
    Revoke {
        /// The account.
        #[arg(value_name = "NAME", value_parser = Username::parse)]
        name: Username,
        /// The key, as `key list` shows it.
        #[arg(value_name = "PIN", value_parser = Pin::parse)]
        pin: Pin,
    },
}

pub(super) fn parse_day(text: &str) -> Result<Date, String> {
    day::parse(text).ok_or_else(|| "expected a day such as 2027-01-31".to_owned())
}

pub(super) fn run(
    ui: Ui,
    settings: &Settings,
    manager: &AccountManager,
    command: KeyCommand,
) -> Result<(), Failure> {
    match command {
        KeyCommand::Add { name, pin, comment, expires, from, permissions, root } => {
            let added = Some(OffsetDateTime::now_utc().date());
            let is_token = false;
            let key =
                AccountKey { pin, is_token, comment, added, expires, from, permissions, root };
            manager.add_key(&name, &key)?;
            ui.line(&format!("{name}: {pin} may log in; {}", conditions(&key)));
            ui.object(&json!({ "type": "result", "name": name.as_str(), "key": object(&key) }));
            Ok(())
        }
        KeyCommand::List { name } => list(ui, manager, &name),
        KeyCommand::Revoke { name, pin } => {
            manager.revoke_key(&name, &pin)?;
            running::recheck(ui, settings);
            ui.line(&format!("{name}: {pin} may not log in any more"));
            ui.object(&json!({ "type": "result", "name": name.as_str(), "pin": pin.to_string() }));
            Ok(())
        }
    }
}

fn list(ui: Ui, manager: &AccountManager, name: &Username) -> Result<(), Failure> {
    let keys = manager.show(name)?.keys;
    for line in lines(&keys) {
        ui.line(&line);
    }
    for key in &keys {
        ui.object(&match key {
            Ok(key) => object(key),
            Err(problem) => json!({
                "type": "key", "pin": problem.pin.map(|pin| pin.to_string()), "problem": problem.to_string(),
            }),
        });
    }
    ui.object(&json!({ "type": "result", "name": name.as_str(), "keys": keys.len() }));
    Ok(())
}

/// Keys as a table, the ones that count for nothing behind the others.
pub(super) fn lines(keys: &[Result<AccountKey, KeyProblem>]) -> Vec<String> {
    let good = keys.iter().flatten().map(|key| {
        let added = key.added.map_or_else(|| "-".to_owned(), |day| day.to_string());
        [key.pin.to_string(), added, conditions(key), key.comment.clone()]
    });
    let mut lines = aligned(&good.collect::<Vec<_>>());
    lines.extend(keys.iter().filter_map(|key| key.as_ref().err()).map(ToString::to_string));
    lines
}

pub(super) fn conditions(key: &AccountKey) -> String {
    let mut conditions = vec![key.permissions.to_string()];
    if key.is_token {
        conditions.insert(0, "token:".to_owned());
    }
    if !key.root.is_root() {
        conditions.push(format!("in /{}", key.root));
    }
    if !key.from.is_empty() {
        let networks: Vec<_> = key.from.iter().map(ToString::to_string).collect();
        conditions.push(format!("from {}", networks.join(",")));
    }
    conditions.extend(key.expires.map(|day| format!("until {day}")));
    conditions.join(" ")
}

pub(super) fn object(key: &AccountKey) -> Value {
    json!({
        "type": "key",
        "pin": key.pin.to_string(),
        "token": key.is_token,
        "comment": key.comment,
        "added": key.added.map(|day| day.to_string()),
        "expires": key.expires.map(|day| day.to_string()),
        "from": key.from.iter().map(ToString::to_string).collect::<Vec<_>>(),
        "permissions": key.permissions.to_string(),
        "root": key.root.as_str(),
    })
}
