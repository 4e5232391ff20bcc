//! The one table of business codes that stop, start or end a file's clock. Everything else is kept raw and means nothing here.
//!
//! | code or step | list | what it does | why |
//! |---|---|---|---|
//! | `TAM_DUNG` | land systems' callbacks | stops the clock | `YeuCauBoSungHoSo` with `LaTamDung`; without it (`YEU_CAU_BO_SUNG`) the clock goes on |
//! | `TIEP_TUC`, `DA_BO_SUNG`, step `bo-sung` | land | the clock goes on, often with a new day | `NhanBoSungHoSo`, `capnhattrangthaibosunghoso` with `NgayHenTraMoi` |
//! | `HOAN_THANH`, `TRA_LAI` | land | ends | `KetThucHoSo`: done, or returned undone |
//! | `DA_TRA_KET_QUA`, step `tra-ket-qua` | land | ends | `capnhattrangthaitraketquahoso` |
//! | `5`, `6` | national portal | stops the clock | supplement asked; payment asked: waiting for the citizen |
//! | `4` | national portal | the clock goes on, if it stood still | in process |
//! | `9`, `10` | national portal | ends | finished; result returned |
//! | `3`, `7`, `8` | national portal | ends | not accepted; withdrawn; stopped |
//! | `06` | edXML | ends, when a holder of the file says it | finished: of one document with one receiver, so nobody else's word ends a file |
//! | `02` | edXML | the file goes back to who gave it | refused by the receiver's staff |
//!
//! The step `chuyen-ho-so` brings a land system's own list of states, where `5` may be anything: nothing is read out of it. Vendors remap the
//! portal's numbers as well; the raw code is always shown beside what it did.

/// What a business code does to a file.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Meaning {
    /// The clock stops.
    Stops,
    /// The clock goes on.
    GoesOn,
    /// The file is in process: the clock goes on, if it stood still.
    InProcess,
    /// The file has ended.
    Ends,
    /// The file has ended, when a holder of it says so.
    EndsForHolder,
    /// The receiver does not take it.
    NotTaken,
    /// Nothing: it is shown, not interpreted.
    Nothing,
}

/// Steps whose codes are a list of one system's own.
const RAW_STEPS: [&str; 1] = ["chuyen-ho-so"];
/// Steps that say by themselves what an envelope does.
const STEPS: [(&str, Meaning); 2] = [("bo-sung", Meaning::GoesOn), ("tra-ket-qua", Meaning::Ends)];
/// Codes, whatever the step.
const CODES: [(&str, Meaning); 15] = [
    ("TAM_DUNG", Meaning::Stops),
    ("TIEP_TUC", Meaning::GoesOn),
    ("DA_BO_SUNG", Meaning::GoesOn),
    ("HOAN_THANH", Meaning::Ends),
    ("TRA_LAI", Meaning::Ends),
    ("DA_TRA_KET_QUA", Meaning::Ends),
    ("3", Meaning::Ends),
    ("4", Meaning::InProcess),
    ("5", Meaning::Stops),
    ("6", Meaning::Stops),
    ("7", Meaning::Ends),
    ("8", Meaning::Ends),
    ("9", Meaning::Ends),
    ("10", Meaning::Ends),
    ("06", Meaning::EndsForHolder),
];
/// edXML: refused by the receiver.
const NOT_TAKEN: &str = "02";

impl Meaning {
    /// What `code`, said with the step `step` of a case, does.
    pub fn of(step: &str, code: &str) -> Self {
        if RAW_STEPS.contains(&step) {
            return Self::Nothing;
        }
        if code == NOT_TAKEN {
            return Self::NotTaken;
        }
        let named = |table: &[(&str, Self)], name: &str| table.iter().find(|row| row.0 == name).map(|row| row.1);
        named(&STEPS, step).or_else(|| named(&CODES, code)).unwrap_or(Self::Nothing)
    }

    /// Whether a Dossier with such a state hands the file over. One that tells of a supplement, of a result or of an end does not.
    pub fn hands_over(self) -> bool {
        match self {
            Self::InProcess | Self::Nothing => true,
            Self::Stops | Self::GoesOn | Self::Ends | Self::EndsForHolder | Self::NotTaken => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_of_the_three_lists_are_told_apart_by_their_spelling_and_their_step() {
        let check = |step: &str, code: &str, expected| assert_eq!(Meaning::of(step, code), expected, "{step} {code}");
        check("yeu-cau-bo-sung", "TAM_DUNG", Meaning::Stops);
        check("yeu-cau-bo-sung", "YEU_CAU_BO_SUNG", Meaning::Nothing);
        check("nhan-bo-sung", "TIEP_TUC", Meaning::GoesOn);
        check("bo-sung", "", Meaning::GoesOn);
        check("ket-thuc", "TRA_LAI", Meaning::Ends);
        check("", "5", Meaning::Stops);
        check("", "05", Meaning::Nothing);
        check("", "6", Meaning::Stops);
        check("", "06", Meaning::EndsForHolder);
        check("chuyen-ho-so", "5", Meaning::Nothing);
        check("chuyen-ho-so", "06", Meaning::Nothing);
        check("Thẩm định", "4", Meaning::InProcess);
        check("", "11", Meaning::Nothing);
    }
}
