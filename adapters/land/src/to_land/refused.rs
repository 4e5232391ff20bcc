//! Tells the sender of what was not taken: without that a desk waits for a file that nobody works on.
//!
//! A file that was not taken is told as its end, anything later about a file as a hand-over with the state `TU_CHOI`; both with the words of
//! the land system. The news has one id for each envelope, so that it is told once however often the refusal is repeated.

use std::time::Duration;

use adapters_sdk::Delivery;
use adapters_sdk::seal::describe::Content;
use gateway_model::Refusal;

use super::ToLand;
use super::deliver::{self, is_new_file};
use super::news::News;
use crate::event::{self, REFUSED, plain};
use crate::journal::Stage;
use crate::vocabulary::{Callback, ChuyenHoSo, KetThucHoSo, Moment, check_file_code};

/// The door is open but for moments at the start and at the end.
const DOOR_TIME_MAX: Duration = Duration::from_secs(5);

/// Hands the news in; durable when this returns. An envelope that names no file has nobody who waits for it.
///
/// # Errors
/// Why it cannot be told now.
pub(super) async fn tell(side: &ToLand, delivery: &Delivery, words: &str) -> Result<(), String> {
    let state = &side.state;
    let Some(file_code) = delivery.envelope.case.as_ref().map(|case| case.file_code.as_str()) else { return Ok(()) };
    if check_file_code(file_code).is_err() {
        return Ok(());
    }
    let mut opened = state.door.subscribe();
    let door = match tokio::time::timeout(DOOR_TIME_MAX, opened.wait_for(Option::is_some)).await {
        Ok(Ok(door)) => door.clone(),
        Ok(Err(_)) | Err(_) => None,
    };
    let Some(door) = door else {
        return Err("the sender cannot be told of the refusal: the gateway's door is closed".to_owned());
    };
    let (now, case) = (door.now(), deliver::case(file_code, delivery, Stage::Refused));
    let words = plain(words);
    let callback = callback(file_code, &words, is_new_file(delivery), Moment::of(now));
    let content = Content::Status { code: REFUSED.to_owned(), description: words, at: now };
    let id = event::envelope_id(file_code, REFUSED, &serde_json::json!({ "envelope": case.envelope }));
    let news = News {
        case: &case,
        callback,
        step: event::REFUSED_STEP,
        content,
        files: Vec::new(),
        parts: Vec::new(),
        asides: Vec::new(),
    };
    let parcel = news.parcel(state, id, now);
    let _turn = state.turns.take(file_code).await;
    match state.hand_in(door.as_ref(), id, async { Ok(parcel) }).await.map_err(Refusal::from) {
        Ok(_) => Ok(()),
        Err(refusal) if refusal.reason.is_retryable() => {
            Err(format!("the sender cannot be told of the refusal now: {}", refusal.reason))
        }
        Err(refusal) => {
            // The gateway tells the sender by its receipt all the same; waiting would not make this better.
            tracing::error!(reason = %refusal.reason, "the sender of a refused file cannot be told");
            Ok(())
        }
    }
}

fn callback(file_code: &str, words: &str, is_new_file: bool, at: Option<Moment>) -> Callback {
    let (so_bien_nhan, words) = (file_code.to_owned(), words.to_owned());
    match is_new_file {
        true => Callback::KetThucHoSo(KetThucHoSo {
            so_bien_nhan,
            ngay_ket_thuc: at,
            trang_thai_ket_thuc: 1,
            ghi_chu: words,
            ..KetThucHoSo::default()
        }),
        false => Callback::ChuyenHoSo(ChuyenHoSo {
            so_bien_nhan,
            ma_trang_thai: REFUSED.to_owned(),
            noi_dung_xu_ly: words,
            ngay_chuyen: at,
            ..ChuyenHoSo::default()
        }),
    }
}
