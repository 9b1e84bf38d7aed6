//! How far a transfer is, in one line that is drawn again, for people at a terminal.

use std::io::IsTerminal as _;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use prograde_supply::image::Progress;
use tokio::time::Instant;

use crate::app::App;
use crate::text::bytes;

/// How often the line is drawn.
const PERIOD: Duration = Duration::from_millis(100);

/// The line.
pub(crate) struct Meter<'a> {
    app: &'a App,
    verb: &'static str,
    is_live: bool,
    state: Mutex<State>,
}

struct State {
    total: u64,
    moved: u64,
    drawn: Option<Instant>,
}

impl<'a> Meter<'a> {
    /// A line that begins with this verb.
    pub(crate) fn new(app: &'a App, verb: &'static str) -> Self {
        let style = app.printer.style();
        let is_live = std::io::stderr().is_terminal() && !style.quiet && !style.json;
        Self { app, verb, is_live, state: Mutex::new(State { total: 0, moved: 0, drawn: None }) }
    }

    /// Takes note.
    pub(crate) fn tell(&self, progress: Progress<'_>) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        match progress {
            Progress::Begun(blob) => state.total += blob.size,
            Progress::Moved(bytes) => state.moved += bytes,
            Progress::Present(_) | Progress::Mounted(_) | Progress::Done(_) => {}
        }
        let is_due = state.drawn.is_none_or(|drawn| drawn.elapsed() >= PERIOD);
        if self.is_live && is_due {
            state.drawn = Some(Instant::now());
            let line = format!("{:>12} {} of {}", self.verb, bytes(state.moved.min(state.total)), bytes(state.total));
            self.app.printer.draw(&format!("\r\x1b[2K{line}"));
        }
    }
}

impl Drop for Meter<'_> {
    fn drop(&mut self) {
        let was_drawn = self.state.lock().unwrap_or_else(PoisonError::into_inner).drawn.is_some();
        if self.is_live && was_drawn {
            self.app.printer.draw("\r\x1b[2K");
        }
    }
}
