//! Faults of the CAs above the signer: who may issue what, under which names and policies, how far.

use super::BadCase;
use super::stage::{Party, Stage, put};
use crate::Error;
use crate::der::{self, tag};
use crate::x509::{COUNTRY, Extension, ORGANIZATION, Template, general_name, name, name_as, usage};

/// A policy that the anchor allows.
pub(super) const POLICY: &str = "1.3.6.1.4.1.55555.7.1";
const OTHER_POLICY: &str = "1.3.6.1.4.1.55555.7.2";
/// anyPolicy of RFC 5280.
pub(super) const ANY_POLICY: &str = "2.5.29.32.0";

pub(super) fn cases(stage: &Stage) -> Result<Vec<BadCase>, Error> {
    let mut cases = issuers(stage)?;
    cases.extend(lengths(stage)?);
    cases.extend(names(stage)?);
    cases.extend(policies(stage)?);
    Ok(cases)
}

/// Issuers that are none.
fn issuers(stage: &Stage) -> Result<Vec<BadCase>, Error> {
    const NOT_CA: &str = "ISSUER_NOT_CA";
    let case = |name, reason, change: &dyn Fn(&mut Template)| {
        let (issuing, leaf) = stage.issuing_with(change)?;
        stage.case_below(name, reason, &leaf, &[issuing])
    };
    // The agency's own leaf, used as if it were a CA.
    let by_leaf = stage.leaf_below(&stage.leaf, of_organization("Cơ quan giả"))?;
    Ok(vec![
        case("issuer-says-not-ca", NOT_CA, &|template| put(template, Extension::not_authority()))?,
        case("issuer-without-basic-constraints", NOT_CA, &|template| {
            template.extensions.retain(|extension| extension.oid != "2.5.29.19");
        })?,
        stage.case_below("issuer-is-a-leaf", NOT_CA, &by_leaf, &[stage.leaf.clone(), stage.issuing.clone()])?,
        case("issuer-without-key-cert-sign", "ISSUER_KEY_USAGE", &|template| {
            put(template, Extension::key_usage(&[usage::CRL_SIGN, usage::DIGITAL_SIGNATURE]));
        })?,
    ])
}

/// Chains that are longer than a CA or the budget allows.
fn lengths(stage: &Stage) -> Result<Vec<BadCase>, Error> {
    let (narrow, _) = stage.issuing_with(|template| put(template, Extension::authority(Some(0))))?;
    let below = stage.authority_below(&narrow, "CA cấp dưới", |_| {})?;
    let leaf = stage.leaf_below(&below, |_| {})?;
    // Root and leaf are two: eight CAs between them make ten.
    let (long, last) = chain_of(stage, 8)?;
    Ok(vec![
        stage.case_below("path-length-exceeded", "PATH_LENGTH_EXCEEDED", &leaf, &[below, narrow])?,
        stage.case_below("chain-of-ten", "CHAIN_TOO_LONG", &last, &long)?,
    ])
}

/// So many CAs one below the other, and a leaf of the last.
pub(super) fn chain_of(stage: &Stage, count: usize) -> Result<(Vec<Party>, Party), Error> {
    let mut authorities: Vec<Party> = Vec::with_capacity(count);
    for number in 1..=count {
        let above = authorities.last().unwrap_or(&stage.root);
        authorities.push(stage.authority_below(above, &format!("CA cấp {number}"), |_| {})?);
    }
    let leaf = stage.leaf_below(authorities.last().unwrap_or(&stage.root), |_| {})?;
    Ok((authorities, leaf))
}

/// A CA whose names are constrained, and a leaf of it.
pub(super) fn constrained(
    stage: &Stage,
    case: (&'static str, &'static str),
    permitted: &[Vec<u8>],
    excluded: &[Vec<u8>],
    change: impl FnOnce(&mut Template),
) -> Result<BadCase, Error> {
    let (issuing, _) =
        stage.issuing_with(|template| put(template, Extension::name_constraints(permitted, excluded)))?;
    let leaf = stage.leaf_below(&issuing, change)?;
    stage.case_below(case.0, case.1, &leaf, &[issuing])
}

/// `C=VN, O=<organization>`, as a GeneralName.
pub(super) fn organization(text: &str) -> Vec<u8> {
    general_name::directory(&name_as(tag::UTF8_STRING, &[(COUNTRY, "VN"), (ORGANIZATION, text)]))
}

/// Gives a leaf an organization of its own.
pub(super) fn of_organization(text: &str) -> impl FnOnce(&mut Template) {
    let subject = name(text, "Văn phòng");
    move |template| template.subject = subject
}

/// Gives a leaf an e-mail address.
pub(super) fn with_email(address: &str) -> impl FnOnce(&mut Template) {
    let names = Extension::alternative_names(&[general_name::email(address)]);
    move |template| put(template, names)
}

fn names(stage: &Stage) -> Result<Vec<BadCase>, Error> {
    const NAME: &str = "NAME_CONSTRAINT";
    const EMAIL_ADDRESS: &str = "1.2.840.113549.1.9.1";
    let email = general_name::email;
    let in_subject = |template: &mut Template| {
        let text = der::element(tag::IA5_STRING, b"an@cam.example");
        let attribute = der::set_of(&[der::sequence(&[der::oid(EMAIL_ADDRESS), text])]);
        let country = der::set_of(&[der::sequence(&[der::oid(COUNTRY), der::element(tag::PRINTABLE_STRING, b"VN")])]);
        template.subject = der::sequence(&[country, attribute]);
    };
    let registered = general_name::registered("1.3.6.1.4.1.55555.9");
    let with_registered = Extension::alternative_names(std::slice::from_ref(&registered));
    Ok(vec![
        constrained(stage, ("name-not-permitted", NAME), &[organization("Tỉnh A")], &[], of_organization("Tỉnh B"))?,
        constrained(stage, ("name-excluded", NAME), &[], &[organization("Tỉnh B")], of_organization("Tỉnh B"))?,
        constrained(
            stage,
            ("email-not-permitted", NAME),
            &[email("thanhlinh.example")],
            &[],
            with_email("an@khac.example"),
        )?,
        constrained(stage, ("email-excluded", NAME), &[], &[email("cam.example")], with_email("an@cam.example"))?,
        constrained(stage, ("email-excluded-in-subject", NAME), &[], &[email("cam.example")], in_subject)?,
        constrained(stage, ("constraint-of-unknown-type", NAME), &[], &[registered], |template| {
            put(template, with_registered)
        })?,
    ])
}

/// A CA with these policies and a leaf with those, where the anchor allows [`POLICY`] only.
pub(super) fn with_policies(
    stage: &Stage,
    case: (&'static str, &'static str),
    of_issuing: &[&str],
    of_leaf: &[&str],
    more: Option<Extension>,
) -> Result<BadCase, Error> {
    let (issuing, _) = stage.issuing_with(|template| {
        put(template, Extension::policies(of_issuing));
        more.into_iter().for_each(|extension| put(template, extension));
    })?;
    let leaf = stage.leaf_below(&issuing, |template| {
        if !of_leaf.is_empty() {
            put(template, Extension::policies(of_leaf));
        }
    })?;
    Ok(BadCase { policies: vec![POLICY.to_owned()], ..stage.case_below(case.0, case.1, &leaf, &[issuing])? })
}

fn policies(stage: &Stage) -> Result<Vec<BadCase>, Error> {
    const POLICY_NOT_ALLOWED: &str = "POLICY_NOT_ALLOWED";
    let pair = der::sequence(&[der::oid(POLICY), der::oid(OTHER_POLICY)]);
    let mapping = Extension::critical("2.5.29.33", der::sequence(&[pair]));
    let case = |name, of_issuing: &[&str], of_leaf: &[&str], more| {
        with_policies(stage, (name, POLICY_NOT_ALLOWED), of_issuing, of_leaf, more)
    };
    Ok(vec![
        case("policy-of-another", &[ANY_POLICY], &[OTHER_POLICY], None)?,
        case("policy-missing", &[ANY_POLICY], &[], None)?,
        case("policy-not-of-issuer", &[OTHER_POLICY], &[POLICY], None)?,
        case("policy-mapped", &[POLICY], &[OTHER_POLICY], Some(mapping))?,
    ])
}
