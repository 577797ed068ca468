//! The command line of `sealane-admin`.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

use clap::{Parser, Subcommand, ValueEnum};

use super::keys::KeyCommand;
use super::tokens::TokenCommand;
use sealane_base::types::{Pin, Username, size};

/// Looks after a sealane server: its directory, address, certificates and accounts.
#[derive(Debug, Parser)]
#[command(
    name = "sealane-admin",
    version,
    after_help = "Example, a server from nothing:\n  \
                  sealane-admin init /srv/sealane --listen 0.0.0.0:9901\n  \
                  sealane-admin --config /srv/sealane/config.toml account add bob\n  \
                  sealaned --config /srv/sealane/config.toml"
)]
pub(super) struct Arguments {
    /// The server's configuration.
    #[arg(
        long,
        global = true,
        value_name = "FILE",
        env = "SEALANE_CONFIG",
        default_value = "./config.toml"
    )]
    pub(super) config: PathBuf,
    /// Print JSON, one object a line, the last one the result or the error.
    #[arg(long, global = true)]
    pub(super) json: bool,
    /// No remarks, only results and errors.
    #[arg(long, short, global = true)]
    pub(super) quiet: bool,
    #[command(subcommand)]
    pub(super) command: Command,
}

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Make the directory of a new server and print its address.
    ///
    /// Makes config.toml, certs/ with the server's key and its backup, accounts/ and data/.
    /// Never overwrites anything.
    #[command(after_help = "Example:\n  sealane-admin init /srv/sealane --listen 0.0.0.0:9901")]
    Init {
        /// The directory; made if missing, in one that is there.
        #[arg(value_name = "DIR")]
        directory: PathBuf,
        /// IP address and port to listen on.
        #[arg(long, value_name = "IP:PORT", default_value = "127.0.0.1:9901")]
        listen: SocketAddr,
    },
    /// Print the address that clients are given: host, port and the pins of both keys.
    #[command(after_help = "Example:\n  sealane-admin address --user bob")]
    Address {
        /// Put this account's name in.
        #[arg(long, value_name = "NAME", value_parser = Username::parse)]
        user: Option<Username>,
    },
    /// Add, show, change and remove accounts.
    #[command(subcommand)]
    Account(AccountCommand),
    /// Show the running server: sessions, transfers, quotas, the states of the accounts, who must
    /// wait after failed logins.
    ///
    /// Only the server's own user and root may ask.
    #[command(after_help = "Example:\n  sealane-admin status --json")]
    Status,
    /// End sessions of the running server.
    #[command(subcommand)]
    Sessions(SessionsCommand),
    /// Hold what accounts use against what is on the disk.
    #[command(subcommand)]
    Quota(QuotaCommand),
    /// Propose what one password check should cost on this machine.
    ///
    /// Run it on the server's machine while it has nothing else to do, and put what it prints into
    /// `[login]` of the configuration. Records of a lower cost are raised at their next login.
    #[command(after_help = "Example:\n  sealane-admin calibrate --target-ms 150")]
    Calibrate {
        /// How long one check should take; never less is proposed than OWASP recommends.
        #[arg(long, value_name = "N", default_value_t = 150,
              value_parser = clap::value_parser!(u64).range(10..=5000))]
        target_ms: u64,
    },
    /// Show the server's certificates, or make new ones.
    #[command(subcommand)]
    Cert(CertCommand),
}

#[derive(Debug, Subcommand)]
pub(super) enum AccountCommand {
    /// Add an account.
    #[command(after_help = "Examples:\n  sealane-admin account add bob --quota 50G\n  \
                      sealane-admin account add bob --generate")]
    Add {
        /// The account.
        #[arg(value_name = "NAME", value_parser = Username::parse)]
        name: Username,
        #[command(flatten)]
        password: PasswordSource,
        /// Most bytes it may store; K, M, G and T are powers of 1024.
        #[arg(long, value_name = "SIZE", default_value = "10G", value_parser = size::parse)]
        quota: u64,
        /// Its home below the data directory [default: homes/NAME].
        #[arg(long, value_name = "PATH")]
        home: Option<String>,
        /// Take a home that has files in it, or that another account has.
        #[arg(long)]
        adopt: bool,
    },
    /// Set a new password. Keys go on logging in.
    #[command(after_help = "Examples:\n  sealane-admin account passwd bob\n  \
                      sealane-admin account passwd bob --generate")]
    Passwd {
        /// The account.
        #[arg(value_name = "NAME", value_parser = Username::parse)]
        name: Username,
        #[command(flatten)]
        password: PasswordSource,
        /// Let no key log in from now on, and end the sessions of all keys.
        #[arg(long)]
        drop_keys: bool,
    },
    /// Bring in the records of an old server's folder.
    ///
    /// Reads every NAME.db in it: UTF-8, with or without a byte order mark, or GBK. A record comes
    /// in if its name, password, limitsize and homepath are good and no other account has the same
    /// home; the others are listed with the reason. Accounts that are there already are never
    /// changed, so it can be run again. Exits with 9 if a record was refused.
    #[command(after_help = "Example:\n  sealane-admin account import -n /mnt/old/accounts")]
    Import {
        /// The folder; nothing in it is changed.
        #[arg(value_name = "DIR")]
        directory: PathBuf,
        /// Say what would be done, and do nothing.
        #[arg(long, short = 'n')]
        dry_run: bool,
        /// Bring in accounts whose homes are the same or inside one another. Only one of them can
        /// be logged in at a time.
        #[arg(long)]
        allow_shared: bool,
    },
    /// Show how passwords are stored, which are weak, who logged in when, and what is odd.
    ///
    /// Each report also continues the history that the page plots.
    #[command(after_help = "Examples:\n  sealane-admin account report --html report.html\n  \
                      sealane-admin account report /mnt/old/accounts")]
    Report {
        /// Look at an old folder instead of the server's own accounts.
        #[arg(value_name = "DIR")]
        directory: Option<PathBuf>,
        /// Write one HTML page with a plot of the progress, too.
        #[arg(long, value_name = "FILE")]
        html: Option<PathBuf>,
    },
    /// Replace every raw MD5 by argon2id over it, at once and without the passwords.
    ///
    /// Everybody logs in as before; a login then makes the record plain argon2id. The originals are
    /// kept in a backup (mode 0600) in the migration directory, for `undo`: whoever reads it can
    /// guess the passwords fast, so delete it when all is well. It may be stopped at any time and
    /// run again.
    #[command(after_help = "Example:\n  sealane-admin account wrap")]
    Wrap,
    /// Put the MD5 values that `wrap` replaced back, into records that did not change since.
    #[command(after_help = "Example:\n  sealane-admin account undo")]
    Undo {
        /// One backup [default: all in the migration directory].
        #[arg(value_name = "FILE")]
        backup: Option<PathBuf>,
    },
    /// Let an account log in again at once, after too many failed logins.
    ///
    /// Nobody is locked out for good: such delays end by themselves within minutes, and places from
    /// which the account has logged in do not have them. The server must be running.
    #[command(after_help = "Example:\n  sealane-admin account unblock bob --source 192.0.2.7")]
    Unblock {
        /// The account.
        #[arg(value_name = "NAME", value_parser = Username::parse)]
        name: Username,
        /// Forget the failures of this address, too.
        #[arg(long, value_name = "IP")]
        source: Option<IpAddr>,
    },
    /// Let keys log in without a password, list and revoke them.
    #[command(subcommand)]
    Key(KeyCommand),
    /// Make tokens for programs that cannot prove a key, list and revoke them.
    #[command(subcommand)]
    Token(TokenCommand),
    /// List all accounts, one a line.
    #[command(after_help = "Example:\n  sealane-admin account list --json")]
    List,
    /// Show one account, or all.
    #[command(after_help = "Example:\n  sealane-admin account show bob")]
    Show {
        /// The account.
        #[arg(value_name = "NAME", value_parser = Username::parse)]
        name: Option<Username>,
    },
    /// Set how much an account may store.
    #[command(after_help = "Example:\n  sealane-admin account quota bob 50G")]
    Quota {
        /// The account.
        #[arg(value_name = "NAME", value_parser = Username::parse)]
        name: Username,
        /// Most bytes; K, M, G and T are powers of 1024.
        #[arg(value_name = "SIZE", value_parser = size::parse)]
        size: u64,
    },
    /// Refuse an account's logins until it is enabled again.
    #[command(after_help = "Example:\n  sealane-admin account disable bob")]
    Disable {
        /// The account.
        #[arg(value_name = "NAME", value_parser = Username::parse)]
        name: Username,
    },
    /// Let a disabled account log in again.
    #[command(after_help = "Example:\n  sealane-admin account enable bob")]
    Enable {
        /// The account.
        #[arg(value_name = "NAME", value_parser = Username::parse)]
        name: Username,
    },
    /// Remove an account and end its sessions; it is said where its files are.
    ///
    /// Files that another account can reach, too, are neither deleted nor archived.
    #[command(after_help = "Examples:\n  sealane-admin account remove bob\n  \
                      sealane-admin account remove bob --files archive")]
    Remove {
        /// The account.
        #[arg(value_name = "NAME", value_parser = Username::parse)]
        name: Username,
        /// What becomes of its files.
        #[arg(long, value_enum, default_value_t = Files::Keep)]
        files: Files,
    },
    /// Give an account another name, and end its sessions.
    ///
    /// Password, keys and quota stay. A home that is called as the account (homes/NAME) and what
    /// interrupted uploads left are moved. If it was interrupted, the same command goes on.
    #[command(after_help = "Example:\n  sealane-admin account rename bob robert")]
    Rename {
        /// The account.
        #[arg(value_name = "OLD", value_parser = Username::parse)]
        old: Username,
        /// Its name from now on.
        #[arg(value_name = "NEW", value_parser = Username::parse)]
        new: Username,
    },
}

/// What becomes of the files of an account that is removed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Files {
    /// They stay where they are
    Keep,
    /// They are deleted, with what interrupted uploads left
    Delete,
    /// They are moved to archive/NAME-TIME in the data directory, where no account reaches them
    Archive,
}

#[derive(Debug, Subcommand)]
pub(super) enum SessionsCommand {
    /// End one session, or all of an account. What was being uploaded goes on with the next run.
    #[command(
        override_usage = "sealane-admin sessions kill <ID>\n       sealane-admin sessions kill --account <NAME>",
        after_help = "Examples:\n  sealane-admin sessions kill 17\n  \
                      sealane-admin sessions kill --account bob"
    )]
    Kill {
        /// The session, as `status` numbers it.
        #[arg(value_name = "ID", required_unless_present = "account", conflicts_with = "account")]
        id: Option<u64>,
        /// All sessions of this account.
        #[arg(long, value_name = "NAME", value_parser = Username::parse)]
        account: Option<Username>,
    },
}

#[derive(Debug, Subcommand)]
pub(super) enum QuotaCommand {
    /// Count what is on the disk and compare it with the server's ledger; changes nothing.
    ///
    /// They differ if files came or went by other means than the server while somebody was logged
    /// in. Uploads go on meanwhile; in a home that is being counted, names change only afterwards.
    /// Bytes, all of them. Exits with 1 if they differ, with 9 if an account could not be counted.
    #[command(after_help = "Examples:\n  sealane-admin quota check\n  \
                      sealane-admin quota check bob --repair")]
    Check {
        /// The accounts [default: all].
        #[arg(value_name = "NAME", value_parser = Username::parse)]
        names: Vec<Username>,
        /// Set the ledger right where it differs.
        #[arg(long)]
        repair: bool,
    },
}

#[derive(Debug, Subcommand)]
pub(super) enum CertCommand {
    /// Show the pins and files, and check that the server can use its key.
    #[command(after_help = "Example:\n  sealane-admin --config /srv/sealane/config.toml cert show")]
    Show,
    /// Change the server's key without anybody being asked to trust a new one.
    #[command(subcommand)]
    Rotate(RotateCommand),
    /// Make a server's key and its backup in a directory; needs no configuration.
    ///
    /// Makes server.key, server.crt, backup.key and backup.crt. Never overwrites anything.
    #[command(after_help = "Example:\n  sealane-admin cert generate certs")]
    Generate {
        /// The directory; made if missing, in one that is there.
        #[arg(value_name = "DIR")]
        directory: PathBuf,
    },
}

/// The running server takes each step up by itself; sessions go on.
#[derive(Debug, Subcommand)]
pub(super) enum RotateCommand {
    /// Make the next key; the server announces it to everybody who logs in.
    Prepare(BackupKey),
    /// Use the next key; who knows the old one alone is still shown that one.
    Activate(BackupKey),
    /// End the overlap: show the old key to nobody any more.
    Retire(BackupKey),
    /// Declare a stolen key void for ever; the backup key signs it.
    ///
    /// If it is the key in use, the backup key takes its place and a new backup is made.
    Revoke {
        /// The stolen key.
        #[arg(value_name = "PIN", value_parser = Pin::parse)]
        pin: Pin,
        #[command(flatten)]
        backup: BackupKey,
    },
    /// Go on with the backup key after the one in use was lost; makes a new backup.
    Recover(BackupKey),
}

#[derive(clap::Args, Debug)]
pub(super) struct BackupKey {
    /// The backup key, which signs what clients are told [default: where it was made, if it is
    /// there].
    #[arg(long, value_name = "FILE")]
    pub(super) backup_key: Option<PathBuf>,
}

#[derive(clap::Args, Debug)]
pub(super) struct PasswordSource {
    /// Take the password from the first line of a file, or of stdin with `-` [default: ask].
    #[arg(long, value_name = "FILE")]
    pub(super) password_file: Option<PathBuf>,
    /// Make one of 20 letters and digits, and print it.
    #[arg(long, conflicts_with = "password_file")]
    pub(super) generate: bool,
}
