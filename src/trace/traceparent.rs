//! `traceparent` (W3C Trace Context, level 1), read and written.

use http::{HeaderMap, HeaderName, HeaderValue};

/// Names the trace and the span above.
pub const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
/// What vendors add; goes along with its `traceparent` or not at all.
pub const TRACESTATE: HeaderName = HeaderName::from_static("tracestate");

/// The span that a request says it belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Parent {
    /// Of the trace.
    pub trace_id: [u8; 16],
    /// Of the span.
    pub id: [u8; 8],
    /// Whether it is recorded there.
    pub sampled: bool,
}

impl Parent {
    /// What these headers say; `None` when they say nothing, or nothing that holds: then the request begins a trace of its own (3.2.2.3).
    pub fn read(headers: &HeaderMap) -> Option<Self> {
        let mut lines = headers.get_all(TRACEPARENT).iter();
        let line = lines.next()?.to_str().ok()?;
        if lines.next().is_some() {
            return None;
        }
        let mut fields = line.split('-');
        let (version, trace_id, id, flags) = (fields.next()?, fields.next()?, fields.next()?, fields.next()?);
        let [version] = hex::<1>(version)?;
        // 2.2.2: version ff is invalid; later versions may add fields, 00 has none.
        if version == 0xff || (version == 0 && fields.next().is_some()) {
            return None;
        }
        let (trace_id, id, [flags]) = (hex::<16>(trace_id)?, hex::<8>(id)?, hex::<1>(flags)?);
        // 2.2.3, 2.2.4: all zeros name nothing.
        (trace_id != [0; 16] && id != [0; 8]).then_some(Self { trace_id, id, sampled: flags & 1 == 1 })
    }
}

/// `00-TRACE-SPAN-FLAGS`.
pub(super) fn header(trace_id: [u8; 16], id: [u8; 8], sampled: bool) -> HeaderValue {
    let mut line = [b'-'; 55];
    let bytes = [0].into_iter().chain(trace_id).chain(id).chain([u8::from(sampled)]);
    let places = (0..2).step_by(2).chain((3..35).step_by(2)).chain((36..52).step_by(2)).chain((53..55).step_by(2));
    for (place, byte) in places.zip(bytes) {
        for (place, nibble) in [(place, byte >> 4), (place + 1, byte & 15)] {
            if let (Some(slot), Some(digit)) = (line.get_mut(place), b"0123456789abcdef".get(usize::from(nibble))) {
                *slot = *digit;
            }
        }
    }
    HeaderValue::from_bytes(&line).unwrap_or(HeaderValue::from_static(""))
}

/// Lower-case hexadecimal digits, exactly as many as that.
fn hex<const N: usize>(text: &str) -> Option<[u8; N]> {
    let digits = text.len() == N * 2 && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    let mut out = [0; N];
    for (at, byte) in out.iter_mut().enumerate() {
        *byte = u8::from_str_radix(text.get(at * 2..at * 2 + 2)?, 16).ok()?;
    }
    digits.then_some(out)
}

#[cfg(test)]
mod tests {
    use super::{Parent, header};
    use http::{HeaderMap, HeaderValue};

    const GOOD: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

    fn read(lines: &[&str]) -> Option<Parent> {
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append("traceparent", HeaderValue::from_str(line).unwrap());
        }
        Parent::read(&headers)
    }

    #[test]
    fn what_does_not_hold_is_no_parent() {
        for lines in [
            &[][..],
            &[""],
            &["00"],
            &["00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331"],
            &["00-0AF7651916CD43DD8448EB211C80319C-b7ad6b7169203331-01"],
            &["00-00000000000000000000000000000000-b7ad6b7169203331-01"],
            &["00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01"],
            &["ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"],
            &["00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-x"],
            &["00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-1"],
            &["00-0af7651916cd43dd8448eb211c80319-b7ad6b7169203331-01"],
            &["00-+af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"],
            &[" 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"],
            &[GOOD, GOOD],
        ] {
            assert_eq!(read(lines), None, "{lines:?}");
        }
    }

    #[test]
    fn what_is_written_reads_back() {
        let parent = read(&[GOOD]).unwrap();
        assert_eq!(header(parent.trace_id, parent.id, parent.sampled), GOOD);
        assert!(!read(&[&GOOD.replace("-01", "-fe")]).unwrap().sampled);
        assert_eq!(read(&["cc-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-what-the-future-will-be-like"]), Some(parent));
        assert_eq!(header([0; 16], [0xff; 8], false), "00-00000000000000000000000000000000-ffffffffffffffff-00");
    }
}
