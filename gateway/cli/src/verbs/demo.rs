//! `lienthong demo`: the main job on this machine, from nothing: keys, three gateways, a land file on its way, receipts, the answer.

mod dossier;
mod story;
mod words;

use std::path::PathBuf;

use anyhow::Context as _;
use clap::Args;
use gateway_model::language::Language;

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
        self.empty_folder()?;
        let story = story::Story::begin(&self.folder, &self.files, language).await?;
        let story = story.tell().await?;
        if self.once {
            return Ok(Exit::Success);
        }
        story.invite()?;
        tokio::signal::ctrl_c().await.context("cannot wait for Ctrl-C")?;
        Ok(Exit::Success)
    }

    fn empty_folder(&self) -> anyhow::Result<()> {
        let folder = &self.folder;
        if folder.exists() {
            let ours = folder.join(MARK).exists() || folder.read_dir()?.next().is_none();
            anyhow::ensure!(ours, "{} is not a folder of the demo; name another with --folder", folder.display());
            std::fs::remove_dir_all(folder).with_context(|| format!("cannot empty {}", folder.display()))?;
        }
        std::fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
        std::fs::write(folder.join(MARK), "made by lienthong demo; emptied at every start\n")?;
        Ok(())
    }
}
