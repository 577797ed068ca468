//! What most tests of the client begin with: a site where ann has an account, its server, a relay
//! before it, and the places of files at both ends.

use std::path::{Path, PathBuf};

use super::{Proxy, Server, Site};

pub struct Stage {
    pub site: Site,
    pub server: Server,
    /// Leads to the server; only what uses [`Stage::through`] passes it.
    pub proxy: Proxy,
}

impl Stage {
    pub fn new() -> Self {
        let site = Site::new();
        site.account("ann", "1G");
        let server = site.start();
        let proxy = Proxy::start(server.address);
        std::fs::create_dir_all(site.home("ann")).unwrap();
        Self { site, server, proxy }
    }

    /// The address of a path in the home of ann.
    pub fn at(&self, path: &str) -> String {
        self.site.address(&self.server, "ann", path)
    }

    /// The same, by way of the relay.
    pub fn through(&self, path: &str) -> String {
        self.at(path).replace(&self.server.address.to_string(), &self.proxy.address.to_string())
    }

    /// The place of a file in the home of ann.
    pub fn home(&self, path: &str) -> PathBuf {
        self.site.home("ann").join(path)
    }

    /// The place of a file of the client.
    pub fn local(&self, path: impl AsRef<Path>) -> PathBuf {
        self.site.local().join(path)
    }

    /// A directory of the client, made if it is missing.
    pub fn directory(&self, path: &str) -> PathBuf {
        let path = self.local(path);
        std::fs::create_dir_all(&path).unwrap();
        path
    }
}
