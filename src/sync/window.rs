//! What a run will read and how it will compare: mode, window, promotion, fingerprint, target.

use std::collections::HashSet;
use std::fmt::Write as _;
use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};
use sha2::{Digest, Sha256};

use super::resend::Resend;
use super::{Rooms, Stopped};
use crate::config;
use crate::ledger::{Lease, SyncState, Target};
use crate::run::{Mode, Window};
use crate::source::Rows;

/// Most flagged customers a delta asks for by key; with more, reading everything is cheaper than a list of that
/// length, and the list would no longer be small beside a chunk.
const MOST_ASKED_BY_KEY: usize = 50_000;

/// What a run will read and how it will compare.
#[derive(Debug)]
pub(super) struct Plan {
    /// Delta, full or force, after promotion; of a plan, what the next delta would be.
    pub mode: Mode,
    /// Why a delta became a full run.
    pub promoted: Option<&'static str>,
    /// Rows past this are read.
    pub after: Option<DateTime<Utc>>,
    /// What to read.
    pub rows: Rows,
    /// Customers all of whose values go.
    pub forced: Forced,
    /// Where digests are kept.
    pub target: Target,
    /// What mapping, table and workspace this is about.
    pub fingerprint: String,
    /// Whether the run covers everything past the watermark, rather than chosen customers.
    pub moves_watermark: bool,
    /// Whether it is only counted what would become of each value.
    pub is_forecast: bool,
    /// Which values go again for having been sent long ago.
    pub resend: Option<Resend>,
    /// Nothing may be sent before this: the sends of the run before are to be settled in Braze.
    pub settled_at: Option<DateTime<Utc>>,
}

/// Customers all of whose values go, whatever the digests say.
#[derive(Clone, Debug)]
pub(super) enum Forced {
    Nobody,
    Everybody,
    These(Arc<HashSet<String>>),
}

impl Forced {
    pub(super) fn covers(&self, customer: &[u8]) -> bool {
        match self {
            Self::Nobody => false,
            Self::Everybody => true,
            Self::These(keys) => std::str::from_utf8(customer).is_ok_and(|customer| keys.contains(customer)),
        }
    }
}

impl Plan {
    pub(super) async fn make(rooms: &Rooms, lease: &Lease) -> Result<Self, Stopped> {
        let names: Vec<&str> = rooms.sync.attributes.iter().map(config::Attribute::name).collect();
        let workspace = &rooms.destination.workspace;
        let target = rooms.ledger.target(&rooms.sync.id, &rooms.sync.profiles(workspace), &names).await?;
        // What is in flight may be that of a run beside a plan, and is not the plan's to doubt.
        let was_cut_off = match lease.run.mode {
            Mode::Plan => false,
            _ => rooms.ledger.doubt_in_flight(lease, target.number).await?.is_some(),
        };
        let state = rooms.ledger.sync_state(&rooms.sync.id).await?;
        let fingerprint = fingerprint(&rooms.sync, workspace);
        let goes_on = lease.checkpoint.as_ref().is_some_and(|earlier| earlier.fingerprint == fingerprint);
        let chosen =
            lease.customers.as_ref().map(|keys| Arc::new(keys.iter().cloned().collect::<HashSet<_>>()));
        let asked = if lease.run.mode == Mode::Plan { Mode::Delta } else { lease.run.mode };
        let moves_watermark = !(asked == Mode::Force && chosen.is_some());
        let flagged = rooms.ledger.flagged(target.number, MOST_ASKED_BY_KEY + 1).await?;

        // An attempt that goes on where another left off does not come past what lies before: it cannot make a full
        // run of what began as a delta.
        let promoted = match moves_watermark && asked == Mode::Delta && !goes_on {
            true => promotion(rooms, &state, &fingerprint, flagged.len()),
            false => None,
        };
        let mode = if promoted.is_some() { Mode::Full } else { asked };
        let after = match mode {
            Mode::Delta => state.watermark.map(|at| at - overlap(&rooms.sync)),
            _ => None,
        };
        // An earlier attempt may have left customers in doubt without a word of when they were sent.
        let is_in_doubt = was_cut_off || (lease.run.attempt > 1 && !flagged.is_empty());
        Ok(Self {
            mode,
            promoted,
            after,
            rows: rows(mode, after, chosen.as_ref(), flagged),
            forced: match (mode, chosen) {
                (Mode::Force, None) => Forced::Everybody,
                (_, Some(keys)) => Forced::These(keys),
                (_, None) => Forced::Nobody,
            },
            target,
            fingerprint,
            moves_watermark,
            is_forecast: lease.run.mode == Mode::Plan,
            resend: resend(rooms).await?,
            settled_at: settled_at(rooms, last_sent_at(rooms, lease, &state, (goes_on, is_in_doubt))),
        })
    }

    /// The window as far as it is known before anything is read.
    pub(super) fn window(&self, up_to: Option<DateTime<Utc>>) -> Window {
        Window { after: self.after, up_to }
    }
}

async fn resend(rooms: &Rooms) -> Result<Option<Resend>, Stopped> {
    let Some(every_secs) = rooms.sync.resend_every_secs else { return Ok(None) };
    let starts = rooms.ledger.run_starts(&rooms.sync.id).await?;
    Ok(Some(Resend::new(every_secs, rooms.clock.now(), starts)))
}

fn overlap(sync: &config::Sync) -> TimeDelta {
    TimeDelta::seconds(i64::try_from(sync.overlap_secs).unwrap_or(i64::MAX / 1_000))
}

fn promotion(rooms: &Rooms, state: &SyncState, fingerprint: &str, flagged: usize) -> Option<&'static str> {
    let workspace_of =
        |fingerprint: &str| fingerprint.rsplit_once(':').map(|(workspace, _)| workspace.to_owned());
    match &state.fingerprint {
        None => return Some("first_run"),
        Some(known) if known == fingerprint => {}
        Some(known) if workspace_of(known) != workspace_of(fingerprint) => return Some("workspace_changed"),
        Some(_) => return Some("mapping_changed"),
    }
    if state.watermark.is_none() {
        return Some("first_run");
    }
    if flagged > MOST_ASKED_BY_KEY {
        return Some("outstanding");
    }
    let full_every = TimeDelta::seconds(i64::try_from(rooms.sync.full_every_secs?).ok()?);
    let is_due = state.last_full_at.is_none_or(|at| rooms.clock.now() - at >= full_every);
    is_due.then_some("full_every")
}

fn rows(
    mode: Mode,
    after: Option<DateTime<Utc>>,
    chosen: Option<&Arc<HashSet<String>>>,
    flagged: Vec<String>,
) -> Rows {
    match (mode, chosen) {
        (Mode::Force, Some(keys)) => Rows::Only(keys.clone()),
        (Mode::Delta, _) if after.is_some() => {
            let mut also: HashSet<String> = flagged.into_iter().collect();
            also.extend(chosen.into_iter().flat_map(|keys| keys.iter().cloned()));
            // Rows of the very instant too: others of it may have been committed since.
            let after = after.map(|at| at - TimeDelta::microseconds(1));
            Rows::Since { after, also: Arc::new(also) }
        }
        _ => Rows::All,
    }
}

/// When a request set out last that one of this attempt could overtake; none: there is none.
fn last_sent_at(
    rooms: &Rooms,
    lease: &Lease,
    state: &SyncState,
    (goes_on, is_in_doubt): (bool, bool),
) -> Option<DateTime<Utc>> {
    if is_in_doubt {
        // A process that died may have sent until it died, which was just now at the latest.
        return Some(rooms.clock.now());
    }
    // Whom an earlier attempt of this run sent is passed over, unless this one starts over.
    state.last_sent.filter(|(_, number)| *number != lease.number || !goes_on).map(|(at, _)| at)
}

/// Braze keeps no order between calls (Braze docs, Race conditions): a later value must not set out before the
/// earlier one has surely arrived. Counted from now at the most, should the clock have been ahead when it set out.
fn settled_at(rooms: &Rooms, last_sent_at: Option<DateTime<Utc>>) -> Option<DateTime<Utc>> {
    let settle = TimeDelta::seconds(i64::try_from(rooms.destination.settle_secs).unwrap_or(0));
    let now = rooms.clock.now();
    last_sent_at.map(|at| at.min(now) + settle).filter(|at| *at > now)
}

/// What decides which values stand for which: workspace, table, key, identifier and every mapped attribute.
fn fingerprint(sync: &config::Sync, workspace: &str) -> String {
    let mut text = String::new();
    let of = (&sync.source, &sync.table, &sync.query, &sync.key, &sync.identifier, &sync.updated_at);
    write!(text, "{of:?} {} ", sync.update_existing_only).expect("a String takes every write");
    for attribute in &sync.attributes {
        write!(text, "{attribute:?}").expect("a String takes every write");
    }
    let digest = Sha256::digest(text.as_bytes());
    let hex = digest[..8].iter().fold(String::new(), |mut hex, byte| {
        write!(hex, "{byte:02x}").expect("a String takes every write");
        hex
    });
    format!("{workspace}:{hex}")
}
