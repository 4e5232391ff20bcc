//! `lienthong adapter test`: the conformance kit at the terminal and at the build server.

use std::collections::BTreeMap;
use std::path::PathBuf;

use adapters_conformance::manifest::Manifest;
use adapters_conformance::points::{POINTS, Point, find};
use adapters_conformance::report::{Report, Result as PointResult, Verdict};
use adapters_conformance::{Options, Trouble, run};
use clap::{Args, ValueEnum};
use gateway_model::language::Language;

use crate::exit::{Exit, Usage};
use crate::output;
use crate::{errln, outln};

/// Drives an adapter through every point of the contract, offline.
#[derive(Args, Debug)]
pub struct Test {
    /// What says how to start the adapter and how to see its effects.
    #[arg(long, value_name = "FILE", default_value = "adapter-test.toml")]
    manifest: PathBuf,
    /// Only these points.
    #[arg(long, value_name = "POINT", value_delimiter = ',')]
    only: Vec<String>,
    /// Sets a value of the manifest.
    #[arg(long, value_name = "NAME=VALUE")]
    set: Vec<String>,
    /// Points at work at the same time. Default: as the manifest says.
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(u8).range(1..=16))]
    jobs: Option<u8>,
    /// Leaves out the manifest's `build`.
    #[arg(long)]
    no_build: bool,
    /// Lists the points and ends.
    #[arg(long)]
    list: bool,
    /// Form of the output.
    #[arg(short, long, value_enum, default_value = "table")]
    output: Form,
}

/// Form of the report on stdout.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
enum Form {
    /// A table for people.
    Table,
    /// JUnit XML for build servers.
    Junit,
    /// One JSON document.
    Json,
}

impl Test {
    /// Runs the kit and prints its report.
    ///
    /// # Errors
    /// When the manifest is wrong, or the kit itself cannot go on. A point that fails is a verdict, not an error.
    pub async fn run(self, language: Language) -> anyhow::Result<Exit> {
        if self.list {
            print_points(self.output, language)?;
            return Ok(Exit::Success);
        }
        if let Some(unknown) = self.only.iter().find(|name| find(name).is_none()) {
            let known: Vec<&str> = POINTS.iter().map(|point| point.name).collect();
            return Err(Usage(format!("there is no point {unknown:?}; known: {}", known.join(", "))).into());
        }
        let set = self.set.iter().map(|pair| read_pair(pair)).collect::<Result<BTreeMap<_, _>, _>>()?;
        let manifest = Manifest::read(&self.manifest, &set).map_err(|trouble| Usage(trouble.to_string()))?;
        let options = Options { only: self.only, jobs: self.jobs.map(usize::from), no_build: self.no_build };
        let report = run(manifest, &options, |point, result| tell(point, result, language)).await;
        let report = report.map_err(|trouble| match trouble {
            wrong @ Trouble::Manifest(_) => anyhow::Error::new(Usage(wrong.to_string())),
            other => anyhow::Error::new(other),
        })?;
        match self.output {
            Form::Table => print_table(&report, language),
            Form::Junit => crate::out!("{}", report.to_junit()),
            Form::Json => outln!("{}", serde_json::to_string_pretty(&report.to_json())?),
        }
        Ok(if report.is_passed() { Exit::Success } else { Exit::Refused })
    }
}

fn read_pair(pair: &str) -> Result<(String, String), Usage> {
    let split = pair.split_once('=').filter(|(name, _)| !name.is_empty());
    let (name, value) = split.ok_or_else(|| Usage(format!("--set {pair:?} is not NAME=VALUE")))?;
    Ok((name.to_owned(), value.to_owned()))
}

fn print_points(form: Form, language: Language) -> anyhow::Result<()> {
    if form != Form::Table {
        let rows: Vec<serde_json::Value> = POINTS
            .iter()
            .map(|point| serde_json::json!({ "point": point.name, "vi": point.vietnamese, "en": point.english }))
            .collect();
        return output::print_json(output::Form::Json, &rows);
    }
    let mut table = output::table(&[language.pick("điểm", "point"), words_head(language)]);
    for point in &POINTS {
        table.add_row([point.name, words(point, language)]);
    }
    outln!("{table}");
    Ok(())
}

/// On stderr, as each point ends.
fn tell(point: &Point, result: &PointResult, language: Language) {
    errln!("{} {} ({:.1} s)", verdict_word(&result.verdict, language), point.name, result.took.as_secs_f64());
}

fn print_table(report: &Report, language: Language) {
    let pick = |vi, en| language.pick(vi, en);
    let header = [pick("điểm", "point"), pick("kết quả", "verdict"), pick("giây", "seconds"), words_head(language)];
    let mut table = output::table(&header);
    for result in &report.results {
        let said = match &result.verdict {
            Verdict::Passed => find(result.point).map(|point| words(point, language)).unwrap_or_default(),
            Verdict::Failed(why) | Verdict::Skipped(why) => why,
        };
        let seconds = format!("{:.1}", result.took.as_secs_f64());
        table.add_row([result.point, verdict_word(&result.verdict, language), &seconds, said]);
    }
    outln!("{table}");
    let (passed, failed, skipped) = report.counts();
    let counts = match language {
        Language::Vi => format!("{passed} đạt, {failed} không đạt, {skipped} bỏ qua"),
        Language::En => format!("{passed} passed, {failed} failed, {skipped} skipped"),
    };
    outln!("{counts} ({:.1} s)", report.took.as_secs_f64());
}

fn words(point: &Point, language: Language) -> &'static str {
    language.pick(point.vietnamese, point.english)
}

fn words_head(language: Language) -> &'static str {
    language.pick("nội dung", "what it is about")
}

fn verdict_word(verdict: &Verdict, language: Language) -> &'static str {
    match verdict {
        Verdict::Passed => language.pick("đạt", "passed"),
        Verdict::Failed(_) => language.pick("KHÔNG ĐẠT", "FAILED"),
        Verdict::Skipped(_) => language.pick("bỏ qua", "skipped"),
    }
}
