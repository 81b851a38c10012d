//! The registrar: sees to it that every server, of the hub and of the leafs, has the subscribers'
//! account as the registry wants it.
//!
//! Flow: an account is signed anew when the revoked keys change, and pushed at once, again every minute,
//! whenever the connection was made anew, and whenever anybody else pushed another one.
//! Promises: the token's time grows, so that servers which compare theirs take the newest; the same keys
//! give the same token, so that repeating it changes nothing. A server that has it cuts a revoked user
//! off at once, and lets it in no more.
//! Never: decides who is revoked.
//!
//! A server stores whatever account it is sent under the operator's signature, also an older one. Nobody
//! but the registrar may send any; where it happens all the same, the registrar hears it and repairs it.

use std::{collections::BTreeSet, time::Duration};

use async_nats::Subscriber;
use bytes::Bytes;
use futures::StreamExt as _;
use serde::Deserialize;
use tokio::{
    sync::watch,
    time::{Instant, sleep_until},
};

use crate::{
    accounts,
    connection::{Client, Error},
    identity::{self, Jwt, PublicKey, RegistrarKeys},
};

/// How often the account is pushed where nothing changed: what a server waits for that was away when it
/// did.
pub const PUSH_PERIOD: Duration = Duration::from_secs(60);

/// How long it is left alone after a push that answers another's: a server that is sent one account and
/// the other in turn is not sent more than twenty a second by this process.
const REPAIR_PAUSE: Duration = Duration::from_millis(50);

/// How long a push that failed waits to be tried again.
const RETRY_DELAY: Duration = Duration::from_millis(500);

/// Which account is the newest. Pure: time is an argument.
#[derive(Debug, Default)]
struct Newest {
    /// When the last one was issued, by this process or, as far as is known, by one before it.
    issued_s: u64,
    signed: Option<(BTreeSet<PublicKey>, Jwt)>,
}

impl Newest {
    /// The account without those keys.
    fn without(
        &mut self,
        revoked: &BTreeSet<PublicKey>,
        keys: &RegistrarKeys,
        now_s: u64,
    ) -> Result<Jwt, identity::Error> {
        if let Some((signed, token)) = &self.signed
            && signed == revoked
        {
            return Ok(token.clone());
        }
        let issued_s = now_s.max(self.issued_s.saturating_add(1));
        let token = keys.agents_account(revoked, issued_s)?;
        self.issued_s = issued_s;
        self.signed = Some((revoked.clone(), token.clone()));
        Ok(token)
    }

    /// Hears what somebody pushed, and says whether the newest has to be pushed after it. One that is
    /// newer is another registrar's: two that see the registry differently for a moment must not fight,
    /// so that the next round is soon enough.
    fn hear(&mut self, pushed: &[u8], keys: &RegistrarKeys) -> bool {
        let Some((_, token)) = &self.signed else {
            return false;
        };
        match keys.issued_s(pushed) {
            // No server takes it.
            None => false,
            Some(issued_s) if issued_s > self.issued_s => {
                self.issued_s = issued_s;
                self.signed = None;
                false
            }
            Some(_) => token.as_str().as_bytes() != pushed,
        }
    }
}

/// The registrar of a bus.
pub struct Registrar {
    client: Client,
    keys: RegistrarKeys,
    newest: Newest,
    /// What the servers say to a push.
    answers: Subscriber,
    inbox: String,
    /// What anybody pushes to the subscribers' account.
    pushes: Subscriber,
    subject: String,
    /// When it pushed last.
    pushed: Instant,
}

impl Registrar {
    /// Takes a connection of a user of the role registrar. Asks the servers which account they have, so
    /// that the next one is newer by its time, whatever the clock says.
    pub async fn new(client: Client, keys: RegistrarKeys) -> Result<Registrar, Error> {
        let subject = accounts::claims_update(&keys.realm().agents);
        let pushes = client.subscribe(subject.clone()).await?;
        let inbox = client.new_inbox();
        let answers = client.subscribe(inbox.clone()).await?;
        let lookup = accounts::claims_lookup(&keys.realm().agents);
        let held = client.request(&lookup, Bytes::new()).await?;
        Ok(Registrar {
            newest: Newest {
                issued_s: keys.issued_s(&held.payload).unwrap_or_default(),
                signed: None,
            },
            client,
            keys,
            answers,
            inbox,
            pushes,
            subject,
            pushed: Instant::now(),
        })
    }

    /// Keeps the servers at the newest account, for ever. `revoked` is `None` until it is known.
    pub async fn run(mut self, mut revoked: watch::Receiver<Option<BTreeSet<PublicKey>>>) {
        let mut connections = self.client.connections();
        let mut next = Instant::now();
        loop {
            // Not marked as seen: what changed while something else woke this is still a change below.
            let known = revoked.borrow().clone();
            if let Some(known) = &known
                && Instant::now() >= next
            {
                next = Instant::now() + self.push(known).await;
            }
            tokio::select! {
                () = sleep_until(next), if known.is_some() => {}
                changed = revoked.changed() => match changed {
                    Ok(()) => next = Instant::now(),
                    // Whoever knows the registry is gone, and the process with it.
                    Err(_) => return,
                },
                // The other end lives as long as the client.
                Ok(()) = connections.changed() => next = Instant::now(),
                Some(pushed) = self.pushes.next() => {
                    if self.newest.hear(&pushed.payload, &self.keys) {
                        tracing::warn!("somebody pushed an older account of the subscribers");
                        // Never later than the pause after the last one: a flood can't put it off.
                        next = next.min(self.pushed + REPAIR_PAUSE);
                    }
                }
                Some(answer) = self.answers.next() => note(&answer.payload),
                else => return,
            }
        }
    }

    /// Pushes the account once, and says when to do so again.
    async fn push(&mut self, revoked: &BTreeSet<PublicKey>) -> Duration {
        let token = match self.newest.without(revoked, &self.keys, now_s()) {
            Ok(token) => token,
            Err(error) => {
                tracing::error!("no account of the subscribers can be signed: {error}");
                return PUSH_PERIOD;
            }
        };
        self.pushed = Instant::now();
        let bytes = Bytes::from(token.to_string());
        let (subject, inbox) = (self.subject.clone(), self.inbox.clone());
        let sent = self.client.send_with_reply(subject, inbox, bytes).await;
        match sent {
            Ok(()) => {
                self.client.flush().await;
                PUSH_PERIOD
            }
            Err(error) => {
                tracing::warn!("the account of the subscribers is not pushed: {error}");
                RETRY_DELAY
            }
        }
    }
}

/// The wall clock as tokens count it: seconds since 1970.
pub fn now_s() -> u64 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    now.unwrap_or_default().as_secs()
}

/// What a server says to a push.
fn note(answer: &[u8]) {
    #[derive(Deserialize)]
    struct Answer {
        #[serde(default)]
        server: Server,
        error: Option<Refused>,
    }
    #[derive(Default, Deserialize)]
    struct Server {
        #[serde(default)]
        name: String,
    }
    #[derive(Deserialize)]
    struct Refused {
        #[serde(default)]
        description: String,
    }
    match serde_json::from_slice::<Answer>(answer) {
        Ok(Answer {
            server,
            error: Some(error),
        }) => tracing::error!(
            server = server.name,
            "the account of the subscribers is refused: {}",
            error.description
        ),
        Ok(Answer { server, .. }) => {
            tracing::debug!(
                server = server.name,
                "the account of the subscribers is taken"
            );
        }
        Err(error) => tracing::warn!("a server's answer can't be read: {error}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::identity::{UserKey, generate};

    #[test]
    fn the_same_keys_give_the_same_token_and_other_keys_a_newer_one() {
        let (_, keys, _) = generate();
        let mut newest = Newest {
            issued_s: 1_000,
            signed: None,
        };
        let nobody = BTreeSet::new();
        let some: BTreeSet<_> = [UserKey::generate().public()].into();
        assert!(!newest.hear(b"anything", &keys), "nothing is known yet");
        let issued_s = |token: &Jwt| keys.issued_s(token.as_str().as_bytes());
        // The clock is behind what servers have.
        let first = newest.without(&nobody, &keys, 10).unwrap();
        assert_eq!(issued_s(&first), Some(1_001));
        assert_eq!(newest.without(&nobody, &keys, 5_000).unwrap(), first);
        let second = newest.without(&some, &keys, 1_001).unwrap();
        assert_eq!(issued_s(&second), Some(1_002));
        let third = newest.without(&nobody, &keys, 9_000).unwrap();
        assert_eq!(issued_s(&third), Some(9_000));

        let mut hear = |token: &Jwt| newest.hear(token.as_str().as_bytes(), &keys);
        assert!(!hear(&third), "its own");
        assert!(hear(&first), "an older one that was true once");
        let (_, strange, _) = generate();
        assert!(!hear(&strange.agents_account(&nobody, u64::MAX).unwrap()));
        assert!(
            !hear(&keys.agents_account(&some, 9_500).unwrap()),
            "a newer one"
        );
        let fourth = newest.without(&nobody, &keys, 9_000).unwrap();
        assert_eq!(issued_s(&fourth), Some(9_501));
    }
}
