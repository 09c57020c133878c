//! Numbers as JSON, exact, and the same value always in the same spelling.

use std::io::Write;

use super::Code;

/// Writes a float in its shortest exact spelling, `5` rather than `5.0`, rounded where asked.
pub(super) fn write_float(number: f64, round: Option<u8>, out: &mut Vec<u8>) -> Result<(), Code> {
    if !number.is_finite() {
        return Err(Code::NotFinite);
    }
    let start = out.len();
    match round {
        // Over this, an f64 has no decimals left to round.
        Some(decimals) if number.abs() < 1e15 => {
            write!(out, "{number:.*}", usize::from(decimals)).expect("a Vec takes every write");
            drop_zeros(start, out);
        }
        _ => {
            serde_json::to_writer(&mut *out, &number).map_err(|_| Code::NotFinite)?;
            // The shortest spelling has no other zero to drop.
            if out.ends_with(b".0") {
                out.truncate(out.len() - 2);
            }
        }
    }
    drop_sign_of_zero(start, out);
    Ok(())
}

/// Writes decimal text (sign, digits, at most one point, perhaps an exponent) as an exact JSON number.
pub(super) fn write_text(text: &str, round: Option<u8>, out: &mut Vec<u8>) -> Result<(), Code> {
    let (negative, digits) = match text.as_bytes() {
        [b'-', rest @ ..] => (true, rest),
        [b'+', rest @ ..] => (false, rest),
        all => (false, all),
    };
    if digits.iter().any(|byte| matches!(byte, b'e' | b'E')) {
        return write_scientific(text, round, out);
    }
    let (whole, fraction) = split_at_point(digits)?;
    let start = out.len();
    if negative {
        out.push(b'-');
    }
    let whole = &whole[whole.iter().take_while(|digit| **digit == b'0').count()..];
    out.extend_from_slice(if whole.is_empty() { b"0" } else { whole });
    let kept = round.map_or(fraction.len(), |decimals| fraction.len().min(usize::from(decimals)));
    if kept > 0 {
        out.push(b'.');
        out.extend_from_slice(&fraction[..kept]);
    }
    if fraction.get(kept).is_some_and(|digit| *digit >= b'5') {
        round_up(start + usize::from(negative), out);
    }
    drop_zeros(start, out);
    drop_sign_of_zero(start, out);
    Ok(())
}

/// An exponent means the source itself kept a binary float: read it as one.
fn write_scientific(text: &str, round: Option<u8>, out: &mut Vec<u8>) -> Result<(), Code> {
    let number: f64 = text.parse().map_err(|_| Code::WrongType)?;
    write_float(number, round, out)
}

fn split_at_point(digits: &[u8]) -> Result<(&[u8], &[u8]), Code> {
    let point = digits.iter().position(|byte| *byte == b'.');
    let (whole, fraction) = match point {
        Some(at) => (&digits[..at], &digits[at + 1..]),
        None => (digits, &digits[..0]),
    };
    let all_digits = whole.iter().chain(fraction).all(u8::is_ascii_digit);
    if !all_digits || (whole.is_empty() && fraction.is_empty()) || (point.is_some() && fraction.is_empty()) {
        return Err(Code::WrongType);
    }
    Ok((whole, fraction))
}

/// Adds one to the last digit written, carrying leftwards; digits begin at `first`.
fn round_up(first: usize, out: &mut Vec<u8>) {
    for at in (first..out.len()).rev() {
        match out[at] {
            b'.' => {}
            b'9' => out[at] = b'0',
            _ => {
                out[at] += 1;
                return;
            }
        }
    }
    out.insert(first, b'1');
}

/// Drops trailing zeros after a point, and the point itself.
fn drop_zeros(start: usize, out: &mut Vec<u8>) {
    if out[start..].contains(&b'.') {
        while out.ends_with(b"0") {
            out.pop();
        }
        if out.ends_with(b".") {
            out.pop();
        }
    }
}

fn drop_sign_of_zero(start: usize, out: &mut Vec<u8>) {
    if &out[start..] == b"-0" {
        out.remove(start);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn text(number: &str, round: Option<u8>) -> Result<String, Code> {
        let mut out = Vec::new();
        write_text(number, round, &mut out).map(|()| String::from_utf8(out).expect("digits"))
    }

    #[test]
    fn text_is_exact_and_canonical() {
        for (given, want) in
            [("007", "7"), ("-0.0", "0"), (".5", "0.5"), ("+1.10", "1.1"), ("1e3", "1000"), ("-12", "-12")]
        {
            assert_eq!(text(given, None).as_deref(), Ok(want), "{given}");
        }
        for bad in ["", "-", ".", "1.", "1.2.3", "0x10", "1_000", " 1", "NaN", "١"] {
            assert!(text(bad, None).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn rounding_carries() {
        for (given, want) in [("9.9995", "10"), ("-0.9995", "-1"), ("0.0004", "0"), ("99.9949", "99.995")] {
            assert_eq!(text(given, Some(3)).as_deref(), Ok(want), "{given}");
        }
        assert_eq!(text("9.5", Some(0)).as_deref(), Ok("10"));
    }

    #[test]
    fn same_value_same_spelling_whatever_its_storage() {
        for number in [0.5, 5.0, 1e15, 1e16, 1e21, 1.5e-7, 123_456.789] {
            let mut float = Vec::new();
            write_float(number, None, &mut float).expect("finite");
            let back: f64 = String::from_utf8(float).expect("digits").parse().expect("a number");
            assert_eq!(back, number);
        }
    }

    proptest! {
        #[test]
        fn a_float_is_spelled_as_its_decimal_text_would_be(number in proptest::num::f64::NORMAL | proptest::num::f64::SUBNORMAL | proptest::num::f64::ZERO, whole in any::<i32>()) {
            for number in [number, f64::from(whole), f64::from(whole) / 64.0] {
                let mut float = Vec::new();
                write_float(number, None, &mut float).expect("finite");
                let float = String::from_utf8(float).expect("digits");
                prop_assert!(!float.ends_with(".0") && float != "-0", "{}", float);
                prop_assert_eq!(float.parse::<f64>().expect("a number"), number);
                if !float.contains('e') {
                    prop_assert_eq!(text(&float, None).expect("digits"), float);
                }
            }
        }
    }
}
