//! What a traced process wrote, synced and said, in order: read from the output of strace.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

/// The system calls that matter, for `strace -e`.
pub(crate) const CALLS: &str = "trace=openat,open,creat,write,pwrite64,writev,pwritev,lseek,ftruncate,truncate,fallocate,fsync,fdatasync,sync_file_range,rename,renameat,renameat2,unlink,unlinkat,mkdir,mkdirat";

/// One step of the process that the disk, or the world, sees.
#[derive(Clone, Debug)]
pub(crate) enum Event {
    /// A file got its name.
    Named(PathBuf),
    /// A file lost its name.
    Unnamed(PathBuf),
    Written {
        path: PathBuf,
        offset: usize,
        bytes: Vec<u8>,
    },
    Cut {
        path: PathBuf,
        length: usize,
    },
    /// A file, or a folder, was synced.
    Synced(PathBuf),
    /// An envelope was acknowledged.
    Acknowledged(u64),
}

/// Reads a trace (`-f -y -xx`), as far as it is about files in `folder` and about what was printed.
pub(crate) fn read(trace: &str, folder: &Path) -> Vec<Event> {
    let mut reader =
        Reader { folder: folder.to_owned(), offsets: HashMap::new(), begun: HashMap::new(), events: Vec::new() };
    for line in trace.lines() {
        let Some((process, call)) = line.split_once(' ') else { continue };
        reader.line(process, call.trim_start());
    }
    reader.events
}

struct Reader {
    folder: PathBuf,
    /// Where each open file stands.
    offsets: HashMap<String, usize>,
    /// Calls that have begun and not ended, by process.
    begun: HashMap<String, String>,
    events: Vec<Event>,
}

impl Reader {
    fn line(&mut self, process: &str, call: &str) {
        if let Some(start) = call.strip_suffix(" <unfinished ...>") {
            // What is said is said when the call begins.
            if start.starts_with("write(1<") {
                self.said(start);
            }
            self.begun.insert(process.to_owned(), start.to_owned());
        } else if let Some(rest) = call.strip_prefix("<... ") {
            let start = self.begun.remove(process).unwrap_or_default();
            let rest = rest.split_once("resumed>").map_or("", |(_, rest)| rest);
            if !start.starts_with("write(1<") {
                self.call(&format!("{start}{rest}"));
            }
        } else {
            self.call(call);
        }
    }

    fn call(&mut self, call: &str) {
        let Some((name, rest)) = call.split_once('(') else { return };
        let Some((arguments, result)) = rest.rsplit_once(" = ") else { return };
        let arguments = arguments.trim_end().trim_end_matches(')');
        if result.starts_with('-') {
            return;
        }
        match name {
            "write" if arguments.starts_with("1<") => self.said(arguments),
            "openat" | "open" | "creat" => self.opened(arguments, result),
            "unlink" | "unlinkat" => self.unnamed(arguments),
            "mkdir" | "mkdirat" => {}
            _ => self.on_file(name, arguments, result),
        }
    }

    fn said(&mut self, arguments: &str) {
        let text = String::from_utf8_lossy(&first_text(arguments).unwrap_or_default()).into_owned();
        let number = text.trim_end().strip_prefix("ack ").and_then(|number| number.parse().ok());
        self.events.extend(number.map(Event::Acknowledged));
    }

    fn opened(&mut self, arguments: &str, result: &str) {
        let Some((descriptor, path)) = descriptor(result) else { return };
        self.offsets.insert(descriptor, 0);
        let Some(path) = self.ours(path) else { return };
        if arguments.contains("O_CREAT") {
            self.events.push(Event::Named(path.clone()));
        }
        if arguments.contains("O_TRUNC") {
            self.events.push(Event::Cut { path, length: 0 });
        }
    }

    fn unnamed(&mut self, arguments: &str) {
        let Some(path) = first_text(arguments).and_then(|path| String::from_utf8(path).ok()) else { return };
        self.events.extend(self.ours(PathBuf::from(path)).map(Event::Unnamed));
    }

    fn on_file(&mut self, name: &str, arguments: &str, result: &str) {
        let Some((descriptor, path)) = descriptor(arguments) else { return };
        let last = || arguments.rsplit(", ").next().and_then(|last| last.parse::<usize>().ok());
        let done = result.split(' ').next().and_then(|done| done.parse::<usize>().ok()).unwrap_or(0);
        if name == "lseek" {
            self.offsets.insert(descriptor, done);
            return;
        }
        let Some(path) = self.ours(path) else { return };
        match name {
            "write" => {
                let at = self.offsets.entry(descriptor).or_default();
                let offset = *at;
                *at += done;
                self.written(path, offset, arguments, done);
            }
            "pwrite64" => self.written(path, last().unwrap(), arguments, done),
            "ftruncate" => self.events.push(Event::Cut { path, length: last().unwrap() }),
            "fsync" | "fdatasync" => self.events.push(Event::Synced(path)),
            other => panic!("the trace has a call that is not modelled: {other}({arguments:.200}"),
        }
    }

    fn written(&mut self, path: PathBuf, offset: usize, arguments: &str, done: usize) {
        let mut bytes = first_text(arguments).unwrap();
        assert!(bytes.len() >= done, "strace cut a write short");
        bytes.truncate(done);
        self.events.push(Event::Written { path, offset, bytes });
    }

    /// Files of the store that outlive a process; the shared memory of SQLite does not.
    fn ours(&self, path: PathBuf) -> Option<PathBuf> {
        let is_ours = path.starts_with(&self.folder) && !path.to_string_lossy().ends_with("-shm");
        is_ours.then_some(path)
    }
}

/// `7</path>` at the start of the text.
fn descriptor(text: &str) -> Option<(String, PathBuf)> {
    let (number, rest) = text.split_once('<')?;
    let path = unescape(&rest[..rest.find('>')?]);
    Some((number.to_owned(), PathBuf::from(String::from_utf8(path).ok()?)))
}

/// The first quoted argument.
fn first_text(arguments: &str) -> Option<Vec<u8>> {
    let start = arguments.find('"')? + 1;
    let end = start + arguments[start..].find('"')?;
    assert!(!arguments[end..].starts_with("\"..."), "strace cut a text short");
    Some(unescape(&arguments[start..end]))
}

/// `\x41\x42` and plain characters.
fn unescape(text: &str) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len() / 4);
    let mut rest = text.as_bytes();
    while let Some((&first, after)) = rest.split_first() {
        if first == b'\\' && after.first() == Some(&b'x') {
            let digits = std::str::from_utf8(&after[1..3]).unwrap();
            out.push(u8::from_str_radix(digits, 16).unwrap());
            rest = &after[3..];
        } else {
            out.push(first);
            rest = after;
        }
    }
    out
}
