//! What operators see of the workers, and what a worker's word about its system changes.

use super::*;

async fn workers_seen(site: &Site, running: &Running) -> Vec<v1::WorkerState> {
    let mut operator = OperateServiceClient::new(site.channel(running, "operator-viewer"));
    operator.get_status(v1::GetStatusRequest {}).await.unwrap().into_inner().workers
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operator_sees_which_workers_are_there_and_when_each_last_asked_for_work() {
    let site = site();
    let running = site.start().await;
    assert!(workers_seen(&site, &running).await.is_empty());
    let mut worker = Worker::register(&site, &running).await;
    let seen = workers_seen(&site, &running).await.remove(0);
    assert_eq!((seen.queue.as_str(), seen.system.as_str()), ("land", LAND_SYSTEM));
    assert_eq!((seen.instance.as_str(), seen.name.as_str(), seen.version.as_str()), ("may-1:42", "thu-nghiem", "1"));
    assert_eq!((seen.last_poll_at, seen.leases, seen.draining), (None, 0, false), "it has not asked for any yet");
    assert!(seen.heard_at.is_some() && seen.registered_at.is_some());

    send(&site, &running, &[]).await;
    let taken = worker.lease().await;
    let seen = workers_seen(&site, &running).await.remove(0);
    assert!(seen.last_poll_at.is_some());
    assert_eq!(seen.leases, 1);
    worker.complete(&taken).await;
    worker.report(v1::SystemState::Unspecified, v1::WorkerPhase::Draining).await;
    let problems = vec![v1::ConfigProblem { key: "target.url".to_owned(), problem: "thiếu".to_owned() }];
    let broken = v1::RegisterRequest { problems, instance: "may-2:7".to_owned(), ..registration("land") };
    worker.client.register(broken).await.unwrap();
    let seen = workers_seen(&site, &running).await;
    assert_eq!((seen[0].leases, seen[0].draining, seen[0].problems.len()), (0, true, 0));
    assert_eq!((seen[1].instance.as_str(), &seen[1].problems[..]), ("may-2:7", &["target.url: thiếu".to_owned()][..]));
    worker.report(v1::SystemState::Unspecified, v1::WorkerPhase::Leaving).await;
    assert_eq!(workers_seen(&site, &running).await.len(), 1);
    running.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_system_that_answers_again_is_not_made_to_wait_for_the_next_probe() {
    let site = site();
    let running = site.start().await;
    let mut worker = Worker::register(&site, &running).await;
    send(&site, &running, &[]).await;
    let first = worker.lease().await;
    let failed = v1::FailRequest {
        worker_id: worker.id.clone(),
        lease: Some(held(&first)),
        code: "DMS_DOWN".to_owned(),
        retryable: true,
        retry_after: seconds(3_600),
        system_down: true,
        ..v1::FailRequest::default()
    };
    assert!(worker.client.fail(failed).await.unwrap().into_inner().settled);
    worker.report(v1::SystemState::Down, v1::WorkerPhase::Unspecified).await;
    let (id, _) = send(&site, &running, &[]).await;
    assert!(worker.try_lease(1, 1).await.unwrap().is_empty());
    worker.report(v1::SystemState::Up, v1::WorkerPhase::Unspecified).await;
    let second = worker.lease().await;
    assert_ne!(second.delivery_id, first.delivery_id, "the first waits for as long as its worker asked");
    assert!(worker.complete(&second).await.settled);
    assert_eq!(tracked(&site, &running, &id).await.status(), v1::DeliveryStatus::Delivered);
    running.stop().await.unwrap();
}
