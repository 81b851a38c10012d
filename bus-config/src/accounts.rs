//! Who may say and hear what: the two accounts and the permissions of every user.
//!
//! Owns the lists; [`crate::config`] writes them down for a server.
//! Promises: a cluster reads its four scopes and the root, and speaks only for itself; the streams
//! are out of its account's reach, because a server does not check the permission of *reply*
//! subjects and would otherwise store its answers under any name that a cluster asks for.
//! Never: builds a subject from anything but checked names.

use writ_core::name::{ALL, ClusterName, Name, Region, Stage};

use crate::{
    identity::AccountKey,
    mirror,
    streams::{ACKS, AUDIT, LOG},
};

/// The account that holds the streams, and the publishers.
pub const CORE: &str = "CORE";

/// The account of the subscribers.
pub const AGENTS: &str = "AGENTS";

/// The account of the servers themselves.
pub const SYSTEM: &str = "SYS";

/// The JetStream domain of the servers that hold the streams; readers behind a leaf name it to reach
/// past the leaf's mirror.
pub const HUB_DOMAIN: &str = "hub";

/// What the subscribers' account may reach in the streams' account and be answered.
/// Offers are for a log that was lost. Who enrols asks `writ.enrol.<cluster>` with a token's right,
/// `writ.request.<cluster>` without a secret, and `writ.renew.<region>.<stage>.<cluster>` as that cluster.
pub const SERVICES: [&str; 6] = [
    "writ.ack.>",
    "writ.pulse.>",
    "writ.offer.>",
    "writ.enrol.*",
    "writ.request.*",
    "writ.renew.>",
];

/// Where a publisher answers whoever enrols, asks or renews: `_INBOX.enrol.<cluster>.<id>`, made of the
/// cluster's name and an id in the request. Never the request's reply subject, which nobody checks.
pub const ENROL_ANSWERS: &str = "_INBOX.enrol.>";

/// The prefix of the answers to one cluster that enrols, asks or renews.
pub fn enrol_inbox(cluster: &ClusterName) -> String {
    enrol_inbox_of(cluster.as_str())
}

fn enrol_inbox_of(cluster: &str) -> String {
    format!("_INBOX.enrol.{cluster}")
}

/// The second tokens of inboxes that are not regions. A region of such a name would have clusters whose
/// inboxes are others'.
pub const INBOX_WORDS: [&str; 5] = writ_core::name::RESERVED;

/// What flows from the streams' account to the subscribers'.
pub const LIVE: &str = "writ.live.>";

/// All streams that flow from the streams' account to the subscribers'.
pub(crate) const FLOWS: [&str; 2] = [LIVE, ENROL_ANSWERS];

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

impl Permissions {
    /// A template's permissions for one user, as a server works them out.
    pub(crate) fn of(&self, name: &str, place: Option<(&Region, &Stage)>) -> Permissions {
        let fill = |subjects: &[String]| {
            let fill = |subject: &String| {
                let subject = subject.replace(NAME, name);
                match place {
                    Some((region, stage)) => subject
                        .replace(REGION, region.as_str())
                        .replace(STAGE, stage.as_str()),
                    None => subject,
                }
            };
            subjects.iter().map(fill).collect()
        };
        Permissions {
            publish: fill(&self.publish),
            subscribe: fill(&self.subscribe),
        }
    }
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

/// The prefix of the inboxes of whoever takes backups.
pub const BACKUP_INBOX: &str = "_INBOX.backup";

/// The prefix of the inboxes of the registrar's connection.
pub const REGISTRAR_INBOX: &str = "_INBOX.registrar";

/// How a role's template names what is the user's own. The server puts it in.
pub(crate) const NAME: &str = "{{name()}}";
const REGION: &str = "{{tag(region)}}";
const STAGE: &str = "{{tag(stage)}}";

/// The permissions of a cluster's subscriber. The kind stands as `*`, so that a new kind of event
/// needs no new permission.
pub(crate) fn cluster() -> Permissions {
    let (region, stage, cluster) = (REGION, STAGE, NAME);
    let sender = format!("{region}.{stage}.{cluster}");
    let scopes = [(region, stage), (region, ALL), (ALL, stage), (ALL, ALL)]
        .map(|(region, stage)| format!("{region}.{stage}"));
    let mut subscribe: Vec<String> = scopes
        .iter()
        .map(|scope| format!("writ.live.*.{scope}.*"))
        .collect();
    subscribe.push("writ.live.beat".to_owned());
    subscribe.push("writ.live.recall".to_owned());
    subscribe.push(format!("_INBOX.{region}.{cluster}.>"));
    subscribe.push(format!("{}.>", enrol_inbox_of(cluster)));

    let mut publish = vec![
        format!("writ.ack.{sender}"),
        format!("writ.pulse.{sender}"),
        format!("writ.offer.{sender}"),
        format!("writ.renew.{sender}"),
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

/// The permissions of whoever holds the token of a cluster that enrols: to ask as that cluster.
pub(crate) fn enrolment() -> Permissions {
    Permissions {
        publish: vec![format!("writ.enrol.{NAME}")],
        subscribe: vec![format!("{}.>", enrol_inbox_of(NAME))],
    }
}

/// The permissions of whoever asks to be let in without a secret.
pub(crate) fn request() -> Permissions {
    Permissions {
        publish: vec![format!("writ.request.{NAME}")],
        subscribe: vec![format!("{}.>", enrol_inbox_of(NAME))],
    }
}

/// The permissions of a publisher: it writes the log and the beat, reads both streams, and makes
/// consumers; it can't create, change or purge a stream.
pub(crate) fn publisher() -> Permissions {
    let mut publish: Vec<String> = [
        "writ.intent.>",
        "writ.event.>",
        "writ.index.>",
        "writ.base.>",
        "writ.root",
        "writ.live.beat",
        "writ.live.recall",
        ENROL_ANSWERS,
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
    // Its own line of the audit, and all of them to read.
    publish.push(format!("writ.audit.{NAME}"));
    publish.push(format!("$JS.API.STREAM.MSG.GET.{AUDIT}"));
    let subscribe = vec![
        "writ.live.beat".to_owned(),
        "writ.pulse.>".to_owned(),
        "writ.offer.>".to_owned(),
        "writ.enrol.*".to_owned(),
        "writ.request.*".to_owned(),
        "writ.renew.>".to_owned(),
        format!("_INBOX.publisher.{NAME}.>"),
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
        "writ.request.*".to_owned(),
        format!("writ.renew.{region}.*.*"),
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
    subscribe.push(ENROL_ANSWERS.to_owned());
    subscribe.push(mirror::deliver_subject(region));
    // Where JetStream answers a server's own requests.
    subscribe.push("$JSC.R.>".to_owned());
    // Where what its clusters ask is answered.
    subscribe.push("_R_.>".to_owned());
    Permissions { publish, subscribe }
}

/// What the streams' account exports to links beside what it exports to all: each link's account
/// imports its own region's alone.
pub(crate) const LINK_EXPORTS: [&str; 2] = ["$JS.API.CONSUMER.RESET.WRIT.*", "$JS.FC.WRIT.*.>"];

/// The streams that feed mirrors. As for [`LINK_EXPORTS`].
pub(crate) const MIRROR_EXPORT: &str = "writ.mirror.*";

/// The permissions of the installer, the one user that creates, changes, purges, backs up and restores
/// the streams, and the consumers that feed the mirrors of regions.
pub(crate) fn installer() -> Permissions {
    let streams = [LOG, ACKS, AUDIT].iter().flat_map(|stream| {
        let api = ["INFO", "CREATE", "UPDATE", "PURGE", "SNAPSHOT", "RESTORE"]
            .map(|verb| format!("$JS.API.STREAM.{verb}.{stream}"));
        // Where pieces of a snapshot are confirmed, and where they are sent to be restored.
        let pieces = ["ACK", "RESTORE"].map(|verb| format!("$JS.SNAPSHOT.{verb}.{stream}.>"));
        api.into_iter().chain(pieces)
    });
    let feeds = ["INFO", "CREATE", "DELETE"];
    let feeds = feeds.map(|verb| format!("$JS.API.CONSUMER.{verb}.{LOG}.*"));
    Permissions {
        publish: streams.chain(feeds).collect(),
        subscribe: vec![format!("{INSTALLER_INBOX}.>")],
    }
}

/// The permissions of who makes a mirror, at the leaf.
pub(crate) fn leaf_installer() -> Permissions {
    let verbs = ["INFO", "CREATE", "UPDATE", "PURGE"];
    Permissions {
        publish: verbs
            .map(|verb| format!("$JS.API.STREAM.{verb}.{LOG}"))
            .into(),
        subscribe: vec![format!("{INSTALLER_INBOX}.>")],
    }
}

/// The permissions of whoever takes backups: snapshots of the streams, which come to its inbox. It restores
/// and purges nothing, but is not harmless: who asks for a snapshot names the subject that its pieces are
/// delivered to, and nobody checks that name. Sixty-four pieces under a name of the log evict its history.
pub(crate) fn backup() -> Permissions {
    let streams = [LOG, ACKS].iter().flat_map(|stream| {
        ["INFO", "SNAPSHOT"].map(|verb| format!("$JS.API.STREAM.{verb}.{stream}"))
    });
    let flow = std::iter::once("$JS.SNAPSHOT.ACK.>".to_owned());
    Permissions {
        publish: streams.chain(flow).collect(),
        subscribe: vec![format!("{BACKUP_INBOX}.>")],
    }
}

/// Where every server hears of accounts that are new or changed.
pub(crate) const CLAIMS_UPDATE: &str = "$SYS.REQ.CLAIMS.UPDATE";

/// Where every server hears of one account. The subscribers' account comes by this one, because it is
/// all that leafs may hear of the system account.
pub(crate) fn claims_update(account: &AccountKey) -> String {
    format!("$SYS.REQ.ACCOUNT.{account}.CLAIMS.UPDATE")
}

/// The permissions of the registrar in the system account: to push accounts, to hear when anybody
/// does, and what the servers answer.
pub(crate) fn registrar(agents: &AccountKey) -> Permissions {
    let pushed = [CLAIMS_UPDATE.to_owned(), claims_update(agents)];
    let mut subscribe = pushed.to_vec();
    subscribe.push(format!("{REGISTRAR_INBOX}.>"));
    Permissions {
        publish: pushed.into(),
        subscribe,
    }
}

/// The permissions of a leaf's link to the system account: to hear of the subscribers' account, and to
/// answer the registrar.
pub(crate) fn claims_link(agents: &AccountKey) -> Permissions {
    Permissions {
        publish: vec![format!("{REGISTRAR_INBOX}.>")],
        subscribe: vec![claims_update(agents)],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cluster_reads_its_four_scopes_and_no_other() {
        let permissions = cluster();
        let near: Vec<_> = permissions
            .publish
            .iter()
            .filter_map(|subject| subject.strip_prefix("$JS.API.DIRECT.GET.WRIT."))
            .filter(|subject| subject.starts_with("writ.event"))
            .collect();
        assert_eq!(
            near,
            [
                "writ.event.*.{{tag(region)}}.{{tag(stage)}}.*",
                "writ.event.*.{{tag(region)}}.all.*",
                "writ.event.*.all.{{tag(stage)}}.*",
                "writ.event.*.all.all.*"
            ]
        );
        assert_eq!(permissions.publish.len(), 4 + 2 * 13);
        assert!(
            permissions
                .publish
                .iter()
                .all(|subject| !subject.contains('>'))
        );
    }
}
