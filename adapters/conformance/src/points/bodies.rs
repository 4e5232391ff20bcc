//! Parts of every size and number, names in both Unicode forms, and a part that arrives damaged.

use gateway_model::limits;

use crate::gateway::stage::{Call, Standing, State};
use crate::parcel::{Body, Letter};
use crate::rig::{Finding, Rig};

/// Every kind of payload, one after the other.
pub async fn payloads(rig: &mut Rig) -> Result<(), Finding> {
    rig.start_working().await?;
    let one = |name: &str, size| vec![(name.to_owned(), Body::random(size))];
    let many = (0..limits::PARTS_MAX).map(|number| (format!("trang {number}.txt"), Body::random(100 + number as u64)));
    let kinds = [
        ("no part", Vec::new()),
        ("a part of 0 bytes", one("rỗng.txt", 0)),
        ("a part of 1 MB", one("bản đồ.pdf", 1024 * 1024)),
        ("a part of the maximum size", one("bản vẽ.pdf", rig.manifest.part_bytes_max)),
        ("256 parts", many.collect()),
        ("names in NFC and in NFD", both_forms()),
    ];
    for (kind, parts) in kinds {
        let within = |finding: Finding| Finding(format!("{kind}: {}", finding.0));
        deliver(rig, Letter::with_parts(parts)).await.map_err(within)?;
    }
    damaged(rig).await
}

/// The same name twice, as Unicode composes it and as it decomposes it; two parts, two bodies.
fn both_forms() -> Vec<(String, Body)> {
    let names = ["hồ sơ.pdf", "ho\u{302}\u{300} so\u{31b}.pdf"];
    names.into_iter().map(|name| (name.to_owned(), Body::random(5_000))).collect()
}

async fn deliver(rig: &Rig, letter: Letter) -> Result<(), Finding> {
    let wanted: Vec<Body> = letter.parts.iter().map(|(_, body)| body.clone()).collect();
    let id = rig.queue(letter)?;
    rig.wait_delivered(&id).await?;
    rig.expect_one_effect(&id).await?;
    let Some(found) = rig.effects.digests(&id) else { return Ok(()) };
    let missing = wanted.iter().filter(|body| !found.contains(&body.digest)).count();
    if missing > 0 {
        return Err(rig.finding(&format!("{missing} of {} parts are not in its effect, byte for byte", wanted.len())));
    }
    Ok(())
}

/// A part whose bytes are not those of its digest is refused for now, and taken when they are.
async fn damaged(rig: &Rig) -> Result<(), Finding> {
    let parcel = Letter::plain("Tệp hỏng trên đường").seal(&rig.identity, rig.manifest.content)?;
    let id = parcel.id.clone();
    rig.stage.change(|state| {
        state.damaged.insert(id.clone());
        state.queue(parcel);
    });
    let answered = |state: &mut State| match state.standing(&id) {
        Some(Standing::Delivered) => Some(false),
        Some(Standing::Refused | Standing::Later) => Some(true),
        _ => None,
    };
    let reads = |state: &crate::gateway::stage::State| {
        state.calls.iter().any(|call| matches!(call, Call::Download { id: of } if *of == id))
    };
    let failed = rig.wait("answer for a delivery whose part arrived damaged", answered).await?;
    if !rig.stage.see(reads) {
        // It takes no parts: there is nothing to be damaged.
        return Ok(());
    }
    if !failed {
        return Err(rig.finding("a part arrived with bytes that are not those of its digest, and it said Complete"));
    }
    if rig.stage.see(|state| state.standing(&id) == Some(&Standing::Refused)) {
        return Err(rig.finding("a part arrived damaged, and it failed the delivery for good; the next try would do"));
    }
    rig.expect_no_effect(&id, "a part arrived damaged").await?;
    rig.stage.change(|state| {
        state.damaged.clear();
        state.again(&id);
    });
    rig.wait_delivered(&id).await?;
    rig.expect_one_effect(&id).await
}
