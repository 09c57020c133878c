-- Budgets that replicas have together: one row each, which whoever deals locks.
create table budgets (
  budget text collate "C" primary key,
  -- Nothing may be sent before: Braze said so to one of them.
  held_until timestamptz
);

-- Who may start how many requests in a window, until when; see the room `share`. Rewritten every second by who sends.
create table budget_shares (
  budget text collate "C" not null,
  holder uuid not null,
  share bigint not null,
  wants bigint not null,
  per_window bigint not null,
  per_hour bigint,
  expires_at timestamptz not null,
  before jsonb not null,
  hour_used bigint not null,
  hour_granted bigint not null,
  primary key (budget, holder)
) with (fillfactor = 50);

-- Requests started, by the minute, where the hour has a limit.
create table budget_minutes (
  budget text collate "C" not null,
  began_at timestamptz not null,
  used bigint not null,
  primary key (budget, began_at)
) with (fillfactor = 50);
