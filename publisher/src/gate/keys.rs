//! An issuer's public keys, and the check of a signature.
//!
//! The key decides how it is used: a token that names another algorithm than its key is for is refused,
//! so that no public key is ever taken for a shared secret, and "none" is no algorithm at all.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use ring::signature::{
    ECDSA_P256_SHA256_FIXED, ED25519, RSA_PKCS1_2048_8192_SHA256, RsaPublicKeyComponents,
    UnparsedPublicKey,
};
use serde::Deserialize;

/// Keys that are taken of one issuer; a token without a key id is tried with each.
const KEYS_MAX: usize = 64;

/// The algorithms that are taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Algorithm {
    Rs256,
    Es256,
    EdDsa,
}

impl Algorithm {
    /// Reads the name in a token's header.
    pub(super) fn parse(name: &str) -> Option<Algorithm> {
        match name {
            "RS256" => Some(Algorithm::Rs256),
            "ES256" => Some(Algorithm::Es256),
            "EdDSA" => Some(Algorithm::EdDsa),
            _ => None,
        }
    }
}

/// What a check came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    Good,
    /// No key here is the one that signed; perhaps it is newer than this set.
    UnknownKey,
    /// The key is known, and did not sign this.
    Forged,
}

/// The keys of an issuer.
#[derive(Debug, Default)]
pub(super) struct KeySet(Vec<Key>);

#[derive(Debug)]
struct Key {
    id: Option<String>,
    algorithm: Algorithm,
    material: Material,
}

#[derive(Debug)]
enum Material {
    Rsa { n: Vec<u8>, e: Vec<u8> },
    Raw(Vec<u8>),
}

#[derive(Deserialize)]
struct Document {
    keys: Vec<serde_json::Value>,
}

#[derive(Deserialize)]
struct Jwk {
    kty: String,
    kid: Option<String>,
    alg: Option<String>,
    #[serde(rename = "use")]
    usage: Option<String>,
    crv: Option<String>,
    n: Option<String>,
    e: Option<String>,
    x: Option<String>,
    y: Option<String>,
}

impl KeySet {
    /// Reads a JWK set (RFC 7517). Keys of other kinds are left out: sets hold encryption keys too.
    pub(super) fn parse(bytes: &[u8]) -> Result<KeySet, serde_json::Error> {
        let document: Document = serde_json::from_slice(bytes)?;
        let keys = document.keys.into_iter();
        let keys = keys
            .filter_map(|key| serde_json::from_value::<Jwk>(key).ok())
            .filter_map(|key| Key::read(&key));
        Ok(KeySet(keys.take(KEYS_MAX).collect()))
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether one of these keys, of this kind and with this id where one is named, signed the bytes.
    pub(super) fn verify(
        &self,
        algorithm: Algorithm,
        id: Option<&str>,
        signed: &[u8],
        signature: &[u8],
    ) -> Verdict {
        let mut is_known = false;
        let named = self
            .0
            .iter()
            .filter(|key| id.is_none() || key.id.as_deref() == id);
        for key in named {
            // A key of that id for something else is no unknown key: nothing newer is worth asking for.
            is_known |= id.is_some();
            if key.algorithm == algorithm && key.signed(signed, signature) {
                return Verdict::Good;
            }
        }
        if is_known {
            Verdict::Forged
        } else {
            Verdict::UnknownKey
        }
    }
}

impl Key {
    fn read(key: &Jwk) -> Option<Key> {
        let decode = |text: &Option<String>| URL_SAFE_NO_PAD.decode(text.as_ref()?).ok();
        if key.usage.as_deref().is_some_and(|usage| usage != "sig") {
            return None;
        }
        let (algorithm, material) = match (key.kty.as_str(), key.crv.as_deref()) {
            ("RSA", _) => {
                let (n, e) = (decode(&key.n)?, decode(&key.e)?);
                (Algorithm::Rs256, Material::Rsa { n, e })
            }
            ("EC", Some("P-256")) => {
                let (x, y) = (decode(&key.x)?, decode(&key.y)?);
                let is_point = x.len() == 32 && y.len() == 32;
                // An uncompressed point (SEC 1, section 2.3.3).
                let point = [vec![4], x, y].concat();
                (Algorithm::Es256, Material::Raw(is_point.then_some(point)?))
            }
            ("OKP", Some("Ed25519")) => (Algorithm::EdDsa, Material::Raw(decode(&key.x)?)),
            _ => return None,
        };
        let stated = key.alg.as_deref().map(Algorithm::parse);
        let fits = stated.is_none_or(|stated| stated == Some(algorithm));
        fits.then(|| Key {
            id: key.kid.clone(),
            algorithm,
            material,
        })
    }

    fn signed(&self, signed: &[u8], signature: &[u8]) -> bool {
        let checked = match (&self.material, self.algorithm) {
            (Material::Rsa { n, e }, _) => RsaPublicKeyComponents { n, e }.verify(
                &RSA_PKCS1_2048_8192_SHA256,
                signed,
                signature,
            ),
            (Material::Raw(key), Algorithm::Es256) => {
                UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, key).verify(signed, signature)
            }
            (Material::Raw(key), _) => {
                UnparsedPublicKey::new(&ED25519, key).verify(signed, signature)
            }
        };
        checked.is_ok()
    }
}
