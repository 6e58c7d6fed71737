//! The path of a request, made canonical once; and the patterns that `[[path]]` sections match it with.
//!
//! Lives here: [`CanonicalPath`], whose bytes are the ones that go upstream, and [`PathPattern`]. Apart because the app behind the gateway may
//! read a path in a more lenient way than any one reader here can know (parameters after `;`, a second round of decoding, letters without case, dots
//! and blanks at the end of a name). So there are two ways to match:
//!
//! - a section that **restricts** applies when the exact bytes fit *or* when the *folded* form does, which undoes everything a lenient app
//!   may undo: restrictions match generously;
//! - a section that **opens** (`public = true`) applies only when the exact bytes fit and the path holds nothing that a lenient app might read in
//!   another way: openings match exactly.
//!
//! What no reader could agree on (`..`, `//`, `%2F`, `\`, controls, bytes that are not UTF-8) is refused. The query never takes part
//! (CVE-2025-54576), nor does a fragment (CVE-2026-41059).
//!
//! A policy may keep `%2F` ([`EncodedSlashes::Keep`]) for applications that carry names with slashes in a path. There are two readings of such a path then, `%2F` as
//! a slash and as a character of a name: a section that restricts applies when either fits, one that opens only when both do.

use super::glob::Glob;
use std::borrow::Cow;
use unicode_normalization::UnicodeNormalization as _;

/// Longest path taken, in bytes.
pub const PATH_BYTES_MAX: usize = 8 * 1024;

/// Rounds of percent-encoding that the folded form undoes.
const ROUNDS_MAX: usize = 4;

/// Besides non-ASCII: written as such in a pattern, encoded in a path.
const ENCODED_IN_PATTERNS: percent_encoding::AsciiSet = percent_encoding::AsciiSet::EMPTY.add(b' ');

/// What a policy does with `%2F` in a path (`encoded_slashes`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum EncodedSlashes {
    /// 400: whether it divides two names is anybody's guess.
    #[default]
    Refuse,
    /// It goes upstream as it is, and both readings count.
    Keep,
}

/// Why a path is refused with 400.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PathProblem {
    /// Does not start with `/`.
    #[error("the path does not start with /")]
    NotAbsolute,
    /// Longer than [`PATH_BYTES_MAX`].
    #[error("the path is longer than 8 KiB")]
    TooLong,
    /// `.` or `..` as a segment, raw, encoded, encoded twice or with parameters; or a segment of dots only.
    #[error("the path has a dot segment")]
    DotSegment,
    /// `//`, or what a lenient app reads as such.
    #[error("the path has an empty segment")]
    EmptySegment,
    /// `%2F`.
    #[error("the path has an encoded slash")]
    EncodedSlash,
    /// `\` or `%5C`.
    #[error("the path has a backslash")]
    Backslash,
    /// A control character or a blank, raw, or an encoded control character.
    #[error("the path has a control character")]
    Control,
    /// A raw byte above ASCII.
    #[error("the path has a raw byte that is not ASCII")]
    NotAscii,
    /// Encoded bytes that are not UTF-8, overlong forms among them.
    #[error("the path has encoded bytes that are not UTF-8")]
    NotUtf8,
    /// `%` without two hexadecimal digits.
    #[error("the path has an invalid percent escape")]
    Escape,
    /// `#` or `?`.
    #[error("the path has a # or ?")]
    Delimiter,
    /// Percent-encoded more than four times over.
    #[error("the path is percent-encoded many times over")]
    Nested,
}

/// A path in the one form that is decided on and sent upstream: absolute, no dot segments, no empty segments, unreserved characters not encoded,
/// hexadecimal digits in upper case. Parsing a canonical path again gives the same bytes without allocating.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CanonicalPath<'r> {
    bytes: Cow<'r, str>,
    /// What else may be read in it; `None` when that is the same but for letter case. In a box: nearly every path is plain, and every request carries one.
    other: Option<Box<Other>>,
    /// Whether a public section may match.
    may_open: bool,
}

/// What apps may read in a path.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Other {
    /// What a lenient app may make of it.
    folded: Folded,
    /// The readings of a path that holds `%2F`.
    split: Option<Split>,
}

/// What `%2F` makes of a path besides its bytes and the folded form, which reads it as a slash.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Split {
    /// The bytes with a slash in the place of every `%2F`.
    slashed: String,
    /// The folded form of an app that takes the names apart first, and decodes each of them afterwards.
    within: Folded,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Folded {
    text: String,
    /// Where an app that decodes first and splits afterwards would end the path (`%3F`, `%23`, `%2500`).
    cut: Option<usize>,
}

impl<'r> CanonicalPath<'r> {
    /// Makes `raw` canonical. `raw` is the path of the request target as received, without `?` and what follows. A path that is canonical
    /// already and holds neither `%` nor `;` is borrowed: nothing is allocated.
    ///
    /// # Errors
    /// What no two readers would agree on; see [`PathProblem`].
    pub fn parse(raw: &'r str) -> Result<Self, PathProblem> {
        Self::parse_as(raw, EncodedSlashes::Refuse)
    }

    /// As [`Self::parse`], with what the policy says of `%2F`.
    ///
    /// # Errors
    /// As [`Self::parse`]; with [`EncodedSlashes::Keep`] also what either reading of a `%2F` would make of the path.
    pub fn parse_as(raw: &'r str, slashes: EncodedSlashes) -> Result<Self, PathProblem> {
        if raw.len() > PATH_BYTES_MAX {
            return Err(PathProblem::TooLong);
        }
        if !raw.starts_with('/') {
            return Err(PathProblem::NotAbsolute);
        }
        if is_plain(raw) {
            return Ok(Self { bytes: Cow::Borrowed(raw), other: None, may_open: true });
        }
        let encoded = encode(raw, slashes)?;
        let bytes = if encoded == raw { Cow::Borrowed(raw) } else { Cow::Owned(encoded) };
        if is_plain(&bytes) {
            // `%30` was a long way to write `0`: the path is what it would be without it.
            return Ok(Self { bytes, other: None, may_open: true });
        }
        segments_hold(&bytes)?;
        let folded = fold(&bytes)?;
        // `;`, and characters whose decoding makes another path of it, could mean something else to the app.
        let ambiguous = bytes.contains(';') || ["%25", "%23", "%3F", "%3B"].iter().any(|escape| bytes.contains(escape));
        let slashes = bytes.matches('/').count() + bytes.matches(ENCODED_SLASH).count();
        let may_open = !ambiguous && folded.text.matches('/').count() == slashes;
        let split = bytes.contains(ENCODED_SLASH).then(|| Split::of(&bytes)).transpose()?;
        Ok(Self { bytes, other: Some(Box::new(Other { folded, split })), may_open })
    }

    /// The bytes that go upstream.
    pub fn as_str(&self) -> &str {
        &self.bytes
    }

    /// Whether the canonical bytes differ from what was received.
    pub const fn rewritten(&self) -> bool {
        matches!(self.bytes, Cow::Owned(_))
    }

    /// Whether it holds `%2F`.
    pub fn has_encoded_slash(&self) -> bool {
        self.split().is_some()
    }

    /// Whether a policy that says this of `%2F` takes it.
    pub fn suits(&self, slashes: EncodedSlashes) -> bool {
        slashes == EncodedSlashes::Keep || !self.has_encoded_slash()
    }

    fn split(&self) -> Option<&Split> {
        self.other.as_ref()?.split.as_ref()
    }

    /// Every text that a pattern may be held against; those of [`PathPattern::restricts`], slashes at the end apart.
    pub(super) fn readings(&self) -> impl Iterator<Item = &str> {
        let folded = self.other.iter().flat_map(|other| other.folded.texts());
        let split = self.split().into_iter().flat_map(|split| std::iter::once(Some(split.slashed.as_str())).chain(split.within.texts()));
        std::iter::once(&*self.bytes).chain(folded.chain(split).flatten())
    }

    /// The same path, borrowing nothing.
    pub fn into_owned(self) -> CanonicalPath<'static> {
        CanonicalPath { bytes: Cow::Owned(self.bytes.into_owned()), other: self.other, may_open: self.may_open }
    }
}

/// A pattern of a `[[path]]` section, ready for both ways of matching.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PathPattern {
    written: String,
    /// Over canonical bytes.
    exact: Glob,
    /// Over the folded form: decoded, lower case.
    folded: Glob,
}

impl PathPattern {
    /// Compiles a pattern: it starts with `/` or `*`, and `*` stands for any run of characters. Non-ASCII characters may be written as such.
    ///
    /// # Errors
    /// A pattern that no canonical path could fit, such as one with `//`, `..` or a query.
    pub fn parse(written: &str) -> Result<Self, PathProblem> {
        Self::parse_as(written, EncodedSlashes::Refuse)
    }

    /// As [`Self::parse`], with what the policy says of `%2F`.
    ///
    /// # Errors
    /// As [`Self::parse`].
    pub fn parse_as(written: &str, slashes: EncodedSlashes) -> Result<Self, PathProblem> {
        // `*.json` is checked as if it were a whole path; the slash is taken off again.
        let rooted = if written.starts_with('*') { format!("/{written}") } else { written.to_owned() };
        // People may write blanks and letters that a path can only carry encoded.
        let ascii = percent_encoding::utf8_percent_encode(&rooted, &ENCODED_IN_PATTERNS).to_string();
        let canonical = CanonicalPath::parse_as(&ascii, slashes)?;
        let exact = canonical.as_str().get(rooted.len() - written.len()..).unwrap_or_default().to_owned();
        let folded = normalise(&decode_once(&exact)?);
        Ok(Self { written: written.to_owned(), exact: Glob::new(exact), folded: Glob::new(folded) })
    }

    /// As written.
    pub fn as_str(&self) -> &str {
        &self.written
    }

    /// What texts are held against: over canonical bytes, and over the folded form.
    pub(super) fn forms(&self) -> impl Iterator<Item = &str> {
        [self.exact.as_str(), self.folded.as_str()].into_iter()
    }

    /// Whether a section that opens applies: exact bytes, nothing ambiguous in the path.
    pub fn opens(&self, path: &CanonicalPath<'_>) -> bool {
        path.may_open && self.exact.fits(&path.bytes) && path.split().is_none_or(|split| self.exact.fits(&split.slashed))
    }

    /// Whether a section that restricts applies: exact bytes or folded form, with or without a slash at the end.
    pub fn restricts(&self, path: &CanonicalPath<'_>) -> bool {
        let loose = |text: &str| {
            let text = text.trim_end_matches('/');
            self.folded.fits_any_case(text) || self.folded.fits_any_case_with_slash(text)
        };
        let as_folded = |folded: &Folded| folded.texts().into_iter().flatten().any(loose);
        let as_split = |split: &Split| self.exact.fits(&split.slashed) || loose(&split.slashed) || as_folded(&split.within);
        match &path.other {
            None => loose(&path.bytes),
            Some(other) => {
                self.exact.fits(&path.bytes) || loose(&path.bytes) || as_folded(&other.folded) || other.split.as_ref().is_some_and(as_split)
            }
        }
    }

    /// Whether some path is both opened by this pattern and restricted by `other`.
    pub fn opens_what_is_restricted_by(&self, other: &Self) -> bool {
        let lower = |glob: &Glob| glob.as_str().to_ascii_lowercase();
        let (open, closed) = (Glob::new(lower(&self.folded)), lower(&other.folded));
        let bare = closed.trim_end_matches('/');
        let parent = closed.strip_suffix("/*").unwrap_or(bare);
        [closed.as_str(), bare, parent].iter().any(|form| open.overlaps(&Glob::new(*form)) || open.overlaps(&Glob::new(format!("{form}/"))))
    }
}

/// A slash in a name, in the canonical form.
const ENCODED_SLASH: &str = "%2F";

impl Split {
    /// The readings of canonical bytes with `%2F` in them.
    fn of(bytes: &str) -> Result<Self, PathProblem> {
        let slashed = bytes.replace(ENCODED_SLASH, "/");
        segments_hold(&slashed)?;
        let mut text = String::with_capacity(bytes.len());
        for name in bytes.split('/').skip(1) {
            push_name(&mut text, &normalise(&unescape(name)?).replace('\\', "/"));
        }
        Ok(Self { slashed, within: Folded::of(text) })
    }
}

impl Folded {
    fn of(text: String) -> Self {
        let cut = text.find(['?', '#', '\0']);
        Self { text, cut }
    }

    /// Whole, and up to the cut.
    fn texts(&self) -> [Option<&str>; 2] {
        [Some(&self.text), self.cut.and_then(|cut| self.text.get(..cut))]
    }
}

const fn is_unreserved(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~')
}

/// Whether every reader agrees on the path: no `%`, no `;`, no odd characters, and no segment that is empty, of dots or ending in a dot.
fn is_plain(raw: &str) -> bool {
    let mut before = b'/';
    let mut bytes = raw.bytes().skip(1).peekable();
    while let Some(byte) = bytes.next() {
        match byte {
            b'/' if before == b'/' || before == b'.' => return false,
            b'.' if bytes.peek().is_none() => return false,
            b'/' => {}
            _ if is_unreserved(byte) || matches!(byte, b'!' | b'$' | b'&' | b'\'' | b'(' | b')' | b'*' | b'+' | b',' | b'=' | b':' | b'@') => {}
            _ => return false,
        }
        before = byte;
    }
    true
}

/// RFC 3986 6.2.2: unreserved characters decoded, hexadecimal digits in upper case; characters that browsers encode are encoded.
fn encode(raw: &str, slashes: EncodedSlashes) -> Result<String, PathProblem> {
    let mut out = String::with_capacity(raw.len() + 8);
    let mut bytes = raw.bytes();
    while let Some(byte) = bytes.next() {
        match byte {
            b'%' => match escape(bytes.next(), bytes.next())? {
                b'/' if slashes == EncodedSlashes::Refuse => return Err(PathProblem::EncodedSlash),
                b'\\' => return Err(PathProblem::Backslash),
                value if value.is_ascii_control() => return Err(PathProblem::Control),
                value if is_unreserved(value) => out.push(char::from(value)),
                value => push_escape(&mut out, value),
            },
            b'\\' => return Err(PathProblem::Backslash),
            b'#' | b'?' => return Err(PathProblem::Delimiter),
            0..=0x20 | 0x7f => return Err(PathProblem::Control),
            0x80.. => return Err(PathProblem::NotAscii),
            b'"' | b'<' | b'>' | b'^' | b'`' | b'{' | b'|' | b'}' => push_escape(&mut out, byte),
            _ => out.push(char::from(byte)),
        }
    }
    Ok(out)
}

fn escape(high: Option<u8>, low: Option<u8>) -> Result<u8, PathProblem> {
    let digit = |byte: Option<u8>| byte.and_then(|byte| char::from(byte).to_digit(16)).and_then(|digit| u8::try_from(digit).ok());
    match (digit(high), digit(low)) {
        (Some(high), Some(low)) => Ok(high << 4 | low),
        _ => Err(PathProblem::Escape),
    }
}

fn push_escape(out: &mut String, byte: u8) {
    const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
    out.push('%');
    for nibble in [byte >> 4, byte & 15] {
        out.push(char::from(DIGITS.get(usize::from(nibble)).copied().unwrap_or(b'0')));
    }
}

/// Refuses segments that mean "here", "up" or nothing, also in front of parameters (`..;x`) and of blanks.
fn segments_hold(path: &str) -> Result<(), PathProblem> {
    let mut segments = path.split('/').skip(1).peekable();
    while let Some(segment) = segments.next() {
        let last = segments.peek().is_none();
        let name = segment.split(';').next().unwrap_or_default().trim();
        if name.is_empty() && !(last && segment.trim() == segment) {
            return Err(PathProblem::EmptySegment);
        }
        if !name.is_empty() && name.bytes().all(|byte| byte == b'.') {
            return Err(PathProblem::DotSegment);
        }
    }
    Ok(())
}

/// The path as the most lenient app would read it.
fn fold(canonical: &str) -> Result<Folded, PathProblem> {
    let text = normalise(&unescape(canonical)?).replace('\\', "/");
    segments_hold(&text)?;
    let mut folded = String::with_capacity(text.len());
    for segment in text.split('/').skip(1) {
        push_name(&mut folded, segment);
    }
    Ok(Folded::of(folded))
}

/// Adds a segment without its parameters, and without dots and blanks at its end.
fn push_name(to: &mut String, segment: &str) {
    to.push('/');
    let name = segment.split(';').next().unwrap_or_default();
    to.push_str(name.trim_end_matches(|c: char| c == '.' || c.is_whitespace()));
}

/// Decoded for as long as there is anything to decode.
fn unescape(text: &str) -> Result<String, PathProblem> {
    let mut text = decode_once(text)?;
    let mut rounds = 1;
    while has_escape(&text) {
        if rounds == ROUNDS_MAX {
            return Err(PathProblem::Nested);
        }
        text = decode_lenient(&text);
        rounds += 1;
    }
    Ok(text)
}

/// One round of decoding; what comes out must be UTF-8.
fn decode_once(text: &str) -> Result<String, PathProblem> {
    percent_encoding::percent_decode_str(text).decode_utf8().map(Cow::into_owned).map_err(|_not_utf8| PathProblem::NotUtf8)
}

/// A further round, which only the most lenient apps take: nothing is refused for what it shows.
fn decode_lenient(text: &str) -> String {
    percent_encoding::percent_decode_str(text).decode_utf8_lossy().into_owned()
}

fn has_escape(text: &str) -> bool {
    text.as_bytes().windows(3).any(|three| matches!(three, [b'%', high, low] if high.is_ascii_hexdigit() && low.is_ascii_hexdigit()))
}

/// Compatibility forms (full-width letters, slashes and dots) to plain ones; lower case.
fn normalise(text: &str) -> String {
    if text.is_ascii() { text.to_ascii_lowercase() } else { text.nfkc().flat_map(char::to_lowercase).nfkc().collect() }
}

#[cfg(test)]
mod tests;
