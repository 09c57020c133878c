-- What a plan came to.
alter table runs add column plan text;
