//! TokenService: service tokens. What is kept of one is its hash.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use rand::TryRng as _;
use serde_json::json;
use tonic::{Request, Response, Status};
use writ_core::{
    edit::Kind,
    hash::Hash,
    model::{API_VERSION, Document, Record},
};
use writ_proto::v1::{self, token_service_server::TokenService};

use super::{Api, audit::is_administrator, convert, error, policy::read_name};
use crate::{caller::caller, gate::SERVICE_TOKEN_PREFIX, track};

/// Tokens that are listed.
const TOKENS_MAX: usize = 1_000;

/// How long a token may be taken: a year at most, and no token is for less than a minute.
const LIFETIME_MIN_S: u64 = 60;
const LIFETIME_MAX_S: u64 = 366 * 24 * 3600;

/// Random bytes of a token: nobody guesses 256 bits, so that a plain hash keeps them.
const SECRET_BYTES: usize = 32;

#[tonic::async_trait]
impl TokenService for Api {
    async fn create_token(
        &self,
        request: Request<v1::CreateTokenRequest>,
    ) -> Result<Response<v1::CreateTokenResponse>, Status> {
        let caller = caller(&request);
        allow(&caller)?;
        let request = request.into_inner();
        let name = read_name(&request.name)?;
        if !(LIFETIME_MIN_S..=LIFETIME_MAX_S).contains(&request.lifetime_s) {
            let message = format!("must be from {LIFETIME_MIN_S} to {LIFETIME_MAX_S}");
            return Err(error::field("lifetime_s", message));
        }
        let mut secret = [0; SECRET_BYTES];
        rand::rngs::SysRng
            .try_fill_bytes(&mut secret)
            .map_err(|_| Status::unavailable("the operating system gave no randomness"))?;
        let secret = URL_SAFE_NO_PAD.encode(secret);
        let token = format!("{SERVICE_TOKEN_PREFIX}{name}_{secret}");
        let expires_s = track::wall_ms() / 1000 + request.lifetime_s;
        let manifest = json!({
            "apiVersion": API_VERSION,
            "kind": "ServiceToken",
            "metadata": {"name": name.as_str()},
            "spec": {
                "hash": Hash::of(token.as_bytes()).to_string(),
                "groups": request.groups,
                "expires": expires_s,
            },
        });
        let apply = v1::ApplyRequest {
            manifest: manifest.to_string(),
            // A name that has a token is not given another one by mistake.
            base_generation: Some(0),
            reason: request.reason,
            ..v1::ApplyRequest::default()
        };
        let edit = self.apply(Kind::Token, apply, &caller).await?.into_inner();
        Ok(Response::new(v1::CreateTokenResponse {
            token,
            edit: Some(edit),
            expires: Some(convert::time(expires_s * 1000)),
        }))
    }

    async fn list_tokens(
        &self,
        request: Request<v1::ListTokensRequest>,
    ) -> Result<Response<v1::ListTokensResponse>, Status> {
        allow(&caller(&request))?;
        let view = self.views.now();
        let tokens = view.documents_after(Kind::Token, None);
        let tokens = tokens.filter_map(|(name, document)| {
            let Document::Record(Record::Token(token)) = document.as_ref() else {
                return None;
            };
            let intent = view.intent(Kind::Token, name)?;
            Some(v1::ServiceToken {
                name: name.to_string(),
                groups: token.groups.iter().cloned().collect(),
                expires: Some(convert::time(token.expires_s.saturating_mul(1000))),
                author: intent.author.clone(),
                reason: intent.reason.clone(),
                created: Some(convert::time(intent.committed_ms)),
            })
        });
        let tokens = tokens.take(TOKENS_MAX).collect();
        Ok(Response::new(v1::ListTokensResponse { tokens }))
    }

    async fn revoke_token(
        &self,
        request: Request<v1::RevokeTokenRequest>,
    ) -> Result<Response<v1::EditResponse>, Status> {
        let caller = caller(&request);
        allow(&caller)?;
        let request = request.into_inner();
        let delete = v1::DeleteRequest {
            name: request.name,
            reason: request.reason,
            ..v1::DeleteRequest::default()
        };
        self.delete(Kind::Token, delete, &caller).await
    }
}

fn allow(caller: &writ_core::access::Identity) -> Result<(), Status> {
    if is_administrator(caller) {
        return Ok(());
    }
    let message = format!("{caller} may not handle service tokens: administrators may");
    Err(Status::permission_denied(message))
}
