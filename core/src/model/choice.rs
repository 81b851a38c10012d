//! The fields with a fixed set of words. The first word is the default. What is not supported yet is
//! refused unless it is the default, so that no stated wish is ever ignored.

use std::fmt;

use super::fields::{Fields, unknown};
use super::report::Report;

/// A closed set of words of which the first few are supported.
pub(super) trait Choice: Copy + Default + 'static {
    /// All words, the default first.
    const ALL: &'static [(&'static str, Self)];
    /// How many of them, from the first, are supported.
    const SUPPORTED: usize;
}

/// Reads a choice; absent is the default.
pub(super) fn read<T: Choice>(fields: &Fields<'_>, key: &str, report: &mut Report) -> T {
    let Some(text) = fields.text(key, report) else {
        return T::default();
    };
    match T::ALL.iter().position(|(word, _)| *word == text) {
        Some(index) if index < T::SUPPORTED => T::ALL[index].1,
        Some(_) => {
            let message = format!("{key}: {text} is not supported yet");
            report.refuse(fields.path(key), message);
            T::default()
        }
        None => {
            let words: Vec<&str> = T::ALL.iter().map(|(word, _)| *word).collect();
            report.refuse(fields.path(key), unknown("value", text, &words));
            T::default()
        }
    }
}

macro_rules! choice {
    (
        $(#[$doc:meta])* $name:ident, supported $supported:literal,
        $(#[$first_doc:meta])* $first:ident $first_word:literal
        $(, $(#[$other_doc:meta])* $other:ident $other_word:literal)* $(,)?
    ) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum $name {
            $(#[$first_doc])*
            #[default]
            $first,
            $($(#[$other_doc])* $other,)*
        }

        impl Choice for $name {
            const ALL: &'static [(&'static str, Self)] =
                &[($first_word, Self::$first), $(($other_word, Self::$other)),*];
            const SUPPORTED: usize = $supported;
        }

        impl $name {
            /// The word in documents.
            pub fn as_str(self) -> &'static str {
                match self {
                    Self::$first => $first_word,
                    $(Self::$other => $other_word,)*
                }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.as_str())
            }
        }
    };
}

choice!(
    /// What happens to drift. Parsing accepts [`Enforcement::Correct`] only.
    Enforcement, supported 1,
    /// What was changed by hand is put back.
    Correct "correct",
    /// What was changed by hand is reported.
    Report "report",
);

choice!(
    /// What happens to objects that leave a policy (never to Namespaces). Parsing accepts
    /// [`Removal::Prune`] only.
    Removal, supported 1,
    /// They are deleted.
    Prune "prune",
    /// They stay, without our marks.
    Orphan "orphan",
);

choice!(
    /// Whether objects that are already there may be taken over. Parsing accepts [`Adopt::Never`] only.
    Adopt, supported 1,
    /// A foreign object is refused.
    Never "never",
    /// Where it is what the policy wants anyway.
    IfIdentical "ifIdentical",
    /// Always.
    Always "always",
);

choice!(
    /// Who may see a registry entry.
    Visibility, supported 3,
    /// Every cluster of the fleet.
    Fleet "fleet",
    /// The clusters of its stage.
    Stage "stage",
    /// The clusters of its own region and stage.
    Scope "scope",
);

choice!(
    /// What the subscriber of a cluster does. Parsing accepts [`Mode::Enforce`] only.
    Mode, supported 1,
    /// It applies policies.
    Enforce "enforce",
    /// It plans and reports, and writes nothing.
    Observe "observe",
);
