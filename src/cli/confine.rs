//! Before `sealaned` has a second thread: what must be opened is opened, root is given up, the
//! sandbox shut.

use std::net::{SocketAddr, TcpListener};
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::sync::Arc;

use socket2::{Domain, Protocol, Socket, Type};
use tracing::{info, warn};

use super::manager::Manager;
use super::{Exit, Failure};
use crate::config::{CONTROL_SOCKET, Settings, environment};
use sealane_base::files::StorageError;
use sealane_core::storage::EmbeddedStore;
use sealane_server as server;
use sealane_server::sandbox::{self, Plan, SandboxError};

/// Connections that may wait to be accepted.
const BACKLOG: i32 = 1024;

/// What was opened before the door was shut.
#[derive(Debug)]
pub(super) struct Confined {
    pub(super) listener: TcpListener,
    /// For the administrator's questions.
    pub(super) control: UnixListener,
    pub(super) store: Arc<EmbeddedStore>,
    pub(super) manager: Manager,
    /// Processors this process may use.
    pub(super) processors: usize,
}

/// Opens port and data, becomes the user that the settings name, enters the sandbox.
pub(super) fn confine(settings: &Settings, config: &Path) -> Result<Confined, Failure> {
    let processors = std::thread::available_parallelism().map_or(1, usize::from);
    let manager = Manager::new(environment::notify_socket().as_deref());
    let listener = listen(settings.reach.listen)?;
    let local = listener
        .local_addr()
        .map_err(|error| Failure::new(Exit::Other, format!("cannot listen: {error}")))?;
    give_up_root(settings.user.as_deref(), local)?;
    let files = sandbox::harden().map_err(|error| refused(&error))?;
    let store = EmbeddedStore::open_with(&settings.data, settings.caps)
        .map_err(|error| data(&settings.data, &error))?;
    // Whoever has the directory locked may put a new socket in the place of an old one.
    let socket = settings.data.join(CONTROL_SOCKET);
    let control = server::open_control(&socket).map_err(|error| {
        Failure::new(Exit::Usage, format!("control socket '{}': {error}", socket.display()))
    })?;
    let state = sandbox::enter(settings.sandbox, &plan(settings, config), &sandbox::System)
        .map_err(|error| refused(&error))?;
    let user = rustix::process::geteuid().as_raw();
    info!("sandbox: {state} user={user} files={files}");
    Ok(Confined { listener, control, store, manager, processors })
}

/// What the server reads and writes as long as it runs.
fn plan(settings: &Settings, config: &Path) -> Plan {
    let keys = [&settings.certificates.certificate, &settings.certificates.key];
    let mut read_only: Vec<_> =
        keys.into_iter().filter_map(|file| file.parent()).map(Path::to_owned).collect();
    // An editor puts a new file in the place of the old one, so the directory is what must be
    // readable; but only one that is the server's own.
    let beside = config.parent().filter(|parent| settings.data.starts_with(parent));
    read_only.push(beside.unwrap_or(config).to_owned());
    Plan { read_write: vec![settings.data.clone(), settings.accounts.clone()], read_only }
}

fn listen(address: SocketAddr) -> Result<TcpListener, Failure> {
    let passed = environment::passed_listener()
        .map_err(|error| Failure::new(Exit::Usage, format!("the socket passed to us: {error}")))?;
    let listener = passed.map_or_else(|| bind(address), Ok).map_err(|error| {
        Failure::new(Exit::Usage, format!("cannot listen on {address}: {error}"))
            .hint("is another server running there? 'listen' in the configuration names the port")
    })?;
    listener
        .set_nonblocking(true)
        .map_err(|error| Failure::new(Exit::Other, format!("cannot listen: {error}")))?;
    Ok(listener)
}

fn bind(address: SocketAddr) -> std::io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    // A server that was just stopped leaves connections that are still dying.
    socket.set_reuse_address(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

/// Becomes `user`. Root without one may serve this machine alone: that is how one looks at Sealane
/// in a container, and nobody else can attack it there.
fn give_up_root(user: Option<&str>, local: SocketAddr) -> Result<(), Failure> {
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
    if !local.ip().is_loopback() {
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
