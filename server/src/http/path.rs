//! Paths as Dapr reads them: `//`, `.` and `..` are resolved, one slash at the end is tolerated. Tests are below.

use std::borrow::Cow;

use http::Uri;
use http::uri::PathAndQuery;
use percent_encoding::percent_decode_str;

use super::Request;

/// Cleans the path of a request, if there is anything to clean.
pub(super) fn clean(request: &mut Request) {
    let Cow::Owned(path) = cleaned(request.uri().path()) else { return };
    let text = match request.uri().query() {
        Some(query) => format!("{path}?{query}"),
        None => path,
    };
    if let Ok(path_and_query) = text.parse::<PathAndQuery>() {
        let mut parts = request.uri().clone().into_parts();
        parts.path_and_query = Some(path_and_query);
        if let Ok(uri) = Uri::from_parts(parts) {
            *request.uri_mut() = uri;
        }
    }
}

fn cleaned(path: &str) -> Cow<'_, str> {
    let is_odd = |segment: &str| matches!(segment, "" | "." | "..");
    if !path.split('/').skip(1).any(is_odd) {
        return Cow::Borrowed(path);
    }
    let mut kept: Vec<&str> = Vec::new();
    for segment in path.split('/') {
        match segment {
            "" | "." => {}
            ".." => drop(kept.pop()),
            segment => kept.push(segment),
        }
    }
    Cow::Owned(format!("/{}", kept.join("/")))
}

/// The last segment as the name that it stands for, with `+` for a blank; `Err` for a percent sign that means nothing.
pub(super) fn last_segment(path: &str) -> Result<String, String> {
    let segment = path.rsplit('/').next().unwrap_or_default();
    let mut rest = segment.as_bytes();
    while let Some(at) = rest.iter().position(|byte| *byte == b'%') {
        let digits = rest.get(at + 1..at + 3).filter(|digits| digits.iter().all(u8::is_ascii_hexdigit));
        if digits.is_none() {
            let end = rest.len().min(at + 3);
            let text = String::from_utf8_lossy(&rest[at..end]).into_owned();
            return Err(format!("invalid URL escape {text:?}\n"));
        }
        rest = &rest[at + 3..];
    }
    let blanks = segment.replace('+', " ");
    Ok(percent_decode_str(&blanks).decode_utf8_lossy().into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_cleaned() {
        for (path, expected) in [
            ("/v1.0/bindings/a", "/v1.0/bindings/a"),
            ("/v1.0/bindings/a/", "/v1.0/bindings/a"),
            ("//v1.0/./bindings//a", "/v1.0/bindings/a"),
            ("/x/../v1.0/bindings/a", "/v1.0/bindings/a"),
            ("/../..", "/"),
        ] {
            assert_eq!(cleaned(path), expected, "{path}");
        }
        assert!(matches!(cleaned("/v1.0/bindings/a"), Cow::Borrowed(_)));
    }

    #[test]
    fn names_are_decoded_as_in_a_query() {
        assert_eq!(last_segment("/v1.0/bindings/my+binding%2B").as_deref(), Ok("my binding+"));
        assert_eq!(last_segment("/v1.0/bindings/%C3%A4").as_deref(), Ok("ä"));
        for bad in ["/a%", "/a%2", "/a%zz"] {
            assert!(last_segment(bad).is_err(), "{bad}");
        }
    }
}
