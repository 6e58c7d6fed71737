//! From one page of a list to the next.

use super::request::below;
use crate::connector::model::{PageStyle, Paginate};
use http::{HeaderMap, header};
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
        PageStyle::Link => Vec::new(),
    }
}

/// What comes after `pages` pages with `seen` elements altogether, of which `here` on the last.
pub(super) fn next(paginate: &Paginate, base: &Url, headers: &HeaderMap, pages: u32, here: usize, seen: usize, total: Option<u64>) -> Next {
    let seen = u64::try_from(seen).unwrap_or(u64::MAX);
    match &paginate.style {
        PageStyle::Link => link(base, headers),
        // An app may give less than was asked for: only its own count, or an empty page, ends the list.
        _ if here == 0 || total.is_some_and(|total| seen >= total) => Next::End,
        PageStyle::Offset { parameter, first, size, limit } => Next::Parameters(parameters(parameter, first + seen, size, *limit)),
        PageStyle::Page { parameter, first, size, limit } => Next::Parameters(parameters(parameter, first + u64::from(pages), size, *limit)),
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
        if !parameters.split(';').any(|parameter| matches!(parameter.trim().trim_end_matches([',', ' ']), "rel=\"next\"" | "rel=next")) {
            continue;
        }
        let Ok(url) = base.join(target) else { return Next::Elsewhere };
        let prefix = format!("{}/", base.path().trim_end_matches('/'));
        let stays = url.origin() == base.origin() && url.path().starts_with(&prefix) && below(&url, "", &[]).is_some();
        return if stays { Next::Address(url) } else { Next::Elsewhere };
    }
    Next::End
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
        check("<http://app/api/users?page=1>; rel=\"prev\", <http://app/api/users?page=3>; rel=\"next\"", "http://app/api/users?page=3");
    }
}
