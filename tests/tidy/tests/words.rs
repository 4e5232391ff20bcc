//! One word for one thing, in Vietnamese too: gateway = trục liên thông, adapter = bộ kết nối, certificate = chứng thư số.

use tests_tidy::{Source, settle, source, sources};

/// Words that would be a second name, and the one that stands.
const BANNED: &[(&str, &str)] = &[
    ("thiết bị cổng", "trục liên thông"),
    ("cổng liên thông", "trục liên thông"),
    ("cổng kết nối", "trục liên thông"),
    ("bộ nối", "bộ kết nối"),
    ("bộ chuyển đổi", "bộ kết nối"),
    ("bộ điều hợp", "bộ kết nối"),
    ("chứng chỉ", "chứng thư số"),
    ("giấy chứng thực số", "chứng thư số"),
];

#[test]
fn vietnamese_texts_have_one_word_for_one_thing() {
    let mut spoken = sources(".md");
    spoken.retain(|source| source.path.starts_with("gateway/model/refusals/"));
    spoken.extend(source("gateway/server/src/config/default.toml"));
    spoken.extend(sources(".rs").into_iter().filter(|source| source.path.starts_with("gateway/cli/src/")));
    assert!(spoken.len() > 100, "{} files: the walk looks in the wrong place", spoken.len());
    let complaints: Vec<String> = spoken.iter().flat_map(second_names).collect();
    settle(&complaints, "use the word that stands everywhere else");
}

#[test]
fn a_second_name_is_found_and_the_right_one_is_not() {
    let text = |text: &str| Source { path: "x.md".to_owned(), text: text.to_owned() };
    assert_eq!(second_names(&text("Thiết bị cổng dừng.")), ["x.md:1: thiết bị cổng, for trục liên thông"]);
    assert_eq!(second_names(&text("một chứng thư của")), ["x.md:1: chứng thư without số"]);
    assert_eq!(second_names(&text("Trục liên thông, bộ kết nối, Chứng thư số; cổng gRPC")), Vec::<String>::new());
}

fn second_names(source: &Source) -> Vec<String> {
    let mut found = Vec::new();
    for (number, line) in source.lines() {
        let line = line.to_lowercase();
        let banned = BANNED.iter().filter(|(word, _)| line.contains(word));
        found.extend(banned.map(|(word, right)| format!("{}:{number}: {word}, for {right}", source.path)));
        if line.match_indices("chứng thư").any(|(at, word)| !line[at + word.len()..].starts_with(" số")) {
            found.push(format!("{}:{number}: chứng thư without số", source.path));
        }
    }
    found
}
