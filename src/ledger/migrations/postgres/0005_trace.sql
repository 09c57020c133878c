-- Where the run stands in the trace of what asked for it: a W3C traceparent. Null: none is recorded.
alter table runs add column traceparent text;
