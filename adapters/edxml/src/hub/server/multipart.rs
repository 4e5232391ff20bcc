//! Finds the one file in a multipart body; everything else of it is passed over.

/// The file's bytes, `None` when the body is no multipart with a file.
pub(super) fn file<'a>(content_type: &str, body: &'a [u8]) -> Option<&'a [u8]> {
    let boundary = content_type.split(';').skip(1).find_map(|parameter| {
        let (name, value) = parameter.trim().split_once('=')?;
        name.eq_ignore_ascii_case("boundary").then(|| value.trim_matches('"'))
    })?;
    if boundary.is_empty() || boundary.len() > 70 {
        return None;
    }
    let delimiter = format!("\r\n--{boundary}");
    let first = delimiter.as_bytes().get(2..)?;
    let mut rest = body.get(find(body, first)? + first.len()..)?;
    // A form has a handful of fields.
    for _ in 0..16 {
        let after = rest.strip_prefix(b"\r\n")?;
        let head_end = find(after.get(..after.len().min(8 * 1024))?, b"\r\n\r\n")?;
        let (head, content) = (after.get(..head_end)?, after.get(head_end + 4..)?);
        let end = find(content, delimiter.as_bytes())?;
        let head = String::from_utf8_lossy(head).to_ascii_lowercase();
        if head.contains("filename") || head.contains("octet-stream") {
            return content.get(..end);
        }
        rest = content.get(end + delimiter.len()..)?;
    }
    None
}

fn find(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    let first = *needle.first()?;
    let mut from = 0;
    while let Some(at) = haystack.get(from..)?.iter().position(|&byte| byte == first) {
        if haystack.get(from + at..)?.starts_with(needle) {
            return Some(from + at);
        }
        from += at + 1;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_is_found_among_the_fields() {
        let body = b"--xyz\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\n1\r\n--xyz\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a.edxml\"\r\n\r\n<a>\r\n</a>\r\n--xyz--\r\n";
        assert_eq!(file("multipart/form-data; boundary=\"xyz\"", body), Some(b"<a>\r\n</a>".as_slice()));
        for (content_type, body) in [
            ("multipart/form-data", body.as_slice()),
            ("multipart/form-data; boundary=other", body),
            ("multipart/form-data; boundary=xyz", b"--xyz--"),
            ("multipart/form-data; boundary=xyz", b""),
            ("multipart/form-data; boundary=xyz", b"--xyz\r\n\r\n"),
        ] {
            assert_eq!(file(content_type, body), None, "{content_type}");
        }
    }
}
