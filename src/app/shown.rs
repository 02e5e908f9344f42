//! What the window holds of a study to show it: the slice on show and the thumbnail.

use crate::domain::mask::Mask;
use crate::domain::slice::Slice;
use crate::domain::study::Place;
use std::sync::Arc;

/// Side of a thumbnail in pixels.
pub const THUMBNAIL: usize = 96;

/// The slice on show.
pub struct Shown {
    pub place: Place,
    pub slice: Arc<Slice>,
    /// The same slice, or a smaller one for pictures too large to draw whole.
    pub display: Arc<Slice>,
    pub truth: Option<Arc<Mask>>,
    /// Why the outline beside it cannot be shown.
    pub truth_problem: Option<String>,
}

/// The first view of a study, made off the UI thread.
pub struct Prepared {
    pub shown: Shown,
    /// `THUMBNAIL`² grey values.
    pub thumbnail: Vec<u8>,
}
