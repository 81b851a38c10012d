//! What is logged is changed while the processes run.

use std::{net::SocketAddr, path::Path};

use serde_json::Value;
use writ_tests::http::{self, Page};

use crate::harness::{run, wait_for};

async fn put(file: &Path, path: &str, body: &str) -> Page {
    http::put(address(file), path, body).await
}

async fn standing(file: &Path) -> Value {
    let page = http::get(address(file), "/debug/log").await;
    assert_eq!(page.status, 200, "{}", page.body);
    serde_json::from_str(&page.body).unwrap()
}

fn address(file: &Path) -> SocketAddr {
    let address = std::fs::read_to_string(file).unwrap();
    address.trim().parse().unwrap()
}

#[test]
fn the_filter_of_a_process_is_exchanged_and_falls_back_and_a_bad_one_is_refused() {
    run(async |fleet| {
        // One whose subscriber no other test ends.
        let cluster = fleet.join().await;
        for (admin, log) in [
            ("publisher/admin".to_owned(), "publisher-1.log".to_owned()),
            (
                format!("clusters/{cluster}/admin"),
                format!("{cluster}.subscriber.log"),
            ),
        ] {
            let (admin, log) = (fleet.dir.join(admin), fleet.dir.join("logs").join(log));
            let logged = || std::fs::read_to_string(&log).unwrap();
            let first = standing(&admin).await;
            assert_eq!(first["filter"], first["first"]);
            assert!(!logged().contains(" TRACE "), "{}", log.display());

            let length = logged().len();
            for (query, body, said) in [
                ("", "inof", "\"inof\" is neither a level"),
                ("", "info,hyper=loud", "\"hyper=loud\""),
                ("", "", "it is empty"),
                ("?for=soon", "debug", "is not for=TIME"),
                ("?for=0s", "debug", "is not for=TIME"),
            ] {
                let page = put(&admin, &format!("/debug/log{query}"), body).await;
                assert_eq!(page.status, 400, "{body}");
                assert!(page.body.contains("nothing was changed"), "{}", page.body);
                assert!(page.body.contains(said), "{}", page.body);
            }
            let page = put(&admin, "/debug/log", &"a".repeat(10_000)).await;
            assert_eq!(page.status, 413, "{}", page.body);
            assert_eq!(standing(&admin).await, first);
            assert!(!logged()[length..].contains("what is logged was changed"));

            let page = put(
                &admin,
                "/debug/log?for=2s",
                "warn,hyper=trace,async_nats=trace,tokio=trace,h2=trace,writ=trace\n",
            )
            .await;
            assert_eq!(page.status, 200, "{}", page.body);
            let now: Value = serde_json::from_str(&page.body).unwrap();
            assert!(now["filter"].as_str().unwrap().starts_with("warn,"));
            assert_eq!(now["first"], first["first"]);
            assert!(
                now["falls_back_in_s"]
                    .as_u64()
                    .is_some_and(|left| left <= 2)
            );
            wait_for("something is logged that was not before", async || {
                let is_traced = logged().contains(" TRACE ") || logged().contains(" DEBUG ");
                is_traced.then_some(())
            })
            .await;
            wait_for("the first filter holds again", async || {
                (standing(&admin).await == first).then_some(())
            })
            .await;
            // Both changes are logged, though the filter in force lets no such line through.
            let changes = || {
                logged()[length..]
                    .matches("what is logged was changed")
                    .count()
            };
            assert_eq!(changes(), 2, "{}", &logged()[length..]);
        }
    });
}
