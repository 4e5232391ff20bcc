//! The same delivery again: after a lost answer, after kill -9, after a lost lease. Always one effect.

use std::time::Duration;

use super::start::QUIET;
use crate::gateway::stage::{Call, Standing, State};
use crate::parcel::Letter;
use crate::rig::{Finding, Rig};

/// A lease that ends soon.
const SHORT_LEASE: Duration = Duration::from_millis(1500);

/// Completed, and handed out again: the gateway was restored from before the Complete.
pub async fn duplicate(rig: &mut Rig) -> Result<(), Finding> {
    rig.start_working().await?;
    let id = rig.queue(Letter::plain("Gửi hai lần"))?;
    rig.wait_delivered(&id).await?;
    rig.expect_one_effect(&id).await?;
    rig.stage.change(|state| state.again(&id));
    rig.wait_delivered(&id).await?;
    rig.expect_one_effect(&id).await
}

/// kill -9 before the effect, and between the effect and the settlement.
pub async fn kill(rig: &mut Rig) -> Result<(), Finding> {
    rig.stage.change(|state| state.lease_time = SHORT_LEASE);
    rig.slow(true).await?;
    rig.start_working().await?;
    let id = rig.queue(Letter::plain("Mất điện giữa chừng"))?;
    rig.wait_at_work(&id).await?;
    rig.kill().await;
    rig.slow(false).await?;
    rig.start_working().await?;
    rig.wait_delivered(&id).await?;
    rig.expect_one_effect(&id).await?;

    rig.stage.change(|state| state.hold_completes = true);
    let id = rig.queue(Letter::plain("Mất điện trước khi báo xong"))?;
    let said = |state: &mut State| state.calls.iter().any(|call| completes(call, &id)).then_some(());
    rig.wait("call Complete", said).await?;
    rig.kill().await;
    rig.stage.change(|state| {
        // The call of the dead process must not be answered late: its lease is gone.
        state.settle(&id, Standing::Waiting);
        state.hold_completes = false;
    });
    rig.start_working().await?;
    rig.wait_delivered(&id).await?;
    rig.expect_one_effect(&id).await
}

/// The lease is lost in mid-work; and the lease is lost between the effect and its Complete.
pub async fn lease(rig: &mut Rig) -> Result<(), Finding> {
    rig.stage.change(|state| state.lease_time = SHORT_LEASE);
    rig.start_working().await?;
    rig.slow(true).await?;
    let id = rig.queue(Letter::plain("Quyền giữ việc đã mất"))?;
    rig.wait_at_work(&id).await?;
    rig.stage.change(|state| state.lost.insert(id.clone()));
    // That it is free now would not do: who waits for work may have it again already.
    let gone = |state: &mut State| {
        let is_lost = |call: &Call| match call {
            Call::Expired { id: of } | Call::Heartbeat { id: of, held: false } => *of == id,
            _ => false,
        };
        state.calls.iter().any(is_lost).then_some(())
    };
    rig.wait("lose the lease", gone).await?;
    let lost = |call: &Call| matches!(call, Call::Heartbeat { id: of, held: false } if *of == id);
    let told = rig.stage.see(|state| position(state, lost));
    // That the verdict has been sent does not mean that it has been read; nothing tells when it has.
    tokio::time::sleep(2 * QUIET).await;
    rig.slow(false).await?;
    rig.stage.change(|state| state.again(&id));
    rig.wait_delivered(&id).await?;
    rig.expect_one_effect(&id).await?;
    let spoke = rig.stage.see(|state| position(state, |call| speaks_of_old_lease(call, &id)));
    if told.zip(spoke).is_some_and(|(told, spoke)| told < spoke) {
        return Err(
            rig.finding("a heartbeat said that the lease is lost, and yet it spoke under that lease afterwards")
        );
    }

    let id = rig.queue(Letter::plain("Báo xong quá muộn"))?;
    rig.stage.change(|state| state.late.insert(id.clone()));
    let late = |state: &mut State| (state.standing(&id) == Some(&Standing::Later)).then_some(());
    rig.wait("call Complete", late).await?;
    rig.stage.change(|state| state.again(&id));
    rig.wait_delivered(&id).await?;
    rig.expect_one_effect(&id).await
}

fn completes(call: &Call, delivery: &str) -> bool {
    matches!(call, Call::Complete { id, .. } if id == delivery)
}

fn speaks_of_old_lease(call: &Call, delivery: &str) -> bool {
    match call {
        Call::Complete { id, current: false, .. } => id == delivery,
        Call::Fail { request, current: false } => {
            request.lease.as_ref().is_some_and(|lease| lease.delivery_id == delivery)
        }
        _ => false,
    }
}

fn position(state: &State, found: impl Fn(&Call) -> bool) -> Option<usize> {
    state.calls.iter().position(found)
}
