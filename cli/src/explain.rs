//! `explain`: what a reason or a field means. Works without a publisher and without a network.
//!
//! Owns how pages and fields are shown and what is suggested for a word that is neither. The
//! pages themselves are those of `docs/errors` (`reasons`), the fields are in one table (`fields`).

use crate::args::Explain;
use crate::console::Console;
use crate::error::Error;
use crate::exit::Exit;

mod fields;
pub(crate) mod reasons;

use fields::Field;

/// How alike a word must be to be suggested, from 0 to 1; clap asks for the same.
const LIKENESS_MIN: f64 = 0.7;

/// Runs the command.
pub(crate) fn run(args: &Explain, console: &mut Console) -> Result<Exit, Error> {
    let Some(topic) = &args.topic else {
        console.say(list());
        return Ok(Exit::Done);
    };
    if let Some(page) = reasons::find(topic) {
        console.say(page.plain());
    } else if let Some(field) = fields::find(topic) {
        console.say(describe(field));
    } else {
        return Err(unknown(topic));
    }
    Ok(Exit::Done)
}

/// Every reason on a line, and where fields begin.
fn list() -> String {
    let width = reasons::all()
        .map(|page| page.name.len())
        .max()
        .unwrap_or_default();
    let mut lines = vec!["Reasons that a cluster gives:".to_owned()];
    for page in reasons::ALL {
        let (state, summary) = page.headline();
        lines.push(format!(
            "  {:width$}  {}: {summary}",
            page.name,
            state.to_lowercase()
        ));
    }
    lines.push("\nWords that say why an edit is not made:".to_owned());
    for page in reasons::EDITS {
        lines.push(format!("  {:width$}  {}", page.name, page.headline().1));
    }
    lines.push("\nKinds of documents, with `writ explain KIND.FIELD` for what is in them:".into());
    for kind in fields::kinds() {
        lines.push(format!("  {:width$}  {}", kind.path, kind.summary()));
    }
    lines.join("\n")
}

fn describe(field: &Field) -> String {
    let (kind, path) = field.path.split_once('.').unwrap_or((field.path, ""));
    let mut text = format!("KIND:   {kind} (writ.dev/v1alpha1)\n");
    if !path.is_empty() {
        text.push_str(&format!("FIELD:  {path} <{}>\n", field.holds));
    }
    text.push_str(&format!("\n  {}", field.text));
    let children = fields::children(field);
    if children.is_empty() {
        return text;
    }
    let name = |child: &Field| child.path.rsplit('.').next().unwrap_or_default().to_owned();
    let width = children.iter().map(|child| name(child).len()).max();
    let width = width.unwrap_or_default();
    text.push_str("\n\nFIELDS:");
    for child in children {
        text.push_str(&format!("\n  {:width$}  {}", name(child), child.summary()));
    }
    text
}

fn unknown(topic: &str) -> Error {
    let wanted = topic.to_lowercase();
    if wanted.starts_with("policyceiling") {
        // It is the cluster owner's, and described where it is kept.
        let hint = "the ceiling is the cluster's own: `kubectl explain policyceilings.spec`";
        return Error::NotFound(format!("`{topic}` is no document of Writ's: {hint}"));
    }
    let with_kind = format!("clusterpolicy.{wanted}");
    if let Some(field) = fields::ALL
        .iter()
        .find(|field| field.path.to_lowercase() == with_kind)
    {
        let hint = format!("did you mean `writ explain {}`?", field.path);
        return Error::NotFound(format!("`{topic}` is neither a reason nor a field: {hint}"));
    }
    let words = reasons::all()
        .map(|page| page.name)
        .chain(fields::ALL.iter().map(|field| field.path));
    let nearest = words
        .map(|word| (strsim::jaro(&word.to_lowercase(), &wanted), word))
        .filter(|(likeness, _)| *likeness >= LIKENESS_MIN)
        .max_by(|(a, _), (b, _)| a.total_cmp(b));
    let hint = match nearest {
        Some((_, word)) => format!("did you mean `writ explain {word}`?"),
        None => "`writ explain` lists what there is".to_owned(),
    };
    Error::NotFound(format!("`{topic}` is neither a reason nor a field: {hint}"))
}

#[cfg(test)]
mod tests;
