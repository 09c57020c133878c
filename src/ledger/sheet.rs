//! A run's rejections as a sheet.

use chrono::{DateTime, SecondsFormat, Utc};
use futures_util::stream::{self, Stream, StreamExt};

use super::{Ledger, LedgerError, Page, Rejection};
use crate::run::RunId;

/// Rejections read together: what memory holds of a sheet at a time.
const TOGETHER: u32 = 200;

const HEAD: &str = "customer_id,attribute,code,attempts,first_seen_at,last_seen_at\r\n";

impl Ledger {
    /// A run's rejections as CSV (RFC 4180), part by part, beginning with this page of them and, where `all`, going on
    /// to the end. Cells that a spreadsheet would take for a formula begin with an apostrophe. A failure cuts the sheet
    /// off, so that nobody takes a part for the whole.
    pub fn rejections_sheet(
        &self,
        run: RunId,
        first: Page<Rejection>,
        all: bool,
    ) -> impl Stream<Item = Result<String, LedgerError>> + Send + use<> {
        let head = HEAD.to_owned() + &rows(&first.items);
        let next = first.next_cursor.filter(|_| all);
        let rest = stream::try_unfold((self.clone(), next), move |(ledger, next)| async move {
            let Some(cursor) = next else { return Ok(None) };
            let page = ledger.rejections(run, TOGETHER, Some(&cursor)).await?;
            Ok(Some((rows(&page.items), (ledger, page.next_cursor))))
        });
        stream::iter([Ok(head)]).chain(rest)
    }
}

fn rows(rejections: &[Rejection]) -> String {
    let at = |at: &DateTime<Utc>| at.to_rfc3339_opts(SecondsFormat::AutoSi, true);
    let row = |line: &Rejection| {
        let attribute = line.attribute.as_deref().unwrap_or_default();
        let [customer, attribute, code] = [&line.customer_id, attribute, &line.code].map(cell);
        let (first, last) = (at(&line.first_seen_at), at(&line.last_seen_at));
        format!("{customer},{attribute},{code},{},{first},{last}\r\n", line.attempts)
    };
    rejections.iter().map(row).collect()
}

/// RFC 4180, with the characters that start a formula neutralised.
fn cell(text: &str) -> String {
    let formula = text.starts_with(['=', '+', '-', '@', '\t', '\r', '\n']);
    let text = if formula { format!("'{text}") } else { text.to_owned() };
    if text.contains(['"', ',', '\r', '\n']) { format!("\"{}\"", text.replace('"', "\"\"")) } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formulas_become_text() {
        for text in ["=1+1", "+1", "-1", "@x", "\tx"] {
            assert_eq!(cell(text), format!("'{text}"));
        }
        assert_eq!(cell("=a,\"b\""), "\"'=a,\"\"b\"\"\"");
    }

    #[test]
    fn plain_cells_stay_as_they_are() {
        assert_eq!(cell("c-1"), "c-1");
        assert_eq!(cell("a\nb"), "\"a\nb\"");
    }
}
