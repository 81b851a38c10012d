//! Who may say and hear what: the two accounts and the permissions of every user.
//!
//! Owns the lists; [`crate::config`] writes them down for a server.
//! Promises: a cluster reads its four scopes and the root, and speaks only for itself; the streams
//! are out of its account's reach, because a server does not check the permission of *reply*
//! subjects and would otherwise store its answers under any name that a cluster asks for.
//! Never: builds a subject from anything but checked names.

use writ_core::{
    name::{ClusterName, Name, Region, Stage},
    scope::Scope,
    subject::Sender,
};

use crate::{
    mirror,
    streams::{ACKS, LOG},
};

/// The account that holds the streams, and the publishers.
pub const CORE: &str = "CORE";

/// The account of the subscribers.
pub const AGENTS: &str = "AGENTS";

/// The JetStream domain of the servers that hold the streams; readers behind a leaf name it to reach
/// past the leaf's mirror.
pub const HUB_DOMAIN: &str = "hub";

/// What the subscribers' account may reach in the streams' account and be answered.
/// Enrolment answers to `writ.enrol.<cluster>`; offers are for a log that was lost.
pub const SERVICES: [&str; 4] = ["writ.ack.>", "writ.pulse.>", "writ.offer.>", "writ.enrol.*"];

/// What flows from the streams' account to the subscribers'.
pub const LIVE: &str = "writ.live.>";

/// The stored subjects that the subscribers' account reads, one Direct Get a subject.
pub(crate) const READABLE: [&str; 4] = ["writ.event.>", "writ.index.>", "writ.base.>", "writ.root"];

/// The two prefixes of a Direct Get: of the server at hand, and of the hub behind a leaf.
pub(crate) const DIRECT_GET_PREFIXES: [&str; 2] = ["$JS.API.DIRECT.GET", "$JS.hub.API.DIRECT.GET"];

/// What a user may publish and subscribe to; everything else is denied.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Permissions {
    /// Subjects that the user may publish to.
    pub publish: Vec<String>,
    /// Subjects that the user may subscribe to.
    pub subscribe: Vec<String>,
}

/// A Direct Get that the subscribers' account imports: the subject that its users ask, and the one
/// that the streams' account exports.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DirectGet {
    /// In the subscribers' account.
    pub asked: String,
    /// In the streams' account.
    pub served: String,
}

/// Every Direct Get of the subscribers' account, in both forms.
pub fn direct_gets() -> Vec<DirectGet> {
    let [near, _] = DIRECT_GET_PREFIXES;
    DIRECT_GET_PREFIXES
        .iter()
        .flat_map(|prefix| {
            READABLE.iter().map(move |subject| DirectGet {
                asked: format!("{prefix}.{LOG}.{subject}"),
                served: format!("{near}.{LOG}.{subject}"),
            })
        })
        .collect()
}

/// The prefix of the inboxes of one cluster's connection. Two plain tokens: a prefix like
/// `_INBOX_eu` loses answers through leafs that are restricted to `_INBOX.>`.
pub fn cluster_inbox(region: &Region, cluster: &ClusterName) -> String {
    format!("_INBOX.{region}.{cluster}")
}

/// The prefix of the inboxes of a publisher's connection.
pub fn publisher_inbox(publisher: &Name) -> String {
    format!("_INBOX.publisher.{publisher}")
}

/// The prefix of the inboxes of the installer's connection.
pub const INSTALLER_INBOX: &str = "_INBOX.installer";

/// The permissions of one cluster's subscriber. The kind stands as `*`, so that a new kind of event
/// needs no new permission.
pub fn cluster(region: &Region, stage: &Stage, cluster: &ClusterName) -> Permissions {
    let sender = Sender {
        region: region.clone(),
        stage: stage.clone(),
        cluster: cluster.clone(),
    };
    let scopes = Scope::listened_by(region, stage);
    let mut subscribe: Vec<String> = scopes
        .iter()
        .map(|scope| format!("writ.live.*.{scope}.*"))
        .collect();
    subscribe.push("writ.live.beat".to_owned());
    subscribe.push("writ.live.recall".to_owned());
    subscribe.push(format!("{}.>", cluster_inbox(region, cluster)));

    let mut publish = vec![
        format!("writ.ack.{sender}"),
        format!("writ.pulse.{sender}"),
        format!("writ.offer.{sender}"),
    ];
    for prefix in DIRECT_GET_PREFIXES {
        for scope in &scopes {
            publish.push(format!("{prefix}.{LOG}.writ.event.*.{scope}.*"));
            publish.push(format!("{prefix}.{LOG}.writ.index.*.{scope}"));
            publish.push(format!("{prefix}.{LOG}.writ.base.*.{scope}"));
        }
        publish.push(format!("{prefix}.{LOG}.writ.root"));
    }
    Permissions { publish, subscribe }
}

/// The permissions of a publisher: it writes the log and the beat, reads both streams, and makes
/// consumers; it can't create, change or purge a stream.
pub fn publisher(name: &Name) -> Permissions {
    let mut publish: Vec<String> = [
        "writ.intent.>",
        "writ.event.>",
        "writ.index.>",
        "writ.base.>",
        "writ.root",
        "writ.live.beat",
        "writ.live.recall",
    ]
    .map(str::to_owned)
    .into();
    for stream in [LOG, ACKS] {
        publish.push(format!("$JS.API.STREAM.INFO.{stream}"));
        publish.push(format!("$JS.API.STREAM.MSG.GET.{stream}"));
        publish.push(format!("$JS.API.DIRECT.GET.{stream}.>"));
        publish.push(format!("$JS.API.CONSUMER.CREATE.{stream}.>"));
        publish.push(format!("$JS.API.CONSUMER.MSG.NEXT.{stream}.*"));
        publish.push(format!("$JS.API.CONSUMER.DELETE.{stream}.*"));
    }
    // The batch form, for reads of the past; it names its subjects in the payload, which nobody checks,
    // so that it is for publishers alone.
    publish.push(format!("$JS.API.DIRECT.GET.{LOG}"));
    let subscribe = vec![
        "writ.live.beat".to_owned(),
        "writ.pulse.>".to_owned(),
        "writ.offer.>".to_owned(),
        format!("{}.>", publisher_inbox(name)),
    ];
    Permissions { publish, subscribe }
}

/// The account of a region's leaf at the hub. Its own, so that the answers to one leaf, whose subjects
/// nobody can know before, are heard by no other.
pub fn link_account(region: &Region) -> String {
    format!("LEAF_{region}")
}

/// A service of the streams' account that only the links of leaf nodes use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LinkService {
    /// In the leaf's account.
    pub asked: String,
    /// In the streams' account.
    pub served: String,
}

/// What a region's link needs of the streams' account beside what its clusters need: to begin its
/// consumer again after a gap, and to confirm what it was sent.
pub fn link_services(region: &Region) -> Vec<LinkService> {
    let consumer = mirror::consumer_name(region);
    let reset = format!("CONSUMER.RESET.{LOG}.{consumer}");
    let confirm = format!("$JS.FC.{LOG}.{consumer}.>");
    let served = format!("$JS.API.{reset}");
    vec![
        // A hub with a domain maps what comes by a link to the plain API's name before it looks for who
        // serves it; the leaf only sends what is served under the name that it asks.
        LinkService {
            asked: format!("$JS.{HUB_DOMAIN}.API.{reset}"),
            served: served.clone(),
        },
        LinkService {
            asked: served.clone(),
            served,
        },
        LinkService {
            asked: confirm.clone(),
            served: confirm,
        },
    ]
}

/// The permissions of a region's link at the hub, in an account of its own: what the clusters of the
/// region may say and hear, in sum, and its mirror's messages. Publish is what the leaf may send up.
pub fn link(region: &Region) -> Permissions {
    let hub = DIRECT_GET_PREFIXES[1];
    let scopes = [region.as_str(), "all"];
    let mut publish = vec![
        format!("writ.ack.{region}.*.*"),
        format!("writ.pulse.{region}.*.*"),
        format!("writ.offer.{region}.*.*"),
        "writ.enrol.*".to_owned(),
        format!("{hub}.{LOG}.writ.root"),
    ];
    for scope in scopes {
        publish.push(format!("{hub}.{LOG}.writ.event.*.{scope}.*.*"));
        publish.push(format!("{hub}.{LOG}.writ.index.*.{scope}.*"));
        publish.push(format!("{hub}.{LOG}.writ.base.*.{scope}.*"));
    }
    let services = link_services(region).into_iter();
    let sent = services.filter(|service| !service.asked.starts_with("$JS.API."));
    publish.extend(sent.map(|service| service.asked));
    let mut subscribe: Vec<String> = scopes
        .iter()
        .map(|scope| format!("writ.live.*.{scope}.*.*"))
        .collect();
    subscribe.push("writ.live.beat".to_owned());
    subscribe.push("writ.live.recall".to_owned());
    subscribe.push(mirror::deliver_subject(region));
    // Where JetStream answers a server's own requests.
    subscribe.push("$JSC.R.>".to_owned());
    // Where what its clusters ask is answered.
    subscribe.push("_R_.>".to_owned());
    Permissions { publish, subscribe }
}

/// The permissions of the installer, the one user that creates, changes and purges the streams, and
/// the consumers that feed the mirrors of regions.
pub fn installer<'a>(regions: impl IntoIterator<Item = &'a Region>) -> Permissions {
    let streams = [LOG, ACKS].iter().flat_map(|stream| {
        ["INFO", "CREATE", "UPDATE", "PURGE"].map(|verb| format!("$JS.API.STREAM.{verb}.{stream}"))
    });
    let feeds = regions.into_iter().flat_map(|region| {
        let consumer = mirror::consumer_name(region);
        ["INFO", "CREATE", "DELETE"].map(|verb| format!("$JS.API.CONSUMER.{verb}.{LOG}.{consumer}"))
    });
    Permissions {
        publish: streams.chain(feeds).collect(),
        subscribe: vec![format!("{INSTALLER_INBOX}.>")],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cluster_reads_its_four_scopes_and_no_other() {
        let permissions = cluster(
            &Region::parse("eu").unwrap(),
            &Stage::parse("prod").unwrap(),
            &ClusterName::parse("eu-prod-1").unwrap(),
        );
        let near: Vec<_> = permissions
            .publish
            .iter()
            .filter_map(|subject| subject.strip_prefix("$JS.API.DIRECT.GET.WRIT."))
            .filter(|subject| subject.starts_with("writ.event"))
            .collect();
        assert_eq!(
            near,
            [
                "writ.event.*.eu.prod.*",
                "writ.event.*.eu.all.*",
                "writ.event.*.all.prod.*",
                "writ.event.*.all.all.*"
            ]
        );
        assert_eq!(permissions.publish.len(), 3 + 2 * 13);
        assert!(
            permissions
                .publish
                .iter()
                .all(|subject| !subject.contains('>'))
        );
    }
}
