//! Homes that are being opened: one login of an account counts what is there, the others wait for
//! it, without a thread.
//!
//! What is counted is kept by the store for all of them, so another goes on where one that gives up
//! has stopped.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use sealane_base::files::StorageError;
use sealane_base::types::Username;
use sealane_base::workers::{Queue, yield_turn};

use crate::storage::{HomeStore, Opening};

/// The turns of all accounts whose homes are being opened. Cloning shares them.
#[derive(Clone, Debug, Default)]
pub(super) struct Openings(Arc<Mutex<HashMap<Username, Weak<Turn>>>>);

/// Held by the one that counts.
type Turn = tokio::sync::Mutex<()>;

impl Openings {
    /// Opens the home of `owner` with what `begin` gives, on the `queue` of the account.
    ///
    /// Cancel safety: dropping the future ends the work after its next step at the latest.
    pub(super) async fn open(
        &self,
        owner: &Username,
        queue: &Queue,
        begin: impl FnOnce() -> Result<Box<dyn Opening>, StorageError> + Send + 'static,
    ) -> Result<Arc<dyn HomeStore>, StorageError> {
        // Begun before it waits: what is counted meanwhile is kept for those that have begun.
        let mut opening = queue.run(begin).await?;
        let turn = self.turn_of(owner).lock_owned().await;
        let counted = queue.spawn(async move {
            let _turn = turn;
            loop {
                if let Some(home) = opening.step()? {
                    return Ok(home);
                }
                yield_turn().await;
            }
        });
        counted.await
    }

    fn turn_of(&self, owner: &Username) -> Arc<Turn> {
        let mut turns = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(turn) = turns.get(owner).and_then(Weak::upgrade) {
            return turn;
        }
        turns.retain(|_, turn| turn.strong_count() > 0);
        let turn = Arc::new(Turn::default());
        turns.insert(owner.clone(), Arc::downgrade(&turn));
        turn
    }
}
