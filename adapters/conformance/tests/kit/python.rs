//! What the Python loop does where no gateway looks: its memory after a crash, its words, and what it has to submit.

use super::*;

/// Runs Python with the loop at hand; its asserts are the test.
fn check(script: &str) {
    let folder = tempfile::tempdir().unwrap();
    new_adapter(Tongue::Python, folder.path());
    let python = |arguments: &[&str]| {
        std::process::Command::new(python()).current_dir(folder.path()).args(arguments).output().unwrap()
    };
    assert!(python(&["make_stubs.py", "proto"]).status.success());
    let ran = python(&["-c", &format!("import os, pathlib, threading, lienthong_adapter as kit\n{script}")]);
    assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
}

#[test]
fn what_it_reports_is_short_and_stands_on_one_line() {
    check(
        r#"
assert kit.short("hai\ndòng\x1b[31m", 512) == "hai dòng [31m"
assert len(kit.short("ữ" * 60, 128).encode()) <= 128
assert kit.short("số 7", 128) == "số 7"
"#,
    );
}

#[test]
fn a_memory_that_a_crash_cut_in_the_middle_of_a_letter_is_read_all_the_same() {
    check(
        r#"
path = pathlib.Path("done")
path.write_bytes("a1 SỐ-7\na2 SỐ".encode()[:-1])
journal = kit.Journal(path)
assert journal.get("a1") == "SỐ-7" and journal.get("a2") is None
journal.add("a3", "x")
assert kit.Journal(path).done == {"a1": "SỐ-7", "a3": "x"}
kit.REMEMBERED = 2
for number in range(10):
    journal.add(f"b{number}", "x")
assert len(path.read_text().splitlines()) < 5, "it does not grow for ever"
assert kit.Journal(path).get("b9") == "x"
"#,
    );
}

#[test]
fn a_submission_that_is_refused_for_good_stays_and_does_not_block_the_next_one() {
    check(
        r#"
class Refusal(kit.grpc.RpcError):
    def code(self): return kit.grpc.StatusCode.INVALID_ARGUMENT
    def details(self): return "REQUEST_MALFORMED"
    def trailing_metadata(self): return ()

sent, tried = [], []
class Adapter:
    def collect(self): return [kit.Submission(key, None) for key in ("poison", "good")]
worker = object.__new__(kit.Worker)
worker.adapter, worker.draining, worker.not_taken = Adapter(), threading.Event(), set()
def send_one(submission):
    tried.append(submission.key)
    if submission.key == "poison":
        raise Refusal()
    sent.append(submission.key)
    if len(sent) == 2:
        worker.draining.set()
worker.send_one = send_one
worker.send()
assert sent == ["good", "good"] and tried.count("poison") == 1, (sent, tried)
"#,
    );
}

#[test]
fn a_new_file_under_an_old_name_is_another_letter() {
    check(
        r#"
import adapter
hello = adapter.Hello()
hello.into = kit.folder("in")
def key(time):
    (hello.into / "12.txt").write_text("công văn")
    os.utime(hello.into / "12.txt", ns=(time, time))
    return next(hello.collect()).key
assert key(1_000) == key(1_000) and key(1_000) != key(2_000)
"#,
    );
}
