//! Names, fields and keys: the part of the checker that knows the [`super::Env`].

use super::ExprProblem;
use super::check::{Checker, Typed, wrong_type};
use super::env::Type;
use super::evaluate::{Code, Step};
use super::guards::{bracketed, path};
use super::parse::{Ident, Node, Shape};
use crate::source::value::nearest;
use std::ops::Range;

/// The name under which a sign-in's raw attributes stand: absence there is worth a warning.
const CLAIMS: &str = "claims";

impl Checker<'_> {
    /// A name, field or index that nothing further is taken from.
    pub(super) fn place(&mut self, node: &Node) -> Typed {
        let typed = self.step(node);
        self.read(node);
        self.warn_of_absence(node);
        typed
    }

    /// `has(name)`, `has(of.field)`: whether it is there.
    pub(super) fn has(&mut self, called: &Ident, arguments: &[Node], node: &Node) -> Typed {
        let code = match arguments {
            // Written as a method, as in `claims.has()`: not CEL.
            [asked, ..] if asked.span.start < called.span.start => return self.report(has_takes(called, node)),
            [Node { kind: Shape::Name(name), span, .. }] => {
                self.name(name, span);
                Code::HasName(name.clone())
            }
            [asked @ Node { kind: Shape::Field(of, field), .. }] => {
                let base = self.step(of);
                // Only the last step is asked about: a table on the way that is absent is an error, as in CEL.
                self.warn_of_absence(of);
                self.field(&base.of, field, of);
                Code::HasField(Box::new(base.code), Step { key: field.name.clone(), path: path(asked, self.text).unwrap_or_default() })
            }
            _ => return self.report(has_takes(called, node)),
        };
        if let [asked] = arguments {
            self.read(asked);
        }
        Typed::new(Type::Bool, code, false)
    }

    /// Notes a dotted name as read, up to the first key that is not written out.
    fn read(&mut self, node: &Node) {
        let mut node = node;
        let mut written_out = Some(node);
        while let Shape::Field(of, _) | Shape::Index(of, _) = &node.kind {
            if matches!(&node.kind, Shape::Index(_, key) if !matches!(key.kind, Shape::Text(_) | Shape::Int(_))) {
                written_out = Some(of);
            }
            node = of;
        }
        let Shape::Name(top) = &node.kind else { return };
        let known = self.env.get(top).is_some();
        let name = written_out.and_then(|place| path(place, self.text)).filter(|_| known);
        self.names.extend(name.filter(|name| !self.names.contains(name)));
    }

    #[expect(clippy::wildcard_enum_match_arm, reason = "a step is a name, a field or a key; anything else is an expression of its own")]
    fn step(&mut self, node: &Node) -> Typed {
        match &node.kind {
            Shape::Name(name) => self.name(name, &node.span),
            Shape::Field(of, field) => {
                let base = self.step(of);
                let (found, may_be_absent) = self.field(&base.of, field, of);
                let step = Step { key: field.name.clone(), path: path(node, self.text).unwrap_or_else(|| field.name.clone()) };
                Typed::new(found, Code::Field(Box::new(base.code), step), base.may_be_absent || may_be_absent)
            }
            Shape::Index(of, key) => {
                let base = self.step(of);
                self.index(base, of, key, node)
            }
            _ => self.expression(node),
        }
    }

    fn name(&mut self, name: &str, span: &Range<usize>) -> Typed {
        if let Some((of, may_be_absent)) = self.env.get(name) {
            return Typed::new(of.clone(), Code::Name(name.to_owned()), may_be_absent);
        }
        if let Some(help) = self.env.elsewhere(name) {
            let problem = ExprProblem::error("unknown-name", span.clone(), format!("there is no `{name}` here")).label("not known here");
            return self.report(problem.help(help));
        }
        let problem = ExprProblem::error("unknown-name", span.clone(), format!("there is no `{name}`")).label("unknown name");
        let names: Vec<&str> = self.env.names().collect();
        let problem = match nearest(name, names.iter().copied()) {
            Some(near) => problem.help(format!("did you mean `{near}`?")),
            None if names.is_empty() => problem.help("no names can be used here"),
            None => problem.help(format!("names: {}", names.join(", "))),
        };
        // A name that is nearly a known one is a slip; any other may well be a claim.
        let maybe_claim = names.contains(&CLAIMS) && nearest(name, names.iter().copied()).is_none();
        self.report(if maybe_claim { problem.help(format!("a claim without a short name is written claims.{name}")) } else { problem })
    }

    /// Type of `field` in a value of type `of`, and whether it may be absent there.
    fn field(&mut self, of: &Type, field: &Ident, base: &Node) -> (Type, bool) {
        let found = match of {
            Type::Dynamic => return (Type::Dynamic, true),
            Type::Record(fields) => fields.iter().find(|(name, ..)| *name == field.name),
            Type::Text | Type::Bool | Type::Int | Type::List(_) => {
                let problem = wrong_type(base, format!("`{}` has no fields", self.written(&base.span)), of);
                self.report(problem);
                return (Type::Dynamic, false);
            }
        };
        if let Some((_, of, may_be_absent)) = found {
            return (of.clone(), *may_be_absent);
        }
        let top = path(base, self.text).unwrap_or_else(|| self.written(&base.span).to_owned());
        let problem = ExprProblem::error("unknown-name", field.span.clone(), format!("there is no `{top}.{}`", field.name)).label("unknown field");
        self.report(problem.help(fields_help(of, &field.name, &top)));
        (Type::Dynamic, false)
    }

    fn index(&mut self, base: Typed, of: &Node, key: &Node, node: &Node) -> Typed {
        let by = self.expression(key);
        let (found, key_fits, takes) = match (&base.of, &key.kind) {
            (Type::Record(_), Shape::Text(name)) => {
                let (found, may_be_absent) = self.field(&base.of, &Ident { name: name.clone(), span: key.span.clone() }, of);
                let step = Step { key: name.clone(), path: path(node, self.text).unwrap_or_else(|| name.clone()) };
                return Typed::new(found, Code::Field(Box::new(base.code), step), base.may_be_absent || may_be_absent);
            }
            (Type::Record(fields), _) => {
                let common = Type::common(fields.iter().map(|(_, of, _)| of.clone()));
                (common, matches!(by.of, Type::Text | Type::Dynamic), "a key is text")
            }
            (Type::List(element), _) => {
                (element.as_ref().clone(), matches!(by.of, Type::Int | Type::Dynamic), "an element is counted by a whole number")
            }
            (Type::Dynamic, _) => (Type::Dynamic, matches!(by.of, Type::Text | Type::Int | Type::Dynamic), "a key is text or a whole number"),
            (Type::Text | Type::Bool | Type::Int, _) => {
                let problem = wrong_type(of, format!("`{}` has no elements", self.written(&of.span)), &base.of);
                return self.report(problem);
            }
        };
        if !key_fits {
            return self.report(wrong_type(key, takes, &by.of));
        }
        let code = if let Shape::Text(name) = &key.kind {
            let path = path(node, self.text).unwrap_or_else(|| bracketed(name));
            Code::Field(Box::new(base.code), Step { key: name.clone(), path })
        } else {
            Code::Index(Box::new(base.code), Box::new(by.code))
        };
        Typed::new(found, code, true)
    }

    /// In a condition, a claim that nothing says is present decides by its absence; somebody should have said how.
    fn warn_of_absence(&mut self, node: &Node) {
        let Some(guards) = &self.guards else { return };
        let mut unguarded = Vec::new();
        let mut place = node;
        while let Shape::Field(of, _) | Shape::Index(of, _) = &place.kind {
            unguarded.extend(path(place, self.text).filter(|path| !guards.contains(path)));
            place = of;
        }
        let Some(claim) = unguarded.first().cloned() else { return };
        if !matches!(&place.kind, Shape::Name(name) if name == CLAIMS) || !self.warned.insert(claim.clone()) {
            return;
        }
        unguarded.reverse();
        let all = |not: &str, then: &str| unguarded.iter().map(|path| format!("{not}{} {then}", asked(path))).collect::<Vec<_>>().join(" ");
        let help = format!("say what absence means: {} ... (absent: no) or {} ... (absent: yes)", all("", "&&"), all("!", "||"));
        let problem =
            ExprProblem::warning("claim-may-be-absent", node.span.clone(), format!("`{claim}` may be absent, and then this condition denies"));
        self.report(problem.label("not every sign-in carries this claim").help(help));
    }
}

fn has_takes(called: &Ident, node: &Node) -> ExprProblem {
    let problem = ExprProblem::error("wrong-type", node.span.clone(), format!("`{}` takes a name or a field", called.name));
    problem.label("not a name").help("write has(claims.department); for other keys: 'key' in claims")
}

/// How to ask whether something is present: `has(claims.a)`, `('a b' in claims)`.
fn asked(path: &str) -> String {
    match path.strip_suffix(']').and_then(|path| path.rsplit_once('[')) {
        Some((container, key)) => format!("({key} in {container})"),
        None => format!("has({path})"),
    }
}

fn fields_help(of: &Type, field: &str, top: &str) -> String {
    let Type::Record(fields) = of else { return String::new() };
    let names = fields.iter().map(|(name, ..)| name.as_str());
    match nearest(field, names.clone()) {
        Some(near) => format!("did you mean `{top}{}`?", bracketed(near)),
        None if fields.is_empty() => format!("{top} has no fields"),
        None => format!("fields: {}", names.map(|name| format!("{top}{}", bracketed(name))).collect::<Vec<_>>().join(", ")),
    }
}
