//! A file whose day has passed is late: its timeline says so, and the console of a real gateway prints its papers.

use std::time::Duration;

use certs_dev::province::{CalendarPlan, Plan};
use gateway_model::Timestamp;
use gateway_model::day::Day;
use proto::v1;
use proto::v1::operate_service_client::OperateServiceClient;
use proto::v1::submit_service_client::SubmitServiceClient;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::gateway::{Running, Site, now};
use crate::statistics::dossier_due;
use crate::{SYSTEM, submission};

const FILE: &str = "H99.12-261122-0099";
const VIEWER: &str = "operator-viewer";

fn today() -> Day {
    Day::of(Timestamp::from_seconds(now()))
}

/// People work at every hour of these days, so that yesterday is over whenever the test runs.
fn plan() -> Plan {
    let mut plan = Plan::sized(1, 2);
    plan.calendars.push(CalendarPlan {
        id: "lich-thu-nghiem".to_owned(),
        version: 1,
        valid_from: None,
        agencies: vec!["h99.12".to_owned(), "h99.21".to_owned()],
        hours: vec!["00:00-24:00".to_owned()],
        days_off: Vec::new(),
        make_up_days: (-1..=1).map(|days| today().plus(days).to_string()).collect(),
    });
    plan
}

/// A page as the browser of a viewer with a client certificate gets it: status and text.
async fn page(site: &Site, running: &Running, place: &str) -> (u16, String) {
    let address = running.addresses.console.unwrap();
    let mut stream = site.connection_to(address, VIEWER).await;
    let request = format!("GET {place} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.unwrap();
    let answer = String::from_utf8(answer).unwrap();
    (answer.split(' ').nth(1).unwrap().parse().unwrap(), answer)
}

/// The custody of the file once the land office has it.
async fn held(viewer: &mut OperateServiceClient<tonic::transport::Channel>) -> v1::CaseCustody {
    let arrived = async {
        loop {
            let request = v1::TimelineRequest { file_code: FILE.to_owned(), ..v1::TimelineRequest::default() };
            let custody = viewer.timeline(request).await.unwrap().into_inner().custody.unwrap();
            if custody.holdings.get(1).is_some_and(|holding| holding.since.is_some()) {
                return custody;
            }
            // It is on its way into the folder of the land office; no event of that comes here.
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), arrived).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_whose_day_was_yesterday_is_in_work_late_and_its_papers_are_printed() {
    let site = Site::planned(&plan()).with("[console]\nlisten = \"127.0.0.1:0\"\n");
    let running = site.start().await;
    let mut client = SubmitServiceClient::new(site.channel(&running, SYSTEM));
    client.submit(submission(dossier_due(&site, FILE, today().plus(-1)))).await.unwrap();
    let mut viewer = OperateServiceClient::new(site.channel(&running, VIEWER));
    let custody = held(&mut viewer).await;
    assert_eq!(custody.standing(), v1::CaseStanding::InWorkLate, "{custody:#?}");
    assert!(custody.working_seconds_left <= 0 && custody.finished_at.is_none(), "{custody:#?}");
    let names: Vec<&str> = custody.holdings.iter().map(|holding| holding.agency_name.as_str()).collect();
    assert!(names.len() == 2 && names.iter().all(|name| !name.is_empty()), "{custody:#?}");

    let (status, slip) = page(&site, &running, &format!("/control-slip?file_code={FILE}")).await;
    assert_eq!(status, 200, "{slip}");
    for text in ["PHIẾU KIỂM SOÁT QUÁ TRÌNH GIẢI QUYẾT HỒ SƠ", "Mẫu số 06", FILE, names[0], names[1]]
    {
        assert!(slip.contains(text), "{text} is not on the slip: {slip}");
    }
    let (status, letter) = page(&site, &running, &format!("/apology?file_code={FILE}")).await;
    assert_eq!(status, 200, "{letter}");
    for text in ["THƯ XIN LỖI VÀ HẸN LẠI NGÀY TRẢ KẾT QUẢ", "Mẫu số 04", FILE, names[0]] {
        assert!(letter.contains(text), "{text} is not in the letter: {letter}");
    }
    running.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_apologizes_for_a_file_whose_day_is_tomorrow() {
    let site = Site::planned(&plan()).with("[console]\nlisten = \"127.0.0.1:0\"\n");
    let running = site.start().await;
    let mut client = SubmitServiceClient::new(site.channel(&running, SYSTEM));
    client.submit(submission(dossier_due(&site, FILE, today().plus(1)))).await.unwrap();
    let mut viewer = OperateServiceClient::new(site.channel(&running, VIEWER));
    assert_eq!(held(&mut viewer).await.standing(), v1::CaseStanding::InWork);
    let (status, letter) = page(&site, &running, &format!("/apology?file_code={FILE}")).await;
    assert!(status == 200 && letter.contains("không trễ hạn") && !letter.contains("THƯ XIN LỖI"), "{letter}");
    running.stop().await.unwrap();
}
