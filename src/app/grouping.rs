//! Splitting a study into its pictures and joining pictures to a study, by hand.

use super::App;
use super::entry::{Entry, EntryId};
use crate::domain::study::Grouping;
use crate::io::grouping::Pattern;
use crate::io::paths::{Source, natural};
use rust_i18n::t;
use std::path::PathBuf;

impl App {
    /// Opens each picture of the selected study as a study of its own.
    pub(super) fn split(&mut self) {
        let Some(entry) = self.session.selected().filter(|entry| is_of_pictures(entry) && entry.count() > 1) else {
            self.notifications.info(t!("grouping.nothing_to_split"));
            return;
        };
        let sources = entry.study.files.iter().cloned().map(Source::File).collect();
        self.regroup(vec![entry.id], sources);
    }

    /// Opens all open pictures that are named like those of the selected study as one study.
    pub(super) fn join(&mut self) {
        let pattern = |entry: &Entry| {
            let slice = &entry.shown.slice;
            let file = entry.study.files.first().filter(|_| is_of_pictures(entry))?;
            Pattern::named(file, (slice.width() as u32, slice.height() as u32))
        };
        let wanted = self.session.selected().and_then(pattern);
        let alike = self.session.list().filter(|entry| wanted.is_some() && pattern(entry) == wanted);
        let (ids, files): (Vec<_>, Vec<&[PathBuf]>) = alike.map(|e| (e.id, e.study.files.as_slice())).unzip();
        if ids.len() < 2 {
            self.notifications.info(t!("grouping.nothing_to_join"));
            return;
        }
        let mut files = files.concat();
        files.sort_by(|a, b| natural(&a.to_string_lossy(), &b.to_string_lossy()));
        files.dedup();
        self.regroup(ids, vec![Source::Slices { files, grouping: Grouping::Hand }]);
    }

    /// Puts studies in the place of others; their slices are asked about anew, since they have other neighbours now.
    fn regroup(&mut self, old: Vec<EntryId>, sources: Vec<Source>) {
        self.opener.open_sources(sources);
        self.session.remove(&old);
        self.session.paused = false;
        self.show_next = true;
    }
}

/// Whether a study is made of picture files, which can be grouped otherwise.
fn is_of_pictures(entry: &Entry) -> bool {
    match entry.study.grouping {
        Grouping::Single => entry.study.subject.modality.is_none(),
        Grouping::Name | Grouping::Alike | Grouping::Hand => true,
        Grouping::Pages | Grouping::Volume | Grouping::Series => false,
    }
}
