//! The table of a budget: who holds which share, and what counts although nobody holds it any more.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::hour::Minute;
use super::{Ask, Dealt, WINDOW, fair};

/// All that is known of a budget.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Table {
    /// Who holds a share, or may have used one within a window.
    pub holders: Vec<Holder>,
    /// Requests of the last hour, where the hour has a limit.
    pub minutes: Vec<Minute>,
}

/// One holder of a share.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Holder {
    /// Who.
    pub id: Uuid,
    /// Most requests it may start in a window.
    pub share: u32,
    /// Requests per window it has use for.
    pub wants: u32,
    /// The limit it knows of.
    pub limit: u32,
    /// Until when it may start any, unless it asks again. A holder stops before that, by its own clock.
    pub expires_at: DateTime<Utc>,
    /// Larger shares it had within a window.
    pub before: Vec<Before>,
    /// The hour's limit it knows of.
    pub per_hour: Option<u32>,
    /// Requests it has told of, counted from its beginning.
    pub hour_used: u64,
    /// Requests it may start, counted from its beginning.
    pub hour_granted: u64,
}

/// A share that a holder had, and that may have been used since.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Before {
    /// Requests per window.
    pub share: u32,
    /// When a window has passed since.
    pub until: DateTime<Utc>,
}

impl Holder {
    fn new(ask: &Ask, now: DateTime<Utc>) -> Self {
        let used = ask.hour.map_or(0, |hour| hour.used);
        Self {
            id: ask.holder,
            share: 0,
            wants: 0,
            limit: ask.limit,
            expires_at: now,
            before: Vec::new(),
            per_hour: None,
            hour_used: used,
            hour_granted: used,
        }
    }

    pub(super) fn is_live(&self, now: DateTime<Utc>) -> bool {
        self.expires_at > now
    }

    /// Whether it may have started anything within the last window.
    pub fn is_gone(&self, now: DateTime<Utc>) -> bool {
        self.expires_at + window() <= now
    }

    /// Most requests it may have started in a window that has not passed, or may still.
    fn counted(&self, now: DateTime<Utc>) -> u32 {
        let held = if self.is_gone(now) { 0 } else { self.share };
        let before = self.before.iter().filter(|before| before.until > now).map(|before| before.share);
        before.fold(held, u32::max)
    }

    /// It keeps to another share since just now, or since its share ran out.
    fn keeps(&mut self, share: u32, now: DateTime<Utc>) {
        let last = now.min(self.expires_at);
        if share < self.share || !self.is_live(now) {
            self.before.push(Before { share: self.share, until: last + window() });
        }
        self.share = share;
        self.before.retain(|before| before.until > now && before.share > share);
    }
}

impl Table {
    /// Deals to who asks, for `lasts` from now: what it is due, as far as nobody else's share stands in the way.
    pub fn deal(&mut self, ask: &Ask, lasts: Duration, now: DateTime<Utc>) -> Dealt {
        self.bury(now);
        let index = self.take_in(ask, lasts, now);
        let live = || self.holders.iter().filter(|holder| holder.is_live(now));
        let limit = live().map(|holder| holder.limit).min().unwrap_or(ask.limit);
        let wants: Vec<u32> = live().map(|holder| holder.wants.min(limit)).collect();
        let place = live().position(|holder| holder.id == ask.holder);
        let due = place.map_or(0, |place| fair::due(limit, &wants, now)[place]);
        let others = self.holders.iter().filter(|holder| holder.id != ask.holder);
        let room = others.fold(limit, |room, holder| room.saturating_sub(holder.counted(now)));
        let share = due.min(room);
        // Until it hears of a smaller one, it keeps to what it said.
        self.holders[index].share = share.max(ask.keeping);
        let hour = ask.hour.map(|hour| self.deal_hour(index, hour, share, now));
        Dealt { share, due, lasts, hour, hold: None }
    }

    /// Forgets who has been gone for a window. What it had of the hour, it may have used to the end.
    fn bury(&mut self, now: DateTime<Utc>) {
        let (gone, there) =
            std::mem::take(&mut self.holders).into_iter().partition(|holder| holder.is_gone(now));
        self.holders = there;
        let gone: Vec<Holder> = gone;
        for holder in gone {
            self.count(holder.hour_granted.saturating_sub(holder.hour_used), holder.expires_at);
        }
        self.minutes.retain(|minute| minute.counts(now));
    }

    fn take_in(&mut self, ask: &Ask, lasts: Duration, now: DateTime<Utc>) -> usize {
        let known = self.holders.iter().position(|holder| holder.id == ask.holder);
        let index = known.unwrap_or_else(|| {
            self.holders.push(Holder::new(ask, now));
            self.holders.len() - 1
        });
        let holder = &mut self.holders[index];
        holder.keeps(ask.keeping, now);
        (holder.wants, holder.limit) = (ask.wants, ask.limit);
        if let (None, Some(hour)) = (holder.per_hour, ask.hour) {
            // The hour has a limit since just now: what was started before is told of no minute, and is not counted
            // as started in this one.
            (holder.hour_used, holder.hour_granted) = (hour.used, hour.used);
        }
        holder.per_hour = ask.hour.map(|hour| hour.limit);
        holder.expires_at = now + TimeDelta::from_std(lasts).unwrap_or_default();
        index
    }
}

fn window() -> TimeDelta {
    TimeDelta::from_std(WINDOW).unwrap_or_default()
}
