//! What a province is made of, before any key exists: plain data that a test may change.

use gateway_model::agency::OperatorRole;

use super::{names, timetable};
use crate::KeyKind;
use crate::pki::DAY_SECONDS;

pub use super::timetable::{CalendarPlan, ProcedurePlan, StepPlan};

/// The plan of a province.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Kind of the agencies' and persons' keys. RSA keys are shared between leaves, because they are slow to make.
    pub key_kind: KeyKind,
    /// Gateways, the lowest first.
    pub gateways: Vec<GatewayPlan>,
    /// Agencies, a parent before its children.
    pub agencies: Vec<AgencyPlan>,
    /// Systems that submit.
    pub systems: Vec<SystemPlan>,
    /// Operators and what they may do.
    pub operators: Vec<(String, OperatorRole)>,
    /// When people work.
    pub calendars: Vec<CalendarPlan>,
    /// How long each procedure may take.
    pub procedures: Vec<ProcedurePlan>,
    /// Who plays which part in tests and demo, by the agencies' ids.
    pub cast: Cast<String>,
    /// How long the directory's snapshot and the revocation lists hold, in days.
    pub days_valid: u16,
}

/// A gateway of the plan.
#[derive(Clone, Debug)]
pub struct GatewayPlan {
    /// Its id.
    pub id: String,
    /// `https://host:port`.
    pub address: String,
    /// The gateway above.
    pub parent: Option<String>,
    /// Host names and addresses for its certificate, besides those of this machine.
    pub hosts: Vec<String>,
}

/// An agency of the plan.
#[derive(Clone, Debug)]
pub struct AgencyPlan {
    /// Stable internal id.
    pub id: String,
    /// Name in Vietnamese.
    pub name: String,
    /// Name in English.
    pub name_en: String,
    /// Codes, in any grammar.
    pub codes: Vec<String>,
    /// The agency above.
    pub parent: Option<String>,
    /// Label of the level.
    pub level: String,
    /// The gateway that serves it.
    pub gateway: String,
    /// When it ended, in seconds before now; `None` while it lives.
    pub ended_seconds_ago: Option<i64>,
    /// Who takes over.
    pub succeeded_by: Vec<String>,
    /// A person who signs for it besides the agency's seal.
    pub person: Option<String>,
}

/// A submitting system of the plan.
#[derive(Clone, Debug)]
pub struct SystemPlan {
    /// Its id.
    pub id: String,
    /// The gateway at whose door it submits.
    pub gateway: String,
    /// Agencies that it speaks for.
    pub speaks_for: Vec<String>,
}

/// Who plays which part.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Cast<Id> {
    /// A commune, at the lowest level: where a file is taken in.
    pub commune: Id,
    /// Another commune, of the same district.
    pub other_commune: Id,
    /// The district of both.
    pub district: Id,
    /// The province's People's Committee, at the top.
    pub province: Id,
    /// A department of the province.
    pub department: Id,
    /// The land registration office, an agency of its own under the province.
    pub land_office: Id,
    /// A commune that was merged away.
    pub merged: Id,
    /// The commune that took it over.
    pub successor: Id,
    /// An agency that ended with nobody to take over.
    pub dissolved: Id,
}

impl Default for Plan {
    fn default() -> Self {
        Self::province()
    }
}

impl Plan {
    /// The province of demo and tests: three districts with three communes each, departments, a land registration office, three gateways.
    pub fn province() -> Self {
        Self::sized(3, 3)
    }

    /// A province with at least one district, and two communes in each. Codes keep two digits up to 70 districts with 98 communes.
    pub fn sized(districts: usize, communes_per_district: usize) -> Self {
        let gateways = ["gw-commune", "gw-district", "gw-province"];
        let mut agencies = vec![top("gw-province")];
        for district in 0..districts.max(1) {
            agencies.push(district_agency(district, "gw-district"));
            let communes = 0..communes_per_district.max(2);
            agencies.extend(communes.map(|number| commune_agency(district, number, "gw-commune")));
        }
        agencies.extend(specials("gw-province", "gw-commune", "h99.30", "h99.30.01"));
        let mut plan = Self {
            key_kind: KeyKind::P256,
            gateways: ladder_of(&gateways),
            systems: Vec::new(),
            operators: operators(),
            calendars: timetable::calendars(),
            procedures: timetable::procedures(),
            cast: cast("h99.30.01", "h99.30.02", "h99.30"),
            days_valid: 30,
            agencies,
        };
        let names = [
            ("sys-commune-onestop", "gw-commune"),
            ("sys-district-onestop", "gw-district"),
            ("sys-province-dms", "gw-province"),
        ];
        plan.systems = names.iter().map(|(id, gateway)| plan.system(id, gateway)).collect();
        plan.systems.push(land_system("gw-province"));
        plan
    }

    /// A ladder of `count` gateways, `gw-level-1` the lowest, with one agency or more at each.
    pub fn levels(count: usize) -> Self {
        let ids: Vec<String> = (1..=count.max(1)).map(|level| format!("gw-level-{level}")).collect();
        let serving = |level: usize| ids[level.clamp(1, ids.len()) - 1].as_str();
        let depth = count.max(3);
        let mut agencies = vec![top(serving(depth))];
        let mut parent = "h99".to_owned();
        for level in (2..depth).rev() {
            let agency = level_agency(level, &parent, serving(level));
            parent.clone_from(&agency.id);
            agencies.push(agency);
        }
        let communes = [1, 2].map(|number| leaf_agency(&parent, number, serving(1)));
        let [first, second] = communes.each_ref().map(|commune| commune.id.clone());
        agencies.extend(communes);
        agencies.extend(specials(serving(depth), serving(1), &parent, &first));
        let mut plan = Self {
            key_kind: KeyKind::P256,
            gateways: ladder_of(&ids.iter().map(String::as_str).collect::<Vec<_>>()),
            systems: Vec::new(),
            operators: operators(),
            calendars: timetable::calendars(),
            procedures: timetable::procedures(),
            cast: cast(&first, &second, &parent),
            days_valid: 30,
            agencies,
        };
        let named = ids.iter().map(|gateway| plan.system(&gateway.replace("gw-", "sys-"), gateway)).collect();
        plan.systems = named;
        plan.systems.push(land_system(serving(depth)));
        plan
    }

    /// Chooses the kind of the signers' keys.
    #[must_use]
    pub fn with_keys(mut self, kind: KeyKind) -> Self {
        self.key_kind = kind;
        self
    }

    /// Gives the gateways these ports on 127.0.0.1, the lowest gateway first; more gateways than ports keep theirs.
    #[must_use]
    pub fn with_ports(mut self, ports: &[u16]) -> Self {
        for (gateway, port) in self.gateways.iter_mut().zip(ports) {
            gateway.address = format!("https://127.0.0.1:{port}");
        }
        self
    }

    /// Gives one gateway another address; its host goes into the certificate.
    #[must_use]
    pub fn with_address(mut self, gateway: &str, host: &str, port: u16) -> Self {
        for found in self.gateways.iter_mut().filter(|found| found.id == gateway) {
            found.address = format!("https://{host}:{port}");
            found.hosts.push(host.to_owned());
        }
        self
    }

    /// A system that speaks for every agency of a gateway except the land registration office, which has its own.
    fn system(&self, id: &str, gateway: &str) -> SystemPlan {
        let served = self.agencies.iter().filter(|agency| agency.gateway == gateway && agency.id != LAND_OFFICE);
        SystemPlan {
            id: id.to_owned(),
            gateway: gateway.to_owned(),
            speaks_for: served.map(|agency| agency.id.clone()).collect(),
        }
    }
}

const LAND_OFFICE: &str = "h99.21";
const DISSOLVED: &str = "h99.22";

fn ladder_of(ids: &[&str]) -> Vec<GatewayPlan> {
    let gateway = |(number, id): (usize, &&str)| GatewayPlan {
        id: (*id).to_owned(),
        address: format!("https://127.0.0.1:{}", 7101 + number),
        parent: ids.get(number + 1).map(|parent| (*parent).to_owned()),
        hosts: Vec::new(),
    };
    ids.iter().enumerate().map(gateway).collect()
}

fn operators() -> Vec<(String, OperatorRole)> {
    [
        ("operator-viewer", OperatorRole::Viewer),
        ("operator-an", OperatorRole::Operator),
        ("trust-officer-binh", OperatorRole::TrustOfficer),
    ]
    .map(|(id, role)| (id.to_owned(), role))
    .to_vec()
}

fn cast(commune: &str, other_commune: &str, district: &str) -> Cast<String> {
    Cast {
        commune: commune.to_owned(),
        other_commune: other_commune.to_owned(),
        district: district.to_owned(),
        province: "h99".to_owned(),
        department: "h99.12".to_owned(),
        land_office: LAND_OFFICE.to_owned(),
        merged: format!("{district}.99"),
        successor: commune.to_owned(),
        dissolved: DISSOLVED.to_owned(),
    }
}

fn land_system(gateway: &str) -> SystemPlan {
    let speaks_for = vec![LAND_OFFICE.to_owned()];
    SystemPlan { id: "sys-land-office".to_owned(), gateway: gateway.to_owned(), speaks_for }
}

/// An agency with what all of them share.
fn agency(id: &str, parent: Option<&str>, gateway: &str, level: &str, name: String) -> AgencyPlan {
    AgencyPlan {
        id: id.to_owned(),
        name,
        name_en: String::new(),
        codes: Vec::new(),
        parent: parent.map(str::to_owned),
        level: level.to_owned(),
        gateway: gateway.to_owned(),
        ended_seconds_ago: None,
        succeeded_by: Vec::new(),
        person: None,
    }
}

fn top(gateway: &str) -> AgencyPlan {
    AgencyPlan {
        name_en: "People's Committee of Thanh Linh Province".to_owned(),
        codes: vec!["H99".to_owned(), "000.00.00.H99".to_owned()],
        person: Some(names::person(0)),
        ..agency("h99", None, gateway, "tỉnh", format!("Ủy ban nhân dân tỉnh {}", names::PROVINCE))
    }
}

fn district_agency(number: usize, gateway: &str) -> AgencyPlan {
    let (level, name) = names::district(number);
    let code = 30 + number;
    AgencyPlan {
        codes: codes(&format!("H99.{code}"), (code < 100).then(|| format!("000.00.{code}.H99"))),
        person: Some(names::person(number + 1)),
        ..agency(&format!("h99.{code}"), Some("h99"), gateway, level, format!("Ủy ban nhân dân {level} {name}"))
    }
}

fn commune_agency(district: usize, number: usize, gateway: &str) -> AgencyPlan {
    let (level, name) = names::commune(district, number);
    // Number 99 is that of the merged commune.
    let (above, code) = (30 + district, number + 1 + usize::from(number >= 98));
    // The 2016 form has two digits a group; what does not fit has the 2020 form only.
    let old = (above < 100 && code < 99).then(|| format!("000.{code:02}.{above}.H99"));
    AgencyPlan {
        codes: codes(&format!("H99.{above}.{code:02}"), old),
        person: Some(names::person(district * 3 + number + 4)),
        ..agency(
            &format!("h99.{above}.{code:02}"),
            Some(&format!("h99.{above}")),
            gateway,
            level,
            format!("Ủy ban nhân dân {level} {name}"),
        )
    }
}

fn level_agency(level: usize, parent: &str, gateway: &str) -> AgencyPlan {
    let id = format!("{parent}.3{level}");
    AgencyPlan {
        codes: vec![id.to_uppercase()],
        person: Some(names::person(level)),
        ..agency(
            &id,
            Some(parent),
            gateway,
            &format!("cấp {level}"),
            format!("Ủy ban nhân dân cấp {level} {}", names::district(level).1),
        )
    }
}

fn leaf_agency(parent: &str, number: usize, gateway: &str) -> AgencyPlan {
    let (level, name) = names::commune(0, number - 1);
    let id = format!("{parent}.{number:02}");
    AgencyPlan {
        codes: vec![id.to_uppercase()],
        person: Some(names::person(number + 10)),
        ..agency(&id, Some(parent), gateway, level, format!("Ủy ban nhân dân {level} {name}"))
    }
}

/// Departments, land registration office, and the two agencies that have ended.
fn specials(top_gateway: &str, commune_gateway: &str, district: &str, successor: &str) -> Vec<AgencyPlan> {
    let department = |&(number, name, name_en): &(u8, &str, &str)| AgencyPlan {
        name_en: name_en.to_owned(),
        codes: codes(&format!("H99.{number:02}"), Some(format!("000.00.{number:02}.H99"))),
        ..agency(
            &format!("h99.{number:02}"),
            Some("h99"),
            top_gateway,
            "sở",
            format!("{name} tỉnh {}", names::PROVINCE),
        )
    };
    let mut agencies: Vec<_> = names::DEPARTMENTS.iter().map(department).collect();
    let land_name = format!("Văn phòng đăng ký đất đai tỉnh {}", names::PROVINCE);
    agencies.push(AgencyPlan {
        name_en: "Land Registration Office of Thanh Linh Province".to_owned(),
        // The third code is of no grammar: such codes occur too.
        codes: vec!["H99.21".to_owned(), "000.00.21.H99".to_owned(), "vpdk.saas.99".to_owned()],
        person: Some(names::person(7)),
        ..agency(LAND_OFFICE, Some("h99"), top_gateway, "đơn vị sự nghiệp", land_name)
    });
    let merged = format!("{district}.99");
    agencies.push(AgencyPlan {
        codes: vec![merged.to_uppercase(), "000.99.30.H99".to_owned()],
        ended_seconds_ago: Some(90 * DAY_SECONDS),
        succeeded_by: vec![successor.to_owned()],
        ..agency(&merged, Some(district), commune_gateway, "xã", "Ủy ban nhân dân xã Nà Ươm".to_owned())
    });
    agencies.push(AgencyPlan {
        codes: codes("H99.22", Some("000.00.22.H99".to_owned())),
        ended_seconds_ago: Some(60 * DAY_SECONDS),
        ..agency(DISSOLVED, Some("h99"), top_gateway, "đơn vị", "Ban Quản lý dự án tái định cư Hồ Thắm".to_owned())
    });
    agencies
}

fn codes(new: &str, old: Option<String>) -> Vec<String> {
    std::iter::once(new.to_owned()).chain(old).collect()
}
