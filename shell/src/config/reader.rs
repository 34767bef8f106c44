//! Reads TOML tables key by key, notes every problem and goes on, so that an operator sees all of them at once.

use std::path::{Path, PathBuf};

use toml::{Table, Value};

use super::problem::{ConfigErrors, ConfigProblem, shown};

/// One configuration file being read.
pub(super) struct Reader {
    file: PathBuf,
    root: Table,
    /// Whether keys can be overridden from the environment.
    overridable: bool,
    problems: Vec<ConfigProblem>,
}

/// Prefix of all environment overrides.
const PREFIX: &str = "MPC_WALLET_";

impl Reader {
    /// Reads a file. An unreadable or malformed one is a problem and an empty table.
    pub(super) fn open(file: &Path, overridable: bool) -> Self {
        let mut reader =
            Self { file: file.to_owned(), root: Table::new(), overridable, problems: Vec::new() };
        match std::fs::read_to_string(file) {
            Err(error) => reader.note_file(format!("cannot be read: {error}")),
            Ok(text) => match text.parse::<Table>() {
                Ok(root) => reader.root = root,
                Err(error) => {
                    let line = error.span().map_or(1, |span| {
                        1 + text.bytes().take(span.start).filter(|byte| *byte == b'\n').count()
                    });
                    reader.note_file(format!("line {line} is not TOML: {}", error.message()));
                }
            },
        }
        reader
    }

    /// Lets `MPC_WALLET_<SECTION>_<KEY>` override `section.key`, for the sections given. Other variables are left
    /// alone; an unknown key in a known section will be refused like one in the file.
    pub(super) fn overlay(
        &mut self,
        sections: &[&str],
        environment: impl IntoIterator<Item = (String, String)>,
    ) {
        for (variable, value) in environment {
            let Some(name) = variable.strip_prefix(PREFIX) else { continue };
            let name = name.to_ascii_lowercase();
            let Some((section, key)) = name.split_once('_').filter(|(head, _)| sections.contains(head))
            else {
                continue;
            };
            let table = self.root.entry(section).or_insert_with(|| Value::Table(Table::new()));
            if let Value::Table(table) = table {
                table.insert(key.to_owned(), Value::String(value));
            }
        }
    }

    /// Whether a section is there at all.
    pub(super) fn has_section(&self, name: &str) -> bool {
        self.root.contains_key(name)
    }

    /// Whether a section has a key.
    pub(super) fn has(&self, section: &str, key: &str) -> bool {
        self.root.get(section).and_then(Value::as_table).is_some_and(|table| table.contains_key(key))
    }

    /// Takes a section out of the file; a missing one is empty.
    pub(super) fn section(&mut self, name: &'static str) -> Section<'_> {
        let table = match self.root.remove(name) {
            None => Table::new(),
            Some(Value::Table(table)) => table,
            Some(other) => {
                self.note(name, Some(&scalar(&other)), "expected a section, [".to_owned() + name + "]");
                Table::new()
            }
        };
        Section { reader: self, path: name.to_owned(), table }
    }

    /// The keys outside all sections.
    pub(super) fn top(&mut self, keys: &[&str]) -> Section<'_> {
        let table = keys.iter().filter_map(|key| self.root.remove_entry(*key)).collect();
        Section { reader: self, path: String::new(), table }
    }

    /// Takes an array of tables, `[[name]]`.
    pub(super) fn tables(&mut self, name: &'static str) -> Vec<Table> {
        match self.root.remove(name) {
            Some(Value::Array(items)) if items.iter().all(Value::is_table) => {
                items.into_iter().filter_map(|item| item.try_into().ok()).collect()
            }
            other => {
                self.note(
                    name,
                    other.as_ref().map(scalar).as_deref(),
                    format!("expected one [[{name}]] block for each"),
                );
                Vec::new()
            }
        }
    }

    /// A table from [`Self::tables`] as a section.
    pub(super) fn item(&mut self, path: String, table: Table) -> Section<'_> {
        Section { reader: self, path, table }
    }

    /// Notes a problem of a key.
    pub(super) fn note(&mut self, key: &str, value: Option<&str>, expected: impl Into<String>) {
        // Of several alike, no variable names one.
        let variable = (self.overridable && key.contains('.') && !key.contains('['))
            .then(|| format!("{PREFIX}{}", key.replace('.', "_").to_ascii_uppercase()));
        self.problems.push(ConfigProblem {
            file: self.file.clone(),
            key: key.to_owned(),
            value: value.map(|value| shown(key, value)),
            expected: expected.into(),
            variable,
        });
    }

    /// Notes a problem of the whole file.
    pub(super) fn note_file(&mut self, what: impl Into<String>) {
        self.note("", None, what);
    }

    /// A path in this file, which is relative to the file's folder.
    pub(super) fn resolve(&self, path: &str) -> PathBuf {
        self.file.parent().unwrap_or_else(|| Path::new("")).join(path)
    }

    /// Ends the reading: what was never asked for is unknown.
    pub(super) fn finish(mut self) -> Vec<ConfigProblem> {
        for (key, value) in std::mem::take(&mut self.root) {
            let what = "unknown section or key; remove it or correct its spelling";
            self.note(&key, Some(&scalar(&value)), what);
        }
        self.problems
    }
}

/// One section; what is not taken from it is unknown and refused when it goes out of scope through
/// [`Section::finish`].
pub(super) struct Section<'a> {
    pub(super) reader: &'a mut Reader,
    path: String,
    table: Table,
}

impl Section<'_> {
    fn full(&self, key: &str) -> String {
        if self.path.is_empty() { key.to_owned() } else { format!("{}.{key}", self.path) }
    }

    /// Notes a problem of a key of this section.
    pub(super) fn note(&mut self, key: &str, value: Option<&str>, expected: impl Into<String>) {
        let full = self.full(key);
        self.reader.note(&full, value, expected);
    }

    /// Takes an optional value; one that `parse` refuses is noted with what was `expected`. Numbers may be written
    /// with or without quotes, so that file and environment follow one rule.
    pub(super) fn optional<T>(
        &mut self,
        key: &str,
        expected: &str,
        parse: impl Fn(&str) -> Option<T>,
    ) -> Option<T> {
        let value = self.table.remove(key)?;
        let text = scalar(&value);
        let parsed = if value.is_array() || value.is_table() { None } else { parse(&text) };
        if parsed.is_none() {
            self.note(key, Some(&text), format!("expected {expected}"));
        }
        parsed
    }

    /// Takes a value that must be there.
    pub(super) fn required<T>(
        &mut self,
        key: &str,
        expected: &str,
        parse: impl Fn(&str) -> Option<T>,
    ) -> Option<T> {
        if !self.table.contains_key(key) {
            self.note(key, None, format!("expected {expected}"));
        }
        self.optional(key, expected, parse)
    }

    /// Takes an optional list of strings; in the environment, comma-separated.
    pub(super) fn list(&mut self, key: &str, expected: &str) -> Option<Vec<String>> {
        let value = self.table.remove(key)?;
        if let Value::String(text) = &value {
            return Some(text.split(',').map(|item| item.trim().to_owned()).collect());
        }
        let items: Option<Vec<_>> = value
            .as_array()
            .and_then(|items| items.iter().map(|item| item.as_str().map(str::to_owned)).collect());
        if items.is_none() {
            self.note(key, Some(&scalar(&value)), format!("expected {expected}"));
        }
        items
    }

    /// Ends the section: what was not taken is unknown.
    pub(super) fn finish(mut self) {
        for (key, value) in std::mem::take(&mut self.table) {
            let what = "unknown key; remove it or correct its spelling";
            self.note(&key, Some(&scalar(&value)), what);
        }
    }
}

/// A value as text, without the quotes of strings.
fn scalar(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Integer(_)
        | Value::Float(_)
        | Value::Boolean(_)
        | Value::Datetime(_)
        | Value::Array(_)
        | Value::Table(_) => value.to_string(),
    }
}

/// Joins the problems of several files.
pub(super) fn settle<T>(
    value: Option<T>,
    problems: impl IntoIterator<Item = ConfigProblem>,
) -> Result<T, ConfigErrors> {
    let problems: Vec<_> = problems.into_iter().collect();
    match value {
        Some(value) if problems.is_empty() => Ok(value),
        Some(_) | None => Err(ConfigErrors(problems)),
    }
}
