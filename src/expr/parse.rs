//! Tokens into a tree.
//!
//! Recursive descent over the grammar of CEL (cel-spec, langdef.md, "Syntax"), one token of look-ahead, no way back: every step
//! consumes a token or returns, so time is linear in their number. Recursion and tree are at most [`DEPTH_MAX`] levels deep.

use super::lex::{Kind, Token, Tokens};
use super::{DEPTH_MAX, EXPRESSION_BYTES_MAX, ExprProblem};
use std::ops::Range;

/// An expression as written.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Node {
    pub(super) kind: Shape,
    /// With its parentheses, where it has them.
    pub(super) span: Range<usize>,
    /// Levels below and including this one.
    height: usize,
}

/// What an expression is.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Shape {
    Text(String),
    Int(i64),
    Bool(bool),
    Null,
    List(Vec<Node>),
    Name(String),
    /// `of.name`
    Field(Box<Node>, Ident),
    /// `of[key]`
    Index(Box<Node>, Box<Node>),
    /// `function(arguments)`; for `receiver.function(arguments)` the receiver is the first.
    Call(Ident, Vec<Node>),
    Not(Box<Node>),
    /// `a && b && …`
    All(Vec<Node>),
    /// `a || b || …`
    Any(Vec<Node>),
    /// `a + b + …`
    Sum(Vec<Node>),
    Compare(Relation, Box<Node>, Box<Node>),
    /// `element in container`
    In(Box<Node>, Box<Node>),
    /// `condition ? first : second`
    Choose(Box<[Node; 3]>),
}

/// A field or function name and where it stands.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Ident {
    pub(super) name: String,
    pub(super) span: Range<usize>,
}

/// `==` and its kin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Relation {
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

impl Relation {
    fn of(sign: &str) -> Option<Self> {
        Some(match sign {
            "==" => Self::Equal,
            "!=" => Self::NotEqual,
            "<" => Self::Less,
            "<=" => Self::LessOrEqual,
            ">" => Self::Greater,
            ">=" => Self::GreaterOrEqual,
            _ => return None,
        })
    }
}

/// The tree of `tokens`, which were read from `text`. `None` when it cannot be built; then there is at least one problem.
pub(super) fn tree(text: &str, tokens: &Tokens, problems: &mut Vec<ExprProblem>) -> Option<Node> {
    let length_bytes = tokens.span.len();
    if length_bytes > EXPRESSION_BYTES_MAX {
        let message = format!("this expression is too long: {length_bytes} bytes of at most {EXPRESSION_BYTES_MAX}");
        problems.push(ExprProblem::syntax(tokens.span.clone(), message).label("too long"));
        return None;
    }
    if !tokens.problems.is_empty() {
        problems.extend(tokens.problems.iter().cloned());
        return None;
    }
    let mut parser = Parser::new(text, tokens);
    let built = parser.expression().and_then(|tree| if parser.peek().is_none() { Ok(tree) } else { Err(parser.expected("an operator")) });
    built.map_err(|problem| problems.push(problem)).ok()
}

struct Parser<'t> {
    text: &'t str,
    tokens: &'t [Token],
    /// Index of the next token.
    at: usize,
    /// End of the expression in the text, for problems there.
    end: usize,
    depth: usize,
    #[cfg(test)]
    looks: std::cell::Cell<usize>,
}

type Parsed<T> = Result<T, ExprProblem>;

impl<'t> Parser<'t> {
    fn new(text: &'t str, tokens: &'t Tokens) -> Self {
        Self {
            text,
            tokens: &tokens.list,
            at: 0,
            end: tokens.span.end,
            depth: 0,
            #[cfg(test)]
            looks: std::cell::Cell::new(0),
        }
    }

    // Expr = ConditionalOr ["?" ConditionalOr ":" Expr]
    fn expression(&mut self) -> Parsed<Node> {
        if self.depth >= DEPTH_MAX {
            let spot = self.peek().map_or(self.end..self.end, |token| token.span.clone());
            return Err(too_deep(spot));
        }
        self.depth += 1;
        let condition = self.any()?;
        let built = if self.take("?") {
            let first = self.any()?;
            self.need(":")?;
            let second = self.expression()?;
            let (span, height) = (condition.span.start..second.span.end, condition.height.max(first.height).max(second.height));
            node(Shape::Choose(Box::new([condition, first, second])), span, height)
        } else {
            Ok(condition)
        };
        self.depth -= 1;
        built
    }

    // ConditionalOr = [ConditionalOr "||"] ConditionalAnd
    fn any(&mut self) -> Parsed<Node> {
        self.chain("||", Self::all, Shape::Any)
    }

    // ConditionalAnd = [ConditionalAnd "&&"] Relation
    fn all(&mut self) -> Parsed<Node> {
        self.chain("&&", Self::relation, Shape::All)
    }

    // Addition = [Addition "+"] Unary
    fn sum(&mut self) -> Parsed<Node> {
        self.chain("+", Self::unary, Shape::Sum)
    }

    fn chain(&mut self, sign: &str, part: impl Fn(&mut Self) -> Parsed<Node>, shape: impl FnOnce(Vec<Node>) -> Shape) -> Parsed<Node> {
        let first = part(self)?;
        if !self.is_next(sign) {
            return Ok(first);
        }
        let (from, mut height, mut end) = (first.span.start, first.height, first.span.end);
        let mut parts = vec![first];
        while self.take(sign) {
            let next = part(self)?;
            (height, end) = (height.max(next.height), next.span.end);
            parts.push(next);
        }
        node(shape(parts), from..end, height)
    }

    // Relation = [Relation Relop] Addition, from left to right
    fn relation(&mut self) -> Parsed<Node> {
        let mut left = self.sum()?;
        loop {
            let relation = match self.peek() {
                Some(Token { kind: Kind::Sign(sign), .. }) => Relation::of(sign),
                Some(token) if self.is_word(token, "in") => None,
                _ => return Ok(left),
            };
            if relation.is_none() && !self.next_is_word("in") {
                return Ok(left);
            }
            self.at += 1;
            let right = self.sum()?;
            let (span, height) = (left.span.start..right.span.end, left.height.max(right.height));
            let (left_half, right_half) = (Box::new(left), Box::new(right));
            let shape = match relation {
                Some(relation) => Shape::Compare(relation, left_half, right_half),
                None => Shape::In(left_half, right_half),
            };
            left = node(shape, span, height)?;
        }
    }

    // Unary = Member | "!" {"!"} Member | "-" Int
    fn unary(&mut self) -> Parsed<Node> {
        let Some(token) = self.peek() else { return self.member() };
        let from = token.span.start;
        if self.take("-") {
            return self.negative(from);
        }
        let mut signs = Vec::new();
        while self.is_next("!") {
            signs.extend(self.peek().map(|sign| sign.span.start));
            self.at += 1;
        }
        let mut inner = self.member()?;
        while let Some(from) = signs.pop() {
            let (span, height) = (from..inner.span.end, inner.height);
            inner = node(Shape::Not(Box::new(inner)), span, height)?;
        }
        Ok(inner)
    }

    fn negative(&mut self, from: usize) -> Parsed<Node> {
        match self.peek() {
            Some(Token { kind: Kind::Int(number), span }) => {
                let (span, number) = (from..span.end, *number);
                self.at += 1;
                let number = 0_i64.checked_sub_unsigned(number).ok_or_else(|| out_of_range(span.clone()))?;
                node(Shape::Int(number), span, 0)
            }
            _ => Err(ExprProblem::syntax(from..from + 1, "`-` stands only before a number").label("not part of this language")),
        }
    }

    // Member = Primary {"." name ["(" arguments ")"] | "[" Expr "]"}
    fn member(&mut self) -> Parsed<Node> {
        let mut inner = self.primary()?;
        loop {
            let from = inner.span.start;
            let height = inner.height;
            if self.take(".") {
                let name = self.ident()?;
                inner = if self.is_next("(") {
                    let (end, deepest, mut arguments) = self.arguments(")")?;
                    arguments.insert(0, inner);
                    node(Shape::Call(name, arguments), from..end, height.max(deepest))?
                } else {
                    let end = name.span.end;
                    node(Shape::Field(Box::new(inner), name), from..end, height)?
                };
            } else if self.take("[") {
                let key = self.expression()?;
                let end = self.need("]")?;
                let deepest = height.max(key.height);
                inner = node(Shape::Index(Box::new(inner), Box::new(key)), from..end, deepest)?;
            } else {
                return Ok(inner);
            }
        }
    }

    fn primary(&mut self) -> Parsed<Node> {
        let Some(Token { kind, span }) = self.peek() else { return Err(self.expected("a value")) };
        match kind {
            Kind::Text(text) => {
                self.at += 1;
                node(Shape::Text(text.clone()), span.clone(), 0)
            }
            Kind::Int(number) => {
                self.at += 1;
                let number = i64::try_from(*number).map_err(|_too_large| out_of_range(span.clone()))?;
                node(Shape::Int(number), span.clone(), 0)
            }
            Kind::Sign("(") => {
                self.at += 1;
                let inner = self.expression()?;
                let end = self.need(")")?;
                Ok(Node { span: span.start..end, ..inner })
            }
            Kind::Sign("[") => {
                let (end, height, elements) = self.arguments("]")?;
                node(Shape::List(elements), span.start..end, height)
            }
            Kind::Sign(_) => Err(self.expected("a value")),
            Kind::Name => self.word(span.clone()),
        }
    }

    /// A literal that is a word, a name, or a function with its arguments.
    fn word(&mut self, span: Range<usize>) -> Parsed<Node> {
        let word = self.text.get(span.clone()).unwrap_or_default();
        let shape = match word {
            "in" => return Err(self.expected("a value")),
            "true" => Shape::Bool(true),
            "false" => Shape::Bool(false),
            "null" => Shape::Null,
            _ => Shape::Name(word.to_owned()),
        };
        self.at += 1;
        if self.is_next("(") && matches!(shape, Shape::Name(_)) {
            let (end, height, arguments) = self.arguments(")")?;
            let from = span.start;
            return node(Shape::Call(Ident { name: word.to_owned(), span }, arguments), from..end, height);
        }
        node(shape, span, 0)
    }

    /// From the opening bracket, which is next, to `closing`: its end, the greatest height, and what stands between commas.
    fn arguments(&mut self, closing: &'static str) -> Parsed<(usize, usize, Vec<Node>)> {
        self.at += 1;
        let (mut list, mut height) = (Vec::new(), 0);
        if !self.is_next(closing) {
            loop {
                let argument = self.expression()?;
                height = height.max(argument.height);
                list.push(argument);
                if !self.take(",") {
                    break;
                }
            }
        }
        Ok((self.need(closing)?, height, list))
    }

    fn ident(&mut self) -> Parsed<Ident> {
        match self.peek() {
            Some(Token { kind: Kind::Name, span }) => {
                let name = self.text.get(span.clone()).unwrap_or_default().to_owned();
                self.at += 1;
                Ok(Ident { name, span: span.clone() })
            }
            _ => Err(self.expected("a field")),
        }
    }

    fn peek(&self) -> Option<&'t Token> {
        #[cfg(test)]
        self.looks.set(self.looks.get() + 1);
        self.tokens.get(self.at)
    }

    fn is_next(&self, sign: &str) -> bool {
        matches!(self.peek(), Some(Token { kind: Kind::Sign(next), .. }) if *next == sign)
    }

    fn is_word(&self, token: &Token, word: &str) -> bool {
        token.kind == Kind::Name && self.text.get(token.span.clone()) == Some(word)
    }

    fn next_is_word(&self, word: &str) -> bool {
        self.peek().is_some_and(|token| self.is_word(token, word))
    }

    fn take(&mut self, sign: &str) -> bool {
        let found = self.is_next(sign);
        self.at += usize::from(found);
        found
    }

    /// The end of the `sign` that must come next.
    fn need(&mut self, sign: &'static str) -> Parsed<usize> {
        match self.peek() {
            Some(Token { kind: Kind::Sign(next), span }) if *next == sign => {
                self.at += 1;
                Ok(span.end)
            }
            _ => Err(self.expected(&format!("`{sign}`"))),
        }
    }

    fn expected(&self, what: &str) -> ExprProblem {
        let Some(token) = self.tokens.get(self.at) else {
            let message = if self.tokens.is_empty() { "there is no expression".to_owned() } else { format!("expected {what}, and here it ends") };
            return ExprProblem::syntax(self.end..self.end, message).label(format!("{what} is missing"));
        };
        let written = self.text.get(token.span.clone()).unwrap_or_default();
        let problem = ExprProblem::syntax(token.span.clone(), format!("expected {what}, found `{written}`")).label("unexpected");
        match written {
            "and" => problem.help("for \"and\", write &&"),
            "or" => problem.help("for \"or\", write ||"),
            "not" => problem.help("for \"not\", write !(…)"),
            "is" => problem.help("to compare, write =="),
            "-" | ":" => problem.help("a claim with other letters than a-z, 0-9 and _ in its name is written claims['cost-centre']"),
            _ => problem,
        }
    }
}

/// A node above children of which the highest has `below` levels.
fn node(kind: Shape, span: Range<usize>, below: usize) -> Parsed<Node> {
    if below >= DEPTH_MAX { Err(too_deep(span)) } else { Ok(Node { kind, span, height: below + 1 }) }
}

fn too_deep(span: Range<usize>) -> ExprProblem {
    ExprProblem::syntax(span, "this expression is nested too deep").label(format!("more than {DEPTH_MAX} levels"))
}

fn out_of_range(span: Range<usize>) -> ExprProblem {
    ExprProblem::syntax(span, "this number is too large").label("does not fit in 64 bits")
}

#[cfg(test)]
mod tests {
    use super::super::lex;
    use super::{Node, Parser, Shape, tree};
    use proptest::prelude::*;

    /// The tree with a pair of brackets for every node that has parts.
    fn spelled(node: &Node) -> String {
        let all = |nodes: &[Node], between: &str| nodes.iter().map(spelled).collect::<Vec<_>>().join(between);
        match &node.kind {
            Shape::Text(text) => format!("{text:?}"),
            Shape::Int(number) => number.to_string(),
            Shape::Bool(yes) => yes.to_string(),
            Shape::Null => "null".to_owned(),
            Shape::Name(name) => name.clone(),
            Shape::List(elements) => format!("[{}]", all(elements, ", ")),
            Shape::Field(of, field) => format!("{}.{}", spelled(of), field.name),
            Shape::Index(of, key) => format!("{}[{}]", spelled(of), spelled(key)),
            Shape::Call(function, arguments) => format!("{}({})", function.name, all(arguments, ", ")),
            Shape::Not(of) => format!("(!{})", spelled(of)),
            Shape::All(parts) => format!("({})", all(parts, " && ")),
            Shape::Any(parts) => format!("({})", all(parts, " || ")),
            Shape::Sum(parts) => format!("({})", all(parts, " + ")),
            Shape::Compare(relation, left, right) => format!("({} {relation:?} {})", spelled(left), spelled(right)),
            Shape::In(element, container) => format!("({} in {})", spelled(element), spelled(container)),
            Shape::Choose(parts) => format!("({})", all(parts.as_slice(), " ? ")),
        }
    }

    #[test]
    fn operators_bind_as_in_cel() {
        for (text, expected) in [
            ("a || b && c || d", "(a || (b && c) || d)"),
            ("(a || b) && c", "((a || b) && c)"),
            ("!a && !!b", "((!a) && (!(!b)))"),
            ("!a.b == c", "((!a.b) Equal c)"),
            ("a + b == c + d", "((a + b) Equal (c + d))"),
            ("a < b == c", "((a Less b) Equal c)"),
            ("a == b in c", "((a Equal b) in c)"),
            ("a in b && c", "((a in b) && c)"),
            ("a ? b : c ? d : e", "(a ? b ? (c ? d ? e))"),
            ("a || b ? c && d : e", "((a || b) ? (c && d) ? e)"),
            ("a.b.c('d', 1)[0].e", "c(a.b, \"d\", 1)[0].e"),
            ("f(-1, [], [null, true])", "f(-1, [], [null, true])"),
            ("-9223372036854775808", "-9223372036854775808"),
        ] {
            let tokens = lex::whole(text);
            let mut problems = Vec::new();
            let tree = tree(text, &tokens, &mut problems);
            assert_eq!(tree.as_ref().map(spelled).as_deref(), Some(expected), "{text}: {problems:?}");
        }
    }

    /// Counted, not timed: at most this many looks at a token for each token there is. The sign and the word of every level of
    /// precedence are looked for once.
    const LOOKS_PER_TOKEN_MAX: usize = 40;

    fn is_linear(text: &str) {
        let tokens = lex::whole(text);
        assert!(tokens.list.len() <= text.len());
        let mut parser = Parser::new(text, &tokens);
        let _either = parser.expression();
        assert!(
            parser.looks.get() <= LOOKS_PER_TOKEN_MAX * (tokens.list.len() + 1),
            "{} looks at {} tokens: {text}",
            parser.looks.get(),
            tokens.list.len()
        );
    }

    #[test]
    fn what_takes_other_parsers_gigabytes_is_read_in_linear_time() {
        for open in ["(", "[", "{", "!", "-", "a[", "a(", "a.b(", "a?", "a?b:", "((a)", "[[a],", "!(", "a&&(", "'a'+(", "a in ("] {
            for times in [1, 10, 60, 1000] {
                is_linear(&open.repeat(times));
                is_linear(&format!("{}a{}", open.repeat(times), ")".repeat(times)));
            }
        }
    }

    proptest! {
        #[test]
        fn any_scraps_are_read_in_linear_time(words in prop::collection::vec(prop::sample::select(vec!["a", "(", ")", "[", "]", "!", "-", "1", ".", ",", "?", ":", "&&", "||", "+", "==", " in "]), 0..200)) {
            is_linear(&words.concat());
        }
    }
}
