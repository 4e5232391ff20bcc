//! The metrics pages of running gateways, looked at again and again: which series there are, and which of them move.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use gateway_cli::local::Local;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

/// What moves at all moves within this time on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);
/// Between two looks.
const LOOK: Duration = Duration::from_millis(50);

/// One line of a metrics page, without its number.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Series {
    pub metric: String,
    pub labels: BTreeMap<String, String>,
}

/// All that was seen.
#[derive(Default)]
pub struct Watch {
    /// The last number of each series of each gateway.
    numbers: BTreeMap<(String, Series), f64>,
    /// Everything that was ever there.
    pub seen: BTreeSet<Series>,
    /// Metrics with a series that changed.
    pub moved: BTreeSet<String>,
    looks: usize,
}

impl Watch {
    /// Scrapes every gateway that runs.
    pub async fn look(&mut self, local: &Local) {
        for (number, gateway) in local.gateways.iter().enumerate() {
            if local.process(number).is_none() {
                continue;
            }
            for (series, value) in read(&page(gateway.admin_port, "/metrics").await) {
                let before = self.numbers.insert((gateway.id.to_string(), series.clone()), value);
                // What is new after the first look was not there before, which is a move too, unless it begins at zero.
                let changed = before.map_or(self.looks > 0 && value != 0.0, |before| before != value);
                if changed {
                    self.moved.insert(series.metric.clone());
                }
                self.seen.insert(series);
            }
        }
        self.looks += 1;
    }

    /// Looks until each of these has moved.
    pub async fn until(&mut self, local: &Local, metrics: &[&str]) {
        let begun = Instant::now();
        loop {
            self.look(local).await;
            let still: Vec<&&str> = metrics.iter().filter(|metric| !self.moved.contains(**metric)).collect();
            if still.is_empty() {
                return;
            }
            assert!(begun.elapsed() < PATIENCE, "these have not moved: {still:?}");
            // Other processes work meanwhile; no event of theirs comes here.
            tokio::time::sleep(LOOK).await;
        }
    }

    /// The last number of a series of a gateway.
    pub fn number(&self, gateway: &str, metric: &str) -> Option<f64> {
        let series = Series { metric: metric.to_owned(), labels: BTreeMap::new() };
        self.numbers.get(&(gateway.to_owned(), series)).copied()
    }
}

/// What the admin port answers.
pub async fn page(port: u16, path: &str) -> String {
    let mut stream = tokio::net::TcpStream::connect(("127.0.0.1", port)).await.unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    answer
}

fn read(page: &str) -> Vec<(Series, f64)> {
    let (_, body) = page.split_once("\r\n\r\n").unwrap();
    let samples = body.lines().filter(|line| line.starts_with("lienthong_"));
    samples.map(sample).collect()
}

fn sample(line: &str) -> (Series, f64) {
    let (series, value) = line.rsplit_once(' ').unwrap();
    let (metric, labels) = series.split_once('{').unwrap_or((series, "}"));
    let labels = labels.trim_end_matches('}').split("\",").filter(|label| !label.is_empty());
    let label = |label: &str| {
        let (name, value) = label.split_once("=\"").unwrap();
        (name.to_owned(), value.trim_end_matches('"').to_owned())
    };
    (Series { metric: metric.to_owned(), labels: labels.map(label).collect() }, value.parse().unwrap())
}
