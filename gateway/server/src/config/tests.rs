//! What a configuration says when it is right, and when it is wrong.

use std::collections::BTreeSet;

use gateway_model::limits;

use super::*;

const KEY: &str = "test+5e5d9dc7+AXkEvxTuE9Kmn1xT0X8Y5nSRyQ2bnFFsQ9G0T4j1Zy1S";

fn authority() -> String {
    // Any key will do; it is derived so that its hash fits.
    VerifierKey::new("authority", [7; 32]).unwrap().to_string()
}

fn minimal() -> String {
    format!(
        r#"[gateway]
id = "gw-commune"
[tls]
certificate = "tls/gw.pem"
key = "tls/gw.key"
roots = ["tls/ca.pem"]
[store]
path = "data"
[evidence]
key = "log/gw.key"
[directory]
file = "directory.bin"
authority = "{}"
"#,
        authority()
    )
}

fn parse(text: &str, environment: &[(&str, &str)]) -> Result<Config, Vec<Fault>> {
    let environment = environment.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned()));
    Config::parse(text, Path::new("/etc/lienthong/gateway.toml"), environment)
}

fn faults(text: &str, environment: &[(&str, &str)]) -> Vec<String> {
    parse(text, environment).unwrap_err().iter().map(ToString::to_string).collect()
}

#[test]
fn the_reference_holds_exactly_the_keys_that_are_read() {
    let layers = Layers::read("", Path::new("x"), []).unwrap();
    let written: BTreeSet<String> = layers.entries.keys().cloned().collect();
    let mut reader = super::reader::Reader::new(layers);
    reader.draft(Vec::new());
    let read: BTreeSet<String> = reader.read.iter().map(|key| (*key).to_owned()).collect();
    assert_eq!(written, read);
}

#[test]
fn only_required_keys_lack_a_default_and_defaults_are_the_bounds_of_the_model() {
    let told = faults("", &[]);
    for required in [
        "gateway.id",
        "tls.certificate",
        "tls.key",
        "tls.roots",
        "store.path",
        "evidence.key",
        "directory.file",
        "directory.authority",
    ] {
        assert!(told.iter().any(|fault| fault.contains(required)), "{required}: {told:#?}");
    }
    assert_eq!(told.len(), 8, "{told:#?}");
    let config = parse(&minimal(), &[]).unwrap();
    assert_eq!(config.retry.first, limits::RETRY_FIRST);
    assert_eq!(config.retry.max, limits::RETRY_MAX);
    assert_eq!(config.limits.part_bytes, limits::PART_BYTES_DEFAULT);
    assert_eq!(config.limits.connections, limits::CONNECTIONS_MAX);
    assert_eq!(config.limits.streams_per_connection, limits::STREAMS_PER_CONNECTION_MAX);
    assert_eq!(config.tls.handshake_timeout, limits::HANDSHAKE_TIME_MAX);
}

#[test]
fn relative_paths_start_from_the_folder_of_the_file() {
    let config = parse(&minimal(), &[]).unwrap();
    assert_eq!(config.store.path, Path::new("/etc/lienthong/data"));
    assert_eq!(config.tls.roots, [Path::new("/etc/lienthong/tls/ca.pem")]);
}

#[test]
fn a_store_in_redis_says_where_redis_is() {
    let in_redis = ("LIENTHONG_STORE__KIND", "redis");
    assert!(matches!(parse(&minimal(), &[]).unwrap().store.kind, StoreKind::Embedded));
    let told = faults(&minimal(), &[in_redis]);
    assert!(matches!(&told[..], [one] if one.contains("redis.addresses")), "{told:#?}");
    let addresses = ("LIENTHONG_REDIS__ADDRESSES", "10.0.0.1:6379,10.0.0.2:6379");
    let sentinels = ("LIENTHONG_REDIS__TOPOLOGY", "sentinel");
    let told = faults(&minimal(), &[in_redis, addresses, sentinels]);
    assert!(matches!(&told[..], [one] if one.contains("redis.master")), "{told:#?}");
    let master = ("LIENTHONG_REDIS__MASTER", "main");
    let StoreKind::Redis(redis) = parse(&minimal(), &[in_redis, addresses, sentinels, master]).unwrap().store.kind
    else {
        panic!("it is kept in Redis")
    };
    assert_eq!(redis.topology, Topology::Sentinel("main".to_owned()));
    assert_eq!(redis.addresses, ["10.0.0.1:6379", "10.0.0.2:6379"]);
    let half = ("LIENTHONG_REDIS__CERTIFICATE", "gw.pem");
    let told = faults(&minimal(), &[in_redis, addresses, half]);
    assert!(matches!(&told[..], [one] if one.contains("go together")), "{told:#?}");
}

#[test]
fn parts_lie_in_the_folder_of_the_store_or_where_the_configuration_says() {
    let folder = |environment: &[(&str, &str)]| match parse(&minimal(), environment).unwrap().parts {
        Parts::Folder(path) => path,
        Parts::S3(bucket) => panic!("a folder is expected: {bucket:?}"),
    };
    assert_eq!(folder(&[]), Path::new("/etc/lienthong/data/parts"));
    assert_eq!(folder(&[("LIENTHONG_PARTS__PATH", "/srv/shared")]), Path::new("/srv/shared"));
}

#[test]
fn a_bucket_needs_keys_and_a_way_that_nobody_listens_on() {
    let told = faults(&minimal(), &[("LIENTHONG_PARTS__KIND", "s3")]);
    let required = ["parts.access_key", "parts.bucket", "parts.endpoint", "parts.secret_key"];
    assert!(required.iter().all(|key| told.iter().any(|fault| fault.contains(key))), "{told:#?}");
    assert_eq!(told.len(), required.len(), "{told:#?}");
    let with = |more: &[(&'static str, &'static str)]| {
        let mut all = vec![
            ("LIENTHONG_PARTS__KIND", "s3"),
            ("LIENTHONG_PARTS__BUCKET", "lien-thong"),
            ("LIENTHONG_PARTS__ACCESS_KEY", "s3.id"),
            ("LIENTHONG_PARTS__SECRET_KEY", "/run/s3.key"),
        ];
        all.extend_from_slice(more);
        all
    };
    let plain = ("LIENTHONG_PARTS__ENDPOINT", "http://10.0.0.1:9000");
    let encrypted = ("LIENTHONG_PARTS__ENDPOINT", "https://s3.example");
    for (more, expected) in [
        (&[plain][..], "parts.endpoint: would send attachments in the clear"),
        (&[encrypted], "parts.roots: is required for https"),
        (&[("LIENTHONG_PARTS__ENDPOINT", "https://s3.example/bucket")], "scheme, host and port"),
        (&[("LIENTHONG_PARTS__ENDPOINT", "https://id:key@s3.example")], "scheme, host and port"),
        (&[encrypted, ("LIENTHONG_PARTS__ROOTS", "ca.pem"), ("LIENTHONG_PARTS__PREFIX", "a//b")], "parts.prefix"),
        (&[encrypted, ("LIENTHONG_PARTS__ROOTS", "ca.pem"), ("LIENTHONG_PARTS__BUCKET", "a/b")], "parts.bucket"),
    ] {
        let told = faults(&minimal(), &with(more));
        assert!(told.iter().any(|fault| fault.contains(expected)), "{expected}: {told:#?}");
    }
    let allowed = with(&[plain, ("LIENTHONG_PARTS__PLAIN_HTTP", "true"), ("LIENTHONG_PARTS__PREFIX", "hub/parts")]);
    let Parts::S3(bucket) = parse(&minimal(), &allowed).unwrap().parts else { panic!("a bucket is expected") };
    assert_eq!((&*bucket.bucket, &*bucket.prefix, &*bucket.region), ("lien-thong", "hub/parts", "us-east-1"));
    assert_eq!(bucket.access_key, Path::new("/etc/lienthong/s3.id"));
    assert_eq!(bucket.secret_key, Path::new("/run/s3.key"));
}

#[test]
fn ten_faults_are_told_together_each_with_its_line() {
    let text = format!(
        r#"[gateway]
id = "gw commune"
langage = "vi"
[listen]
doors = "localhost"
[tls]
certificate = "a.pem"
key = "a.key"
roots = []
[store]
path = "data"
free_bytes_min = "256 megabytes"
[evidence]
key = "log.key"
[directory]
file = "d.bin"
authority = "{KEY}"
refresh = 60
[limits]
part_bytes = "1GiB"
[quota]
requests_per_second = 0
[telemetry]
format = "xml"
[[adapter]]
name = "land"
agencies = ["a b"]
"#
    );
    let told = parse(&text, &[]).unwrap_err();
    let lines: Vec<usize> = told.iter().filter_map(|fault| fault.line).collect();
    assert_eq!(lines, [2, 3, 5, 9, 12, 17, 18, 20, 22, 24, 25, 27], "{told:#?}");
    assert!(told[1].problem.contains("gateway.language"), "names the nearest: {:?}", told[1]);
    assert_eq!(told[10].key, "adapter.kind");
}

#[test]
fn a_syntax_error_is_told_alone_and_with_its_line() {
    let told = parse("[gateway]\nid = \n", &[]).unwrap_err();
    assert_eq!(told.iter().map(|fault| fault.line).collect::<Vec<_>>(), [Some(2)], "alone: {told:#?}");
    assert!(told[0].problem.starts_with("not TOML"), "{told:#?}");
}

#[test]
fn the_environment_overrides_the_file_and_its_faults_name_the_variable() {
    let environment = [
        ("LIENTHONG_GATEWAY__LANGUAGE", "en"),
        ("LIENTHONG_TLS__ROOTS", "a.pem, b.pem"),
        ("LIENTHONG_QUOTA__REQUESTS_PER_SECOND", "7"),
        ("LIENTHONG_CONFIG", "not a key"),
    ];
    let config = parse(&minimal(), &environment).unwrap();
    assert_eq!(
        (config.gateway.language, config.quota.requests_per_second, config.tls.roots.len()),
        (Language::En, 7, 2)
    );
    let told = faults(&minimal(), &[("LIENTHONG_RETRY__FRIST", "1s"), ("LIENTHONG_RETRY__MAX", "soon")]);
    assert_eq!(told.len(), 2, "{told:#?}");
    assert!(
        told[0].starts_with("LIENTHONG_RETRY__FRIST: retry.frist: unknown key; did you mean `retry.first`?"),
        "{told:?}"
    );
    assert!(told[1].starts_with("LIENTHONG_RETRY__MAX: retry.max: a length of time is expected"), "{told:?}");
}

#[test]
fn values_without_a_unit_are_refused() {
    for (section, line, expected) in [
        ("retry", "first = \"5\"", "length of time"),
        ("retry", "first = \"0s\"", "above zero"),
        ("retry", "first = \"2h\"", "longer than retry.max"),
        ("quota", "bytes_per_second = \"64MB\"", "size"),
        ("quota", "bytes_per_second = \"1KiB\"", "at least 1MiB"),
        ("limits", "connections = 5000", "can be lowered but not raised"),
    ] {
        let told = faults(&format!("{}[{section}]\n{line}\n", minimal()), &[]);
        assert!(told.len() == 1 && told[0].contains(expected), "{line}: {told:#?}");
    }
}

#[test]
fn every_value_is_shown_with_its_origin() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("gateway.toml");
    std::fs::write(&file, minimal()).unwrap();
    let shown = Config::show(&file, [("LIENTHONG_RETRY__MAX".to_owned(), "2h".to_owned())]).unwrap();
    let find =
        |key: &str| shown.iter().find(|s| s.key == key).map(|s| (s.value.clone(), s.origin.to_string())).unwrap();
    assert_eq!(find("gateway.id"), ("\"gw-commune\"".to_owned(), "line 2".to_owned()));
    assert_eq!(find("retry.max"), ("\"2h\"".to_owned(), "environment LIENTHONG_RETRY__MAX".to_owned()));
    assert_eq!(find("retry.first"), ("\"5s\"".to_owned(), "default".to_owned()));
}

#[test]
fn two_adapters_cannot_serve_the_same_agency() {
    let text = format!(
        "{}[[adapter]]\nname = \"a\"\nkind = \"folder\"\npath = \"a\"\nagencies = [\"x\"]\n[[adapter]]\nname = \"b\"\nkind = \"folder\"\nagencies = [\"x\"]\n",
        minimal()
    );
    let told = parse(&text, &[]).unwrap_err();
    assert_eq!(told.iter().map(|f| f.line).collect::<Vec<_>>(), [Some(22)], "{told:#?}");
}

#[test]
fn the_faults_of_an_adapters_own_keys_are_told_with_their_lines_beside_all_others() {
    let text = format!(
        "{}[retry]\nfirst = 5\n[[adapter]]\nname = \"a\"\nkind = \"folder\"\nagencies = [\"x\"]\npath = \"a\"\npoll = \"1s\"\n[[adapter]]\nname = \"b\"\nkind = \"pigeon\"\nagencies = [\"y\"]\n",
        minimal()
    );
    let told = parse(&text, &[]).unwrap_err();
    assert_eq!(told.iter().map(|f| f.line).collect::<Vec<_>>(), [Some(15), Some(21), Some(24)], "{told:#?}");
    assert!(told[2].problem.contains("known: edxml, folder, http, land, worker"), "{told:#?}");
}

#[test]
fn the_example_of_deploy_is_a_configuration() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../deploy/gateway.example.toml");
    let config = parse(&std::fs::read_to_string(file).unwrap(), &[]).unwrap();
    assert_eq!(config.store.path, Path::new("/var/lib/lienthong"), "StateDirectory of the unit");
    assert_eq!(config.adapters.len(), 1);
}

#[test]
fn the_adapter_that_the_reference_describes_in_comments_is_one() {
    let described = DEFAULT.lines().skip_while(|line| *line != "# [[adapter]]");
    let described = described.take_while(|line| !line.starts_with("# What is dropped"));
    let is_toml =
        |line: &&str| line.starts_with('[') || line.split_once(" = ").is_some_and(|(key, _)| !key.contains(' '));
    let written: Vec<&str> = described.filter_map(|line| line.strip_prefix("# ")).filter(is_toml).collect();
    let config = parse(&format!("{}\n{}\n", minimal(), written.join("\n")), &[]).unwrap();
    let keys: Vec<&str> = config.adapters[0].own.keys().map(String::as_str).collect();
    assert_eq!(keys, ["expires_in", "outgoing", "path", "poll_interval", "seal", "set_aside_for"]);
}
