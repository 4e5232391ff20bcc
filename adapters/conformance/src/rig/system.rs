//! The system behind the adapter: what it has, and how it is made to fail.

use std::path::Path;
use std::time::Duration;

use tokio::time::Instant;

use super::{Finding, Rig};
use crate::Trouble;
use crate::effects::Effects;
use crate::effects::sink::Mood;
use crate::manifest::{Fault, Named};
use crate::parcel::Letter;
use crate::process;

impl Rig {
    /// Waits until a delivery has exactly one effect.
    ///
    /// # Errors
    /// When it has none or more.
    pub async fn expect_one_effect(&self, id: &str) -> Result<(), Finding> {
        let deadline = Instant::now() + self.manifest.patience();
        loop {
            match self.effects.count(id).await? {
                1 => return Ok(()),
                0 if Instant::now() < deadline => {}
                0 => {
                    return Err(self.finding("the delivery was completed and the system has nothing of it: it is lost"));
                }
                count => return Err(self.finding(&format!("one delivery had {count} effects"))),
            }
            // The system behind an adapter tells nobody when it changes.
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Fails unless a delivery has had no effect.
    ///
    /// # Errors
    /// When it has.
    pub async fn expect_no_effect(&self, id: &str, why: &str) -> Result<(), Finding> {
        match self.effects.count(id).await? {
            0 => Ok(()),
            count => Err(self.finding(&format!("{why}, and yet the system has {count} effects of it"))),
        }
    }

    /// Makes the system slow, or well again.
    ///
    /// # Errors
    /// When the author's command fails.
    pub async fn slow(&self, on: bool) -> Result<(), Finding> {
        match (self.slow_kind(), &self.manifest.faults.slow) {
            (Some(Named::Sink), _) => {
                if let Some(sink) = self.effects.sink() {
                    sink.brake.set(on);
                }
                Ok(())
            }
            (None, Some(Fault::Commands { on: begin, off: end })) => self.command(if on { begin } else { end }).await,
            _ => {
                self.parts_brake.set(on);
                Ok(())
            }
        }
    }

    /// Makes the system fail for now, or well again.
    ///
    /// # Errors
    /// When there is no way to, or it fails.
    pub async fn busy(&self, on: bool) -> Result<(), Finding> {
        match (&self.manifest.faults.retryable, self.effects.sink(), &*self.effects) {
            (Some(Fault::Commands { on: begin, off: end }), _, _) => self.command(if on { begin } else { end }).await,
            (None | Some(Fault::Named(Named::Sink)), Some(sink), _) => {
                sink.set(if on { Mood::Busy } else { Mood::Well });
                Ok(())
            }
            (None | Some(Fault::Named(Named::Blocked)), None, Effects::Folder { path, .. }) => Ok(block(path, on)?),
            _ => Err(Finding("say in `[faults] retryable` how the system is made to fail for now".to_owned())),
        }
    }

    /// Makes the system refuse for good, or well again; gives the letter that it will refuse.
    ///
    /// # Errors
    /// When there is no way to, or it fails.
    pub async fn refusing(&self, on: bool, letter: Letter) -> Result<Letter, Finding> {
        match (&self.manifest.faults.permanent, self.effects.sink()) {
            (Some(Fault::Commands { on: begin, off: end }), _) => {
                self.command(if on { begin } else { end }).await?;
                Ok(letter)
            }
            (Some(Fault::Named(Named::Opaque)), _) => Ok(Letter { strange: true, ..letter }),
            (None | Some(Fault::Named(Named::Sink)), Some(sink)) => {
                sink.set(if on { Mood::Refusing } else { Mood::Well });
                Ok(letter)
            }
            _ => Err(Finding("say in `[faults] permanent` what the system refuses for good".to_owned())),
        }
    }

    /// Whether there is a way to make the system fail like that.
    pub fn can_refuse(&self) -> bool {
        self.manifest.faults.permanent.is_some() || self.effects.sink().is_some()
    }

    async fn command(&self, words: &[String]) -> Result<(), Finding> {
        process::output(&self.values.fill_all(words), &self.manifest.here).await.map(drop).map_err(Finding::from)
    }

    pub(super) fn slow_kind(&self) -> Option<Named> {
        match &self.manifest.faults.slow {
            Some(Fault::Named(named)) => Some(*named),
            Some(Fault::Commands { .. }) => None,
            None if self.effects.sink().is_some() => Some(Named::Sink),
            None => Some(Named::Parts),
        }
    }
}

/// Replaces a folder by a file, or the other way round: nothing can be written into it, not even by root.
fn block(path: &Path, on: bool) -> Result<(), Trouble> {
    let file = |source| Trouble::File { path: path.to_owned(), source };
    let aside = path.with_extension("aside");
    if !on {
        std::fs::remove_file(path).map_err(file)?;
        return if aside.exists() { std::fs::rename(&aside, path).map_err(file) } else { Ok(()) };
    }
    match path.parent() {
        Some(parent) if !path.exists() => std::fs::create_dir_all(parent).map_err(file)?,
        _ => std::fs::rename(path, &aside).map_err(file)?,
    }
    std::fs::write(path, "").map_err(file)
}
