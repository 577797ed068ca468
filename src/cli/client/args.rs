//! The command line of `sealane`, as typed. Parsing has no effect on anything.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

use super::names;
use super::trust::TrustCommand;
use crate::types::{Address, Pin};

/// Move files to and from a server whose key is pinned.
///
/// An address is `sealane://USER@HOST:PORT/PATH?pin=sha256.…` as `sealane-admin address` prints it, or
/// `NAME:PATH` or `USER@NAME:PATH` after `sealane trust add --name NAME ADDRESS`.
/// Whatever interrupts a transfer, the same command again goes on where it stopped.
///
/// Exit status: 0 done, 1 other, 2 usage, 3 not found, 4 login refused, 5 server not trusted,
/// 6 network, 7 quota or space, 8 integrity, 9 some files failed, 130 interrupted.
#[derive(Debug, Parser)]
#[command(name = "sealane", version, verbatim_doc_comment)]
pub(super) struct Arguments {
    /// Accept a server with this key only: `sha256//BASE64` or `sha256.BASE64URL`; overrides the address
    #[arg(long = "pin", value_name = "PIN", value_parser = Pin::parse, global = true)]
    pub(super) pins: Vec<Pin>,
    /// Trust a server that is not known yet by the key it shows, and remember it; a known one that shows another
    /// key is refused as ever
    #[arg(long, global = true)]
    pub(super) accept_new: bool,
    /// Take the password from the first line of this file (else `SEALANE_PASSWORD`, else ask)
    #[arg(long, value_name = "FILE", global = true)]
    pub(super) password_file: Option<PathBuf>,
    /// Print one JSON object a line on stdout, the last one the result
    #[arg(long, global = true)]
    pub(super) json: bool,
    /// No progress and no notes
    #[arg(short, long, global = true)]
    pub(super) quiet: bool,
    /// More notes
    #[arg(short, long, global = true)]
    pub(super) verbose: bool,
    #[command(subcommand)]
    pub(super) command: Command,
}

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    Put(Put),
    Get(Get),
    Ls(List),
    Stat(One),
    Mkdir(MakeDirectory),
    Rm(Remove),
    Mv(Rename),
    Df(One),
    Verify(Verify),
    /// Show and change which keys which server may have
    #[command(subcommand)]
    Trust(TrustCommand),
}

/// Send files
///
/// Example: `sealane put a.iso b.iso 'sealane://ahpu@host/images/?pin=sha256.…'`
#[derive(Args, Debug)]
pub(super) struct Put {
    /// Keep modification time and mode
    #[arg(short, long)]
    pub(super) preserve: bool,
    /// Files to send; - for standard input
    #[arg(required = true, value_name = "FILE")]
    pub(super) sources: Vec<PathBuf>,
    /// Where they go: a file name, or a directory for several
    #[arg(value_parser = names::address)]
    pub(super) address: Address,
}

/// Fetch files
///
/// Example: `sealane get 'sealane://ahpu@host/images/a.iso?pin=sha256.…' .`
#[derive(Args, Debug)]
pub(super) struct Get {
    /// Keep modification time and mode
    #[arg(short, long)]
    pub(super) preserve: bool,
    /// Files to fetch, all from one server
    #[arg(required = true, value_name = "ADDRESS", value_parser = names::address)]
    pub(super) addresses: Vec<Address>,
    /// Where they go: a file name, a directory, or - for standard output
    #[arg(value_name = "DEST")]
    pub(super) destination: PathBuf,
}

/// List a directory
#[derive(Args, Debug)]
pub(super) struct List {
    /// With kind, mode, size and time
    #[arg(short, long)]
    pub(super) long: bool,
    #[arg(value_parser = names::address)]
    pub(super) address: Address,
}

/// Show one file or directory (stat), or what the account uses and may use (df)
#[derive(Args, Debug)]
pub(super) struct One {
    #[arg(value_parser = names::address)]
    pub(super) address: Address,
}

/// Make a directory
#[derive(Args, Debug)]
pub(super) struct MakeDirectory {
    /// Missing parents too, and no error if it is there
    #[arg(short, long)]
    pub(super) parents: bool,
    #[arg(value_parser = names::address)]
    pub(super) address: Address,
}

/// Remove files or directories
#[derive(Args, Debug)]
pub(super) struct Remove {
    /// A directory with all it holds
    #[arg(short, long)]
    pub(super) recursive: bool,
    #[arg(required = true, value_name = "ADDRESS", value_parser = names::address)]
    pub(super) addresses: Vec<Address>,
}

/// Move or rename on the server
#[derive(Args, Debug)]
pub(super) struct Rename {
    /// Replace a file that is there
    #[arg(short, long)]
    pub(super) force: bool,
    /// What to move
    #[arg(value_parser = names::address)]
    pub(super) address: Address,
    /// The new path in the same home, such as /archive/a.iso
    #[arg(value_name = "PATH")]
    pub(super) to: String,
}

/// Compare files with their copies on the server without moving them
#[derive(Args, Debug)]
pub(super) struct Verify {
    /// Files to compare
    #[arg(required = true, value_name = "FILE")]
    pub(super) sources: Vec<PathBuf>,
    /// Where their copies are: a file name, or a directory
    #[arg(value_parser = names::address)]
    pub(super) address: Address,
}
