//! `import`: what a cluster has, as policies that `apply` takes.
//!
//! Owns the steps and what is said about them on standard error. Promises to change nothing, to
//! name what it left out and why, and that the same content gives the same documents. The cluster
//! is read by kubectl (`kubectl`); nothing is asked of a publisher.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::args::Import;
use crate::console::Console;
use crate::error::Error;
use crate::exit::Exit;
use crate::interrupt::{Interrupt, unless};
use crate::output::table::clean;

mod kinds;
mod kubectl;
mod left;
mod manifest;
mod policies;

use left::Left;

/// The longest RFC 1123 label, which the name of a cluster is.
const NAME_LENGTH_MAX: usize = 63;

/// Runs the command.
pub(crate) async fn run(
    args: Import,
    console: &mut Console,
    interrupt: &Interrupt,
) -> Result<Exit, Error> {
    let cluster = cluster_name(&args)?;
    let objects = unless(interrupt, kubectl::read(&args))
        .await
        .ok_or(Error::Interrupted(""))??;
    let read = objects.len();
    let mut imported = Imported::sort(objects);
    let policies = policies::pack(cluster, &mut imported);
    console.write(&policies::yaml(&args.context, cluster, &policies)?);
    imported.tell(&args, read, policies.len(), console);
    Ok(Exit::Done)
}

/// What a cluster has: what becomes part of a policy, and what does not.
#[derive(Debug, Default)]
struct Imported {
    /// Clean manifests by namespace; nothing for what is cluster-wide.
    kept: BTreeMap<Option<String>, Vec<Value>>,
    /// Names by reason.
    left: BTreeMap<Left, Vec<String>>,
}

impl Imported {
    fn sort(mut objects: Vec<Value>) -> Imported {
        let mut imported = Imported::default();
        objects.sort_by_cached_key(kinds::order);
        for object in objects {
            match left::judge(&object) {
                Some(left) => imported.leave(left, &object),
                None => {
                    let object = manifest::clean(object);
                    let place = kinds::place(&object).map(str::to_owned);
                    imported.kept.entry(place).or_default().push(object);
                }
            }
        }
        imported
    }

    fn leave(&mut self, left: Left, object: &Value) {
        let name = kinds::display(object);
        self.left.entry(left).or_default().push(name);
    }

    fn tell(&self, args: &Import, read: usize, policies: usize, console: &mut Console) {
        let left: usize = self.left.values().map(Vec::len).sum();
        console.tell(format!(
            "read {read} objects of context {}: {} in {policies} policies, {left} left out",
            clean(&args.context),
            read - left
        ));
        for (reason, names) in &self.left {
            console.tell(format!("{:6}  {reason}", names.len()));
            if args.verbose {
                for name in names {
                    console.tell(format!("          {}", clean(name)));
                }
            }
        }
        if left > 0 && !args.verbose {
            console.tell("their names: -v");
        }
        if !args.namespaces.is_empty() {
            console.tell("only these namespaces were read, nothing that is cluster-wide");
        }
    }
}

/// The name in the registry: a context's name is often none (an ARN, a URL).
fn cluster_name(args: &Import) -> Result<&str, Error> {
    let name = args.cluster.as_deref().unwrap_or(&args.context);
    let inner = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    let is_label = (1..=NAME_LENGTH_MAX).contains(&name.len())
        && name.bytes().all(inner)
        && !name.starts_with('-')
        && !name.ends_with('-');
    if is_label {
        return Ok(name);
    }
    Err(Error::Usage(format!(
        "`{}` cannot be the name of a cluster (lower-case letters, digits and '-', at most \
         {NAME_LENGTH_MAX}): give --cluster NAME, as the registry has it",
        clean(name)
    )))
}

#[cfg(test)]
mod tests;
