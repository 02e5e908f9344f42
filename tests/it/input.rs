//! What a network is given: the sequence it was made for, intensities over the study, square pixels.

use crate::common;
use crate::common::{labelled_folder, nifti};
use lesionlens::domain::card::{InputSpec, Luminance, Resize, Scale, Sequence, Surroundings};
use lesionlens::domain::intensities::ChannelIntensities;
use lesionlens::domain::phantom::Phantom;
use lesionlens::domain::slice::{Channel, Depth, Slice, Spacing, SpacingSource};
use lesionlens::domain::study::{Neighbourhood, Place};
use lesionlens::domain::window::Window;
use lesionlens::io;
use lesionlens::models::preprocess::{network_input, squares};
use lesionlens::train::dataset::Dataset;
use lesionlens::train::recipe::{Layout, Recipe, Source};
use lesionlens::train::sources::{Division, Part};
use std::path::Path;
use std::sync::Arc;

const SIDE: usize = 64;

fn spec(sequence: Sequence, scale: Scale) -> InputSpec {
    InputSpec {
        side: SIDE,
        channels: 3,
        sequence,
        scale,
        resize: Resize::Fit,
        luminance: Luminance::Rec601,
        neighbours: false,
        mirrored: false,
        modality: String::new(),
    }
}

/// Three sequences as the LGG data set stores them: T1, FLAIR and T1 after contrast in red, green and blue.
fn three_sequences(folder: &Path, name: &str) -> Arc<Slice> {
    let pixel = |x: u32, y: u32| image::Rgb([(x * 2) as u8, (y * 3) as u8, (200 - x - y) as u8]);
    let path = folder.join(name);
    image::RgbImage::from_fn(SIDE as u32, SIDE as u32, pixel).save(&path).unwrap();
    io::load(&path).unwrap().slice(0).unwrap()
}

#[test]
fn a_network_is_given_the_sequence_that_its_card_names() {
    let folder = tempfile::tempdir().unwrap();
    let slice = three_sequences(folder.path(), "three.png");
    let seen = Neighbourhood::from(&slice);
    // The pixel at x = 20, y = 10.
    let at = |sequence: Sequence| -> [f32; 3] {
        let input = network_input(&seen, &spec(sequence, Scale::Unit));
        [0, 1, 2].map(|channel| (input[(10 * SIDE + 20) * 3 + channel] * 255.0).round())
    };
    assert_eq!(at(Sequence::T1), [40.0; 3]);
    assert_eq!(at(Sequence::Flair), [30.0; 3]);
    assert_eq!(at(Sequence::T1ce), [170.0; 3]);
    assert_eq!(at(Sequence::Any), [30.0; 3]);
    assert_eq!(at(Sequence::Three), [40.0, 30.0, 170.0]);
    // 0.299 · 40 + 0.587 · 30 + 0.114 · 170, rounded.
    assert_eq!(at(Sequence::Luminance), [49.0; 3]);
    // A picture of one sequence is repeated.
    let grey = slice.channel(Channel::Green).unwrap();
    let input = network_input(&Arc::new(grey).into(), &spec(Sequence::Three, Scale::Unit));
    assert!(input.chunks(3).all(|pixel| pixel[0] == pixel[1] && pixel[1] == pixel[2]));
}

#[test]
fn each_sequence_of_a_study_has_its_own_scale() {
    let folder = tempfile::tempdir().unwrap();
    let slice = three_sequences(folder.path(), "three.png");
    let study = ChannelIntensities::of(&[slice.clone(), slice.clone()]);
    let seen = Neighbourhood { study: Some(Arc::new(study)), ..Neighbourhood::from(&slice) };
    for (sequence, channel) in [(Sequence::T1, Channel::Red), (Sequence::T1ce, Channel::Blue)] {
        // The channel alone, as a grey picture that is its own study.
        let alone = Neighbourhood::from(Arc::new(slice.channel(channel).unwrap()));
        let found = squares(&seen, &spec(sequence, Scale::Head)).own;
        assert_eq!(found, squares(&alone, &spec(Sequence::Any, Scale::Head)).own);
    }
}

#[test]
fn the_display_window_does_not_change_what_a_network_sees() {
    let (head, _) = Phantom::example().draw();
    let values: Vec<f32> = head.values().into_iter().map(|v| v * 16.0).collect();
    let (width, height) = (head.width(), head.height());
    let of = |windows: Vec<Window>| {
        let slice = Slice::with_windows(width, height, values.clone(), Depth::Deep, windows).unwrap();
        squares(&Arc::new(slice).into(), &spec(Sequence::Any, Scale::Head)).own
    };
    let own = of(Vec::new());
    assert_eq!(own, of(vec![Window::from_range(3000.0, 3001.0)]));
    // The head fills a part of the range, so that it is no blank picture that agrees.
    assert!(own.iter().filter(|v| **v > 60.0).count() > 500);
}

/// A head of 1×1 mm pixels, and the same head with every second row left out, so that its pixels are 2 mm high.
#[test]
fn pixels_are_square_for_a_network() {
    let (head, _) = Phantom { side: 128, seed: 5, lesion: None }.draw();
    let spaced = |rows: Vec<f32>, height: usize, row_mm: f64| {
        let mut slice = Slice::new(128, height, rows, Depth::Eight).unwrap();
        slice.spacing = Spacing::new(row_mm, 1.0, SpacingSource::Nifti);
        squares(&Arc::new(slice).into(), &spec(Sequence::Any, Scale::Unit)).own
    };
    let values = head.values();
    let every_second: Vec<f32> = values.chunks(256).flat_map(|rows| rows[..128].to_vec()).collect();
    let (whole, half) = (spaced(values, 128, 1.0), spaced(every_second, 64, 2.0));
    let difference = whole.iter().zip(&half).map(|(a, b)| (a - b).abs()).sum::<f32>() / whole.len() as f32;
    assert!(difference < 6.0, "the pictures differ by {difference} of 255 on average");
}

/// Training sees of a volume what the program sees, slice by slice, on the scale of the whole volume.
#[test]
fn volumes_are_trained_on_as_they_are_looked_at() {
    let folder = tempfile::tempdir().unwrap();
    let at = |i: usize| (i % 32, i / 32 % 32, i / 1024);
    let is_head = |(x, y, _): (usize, usize, usize)| (6..26).contains(&x) && (6..26).contains(&y);
    let is_lesion = |(x, y, z): (usize, usize, usize)| (10..15).contains(&x) && (10..15).contains(&y) && z < 3;
    let grey = |i: usize| match at(i) {
        place if is_lesion(place) => 200,
        place if is_head(place) => 60 + (place.0 + place.1 + 4 * place.2) as u8,
        _ => 0,
    };
    for patient in ["a", "b", "c", "d"] {
        let within = folder.path().join("volumes").join(patient);
        std::fs::create_dir_all(&within).unwrap();
        let voxels: Vec<u8> = (0..32 * 32 * 8).map(grey).collect();
        let mask: Vec<u8> = (0..32 * 32 * 8).map(|i| u8::from(is_lesion(at(i)))).collect();
        std::fs::write(within.join("flair.nii"), nifti([32, 32, 8, 1], 2, &voxels, |_| {})).unwrap();
        std::fs::write(within.join("flair_mask.nii"), nifti([32, 32, 8, 1], 2, &mask, |_| {})).unwrap();
    }
    let mut recipe = Recipe::read(&Path::new(env!("CARGO_MANIFEST_DIR")).join("recipes/lgg-resunet.toml")).unwrap();
    recipe.input = spec(Sequence::Any, Scale::Head);
    recipe.input.neighbours = true;
    (recipe.split.validation, recipe.split.test) = (0.25, 0.25);
    recipe.sources = vec![Source { folder: "volumes".into(), layout: Layout::Volumes, ..Source::default() }];
    let out = folder.path().join("out");
    std::fs::create_dir_all(&out).unwrap();
    let set = Dataset::open(folder.path(), &recipe, Division::Shares, &out, &mut |_, _| {}).unwrap();
    assert_eq!(set.items.len(), 32);
    assert_eq!([Part::Train, Part::Validation, Part::Test].map(|part| set.part(part).len()), [16, 8, 8]);
    for (index, item) in set.items.iter().enumerate() {
        assert_eq!(item.outline.as_ref().map(|o| o.pixels), (item.page.index < 3).then_some(25));
        let study = io::load(&folder.path().join(&item.page.file)).unwrap();
        let picture = study.picture(Place { cut: study.native(), index: item.page.index });
        let wanted = squares(&picture.among(Surroundings::of([&recipe.input])).unwrap(), &recipe.input);
        let found = set.seen(index, &recipe.input, false).unwrap();
        let same =
            |grey: &[u8], wanted: &[f32]| grey.iter().zip(wanted).all(|(a, b)| (f32::from(*a) - b).abs() <= 0.51);
        assert!(same(&found.picture.grey, &wanted.own), "slice {index}");
        for (found, wanted) in found.beside.iter().zip(&wanted.beside) {
            assert_eq!(found.is_some(), wanted.is_some());
            assert!(found.iter().zip(wanted).all(|(found, wanted)| same(&found.grey, wanted)), "beside slice {index}");
        }
    }
}

/// The LGG data as they are published: JPEG pictures whose outlines are PNG files of the same stem.
#[test]
fn outlines_are_found_by_their_stem_whatever_their_ending() {
    let folder = tempfile::tempdir().unwrap();
    labelled_folder(folder.path(), SIDE, 4, 4);
    let list = folder.path().join("slices.csv");
    let text = std::fs::read_to_string(&list).unwrap().replace(".png", ".jpg");
    std::fs::write(&list, text).unwrap();
    for file in std::fs::read_dir(folder.path().join("images")).unwrap() {
        let path = file.unwrap().path();
        image::open(&path).unwrap().to_luma8().save(path.with_extension("jpg")).unwrap();
        std::fs::remove_file(path).unwrap();
    }
    let source = Source { layout: Layout::Slices, ..Source::default() };
    let found = lesionlens::train::folders::find(folder.path(), &source).unwrap();
    assert_eq!(found.len(), 16);
    let outlined: Vec<_> =
        found.iter().filter_map(|f| Some((&f.page.file, f.outline.as_ref()?.file.as_ref()?))).collect();
    assert_eq!(outlined.len(), 8);
    for (picture, mask) in outlined {
        assert_eq!(picture.file_stem(), mask.file_stem());
        assert_eq!((picture.extension().unwrap(), mask.extension().unwrap()), ("jpg".as_ref(), "png".as_ref()));
    }
}

/// What was picked of a colour picture is said; of a grey picture nothing was picked.
#[test]
fn results_say_which_sequence_the_network_was_given() {
    let folder = tempfile::tempdir().unwrap();
    three_sequences(folder.path(), "three.png");
    common::phantom_png(&folder.path().join("grey.png"));
    // Drawn sequences are no heads.
    let args = ["predict", "three.png", "grey.png", "--ignore-gate", "--json", "-"];
    let output = common::lesionlens(folder.path(), &args);
    assert!(output.status.success(), "{}", common::text(&output.stderr));
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let said = [0, 1].map(|i| report["results"][i]["classifier"]["sequence"].clone());
    assert_eq!(said, [serde_json::Value::from("flair"), serde_json::Value::Null]);
}
