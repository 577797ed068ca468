//! Before `sealaned` has a second thread: what must be opened is opened, root is given up, the
//! sandbox shut.

use std::io;
use std::net::{SocketAddr, TcpListener, ToSocketAddrs as _};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use socket2::{Domain, Protocol, Socket, Type};
use tracing::{info, warn};

use super::logging::Log;
use super::manager::Manager;
use super::{Exit, Failure};
use crate::config::environment::{self, PassedListener};
use crate::config::{CONTROL_SOCKET, Settings};
use sealane_base::files::StorageError;
use sealane_base::fsio::LogFile;
use sealane_base::types::ListenAddress;
use sealane_core::storage::EmbeddedStore;
use sealane_server as server;
use sealane_server::sandbox::{self, Plan, SandboxError};

/// Connections that may wait to be accepted.
const BACKLOG: i32 = 1024;
const BUSY: &str = "is another server running there? 'listen' in the configuration names the port";

/// What was opened before the door was shut.
#[derive(Debug)]
pub(super) struct Confined {
    pub(super) listeners: Vec<TcpListener>,
    /// Of each door, in the order of the settings.
    pub(super) doors: Vec<Vec<TcpListener>>,
    /// For the administrator's questions.
    pub(super) control: UnixListener,
    pub(super) store: Arc<EmbeddedStore>,
    pub(super) manager: Manager,
    /// Processors this process may use.
    pub(super) processors: usize,
}

/// Opens ports, data and log, becomes the user that the settings name, enters the sandbox.
///
/// Then `log` begins to be written: its threads are to be bounded as all others are.
pub(super) fn confine(settings: &Settings, config: &Path, log: &Log) -> Result<Confined, Failure> {
    let processors = std::thread::available_parallelism().map_or(1, usize::from);
    let manager = Manager::new(environment::notify_socket().as_deref());
    let listeners = listeners(&settings.reach.listen)?;
    let doors = settings.doors.iter().map(|door| bind_each(&door.listen));
    let doors = doors.collect::<Result<Vec<_>, _>>()?;
    let mut is_alone = true;
    for listener in listeners.iter().chain(doors.iter().flatten()) {
        listener.set_nonblocking(true).map_err(|error| cannot_listen(&error))?;
        let local = listener.local_addr().map_err(|error| cannot_listen(&error))?;
        is_alone &= local.ip().is_loopback();
    }
    give_up_root(settings.user.as_deref(), is_alone)?;
    let files = sandbox::harden().map_err(|error| refused(&error))?;
    let store = EmbeddedStore::open_with(&settings.data, settings.caps)
        .map_err(|error| data(&settings.data, &error))?;
    // Whoever has the directory locked may put a new socket in the place of an old one.
    let socket = settings.data.join(CONTROL_SOCKET);
    let control = server::open_control(&socket).map_err(|error| {
        Failure::new(Exit::Usage, format!("control socket '{}': {error}", socket.display()))
    })?;
    let file = settings.log_file.as_deref().map(|path| {
        let nursery = log_lies_with_keys(settings, config).then_some(settings.data.as_path());
        LogFile::open(path, nursery)
    });
    let file = file.transpose().map_err(|error| {
        let failure = Failure::new(Exit::Usage, error.to_string());
        failure.hint("'file' under [log] names the log file; its directory must be there")
    })?;
    let state = sandbox::enter(settings.sandbox, &plan(settings, config), &sandbox::System)
        .map_err(|error| refused(&error))?;
    log.write(file)?;
    let user = rustix::process::geteuid().as_raw();
    info!("sandbox: {state} user={user} files={files}");
    Ok(Confined { listeners, doors, control, store, manager, processors })
}

/// What the server reads and writes as long as it runs.
fn plan(settings: &Settings, config: &Path) -> Plan {
    let mut read_only: Vec<_> =
        key_files(settings).filter_map(|file| file.parent()).map(Path::to_owned).collect();
    // An editor puts a new file in the place of the old one, so the directory is what must be
    // readable; but only one that is the server's own.
    let beside = config.parent().filter(|parent| settings.data.starts_with(parent));
    read_only.push(beside.unwrap_or(config).to_owned());
    let mut plan = Plan {
        read_write: vec![settings.data.clone(), settings.accounts.clone()],
        read_only,
        ..Plan::default()
    };
    if let Some(directory) = settings.log_file.as_deref().and_then(directory_of) {
        // Beside a log whose directory is its own, a new one can be made when the old one was moved
        // away. Where keys or the configuration lie, files must not be written to: there a new one
        // is linked to its place.
        let is_shared = log_lies_with_keys(settings, config);
        let rules = if is_shared { &mut plan.link } else { &mut plan.append };
        rules.push(directory.to_owned());
    }
    plan
}

/// Certificates and keys, of the server and of doors that have their own.
fn key_files(settings: &Settings) -> impl Iterator<Item = &PathBuf> {
    let own = [&settings.certificates.certificate, &settings.certificates.key];
    let doors = settings.doors.iter().filter_map(|door| door.files.as_ref());
    own.into_iter().chain(doors.flat_map(|files| [&files.certificate, &files.key]))
}

/// Whether the directory of the log holds keys or the configuration as well, there or below.
fn log_lies_with_keys(settings: &Settings, config: &Path) -> bool {
    let mut files = key_files(settings).map(PathBuf::as_path).chain([config]);
    let directory = settings.log_file.as_deref().and_then(directory_of);
    directory.is_some_and(|directory| files.any(|file| lies_in(file, directory)))
}

/// The directory of a file whose name may be all of its path.
fn directory_of(file: &Path) -> Option<&Path> {
    let parent = file.parent()?;
    Some(if parent.as_os_str().is_empty() { Path::new(".") } else { parent })
}

/// Whether `file` lies in `directory` or below, by whatever way they are named. True if that cannot
/// be said.
fn lies_in(file: &Path, directory: &Path) -> bool {
    match (file.canonicalize(), directory.canonicalize()) {
        (Ok(file), Ok(directory)) => file.starts_with(directory),
        _ => true,
    }
}

/// The sockets that were passed to us, all of them; else those that the configuration names.
fn listeners(addresses: &[ListenAddress]) -> Result<Vec<TcpListener>, Failure> {
    let passed = environment::passed_listeners()
        .map_err(|error| Failure::new(Exit::Usage, format!("the sockets passed to us: {error}")))?;
    if !passed.is_empty() {
        for PassedListener { name, listener } in &passed {
            if let Ok(local) = listener.local_addr() {
                info!(name, "passed to us: {local}");
            }
        }
        return Ok(passed.into_iter().map(|passed| passed.listener).collect());
    }
    bind_each(addresses)
}

fn bind_each(addresses: &[ListenAddress]) -> Result<Vec<TcpListener>, Failure> {
    let mut listeners = Vec::new();
    for address in addresses {
        listeners.append(&mut bind_all(address, addresses)?);
    }
    Ok(listeners)
}

/// Binds `address`; a name stands for every address it has.
fn bind_all(address: &ListenAddress, all: &[ListenAddress]) -> Result<Vec<TcpListener>, Failure> {
    let wrong = |error: &io::Error| {
        Failure::new(Exit::Usage, format!("cannot listen on {address}: {error}"))
    };
    let found = match address {
        ListenAddress::Ip(address) => vec![*address],
        ListenAddress::Name(name, port) => {
            let found = (name.as_str(), *port).to_socket_addrs().map_err(|error| {
                wrong(&error).hint("'listen' in the configuration names a host that is not known")
            })?;
            let mut found: Vec<_> = found.collect();
            found.sort_unstable();
            found.dedup();
            found
        }
    };
    let (mut listeners, mut last) = (Vec::new(), None);
    for one in found {
        match bind(one, all) {
            Ok(listener) => listeners.push(listener),
            // A name may have addresses of a kind that this machine does not have.
            Err(error) if error.kind() == io::ErrorKind::AddrNotAvailable => last = Some(error),
            Err(error) => return Err(wrong(&error).hint(BUSY)),
        }
    }
    match (listeners.is_empty(), last) {
        (true, Some(error)) => Err(wrong(&error)
            .hint("'listen' in the configuration must name an address of this machine")),
        (true, None) => Err(wrong(&io::ErrorKind::NotFound.into())),
        (false, _) => Ok(listeners),
    }
}

fn bind(address: SocketAddr, all: &[ListenAddress]) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    // A server that was just stopped leaves connections that are still dying.
    socket.set_reuse_address(true)?;
    // `[::]` stands for IPv4 as well, unless that is named beside it.
    let is_beside = |other: &ListenAddress| matches!(other, ListenAddress::Ip(other) if other.is_ipv4() && other.port() == address.port());
    if address.is_ipv6() && address.ip().is_unspecified() && all.iter().any(is_beside) {
        socket.set_only_v6(true)?;
    }
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

fn cannot_listen(error: &io::Error) -> Failure {
    Failure::new(Exit::Other, format!("cannot listen: {error}"))
}

/// Becomes `user`. Root without one may serve this machine alone: that is how one looks at Sealane
/// in a container, and nobody else can attack it there.
fn give_up_root(user: Option<&str>, is_alone: bool) -> Result<(), Failure> {
    if let Some(name) = user {
        let owner = sandbox::find_owner(name).map_err(|error| refused(&error))?;
        sandbox::become_owner(&owner).map_err(|error| refused(&error))?;
        if owner.is_root() {
            warn!("serves as root, as process.user says");
        }
        return Ok(());
    }
    if !rustix::process::geteuid().is_root() {
        return Ok(());
    }
    if !is_alone {
        return Err(Failure::new(Exit::Usage, "root does not serve other machines").hint(
            "name the user to become, the owner of the data, in the configuration: 'user' under [process]",
        ));
    }
    warn!("runs as root; for other machines name a user under [process]");
    Ok(())
}

fn refused(error: &SandboxError) -> Failure {
    let failure = Failure::new(Exit::Usage, error.to_string());
    match error {
        SandboxError::Missing(_) => {
            failure.hint("'sandbox' under [process] says so; \"best-effort\" takes what there is")
        }
        SandboxError::NoUser(_) | SandboxError::NotRoot(_) => {
            failure.hint("'user' under [process] names it")
        }
        SandboxError::Failed { .. } => failure,
    }
}

fn data(path: &Path, error: &StorageError) -> Failure {
    match error {
        StorageError::DataDirectory { .. } => Failure::new(Exit::Usage, error.to_string()),
        _ => Failure::new(Exit::Usage, format!("data directory '{}': {error}", path.display())),
    }
}
