//! A batch divided among machines, interrupted and put together again.

use crate::common::{lesionlens, text};
use lesionlens::domain::phantom::Phantom;
use lesionlens::export::png;
use serde_json::Value;
use std::path::Path;

/// Drawn heads in folders of their own, two of one name, and a damaged file.
fn studies(folder: &Path) {
    for seed in 0..7u32 {
        let example = Phantom::example();
        let lesion = example.lesion.filter(|_| seed % 2 == 0);
        let (slice, _) = Phantom { side: 96, seed, lesion }.draw();
        let own = folder.join(format!("p{seed}"));
        std::fs::create_dir_all(&own).unwrap();
        std::fs::write(own.join("scan.png"), png::slice(&slice).unwrap()).unwrap();
    }
    std::fs::write(folder.join("broken.png"), b"\x89PNG\r\n\x1a\nrest is missing").unwrap();
}

fn run(home: &Path, args: &[&str], code: i32) -> String {
    let output = lesionlens(home, &[&["predict"], args, &["--threads", "1"]].concat());
    assert_eq!(output.status.code(), Some(code), "{args:?}: {}", text(&output.stderr));
    text(&output.stderr)
}

fn read(home: &Path, name: &str) -> String {
    std::fs::read_to_string(home.join(name)).unwrap()
}

/// A report without the times, which are another run's.
fn plain(text: &str) -> Value {
    let mut report: Value = serde_json::from_str(text).unwrap();
    for slice in report["results"].as_array_mut().unwrap() {
        slice.as_object_mut().unwrap().remove("timings_ms").unwrap();
    }
    report
}

#[test]
fn parts_put_together_are_what_one_run_gives() {
    let home = tempfile::tempdir().unwrap();
    let home = home.path();
    studies(&home.join("data"));
    run(home, &["data", "--json", "whole.json", "--csv", "whole.csv"], 1);
    let counts: Vec<usize> = ["0/3", "1/3", "2/3"]
        .into_iter()
        .enumerate()
        .map(|(index, part)| {
            let file = format!("shard-{index}-of-3.jsonl");
            let output = lesionlens(home, &["predict", "data", "--shard", part, "--threads", "1"]);
            assert!(output.stdout.is_empty(), "{}", text(&output.stdout));
            read(home, &file).lines().count()
        })
        .collect();
    assert_eq!(counts.iter().sum::<usize>(), 8, "{counts:?}");
    assert!(counts.iter().all(|count| *count < 8), "{counts:?}");

    run(home, &[".", "--merge", "--json", "merged.json", "--csv", "merged.csv"], 1);
    assert_eq!(plain(&read(home, "merged.json")), plain(&read(home, "whole.json")));
    assert_eq!(read(home, "merged.csv"), read(home, "whole.csv"));

    // A part that is missing is told, and so is one that answers another question.
    let told = run(home, &["shard-0-of-3.jsonl", "shard-2-of-3.jsonl", "--merge", "--json", "two.json"], 1);
    assert!(told.contains(&format!("{} of 8 studies are in no part", counts[1])), "{told}");
    let other = ["data", "--shard", "1/3", "--threshold", "0.9", "--json", "other.jsonl"];
    lesionlens(home, &[&["predict"], other.as_slice()].concat());
    let told = run(home, &["shard-0-of-3.jsonl", "other.jsonl", "--merge"], 1);
    assert!(told.contains("different questions") && told.contains("0.9"), "{told}");
}

#[test]
fn a_run_goes_on_where_it_was_interrupted() {
    let home = tempfile::tempdir().unwrap();
    let home = home.path();
    studies(&home.join("data"));
    std::fs::remove_file(home.join("data/broken.png")).unwrap();
    let args = ["data", "--resume", "--json", "lines.jsonl", "--csv", "table.csv", "--mask", "masks"];
    run(home, &args, 0);
    let (first, table) = (read(home, "lines.jsonl"), read(home, "table.csv"));
    let lines: Vec<&str> = first.lines().collect();
    assert_eq!(lines.len(), 7);

    // Cut within its fifth line, as a machine that went down leaves it; one study has changed meanwhile.
    let kept: String = lines[..4].iter().map(|line| format!("{line}\n")).collect();
    std::fs::write(home.join("lines.jsonl"), format!("{kept}{}", &lines[4][..50])).unwrap();
    std::fs::copy(home.join("data/p0/scan.png"), home.join("data/p2/scan.png")).unwrap();
    run(home, &args, 0);
    let second = read(home, "lines.jsonl");
    let again: Vec<&str> = second.lines().collect();
    // Lines that are kept have the times of the first run.
    let [a, b, c, rest @ ..] = again.as_slice() else { panic!("{second}") };
    assert_eq!([*a, *b, *c], [lines[0], lines[1], lines[3]]);
    assert_eq!(rest.len(), 4);
    let report = plain(&{
        run(home, &["lines.jsonl", "--merge", "--json", "merged.json"], 0);
        read(home, "merged.json")
    });
    assert_eq!(report["results"][2]["sha256"], report["results"][0]["sha256"]);
    assert_eq!(read(home, "table.csv").lines().count(), table.lines().count());
    assert_eq!(std::fs::read_dir(home.join("masks")).unwrap().count(), 7 + 4, "no mask is written over");

    // Nothing is asked that is answered; another threshold asks anew.
    run(home, &args, 0);
    assert_eq!(read(home, "lines.jsonl").lines().count(), 7);
    let before = read(home, "lines.jsonl");
    run(home, &[args.as_slice(), &["--threshold", "0.9"]].concat(), 0);
    assert!(before.lines().all(|line| !read(home, "lines.jsonl").contains(line)));
}

#[test]
fn what_cannot_be_divided_is_told() {
    let home = tempfile::tempdir().unwrap();
    let home = home.path();
    assert!(run(home, &[".", "--shard", "4/3"], 2).contains("I/N"));
    assert!(run(home, &[".", "--resume"], 1).contains("--json"));
    assert!(run(home, &[".", "--merge"], 1).contains("no lines to merge"));
    std::fs::write(home.join("x.jsonl"), "{}\n").unwrap();
    assert!(run(home, &["x.jsonl", "--merge"], 1).contains("x.jsonl: line 1"));
}
