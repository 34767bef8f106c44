//! Documents whose examples are run: what a reader types is typed, and what it prints is compared.
//!
//! An example stands in a block of `console`. A line that begins with `$ ` is a command; what follows is what it prints, on
//! standard output and standard error together, and a last line `[exit N]` what it ends with, 0 if there is none. `…` stands
//! for anything within a line, and a line of nothing else for any lines. Runs of blanks count as one: columns are as wide as
//! what is in them. A comment `<!-- test: WORDS -->` between blocks has the suite do what a reader would find done.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::Context as _;

/// Stands for anything.
const ANYTHING: char = '…';

/// One thing to do, in the order of the document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// The suite's part, by its words.
    Prepare(String),
    /// A command.
    Run(Example),
}

/// A command and what it shows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Example {
    /// What is typed.
    pub command: String,
    /// What is printed, line by line.
    pub prints: Vec<String>,
    /// What it ends with.
    pub exit: i32,
    /// Its line in the document, from 1.
    pub line: usize,
}

/// The steps of a document, with the examples of the blocks that are marked `fence`.
pub fn steps(document: &str, fence: &str) -> Vec<Step> {
    let opening = format!("```{fence}");
    let (mut steps, mut inside) = (Vec::new(), false);
    for (line, text) in (1..).zip(document.lines()) {
        if inside {
            match (text.strip_prefix("$ "), steps.last_mut()) {
                _ if text == "```" => inside = false,
                (Some(command), _) => steps.push(Step::Run(Example {
                    command: command.to_owned(),
                    prints: Vec::new(),
                    exit: 0,
                    line,
                })),
                (None, Some(Step::Run(example))) => example.take(text),
                (None, _) => {}
            }
        } else if text == opening {
            inside = true;
        } else if let Some(words) =
            text.strip_prefix("<!-- test: ").and_then(|rest| rest.strip_suffix(" -->"))
        {
            steps.push(Step::Prepare(words.to_owned()));
        }
    }
    steps
}

impl Example {
    /// A line below the command.
    fn take(&mut self, text: &str) {
        let exit = text.strip_prefix("[exit ").and_then(|rest| rest.strip_suffix(']'));
        match exit.and_then(|code| code.parse().ok()) {
            Some(code) => self.exit = code,
            None => self.prints.push(text.to_owned()),
        }
    }

    /// Types the command in `folder`, with these variables, as somebody without a terminal. Returns what it printed. Errors if
    /// it prints or ends otherwise than the document shows.
    pub fn run(
        &self,
        folder: &Path,
        programs: &Path,
        variables: &[(String, String)],
    ) -> anyhow::Result<String> {
        let path = std::env::var_os("PATH").unwrap_or_default();
        let path =
            std::env::join_paths([PathBuf::from(programs)].into_iter().chain(std::env::split_paths(&path)))?;
        let output = Command::new("sh")
            .args(["-c", &format!("exec 2>&1; {}", self.command)])
            .current_dir(folder)
            .env("PATH", path)
            .envs(variables.iter().cloned())
            .stdin(Stdio::null())
            .output()
            .context("cannot run sh")?;
        let printed = String::from_utf8_lossy(&output.stdout).into_owned();
        anyhow::ensure!(
            self.is_shown_by(&printed) && output.status.code() == Some(self.exit),
            "line {}: $ {}\nit printed:\n{}[exit {:?}]\nthe document has:\n{}\n[exit {}]",
            self.line,
            self.command,
            printed,
            output.status.code(),
            self.prints.join("\n"),
            self.exit,
        );
        Ok(printed)
    }

    fn is_shown_by(&self, printed: &str) -> bool {
        let expected: Vec<String> = self.prints.iter().map(|line| one_blank(line)).collect();
        let lines: Vec<String> = printed.lines().map(one_blank).collect();
        fits_lines(&expected, &lines)
    }
}

fn one_blank(line: &str) -> String {
    line.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn fits_lines(expected: &[String], lines: &[String]) -> bool {
    match (expected.split_first(), lines.split_first()) {
        (None, rest) => rest.is_none(),
        (Some((first, others)), rest) if first.chars().eq([ANYTHING]) => {
            fits_lines(others, lines) || rest.is_some_and(|(_, lines)| fits_lines(expected, lines))
        }
        (Some(_), None) => false,
        (Some((first, others)), Some((line, lines))) => fits(first, line) && fits_lines(others, lines),
    }
}

/// Whether a line is of a pattern.
fn fits(pattern: &str, line: &str) -> bool {
    let mut parts = pattern.split(ANYTHING);
    let first = parts.next().unwrap_or_default();
    let Some(mut rest) = line.strip_prefix(first) else { return false };
    let Some(last) = parts.next_back() else { return rest.is_empty() };
    for part in parts {
        match rest.split_once(part) {
            Some((_, after)) => rest = after,
            None => return false,
        }
    }
    rest.ends_with(last)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_line_fits_its_pattern_and_no_other() {
        for (pattern, line, fit) in [
            ("state voting", "state voting", true),
            ("state voting", "state voting now", false),
            ("txid …", "txid 00ff", true),
            ("… sat", "5 sat", true),
            ("… sat", "5 btc", false),
            ("a … b … c", "a 1 b 2 c", true),
            ("a … b … c", "a 1 c", false),
            ("aa…a", "aa", false),
            ("…", "", true),
        ] {
            assert_eq!(fits(pattern, line), fit, "{pattern} and {line}");
        }
    }

    #[test]
    fn lines_left_out_may_be_many_or_none_and_all_others_are_there_in_order() {
        let lines = |text: &str| text.lines().map(one_blank).collect::<Vec<_>>();
        for (expected, printed, fit) in [
            ("a\n…\nb", "a\n1\n2\nb", true),
            ("a\n…\nb", "a\nb", true),
            ("a\n…", "a", true),
            ("a\nb", "a", false),
            ("a", "a\nb", false),
            ("…\nb", "b\na", false),
            ("a   b", " a b  ", true),
        ] {
            assert_eq!(fits_lines(&lines(expected), &lines(printed)), fit, "{expected:?} and {printed:?}");
        }
    }

    #[test]
    fn a_document_is_read_in_order_with_the_blocks_of_one_fence() {
        let document = "# Title\n```console\n$ one --x\nout …\n[exit 3]\n$ two\n```\n<!-- test: fund it -->\n\
                        ```text\n$ other\n```\n```console\n$ three\n```\n";
        let run = |command: &str, prints: &[&str], exit, line| {
            let prints = prints.iter().map(|line| (*line).to_owned()).collect();
            Step::Run(Example { command: command.to_owned(), prints, exit, line })
        };
        let expected = [
            run("one --x", &["out …"], 3, 3),
            run("two", &[], 0, 6),
            Step::Prepare("fund it".to_owned()),
            run("three", &[], 0, 13),
        ];
        assert_eq!(steps(document, "console"), expected);
        assert_eq!(steps(document, "text"), [Step::Prepare("fund it".to_owned()), run("other", &[], 0, 10)]);
    }

    #[test]
    fn another_output_or_another_end_is_an_error() {
        let here = Path::new(".");
        let example = |prints: &str, exit| Example {
            command: "echo told; echo $WORD >&2; exit 4".to_owned(),
            prints: prints.lines().map(str::to_owned).collect(),
            exit,
            line: 1,
        };
        let word = [("WORD".to_owned(), "loud".to_owned())];
        assert_eq!(example("told\nloud", 4).run(here, here, &word).unwrap(), "told\nloud\n");
        assert!(example("told\nloud", 0).run(here, here, &word).is_err());
        assert!(example("told\nsilent", 4).run(here, here, &word).is_err());
    }
}
