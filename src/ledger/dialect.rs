//! Where the two databases do not speak the same SQL: named fragments, of which a text is put together for each.

/// One statement in the words of each database.
#[derive(Clone, Copy)]
pub(super) struct Text {
    pub sqlite: &'static str,
    pub postgres: &'static str,
}

/// A statement in the words of one of the databases.
pub(super) trait Words {
    fn sqlite(self) -> &'static str;
    fn postgres(self) -> &'static str;
}

impl Words for &'static str {
    fn sqlite(self) -> &'static str {
        self
    }

    fn postgres(self) -> &'static str {
        self
    }
}

impl Words for Text {
    fn sqlite(self) -> &'static str {
        self.sqlite
    }

    fn postgres(self) -> &'static str {
        self.postgres
    }
}

/// A [`Text`] of literals, macros that give literals, and fragments: `[name]`, or `[name "$1"]`.
macro_rules! text {
    ($($part:tt)+) => {
        $crate::ledger::dialect::Text {
            sqlite: $crate::ledger::dialect::joined!(sqlite [] $($part)+),
            postgres: $crate::ledger::dialect::joined!(postgres [] $($part)+),
        }
    };
}

macro_rules! joined {
    ($dialect:ident [$($done:expr,)*]) => { concat!($($done),*) };
    ($dialect:ident [$($done:expr,)*] [$name:ident $($of:literal)?] $($rest:tt)*) => {
        $crate::ledger::dialect::joined!(
            $dialect [$($done,)* $crate::ledger::dialect::fragment!($dialect $name $($of)?),] $($rest)*)
    };
    ($dialect:ident [$($done:expr,)*] {$macro:ident} $($rest:tt)*) => {
        $crate::ledger::dialect::joined!($dialect [$($done,)* $macro!(),] $($rest)*)
    };
    ($dialect:ident [$($done:expr,)*] $text:literal $($rest:tt)*) => {
        $crate::ledger::dialect::joined!($dialect [$($done,)* $text,] $($rest)*)
    };
}

macro_rules! fragment {
    // The rows read stay as they are until the transaction ends. SQLite's writer is alone in any case.
    (sqlite lock) => {
        ""
    };
    (postgres lock) => {
        " for update"
    };
    // The same, but of rows that somebody else holds nothing is read.
    (sqlite take) => {
        ""
    };
    (postgres take) => {
        " for update of run skip locked"
    };
    // The same where there is but one table.
    (sqlite skip) => {
        ""
    };
    (postgres skip) => {
        " for update skip locked"
    };
    // An epoch that no claim of the run had. After a failover the server may know nothing of the last claim, and one
    // more than the epoch it knows is that claim's: so it is the time, in microseconds.
    (sqlite next_epoch) => {
        "epoch + 1"
    };
    (postgres next_epoch) => {
        "greatest(epoch + 1, (extract(epoch from clock_timestamp()) * 1000000)::bigint)"
    };
    // The texts, or the numbers, of a JSON list.
    (sqlite texts $of:literal) => {
        concat!("(select value from json_each(", $of, "))")
    };
    (postgres texts $of:literal) => {
        concat!("(select jsonb_array_elements_text(", $of, "))")
    };
    (sqlite numbers $of:literal) => {
        concat!("(select value from json_each(", $of, "))")
    };
    (postgres numbers $of:literal) => {
        concat!("(select element::bigint from jsonb_array_elements_text(", $of, ") as element)")
    };
    // The pairs of texts in a JSON list of lists.
    (sqlite pairs $of:literal) => {
        concat!("(select value ->> 0, value ->> 1 from json_each(", $of, "))")
    };
    (postgres pairs $of:literal) => {
        concat!("(select pair ->> 0, pair ->> 1 from jsonb_array_elements(", $of, ") as pair)")
    };
    // Progress with another phase.
    (sqlite progress_phase $of:literal) => {
        concat!("json_set(coalesce(progress, $5), '$.phase', ", $of, ")")
    };
    (postgres progress_phase $of:literal) => {
        concat!("jsonb_set(coalesce(progress, $5), '{phase}', to_jsonb(", $of, "))")
    };
    // The key of the customer a checkpoint stands at.
    (sqlite checkpoint_customer) => {
        "cast(coalesce(checkpoint ->> '$.position.text', checkpoint ->> '$.position.integer') as text)"
    };
    (postgres checkpoint_customer) => {
        "coalesce(checkpoint #>> '{position,text}', checkpoint #>> '{position,integer}')"
    };
    // A flag of `sent`, in the words of the index that has the flagged ones.
    (sqlite flag $of:literal) => {
        concat!($of, " = 1")
    };
    (postgres flag $of:literal) => {
        $of
    };
}

pub(super) use {fragment, joined, text};
