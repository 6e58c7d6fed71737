//! Names that steps leave each other: outcomes by their words, and a misspelt name found at load.

use super::{ACCOUNT, HEAD, ann, answer, house, nowhere, parse};
use serde_json::json;
use vestibule::connector::{Connector as _, Outcome};

/// Two steps: the first comes to `word`, the second runs when that is what it is called.
fn after(verb: &str, effect: &str, request: &str, word: &str) -> String {
    format!(
        "{ACCOUNT}[[{verb}]]\nname = \"first\"\neffect = \"{effect}\"\n{request} = \"/first\"\nclassify = [{{ status = 400, outcome = \"{word}\" }}]\ncontinue = [\"{word}\"]\n\
         [[{verb}]]\nname = \"second\"\neffect = \"read\"\nif = \"outcome.first == '{word}'\"\nget = \"/second\"\nclassify = [{{ status = 400, outcome = \"done\" }}]\n"
    )
}

#[tokio::test]
async fn a_step_is_asked_for_its_outcome_by_the_word_that_files_write() {
    let mut seen = 0;
    // A refused credential stops everything: nothing is sent after it.
    for (word, outcome) in Outcome::WORDS.into_iter().filter(|(_, outcome)| *outcome != Outcome::Reauth) {
        let reads = matches!(outcome, Outcome::Found | Outcome::Absent | Outcome::Ambiguous);
        let text = if reads { after("probe", "read", "get", word) } else { after("revoke_sessions", "write", "post", word) };
        let house = house(&text, |_, _| answer(400, &json!({})));
        let scope = nowhere();
        let came = if reads { house.engine.probe().await.err() } else { house.engine.revoke_sessions(ann(&scope, Some("7"))).await.err() };
        let lines = house.wire.lines();
        assert!(lines.iter().any(|line| line == "GET /base/second"), "{word}: {came:?}, {lines:?}");
        seen += 1;
    }
    assert_eq!(seen, 15);
    // What no line knows, of a write.
    let text = after("revoke_sessions", "write", "post", "in_doubt").replacen(
        "{ status = 400, outcome = \"in_doubt\" }",
        "{ status = 204, outcome = \"done\" }",
        1,
    );
    let house = house(&text, |_, _| answer(400, &json!({})));
    assert_eq!(house.engine.revoke_sessions(ann(&nowhere(), Some("7"))).await, Ok(Outcome::Done));
    assert_eq!(house.wire.lines(), ["POST /base/first", "GET /base/second"]);
}

#[test]
fn a_name_that_no_step_leaves_is_found_at_load() {
    let step = |verb: &str, name: &str, lines: &str| {
        format!(
            "[[{verb}]]\nname = \"{name}\"\neffect = \"write\"\n{lines}\nclassify = [{{ status = 204, outcome = \"done\" }}, {{ status = 409, outcome = \"exists\" }}]\n"
        )
    };
    let add = |name: &str, lines: &str| step("members.group.add", name, lines);
    let join = add("join", "post = \"/m\"\ncontinue = [\"exists\"]");
    let session = "[[session]]\nname = \"crumb\"\neffect = \"read\"\nget = \"/crumb\"\nsave = { crumb = \"/crumb\" }\nclassify = [{ status = 200, outcome = \"done\" }]\n";
    let resolve = "[[resolve.group]]\nname = \"by_name\"\neffect = \"read\"\nget = \"/groups\"\nselect = { items = \"\", where = { \"/name\" = \"{member.name}\" } }\nsave = { id = \"/id\", path = \"/path\" }\nclassify = [{ status = 200, outcome = \"found\" }]\n";
    let check = |steps: String, expected: Option<&str>| {
        let came = parse(&format!("{HEAD}{ACCOUNT}{steps}")).err();
        let fits = match (&came, expected) {
            (Some(came), Some(expected)) => came.contains(expected) && came.matches("error[").count() == 1,
            (None, None) => true,
            _ => false,
        };
        assert!(fits, "{steps}\n{came:?}");
    };
    check(join.clone() + &add("role", "if = \"outcome.jion == 'exists'\"\nput = \"/m\""), Some("did you mean `outcome.join`?"));
    check(join.clone() + &add("role", "if = \"outcome.join == 'exists'\"\nput = \"/m\""), None);
    // What runs later has come to nothing yet.
    check(add("role", "if = \"outcome.join == 'exists'\"\nput = \"/m\"") + &join, Some("there is no `outcome.join`"));
    // A step of another verb is not asked.
    check(join + &step("revoke_sessions", "role", "if = \"outcome.join == 'exists'\"\nput = \"/m\""), Some("there is no `outcome.join`"));
    check(add("put", "put = \"/m/{saved.nosuch}\""), Some("there is no `saved.nosuch`"));
    check(resolve.to_owned() + &add("put", "put = \"/m/{saved.pth}\""), Some("did you mean `saved.path`?"));
    check(resolve.to_owned() + &add("put", "put = \"/m/{saved.path}\""), None);
    check(session.to_owned() + &add("put", "put = \"/m/{session.crum}\""), Some("did you mean `session.crumb`?"));
    check(session.to_owned() + &add("put", "put = \"/m/{session.crumb}\""), None);
    let put = |value: &str| format!("put = \"/m\"\nbody = {{ groups = {{ \"$each\" = \"members.group\", \"$item\" = \"{value}\" }} }}");
    check(step("members.group.set", "put", &put("{item.nam}")) + LIST, Some("did you mean `item.name`?"));
    check(step("members.group.set", "put", &put("{item.name}")) + LIST, None);
    check(add("put", "put = \"/m/{item.id}\""), Some("there is no `item`"));
}

const LIST: &str = "[[members.group.list]]\nname = \"all\"\neffect = \"read\"\nget = \"/m\"\nsave = { name = \"/name\" }\nclassify = [{ status = 200, outcome = \"found\" }]\n";

#[test]
fn a_step_that_never_comes_to_an_outcome_does_not_go_on_after_it() {
    let check = |effect: &str, request: &str, lines: &str, expected: Option<&str>| {
        let text = format!("{HEAD}{ACCOUNT}[[revoke_sessions]]\nname = \"end\"\neffect = \"{effect}\"\n{request} = \"/s\"\n{lines}\n");
        let came = parse(&text).err();
        assert!(
            match (&came, expected) {
                (Some(came), Some(expected)) => came.contains(expected),
                (came, expected) => came.is_none() && expected.is_none(),
            },
            "{text}: {came:?}"
        );
    };
    let lines = |word: &str| {
        format!("continue = [\"{word}\"]\nclassify = [{{ status = 204, outcome = \"done\" }}, {{ status = 409, outcome = \"exists\" }}]")
    };
    check("write", "post", &lines("denied"), Some("this step never comes to `denied`"));
    check("write", "post", &lines("denied"), Some("its lines of `classify` come to: exists, done"));
    check("write", "post", &lines("exist"), Some("did you mean \"exists\"?"));
    check("write", "post", &lines("exists"), None);
    // What no line knows: a write is in doubt, a read is tried again.
    check("write", "post", &lines("in_doubt"), None);
    let read = |word: &str| format!("continue = [\"{word}\"]\nclassify = [{{ status = 200, outcome = \"found\" }}]");
    check("read", "get", &read("in_doubt"), Some("this step never comes to `in_doubt`"));
    check("read", "get", &read("absent"), Some("this step never comes to `absent`"));
    check("read", "get", &(read("absent") + "\nselect = { items = \"\", where = { \"/id\" = \"{account.id}\" } }"), None);
}
