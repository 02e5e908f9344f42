//! The service over loopback, with the real program. Requests are written by hand, so that broken ones can be written too.

use crate::common::{dicom, lesionlens, phantom_png, text};
use dicom_core::VR;
use dicom_dictionary_std::tags;
use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

const KEY: &str = "k3y-for-tests";

/// A running service, which ends with the test.
struct Service {
    process: Child,
    address: String,
    home: tempfile::TempDir,
}

/// An answer: status, head and body.
struct Answer {
    status: u16,
    head: String,
    body: Vec<u8>,
}

impl Answer {
    fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|e| panic!("{e}: {}", text(&self.body)))
    }

    /// The text of an error, after a look at its status.
    fn error(&self, status: u16) -> String {
        assert_eq!(self.status, status, "{}", text(&self.body));
        let error = self.json();
        assert_eq!(error["status"], status);
        error["error"].as_str().unwrap().to_string()
    }
}

impl Service {
    /// Starts the program on a free port, with `key` in a file, and waits until it is ready.
    fn start(key: Option<&str>, args: &[&str]) -> Self {
        let home = tempfile::tempdir().unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_lesionlens"));
        command.args(["serve", "--port", "0", "--device", "cpu"]).args(args);
        if let Some(key) = key {
            std::fs::write(home.path().join("key"), format!("{key}\n")).unwrap();
            command.arg("--key-file").arg(home.path().join("key"));
        }
        command.env("HOME", home.path()).env("XDG_DATA_HOME", home.path().join("data")).env("TMPDIR", home.path());
        command.env_remove("LESIONLENS_API_KEY");
        let log = std::fs::File::create(home.path().join("log")).unwrap();
        let mut process = command.stdout(Stdio::piped()).stderr(log).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(process.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let address = line.trim().strip_prefix("http://").and_then(|l| l.strip_suffix('/'));
        let address = address.unwrap_or_else(|| panic!("says {line:?}")).to_string();
        let service = Self { process, address, home };
        let started = Instant::now();
        while service.get("/health/ready", "").status != 200 {
            assert!(started.elapsed() < Duration::from_secs(120), "never ready: {}", service.log());
            std::thread::sleep(Duration::from_millis(50));
        }
        service
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.home.path().join("log")).unwrap()
    }

    fn send(&self, method: &str, path: &str, headers: &str, body: &[u8]) -> Answer {
        let length = body.len();
        self.raw(
            format!(
                "{method} {path} HTTP/1.1\r\nHost: h\r\nConnection: close\r\nContent-Length: {length}\r\n{headers}\r\n"
            ),
            body,
        )
    }

    fn raw(&self, head: String, body: &[u8]) -> Answer {
        let mut stream = TcpStream::connect(&self.address).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(120))).unwrap();
        stream.write_all(head.as_bytes()).unwrap();
        // A service that refuses may close before all is written.
        let _ = stream.write_all(body);
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer);
        let end = answer.windows(4).position(|w| w == b"\r\n\r\n").unwrap_or_else(|| panic!("{}", text(&answer)));
        let head = text(&answer[..end]);
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        Answer { status, head, body: answer[end + 4..].to_vec() }
    }

    fn get(&self, path: &str, headers: &str) -> Answer {
        self.send("GET", path, headers, b"")
    }

    fn predict(&self, query: &str, body: &[u8]) -> Answer {
        self.send("POST", &format!("/api/v0/predict{query}"), &format!("X-API-Key: {KEY}\r\n"), body)
    }

    /// Sends files as a form, as `curl -F file=@…` does.
    fn form(&self, query: &str, files: &[(&str, &[u8])]) -> Answer {
        let mut body = Vec::new();
        for (name, bytes) in files {
            let head = format!("--B\r\nContent-Disposition: form-data; name=\"file\"; filename=\"{name}\"\r\n\r\n");
            body.extend_from_slice(&[head.as_bytes(), bytes, b"\r\n"].concat());
        }
        body.extend_from_slice(b"--B--\r\n");
        let headers = format!("X-API-Key: {KEY}\r\nContent-Type: multipart/form-data; boundary=B\r\n");
        self.send("POST", &format!("/api/v0/predict{query}"), &headers, &body)
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// A report without what is another's at every run.
fn plain(mut report: Value) -> Value {
    for slice in report["results"].as_array_mut().unwrap() {
        slice.as_object_mut().unwrap().remove("timings_ms").unwrap();
    }
    report
}

fn predicted(home: &Path, args: &[&str]) -> Value {
    let output = lesionlens(home, &[&["predict", "--device", "cpu", "--json", "-"], args].concat());
    plain(serde_json::from_slice(&output.stdout).unwrap_or_else(|e| panic!("{e}: {}", text(&output.stderr))))
}

fn decoded(attachment: &Value) -> Vec<u8> {
    use base64::Engine as _;
    base64::prelude::BASE64_STANDARD.decode(attachment["base64"].as_str().unwrap()).unwrap()
}

fn zipped(files: &[(&str, Vec<u8>)]) -> Vec<u8> {
    let mut zip = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    for (name, bytes) in files {
        zip.start_file(*name, zip::write::SimpleFileOptions::default()).unwrap();
        zip.write_all(bytes).unwrap();
    }
    zip.finish().unwrap().into_inner()
}

#[test]
fn the_service_answers_as_predict_does_and_refuses_in_words() {
    let service = Service::start(Some(KEY), &["--max-body", "8"]);
    let home = tempfile::tempdir().unwrap();
    let scan = home.path().join("scan.png");
    phantom_png(&scan);
    let png = std::fs::read(&scan).unwrap();

    // A form is answered word by word as the command does, a raw body as well but for its name.
    let wanted = predicted(home.path(), &["scan.png", "--always-segment", "--threshold", "0.5"]);
    let query = "?always_segment=true&threshold=0.5";
    assert_eq!(plain(service.form(query, &[("scan.png", &png)]).json()), wanted);
    let raw = plain(service.predict(query, &png).json());
    assert_eq!(raw["results"][0]["file"], "upload");
    assert_eq!(raw["results"][0]["classifier"], wanted["results"][0]["classifier"]);

    // Masks and pictures come with the answer.
    let with = service.form(&format!("{query}&mask=png&picture=png"), &[("scan.png", &png)]).json();
    let mask = image::load_from_memory(&decoded(&with["masks"][0])).unwrap().into_luma8();
    let inside = mask.pixels().filter(|p| p.0[0] == 255).count();
    assert_eq!(with["results"][0]["segmenter"]["mask_pixels"], inside);
    assert_eq!(image::load_from_memory(&decoded(&with["pictures"][0])).unwrap().width(), 256);
    let why = service.form(&format!("{query}&ignore_gate=1&explain=true"), &[("scan.png", &png)]).json();
    let heat = image::load_from_memory(&decoded(&why["explanations"][0])).unwrap().into_rgba8();
    assert_eq!((heat.width(), heat.height()), (256, 256));
    assert!(heat.pixels().any(|p| p.0[3] > 200) && heat.pixels().any(|p| p.0[3] == 0), "heat in some places only");
    assert_eq!(why["results"][0]["explanation"]["class"], "tumor");

    // A wrong or missing key opens nothing but what needs none.
    for path in ["/api/v0/models", "/metrics", "/v2", "/v2/models/tumor-general"] {
        assert!(service.get(path, "X-API-Key: k3y\r\n").error(401).contains("X-API-Key"));
        assert_eq!(service.get(path, "").status, 401);
        assert_eq!(service.get(path, &format!("X-API-Key: {KEY}\r\n")).status, 200, "{path}");
    }
    for path in ["/health/live", "/health/ready", "/v2/health/live", "/v2/health/ready", "/", "/openapi.json", "/docs"]
    {
        assert_eq!(service.get(path, "").status, 200, "{path}");
    }
    assert_eq!(service.send("POST", "/api/v0/predict", "", &png).status, 401);

    // What is too long is refused by its length, before any of it is read.
    let head = |length: u64| {
        format!(
            "POST /api/v0/predict HTTP/1.1\r\nHost: h\r\nConnection: close\r\nX-API-Key: {KEY}\r\nContent-Length: {length}\r\nExpect: 100-continue\r\n\r\n"
        )
    };
    let started = Instant::now();
    assert!(service.raw(head(2 << 30), b"").error(413).contains("8 MiB"));
    assert!(started.elapsed() < Duration::from_secs(2));
    // A body without a length ends at the limit.
    let chunked = format!(
        "POST /api/v0/predict HTTP/1.1\r\nHost: h\r\nConnection: close\r\nX-API-Key: {KEY}\r\nTransfer-Encoding: chunked\r\n\r\n"
    );
    let chunk = [format!("{:x}\r\n", 9 << 20).as_bytes(), &vec![0; 9 << 20], b"\r\n0\r\n\r\n"].concat();
    service.raw(chunked, &chunk).error(413);

    // Whatever cannot be answered is told by kind.
    let garbage: Vec<u8> = (0..4000u32).map(|i| (i * 7919 % 251) as u8).collect();
    assert!(service.form("", &[("DOE.bin", &garbage)]).error(415).contains("DOE.bin: is not a picture"));
    service.predict("", br#"{"a": 1}"#).error(415);
    let damaged = service.form("", &[("half.png", &png[..png.len() / 2])]);
    assert!(damaged.error(422).contains("half.png"));
    assert!(service.predict("", b"").error(400).contains("empty"));
    assert!(service.form("", &[]).error(400).contains("no file"));
    assert!(service.predict("?thresold=0.4", &png).error(400).contains("thresold"));
    assert!(service.predict("?classifier=nobody", &png).error(422).contains("nobody"));
    assert!(service.predict("?classifier=tumor-outline", &png).error(422).contains("cannot be the classifier"));
    service.predict("?segmenter=none&mask=png", &png).error(400);
    service.get("/nowhere", "").error(404);
    service.get("/api/v0/predict", &format!("X-API-Key: {KEY}\r\n")).error(405);

    // A good file beside a bad one is answered, and the bad one is named.
    let both = service.form("", &[("a.png", &png), ("b.png", &garbage)]).json();
    assert_eq!(both["results"].as_array().unwrap().len(), 1);
    assert_eq!(both["errors"][0]["file"], "b.png");

    // Archives lead nowhere.
    let slip = service.form("", &[("study.zip", &zipped(&[("../../evil.png", png.clone())]))]);
    assert!(slip.error(422).contains("leads out"));
    let bomb = service.form("", &[("study.zip", &zipped(&[("zeros.png", vec![0; 40 << 20])]))]);
    assert!(bomb.error(422).contains("32 MiB unpacked"));
    let inside: Vec<_> = std::fs::read_dir(service.home.path()).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert!(
        !inside.iter().any(|n| n.to_string_lossy().contains("evil") || n.to_string_lossy().starts_with("lesionlens-")),
        "{inside:?}"
    );

    // What was done is counted, and the log names neither files nor what was asked.
    let metrics = text(&service.get("/metrics", &format!("X-API-Key: {KEY}\r\n")).body);
    assert!(
        metrics.contains("lesionlens_requests_total{route=\"/api/v0/predict\",method=\"POST\",status=\"415\"} 2"),
        "{metrics}"
    );
    let log = service.log();
    assert!(
        log.contains("/api/v0/predict") && !log.contains("DOE") && !log.contains("png") && !log.contains("nobody"),
        "{log}"
    );
}

#[test]
fn a_zip_of_a_series_is_one_study_with_its_segmentation() {
    let service = Service::start(Some(KEY), &[]);
    let home = tempfile::tempdir().unwrap();
    let folder = home.path().join("study");
    std::fs::create_dir(&folder).unwrap();
    let example = lesionlens::domain::phantom::Phantom::example().draw().0;
    let pixels: Vec<u16> = example.values().iter().map(|v| *v as u16).collect();
    let mut files = Vec::new();
    for i in 0..3 {
        let path = folder.join(format!("IM{i}"));
        dicom::write(&path, 256, &pixels, |o| {
            dicom::place(o, r"1\0\0\0\1\0", &format!(r"-128\-128\{}", i * 5), r"1\1");
            dicom::put(o, tags::STUDY_INSTANCE_UID, VR::UI, "1.2.3.1");
            dicom::put(o, tags::FRAME_OF_REFERENCE_UID, VR::UI, "1.2.3.2");
        });
        files.push((format!("IM{i}"), std::fs::read(&path).unwrap()));
    }
    let files: Vec<(&str, Vec<u8>)> = files.iter().map(|(name, bytes)| (name.as_str(), bytes.clone())).collect();
    let wanted = predicted(home.path(), &["study", "--always-segment", "--mask-threshold", "0.001"]);
    let answer = service.form("?always_segment=1&mask_threshold=0.001&mask=seg", &[("study.zip", &zipped(&files))]);
    let mut answer = answer.json();
    let masks = answer.as_object_mut().unwrap().remove("masks").unwrap();
    assert_eq!(answer["errors"], json!([]));
    let seg = decoded(&masks[0]);
    assert_eq!((&seg[128..132], &masks[0]["media_type"]), (b"DICM".as_slice(), &json!("application/dicom")));
    assert_eq!(answer["studies"][0]["mask_file"].take(), masks[0]["name"]);
    assert_eq!(plain(answer), wanted);
    assert_eq!(wanted["results"].as_array().unwrap().len(), 3);
}

/// Requests that wait share runs of the networks; a full queue is told, and nothing is lost or answered otherwise for it.
#[test]
fn many_clients_get_their_own_answers() {
    let service = Service::start(Some(KEY), &["--threads", "2"]);
    let home = tempfile::tempdir().unwrap();
    let scan = home.path().join("scan.png");
    phantom_png(&scan);
    let png = std::fs::read(&scan).unwrap();
    let wanted = plain(service.form("", &[("scan.png", &png)]).json());
    std::thread::scope(|scope| {
        let clients: Vec<_> = (0..12)
            .map(|client| {
                let (service, png, wanted) = (&service, &png, &wanted);
                scope.spawn(move || match client % 4 {
                    0 => assert_eq!(service.form("", &[("scan.png", &png[..900])]).status, 422),
                    _ => assert_eq!(plain(service.form("", &[("scan.png", png)]).json()), *wanted),
                })
            })
            .collect();
        clients.into_iter().for_each(|client| client.join().unwrap());
    });
    let metrics = text(&service.get("/metrics", &format!("X-API-Key: {KEY}\r\n")).body);
    assert!(metrics.contains("lesionlens_requests_admitted 0"), "{metrics}");

    let busy = Service::start(Some(KEY), &["--threads", "1", "--queue", "1"]);
    let statuses: Vec<u16> = std::thread::scope(|scope| {
        let clients: Vec<_> = (0..12).map(|_| scope.spawn(|| busy.form("", &[("scan.png", &png)]).status)).collect();
        clients.into_iter().map(|client| client.join().unwrap()).collect()
    });
    assert!(statuses.contains(&200) && statuses.contains(&503), "{statuses:?}");
    assert!(statuses.iter().all(|status| [200, 503].contains(status)), "{statuses:?}");
}

#[test]
fn the_inference_protocol_gives_what_the_bare_network_gives() {
    let service = Service::start(Some(KEY), &[]);
    let key = format!("X-API-Key: {KEY}\r\n");
    let metadata = service.get("/v2/models/tumor-general", &key).json();
    let shape: Vec<i64> = serde_json::from_value(metadata["inputs"][0]["shape"].clone()).unwrap();
    let (side, channels) = (shape[1] as usize, shape[3] as usize);
    assert_eq!((metadata["outputs"][0]["shape"].clone(), shape[0]), (json!([-1, 1]), -1));
    let values: Vec<f32> = (0..side * side * channels).map(|i| (i % 97) as f32 / 97.0 - 0.3).collect();

    let in_json = json!({ "id": "a", "inputs": [{ "name": "input", "shape": [1, side, side, channels], "datatype": "FP32", "data": values }] });
    let by_json = service.send("POST", "/v2/models/tumor-general/infer", &key, in_json.to_string().as_bytes()).json();
    assert_eq!((&by_json["id"], &by_json["model_name"]), (&json!("a"), &json!("tumor-general")));

    let bytes: Vec<u8> = values.iter().flat_map(|v| v.to_le_bytes()).collect();
    let head = json!({ "inputs": [{ "name": "input", "shape": [1, side, side, channels], "datatype": "FP32", "parameters": { "binary_data_size": bytes.len() } }],
        "outputs": [{ "name": "output", "parameters": { "binary_data": true } }] })
    .to_string();
    let headers = format!("{key}Inference-Header-Content-Length: {}\r\n", head.len());
    let body = [head.as_bytes(), &bytes].concat();
    let by_bytes = service.send("POST", "/v2/models/tumor-general/versions/0/infer", &headers, &body);
    assert!(by_bytes.error(404).contains("tumor-general"));
    let by_bytes = service.send("POST", "/v2/models/tumor-general/infer", &headers, &body);
    assert_eq!(by_bytes.status, 200, "{}", text(&by_bytes.body));
    let length = by_bytes.head.lines().find_map(|line| line.strip_prefix("inference-header-content-length: "));
    let tail = &by_bytes.body[length.unwrap().parse::<usize>().unwrap()..];
    let found = f32::from_le_bytes(tail.try_into().unwrap());

    // The library's own network, asked without a service.
    let registry = lesionlens::models::registry::Registry::scan_in(&[]);
    let model = registry.load("tumor-general", &candle_core::Device::Cpu).unwrap();
    let input = candle_core::Tensor::from_vec(values, (1, side, side, channels), &candle_core::Device::Cpu).unwrap();
    let wanted = model.bare_output(&input).unwrap().flatten_all().unwrap().to_vec1::<f32>().unwrap();
    assert!((found - wanted[0]).abs() < 1e-6, "{found} {wanted:?}");
    assert!((by_json["outputs"][0]["data"][0].as_f64().unwrap() - f64::from(wanted[0])).abs() < 1e-6);

    let short =
        json!({ "inputs": [{ "name": "input", "shape": [1, 2, 2, 1], "datatype": "FP32", "data": [1, 2, 3, 4] }] });
    assert!(
        service
            .send("POST", "/v2/models/tumor-general/infer", &key, short.to_string().as_bytes())
            .error(400)
            .contains("the model takes")
    );
    service.get("/v2/models/nobody", &key).error(404);
}

#[test]
fn without_a_key_only_this_machine_is_served() {
    let home = tempfile::tempdir().unwrap();
    let output = lesionlens(home.path(), &["serve", "--host", "0.0.0.0", "--port", "0"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stderr).contains("--key-file"), "{}", text(&output.stderr));
    std::fs::write(home.path().join("empty"), "\n").unwrap();
    let output = lesionlens(home.path(), &["serve", "--key-file", "empty", "--port", "0"]);
    assert!(text(&output.stderr).contains("empty holds no key"), "{}", text(&output.stderr));
    let service = Service::start(None, &[]);
    let models = service.get("/api/v0/models", "").json();
    assert_eq!(models["default"]["classifier"], "tumor-general");
    assert!(
        models["models"].as_array().unwrap().iter().any(|m| m["id"] == "tumor-outline" && m["task"] == "segmentation")
    );
}

/// A service that is told to end answers what it has begun.
#[cfg(unix)]
#[test]
fn an_open_request_is_answered_before_the_end() {
    let mut service = Service::start(Some(KEY), &[]);
    let home = tempfile::tempdir().unwrap();
    let scan = home.path().join("scan.png");
    phantom_png(&scan);
    let png = std::fs::read(&scan).unwrap();
    let (head, tail) = png.split_at(png.len() / 2);
    let mut stream = TcpStream::connect(&service.address).unwrap();
    let start = format!(
        "POST /api/v0/predict HTTP/1.1\r\nHost: h\r\nConnection: close\r\nX-API-Key: {KEY}\r\nContent-Length: {}\r\n\r\n",
        png.len()
    );
    stream.write_all(&[start.as_bytes(), head].concat()).unwrap();
    std::thread::sleep(Duration::from_millis(300));
    let id = service.process.id().to_string();
    assert!(Command::new("kill").args(["-TERM", &id]).status().unwrap().success());
    std::thread::sleep(Duration::from_millis(300));
    assert!(TcpStream::connect(&service.address).is_err(), "no new connection is taken");
    stream.write_all(tail).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    assert!(service.process.wait().unwrap().success());
}
