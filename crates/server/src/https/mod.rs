//! The HTTPS door: files by `GET`, `HEAD`, `PUT` and `DELETE`, for curl, scripts and programs.
//!
//! HTTP/1.1 and HTTP/2 over TLS 1.3. Files are below `/files/`, and for WebDAV below `/dav/`. Every
//! request names its credential (Basic); there are no cookies, no pages and no redirects. It sees
//! what every door sees: the service, and what that gives.

mod activity;
mod answer;
mod body;
mod certificate;
mod conditions;
mod dav;
mod get;
mod place;
mod problem;
mod put;
mod range;
mod receive;
mod remove;
mod route;
mod serve;
mod session;
mod setup;
mod stream;

use std::sync::Arc;

use rustls::ServerConfig;

pub use certificate::{CertificateError, Certificates};
pub use setup::Https;

use crate::door::{Accepted, Door, Serving};

impl Door for Https {
    fn name(&self) -> &'static str {
        "https"
    }

    fn tls(&self, sealane: &Arc<ServerConfig>) -> Arc<ServerConfig> {
        self.configuration(sealane)
    }

    /// Tools that speak HTTP/1.1 alone do not name it.
    fn needs_alpn(&self) -> bool {
        false
    }

    fn serve(self: Arc<Self>, accepted: Accepted) -> Serving {
        Box::pin(serve::serve(self, accepted))
    }
}
