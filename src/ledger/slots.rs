//! Targets, and which slot of the packed digests belongs to which attribute. A slot is never given to another.

use std::collections::HashMap;

use super::statement::{execute, fetch_all, fetch_one};
use super::{Ledger, LedgerError, Target};

impl Ledger {
    /// The target of a sync and workspace, with the slots of these attributes; made if new.
    ///
    /// # Errors
    /// [`LedgerError::Unavailable`].
    pub async fn target(
        &self,
        sync: &str,
        workspace: &str,
        attributes: &[&str],
    ) -> Result<Target, LedgerError> {
        let during = LedgerError::during("find a target");
        let mut tx = self.begin("find a target").await?;
        let number: i64 = fetch_one!(
            tx,
            query_scalar(
                "-- ledger::target
             insert into targets (sync, workspace) values ($1, $2)
             on conflict (sync, workspace) do update set workspace = excluded.workspace returning number",
                sync,
                workspace
            )
        )
        .map_err(&during)?;
        for attribute in attributes {
            execute!(
                tx,
                "-- ledger::target
                 insert into slots (target, attribute, slot)
                 values ($1, $2, (select coalesce(max(slot) + 1, 0) from slots where target = $1))
                 on conflict (target, attribute) do nothing",
                number,
                attribute
            )
            .map_err(&during)?;
        }
        tx.commit("find a target").await?;
        let known = self.slots(number).await?;
        let slots = attributes.iter().filter_map(|attribute| known.get(*attribute).copied()).collect();
        Ok(Target { number, slots })
    }

    /// The slots of a target by attribute.
    pub(super) async fn slots(&self, target: i64) -> Result<HashMap<String, usize>, LedgerError> {
        let rows: Vec<(String, i64)> = fetch_all!(
            self.read("find a target").await?,
            query_as("-- ledger::slots\n select attribute, slot from slots where target = $1", target)
        )
        .map_err(LedgerError::during("find a target"))?;
        Ok(rows.into_iter().map(|(name, slot)| (name, usize::try_from(slot).unwrap_or(usize::MAX))).collect())
    }
}
