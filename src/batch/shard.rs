//! Division of studies among machines that need not know of each other.

use crate::io::paths::Source;
use sha2::{Digest, Sha256};
use std::collections::HashMap;
use std::path::{MAIN_SEPARATOR, Path, PathBuf};
use std::str::FromStr;

/// One of several parts of a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shard {
    /// From 0.
    pub index: u64,
    pub count: u64,
}

impl Shard {
    /// The part that is everything.
    pub const WHOLE: Self = Self { index: 0, count: 1 };

    /// Whether a study belongs to this part.
    pub fn has(self, study: &StudyKey) -> bool {
        study.0 % self.count == self.index
    }
}

/// I/N with I from 0 to N − 1. N/N is 0/N, for those who count from 1.
impl FromStr for Shard {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let numbers = text.split_once('/').and_then(|(i, n)| Some((i.parse::<u64>().ok()?, n.parse::<u64>().ok()?)));
        match numbers {
            Some((index, count)) if count > 0 && index <= count => Ok(Self { index: index % count, count }),
            _ => Err("must be I/N, such as 0/4, with I from 0 to N − 1".into()),
        }
    }
}

/// What a study is known by on every machine: a hash of its first file's place below the folder that was named, wherever that folder is
/// mounted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct StudyKey(u64);

impl StudyKey {
    /// Stands where a line is about no study.
    pub const NONE: Self = Self(0);

    fn of(place: &str) -> Self {
        let digest = Sha256::digest(place);
        Self(digest.iter().take(8).fold(0, |number, byte| number << 8 | u64::from(*byte)))
    }

    /// 16 hex digits.
    pub fn hex(self) -> String {
        format!("{:016x}", self.0)
    }
}

/// A key for each source, in order. `paths` are what the user named.
pub fn keys(sources: &[Source], paths: &[PathBuf]) -> Vec<StudyKey> {
    let mut seen: HashMap<String, usize> = HashMap::new();
    let key = |source: &Source| {
        let place = source.paths().first().map(|file| below(file, paths)).unwrap_or_default();
        let before = seen.entry(place.clone()).or_default();
        *before += 1;
        // Two folders may hold files of one name.
        StudyKey::of(&if *before == 1 { place } else { format!("{place}#{before}") })
    };
    sources.iter().map(key).collect()
}

/// The part of a file's path below the folder that was named, with slashes; its name where it was named itself.
fn below(file: &Path, paths: &[PathBuf]) -> String {
    let inside =
        paths.iter().find_map(|path| file.strip_prefix(path).ok()).filter(|rest| rest.components().count() > 0);
    let inside = inside.or(file.file_name().map(Path::new)).unwrap_or(file);
    inside.to_string_lossy().replace(MAIN_SEPARATOR, "/")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_counted_from_0_or_from_1() {
        assert_eq!("0/4".parse(), Ok(Shard { index: 0, count: 4 }));
        assert_eq!("4/4".parse(), Ok(Shard { index: 0, count: 4 }));
        for wrong in ["5/4", "0/0", "1", "a/b", "-1/2", "1/2/3"] {
            assert!(wrong.parse::<Shard>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn every_study_is_in_one_part_wherever_its_folder_is_mounted() {
        let sources = |root: &str| -> Vec<Source> {
            (0..200).map(|i| Source::File(Path::new(root).join(format!("p{i}/a.png")))).collect()
        };
        let here = keys(&sources("/data"), &["/data".into()]);
        assert_eq!(here, keys(&sources("/mnt/else"), &["/mnt/else".into()]));
        let in_parts = |key: &StudyKey| (0..3).filter(|index| Shard { index: *index, count: 3 }.has(key)).count();
        assert!(here.iter().all(|key| in_parts(key) == 1));
        let first = here.iter().filter(|key| Shard { index: 0, count: 3 }.has(key)).count();
        assert!((40..=95).contains(&first), "{first} of 200 in a third");
        // sha256 of "p0/a.png", by another program.
        assert_eq!(here[0].hex(), "12257ddf4246c5a8");
    }

    #[test]
    fn equal_names_of_two_folders_are_two_studies() {
        let sources = [Source::File("/a/x.png".into()), Source::File("/b/x.png".into())];
        let keys = keys(&sources, &["/a".into(), "/b".into()]);
        assert_ne!(keys[0], keys[1]);
    }
}
