//! The LGG data set's own layout.

use lesionlens::domain::phantom::Phantom;
use lesionlens::export::png;
use lesionlens::train::folders::{find, layout_of};
use lesionlens::train::recipe::{Layout, Source};

#[test]
fn patients_and_neighbours_are_those_of_the_folders() {
    let data = tempfile::tempdir().unwrap();
    let example = Phantom { side: 32, ..Phantom::example() };
    for patient in ["P1", "P2"] {
        let folder = data.path().join("kaggle").join(patient);
        std::fs::create_dir_all(&folder).unwrap();
        // Only the slices 2 and 10 have a lesion; 10 has no neighbour.
        for slice in [1, 2, 3, 10] {
            let lesion = example.lesion.filter(|_| slice % 4 == 2);
            let (scan, mask) = Phantom { lesion, ..example }.draw();
            let path = |ending: &str| folder.join(format!("{patient}_{slice}{ending}.png"));
            std::fs::write(path(""), png::slice(&scan).unwrap()).unwrap();
            std::fs::write(path("_mask"), png::mask(&mask).unwrap()).unwrap();
        }
    }
    assert_eq!(layout_of(&data.path().join("kaggle")), Layout::PatientFolders);
    let source = Source { folder: "kaggle".into(), layout: Layout::PatientFolders, ..Source::default() };
    let found = find(data.path(), &source).unwrap();
    let told: Vec<_> = found
        .iter()
        .map(|f| (f.patient.as_str(), f.page.name(), f.class.as_str(), f.beside.each_ref().map(Option::is_some)))
        .collect();
    assert_eq!(told.len(), 8);
    assert_eq!(told[0], ("P1", "kaggle/P1/P1_1.png".into(), "no_tumor", [false, true]));
    assert_eq!(told[1], ("P1", "kaggle/P1/P1_2.png".into(), "tumor", [true, true]));
    assert_eq!(told[7], ("P2", "kaggle/P2/P2_10.png".into(), "tumor", [false, false]));
    std::fs::remove_file(data.path().join("kaggle/P2/P2_3_mask.png")).unwrap();
    let refused = find(data.path(), &source).unwrap_err().to_string();
    assert!(refused.contains("P2_3.png") && refused.contains("P2_3_mask"), "{refused}");
}
