//! Why a file did not open, in the language of the window.

use crate::io::error::{LoadError, Problem};
use rust_i18n::t;

/// The file, the problem and the remedy.
pub fn load_error(error: &LoadError) -> String {
    format!("{}: {}", error.path.display(), problem(&error.problem, &rust_i18n::locale()))
}

/// The problem and its remedy in a language.
fn problem(problem: &Problem, locale: &str) -> String {
    match problem {
        Problem::Unreadable(kind) => t!("problem.unreadable", locale = locale, kind = kind),
        Problem::Missing => t!("problem.missing", locale = locale),
        Problem::NotAFile => t!("problem.not_a_file", locale = locale),
        Problem::Empty => t!("problem.empty", locale = locale),
        Problem::Folder => t!("problem.folder", locale = locale),
        Problem::FolderWithoutImages => t!("problem.folder_without_images", locale = locale),
        Problem::NotAnImage => t!("problem.not_an_image", locale = locale),
        Problem::FileTooLarge { limit_bytes } => {
            t!("problem.file_too_large", locale = locale, mib = limit_bytes >> 20)
        }
        Problem::TooSmall { width, height } => {
            t!("problem.too_small", locale = locale, width = width, height = height)
        }
        Problem::TooLarge { width, height } => {
            t!("problem.too_large", locale = locale, width = width, height = height)
        }
        Problem::StackTooLarge => t!("problem.stack_too_large", locale = locale),
        Problem::VolumeTooLarge { limit_bytes } => {
            t!("problem.volume_too_large", locale = locale, mib = limit_bytes >> 20)
        }
        Problem::NoPixels => t!("problem.no_pixels", locale = locale),
        Problem::IsSegmentation => t!("problem.is_segmentation", locale = locale),
        Problem::EmptyDirectory => t!("problem.empty_directory", locale = locale),
        Problem::UnsupportedSyntax(syntax) => t!("problem.unsupported_syntax", locale = locale, syntax = syntax),
        Problem::NoImageBeside => t!("problem.no_image_beside", locale = locale),
        Problem::Slice(words) => words.into(),
        Problem::Truncated => t!("problem.truncated", locale = locale),
        Problem::Damaged(how) => t!("problem.damaged", locale = locale, how = how),
        Problem::Unsupported(what) => t!("problem.unsupported", locale = locale, what = what),
        Problem::Model => t!("problem.model", locale = locale),
        Problem::Outline => t!("problem.outline", locale = locale),
        Problem::TruthPlace => t!("problem.truth_place", locale = locale),
        Problem::TruthPages { pages, page } => {
            t!("problem.truth_pages", locale = locale, pages = pages, page = page)
        }
        Problem::TruthSize { found, wanted } => t!(
            "problem.truth_size",
            locale = locale,
            width = found.0,
            height = found.1,
            wanted_width = wanted.0,
            wanted_height = wanted.1
        ),
    }
    .into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The window's English is that of the command line, and its Spanish keeps every number and name.
    #[test]
    fn every_problem_is_told_in_both_languages() {
        let all = [
            Problem::Unreadable(std::io::ErrorKind::PermissionDenied),
            Problem::Missing,
            Problem::NotAFile,
            Problem::Empty,
            Problem::Folder,
            Problem::FolderWithoutImages,
            Problem::NotAnImage,
            Problem::FileTooLarge { limit_bytes: 1 << 30 },
            Problem::TooSmall { width: 7, height: 9 },
            Problem::TooLarge { width: 70_001, height: 90_001 },
            Problem::StackTooLarge,
            Problem::VolumeTooLarge { limit_bytes: 3 << 30 },
            Problem::NoPixels,
            Problem::IsSegmentation,
            Problem::EmptyDirectory,
            Problem::UnsupportedSyntax("1.2.3".into()),
            Problem::NoImageBeside,
            Problem::Truncated,
            Problem::Damaged("bad header".into()),
            Problem::Unsupported("floats".into()),
            Problem::Model,
            Problem::Outline,
            Problem::TruthPlace,
            Problem::TruthPages { pages: 3, page: 5 },
            Problem::TruthSize { found: (3, 4), wanted: (5, 6) },
        ];
        for one in &all {
            let (english, spanish) = (problem(one, "en"), problem(one, "es"));
            assert_eq!(english, one.to_string());
            assert!(spanish != english && !spanish.contains("problem.") && !spanish.contains("%{"), "{spanish}");
            let numbers = |text: &str| {
                let digits = text.split(|c: char| !c.is_ascii_digit()).filter(|part| !part.is_empty());
                digits.map(str::to_string).collect::<Vec<_>>()
            };
            assert_eq!(numbers(&english), numbers(&spanish), "{spanish}");
        }
    }
}
