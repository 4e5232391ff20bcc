//! Opens the store that the configuration names, and the parts.

use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use gateway_engine::clock::Clock;
use gateway_model::note::NoteSigner;
use gateway_store::Store;
use gateway_store::parts::{PartError, PartStore};
use gateway_store_embedded::{EmbeddedStore, FileParts, OpenOptions, PartLimits};
use gateway_store_objects::ObjectParts;
use gateway_store_redis::{Durability, RedisStore, Server, Tls, Topology};

use super::StartError;
use crate::check::read_secret;
use crate::config::{self, Config, StoreKind};
use crate::notice;

/// What a start takes longer for it, some hundredths of a second, every commit takes less.
const LOG_BYTES_AHEAD: u64 = 16 * 1024 * 1024;
/// A bucket is listed whole for parts that nobody needs at most this often.
const LIST_EVERY_MAX: Duration = Duration::from_secs(3_600);

/// How long a start waits for Redis: they may be starting together.
const START_PATIENCE: Duration = Duration::from_secs(60);

/// The store of this gateway.
#[derive(Clone)]
pub(crate) enum OpenedStore {
    Embedded(Arc<EmbeddedStore>),
    Redis(Arc<RedisStore>),
}

impl OpenedStore {
    /// As everybody else sees it.
    pub(crate) fn shared(&self) -> Arc<dyn Store> {
        match self {
            Self::Embedded(store) => store.clone(),
            Self::Redis(store) => store.clone(),
        }
    }

    /// Resolves when nothing is acknowledged any more, with the reason.
    pub(crate) async fn failed(&self) -> String {
        match self {
            Self::Embedded(store) => store.failed().await,
            Self::Redis(store) => store.failed().await,
        }
    }

    /// Stops taking steps, waits for those under way, and closes.
    pub(crate) async fn close(&self) {
        self.shared().close().await;
    }
}

/// Opens both.
pub(super) async fn open(
    config: &Config,
    signer: NoteSigner,
    clock: &Arc<dyn Clock>,
) -> Result<(OpenedStore, Arc<dyn PartStore>), StartError> {
    let folder = config.store.path.clone();
    let file = |source| StartError::File { path: folder.clone(), source };
    // Envelopes are nobody else's to read, whatever the umask says.
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(&folder).map_err(file)?;
    notice::forget_addresses(&folder).map_err(file)?;
    let store = match &config.store.kind {
        StoreKind::Embedded => OpenedStore::Embedded(Arc::new(open_embedded(config, signer, clock).await?)),
        StoreKind::Redis(redis) => OpenedStore::Redis(Arc::new(open_redis(config, redis, signer, clock).await?)),
    };
    match open_parts(config, clock).await {
        Ok(parts) => Ok((store, parts)),
        Err(error) => {
            store.close().await;
            Err(error)
        }
    }
}

/// Opens the parts alone.
pub(super) async fn open_parts(config: &Config, clock: &Arc<dyn Clock>) -> Result<Arc<dyn PartStore>, StartError> {
    match &config.parts {
        config::Parts::Folder(folder) => open_folder(config, folder.clone(), clock).await,
        config::Parts::S3(bucket) => open_bucket(config, bucket, clock).await,
    }
}

async fn open_folder(
    config: &Config,
    folder: PathBuf,
    clock: &Arc<dyn Clock>,
) -> Result<Arc<dyn PartStore>, StartError> {
    let free_bytes_min = config.store.free_bytes_min;
    let limits = PartLimits { part_bytes_max: config.limits.part_bytes, free_bytes_min, ..PartLimits::default() };
    // Nobody else's to read, wherever it is.
    let file = |source| StartError::File { path: folder.clone(), source };
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(&folder).map_err(file)?;
    let (clock, gateway) = (clock.clone(), config.gateway.id.clone());
    let opened = tokio::task::spawn_blocking(move || {
        let parts = FileParts::open(folder, limits, move || clock.now())?;
        parts.claim(&gateway)?;
        Ok::<_, PartError>(parts)
    });
    Ok(Arc::new(opened.await??))
}

async fn open_bucket(
    config: &Config,
    bucket: &config::Bucket,
    clock: &Arc<dyn Clock>,
) -> Result<Arc<dyn PartStore>, StartError> {
    let secret = |key: &str, path: &Path| {
        read_secret(path).map_err(|problem| StartError::Config(vec![config.places.fault(key, problem)]))
    };
    let access_key = secret("parts.access_key", &bucket.access_key)?;
    let secret_key = secret("parts.secret_key", &bucket.secret_key)?;
    // Candidates for removal need not be looked for more often than they come.
    let list_every = LIST_EVERY_MAX.min(config.store.upload_retention / 8);
    let options = gateway_store_objects::Options {
        region: bucket.region.clone(),
        prefix: bucket.prefix.clone(),
        roots: bucket.roots.as_deref().map(read).transpose()?,
        part_bytes_max: config.limits.part_bytes,
        list_every,
        ..gateway_store_objects::Options::new(
            config.gateway.id.as_str(),
            bucket.endpoint.to_string().trim_end_matches('/'),
            &bucket.bucket,
            &access_key,
            &secret_key,
        )
    };
    let clock = clock.clone();
    Ok(Arc::new(ObjectParts::open(options, move || clock.now()).await?))
}

async fn open_embedded(
    config: &Config,
    signer: NoteSigner,
    clock: &Arc<dyn Clock>,
) -> Result<EmbeddedStore, StartError> {
    let (free_bytes_min, now) = (config.store.free_bytes_min, Some(clock.now()));
    let log_bytes_ahead = LOG_BYTES_AHEAD;
    let options = OpenOptions { free_bytes_min, now, log_bytes_ahead, ..OpenOptions::new(&config.store.path, signer) };
    Ok(tokio::task::spawn_blocking(move || EmbeddedStore::open(options)).await??)
}

async fn open_redis(
    config: &Config,
    redis: &config::Redis,
    signer: NoteSigner,
    clock: &Arc<dyn Clock>,
) -> Result<RedisStore, StartError> {
    let now = Some(clock.now());
    let options = gateway_store_redis::OpenOptions { now, ..redis_options(config, redis, signer)? };
    Ok(RedisStore::open(options).await?)
}

/// What the configuration says of the store in Redis.
pub(super) fn redis_options(
    config: &Config,
    redis: &config::Redis,
    signer: NoteSigner,
) -> Result<gateway_store_redis::OpenOptions, StartError> {
    let tls = redis.roots.as_deref().map(|roots| read_tls(roots, redis.identity.as_ref())).transpose()?;
    let password = redis.password.as_deref().map(read).transpose()?;
    let server = Server {
        topology: match &redis.topology {
            config::Topology::Single => Topology::Single,
            config::Topology::Sentinel(master) => Topology::Sentinel { master: master.clone() },
            config::Topology::Cluster => Topology::Cluster,
        },
        addresses: redis.addresses.clone(),
        user: redis.user.clone(),
        password: password.map(|bytes| String::from_utf8_lossy(&bytes).trim_end_matches(['\r', '\n']).to_owned()),
        tls,
    };
    let durability = match redis.trial_without_durability {
        false => Durability::Required,
        true => Durability::WaivedForTrials,
    };
    Ok(gateway_store_redis::OpenOptions {
        prefix: redis.prefix.clone(),
        node: node_name(redis),
        durability,
        replicas: redis.replicas,
        free_bytes_min: config.store.free_bytes_min,
        answer_timeout: redis.answer_timeout,
        start_patience: START_PATIENCE,
        ..gateway_store_redis::OpenOptions::new(server, signer)
    })
}

fn node_name(redis: &config::Redis) -> String {
    match redis.node.as_str() {
        "" => rustix::system::uname().nodename().to_string_lossy().into_owned(),
        name => name.to_owned(),
    }
}

fn read_tls(roots: &Path, identity: Option<&(PathBuf, PathBuf)>) -> Result<Tls, StartError> {
    let identity = match identity {
        Some((certificate, key)) => Some((read(certificate)?, read(key)?)),
        None => None,
    };
    Ok(Tls { roots: read(roots)?, identity })
}

fn read(path: &Path) -> Result<Vec<u8>, StartError> {
    std::fs::read(path).map_err(|source| StartError::File { path: path.to_owned(), source })
}
