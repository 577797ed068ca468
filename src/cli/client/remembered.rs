//! The digest cache of a command: opened if it is wanted, written down however the command ends.

use std::sync::Arc;

use crate::cli::Ui;
use crate::config::environment;
use sealane_client::DigestCache;
use sealane_client::session::SessionError;

/// Writes down what was learned when it is dropped, by Ctrl-C as well.
pub(super) struct Remembered {
    ui: Ui,
    cache: Option<Arc<DigestCache>>,
}

impl Remembered {
    /// Opens the cache if it is `wanted` and there is a place for it. What there is to say of it is
    /// said once the `login` has succeeded.
    pub(super) fn open(
        ui: Ui,
        wanted: bool,
        login: impl Future<Output = Result<(), SessionError>> + Send + 'static,
    ) -> Self {
        let directory = environment::cache_directory().filter(|_| wanted);
        let opened = directory.map(|directory| DigestCache::open(&directory));
        let cache = opened.map(|(cache, note)| {
            if let Some(note) = note {
                tokio::spawn(async move {
                    if login.await.is_ok() {
                        ui.note(&note);
                    }
                });
            }
            Arc::new(cache)
        });
        Self { ui, cache }
    }

    pub(super) fn get(&self) -> Option<Arc<DigestCache>> {
        self.cache.clone()
    }
}

impl Drop for Remembered {
    fn drop(&mut self) {
        if let Some(Err(error)) = self.cache.as_ref().map(|cache| cache.save()) {
            self.ui.note(&format!("digests are not remembered: {error}"));
        }
    }
}
