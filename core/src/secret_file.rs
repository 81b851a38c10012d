//! Whose a file with a secret may be. Looks at no file: whoever opens one asks here, so that there is one
//! rule for keys, credentials and tokens.

/// Everything that group and others may do.
const OTHERS: u32 = 0o077;

/// Reading by the group.
const GROUP_READS: u32 = 0o040;

/// Whether nobody but its owner may use a file of that mode and owner; `own`: the user of this process.
///
/// One that root owns and hands to the group of a process that is not root may be read by that group: so
/// the kubelet mounts a Secret with `fsGroup`, and the process itself could not make it stricter.
pub fn is_private(mode: u32, owner: u32, own: u32) -> bool {
    let is_handed_by_root = owner == 0 && own != 0;
    let allowed = if is_handed_by_root { GROUP_READS } else { 0 };
    mode & OTHERS & !allowed == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_group_that_root_hands_a_secret_to_may_read_it_and_no_more() {
        let (root, user) = (0, 65_532);
        assert!(is_private(0o600, user, user) && is_private(0o400, root, root));
        assert!(is_private(0o440, root, user) && is_private(0o640, root, user));
        assert!(!is_private(0o444, root, user) && !is_private(0o660, root, user));
        assert!(!is_private(0o440, user, user) && !is_private(0o440, root, root));
    }
}
