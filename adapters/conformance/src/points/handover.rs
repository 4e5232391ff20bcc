//! The happy path, both ways.

use std::time::Duration;

use gateway_model::Digest;
use prost::Message as _;
use proto::v1;

use crate::gateway::stage::{Call, State};
use crate::manifest::Inbound;
use crate::parcel::{Body, Letter, file_code};
use crate::rig::{Finding, Rig};

/// One delivery, one effect; Complete not before it.
pub async fn deliver(rig: &mut Rig) -> Result<(), Finding> {
    rig.start_working().await?;
    let part = ("đơn đăng ký.pdf".to_owned(), Body::random(20_000));
    let id = rig.queue(Letter::with_parts(vec![part]))?;
    rig.wait_delivered(&id).await?;
    let early = rig.stage.see(|state| state.effects_at_complete.iter().any(|(done, count)| *done == id && *count == 0));
    if early {
        return Err(rig.finding("it said Complete before the system had it: a crash then would lose the delivery"));
    }
    rig.expect_one_effect(&id).await?;
    let long = rig.stage.see(|state| {
        state.calls.iter().any(|call| matches!(call, Call::Complete { reference, .. } if reference.len() > 128))
    });
    if long {
        return Err(rig.finding("the reference of Complete is longer than 128 bytes"));
    }
    Ok(())
}

/// As `deliver`, while the gateway's answers have fields that are not known yet.
pub async fn unknown_fields(rig: &mut Rig) -> Result<(), Finding> {
    rig.start_working().await?;
    let id = rig.queue(Letter::plain("Từ trục liên thông mới hơn"))?;
    rig.wait_delivered(&id).await?;
    rig.expect_one_effect(&id).await
}

/// What the system gives is submitted once, even when the first answer is lost.
pub async fn submit(rig: &mut Rig) -> Result<(), Finding> {
    rig.start_working().await?;
    if matches!(rig.manifest.inbound, Inbound::Http { after_delivery: true, .. }) {
        let id = rig.queue(Letter::plain("Gói tin được trả lời"))?;
        rig.wait_delivered(&id).await?;
        rig.set("file_code", file_code(&id));
    }
    rig.stage.change(|state| state.answers_to_lose = 1);
    let answer = give(rig).await?;
    let twice = |state: &mut State| {
        let submitted = submissions(state);
        (submitted.len() >= 2).then_some(submitted)
    };
    let submitted = rig.wait("call Submit again after the answer was lost", twice).await?;
    if let Some(answer) = answer {
        // The adapter's own answer to its system; what it is, is theirs.
        answer.abort();
    }
    let digests: Vec<Digest> = submitted.iter().map(|one| Digest::of(&one.envelope)).collect();
    if digests.windows(2).any(|pair| matches!(pair, [first, second] if first != second)) {
        return Err(rig.finding("it sealed a new envelope after the answer was lost: the gateway would keep two"));
    }
    let Some(signed) = submitted.into_iter().next() else { return Err(rig.finding("nothing was submitted")) };
    v1::Envelope::decode(signed.envelope.clone())
        .map_err(|cause| rig.finding(&format!("what it submitted is no envelope: {cause}")))?;
    if signed.signatures.is_empty() {
        return Err(rig.finding("what it submitted has no signature"));
    }
    for signature in &signed.signatures {
        rig.identity
            .check_seal(&signed.envelope, &signature.cms)
            .map_err(|refusal| rig.finding(&format!("a gateway would refuse its signature: {refusal}")))?;
    }
    Ok(())
}

fn submissions(state: &State) -> Vec<v1::SignedEnvelope> {
    let of = |call: &Call| match call {
        Call::Submit(request) => request.envelope.clone(),
        _ => None,
    };
    state.calls.iter().filter_map(of).collect()
}

/// Gives the adapter something to submit, as its system does.
async fn give(rig: &Rig) -> Result<Option<tokio::task::JoinHandle<()>>, Finding> {
    match &rig.manifest.inbound {
        Inbound::None => {
            Err(Finding("say in [inbound] how something comes in, or skip the point with a reason".to_owned()))
        }
        Inbound::Folder { path, name, content } => {
            let folder = rig.manifest.here.join(rig.fill(path));
            let target = folder.join(rig.fill(name));
            // As careful systems do it: a name that nobody takes, then the right one.
            let early = folder.join(".incoming");
            let written = std::fs::create_dir_all(&folder)
                .and_then(|()| std::fs::write(&early, rig.fill(content)))
                .and_then(|()| std::fs::rename(&early, &target));
            written.map_err(|source| crate::Trouble::File { path: target, source })?;
            Ok(None)
        }
        Inbound::Http { url, media_type, headers, body, after_delivery: _ } => {
            let (url, body) = (rig.fill(url), rig.fill(body));
            let mut headers: Vec<_> = headers.iter().map(|(name, value)| (name.clone(), rig.fill(value))).collect();
            headers.push(("Content-Type".to_owned(), media_type.clone()));
            let patience = rig.manifest.patience();
            Ok(Some(tokio::spawn(async move {
                let deadline = tokio::time::Instant::now() + patience;
                // The adapter may open its door a moment after it has registered; a refused answer is asked again, as systems do.
                while !matches!(crate::post::post(&url, &headers, &body).await, Ok(status) if status < 300)
                    && tokio::time::Instant::now() < deadline
                {
                    tokio::time::sleep(Duration::from_millis(200)).await;
                }
            })))
        }
    }
}
