//! A file of a home being read.

use std::fs::File;

use super::view::Reading;
use sealane_base::files::jail::Facts;
use sealane_base::files::{FileMeta, FileSource, Source, StorageError, Version};

/// A file of a home being read: what it takes counts until it is dropped.
#[derive(Debug)]
pub(super) struct CountedSource {
    source: FileSource,
    // Last, so that the file is closed when its bytes go.
    _reading: Reading,
}

impl CountedSource {
    pub(super) fn new((file, facts, reading): (File, Facts, Reading)) -> Self {
        Self { source: FileSource::known((file, facts)), _reading: reading }
    }
}

impl Source for CountedSource {
    fn size(&self) -> u64 {
        self.source.size()
    }

    fn meta(&self) -> FileMeta {
        self.source.meta()
    }

    fn version(&self) -> Option<Version> {
        self.source.version()
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<(), StorageError> {
        self.source.read_at(offset, buffer)
    }

    fn check_unchanged(&self) -> Result<(), StorageError> {
        self.source.check_unchanged()
    }
}
