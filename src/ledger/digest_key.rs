//! The key of the digests: given, or made once beside the ledger. A ledger's digests are worthless under another.

use std::fmt::Write as _;
use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::Arc;

use secrecy::ExposeSecret;
use sha2::{Digest, Sha256};

use super::LedgerError;
use super::sqlite::{self, beside, unusable};
use super::statement::fetch_one;
use super::store::{Database, Store};
use crate::config;
use crate::customer::Hasher;

/// Fewest bytes of a key that is given: those of the digests' own key.
const KEY_BYTES: usize = 16;

/// The hasher of this ledger.
pub(super) async fn hasher(settings: &config::Ledger, store: &Arc<Store>) -> Result<Hasher, LedgerError> {
    let text = match (&settings.digest_key, &store.database) {
        (Some(given), _) => given
            .resolve()
            .map_err(|error| LedgerError::Unusable(format!("ledger.digest_key: {error}")))?
            .expose_secret()
            .to_owned(),
        (None, Database::Sqlite(file)) => found_beside(file, store).await?,
        (None, Database::Postgres(_)) => {
            return Err(LedgerError::Unusable(
                "ledger.digest_key: is missing; replicas that share a ledger must be given one".to_owned(),
            ));
        }
    };
    let text = text.trim();
    if text.len() < KEY_BYTES {
        return Err(LedgerError::Unusable(format!(
            "ledger.digest_key: at least {KEY_BYTES} bytes are needed"
        )));
    }
    check_fingerprint(store, text).await?;
    let key = Sha256::digest(text.as_bytes());
    Ok(Hasher::new(key[..KEY_BYTES].try_into().expect("sixteen of thirty-two bytes")))
}

/// The key beside the ledger; made where the ledger has never had one.
async fn found_beside(file: &sqlite::File, store: &Arc<Store>) -> Result<String, LedgerError> {
    let path = beside(&file.path, ".key");
    match std::fs::read_to_string(&path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
        found => return found.map_err(|error| unusable(&path, &error)),
    }
    if is_known(store).await? {
        return Err(LedgerError::Unusable(format!(
            "ledger.digest_key: {} is gone, and with it what this ledger's digests mean; restore it, or start a \
             new ledger",
            path.display()
        )));
    }
    let key = format!("{}{}", uuid::Uuid::new_v4().simple(), uuid::Uuid::new_v4().simple());
    write_whole(&path, &key).map_err(|error| unusable(&path, &error))?;
    Ok(key)
}

/// The file is there whole or not at all, whenever the process or the machine dies: half a key would be another key.
fn write_whole(path: &Path, key: &str) -> std::io::Result<()> {
    let unfinished = beside(path, ".new");
    let mut file =
        OpenOptions::new().create(true).truncate(true).write(true).mode(0o600).open(&unfinished)?;
    file.write_all(key.as_bytes())?;
    file.sync_all()?;
    std::fs::rename(&unfinished, path)?;
    let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(directory)?.sync_all()
}

async fn is_known(store: &Arc<Store>) -> Result<bool, LedgerError> {
    let mut tx = store.read("open").await?;
    fetch_one!(
        tx,
        query_scalar("-- ledger::is_known\n select exists (select 1 from facts where name = 'digest_key')")
    )
    .map_err(LedgerError::during("open"))
}

async fn check_fingerprint(store: &Arc<Store>, text: &str) -> Result<(), LedgerError> {
    let digest = Sha256::digest([b"peak-braze digest key ", text.as_bytes()].concat());
    let fingerprint = digest[..8].iter().fold(String::new(), |mut hex, byte| {
        write!(hex, "{byte:02x}").expect("a String takes every write");
        hex
    });
    let mut tx = store.begin("open").await?;
    let known: String = fetch_one!(
        tx,
        query_scalar(
            "-- ledger::check_fingerprint
             insert into facts (name, value) values ('digest_key', $1)
             on conflict (name) do update set value = facts.value returning value",
            &fingerprint,
        )
    )
    .map_err(LedgerError::during("open"))?;
    tx.commit("open").await?;
    if known == fingerprint {
        return Ok(());
    }
    Err(LedgerError::Unusable(
        "ledger.digest_key: not the key this ledger's digests were made with; give that one, or start a new ledger"
            .to_owned(),
    ))
}
