//! What is counted when a store fails.

use gateway_store::faulty::{Fault, Step};
use prometheus_client::encoding::text;
use prometheus_client::registry::Registry;

use crate::system::Node;
use crate::world::COMMUNE;

#[tokio::test]
async fn a_step_that_the_store_does_not_take_is_counted_and_so_is_the_time_of_one_that_it_takes() {
    let (mut node, mut registry) = (Node::new(COMMUNE), Registry::default());
    node.counted(&mut registry);
    let page = || {
        let mut page = String::new();
        text::encode(&mut page, &registry).unwrap();
        page
    };
    assert!(page().contains("lienthong_store_faults_total 0"), "{}", page());
    node.faults.next(Step::Accept, Fault::Unavailable);
    node.submit(1, &["ward"]).await.expect_err("the store does not take it");
    assert!(page().contains("lienthong_store_faults_total 1"), "{}", page());
    node.submit(1, &["ward"]).await.unwrap();
    assert!(page().contains("lienthong_commit_seconds_count{step=\"accept\"} 2"), "{}", page());
    assert!(page().contains("lienthong_verifications_total{result=\"verified\"} 2"), "{}", page());
}
