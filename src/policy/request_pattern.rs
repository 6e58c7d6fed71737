//! A path of the application, and the method that it means something with: `/logout`, `DELETE /session/*`.
//!
//! Apart from [`super::path`] because a method belongs to few lists: an application may sign people in by a POST and out by a DELETE to one and the same place.
//! It restricts as generously as the path does. The method is the one that the request shows: where an application lets a POST stand for another one
//! (`X-HTTP-Method-Override`, `_method`), that other one is shut by the path alone.

use super::path::{CanonicalPath, PathPattern, PathProblem};
use super::schema::METHODS;

/// Why no request could fit what is written.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RequestProblem {
    /// What stands before the path is no method that `methods` would take.
    #[error("`{0}` is none of the methods {known}", known = METHODS.join(" "))]
    Method(String),
    /// As for a path alone.
    #[error(transparent)]
    Path(#[from] PathProblem),
}

/// A pattern of paths, with one method or any.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RequestPattern {
    method: Option<&'static str>,
    path: PathPattern,
}

impl RequestPattern {
    /// Reads `PATH` or `METHOD PATH`. A path pattern starts with `/` or `*`: what stands before a blank and starts with neither is the method.
    ///
    /// # Errors
    /// A method in small letters or unknown, and what [`PathPattern::parse`] refuses.
    pub fn parse(written: &str) -> Result<Self, RequestProblem> {
        let with_method = written.split_once(' ').filter(|_| !written.starts_with(['/', '*']));
        let Some((method, path)) = with_method else { return Ok(Self { method: None, path: PathPattern::parse(written)? }) };
        let known = METHODS.iter().find(|known| **known == method).ok_or_else(|| RequestProblem::Method(method.to_owned()))?;
        Ok(Self { method: Some(known), path: PathPattern::parse(path.trim_start())? })
    }

    /// Whether a request is meant. RFC 9110 9.3.2: a HEAD is a GET whose answer has no content; 9.1: methods are in capitals, which a lenient app may not insist on.
    pub fn restricts(&self, method: &str, path: &CanonicalPath<'_>) -> bool {
        let fits = |meant: &str| meant.eq_ignore_ascii_case(method) || (meant == "GET" && method.eq_ignore_ascii_case("HEAD"));
        self.method.is_none_or(fits) && self.path.restricts(path)
    }
}

#[cfg(test)]
mod tests {
    use super::{RequestPattern, RequestProblem};
    use crate::policy::{CanonicalPath, PathProblem};

    #[test]
    fn a_pattern_that_no_request_could_fit_is_refused() {
        let check = |written: &str, expected: RequestProblem| assert_eq!(RequestPattern::parse(written), Err(expected), "{written}");
        let no_method = |word: &str| RequestProblem::Method(word.to_owned());
        check("delete /session", no_method("delete"));
        check("DELTE /session", no_method("DELTE"));
        check(" /session", no_method(""));
        check("login page", no_method("login"));
        check("session", RequestProblem::Path(PathProblem::NotAbsolute));
        check("DELETE session", RequestProblem::Path(PathProblem::NotAbsolute));
        check("DELETE /a/../b", RequestProblem::Path(PathProblem::DotSegment));
        check("DELETE", RequestProblem::Path(PathProblem::NotAbsolute));
    }

    #[test]
    fn a_method_narrows_it_and_the_path_stays_generous() {
        let check = |written: &str, request: &str, expected: bool| {
            let (method, path) = request.split_once(' ').unwrap();
            let path = CanonicalPath::parse(path).unwrap();
            assert_eq!(RequestPattern::parse(written).unwrap().restricts(method, &path), expected, "{written}: {request}");
        };
        check("DELETE /session/*", "DELETE /session/ada", true);
        check("DELETE /session/*", "DELETE /Session/ada;x=1", true);
        check("DELETE /session/*", "POST /session/ada", false);
        check("DELETE /session/*", "GET /session/sso", false);
        check("POST /session", "POST /session/", true);
        check("POST /session", "post /session", true);
        check("POST /session", "DELETE /session", false);
        check("GET /logout", "HEAD /logout", true);
        check("HEAD /logout", "GET /logout", false);
        check("POST  /logout", "POST /logout", true);
        for method in ["GET", "POST", "DELETE", "PROPFIND"] {
            check("/logout", &format!("{method} /logout"), true);
            check("/my page", &format!("{method} /my%20page"), true);
            check("*/logout", &format!("{method} /x/logout"), true);
        }
    }
}
