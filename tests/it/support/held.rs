//! A transfer that is under way for as long as a test wants.

use std::sync::{Arc, Condvar, Mutex};

use sealane_base::files::{FileMeta, Source, StorageError};

/// A source that gives its first half at once and the rest when it is told to.
#[derive(Debug)]
pub struct Held {
    size: u64,
    is_free: Mutex<bool>,
    freed: Condvar,
}

impl Held {
    pub fn new(size: u64) -> Arc<Self> {
        Arc::new(Self { size, is_free: Mutex::new(false), freed: Condvar::new() })
    }

    pub fn free(&self) {
        *self.is_free.lock().unwrap() = true;
        self.freed.notify_all();
    }
}

/// Lets go of it however the test ends: the runtime waits for whoever reads it.
pub struct LetGo(pub Arc<Held>);

impl Drop for LetGo {
    fn drop(&mut self) {
        self.0.free();
    }
}

impl Source for Held {
    fn size(&self) -> u64 {
        self.size
    }

    fn meta(&self) -> FileMeta {
        FileMeta::default()
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<(), StorageError> {
        if offset >= self.size / 2 {
            let is_free = self.is_free.lock().unwrap();
            drop(self.freed.wait_while(is_free, |is_free| !*is_free).unwrap());
        }
        buffer.fill(7);
        Ok(())
    }

    fn check_unchanged(&self) -> Result<(), StorageError> {
        Ok(())
    }
}
