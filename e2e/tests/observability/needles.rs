//! Secrets in every form that a program prints bytes in, and the search for them.

use std::io::Write as _;
use std::process::{Command, Stdio};

use bitcoin::hex::DisplayHex as _;

/// Something that must not be found.
pub(crate) struct Needle {
    /// What it is, for messages.
    pub(crate) what: String,
    /// As it would be written.
    pub(crate) text: String,
}

/// Secrets to look for.
#[derive(Default)]
pub(crate) struct Needles(pub(crate) Vec<Needle>);

impl Needles {
    /// A secret that is text.
    pub(crate) fn text(&mut self, what: impl Into<String>, text: impl Into<String>) {
        let (what, text) = (what.into(), text.into());
        assert!(text.len() >= 16, "{what} is too short to be told from chance");
        self.0.push(Needle { what, text });
    }

    /// A secret that is bytes: hexadecimal in both cases, base64, and as Rust's `Debug` lists numbers.
    pub(crate) fn bytes(&mut self, what: &str, bytes: &[u8]) {
        self.text(format!("{what}, hex"), bytes.to_lower_hex_string());
        self.text(format!("{what}, upper-case hex"), bytes.to_upper_hex_string());
        let base64 = base64(bytes);
        self.text(format!("{what}, base64"), base64.trim_end_matches('='));
        let numbers: Vec<String> = bytes.iter().map(u8::to_string).collect();
        self.text(format!("{what}, numbers"), numbers.join(", "));
    }

    /// What of them a text holds.
    pub(crate) fn found_in(&self, haystack: &str) -> Vec<&str> {
        let found = self.0.iter().filter(|needle| haystack.contains(&needle.text));
        found.map(|needle| needle.what.as_str()).collect()
    }
}

fn base64(bytes: &[u8]) -> String {
    let mut openssl = Command::new("openssl")
        .args(["base64", "-A"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    openssl.stdin.take().unwrap().write_all(bytes).unwrap();
    String::from_utf8(openssl.wait_with_output().unwrap().stdout).unwrap()
}
