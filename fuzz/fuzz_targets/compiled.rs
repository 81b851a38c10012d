//! What a cluster reads of an event's body, and of its own inventory.
#![no_main]

use libfuzzer_sys::fuzz_target;
use writ_core::model::{CompiledCluster, CompiledPolicy};

fuzz_target!(|input: &[u8]| {
    let _ = CompiledPolicy::decode(input);
    let _ = CompiledCluster::decode(input);
});
