-- The marks of the commits that were last under way, and of those that came to nothing and were asked for.
create table commits (
  id uuid primary key,
  stands boolean not null,
  at timestamptz not null default clock_timestamp()
);
