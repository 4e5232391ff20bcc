//! Opening: settings become a client, and the bucket is asked once for everything that will be asked of it.

use std::sync::Arc;
use std::time::Duration;

use futures::{StreamExt as _, TryStreamExt as _};
use gateway_model::{Timestamp, limits};
use object_store::aws::{AmazonS3, AmazonS3Builder};
use object_store::path::Path;
use object_store::{BackoffConfig, Error, ObjectMeta, ObjectStore, ObjectStoreExt as _, PutPayload, RetryConfig};
use rustls::RootCertStore;
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject as _;

use crate::ObjectParts;
use crate::connection::Connector;
use crate::names::{Prefix, new_id};
use crate::objects::Objects;

/// How often a request is repeated, and until when.
const RETRIES_MAX: usize = 3;
const RETRY_TIME_MAX: Duration = Duration::from_secs(10);
const BACKOFF_FIRST: Duration = Duration::from_millis(50);
const BACKOFF_MAX: Duration = Duration::from_secs(1);
const PROBE_TIME_MAX: Duration = Duration::from_secs(20);
const PROBE: &[u8] = b"lienthong";
/// A name is shown up to here.
const OWNER_CHARACTERS_MAX: usize = 100;
/// More than starts can have left behind.
const PROBES_MAX: usize = 10_000;

/// Where the bucket is, and what may go into it.
#[derive(Clone)]
pub struct Options {
    /// Scheme, host and port; over `http://` nothing is encrypted.
    pub endpoint: String,
    /// What requests are signed for.
    pub region: String,
    /// Name of the bucket.
    pub bucket: String,
    /// What every name begins with.
    pub prefix: String,
    /// Whose parts these are: a gateway sweeps what its own envelopes do not name, so two gateways on one prefix would sweep each other's.
    pub gateway: String,
    /// Who asks.
    pub access_key: String,
    /// What requests are signed with.
    pub secret_key: String,
    /// CA certificates of the store, PEM; without them there is no https.
    pub roots: Option<Vec<u8>>,
    /// Bytes of one part.
    pub part_bytes_max: u64,
    /// Bytes that one owner has begun or uploaded at this node since the start and that no envelope was checked for yet; each part counts for
    /// 64 KiB at least.
    pub unnamed_bytes_max: u64,
    /// Everything is listed for stale parts at most this often.
    pub list_every: Duration,
}

impl Options {
    /// The usual bounds; no TLS.
    pub fn new(gateway: &str, endpoint: &str, bucket: &str, access_key: &str, secret_key: &str) -> Self {
        Self {
            endpoint: endpoint.to_owned(),
            region: "us-east-1".to_owned(),
            bucket: bucket.to_owned(),
            prefix: "parts".to_owned(),
            gateway: gateway.to_owned(),
            access_key: access_key.to_owned(),
            secret_key: secret_key.to_owned(),
            roots: None,
            part_bytes_max: limits::PART_BYTES_MAX,
            unnamed_bytes_max: 4 * 1024 * 1024 * 1024,
            list_every: Duration::from_secs(3_600),
        }
    }
}

/// Why the bucket cannot be used, and which setting to look at.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// A setting.
    #[error("the settings of [parts] cannot be used: {0}")]
    Settings(#[source] Error),
    /// The roots.
    #[error("`parts.roots` holds no CA certificate in PEM form")]
    Roots,
    /// TLS.
    #[error("TLS cannot be used: {0}")]
    Tls(#[from] rustls::Error),
    /// The keys.
    #[error("the store refuses the key: check `parts.access_key`, `parts.secret_key` and what the key may do: {0}")]
    Refused(#[source] Error),
    /// The bucket.
    #[error("there is no such bucket, or the key may not list it: check `parts.bucket`: {0}")]
    Bucket(#[source] Error),
    /// The store.
    #[error("the store cannot be asked: check `parts.endpoint`, `parts.roots` and `parts.region`: {0}")]
    Away(#[source] Error),
    /// No answer.
    #[error("the store does not answer in time: check `parts.endpoint`")]
    Silent,
    /// It is another gateway's.
    #[error(
        "what lies there are the parts of the gateway \"{owner}\": give this one a `parts.prefix`, or `parts.bucket`, of its own"
    )]
    Others {
        /// Whose.
        owner: String,
    },
    /// It forgets.
    #[error(
        "the store does not show at once what was put into it: a strongly consistent one is needed at `parts.endpoint`"
    )]
    Late,
}

impl ObjectParts {
    /// Connects, and asks the bucket once for what is needed of it: putting, listing, reading and deleting. `now` says what time it is here.
    ///
    /// # Errors
    /// [`OpenError`], saying which setting to look at.
    pub async fn open(
        options: Options,
        now: impl Fn() -> Timestamp + Send + Sync + 'static,
    ) -> Result<Self, OpenError> {
        let prefix = Prefix::new(&options.prefix);
        let store: Arc<dyn ObjectStore> = Arc::new(client(&options)?);
        let probed = async {
            probe(&*store, &prefix).await?;
            claim(&*store, &prefix, &options.gateway).await
        };
        tokio::time::timeout(PROBE_TIME_MAX, probed).await.map_err(|_| OpenError::Silent)??;
        let objects = Objects { store, prefix, now: Box::new(now) };
        Ok(Self::new(objects, options.part_bytes_max, options.unnamed_bytes_max, options.list_every))
    }
}

fn client(options: &Options) -> Result<AmazonS3, OpenError> {
    let backoff = BackoffConfig { init_backoff: BACKOFF_FIRST, max_backoff: BACKOFF_MAX, base: 2.0 };
    let retry = RetryConfig { backoff, max_retries: RETRIES_MAX, retry_timeout: RETRY_TIME_MAX };
    let roots = options.roots.as_deref().map(read_roots).transpose()?;
    AmazonS3Builder::new()
        .with_endpoint(&options.endpoint)
        .with_allow_http(options.endpoint.starts_with("http://"))
        .with_virtual_hosted_style_request(false)
        .with_region(&options.region)
        .with_bucket_name(&options.bucket)
        .with_access_key_id(&options.access_key)
        .with_secret_access_key(&options.secret_key)
        .with_http_connector(Connector::new(roots)?)
        .with_retry(retry)
        .build()
        .map_err(OpenError::Settings)
}

fn read_roots(pem: &[u8]) -> Result<RootCertStore, OpenError> {
    let mut roots = RootCertStore::empty();
    for root in CertificateDer::pem_slice_iter(pem) {
        roots.add(root.map_err(|_| OpenError::Roots)?).map_err(|_| OpenError::Roots)?;
    }
    if roots.is_empty() { Err(OpenError::Roots) } else { Ok(roots) }
}

/// Reads and lists before it puts: some stores would make the bucket that somebody misspelled.
async fn probe(store: &dyn ObjectStore, prefix: &Prefix) -> Result<(), OpenError> {
    let probes = prefix.probes();
    let path = Path::from(format!("{probes}/{}", new_id()));
    match store.get(&path).await {
        Ok(_) | Err(Error::NotFound { .. }) => {}
        Err(error) => return Err(refused(error)),
    }
    list(store, &probes).await?;
    store.put(&path, PutPayload::from_static(PROBE)).await.map_err(refused)?;
    let read = store.get(&path).await.map_err(refused)?.bytes().await.map_err(refused)?;
    let is_listed = list(store, &probes).await?.contains(&path);
    store.delete(&path).await.map_err(refused)?;
    if read == PROBE && is_listed { Ok(()) } else { Err(OpenError::Late) }
}

/// The first gateway that comes writes its name; of two at once the later one stays.
async fn claim(store: &dyn ObjectStore, prefix: &Prefix, gateway: &str) -> Result<(), OpenError> {
    let path = prefix.owner();
    match store.get(&path).await {
        Ok(_) => {}
        Err(Error::NotFound { .. }) => {
            store.put(&path, PutPayload::from(gateway.to_owned())).await.map_err(refused)?;
        }
        Err(error) => return Err(refused(error)),
    }
    let owner = store.get(&path).await.map_err(refused)?.bytes().await.map_err(refused)?;
    if owner == gateway {
        return Ok(());
    }
    Err(OpenError::Others { owner: String::from_utf8_lossy(&owner).chars().take(OWNER_CHARACTERS_MAX).collect() })
}

async fn list(store: &dyn ObjectStore, under: &Path) -> Result<Vec<Path>, OpenError> {
    let listed = store.list(Some(under)).take(PROBES_MAX).map_ok(|meta: ObjectMeta| meta.location);
    // What fails of a list does not say why, but the store has answered and known the key before.
    listed.try_collect().await.map_err(OpenError::Bucket)
}

fn refused(error: Error) -> OpenError {
    match error {
        Error::PermissionDenied { .. } | Error::Unauthenticated { .. } => OpenError::Refused(error),
        Error::NotFound { .. } => OpenError::Bucket(error),
        other => OpenError::Away(other),
    }
}
