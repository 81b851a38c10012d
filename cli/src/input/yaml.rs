//! YAML to JSON, one document at a time.
//!
//! Owns taking a stream apart at its `---` lines, and the limits that keep a hostile file from
//! growing in memory. A document that is wrong does not hide the ones behind it. Promises that a
//! value means here what kubectl would take it for, or is refused (`ambiguity`); duplicate keys and
//! unknown tags are refused.

use serde_json::Value;
use serde_saphyr::options::{AliasLimits, DuplicateKeyPolicy, NonFiniteFloatPolicy};

use super::ambiguity;

/// The most nodes (maps, lists, scalars) of one document. A `List` of 10,000 registry entries has
/// about 200,000.
const NODES_MAX: usize = 1_000_000;
/// The most nodes that aliases may add. Hand-written anchors add dozens; an alias bomb adds
/// billions.
const ALIAS_NODES_MAX: usize = 100_000;
/// How deep aliases may lie in aliases.
const ALIAS_DEPTH_MAX: usize = 16;
/// The longest key in characters. YAML's own limit of 1,024 does not hold for JSON.
const KEY_LENGTH_MAX: usize = 4_096;
/// How deep maps and lists may lie in each other; Kubernetes' deepest types have about 30.
const DEPTH_MAX: usize = 64;

/// One document of a stream, not parsed yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Piece<'a> {
    /// Line of the file where it begins, counted from 1.
    pub line: u64,
    /// Its text, with its `---` line if it has one.
    pub text: &'a str,
}

/// What is wrong with a document's text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Fault {
    /// Line within the piece, counted from 1.
    pub line: Option<u64>,
    /// Field path, where the text is right but its meaning is not certain.
    pub field: Option<String>,
    /// What is wrong.
    pub message: String,
}

/// Takes a stream apart. Pieces of blanks, comments and directives alone are left out.
///
/// A line that begins with `---` ends the document before it wherever it stands: YAML (9.1.2)
/// forbids it inside quoted and plain scalars, and a block scalar's lines are indented.
pub(super) fn split(stream: &str) -> Vec<Piece<'_>> {
    let mut pieces = Vec::new();
    let (mut start, mut start_line) = (0, 1);
    let (mut offset, mut number) = (0, 0);
    for line in stream.split_inclusive('\n') {
        number += 1;
        let begins = is_marker(line, "---");
        let ends = is_marker(line, "...");
        if begins || ends {
            pieces.push(Piece {
                line: start_line,
                text: &stream[start..offset],
            });
            // The end marker belongs to nobody; the begin marker may carry content on its own line.
            start = if ends { offset + line.len() } else { offset };
            start_line = if ends { number + 1 } else { number };
        }
        offset += line.len();
    }
    pieces.push(Piece {
        line: start_line,
        text: &stream[start..],
    });
    pieces.retain(|piece| !is_blank(piece.text));
    pieces
}

fn is_marker(line: &str, marker: &str) -> bool {
    line.strip_prefix(marker)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with([' ', '\t', '\r', '\n']))
}

fn is_blank(text: &str) -> bool {
    text.lines().all(|line| {
        let rest = if is_marker(line, "---") {
            &line[3..]
        } else {
            line
        };
        let rest = rest.trim();
        rest.is_empty() || rest.starts_with('#') || line.starts_with('%')
    })
}

/// Parses one document. `Value::Null` for one that says nothing.
pub(super) fn parse(text: &str) -> Result<Value, Fault> {
    let value = read(text, Dialect::Core)?;
    // The second reading costs little and is the only one that sees what kubectl's parser would.
    match read(text, Dialect::Kubectl) {
        Ok(other) => match ambiguity::first(&value, &other) {
            None => Ok(value),
            Some((field, message)) => Err(Fault {
                line: None,
                field: Some(field),
                message,
            }),
        },
        Err(fault) => Err(fault),
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Dialect {
    /// YAML 1.2's core schema: `true` and `false` are the booleans, numbers are decimal unless they
    /// say otherwise.
    Core,
    /// YAML 1.1, as kubectl reads: `yes`, `no`, `on`, `off` are booleans, `0755` is octal.
    Kubectl,
}

fn read(text: &str, dialect: Dialect) -> Result<Value, Fault> {
    let mut aliases = AliasLimits::default();
    aliases.max_total_replayed_events = ALIAS_NODES_MAX;
    aliases.max_replay_stack_depth = ALIAS_DEPTH_MAX;
    let options = serde_saphyr::options! {
        budget: serde_saphyr::budget! {
            max_nodes: NODES_MAX,
            max_events: 3 * NODES_MAX,
            max_depth: DEPTH_MAX,
            simple_key_max_lookahead: KEY_LENGTH_MAX,
            max_recorded_anchor_events: ALIAS_NODES_MAX,
        },
        alias_limits: aliases,
        duplicate_keys: DuplicateKeyPolicy::Error,
        strict_booleans: dialect == Dialect::Core,
        legacy_octal_numbers: dialect == Dialect::Kubectl,
        non_finite_float_policy: NonFiniteFloatPolicy::Reject,
        reject_unsupported_tags: true,
        emit_comments: false,
        with_snippet: false,
    };
    serde_saphyr::from_str_with_options(text, options).map_err(|error| {
        let line = error
            .location()
            .map(|location| location.line())
            .filter(|line| *line > 0);
        Fault {
            line,
            field: None,
            message: first_line(&error.without_snippet().to_string()),
        }
    })
}

/// The parser's messages may go on with the place, which is told in our own words.
fn first_line(message: &str) -> String {
    let line = message.lines().next().unwrap_or_default();
    let line = line.split(" at line ").next().unwrap_or(line);
    // Advice for who calls the parser, not for who wrote the file.
    let line = line.split(", set ").next().unwrap_or(line);
    line.strip_prefix("error: ")
        .unwrap_or(line)
        .trim_end_matches([':', ' '])
        .to_owned()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn values(stream: &str) -> Vec<Value> {
        split(stream)
            .iter()
            .map(|piece| parse(piece.text).unwrap())
            .collect()
    }

    fn fault(text: &str) -> Fault {
        parse(text).expect_err("is refused")
    }

    #[test]
    fn documents_are_taken_apart_with_their_lines() {
        let pieces = split("a: 1\n---\nb: 2\n--- # third\nc: 3\n");
        assert_eq!(
            pieces.iter().map(|piece| piece.line).collect::<Vec<_>>(),
            [1, 2, 4]
        );
        assert_eq!(
            values("a: 1\n---\nb: 2\n--- # third\nc: 3\n"),
            [json!({"a": 1}), json!({"b": 2}), json!({"c": 3})]
        );
    }

    #[test]
    fn empty_documents_and_comments_alone_do_not_count() {
        assert_eq!(split(""), []);
        assert_eq!(split("# nothing here\n\n---\n# nor here\n---\n---\n"), []);
        let pieces = split("# a header\n---\n---\n# a comment\na: 1\n---\n");
        assert_eq!(pieces.len(), 1);
        assert_eq!(pieces[0].line, 3);
    }

    #[test]
    fn dashes_inside_scalars_do_not_split() {
        assert_eq!(
            values("a: |\n  one\n  ---\n  two\nb: \"x --- y\"\nc: ---x\n"),
            [json!({"a": "one\n---\ntwo\n", "b": "x --- y", "c": "---x"})]
        );
        assert_eq!(values("---x: 1\n"), [json!({"---x": 1})]);
    }

    #[test]
    fn windows_line_ends_are_line_ends() {
        assert_eq!(
            values("a: 1\r\n---\r\nb: x\r\n"),
            [json!({"a": 1}), json!({"b": "x"})]
        );
    }

    #[test]
    fn directives_and_end_markers_belong_to_no_document() {
        assert_eq!(
            values("%YAML 1.2\n---\na: 1\n...\n---\nb: 2\n"),
            [json!({"a": 1}), json!({"b": 2})]
        );
    }

    #[test]
    fn content_beside_the_marker_is_content() {
        assert_eq!(
            values("--- {a: 1}\n--- {b: 2}\n"),
            [json!({"a": 1}), json!({"b": 2})]
        );
    }

    #[test]
    fn anchors_and_merge_keys_are_expanded() {
        assert_eq!(
            values("base: &base {x: 1}\ncopy: *base\nmore: {<<: *base, y: 2}\n"),
            [json!({"base": {"x": 1}, "copy": {"x": 1}, "more": {"x": 1, "y": 2}})]
        );
    }

    #[test]
    fn a_bad_indentation_is_refused_with_its_line() {
        let fault = fault("a:\n  b: 1\n c: 2\n");
        assert_eq!(fault.line, Some(3), "{fault:?}");
        assert!(!fault.message.contains("line 3"), "{fault:?}");
    }

    #[test]
    fn duplicate_keys_are_refused_with_their_line() {
        let fault = fault("a: 1\nb: 2\na: 3\n");
        assert_eq!(fault.line, Some(3), "{fault:?}");
        assert_eq!(fault.message, "duplicate mapping key: a");
    }

    #[test]
    fn an_alias_bomb_is_refused() {
        let mut bomb = String::from("a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n");
        for level in 1..10 {
            let before = format!("*a{}", level - 1);
            bomb.push_str(&format!(
                "a{level}: &a{level} [{}]\n",
                vec![before; 10].join(", ")
            ));
        }
        assert!(parse(&bomb).is_err());
    }

    #[test]
    fn what_kubectl_would_read_otherwise_is_refused_by_its_path() {
        let fault = fault("spec:\n  automount: no\n");
        assert_eq!(fault.field.as_deref(), Some("spec.automount"));
        assert_eq!(
            parse("spec: {a: \"no\", b: 'on', c: false}\n").unwrap(),
            json!({"spec": {"a": "no", "b": "on", "c": false}})
        );
    }

    #[test]
    fn octal_numbers_of_the_old_kind_are_refused() {
        assert_eq!(fault("mode: 0755\n").field.as_deref(), Some("mode"));
    }

    #[test]
    fn unknown_tags_and_infinite_numbers_are_refused() {
        assert!(parse("a: !custom x\n").is_err());
        assert!(parse("a: .inf\n").is_err());
        assert!(parse("a: 1e999\n").is_err());
    }

    #[test]
    fn a_document_that_is_null_says_nothing() {
        assert_eq!(parse("--- null\n").unwrap(), Value::Null);
        assert_eq!(parse("--- ~\n").unwrap(), Value::Null);
    }

    #[test]
    fn nesting_beyond_the_limit_is_refused_and_does_not_overflow_the_stack() {
        assert!(parse(&format!("{}{}", "[".repeat(5_000), "]".repeat(5_000))).is_err());
    }
}
