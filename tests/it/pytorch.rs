//! State dicts that PyTorch wrote (`fixtures/pytorch_state_dicts.py`), whole, cut short and spoilt.

use lesionlens_nn::torch::pickle;

const ARCHIVE: &[u8] = include_bytes!("../fixtures/state_dict.pth");
const STREAM: &[u8] = include_bytes!("../fixtures/state_dict_stream.pth");
const VALUES: &str = include_str!("../fixtures/state_dict.txt");

#[test]
fn both_formats_hold_what_pytorch_says() {
    for (format, bytes) in [("archive", ARCHIVE), ("stream", STREAM)] {
        let found = pickle::read(bytes).unwrap();
        assert_eq!(found.len(), VALUES.lines().count(), "{format}");
        for line in VALUES.lines() {
            let mut words = line.split(' ');
            let (name, shape) = (words.next().unwrap(), words.next().unwrap());
            let shape: Vec<usize> = shape.split('x').map(|side| side.parse().unwrap()).collect();
            let wanted: Vec<f32> = words.map(|word| word.parse().unwrap()).collect();
            assert_eq!(found[name].dims(), shape, "{format} {name}");
            // The text has every digit, so f32 values are the same to the bit.
            assert_eq!(found[name].flatten_all().unwrap().to_vec1::<f32>().unwrap(), wanted, "{format} {name}");
        }
    }
}

/// Every cut and every flipped byte gives tensors or an error, never a panic.
#[test]
fn spoilt_files_are_errors() {
    for bytes in [ARCHIVE, STREAM] {
        for length in (0..bytes.len()).step_by(7) {
            assert!(pickle::read(&bytes[..length]).is_err(), "cut to {length} of {}", bytes.len());
        }
        for at in 0..bytes.len() {
            let mut spoilt = bytes.to_vec();
            spoilt[at] ^= 0x55;
            pickle::read(&spoilt).ok();
        }
    }
    // Pickles that are small and unpack without end: nested a million times, doubled forty times, a number of 255 bytes.
    let nested = [&b"\x80\x02)"[..], &[0x85; 1_000_000], b"."].concat();
    let mut doubled = b"\x80\x02)q\x00".to_vec();
    for i in 0..40u8 {
        doubled.extend([b'h', i, b'h', i, 0x86, b'q', i + 1]);
    }
    let long = [&b"\x80\x02\x8a\xff"[..], &[1; 255], b"."].concat();
    for hostile in [nested, doubled, long] {
        let error = pickle::read(&[&STREAM[..15], &hostile].concat()).unwrap_err().to_string();
        assert!(error.contains("without end") || error.contains("64 bits"), "{error}");
    }
    assert!(pickle::read(b"no weights at all").unwrap_err().to_string().contains("torch.save"));
}
