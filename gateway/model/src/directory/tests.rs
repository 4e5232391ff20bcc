//! Tests of the directory: names over time, successors, and every fault.

use super::*;
use crate::time::Validity;

const MERGER: Timestamp = Timestamp::from_seconds(1_751_302_800);
const BEFORE: Timestamp = Timestamp::from_seconds(1_751_302_799);
const AFTER: Timestamp = Timestamp::from_seconds(1_760_000_000);

#[test]
fn an_agency_answers_to_its_id_and_to_its_codes_in_both_grammars() {
    let directory = open(vec![agency("h99", &["H99", "000.00.00.H99", "vxp.saas.03"])]).unwrap();
    for name in ["h99", "H99", "000.00.00.H99", "vxp.saas.03"] {
        assert_eq!(directory.agency_named(name).map(|a| a.id.as_str()), Some("h99"), "{name}");
    }
    assert!(directory.agency_named("000.00.00.H98").is_none());
    assert!(directory.agency(&id("H99")).is_none(), "a code is not an id");
}

#[test]
fn a_code_passes_from_an_agency_that_ends_to_the_next_in_either_order_of_listing() {
    let (old, new) = (ended(agency("old", &["H99.30"])), agency("new", &["H99.30"]));
    for agencies in [vec![old.clone(), new.clone()], vec![new, old]] {
        let directory = open(agencies).unwrap();
        assert_eq!(directory.agency_named("H99.30").unwrap().id.as_str(), "new");
        assert_eq!(directory.agency_named_at("H99.30", BEFORE).unwrap().id.as_str(), "old");
        assert_eq!(directory.agency_named_at("H99.30", MERGER).unwrap().id.as_str(), "new");
    }
}

#[test]
fn a_code_of_an_agency_that_ended_without_an_heir_still_names_it() {
    let directory = open(vec![ended(agency("old", &["H99.30"]))]).unwrap();
    assert_eq!(directory.agency_named_at("H99.30", AFTER).unwrap().id.as_str(), "old");
}

#[test]
fn one_code_for_two_living_agencies_is_a_fault() {
    let faults = open(vec![agency("a", &["H99"]), agency("b", &["H99"])]).unwrap_err();
    assert_eq!(faults, [DirectoryFault::NameTaken { name: "H99".to_owned(), first: id("a"), second: id("b") }]);
}

#[test]
fn one_code_for_two_agencies_that_end_together_is_a_fault() {
    let faults = open(vec![ended(agency("a", &["H99"])), ended(agency("b", &["H99"]))]).unwrap_err();
    assert!(matches!(faults.as_slice(), [DirectoryFault::NameTaken { .. }]), "{faults:?}");
}

#[test]
fn one_id_for_two_agencies_is_a_fault_even_when_one_has_ended() {
    let faults = open(vec![ended(agency("a", &[])), agency("a", &[])]).unwrap_err();
    assert_eq!(faults, [DirectoryFault::NameTaken { name: "a".to_owned(), first: id("a"), second: id("a") }]);
}

#[test]
fn a_code_that_reads_like_another_agencys_id_is_a_fault_unless_its_holder_has_ended() {
    let faults = open(vec![agency("H99", &[]), agency("b", &["H99"])]).unwrap_err();
    assert!(matches!(faults.as_slice(), [DirectoryFault::NameTaken { .. }]), "{faults:?}");
    let directory = open(vec![agency("H99", &[]), ended(agency("b", &["H99"]))]).unwrap();
    assert_eq!(directory.agency_named_at("H99", BEFORE).unwrap().id.as_str(), "H99");
}

#[test]
fn a_code_listed_twice_by_one_agency_or_equal_to_its_own_id_is_no_fault() {
    assert!(open(vec![agency("H99", &["H99", "H99.1", "H99.1"])]).is_ok());
}

#[test]
fn a_living_agency_serves_itself_and_an_unknown_one_is_unknown() {
    let directory = open(vec![agency("a", &[])]).unwrap();
    assert_eq!(directory.serving(&id("a"), AFTER), Serving::Itself);
    assert_eq!(directory.serving(&id("nobody"), AFTER), Serving::Unknown);
}

#[test]
fn an_agency_serves_itself_until_its_last_instant() {
    let directory = open(vec![followed(agency("old", &[]), &["new"]), agency("new", &[])]).unwrap();
    assert_eq!(directory.serving(&id("old"), BEFORE), Serving::Itself);
    assert_eq!(directory.serving(&id("old"), MERGER), Serving::Successor(id("new")));
}

#[test]
fn an_agency_that_does_not_exist_yet_is_unknown_and_inherits_nothing() {
    let mut later = agency("later", &[]);
    later.validity.from = Some(AFTER);
    let directory = open(vec![followed(agency("old", &[]), &["later"]), later]).unwrap();
    assert_eq!(directory.serving(&id("later"), MERGER), Serving::Unknown);
    assert_eq!(directory.serving(&id("old"), MERGER), Serving::Ended);
    assert_eq!(directory.serving(&id("old"), AFTER), Serving::Successor(id("later")));
}

#[test]
fn successors_are_followed_as_far_as_they_go() {
    let chain = vec![
        followed(agency("a", &[]), &["b"]),
        followed(agency("b", &[]), &["c"]),
        followed(agency("c", &[]), &["d"]),
        agency("d", &[]),
    ];
    assert_eq!(open(chain).unwrap().serving(&id("a"), AFTER), Serving::Successor(id("d")));
}

#[test]
fn of_several_successors_the_first_with_a_living_line_serves() {
    let split = vec![
        followed(agency("a", &[]), &["dead", "b", "c"]),
        ended(agency("dead", &[])),
        followed(agency("b", &[]), &["b1"]),
        agency("b1", &[]),
        agency("c", &[]),
    ];
    assert_eq!(open(split).unwrap().serving(&id("a"), AFTER), Serving::Successor(id("b1")));
}

#[test]
fn successors_that_lead_in_a_circle_end_and_do_not_hang() {
    let circle = vec![followed(agency("a", &[]), &["b", "a"]), followed(agency("b", &[]), &["a"])];
    assert_eq!(open(circle).unwrap().serving(&id("a"), AFTER), Serving::Ended);
}

#[test]
fn each_circle_of_parents_is_one_fault() {
    let agencies = vec![
        below(agency("a", &[]), "b"),
        below(agency("b", &[]), "a"),
        below(agency("child", &[]), "a"),
        below(agency("own", &[]), "own"),
        agency("top", &[]),
        below(agency("under", &[]), "top"),
    ];
    let faults = open(agencies).unwrap_err();
    assert_eq!(faults, [DirectoryFault::Circle("a".to_owned()), DirectoryFault::Circle("own".to_owned())]);
}

#[test]
fn gateways_in_a_circle_are_a_fault_and_the_ladder_ends() {
    let mut content = content(vec![agency("a", &[])]);
    content.gateways = vec![gateway("gw-a", Some("gw-b"), 1), gateway("gw-b", Some("gw-a"), 2)];
    let faults = Directory::new(content).unwrap_err();
    assert_eq!(faults, [DirectoryFault::Circle("gw-a".to_owned()), DirectoryFault::Circle("gw-b".to_owned())]);
}

#[test]
fn links_that_lead_nowhere_are_all_found_at_once() {
    let mut lost = followed(below(agency("a", &[]), "no-parent"), &["no-heir"]);
    lost.gateway = Some(GatewayId::parse("no-gateway").unwrap());
    let mut content = content(vec![lost]);
    content.systems = vec![system("sys", "no-agency", 1)];
    content.gateways = vec![gateway("gw", Some("no-gateway"), 2)];
    content.operators = vec![operator("op", "no-gateway", 3)];
    let faults = Directory::new(content).unwrap_err();
    assert_eq!(faults.len(), 6, "{faults:?}");
    assert!(faults.iter().all(|fault| matches!(fault, DirectoryFault::Dangling { .. })), "{faults:?}");
}

#[test]
fn one_tls_certificate_for_two_parties_is_a_fault() {
    let mut content = content(vec![agency("a", &[])]);
    content.systems = vec![system("sys", "a", 7)];
    content.gateways = vec![gateway("gw", None, 7)];
    let faults = Directory::new(content).unwrap_err();
    let [DirectoryFault::CertificateTaken { first, second, .. }] = faults.as_slice() else { panic!("{faults:?}") };
    assert_eq!((first.as_str(), second.as_str()), ("system sys", "gateway gw"));
}

#[test]
fn two_systems_with_one_id_are_a_fault() {
    let mut content = content(vec![agency("a", &[])]);
    content.systems = vec![system("sys", "a", 1), system("sys", "a", 2)];
    let faults = Directory::new(content).unwrap_err();
    assert!(faults.contains(&DirectoryFault::IdTaken { kind: "system", id: "sys".to_owned() }), "{faults:?}");
}

#[test]
fn a_validity_that_ends_before_it_begins_is_a_fault() {
    let mut reversed = agency("a", &[]);
    reversed.validity = Validity { from: Some(AFTER), until: Some(MERGER) };
    assert_eq!(open(vec![reversed]).unwrap_err(), [DirectoryFault::NeverValid("a".to_owned())]);
}

#[test]
fn an_agency_without_a_gateway_is_served_by_that_of_the_nearest_ancestor() {
    let mut top = agency("top", &[]);
    top.gateway = Some(GatewayId::parse("gw-top").unwrap());
    let mut content =
        content(vec![top, below(agency("mid", &[]), "top"), below(agency("low", &[]), "mid"), agency("alone", &[])]);
    content.gateways = vec![gateway("gw-top", None, 1)];
    let directory = Directory::new(content).unwrap();
    assert_eq!(directory.gateway_of(&id("low")).unwrap().id.as_str(), "gw-top");
    assert!(directory.gateway_of(&id("alone")).is_none());
}

#[test]
fn a_tls_certificate_leads_to_its_party() {
    let mut content = content(vec![agency("a", &[])]);
    content.systems = vec![system("sys", "a", 1)];
    let directory = Directory::new(content).unwrap();
    assert_eq!(directory.party(&Digest([1; 32])), Some(&Party::System(SystemId::parse("sys").unwrap())));
    assert_eq!(directory.party(&Digest([9; 32])), None);
}

fn open(agencies: Vec<Agency>) -> Result<Directory, Vec<DirectoryFault>> {
    Directory::new(content(agencies))
}

fn content(agencies: Vec<Agency>) -> DirectoryContent {
    DirectoryContent { agencies, ..DirectoryContent::empty(1, BEFORE, AFTER) }
}

fn id(text: &str) -> AgencyId {
    AgencyId::parse(text).unwrap()
}

fn agency(name: &str, codes: &[&str]) -> Agency {
    Agency {
        id: id(name),
        name: name.to_owned(),
        name_en: String::new(),
        codes: codes.iter().map(|&code| code.to_owned()).collect(),
        parent: None,
        level: "xã".to_owned(),
        validity: Validity::ALWAYS,
        succeeded_by: Vec::new(),
        signers: Vec::new(),
        gateway: None,
    }
}

fn ended(mut agency: Agency) -> Agency {
    agency.validity.until = Some(MERGER);
    agency
}

fn followed(agency: Agency, by: &[&str]) -> Agency {
    Agency { succeeded_by: by.iter().map(|&heir| id(heir)).collect(), ..ended(agency) }
}

fn below(mut agency: Agency, parent: &str) -> Agency {
    agency.parent = Some(id(parent));
    agency
}

fn gateway(name: &str, parent: Option<&str>, certificate: u8) -> Gateway {
    Gateway {
        id: GatewayId::parse(name).unwrap(),
        address: "https://127.0.0.1:7101".to_owned(),
        parent: parent.map(|parent| GatewayId::parse(parent).unwrap()),
        tls_certificates: vec![Digest([certificate; 32])],
        log_keys: Vec::new(),
        direct_links: Vec::new(),
    }
}

fn system(name: &str, agency: &str, certificate: u8) -> System {
    System {
        id: SystemId::parse(name).unwrap(),
        tls_certificates: vec![Digest([certificate; 32])],
        speaks_for: vec![id(agency)],
    }
}

fn operator(name: &str, gateway: &str, certificate: u8) -> Operator {
    Operator {
        id: OperatorId::parse(name).unwrap(),
        tls_certificates: vec![Digest([certificate; 32])],
        role: crate::agency::OperatorRole::Viewer,
        gateways: vec![GatewayId::parse(gateway).unwrap()],
    }
}
