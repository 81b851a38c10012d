//! Metrics, declared one by one under the prefix of a component.

use std::collections::BTreeSet;

use prometheus_client::{
    encoding::text,
    metrics::{
        counter::Counter,
        family::Family,
        gauge::Gauge,
        histogram::{Histogram, exponential_buckets},
    },
    registry::{Registry, Unit},
};

use crate::label::{Label, Named};

/// Buckets of a time: from what a message takes on one machine to what a person has given up waiting for.
const SECONDS: [f64; 15] = [
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 15.0, 60.0, 300.0,
];

/// Buckets of a number: 1, 2, 4 … 1024, the most objects that a policy has.
const SIZES: u16 = 11;

/// A histogram of times.
pub fn seconds() -> Histogram {
    Histogram::new(SECONDS)
}

/// A histogram of numbers.
pub fn sizes() -> Histogram {
    Histogram::new(exponential_buckets(1.0, 2.0, SIZES))
}

/// A number as a gauge or an attribute takes it; the largest where it does not fit.
pub fn level(number: impl TryInto<i64>) -> i64 {
    number.try_into().unwrap_or(i64::MAX)
}

/// The metrics of one component, while they are declared, and afterwards to be read.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
}

impl Metrics {
    /// None yet. The prefix is of every name: `writ_publisher`.
    pub fn new(prefix: &str) -> Metrics {
        Metrics {
            registry: Registry::with_prefix(prefix),
        }
    }

    /// A counter; `_total` is added to its name.
    pub fn counter(&mut self, name: &str, help: &str) -> Counter {
        let metric = Counter::default();
        self.registry.register(name, help, metric.clone());
        metric
    }

    /// A gauge.
    pub fn gauge(&mut self, name: &str, help: &str) -> Gauge {
        let metric = Gauge::default();
        self.registry.register(name, help, metric.clone());
        metric
    }

    /// A histogram of times; `_seconds` is added to its name.
    pub fn seconds(&mut self, name: &str, help: &str) -> Histogram {
        let (unit, metric) = (Unit::Seconds, seconds());
        self.registry
            .register_with_unit(name, help, unit, metric.clone());
        metric
    }

    /// A histogram of numbers.
    pub fn sizes(&mut self, name: &str, help: &str) -> Histogram {
        let metric = sizes();
        self.registry.register(name, help, metric.clone());
        metric
    }

    /// Counters, one for each value of a label.
    pub fn counters<L: Label>(&mut self, name: &str, help: &str) -> Counters<L> {
        let family = Family::<Named<L>, Counter>::default();
        for value in L::ALL {
            drop(family.get_or_create(&Named(*value)));
        }
        self.registry.register(name, help, family.clone());
        Counters(family)
    }

    /// Gauges, one for each value of a label.
    pub fn gauges<L: Label>(&mut self, name: &str, help: &str) -> Gauges<L> {
        let family = Family::<Named<L>, Gauge>::default();
        for value in L::ALL {
            drop(family.get_or_create(&Named(*value)));
        }
        self.registry.register(name, help, family.clone());
        Gauges(family)
    }

    /// Histograms of times, one for each value of a label.
    pub fn seconds_by<L: Label>(&mut self, name: &str, help: &str) -> Histograms<L> {
        let make: fn() -> Histogram = seconds;
        let family = Family::<Named<L>, Histogram>::new_with_constructor(make);
        for value in L::ALL {
            drop(family.get_or_create(&Named(*value)));
        }
        let unit = Unit::Seconds;
        self.registry
            .register_with_unit(name, help, unit, family.clone());
        Histograms(family)
    }

    /// All of them as Prometheus reads them.
    pub fn text(&self) -> String {
        let mut text = String::new();
        // Writing into a string does not fail.
        let _ = text::encode(&mut text, &self.registry);
        text
    }
}

/// Counters by a label.
#[derive(Debug, Clone)]
pub struct Counters<L: Label>(Family<Named<L>, Counter>);

impl<L: Label> Counters<L> {
    /// Counts one.
    pub fn count(&self, value: L) {
        self.0.get_or_create(&Named(value)).inc();
    }

    /// Counts several.
    pub fn add(&self, value: L, count: u64) {
        self.0.get_or_create(&Named(value)).inc_by(count);
    }

    /// What was counted.
    pub fn get(&self, value: L) -> u64 {
        self.0.get_or_create(&Named(value)).get()
    }
}

/// Gauges by a label.
#[derive(Debug, Clone)]
pub struct Gauges<L: Label>(Family<Named<L>, Gauge>);

impl<L: Label> Gauges<L> {
    /// Sets one.
    pub fn set(&self, value: L, to: impl TryInto<i64>) {
        self.0.get_or_create(&Named(value)).set(level(to));
    }
}

/// Histograms by a label.
#[derive(Debug, Clone)]
pub struct Histograms<L: Label>(Family<Named<L>, Histogram>);

impl<L: Label> Histograms<L> {
    /// Takes one measurement.
    pub fn observe(&self, value: L, measured: f64) {
        self.0.get_or_create(&Named(value)).observe(measured);
    }
}

/// The names of all series in a text of metrics, as a query would say them.
pub fn names(text: &str) -> BTreeSet<String> {
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    let ends = |at: char| at == '{' || at == ' ';
    lines
        .filter_map(|line| Some(line[..line.find(ends)?].to_owned()))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    crate::label! {
        /// Colours.
        enum Color: "color" { Red = "red", Blue = "blue" }
    }

    #[test]
    fn every_series_is_there_before_anything_was_counted() {
        let mut metrics = Metrics::new("writ_test");
        let balls = metrics.counters::<Color>("balls", "Balls.");
        let flight = metrics.seconds("flight", "Time in the air.");
        metrics.gauges::<Color>("boxes", "Boxes.");
        let text = metrics.text();
        assert!(
            text.contains("writ_test_balls_total{color=\"blue\"} 0\n"),
            "{text}"
        );
        balls.count(Color::Red);
        flight.observe(0.004);
        let text = metrics.text();
        assert!(
            text.contains("writ_test_balls_total{color=\"red\"} 1\n"),
            "{text}"
        );
        assert!(
            text.contains("writ_test_flight_seconds_bucket{le=\"0.005\"} 1\n"),
            "{text}"
        );
        assert!(
            text.contains("writ_test_flight_seconds_bucket{le=\"0.0025\"} 0\n"),
            "{text}"
        );
        let names = names(&text);
        assert!(
            names.contains("writ_test_boxes") && names.contains("writ_test_flight_seconds_sum")
        );
        assert_eq!(Color::of("blue"), Some(Color::Blue));
        assert_eq!(Color::of("green"), None);
    }
}
