//! Prints results. Plain text without colour: it looks the same on a terminal, in a pipe and in a ticket.

use std::io::{self, Write};

use comfy_table::{Table, presets};
use serde_json::Value;

use crate::{
    args::Output,
    failure::{Exit, Failure},
};

/// Prints a result: the document itself, or what `table` makes of it.
pub(crate) fn print(
    document: &Value,
    output: Output,
    table: impl FnOnce(&Value) -> String,
) -> Result<(), Failure> {
    let text = match output {
        Output::Json => format!("{document:#}"),
        Output::Table => table(document),
    };
    write(&text)
}

/// Writes a result as it is.
pub(crate) fn write(text: &str) -> Result<(), Failure> {
    match writeln!(io::stdout().lock(), "{}", text.trim_end()) {
        // The reader has seen enough.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        Err(error) => {
            Err(Failure::new(Exit::Unexpected, "output", format!("cannot write the result: {error}")))
        }
        Ok(()) => Ok(()),
    }
}

/// Says something to the person, not to the program that reads the result.
pub(crate) fn note(text: &str) {
    // With nobody left to listen there is nothing better to do.
    let _ = writeln!(io::stderr().lock(), "{text}");
}

/// Names and values below each other.
pub(crate) fn pairs<'a>(rows: impl IntoIterator<Item = (&'a str, String)>) -> String {
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    for (name, value) in rows {
        table.add_row([name.to_owned(), value]);
    }
    trimmed(&table)
}

/// A table with a heading.
pub(crate) fn rows<const N: usize>(
    heading: [&str; N],
    rows: impl IntoIterator<Item = [String; N]>,
) -> String {
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    table.set_header(heading.map(str::to_uppercase));
    for row in rows {
        table.add_row(row);
    }
    trimmed(&table)
}

fn trimmed(table: &Table) -> String {
    table.lines().map(|line| line.trim_end().to_owned()).collect::<Vec<_>>().join("\n")
}

/// A member of a document for people: strings bare, `-` for nothing.
pub(crate) fn text(document: &Value, pointer: &str) -> String {
    match document.pointer(pointer) {
        None | Some(Value::Null) => "-".to_owned(),
        Some(Value::String(text)) => printable(text),
        Some(Value::Bool(true)) => "yes".to_owned(),
        Some(Value::Bool(false)) => "no".to_owned(),
        Some(other @ (Value::Number(_) | Value::Array(_) | Value::Object(_))) => other.to_string(),
    }
}

/// A whole number of a document.
pub(crate) fn number(document: &Value, pointer: &str) -> Option<u64> {
    document.pointer(pointer).and_then(Value::as_u64)
}

/// The members of a list.
pub(crate) fn items<'a>(document: &'a Value, pointer: &str) -> &'a [Value] {
    document.pointer(pointer).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default()
}

/// Other people's text, without what could steer the terminal.
fn printable(text: &str) -> String {
    text.chars().map(|letter| if letter.is_control() { '\u{fffd}' } else { letter }).collect()
}
