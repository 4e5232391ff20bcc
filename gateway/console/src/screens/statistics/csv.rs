//! Statistics for a spreadsheet: RFC 4180 in UTF-8 with a byte order mark, since spreadsheets look for one.

use gateway_model::language::Language;
use proto::v1;

use super::NUMBERS;
use crate::words::statistics as w;

/// Header, rows, total.
pub(super) fn written(counted: &v1::GetStatisticsResponse, l: Language) -> String {
    let mut text = String::from("\u{feff}");
    let names = NUMBERS.iter().map(|(word, _)| word.of(l).to_owned());
    line(&mut text, [w::KEY.of(l).to_owned(), w::NAME.of(l).to_owned()].into_iter().chain(names));
    for row in counted.rows.iter().chain(counted.total.as_ref()) {
        let is_total = counted.total.as_ref().is_some_and(|total| std::ptr::eq(total, row));
        let name = if is_total { w::TOTAL.of(l).to_owned() } else { row.name.clone() };
        let numbers = NUMBERS.iter().map(|(_, count)| count(row).to_string());
        line(&mut text, [row.key.clone(), name].into_iter().chain(numbers));
    }
    text
}

fn line(text: &mut String, cells: impl Iterator<Item = String>) {
    let cells: Vec<String> = cells.map(|cell| quoted(&cell)).collect();
    text.push_str(&cells.join(","));
    text.push_str("\r\n");
}

/// A cell. What a spreadsheet would take for a formula gets an apostrophe in front.
fn quoted(cell: &str) -> String {
    let formula = cell.starts_with(['=', '+', '-', '@', '\t', '\r']);
    let cell = if formula { format!("'{cell}") } else { cell.to_owned() };
    if cell.contains([',', '"', '\r', '\n']) { format!("\"{}\"", cell.replace('"', "\"\"")) } else { cell }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_are_quoted_and_no_cell_is_a_formula() {
        let row = v1::StatisticsRow {
            key: "h16.1".to_owned(),
            name: "=HYPERLINK(\"x\"), Sở".to_owned(),
            received: 8_257,
            early: 5_638,
            on_time: 2_371,
            ..Default::default()
        };
        let total = v1::StatisticsRow { received: 8_257, ..Default::default() };
        let counted = v1::GetStatisticsResponse { rows: vec![row], total: Some(total), as_of: None };
        let text = written(&counted, Language::Vi);
        let lines: Vec<&str> = text.trim_start_matches('\u{feff}').split("\r\n").collect();
        assert_eq!(
            lines[0],
            "Mã,Tên,Tiếp nhận,Trước hạn,Đúng hạn,Trễ hạn,Đang giải quyết,\"Đang giải quyết, trễ hạn\",\"Đã trả, không rõ hạn\""
        );
        assert_eq!(lines[1], "h16.1,\"'=HYPERLINK(\"\"x\"\"), Sở\",8257,5638,2371,0,0,0,0");
        assert_eq!(lines[2], ",Tổng,8257,0,0,0,0,0,0");
    }
}
