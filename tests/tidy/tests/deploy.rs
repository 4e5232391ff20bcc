//! What `deploy/` says is true of the program: keys, variables, commands of Redis, values of the chart, and images that are pinned.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on has failed")]

use std::collections::{BTreeMap, BTreeSet};

use tests_tidy::{Source, root, settle, source, sources_below};
use yaml_rust2::{Yaml, YamlLoader};

const DEFAULTS: &str = "gateway/server/src/config/default.toml";
const VALUES: &str = "deploy/helm/lienthong/values.yaml";
const TEMPLATES: &str = "deploy/helm/lienthong/templates/";

#[test]
fn every_key_of_a_configuration_is_one_of_the_program() {
    let known = defaults();
    let mut configurations = deployed(".toml");
    // What is no gateway's: an adapter that runs as a worker, and Garage.
    configurations.retain(|file| !["land-office.toml", "garage.toml"].contains(&file.name()));
    let values = deployed_file(VALUES);
    let config = yaml(&values)["config"].as_str().unwrap().to_owned();
    configurations.push(Source { path: format!("{VALUES} config"), text: config });
    assert!(configurations.len() >= 6, "{} configurations: the walk looks in the wrong place", configurations.len());
    let complaints: Vec<String> = configurations.iter().flat_map(|file| strange_keys(file, &known)).collect();
    settle(&complaints, "write the key as `lienthong config default` does");
}

#[test]
fn a_strange_key_is_found_and_so_is_a_value_of_another_kind() {
    let known = defaults();
    let file = |text: &str| Source { path: "x.toml".to_owned(), text: text.to_owned() };
    assert_eq!(strange_keys(&file("[redis]\nnodes = \"a\""), &known), ["x.toml: redis.nodes is no key"]);
    assert_eq!(strange_keys(&file("[redis]\naddresses = \"a\""), &known), ["x.toml: redis.addresses is a string"]);
    assert_eq!(
        strange_keys(&file("[[adapter]]\nkind = \"worker\""), &known),
        ["x.toml: an adapter without name, agencies"]
    );
    let right = "[redis]\naddresses = [\"a:1\"]\n[[adapter]]\nname = \"a\"\nkind = \"worker\"\nagencies = []";
    assert_eq!(strange_keys(&file(right), &known), Vec::<String>::new());
}

#[test]
fn every_variable_names_a_key_of_the_program() {
    let known = defaults();
    let (mut seen, mut complaints) = (0, Vec::new());
    for file in deployed("") {
        for name in words(&file.text, |c| c.is_ascii_uppercase() || c == '_') {
            let Some((section, key)) = name.strip_prefix("LIENTHONG_").and_then(|rest| rest.split_once("__")) else {
                continue;
            };
            seen += 1;
            let key = format!("{}.{}", section.to_lowercase(), key.to_lowercase());
            // Before a `*` it means all of a section.
            if !known.keys().any(|known| *known == key) && !key.ends_with('.') {
                complaints.push(format!("{}: {name} is no key", file.path));
            }
        }
    }
    assert!(seen > 20, "{seen} variables: the walk looks in the wrong place");
    settle(&complaints, "write LIENTHONG_<SECTION>__<KEY> for a key that `lienthong config default` has");
}

#[test]
fn yaml_is_yaml_and_what_compose_mounts_is_there() {
    for file in deployed(".yaml").iter().chain(&deployed(".yml")).filter(|file| !file.path.starts_with(TEMPLATES)) {
        assert!(!yaml(file).is_badvalue(), "{} is empty", file.path);
    }
    let compose = yaml(&deployed_file("deploy/compose/compose.yaml"));
    let services = compose["services"].as_hash().unwrap();
    let mounts = services.values().flat_map(|service| service["volumes"].as_vec().cloned().unwrap_or_default());
    let files: Vec<String> =
        mounts.map(|mount| mount.as_str().unwrap().split(':').next().unwrap().to_owned()).collect();
    assert!(files.len() > 10, "{} mounts: the walk looks in the wrong place", files.len());
    // What `prepare` makes lies in .made/.
    let missing =
        files.iter().filter(|file| !file.starts_with("./.made/") && !root().join("deploy/compose").join(file).exists());
    let complaints: Vec<String> =
        missing.map(|file| format!("deploy/compose/compose.yaml: {file} is not there")).collect();
    settle(&complaints, "name a file of the tree, or one that deploy/compose/prepare makes");
}

#[test]
fn images_are_pinned_by_digest_and_the_compiler_is_that_of_the_tree() {
    let compose = yaml(&deployed_file("deploy/compose/compose.yaml"));
    let services = compose["services"].as_hash().unwrap();
    let mut images: Vec<String> =
        services.values().filter_map(|service| service["image"].as_str()).map(str::to_owned).collect();
    let dockerfile = deployed_file("deploy/Dockerfile");
    let bases = dockerfile.text.lines().filter_map(|line| line.strip_prefix("FROM "));
    images.extend(bases.map(|base| base.split(' ').next().unwrap().to_owned()));
    assert!(images.len() >= 5, "{images:?}");
    let is_pinned = |image: &str| {
        image.split_once("@sha256:").is_some_and(|(name, digest)| {
            name.contains(':') && digest.len() == 64 && digest.bytes().all(|byte| byte.is_ascii_hexdigit())
        })
    };
    let loose = images.iter().filter(|image| !is_pinned(image));
    let complaints: Vec<String> = loose.map(|image| format!("{image} may be other bytes tomorrow")).collect();
    settle(&complaints, "name the version and the digest: image:1.2.3@sha256:…");
    let toolchain: toml::Table = source("rust-toolchain.toml").unwrap().text.parse().unwrap();
    let channel = toolchain["toolchain"]["channel"].as_str().unwrap();
    assert!(
        dockerfile.text.contains(&format!("FROM rust:{channel}-")),
        "deploy/Dockerfile has another compiler than {channel}"
    );
    assert!(
        dockerfile.text.contains(&format!("RUSTUP_TOOLCHAIN={channel}\n")),
        "deploy/Dockerfile has another toolchain"
    );
}

#[test]
fn redis_is_set_to_what_the_gateway_asks_for() {
    let settings = deployed_file("deploy/redis/lienthong.conf");
    let asked = ["appendonly yes", "appendfsync always", "no-appendfsync-on-rewrite no", "maxmemory-policy noeviction"];
    let reference = source(DEFAULTS).unwrap().text;
    for line in asked {
        assert!(reference.contains(&format!("`{line}`")), "{DEFAULTS} no longer asks for {line}");
        assert!(settings.text.lines().any(|given| given == line), "{} does not say {line}", settings.path);
    }
    let users = deployed_file("deploy/redis/lienthong.user.conf");
    let everybody = users.text.lines().find(|line| line.starts_with("user default ")).unwrap();
    // Redis replays its log as this user, and drops what the user may not do.
    assert_eq!(everybody, "user default off resetpass ~* &* +@all");
}

#[test]
fn the_user_of_redis_may_do_what_the_store_does_and_nothing_else() {
    let users = deployed_file("deploy/redis/lienthong.user.conf");
    let line = users.text.lines().find(|line| line.starts_with("user lienthong ")).unwrap();
    assert!(line.contains(" resetkeys ~lienthong:* ") && line.contains(" -@all "), "{line}");
    let allowed: BTreeSet<String> = line.split(' ').filter_map(|rule| rule.strip_prefix('+')).map(command).collect();
    let mut used = BTreeSet::new();
    for ending in [".rs", ".lua"] {
        for file in sources_below("gateway/store-redis/src", ending) {
            used.extend(commands(&file.text));
        }
    }
    assert!(used.len() > 20, "{used:?}: the walk looks in the wrong place");
    // COUNT is a word of the commit script's own. Waiting for replicas is a right for where there are some: the file says so.
    let beside = ["count", "wait", "waitaof"].map(str::to_owned);
    // What the client sends for `Script::load`.
    used.insert("script".to_owned());
    let used: BTreeSet<String> = used.into_iter().filter(|name| !beside.contains(name)).collect();
    assert_eq!(used, allowed, "left: what the store sends; right: what deploy/redis/lienthong.user.conf allows");
    assert!(["+wait,", "+waitaof", "+role", "+cluster|slots"].iter().all(|right| users.text.contains(right)));
}

#[test]
fn commands_are_found_where_they_are_sent() {
    let text = "redis::cmd(\"INFO\"); a.cmd(\"HGET\"); word(\"ZADD\"); redis.call('SET', x) .arg(2).arg(\"DEL\").arg(\"LIMIT\") word(\"h\")";
    assert_eq!(commands(text), ["del", "hget", "info", "set", "zadd"].map(str::to_owned).into());
}

#[test]
fn every_value_that_the_chart_uses_is_explained() {
    let values = yaml(&deployed_file(VALUES));
    let mut complaints = Vec::new();
    let mut seen = 0;
    for file in sources_below(TEMPLATES, "") {
        for (number, line) in file.lines() {
            for used in line.split(".Values.").skip(1) {
                let path = used.split(|c: char| !c.is_ascii_alphanumeric() && c != '.').next().unwrap_or_default();
                seen += 1;
                let found = path.split('.').fold(values.clone(), |value, key| value[key].clone());
                if found.is_badvalue() {
                    complaints.push(format!("{}:{number}: {path} is not in values.yaml", file.path));
                }
            }
            if line.matches("{{").count() != line.matches("}}").count() {
                complaints.push(format!("{}:{number}: an action that does not end in its line", file.path));
            }
        }
    }
    assert!(seen > 40, "{seen} values: the walk looks in the wrong place");
    settle(&complaints, "give it a default and a comment in values.yaml");
}

#[test]
fn every_file_is_named_in_the_readme() {
    let readme = deployed_file("deploy/README.md").text;
    let mut complaints = Vec::new();
    for file in deployed("").iter().filter(|file| !file.path.starts_with(TEMPLATES)) {
        let path = file.path.strip_prefix("deploy/").unwrap();
        if !readme.contains(path) && path != "README.md" {
            complaints.push(format!("deploy/README.md does not name {path}"));
        }
    }
    settle(&complaints, "add it to the table at the top");
}

/// `section.key` with its default value.
fn defaults() -> BTreeMap<String, toml::Value> {
    let table: toml::Table = source(DEFAULTS).unwrap().text.parse().unwrap();
    let keys = table.into_iter().flat_map(|(section, keys)| {
        let toml::Value::Table(keys) = keys else { panic!("{section} is no section") };
        keys.into_iter().map(move |(key, value)| (format!("{section}.{key}"), value))
    });
    keys.collect()
}

fn strange_keys(file: &Source, known: &BTreeMap<String, toml::Value>) -> Vec<String> {
    let table: toml::Table = file.text.parse().unwrap_or_else(|error| panic!("{}: {error}", file.path));
    let mut strange = Vec::new();
    for (section, keys) in table {
        match keys {
            toml::Value::Array(adapters) if section == "adapter" => {
                for adapter in &adapters {
                    let missing: Vec<&str> =
                        ["name", "kind", "agencies"].into_iter().filter(|key| adapter.get(key).is_none()).collect();
                    if !missing.is_empty() {
                        strange.push(format!("{}: an adapter without {}", file.path, missing.join(", ")));
                    }
                }
            }
            toml::Value::Table(keys) => strange.extend(keys.into_iter().filter_map(|(key, value)| {
                let name = format!("{section}.{key}");
                match known.get(&name) {
                    None => Some(format!("{}: {name} is no key", file.path)),
                    Some(default) if !default.same_type(&value) => {
                        Some(format!("{}: {name} is a {}", file.path, value.type_str()))
                    }
                    Some(_) => None,
                }
            })),
            other => strange.push(format!("{}: {section} is a {}", file.path, other.type_str())),
        }
    }
    strange
}

/// Names of commands, in small letters: given to the client or to a script, or called by a script.
fn commands(text: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for before in
        ["cmd(\"", "word(\"", "redis.call('", ".arg(2).arg(\"", ".arg(3).arg(\"", ".arg(pairs.len() + 2).arg(\""]
    {
        for rest in text.split(before).skip(1) {
            let name = rest.split(['"', '\'']).next().unwrap_or_default();
            if !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_uppercase()) {
                found.insert(name.to_lowercase());
            }
        }
    }
    found
}

/// The command of a rule: `config|get` is one of `config`.
fn command(rule: &str) -> String {
    rule.split('|').next().unwrap_or(rule).to_owned()
}

fn words(text: &str, is_part: impl Fn(char) -> bool) -> impl Iterator<Item = &str> {
    text.split(move |c: char| !is_part(c)).filter(|word| !word.is_empty())
}

fn yaml(file: &Source) -> Yaml {
    let loaded = YamlLoader::load_from_str(&file.text).unwrap_or_else(|error| panic!("{}: {error}", file.path));
    loaded.into_iter().next().unwrap_or(Yaml::BadValue)
}

/// Files of `deploy/`; what `prepare` makes has a dot before its name.
fn deployed(ending: &str) -> Vec<Source> {
    let mut files = sources_below("deploy", ending);
    files.retain(|file| !file.name().starts_with('.'));
    files
}

fn deployed_file(path: &str) -> Source {
    source(path).unwrap_or_else(|| panic!("{path} is missing"))
}
