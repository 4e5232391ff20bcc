//! The systems behind the gateways: one that answers with somebody's name and number, and the adapters' tables for all.

use std::sync::{Arc, Mutex};

use adapters_simulators::land::LandSystem;
use adapters_simulators::onestop::OneStop;
use certs_dev::province::Plan;
use gateway_cli::local::OwnAdapter;
use gateway_model::id::{AgencyId, GatewayId};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

use super::stage::QUEUE;
use super::{CITIZEN, PERSON};

/// A system that answers everything with one code and somebody's name and number, and remembers what it was told.
pub async fn system(code: u16, told: Arc<Mutex<String>>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let told = told.clone();
            tokio::spawn(async move {
                let (mut seen, mut buffer) = (Vec::new(), [0; 16 * 1024]);
                while let Ok(read @ 1..) = stream.read(&mut buffer).await {
                    seen.extend_from_slice(&buffer[..read]);
                    let text = String::from_utf8_lossy(&seen).into_owned();
                    let lower = text.to_lowercase();
                    let Some((head, body)) = lower.split_once("\r\n\r\n") else { continue };
                    let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
                    if body.len() < length.and_then(|length| length.trim().parse().ok()).unwrap_or(0) {
                        continue;
                    }
                    told.lock().unwrap().push_str(&text);
                    let body = format!("{{\"error\":\"không tìm thấy {PERSON}, số {CITIZEN}\"}}");
                    let answer = format!(
                        "HTTP/1.1 {code} {PERSON}\r\ncontent-type: application/json\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
                        body.len()
                    );
                    drop(stream.write_all(answer.as_bytes()).await);
                    return;
                }
            });
        }
    });
    url
}

/// The adapters' tables.
pub fn adapters(plan: &Plan, ports: &[u16], desk: &OneStop, land: &LandSystem, words: &str) -> Vec<OwnAdapter> {
    let cast = &plan.cast;
    let own = |gateway: &str, agency: &str, table: String| OwnAdapter {
        gateway: GatewayId::parse(gateway).unwrap(),
        agencies: vec![AgencyId::parse(agency).unwrap()],
        table: format!("[[adapter]]\nagencies = [\"{agency}\"]\n{table}"),
    };
    let seal = |agency: &str| format!("certificate = \"signers/{agency}.pem\", key = \"signers/{agency}.key\"");
    let (commune, office) = (cast.commune.as_str(), cast.land_office.as_str());
    let department = plan.agencies.iter().find(|agency| agency.id == cast.department).unwrap();
    let queue = format!("name = \"{QUEUE}\"\nkind = \"worker\"\nsystem = \"sys-district-onestop\"\n");
    vec![
        own("gw-district", &cast.district, queue),
        own(
            "gw-commune",
            commune,
            format!(
                "name = \"one-stop\"\nkind = \"land\"\nsystem = \"sys-commune-onestop\"\nrole = \"to-one-stop\"\nlisten = \"127.0.0.1:{near}\"\n\
             code = \"near.code\"\nstate = \"land-near\"\nurl = \"{}\"\nurl_code = \"desk.code\"\nland_office = \"{office}\"\n\
             public_url = \"http://127.0.0.1:{near}\"\nseal = {{ {} }}\noutbound = {{ allow = [{{ origin = \"{}\", private = true }}] }}\n",
                desk.url(),
                seal(commune),
                desk.origin(),
                near = ports[0],
            ),
        ),
        own(
            "gw-province",
            office,
            format!(
                "name = \"land-office\"\nkind = \"land\"\nsystem = \"sys-land-office\"\nrole = \"to-land-system\"\nlisten = \"127.0.0.1:{}\"\n\
             code = \"far.code\"\nstate = \"land-far\"\nurl = \"{}\"\nauthorization = \"land.token\"\nseal = {{ {} }}\n\
             outbound = {{ allow = [{{ origin = \"{}\", private = true }}] }}\n",
                ports[1],
                land.url(),
                seal(office),
                land.origin(),
            ),
        ),
        own(
            "gw-province",
            &department.id,
            format!(
                "name = \"dms\"\nkind = \"edxml\"\nsystem = \"sys-province-dms\"\npath = \"systems/dms\"\ndoor = \"hub-server\"\n\
             hub = {{ address = \"127.0.0.1:{}\", system_id = \"{id}\", secret_file = \"hub.secret\", list_wait = \"200ms\" }}\n\
             organ = [{{ agency = \"{id}\", codes = [\"{}\"], {} }}]\n",
                ports[2],
                department.codes.last().unwrap_or(&department.id),
                seal(&department.id),
                id = department.id,
            ),
        ),
        own(
            "gw-commune",
            &cast.other_commune,
            format!(
                "name = \"desk\"\nkind = \"http\"\nstate = \"state/desk\"\n[adapter.out]\nurl = \"{words}/hook\"\nsecrets = [\"hook.secret\"]\n\
             parts = \"none\"\n[adapter.outbound]\nallow = [{{ origin = \"{words}\", private = true }}]\n",
            ),
        ),
    ]
}
