//! Labels, each a closed list of words.

use std::{fmt, hash::Hash};

use prometheus_client::encoding::{EncodeLabelSet, LabelSetEncoder};

/// A label: its name, and all values that it can have. Made by [`label!`](crate::label).
pub trait Label: Copy + fmt::Debug + Eq + Hash + Send + Sync + 'static {
    /// The label's name.
    const NAME: &'static str;
    /// All of its values.
    const ALL: &'static [Self];
    /// The word of a value.
    fn as_str(self) -> &'static str;
}

/// A value with its label's name, as a series carries it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Named<L>(pub(crate) L);

impl<L: Label> EncodeLabelSet for Named<L> {
    fn encode(&self, encoder: &mut LabelSetEncoder) -> Result<(), fmt::Error> {
        [(L::NAME, self.0.as_str())].encode(encoder)
    }
}

/// Declares a label: an enum whose variants each have a word.
///
/// `label! { /// Which. pub(crate) enum Color: "color" { Red = "red", Other = "other" } }`
#[macro_export]
macro_rules! label {
    ($(#[$meta:meta])* $vis:vis enum $name:ident: $label:literal {
        $($(#[$inner:meta])* $variant:ident = $word:literal),* $(,)?
    }) => {
        $(#[$meta])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        $vis enum $name { $($(#[$inner])* $variant),* }

        impl $crate::Label for $name {
            const NAME: &'static str = $label;
            const ALL: &'static [Self] = &[$(Self::$variant),*];
            fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $word),* }
            }
        }

        impl $name {
            /// The value of a word, if it is one of the list.
            #[allow(dead_code, reason = "not every label is read back")]
            $vis fn of(word: &str) -> Option<Self> {
                <Self as $crate::Label>::ALL
                    .iter()
                    .copied()
                    .find(|one| $crate::Label::as_str(*one) == word)
            }
        }
    };
}
