//! Everything of Writ that crosses a wire as protobuf.
//!
//! Owns the types generated from `proto/`: the gRPC API (`writ.v1`) and the messages of the log (`writ.log.v1`), and the
//! conversions between the latter and the core's types. Promises that what is decoded here was parsed whole; never
//! verifies a signature (the core does) and never opens a socket.

pub mod audit;
pub mod log;
pub mod offer;
pub mod trust;

/// The gRPC API, package `writ.v1`. What a field means stands in the `.proto` files.
#[allow(missing_docs, clippy::all)]
pub mod v1 {
    tonic::include_proto!("writ.v1");
}

/// The compiled descriptors of all packages, as gRPC server reflection serves them.
pub const FILE_DESCRIPTOR_SET: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/descriptors.bin"));
