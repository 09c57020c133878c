//! One part of a result: its bytes as they came, and where each row stands in them.

use serde::Deserialize;
use serde_json::value::RawValue;

use super::cell::Cell;

/// Rows in the order of the result.
#[derive(Debug, Default)]
pub(super) struct Partition {
    bytes: String,
    rows: Vec<(usize, usize)>,
}

/// What an answer says of a result, beside its rows.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Meta {
    pub num_rows: u64,
    pub row_type: Vec<ColumnType>,
    #[serde(default)]
    pub partition_info: Vec<PartitionInfo>,
}

/// A column of a result. Source: Snowflake docs, SQL API reference, `ResultSet_resultSetMetaData`.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct ColumnType {
    pub name: String,
    #[serde(rename = "type")]
    pub type_name: String,
    #[serde(default)]
    pub precision: Option<u32>,
    #[serde(default)]
    pub scale: Option<u32>,
    #[serde(default)]
    pub collation: Option<String>,
}

/// What is said ahead of a partition.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct PartitionInfo {
    pub row_count: usize,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Answer<'a> {
    #[serde(default)]
    result_set_meta_data: Option<Meta>,
    #[serde(borrow, default)]
    data: Option<Vec<&'a RawValue>>,
}

impl Partition {
    /// Reads an answer; none if it is not one.
    pub(super) fn read(bytes: Vec<u8>) -> Option<(Option<Meta>, Self)> {
        let bytes = String::from_utf8(bytes).ok()?;
        let answer: Answer<'_> = serde_json::from_str(&bytes).ok()?;
        let start = bytes.as_ptr().addr();
        let place = |row: &RawValue| {
            let at = row.get().as_ptr().addr() - start;
            (at, at + row.get().len())
        };
        let rows = answer.data?.into_iter().map(place).collect();
        let meta = answer.result_set_meta_data;
        Some((meta, Self { bytes, rows }))
    }

    pub(super) fn len(&self) -> usize {
        self.rows.len()
    }

    /// The rows, each as its cells; none where a row is not a list.
    pub(super) fn rows(&self) -> impl Iterator<Item = Option<Vec<Cell<'_>>>> {
        self.rows.iter().map(|(start, end)| Cell::row(&self.bytes[*start..*end]))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_found_in_the_bytes_they_came_in() {
        let body = r#"{"resultSetMetaData":{"numRows":2,"format":"jsonv2","rowType":[{"name":"A","type":"TEXT"}],
            "partitionInfo":[{"rowCount":2,"compressedSize":40}]},"data":[["é"], [null]],"code":"090001"}"#;
        let (meta, partition) = Partition::read(body.into()).expect("an answer");
        let meta = meta.expect("told");
        assert_eq!((meta.num_rows, meta.partition_info[0].row_count, partition.len()), (2, 2, 2));
        let texts: Vec<_> =
            partition.rows().map(|row| row.expect("a row")[0].text().map(str::to_owned)).collect();
        assert_eq!(texts, [Some("é".to_owned()), None]);
        assert!(Partition::read(b"{\"data\":[[\"a\"".to_vec()).is_none());
        assert!(Partition::read(b"{}".to_vec()).is_none());
    }
}
