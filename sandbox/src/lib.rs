//! A whole fleet on one machine, from real parts: nats-server, etcd, kube-apiserver,
//! kube-controller-manager, publishers and subscribers, each a child process. Owns their
//! start, their keys and certificates, their state folder and their end. Promises that
//! nothing it started outlives it. Never touches a cluster or a process that is not its own.
//! Linux only: the tie between processes is a parent-death signal.

pub mod api;
pub mod bus;
pub mod cluster;
pub mod demo;
mod etcd;
mod files;
pub mod fleet;
mod keys;
pub mod kubernetes;
pub mod leaf;
mod lock;
pub mod parts;
pub mod process;
pub mod progress;
pub mod relay;
pub mod up;
