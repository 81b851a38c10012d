//! Before a cluster that was only observed begins to be written to, what will be done there is shown:
//! in the words of the cluster itself, which planned it all along.

use writ_proto::v1;
use writ_proto::v1::status_request::Of;

use crate::connect::Fleet;
use crate::console::Console;
use crate::input::{Document, Kind};
use crate::output::why::Finding;

/// Tells, for each of the clusters that an edit takes from `observe` to `enforce`, what it said that
/// it would do. A cluster that cannot be asked is named: the plan is not known then.
pub(crate) async fn show_plans<'a>(
    fleet: &Fleet,
    edited: impl Iterator<Item = &'a Document>,
    console: &mut Console,
) {
    let enforcing = edited.filter(|document| {
        let mode = document.value.pointer("/spec/mode");
        document.kind == Kind::Cluster && mode.is_none_or(|mode| mode == "enforce")
    });
    for document in enforcing {
        let request = v1::StatusRequest {
            of: Some(Of::Cluster(document.name.clone())),
            ..Default::default()
        };
        let response = match fleet.acks.clone().get_status(request).await {
            Ok(response) => response.into_inner(),
            Err(error) => {
                let (name, why) = (&document.name, error.message());
                console.tell(format!("what {name} would do is not known: {why}"));
                continue;
            }
        };
        if let Some(cluster) = response.cluster.filter(|cluster| cluster.mode == "observe") {
            let plan = Finding::new(cluster, response.as_of, None).text();
            console.tell(format!("{plan}\nIt is enforced from now on."));
        }
    }
}
