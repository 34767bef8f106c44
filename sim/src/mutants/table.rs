//! What was measured, for people: Markdown, kept between two markers of a document.

use std::fmt::Write;

use super::{End, Finding, Findings};

const BEGIN: &str = "<!-- mutants:begin -->";
const END: &str = "<!-- mutants:end -->";

/// The document has no place for the tables.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the document needs a line `{BEGIN}` and, after it, a line `{END}`")]
pub struct MarkerError;

/// One line on how a hunt ended.
pub(super) fn describe(finding: &Finding) -> String {
    let budget = finding.budget;
    match &finding.end {
        End::Caught { seeds, oracle, detail } => {
            format!("{oracle} after {seeds} of {budget} seeds: {detail}")
        }
        End::CaughtByAnother { seeds, oracle, detail } => {
            let named = finding.hunt.oracles.join(" or ");
            format!("not {named} but {oracle} objects, after {seeds} seeds: {detail}")
        }
        End::ObjectsAnyway { seed, detail } => {
            format!("seed {seed} is objected to without the bug too: {detail}")
        }
        End::Escaped => {
            format!(
                "escapes {} in {budget} seeds of {}",
                finding.hunt.oracles.join(" and "),
                finding.hunt.field.name()
            )
        }
    }
}

/// The tables.
#[must_use]
pub fn markdown(findings: &Findings) -> String {
    let mut text = String::from(
        "| planted bug | what it breaks | invariant | plans | found by | seeds | budget |\n|---|---|---|---|---|---|---|\n",
    );
    for finding in &findings.hunts {
        let (oracle, seeds) = match &finding.end {
            End::Caught { seeds, oracle, .. } | End::CaughtByAnother { seeds, oracle, .. } => {
                (format!("`{oracle}`"), seeds.to_string())
            }
            End::ObjectsAnyway { .. } | End::Escaped => (String::from("—"), String::from("—")),
        };
        // Writing into a string cannot fail.
        let _ = writeln!(
            text,
            "| `{}` | {} | {} | {} | {oracle} | {seeds} | {} |",
            finding.mutant.name(),
            finding.mutant.sentence(),
            finding.hunt.invariant,
            finding.hunt.field.name(),
            finding.budget,
        );
    }
    if !findings.removals.is_empty() {
        text.push_str("\n| without | this one escapes its whole budget |\n|---|---|\n");
    }
    for removal in &findings.removals {
        let names =
            removal.escape.map_or_else(|| String::from("none"), |mutant| format!("`{}`", mutant.name()));
        let _ = writeln!(text, "| `{}` | {names} |", removal.oracle);
    }
    text
}

/// The document with the tables in their place.
///
/// # Errors
/// If it has no place for them.
pub fn rewrite(document: &str, findings: &Findings) -> Result<String, MarkerError> {
    let (before, rest) = document.split_once(BEGIN).ok_or(MarkerError)?;
    let (_, after) = rest.split_once(END).ok_or(MarkerError)?;
    Ok(format!("{before}{BEGIN}\n{}{END}{after}", markdown(findings)))
}
