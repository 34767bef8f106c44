//! What is wrong with a configuration: all of it at once, each with the way out.

use std::{
    fmt::{self, Write as _},
    path::PathBuf,
};

/// Everything wrong with a configuration, in the order of the files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigErrors(pub Vec<ConfigProblem>);

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigProblem {
    /// The file it stands in.
    pub file: PathBuf,
    /// Dotted path of the key; empty if the whole file is concerned.
    pub key: String,
    /// The offending value, with secrets masked; `None` if it is missing.
    pub value: Option<String>,
    /// What belongs there, or what to do.
    pub expected: String,
    /// The environment variable that overrides the key.
    pub variable: Option<String>,
}

impl fmt::Display for ConfigErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let count = self.0.len();
        write!(f, "{count} problem{} in the configuration:", if count == 1 { "" } else { "s" })?;
        self.0.iter().try_for_each(|problem| write!(f, "\n  {problem}"))
    }
}

impl std::error::Error for ConfigErrors {}

impl fmt::Display for ConfigProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let f = &mut OneLine(f);
        write!(f, "{}: ", self.file.display())?;
        if !self.key.is_empty() {
            f.write_str(&self.key)?;
            match &self.value {
                Some(value) => write!(f, " = {value}: ")?,
                None => f.write_str(" is missing: ")?,
            }
        }
        f.write_str(&self.expected)?;
        match &self.variable {
            Some(variable) => write!(f, " (environment: {variable})"),
            None => Ok(()),
        }
    }
}

/// Escapes control characters. TOML lets keys and paths have them, and a terminal or a log would obey.
struct OneLine<'a, 'b>(&'a mut fmt::Formatter<'b>);

impl fmt::Write for OneLine<'_, '_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        text.chars().try_for_each(|letter| {
            if letter.is_control() {
                write!(self.0, "{}", letter.escape_default())
            } else {
                self.0.write_char(letter)
            }
        })
    }
}

/// A value as it may be shown: whatever looks like a secret is masked, because configuration errors end in logs
/// and tickets.
pub(super) fn shown(key: &str, value: &str) -> String {
    const MASK: &str = "\"***\"";
    let named_secret = ["secret", "password", "passphrase", "token", "private"]
        .iter()
        .any(|word| key.rsplit('.').next().unwrap_or(key).contains(word));
    let is_key_material = value.len() >= 64 && value.bytes().all(|byte| byte.is_ascii_hexdigit());
    if named_secret || is_key_material {
        return MASK.to_owned();
    }
    if let (Some(scheme), Some(at)) = (value.find("://"), value.rfind('@')) {
        let (head, tail) = (value.get(..scheme + 3), value.get(at..));
        return format!("\"{}***{}\"", head.unwrap_or_default(), tail.unwrap_or_default());
    }
    format!("{value:?}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_problem_is_one_line_and_commands_no_terminal_whatever_the_file_says() {
        let problem = ConfigProblem {
            file: PathBuf::from("no\nsuch\u{1b}[2J.toml"),
            key: "rest.\u{1b}[31m\r".to_owned(),
            value: Some("\"2\"".to_owned()),
            expected: "/etc/no\u{7}such: No such file".to_owned(),
            variable: Some("MPC_WALLET_REST_\u{85}".to_owned()),
        };
        assert_eq!(
            problem.to_string(),
            "no\\nsuch\\u{1b}[2J.toml: rest.\\u{1b}[31m\\r = \"2\": /etc/no\\u{7}such: No such file \
             (environment: MPC_WALLET_REST_\\u{85})"
        );
    }

    #[test]
    fn secrets_are_never_shown() {
        assert_eq!(shown("node.id", "x"), "\"x\"");
        assert_eq!(shown("chain.esplora", "ftp://user:pw@host/x"), "\"ftp://***@host/x\"");
        assert_eq!(shown("node.identity", &"ab".repeat(32)), "\"***\"");
        assert_eq!(shown("node.api_token", "short"), "\"***\"");
    }
}
