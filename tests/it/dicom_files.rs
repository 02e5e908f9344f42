//! DICOM files as users have them: badly written, mixed, without what the standard asks for.

use crate::common::dicom;
use dicom_core::value::DataSetSequence;
use dicom_core::{DataElement, PrimitiveValue, VR};
use dicom_dictionary_std::tags;
use dicom_object::{InMemDicomObject, Tag};
use lesionlens::domain::study::{Cut, Place, Study, Warning};
use lesionlens::domain::window::{Ramp, Window};
use lesionlens::io::paths::expand;
use lesionlens::io::{load, open};
use std::path::Path;

const AXIAL: &str = "1\\0\\0\\0\\1\\0";

/// 16×16 pixels, all of one value.
fn flat(value: u16) -> Vec<u16> {
    vec![value; 256]
}

/// 16×16 pixels from 0 to 255.
fn ramp() -> Vec<u16> {
    (0..256).collect()
}

fn number(o: &mut InMemDicomObject, tag: Tag, value: u16) {
    o.put(DataElement::new(tag, VR::US, PrimitiveValue::from(value)));
}

fn sequence(o: &mut InMemDicomObject, tag: Tag, items: Vec<InMemDicomObject>) {
    o.put(DataElement::new(tag, VR::SQ, DataSetSequence::from(items)));
}

/// Everything in a folder, study by study.
fn studies(folder: &Path) -> Vec<Study> {
    let found = expand(&[folder.to_path_buf()], &|| false);
    assert!(found.errors.is_empty(), "{:?}", found.errors);
    found.sources.into_iter().map(|source| open(source).unwrap()).collect()
}

fn greys(study: &Study, time: usize) -> Vec<f32> {
    let cut = Cut { time, ..study.native() };
    let value = |index| study.frames.slice(Place { cut, index }).unwrap().value(3, 3).unwrap();
    (0..study.count()).map(value).collect()
}

/// One picture from 0 to 255, changed.
fn single(change: impl FnOnce(&mut InMemDicomObject)) -> Study {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.dcm");
    dicom::write(&path, 16, &ramp(), change);
    let study = load(&path).unwrap();
    // Slices are read when they are asked for: while the file is there.
    study.slice(0).unwrap();
    study
}

#[test]
fn the_headers_own_words_name_the_sequence() {
    use lesionlens::domain::acquisition::Weighting;
    let told = |change: fn(&mut InMemDicomObject)| single(change).subject.acquisition.weighting;
    let described = told(|o| {
        dicom::put(o, tags::SERIES_DESCRIPTION, VR::LO, "Sag T1 SE");
        dicom::put(o, tags::CONTRAST_BOLUS_AGENT, VR::LO, "Gadovist");
    });
    assert_eq!(described, Some(Weighting::T1ce));
    let timed = told(|o| {
        dicom::put(o, tags::REPETITION_TIME, VR::DS, "9000");
        dicom::put(o, tags::ECHO_TIME, VR::DS, "119");
        dicom::put(o, tags::INVERSION_TIME, VR::DS, "2500");
    });
    assert_eq!(timed, Some(Weighting::Flair));
    let other = told(|o| {
        dicom::put(o, tags::MODALITY, VR::CS, "CT");
        dicom::put(o, tags::SERIES_DESCRIPTION, VR::LO, "HEAD POST T1 LEVEL");
    });
    assert_eq!(other, None, "words of an MR header only");
}

#[test]
fn a_window_that_shows_nothing_is_dropped_and_told() {
    let with = |centre: &str, width: &str, slope: &str| {
        let study = single(|o| {
            dicom::put(o, tags::WINDOW_CENTER, VR::DS, centre);
            dicom::put(o, tags::WINDOW_WIDTH, VR::DS, width);
            dicom::put(o, tags::RESCALE_SLOPE, VR::DS, slope);
        });
        let window = study.slice(0).unwrap().default_window();
        (window, study.warnings.contains(&Warning::WindowUnusable))
    };
    let all = Window::from_range(0.0, 255.0);
    assert_eq!(with("128", "257", "1"), (Window { centre: 127.5, ..Window::from_range(0.0, 256.0) }, false));
    assert_eq!(with("100", "0", "1"), (all, true));
    assert_eq!(with("100", "-80", "1"), (all, true));
    assert_eq!(with("9000", "400", "1"), (all, true), "beside the values");
    assert_eq!(with("32768", "65536", "1"), (all, true), "one of 256 shades");
    assert_eq!(with("wide", "open", "1"), (all, true));
    // A step is what the standard makes of a width of one.
    assert_eq!(with("100", "1", "1"), (Window { centre: 99.5, width: 1e-3, ramp: Ramp::Linear }, false));
    // Fractions are no place for the standard's halves of a grey value.
    let fractions = with("0.1", "0.2", "0.001").0;
    assert!((fractions.centre - 0.1).abs() < 1e-6 && (fractions.width - 0.2).abs() < 1e-6, "{fractions:?}");
}

#[test]
fn a_sigmoid_is_shown_as_one() {
    let study = single(|o| {
        dicom::put(o, tags::WINDOW_CENTER, VR::DS, "100");
        dicom::put(o, tags::WINDOW_WIDTH, VR::DS, "80");
        dicom::put(o, tags::VOILUT_FUNCTION, VR::CS, "SIGMOID");
    });
    let slice = study.slice(0).unwrap();
    assert_eq!(slice.default_window(), Window { centre: 100.0, width: 80.0, ramp: Ramp::Sigmoid });
    // 255 / (1 + exp(−4 · 20 / 80)) at 120.
    assert!((slice.grey()[120] - 186.42).abs() < 0.01, "{}", slice.grey()[120]);
}

#[test]
fn padding_takes_no_part_of_the_grey_scale() {
    let signed = |o: &mut InMemDicomObject| {
        let mut pixels: Vec<u16> = (0..256).map(|i| 100 + i).collect();
        pixels[..32].fill(-2000i16 as u16);
        o.put(DataElement::new(tags::PIXEL_DATA, VR::OW, PrimitiveValue::U16(pixels.into_iter().collect())));
        number(o, tags::PIXEL_REPRESENTATION, 1);
    };
    let plain = single(signed).slice(0).unwrap();
    assert_eq!(plain.range().0, -2000.0);
    // The value may be written as if it had no sign.
    for value in [PrimitiveValue::from(-2000i16), PrimitiveValue::from(-2000i16 as u16)] {
        let study = single(|o| {
            signed(o);
            o.put(DataElement::new(tags::PIXEL_PADDING_VALUE, VR::SS, value));
        });
        let slice = study.slice(0).unwrap();
        assert_eq!((slice.range(), slice.default_window()), ((132.0, 355.0), Window::from_range(132.0, 355.0)));
    }
    // A range of values, up to its limit.
    let ranged = single(|o| {
        number(o, tags::PIXEL_PADDING_VALUE, 200);
        number(o, tags::PIXEL_PADDING_RANGE_LIMIT, 255);
    });
    assert_eq!(ranged.slice(0).unwrap().range(), (0.0, 199.0));
    // Between other values, padding squeezes nothing.
    let inner = single(|o| number(o, tags::PIXEL_PADDING_VALUE, 100)).slice(0).unwrap();
    assert_eq!(inner.values()[100], 100.0);
}

#[test]
fn a_series_without_windows_has_one_for_all_its_slices() {
    let folder = tempfile::tempdir().unwrap();
    for z in 0..4u16 {
        let pixels: Vec<u16> = ramp().iter().map(|v| v / (z + 1)).collect();
        dicom::write(&folder.path().join(format!("{z}.dcm")), 16, &pixels, |o| {
            dicom::place(o, AXIAL, &format!("0\\0\\{z}"), "1\\1");
        });
    }
    let [study] = studies(folder.path()).try_into().unwrap();
    for index in 0..4 {
        let window = study.slice(index).unwrap().default_window();
        assert!((window.width - 254.5).abs() < 1.0, "slice {index}: {window:?}");
    }
}

/// Two slices for every `part`, whose attributes `put` sets; the parts' files alternate.
fn parts(names: &[&str], put: impl Fn(&mut InMemDicomObject, &str)) -> Vec<Study> {
    let folder = tempfile::tempdir().unwrap();
    for z in 0..2u16 {
        for (at, name) in names.iter().enumerate() {
            let value = 100 * (at as u16 + 1) + z;
            // Numbers of the files and of the pictures are of no help.
            let file = format!("{}.dcm", (at * 7 + usize::from(z) * 3) % 5 + 10 * at);
            dicom::write(&folder.path().join(file), 16, &flat(value), |o| {
                dicom::place(o, AXIAL, &format!("0\\0\\{}", 5 * z), "1\\1");
                dicom::put(o, tags::INSTANCE_NUMBER, VR::IS, &((at as u16 + z) % 2).to_string());
                put(o, name);
            });
        }
    }
    let studies = studies(folder.path());
    for study in &studies {
        (0..study.frames.times()).for_each(|time| _ = greys(study, time));
    }
    studies
}

#[test]
fn patients_examinations_and_frames_of_reference_are_never_mixed() {
    for tag in [tags::PATIENT_ID, tags::STUDY_INSTANCE_UID, tags::FRAME_OF_REFERENCE_UID] {
        let studies = parts(&["1.2.1", "1.2.2"], |o, name| dicom::put(o, tag, VR::UI, name));
        let seen: Vec<_> = studies.iter().map(|s| (s.frames.times(), greys(s, 0))).collect();
        assert_eq!(seen, [(1, vec![100.0, 101.0]), (1, vec![200.0, 201.0])], "{tag}");
    }
}

#[test]
fn echoes_diffusion_and_phase_are_volumes_of_their_own() {
    let b_value = |o: &mut InMemDicomObject, value: &str| {
        o.put(DataElement::new(tags::DIFFUSION_B_VALUE, VR::FD, PrimitiveValue::from(value.parse::<f64>().unwrap())));
    };
    for studies in [
        parts(&["10.5", "84"], |o, echo| dicom::put(o, tags::ECHO_TIME, VR::DS, echo)),
        parts(&["0", "1000"], b_value),
        parts(&["M", "P"], |o, kind| {
            dicom::put(o, tags::IMAGE_TYPE, VR::CS, &format!("ORIGINAL\\PRIMARY\\{kind}\\ND"))
        }),
        parts(&["1", "2"], |o, time| dicom::put(o, tags::TEMPORAL_POSITION_IDENTIFIER, VR::IS, time)),
    ] {
        let [study] = studies.try_into().unwrap();
        assert_eq!((study.frames.times(), study.warnings.as_slice()), (2, [].as_slice()));
        assert_eq!([greys(&study, 0), greys(&study, 1)], [[100.0, 101.0], [200.0, 201.0]]);
    }
}

/// A multi-frame file whose frames lie in no order: dimension indices and positions say which is which.
#[test]
fn frames_of_a_file_are_dealt_by_their_dimensions() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.dcm");
    // Echo and place of each frame.
    let frames = [(2u32, 1u32), (1, 2), (1, 1), (2, 2)];
    let pixels: Vec<u16> = frames.iter().flat_map(|(echo, place)| flat((100 * echo + place) as u16)).collect();
    dicom::write(&path, 16, &pixels, |o| {
        number(o, tags::ROWS, 16);
        dicom::put(o, tags::NUMBER_OF_FRAMES, VR::IS, "4");
        let pointer = |tag: Tag| {
            InMemDicomObject::from_element_iter([DataElement::new(
                tags::DIMENSION_INDEX_POINTER,
                VR::AT,
                PrimitiveValue::from(tag),
            )])
        };
        let dimensions = [tags::EFFECTIVE_ECHO_TIME, tags::IN_STACK_POSITION_NUMBER].map(pointer);
        sequence(o, tags::DIMENSION_INDEX_SEQUENCE, dimensions.to_vec());
        let groups = frames.map(|(echo, place)| {
            let mut content = InMemDicomObject::new_empty();
            let indices = PrimitiveValue::U32([echo, place].into_iter().collect());
            content.put(DataElement::new(tags::DIMENSION_INDEX_VALUES, VR::UL, indices));
            let mut position = InMemDicomObject::new_empty();
            dicom::put(&mut position, tags::IMAGE_POSITION_PATIENT, VR::DS, &format!("0\\0\\{}", 5 * place));
            let mut group = InMemDicomObject::new_empty();
            sequence(&mut group, tags::FRAME_CONTENT_SEQUENCE, vec![content]);
            sequence(&mut group, tags::PLANE_POSITION_SEQUENCE, vec![position]);
            group
        });
        sequence(o, tags::PER_FRAME_FUNCTIONAL_GROUPS_SEQUENCE, groups.to_vec());
        dicom::put(o, tags::IMAGE_ORIENTATION_PATIENT, VR::DS, AXIAL);
        dicom::put(o, tags::PIXEL_SPACING, VR::DS, "1\\1");
    });
    let study = load(&path).unwrap();
    assert_eq!((study.frames.times(), study.warnings.as_slice()), (2, [].as_slice()));
    assert_eq!([greys(&study, 0), greys(&study, 1)], [[101.0, 102.0], [201.0, 202.0]]);
    let first = study.frames.origin(Place { cut: study.native(), index: 0 }).unwrap();
    assert_eq!(first.frame, 2, "the frame's number in its file");
}

#[test]
fn other_orientations_and_sizes_are_studies_of_their_own() {
    // A localizer, and left and right exchanged: never slices of one box.
    let planes = [AXIAL, "0\\1\\0\\0\\0\\-1", "1\\0\\0\\0\\0\\-1", "-1\\0\\0\\0\\1\\0"];
    let studies = parts(&planes, |o, plane| dicom::put(o, tags::IMAGE_ORIENTATION_PATIENT, VR::DS, plane));
    let mut seen: Vec<_> =
        studies.iter().map(|s| (s.slice(0).unwrap().orientation.unwrap().plane().id(), s.count())).collect();
    seen.sort_unstable();
    assert_eq!(seen, [("axial", 2), ("axial", 2), ("coronal", 2), ("sagittal", 2)]);
    let left_out = |study: &Study| study.warnings.iter().any(|w| matches!(w, Warning::MixedOrientations(_)));
    assert!(!studies.iter().any(left_out));
    let studies = parts(&["1\\1", "3\\3"], |o, spacing| dicom::put(o, tags::PIXEL_SPACING, VR::DS, spacing));
    assert_eq!(studies.iter().map(Study::count).collect::<Vec<_>>(), [2, 2], "another pixel size");
}

#[test]
fn equal_numbers_do_not_make_copies() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    for z in 0..3u16 {
        dicom::write(&at(&format!("{z}.dcm")), 16, &flat(z), |o| {
            dicom::place(o, AXIAL, &format!("0\\0\\{z}"), "1\\1");
            dicom::put(o, tags::SOP_INSTANCE_UID, VR::UI, "1.2.3.9");
        });
    }
    std::fs::copy(at("1.dcm"), at("copy.dcm")).unwrap();
    let [study] = studies(folder.path()).try_into().unwrap();
    assert_eq!((greys(&study, 0), study.warnings), (vec![0.0, 1.0, 2.0], vec![Warning::CopiesLeftOut(1)]));
}

#[test]
fn files_that_lack_a_series_number_or_have_one_each_are_joined() {
    let labelled = |number: &'static str| {
        parts(&["a", "b"], move |o, name| {
            o.remove_element(tags::SERIES_INSTANCE_UID);
            if !number.is_empty() {
                let own = format!("1.2.{}.{}", o.get(tags::INSTANCE_NUMBER).unwrap().to_str().unwrap(), name.len());
                let place = o.get(tags::IMAGE_POSITION_PATIENT).unwrap().to_str().unwrap().replace('\\', ".");
                dicom::put(o, tags::SERIES_INSTANCE_UID, VR::UI, &format!("{own}.{place}.{}", name.as_bytes()[0]));
            }
            dicom::put(o, tags::SERIES_NUMBER, VR::IS, "4");
            dicom::put(o, tags::SERIES_DESCRIPTION, VR::LO, "FLAIR");
        })
    };
    for studies in [labelled(""), labelled("own")] {
        let [study] = studies.try_into().unwrap();
        assert_eq!((study.count(), study.frames.times()), (2, 2));
    }
}

#[test]
fn numbers_are_read_as_their_writers_meant_them() {
    let black = single(|o| dicom::put(o, tags::RESCALE_SLOPE, VR::DS, "0"));
    assert_eq!(black.slice(0).unwrap().range(), (0.0, 255.0));
    let commas = single(|o| {
        dicom::put(o, tags::PIXEL_SPACING, VR::DS, "0,5\\0,75");
        dicom::put(o, tags::WINDOW_CENTER, VR::DS, "100,5");
        dicom::put(o, tags::WINDOW_WIDTH, VR::DS, "81,0");
    });
    let slice = commas.slice(0).unwrap();
    assert_eq!((slice.default_window().centre, slice.default_window().width), (100.0, 80.0));
    let spacing = |study: &Study| study.slice(0).unwrap().spacing.map(|s| (s.row_mm, s.column_mm));
    assert_eq!(spacing(&commas), Some((0.5, 0.75)));
    assert_eq!(spacing(&single(|o| dicom::put(o, tags::PIXEL_SPACING, VR::UT, "0.5\\0.75"))), Some((0.5, 0.75)));
}

#[test]
fn attributes_that_are_missing_are_filled_in_where_they_are_plain() {
    for missing in [
        tags::PIXEL_REPRESENTATION,
        tags::HIGH_BIT,
        tags::BITS_STORED,
        tags::BITS_ALLOCATED,
        tags::PHOTOMETRIC_INTERPRETATION,
        tags::SAMPLES_PER_PIXEL,
    ] {
        let study = single(|o| _ = o.remove_element(missing));
        assert_eq!(study.slice(0).unwrap().range(), (0.0, 255.0), "{missing}");
    }
    let none = single(|o| dicom::put(o, tags::NUMBER_OF_FRAMES, VR::IS, "0"));
    assert_eq!(none.count(), 1);
}

#[test]
fn what_the_order_of_slices_goes_by_is_said() {
    let folder = tempfile::tempdir().unwrap();
    for (i, location) in ["12.5", "-2.5", "5"].iter().enumerate() {
        dicom::write(&folder.path().join(format!("{i}.dcm")), 16, &flat(i as u16), |o| {
            dicom::put(o, tags::SLICE_LOCATION, VR::DS, location);
        });
    }
    let [study] = studies(folder.path()).try_into().unwrap();
    assert_eq!(greys(&study, 0), [1.0, 2.0, 0.0]);
    assert!(study.warnings.contains(&Warning::OrderByLocation), "{:?}", study.warnings);
    // A file of several frames says where the first of them lies, at most.
    let frames = folder.path().join("frames.dcm");
    dicom::write(&frames, 16, &[flat(7), flat(8)].concat(), |o| {
        number(o, tags::ROWS, 16);
        dicom::put(o, tags::NUMBER_OF_FRAMES, VR::IS, "2");
        dicom::place(o, AXIAL, "0\\0\\0", "1\\1");
    });
    let study = load(&frames).unwrap();
    assert_eq!((greys(&study, 0), study.warnings), (vec![7.0, 8.0], vec![Warning::OrderAsStored]));
}

#[test]
fn palettes_give_their_colours() {
    let study = single(|o| {
        dicom::put(o, tags::PHOTOMETRIC_INTERPRETATION, VR::CS, "PALETTE COLOR");
        for (descriptor, data, colour) in [
            (tags::RED_PALETTE_COLOR_LOOKUP_TABLE_DESCRIPTOR, tags::RED_PALETTE_COLOR_LOOKUP_TABLE_DATA, 0),
            (tags::GREEN_PALETTE_COLOR_LOOKUP_TABLE_DESCRIPTOR, tags::GREEN_PALETTE_COLOR_LOOKUP_TABLE_DATA, 255 << 8),
            (tags::BLUE_PALETTE_COLOR_LOOKUP_TABLE_DESCRIPTOR, tags::BLUE_PALETTE_COLOR_LOOKUP_TABLE_DATA, 0),
        ] {
            // Two entries of 16 bits: black, and green from the second on.
            let form = PrimitiveValue::U16([2, 0, 16].into_iter().collect());
            o.put(DataElement::new(descriptor, VR::US, form));
            o.put(DataElement::new(data, VR::OW, PrimitiveValue::U16([0, colour].into_iter().collect())));
        }
    });
    let slice = study.slice(0).unwrap();
    // 0.587 · 254 or 255: the highest entry is 255 / 256 of all.
    assert_eq!(slice.values()[0], 0.0);
    assert!((slice.values()[5] - 149.0).abs() <= 1.0, "{}", slice.values()[5]);
    assert!(slice.warnings.contains(&Warning::ColourToGrey));
}

#[test]
fn luminance_is_the_first_of_shared_chroma() {
    let study = single(|o| {
        dicom::put(o, tags::PHOTOMETRIC_INTERPRETATION, VR::CS, "YBR_FULL_422");
        number(o, tags::SAMPLES_PER_PIXEL, 3);
        number(o, tags::BITS_ALLOCATED, 8);
        number(o, tags::BITS_STORED, 8);
        number(o, tags::HIGH_BIT, 7);
        let pairs = (0..128u8).flat_map(|i| [2 * i, 2 * i + 1, 128, 128]).collect();
        o.put(DataElement::new(tags::PIXEL_DATA, VR::OB, PrimitiveValue::U8(pairs)));
    });
    let wanted: Vec<f32> = (0..256).map(|i| i as f32).collect();
    assert_eq!(study.slice(0).unwrap().values(), wanted);
}
