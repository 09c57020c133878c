-- Outstanding rejections: counted for every page and gauge, and those of bad keys looked through at the end of a run.
-- `cleared_at` is always null here, and named so that the planner takes it before the primary key.
create index rejections_outstanding on rejections (target, cleared_at) where cleared_at is null;
create index rejections_bad_keys on rejections (target, last_run) where code = 'bad_key' and cleared_at is null;
