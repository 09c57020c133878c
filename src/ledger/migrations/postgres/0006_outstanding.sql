-- Outstanding rejections: counted for every page and gauge, and those of bad keys looked through at the end of a run.
create index rejections_outstanding on rejections (target, customer_id) where cleared_at is null;
create index rejections_bad_keys on rejections (target, last_run) where code = 'bad_key' and cleared_at is null;
