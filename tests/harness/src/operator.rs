//! An operator of one gateway at the command line, as a process of its own.

use std::fmt::Debug;
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use gateway_cli::connect::Profile;
use gateway_model::agency::OperatorRole;
use gateway_model::id::GatewayId;
use serde_json::Value;

use crate::gateways::{self, Federation};

/// Between two questions.
const LOOK: Duration = Duration::from_millis(250);

/// The command line as an operator of one gateway uses it.
pub struct Operator {
    profile: PathBuf,
}

/// How a command ended, and what it wrote.
#[derive(Debug)]
pub struct Ran {
    /// Its exit code; `None` when a signal ended it.
    pub code: Option<i32>,
    /// Standard output.
    pub out: String,
    /// Standard error.
    pub err: String,
}

impl Operator {
    /// The operator of that role, before that gateway.
    ///
    /// # Errors
    /// When there is none, or its profile cannot be written.
    pub fn at(federation: &Federation, gateway: &str, role: OperatorRole) -> anyhow::Result<Self> {
        let local = &federation.local;
        let profile = local.operator_profile(&GatewayId::parse(gateway)?, role)?;
        let path = local.folder.join(format!("{gateway}-{}.profile", role.as_str()));
        std::fs::write(&path, toml::to_string(&profile)?)?;
        Ok(Self { profile: path })
    }

    /// The operator of that role, before one node of a gateway that has several, past their balancer.
    ///
    /// # Errors
    /// When there is none, or its profile cannot be written.
    pub fn at_node(federation: &Federation, number: usize, role: OperatorRole) -> anyhow::Result<Self> {
        let (local, node) = (&federation.local, &federation.local.gateways[number]);
        let profile = local.operator_profile(&node.id, role)?;
        let profile = Profile { gateway: format!("https://127.0.0.1:{}", node.port), ..profile };
        let path = local.folder.join(format!("{}-{number}-{}.profile", node.id, role.as_str()));
        std::fs::write(&path, toml::to_string(&profile)?)?;
        Ok(Self { profile: path })
    }

    /// Runs one command to its end.
    ///
    /// # Errors
    /// When the program is not there.
    pub fn run(&self, arguments: &[&str]) -> anyhow::Result<Ran> {
        let mut command = Command::new(gateways::binary()?);
        command.args(arguments).arg("--profile").arg(&self.profile).env("LIENTHONG_LANG", "en");
        let ran = command.output()?;
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Ok(Ran { code: ran.status.code(), out: text(&ran.stdout), err: text(&ran.stderr) })
    }

    /// Runs one command and reads the list that it writes.
    ///
    /// # Errors
    /// When what it writes is not a list in JSON.
    pub fn json(&self, arguments: &[&str]) -> anyhow::Result<Vec<Value>> {
        let ran = self.run(&[arguments, &["-o", "json"]].concat())?;
        serde_json::from_str(&ran.out).with_context(|| format!("{arguments:?}: {ran:?}"))
    }

    /// Asks what is stuck until it is as expected.
    ///
    /// # Errors
    /// When it is not in time.
    pub async fn stuck_until(
        &self,
        within: Duration,
        expected: impl Fn(&[Value]) -> bool,
    ) -> anyhow::Result<Vec<Value>> {
        looked_until(within, || self.json(&["stuck"]), |groups| expected(groups)).await
    }
}

/// What other processes do is looked at again and again, until it is as expected.
///
/// # Errors
/// When it is not in time, or cannot be looked at.
pub async fn looked_until<T: Debug>(
    within: Duration,
    look: impl Fn() -> anyhow::Result<T>,
    expected: impl Fn(&T) -> bool,
) -> anyhow::Result<T> {
    let begun = Instant::now();
    loop {
        let seen = look()?;
        if expected(&seen) {
            return Ok(seen);
        }
        ensure!(begun.elapsed() < within, "after {:?}: {seen:#?}", begun.elapsed());
        // No event of another process comes here.
        tokio::time::sleep(LOOK).await;
    }
}

/// Cause and agency that must act, of what is stuck, in order.
pub fn causes(groups: &[Value]) -> Vec<(String, String)> {
    let text = |group: &Value, key: &str| group[key].as_str().unwrap_or_default().to_owned();
    let mut causes: Vec<_> = groups.iter().map(|group| (text(group, "cause"), text(group, "must_act"))).collect();
    causes.sort();
    causes
}
