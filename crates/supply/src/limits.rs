//! How much an image may hold, and a reader that stops where more comes.

use std::cell::{Cell, RefCell};
use std::io::{self, Read};
use std::rc::Rc;

use crate::error::SupplyError;

/// Bounds for what is read from an image. What passes them is refused as [`SupplyError::TooLarge`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Bytes that all layers may unpack to; also what one source file may hold.
    pub bytes_max: u64,
    /// Entries that all layers may hold.
    pub entries_max: u64,
    /// Layers of one image.
    pub layers_max: usize,
    /// How many times its compressed size a layer may unpack to.
    pub ratio_max: u64,
    /// Bytes that a layer may unpack to whatever the ratio.
    pub ratio_free_bytes: u64,
    /// Directories that may be nested.
    pub depth_max: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            bytes_max: 4 << 30,
            entries_max: 200_000,
            layers_max: 128,
            ratio_max: 200,
            ratio_free_bytes: 64 << 20,
            depth_max: 128,
        }
    }
}

impl Limits {
    /// Bytes that a layer of this compressed size may unpack to.
    pub(crate) fn layer_bytes_max(&self, compressed: u64) -> u64 {
        self.ratio_free_bytes.max(compressed.saturating_mul(self.ratio_max))
    }
}

/// What has been read so far, shared over an image's layers.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Spent {
    pub(crate) bytes: u64,
    pub(crate) entries: u64,
}

/// How a [`Bounded`] reader fares, to be asked while other people's code holds it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Progress {
    read: Rc<Cell<u64>>,
    tripped: Rc<RefCell<Option<(String, String)>>>,
}

impl Progress {
    /// Bytes that have been read.
    pub(crate) fn read(&self) -> u64 {
        self.read.get()
    }

    /// The limit that was passed, if one was.
    pub(crate) fn error(&self) -> Option<SupplyError> {
        self.tripped.borrow_mut().take().map(|(what, limit)| SupplyError::TooLarge { what, limit })
    }
}

/// A reader that fails before more than its share has passed.
pub(crate) struct Bounded<R> {
    inner: R,
    limits: Limits,
    compressed: u64,
    before: u64,
    progress: Progress,
}

impl<R> Bounded<R> {
    /// Reads a layer of this compressed size, after `spent`.
    pub(crate) fn new(inner: R, limits: Limits, compressed: u64, spent: Spent) -> Self {
        Self { inner, limits, compressed, before: spent.bytes, progress: Progress::default() }
    }

    pub(crate) fn progress(&self) -> Progress {
        self.progress.clone()
    }

    fn check(&self) -> Result<(), (String, String)> {
        let Limits { bytes_max, ratio_max, .. } = self.limits;
        let read = self.progress.read();
        if self.before.saturating_add(read) > bytes_max {
            return Err(("the unpacked image".to_owned(), format!("{bytes_max} bytes")));
        }
        if read > self.limits.layer_bytes_max(self.compressed) {
            return Err(("the unpacked layer".to_owned(), format!("{ratio_max} times its compressed size")));
        }
        Ok(())
    }
}

impl<R: Read> Read for Bounded<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(buffer)?;
        self.progress.read.set(self.progress.read() + read as u64);
        self.check().map_err(|limit| {
            *self.progress.tripped.borrow_mut() = Some(limit);
            io::Error::other("too large")
        })?;
        Ok(read)
    }
}
