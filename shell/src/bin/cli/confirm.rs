//! Asks the person before something is done that cannot be taken back.

use std::io::{self, BufRead as _, IsTerminal as _, Write as _};

use crate::failure::{Exit, Failure};

/// Asks for a yes; anything else ends the command with `otherwise`.
pub(crate) fn confirm(question: &str, otherwise: &str) -> Result<(), Failure> {
    let usage = |message: &str| Failure::new(Exit::Usage, "not_confirmed", message);
    if !io::stdin().is_terminal() {
        return Err(usage(
            "there is nobody to ask: standard input is no terminal; add --yes if you are sure",
        ));
    }
    let mut answer = String::new();
    let mut stderr = io::stderr().lock();
    write!(stderr, "{question} [y/N] ")
        .and_then(|()| stderr.flush())
        .and_then(|()| io::stdin().lock().read_line(&mut answer))
        .map_err(|error| usage(&format!("cannot ask: {error}; add --yes if you are sure")))?;
    match answer.trim().to_ascii_lowercase().as_str() {
        "y" | "yes" => Ok(()),
        _ => Err(usage(otherwise)),
    }
}
