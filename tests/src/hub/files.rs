//! What a hub writes before anything starts: keys, the trust bundle, and the servers' configurations.

use std::path::Path;

use writ_bus::{
    config::{Peers, ServerConfig},
    identity::Role,
};
use writ_core::{envelope::SigningKey, name::Name};
use writ_proto::trust::{self, TrustBundle};
use writ_sandbox::identity::BusKeys;

use super::{Hub, Server, port, publisher_name, signing_seed};

pub(super) fn write_keys(folder: &Path, keys: &BusKeys, publishers: usize) {
    let write = |name: String, bytes: &[u8]| {
        let path = folder.join(name);
        std::fs::write(&path, bytes).expect("the folder can be written");
        let own = std::os::unix::fs::PermissionsExt::from_mode(0o600);
        std::fs::set_permissions(path, own).expect("it is ours");
    };
    keys.store(&folder.join("operator"), &folder.join("registrar"))
        .expect("the folder can be written");
    let registrar = keys.user(&Role::Registrar).expect("a registrar").to_file();
    write("registrar/registrar.creds".to_owned(), registrar.as_bytes());
    let mut signing_keys = Vec::new();
    for number in 0..publishers {
        let bus = keys.publisher(&publisher_name(number));
        let bus = bus.expect("a publisher").to_file();
        write(format!("publisher-{number}.creds"), bus.as_bytes());
        let signing = signing_seed(number);
        let text = data_encoding::BASE64.encode(&signing);
        write(format!("publisher-{number}.signing"), text.as_bytes());
        signing_keys.push(SigningKey::from_seed(&signing).public());
    }
    let bundle = TrustBundle::first(signing_keys);
    write(
        "trust".to_owned(),
        &trust::to_file(&bundle, &SigningKey::from_seed(&Hub::OFFLINE_SEED)),
    );
}

pub(super) fn server_configs(folder: &Path, count: usize, keys: &BusKeys) -> Vec<Server> {
    let routes: Vec<std::net::SocketAddr> = (0..count)
        .map(|_| ([127, 0, 0, 1], port()).into())
        .collect();
    let has_leaf = !keys.operator().realm().leafs.is_empty();
    let server = |number: usize| {
        let own = folder.join(format!("nats-{number}"));
        std::fs::create_dir(&own).expect("a folder");
        let others = routes
            .iter()
            .enumerate()
            .filter(|(other, _)| *other != number);
        let config = ServerConfig {
            name: Name::parse(&format!("hub-{number}")).expect("a name"),
            listen: ([127, 0, 0, 1], port()).into(),
            store_dir: own.join("store"),
            ports_dir: None,
            peers: (count > 1).then(|| Peers {
                name: Name::parse("hub").expect("a name"),
                listen: routes[number],
                routes: others.map(|(_, route)| *route).collect(),
                secret: "0123456789abcdefghijklmn".to_owned(),
            }),
            leafs: has_leaf.then(|| ([127, 0, 0, 1], port()).into()),
            accounts: keys.accounts(own.join("accounts")).expect("accounts"),
        };
        let text = config.render().expect("a configuration");
        std::fs::write(own.join("nats.conf"), text).expect("the folder can be written");
        Server {
            config,
            process: None,
        }
    };
    (0..count).map(server).collect()
}
