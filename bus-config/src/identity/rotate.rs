//! Replacing the key that signs the users of a role, in two steps: first the new one signs and whom the
//! one before it signed is still let in, then the one before is out, and with it everybody whom it signed.
//!
//! Promises: both folders end with the same realm, also when a step was ended between them and is
//! repeated. Never: keeps the private half of the key before, which nobody needs any more.

use super::{
    Error,
    key::{AccountKey, Kind, Pair},
    operator::OperatorKeys,
    realm::Realm,
    registrar::RegistrarKeys,
    roles::Role,
};

impl Realm {
    fn signer_mut(&mut self, role: &Role) -> Result<&mut AccountKey, Error> {
        let signers = &mut self.signers;
        Ok(match role {
            Role::Cluster => &mut signers.cluster,
            Role::Enrolment => &mut signers.enrolment,
            Role::Request => &mut signers.request,
            Role::Publisher => &mut signers.publisher,
            Role::Installer => &mut signers.installer,
            Role::Backup => &mut signers.backup,
            Role::Registrar => &mut signers.registrar,
            Role::ClaimsLink => &mut signers.claims_link,
            Role::Link(region) | Role::LeafInstaller(region) => {
                let leaf = self.leafs.get_mut(region);
                let leaf = leaf.ok_or_else(|| Error::NoLeaf(region.clone()))?;
                match role {
                    Role::Link(_) => &mut leaf.link,
                    _ => &mut leaf.installer,
                }
            }
        })
    }
}

/// Begins: the role has a new signing key, beside the one before. Where that was begun already, only
/// makes both sides know of it.
///
/// # Errors
/// A region without a leaf; keys of two buses.
pub fn rotate(
    operator: &mut OperatorKeys,
    registrar: &mut RegistrarKeys,
    role: &Role,
) -> Result<(), Error> {
    same_bus(operator, registrar)?;
    // Whoever holds the private half is asked whether it was begun.
    let (realm, _) = realms(operator, registrar, role);
    if !realm.outgoing.contains_key(&role.label()) {
        let pair = Pair::generate(Kind::Account);
        let signer = realm.signer_mut(role)?;
        let before = std::mem::replace(signer, pair.account());
        realm.outgoing.insert(role.label(), before);
        match role {
            Role::Cluster => registrar.agents.cluster = pair,
            Role::Enrolment => registrar.agents.enrolment = pair,
            Role::Request => registrar.agents.request = pair,
            _ => drop(operator.signers.insert(role.clone(), pair)),
        }
    }
    agree(operator, registrar, role)
}

/// Ends: the key before signs nobody any more. Where there is none, only makes both sides know of it.
///
/// # Errors
/// Keys of two buses.
pub fn retire(
    operator: &mut OperatorKeys,
    registrar: &mut RegistrarKeys,
    role: &Role,
) -> Result<(), Error> {
    same_bus(operator, registrar)?;
    let (realm, _) = realms(operator, registrar, role);
    realm.outgoing.remove(&role.label());
    agree(operator, registrar, role)
}

fn same_bus(operator: &OperatorKeys, registrar: &RegistrarKeys) -> Result<(), Error> {
    let (one, other) = (&operator.realm, &registrar.realm);
    let same = one.operator_signing == other.operator_signing
        && (&one.core, &one.agents, &one.system) == (&other.core, &other.agents, &other.system);
    match same {
        true => Ok(()),
        false => Err(Error::OtherRealm),
    }
}

/// The realm beside a role's key, and the other one.
fn realms<'a>(
    operator: &'a mut OperatorKeys,
    registrar: &'a mut RegistrarKeys,
    role: &Role,
) -> (&'a mut Realm, &'a mut Realm) {
    match role.is_of_registrar() {
        true => (&mut registrar.realm, &mut operator.realm),
        false => (&mut operator.realm, &mut registrar.realm),
    }
}

/// Both know of the role what the one knows that holds its key.
fn agree(
    operator: &mut OperatorKeys,
    registrar: &mut RegistrarKeys,
    role: &Role,
) -> Result<(), Error> {
    let (from, to) = realms(operator, registrar, role);
    *to.signer_mut(role)? = from.signer_mut(role)?.clone();
    match from.outgoing.get(&role.label()) {
        Some(before) => drop(to.outgoing.insert(role.label(), before.clone())),
        None => drop(to.outgoing.remove(&role.label())),
    }
    Ok(())
}
