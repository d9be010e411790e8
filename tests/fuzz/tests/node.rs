//! Whole histories of a small cluster: whatever may come to `Node::handle`, in any order.

use sleep_fuzz::history::happen;
use sleep_fuzz::target;

target!(
    /// Real cores, and members that say whatever the bytes say.
    histories, 1_500, Vec::new(), happen
);
