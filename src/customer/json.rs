//! JSON written straight into a buffer: strings, and documents with their white space gone.

use std::borrow::Cow;

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};

use super::Code;

/// Most items of an array. Source: Braze docs, User attributes object.
const ARRAY_ITEMS: usize = 500;
/// Most bytes of an array of objects. Source: Braze docs, Data types.
const DOCUMENT_BYTES: usize = 100 * 1024;

/// Keys by which an object changes what Braze has, rather than being it. Sources: Braze docs, User attributes object,
/// Arrays; Array of objects.
const OPERATIONS: [&str; 6] = ["inc", "add", "remove", "$add", "$remove", "$update"];

/// Writes `text` as a JSON string.
pub(super) fn write_str(text: &str, out: &mut Vec<u8>) {
    serde_json::to_writer(out, text).expect("a Vec takes every write, and a string is JSON");
}

/// Writes an array or object without white space, refusing what Braze would drop in silence.
pub(super) fn write_compact(text: &str, out: &mut Vec<u8>) -> Result<(), Code> {
    if text.len() > DOCUMENT_BYTES {
        return Err(Code::TooLarge);
    }
    let shape: Shape = serde_json::from_str(text).map_err(|_| Code::BadJson)?;
    match shape {
        Shape::Scalar | Shape::Null => Err(Code::WrongType),
        Shape::Composite { has_null: true, .. } => Err(Code::NestedNull),
        Shape::Composite { is_operation: true, .. } => Err(Code::Operation),
        Shape::Composite { most_items, .. } if most_items > ARRAY_ITEMS => Err(Code::TooLarge),
        Shape::Composite { .. } => {
            copy_without_space(text, out);
            Ok(())
        }
    }
}

/// White space between tokens carries nothing; inside strings it is kept. `text` is valid JSON.
fn copy_without_space(text: &str, out: &mut Vec<u8>) {
    let (mut in_string, mut escaped) = (false, false);
    for byte in text.bytes() {
        if in_string {
            (in_string, escaped) = (escaped || byte != b'"', !escaped && byte == b'\\');
        } else if byte.is_ascii_whitespace() {
            continue;
        } else {
            in_string = byte == b'"';
        }
        out.push(byte);
    }
}

/// What matters of a document: whether it is composite, holds a null, its longest array, and whether its outermost
/// object is an operation.
enum Shape {
    Scalar,
    Null,
    Composite { has_null: bool, most_items: usize, is_operation: bool },
}

impl<'de> Deserialize<'de> for Shape {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ShapeVisitor)
    }
}

struct ShapeVisitor;

impl ShapeVisitor {
    fn enclose(inner: &Shape, has_null: &mut bool, most_items: &mut usize) {
        match inner {
            Shape::Scalar => {}
            Shape::Null => *has_null = true,
            Shape::Composite { has_null: inner_null, most_items: inner_items, .. } => {
                *has_null |= *inner_null;
                *most_items = (*most_items).max(*inner_items);
            }
        }
    }
}

impl<'de> Visitor<'de> for ShapeVisitor {
    type Value = Shape;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("JSON")
    }
    fn visit_bool<E>(self, _: bool) -> Result<Shape, E> {
        Ok(Shape::Scalar)
    }
    fn visit_i64<E>(self, _: i64) -> Result<Shape, E> {
        Ok(Shape::Scalar)
    }
    fn visit_u64<E>(self, _: u64) -> Result<Shape, E> {
        Ok(Shape::Scalar)
    }
    fn visit_f64<E>(self, _: f64) -> Result<Shape, E> {
        Ok(Shape::Scalar)
    }
    fn visit_str<E>(self, _: &str) -> Result<Shape, E> {
        Ok(Shape::Scalar)
    }
    fn visit_unit<E>(self) -> Result<Shape, E> {
        Ok(Shape::Null)
    }
    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Shape, A::Error> {
        let (mut has_null, mut most_items, mut count) = (false, 0, 0);
        while let Some(inner) = items.next_element::<Shape>()? {
            Self::enclose(&inner, &mut has_null, &mut most_items);
            count += 1;
        }
        Ok(Shape::Composite { has_null, most_items: most_items.max(count), is_operation: false })
    }
    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Shape, A::Error> {
        let (mut has_null, mut most_items, mut is_operation) = (false, 0, false);
        while let Some((key, inner)) = entries.next_entry::<Cow<'de, str>, Shape>()? {
            Self::enclose(&inner, &mut has_null, &mut most_items);
            is_operation |= OPERATIONS.contains(&&*key);
        }
        Ok(Shape::Composite { has_null, most_items, is_operation })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn compact(text: &str) -> Result<String, Code> {
        let mut out = Vec::new();
        write_compact(text, &mut out).map(|()| String::from_utf8(out).expect("JSON is UTF-8"))
    }

    #[test]
    fn white_space_goes_except_in_strings() {
        assert_eq!(
            compact("{ \"a b\" : [ 1.50 , \"c \\\" d\\\\\" ] }\n").as_deref(),
            Ok("{\"a b\":[1.50,\"c \\\" d\\\\\"]}")
        );
    }

    #[test]
    fn what_braze_would_drop_is_refused() {
        assert_eq!(compact("[1,null]"), Err(Code::NestedNull));
        assert_eq!(compact("7"), Err(Code::WrongType));
        for operation in
            [r#"{"inc":1}"#, r#"{"\u0061dd":["a"]}"#, r#"{"$update":[{"a":1}]}"#, r#"{ "remove" : ["a"] }"#]
        {
            assert_eq!(compact(operation), Err(Code::Operation), "{operation}");
        }
        // Not the attribute's own, and not among Braze's.
        for value in [r#"{"a":{"add":1}}"#, r#"[{"inc":1}]"#, r#"{"at":{"$time":"2026-01-02"}}"#] {
            assert_eq!(compact(value).as_deref(), Ok(value));
        }
        assert_eq!(compact(&format!("[{}1]", "1,".repeat(500))), Err(Code::TooLarge));
        assert!(compact(&format!("[{}1]", "1,".repeat(499))).is_ok());
        assert_eq!(compact(&"[".repeat(100_000)), Err(Code::BadJson));
        assert_eq!(compact("[1"), Err(Code::BadJson));
    }
}
