//! The form `json`: one object a line, with a fixed set of fields.

use std::fmt;

use opentelemetry::{Context, trace::TraceContextExt as _};
use serde_json::{Map, Value};
use tracing::{
    Event, Subscriber,
    field::{Field, Visit},
};
use tracing_subscriber::{
    fmt::{
        FmtContext, FormatEvent, FormatFields,
        format::Writer,
        time::{FormatTime as _, SystemTime},
    },
    registry::LookupSpan,
};

use super::{Who, describe};

/// All fields that a line may have, in their order. The first six are in every line. All are strings but `generation`,
/// which is a number, and `fields`, an object with whatever else an event says.
pub const FIELDS: [&str; 15] = [
    "time",
    "level",
    "target",
    "component",
    "instance",
    "message",
    "cluster",
    "policy",
    "revision",
    "generation",
    "reason",
    "error",
    "trace_id",
    "span_id",
    "fields",
];

/// Those of them that an event sets by its own fields of these names.
const OF_EVENTS: [&str; 6] = [
    "cluster",
    "policy",
    "revision",
    "generation",
    "reason",
    "error",
];

/// Formats events.
pub(super) struct Json {
    who: Who,
}

impl Json {
    pub(super) fn of(who: Who) -> Json {
        Json { who }
    }
}

impl<S, N> FormatEvent<S, N> for Json
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        _: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let mut said = Said::default();
        event.record(&mut said);
        let mut time = String::new();
        SystemTime.format_time(&mut Writer::new(&mut time))?;
        let own_cluster = self.who.cluster.clone().map(Value::String);
        let (trace_id, span_id) = current_span();
        let of_line = |name: &str| match name {
            "time" => Some(std::mem::take(&mut time).into()),
            "level" => Some(event.metadata().level().as_str().into()),
            "target" => Some(event.metadata().target().into()),
            "component" => Some(self.who.component.into()),
            "instance" => Some(self.who.instance.as_str().into()),
            "message" => Some(std::mem::take(&mut said.message).into()),
            "cluster" => said.named.remove(name).or_else(|| own_cluster.clone()),
            "trace_id" => trace_id.clone().map(Value::String),
            "span_id" => span_id.clone().map(Value::String),
            "fields" if said.others.is_empty() => None,
            "fields" => Some(Value::Object(std::mem::take(&mut said.others))),
            name => said.named.remove(name),
        };
        writer.write_str(&line(of_line))?;
        writer.write_char('\n')
    }
}

/// An object with those of [`FIELDS`] that there is a value for.
fn line(mut value: impl FnMut(&str) -> Option<Value>) -> String {
    let mut line = String::from("{");
    for name in FIELDS {
        if let Some(value) = value(name) {
            let comma = if line.len() > 1 { "," } else { "" };
            line.push_str(&format!("{comma}\"{name}\":{value}"));
        }
    }
    line.push('}');
    line
}

/// The trace and the span that the event happened in.
fn current_span() -> (Option<String>, Option<String>) {
    Context::map_current(|context| {
        if !context.has_active_span() {
            return (None, None);
        }
        let span = context.span().span_context().clone();
        let (trace, id) = (span.trace_id().to_string(), span.span_id().to_string());
        span.is_valid().then_some((trace, id)).unzip()
    })
}

/// What an event says.
#[derive(Default)]
struct Said {
    message: String,
    /// By the names of [`OF_EVENTS`].
    named: Map<String, Value>,
    others: Map<String, Value>,
}

impl Said {
    fn take(&mut self, name: &'static str, value: Value) {
        match name {
            "message" => self.message = text(value),
            "generation" if value.is_u64() => {
                self.named.insert(name.to_owned(), value);
            }
            // A field has one type in all lines.
            name if OF_EVENTS.contains(&name) && name != "generation" => {
                self.named.insert(name.to_owned(), text(value).into());
            }
            name => {
                self.others.insert(name.to_owned(), value);
            }
        }
    }
}

fn text(value: Value) -> String {
    match value {
        Value::String(text) => text,
        other => other.to_string(),
    }
}

impl Visit for Said {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.take(field.name(), format!("{value:?}").into());
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.take(field.name(), value.into());
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.take(field.name(), value.into());
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.take(field.name(), value.into());
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.take(field.name(), value.into());
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.take(field.name(), value.into());
    }

    fn record_error(&mut self, field: &Field, value: &(dyn std::error::Error + 'static)) {
        self.take(field.name(), describe(value).into());
    }
}

#[cfg(test)]
mod tests {
    use std::{
        io::{self, Write},
        sync::{Arc, Mutex},
    };

    use serde_json::json;
    use tracing_subscriber::{fmt, layer::SubscriberExt as _};

    use super::*;

    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<u8>>>);

    impl Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn logged(cluster: Option<&str>, log: impl FnOnce()) -> Vec<Value> {
        let _alone = super::super::ALONE.blocking_lock();
        let lines = Lines::default();
        let written = lines.clone();
        let who = Who {
            component: "subscriber",
            instance: "pod-1".to_owned(),
            cluster: cluster.map(ToOwned::to_owned),
        };
        let layer = fmt::layer().event_format(Json::of(who));
        let layer = layer.with_writer(move || lines.clone());
        tracing::subscriber::with_default(tracing_subscriber::registry().with(layer), log);
        let bytes = written.0.lock().unwrap().clone();
        let text = String::from_utf8(bytes).unwrap();
        text.lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect()
    }

    #[test]
    fn an_event_is_one_line_and_what_it_says_is_in_named_fields_or_below_fields() {
        let error = io::Error::other("no\nroom");
        let lines = logged(Some("eu-prod-1"), || {
            tracing::warn!(
                policy = "payments",
                generation = 42_u64,
                revision = %"2:10211",
                error = &error as &(dyn std::error::Error + 'static),
                objects = 3_u64,
                time = "never",
                "refused \"{}\"",
                "twice"
            );
        });
        let [line] = lines.as_slice() else {
            panic!("{lines:?}");
        };
        let mut line = line.clone();
        let time = line.as_object_mut().unwrap().remove("time").unwrap();
        assert!(time.as_str().unwrap().ends_with('Z') && time.as_str().unwrap().contains('T'));
        assert_eq!(
            line,
            json!({
                "level": "WARN",
                "target": "writ_telemetry::log::json::tests",
                "component": "subscriber",
                "instance": "pod-1",
                "message": "refused \"twice\"",
                "cluster": "eu-prod-1",
                "policy": "payments",
                "revision": "2:10211",
                "generation": 42,
                "error": "no\nroom",
                // An event can't set what the line says of itself.
                "fields": {"objects": 3, "time": "never"},
            })
        );
    }

    #[test]
    fn what_happens_within_a_span_names_it() {
        let (trace, span) = ("4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7");
        let lines = logged(None, || {
            let place = opentelemetry::trace::SpanContext::new(
                opentelemetry::trace::TraceId::from_hex(trace).unwrap(),
                opentelemetry::trace::SpanId::from_hex(span).unwrap(),
                Default::default(),
                true,
                Default::default(),
            );
            let _within = Context::new().with_remote_span_context(place).attach();
            tracing::info!("within");
        });
        assert_eq!(lines[0]["trace_id"], trace);
        assert_eq!(lines[0]["span_id"], span);
        assert!(
            logged(None, || tracing::info!("without"))[0]
                .get("trace_id")
                .is_none()
        );
    }

    #[test]
    fn a_field_has_one_type_in_all_lines() {
        let lines = logged(None, || {
            tracing::info!(revision = 7_u64, generation = "seven", "one");
            tracing::info!(cluster = ?"eu", "two");
        });
        assert_eq!(lines[0]["revision"], "7");
        assert_eq!(lines[0]["fields"], json!({"generation": "seven"}));
        assert_eq!(lines[1]["cluster"], "\"eu\"");
        assert!(lines[1].get("fields").is_none());
    }
}
