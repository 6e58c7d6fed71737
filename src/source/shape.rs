//! A TOML file as one type, for files that are data and no policy: the scripted apps of the conformance kit.
//!
//! Apart because such a file has one reader and one type, and stops at its first mistake; a policy is read key by key, and all its mistakes are said.

use super::value::nearest;
use super::{Problem, SourceFile};
use serde::de::DeserializeOwned;

/// The file as a `T`.
///
/// # Errors
/// The first mistake, at its place; for a name that is not known, the nearest that is.
pub fn shaped<T: DeserializeOwned>(file: &SourceFile) -> Result<T, Box<Problem>> {
    toml::from_str(&file.text).map_err(|error| Box::new(problem(file, error.message(), error.span())))
}

fn problem(file: &SourceFile, message: &str, span: Option<super::Span>) -> Problem {
    // serde: "unknown field `usr`, expected one of `base`, `ids`".
    let mut named = message.split('`').skip(1).step_by(2);
    let unknown = named.next().filter(|_| message.starts_with("unknown "));
    let near = unknown.and_then(|unknown| nearest(unknown, named));
    let (code, first) = match (message.starts_with("unknown field"), unknown) {
        (true, Some(unknown)) => ("unknown-key", format!("unknown key `{unknown}`")),
        (false, Some(unknown)) => ("unknown-value", format!("`{unknown}` is not known here")),
        (_, None) => ("wrong-type", message.trim_end().to_owned()),
    };
    let mut problem = Problem::error(code, file, 0..0, first);
    problem.span = span;
    match (near, message.split_once("expected")) {
        (Some(near), _) => problem.help(format!("did you mean `{near}`?")),
        (None, Some((_, known))) if unknown.is_some() => problem.help(format!("expected{known}")),
        (None, _) => problem,
    }
}

#[cfg(test)]
mod tests {
    use super::shaped;
    use crate::source::SourceFile;
    use serde::Deserialize;

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    #[expect(dead_code, reason = "only its reader is looked at")]
    struct Shape {
        user: String,
        #[serde(default)]
        act: Option<Act>,
    }

    #[derive(Debug, Deserialize)]
    #[serde(rename_all = "snake_case")]
    enum Act {
        MakeGroup,
    }

    #[test]
    fn a_mistake_has_its_place_and_the_nearest_name() {
        let check = |text: &str, expected: Option<(&str, usize, &str)>| {
            let found = shaped::<Shape>(&SourceFile::new("d.toml", text)).err();
            let told = found.as_ref().map(|problem| (problem.code, problem.line_column().0, problem.render()));
            assert_eq!(told.as_ref().map(|(code, line, _)| (*code, *line)), expected.map(|(code, line, _)| (code, line)), "{told:?}");
            assert!(expected.is_none_or(|(.., said)| told.is_some_and(|(.., told)| told.contains(said))), "{text}: {found:?}");
        };
        check("user = \"a\"\nacct = \"x\"", Some(("unknown-key", 2, "did you mean `act`?")));
        check("user = \"a\"\nzzzzzzz = 1", Some(("unknown-key", 2, "expected `user` or `act`")));
        check("user = \"a\"\n\nact = \"make_grup\"", Some(("unknown-value", 3, "`make_grup` is not known here")));
        check("user = 7", Some(("wrong-type", 1, "expected a string")));
        check("act = \"make_group\"", Some(("wrong-type", 1, "missing field `user`")));
        check("user = \"a\"\nact = \"make_group\"", None);
    }
}
