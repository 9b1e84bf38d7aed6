//! Reading a target's log back, to its end or on as it grows.

use std::collections::VecDeque;
use std::io;
use std::path::Path;
use std::sync::Arc;

use futures_util::Stream;
use futures_util::stream::unfold;
use prograde_model::{FlightId, Target};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::LogKeeper;
use super::line::LogLine;
use super::segments::{Cursor, Reader};

/// Which lines of a target's log are wanted. The default is all that is kept, and no waiting for more.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LogQuery {
    /// Only so many of the last lines; all that are kept when absent.
    pub tail_lines: Option<usize>,
    /// Whether to go on with lines as they are written.
    pub follow: bool,
    /// Only the lines of this version.
    pub revision: Option<FlightId>,
}

/// A reading in progress. Holds one chunk of lines at most, whatever the log's size and the caller's pace.
struct Reading {
    reader: Option<Reader>,
    lines: VecDeque<LogLine>,
    revision: Option<FlightId>,
    /// Where to stop, unless following.
    end: Option<Cursor>,
    appended: watch::Receiver<u64>,
    closed: CancellationToken,
}

/// The lines that `query` asks for; the stream ends at the log's present end, or when following, with the node.
pub(crate) async fn stream(
    keeper: Arc<LogKeeper>,
    target: &Target,
    query: LogQuery,
    closed: CancellationToken,
) -> impl Stream<Item = LogLine> + Send + use<> {
    let appended = keeper.appended.subscribe();
    let dir = keeper.log_dir(target);
    let LogQuery { tail_lines, follow, revision } = query;
    let wanted = revision.clone();
    let begin = move || {
        keeper.poll();
        begin(&dir, tail_lines, wanted.as_ref())
    };
    let (reader, end) = match tokio::task::spawn_blocking(begin).await {
        Ok(Ok((reader, end))) => (Some(reader), end),
        Ok(Err(error)) => {
            tracing::warn!(%target, %error, "log could not be read");
            (None, Cursor::default())
        }
        Err(_stopping) => (None, Cursor::default()),
    };
    let end = (!follow).then_some(end);
    let reading = Reading { reader, lines: VecDeque::new(), revision, end, appended, closed };
    unfold(reading, |mut reading| async { reading.next().await.map(|line| (line, reading)) })
}

fn begin(dir: &Path, tail_lines: Option<usize>, revision: Option<&FlightId>) -> io::Result<(Reader, Cursor)> {
    let end = Reader::end(dir)?;
    let start = match tail_lines {
        Some(count) => Reader::tail(dir, end, count, |line| revision.is_none_or(|wanted| *wanted == line.revision))?,
        None => Cursor::default(),
    };
    Ok((Reader::new(dir, start), end))
}

impl Reading {
    async fn next(&mut self) -> Option<LogLine> {
        loop {
            if let Some(line) = self.lines.pop_front() {
                return Some(line);
            }
            // Before reading, so that nothing that is appended meanwhile goes unnoticed.
            self.appended.mark_unchanged();
            if self.fill().await? {
                continue;
            }
            if self.end.is_some() {
                return None;
            }
            tokio::select! {
                changed = self.appended.changed() => changed.ok()?,
                () = self.closed.cancelled() => return None,
            }
        }
    }

    /// Reads the next chunk; false when there is none for now, `None` when there will be none.
    async fn fill(&mut self) -> Option<bool> {
        let mut reader = self.reader.take()?;
        let read = tokio::task::spawn_blocking(move || reader.next().map(|lines| (reader, lines))).await.ok()?;
        let (reader, lines) = match read {
            Ok(read) => read,
            Err(error) => {
                tracing::warn!(%error, "log could not be read on");
                return None;
            }
        };
        let found = !lines.is_empty();
        let is_past = |at: Cursor| self.end.is_some_and(|end| at >= end);
        if !is_past(reader.cursor()) {
            self.reader = Some(reader);
        }
        let wanted = |line: &LogLine| self.revision.as_ref().is_none_or(|wanted| *wanted == line.revision);
        let lines = lines.into_iter().filter(|(after, line)| self.end.is_none_or(|end| *after <= end) && wanted(line));
        self.lines = lines.map(|(_, line)| line).collect();
        Some(found)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;
    use std::pin::pin;
    use std::time::Duration;

    use futures_util::StreamExt as _;

    use super::*;
    use crate::logs::{LogStream, writer};

    struct Fixture {
        dir: tempfile::TempDir,
        keeper: Arc<LogKeeper>,
        target: Target,
        closed: CancellationToken,
    }

    fn revision(digit: char) -> FlightId {
        digit.to_string().repeat(32).parse().unwrap()
    }

    impl Fixture {
        fn new(bytes_max: u64) -> Self {
            let dir = tempfile::tempdir().unwrap();
            let keeper = LogKeeper::new(dir.path().join("logs"), bytes_max);
            let target = Target { environment: "staging".parse().unwrap(), service: "pad".parse().unwrap() };
            for (id, revision) in [("pad-a", revision('a')), ("pad-b", revision('b'))] {
                std::fs::create_dir(dir.path().join(id)).unwrap();
                keeper.register(id, &target, &revision, &dir.path().join(id)).unwrap();
            }
            Self { dir, keeper, target, closed: CancellationToken::new() }
        }

        fn write(&self, id: &str, stream: LogStream, text: &str) {
            writer(&self.dir.path().join(id), stream.as_str()).unwrap().write_all(text.as_bytes()).unwrap();
        }

        async fn stream(&self, query: LogQuery) -> impl Stream<Item = LogLine> + use<> {
            stream(Arc::clone(&self.keeper), &self.target, query, self.closed.clone()).await
        }

        async fn lines(&self, query: LogQuery) -> Vec<String> {
            self.stream(query).await.map(|line| line.line).collect().await
        }
    }

    #[tokio::test]
    async fn lines_of_all_replicas_are_read_back_filtered_and_cut() {
        let fixture = Fixture::new(1 << 20);
        assert!(fixture.lines(LogQuery::default()).await.is_empty());
        fixture.write("pad-a", LogStream::Stdout, "one\n\ntwo\nunfinished");
        fixture.write("pad-b", LogStream::Stderr, "bad\n");
        assert_eq!(fixture.lines(LogQuery::default()).await, ["one", "", "two", "bad"]);
        let of_b = LogQuery { revision: Some(revision('b')), ..LogQuery::default() };
        let seen: Vec<LogLine> = fixture.stream(of_b).await.collect().await;
        assert_eq!((seen.len(), seen[0].stream, seen[0].replica.as_str()), (1, LogStream::Stderr, "pad-b"));
        fixture.keeper.flush("pad-a", true);
        let tail = |count| LogQuery { tail_lines: Some(count), ..LogQuery::default() };
        assert_eq!(fixture.lines(tail(2)).await, ["bad", "unfinished"]);
        assert!(fixture.lines(tail(0)).await.is_empty());
    }

    #[tokio::test]
    async fn following_sees_each_line_once_over_rotation_and_ends_with_the_node() {
        let fixture = Fixture::new(64 * 1024);
        fixture.write("pad-a", LogStream::Stdout, "before\n");
        fixture.keeper.poll();
        let query = LogQuery { tail_lines: Some(0), follow: true, revision: None };
        let mut stream = pin!(fixture.stream(query).await);
        for round in 0..40 {
            let text: String = (0..50).map(|n| format!("{round}-{n}")).collect::<Vec<_>>().join("\n") + "\n";
            fixture.write("pad-a", LogStream::Stdout, &text);
            fixture.keeper.poll();
            for n in 0..50 {
                let line = tokio::time::timeout(Duration::from_secs(20), stream.next()).await.unwrap().unwrap();
                assert_eq!(line.line, format!("{round}-{n}"));
            }
        }
        fixture.closed.cancel();
        assert_eq!(tokio::time::timeout(Duration::from_secs(20), stream.next()).await.unwrap(), None);
    }
}
