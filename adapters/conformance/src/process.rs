//! The adapter's process: started, watched, asked to end, killed.

use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process_group};
use tokio::process::Command;
use tokio::sync::watch;

use crate::Trouble;

/// Longest run of a command of the manifest.
const COMMAND_TIME_MAX: Duration = Duration::from_secs(900);
/// Bytes of a log that are looked at.
const LOG_BYTES_MAX: u64 = 16 * 1024 * 1024;

/// A running adapter, in a process group of its own; killed when it is dropped.
pub struct Process {
    pid: Option<Pid>,
    ended: watch::Receiver<Option<ExitStatus>>,
    log: PathBuf,
}

impl Process {
    /// Starts `command` in `here`; what it prints goes to `log`.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn start(
        command: &[String],
        here: &Path,
        environment: &[(&str, String)],
        log: PathBuf,
    ) -> Result<Self, Trouble> {
        let file = |source| Trouble::File { path: log.clone(), source };
        let out = File::create(&log).map_err(file)?;
        let err = out.try_clone().map_err(file)?;
        let mut child = prepare(command, here)?
            // What the kit does not set is not there, whatever its own environment says.
            .env_remove("LIENTHONG_CONFIG")
            .envs(environment.iter().map(|(name, value)| (*name, value)))
            .stdin(Stdio::null())
            .stdout(out)
            .stderr(err)
            .process_group(0)
            .spawn()
            .map_err(|source| Trouble::Command { command: command.join(" "), cause: source.to_string() })?;
        let pid = child.id().and_then(|id| Pid::from_raw(id.cast_signed()));
        let (tell, ended) = watch::channel(None);
        tokio::spawn(async move {
            if let Ok(status) = child.wait().await {
                tell.send_replace(Some(status));
            }
        });
        Ok(Self { pid, ended, log })
    }

    /// Waits for its end.
    pub async fn ended(&self) -> Option<ExitStatus> {
        let mut ended = self.ended.clone();
        let status = ended.wait_for(Option::is_some).await.ok()?;
        *status
    }

    /// How it ended, if it has.
    pub fn has_ended(&self) -> Option<ExitStatus> {
        *self.ended.borrow()
    }

    /// SIGTERM.
    pub fn ask_to_end(&self) {
        self.signal(Signal::TERM);
    }

    /// SIGKILL, and its end.
    pub async fn kill(&self) {
        self.signal(Signal::KILL);
        self.ended().await;
    }

    /// What it has printed.
    pub fn log(&self) -> String {
        let mut bytes = Vec::new();
        let read = File::open(&self.log).and_then(|log| log.take(LOG_BYTES_MAX).read_to_end(&mut bytes));
        match read {
            Ok(_) => String::from_utf8_lossy(&bytes).into_owned(),
            Err(cause) => format!("its log cannot be read: {cause}"),
        }
    }

    fn signal(&self, signal: Signal) {
        if let Some(pid) = self.pid.filter(|_| self.has_ended().is_none()) {
            // One that has just ended needs no signal.
            kill_process_group(pid, signal).ok();
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.signal(Signal::KILL);
    }
}

/// Runs a command of the manifest to its end and gives what it printed.
///
/// # Errors
/// When it cannot be started, does not end, or ends badly.
pub async fn output(command: &[String], here: &Path) -> Result<String, Trouble> {
    let failed = |cause: String| Trouble::Command { command: command.join(" "), cause };
    let child = prepare(command, here)?.stdin(Stdio::null()).kill_on_drop(true).output();
    let done = tokio::time::timeout(COMMAND_TIME_MAX, child).await;
    let done = done.map_err(|_| failed("does not end".to_owned()))?.map_err(|cause| failed(cause.to_string()))?;
    if !done.status.success() {
        return Err(failed(format!("{}: {}", done.status, tail(&String::from_utf8_lossy(&done.stderr), 20))));
    }
    Ok(String::from_utf8_lossy(&done.stdout).into_owned())
}

/// The last lines of a text.
pub fn tail(text: &str, lines: usize) -> String {
    let all: Vec<&str> = text.lines().collect();
    all.get(all.len().saturating_sub(lines)..).unwrap_or_default().join("\n")
}

fn prepare(command: &[String], here: &Path) -> Result<Command, Trouble> {
    let (program, arguments) =
        command.split_first().ok_or_else(|| Trouble::Manifest("a command is empty".to_owned()))?;
    // A program with a path is meant from the manifest's folder; a bare name is looked for in PATH.
    let program = if program.contains('/') { here.join(program) } else { PathBuf::from(program) };
    let mut prepared = Command::new(program);
    prepared.args(arguments).current_dir(here);
    Ok(prepared)
}
