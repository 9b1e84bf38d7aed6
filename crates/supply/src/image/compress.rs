//! gzip on all processors, with the same bytes however many there are: the content is cut into pieces of one size, and
//! each becomes a member of the file (RFC 1952, section 2.2), which every reader of gzip puts together again.

use std::io::{self, Write};
use std::path::Path;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use flate2::{Compression, GzBuilder};

use crate::error::{SupplyError, io};

/// Part of the format, as is [`PIECE_BYTES`]: another one would give other digests.
const LEVEL: Compression = Compression::new(2);
const PIECE_BYTES: usize = 1 << 20;
/// More would only wait for the disk.
const WORKERS_MAX: usize = 8;
/// Pieces that wait for each worker.
const QUEUE: usize = 2;
/// Named in caches, so that they never mix formats.
pub(super) const FORMAT: &str = "gzip-2-1m";

/// Takes content, piece by piece.
pub(super) struct Pieces {
    workers: Vec<SyncSender<Vec<u8>>>,
    next: usize,
    piece: Vec<u8>,
}

impl Pieces {
    fn send(&mut self) -> io::Result<()> {
        let piece = std::mem::replace(&mut self.piece, Vec::with_capacity(PIECE_BYTES));
        let worker = self.workers.get(self.next % self.workers.len().max(1));
        self.next += 1;
        let sent = worker.map(|worker| worker.send(piece));
        // It has ended because the output can't be written, which is told from there.
        if matches!(sent, Some(Ok(()))) { Ok(()) } else { Err(io::ErrorKind::BrokenPipe.into()) }
    }
}

impl Write for Pieces {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let take = bytes.len().min(PIECE_BYTES - self.piece.len());
        self.piece.extend_from_slice(bytes.get(..take).unwrap_or_default());
        if self.piece.len() == PIECE_BYTES {
            self.send()?;
        }
        Ok(take)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Compresses what `write` writes to `out`, and gives what `write` gave.
pub(super) fn compress<T>(
    out: &mut (impl Write + Send),
    at: &Path,
    write: impl FnOnce(&mut Pieces) -> Result<T, SupplyError>,
) -> Result<T, SupplyError> {
    let count = std::thread::available_parallelism().map_or(1, usize::from).min(WORKERS_MAX);
    std::thread::scope(|scope| {
        let (mut inputs, mut outputs) = (Vec::new(), Vec::new());
        for _ in 0..count {
            let (piece, pieces) = sync_channel::<Vec<u8>>(QUEUE);
            let (member, members) = sync_channel(QUEUE);
            scope.spawn(move || work(&pieces, &member));
            inputs.push(piece);
            outputs.push(members);
        }
        let writer = scope.spawn(move || collect(&outputs, out));
        let mut pieces = Pieces { workers: inputs, next: 0, piece: Vec::with_capacity(PIECE_BYTES) };
        let written = write(&mut pieces);
        let rest =
            if written.is_ok() && (!pieces.piece.is_empty() || pieces.next == 0) { pieces.send() } else { Ok(()) };
        drop(pieces);
        let collected = writer.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        // A disk that is full is the reason for the broken pipe before it.
        collected.map_err(io("write a layer to", at))?;
        let written = written?;
        rest.map_err(io("write a layer to", at))?;
        Ok(written)
    })
}

fn work(pieces: &Receiver<Vec<u8>>, members: &SyncSender<io::Result<Vec<u8>>>) {
    for piece in pieces {
        // 255 is "unknown" (RFC 1952, section 2.3.1), so the machine that builds does not show.
        let mut gzip = GzBuilder::new().mtime(0).operating_system(255).write(Vec::new(), LEVEL);
        let member = gzip.write_all(&piece).and_then(|()| gzip.finish());
        if members.send(member).is_err() {
            return;
        }
    }
}

/// The members in the order of their pieces, which went round the workers.
fn collect(outputs: &[Receiver<io::Result<Vec<u8>>>], out: &mut impl Write) -> io::Result<()> {
    for output in outputs.iter().cycle() {
        match output.recv() {
            Ok(member) => out.write_all(&member?)?,
            // The pieces end where the first worker has none any more.
            Err(_) => return Ok(()),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use super::*;

    #[test]
    fn content_comes_back_and_is_always_packed_the_same() {
        for length in [0, 1, PIECE_BYTES - 1, PIECE_BYTES, PIECE_BYTES + 1, 5 * PIECE_BYTES + 7] {
            let content: Vec<u8> = (0..length).map(|at| u8::try_from(at / 7 % 251).unwrap()).collect();
            let packed = || {
                let mut out = Vec::new();
                let at = Path::new("x");
                compress(&mut out, at, |pieces| pieces.write_all(&content).map_err(io("write", at))).unwrap();
                out
            };
            let (one, other) = (packed(), packed());
            assert!(one == other, "{length}");
            let mut found = Vec::new();
            flate2::read::MultiGzDecoder::new(one.as_slice()).read_to_end(&mut found).unwrap();
            assert!(found == content, "{length}");
        }
    }

    #[test]
    fn an_output_that_fails_ends_it() {
        struct Full;
        impl Write for Full {
            fn write(&mut self, _: &[u8]) -> io::Result<usize> {
                Err(io::ErrorKind::StorageFull.into())
            }
            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        let content = vec![7; 40 * PIECE_BYTES];
        let at = Path::new("x");
        let error = compress(&mut Full, at, |pieces| pieces.write_all(&content).map_err(io("write", at))).unwrap_err();
        assert!(matches!(error, SupplyError::DiskFull { .. }), "{error}");
    }
}
