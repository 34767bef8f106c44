//! Follows something until it is where it should be.

use std::{
    thread,
    time::{Duration, Instant},
};

use indicatif::{ProgressBar, ProgressStyle};
use serde_json::Value;

use crate::{
    failure::{Exit, Failure},
    output::note,
};

/// Between two looks.
const PAUSE: Duration = Duration::from_millis(300);
/// Between two frames of the spinner.
pub(crate) const FRAME: Duration = Duration::from_millis(100);

/// What a look showed.
pub(crate) struct Sight {
    /// The present in a line.
    pub(crate) words: String,
    /// What has happened so far, the oldest first.
    pub(crate) events: Vec<String>,
    /// How much is done, of how much; `None` if nobody can say.
    pub(crate) done: Option<(u64, u64)>,
    /// Whether it is where it should be.
    pub(crate) over: bool,
}

/// Looks again and again until `judge` says that it is over, or time is up. A node that is away for a moment is asked
/// again. Returns the last document and whether it was over. Each event is told once, on standard error; the present shows
/// on a terminal only.
///
/// # Errors
/// What `look` fails with, unless the node is only unavailable; and that too if nothing was ever seen.
pub(crate) fn follow(
    timeout: Duration,
    look: impl Fn() -> Result<Value, Failure>,
    mut judge: impl FnMut(&Value) -> Sight,
) -> Result<(Value, bool), Failure> {
    let mut screen = Screen::new();
    let begin = Instant::now();
    let mut last = None;
    loop {
        match look() {
            Ok(document) => {
                let sight = judge(&document);
                screen.show(&sight);
                if sight.over {
                    return Ok((document, true));
                }
                last = Some(document);
            }
            Err(failure) if failure.exit == Exit::Unavailable && begin.elapsed() < timeout => {
                screen.bar.set_message("the node is unavailable, asking again");
            }
            Err(failure) => return last.map(|document| (document, false)).ok_or(failure),
        }
        let left = timeout.saturating_sub(begin.elapsed());
        if left.is_zero()
            && let Some(document) = last
        {
            return Ok((document, false));
        }
        thread::sleep(PAUSE.min(left.max(FRAME)));
    }
}

/// The last line of the terminal while something is followed; it is gone with the value.
struct Screen {
    bar: ProgressBar,
    told: usize,
}

impl Screen {
    fn new() -> Self {
        let bar = ProgressBar::new_spinner();
        bar.enable_steady_tick(FRAME);
        Self { bar, told: 0 }
    }

    fn show(&mut self, sight: &Sight) {
        for event in sight.events.iter().skip(self.told) {
            self.bar.suspend(|| note(event));
        }
        self.told = self.told.max(sight.events.len());
        if let Some((done, all)) = sight.done {
            if self.bar.length().is_none() {
                self.bar.set_style(with_bar());
            }
            self.bar.set_length(all);
            // Steps may be done again; a bar that shrinks would look like a fault.
            self.bar.set_position(self.bar.position().max(done.min(all)));
        }
        self.bar.set_message(sight.words.clone());
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}

fn with_bar() -> ProgressStyle {
    ProgressStyle::with_template("{spinner} [{bar:30}] {elapsed} {msg}")
        .unwrap_or_else(|_| ProgressStyle::default_bar())
}
