//! Limits of what one document may hold. Each bounds memory or the size of a message, and each is
//! checked before the work that it bounds.

/// Largest compiled policy or registry entry. Its mirror in a cluster holds it twice (spec and signed
/// bytes) beside the inventory, and has to stay well under etcd's 1.5 MB for one object.
pub const COMPILED_SIZE_MAX_BYTES: usize = 256 * 1024;

/// Most objects of a compiled policy, expanded grants included: the inventory lists each of them.
pub const OBJECTS_MAX: usize = 1_000;

/// Most objects of a policy in one cluster, those from grants with a namespace selector included.
/// Their number depends on the cluster's namespaces, so the cluster counts them. The inventory of so
/// many (some 300 bytes each), beside spec and signed bytes, keeps a mirror under etcd's 1.5 MB.
pub const EXPANDED_OBJECTS_MAX: usize = 2_000;

/// Most entries of any other list or map of a document. A policy that names more clusters than this
/// means a label or a stage.
pub const ENTRIES_MAX: usize = 1_000;

/// Deepest nesting of a document. Kubernetes objects of the supported kinds need eight.
pub const DEPTH_MAX: usize = 32;

/// Most violations that one answer lists. A person repairs the first few and asks again.
pub const VIOLATIONS_MAX: usize = 100;

/// Longest name of a user or group, in bytes. X.509 names and SPIFFE ids stay below.
pub const SUBJECT_NAME_MAX_BYTES: usize = 512;

/// Longest name of a Kubernetes object, in bytes (a DNS subdomain's; RBAC names are held to it too).
pub const OBJECT_NAME_MAX_BYTES: usize = 253;

/// Longest reason, in bytes: a sentence and a ticket, which every reader of the history can take in.
pub const REASON_MAX_BYTES: usize = 1_024;

/// Longest endpoint, in bytes.
pub const ENDPOINT_MAX_BYTES: usize = 2_048;

/// Largest CA bundle after base64 is taken off, in bytes: some forty certificates.
pub const CA_BUNDLE_MAX_BYTES: usize = 64 * 1024;
