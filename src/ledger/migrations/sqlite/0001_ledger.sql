-- Times are microseconds since 1970 in UTC.

create table syncs (
  sync text primary key not null,
  paused integer not null default 0,
  blocked_code text,
  blocked_since integer,
  watermark integer,
  watermark_moved_at integer,
  fingerprint text,
  last_full_at integer,
  last_sent_at integer,
  last_sent_run integer,
  last_slot_at integer
) without rowid;

create table runs (
  number integer primary key autoincrement,
  id blob not null unique,
  sync text not null,
  mode text not null,
  state text not null,
  kind text not null,
  actor text,
  reason text,
  retrigger_of blob,
  customers text,
  model text not null default '{}',
  attempt integer not null default 0,
  crashes integer not null default 0,
  epoch integer not null default 0,
  lease_expires_at integer,
  cancel_requested integer not null default 0,
  created_at integer not null,
  started_at integer,
  finished_at integer,
  window_after integer,
  window_up_to integer,
  tally text not null default '{}',
  data_points text not null default '{}',
  progress text,
  promoted text,
  throttled_until integer,
  held_by text,
  superseded_by blob,
  error text,
  checkpoint text
);
create unique index runs_queued on runs (sync) where state = 'queued' and mode <> 'plan';
create unique index runs_active on runs (sync) where state in ('running', 'waiting', 'held') and mode <> 'plan';
create unique index runs_plan on runs (sync) where state in ('queued', 'running', 'waiting') and mode = 'plan';
create index runs_of_sync on runs (sync, number);
create index runs_finished on runs (finished_at) where finished_at is not null;
create index runs_open on runs (state) where state in ('queued', 'running', 'waiting', 'held');

create table deliveries (
  number integer primary key autoincrement,
  sync text not null,
  delivery_id text not null,
  outcome text not null,
  body_digest blob not null,
  received_at integer not null,
  event_type text not null,
  reason text,
  run_id blob,
  secret integer,
  times integer not null default 1
);
-- The first of an id stands; what follows it is counted, one line per outcome.
create unique index deliveries_first on deliveries (sync, delivery_id) where outcome in ('accepted', 'ignored');
create unique index deliveries_repeated on deliveries (sync, delivery_id, outcome)
  where outcome in ('duplicate', 'conflict');
create index deliveries_by_time on deliveries (received_at, number);
create index deliveries_of_sync on deliveries (sync, received_at, number);
create index deliveries_of_run on deliveries (run_id) where run_id is not null;

create table idempotency (
  scope text not null,
  key text not null,
  body_digest blob not null,
  run_id blob not null,
  coalesced integer not null,
  created_at integer not null,
  primary key (scope, key)
) without rowid;

create table targets (
  number integer primary key autoincrement,
  sync text not null,
  workspace text not null,
  unique (sync, workspace)
);

create table slots (
  target integer not null,
  attribute text not null,
  slot integer not null,
  primary key (target, attribute),
  unique (target, slot)
) without rowid;

create table sent (
  target integer not null,
  customer_id text not null,
  digests blob not null,
  in_doubt integer not null default 0,
  rejected integer not null default 0,
  primary key (target, customer_id)
) without rowid;
create index sent_flagged on sent (target, in_doubt, rejected, customer_id) where in_doubt = 1 or rejected = 1;

create table in_flight (
  number integer primary key autoincrement,
  target integer not null,
  run integer not null,
  marked_at integer not null,
  customers blob not null
);

create table rejections (
  target integer not null,
  customer_id text not null,
  attribute text not null default '',
  code text not null,
  attempts integer not null,
  first_run integer not null,
  last_run integer not null,
  first_seen_at integer not null,
  last_seen_at integer not null,
  cleared_at integer,
  primary key (target, customer_id, attribute)
) without rowid;
create index rejections_of_run on rejections (target, last_run);
create index rejections_cleared on rejections (cleared_at) where cleared_at is not null;

create table holds (
  destination text primary key not null,
  until integer not null
) without rowid;

create table facts (
  name text primary key not null,
  value text not null
) without rowid;
