//! The HTTPS door, through curl and through sockets that say what no client would.

mod dav;
mod files;
mod hostile;
mod site;
mod tokens;

pub use site::Web;
