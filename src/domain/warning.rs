//! What the reader should know before trusting what is shown.

/// Something the reader should know before trusting what is shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Warning {
    /// The camera's orientation note was applied.
    Rotated,
    /// The camera's orientation note asks for a mirror image, which was *not* applied: left and right stay as stored.
    MirrorIgnored,
    /// Colour became grey (BT.601 luminance).
    ColourToGrey,
    /// Transparent parts were laid on black.
    Transparency,
    /// At most four different grey values: an outline or a blank, hardly a scan.
    FewGreys,
    /// The truth mask could not be used, and why.
    TruthUnusable(String),
    /// Nothing says how the picture lies in the patient; left and right are as stored.
    OrientationUnknown,
    /// Not every slice says where it lies: they are in the order of their numbers.
    OrderUnknown,
    /// Not every slice says where it lies: they are in the order of their SliceLocation (DICOM (0020,1041)).
    OrderByLocation,
    /// Frames of one file do not say where they lie: they are in the order in which the file holds them.
    OrderAsStored,
    /// Distances between neighbouring slices differ; the largest in hundredths of a mm.
    Gaps { largest_mm: u32 },
    /// Several slices lie in one place.
    Duplicates(usize),
    /// Files that are there twice were left out.
    CopiesLeftOut(usize),
    /// Slices of other orientations, sizes or pixel sizes were left out.
    MixedOrientations(usize),
    /// Files that could not be read were left out.
    LeftOut(usize),
    /// Two statements about the geometry contradict each other; the first was used.
    Contradiction(&'static str),
    /// Points in time that were not looked at.
    FurtherTimes(usize),
    /// Pixel sizes come from the detector, not the patient (DICOM ImagerPixelSpacing): mm are a little too large.
    DetectorSpacing,
    /// A window of the file leaves almost no shades, or cannot be one; it is not offered.
    WindowUnusable,
}

impl Warning {
    /// Stable name for machine-readable output.
    pub fn code(&self) -> String {
        match self {
            Warning::Rotated => "rotated-by-exif".into(),
            Warning::MirrorIgnored => "exif-mirror-ignored".into(),
            Warning::ColourToGrey => "colour-to-grey".into(),
            Warning::Transparency => "transparency-on-black".into(),
            Warning::FewGreys => "few-grey-values".into(),
            Warning::TruthUnusable(why) => format!("truth-unusable: {why}"),
            Warning::OrientationUnknown => "orientation-unknown".into(),
            Warning::OrderUnknown => "order-by-number".into(),
            Warning::OrderByLocation => "order-by-slice-location".into(),
            Warning::OrderAsStored => "order-as-stored".into(),
            Warning::Gaps { largest_mm } => format!("uneven-slice-distances: up to {:.2} mm", mm(*largest_mm)),
            Warning::Duplicates(n) => format!("slices-in-one-place: {n}"),
            Warning::CopiesLeftOut(n) => format!("copies-left-out: {n}"),
            Warning::MixedOrientations(n) => format!("unlike-slices-left-out: {n}"),
            Warning::LeftOut(n) => format!("unreadable-files-left-out: {n}"),
            Warning::Contradiction(what) => format!("contradicting-geometry: {what}"),
            Warning::FurtherTimes(n) => format!("further-times-not-looked-at: {n}"),
            Warning::DetectorSpacing => "spacing-at-detector".into(),
            Warning::WindowUnusable => "window-without-greys".into(),
        }
    }
}

/// From hundredths of a mm.
pub fn mm(hundredths: u32) -> f64 {
    f64::from(hundredths) / 100.0
}
