//! Where the files lie: a pattern in a folder of this machine, or in a bucket.

use glob::MatchOptions;

use super::Take;
use super::format::Format;
use super::part::Part;
use super::scratch::Scratch;
use crate::source::SourceError;

/// Most files one table is made of; more are a pattern that catches too much.
pub(super) const PARTS: usize = 10_000;

/// `*` stops at a folder's edge, and hidden files, which is what many writers call unfinished ones, need naming.
pub(super) const MATCHING: MatchOptions =
    MatchOptions { case_sensitive: true, require_literal_separator: true, require_literal_leading_dot: true };

/// A checked `url`.
#[derive(Clone, Debug)]
pub(super) enum Place {
    /// `files://PATTERN`.
    Local(String),
    /// `s3://BUCKET/PATTERN`.
    #[cfg(feature = "s3")]
    S3(super::s3::Bucket),
}

impl Place {
    pub(super) fn parse(url: &str) -> Result<Self, SourceError> {
        match (url.strip_prefix("files://"), url.strip_prefix("s3://")) {
            (Some(pattern), _) if !pattern.is_empty() => Ok(Self::Local(checked(pattern)?.to_owned())),
            (_, Some(rest)) => match rest.split_once('/') {
                Some((bucket, pattern)) if !bucket.is_empty() && !pattern.is_empty() => {
                    Self::bucket(bucket, checked(pattern)?)
                }
                _ => Err(SourceError::config("url", "must be s3://BUCKET/PATTERN")),
            },
            _ => Err(SourceError::config("url", "must be files://PATTERN or s3://BUCKET/PATTERN")),
        }
    }

    #[cfg(feature = "s3")]
    fn bucket(bucket: &str, pattern: &str) -> Result<Self, SourceError> {
        super::s3::Bucket::new(bucket, pattern).map(Self::S3)
    }

    #[cfg(not(feature = "s3"))]
    fn bucket(_: &str, _: &str) -> Result<Self, SourceError> {
        Err(SourceError::config("url", "is a bucket, which this build cannot read: build with --features s3"))
    }

    /// The files, by name, all on this machine: those of a bucket are fetched into `scratch`.
    #[cfg_attr(not(feature = "s3"), expect(unused_variables, reason = "only a bucket's files are fetched"))]
    pub(super) async fn parts(&self, scratch: &Scratch, take: Take) -> Result<Vec<Part>, SourceError> {
        let parts = match self {
            Self::Local(pattern) => {
                let pattern = pattern.clone();
                let listed = tokio::task::spawn_blocking(move || local(&pattern)).await;
                listed.map_err(|_| SourceError::Unreachable("listing the files stopped".to_owned()))??
            }
            #[cfg(feature = "s3")]
            Self::S3(bucket) => bucket.fetch(scratch.path(), take).await?,
        };
        require_alike(&parts)?;
        Ok(parts)
    }
}

fn checked(pattern: &str) -> Result<&str, SourceError> {
    match glob::Pattern::new(pattern) {
        Ok(_) => Ok(pattern),
        Err(error) => Err(SourceError::config("url", format!("is not a pattern: {}", error.msg))),
    }
}

fn local(pattern: &str) -> Result<Vec<Part>, SourceError> {
    let paths = glob::glob_with(pattern, MATCHING).expect("the pattern was checked");
    let mut parts = Vec::new();
    for path in paths {
        let path = path.map_err(|error| {
            let why = format!("{} may not be looked into", error.path().display());
            SourceError::Refused(why)
        })?;
        if path.is_file() {
            let name = path.display().to_string();
            parts.push(Part { path, name });
        }
        require_few(parts.len())?;
    }
    require_some(pattern, parts)
}

/// What was found, unless it is nothing.
pub(super) fn require_some(pattern: &str, parts: Vec<Part>) -> Result<Vec<Part>, SourceError> {
    match parts.is_empty() {
        true => Err(SourceError::Unreachable(format!("no file matches {pattern}"))),
        false => Ok(parts),
    }
}

pub(super) fn require_few(parts: usize) -> Result<(), SourceError> {
    match parts > PARTS {
        true => Err(SourceError::config("url", format!("matches more than {PARTS} files"))),
        false => Ok(()),
    }
}

/// One table is written one way.
fn require_alike(parts: &[Part]) -> Result<(), SourceError> {
    let is_parquet = |part: &Part| Format::of(&part.name).map(|format| format == Format::Parquet);
    let Some(first) = parts.first() else { return Ok(()) };
    let expected = is_parquet(first)?;
    for part in parts {
        if is_parquet(part)? != expected {
            let why = format!("matches both CSV and Parquet: {} and {}", first.name, part.name);
            return Err(SourceError::config("url", why));
        }
    }
    Ok(())
}
