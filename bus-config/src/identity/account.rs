//! The accounts as tokens: what each exports, imports, may use, and which keys sign its users.
//!
//! Promises: a pure function of the realm, the revoked keys and the time. The streams' account and the
//! system account are others at a leaf than at the hub, under the same key: the leaf's are its own, and
//! are signed for it alone. The subscribers' account is one and the same everywhere, so that a revocation
//! is one token for all servers.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;
use writ_core::name::Region;

use super::{
    Error,
    jwt::{Claims, Jwt, VERSION},
    key::{AccountKey, Pair, PublicKey},
    realm::Realm,
    roles::{Role, Scope},
};
use crate::{
    accounts::{
        self, AGENTS, CORE, DIRECT_GET_PREFIXES, DirectGet, FLOWS, LINK_EXPORTS, LinkService,
        MIRROR_EXPORT, READABLE, SERVICES, SYSTEM,
    },
    mirror,
    streams::LOG,
};

/// Until when a key is revoked: the last second of the year 9999. A revocation strikes the tokens that
/// were issued before it, and a key that was cut off gets none again, also not from a renewal that was
/// under way.
const REVOKED_UNTIL_S: u64 = 253_402_300_799;

/// Most revoked keys of an account's token, which has to fit into one message of the bus. A key that no
/// unexpired token names need not be among them.
pub const REVOCATIONS_MAX: usize = 8_000;

/// NATS's word for "no limit".
const UNLIMITED: i64 = -1;

#[derive(Serialize)]
struct Account {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    imports: Vec<Import>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    exports: Vec<Export>,
    limits: Limits,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    signing_keys: Vec<Scope>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    revocations: BTreeMap<PublicKey, u64>,
    #[serde(rename = "type")]
    kind: &'static str,
    version: u8,
}

#[derive(Serialize)]
struct Export {
    name: String,
    subject: String,
    #[serde(rename = "type")]
    kind: &'static str,
}

#[derive(Serialize)]
struct Import {
    name: String,
    /// As the exporter calls it.
    subject: String,
    account: AccountKey,
    /// As the importer calls it, where that differs.
    #[serde(skip_serializing_if = "Option::is_none")]
    local_subject: Option<String>,
    #[serde(rename = "type")]
    kind: &'static str,
}

/// What is left out is none.
#[derive(Serialize)]
struct Limits {
    subs: i64,
    data: i64,
    payload: i64,
    imports: i64,
    exports: i64,
    wildcards: bool,
    conn: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    leaf: Option<i64>,
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    jetstream: Option<JetStream>,
}

#[derive(Serialize)]
struct JetStream {
    mem_storage: i64,
    disk_storage: i64,
    streams: i64,
    consumer: i64,
}

const JETSTREAM: JetStream = JetStream {
    mem_storage: UNLIMITED,
    disk_storage: UNLIMITED,
    streams: UNLIMITED,
    consumer: UNLIMITED,
};

/// What an account uses beside messages.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Use {
    /// The hub's streams. No leaf links to their account.
    Streams,
    /// A leaf's mirror, and the leaf's end of a link.
    Mirror,
    /// The hub's end of a link.
    Leafs,
    Nothing,
}

impl Account {
    fn new(uses: Use) -> Account {
        Account {
            imports: Vec::new(),
            exports: Vec::new(),
            limits: Limits {
                subs: UNLIMITED,
                data: UNLIMITED,
                payload: UNLIMITED,
                imports: UNLIMITED,
                exports: UNLIMITED,
                wildcards: true,
                conn: UNLIMITED,
                leaf: matches!(uses, Use::Mirror | Use::Leafs).then_some(UNLIMITED),
                jetstream: matches!(uses, Use::Streams | Use::Mirror).then_some(JETSTREAM),
            },
            signing_keys: Vec::new(),
            revocations: BTreeMap::new(),
            kind: "account",
            version: VERSION,
        }
    }

    fn export(&mut self, kind: &'static str, subject: impl Into<String>) {
        let subject = subject.into();
        self.exports.push(Export {
            name: subject.clone(),
            subject,
            kind,
        });
    }

    fn import(&mut self, kind: &'static str, from: &AccountKey, asked: &str, served: &str) {
        self.imports.push(Import {
            name: asked.to_owned(),
            subject: served.to_owned(),
            account: from.clone(),
            local_subject: (asked != served).then(|| asked.to_owned()),
            kind,
        });
    }

    fn serve(&mut self, realm: &Realm, role: &Role) -> Result<(), Error> {
        let (_, key) = realm.signer(role)?;
        self.signing_keys.push(role.scope(realm, key));
        if let Some(before) = realm.outgoing.get(&role.label()) {
            self.signing_keys.push(role.scope(realm, before));
        }
        Ok(())
    }

    fn revoke<'a>(&mut self, keys: impl IntoIterator<Item = &'a PublicKey>) {
        let keys = keys.into_iter().cloned();
        self.revocations
            .extend(keys.map(|key| (key, REVOKED_UNTIL_S)));
    }

    fn sign(self, account: &AccountKey, name: &str, issued_s: u64, signer: &Pair) -> Jwt {
        let claims = Claims {
            subject: account.to_string(),
            name: name.to_owned(),
            issued_s,
            expires_s: None,
            nats: self,
        };
        claims.sign(signer)
    }
}

const SERVICE: &str = "service";
const STREAM: &str = "stream";

/// The Direct Gets of the subscribers' account, under the names by which it asks. At the hub, the
/// streams' account maps the hub's form to the plain one; at a leaf, it sends it up.
fn direct_gets() -> impl Iterator<Item = String> {
    DIRECT_GET_PREFIXES.iter().flat_map(|prefix| {
        let readable = READABLE.iter();
        readable.map(move |subject| format!("{prefix}.{LOG}.{subject}"))
    })
}

/// What the streams' account gives to the subscribers', at the hub and at a leaf.
fn export_common(account: &mut Account) {
    for subject in direct_gets().chain(SERVICES.map(str::to_owned)) {
        account.export(SERVICE, subject);
    }
    for subject in FLOWS {
        account.export(STREAM, subject);
    }
}

/// The subscribers' account.
pub(super) fn agents(
    realm: &Realm,
    signer: &Pair,
    revoked: &BTreeSet<PublicKey>,
    issued_s: u64,
) -> Result<Jwt, Error> {
    if revoked.len() > REVOCATIONS_MAX {
        return Err(Error::Revocations(revoked.len()));
    }
    let mut account = Account::new(Use::Nothing);
    for subject in direct_gets().chain(SERVICES.map(str::to_owned)) {
        account.import(SERVICE, &realm.core, &subject, &subject);
    }
    for subject in FLOWS {
        account.import(STREAM, &realm.core, subject, subject);
    }
    for role in [Role::Cluster, Role::Enrolment, Role::Request] {
        account.serve(realm, &role)?;
    }
    account.revoke(revoked);
    Ok(account.sign(&realm.agents, AGENTS, issued_s, signer))
}

/// The streams' account at the hub.
pub(super) fn core(realm: &Realm, signer: &Pair, issued_s: u64) -> Result<Jwt, Error> {
    let mut account = Account::new(Use::Streams);
    export_common(&mut account);
    for subject in LINK_EXPORTS {
        account.export(SERVICE, subject);
    }
    account.export(STREAM, MIRROR_EXPORT);
    account.revoke(&realm.revoked);
    for role in [Role::Publisher, Role::Installer, Role::Backup] {
        account.serve(realm, &role)?;
    }
    Ok(account.sign(&realm.core, CORE, issued_s, signer))
}

/// The streams' account of a leaf: the mirror, and the link.
pub(super) fn leaf_core(
    realm: &Realm,
    region: &Region,
    signer: &Pair,
    issued_s: u64,
) -> Result<Jwt, Error> {
    let mut account = Account::new(Use::Mirror);
    export_common(&mut account);
    account.revoke(&realm.revoked);
    account.serve(realm, &Role::LeafInstaller(region.clone()))?;
    Ok(account.sign(&realm.core, CORE, issued_s, signer))
}

/// The account in which a region's link ends at the hub. Of what the streams' account exports, it
/// imports what is its region's.
pub(super) fn link(
    realm: &Realm,
    region: &Region,
    signer: &Pair,
    issued_s: u64,
) -> Result<Jwt, Error> {
    let role = Role::Link(region.clone());
    let (own, _) = realm.signer(&role)?;
    let mut account = Account::new(Use::Leafs);
    account.revoke(&realm.revoked);
    for DirectGet { asked, served } in accounts::direct_gets() {
        account.import(SERVICE, &realm.core, &asked, &served);
    }
    for subject in SERVICES {
        account.import(SERVICE, &realm.core, subject, subject);
    }
    for LinkService { asked, served } in accounts::link_services(region) {
        account.import(SERVICE, &realm.core, &asked, &served);
    }
    for subject in FLOWS {
        account.import(STREAM, &realm.core, subject, subject);
    }
    let delivered = mirror::deliver_subject(region);
    account.import(STREAM, &realm.core, &delivered, &delivered);
    account.serve(realm, &role)?;
    Ok(account.sign(own, &accounts::link_account(region), issued_s, signer))
}

/// The system account at the hub.
pub(super) fn system(realm: &Realm, signer: &Pair, issued_s: u64) -> Result<Jwt, Error> {
    let mut account = Account::new(Use::Leafs);
    account.revoke(&realm.revoked);
    for role in [Role::Registrar, Role::ClaimsLink] {
        account.serve(realm, &role)?;
    }
    Ok(account.sign(&realm.system, SYSTEM, issued_s, signer))
}

/// The system account of a leaf: nobody is a user of it.
pub(super) fn leaf_system(realm: &Realm, signer: &Pair, issued_s: u64) -> Jwt {
    let account = Account::new(Use::Leafs);
    account.sign(&realm.system, SYSTEM, issued_s, signer)
}
