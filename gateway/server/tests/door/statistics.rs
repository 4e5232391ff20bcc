//! Files that come in by the door are counted: in work, ended in time, once each, also after the register was lost.

use std::path::Path;
use std::time::Duration;

use gateway_model::day::Day;
use gateway_model::id::AgencyId;
use gateway_model::{Digest, Timestamp};
use gateway_register::{Batch, Cursor, DATABASE, File, Register};
use prost::Message as _;
use proto::v1;
use proto::v1::operate_service_client::OperateServiceClient;
use proto::v1::submit_service_client::SubmitServiceClient;
use tonic::transport::Channel;

use crate::gateway::{Running, Site, get, now};
use crate::{LAND_OFFICE, SYSTEM, submission};

const PROCEDURE: &str = "1.012783";

/// An envelope of the department about one of its files.
fn about(site: &Site, file_code: &str, content: v1::envelope::Content) -> v1::SignedEnvelope {
    let department = &site.province.cast.department;
    let timestamp = |seconds| Some(prost_types::Timestamp { seconds, nanos: 0 });
    let case =
        v1::Case { file_code: file_code.to_owned(), procedure_code: PROCEDURE.to_owned(), ..v1::Case::default() };
    let envelope = v1::Envelope {
        schema: "lienthong.envelope.v1".to_owned(),
        id: uuid::Uuid::now_v7().to_string(),
        from: department.to_string(),
        to: vec![v1::Recipient { agency: LAND_OFFICE.to_owned() }],
        created_at: timestamp(now()),
        expires_at: timestamp(now() + 86_400),
        priority: v1::Priority::Normal.into(),
        case: Some(case),
        content: Some(content),
        ..v1::Envelope::default()
    };
    site.sign(department, envelope.encode_to_vec())
}

fn dossier(site: &Site, file_code: &str) -> v1::SignedEnvelope {
    dossier_due(site, file_code, Day::of(Timestamp::from_seconds(now())).plus(30))
}

/// A file of the department, handed to the land office, whose result is promised for a day.
pub(crate) fn dossier_due(site: &Site, file_code: &str, day: Day) -> v1::SignedEnvelope {
    let (subject, due_on) = ("Cấp lại giấy chứng nhận".to_owned(), day.to_string());
    let content = v1::Dossier { subject, due_on, state: String::new() };
    about(site, file_code, v1::envelope::Content::Dossier(content))
}

fn finished(site: &Site, file_code: &str) -> v1::SignedEnvelope {
    let at = Some(prost_types::Timestamp { seconds: now(), nanos: 0 });
    let content = v1::Status { code: "9".to_owned(), description: String::new(), at };
    about(site, file_code, v1::envelope::Content::Status(content))
}

async fn statistics(
    operator: &mut OperateServiceClient<Channel>,
    by: v1::StatisticsBy,
    agency: &str,
) -> v1::GetStatisticsResponse {
    let request = v1::GetStatisticsRequest { by: by.into(), agency: agency.to_owned(), ..Default::default() };
    operator.get_statistics(request).await.unwrap().into_inner()
}

/// The statistics by agency, once the register has reached what was accepted.
async fn caught_up(operator: &mut OperateServiceClient<Channel>, since: i64) -> v1::GetStatisticsResponse {
    let reached = async {
        loop {
            let answer = statistics(operator, v1::StatisticsBy::Agency, "").await;
            if answer.as_of.is_some_and(|as_of| as_of.seconds > since) {
                return answer;
            }
            // The register follows by itself; `as_of` says how far it is.
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), reached).await.unwrap()
}

fn row(key: &str, name: &str) -> v1::StatisticsRow {
    v1::StatisticsRow {
        key: key.to_owned(),
        name: name.to_owned(),
        received: 3,
        early: 1,
        in_work: 2,
        ..v1::StatisticsRow::default()
    }
}

fn operator(site: &Site, running: &Running) -> OperateServiceClient<Channel> {
    OperateServiceClient::new(site.channel(running, "operator-viewer"))
}

fn delete(folder: &Path) {
    std::fs::remove_file(folder.join(DATABASE)).unwrap();
}

/// A register that has followed another log as far as this one.
fn replace(folder: &Path) {
    delete(folder);
    let file = File {
        file_code: "H98-261122-0001".to_owned(),
        issuer: AgencyId::parse("h98").unwrap(),
        procedure_code: PROCEDURE.to_owned(),
        received_at: Timestamp::from_seconds(now()),
        due_at: None,
        finished_at: None,
    };
    let cursor = Cursor { next: 4, last: Some(Digest::of(b"another log")) };
    let batch = Batch { files: vec![file], cursor, ..Batch::default() };
    Register::new(folder).put(0, &batch).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn files_are_counted_by_agency_level_procedure_and_month_also_after_the_register_was_lost() {
    let site = Site::new();
    let running = site.start().await;
    let mut client = SubmitServiceClient::new(site.channel(&running, SYSTEM));
    let received_at = now();
    for number in 1..=3 {
        let envelope = dossier(&site, &format!("H99.12-261122-{number:04}"));
        client.submit(submission(envelope.clone())).await.unwrap();
        // The same once more is no other file.
        assert!(client.submit(submission(envelope)).await.unwrap().into_inner().duplicate);
    }
    client.submit(submission(finished(&site, "H99.12-261122-0002"))).await.unwrap();
    let mut viewer = operator(&site, &running);
    let by_agency = caught_up(&mut viewer, now()).await;
    let [agency] = <[v1::StatisticsRow; 1]>::try_from(by_agency.rows.clone()).unwrap();
    assert!(!agency.name.is_empty() && agency.name != agency.key, "{agency:?}");
    assert_eq!(agency, row("h99.12", &agency.name));
    assert_eq!(by_agency.total, Some(row("", "")));

    let by_month = statistics(&mut viewer, v1::StatisticsBy::Month, "").await.rows;
    let months = [received_at, now()].map(|at| Day::of(Timestamp::from_seconds(at)).to_string()[..7].to_owned());
    assert!(by_month.iter().all(|row| months.contains(&row.key)), "{by_month:?}");
    assert_eq!(by_month.iter().map(|row| (row.early, row.in_work)).fold((0, 0), |a, b| (a.0 + b.0, a.1 + b.1)), (1, 2));
    let by_procedure = statistics(&mut viewer, v1::StatisticsBy::Procedure, "").await.rows;
    assert_eq!((by_procedure.len(), by_procedure[0].key.as_str()), (1, PROCEDURE));
    assert!(by_procedure[0].name.contains("Giấy chứng nhận"), "{by_procedure:?}");
    let by_level = statistics(&mut viewer, v1::StatisticsBy::Level, "").await.rows;
    assert_eq!((by_level.len(), by_level[0].received), (1, 3));

    let above = statistics(&mut viewer, v1::StatisticsBy::Agency, "H99").await;
    assert_eq!(above.rows, by_agency.rows, "those below an agency are its own");
    let beside = statistics(&mut viewer, v1::StatisticsBy::Agency, LAND_OFFICE).await;
    assert_eq!((beside.rows, beside.total), (Vec::new(), Some(v1::StatisticsRow::default())));
    let (code, metrics) = get(&running, "/metrics").await;
    assert!(code == 200 && metrics.contains("\nlienthong_register_behind 0\n"), "{metrics}");
    running.stop().await.unwrap();

    for lose in [delete as fn(&Path), replace] {
        lose(&site.path("data"));
        let running = site.start().await;
        let again = caught_up(&mut operator(&site, &running), 0).await;
        assert_eq!((again.rows, again.total), (by_agency.rows.clone(), by_agency.total.clone()));
        running.stop().await.unwrap();
    }
}
