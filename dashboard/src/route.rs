//! Addresses: what page an address is, so that a link shows the same to whoever follows it.

use writ_proto::v1;

/// What the first page is narrowed to.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Filter {
    /// A word of a state.
    pub(crate) state: String,
    /// A word of a life.
    pub(crate) life: String,
    /// A part of a name.
    pub(crate) search: String,
    pub(crate) region: String,
    pub(crate) stage: String,
    /// From 0.
    pub(crate) page: usize,
}

/// A page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Route {
    Fleet(Filter),
    Edit {
        revision: v1::Revision,
        /// Which policy's, where the link knows.
        policy: Option<(String, u64)>,
    },
    Policies {
        search: String,
    },
    Policy {
        name: String,
        /// The generations that are compared.
        compared: Option<(u64, u64)>,
    },
    Cluster(String),
}

impl Route {
    /// The page of a path and a query.
    pub(crate) fn of(path: &str, query: &str) -> Option<Route> {
        let pairs = pairs(query);
        let get = |key: &str| {
            let mut found = pairs.iter().filter(|(known, _)| known == key);
            found
                .next()
                .map(|(_, value)| value.clone())
                .unwrap_or_default()
        };
        let number = |key: &str| get(key).parse::<u64>().ok();
        let parts: Vec<&str> = path.split('/').filter(|part| !part.is_empty()).collect();
        Some(match parts.as_slice() {
            [] => Route::Fleet(Filter {
                state: get("state"),
                life: get("life"),
                search: get("q"),
                region: get("region"),
                stage: get("stage"),
                page: get("page").parse().unwrap_or(0),
            }),
            ["policies"] => Route::Policies { search: get("q") },
            ["policies", name] => Route::Policy {
                name: decode(name),
                compared: number("from").zip(number("to")),
            },
            ["clusters", name] => Route::Cluster(decode(name)),
            ["edits", revision] => Route::Edit {
                revision: parse(&decode(revision))?,
                policy: number("generation").map(|generation| (get("policy"), generation)),
            },
            _ => return None,
        })
    }
}

/// The fields of a query or of a form.
pub(crate) fn pairs(text: &str) -> Vec<(String, String)> {
    text.split('&')
        .filter_map(|pair| pair.split_once('='))
        .map(|(key, value)| (decode(key), decode(value)))
        .collect()
}

/// The address of an edit.
pub(crate) fn edit(revision: &v1::Revision, policy: &str, generation: u64) -> String {
    format!(
        "/edits/{}?policy={}&generation={generation}",
        said(revision),
        encode(policy)
    )
}

pub(crate) fn policy(name: &str) -> String {
    format!("/policies/{}", encode(name))
}

pub(crate) fn cluster(name: &str) -> String {
    format!("/clusters/{}", encode(name))
}

/// A revision as people say it.
pub(crate) fn said(revision: &v1::Revision) -> String {
    match revision.epoch {
        0 | 1 => revision.number.to_string(),
        epoch => format!("{epoch}:{}", revision.number),
    }
}

fn parse(text: &str) -> Option<v1::Revision> {
    let (epoch, number) = match text.split_once(':') {
        Some((epoch, number)) => (epoch.parse().ok()?, number),
        None => (1, text),
    };
    Some(v1::Revision {
        epoch,
        number: number.parse().ok()?,
    })
}

/// A word in an address.
pub(crate) fn encode(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                encoded.push(char::from(byte));
            }
            _ => encoded.push_str(&format!("%{byte:02X}")),
        }
    }
    encoded
}

fn decode(text: &str) -> String {
    let mut bytes = text.bytes();
    let mut decoded = Vec::with_capacity(text.len());
    while let Some(byte) = bytes.next() {
        decoded.push(match byte {
            b'+' => b' ',
            b'%' => {
                let pair = [bytes.next().unwrap_or(b'0'), bytes.next().unwrap_or(b'0')];
                let pair = std::str::from_utf8(&pair).unwrap_or("00");
                u8::from_str_radix(pair, 16).unwrap_or(b'?')
            }
            byte => byte,
        });
    }
    String::from_utf8_lossy(&decoded).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_that_is_made_is_an_address_that_is_read() {
        let revision = v1::Revision {
            epoch: 2,
            number: 10_211,
        };
        let made = edit(&revision, "team payments", 42);
        let (path, query) = made.split_once('?').unwrap();
        let policy = Some(("team payments".to_owned(), 42));
        assert_eq!(
            Route::of(path, query),
            Some(Route::Edit { revision, policy })
        );
        assert_eq!(
            Route::of(&cluster("eu-prod-1"), ""),
            Some(Route::Cluster("eu-prod-1".into()))
        );
        let Some(Route::Fleet(filter)) = Route::of("/", "state=refused&q=eu+prod&page=2") else {
            panic!()
        };
        assert_eq!(
            (filter.state.as_str(), filter.search.as_str(), filter.page),
            ("refused", "eu prod", 2)
        );
        assert_eq!(Route::of("/etc/passwd", ""), None);
        assert_eq!(Route::of("/edits/x", ""), None);
    }
}
