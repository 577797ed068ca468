//! `account token`: secrets that log programs in where they cannot prove a key.

use clap::Subcommand;
use serde_json::json;
use time::{Date, OffsetDateTime};

use super::keys::{conditions, lines, object, parse_day};
use super::running;
use crate::cli::{Exit, Failure, Ui};
use crate::config::Settings;
use sealane_base::types::{Network, Permissions, Pin, RemotePath, Username};
use sealane_core::accounts::{AccountKey, AccountManager, new_token};

#[derive(Debug, Subcommand)]
pub(super) enum TokenCommand {
    /// Make a token and print it, once; it takes the place of the password at the HTTPS door.
    #[command(after_help = "Examples:\n  sealane-admin account token add bob --comment backup\n  \
                      sealane-admin account token add bob --permissions read,list --root public \\\n    \
                      --from 192.0.2.0/24 --expires 2027-01-31")]
    Add {
        /// The account.
        #[arg(value_name = "NAME", value_parser = Username::parse)]
        name: Username,
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
        /// A directory in the home that is all of it for this token; made at its first login.
        #[arg(long, value_name = "PATH", default_value = "", value_parser = RemotePath::parse)]
        root: RemotePath,
    },
    /// List the tokens of an account by their pins; no token can be read out of them.
    #[command(after_help = "Example:\n  sealane-admin account token list bob")]
    List {
        /// The account.
        #[arg(value_name = "NAME", value_parser = Username::parse)]
        name: Username,
    },
    /// Refuse a token from now on, and end the sessions it has.
    #[command(after_help = "Example:\n  sealane-admin account token revoke bob sha256//…")]
    Revoke {
        /// The account.
        #[arg(value_name = "NAME", value_parser = Username::parse)]
        name: Username,
        /// The token's pin, as `token list` shows it.
        #[arg(value_name = "PIN", value_parser = Pin::parse)]
        pin: Pin,
    },
}

pub(super) fn run(
    ui: Ui,
    settings: &Settings,
    manager: &AccountManager,
    command: TokenCommand,
) -> Result<(), Failure> {
    match command {
        TokenCommand::Add { name, comment, expires, from, permissions, root } => {
            let made = new_token();
            let (token, pin) =
                made.map_err(|error| Failure::new(Exit::Other, format!("no randomness: {error}")))?;
            let (added, is_token) = (Some(OffsetDateTime::now_utc().date()), true);
            let key =
                AccountKey { pin, is_token, comment, added, expires, from, permissions, root };
            // Before anything is changed: what was not seen by anybody is no token.
            let copy = json!({ "type": "token", "name": name.as_str(), "token": token.expose() });
            ui.only_copy(token.expose(), &copy)?;
            manager.add_key(&name, &key)?;
            ui.note(&format!("{name}: {pin} may log in; {}", conditions(&key)));
            ui.object(&json!({ "type": "result", "name": name.as_str(), "key": object(&key) }));
        }
        TokenCommand::List { name } => {
            let keys = manager.show(&name)?.keys;
            let is_token = |key: &Result<AccountKey, _>| key.as_ref().is_ok_and(|key| key.is_token);
            let tokens: Vec<_> = keys.into_iter().filter(is_token).collect();
            lines(&tokens).iter().for_each(|line| ui.line(line));
            tokens.iter().flatten().for_each(|token| ui.object(&object(token)));
            let count = tokens.len();
            ui.object(&json!({ "type": "result", "name": name.as_str(), "tokens": count }));
        }
        TokenCommand::Revoke { name, pin } => {
            manager.revoke_key(&name, &pin)?;
            running::recheck(ui, settings);
            ui.line(&format!("{name}: {pin} may not log in any more"));
            ui.object(&json!({ "type": "result", "name": name.as_str(), "pin": pin.to_string() }));
        }
    }
    Ok(())
}
