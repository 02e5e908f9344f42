//! DICOM files as systems write them outside the standard: without a prefix, with unknown sequences, as lists of copied media, as mosaics.

use crate::common::dicom;
use dicom_core::{DataElement, PrimitiveValue, VR};
use dicom_dictionary_std::{tags, uids};
use dicom_object::{FileMetaTableBuilder, InMemDicomObject};
use lesionlens::domain::geometry::Plane;
use lesionlens::domain::study::{Cut, Place, Study};
use lesionlens::io::paths::expand;
use lesionlens::io::{load, looks_like_image, open};
use std::path::Path;

/// Where the data set of a file begins, and where its pixels do.
fn marks(bytes: &[u8]) -> (usize, usize) {
    let find = |needle: &[u8]| bytes.windows(needle.len()).position(|w| w == needle).unwrap();
    (find(b"\x08\0\x16\0UI"), find(b"\xE0\x7F\x10\0OW"))
}

fn opened(path: &Path) -> Vec<f32> {
    load(path).unwrap().slice(0).unwrap().values()
}

#[test]
fn files_without_prefix_or_first_group_are_opened() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a");
    let pixels: Vec<u16> = (0..256).collect();
    let wanted: Vec<f32> = (0..256).map(|v| v as f32).collect();
    dicom::write(&path, 16, &pixels, |_| {});
    let whole = std::fs::read(&path).unwrap();
    let (set, _) = marks(&whole);
    let object = dicom_object::open_file(&path).unwrap().into_inner();
    let mut implicit = Vec::new();
    let registry = dicom_transfer_syntax_registry::entries::IMPLICIT_VR_LITTLE_ENDIAN.erased();
    object.write_dataset_with_ts(&mut implicit, &registry).unwrap();
    for (bytes, what) in [
        (whole[132..].to_vec(), "no preamble"),
        (whole[set..].to_vec(), "the data set alone, explicit"),
        (implicit, "the data set alone, implicit"),
        ([&whole[..132], &whole[set..]].concat(), "no first group"),
    ] {
        std::fs::write(&path, bytes).unwrap();
        assert!(looks_like_image(&path), "{what}");
        assert_eq!(opened(&path), wanted, "{what}");
    }
}

/// PS3.5, 6.2.2: unknown sequences of undefined length are implicit inside, whatever surrounds them; some writers make them explicit.
#[test]
fn sequences_of_unknown_representation_are_read() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.dcm");
    dicom::write(&path, 16, &vec![9; 256], |_| {});
    let whole = std::fs::read(&path).unwrap();
    let (_, pixels) = marks(&whole);
    let unknown = b"\x29\0\x10\x10UN\0\0\xFF\xFF\xFF\xFF";
    let item =
        |length: u32, content: &[u8], end: &[u8]| [b"\xFE\xFF\0\xE0", &length.to_le_bytes()[..], content, end].concat();
    let (item_end, sequence_end) = (b"\xFE\xFF\x0D\xE0\0\0\0\0", b"\xFE\xFF\xDD\xE0\0\0\0\0");
    // SeriesDescription, and a sequence in it that is nested once more.
    let implicit = b"\x08\0\x3E\x10\x04\0\0\0HEAD";
    let nested = [&b"\x08\0\x40\x11\xFF\xFF\xFF\xFF"[..], &item(12, implicit, b""), sequence_end].concat();
    let explicit = b"\x08\0\x3E\x10LO\x04\0HEAD";
    for content in [
        item(12, implicit, b""),
        item(u32::MAX, implicit, item_end),
        item(u32::MAX, &nested, item_end),
        item(nested.len() as u32, &nested, b""),
        item(u32::MAX, explicit, item_end),
        Vec::new(),
    ] {
        let inserted = [&unknown[..], &content, sequence_end].concat();
        std::fs::write(&path, [&whole[..pixels], &inserted, &whole[pixels..]].concat()).unwrap();
        assert_eq!(opened(&path), vec![9.0; 256], "{content:?}");
        // Cut in its midst, the file is none.
        std::fs::write(&path, [&whole[..pixels], &inserted[..inserted.len() - 9]].concat()).unwrap();
        assert!(load(&path).and_then(|s| s.slice(0).map_err(|_| unreachable!())).is_err());
    }
}

/// A list as it stands on a medium, and the names that a copy may give to its files.
#[test]
fn a_copied_medium_is_found_whatever_became_of_its_names() {
    let listed = ["DICOM", "IM0001"];
    for (list, folder_name, file) in
        [("DICOMDIR", "DICOM", "IM0001"), ("dicomdir", "dicom", "im0001"), ("DICOMDIR;1", "DICOM", "IM0001.;1")]
    {
        let medium = tempfile::tempdir().unwrap();
        let folder = medium.path().join(folder_name);
        std::fs::create_dir(&folder).unwrap();
        dicom::write(&folder.join(file), 16, &vec![5; 256], |_| {});
        let mut record = InMemDicomObject::new_empty();
        let id = PrimitiveValue::Strs(listed.iter().map(ToString::to_string).collect());
        record.put(DataElement::new(tags::REFERENCED_FILE_ID, VR::CS, id));
        let mut directory = InMemDicomObject::new_empty();
        let records = dicom_core::value::DataSetSequence::from(vec![record]);
        directory.put(DataElement::new(tags::DIRECTORY_RECORD_SEQUENCE, VR::SQ, records));
        let meta = FileMetaTableBuilder::new()
            .media_storage_sop_class_uid(uids::MEDIA_STORAGE_DIRECTORY_STORAGE)
            .media_storage_sop_instance_uid("1.2.3.6")
            .transfer_syntax(uids::EXPLICIT_VR_LITTLE_ENDIAN);
        let path = medium.path().join(list);
        directory.with_meta(meta).unwrap().write_to_file(&path).unwrap();
        let found = expand(&[path], &|| false);
        assert_eq!((found.sources.len(), found.errors.as_slice()), (1, [].as_slice()), "{list}");
        assert!(open(found.sources.into_iter().next().unwrap()).is_ok());
    }
}

#[cfg(unix)]
#[test]
fn links_to_folders_are_followed_but_not_in_circles() {
    let place = tempfile::tempdir().unwrap();
    let (study, series) = (place.path().join("study"), place.path().join("series"));
    std::fs::create_dir_all(&study).unwrap();
    std::fs::create_dir_all(&series).unwrap();
    dicom::write(&series.join("a"), 16, &vec![5; 256], |_| {});
    for (link, target) in
        [("first", &series), ("again", &series), ("circle", &study), ("above", &place.path().to_path_buf())]
    {
        std::os::unix::fs::symlink(target, study.join(link)).unwrap();
    }
    let found = expand(&[study], &|| false);
    assert_eq!((found.sources.len(), found.errors.as_slice()), (1, [].as_slice()));
    assert_eq!(found.sources[0].paths().len(), 1, "each file once");
}

/// The vendor's list with numbers under names: CSA header of the second version.
fn csa(entries: &[(&str, &[&str])]) -> Vec<u8> {
    let mut list = b"SV10\x04\x03\x02\x01".to_vec();
    list.extend((entries.len() as u32).to_le_bytes());
    list.extend(77u32.to_le_bytes());
    for (name, items) in entries {
        let mut head = [0u8; 84];
        head[..name.len()].copy_from_slice(name.as_bytes());
        head[76..80].copy_from_slice(&(items.len() as u32).to_le_bytes());
        list.extend(head);
        for item in *items {
            let length = item.len() as u32 + 1;
            [length, length, 77, length].iter().for_each(|word| list.extend(word.to_le_bytes()));
            list.extend(item.as_bytes());
            list.resize(
                list.len() + item.len().next_multiple_of(4).max(item.len() + 1).next_multiple_of(4) - item.len(),
                0,
            );
        }
    }
    list
}

#[test]
fn mosaics_are_volumes() {
    let folder = tempfile::tempdir().unwrap();
    // Five tiles of 16×16 in a square of nine, each of one value.
    let side = 48;
    let tile = |x: usize, y: usize| y / 16 * 3 + x / 16;
    let pixels: Vec<u16> = (0..side * side).map(|i| 10 * (tile(i % side, i / side) as u16 + 1)).collect();
    for time in 0..2u16 {
        let pixels: Vec<u16> = pixels.iter().map(|value| value + time).collect();
        dicom::write(&folder.path().join(format!("{time}.dcm")), side as u16, &pixels, |o| {
            dicom::put(o, tags::IMAGE_TYPE, VR::CS, "ORIGINAL\\PRIMARY\\M\\MOSAIC");
            // As if the picture of 48×48 pixels of 2 mm lay about the centre of the first slice.
            dicom::place(o, "1\\0\\0\\0\\1\\0", "-48\\-48\\30", "2\\2");
            dicom::put(o, tags::SPACING_BETWEEN_SLICES, VR::DS, "3");
            dicom::put(o, tags::INSTANCE_NUMBER, VR::IS, &(time + 1).to_string());
            let list = csa(&[
                ("EchoLinePosition", &["32"]),
                ("NumberOfImagesInMosaic", &["5"]),
                // Slices go to the feet, against the picture's own normal.
                ("SliceNormalVector", &["0.00000000", "0.00000000", "-1.00000000"]),
            ]);
            o.put(DataElement::new(dicom_object::Tag(0x0029, 0x1010), VR::OB, PrimitiveValue::from(list)));
        });
    }
    let mut found = expand(&[folder.path().to_path_buf()], &|| false);
    assert_eq!(found.sources.len(), 1);
    let study: Study = open(found.sources.remove(0)).unwrap();
    assert_eq!((study.count(), study.frames.times(), study.warnings.as_slice()), (5, 2, [].as_slice()));
    let affine = study.frames.layout(study.native()).unwrap().affine.unwrap();
    // From the feet to the head: the last tile is the first slice. A tile begins 16 pixels of 2 mm further in.
    assert_eq!(affine.origin, [-16.0, -16.0, 18.0]);
    assert_eq!(affine.steps, [[2.0, 0.0, 0.0], [0.0, 2.0, 0.0], [0.0, 0.0, 3.0]]);
    for time in 0..2 {
        let cut = Cut { plane: Plane::Axial, time };
        let values: Vec<f32> = (0..5)
            .map(|index| {
                let slice = study.frames.slice(Place { cut, index }).unwrap();
                assert_eq!((slice.width(), slice.height(), slice.range().0), (16, 16, slice.range().1));
                slice.values()[0] - time as f32
            })
            .collect();
        assert_eq!(values, [50.0, 40.0, 30.0, 20.0, 10.0]);
    }
}

#[test]
fn the_mask_of_a_single_slice_keeps_its_place() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.dcm");
    dicom::write(&path, 16, &(0..256).collect::<Vec<u16>>(), |o| {
        dicom::place(o, "0\\1\\0\\0\\0\\-1", "-7.5\\-20\\30", "0.5\\0.75");
    });
    let study = load(&path).unwrap();
    let layout = study.frames.layout(study.native()).unwrap();
    let affine = layout.affine.unwrap();
    assert_eq!(affine.origin, [-7.5, -20.0, 30.0]);
    assert_eq!(affine.steps[..2], [[0.0, 0.75, 0.0], [0.0, 0.0, -0.5]]);
    // Right × down: away from the viewer.
    assert_eq!(affine.steps[2], [-1.0, 0.0, 0.0]);
    assert_eq!(layout.voxel_mm3(), None, "one slice has no volume");
}
