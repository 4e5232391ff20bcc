//! The pace: slow systems, full hands, the end, and a gateway that is away.

use std::time::Duration;

use super::start::QUIET;
use crate::gateway::stage::{Call, Standing, State};
use crate::parcel::Letter;
use crate::rig::{Finding, Rig};

/// A lease that only heartbeats keep; a busy machine may be late with one of them.
const SHORT_LEASE: Duration = Duration::from_millis(2500);
/// How long the system is slow.
const SLOW: Duration = Duration::from_millis(5500);
/// How long the gateway is away.
const AWAY: Duration = Duration::from_secs(2);
/// Connections that a worker may try meanwhile: it backs off.
const KNOCKS_MAX: u32 = 20;
/// More deliveries than any worker has room for.
const MORE: usize = 6;

/// The system takes more than twice as long as the lease; the lease is kept.
pub async fn slow(rig: &mut Rig) -> Result<(), Finding> {
    rig.stage.change(|state| state.lease_time = SHORT_LEASE);
    rig.start_working().await?;
    rig.slow(true).await?;
    let id = rig.queue(Letter::plain("Hệ thống chậm"))?;
    rig.wait_at_work(&id).await?;
    let lost = |state: &mut State| {
        let over = |call: &Call| match call {
            Call::Expired { id: of } => *of == id,
            Call::Fail { request, .. } => request.lease.as_ref().is_some_and(|lease| lease.delivery_id == id),
            _ => false,
        };
        state.calls.iter().any(over).then_some(())
    };
    if rig.stage.wait(SLOW, lost).await.is_some() {
        return Err(rig.finding("the lease ended while the system was slow: heartbeats have to keep it"));
    }
    rig.slow(false).await?;
    rig.wait_delivered(&id).await?;
    if rig.stage.see(|state| state.attempt(&id)) != 1 {
        return Err(rig.finding("the delivery had to be handed out again"));
    }
    rig.expect_one_effect(&id).await
}

/// More work than it has room for: it holds no more than it first asked for.
pub async fn back_pressure(rig: &mut Rig) -> Result<(), Finding> {
    rig.stage.change(|state| state.lease_time = Duration::from_secs(40));
    rig.slow(true).await?;
    rig.start_working().await?;
    let room = rig.stage.see(|state| state.calls.iter().find_map(room_of)).unwrap_or_default();
    if room == 0 || room > 64 {
        return Err(rig.finding(&format!("Lease asks for {room} deliveries; 1 to 64 are allowed")));
    }
    let ids = (0..room + MORE).map(|_| rig.queue(Letter::plain("Nhiều việc"))).collect::<Result<Vec<_>, _>>()?;
    rig.wait("take what it has room for", |state| (!state.leased().is_empty()).then_some(())).await?;
    // Whether it takes too much shows only after it has had the time to.
    let over = |state: &mut State| (state.leased().len() > room).then(|| state.leased().len());
    if let Some(held) = rig.stage.wait(2 * QUIET, over).await {
        return Err(rig.finding(&format!("it first had room for {room} deliveries and then held {held}")));
    }
    rig.slow(false).await?;
    for id in &ids {
        rig.wait_delivered(id).await?;
        rig.expect_one_effect(id).await?;
    }
    Ok(())
}

fn room_of(call: &Call) -> Option<usize> {
    match call {
        Call::Lease { room, held: 0 } => usize::try_from(*room).ok(),
        _ => None,
    }
}

/// SIGTERM in mid-work.
pub async fn drain(rig: &mut Rig) -> Result<(), Finding> {
    rig.slow(true).await?;
    rig.start_working().await?;
    let id = rig.queue(Letter::plain("Việc đang cầm"))?;
    rig.wait_at_work(&id).await?;
    rig.process()?.ask_to_end();
    let begun = tokio::time::Instant::now();
    // A process that drops its work at the signal does so now.
    if tokio::time::timeout(QUIET, rig.process()?.ended()).await.is_ok() {
        return Err(rig.finding("at SIGTERM it ended at once, with work at hand"));
    }
    // A signal takes its time on a busy machine; whoever asks for work from here on has not heeded it.
    tokio::time::sleep(QUIET).await;
    let before = rig.stage.see(|state| state.calls.len());
    // A call that is still under way brings it.
    let more = rig.queue(Letter::plain("Việc mới"))?;
    let asks = |state: &mut State| {
        let new = state.calls.get(before..).unwrap_or_default();
        new.iter().any(|call| matches!(call, Call::Lease { .. })).then_some(())
    };
    let asked_again = rig.stage.wait(2 * QUIET, asks).await.is_some();
    rig.slow(false).await?;
    let within = Duration::from_secs(rig.manifest.drain_seconds);
    let Ok(status) = tokio::time::timeout_at(begun + within, rig.process()?.ended()).await else {
        return Err(rig.finding(&format!("{} s after SIGTERM it still runs", within.as_secs())));
    };
    let (done, stranded) =
        rig.stage.see(|state| (state.standing(&id) == Some(&Standing::Delivered), state.leased().contains(&more)));
    if !done {
        return Err(rig.finding("at SIGTERM it did not finish what was at hand"));
    }
    rig.expect_one_effect(&id).await?;
    if asked_again {
        return Err(rig.finding("after SIGTERM it called Lease for more work"));
    }
    if stranded {
        return Err(rig.finding("after SIGTERM it took another delivery, and ended with it in its hands"));
    }
    match status.and_then(|status| status.code()) {
        Some(0) => Ok(()),
        _ => Err(rig.finding("after SIGTERM it did not end with exit code 0")),
    }
}

/// The gateway goes away and comes back without any memory of its workers.
pub async fn reconnect(rig: &mut Rig) -> Result<(), Finding> {
    rig.start_working().await?;
    let before = rig.stage.see(|state| state.calls.len());
    rig.stage.change(State::forget_workers);
    let again = |from: usize| {
        move |state: &mut State| {
            let new = state.calls.get(from..).unwrap_or_default();
            new.iter().any(|call| matches!(call, Call::Register(_))).then_some(())
        }
    };
    rig.wait("register again after WORKER_UNKNOWN", again(before)).await?;
    let id = rig.queue(Letter::plain("Sau khi đăng ký lại"))?;
    rig.wait_delivered(&id).await?;

    rig.gateway.leave().await?;
    if tokio::time::timeout(AWAY, rig.process()?.ended()).await.is_ok() {
        return Err(rig.finding("while the gateway was away it ended; it has to wait"));
    }
    let knocks = rig.gateway.knocks();
    if knocks > KNOCKS_MAX {
        return Err(
            rig.finding(&format!("while the gateway was away for 2 s it tried {knocks} times: it does not back off"))
        );
    }
    let before = rig.stage.see(|state| state.calls.len());
    rig.gateway.come_back().await?;
    rig.wait("register again after the gateway had been away", again(before)).await?;
    let id = rig.queue(Letter::plain("Sau khi nối lại"))?;
    rig.wait_delivered(&id).await?;
    rig.expect_one_effect(&id).await
}
