//! Holders that start whatever they may, come and go, freeze, and lose answers: no window ever holds too many.

use std::collections::VecDeque;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use proptest::prelude::*;
use uuid::Uuid;

use super::*;

const LASTS: Duration = Duration::from_secs(6);
const RENEW: u64 = 1_000;

/// A small generator, so that a failure can be told again.
struct Chance(u64);

impl Chance {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (mixed ^ (mixed >> 31)) % bound
    }
}

/// Milliseconds from the beginning, on everybody's clock.
type Ms = u64;

fn at(ms: Ms) -> DateTime<Utc> {
    DateTime::UNIX_EPOCH + TimeDelta::milliseconds(i64::try_from(ms).expect("in range"))
}

fn ms(time: Duration) -> Ms {
    u64::try_from(time.as_millis()).expect("in range")
}

/// One that starts as many requests as it may, at once.
struct Greedy {
    id: Uuid,
    share: u32,
    until: Ms,
    wants: u32,
    starts: VecDeque<Ms>,
    used: u64,
    up_to: u64,
    /// An ask on its way to the table, and when it gets there.
    asking: Option<(Ms, Ms, Ask)>,
    /// An answer on its way back.
    hearing: Option<(Ms, Ms, Ask, Dealt)>,
    next_ask: Ms,
    frozen_until: Ms,
}

struct World {
    chance: Chance,
    table: Table,
    limit: u32,
    per_hour: Option<u32>,
    tick: Ms,
    /// Longest way of an ask or an answer.
    way: Ms,
    /// Of a thousand ticks, so many see something go wrong.
    trouble: u64,
    holders: Vec<Greedy>,
    starts: Vec<Ms>,
}

impl World {
    fn new(seed: u64, limit: u32, holders: usize) -> Self {
        let mut world = Self {
            chance: Chance(seed),
            table: Table::default(),
            limit,
            per_hour: None,
            tick: 10,
            way: 30,
            trouble: 0,
            holders: Vec::new(),
            starts: Vec::new(),
        };
        (0..holders).for_each(|_| world.join());
        world
    }

    fn join(&mut self) {
        let id = Uuid::from_u64_pair(1, self.chance.below(u64::MAX));
        self.holders.push(Greedy {
            id,
            share: 0,
            until: 0,
            wants: self.limit,
            starts: VecDeque::new(),
            used: 0,
            up_to: 0,
            asking: None,
            hearing: None,
            next_ask: 0,
            frozen_until: 0,
        });
    }

    fn run(&mut self, from: Ms, to: Ms) {
        let mut now = from;
        while now < to {
            if self.trouble > 0 && self.chance.below(1_000) < self.trouble {
                self.upset(now);
            }
            for index in 0..self.holders.len() {
                self.step(index, now);
            }
            now += self.tick;
        }
    }

    /// Something goes wrong: one dies, joins, freezes, loses its answer, or wants something else.
    fn upset(&mut self, now: Ms) {
        let kind = self.chance.below(6);
        if kind == 0 && self.holders.len() < 6 {
            return self.join();
        }
        if self.holders.is_empty() {
            return;
        }
        let which = usize::try_from(self.chance.below(self.holders.len() as u64)).expect("small");
        let (wants, frozen) = (self.chance.below(u64::from(self.limit) + 1), self.chance.below(15_000));
        let holder = &mut self.holders[which];
        match kind {
            1 => drop(self.holders.remove(which)),
            2 => holder.frozen_until = now + frozen,
            3 => (holder.asking, holder.hearing) = (None, None),
            4 => holder.wants = 0,
            _ => holder.wants = u32::try_from(wants).expect("small"),
        }
    }

    fn step(&mut self, index: usize, now: Ms) {
        let (there, back) = (self.chance.below(self.way + 1), self.chance.below(self.way + 1));
        let (limit, per_hour) = (self.limit, self.per_hour);
        let holder = &mut self.holders[index];
        // An ask that is on its way gets there, whatever becomes of who sent it.
        if let Some((asked, _, ask)) = holder.asking.take_if(|(_, there, _)| *there <= now) {
            let dealt = self.table.deal(&ask, LASTS, at(now));
            holder.hearing = Some((asked, now + back, ask, dealt));
        }
        if holder.frozen_until > now {
            return;
        }
        if let Some((asked, _, ask, dealt)) = holder.hearing.take_if(|(_, back, ..)| *back <= now) {
            holder.hear(asked, ask, dealt, now);
        }
        if holder.asking.is_none() && holder.hearing.is_none() && holder.next_ask <= now {
            holder.asking = Some((now, now + there, holder.ask(limit, per_hour, now)));
            holder.next_ask = now + RENEW;
        }
        holder.start_all(per_hour.is_some(), now, &mut self.starts);
    }

    fn most_in(&self, window: Duration) -> usize {
        let (window, mut first, mut most) = (ms(window), 0, 0);
        for (last, start) in self.starts.iter().enumerate() {
            while self.starts[first] + window <= *start {
                first += 1;
            }
            most = most.max(last - first + 1);
        }
        most
    }
}

impl Greedy {
    fn ask(&mut self, limit: u32, per_hour: Option<u32>, now: Ms) -> Ask {
        if self.until <= now {
            (self.share, self.up_to) = (0, self.used);
        }
        let hour = per_hour.map(|limit| HourAsk { limit, used: self.used, keeping: self.up_to });
        Ask { holder: self.id, keeping: self.share, wants: self.wants, limit, hour, hold: None }
    }

    fn hear(&mut self, asked: Ms, ask: Ask, dealt: Dealt, now: Ms) {
        self.share = dealt.share;
        self.until = asked + ms(LASTS) - ms(MARGIN);
        self.up_to = dealt.hour.map_or(self.used, |hour| hour.up_to);
        let lowers = dealt.share < ask.keeping || ask.hour.is_some_and(|hour| self.up_to < hour.keeping);
        if lowers {
            self.next_ask = now;
        }
    }

    fn start_all(&mut self, has_hour: bool, now: Ms, starts: &mut Vec<Ms>) {
        while self.starts.front().is_some_and(|start| start + ms(WINDOW) <= now) {
            self.starts.pop_front();
        }
        while self.until > now
            && self.starts.len() < self.share as usize
            && self.starts.len() < self.wants as usize
            && (!has_hour || self.used < self.up_to)
        {
            self.starts.push_back(now);
            self.used += 1;
            starts.push(now);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn no_window_holds_more_than_the_limit_whoever_comes_goes_or_freezes(
        seed in any::<u64>(), limit in 1_u32..60, holders in 1_usize..5, way in prop::sample::select(vec![10_u64, 300, 3_000]),
    ) {
        let mut world = World { trouble: 8, way, ..World::new(seed, limit, holders) };
        world.run(0, 60_000);
        prop_assert!(world.most_in(WINDOW) <= limit as usize, "{} of {limit}", world.most_in(WINDOW));
    }
}

proptest! {
    // Three hours each.
    #![proptest_config(ProptestConfig::with_cases(8))]
    #[test]
    fn no_hour_holds_more_than_its_limit(seed in any::<u64>(), per_hour in 20_u32..3_000, holders in 1_usize..4) {
        let mut world =
            World { trouble: 2, tick: 500, per_hour: Some(per_hour), ..World::new(seed, 30, holders) };
        world.run(0, 3 * 3_600_000);
        let most = world.most_in(Duration::from_secs(3_600));
        prop_assert!(most <= per_hour as usize, "{most} of {per_hour}");
    }
}

#[test]
fn a_lone_holder_has_it_all_and_two_have_half_each() {
    let mut world = World::new(7, 300, 1);
    world.run(0, 31_000);
    assert!(world.starts.len() >= 2_900, "{}", world.starts.len());
    world.join();
    world.run(31_000, 40_000);
    let before = world.starts.len();
    world.run(40_000, 71_000);
    assert!(world.starts.len() - before >= 2_900, "{}", world.starts.len() - before);
    assert_eq!(world.holders.iter().map(|holder| holder.share).collect::<Vec<_>>(), [150, 150]);
    assert!(world.most_in(WINDOW) <= 300);
}

#[test]
fn what_a_dead_holder_had_is_dealt_again_once_it_can_no_longer_have_used_it() {
    let mut world = World::new(7, 300, 2);
    world.run(0, 20_000);
    let died = 20_000;
    world.holders.remove(0);
    let soonest = died + ms(LASTS) - RENEW;
    world.run(died, soonest);
    assert_eq!(world.holders[0].share, 150, "until its share has run out, and a window after it");
    world.run(soonest, died + ms(LASTS) + ms(WINDOW) + 2 * RENEW);
    assert_eq!(world.holders[0].share, 300);
}

#[test]
fn the_hour_is_shared_and_comes_back() {
    let mut world = World { per_hour: Some(600), tick: 100, ..World::new(3, 300, 2) };
    world.run(0, 60_000);
    let spent = world.starts.len();
    assert!((599..=600).contains(&spent), "{spent}");
    world.run(60_000, 3_600_000);
    assert_eq!(world.starts.len(), spent);
    world.run(3_600_000, 3_900_000);
    assert!(world.starts.len() > spent + 500, "{}", world.starts.len());
}

#[test]
fn an_hours_limit_that_is_new_counts_from_then_on() {
    let mut world = World::new(3, 300, 1);
    world.run(0, 60_000);
    let before = world.starts.len();
    assert!(before > 3_000, "{before}");
    world.per_hour = Some(1_000);
    world.run(60_000, 120_000);
    let since = world.starts.len() - before;
    assert!((900..=1_300).contains(&since), "{since}");
}
