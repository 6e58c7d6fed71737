//! The language as people meet it: problems with their places, values, templates.

use super::*;
use proptest::prelude::*;
use serde_json::{Map, json};

/// What `[user]` makes of a sign-in, with any `extra`.
pub(super) fn any_user() -> Type {
    let text = |name: &str| (name.to_owned(), Type::Text, name != "name");
    Type::Record(vec![text("name"), text("email"), text("display"), ("extra".to_owned(), Type::Dynamic, false)])
}

fn env() -> Env {
    let vars = object(json!({ "group_id": { "Manager": 12, "Developer": 14, "Reporter": 15 }, "mixed": { "a": 1, "b": "x" }, "limit": 3 }));
    Env::sign_in().with("user", any_user(), false).with_roles().with_vars(&vars).with_request().with("item", Type::Dynamic, true).with(
        "id",
        Type::Dynamic,
        true,
    )
}

fn object(value: Value) -> Map<String, Value> {
    let Value::Object(fields) = value else { panic!("not an object: {value}") };
    fields
}

fn ada() -> Map<String, Value> {
    object(json!({
        "email": "Ada@Example.com", "email_verified": true, "given_name": "Zoë", "family_name": "Brontë-Núñez", "groups": ["sre", "dev-x"],
        "idp": "corp", "claims": {
            "status": "active", "employee_id": "E7", "level": 3, "ratio": 0.5, "whole": 3.0, "nothing": null, "flags": ["a", 1], "address": { "country": "NL" },
            "https://example.com/team": "red", "admin": true
        },
        "user": { "name": "ada", "email": "ada@example.com", "display": "Ada L", "extra": { "employee_id": "E7" } },
        "role": "Admin", "roles": ["Manager", "Developer"], "orgs": [1, 4],
        "vars": { "group_id": { "Manager": 12, "Developer": 14, "Reporter": 15 }, "mixed": { "a": 1, "b": "x" }, "limit": 3 },
        "request": { "method": "GET", "path": "/x", "host": "h", "ip": "10.0.0.1" },
        "item": { "mail": "ADA@example.com", "id": 7 }, "id": 7
    }))
}

/// Problems as `code place: message | label | help…`, the place being the text it is about.
fn said(text: &str, problems: &[ExprProblem]) -> Vec<String> {
    let spelled = |problem: &ExprProblem| {
        let warning = if problem.warning { "warning " } else { "" };
        let helps: String = problem.helps.iter().flat_map(|help| [" | ", help]).collect();
        format!("{warning}{} <{}>: {} | {}{helps}", problem.code, text.get(problem.span.clone()).unwrap(), problem.message, problem.label)
    };
    problems.iter().map(spelled).collect()
}

fn condition_says(text: &str) -> Vec<String> {
    let problems = Condition::compile(text, &env()).map_or_else(|problems| problems, |(_, warnings)| warnings);
    said(text, &problems)
}

fn template_says(text: &str) -> Vec<String> {
    let problems = Template::compile(text, &env()).map_or_else(|problems| problems, |(_, warnings)| warnings);
    said(text, &problems)
}

/// The value of an expression by itself, as a template of one `{expr}`.
fn value(text: &str, names: &Map<String, Value>) -> Result<Value, String> {
    let text = format!("{{{text}}}");
    let (template, _) = Template::compile(&text, &env()).unwrap_or_else(|problems| panic!("{text}: {:?}", said(&text, &problems)));
    template.render(names).map_err(|error| error.to_string())
}

const ABSENCE: &str = "say what absence means: has(claims.status) && ... (absent: no) or !has(claims.status) || ... (absent: yes)";

#[test]
fn the_problems_of_the_bad_example_read_as_specified() {
    assert_eq!(
        condition_says("claims.status != 'leaver' && 'admins' in gruops"),
        [
            format!(
                "warning claim-may-be-absent <claims.status>: `claims.status` may be absent, and then this condition denies \
                 | not every sign-in carries this claim | {ABSENCE}"
            ),
            "unknown-name <gruops>: there is no `gruops` | unknown name | did you mean `groups`?".to_owned(),
        ]
    );
    for (text, expected) in [
        ("{slug(given_name)}-{slgu(family_name)}", "unknown-function <slgu>: there is no function `slgu` | unknown function | did you mean `slug`?"),
        ("{user.nmae}", "unknown-name <nmae>: there is no `user.nmae` | unknown field | did you mean `user.name`?"),
        (
            "{department}",
            "unknown-name <department>: there is no `department` | unknown name \
             | names: email, email_verified, given_name, family_name, name, username, groups, claims, idp, user, role, roles, orgs, vars, request, item, id \
             | a claim without a short name is written claims.department",
        ),
    ] {
        assert_eq!(template_says(text), [expected], "{text}");
    }
}

#[test]
fn every_type_mistake_is_found_at_load() {
    for (text, expected) in [
        ("groups == 'sre'", "wrong-type <groups == 'sre'>: `groups == 'sre'` is always false | a list is never text | write 'sre' in groups"),
        ("'sre' != groups", "wrong-type <'sre' != groups>: `'sre' != groups` is always true | text is never a list | write !('sre' in groups)"),
        ("claims.x == 1 || email == 1", "wrong-type <email == 1>: `email == 1` is always false | text is never a whole number"),
        (
            "email == null",
            "wrong-type <email == null>: `email == null` is always false | this is never null | to ask whether it is there, write has(email)",
        ),
        (
            "'a' in email",
            "wrong-type <email>: `in` takes a list or a table on its right | this is text | for a part of text, write email.contains('a')",
        ),
        ("1 in groups", "wrong-type <1 in groups>: `1 in groups` is always false | the elements are text, never a whole number"),
        ("1 in vars", "wrong-type <1 in vars>: `1 in vars` is always false | the keys of a table are text"),
        ("email", "wrong-type <email>: a condition must be true or false, and this is text | not true or false"),
        ("(groups)", "wrong-type <(groups)>: a condition must be true or false, and this is a list | not true or false"),
        (
            "!groups",
            "wrong-type <groups>: `&&`, `||`, `!` and `?` take true or false | this is a list | to ask whether it has elements, write size(groups) > 0",
        ),
        (
            "email && true",
            "wrong-type <email>: `&&`, `||`, `!` and `?` take true or false | this is text | to ask whether it has a value, write email != ''",
        ),
        ("email < 1", "wrong-type <email < 1>: text and a whole number cannot be compared | no order"),
        ("groups < groups", "wrong-type <groups < groups>: a list cannot be more or less than anything | no order"),
        ("lower(groups) == 'a'", "wrong-type <groups>: `lower` takes text | this is a list | to make text of it, write join(groups, ',')"),
        ("groups.contains('a')", "wrong-type <groups>: `contains` takes text | this is a list | to look for an element, write 'x' in groups"),
        ("join(email, ',') == ''", "wrong-type <email>: `join` takes a list | this is text"),
        ("size(true) == 1", "wrong-type <true>: `size` takes text or a list | this is true or false"),
        (
            "before(email) == 'a'",
            "wrong-type <before>: `before` takes 2 arguments, and here it has 1 | wrong number of arguments | write before(text, '@')",
        ),
        ("lower('a', 'b') == 'a'", "wrong-type <lower>: `lower` takes 1 argument, and here it has 2 | wrong number of arguments | write lower(text)"),
        (
            "email + 1 == ''",
            "wrong-type <1>: text and a whole number cannot be added | this is a whole number | to put a number into text, write it in its own braces: \"{…}-{…}\"",
        ),
        ("groups + groups == groups", "wrong-type <groups>: `+` adds text or whole numbers, not a list | this is a list"),
        ("true ? 'a' : 1", "wrong-type <true ? 'a' : 1>: one side of `? :` is text and the other is a whole number | two types"),
        ("email.domain == 'x'", "wrong-type <email>: `email` has no fields | this is text"),
        ("email[0] == 'x'", "wrong-type <email>: `email` has no elements | this is text"),
        ("groups['a'] == 'x'", "wrong-type <'a'>: an element is counted by a whole number | this is text"),
        ("vars.group_id[1] == 2", "wrong-type <1>: a key is text | this is a whole number"),
        ("claims[true] == 2", "wrong-type <true>: a key is text or a whole number | this is true or false"),
        (
            "email.matches(name)",
            "wrong-type <name>: the pattern of `matches` must be written in quotes | not a string | it is compiled when the file is loaded: text.matches('^[a-z]+$')",
        ),
        ("email.matches('(')", "expression <'('>: this pattern cannot be used: unclosed group | not a pattern"),
        (
            "email.matches(r'\\w{999}{999}')",
            "expression <r'\\w{999}{999}'>: this pattern cannot be used: Compiled regex exceeds size limit of 1048576 bytes. | not a pattern",
        ),
        (
            "has('x')",
            "wrong-type <has('x')>: `has` takes a name or a field | not a name | write has(claims.department); for other keys: 'key' in claims",
        ),
        ("has()", "wrong-type <has()>: `has` takes a name or a field | not a name | write has(claims.department); for other keys: 'key' in claims"),
        (
            "claims.has()",
            "wrong-type <claims.has()>: `has` takes a name or a field | not a name | write has(claims.department); for other keys: 'key' in claims",
        ),
        ("has(user.nmae)", "unknown-name <nmae>: there is no `user.nmae` | unknown field | did you mean `user.name`?"),
        ("has(emial)", "unknown-name <emial>: there is no `emial` | unknown name | did you mean `email`?"),
        (
            "request.scheme == ''",
            "unknown-name <scheme>: there is no `request.scheme` | unknown field | fields: request.method, request.path, request.host, request.ip",
        ),
        ("vars['limits'] == 1", "unknown-name <'limits'>: there is no `vars.limits` | unknown field | did you mean `vars.limit`?"),
        (
            "groups.exists(g, g == 'a')",
            "unknown-function <exists>: there is no function `exists` | unknown function \
             | this language has no loops; groups can be matched by pattern: groups = [\"dev-*\"]",
        ),
        (
            "frobnicate(email)",
            "unknown-function <frobnicate>: there is no function `frobnicate` | unknown function | functions: lower, upper, trim, slug, ascii, before, \
             after, replace, join, split, size, contains, startsWith, endsWith, matches, has",
        ),
    ] {
        let found = condition_says(text);
        let errors: Vec<_> = found.iter().filter(|problem| !problem.starts_with("warning ") && !problem.starts_with("unknown-name <g>")).collect();
        assert_eq!(errors, [expected], "{text}");
    }
}

#[test]
fn what_cannot_be_read_says_why_and_where() {
    let deep = format!("{}true{}", "(".repeat(40), ")".repeat(40));
    let long = format!("email == '{}'", "a".repeat(EXPRESSION_BYTES_MAX));
    for (text, expected) in [
        ("", "expression <>: there is no expression | a value is missing"),
        ("email ==", "expression <>: expected a value, and here it ends | a value is missing"),
        ("email == 'a' and true", "expression <and>: expected an operator, found `and` | unexpected | for \"and\", write &&"),
        ("not true", "expression <true>: expected an operator, found `true` | unexpected"),
        ("(true", "expression <>: expected `)`, and here it ends | `)` is missing"),
        ("[1, 2 == groups", "expression <>: expected `]`, and here it ends | `]` is missing"),
        ("true ? false", "expression <>: expected `:`, and here it ends | `:` is missing"),
        ("email.1 == 'a'", "expression <1>: expected a field, found `1` | unexpected"),
        ("email = 'a'", "expression <=>: `=` means nothing here | unexpected character | to compare, write =="),
        (
            "3 - 2 == 1",
            "expression <->: expected an operator, found `-` | unexpected | a claim with other letters than a-z, 0-9 and _ in its name is written claims['cost-centre']",
        ),
        ("-email == 1", "expression <->: `-` stands only before a number | not part of this language"),
        ("9223372036854775808 == 1", "expression <9223372036854775808>: this number is too large | does not fit in 64 bits"),
        (
            "true}",
            "expression <}>: `}` means nothing here | unexpected character | inside an expression a name stands by itself, without $ or braces",
        ),
        ("&& true", "expression <&&>: expected a value, found `&&` | unexpected"),
        ("in groups", "expression <in>: expected a value, found `in` | unexpected"),
        (&deep, "expression <(>: this expression is nested too deep | more than 32 levels"),
    ] {
        assert_eq!(condition_says(text), [expected], "{text}");
    }
    let [problem] = condition_says(&long).try_into().unwrap();
    assert!(problem.contains("this expression is too long: 4107 bytes of at most 4096"), "{problem}");
}

#[test]
fn depth_is_bounded_for_every_way_to_nest() {
    for (open, middle, close) in
        [("(", "true", ")"), ("!", "true", ""), ("[", "1", "]"), ("lower(", "'a'", ")"), ("true ? true : ", "true", ""), ("", "claims", ".a")]
    {
        let nested = |levels: usize| format!("{}{middle}{}", open.repeat(levels), close.repeat(levels));
        let too_deep = |text: &str| condition_says(text).iter().any(|problem| problem.contains("nested too deep"));
        assert!(!too_deep(&nested(20)), "{}", nested(20));
        assert!(too_deep(&nested(64)), "{}", nested(64));
    }
    // A chain is one level, however long: four hundred groups are no deeper than two.
    let chain = |part: &str, sign: &str| vec![part; 400].join(sign);
    for text in [chain("true", "&&"), chain("true", " || "), chain("1", "+") + "==400"] {
        assert_eq!(condition_says(&text), [""; 0]);
        assert_eq!(Condition::compile(&text, &env()).unwrap().0.holds(&Map::new()), Ok(true));
    }
}

#[test]
fn claims_that_may_be_absent_are_warned_of_unless_the_condition_says_what_then() {
    let warned = |text: &str| {
        let (_, warnings) = Condition::compile(text, &env()).unwrap_or_else(|problems| panic!("{text}: {problems:?}"));
        warnings.into_iter().map(|warning| text.get(warning.span).unwrap().to_owned()).collect::<Vec<_>>()
    };
    for (text, expected) in [
        ("claims.status == 'a'", vec!["claims.status"]),
        ("claims.status == 'a' || claims.status == 'b'", vec!["claims.status"]),
        ("has(claims.status) || claims.status == 'a'", vec!["claims.status"]),
        ("!has(claims.status) && claims.status == 'a'", vec!["claims.status"]),
        ("(has(claims.status) || email == 'a') && claims.status == 'a'", vec!["claims.status"]),
        ("has(claims.other) && claims.status == 'a'", vec!["claims.status"]),
        ("(has(claims.status) && true) || claims.status == 'a'", vec!["claims.status"]),
        ("has(claims.status) ? true : claims.status == 'a'", vec!["claims.status"]),
        ("has(claims.address.country) && claims.address.country == 'NL'", vec!["claims.address"]),
        ("claims['https://example.com/team'] == 'red'", vec!["claims['https://example.com/team']"]),
        ("claims[item] == 'red'", vec!["claims[item]"]),
        ("'a' in claims.flags", vec!["claims.flags"]),
        ("!(claims.status == 'a')", vec!["claims.status"]),
        ("has(claims.status) && claims.status == 'a'", vec![]),
        ("claims.status == 'a' && has(claims.status)", vec![]),
        ("!has(claims.status) || claims.status != 'leaver'", vec![]),
        ("claims.status != 'leaver' || !has(claims.status)", vec![]),
        ("!(has(claims.status) && claims.status == 'leaver')", vec![]),
        ("has(claims.status) && (email == 'a' || lower(claims.status) == 'a')", vec![]),
        ("has(claims.status) ? claims.status == 'a' : false", vec![]),
        ("!has(claims.status) ? false : claims.status == 'a'", vec![]),
        ("(has(claims.status) && email == 'a' || has(claims.status)) && claims.status == 'a'", vec![]),
        ("has(claims.address) && has(claims.address.country) && claims.address.country == 'NL'", vec![]),
        ("'https://example.com/team' in claims && claims['https://example.com/team'] == 'red'", vec![]),
        ("item in claims && claims[item] == 'red'", vec![]),
        ("'status' in claims && claims.status == 'a'", vec![]),
        ("lower(item.mail) == user.email", vec![]),
        ("size(claims) > 0", vec![]),
    ] {
        assert_eq!(warned(text), expected, "{text}");
    }
    let help = |text: &str| condition_says(text).join("").rsplit(" | ").next().unwrap_or_default().to_owned();
    assert_eq!(
        help("claims.address['a b'] == 1"),
        "say what absence means: has(claims.address) && ('a b' in claims.address) && ... (absent: no) \
         or !has(claims.address) || !('a b' in claims.address) || ... (absent: yes)"
    );
    assert_eq!(template_says("{claims.status}"), [""; 0], "a template's absence moves on to the next candidate or stops, which is said elsewhere");
}

#[test]
fn absence_and_odd_values_are_errors_that_name_the_attribute() {
    for (text, expected) in [
        ("name", "`name` is absent"),
        ("claims.department", "`claims.department` is absent"),
        ("claims['https://x/y']", "`claims['https://x/y']` is absent"),
        ("claims.address.city", "`claims.address.city` is absent"),
        ("claims.status.code", "there is no `claims.status.code`: text has no fields"),
        ("claims.nothing.code", "there is no `claims.nothing.code`: null has no fields"),
        ("vars.group_id[role]", "`vars.group_id.Admin` is absent"),
        ("groups[2]", "`groups[2]` is absent"),
        ("groups[-1]", "`groups[-1]` is absent"),
        ("claims.flags['a']", "there is no `claims.flags.a`: a list has no fields"),
        ("claims.flags[role]", "a list cannot be indexed by text"),
        ("lower(claims.level)", "`lower` takes text, and this is a number"),
        ("claims.status && true", "`claims.status` is text, and must be true or false"),
        ("!claims.level", "`claims.level` is a number, and must be true or false"),
        ("claims.level < 'a'", "a number and text have no order"),
        ("'a' in claims.status", "text cannot be in text"),
        ("claims.status + claims.level", "text and a number cannot be added"),
        ("claims.ratio + 1", "only whole numbers can be added"),
        ("9223372036854775807 + 1", "the sum does not fit in 64 bits"),
        ("claims.level.matches('a')", "`matches` takes text, and this is a number"),
        ("has(claims.phone.home)", "`claims.phone` is absent"),
        ("false || claims.x == 1", "`claims.x` is absent"),
        ("claims.x == 1 && true", "`claims.x` is absent"),
        ("claims.x ? 1 : 1", "`claims.x` is absent"),
    ] {
        assert_eq!(value(text, &ada()), Err(expected.to_owned()), "{text}");
    }
}

#[test]
fn values_are_those_of_cel() {
    for (text, expected) in [
        ("before(lower(email), '@')", json!("ada")),
        ("email.lower().before('@')", json!("ada")),
        ("slug(given_name)", json!("zoe")),
        ("claims.level == 3 && claims.level + 1 == 4", json!(true)),
        ("claims.level > claims.ratio", json!(true)),
        ("claims.level == '3'", json!(false)),
        ("claims.whole == 3 && 3 in [claims.whole] && claims.whole <= 3", json!(true)),
        ("claims.nothing == null", json!(true)),
        ("has(claims.nothing) && !has(claims.other)", json!(true)),
        ("has(given_name) && !has(name)", json!(true)),
        ("'sre' in groups && !('ops' in groups)", json!(true)),
        ("!('contractors' in groups)", json!(true)),
        ("'status' in claims", json!(true)),
        ("1 in claims.flags", json!(true)),
        ("claims.flags == ['a', 1]", json!(true)),
        ("claims.x == 1 || true", json!(true)),
        ("true || claims.x == 1", json!(true)),
        ("claims.x == 1 && false", json!(false)),
        ("claims.level && false", json!(false)),
        ("claims.admin", json!(true)),
        ("claims.admin ? 'a' : 'b'", json!("a")),
        ("false ? 'a' : false ? 'b' : 'c'", json!("c")),
        ("vars.group_id[roles[1]]", json!(14)),
        ("vars.group_id['Manager'] + vars.limit", json!(15)),
        ("vars['mixed'].b", json!("x")),
        ("claims['https://example.com/team']", json!("red")),
        ("[1, 2][0]", json!(1)),
        ("split(email, '@')[1]", json!("Example.com")),
        ("join(groups, ' ')", json!("sre dev-x")),
        ("size(groups) == 2 && size(given_name) == 3", json!(true)),
        ("email.matches('^[A-Z]') && !email.matches('^com')", json!(true)),
        (r"user.email.matches(r'^\w+@example\.com$')", json!(true)),
        ("'a' < 'b' && 2 >= 2 && 'b' <= 'b' && 3 > -1 && false < true", json!(true)),
        ("1 < 2 == true", json!(true)),
        ("true || false && false", json!(true)),
        ("lower(item.mail) == user.email", json!(true)),
        ("groups", json!(["sre", "dev-x"])),
        ("'it\\'s' + \"\\n\"", json!("it's\n")),
        (" id ", json!(7)),
    ] {
        assert_eq!(value(text, &ada()), Ok(expected), "{text}");
    }
}

#[test]
fn templates_that_do_not_balance_or_fit_are_refused() {
    for (text, expected) in [
        ("a}b", vec!["expression <}>: there is no `{` for this `}` | nothing to close | for a literal brace, write }}"]),
        ("{email", vec!["expression <{>: this `{` is never closed | the closing } is missing | for a literal brace, write {{"]),
        ("{'a}", vec!["expression <{>: this `{` is never closed | the closing } is missing | for a literal brace, write {{"]),
        ("x{}y", vec!["expression <{}>: there is no expression between these braces | empty | for literal braces, write {{ and }}"]),
        (
            "{emial}{slgu(x)}",
            vec![
                "unknown-name <emial>: there is no `emial` | unknown name | did you mean `email`?",
                "unknown-function <slgu>: there is no function `slgu` | unknown function | did you mean `slug`?",
            ],
        ),
        (
            "groups: {groups}",
            vec![
                "wrong-type <groups>: a list cannot stand inside text | a list | write {join(groups, ', ')}, or leave the expression alone in its string",
            ],
        ),
        (
            "{\"a\": 1}",
            vec![
                "expression <:>: expected an operator, found `:` | unexpected | a claim with other letters than a-z, 0-9 and _ in its name is written claims['cost-centre'] | for a literal brace, write {{",
            ],
        ),
        ("{user}!", vec!["wrong-type <user>: a table cannot stand inside text | a table | name one of its fields: {user.…}"]),
        ("${email}!{a b}", vec!["expression <b>: expected an operator, found `b` | unexpected"]),
    ] {
        let found = template_says(text);
        let found: Vec<_> = found.iter().filter(|problem| !problem.starts_with("unknown-name <x>")).collect();
        assert_eq!(found, expected, "{text}");
    }
}

#[test]
fn templates_make_text_and_a_single_expression_keeps_its_type() {
    for (text, expected) in [
        ("", Ok(json!(""))),
        ("sso", Ok(json!("sso"))),
        ("{{a}}", Ok(json!("{a}"))),
        ("{{{role}}}", Ok(json!("{Admin}"))),
        ("{slug(given_name)}-{slug(family_name)}", Ok(json!("zoe-bronte-nunez"))),
        ("{groups}", Ok(json!(["sre", "dev-x"]))),
        ("{id}", Ok(json!(7))),
        ("{ id }", Ok(json!(7))),
        ("n{id} {email_verified}", Ok(json!("n7 true"))),
        ("/groups/{vars.group_id['Manager']}/users.json", Ok(json!("/groups/12/users.json"))),
        ("{replace(role, 'A', '}')}", Ok(json!("}dmin"))),
        ("{claims.nothing}", Ok(Value::Null)),
        ("x{claims.nothing}", Err("`claims.nothing` is absent")),
        ("x{claims.flags}", Err("`claims.flags` is a list, which cannot stand inside text")),
        ("{given_name} {name}", Err("`name` is absent")),
    ] {
        let (template, warnings) = Template::compile(text, &env()).unwrap_or_else(|problems| panic!("{text}: {problems:?}"));
        assert_eq!(warnings, []);
        assert_eq!(template.render(&ada()).map_err(|error| error.to_string()), expected.map_err(str::to_owned), "{text}");
    }
}

#[test]
fn every_interpolated_value_is_escaped_and_literal_text_is_not() {
    let escape = |value: &Value| match value {
        Value::String(text) => Ok(text.replace('@', "%40")),
        Value::Number(number) => Ok(number.to_string()),
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => Err(EvalError::Type(format!("not in a path: {value}"))),
    };
    let check = |text: &str, expected: Result<&str, &str>| {
        let (template, _) = Template::compile(text, &env()).unwrap();
        assert_eq!(
            template.render_escaped(&ada(), &escape).map_err(|error| error.to_string()),
            expected.map(str::to_owned).map_err(str::to_owned),
            "{text}"
        );
    };
    check("{groups}", Err("not in a path: [\"sre\",\"dev-x\"]"));
    check("/{claims.nothing}", Err("`claims.nothing` is absent"));
    check("/{name}", Err("`name` is absent"));
    check("/@/users.json?name={user.email}&id={id}", Ok("/@/users.json?name=ada%40example.com&id=7"));
}

#[test]
fn names_are_those_that_are_read() {
    for (text, expected) in [
        ("sso", vec![]),
        ("{given_name}-{claims.ou}{given_name}", vec!["given_name", "claims.ou"]),
        ("{before(lower(user.email), '@')}", vec!["user.email"]),
        ("{vars.group_id[item]}{vars.group_id['Manager']}", vec!["item", "vars.group_id", "vars.group_id.Manager"]),
        ("{has(claims.a) ? claims.a : claims['b c'].d}", vec!["claims.a", "claims['b c'].d"]),
        ("{groups[0]}", vec!["groups[0]"]),
    ] {
        assert_eq!(Template::compile(text, &env()).unwrap().0.names(), expected, "{text}");
    }
}

#[test]
fn absence_and_type_are_known_before_rendering() {
    for (text, may_be_absent, of) in [
        ("sso", false, Type::Text),
        ("{groups}", false, Type::texts()),
        ("{role}", true, Type::Text),
        ("{given_name}!", true, Type::Text),
        ("{claims.x}", true, Type::Dynamic),
        ("{has(claims.x)}", false, Type::Bool),
        ("{vars.limit}", false, Type::Int),
        ("{vars.group_id['Manager']}", false, Type::Int),
        ("{vars.group_id[item]}", true, Type::Int),
        ("{user.extra.x}", true, Type::Dynamic),
    ] {
        let (template, _) = Template::compile(text, &env()).unwrap();
        assert_eq!((template.may_be_absent(), template.result_type()), (may_be_absent, &of), "{text}");
    }
}

#[test]
fn the_first_that_is_set_counts() {
    let first = |texts: &[&str]| FirstOf(texts.iter().map(|text| Template::compile(text, &env()).unwrap().0).collect()).render(&ada());
    assert_eq!(first(&["{claims.department}", "{claims.ou}"]), None);
    assert_eq!(first(&["{claims.nothing}", "  ", ""]), None);
    assert_eq!(first(&["{claims.employeeNumber}", "{claims.employee_id}"]), Some(json!("E7")));
    assert_eq!(first(&["{claims.department}", "{claims.ou}", "unassigned"]), Some(json!("unassigned")));
    assert_eq!(first(&["{name}", "{given_name} {family_name}", "{email}"]), Some(json!("Zoë Brontë-Núñez")));
    assert_eq!(first(&["{lower(claims.level)}", "{claims.level}"]), Some(json!(3)));
}

#[test]
fn the_shipped_expressions_compile_without_a_warning() {
    for text in [
        "{before(lower(email), '@')}",
        "{lower(email)}",
        "{name}",
        "{given_name} {family_name}",
        "{email}",
        "{role}",
        "{user.name}",
        "{user.email}",
        "{user.display}",
        "{slug(given_name)}-{slug(family_name)}",
        "{claims.employeeNumber}",
        "{claims.employee_id}",
        "{claims.department}",
        "{claims.ou}",
        "unassigned",
        "sso",
        "/users.json?name={user.email}",
        "{user.extra.employee_id}",
        "/groups/{vars.group_id[item]}/users.json",
        "{id}",
        "/groups/{vars.group_id[item]}/users/{id}.json",
    ] {
        assert_eq!(template_says(text), [""; 0], "{text}");
    }
    for text in ["!has(claims.status) || claims.status != 'leaver'", "!('contractors' in groups)", "lower(item.mail) == user.email"] {
        assert_eq!(condition_says(text), [""; 0], "{text}");
    }
}

#[test]
fn a_narrow_env_knows_its_own_names_only() {
    let own = Env::new().with("body", Type::Dynamic, false).with("status", Type::Int, false).with("status", Type::Text, false);
    let says = |text: &str| said(text, &Condition::compile(text, &own).map_or_else(|problems| problems, |(_, warnings)| warnings));
    assert_eq!(says("email == 'a'"), ["unknown-name <email>: there is no `email` | unknown name | names: body, status"]);
    assert_eq!(says("body.errors[0].code == 'taken' && status == '409'"), [""; 0]);
    let none = Condition::compile("x", &Env::new()).unwrap_err();
    assert_eq!(said("x", &none), ["unknown-name <x>: there is no `x` | unknown name | no names can be used here"]);
    let user = Env::new().with_user([("department", Type::Dynamic)]);
    let when = Env::new().with("email", Type::Text, false).but_not(&["user"], "known in headers");
    let elsewhere = Condition::compile("user.name == 'ada'", &when).expect_err("not here");
    let [problem] = elsewhere.as_slice() else { panic!("{elsewhere:?}") };
    assert_eq!(
        (problem.code, problem.message.as_str(), problem.helps.as_slice()),
        ("unknown-name", "there is no `user` here", ["known in headers".to_owned()].as_slice())
    );
    let text = "{user.extra.deparment}";
    let problems = Template::compile(text, &user).unwrap_err();
    assert_eq!(
        said(text, &problems),
        ["unknown-name <deparment>: there is no `user.extra.deparment` | unknown field | did you mean `user.extra.department`?"]
    );
}

/// Text that looks like the language, so that the parser gets further than the first character.
fn scraps() -> impl Strategy<Value = String> {
    let words = prop::sample::select(vec![
        "email", "claims", ".x", "groups", "has(", ")", "(", "[", "]", "'a'", "\"", "'", "{", "}", "{{", "&&", "||", "!", "==", "in", "?", ":", ",",
        "1", "-", "+", " ", "lower(", "\\", "é", "r'", "matches(", "\n", "null", "true", "vars", "item",
    ]);
    prop::collection::vec(words, 0..60).prop_map(|words| words.concat())
}

fn places_are_in_the_text(text: &str) {
    let found = [
        Condition::compile(text, &env()).map_or_else(|problems| problems, |(_, warnings)| warnings),
        Template::compile(text, &env()).map_or_else(|problems| problems, |(_, warnings)| warnings),
    ];
    for problem in found.into_iter().flatten() {
        assert!(text.get(problem.span.clone()).is_some(), "{problem:?} in {text:?}");
        assert!(!problem.message.is_empty() && !problem.label.is_empty(), "{problem:?}");
    }
}

/// Conditions over two claims, asked for and used every which way.
fn guarded() -> impl Strategy<Value = String> {
    let leaf = prop::sample::select(vec![
        "has(claims.a)",
        "has(claims.b)",
        "'a' in claims",
        "claims.a == 'x'",
        "claims.b != claims.a",
        "claims['b'] == 'x'",
        "true",
        "false",
    ]);
    leaf.prop_map(str::to_owned).prop_recursive(4, 24, 3, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 2..4).prop_map(|parts| format!("({})", parts.join(" && "))),
            prop::collection::vec(inner.clone(), 2..4).prop_map(|parts| format!("({})", parts.join(" || "))),
            inner.clone().prop_map(|of| format!("!({of})")),
            (inner.clone(), inner.clone(), inner).prop_map(|(c, a, b)| format!("({c} ? {a} : {b})")),
        ]
    })
}

proptest! {
    #[test]
    fn a_condition_without_a_warning_never_fails_for_an_absent_claim(text in guarded()) {
        let (condition, warnings) = Condition::compile(&text, &env()).unwrap();
        for claims in [json!({}), json!({ "a": "x" }), json!({ "b": "x" }), json!({ "a": "y", "b": "x" })] {
            let found = condition.holds(&object(json!({ "claims": claims })));
            prop_assert!(found.is_ok() || !warnings.is_empty(), "{found:?} with {claims} and no warning");
        }
    }

    #[test]
    fn no_text_panics(text in any::<String>()) {
        places_are_in_the_text(&text);
    }

    #[test]
    fn no_scrap_of_the_language_panics(text in scraps()) {
        places_are_in_the_text(&text);
        if let Ok((template, _)) = Template::compile(&text, &env()) {
            let _either = template.render(&ada());
            let _absent = template.render(&Map::new());
        }
        if let Ok((condition, _)) = Condition::compile(&text, &env()) {
            let _either = condition.holds(&ada());
            let _absent = condition.holds(&Map::new());
        }
    }
}
