//! `store check` and `store rebuild-index`: what is wrong, each with a stable code, its place, and what to do.

use gateway_model::language::Language;
use gateway_server::app::offline::{Finding, OfflineStore, Parts, Rebuilt, Report};
use serde_json::{Value, json};

use crate::exit::Exit;
use crate::output::{self, Form};
use crate::{errln, outln};

/// Checks, prints, and says by the exit code whether the store is sound.
pub(super) async fn check(store: &OfflineStore, parts: Parts, form: Form, language: Language) -> anyhow::Result<Exit> {
    let report = store.check(parts).await?;
    print(&report.findings, form, language, || summary(&report, language))?;
    Ok(if report.is_sound() { Exit::Success } else { Exit::Stuck })
}

/// Mends, and tells what was put right.
pub(super) async fn rebuild(store: &OfflineStore, form: Form, language: Language) -> anyhow::Result<Exit> {
    match store.rebuild().await? {
        Rebuilt::Refused(report) => {
            print(&report.findings, form, language, || summary(&report, language))?;
            let why =
                language.pick("có bản ghi bị hỏng: không thay đổi gì", "records are damaged: nothing was changed");
            errln!("lienthong: {why}");
            Ok(Exit::Stuck)
        }
        Rebuilt::Mended { mended, more, after } => {
            let count = mended.len() as u64 + more;
            let value =
                || json!({ "mended": findings(&mended, language), "more": more, "after": summary(&after, language) });
            print(&mended, form, language, value)?;
            errln!("{}: {count}", language.pick("số chỗ đã sửa", "mended"));
            if !after.is_sound() {
                errln!("{}:", language.pick("vẫn còn", "still wrong"));
                print(&after.findings, Form::Table, language, || Value::Null)?;
            }
            Ok(if after.is_sound() { Exit::Success } else { Exit::Stuck })
        }
    }
}

fn print(found: &[Finding], form: Form, language: Language, whole: impl FnOnce() -> Value) -> anyhow::Result<()> {
    match form {
        Form::Json => outln!("{}", serde_json::to_string_pretty(&whole())?),
        Form::Jsonl => output::print_json(Form::Jsonl, &findings(found, language))?,
        Form::Table => {
            let pick = |vi, en| language.pick(vi, en);
            if found.is_empty() {
                errln!("{}", pick("không thấy gì sai", "nothing is wrong"));
                return Ok(());
            }
            let mut table = output::table(&[
                pick("Mã", "Code"),
                pick("Ở đâu", "Where"),
                pick("Điều gì", "What"),
                pick("Làm gì tiếp", "Next"),
            ]);
            for finding in found {
                let what = finding.code.message(language);
                let what = if finding.seen.is_empty() { what.to_owned() } else { format!("{what}: {}", finding.seen) };
                let next = finding.code.next_step(language);
                table.add_row([finding.code.code(), &finding.place, &what, next]);
            }
            outln!("{table}");
        }
    }
    Ok(())
}

fn summary(report: &Report, language: Language) -> Value {
    json!({
        "sound": report.is_sound(), "rows": report.rows, "leaves": report.leaves, "parts": report.parts,
        "findings": findings(&report.findings, language), "more": report.more,
    })
}

fn findings(found: &[Finding], language: Language) -> Vec<Value> {
    let one = |finding: &Finding| {
        json!({
            "code": finding.code.code(), "place": finding.place, "seen": finding.seen,
            "message": finding.code.message(language), "next": finding.code.next_step(language),
        })
    };
    found.iter().map(one).collect()
}
