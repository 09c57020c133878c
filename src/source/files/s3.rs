//! A bucket's files, fetched into the scratch before they are read.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use futures_util::TryStreamExt;
use object_store::aws::{AmazonS3, AmazonS3Builder, AmazonS3ConfigKey};
use object_store::path::Path as Key;
use object_store::{ClientConfigKey, Error, ObjectStore, ObjectStoreExt, RetryConfig};
use tokio::io::AsyncWriteExt;

use super::Take;
use super::part::Part;
use super::place::{MATCHING, require_few, require_some};
use crate::source::SourceError;

/// How long one request is tried again; the run's own patience follows.
const RETRY_TIMEOUT: Duration = Duration::from_secs(30);
const CONNECT_TIMEOUT: &str = "5 seconds";
/// Without a byte for so long, a request is given up.
const READ_TIMEOUT: &str = "30 seconds";
/// Longest that one file may take.
const FETCH_TIMEOUT: &str = "1 hour";

/// The keys of one bucket that match a pattern.
#[derive(Clone, Debug)]
pub(super) struct Bucket {
    store: Arc<AmazonS3>,
    name: String,
    pattern: String,
}

impl Bucket {
    /// Signs in as the environment says: `AWS_ACCESS_KEY_ID` and its like, a web identity, or the machine's role.
    pub(super) fn new(name: &str, pattern: &str) -> Result<Self, SourceError> {
        // The second and every later installation fails, and that is fine: one is there.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let store = AmazonS3Builder::from_env()
            .with_bucket_name(name)
            .with_config(AmazonS3ConfigKey::Client(ClientConfigKey::ConnectTimeout), CONNECT_TIMEOUT)
            .with_config(AmazonS3ConfigKey::Client(ClientConfigKey::ReadTimeout), READ_TIMEOUT)
            .with_config(AmazonS3ConfigKey::Client(ClientConfigKey::Timeout), FETCH_TIMEOUT)
            .with_retry(RetryConfig { retry_timeout: RETRY_TIMEOUT, ..RetryConfig::default() })
            .build()
            .map_err(|_| SourceError::config("url", "is a bucket, and the AWS_… settings are not whole"))?;
        Ok(Self { store: Arc::new(store), name: name.to_owned(), pattern: pattern.to_owned() })
    }

    /// Fetches what matches into `folder`, or only the first file where few rows are wanted.
    pub(super) async fn fetch(&self, folder: &Path, take: Take) -> Result<Vec<Part>, SourceError> {
        let mut keys = self.keys().await?;
        if !matches!(take, Take::All) {
            keys.truncate(1);
        }
        let mut parts = Vec::with_capacity(keys.len());
        for (index, key) in keys.iter().enumerate() {
            let path = folder.join(format!("part-{index}"));
            self.fetch_one(key, &path).await?;
            parts.push(Part { path, name: self.shown(key) });
        }
        require_some(&format!("s3://{}/{}", self.name, self.pattern), parts)
    }

    fn shown(&self, key: &Key) -> String {
        format!("s3://{}/{key}", self.name)
    }

    async fn keys(&self) -> Result<Vec<Key>, SourceError> {
        let pattern = glob::Pattern::new(&self.pattern).expect("the pattern was checked");
        let prefix = fixed_folder(&self.pattern).map(Key::from);
        let mut found = self.store.list(prefix.as_ref());
        let mut keys = Vec::new();
        while let Some(object) = found.try_next().await.map_err(|error| self.failed(&error))? {
            if pattern.matches_with(object.location.as_ref(), MATCHING) {
                keys.push(object.location);
            }
            require_few(keys.len())?;
        }
        keys.sort();
        Ok(keys)
    }

    /// One request gives one version of an object, whole.
    async fn fetch_one(&self, key: &Key, path: &Path) -> Result<(), SourceError> {
        let no_room =
            |_| SourceError::Unreachable("there is no room to fetch the files (see TMPDIR)".to_owned());
        let object = self.store.get(key).await.map_err(|error| self.failed(&error))?;
        let mut bytes = object.into_stream();
        let mut file = tokio::fs::File::create(path).await.map_err(no_room)?;
        while let Some(some) = bytes.try_next().await.map_err(|error| self.failed(&error))? {
            file.write_all(&some).await.map_err(no_room)?;
        }
        file.flush().await.map_err(no_room)
    }

    /// What a failure means. The store's text is left out: it may quote a signed address.
    fn failed(&self, error: &Error) -> SourceError {
        let bucket = &self.name;
        match error {
            error if is_refusal(error) => {
                SourceError::Refused(format!("bucket {bucket} may not be read: check key, role and policy"))
            }
            Error::NotFound { .. } => {
                SourceError::Unreachable(format!("bucket {bucket}, or a file in it, is gone"))
            }
            _ => SourceError::Unreachable(format!("bucket {bucket} cannot be read for now")),
        }
    }
}

/// A refused listing comes without a kind of its own: its status stands in its words alone.
fn is_refusal(error: &Error) -> bool {
    let words = ["status code: 401", "status code: 403"];
    match error {
        Error::PermissionDenied { .. } | Error::Unauthenticated { .. } => true,
        Error::Generic { source, .. } => words.iter().any(|word| source.to_string().contains(word)),
        _ => false,
    }
}

/// The folder all matches lie in, so that no more is listed than need be.
fn fixed_folder(pattern: &str) -> Option<&str> {
    let fixed = pattern.find(['*', '?', '[']).map_or(pattern, |at| &pattern[..at]);
    fixed.rsplit_once('/').map(|(folder, _)| folder)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_more_is_listed_than_the_folder_before_the_first_wildcard() {
        assert_eq!(fixed_folder("a/b/*.csv"), Some("a/b"));
        assert_eq!(fixed_folder("a/b-*/c.csv"), Some("a"));
        assert_eq!(fixed_folder("*.csv"), None);
        assert_eq!(fixed_folder("a/b.csv"), Some("a"));
    }
}
