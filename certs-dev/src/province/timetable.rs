//! When people of the invented province work, and how long its procedures may take: invented, but of the form that is announced each year.

use serde::Serialize;

/// A version of a calendar, as the source of the directory writes it.
#[derive(Serialize, Clone, PartialEq, Eq, Debug)]
pub struct CalendarPlan {
    /// What its versions share.
    pub id: String,
    /// Rises with every change.
    pub version: u32,
    /// First day of the version; `None` means always.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub valid_from: Option<String>,
    /// Agencies that it holds for; empty means everybody.
    pub agencies: Vec<String>,
    /// Office hours, such as `07:30-11:30`.
    pub hours: Vec<String>,
    /// Days on which nobody works.
    pub days_off: Vec<String>,
    /// Weekend days on which people work instead.
    pub make_up_days: Vec<String>,
}

/// A version of a procedure, as the source of the directory writes it.
#[derive(Serialize, Clone, PartialEq, Eq, Debug)]
pub struct ProcedurePlan {
    /// Code of the catalogue.
    pub code: String,
    /// Its version.
    pub version: String,
    /// First day of the version; `None` means always.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub valid_from: Option<String>,
    /// Name in Vietnamese.
    pub name: String,
    /// How long the whole may take.
    pub limit_days: u32,
    /// Whether these are days of the calendar.
    pub calendar_days: bool,
    /// Its steps, in order.
    pub step: Vec<StepPlan>,
}

/// A step of a procedure.
#[derive(Serialize, Clone, PartialEq, Eq, Debug)]
pub struct StepPlan {
    /// The name by which envelopes call it.
    pub step: String,
    /// Name in Vietnamese.
    pub name: String,
    /// Hours that it may take, eight a working day.
    pub limit_working_hours: u32,
}

/// Two years for the whole province, and what is known of the third; Tết, the days of April and May, and National Day with a Saturday made up for.
pub(super) fn calendars() -> Vec<CalendarPlan> {
    let calendar = |version, valid_from: Option<&str>, days_off: &[&str], make_up_days: &[&str]| CalendarPlan {
        id: "lich-h99".to_owned(),
        version,
        valid_from: valid_from.map(str::to_owned),
        agencies: vec!["h99".to_owned()],
        hours: texts(&["07:30-11:30", "13:30-17:00"]),
        days_off: texts(days_off),
        make_up_days: texts(make_up_days),
    };
    let first = [
        "2025-01-01",
        "2025-01-27",
        "2025-01-28",
        "2025-01-29",
        "2025-01-30",
        "2025-01-31",
        "2025-04-07",
        "2025-04-30",
        "2025-05-01",
        "2025-05-02",
        "2025-09-01",
        "2025-09-02",
        "2026-01-01",
    ];
    let second = [
        "2026-01-01",
        "2026-02-16",
        "2026-02-17",
        "2026-02-18",
        "2026-02-19",
        "2026-02-20",
        "2026-04-27",
        "2026-04-30",
        "2026-05-01",
        "2026-08-31",
        "2026-09-01",
        "2026-09-02",
        "2027-01-01",
        "2027-02-05",
        "2027-02-08",
        "2027-02-09",
        "2027-02-10",
        "2027-02-11",
    ];
    vec![calendar(1, None, &first, &["2025-04-26"]), calendar(2, Some("2025-12-01"), &second, &["2026-08-22"])]
}

/// A land procedure in two versions, whose steps are those of the land adapter and of the demo, and others beside it.
pub(super) fn procedures() -> Vec<ProcedurePlan> {
    let reissue = |version: &str, valid_from: Option<&str>, limit_days, hours: [u32; 3]| ProcedurePlan {
        valid_from: valid_from.map(str::to_owned),
        step: vec![
            step("mot-cua", "Tiếp nhận tại bộ phận một cửa", hours[0]),
            step("tiep-nhan", "Giải quyết tại Văn phòng đăng ký đất đai", hours[1]),
            step("Thẩm định", "Thẩm định hồ sơ", hours[1]),
            step("thue", "Xác định nghĩa vụ tài chính", hours[2]),
        ],
        ..procedure(
            "1.012783",
            version,
            "Cấp lại Giấy chứng nhận quyền sử dụng đất, quyền sở hữu tài sản gắn liền với đất",
            limit_days,
        )
    };
    vec![
        reissue("12/QĐ-UBND", None, 10, [8, 48, 24]),
        reissue("345/QĐ-UBND", Some("2025-07-01"), 5, [4, 24, 12]),
        procedure("9.990001", "345/QĐ-UBND", "Đăng ký đất đai, tài sản gắn liền với đất lần đầu", 17),
        procedure("9.990002", "345/QĐ-UBND", "Cấp bản sao trích lục hộ tịch", 1),
        ProcedurePlan {
            calendar_days: true,
            ..procedure("9.990003", "345/QĐ-UBND", "Giải quyết khiếu nại lần đầu", 30)
        },
    ]
}

fn procedure(code: &str, version: &str, name: &str, limit_days: u32) -> ProcedurePlan {
    ProcedurePlan {
        code: code.to_owned(),
        version: version.to_owned(),
        valid_from: None,
        name: name.to_owned(),
        limit_days,
        calendar_days: false,
        step: Vec::new(),
    }
}

fn step(step: &str, name: &str, limit_working_hours: u32) -> StepPlan {
    StepPlan { step: step.to_owned(), name: name.to_owned(), limit_working_hours }
}

fn texts(items: &[&str]) -> Vec<String> {
    items.iter().map(|&item| item.to_owned()).collect()
}
