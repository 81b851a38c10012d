//! The body of a LimitRange, checked as the API server does (`ValidateLimitRange`).

use serde_json::{Map, Value, json};

use super::fields::{Fields, path_of, unknown};
use super::limits::ENTRIES_MAX;
use super::quantity::{Quantities, Quantity};
use super::report::{Report, quoted};
use super::{resource, syntax};

/// The types that Kubernetes itself limits.
const TYPES: [&str; 3] = ["Container", "PersistentVolumeClaim", "Pod"];

/// The maps of one limit.
const MAPS: [&str; 5] = [
    "default",
    "defaultRequest",
    "max",
    "maxLimitRequestRatio",
    "min",
];

/// Reads `spec`.
pub(super) fn read(object: &Fields<'_>, report: &mut Report) -> Option<Map<String, Value>> {
    if object.get("spec").is_none() {
        report.refuse(object.path("spec"), "is required");
    }
    let spec = object.open_field("spec", &["limits"], report)?;
    if spec.get("limits").is_none() || spec.is_empty("limits") {
        report.refuse(spec.path("limits"), "at least one is required");
    }
    let mut types: Vec<&str> = Vec::new();
    let mut limits = Vec::new();
    for (path, item) in spec.items("limits", ENTRIES_MAX, report) {
        let known = [&["type"][..], &MAPS].concat();
        let Some(limit) = Fields::open(item, path, &known, report) else {
            continue;
        };
        let Some(of) = read_type(&limit, report) else {
            continue;
        };
        if types.contains(&of) {
            let message = format!("{} is listed twice", quoted(of));
            report.refuse(limit.path("type"), message);
        }
        types.push(of);
        limits.push(read_limit(&limit, of, report));
    }
    Some(Map::from_iter([("limits".to_owned(), limits.into())]))
}

fn read_type<'a>(limit: &Fields<'a>, report: &mut Report) -> Option<&'a str> {
    let of = limit.required_text("type", report)?;
    let checked = match of.contains('/') {
        _ if TYPES.contains(&of) => Ok(()),
        true => syntax::check_key(of),
        false => Err(unknown("type", of, &TYPES)),
    };
    checked
        .map_err(|message| report.refuse(limit.path("type"), message))
        .ok()?;
    Some(of)
}

fn read_limit(limit: &Fields<'_>, of: &str, report: &mut Report) -> Value {
    let check = match of {
        "Container" | "Pod" => resource::check_of_container,
        _ => resource::check_of_other,
    };
    let maps = MAPS.map(|key| Quantities::read(limit, key, check, report));
    let mut body = Map::from_iter([("type".to_owned(), json!(of))]);
    for (key, map) in MAPS.iter().zip(&maps) {
        map.insert_into(&mut body, key);
    }
    let bounds = Bounds { limit, maps: &maps };
    bounds.check(of, report);
    Value::Object(body)
}

/// The maps of one limit, to be held against each other.
struct Bounds<'a> {
    limit: &'a Fields<'a>,
    maps: &'a [Quantities; 5],
}

impl Bounds<'_> {
    fn check(&self, of: &str, report: &mut Report) {
        let given = |key: &str| self.limit.get(key).is_some() && !self.limit.is_empty(key);
        if of == "Pod" {
            for key in ["default", "defaultRequest"] {
                if given(key) {
                    let message = "a Pod has no defaults, its containers have";
                    report.refuse(self.limit.path(key), message);
                }
            }
        }
        let bounds_storage = ["min", "max"]
            .iter()
            .any(|key| self.get(key, "storage").is_some());
        if of == "PersistentVolumeClaim" && !bounds_storage {
            report.refuse(self.limit.path(""), "needs storage in min or in max");
        }
        for (low, high) in [
            ("min", "max"),
            ("min", "defaultRequest"),
            ("defaultRequest", "max"),
            ("defaultRequest", "default"),
            ("min", "default"),
            ("default", "max"),
        ] {
            self.check_order(low, high, report);
        }
        self.check_overcommit(report);
        self.check_ratio(report);
    }

    fn map(&self, key: &str) -> &Quantities {
        // The keys of this file are all among them.
        &self.maps[MAPS.iter().position(|of| *of == key).unwrap_or_default()]
    }

    fn get(&self, key: &str, name: &str) -> Option<Quantity> {
        self.map(key).get(name)
    }

    fn refuse(&self, key: &str, name: &str, message: String, report: &mut Report) {
        report.refuse(path_of(&self.limit.path(key), name), message);
    }

    fn check_order(&self, low: &str, high: &str, report: &mut Report) {
        for (name, value) in self.map(low).iter() {
            if self.get(high, name).is_some_and(|high| value > high) {
                self.refuse(low, name, format!("is above {high}"), report);
            }
        }
    }

    fn check_overcommit(&self, report: &mut Report) {
        for (name, value) in self.map("defaultRequest").iter() {
            let default = self.get("default", name);
            let differs = default.is_some_and(|default| default > value);
            if differs && !resource::is_overcommitted(name) {
                let message = format!("must be as default: {name} can't be overcommitted");
                self.refuse("defaultRequest", name, message, report);
            }
        }
    }

    fn check_ratio(&self, report: &mut Report) {
        let key = "maxLimitRequestRatio";
        for (name, ratio) in self.map(key).iter() {
            if ratio < Quantity::ONE {
                self.refuse(key, name, "must be at least 1".to_owned(), report);
            }
            if let (Some(min), Some(max)) = (self.get("min", name), self.get("max", name))
                && ratio.ratio_to(Quantity::ONE) > max.ratio_to(min)
            {
                let message = "is above what min and max allow".to_owned();
                self.refuse(key, name, message, report);
            }
        }
    }
}
