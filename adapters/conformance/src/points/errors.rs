//! What goes wrong at the system behind the adapter, and what may be told of it.

use std::time::Duration;

use proto::v1;

use crate::gateway::stage::{Call, Standing, State};
use crate::parcel::{Body, Letter};
use crate::rig::{Configured, Finding, Rig};

/// How long a process with a bad configuration is listened to.
const ENDING: Duration = Duration::from_secs(5);

/// Refused for good: failed for good, no effect.
pub async fn permanent(rig: &mut Rig) -> Result<(), Finding> {
    rig.start_working().await?;
    let letter = rig.refusing(true, Letter::plain("Hệ thống không nhận")).await?;
    let id = rig.queue(letter)?;
    let failed = wait_failed(rig, &id).await?;
    check_words(rig, &failed)?;
    if failed.retryable {
        return Err(rig.finding("what the system refuses for good was failed as retryable: it would be tried for ever"));
    }
    rig.expect_no_effect(&id, "the delivery was refused").await?;
    rig.refusing(false, Letter::plain("")).await?;
    let id = rig.queue(Letter::plain("Gói tin sau đó"))?;
    rig.wait_delivered(&id).await?;
    rig.expect_one_effect(&id).await
}

/// Failed for now: no effect, and taken later.
pub async fn retryable(rig: &mut Rig) -> Result<(), Finding> {
    rig.start_working().await?;
    rig.busy(true).await?;
    let id = rig.queue(Letter::plain("Hệ thống đang bận"))?;
    let failed = wait_failed(rig, &id).await?;
    check_words(rig, &failed)?;
    if !failed.retryable {
        return Err(
            rig.finding("what the system cannot take now was failed for good: the sender would be told REFUSED")
        );
    }
    rig.busy(false).await?;
    rig.expect_no_effect(&id, "the delivery was failed").await?;
    rig.stage.change(|state| state.again(&id));
    rig.wait_delivered(&id).await?;
    rig.expect_one_effect(&id).await
}

async fn wait_failed(rig: &Rig, id: &str) -> Result<v1::FailRequest, Finding> {
    let failed = |state: &mut State| {
        if state.standing(id) == Some(&Standing::Delivered) {
            return Some(None);
        }
        state.calls.iter().find_map(|call| match call {
            Call::Fail { request, current: true } if request.lease.as_ref()?.delivery_id == id => {
                Some(Some(request.as_ref().clone()))
            }
            _ => None,
        })
    };
    let failed = rig.wait("call Fail", failed).await?;
    failed.ok_or_else(|| rig.finding("it said Complete for what the system did not take: the delivery is lost"))
}

fn check_words(rig: &Rig, failed: &v1::FailRequest) -> Result<(), Finding> {
    let stable = |byte: u8| byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b'_';
    let code = &failed.code;
    if code.is_empty() || code.len() > 64 || !code.bytes().all(stable) {
        return Err(rig.finding(&format!("the code of Fail is {code:?}; [A-Z0-9_], 1 to 64 bytes, is wanted")));
    }
    if failed.detail.len() > 512 {
        return Err(rig.finding("the detail of Fail is longer than 512 bytes"));
    }
    Ok(())
}

/// Nothing that is secret, and nothing that was carried, is told: when it goes well, when it fails, when the configuration is bad.
pub async fn secrets(rig: &mut Rig) -> Result<(), Finding> {
    let payload = format!("payload-{:016x}", rand::random::<u64>());
    let letter = || Letter {
        parts: vec![(format!("{payload}.txt"), Body::of_text(&format!("họ và tên: {payload}")))],
        subject: format!("Hồ sơ của {payload}"),
        strange: false,
    };
    rig.start_working().await?;
    let id = rig.queue(letter())?;
    rig.wait_delivered(&id).await?;
    if rig.can_refuse() {
        let refused = rig.refusing(true, letter()).await?;
        let id = rig.queue(refused)?;
        let settled = |state: &mut State| match state.standing(&id) {
            Some(Standing::Refused | Standing::Later | Standing::Delivered) => Some(()),
            _ => None,
        };
        rig.wait("answer for the delivery", settled).await?;
        rig.refusing(false, letter()).await?;
    }
    if rig.manifest.config.is_some() {
        rig.kill().await;
        rig.start(Configured::Badly)?;
        // Whether it ends is another point's question.
        tokio::time::timeout(ENDING, rig.process()?.ended()).await.ok();
    }
    let reports = rig.stage.see(|state| state.calls.iter().filter_map(said).collect::<Vec<_>>().join("\n"));
    let canary = rig.canary.clone();
    let mut secrets = vec![("a secret of its configuration", canary), ("what was carried", payload)];
    let keys = rig.identity.secrets.clone();
    secrets.extend(keys.into_iter().map(|key| ("a private key", key)));
    for (what, secret) in secrets {
        if rig.logs().iter().any(|log| log.contains(&secret)) {
            return Err(Finding(format!("its log shows {what}")));
        }
        if reports.contains(&secret) {
            return Err(Finding(format!("what it reports to the gateway's operators shows {what}")));
        }
    }
    Ok(())
}

/// What a call says to operators.
fn said(call: &Call) -> Option<String> {
    match call {
        Call::Register(request) => Some(format!("{:?}", request.problems)),
        Call::Complete { reference, .. } => Some(reference.clone()),
        Call::Fail { request, .. } => Some(request.detail.clone()),
        Call::Report(request) => Some(format!("{:?}", request.health)),
        _ => None,
    }
}
