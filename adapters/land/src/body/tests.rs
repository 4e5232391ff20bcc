//! Bodies as they come: in any pieces, with any escapes, with long texts that are files and long texts that are not.

use base64::engine::general_purpose::STANDARD;
use serde_json::json;

use super::*;

const BOUNDS: BodyBounds = BodyBounds { body_bytes_max: 8 * 1024 * 1024, file_bytes_max: 1024 * 1024 };

async fn take(text: &str, chunk: usize, folder: &Path) -> Result<Body, BodyError> {
    let chunks: Vec<Result<Bytes, std::io::Error>> =
        text.as_bytes().chunks(chunk).map(|chunk| Ok(Bytes::copy_from_slice(chunk))).collect();
    Body::take(futures::stream::iter(chunks), folder, BOUNDS).await
}

fn scan(size: usize) -> Vec<u8> {
    (0..size).map(|at| (at * 31 % 251) as u8).collect()
}

async fn file(body: &mut Body, folder: &Path) -> Result<(Vec<u8>, Aside), String> {
    let value: serde_json::Value = body.read().unwrap();
    let value: TapTin = serde_json::from_value(value["TapTin"].clone()).unwrap();
    let aside = body.file("TapTin", &value, folder, BOUNDS).await.map_err(|fault| fault.to_string())?;
    Ok((std::fs::read(aside.path()).unwrap(), aside))
}

#[tokio::test]
async fn a_long_file_goes_to_the_disk_whatever_the_pieces_and_the_escapes() {
    let folder = tempfile::tempdir().unwrap();
    for size in [0, 1, 2, 3, 9_000, 12_286, 12_287, 12_288, 12_289, 100_001] {
        let bytes = scan(size);
        let plain = STANDARD.encode(&bytes);
        let broken_into_lines = plain.as_bytes().chunks(76).map(|line| std::str::from_utf8(line).unwrap());
        let spellings = [
            plain.clone(),
            plain.trim_end_matches('=').to_owned(),
            plain.replace('/', "\\/").replace('+', "\\u002B"),
            broken_into_lines.collect::<Vec<_>>().join("\\r\\n"),
        ];
        for spelling in spellings {
            let text =
                format!("{{\"a\":\"x\\\"y\",\"TapTin\":{{\"name\":\"a.pdf\",\"data\":\"{spelling}\"}},\"b\":[1]}}");
            for chunk in [1, 7, 4_096, usize::MAX] {
                let mut body = take(&text, chunk.min(text.len()), folder.path()).await.unwrap();
                assert!(body.json().len() < 17 * 1024, "{}", body.json().len());
                assert_eq!(body.read::<serde_json::Value>().unwrap()["a"], "x\"y");
                let (read, aside) = file(&mut body, folder.path()).await.unwrap();
                assert_eq!((read, aside.size, aside.digest), (bytes.clone(), size as u64, Digest::of(&bytes)));
                body.finish().unwrap();
                drop((aside, body));
                assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0, "nothing is left behind");
                if size > 20_000 && chunk == 1 {
                    break;
                }
            }
        }
    }
}

#[tokio::test]
async fn what_is_not_base64_is_told_at_its_field_short_or_long() {
    let folder = tempfile::tempdir().unwrap();
    let long = |middle: &str| format!("{}{middle}{}", "QUJD".repeat(6_000), "QUJD".repeat(6_000));
    let bad = ["Đơn".to_owned(), "A".to_owned(), long("QU=="), long("***"), long("\\u1ea1"), long("A")];
    for data in bad {
        let text = format!("{{\"TapTin\":{{\"name\":\"a.pdf\",\"data\":\"{data}\"}}}}");
        let mut body = take(&text, 1_000, folder.path()).await.unwrap();
        let told = file(&mut body, folder.path()).await.unwrap_err();
        assert_eq!(told, "REQUEST_MALFORMED at TapTin: is not base64");
    }
}

#[tokio::test]
async fn every_bound_has_its_answer() {
    let folder = tempfile::tempdir().unwrap();
    let told = async |text: String| take(&text, 65_536, folder.path()).await.unwrap_err().to_string();
    assert!(told(format!("\"{}\"", "A".repeat(9 * 1024 * 1024))).await.starts_with("ENVELOPE_TOO_LARGE at body"));
    assert!(told(format!("[{}0]", "1,".repeat(2 * 1024 * 1024 + 1))).await.contains("4194304 bytes"));
    assert!(told("{\"a\":\"b".to_owned()).await.contains("ends within a text"));
    let large = json!({ "TapTin": { "name": "a.pdf", "data": STANDARD.encode(scan(1024 * 1024 + 1)) } }).to_string();
    let mut body = take(&large, 65_536, folder.path()).await.unwrap();
    let told = file(&mut body, folder.path()).await.unwrap_err();
    assert_eq!(told, "PART_TOO_LARGE at TapTin: more than 1048576 bytes");
    let text = json!({ "NoiDungXuLy": "A".repeat(20_000) }).to_string();
    let body = take(&text, 65_536, folder.path()).await.unwrap();
    assert!(body.finish().unwrap_err().to_string().contains("where no file stands"));
    let many = json!(vec!["QUJD".repeat(4_100); FILES_MAX + 1]).to_string();
    let mut bounds = BOUNDS;
    bounds.body_bytes_max = 64 * 1024 * 1024;
    let once = futures::stream::iter([Ok::<_, std::io::Error>(Bytes::from(many))]);
    let told = Body::take(once, folder.path(), bounds).await.unwrap_err().to_string();
    assert!(told.starts_with("PARTS_TOO_MANY"), "{told}");
}

#[tokio::test]
async fn a_mark_cannot_be_guessed_and_a_file_cannot_be_taken_twice() {
    let folder = tempfile::tempdir().unwrap();
    let text = json!({ "TapTin": { "name": "a.pdf", "data": STANDARD.encode(scan(50_000)) } }).to_string();
    let mut body = take(&text, 65_536, folder.path()).await.unwrap();
    let first = file(&mut body, folder.path()).await.unwrap();
    assert!(file(&mut body, folder.path()).await.unwrap_err().contains("stands twice"));
    drop(first);
    let forged = json!({ "TapTin": { "name": "a.pdf", "data": "0:0" } }).to_string();
    let mut body = take(&forged, 65_536, folder.path()).await.unwrap();
    assert!(file(&mut body, folder.path()).await.unwrap_err().contains("is not base64"));
}
