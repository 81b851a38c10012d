//! Everything of Writ that crosses a wire as protobuf.
//!
//! Owns the types generated from `proto/`: the gRPC API (`writ.v1`) and the messages of the log (`writ.log.v1`), the
//! conversions between the latter and the core's types, and how a status is told by what changed. Promises that what is
//! decoded here was parsed whole; never verifies a signature (the core does) and never opens a socket.

pub mod audit;
pub mod log;
pub mod offer;
pub mod status;
pub mod trust;

/// The gRPC API, package `writ.v1`. What a field means stands in the `.proto` files.
#[allow(missing_docs, clippy::all)]
pub mod v1 {
    tonic::include_proto!("writ.v1");
}

/// The subject of a `google.rpc.PreconditionFailure` where a publisher takes no edit at all, because it does not
/// believe the log: it has not looked then for what an earlier sending of the same request did.
pub const LOG_SUBJECT: &str = "writ.root";

/// The metadata by which a program of this project says that it is the one through which somebody calls; what it says
/// stands in the record of calls.
pub const VIA_HEADER: &str = "writ-via";

/// What a dashboard says there.
pub const VIA_DASHBOARD: &str = "dashboard";

/// The metadata by which a dashboard says for whose address it calls; believed within one process alone.
pub const VISITOR_HEADER: &str = "writ-visitor";

/// How a break-glass token begins, so that it is found where it leaked.
pub const BREAK_GLASS_PREFIX: &str = "writ_bg_";

/// The compiled descriptors of all packages, as gRPC server reflection serves them.
pub const FILE_DESCRIPTOR_SET: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/descriptors.bin"));
