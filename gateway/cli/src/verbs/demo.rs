//! `lienthong demo`: the main job on this machine, from nothing: keys, three gateways, a land file on its way, receipts, the answer.

mod delivered;
mod dossier;
mod land;
mod papers;
mod story;
mod systems;
mod words;

use std::fs::{File, TryLockError};
use std::io::Write as _;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use clap::Args;
use gateway_model::language::Language;

use crate::errln;
use crate::exit::Exit;

/// Marks a folder that the demo made, and may therefore empty.
const MARK: &str = ".lienthong-demo";

/// Shows the main job: generated province, three gateways as three processes, a signed land dossier going commune → district → province,
/// its receipts coming back and being verified offline, and the answer going home.
#[derive(Args, Debug)]
pub struct Demo {
    /// Send this file instead of the invented dossier; may be repeated.
    #[arg(long = "file", value_name = "FILE")]
    files: Vec<PathBuf>,
    /// End when the answer is home and everything is verified; exit 0 only then.
    #[arg(long)]
    once: bool,
    /// Where to keep keys, stores and drop folders; emptied at the start.
    #[arg(long, value_name = "DIR", default_value = ".demo")]
    folder: PathBuf,
}

impl Demo {
    /// Runs the story.
    ///
    /// # Errors
    /// When anything of it does not hold.
    pub async fn run(self, language: Language) -> anyhow::Result<Exit> {
        for file in &self.files {
            anyhow::ensure!(file.is_file(), "{} is not a file", file.display());
        }
        // Held until the end: a second demo must not empty the folder under the first one's gateways.
        let _lock = take_folder(&self.folder)?;
        let story = story::Story::begin(&self.folder, &self.files, language).await?;
        let mut story = story.tell().await?;
        if self.once {
            return Ok(Exit::Success);
        }
        story.invite()?;
        tokio::select! {
            signal = tokio::signal::ctrl_c() => signal.context("cannot wait for Ctrl-C").map(|()| Exit::Success),
            ended = story.watch() => {
                errln!("lienthong: {}", ended?);
                Ok(Exit::Failure)
            }
        }
    }
}

/// Makes the folder, or empties one that a demo made and no other demo uses, and locks it.
fn take_folder(folder: &Path) -> anyhow::Result<File> {
    anyhow::ensure!(
        !folder.exists() || folder.is_dir(),
        "{} is a file, not a folder; name another with --folder",
        folder.display()
    );
    let mark = folder.join(MARK);
    if folder.exists() {
        let ours = mark.exists() || folder.read_dir()?.next().is_none();
        anyhow::ensure!(ours, "{} is not a folder of the demo; name another with --folder", folder.display());
    }
    std::fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
    let mut lock = File::options()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .open(&mark)
        .with_context(|| format!("cannot write {}", mark.display()))?;
    match lock.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            let text = std::fs::read_to_string(&mark).unwrap_or_default();
            let process = text.lines().find_map(|line| line.strip_prefix("pid ")).unwrap_or("?").to_owned();
            anyhow::bail!(
                "a demo is running in {} (pid {process}); end it, or name another folder with --folder",
                folder.display()
            );
        }
        Err(TryLockError::Error(cause)) => {
            return Err(cause).with_context(|| format!("cannot lock {}", mark.display()));
        }
    }
    for entry in folder.read_dir()? {
        let path = entry?.path();
        if path == mark {
            continue;
        }
        let removed = if path.is_dir() { std::fs::remove_dir_all(&path) } else { std::fs::remove_file(&path) };
        removed.with_context(|| format!("cannot remove {}", path.display()))?;
    }
    lock.set_len(0)?;
    write!(lock, "made by lienthong demo; emptied at every start\npid {}\n", std::process::id())?;
    Ok(lock)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_demo_leaves_the_folder_of_a_running_one_alone_and_names_its_process() {
        let parent = tempfile::tempdir().unwrap();
        let folder = parent.path().join("demo");
        let running = take_folder(&folder).unwrap();
        std::fs::write(folder.join("store"), "of the first").unwrap();
        let refused = take_folder(&folder).unwrap_err().to_string();
        assert!(refused.contains(&format!("pid {}", std::process::id())), "{refused}");
        assert!(folder.join("store").exists());
        drop(running);
        let _next = take_folder(&folder).unwrap();
        assert!(!folder.join("store").exists());
    }

    #[test]
    fn a_folder_of_somebody_else_and_a_file_are_left_alone() {
        let parent = tempfile::tempdir().unwrap();
        let file = parent.path().join("afile");
        std::fs::write(&file, "mine").unwrap();
        assert!(take_folder(&file).unwrap_err().to_string().contains("afile is a file"));
        assert!(take_folder(parent.path()).unwrap_err().to_string().contains("not a folder of the demo"));
        assert!(file.exists());
    }
}
