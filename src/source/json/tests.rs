use crate::source::{Problem, SourceFile, Written, parse};
use proptest::prelude::*;
use serde_json::Value;

fn read(text: &str) -> (Value, Vec<Problem>) {
    let (tree, problems) = parse(&SourceFile::new("x.json", text));
    (Value::Object(tree.to_json()), problems)
}

/// Places and messages of everything that is not JSON.
fn check(text: &str, expected: &[&str]) {
    let said: Vec<String> = read(text)
        .1
        .iter()
        .map(|problem| {
            assert_eq!(problem.code, "syntax", "{text}");
            let (line, column) = problem.line_column();
            format!("{line}:{column} {}", problem.message)
        })
        .collect();
    assert_eq!(said, expected, "{text}");
}

#[test]
fn what_is_not_json_is_named_where_it_stands() {
    check("", &["1:1 the file is empty"]);
    check(" \n ", &["1:1 the file is empty"]);
    check("[]", &["1:1 the file is a list, not an object"]);
    check("{", &["1:1 this is never closed"]);
    check("{\"a\": [1, 2", &["1:7 this is never closed"]);
    check("{\"a\": 1]", &["1:8 `]` closes what was not opened with it"]);
    check("{\"a\": 1} x", &["1:10 this stands after the end of the object"]);
    check("{\"a\"}", &["1:5 `:` and a value should follow `a`"]);
    check("{\"a\": }", &["1:2 `a` has no value"]);
    check("{\"a\": @}", &["1:7 a value should stand here"]);
    check("{: 1}", &["1:2 a key should stand here, in double quotes"]);
    check("{\"a\": \"x\ny\"}", &["1:7 this string does not end on its line"]);
    check("{\"a\": \"x\\", &["1:7 this string does not end on its line"]);
    check("{\"a\": \"x\\\n\"}", &["1:7 this string does not end on its line"]);
    check(&format!("{{\"a\": {}", "[".repeat(100)), &["1:70 nested deeper than 64 levels"]);
}

#[test]
fn where_it_is_plain_what_was_meant_reading_goes_on() {
    check("{\"a\": 1, \"a\": 2, \"b\": 3, \"b\": null}", &["1:10 duplicate key", "1:26 duplicate key", "1:31 null is no value here"]);
    check("{\"a\": [1, 2,], \"b\": {},}", &["1:12 a comma after the last element", "1:23 a comma after the last element"]);
    check(
        "{\"a\": [1 2] \"b\": 1,, \"c\": 2}",
        &["1:10 a comma is missing before this", "1:13 a comma is missing before this", "1:20 a comma too many"],
    );
    check(
        "{a: 'x', 'b' = True}",
        &[
            "1:2 keys stand in double quotes",
            "1:5 strings stand in double quotes",
            "1:10 keys stand in double quotes",
            "1:14 `:` stands between key and value",
            "1:16 `True` is not a JSON value",
        ],
    );
    check("// a\n{\"a\": 1, # b\n/* c */ \"b\": 15m}", &["1:1 JSON has no comments", "3:14 `15m` is not a JSON value"]);
    check(
        "{\"a\": \"\\q\\ud800\\u12\\ud800\\u0041\t\"}",
        &["1:8 no such escape", "1:10 no such escape", "1:16 no such escape", "1:20 no such escape", "1:32 a control character in a string"],
    );
    for number in ["01", "1.", ".5", "+1", "1e", "-", "0x10", "NaN", "Infinity", "1_000"] {
        check(&format!("{{\"a\": {number}}}"), &[&format!("1:7 `{number}` is not a JSON value")]);
    }
    check("{\"a\": 1e999}", &["1:7 1e999 is too large a number"]);
    let (_, problems) = read(&format!("{{{}}}", "a: 1, ".repeat(500)));
    assert_eq!(problems.len(), super::PROBLEMS_MAX);
}

#[test]
fn what_is_json_is_read_as_it_is_meant() {
    let text = "\u{feff}{ \"a\": \"é\\u00e9\\ud83d\\ude00\\/\\n\", \"b\": [1, -2.5e3, true, {}, []], \"c\": { \"d\": 100000000000000000000 } }\r\n";
    let (value, problems) = read(text);
    assert!(problems.is_empty(), "{problems:?}");
    assert_eq!(value, serde_json::from_str::<Value>(text.trim_start_matches('\u{feff}')).unwrap());
}

#[test]
fn places_inside_strings_follow_the_escapes_of_json() {
    let text = "{ \"k\": \"\\ud83d\\ude00\\u00e9\\\"x\\\" def\" }";
    let file = SourceFile::new("x.json", text);
    let (tree, _) = parse(&file);
    let node = &tree.get("k").unwrap().node;
    let value = node.as_text().unwrap();
    let at = value.find("def").unwrap();
    assert_eq!(text.get(file.inside_string(&node.span, value, &(at..at + 3))), Some("def"));
    assert!(matches!(node.value, Written::Text(_)));
}

#[test]
fn a_file_that_is_too_large_is_not_read() {
    for name in ["x.json", "x.toml"] {
        let (tree, problems) = parse(&SourceFile::new(name, " ".repeat(crate::source::BYTES_MAX + 1)));
        assert!(tree.entries.is_empty());
        assert_eq!(problems.iter().map(|problem| problem.code).collect::<Vec<_>>(), ["too-large"], "{name}");
    }
}

/// Any JSON value, as `serde_json` writes it.
fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![any::<bool>().prop_map(Value::from), any::<i64>().prop_map(Value::from), ".*".prop_map(Value::from)];
    leaf.prop_recursive(4, 40, 6, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
            prop::collection::hash_map(".{0,6}", inner, 0..6).prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn neither_reader_panics_on_any_bytes(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let text = String::from_utf8_lossy(&bytes).into_owned();
        for name in ["x.json", "x.toml"] {
            let (_, problems) = parse(&SourceFile::new(name, text.as_str()));
            for problem in problems {
                prop_assert!(!problem.render().is_empty());
            }
        }
    }

    /// Bytes that go further than noise does.
    #[test]
    fn neither_reader_panics_on_what_looks_like_a_file(text in "([{}\\[\\]:,=#\"'\\\\/\n \t-]|\"a\"|null|true|1e9|\\\\u[0-9a-f]{1,4}|é|\\[a\\]){0,60}") {
        for name in ["x.json", "x.toml"] {
            let (_, problems) = parse(&SourceFile::new(name, text.as_str()));
            for problem in problems {
                prop_assert!(!problem.render().is_empty());
            }
        }
    }

    /// What `serde_json` refuses is refused, what it takes is read alike.
    #[test]
    fn it_agrees_with_serde_json(text in "[{]([{}\\[\\]:, ]|\"a\"|\"b\"|true|[0-9.e+-]{1,4}|\"\\\\u[0-9a-fd]{4}\"){0,12}[}]") {
        // A negative zero is a whole number here, and none there.
        prop_assume!(!text.contains("-0"));
        let (value, problems) = read(&text);
        match serde_json::from_str::<Value>(&text) {
            // Of two equal keys, the last wins there.
            Ok(_) if problems.iter().any(|problem| problem.message == "duplicate key" || problem.message.ends_with("too large a number")) => {}
            Ok(expected) => prop_assert!(problems.is_empty() && value == expected, "{text}: {value} {problems:?}"),
            Err(error) => prop_assert!(!problems.is_empty(), "{text}: {error}"),
        }
    }

    #[test]
    fn it_reads_what_serde_json_writes(value in any_json()) {
        let whole = serde_json::json!({ "value": value });
        let (compact, pretty) = (read(&whole.to_string()), read(&serde_json::to_string_pretty(&whole).unwrap()));
        prop_assert!(compact.1.is_empty() && pretty.1.is_empty(), "{:?} {:?}", compact.1, pretty.1);
        prop_assert_eq!(&compact.0, &whole);
        prop_assert_eq!(&pretty.0, &whole);
    }
}
