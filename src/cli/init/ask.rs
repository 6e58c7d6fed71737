//! Asking: a question, its default, and what makes an answer wrong.

use super::super::tell;
use crate::source::schema::{is_host, is_http_url};
use crate::source::value::{is_secret_reference, looks_like_path};
use std::io::BufRead;

/// Nobody answers any more.
#[derive(Debug)]
pub(super) struct Gone;

/// Asks on standard error, so that standard output stays for what was done.
pub(super) struct Ask<R>(R);

impl<R: BufRead> Ask<R> {
    pub(super) const fn new(input: R) -> Self {
        Self(input)
    }

    /// Asks until the answer is right; an empty one is the default.
    pub(super) fn text(&mut self, question: &str, default: &str, wrong: &dyn Fn(&str) -> Result<(), String>) -> Result<String, Gone> {
        loop {
            tell(&format!("{question} [{default}]: "));
            let mut line = String::new();
            if !self.0.read_line(&mut line).is_ok_and(|read| read > 0) {
                tell("\n");
                return Err(Gone);
            }
            let answer = if line.trim().is_empty() { default } else { line.trim() };
            match wrong(answer) {
                Ok(()) => return Ok(answer.to_owned()),
                Err(why) => tell(&format!("     {why}\n")),
            }
        }
    }

    pub(super) fn host(&mut self, question: &str, default: &str) -> Result<String, Gone> {
        let wrong = |answer: &str| is_host(answer).then_some(()).ok_or_else(|| "a name only, without https:// and port".to_owned());
        self.text(question, default, &wrong).map(|host| host.to_ascii_lowercase())
    }

    pub(super) fn url(&mut self, question: &str, default: &str) -> Result<String, Gone> {
        self.text(question, default, &|answer| {
            is_http_url(answer).then_some(()).ok_or_else(|| "an address, such as https://app.example.com".to_owned())
        })
    }

    pub(super) fn secret(&mut self, question: &str, default: &str) -> Result<String, Gone> {
        self.text(question, default, &|answer| {
            if is_secret_reference(answer) && !answer.starts_with("vault:") {
                Ok(())
            } else if looks_like_path(answer) {
                Err(format!("did you mean file:{answer}?"))
            } else {
                Err("say where it is, not what it is: nothing secret belongs into these files".to_owned())
            }
        })
    }
}

/// Something between two questions.
pub(super) fn say(text: &str) {
    if !text.is_empty() {
        tell(&format!("     {text}\n"));
    }
}
