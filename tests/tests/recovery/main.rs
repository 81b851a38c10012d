//! Logs that are lost or put back from a backup under a running fleet, and recovered: nats-server,
//! kube-apiserver, publisher and subscribers as they are.

mod backup;
mod behind;
mod bygone;
mod lost;
mod rogue;
mod scene;
