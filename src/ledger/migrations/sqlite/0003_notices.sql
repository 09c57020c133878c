-- Notices not yet delivered: written with what they tell of, gone once delivered.
create table notices (
  number integer primary key autoincrement,
  id blob not null unique,
  receiver text not null,
  event text not null,
  sync text not null,
  occasion text not null,
  data text not null,
  at integer not null,
  tries integer not null default 0,
  next_try_at integer not null,
  unique (receiver, occasion)
);
create index notices_due on notices (receiver, next_try_at);
create index notices_by_time on notices (at);

-- Which receivers were configured, and when last: what is for nobody any more goes.
create table notice_receivers (
  receiver text primary key not null,
  seen_at integer not null
) without rowid;

-- When the sync was told to be stale; null: it is fresh.
alter table syncs add column stale_at integer;
-- Whether a run has failed or ended partial, or the sync was blocked or stale, since it last did well.
alter table syncs add column troubled integer not null default 0;
