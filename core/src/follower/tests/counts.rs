//! What random histories met, to see that they meet it.

/// How often what was met.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct Counts {
    pub(super) edits: usize,
    pub(super) applied: usize,
    pub(super) removed: usize,
    pub(super) forgotten: usize,
    pub(super) failed: usize,
    pub(super) crashed: usize,
    pub(super) refused: usize,
    pub(super) stale_answers: usize,
    pub(super) older: usize,
    pub(super) foreign: usize,
    pub(super) unopened: usize,
    pub(super) restored: usize,
    pub(super) lost_names: usize,
}

impl Counts {
    pub(super) fn add(&mut self, more: &Counts) {
        self.edits += more.edits;
        self.applied += more.applied;
        self.removed += more.removed;
        self.forgotten += more.forgotten;
        self.failed += more.failed;
        self.crashed += more.crashed;
        self.refused += more.refused;
        self.stale_answers += more.stale_answers;
        self.older += more.older;
        self.foreign += more.foreign;
        self.unopened += more.unopened;
        self.restored += more.restored;
        self.lost_names += more.lost_names;
    }
}
