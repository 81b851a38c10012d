//! A row of the table of faults.

/// What came of a kind of fault.
#[derive(Default)]
pub(crate) struct Row {
    pub(crate) fault: String,
    /// How often it was done.
    pub(crate) injected: usize,
    /// How often it was noticed by those whose task that is.
    pub(crate) detected: usize,
    /// How often all was as the log says again.
    pub(crate) recovered: usize,
    /// Every promise that was broken.
    pub(crate) violations: Vec<String>,
    /// Figures for whoever reads the table.
    pub(crate) notes: String,
}

impl Row {
    pub(crate) fn of(fault: &str) -> Row {
        let fault = fault.to_owned();
        Row {
            fault,
            ..Row::default()
        }
    }

    /// Prints the row, and fails where a promise was broken or a fault had no end.
    pub(crate) fn end(self) {
        println!(
            "{} | {} | {} | {} | {}",
            self.fault,
            self.injected,
            self.detected,
            self.recovered,
            self.violations.len()
        );
        println!("    {}", self.notes);
        assert!(self.violations.is_empty(), "{:#?}", self.violations);
        assert!(self.injected > 0, "nothing was tried");
        assert_eq!(self.detected, self.injected, "a fault was not noticed");
        assert_eq!(self.recovered, self.injected, "a fault had no end");
    }
}
