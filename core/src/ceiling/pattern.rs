//! Names with an optional `*` at their end.

/// A name, or the beginning of names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Pattern {
    /// This name alone.
    Exact(String),
    /// All names that begin like this.
    Prefix(String),
}

impl Pattern {
    /// Reads a pattern. A `*` anywhere but at the end would be read by some as a wildcard, which it
    /// is not, so it is refused.
    pub fn parse(text: &str) -> Result<Pattern, String> {
        let (stem, is_prefix) = match text.strip_suffix('*') {
            Some(stem) => (stem, true),
            None => (text, false),
        };
        if text.is_empty() || stem.contains('*') {
            return Err(format!("{text:?} is no name with an optional * at its end"));
        }
        let stem = stem.to_owned();
        Ok(if is_prefix {
            Pattern::Prefix(stem)
        } else {
            Pattern::Exact(stem)
        })
    }

    /// Whether a name is meant.
    pub fn matches(&self, name: &str) -> bool {
        match self {
            Pattern::Exact(exact) => exact == name,
            Pattern::Prefix(prefix) => name.starts_with(prefix),
        }
    }
}

/// Whether any of them means the name.
pub(super) fn any(patterns: &[Pattern], name: &str) -> bool {
    patterns.iter().any(|pattern| pattern.matches(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_at_the_end_means_all_that_begin_alike_and_nowhere_else_anything() {
        let pattern = Pattern::parse("kube-*").unwrap();
        assert!(pattern.matches("kube-system") && pattern.matches("kube-"));
        assert!(!pattern.matches("kube") && !pattern.matches("my-kube-"));
        assert!(!Pattern::parse("kube").unwrap().matches("kube-system"));
        assert!(Pattern::parse("*").unwrap().matches("anything"));
        for wrong in ["", "*-system", "ku*be", "**"] {
            assert!(Pattern::parse(wrong).is_err(), "{wrong}");
        }
    }
}
