//! A document that is accepted compiles to something that reads back and compiles to the same bytes.
#![no_main]

use libfuzzer_sys::fuzz_target;
use writ_core::model::{self, CompiledCluster, CompiledPolicy, Document};

fuzz_target!(|input: &[u8]| {
    let Ok(value) = serde_json::from_slice(input) else {
        return;
    };
    match model::parse(&value) {
        Ok(parsed) => match parsed.document {
            Document::Policy(policy) => {
                let bytes = policy.compile().into_bytes();
                CompiledPolicy::decode(&bytes).expect("what was compiled reads back");
                assert_eq!(policy.compile().into_bytes(), bytes);
            }
            Document::Cluster(cluster) => {
                let bytes = cluster.compile().into_bytes();
                CompiledCluster::decode(&bytes).expect("what was compiled reads back");
            }
            #[allow(unreachable_patterns, reason = "documents that travel to no cluster")]
            _ => {}
        },
        Err(violations) => assert!(!violations.is_empty(), "refused without a reason"),
    }
});
