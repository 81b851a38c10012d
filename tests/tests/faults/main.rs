//! Faults on real parts: nats-server, API servers, a publisher and subscribers, all of them processes, with
//! messages lost between them. One fleet of two clusters; the tests take turns, each ends with everything
//! checked against the log, and prints its row of the table in `docs/faults.md`.

mod acks;
mod api_killed;
mod api_server;
mod bus;
mod compare;
mod etcd;
mod ground;
#[path = "../fleet/harness.rs"]
#[allow(
    dead_code,
    reason = "the harness of another binary, of which this one needs a part"
)]
mod harness;
mod lost;
mod row;
mod samples;
mod subscriber;
