//! Addresses: what page an address is, so that a link shows the same to whoever follows it.

pub(crate) use writ_connect::https::encode;
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

/// How far a policy's two lists of clusters are turned, each from 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Place {
    pub(crate) lacking: usize,
    pub(crate) having: usize,
}

/// A page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Route {
    Fleet(Filter),
    Edit {
        revision: v1::Revision,
        /// Which policy's, where the link knows.
        policy: Option<(String, u64)>,
        /// Of the stragglers, from 0.
        page: usize,
    },
    Policies {
        search: String,
        page: usize,
    },
    Policy {
        name: String,
        /// The generations that are compared.
        compared: Option<(u64, u64)>,
        place: Place,
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
        let page = |key: &str| get(key).parse::<usize>().unwrap_or(0);
        let parts: Vec<&str> = path.split('/').filter(|part| !part.is_empty()).collect();
        Some(match parts.as_slice() {
            [] => Route::Fleet(Filter {
                state: get("state"),
                life: get("life"),
                search: get("q"),
                region: get("region"),
                stage: get("stage"),
                page: page("page"),
            }),
            ["policies"] => Route::Policies {
                search: get("q"),
                page: page("page"),
            },
            ["policies", name] => Route::Policy {
                name: decode(name),
                compared: number("from").zip(number("to")),
                place: Place {
                    lacking: page("lacking"),
                    having: page("having"),
                },
            },
            ["clusters", name] => Route::Cluster(decode(name)),
            ["edits", revision] => Route::Edit {
                revision: parse(&decode(revision))?,
                policy: number("generation").map(|generation| (get("policy"), generation)),
                page: page("page"),
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

/// An address with what is set of a query.
fn address(path: &str, parts: &[(&str, String)]) -> String {
    let set = parts.iter().filter(|(_, value)| !value.is_empty());
    let query: Vec<String> = set
        .map(|(key, value)| format!("{key}={}", encode(value)))
        .collect();
    match query.is_empty() {
        true => path.to_owned(),
        false => format!("{path}?{}", query.join("&")),
    }
}

/// The number of a page in a query: the first is not named.
fn turned(page: usize) -> String {
    match page {
        0 => String::new(),
        page => page.to_string(),
    }
}

/// The address of the first page.
pub(crate) fn fleet(filter: &Filter) -> String {
    let parts = [
        ("state", filter.state.clone()),
        ("life", filter.life.clone()),
        ("region", filter.region.clone()),
        ("stage", filter.stage.clone()),
        ("q", filter.search.clone()),
        ("page", turned(filter.page)),
    ];
    address("/", &parts)
}

/// The address of a page of all policies.
pub(crate) fn policies(search: &str, page: usize) -> String {
    let parts = [("q", search.to_owned()), ("page", turned(page))];
    address("/policies", &parts)
}

/// The address of a policy with its lists turned so far.
pub(crate) fn policy_at(name: &str, place: Place) -> String {
    let parts = [
        ("lacking", turned(place.lacking)),
        ("having", turned(place.having)),
    ];
    address(&policy(name), &parts)
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
            Some(Route::Edit {
                revision,
                policy,
                page: 0
            })
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
