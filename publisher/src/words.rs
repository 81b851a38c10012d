//! The words by which an answer says why an edit is not made, for machines: the types of a
//! `google.rpc.PreconditionFailure`. Only ever added to; each has a page in `docs/errors`.

/// The policy is protected, and would lose something.
pub const DELETION_PROTECTION: &str = "DELETION_PROTECTION";
/// Another policy has an object of it already.
pub const CLAIMED_BY_POLICY: &str = "CLAIMED_BY_POLICY";
/// A number has to be repeated.
pub const CONFIRM: &str = "CONFIRM";
/// A second person has to approve.
pub const APPROVAL: &str = "APPROVAL";
/// A protected group would lose its last grant.
pub const PROTECTED_GROUP: &str = "PROTECTED_GROUP";
/// Nobody would administer the fleet.
pub const LAST_ADMINISTRATOR: &str = "LAST_ADMINISTRATOR";
/// A proposal for the policy waits already.
pub const PROPOSED_ALREADY: &str = "PROPOSED_ALREADY";
/// The proposal can't be approved any more.
pub const NOT_APPROVED: &str = "NOT_APPROVED";
/// The log ends before what was signed.
pub const LOG_BEHIND: &str = "LogBehind";
/// The stream ends before what was read of it.
pub const LOG_RESTORED: &str = "LogRestored";
/// The log has another edit at a revision that was signed.
pub const LOG_FORKED: &str = "LogForked";
/// A root goes back.
pub const LOG_WENT_BACK: &str = "LogWentBack";
/// A root does not fit the messages before it.
pub const LOG_DIFFERS: &str = "LogDiffers";
/// A root is of an epoch that the offline key has not opened.
pub const EPOCH_NOT_OPENED: &str = "EpochNotOpened";
/// The log states a trust bundle that it does not hold.
pub const TRUST_MISSING: &str = "TrustMissing";
/// The trust bundle does not list this publisher's key as active.
pub const KEY_NOT_TRUSTED: &str = "KeyNotTrusted";

/// All of them.
pub const ALL: [&str; 16] = [
    DELETION_PROTECTION,
    CLAIMED_BY_POLICY,
    CONFIRM,
    APPROVAL,
    PROTECTED_GROUP,
    LAST_ADMINISTRATOR,
    PROPOSED_ALREADY,
    NOT_APPROVED,
    LOG_BEHIND,
    LOG_RESTORED,
    LOG_FORKED,
    LOG_WENT_BACK,
    LOG_DIFFERS,
    EPOCH_NOT_OPENED,
    TRUST_MISSING,
    KEY_NOT_TRUSTED,
];
