//! Where an attacker, a stale directory or a lost answer once made a delivery or a receipt disappear.

use std::time::Duration;

use gateway_model::state::DeliveryState;
use gateway_store_conformance::fixture::log_signer;

use crate::simulation::Federation;
use crate::world::{COMMUNE, PROVINCE, WORLD, gateway};

#[tokio::test]
async fn a_receipt_that_the_gateway_below_refuses_today_is_brought_again_until_it_is_taken() {
    let federation = Federation::new(1);
    let commune = federation.node(COMMUNE);
    // The commune's directory does not have the province's new log key yet.
    let stale = WORLD.changed(|content| {
        content.version = 2;
        content.gateways[2].log_keys = vec![log_signer("gw-before").verifier().clone()];
    });
    assert_eq!(stale.directory().content().gateways[2].id, gateway(PROVINCE));
    commune.trust.replace(stale).unwrap();
    commune.submit(1, &["land"]).await.unwrap();
    federation.walk().await;
    assert_ne!(commune.state(1).await, DeliveryState::Delivered);
    commune.trust.replace(WORLD.changed(|content| content.version = 3)).unwrap();
    federation.pass(Duration::from_secs(3_600), Duration::from_secs(60)).await;
    assert_eq!(commune.state(1).await, DeliveryState::Delivered);
}
