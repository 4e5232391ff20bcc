//! One connection to wherever the store is: a Redis, the master that sentinels know, or a Cluster.

use std::time::Duration;

use redis::aio::{ConnectionLike, MultiplexedConnection};
use redis::cluster::ClusterClient;
use redis::cluster_async::ClusterConnection;
use redis::cluster_routing::{MultipleNodeRoutingInfo, RoutingInfo};
use redis::sentinel::{SentinelClientBuilder, SentinelServerType};
use redis::{
    AsyncConnectionConfig, Client, ClientTlsConfig, Cmd, ConnectionAddr, ConnectionInfo, ErrorKind,
    IntoConnectionInfo as _, Pipeline, RedisConnectionInfo, RedisError, RedisFuture, RedisResult, ServerErrorKind,
    TlsCertificates, TlsMode, Value,
};

use crate::failure::Failure;
use crate::options::{OpenError, Server, Topology};

/// Redirections that a Cluster may answer with before a command is given up.
const REDIRECTIONS_MAX: u32 = 4;

/// One connection; clones share it.
#[derive(Clone)]
pub(crate) enum Connection {
    One(MultiplexedConnection),
    Cluster(ClusterConnection),
}

/// Opens connections.
pub(crate) struct Connector {
    server: Server,
    addresses: Vec<ConnectionAddr>,
    timeout: Duration,
}

impl Connector {
    /// Reads the addresses.
    pub(crate) fn new(server: Server, timeout: Duration) -> Result<Self, OpenError> {
        let is_secure = server.tls.is_some();
        if is_secure && rustls::crypto::CryptoProvider::get_default().is_none() {
            // Another thread may have been faster, with the same one.
            rustls::crypto::aws_lc_rs::default_provider().install_default().ok();
        }
        let addresses: Vec<ConnectionAddr> =
            server.addresses.iter().map(|text| address(text, is_secure)).collect::<Result<_, _>>()?;
        if addresses.is_empty() {
            return Err(OpenError::Setting { setting: "addresses", problem: "none is given".to_owned() });
        }
        Ok(Self { server, addresses, timeout })
    }

    /// The addresses as they were given.
    pub(crate) fn name(&self) -> String {
        self.server.addresses.join(", ")
    }

    pub(crate) fn is_cluster(&self) -> bool {
        self.server.topology == Topology::Cluster
    }

    /// Connects within the timeout.
    pub(crate) async fn connect(&self) -> Result<Connection, Failure> {
        let connecting = async {
            match &self.server.topology {
                Topology::Single => self.connect_one().await.map(Connection::One),
                Topology::Sentinel { master } => self.connect_by_sentinels(master).await.map(Connection::One),
                Topology::Cluster => self.connect_cluster().await.map(Connection::Cluster),
            }
        };
        match tokio::time::timeout(self.timeout, connecting).await {
            Ok(connected) => connected.map_err(|error| Failure::Away(error.to_string())),
            Err(_) => Err(Failure::Away("no connection came about in time".to_owned())),
        }
    }

    /// A single Redis may be named more than once: the first that answers is taken.
    async fn connect_one(&self) -> RedisResult<MultiplexedConnection> {
        let mut last = None;
        for address in &self.addresses {
            let info = self.info(address.clone())?;
            let client = match self.certificates() {
                Some(certificates) => Client::build_with_tls(info, certificates)?,
                None => Client::open(info)?,
            };
            match client.get_multiplexed_async_connection_with_config(&self.config()).await {
                Ok(connection) => return Ok(connection),
                Err(error) => last = Some(error),
            }
        }
        Err(last.unwrap_or_else(|| RedisError::from((ErrorKind::InvalidClientConfig, "no address is given"))))
    }

    async fn connect_by_sentinels(&self, master: &str) -> RedisResult<MultiplexedConnection> {
        let mut builder = SentinelClientBuilder::new(self.addresses.clone(), master, SentinelServerType::Master)?;
        if let Some(user) = &self.server.user {
            builder = builder.set_client_to_redis_username(user);
        }
        if let Some(password) = &self.server.password {
            builder = builder.set_client_to_redis_password(password);
        }
        if let Some(certificates) = self.certificates() {
            builder = builder
                .set_client_to_redis_tls_mode(TlsMode::Secure)
                .set_client_to_redis_certificates(certificates.clone())
                .set_client_to_sentinel_tls_mode(TlsMode::Secure)
                .set_client_to_sentinel_certificates(certificates);
        }
        builder.build()?.get_async_connection_with_config(&self.config()).await
    }

    async fn connect_cluster(&self) -> RedisResult<ClusterConnection> {
        let nodes = self.addresses.iter().map(|address| self.info(address.clone())).collect::<RedisResult<Vec<_>>>()?;
        let mut builder = ClusterClient::builder(nodes)
            .retries(REDIRECTIONS_MAX)
            .connection_timeout(self.timeout)
            .response_timeout(self.timeout);
        if let Some(certificates) = self.certificates() {
            builder = builder.tls(TlsMode::Secure).certs(certificates);
        }
        builder.build()?.get_async_connection().await
    }

    fn config(&self) -> AsyncConnectionConfig {
        AsyncConnectionConfig::new().set_connection_timeout(Some(self.timeout)).set_response_timeout(Some(self.timeout))
    }

    fn info(&self, address: ConnectionAddr) -> RedisResult<ConnectionInfo> {
        let mut settings = RedisConnectionInfo::default();
        if let Some(user) = &self.server.user {
            settings = settings.set_username(user);
        }
        if let Some(password) = &self.server.password {
            settings = settings.set_password(password);
        }
        Ok(address.into_connection_info()?.set_redis_settings(settings))
    }

    fn certificates(&self) -> Option<TlsCertificates> {
        let tls = self.server.tls.as_ref()?;
        let own = |(client_cert, client_key): (Vec<u8>, Vec<u8>)| ClientTlsConfig { client_cert, client_key };
        Some(TlsCertificates { client_tls: tls.identity.clone().map(own), root_cert: Some(tls.roots.clone()) })
    }
}

impl Connection {
    /// Asks every master the same; with the address of each, where there are several.
    pub(crate) async fn ask_each_master(&mut self, cmd: Cmd) -> Result<Vec<(String, Value)>, Failure> {
        let cluster = match self {
            Self::One(one) => {
                let answer = one.req_packed_command(&cmd).await.and_then(Value::extract_error)?;
                return Ok(vec![(String::new(), answer)]);
            }
            Self::Cluster(cluster) => cluster,
        };
        let route = RoutingInfo::MultiNode((MultipleNodeRoutingInfo::AllMasters, None));
        match cluster.route_command(cmd, route).await.and_then(Value::extract_error)? {
            Value::Map(answers) => answers
                .into_iter()
                .map(|(address, answer)| Ok((redis::from_redis_value(address).map_err(RedisError::from)?, answer)))
                .collect(),
            _ => Err(Failure::Refused("the answer of a Cluster names no nodes".to_owned())),
        }
    }
}

impl ConnectionLike for Connection {
    fn req_packed_command<'a>(&'a mut self, cmd: &'a Cmd) -> RedisFuture<'a, Value> {
        match self {
            Self::One(one) => one.req_packed_command(cmd),
            Self::Cluster(cluster) => cluster.req_packed_command(cmd),
        }
    }

    fn req_packed_commands<'a>(
        &'a mut self,
        pipeline: &'a Pipeline,
        offset: usize,
        count: usize,
    ) -> RedisFuture<'a, Vec<Value>> {
        match self {
            Self::One(one) => one.req_packed_commands(pipeline, offset, count),
            Self::Cluster(cluster) => cluster.req_packed_commands(pipeline, offset, count),
        }
    }

    fn get_db(&self) -> i64 {
        0
    }
}

/// What an error of the client means. Nothing is read from texts: kinds and codes only.
impl From<RedisError> for Failure {
    fn from(error: RedisError) -> Self {
        let what = error.to_string();
        match error.code() {
            Some("OOM") => return Self::Full,
            // Said by the commit script: no other connection would change it.
            Some("SUPERSEDED") => return Self::Refused(what),
            _ => {}
        }
        match error.kind() {
            ErrorKind::Server(
                ServerErrorKind::BusyLoading
                | ServerErrorKind::MasterDown
                | ServerErrorKind::ReadOnly
                | ServerErrorKind::ClusterDown
                | ServerErrorKind::TryAgain
                | ServerErrorKind::Moved
                | ServerErrorKind::Ask,
            ) => Self::Away(what),
            ErrorKind::Server(_) | ErrorKind::AuthenticationFailed | ErrorKind::InvalidClientConfig => {
                Self::Refused(what)
            }
            // MISCONF and the like: codes that the client does not know.
            ErrorKind::Extension => Self::Away(what),
            _ => Self::Broken(what),
        }
    }
}

/// Reads `host:port`, `[v6]:port`.
fn address(text: &str, is_secure: bool) -> Result<ConnectionAddr, OpenError> {
    let problem = || OpenError::Setting { setting: "addresses", problem: format!("\"{text}\" is not host:port") };
    let (host, port) = text.rsplit_once(':').ok_or_else(problem)?;
    let port: u16 = port.parse().map_err(|_| problem())?;
    let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host).to_owned();
    if host.is_empty() {
        return Err(problem());
    }
    Ok(match is_secure {
        true => ConnectionAddr::TcpTls { host, port, insecure: false, tls_params: None },
        false => ConnectionAddr::Tcp(host, port),
    })
}
