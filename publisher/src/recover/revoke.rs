//! `writ keys revoke`: a publisher's key that was stolen counts for nothing any more.
//!
//! Flow: read the log, the stolen key still believed, because it signed most of what is in force; and,
//! once that is confirmed, store a bundle in which it is revoked, and say everything again under a good
//! key, in an epoch that the offline key opens. Clusters go there as to any new epoch, without a hand.
//! Why an epoch: whoever had the key can have shown a cluster any revision, above which nothing would
//! ever come again; an epoch is above all revisions.
//! Promises: nothing is written without `--confirm`. Killed at any step it may be run again.

use std::collections::BTreeSet;

use bytes::Bytes;
use writ_bus::batch::Message;
use writ_core::{
    edit,
    edit::Kind,
    envelope::{KeyId, PublicKey},
    recover::{Copy, Found, Plan},
    revision::Revision,
    subject::BusSubject,
};
use writ_proto::{
    log,
    trust::{Trust, TrustBundle},
};

use super::{Args, Error, Tool, record, time_of, write};
use crate::{keys, track::wall_ms};

/// Most names that are listed.
const LISTED_MAX: usize = 50;

/// Revoke a stolen signing key of a publisher: nothing that it ever signed is believed any more, and what
/// is in force is signed anew by a good key, in a new epoch. Shows what it would do; with --confirm does it.
#[derive(Debug, Clone, clap::Args)]
pub struct RevokeArgs {
    /// The stolen key, as `writ keys list` shows it.
    #[arg(value_name = "KEYID")]
    pub key_id: String,
    /// The log, and the keys.
    #[command(flatten)]
    pub tool: Args,
}

/// What a revocation found and did.
#[derive(Debug, Clone)]
pub struct Revoked {
    /// The key.
    pub key: KeyId,
    /// How many names are said again: the number to confirm.
    pub names: usize,
    /// Names whose last edit the key signed, with the revision.
    pub by_key: Vec<(Kind, String, Revision)>,
    /// Names of which an event stands in the log that is of no edit: they are taken back.
    pub disowned: usize,
    /// The version of the bundle, and the revision of the epoch, if it was done.
    pub opened: Option<(u64, Revision)>,
}

impl Revoked {
    /// As it is printed.
    pub fn text(&self) -> String {
        let Revoked { key, names, .. } = self;
        let mut text = format!(
            "Key {key} signed the last edit of {} of {names} names. Whoever stole it may have made any of them: look at each.\n",
            self.by_key.len()
        );
        for (kind, name, revision) in self.by_key.iter().take(LISTED_MAX) {
            text.push_str(&format!("  {kind} {name} at revision {revision}\n"));
        }
        if self.by_key.len() > LISTED_MAX {
            let more = self.by_key.len() - LISTED_MAX;
            text.push_str(&format!("  and {more} more\n"));
        }
        if self.disowned > 0 {
            text.push_str(&format!(
                "Of {} names an event stands in the log that is of no edit: it is taken back.\n",
                self.disowned
            ));
        }
        text.push_str(&match self.opened {
            Some((version, at)) => format!(
                "Revoked in trust bundle {version}. Opened epoch {} at revision {at} with {names} names. Clusters go to it with the next beat; publishers sign with the good key as soon as it is in their key file.\n",
                at.epoch
            ),
            None => format!(
                "Nothing was written. To revoke it and sign these {names} names anew: --confirm {names} --offline-key-file FILE\n"
            ),
        });
        text
    }
}

/// Looks, and revokes if that was confirmed.
///
/// # Errors
/// [`Error`].
pub async fn revoke(args: RevokeArgs) -> Result<Revoked, Error> {
    let id = keys::key_id(&args.key_id)?;
    let mut tool = Tool::connect(args.tool).await?;
    tool.read_trust().await?;
    let known = tool.trust.bundle.key(id).map(|key| key.public.clone());
    let stolen = known.ok_or(Error::Bundle(writ_core::trust::Error::Unknown(id)))?;
    let good = tool.key.public();
    if good == stolen {
        return Err(Error::StolenKeySigns);
    }
    let record = record::read(&tool.args.epochs_file)?;
    let (messages, root_sequence, opened) = tool.read_messages(&stolen).await?;
    let by_key = messages.iter().filter_map(|(message, by)| match message {
        edit::Message::Intent(intent) if *by == id => {
            Some((intent.kind, intent.name.to_string(), intent.revision))
        }
        _ => None,
    });
    let by_key = by_key.collect();
    let copy = Copy::read(messages.into_iter().map(|(message, _)| message), &opened);
    let mut plan = Plan::make(&copy, &Found::default());
    let disowned = plan.disown(&copy);
    let names = plan.items.len();
    let mut report = Revoked {
        key: id,
        names,
        by_key,
        disowned,
        opened: None,
    };
    let Some(confirmed) = tool.args.confirm else {
        return Ok(report);
    };
    if confirmed != names {
        return Err(Error::NotConfirmed { names, confirmed });
    }
    let path = tool.args.offline_key_file.clone().unwrap_or_default();
    let offline = keys::read(&path)?;
    if offline.public() != tool.trust.offline {
        return Err(Error::NotTheOfflineKey(path));
    }
    let next = next_bundle(&tool.trust.bundle, id, &good, tool.args.name.as_str())?;
    let trust = Trust::sign(next, &offline);
    let version = trust.bundle.version;
    let mut record = record;
    let note = format!("{} key {id} revoked", time_of(wall_ms()));
    let epoch = record.take(copy.epoch_heard, &note);
    record::write(&tool.args.epochs_file, &record)?;
    let mut recovery = plan.build(epoch, wall_ms());
    recovery.root.trust = version;
    let opening = Bytes::from(log::seal(&recovery.opening, &offline).bytes);
    // What is signed from here on is believed by whoever has the new bundle, which comes first.
    let bundle = Message {
        subject: BusSubject::Trust,
        bytes: trust.signed.clone().into(),
    };
    tool.trust = trust;
    let revision = write::write(&tool, recovery, opening, root_sequence, Some(bundle)).await?;
    report.opened = Some((version, revision));
    Ok(report)
}

/// The good key comes in before the stolen one goes out, so that one is always active. One that was begun
/// before and not ended has done both.
fn next_bundle(
    held: &TrustBundle,
    stolen: KeyId,
    good: &PublicKey,
    name: &str,
) -> Result<TrustBundle, Error> {
    let now_ms = wall_ms();
    let mut next = held.clone();
    if !next.is_active(good) {
        next = next.with(good.clone(), name, now_ms)?;
    }
    match next.is_revoked(stolen) {
        true => next.version = held.version + 1,
        false => next = next.revoke(stolen, now_ms)?,
    }
    Ok(next)
}

/// A message of the log, and who signed it.
type Signed = (edit::Message, KeyId);

impl Tool {
    /// What is left of the log, with what the stolen key signed, and which epochs are open.
    async fn read_messages(
        &self,
        stolen: &PublicKey,
    ) -> Result<(Vec<Signed>, u64, BTreeSet<u64>), Error> {
        let mut publishers = self.trust.bundle.keyring();
        publishers.add(stolen.clone());
        // One that was begun before has written under the good key.
        publishers.add(self.key.public());
        let read = self.read_under(&publishers).await?;
        Ok((read.messages, read.root_sequence, read.opened))
    }
}

#[cfg(test)]
mod tests {
    use writ_core::envelope::SigningKey;

    use super::*;

    fn key(seed: u8) -> PublicKey {
        SigningKey::from_seed(&[seed; 32]).public()
    }

    #[test]
    fn the_only_key_is_replaced_in_one_step_and_a_second_run_is_above_the_first() {
        let first = TrustBundle::first([key(1)]);
        let next = next_bundle(&first, key(1).id(), &key(2), "p").unwrap();
        assert!(next.is_revoked(key(1).id()) && next.is_active(&key(2)));
        let again = next_bundle(&next, key(1).id(), &key(2), "p").unwrap();
        assert_eq!(again.version, next.version + 1);
        assert_eq!(again.keys, next.keys);
    }
}
