//! The tree against the names and types that there are: problems found at load, and code to evaluate.
//!
//! Every mistake is reported once: an expression with a problem counts as [`Type::Dynamic`] from there on. In a condition it also
//! follows which claims are known to be present (`guards.rs`), because a claim that is absent there decides silently.

use super::ExprProblem;
use super::env::{Env, Type};
use super::evaluate::Code;
use super::functions::{Function, Gives, Parameter};
use super::guards::{self, Guards};
use super::parse::{Ident, Node, Relation, Shape};
use crate::source::value::nearest;
use serde_json::Value;
use std::collections::BTreeSet;
use std::ops::Range;

/// A checked expression.
pub(super) struct Typed {
    pub(super) of: Type,
    pub(super) code: Code,
    /// Whether evaluating it may find something absent.
    pub(super) may_be_absent: bool,
}

impl Typed {
    pub(super) const fn new(of: Type, code: Code, may_be_absent: bool) -> Self {
        Self { of, code, may_be_absent }
    }

    /// Stands for an expression whose problem was reported. Never evaluated.
    const fn broken() -> Self {
        Self::new(Type::Dynamic, Code::Constant(Value::Null), false)
    }
}

/// Checks one expression.
pub(super) struct Checker<'e> {
    pub(super) text: &'e str,
    pub(super) env: &'e Env,
    /// Known in a condition, where absence is worth a warning; `None` in a template.
    pub(super) guards: Option<Guards>,
    pub(super) warned: BTreeSet<String>,
    pub(super) names: Vec<String>,
    problems: Vec<ExprProblem>,
}

impl<'e> Checker<'e> {
    /// For an expression that stands in `text` and may use the names of `env`.
    pub(super) fn new(text: &'e str, env: &'e Env, in_condition: bool) -> Self {
        let guards = in_condition.then(Guards::default);
        Self { text, env, guards, warned: BTreeSet::new(), names: Vec::new(), problems: Vec::new() }
    }

    /// Problems, and the dotted names that were read.
    pub(super) fn finish(self) -> (Vec<ExprProblem>, Vec<String>) {
        (self.problems, self.names)
    }

    /// Type and code of `node`; problems are kept for [`Self::finish`].
    pub(super) fn expression(&mut self, node: &Node) -> Typed {
        match &node.kind {
            Shape::Text(text) => Typed::new(Type::Text, Code::Constant(Value::from(text.as_str())), false),
            Shape::Int(number) => Typed::new(Type::Int, Code::Constant(Value::from(*number)), false),
            Shape::Bool(yes) => Typed::new(Type::Bool, Code::Constant(Value::from(*yes)), false),
            Shape::Null => Typed::new(Type::Dynamic, Code::Constant(Value::Null), false),
            Shape::List(elements) => {
                let (types, codes, may_be_absent) = self.each(elements);
                Typed::new(Type::List(Box::new(Type::common(types))), Code::List(codes), may_be_absent)
            }
            Shape::Name(_) | Shape::Field(..) | Shape::Index(..) => self.place(node),
            Shape::Call(function, arguments) if function.name == "has" => self.has(function, arguments, node),
            Shape::Call(function, arguments) => self.call(function, arguments),
            Shape::Not(of) => {
                let typed = self.truth(of);
                Typed::new(Type::Bool, Code::Not(Box::new(typed.code)), typed.may_be_absent)
            }
            Shape::All(parts) => self.logic(node, parts, Code::All),
            Shape::Any(parts) => self.logic(node, parts, Code::Any),
            Shape::Sum(parts) => self.sum(parts),
            Shape::Compare(relation, left, right) => self.compare(*relation, left, right, node),
            Shape::In(element, container) => self.is_in(element, container, node),
            Shape::Choose(parts) => self.choose(parts, node),
        }
    }

    fn each(&mut self, nodes: &[Node]) -> (Vec<Type>, Vec<Code>, bool) {
        let (mut types, mut codes, mut may_be_absent) = (Vec::new(), Vec::new(), false);
        for node in nodes {
            let element = self.expression(node);
            types.push(element.of);
            codes.push(element.code);
            may_be_absent |= element.may_be_absent;
        }
        (types, codes, may_be_absent)
    }

    pub(super) fn written(&self, span: &Range<usize>) -> &'e str {
        self.text.get(span.clone()).unwrap_or_default()
    }

    pub(super) fn report(&mut self, problem: ExprProblem) -> Typed {
        self.problems.push(problem);
        Typed::broken()
    }

    /// An expression that must be true or false.
    fn truth(&mut self, node: &Node) -> Typed {
        let typed = self.expression(node);
        if matches!(typed.of, Type::Bool | Type::Dynamic) {
            return typed;
        }
        let problem = wrong_type(node, "`&&`, `||`, `!` and `?` take true or false", &typed.of);
        let written = self.written(&node.span);
        self.report(match typed.of {
            Type::Text => problem.help(format!("to ask whether it has a value, write {written} != ''")),
            Type::List(_) => problem.help(format!("to ask whether it has elements, write size({written}) > 0")),
            Type::Int | Type::Record(_) | Type::Bool | Type::Dynamic => problem,
        })
    }

    /// `&&` and `||`. A part is checked knowing what must be present wherever the other parts do not decide already.
    fn logic(&mut self, node: &Node, parts: &[Node], code: fn(Vec<Code>) -> Code) -> Typed {
        let known = matches!(node.kind, Shape::All(_));
        let before = self.guards.as_mut().map(|guards| guards.enter(guards::present_when(node, known, self.text)));
        let (mut codes, mut may_be_absent) = (Vec::new(), false);
        for part in parts {
            let typed = self.truth(part);
            may_be_absent |= typed.may_be_absent;
            codes.push(typed.code);
        }
        self.leave(before);
        Typed::new(Type::Bool, code(codes), may_be_absent)
    }

    fn leave(&mut self, before: Option<usize>) {
        if let (Some(guards), Some(before)) = (self.guards.as_mut(), before) {
            guards.leave(before);
        }
    }

    fn choose(&mut self, [condition, first, second]: &[Node; 3], node: &Node) -> Typed {
        let asked = self.truth(condition);
        let mut branch = |part: &Node, holds| {
            let before = self.guards.as_mut().map(|guards| guards.enter(guards::present_when(condition, holds, self.text)));
            let typed = self.expression(part);
            self.leave(before);
            typed
        };
        let (one, another) = (branch(first, true), branch(second, false));
        if !one.of.comparable(&another.of) {
            let message = format!("one side of `? :` is {} and the other is {}", one.of.described(), another.of.described());
            return self.report(ExprProblem::error("wrong-type", node.span.clone(), message).label("two types"));
        }
        let may_be_absent = asked.may_be_absent || one.may_be_absent || another.may_be_absent;
        let of = Type::common([one.of, another.of]);
        Typed::new(of, Code::Choose(Box::new([asked.code, one.code, another.code])), may_be_absent)
    }

    fn sum(&mut self, parts: &[Node]) -> Typed {
        let (types, codes, may_be_absent) = self.each(parts);
        let known = types.iter().find(|of| **of != Type::Dynamic);
        let of = known.cloned().unwrap_or(Type::Dynamic);
        let odd = types.iter().zip(parts).find(|(other, _)| !matches!(other, Type::Text | Type::Int | Type::Dynamic) || !other.comparable(&of));
        if let Some((other, node)) = odd {
            let message = if matches!(other, Type::Text | Type::Int) {
                format!("{} and {} cannot be added", of.described(), other.described())
            } else {
                format!("`+` adds text or whole numbers, not {}", other.described())
            };
            let problem = wrong_type(node, message, other);
            let mixed = matches!((&of, other), (Type::Text, Type::Int) | (Type::Int, Type::Text));
            return self.report(if mixed { problem.help("to put a number into text, write it in its own braces: \"{…}-{…}\"") } else { problem });
        }
        Typed::new(of, Code::Sum(codes), may_be_absent)
    }

    fn compare(&mut self, relation: Relation, left: &Node, right: &Node, node: &Node) -> Typed {
        let (one, another) = (self.expression(left), self.expression(right));
        let network = self.network_for_address(left, right).or_else(|| self.network_for_address(right, left));
        let problem = match relation {
            Relation::Equal | Relation::NotEqual if network.is_some() => network,
            Relation::Equal | Relation::NotEqual => self.never_equal(relation, (left, &one.of), (right, &another.of), node),
            Relation::Less | Relation::LessOrEqual | Relation::Greater | Relation::GreaterOrEqual => never_ordered(&one.of, &another.of, node),
        };
        if let Some(problem) = problem {
            return self.report(problem);
        }
        let may_be_absent = one.may_be_absent || another.may_be_absent;
        Typed::new(Type::Bool, Code::Compare(relation, Box::new(one.code), Box::new(another.code)), may_be_absent)
    }

    fn never_equal(&self, relation: Relation, left: (&Node, &Type), right: (&Node, &Type), node: &Node) -> Option<ExprProblem> {
        let ((left, one), (right, another)) = (left, right);
        let always = if relation == Relation::Equal { "false" } else { "true" };
        let problem = |why: String| {
            let message = format!("`{}` is always {always}", self.written(&node.span));
            ExprProblem::error("wrong-type", node.span.clone(), message).label(why)
        };
        let null = |side: &Node, other: &Type| side.kind == Shape::Null && *other != Type::Dynamic;
        if null(left, another) || null(right, one) {
            let other = if left.kind == Shape::Null { right } else { left };
            return Some(
                problem("this is never null".to_owned()).help(format!("to ask whether it is there, write has({})", self.written(&other.span))),
            );
        }
        if one.comparable(another) {
            return None;
        }
        let problem = problem(format!("{} is never {}", one.described(), another.described()));
        let membership = match (one, another) {
            (Type::List(element), other) if element.comparable(other) => Some((right, left)),
            (other, Type::List(element)) if element.comparable(other) => Some((left, right)),
            _ => None,
        };
        Some(match membership {
            Some((element, list)) => {
                let asked = format!("{} in {}", self.written(&element.span), self.written(&list.span));
                problem.help(if relation == Relation::Equal { format!("write {asked}") } else { format!("write !({asked})") })
            }
            None => problem,
        })
    }

    /// `request.ip` beside a network: an address is text here, and equal to nothing but itself.
    fn network_for_address(&self, asked: &Node, written: &Node) -> Option<ExprProblem> {
        guards::path(asked, self.text).filter(|path| path == "request.ip")?;
        let written = if let Shape::List(elements) = &written.kind { elements.as_slice() } else { std::slice::from_ref(written) };
        let network = written.iter().find(|node| matches!(&node.kind, Shape::Text(text) if text.contains('/')))?;
        let problem = ExprProblem::error("wrong-type", network.span.clone(), "an address is never equal to a network").label("a network");
        Some(problem.help(format!("use `networks`, a key of the same section: networks = [{}]", self.written(&network.span).replace('\'', "\""))))
    }

    fn is_in(&mut self, element: &Node, container: &Node, node: &Node) -> Typed {
        let (one, all) = (self.expression(element), self.expression(container));
        let written = self.written(&node.span);
        let never = |why: String| ExprProblem::error("wrong-type", node.span.clone(), format!("`{written}` is always false")).label(why);
        let problem = match &all.of {
            Type::Dynamic => None,
            Type::List(of) if one.of.comparable(of) => None,
            Type::List(of) => Some(never(format!("the elements are {}, never {}", of.described(), one.of.described()))),
            Type::Record(_) if one.of.comparable(&Type::Text) => None,
            Type::Record(_) => Some(never("the keys of a table are text".to_owned())),
            other @ (Type::Text | Type::Bool | Type::Int) => {
                let problem = wrong_type(container, "`in` takes a list or a table on its right", other);
                let (part, whole) = (self.written(&element.span), self.written(&container.span));
                Some(if *other == Type::Text { problem.help(format!("for a part of text, write {whole}.contains({part})")) } else { problem })
            }
        };
        if let Some(problem) = problem.or_else(|| self.network_for_address(element, container)) {
            return self.report(problem);
        }
        let may_be_absent = one.may_be_absent || all.may_be_absent;
        Typed::new(Type::Bool, Code::In(Box::new(one.code), Box::new(all.code)), may_be_absent)
    }

    fn call(&mut self, called: &Ident, arguments: &[Node]) -> Typed {
        let Some(function) = Function::named(&called.name) else {
            // What is wrong inside is worth saying too.
            self.each(arguments);
            return self.report(unknown_function(called));
        };
        let (name, parameters, gives) = function.signature();
        if parameters.len() != arguments.len() {
            self.each(arguments);
            let (takes, found) = (parameters.len(), arguments.len());
            let message = format!("`{name}` takes {takes} {}, and here it has {found}", if takes == 1 { "argument" } else { "arguments" });
            let problem = ExprProblem::error("wrong-type", called.span.clone(), message).label("wrong number of arguments");
            return self.report(problem.help(format!("write {}", function.usage())));
        }
        let (mut codes, mut may_be_absent, mut pattern) = (Vec::new(), false, None);
        for (parameter, argument) in parameters.iter().zip(arguments) {
            if *parameter == Parameter::Pattern {
                pattern = self.pattern(argument);
                continue;
            }
            let typed = self.expression(argument);
            may_be_absent |= typed.may_be_absent;
            if let Some(problem) = self.misfit(function, *parameter, argument, &typed.of) {
                self.report(problem);
            }
            codes.push(typed.code);
        }
        let of = match gives {
            Gives::Text => Type::Text,
            Gives::Texts => Type::texts(),
            Gives::Int => Type::Int,
            Gives::Bool => Type::Bool,
        };
        let code = match (function, pattern, codes.pop()) {
            (Function::Matches, Some(pattern), Some(text)) => Code::Matches(Box::new(text), pattern),
            (_, _, last) => Code::Call(function, codes.into_iter().chain(last).collect()),
        };
        Typed::new(of, code, may_be_absent)
    }

    fn misfit(&self, function: Function, parameter: Parameter, argument: &Node, found: &Type) -> Option<ExprProblem> {
        let (fits, takes) = match parameter {
            Parameter::Text | Parameter::Pattern => (matches!(found, Type::Text), "text"),
            Parameter::Texts => match found {
                Type::List(element) => (!matches!(**element, Type::List(_) | Type::Record(_)), "a list of text"),
                Type::Text | Type::Bool | Type::Int | Type::Record(_) | Type::Dynamic => (false, "a list"),
            },
            Parameter::Sized => (matches!(found, Type::Text | Type::List(_) | Type::Record(_)), "text or a list"),
        };
        if fits || *found == Type::Dynamic {
            return None;
        }
        let problem = wrong_type(argument, format!("`{}` takes {takes}", function.name()), found);
        let list = self.written(&argument.span);
        Some(match (function, found) {
            (Function::Contains, Type::List(_)) => problem.help(format!("to look for an element, write 'x' in {list}")),
            (_, Type::List(_)) => problem.help(format!("to make text of it, write join({list}, ',')")),
            _ => problem,
        })
    }

    /// A pattern is compiled at load, by an engine whose time is linear in the text; its size is bounded.
    fn pattern(&mut self, node: &Node) -> Option<regex::Regex> {
        const PROGRAM_BYTES_MAX: usize = 1 << 20;
        const NEST_MAX: u32 = 32;
        let Shape::Text(pattern) = &node.kind else {
            let problem = ExprProblem::error("wrong-type", node.span.clone(), "the pattern of `matches` must be written in quotes");
            self.report(problem.label("not a string").help("it is compiled when the file is loaded: text.matches('^[a-z]+$')"));
            return None;
        };
        match regex::RegexBuilder::new(pattern).size_limit(PROGRAM_BYTES_MAX).nest_limit(NEST_MAX).build() {
            Ok(compiled) => Some(compiled),
            Err(error) => {
                let said = error.to_string();
                let why = said.lines().last().unwrap_or_default().trim_start_matches("error: ");
                self.report(ExprProblem::syntax(node.span.clone(), format!("this pattern cannot be used: {why}")).label("not a pattern"));
                None
            }
        }
    }
}

pub(super) fn wrong_type(node: &Node, message: impl Into<String>, found: &Type) -> ExprProblem {
    ExprProblem::error("wrong-type", node.span.clone(), message).label(format!("this is {}", found.described()))
}

fn never_ordered(one: &Type, another: &Type, node: &Node) -> Option<ExprProblem> {
    let ordered = |of: &Type| matches!(of, Type::Text | Type::Int | Type::Bool | Type::Dynamic);
    let message = if !ordered(one) || !ordered(another) {
        let unordered = if ordered(one) { another } else { one };
        format!("{} cannot be more or less than anything", unordered.described())
    } else if !one.comparable(another) {
        format!("{} and {} cannot be compared", one.described(), another.described())
    } else {
        return None;
    };
    Some(ExprProblem::error("wrong-type", node.span.clone(), message).label("no order"))
}

fn unknown_function(called: &Ident) -> ExprProblem {
    let problem =
        ExprProblem::error("unknown-function", called.span.clone(), format!("there is no function `{}`", called.name)).label("unknown function");
    let known = Function::ALL.map(Function::name).into_iter().chain(["has"]);
    match (called.name.as_str(), nearest(&called.name, known.clone())) {
        ("all" | "exists" | "exists_one" | "map" | "filter", _) => {
            problem.help("this language has no loops; groups can be matched by pattern: groups = [\"dev-*\"]")
        }
        (_, Some(near)) => problem.help(format!("did you mean `{near}`?")),
        (_, None) => problem.help(format!("functions: {}", known.collect::<Vec<_>>().join(", "))),
    }
}
