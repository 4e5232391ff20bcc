//! Deliveries by filter, page by page, with a bound on how many rows one page looks at.
//!
//! The filter picks the shortest way to candidates that there is (an envelope id, a file code, the indexes of statuses); whatever it does not
//! settle is looked at row by row, newest envelope first. A page that has looked at [`ROWS_LOOKED_AT_MAX`] rows ends there, with the token to
//! go on: it may then hold fewer rows than asked for.

use gateway_model::limits;
use gateway_model::state::DeliveryStatus;
use gateway_store::query::{Page, PageToken, Query};
use gateway_store::rows::DeliverySummary;
use redis::Pipeline;

use crate::answer::{bytes, list};
use crate::failure::Failure;
use crate::keys::{Keys, Place};
use crate::link::{Link, Way};
use crate::read;

/// Rows that one page looks at.
const ROWS_LOOKED_AT_MAX: usize = 50_000;
/// Rows that one question reads.
const ROWS_IN_A_QUESTION: usize = 256;

/// Reads one page.
pub(crate) async fn page(link: &Link, keys: &Keys, query: &Query) -> Result<Page<DeliverySummary>, Failure> {
    let limit = query.limit.clamp(1, limits::PAGE_ROWS_MAX as usize);
    let mut source = Source::of(link, keys, query).await?;
    let mut after = query.after.map(place);
    let (mut rows, mut last_row, mut looked_at) = (Vec::new(), None, 0);
    loop {
        let candidates = source.next(link, keys, after).await?;
        let Some(last) = candidates.last() else { return Ok(Page { rows, next: None }) };
        after = Some(*last);
        looked_at += candidates.len();
        for (place, summary) in candidates.iter().zip(read::summaries(link, keys, &candidates).await?) {
            if !query.fits_delivery(&summary.delivery) || !query.fits_envelope(&summary.envelope) {
                continue;
            }
            if rows.len() == limit {
                return Ok(Page { rows, next: last_row });
            }
            rows.push(summary);
            last_row = Some(token(*place));
        }
        if looked_at >= ROWS_LOOKED_AT_MAX {
            return Ok(Page { rows, next: after.map(token) });
        }
    }
}

/// Where candidates come from: places of deliveries, newest envelope first, the deliveries of one envelope in order.
enum Source {
    /// All of them are known.
    Known(Vec<Place>),
    /// The indexes of these statuses.
    Statuses(Vec<DeliveryStatus>),
}

impl Source {
    async fn of(link: &Link, keys: &Keys, query: &Query) -> Result<Self, Failure> {
        if let Some(id) = query.envelope_id {
            let seqs = read::known(link, keys, id).await?.into_iter().map(|known| known.seq).collect();
            return Self::of_envelopes(link, keys, seqs).await;
        }
        if let Some(file_code) = query.file_code.as_deref().filter(|code| !code.is_empty()) {
            let seqs = read::of_file(link, keys, file_code, ROWS_LOOKED_AT_MAX).await?;
            return Self::of_envelopes(link, keys, seqs).await;
        }
        Ok(Self::Statuses(match query.statuses.is_empty() {
            true => DeliveryStatus::ALL.to_vec(),
            false => query.statuses.clone(),
        }))
    }

    async fn of_envelopes(link: &Link, keys: &Keys, mut seqs: Vec<u64>) -> Result<Self, Failure> {
        seqs.sort_unstable_by_key(|seq| std::cmp::Reverse(*seq));
        let mut places = Vec::new();
        for seq in seqs {
            let count = read::state(link, keys, seq).await?.map_or(0, |state| state.places);
            places.extend((0..count).map(|place| Place { envelope: seq, place }));
        }
        Ok(Self::Known(places))
    }

    /// The next candidates behind a place; none at the end.
    async fn next(&mut self, link: &Link, keys: &Keys, after: Option<Place>) -> Result<Vec<Place>, Failure> {
        match self {
            Self::Known(places) => {
                let behind = places.iter().filter(|place| after.is_none_or(|after| is_behind(**place, after)));
                Ok(behind.take(ROWS_IN_A_QUESTION).copied().collect())
            }
            Self::Statuses(statuses) => of_statuses(link, keys, statuses, after).await,
        }
    }
}

/// The first places behind `after` in several indexes: the first of all are among the first of each.
async fn of_statuses(
    link: &Link,
    keys: &Keys,
    statuses: &[DeliveryStatus],
    after: Option<Place>,
) -> Result<Vec<Place>, Failure> {
    let from = after.map_or_else(|| "-".into(), |place| [b"(", &place.newest_first()[..]].concat());
    let mut questions = Pipeline::new();
    for status in statuses {
        let question = questions.cmd("ZRANGEBYLEX").arg(&keys.status(status.number())[..]);
        question.arg(&from).arg("+").arg("LIMIT").arg(0).arg(ROWS_IN_A_QUESTION);
    }
    let mut places = Vec::new();
    for members in link.ask_all(Way::Read, &questions).await? {
        for member in list(members)? {
            places.push(Place::read_newest_first(&bytes(member)?)?);
        }
    }
    places.sort_unstable_by_key(|place| (std::cmp::Reverse(place.envelope), place.place));
    // A row that moved between two answers may stand in both.
    places.dedup();
    places.truncate(ROWS_IN_A_QUESTION);
    Ok(places)
}

fn is_behind(place: Place, after: Place) -> bool {
    place.envelope < after.envelope || (place.envelope == after.envelope && place.place > after.place)
}

fn place(token: PageToken) -> Place {
    Place { envelope: token.envelope, place: token.place }
}

fn token(place: Place) -> PageToken {
    PageToken { envelope: place.envelope, place: place.place }
}
