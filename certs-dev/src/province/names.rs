//! Invented Vietnamese names, in NFC; no such province, district or commune exists.

/// The province's own name.
pub(super) const PROVINCE: &str = "Thanh Lĩnh";

/// Districts: label of the level and name.
const DISTRICTS: [(&str, &str); 3] = [("huyện", "Nậm Khoang"), ("huyện", "Sơn Trạch"), ("thị xã", "Hạ Kiều")];

/// Communes of each district.
const COMMUNES: [[(&str, &str); 3]; 3] = [
    [("xã", "Bản Lềnh"), ("xã", "Nà Sáng"), ("xã", "Pú Vân")],
    [("xã", "Khe Thắm"), ("xã", "Đồng Vải"), ("xã", "Suối Lụa")],
    [("phường", "Cầu Mây"), ("phường", "Đông Thụy"), ("xã", "Tân Lũng")],
];

const FIRST_WORDS: [&str; 10] = ["Bản", "Nà", "Khe", "Suối", "Đồng", "Tân", "Mường", "Thượng", "Hạ", "Phú"];
const SECOND_WORDS: [&str; 10] = ["Lềnh", "Thắm", "Vải", "Lụa", "Ngọc", "Sáng", "Quế", "Trầm", "Hạnh", "Ươm"];

/// Departments of the province: number in the codes, name, name in English.
pub(super) const DEPARTMENTS: [(u8, &str, &str); 4] = [
    (5, "Sở Tài chính", "Department of Finance"),
    (9, "Sở Nội vụ", "Department of Home Affairs"),
    (12, "Sở Nông nghiệp và Môi trường", "Department of Agriculture and Environment"),
    (14, "Sở Tư pháp", "Department of Justice"),
];

/// Persons who sign: family, middle and given names.
const FAMILY: [&str; 8] = ["Nguyễn", "Trần", "Lò", "Vàng", "Lê", "Hoàng", "Quàng", "Đặng"];
const GIVEN: [&str; 8] =
    ["Văn An", "Thị Bình", "Văn Cường", "Thị Dung", "Đức Hải", "Thị Hường", "Minh Khuê", "Thị Ước"];

/// Level label and name of a district.
pub(super) fn district(number: usize) -> (&'static str, String) {
    match DISTRICTS.get(number) {
        Some(&(level, name)) => (level, name.to_owned()),
        None => ("huyện", format!("{} {}", coined(number), number + 1)),
    }
}

/// Level label and name of a commune of a district.
pub(super) fn commune(district: usize, number: usize) -> (&'static str, String) {
    match COMMUNES.get(district).and_then(|communes| communes.get(number)) {
        Some(&(level, name)) => (level, name.to_owned()),
        None => ("xã", format!("{} {}", coined(district * 7 + number), number + 1)),
    }
}

/// A person's name.
pub(super) fn person(number: usize) -> String {
    format!("{} {}", FAMILY[number % FAMILY.len()], GIVEN[(number / FAMILY.len() + number) % GIVEN.len()])
}

fn coined(number: usize) -> String {
    format!(
        "{} {}",
        FIRST_WORDS[number % FIRST_WORDS.len()],
        SECOND_WORDS[(number / FIRST_WORDS.len()) % SECOND_WORDS.len()]
    )
}
