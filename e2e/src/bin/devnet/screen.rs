//! What a person sees: a spinner on a terminal, plain lines elsewhere.

use std::cell::RefCell;
use std::io::{IsTerminal as _, Write as _};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};

/// How often the spinner turns.
const TURN: Duration = Duration::from_millis(100);

/// Where progress is shown.
pub(crate) struct Screen {
    terminal: bool,
}

impl Screen {
    /// Standard output, and a spinner if standard error is a terminal, too.
    pub(crate) fn new() -> Self {
        Self { terminal: std::io::stdout().is_terminal() && std::io::stderr().is_terminal() }
    }

    /// One line.
    pub(crate) fn line(&self, text: &str) {
        // Nobody reads it, and the cluster runs on.
        let _ = writeln!(std::io::stdout(), "{text}");
    }

    /// Begins something that takes a while.
    pub(crate) fn stage(&self, what: &str) -> Stage<'_> {
        let spinner = self.terminal.then(|| {
            let spinner = ProgressBar::new_spinner();
            if let Ok(style) = ProgressStyle::with_template("{spinner} {msg} … {elapsed}") {
                spinner.set_style(style);
            }
            spinner.set_message(what.to_owned());
            spinner.enable_steady_tick(TURN);
            spinner
        });
        Stage { screen: self, spinner, began: Instant::now(), said: RefCell::default() }
    }
}

/// Something that takes a while. Dropped without [`Stage::done`], it leaves nothing behind.
pub(crate) struct Stage<'a> {
    screen: &'a Screen,
    spinner: Option<ProgressBar>,
    began: Instant,
    said: RefCell<String>,
}

impl Stage<'_> {
    /// Says what is being done now.
    pub(crate) fn now(&self, what: &str) {
        if let Some(spinner) = &self.spinner {
            spinner.set_message(what.to_owned());
        } else if self.said.replace(what.to_owned()) != what {
            self.screen.line(&format!("  … {what}"));
        }
    }

    /// A line that stays, above the spinner.
    pub(crate) fn line(&self, text: &str) {
        match &self.spinner {
            Some(spinner) => spinner.suspend(|| self.screen.line(text)),
            None => self.screen.line(text),
        }
    }

    /// It is done: a line with the time it took.
    pub(crate) fn done(self, what: &str) {
        let took = super::seconds(self.began.elapsed());
        self.line(&format!("✓ {what} ({took:.1} s)"));
    }
}

impl Drop for Stage<'_> {
    fn drop(&mut self) {
        if let Some(spinner) = &self.spinner {
            spinner.finish_and_clear();
        }
    }
}
