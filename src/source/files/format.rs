//! What a file holds, told by its name.

use crate::source::SourceError;

/// How a file's rows are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Format {
    /// Lines of separated values under a line of names. Source: RFC 4180.
    Csv { delimiter: u8, is_gzip: bool },
    /// Apache Parquet.
    Parquet,
}

impl Format {
    pub(super) fn of(name: &str) -> Result<Self, SourceError> {
        let lower = name.to_ascii_lowercase();
        let (plain, is_gzip) = match lower.strip_suffix(".gz") {
            Some(plain) => (plain, true),
            None => (lower.as_str(), false),
        };
        match plain.rsplit_once('.').map(|(_, ending)| ending) {
            Some("csv") => Ok(Self::Csv { delimiter: b',', is_gzip }),
            Some("tsv") => Ok(Self::Csv { delimiter: b'\t', is_gzip }),
            Some("parquet") if is_gzip => Err(unknown(name)),
            Some("parquet") if cfg!(feature = "parquet") => Ok(Self::Parquet),
            Some("parquet") => Err(SourceError::config(
                "url",
                format!("{name} is Parquet, which this build cannot read: build with --features parquet"),
            )),
            _ => Err(unknown(name)),
        }
    }
}

fn unknown(name: &str) -> SourceError {
    let why = format!("{name} does not end in .csv, .csv.gz, .tsv, .tsv.gz or .parquet");
    SourceError::config("url", why)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_tells_the_format() {
        assert_eq!(Format::of("a.CSV"), Ok(Format::Csv { delimiter: b',', is_gzip: false }));
        assert_eq!(Format::of("a.b.tsv.gz"), Ok(Format::Csv { delimiter: b'\t', is_gzip: true }));
        for name in ["a", "csv", "a.csv.zip", "a.parquet.gz", "a.gz"] {
            assert!(matches!(Format::of(name), Err(SourceError::Config { key: "url", .. })), "{name}");
        }
    }
}
