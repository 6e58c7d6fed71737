//! Text into tokens, each with its place.
//!
//! One pass over the bytes. It knows no grammar, but it does know where an expression inside a template ends: at the first `}`
//! that is not inside a string.

use super::ExprProblem;
use std::ops::Range;

/// A token and where it stands.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Token {
    pub(super) kind: Kind,
    pub(super) span: Range<usize>,
}

/// What a token is. Names are read from the text by their span.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Kind {
    /// Identifier or keyword.
    Name,
    /// String literal, escapes resolved.
    Text(String),
    /// Whole number without its sign.
    Int(u64),
    /// Operator or bracket.
    Sign(&'static str),
}

/// Tokens of one expression, what was unreadable, and where it stopped.
#[derive(Debug)]
pub(super) struct Tokens {
    pub(super) list: Vec<Token>,
    pub(super) problems: Vec<ExprProblem>,
    /// The expression in the text; for a template without its braces.
    pub(super) span: Range<usize>,
    /// Whether the closing brace was found (template only).
    pub(super) closed: bool,
}

/// All of `text`.
pub(super) fn whole(text: &str) -> Tokens {
    Lexer::new(text, 0).run(false)
}

/// From `from`, just behind an opening brace, to its closing brace.
pub(super) fn braced(text: &str, from: usize) -> Tokens {
    Lexer::new(text, from).run(true)
}

/// Longest first, so that `<=` is not read as `<`.
const SIGNS: [&str; 19] = ["&&", "||", "==", "!=", "<=", ">=", "<", ">", "!", "?", ":", "(", ")", "[", "]", ".", ",", "+", "-"];

struct Lexer<'t> {
    text: &'t str,
    at: usize,
    list: Vec<Token>,
    problems: Vec<ExprProblem>,
}

impl<'t> Lexer<'t> {
    const fn new(text: &'t str, at: usize) -> Self {
        Self { text, at, list: Vec::new(), problems: Vec::new() }
    }

    fn run(mut self, in_braces: bool) -> Tokens {
        let from = self.at;
        let mut closed = false;
        while let Some(next) = self.peek() {
            if in_braces && next == '}' {
                closed = true;
                break;
            }
            self.token(next);
        }
        Tokens { list: self.list, problems: self.problems, span: from..self.at, closed }
    }

    fn rest(&self) -> &'t str {
        self.text.get(self.at..).unwrap_or_default()
    }

    fn peek(&self) -> Option<char> {
        self.rest().chars().next()
    }

    fn skip_while(&mut self, belongs: impl Fn(char) -> bool) {
        let rest = self.rest();
        self.at += rest.find(|letter| !belongs(letter)).unwrap_or(rest.len());
    }

    fn push(&mut self, kind: Kind, from: usize) {
        self.list.push(Token { kind, span: from..self.at });
    }

    fn token(&mut self, next: char) {
        let from = self.at;
        if next.is_ascii_whitespace() {
            self.skip_while(|letter| letter.is_ascii_whitespace());
        } else if next == '\'' || next == '"' {
            self.string(next, from, false);
        } else if matches!(next, 'r' | 'R') && matches!(self.rest().as_bytes().get(1), Some(b'\'' | b'"')) {
            self.at += 1;
            let quote = self.peek().unwrap_or('\'');
            self.string(quote, from, true);
        } else if next.is_ascii_alphabetic() || next == '_' {
            self.skip_while(|letter| letter.is_ascii_alphanumeric() || letter == '_');
            self.push(Kind::Name, from);
        } else if next.is_ascii_digit() {
            self.number(from);
        } else if let Some(sign) = SIGNS.into_iter().find(|sign| self.rest().starts_with(sign)) {
            self.at += sign.len();
            self.push(Kind::Sign(sign), from);
        } else {
            self.at += next.len_utf8();
            self.problems.push(unexpected(next, from..self.at));
        }
    }

    /// A number takes every letter, digit and point that touches it, so that `1.5` and `0x1g` are one mistake, not three.
    fn number(&mut self, from: usize) {
        self.skip_while(|letter| letter.is_ascii_alphanumeric() || letter == '_');
        if self.rest().starts_with('.') && self.rest().as_bytes().get(1).is_some_and(u8::is_ascii_digit) {
            self.at += 1;
            self.skip_while(|letter| letter.is_ascii_alphanumeric());
        }
        let written = self.text.get(from..self.at).unwrap_or_default();
        let hex = written.strip_prefix("0x").or_else(|| written.strip_prefix("0X"));
        match hex.map_or_else(|| written.parse(), |digits| u64::from_str_radix(digits, 16)) {
            Ok(number) => self.push(Kind::Int(number), from),
            Err(_not_whole) => {
                let problem = ExprProblem::syntax(from..self.at, format!("`{written}` is not a whole number")).label("only whole numbers here");
                self.problems.push(problem);
            }
        }
    }

    fn string(&mut self, quote: char, from: usize, raw: bool) {
        self.at += 1;
        let mut value = String::new();
        loop {
            let begin = self.at;
            let Some(letter) = self.peek().filter(|&letter| letter != '\n' && letter != '\r') else {
                let problem = ExprProblem::syntax(from..self.at, "this string has no end").label(format!("the closing {quote} is missing"));
                self.problems.push(problem);
                return;
            };
            self.at += letter.len_utf8();
            if letter == quote {
                return self.push(Kind::Text(value), from);
            }
            if letter != '\\' || raw {
                value.push(letter);
            } else if let Some(letter) = self.escape() {
                value.push(letter);
            } else {
                let problem = ExprProblem::syntax(begin..self.at, "there is no such escape in a string")
                    .label("unknown escape")
                    .help(r#"escapes: \\ \' \" \n \r \t \xHH \uHHHH \UHHHHHHHH; for a pattern write r'…', where \ stands for itself"#);
                self.problems.push(problem);
            }
        }
    }

    /// What stands behind a backslash; consumes it even when it is wrong, a line end excepted.
    fn escape(&mut self) -> Option<char> {
        let letter = self.peek().filter(|&letter| letter != '\n' && letter != '\r')?;
        self.at += letter.len_utf8();
        match letter {
            '\\' | '\'' | '"' | '`' | '?' => Some(letter),
            'n' => Some('\n'),
            'r' => Some('\r'),
            't' => Some('\t'),
            'a' => Some('\x07'),
            'b' => Some('\x08'),
            'f' => Some('\x0c'),
            'v' => Some('\x0b'),
            'x' | 'X' => self.code_point(2, 16),
            'u' => self.code_point(4, 16),
            'U' => self.code_point(8, 16),
            '0'..='3' => {
                self.at -= 1;
                self.code_point(3, 8)
            }
            _ => None,
        }
    }

    fn code_point(&mut self, digits: usize, radix: u32) -> Option<char> {
        let written = self.text.get(self.at..self.at + digits).filter(|digits| digits.bytes().all(|digit| digit.is_ascii_hexdigit()))?;
        let letter = u32::from_str_radix(written, radix).ok().and_then(char::from_u32)?;
        self.at += digits;
        Some(letter)
    }
}

fn unexpected(letter: char, span: Range<usize>) -> ExprProblem {
    let problem = ExprProblem::syntax(span, format!("`{}` means nothing here", letter.escape_debug())).label("unexpected character");
    match letter {
        '=' => problem.help("to compare, write =="),
        '&' => problem.help("for \"and\", write &&"),
        '|' => problem.help("for \"or\", write ||"),
        '‘' | '’' | '“' | '”' | '„' | '«' | '»' | '`' => problem.help("strings stand in straight quotes: 'like this'"),
        '$' | '{' | '}' => problem.help("inside an expression a name stands by itself, without $ or braces"),
        _ => problem,
    }
}

#[cfg(test)]
mod tests {
    use super::{Kind, braced, whole};

    #[test]
    fn tells_what_it_cannot_read_and_goes_on() {
        for (text, expected) in [
            ("a = b", vec![("=", "`=` means nothing here")]),
            ("a & b | c", vec![("&", "`&` means nothing here"), ("|", "`|` means nothing here")]),
            ("'abc", vec![("'abc", "this string has no end")]),
            ("'a\nb", vec![("'a", "this string has no end")]),
            (r"'\q'", vec![(r"\q", "there is no such escape in a string")]),
            (r"'\ud800'", vec![(r"\u", "there is no such escape in a string")]),
            (r"'\xé9'", vec![(r"\x", "there is no such escape in a string")]),
            (r"'a\", vec![(r"\", "there is no such escape in a string"), (r"'a\", "this string has no end")]),
            ("1.5", vec![("1.5", "`1.5` is not a whole number")]),
            ("1u", vec![("1u", "`1u` is not a whole number")]),
            ("18446744073709551616", vec![("18446744073709551616", "`18446744073709551616` is not a whole number")]),
            ("“a”", vec![("“", "`“` means nothing here"), ("”", "`”` means nothing here")]),
        ] {
            let found = whole(text).problems;
            let found: Vec<_> = found.iter().map(|problem| (text.get(problem.span.clone()).unwrap(), problem.message.as_str())).collect();
            assert_eq!(found, expected, "{text}");
        }
    }

    #[test]
    fn reads_names_numbers_strings_and_signs() {
        let text = r#" a_1<=0x1F && r'\d' != "it's" + 'q\'\n\u00e9\x41\101' "#;
        let kinds: Vec<Kind> = whole(text).list.into_iter().map(|token| token.kind).collect();
        let (sign, words) = (Kind::Sign, |text: &str| Kind::Text(text.to_owned()));
        let expected = [Kind::Name, sign("<="), Kind::Int(31), sign("&&"), words(r"\d"), sign("!="), words("it's"), sign("+"), words("q'\n\u{e9}AA")];
        assert_eq!(kinds, expected);
    }

    #[test]
    fn a_brace_inside_a_string_does_not_end_the_expression() {
        for (text, end, closed) in
            [("{a}b", 2, true), ("{'}'}", 4, true), (r"{'\'}'}", 6, true), ("{r'\\'}", 5, true), ("{a", 2, false), ("{'}", 3, false)]
        {
            let tokens = braced(text, 1);
            assert_eq!((tokens.span.end, tokens.closed), (end, closed), "{text}");
        }
    }
}
