//! The stories: what the whole promises, told against real parts.

mod source_sqlite;
mod source_suite;
