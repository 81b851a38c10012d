//! The fields with a fixed set of words, the first of which is the default.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::fields::{Fields, unknown};
use super::report::Report;

/// A closed set of words.
pub(super) trait Choice: Copy + Default + 'static {
    /// All words, the default first.
    const ALL: &'static [(&'static str, Self)];
}

/// Reads a choice; absent is the default.
pub(super) fn read<T: Choice>(fields: &Fields<'_>, key: &str, report: &mut Report) -> T {
    let Some(text) = fields.text(key, report) else {
        return T::default();
    };
    let found = T::ALL.iter().find(|(word, _)| *word == text);
    if found.is_none() {
        let words: Vec<&str> = T::ALL.iter().map(|(word, _)| *word).collect();
        report.refuse(fields.path(key), unknown("value", text, &words));
    }
    found.map_or_else(T::default, |(_, choice)| *choice)
}

macro_rules! choice {
    (
        $(#[$doc:meta])* $name:ident,
        $(#[$first_doc:meta])* $first:ident $first_word:literal
        $(, $(#[$other_doc:meta])* $other:ident $other_word:literal)* $(,)?
    ) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        pub enum $name {
            $(#[$first_doc])*
            #[default]
            #[serde(rename = $first_word)]
            $first,
            $($(#[$other_doc])* #[serde(rename = $other_word)] $other,)*
        }

        impl Choice for $name {
            const ALL: &'static [(&'static str, Self)] =
                &[($first_word, Self::$first), $(($other_word, Self::$other)),*];
        }

        impl $name {
            /// The word in documents.
            pub fn as_str(self) -> &'static str {
                match self {
                    Self::$first => $first_word,
                    $(Self::$other => $other_word,)*
                }
            }

            /// Reads the word; `None` where it is none of the set.
            pub fn parse(text: &str) -> Option<Self> {
                let found = Self::ALL.iter().find(|(word, _)| *word == text);
                found.map(|(_, choice)| *choice)
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
    /// What happens to drift.
    Enforcement,
    /// What was changed by hand is put back.
    Correct "correct",
    /// What was changed by hand is reported.
    Report "report",
);

choice!(
    /// What happens to objects that leave a policy (Namespaces stay, unless they say
    /// otherwise: [`Object::may_be_deleted_with_policy`](super::Object::may_be_deleted_with_policy)).
    Removal,
    /// They are deleted.
    Prune "prune",
    /// They stay, without our marks.
    Orphan "orphan",
);

choice!(
    /// Whether objects that are already there may be taken over, where the cluster's owner agrees.
    Adopt,
    /// A foreign object is refused.
    Never "never",
    /// Where it is what the policy wants anyway.
    IfIdentical "ifIdentical",
    /// Always.
    Always "always",
);

choice!(
    /// Who may see a registry entry.
    Visibility,
    /// Every cluster of the fleet.
    Fleet "fleet",
    /// The clusters of its stage.
    Stage "stage",
    /// The clusters of its own region and stage.
    Scope "scope",
);

choice!(
    /// What the subscriber of a cluster does.
    Mode,
    /// It applies policies.
    Enforce "enforce",
    /// It plans and reports, and writes nothing.
    Observe "observe",
);

choice!(
    /// How far a cluster belongs to the fleet.
    Phase,
    /// It is registered, and its own keys are not known yet.
    Pending "pending",
    /// It is enrolled.
    Active "active",
    /// It is to give back all that was applied there, and then leaves the registry.
    Draining "draining",
    /// Its keys are revoked, and what it says does not count.
    CutOff "cutOff",
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_word_reads_back_in_every_form_and_no_other_does() {
        for (word, removal) in Removal::ALL {
            assert_eq!(removal.as_str(), *word);
            assert_eq!(Removal::parse(word), Some(*removal));
            let json = format!("{word:?}");
            assert_eq!(serde_json::to_string(removal).unwrap(), json);
            assert_eq!(serde_json::from_str::<Removal>(&json).unwrap(), *removal);
        }
        assert_eq!(Removal::parse("Prune"), None);
        assert!(serde_json::from_str::<Removal>("\"keep\"").is_err());
    }
}
