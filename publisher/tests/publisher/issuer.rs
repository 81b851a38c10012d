//! A tiny issuer of ID tokens, on the loopback: a discovery document, a set of keys, and the code flow with PKCE for
//! whoever is said to be in front of it.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
    time::{SystemTime, UNIX_EPOCH},
};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD as BASE64};
use ring::{
    rand::SystemRandom,
    rsa::PublicKeyComponents,
    signature::{
        ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair as _,
        RSA_PKCS1_SHA256, RsaKeyPair,
    },
};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpListener,
};

/// An RSA key of the tests alone: no library at hand makes one.
const RSA: &[u8] = include_bytes!("data/issuer.pk8");

/// A key that signs.
pub(crate) enum Key {
    Rsa(Box<RsaKeyPair>),
    P256(EcdsaKeyPair),
    Ed25519(Ed25519KeyPair),
}

impl Key {
    pub(crate) fn rsa() -> Key {
        Key::Rsa(Box::new(RsaKeyPair::from_pkcs8(RSA).unwrap()))
    }

    pub(crate) fn p256() -> Key {
        let random = SystemRandom::new();
        let algorithm = &ECDSA_P256_SHA256_FIXED_SIGNING;
        let bytes = EcdsaKeyPair::generate_pkcs8(algorithm, &random).unwrap();
        Key::P256(EcdsaKeyPair::from_pkcs8(algorithm, bytes.as_ref(), &random).unwrap())
    }

    pub(crate) fn ed25519() -> Key {
        let bytes = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).unwrap();
        Key::Ed25519(Ed25519KeyPair::from_pkcs8(bytes.as_ref()).unwrap())
    }

    fn algorithm(&self) -> &'static str {
        match self {
            Key::Rsa(_) => "RS256",
            Key::P256(_) => "ES256",
            Key::Ed25519(_) => "EdDSA",
        }
    }

    /// Its public half, as an issuer publishes it.
    pub(crate) fn public(&self, id: &str) -> Value {
        let mut key = match self {
            Key::Rsa(pair) => {
                let public = PublicKeyComponents::<Vec<u8>>::from(pair.public());
                let (n, e) = (BASE64.encode(public.n), BASE64.encode(public.e));
                json!({"kty": "RSA", "n": n, "e": e})
            }
            Key::P256(pair) => {
                let point = pair.public_key().as_ref();
                let (x, y) = (BASE64.encode(&point[1..33]), BASE64.encode(&point[33..]));
                json!({"kty": "EC", "crv": "P-256", "x": x, "y": y})
            }
            Key::Ed25519(pair) => {
                let x = BASE64.encode(pair.public_key());
                json!({"kty": "OKP", "crv": "Ed25519", "x": x})
            }
        };
        key["kid"] = id.into();
        key["use"] = "sig".into();
        key
    }

    /// A token with these claims.
    pub(crate) fn token(&self, id: &str, claims: &Value) -> String {
        let header = json!({"alg": self.algorithm(), "kid": id, "typ": "JWT"});
        self.token_with(&header, claims)
    }

    /// A token with this header.
    pub(crate) fn token_with(&self, header: &Value, claims: &Value) -> String {
        let signed = unsigned(header, claims);
        let signature = match self {
            Key::Rsa(pair) => {
                let mut signature = vec![0; pair.public().modulus_len()];
                let random = SystemRandom::new();
                pair.sign(
                    &RSA_PKCS1_SHA256,
                    &random,
                    signed.as_bytes(),
                    &mut signature,
                )
                .unwrap();
                signature
            }
            Key::P256(pair) => {
                let signature = pair.sign(&SystemRandom::new(), signed.as_bytes());
                signature.unwrap().as_ref().to_vec()
            }
            Key::Ed25519(pair) => pair.sign(signed.as_bytes()).as_ref().to_vec(),
        };
        format!("{signed}.{}", BASE64.encode(signature))
    }
}

/// A token's first two parts.
pub(crate) fn unsigned(header: &Value, claims: &Value) -> String {
    let encode = |value: &Value| BASE64.encode(value.to_string());
    format!("{}.{}", encode(header), encode(claims))
}

/// A port that nobody listens on, of those that the system gives to nobody who asks for any: an address that has to be
/// known before it is listened on is still free then.
pub(crate) fn quiet_port() -> u16 {
    loop {
        let port = rand::random_range(20_000..30_000);
        if std::net::TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}

/// Seconds since 1970.
pub(crate) fn now_s() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.unwrap().as_secs()
}

/// What an issuer does for visitors of web pages.
#[derive(Default)]
pub(crate) struct Desk {
    /// Who is in front of it.
    pub(crate) person: String,
    /// Seconds that its tokens last; 600 if 0.
    pub(crate) lifetime_s: u64,
    /// Claims that its tokens have otherwise.
    pub(crate) claims: serde_json::Map<String, Value>,
    /// It gives a token to whoever has the code, whatever they prove.
    pub(crate) is_lax: bool,
    /// The forms that were posted to it.
    pub(crate) forms: Vec<Vec<(String, String)>>,
    /// The tokens that it gave out.
    pub(crate) tokens: Vec<String>,
    signer: Option<(Key, String)>,
    codes: HashMap<String, Vec<(String, String)>>,
}

/// An issuer that answers until it is dropped.
pub(crate) struct Issuer {
    pub(crate) url: String,
    pub(crate) desk: Arc<Mutex<Desk>>,
    keys: Arc<Mutex<Vec<Value>>>,
    fetches: Arc<Mutex<usize>>,
    _server: tokio_util::task::AbortOnDropHandle<()>,
}

/// The fields of a query or a form.
pub(crate) fn fields(text: &str) -> Vec<(String, String)> {
    let decode = |text: &str| {
        let mut bytes = Vec::new();
        let mut rest = text.bytes();
        while let Some(byte) = rest.next() {
            bytes.push(match byte {
                b'%' => {
                    let pair = [rest.next().unwrap(), rest.next().unwrap()];
                    u8::from_str_radix(std::str::from_utf8(&pair).unwrap(), 16).unwrap()
                }
                byte => byte,
            });
        }
        String::from_utf8(bytes).unwrap()
    };
    text.split('&')
        .filter_map(|pair| pair.split_once('='))
        .map(|(name, value)| (decode(name), decode(value)))
        .collect()
}

fn field<'a>(fields: &'a [(String, String)], name: &str) -> &'a str {
    let found = fields.iter().find(|(known, _)| known == name);
    found.map_or("", |(_, value)| value)
}

impl Desk {
    /// Sends a visitor back with a code.
    fn authorize(&mut self, query: &str) -> String {
        let asked = fields(query);
        let code = format!("code-{}-{}", self.codes.len(), now_s());
        let (back, state) = (field(&asked, "redirect_uri"), field(&asked, "state"));
        let place = format!("{back}?code={code}&state={state}");
        self.codes.insert(code, asked);
        place
    }

    /// A token for a code, once, for whoever asked for it.
    fn token(&mut self, issuer: &str, form: &str) -> Result<Value, &'static str> {
        let form = fields(form);
        self.forms.push(form.clone());
        let asked = self
            .codes
            .get_mut(field(&form, "code"))
            .ok_or("no such code")?;
        // It stays known, and is good for nothing any more.
        let asked = std::mem::take(asked);
        let proof = ring::digest::digest(
            &ring::digest::SHA256,
            field(&form, "code_verifier").as_bytes(),
        );
        let is_theirs = field(&asked, "redirect_uri") == field(&form, "redirect_uri")
            && field(&asked, "client_id") == field(&form, "client_id")
            && field(&asked, "code_challenge_method") == "S256"
            && field(&asked, "code_challenge") == BASE64.encode(proof);
        if asked.is_empty() || !(is_theirs || self.is_lax) {
            return Err("the code is not yours");
        }
        let lifetime_s = if self.lifetime_s == 0 {
            600
        } else {
            self.lifetime_s
        };
        let mut claims = json!({
            "iss": issuer, "aud": field(&asked, "client_id"), "sub": self.person,
            "exp": now_s() + lifetime_s, "iat": now_s(), "nonce": field(&asked, "nonce"),
        });
        for (name, value) in &self.claims {
            claims[name] = value.clone();
        }
        let (key, id) = self.signer.as_ref().expect("a key");
        let token = key.token(id, &claims);
        self.tokens.push(token.clone());
        Ok(json!({"id_token": token, "access_token": "opaque", "token_type": "Bearer"}))
    }
}

/// One request of a connection: its first line, and its body.
async fn read_request(stream: &mut tokio::net::TcpStream) -> Option<(String, String)> {
    let mut request = Vec::new();
    loop {
        let mut part = [0; 4096];
        match stream.read(&mut part).await {
            Ok(0) | Err(_) => return None,
            Ok(length) => request.extend(&part[..length]),
        }
        let text = String::from_utf8_lossy(&request).into_owned();
        let Some((head, body)) = text.split_once("\r\n\r\n") else {
            continue;
        };
        let length = head.lines().find_map(|line| {
            let (name, value) = line.split_once(": ")?;
            let is_it = name.eq_ignore_ascii_case("content-length");
            is_it.then(|| value.parse::<usize>().unwrap())
        });
        if body.len() >= length.unwrap_or_default() {
            let first = head.lines().next().unwrap_or_default();
            return Some((first.to_owned(), body.to_owned()));
        }
    }
}

impl Issuer {
    pub(crate) async fn start() -> Issuer {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let keys: Arc<Mutex<Vec<Value>>> = Arc::default();
        let fetches: Arc<Mutex<usize>> = Arc::default();
        let desk: Arc<Mutex<Desk>> = Arc::default();
        let shared = (
            url.clone(),
            Arc::clone(&keys),
            Arc::clone(&fetches),
            Arc::clone(&desk),
        );
        let server = tokio::spawn(async move {
            loop {
                let Ok((mut stream, _)) = listener.accept().await else {
                    return;
                };
                // Browsers connect before they ask.
                let (base, keys, fetches, desk) = shared.clone();
                tokio::spawn(async move {
                    let Some((first, form)) = read_request(&mut stream).await else {
                        return;
                    };
                    let path = first.split(' ').nth(1).unwrap_or_default();
                    let (mut status, mut further) = ("200 OK", String::new());
                    let body = match path.split_once('?').unwrap_or((path, "")) {
                        ("/keys", _) => {
                            *fetches.lock().unwrap() += 1;
                            json!({"keys": *keys.lock().unwrap()})
                        }
                        ("/authorize", query) => {
                            status = "302 Found";
                            let place = desk.lock().unwrap().authorize(query);
                            further = format!("Location: {place}\r\n");
                            json!({})
                        }
                        ("/token", _) => match desk.lock().unwrap().token(&base, &form) {
                            Ok(granted) => granted,
                            Err(why) => {
                                status = "400 Bad Request";
                                json!({"error": "invalid_grant", "error_description": why})
                            }
                        },
                        _ => json!({
                            "issuer": base, "jwks_uri": format!("{base}/keys"),
                            "authorization_endpoint": format!("{base}/authorize"),
                            "token_endpoint": format!("{base}/token"),
                        }),
                    };
                    let body = body.to_string();
                    let head = format!(
                        "HTTP/1.1 {status}\r\n{further}Content-Length: {}\r\nConnection: close\r\n\r\n",
                        body.len()
                    );
                    let _ = stream.write_all(format!("{head}{body}").as_bytes()).await;
                });
            }
        });
        Issuer {
            url,
            desk,
            keys,
            fetches,
            _server: tokio_util::task::AbortOnDropHandle::new(server),
        }
    }

    /// From now on it signs people in, with this key.
    pub(crate) fn sign_in(&self, person: &str, key: Key, id: &str) {
        self.publish(vec![key.public(id)]);
        let mut desk = self.desk.lock().unwrap();
        desk.person = person.to_owned();
        desk.signer = Some((key, id.to_owned()));
    }

    /// From now on it has these keys.
    pub(crate) fn publish(&self, keys: Vec<Value>) {
        *self.keys.lock().unwrap() = keys;
    }

    /// How often its keys were asked for.
    pub(crate) fn fetches(&self) -> usize {
        *self.fetches.lock().unwrap()
    }

    /// Claims of Alice, which are right in everything.
    pub(crate) fn claims(&self) -> Value {
        json!({
            "iss": self.url, "aud": "writ", "sub": "alice", "exp": now_s() + 600, "iat": now_s(),
            "groups": ["devs", "writ:administrators"],
        })
    }
}
