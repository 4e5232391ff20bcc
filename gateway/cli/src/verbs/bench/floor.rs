//! The floor: what the machine can do without us. Three CPU costs, measured in the same run as ours.

use std::io::Write as _;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use aws_lc_rs::signature::{self, ParsedPublicKey};
use certs_dev::pki::Credential;
use gateway_model::Digest;

/// A cost: processor time and wall time of one operation.
#[derive(Clone, Copy, Debug)]
pub struct Cost {
    /// Processor time, all threads of this process.
    pub cpu: Duration,
    /// Wall time.
    pub wall: Duration,
}

/// Measures `operation`, which does `count` operations, by this process's processor time.
///
/// # Errors
/// When the operation fails.
pub fn measure(count: u32, operation: impl FnOnce() -> anyhow::Result<()>) -> anyhow::Result<Cost> {
    let (cpu, wall) = (process_cpu()?, Instant::now());
    operation()?;
    Ok(Cost { cpu: process_cpu()?.saturating_sub(cpu) / count, wall: wall.elapsed() / count })
}

/// Processor time that this process has used, all threads.
///
/// # Errors
/// When the kernel answers nonsense.
pub fn process_cpu() -> anyhow::Result<Duration> {
    let spent = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    Ok(Duration::new(u64::try_from(spent.tv_sec)?, u32::try_from(spent.tv_nsec)?))
}

/// (1) One signature check on a parsed key over content of this size: two SHA-256 and the arithmetic, no parsing at all.
///
/// # Errors
/// When the key is of another kind.
pub fn signature_check(credential: &Credential, content: &[u8]) -> anyhow::Result<Cost> {
    let key = openssl::pkey::PKey::private_key_from_pem(credential.key_pem.as_bytes())?;
    let attributes = vec![7u8; 200];
    let mut signer = openssl::sign::Signer::new(openssl::hash::MessageDigest::sha256(), &key)?;
    let made = signer.sign_oneshot_to_vec(&attributes)?;
    let (algorithm, public): (&'static dyn signature::VerificationAlgorithm, Vec<u8>) = match key.id() {
        openssl::pkey::Id::RSA => (&signature::RSA_PKCS1_2048_8192_SHA256, key.rsa()?.public_key_to_der_pkcs1()?),
        openssl::pkey::Id::EC => {
            let ec = key.ec_key()?;
            let mut context = openssl::bn::BigNumContext::new()?;
            let form = openssl::ec::PointConversionForm::UNCOMPRESSED;
            (&signature::ECDSA_P256_SHA256_ASN1, ec.public_key().to_bytes(ec.group(), form, &mut context)?)
        }
        other => anyhow::bail!("no floor for keys of kind {other:?}"),
    };
    let parsed = ParsedPublicKey::new(algorithm, public).map_err(|_| anyhow::anyhow!("the floor's own key"))?;
    let rounds = 20_000;
    measure(rounds, || {
        for _ in 0..rounds {
            std::hint::black_box(Digest::of(std::hint::black_box(content)));
            parsed.verify_sig(&attributes, &made).map_err(|_| anyhow::anyhow!("the floor's own signature"))?;
        }
        Ok(())
    })
}

/// (3) One record in a bare log: append in batches of 256, one fdatasync a batch.
///
/// # Errors
/// When the disk fails.
pub fn batched_append(folder: &Path, record: &[u8]) -> anyhow::Result<Cost> {
    let path = folder.join("floor.log");
    let mut file = std::fs::File::create(&path).with_context(|| format!("cannot write {}", path.display()))?;
    let (batch, batches) = (256u32, 40u32);
    let mut buffer = Vec::with_capacity(record.len() * batch as usize);
    let cost = measure(batch * batches, || {
        for _ in 0..batches {
            buffer.clear();
            for _ in 0..batch {
                buffer.extend_from_slice(record);
            }
            file.write_all(&buffer)?;
            file.sync_data()?;
        }
        Ok(())
    })?;
    std::fs::remove_file(&path)?;
    Ok(cost)
}

/// Wall time of appending one record and syncing it, alone: the median of many.
///
/// # Errors
/// When the disk fails.
pub fn lone_sync(folder: &Path, record: &[u8]) -> anyhow::Result<Duration> {
    let path = folder.join("floor-lone.log");
    let mut file = std::fs::File::create(&path).with_context(|| format!("cannot write {}", path.display()))?;
    let mut times = Vec::new();
    for _ in 0..400 {
        let start = Instant::now();
        file.write_all(record)?;
        file.sync_data()?;
        times.push(start.elapsed());
    }
    std::fs::remove_file(&path)?;
    times.sort();
    Ok(times[times.len() / 2])
}
