//! The text forms of the bus' keys: base32 of a prefix, an Ed25519 key and a checksum.
//!
//! So that one key can both connect to the bus and sign what Writ itself checks: under Writ's own
//! encoding, never as bare bytes.

use data_encoding::BASE32_NOPAD;
use zeroize::Zeroizing;

use crate::envelope::{PublicKey, SigningKey};

/// Prefix bytes of a user's public key (`U…`), of a seed (`S…`), and the mask of a seed's kind.
const USER: u8 = 20 << 3;
const SEED: u8 = 18 << 3;

/// CRC-16/XMODEM, the checksum that nkeys use.
fn checksum(bytes: &[u8]) -> u16 {
    bytes.iter().fold(0, |crc, byte| {
        (0..8).fold(crc ^ (u16::from(*byte) << 8), |crc, _| {
            let shifted = crc << 1;
            if crc & 0x8000 == 0 {
                shifted
            } else {
                shifted ^ 0x1021
            }
        })
    })
}

fn encode(prefix: &[u8], key: &[u8; 32]) -> String {
    let mut bytes = [prefix, key].concat();
    bytes.extend(checksum(&bytes).to_le_bytes());
    BASE32_NOPAD.encode(&bytes)
}

fn decode(text: &str, prefix: &[u8]) -> Option<[u8; 32]> {
    let bytes = BASE32_NOPAD.decode(text.as_bytes()).ok()?;
    let (body, check) = bytes.split_at_checked(bytes.len().checked_sub(2)?)?;
    let is_whole = checksum(body).to_le_bytes() == check;
    let key = body.strip_prefix(prefix).filter(|_| is_whole)?;
    key.try_into().ok()
}

fn seed_prefix() -> [u8; 2] {
    [SEED | (USER >> 5), (USER & 31) << 3]
}

/// The public key of a user, `U…`.
pub fn public_text(key: &PublicKey) -> String {
    encode(&[USER], &key.to_bytes())
}

/// Reads the public key of a user.
pub fn public(text: &str) -> Option<PublicKey> {
    PublicKey::from_bytes(&decode(text, &[USER])?).ok()
}

/// The seed of a user, `SU…`.
pub fn seed_text(seed: &[u8; 32]) -> Zeroizing<String> {
    Zeroizing::new(encode(&seed_prefix(), seed))
}

/// Reads the seed of a user.
pub fn seed(text: &str) -> Option<SigningKey> {
    decode(text.trim(), &seed_prefix()).map(|seed| SigningKey::from_seed(&seed))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_read_back_and_a_changed_letter_does_not() {
        // Of the nkeys documentation's tool, seed and public key of one user.
        let key = SigningKey::from_seed(&[7; 32]);
        let text = seed_text(&[7; 32]);
        assert!(text.starts_with("SU") && text.len() == 58, "{}", *text);
        assert_eq!(seed(&text).unwrap().public(), key.public());
        let public_key = public_text(&key.public());
        assert!(public_key.starts_with('U') && public_key.len() == 56);
        assert_eq!(public(&public_key).unwrap(), key.public());
        let changed = public_key.replacen(&public_key[20..21], "7", 1);
        let is_same = changed == public_key;
        assert!(is_same || public(&changed).is_none());
        assert!(public(&text).is_none() && seed(&public_key).is_none());
        assert!(public("").is_none() && public("U").is_none());
    }
}
