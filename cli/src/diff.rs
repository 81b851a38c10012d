//! `diff`: what two generations of one name say differently.

use crate::args::{Diff, DocumentOutput, Global};
use crate::connect;
use crate::console::Console;
use crate::error::Error;
use crate::exit::Exit;
use crate::history;
use crate::interrupt::{Interrupt, unless};
use crate::output::diff::Difference;

/// Runs the command. [`Exit::Differs`] where there is a difference.
pub(crate) async fn run(
    args: Diff,
    global: &Global,
    console: &mut Console,
    interrupt: &Interrupt,
) -> Result<Exit, Error> {
    let kind = history::kind_of(&args.name);
    let name = &args.name.name;
    let work = async {
        let fleet = connect::connect(global).await?;
        // `NAME@G` is the newer one, as `show` would have it.
        let named = Some(args.name.generation).filter(|generation| *generation > 0);
        let wanted = args.to.or(named).unwrap_or(0);
        let to = history::edit(&fleet, kind, name, wanted).await?;
        let generation = to.edit.as_ref().map_or(0, |edit| edit.generation);
        let before = match args.from {
            Some(from) => from,
            None if generation > 1 => generation - 1,
            None => {
                return Err(Error::Usage(format!(
                    "{name}@{generation} is the first one: there is nothing before it"
                )));
            }
        };
        let from = history::edit(&fleet, kind, name, before).await?;
        Ok((from, to))
    };
    let (from, to) = unless(interrupt, work)
        .await
        .ok_or(Error::Interrupted(""))??;
    let difference = Difference::new(kind, name, &from, &to);
    match args.output {
        Some(DocumentOutput::Json) => console.say(difference.document().pretty()),
        Some(DocumentOutput::Yaml) => console.say(difference.document().yaml()),
        None if difference.differs() => console.write(&difference.text(console.colour)),
        None => console.tell(difference.nothing()),
    }
    Ok(if difference.differs() {
        Exit::Differs
    } else {
        Exit::Done
    })
}
