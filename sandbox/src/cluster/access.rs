//! Ways into a cluster: the administrator's client for one API server, and kubeconfigs for
//! processes and people.

use data_encoding::BASE64;
use kube::Client;
use kube::config::{Config, KubeConfigOptions, Kubeconfig};
use serde_json::{Value, json};

use super::Error;
use super::certs::{Certificates, Identity};

/// The administrator's way to one API server.
#[derive(Clone)]
pub(super) struct Access {
    pub(super) client: Client,
    pub(super) url: String,
    cluster: String,
    authority: String,
    admin: Identity,
}

impl std::fmt::Debug for Access {
    /// Leaves the private key out.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Access")
            .field("cluster", &self.cluster)
            .field("url", &self.url)
            .finish()
    }
}

impl Access {
    /// A client with the administrator's certificate; nothing is asked yet.
    pub(super) async fn admin(
        cluster: &str,
        url: &str,
        certificates: &Certificates,
    ) -> Result<Self, Error> {
        let (authority, admin) = (certificates.authority.clone(), certificates.admin.clone());
        let document = kubeconfig(&[entry(cluster, url, &authority, &admin)], cluster);
        let parsed: Kubeconfig = serde_json::from_value(document).map_err(Error::Kubeconfig)?;
        let config = Config::from_custom_kubeconfig(parsed, &KubeConfigOptions::default()).await?;
        let client = Client::try_from(config).map_err(Error::Client)?;
        Ok(Self {
            client,
            url: url.into(),
            cluster: cluster.into(),
            authority,
            admin,
        })
    }

    /// Whether the server says that it is ready.
    pub(super) async fn is_ready(&self) -> bool {
        let Ok(request) = http::Request::get("/readyz").body(Vec::new()) else {
            return false;
        };
        self.client
            .request_text(request)
            .await
            .is_ok_and(|answer| answer == "ok")
    }

    /// The administrator's entry of a kubeconfig.
    pub(super) fn entry(&self) -> Entry {
        entry(&self.cluster, &self.url, &self.authority, &self.admin)
    }

    /// A kubeconfig for somebody else with a certificate of this cluster.
    pub(super) fn kubeconfig_for(&self, identity: &Identity) -> Result<String, Error> {
        let entry = entry(&self.cluster, &self.url, &self.authority, identity);
        render(&[entry], &self.cluster)
    }
}

/// The cluster, user and context of one name.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    cluster: Value,
    user: Value,
    context: Value,
}

fn entry(name: &str, url: &str, authority: &str, identity: &Identity) -> Entry {
    let base64 = |text: &str| BASE64.encode(text.as_bytes());
    Entry {
        cluster: json!({"name": name, "cluster": {
            "server": url,
            "certificate-authority-data": base64(authority),
        }}),
        user: json!({"name": name, "user": {
            "client-certificate-data": base64(&identity.certificate),
            "client-key-data": base64(&identity.key),
        }}),
        context: json!({"name": name, "context": {"cluster": name, "user": name}}),
    }
}

fn kubeconfig(entries: &[Entry], current: &str) -> Value {
    let all = |part: fn(&Entry) -> &Value| entries.iter().map(part).cloned().collect::<Vec<_>>();
    json!({
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": all(|entry| &entry.cluster),
        "users": all(|entry| &entry.user),
        "contexts": all(|entry| &entry.context),
        "current-context": current,
    })
}

/// The text of a kubeconfig with these entries.
pub(crate) fn render(entries: &[Entry], current: &str) -> Result<String, Error> {
    // JSON is YAML, and every reader of kubeconfigs takes it.
    serde_json::to_string_pretty(&kubeconfig(entries, current)).map_err(Error::Kubeconfig)
}
