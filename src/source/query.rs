//! Whether a query is one SELECT. The warehouse has the last word (read-only sessions); this says no early.

/// Words a read-only query may begin with.
const OPENERS: &[&str] = &["select", "with", "values"];

/// The query without a closing semicolon, or why it may not be read from.
pub(super) fn one_select(query: &str) -> Result<&str, &'static str> {
    let end = match statement_end(query) {
        End::Text => query.len(),
        End::Semicolon(at) if is_blank(&query[at + 1..]) => at,
        End::Semicolon(_) => return Err("is more than one statement"),
        End::Unclosed => return Err("has a quote or comment that is not closed"),
    };
    let query = query[..end].trim();
    let first = query.split(|letter: char| !letter.is_ascii_alphabetic()).next().unwrap_or_default();
    match OPENERS.iter().any(|opener| first.eq_ignore_ascii_case(opener)) {
        true => Ok(query),
        false => Err("does not begin with SELECT or WITH"),
    }
}

enum End {
    Text,
    Semicolon(usize),
    Unclosed,
}

/// Where the first statement ends: quotes and comments hide semicolons.
fn statement_end(query: &str) -> End {
    let mut at = 0;
    while at < query.len() {
        let rest = &query.as_bytes()[at..];
        let closed = match rest {
            [b';', ..] => return End::Semicolon(at),
            [quote @ (b'\'' | b'"' | b'`'), ..] => past(&rest[1..], &[*quote]).map(|len| len + 1),
            [b'[', ..] => past(&rest[1..], b"]").map(|len| len + 1),
            [b'-', b'-', ..] => past(rest, b"\n").or(Some(rest.len())),
            [b'/', b'*', ..] => past(&rest[2..], b"*/").map(|len| len + 2),
            [b'$', ..] => dollar_quote(rest),
            _ => Some(1),
        };
        match closed {
            Some(len) => at += len,
            None => return End::Unclosed,
        }
    }
    End::Text
}

/// Bytes up to and with the first `end`.
fn past(text: &[u8], end: &[u8]) -> Option<usize> {
    text.windows(end.len()).position(|window| window == end).map(|at| at + end.len())
}

/// PostgreSQL's `$tag$ … $tag$`; a lone dollar is one byte.
fn dollar_quote(rest: &[u8]) -> Option<usize> {
    let name = rest[1..].iter().take_while(|byte| byte.is_ascii_alphanumeric() || **byte == b'_').count();
    match rest.get(name + 1) {
        Some(b'$') => past(&rest[name + 2..], &rest[..name + 2]).map(|len| len + name + 2),
        _ => Some(1),
    }
}

fn is_blank(rest: &str) -> bool {
    rest.lines().all(|line| line.trim().is_empty() || line.trim_start().starts_with("--"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_select_passes_without_its_semicolon() {
        for query in
            ["select 1", " SELECT ';' ; -- done", "with a as (select 1) select * from a;", "select $$;$$"]
        {
            assert!(one_select(query).is_ok_and(|query| !query.ends_with(';')), "{query}");
        }
    }

    #[test]
    fn everything_else_is_refused() {
        for query in [
            "",
            "delete from a",
            "select 1; delete from a",
            "select 1;; drop table a",
            "pragma journal_mode = delete",
            "select 'a",
            "select /* a",
            "attach 'x' as y",
            "selected",
        ] {
            assert!(one_select(query).is_err(), "{query}");
        }
    }
}
