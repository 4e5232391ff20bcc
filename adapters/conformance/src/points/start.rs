//! How an adapter starts: registration, and what it makes of its configuration.

use std::time::Duration;

use proto::v1;

use crate::gateway::stage::{Call, State};
use crate::rig::{Configured, Finding, Rig};

/// Exit code of a wrong configuration (EX_CONFIG of sysexits).
const BAD_CONFIGURATION: i32 = 78;

/// Registers first, and says who it is.
pub async fn info(rig: &mut Rig) -> Result<(), Finding> {
    rig.start_working().await?;
    let first = rig.stage.see(|state| state.calls.first().cloned());
    let Some(Call::Register(request)) = first else {
        return Err(rig.finding("its first call is not Register"));
    };
    let faults = faults_of_registration(&request);
    if !faults.is_empty() {
        return Err(rig.finding(&format!("Register: {}", faults.join("; "))));
    }
    Ok(())
}

fn faults_of_registration(request: &v1::RegisterRequest) -> Vec<String> {
    let mut faults = Vec::new();
    let mut bounded = |field: &str, text: &str, max: usize| {
        if text.is_empty() || text.len() > max {
            faults.push(format!("{field} has {} bytes; 1 to {max} are wanted", text.len()));
        }
    };
    let info = request.info.clone().unwrap_or_default();
    bounded("info.name", &info.name, 64);
    bounded("info.version", &info.version, 64);
    bounded("instance", &request.instance, 128);
    if !info.protocol_versions.contains(&1) {
        faults.push("info.protocol_versions does not name 1".to_owned());
    }
    if info.capabilities.is_empty() {
        faults.push("info.capabilities is empty".to_owned());
    }
    let schema: Result<serde_json::Map<String, serde_json::Value>, _> = serde_json::from_str(&info.config_schema);
    if !info.config_schema.is_empty() && schema.is_err() {
        faults.push("info.config_schema is no JSON object".to_owned());
    }
    faults
}

/// A good configuration works; a bad one is told and ends the process.
pub async fn config(rig: &mut Rig) -> Result<(), Finding> {
    if rig.manifest.config.is_none() {
        return Err(Finding("the manifest has no [config]; skip the point with a reason if there is none".to_owned()));
    }
    rig.start_working().await?;
    let problems = rig.stage.see(|state| problems_told(state, 0));
    if !problems.is_empty() {
        return Err(rig.finding(&format!("it complains about the good configuration: {}", problems.join("; "))));
    }
    rig.kill().await;
    let before = rig.stage.see(|state| state.calls.len());
    let letter = crate::parcel::Letter::plain("Không ai nhận với cấu hình sai");
    rig.queue(letter)?;
    rig.start(Configured::Badly)?;
    let patience = rig.manifest.start_patience();
    let took = |state: &mut State| {
        let new = state.calls.get(before..).unwrap_or_default();
        new.iter().any(|call| matches!(call, Call::Lease { .. } | Call::Handed { .. })).then_some(())
    };
    let (status, took) = tokio::select! {
        biased;
        status = rig.process()?.ended() => (status, rig.stage.change(took).is_some()),
        took = rig.stage.wait(patience, took) => (None, took.is_some()),
    };
    if took {
        return Err(rig.finding("with the bad configuration it asked for work"));
    }
    let Some(status) = status else {
        return Err(rig.finding("with the bad configuration it runs on; it has to say what is wrong and end"));
    };
    let problems = rig.stage.see(|state| problems_told(state, before));
    if problems.is_empty() {
        return Err(rig.finding("with the bad configuration it did not call Register with `problems`"));
    }
    if status.code() != Some(BAD_CONFIGURATION) {
        return Err(rig.finding(&format!("with the bad configuration it ended with {status}, not exit code 78")));
    }
    Ok(())
}

fn problems_told(state: &State, from: usize) -> Vec<String> {
    let told = |call: &Call| match call {
        Call::Register(request) => {
            request.problems.iter().map(|problem| format!("{}: {}", problem.key, problem.problem)).collect()
        }
        _ => Vec::new(),
    };
    state.calls.get(from..).unwrap_or_default().iter().flat_map(told).collect()
}

/// How long the kit looks on when it wants to see that nothing more happens.
pub const QUIET: Duration = Duration::from_millis(700);
