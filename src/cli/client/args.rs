//! The command line of `sealane`, as typed. Parsing has no effect on anything.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};

use super::key::KeyCommand;
use super::names;
use super::trust::TrustCommand;
use sealane_base::types::{Address, Pin, duration, size};

/// Move files to and from a server whose key is pinned.
///
/// An address is `sealane://USER@HOST:PORT/PATH?pin=sha256.…` as `sealane-admin address` prints it,
/// or `NAME:PATH` or `USER@NAME:PATH` after `sealane trust add --name NAME ADDRESS`. Lost
/// connections are retried for 5 minutes. After any other failure, rerun the command to resume.
///
/// Exit status: 0 done, 1 other, 2 usage, 3 not found, 4 login refused, 5 server not trusted, 6
/// network, 7 quota or space, 8 integrity, 9 some files failed, 24 files vanished, 130 interrupted.
#[derive(Debug, Parser)]
#[command(name = "sealane", version, verbatim_doc_comment)]
pub(super) struct Arguments {
    /// Accept a server with this key only: `sha256//BASE64` or `sha256.BASE64URL`; overrides the
    /// address
    #[arg(long = "pin", value_name = "PIN", value_parser = Pin::parse, global = true)]
    pub(super) pins: Vec<Pin>,
    /// Trust an unknown server's key on first use. A changed key is still rejected
    #[arg(long, global = true)]
    pub(super) accept_new: bool,
    /// Take the password from the first line of this file (else `SEALANE_PASSWORD`, else ask)
    #[arg(long, value_name = "FILE", global = true)]
    pub(super) password_file: Option<PathBuf>,
    /// Retry a lost connection, or a server that is busy, for this long (90s, 5m, 2h); 0: never
    #[arg(long, value_name = "TIME", default_value = "5m", value_parser = duration::parse, global = true)]
    pub(super) retry_for: Duration,
    /// Move no more than so many bytes a second each way (500K, 10M), over all files together
    #[arg(long, value_name = "BYTES", value_parser = rate, global = true)]
    pub(super) limit_rate: Option<u64>,
    /// Let the progress bar show what is complete on the disk of the other end, instead of what is
    /// verified
    #[arg(long, global = true)]
    pub(super) durable_progress: bool,
    /// Log in with the key in this file (else `SEALANE_KEY`, else `sealane/key.pem` in the
    /// configuration directory)
    #[arg(long, value_name = "FILE", global = true)]
    pub(super) key: Option<PathBuf>,
    /// Print one JSON object a line on stdout, the last one the result (docs/JSON.md)
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

/// The arguments with `./` before each name behind `--` that begins with a dash: the parser would
/// take it for an option, unless it is the first.
pub(super) fn with_dashes(arguments: impl Iterator<Item = OsString>) -> Vec<OsString> {
    let mut is_behind = false;
    let mark = |argument: OsString| {
        let bytes = argument.as_encoded_bytes();
        // A dash alone is standard input or output.
        let is_name = is_behind && bytes.len() > 1 && bytes.starts_with(b"-");
        is_behind |= argument == "--";
        if !is_name {
            return argument;
        }
        let mut marked = OsString::from("./");
        marked.push(argument);
        marked
    };
    arguments.map(mark).collect()
}

/// Bytes a second, at least one.
fn rate(text: &str) -> Result<u64, String> {
    match size::parse(text) {
        Ok(0) => Err("nothing would ever arrive".to_owned()),
        rate => rate.map_err(|error| error.to_string()),
    }
}

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    Put(Put),
    Get(Get),
    Sync(Sync),
    Ls(List),
    /// Show one file or directory
    Stat(One),
    Mkdir(MakeDirectory),
    Rm(Remove),
    Mv(Rename),
    /// Show what the account uses and may use
    Df(One),
    Verify(Verify),
    #[command(subcommand)]
    Partial(Partial),
    #[command(subcommand)]
    Receipt(ReceiptCommand),
    /// Make, show and enrol a key of your own, which logs in instead of a password
    #[command(subcommand)]
    Key(KeyCommand),
    /// Show and change which keys which server may have
    #[command(subcommand)]
    Trust(TrustCommand),
}

/// Send files, with -r directories
///
/// With -r, a directory goes into the one that the address names if that ends in a slash or is
/// there already, else it becomes that one. Links and special files in it are skipped with a note.
/// What the server has already is not sent again.
///
/// Example: `sealane put a.iso b.iso 'sealane://ahpu@host/images/?pin=sha256.…'`
#[derive(Args, Debug)]
pub(super) struct Put {
    /// Directories with all they hold
    #[arg(short, long)]
    pub(super) recursive: bool,
    /// Keep modification time and mode; with -r, files of the same size and time count as unchanged
    #[arg(short, long)]
    pub(super) preserve: bool,
    /// Only say what would be done
    #[arg(short = 'n', long)]
    pub(super) dry_run: bool,
    /// Have the server sign what it holds of each file afterwards, and write that to FILE, which
    /// must not be there yet
    #[arg(long, value_name = "FILE", conflicts_with = "dry_run")]
    pub(super) receipt: Option<PathBuf>,
    /// With -, take standard input that ends at once for an empty file; otherwise that is an error,
    /// because mostly the program that should have written failed
    #[arg(long)]
    pub(super) allow_empty: bool,
    /// Files to send; - for standard input
    #[arg(required = true, value_name = "FILE")]
    pub(super) sources: Vec<PathBuf>,
    /// Where they go: a file name, or a directory for several
    #[arg(value_parser = names::address)]
    pub(super) address: Address,
}

/// Fetch files, with -r directories
///
/// With -r, a directory goes into DEST if that is there already, else it becomes DEST. Nothing is
/// written outside of it, whatever the server says and whatever links lie there.
///
/// Example: `sealane get 'sealane://ahpu@host/images/a.iso?pin=sha256.…' .`
#[derive(Args, Debug)]
pub(super) struct Get {
    /// Directories with all they hold
    #[arg(short, long)]
    pub(super) recursive: bool,
    /// Keep modification time and mode; with -r, files of the same size and time count as unchanged
    #[arg(short, long)]
    pub(super) preserve: bool,
    /// Only say what would be done
    #[arg(short = 'n', long)]
    pub(super) dry_run: bool,
    /// Files to fetch, all from one server
    #[arg(required = true, value_name = "ADDRESS", value_parser = names::address)]
    pub(super) addresses: Vec<Address>,
    /// Where they go: a file name, a directory, or - for standard output
    #[arg(value_name = "DEST")]
    pub(super) destination: PathBuf,
}

/// Make one directory what another is, up or down
///
/// What SOURCE holds goes into TARGET, which is made if it is missing; slashes at their ends change
/// nothing. Times and modes are kept, and a file of the same size and time counts as unchanged.
/// Links and special files are skipped with a note, and what has their name in TARGET is left
/// alone.
///
/// Example: `sealane sync --delete --exclude '*.o' src 'sealane://ahpu@host/src?pin=sha256.…'`
#[derive(Args, Debug)]
pub(super) struct Sync {
    /// Remove from TARGET what SOURCE does not have; not what is excluded, and nothing if a part of
    /// either could not be listed
    #[arg(long)]
    pub(super) delete: bool,
    /// With --delete, do nothing at all if more than N names would be removed
    #[arg(long, value_name = "N", requires = "delete")]
    pub(super) max_delete: Option<u64>,
    /// With --delete, go on if SOURCE is empty, or if more than half of what is in TARGET would be
    /// removed
    #[arg(long, requires = "delete")]
    pub(super) force: bool,
    /// Compare files of the same size by digest, whatever their times
    #[arg(short, long)]
    pub(super) checksum: bool,
    /// With --checksum, read every file, whatever is remembered of earlier runs
    #[arg(long)]
    pub(super) no_cache: bool,
    /// Only say what would be done
    #[arg(short = 'n', long)]
    pub(super) dry_run: bool,
    /// Leave out what matches, in both: `*.o`, `/top/*.tmp`, `cache/`, `a/**`; may be given again
    #[arg(long = "exclude", value_name = "GLOB")]
    pub(super) excludes: Vec<String>,
    /// A directory here, or the address of one
    #[arg(value_name = "SOURCE")]
    pub(super) source: String,
    /// The other way round
    #[arg(value_name = "TARGET")]
    pub(super) target: String,
}

/// List a directory
#[derive(Args, Debug)]
pub(super) struct List {
    /// With kind, mode, size and time
    #[arg(short, long)]
    pub(super) long: bool,
    /// With all that is below, by paths from there
    #[arg(short, long)]
    pub(super) recursive: bool,
    #[arg(value_parser = names::address)]
    pub(super) address: Address,
}

/// One address
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
    /// With all that is below
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
    /// The new path in the same home, such as /archive/a.iso, or a directory to move it into
    #[arg(value_name = "PATH")]
    pub(super) to: String,
}

/// Compare files, with -r directories, with their copies on the server without moving them
///
/// Each end reads its own disk; nothing but digests moves. With -r, a directory is compared with
/// what the address names, or with the one of its name in it if the address ends in a slash. What
/// differs, and what only one end has, is listed on stdout. Exit status 8 if anything differs or is
/// missing, 9 if something could not be compared.
#[derive(Args, Debug)]
pub(super) struct Verify {
    /// Directories with all they hold
    #[arg(short, long)]
    pub(super) recursive: bool,
    /// With -r, leave out what matches, as `sync` does; may be given again
    #[arg(long = "exclude", value_name = "GLOB", requires = "recursive")]
    pub(super) excludes: Vec<String>,
    /// Read every file, whatever is remembered of earlier runs
    #[arg(long)]
    pub(super) no_cache: bool,
    /// Files to compare
    #[arg(required = true, value_name = "FILE")]
    pub(super) sources: Vec<PathBuf>,
    /// Where their copies are: a file name, or a directory
    #[arg(value_parser = names::address)]
    pub(super) address: Address,
}

/// Show or remove what interrupted uploads left on the server; it counts in the quota
#[derive(Debug, Subcommand)]
pub(super) enum Partial {
    /// List them: bytes there, bytes of the whole, last written, path
    Ls(One),
    /// Remove them; the next upload begins from the start
    Rm(Remove),
}

/// Look at what `put --receipt` wrote
#[derive(Debug, Subcommand)]
pub(super) enum ReceiptCommand {
    Check(CheckReceipt),
}

/// Check the signatures in a receipt, and that files here are what it is about; needs no server
///
/// Says who signed. The key must be one of --pin, or one that `sealane trust` knows of the server
/// that the receipt names. Exit status 5 if it is another, also one of another known server; 8 if
/// a signature is wrong or a file is not in the receipt.
#[derive(Args, Debug)]
pub(super) struct CheckReceipt {
    /// The receipt
    #[arg(value_name = "RECEIPT")]
    pub(super) receipt: PathBuf,
    /// Files that it should be about, whatever they are called; of a directory, all that are in it
    #[arg(value_name = "FILE")]
    pub(super) files: Vec<PathBuf>,
}
