//! From one page of a list to the next.

use super::request::below;
use crate::connector::model::{PageStyle, Paginate, plain};
use http::{HeaderMap, header};
use serde_json::Value;
use url::Url;

/// Where the next page is.
pub(super) enum Next {
    /// The same request with these parameters.
    Parameters(Vec<(String, String)>),
    /// Another address below the admin base URL.
    Address(Url),
    /// There is none.
    End,
    /// The app points elsewhere.
    Elsewhere,
}

/// The parameters of the first page.
pub(super) fn first(paginate: &Paginate) -> Vec<(String, String)> {
    match &paginate.style {
        PageStyle::Offset { parameter, first, size, limit } | PageStyle::Page { parameter, first, size, limit } => {
            parameters(parameter, *first, size, *limit)
        }
        PageStyle::Cursor { size, limit, .. } => vec![(size.clone(), limit.to_string())],
        PageStyle::Link => Vec::new(),
    }
}

/// What is known of a list when a page of it has come.
pub(super) struct Seen<'a> {
    /// The answer's headers.
    pub(super) headers: &'a HeaderMap,
    /// The whole answer.
    pub(super) whole: &'a Value,
    /// Pages so far.
    pub(super) pages: u32,
    /// Elements on this one.
    pub(super) here: usize,
    /// Elements on all so far.
    pub(super) elements: usize,
    /// How many the app says there are.
    pub(super) total: Option<u64>,
}

/// What comes after the pages that were seen.
pub(super) fn next(paginate: &Paginate, base: &Url, seen: &Seen<'_>) -> Next {
    let elements = u64::try_from(seen.elements).unwrap_or(u64::MAX);
    match &paginate.style {
        PageStyle::Link => link(base, seen.headers),
        PageStyle::Cursor { parameter, from, size, limit } => match from.first(seen.whole).and_then(|cursor| plain(cursor).ok()) {
            Some(cursor) if !cursor.is_empty() => Next::Parameters(vec![(parameter.clone(), cursor), (size.clone(), limit.to_string())]),
            _ => Next::End,
        },
        // An app may give less than was asked for: only its own count, or an empty page, ends the list.
        _ if seen.here == 0 || seen.total.is_some_and(|total| elements >= total) => Next::End,
        PageStyle::Offset { parameter, first, size, limit } => Next::Parameters(parameters(parameter, first + elements, size, *limit)),
        PageStyle::Page { parameter, first, size, limit } => Next::Parameters(parameters(parameter, first + u64::from(seen.pages), size, *limit)),
    }
}

fn parameters(parameter: &str, at: u64, size: &str, limit: u64) -> Vec<(String, String)> {
    vec![(parameter.to_owned(), at.to_string()), (size.to_owned(), limit.to_string())]
}

/// RFC 8288: `<…>; rel="next"`.
fn link(base: &Url, headers: &HeaderMap) -> Next {
    let links = headers.get_all(header::LINK).iter().filter_map(|value| value.to_str().ok()).flat_map(|value| value.split('<').skip(1));
    for link in links {
        let Some((target, parameters)) = link.split_once('>') else { continue };
        if !parameters.split(';').any(is_next) {
            continue;
        }
        let Ok(url) = base.join(target) else { return Next::Elsewhere };
        let prefix = format!("{}/", base.path().trim_end_matches('/'));
        let stays = url.origin() == base.origin() && url.path().starts_with(&prefix) && below(&url, "", &[]).is_some();
        return if stays { Next::Address(url) } else { Next::Elsewhere };
    }
    Next::End
}

/// `rel="next"`; a list of relations may have it among others (RFC 8288 §3.3).
fn is_next(parameter: &str) -> bool {
    let Some((name, value)) = parameter.trim().trim_end_matches([',', ' ']).split_once('=') else { return false };
    let value = value.trim().trim_matches('"');
    name.trim().eq_ignore_ascii_case("rel") && value.split_ascii_whitespace().any(|relation| relation.eq_ignore_ascii_case("next"))
}

#[cfg(test)]
mod tests {
    use super::{Next, link};
    use http::{HeaderMap, HeaderValue, header};
    use url::Url;

    #[test]
    fn a_next_page_elsewhere_is_not_fetched() {
        let base: Url = "http://app/api".parse().expect("url");
        let check = |value: &'static str, expected: &str| {
            let headers = HeaderMap::from_iter([(header::LINK, HeaderValue::from_static(value))]);
            let found = match link(&base, &headers) {
                Next::Address(url) => url.to_string(),
                Next::Elsewhere => "elsewhere".to_owned(),
                Next::End => "end".to_owned(),
                Next::Parameters(_) => "parameters".to_owned(),
            };
            assert_eq!(found, expected, "{value}");
        };
        check("<http://evil/api/users?page=2>; rel=\"next\"", "elsewhere");
        check("<http://app/api/../admin>; rel=\"next\"", "elsewhere");
        check("<https://app/api/users?page=2>; rel=\"next\"", "elsewhere");
        check("<http://app/apis/users>; rel=\"next\"", "elsewhere");
        check("<http://app/api/users?page=1>; rel=\"prev\"", "end");
        check("<http://app/api/users?page=1>; rel=\"prevnext\"", "end");
        check("<http://app/api/users?page=4>; title=\"x\"; REL=\"next last\"", "http://app/api/users?page=4");
        check("<http://app/api/users?page=1>; rel=\"prev\", <http://app/api/users?page=3>; rel=\"next\"", "http://app/api/users?page=3");
    }
}
