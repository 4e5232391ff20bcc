//! Traces: one submission over three gateways, and on to a worker of its own process, is one connected trace at a collector; what was
//! separated in time is linked; log lines carry the trace's id.

use std::collections::{BTreeMap, BTreeSet};
use std::process::{Child, Command, Stdio};

use certs_dev::province::Plan;
use gateway_cli::local::{Local, Options, OwnAdapter};
use gateway_model::agency::OperatorRole;
use gateway_model::id::{AgencyId, GatewayId};
use tests_harness::gateways::{self, Federation};
use tests_harness::operator::Operator;
use tests_harness::sender::Sender;
use tonic::Request;

use super::collector::{Collector, Seen, outline, text};

const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
const CALLER: &str = "b7ad6b7169203331";
const QUEUE: &str = "department-queue";

/// A worker's process; dropping it kills it.
struct Worker(Child);

impl Drop for Worker {
    fn drop(&mut self) {
        drop(self.0.kill().and_then(|()| self.0.wait()));
    }
}

/// Three gateways, where the department's own worker pulls.
async fn start(endpoint: &str) -> (Federation, AgencyId) {
    let plan = Plan::province();
    let department = plan.cast.department.clone();
    let table = format!(
        "[[adapter]]\nname = \"{QUEUE}\"\nkind = \"worker\"\nagencies = [\"{department}\"]\nsystem = \"sys-province-dms\"\n"
    );
    let department = AgencyId::parse(&department).unwrap();
    let gateway = GatewayId::parse("gw-province").unwrap();
    let queue = OwnAdapter { gateway, agencies: vec![department.clone()], table };
    let extra_config =
        format!("{}[telemetry]\nlog = \"debug,h2=warn,hyper=warn\"\notlp = \"{endpoint}\"\n", gateways::FAST);
    let options = Options { extra_config, binary: Some(gateways::binary().unwrap()), adapters: vec![queue] };
    let mut federation = Federation::lay_out_by(plan, options).unwrap();
    federation.local.start().await.unwrap();
    (federation, department)
}

fn worker(local: &Local, department: &AgencyId, endpoint: &str) -> Worker {
    let folder = local.folder.join("worker");
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(folder.join("adapter.toml"), "path = \"office\"\n").unwrap();
    let profile = local.system_profile(department).unwrap();
    let log = std::fs::File::create(folder.join("log")).unwrap();
    let mut command = Command::new(gateways::binary().unwrap());
    command.args(["adapter", "run", "--kind", "folder", "--config"]).arg(folder.join("adapter.toml"));
    command
        .env("LIENTHONG_GATEWAY", profile.gateway)
        .env("LIENTHONG_ROOTS", profile.roots)
        .env("LIENTHONG_CERTIFICATE", profile.certificate)
        .env("LIENTHONG_KEY", profile.key)
        .env("LIENTHONG_QUEUE", QUEUE)
        .env("LIENTHONG_STATE", folder.join("state"))
        .env("LIENTHONG_OTLP", endpoint)
        .env("LIENTHONG_LOG", "debug");
    for proxy in ["HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy"] {
        command.env_remove(proxy);
    }
    Worker(command.stdout(Stdio::null()).stderr(log).spawn().unwrap())
}

/// Submits as a system that has a trace of its own.
async fn submit(sender: &mut Sender, to: &AgencyId) -> String {
    let envelope = sender.envelope(&[to]);
    let mut request = Request::new(sender.sign(&envelope).unwrap());
    request.metadata_mut().insert("traceparent", format!("00-{TRACE}-{CALLER}-01").parse().unwrap());
    sender.client.submit(request).await.unwrap();
    envelope.id
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The spans of one trace, as `(process, name)`.
fn names(spans: &[Seen], trace: &str) -> BTreeSet<(String, String)> {
    let of_trace = spans.iter().filter(|seen| hex(&seen.span.trace_id) == trace);
    of_trace.map(|seen| (seen.gateway.clone(), seen.span.name.clone())).collect()
}

/// Every span of the trace hangs on another one of it, or on the caller's.
fn check_connected(spans: &[Seen], trace: &str) {
    let of_trace: Vec<&Seen> = spans.iter().filter(|seen| hex(&seen.span.trace_id) == trace).collect();
    let ids: BTreeSet<String> = of_trace.iter().map(|seen| hex(&seen.span.span_id)).collect();
    for seen in of_trace {
        let parent = hex(&seen.span.parent_span_id);
        assert!(
            parent == CALLER || ids.contains(&parent),
            "{} hangs on nothing: {:#?}",
            seen.span.name,
            outline(spans)
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_submission_over_three_gateways_and_a_worker_is_one_connected_trace() {
    let (collector, endpoint) = Collector::start().await;
    let (federation, department) = start(&endpoint).await;
    let _worker = worker(&federation.local, &department, &endpoint);
    let mut sender = Sender::connect(&federation.local, &federation.local.province.cast.commune).await.unwrap();
    let id = submit(&mut sender, &department).await;
    let expected: BTreeSet<(String, String)> = [
        ("gw-commune", "process gw-commune".to_owned()),
        ("gw-commune", "send gw-district".to_owned()),
        ("gw-district", "process gw-district".to_owned()),
        ("gw-district", "send gw-province".to_owned()),
        ("gw-province", "process gw-province".to_owned()),
        ("gw-province", format!("send {department}")),
        (QUEUE, format!("process {QUEUE}")),
        ("gw-province", "settle sys-province-dms".to_owned()),
    ]
    .map(|(gateway, name)| (gateway.to_owned(), name))
    .into();
    // Receipts go back in traces of their own, linked to this one; so is the call that brought the work to the worker.
    let is_linked = |seen: &Seen| seen.span.links.iter().any(|link| hex(&link.trace_id) == TRACE);
    let linked = |spans: &[Seen]| -> BTreeSet<String> {
        spans.iter().filter(|seen| is_linked(seen)).map(|seen| seen.span.name.clone()).collect()
    };
    let back = ["send gw-commune", "send gw-district", "receive department-queue"].map(str::to_owned);
    let whole = |spans: &[Seen]| {
        names(spans, TRACE).is_superset(&expected) && back.iter().all(|name| linked(spans).contains(name))
    };
    let spans = collector.until("one trace, and links to it", whole).await;
    check_connected(&spans, TRACE);

    let of_trace = spans.iter().filter(|seen| hex(&seen.span.trace_id) == TRACE);
    let operations = BTreeMap::from([("process", "process"), ("send", "send"), ("settle", "settle")]);
    for Seen { span, .. } in of_trace {
        let (operation, destination) = span.name.split_once(' ').unwrap();
        assert_eq!(text(&span.attributes, "messaging.system"), "lienthong", "{span:?}");
        assert_eq!(text(&span.attributes, "messaging.operation.type"), operations[operation], "{span:?}");
        assert_eq!(text(&span.attributes, "messaging.destination.name"), destination, "{span:?}");
        let message = text(&span.attributes, "messaging.message.id");
        assert!(message == id || operation == "settle", "{span:?}");
    }
    for place in ["gw-commune", "gw-district", "gw-province"] {
        let log = std::fs::read_to_string(federation.local.folder.join(format!("{place}.log"))).unwrap();
        assert!(log.lines().any(|line| line.contains(TRACE) && line.contains(&id)), "{place}: {log}");
    }
    let log = std::fs::read_to_string(federation.local.folder.join("worker/log")).unwrap();
    assert!(log.lines().any(|line| line.contains(TRACE)), "the worker: {log}");
    check_operators_see(&federation, &id);
}

/// What an operator reads of the envelope, at every level, names the trace that the collector saw.
fn check_operators_see(federation: &Federation, id: &str) {
    let operator = Operator::at(federation, "gw-commune", OperatorRole::Viewer).unwrap();
    for verb in [["trace", id].as_slice(), &["msg", "show", id]] {
        let told = operator.json(verb).unwrap().remove(0);
        let envelopes = told["envelopes"].as_array().unwrap();
        let traces: BTreeMap<&str, &str> =
            envelopes.iter().map(|one| (one["gateway"].as_str().unwrap(), one["trace_id"].as_str().unwrap())).collect();
        let expected = ["gw-commune", "gw-district", "gw-province"].map(|gateway| (gateway, TRACE));
        assert_eq!(traces, BTreeMap::from(expected), "{verb:?}");
    }
    let read = operator.run(&["trace", id]).unwrap().out;
    assert_eq!(read.matches(TRACE).count(), 1, "each trace is told once: {read}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_retry_is_a_trace_of_its_own_linked_to_the_first() {
    let (collector, endpoint) = Collector::start().await;
    let (mut federation, _) = start(&endpoint).await;
    federation.local.kill(1).unwrap();
    let cast = federation.local.province.cast.clone();
    let mut sender = Sender::connect(&federation.local, &cast.commune).await.unwrap();
    let id = submit(&mut sender, &cast.district).await;
    let is_try =
        |seen: &Seen| seen.span.name == "send gw-district" && text(&seen.span.attributes, "messaging.message.id") == id;
    let failed = |spans: &[Seen]| {
        spans.iter().any(|seen| is_try(seen) && text(&seen.span.attributes, "error.type") == "PEER_UNREACHABLE")
    };
    collector.until("an attempt that failed", failed).await;
    federation.local.spawn(1).unwrap();
    federation.local.wait_until_ready(1).await.unwrap();
    let went_on = |seen: &Seen| is_try(seen) && text(&seen.span.attributes, "error.type").is_empty();
    let arrived = |spans: &[Seen]| {
        let Some(sent) = spans.iter().find(|seen| went_on(seen)) else { return false };
        names(spans, &hex(&sent.span.trace_id)).contains(&("gw-district".to_owned(), "process gw-district".to_owned()))
    };
    let spans = collector.until("an attempt that went on, and its arrival", arrived).await;
    let sent = spans.iter().find(|seen| went_on(seen)).unwrap();
    assert_ne!(hex(&sent.span.trace_id), TRACE, "it happened later: another trace");
    assert!(sent.span.links.iter().any(|link| hex(&link.trace_id) == TRACE), "{:?}", sent.span.links);
    assert!(sent.span.parent_span_id.is_empty(), "{:?}", sent.span);
}
