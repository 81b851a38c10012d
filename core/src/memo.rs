//! Signatures that a simulated run need not compute twice.
//!
//! Everybody in one simulated fleet opens the same bytes, on one thread. Whether a signature fits is a
//! matter of key, bytes and signature alone, so what fitted once, or was made here, fits again; what did
//! not is computed every time. A thread has no such memory before [`begin`], and no build without the
//! cargo feature `mutations` has it at all.

use std::{cell::RefCell, collections::HashSet};

use sha2::{Digest, Sha256};

thread_local! {
    static FITTING: RefCell<Option<HashSet<[u8; 32]>>> = const { RefCell::new(None) };
}

/// Begins with an empty memory on this thread.
pub fn begin() {
    FITTING.set(Some(HashSet::new()));
}

/// Has no memory on this thread any more.
pub fn end() {
    FITTING.set(None);
}

fn name(key: &[u8; 32], message: &[u8], signature: &[u8]) -> [u8; 32] {
    // Key and length come first, so that no other triple has the same bytes.
    let mut hasher = Sha256::new_with_prefix(key);
    hasher.update((signature.len() as u64).to_le_bytes());
    hasher.update(signature);
    hasher.update(message);
    hasher.finalize().into()
}

/// A signature was made, or found to fit.
pub(crate) fn note(key: &[u8; 32], message: &[u8], signature: &[u8]) {
    FITTING.with_borrow_mut(|fitting| {
        if let Some(fitting) = fitting {
            fitting.insert(name(key, message, signature));
        }
    });
}

/// Whether a signature is known to fit.
pub(crate) fn fits(key: &[u8; 32], message: &[u8], signature: &[u8]) -> bool {
    FITTING.with_borrow(|fitting| {
        let known = |fitting: &HashSet<_>| fitting.contains(&name(key, message, signature));
        fitting.as_ref().is_some_and(known)
    })
}
