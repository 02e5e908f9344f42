//! Functional groups of multi-frame files (PS3.3 C.7.6.16).

use super::values::{first_item, numbers, text};
use dicom_object::{InMemDicomObject, Tag};

/// Where a frame's attributes may stand: in its own functional group, in the shared one, or in the file itself (PS3.3
/// C.7.6.16).
pub struct Groups<'a> {
    pub object: &'a InMemDicomObject,
    pub shared: Option<&'a InMemDicomObject>,
    pub own: Option<&'a InMemDicomObject>,
}

impl Groups<'_> {
    /// The numbers of an attribute; empty when it stands nowhere.
    pub fn numbers(&self, group: Tag, tag: Tag) -> Vec<f64> {
        let found = self.items(group).map(|item| numbers(item, tag)).find(|values| !values.is_empty());
        found.unwrap_or_else(|| numbers(self.object, tag))
    }

    /// The text of an attribute that is not empty.
    pub fn text(&self, group: Tag, tag: Tag) -> Option<String> {
        self.items(group).find_map(|item| text(item, tag)).or_else(|| text(self.object, tag))
    }

    fn items(&self, group: Tag) -> impl Iterator<Item = &InMemDicomObject> {
        [self.own, self.shared].into_iter().flatten().filter_map(move |item| first_item(item, group))
    }
}
