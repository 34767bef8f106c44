//! Follows something until it is where it should be.

use std::{
    thread,
    time::{Duration, Instant},
};

use indicatif::ProgressBar;
use serde_json::Value;

use crate::failure::{Exit, Failure};

/// Between two looks.
const PAUSE: Duration = Duration::from_millis(300);
/// Between two frames of the spinner.
pub(crate) const FRAME: Duration = Duration::from_millis(100);

/// Looks again and again until `judge` says that it is over, or time is up. A node that is away for a moment is asked
/// again. Returns the last document and whether it was over. The spinner, with `judge`'s words, shows on a terminal
/// only.
///
/// # Errors
/// What `look` fails with, unless the node is only unavailable; and that too if nothing was ever seen.
pub(crate) fn follow(
    timeout: Duration,
    look: impl Fn() -> Result<Value, Failure>,
    judge: impl Fn(&Value) -> (String, bool),
) -> Result<(Value, bool), Failure> {
    let spinner = ProgressBar::new_spinner();
    spinner.enable_steady_tick(FRAME);
    let begin = Instant::now();
    let mut last = None;
    loop {
        match look() {
            Ok(document) => {
                let (words, over) = judge(&document);
                if over {
                    spinner.finish_and_clear();
                    return Ok((document, true));
                }
                spinner.set_message(words);
                last = Some(document);
            }
            Err(failure) if failure.exit == Exit::Unavailable && begin.elapsed() < timeout => {
                spinner.set_message("the node is unavailable, asking again");
            }
            Err(failure) => return last.map(|document| (document, false)).ok_or(failure),
        }
        let left = timeout.saturating_sub(begin.elapsed());
        if left.is_zero()
            && let Some(document) = last
        {
            spinner.finish_and_clear();
            return Ok((document, false));
        }
        thread::sleep(PAUSE.min(left.max(FRAME)));
    }
}
