//! Streams of JSON documents, as kubectl takes them: one behind the other, with nothing between.
//!
//! Owns telling JSON from YAML and finding where one value ends. Parsing is `yaml`'s: JSON is YAML
//! 1.2, and duplicate keys and limits are then refused in one place.

use serde::de::IgnoredAny;

use super::yaml::Piece;

/// The documents of a stream of JSON objects; `None` if it is something else (or is not whole: then
/// the YAML parser finds the place that is wrong).
pub(super) fn split(stream: &str) -> Option<Vec<Piece<'_>>> {
    if !stream.trim_start().starts_with('{') {
        return None;
    }
    let mut pieces = Vec::new();
    let mut values = serde_json::Deserializer::from_str(stream).into_iter::<IgnoredAny>();
    let mut start = 0;
    while let Some(value) = values.next() {
        value.ok()?;
        let end = values.byte_offset();
        let blank = stream[start..end].len() - stream[start..end].trim_start().len();
        let begin = start + blank;
        let line = stream[..begin]
            .bytes()
            .filter(|byte| *byte == b'\n')
            .count() as u64
            + 1;
        pieces.push(Piece {
            line,
            text: &stream[begin..end],
        });
        start = end;
    }
    Some(pieces)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::yaml;
    use super::*;

    #[test]
    fn objects_may_follow_each_other_directly() {
        let pieces = split("{\"a\": 1}{\"b\": 2}\n\n\t{\"c\":\n 3}\n").unwrap();
        assert_eq!(
            pieces.iter().map(|piece| piece.line).collect::<Vec<_>>(),
            [1, 1, 3]
        );
        assert_eq!(yaml::parse(pieces[2].text).unwrap(), json!({"c": 3}));
    }

    #[test]
    fn indented_by_tabs_and_with_escapes_it_is_still_json() {
        let text =
            "{\n\t\"a\": \"x\\u00e9\\n\\/\",\n\t\"b\": [\n\t\t1,\n\t\ttrue,\n\t\tnull\n\t]\n}\n";
        let pieces = split(text).unwrap();
        assert_eq!(
            yaml::parse(pieces[0].text).unwrap(),
            json!({"a": "xé\n/", "b": [1, true, null]})
        );
    }

    #[test]
    fn long_keys_are_keys() {
        let text = format!("{{\"{}\": 1}}", "k".repeat(3_000));
        assert!(split(&text).is_some());
        assert!(yaml::parse(&text).is_ok());
    }

    #[test]
    fn flow_maps_of_yaml_and_broken_json_are_left_to_yaml() {
        assert_eq!(split("{a: 1}"), None);
        assert_eq!(split("{\"a\": 1,}"), None);
        assert_eq!(split("a: 1"), None);
    }

    #[test]
    fn duplicate_keys_are_refused_here_too() {
        assert!(yaml::parse("{\"a\": 1, \"a\": 2}").is_err());
    }
}
