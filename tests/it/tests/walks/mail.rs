//! Alarms by e-mail, at a mail server over a real socket: one at the beginning of an incident and one at its end, over TLS, tried again while the
//! server is busy, and by the next process when the first one died.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use certs_dev::province::Plan;
use gateway_cli::local::{Options, free_ports};
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use tests_harness::gateways::{self, Federation};
use tests_harness::operator::looked_until;
use tests_harness::sender::Sender;
use tokio::io::{AsyncBufReadExt as _, AsyncRead, AsyncWrite, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

/// Looks every two seconds, and waits between attempts.
const PATIENCE: Duration = Duration::from_secs(60);
const LOOK: Duration = Duration::from_millis(100);
const PASSWORD: &str = "mat-khau-hop-thu-0001";

/// A mail server that is busy while it is told to be.
#[derive(Clone, Default)]
struct MailServer(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    busy: bool,
    turned_away: usize,
    mails: Vec<Mail>,
}

#[derive(Clone, Default, Debug)]
struct Mail {
    from: String,
    to: Vec<String>,
    text: String,
    tls: bool,
    login: String,
}

impl MailServer {
    async fn serve(self, listener: TcpListener, tls: TlsAcceptor, implicit: bool) {
        while let Ok((stream, _)) = listener.accept().await {
            let (server, tls) = (self.clone(), tls.clone());
            tokio::spawn(async move {
                // A connection that breaks is the client's to try again.
                drop(server.connection(stream, tls, implicit).await);
            });
        }
    }

    async fn connection(self, stream: TcpStream, tls: TlsAcceptor, implicit: bool) -> std::io::Result<()> {
        if implicit {
            return self.talk(BufReader::new(tls.accept(stream).await?), true, true).await.map(drop);
        }
        let mut plain = BufReader::new(stream);
        if self.talk(&mut plain, false, true).await? {
            let secret = tls.accept(plain.into_inner()).await?;
            self.talk(BufReader::new(secret), true, false).await?;
        }
        Ok(())
    }

    /// Answers commands; true when TLS is to begin.
    async fn talk<S>(&self, mut stream: S, is_tls: bool, greets: bool) -> std::io::Result<bool>
    where
        S: tokio::io::AsyncBufRead + AsyncRead + AsyncWrite + Unpin,
    {
        let mut mail = Mail { tls: is_tls, ..Mail::default() };
        if greets {
            stream.write_all(b"220 mail.example ESMTP\r\n").await?;
        }
        loop {
            stream.flush().await?;
            let mut line = String::new();
            if stream.read_line(&mut line).await? == 0 {
                return Ok(false);
            }
            let word = line.split([' ', ':', '\r']).next().unwrap_or_default().to_uppercase();
            let answer = match word.as_str() {
                "EHLO" if is_tls => "250-mail.example\r\n250 AUTH PLAIN LOGIN\r\n",
                "EHLO" => "250-mail.example\r\n250 STARTTLS\r\n",
                "STARTTLS" => {
                    stream.write_all(b"220 go ahead\r\n").await?;
                    stream.flush().await?;
                    return Ok(true);
                }
                "AUTH" => {
                    mail.login = line.trim().to_owned();
                    "235 welcome\r\n"
                }
                "MAIL" if self.is_busy() => "451 come again\r\n",
                "MAIL" => {
                    mail.from = line.trim().to_owned();
                    "250 ok\r\n"
                }
                "RCPT" => {
                    mail.to.push(line.trim().to_owned());
                    "250 ok\r\n"
                }
                "DATA" => {
                    stream.write_all(b"354 go on\r\n").await?;
                    stream.flush().await?;
                    mail.text = data(&mut stream).await?;
                    self.0.lock().unwrap().mails.push(mail.clone());
                    mail.to.clear();
                    "250 taken\r\n"
                }
                "QUIT" => {
                    stream.write_all(b"221 bye\r\n").await?;
                    stream.flush().await?;
                    return Ok(false);
                }
                _ => "250 ok\r\n",
            };
            stream.write_all(answer.as_bytes()).await?;
        }
    }

    fn is_busy(&self) -> bool {
        let mut state = self.0.lock().unwrap();
        state.turned_away += usize::from(state.busy);
        state.busy
    }

    fn set_busy(&self, busy: bool) {
        self.0.lock().unwrap().busy = busy;
    }

    async fn until(&self, expected: impl Fn(&State) -> bool) -> Vec<Mail> {
        let begun = Instant::now();
        loop {
            {
                let state = self.0.lock().unwrap();
                if expected(&state) {
                    return state.mails.clone();
                }
                assert!(begun.elapsed() < PATIENCE, "{} turned away, {:#?}", state.turned_away, state.mails);
            }
            // The gateway is another process.
            tokio::time::sleep(LOOK).await;
        }
    }
}

async fn data(stream: &mut (impl tokio::io::AsyncBufRead + Unpin)) -> std::io::Result<String> {
    let mut text = String::new();
    loop {
        let mut line = String::new();
        if stream.read_line(&mut line).await? == 0 || line == ".\r\n" {
            return Ok(text);
        }
        text.push_str(&line);
    }
}

/// The commune's gateway alone, with a mail server; whatever goes further is stuck.
async fn stage(tls: &str, language: &str) -> (Federation, MailServer) {
    let port = free_ports(1).unwrap()[0];
    let extra_config = format!(
        "{}[alarms]\nmail_server = \"localhost:{port}\"\nmail_tls = \"{tls}\"\nmail_roots = \"tls/ca.pem\"\n\
         mail_from = \"Trục xã <truc@xa.example>\"\nmail_to = [\"truc-ban@xa.example\", \"ky-thuat@xa.example\"]\n\
         mail_user = \"truc\"\nmail_password = \"mail.password\"\nmail_language = \"{language}\"\n",
        gateways::FAST
    );
    let options = Options { extra_config, binary: Some(gateways::binary().unwrap()), adapters: Vec::new() };
    let mut federation = Federation::lay_out_by(Plan::province(), options).unwrap();
    std::fs::write(federation.local.folder.join("mail.password"), format!("{PASSWORD}\n")).unwrap();
    let identity = federation.local.province.tls_ladder.issue("mail", &["localhost"]).unwrap();
    let chain = CertificateDer::pem_slice_iter(identity.certificate_pem.as_bytes()).map(Result::unwrap).collect();
    let key = PrivateKeyDer::from_pem_slice(identity.key_pem.as_bytes()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let config = config.with_no_client_auth().with_single_cert(chain, key).unwrap();
    let (server, listener) = (MailServer::default(), TcpListener::bind(("127.0.0.1", port)).await.unwrap());
    tokio::spawn(server.clone().serve(listener, TlsAcceptor::from(Arc::new(config)), tls == "implicit"));
    federation.local.spawn(0).unwrap();
    federation.local.wait_until_ready(0).await.unwrap();
    (federation, server)
}

async fn send_to_the_district(federation: &Federation) {
    let cast = &federation.local.province.cast;
    let mut sender = Sender::connect(&federation.local, &cast.commune).await.unwrap();
    let request = sender.sign(&sender.envelope(&[&cast.district])).unwrap();
    sender.client.submit(request).await.unwrap();
}

fn header(mail: &Mail, name: &str) -> String {
    let prefix = format!("{name}: ");
    mail.text.lines().find_map(|line| line.strip_prefix(&prefix)).unwrap_or_default().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_incident_is_one_mail_at_its_beginning_and_one_at_its_end_though_the_server_is_busy_and_the_process_dies() {
    let (mut federation, server) = stage("starttls", "en").await;
    server.set_busy(true);
    send_to_the_district(&federation).await;
    // It was tried twice and waits; then the process is killed.
    let none = server.until(|state| state.turned_away >= 2).await;
    assert!(none.is_empty());
    federation.local.kill(0).unwrap();
    server.set_busy(false);
    federation.local.spawn(0).unwrap();
    federation.local.wait_until_ready(0).await.unwrap();
    server.until(|state| state.mails.len() == 1).await;
    // Repaired: the end is told, too.
    for number in [1, 2] {
        federation.local.spawn(number).unwrap();
    }
    let mails = server.until(|state| state.mails.len() >= 2).await;
    assert_eq!(mails.len(), 2, "{mails:#?}");
    for (mail, end) in mails.iter().zip(["began", "ended"]) {
        assert!(mail.tls && mail.login.starts_with("AUTH "), "{mail:?}");
        assert!(mail.from.contains("<truc@xa.example>"), "{mail:?}");
        assert_eq!(mail.to.len(), 2, "{mail:?}");
        assert!(header(mail, "Message-ID").ends_with(&format!("-{end}@gw-commune.lienthong>")), "{mail:?}");
        assert!(mail.text.contains("Cause: peer-down") && mail.text.contains("gateway:gw-district"), "{mail:?}");
    }
    assert!(mails[0].text.contains("What to do: ") && mails[1].text.contains("Ended: "), "{mails:#?}");
    for gateway in &federation.local.gateways {
        let log = std::fs::read_to_string(&gateway.log).unwrap();
        assert!(!log.contains(PASSWORD), "{}", gateway.id);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn mails_go_in_vietnamese_over_tls_from_the_first_byte_and_what_was_told_is_not_told_again() {
    let (mut federation, server) = stage("implicit", "vi").await;
    send_to_the_district(&federation).await;
    let mails = server.until(|state| state.mails.len() == 1).await;
    assert!(mails[0].tls && header(&mails[0], "Subject").contains("=?utf-8?"), "{mails:?}");
    // Mails are sent at least once: a gateway that dies before it has kept that one was taken sends it again.
    let log = federation.local.gateways[0].log.clone();
    let is_kept = |log: &String| log.contains("it is not told again");
    looked_until(PATIENCE, || Ok(std::fs::read_to_string(&log)?), is_kept).await.unwrap();
    federation.local.kill(0).unwrap();
    federation.local.spawn(0).unwrap();
    federation.local.wait_until_ready(0).await.unwrap();
    // The new process looks, and has nothing to tell; the end of the repaired incident is the next mail.
    for number in [1, 2] {
        federation.local.spawn(number).unwrap();
    }
    let mails = server.until(|state| state.mails.len() >= 2).await;
    assert!(header(&mails[1], "Message-ID").contains("-ended@"), "{mails:#?}");
}
