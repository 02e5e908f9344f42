#!/usr/bin/env python3
"""Round trip of a series and its segmentation through a real Orthanc (apt-get install orthanc orthanc-dicomweb; pip install numpy pillow pydicom).

usage: tests/orthanc.py PROGRAM [SERIES_FOLDER]

Starts Orthanc on a free port with a temporary store and a login, stores a series, finds it, gets it back, outlines it, stores the segmentation
and compares what comes back with what went in. Without a folder, the series is drawn here. Ends with code 77 where Orthanc is not installed.
"""
import contextlib, json, shutil, socket, subprocess, sys, tempfile, time, urllib.request
from pathlib import Path

import numpy
import pydicom
from PIL import Image
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, MRImageStorage, generate_uid

USER, PASSWORD = "tester", "pass word"


def free_port():
    with contextlib.closing(socket.socket()) as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def plugin():
    folders = ["/usr/share/orthanc/plugins", "/usr/lib/orthanc/plugins", "/usr/lib"]
    found = (path for folder in folders for path in Path(folder).rglob("libOrthancDicomWeb.so*"))
    return next(found, None)


def start(store):
    port = free_port()
    settings = {
        "Name": "test", "StorageDirectory": str(store), "IndexDirectory": str(store), "HttpServerEnabled": True, "HttpPort": port,
        "RemoteAccessAllowed": False, "DicomServerEnabled": False, "AuthenticationEnabled": True, "RegisteredUsers": {USER: PASSWORD},
        "Plugins": [str(plugin())], "DicomWeb": {"Enable": True, "Root": "/dicom-web/"},
    }
    (store / "orthanc.json").write_text(json.dumps(settings))
    log = (store / "log").open("w")
    process = subprocess.Popen(["Orthanc", str(store / "orthanc.json")], stdout=log, stderr=log)
    for _ in range(200):
        with contextlib.suppress(OSError):
            socket.create_connection(("127.0.0.1", port)).close()
            return process, f"http://127.0.0.1:{port}/dicom-web"
        time.sleep(0.1)
    raise SystemExit(f"Orthanc did not start: {(store / 'log').read_text()[-2000:]}")


def draw(program, folder):
    """The program's own drawn head, six slices of 1 x 1 x 4 mm, oblique."""
    study, series, frame = (generate_uid() for _ in range(3))
    tilt = numpy.cos(0.2), numpy.sin(0.2)
    heads = []
    for name, healthy in (("lesion.png", []), ("healthy.png", ["--healthy"])):
        subprocess.run([program, "phantom", folder.parent / name, *healthy], check=True, capture_output=True)
        heads.append(numpy.asarray(Image.open(folder.parent / name).convert("L")))
    for index in range(6):
        head = heads[0] if 1 <= index <= 4 else heads[1]
        uid = generate_uid()
        meta = FileMetaDataset()
        meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID, meta.TransferSyntaxUID = MRImageStorage, uid, ExplicitVRLittleEndian
        image = FileDataset(None, {}, file_meta=meta, preamble=bytes(128))
        image.SOPClassUID, image.SOPInstanceUID, image.StudyInstanceUID, image.SeriesInstanceUID = MRImageStorage, uid, study, series
        image.FrameOfReferenceUID, image.PatientName, image.PatientID, image.Modality = frame, "TEST^ROUND", "ROUND-TRIP", "MR"
        image.StudyDate, image.StudyTime, image.StudyID, image.SeriesNumber, image.InstanceNumber = "20200131", "120000", "1", 1, index + 1
        image.AccessionNumber = image.ReferringPhysicianName = image.PatientBirthDate = image.PatientSex = ""
        image.SeriesDescription = "drawn head"
        image.ImageOrientationPatient = [1, 0, 0, 0, round(tilt[0], 6), round(tilt[1], 6)]
        image.ImagePositionPatient = [-128, round(-128 - 4 * index * tilt[1], 5), round(4 * index * tilt[0], 5)]
        image.PixelSpacing, image.SliceThickness, image.Rows, image.Columns = [1, 1], 4, *head.shape
        image.SamplesPerPixel, image.PhotometricInterpretation, image.PixelRepresentation = 1, "MONOCHROME2", 0
        image.BitsAllocated, image.BitsStored, image.HighBit = 16, 12, 11
        image.PixelData = head.astype("<u2").tobytes()
        image.save_as(folder / f"IM{index}", enforce_file_format=True)


def main():
    program = Path(sys.argv[1]).resolve()
    if shutil.which("Orthanc") is None or plugin() is None:
        print("skipped: Orthanc and its DICOMweb plug-in are not installed", file=sys.stderr)
        return 77
    with tempfile.TemporaryDirectory() as home:
        home = Path(home)
        store, sent, masks = home / "store", home / "sent", home / "masks"
        for folder in (store, sent):
            folder.mkdir()
        if len(sys.argv) > 2:
            for file in Path(sys.argv[2]).iterdir():
                shutil.copy(file, sent)
        else:
            draw(program, sent)
        secret = home / "password"
        secret.write_text(PASSWORD + "\n")
        secret.chmod(0o600)
        process, url = start(store)
        login = ["--url", url, "--user", USER, "--password-file", str(secret)]

        def run(*arguments, code=0):
            done = subprocess.run([program, *map(str, arguments)], cwd=home, capture_output=True, text=True)
            assert done.returncode == code, (arguments, done.returncode, done.stdout, done.stderr)
            return done.stdout if code == 0 else done.stderr

        try:
            run("pacs", "send", *login, *sorted(sent.iterdir()))
            first = pydicom.dcmread(next(iter(sorted(sent.iterdir()))))
            lines = run("pacs", "list", *login, "--patient-id", first.PatientID, "--modality", first.Modality).splitlines()
            assert [line.split("\t")[0] for line in lines] == [first.SeriesInstanceUID], lines
            assert str(first.PatientName) not in "".join(lines)
            assert run("pacs", "list", *login, "--patient-id", "NOBODY") == ""
            if first.get("StudyDate"):
                assert len(run("pacs", "list", *login, "--date", first.StudyDate).splitlines()) == 1
                assert run("pacs", "list", *login, "--date", "19000101-19000102") == ""

            run("pacs", "get", *login, "--series", first.SeriesInstanceUID, "--out", "got")
            by_uid = lambda folder: {image.SOPInstanceUID: image for image in map(pydicom.dcmread, folder.iterdir())}
            before, after = by_uid(sent), by_uid(home / "got")
            assert before.keys() == after.keys()
            for uid, image in before.items():
                for name in ("ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing", "PixelData"):
                    assert image.get(name) == after[uid].get(name), name

            run("predict", "got", "--always-segment", "--ignore-gate", "--mask-threshold", "0.0001", "--mask", masks, "--mask-format", "seg", "--json", "report.json")
            report = json.loads((home / "report.json").read_text())
            assert len(report["results"]) == len(before)
            [seg] = masks.iterdir()
            run("pacs", "send", *login, seg)
            written = pydicom.dcmread(seg)
            run("pacs", "get", *login, "--series", written.SeriesInstanceUID, "--out", "seg")
            [back] = (home / "seg").iterdir()
            back = pydicom.dcmread(back)
            assert back.PixelData == written.PixelData and back.SOPInstanceUID == written.SOPInstanceUID
            # The segmentation lies where its series does: every frame at the place of the image that it names.
            for frame in back.PerFrameFunctionalGroupsSequence:
                place = frame.PlanePositionSequence[0].ImagePositionPatient
                source = frame.DerivationImageSequence[0].SourceImageSequence[0].ReferencedSOPInstanceUID
                assert numpy.allclose(place, before[source].ImagePositionPatient, atol=1e-3), source
            assert back.StudyInstanceUID == first.StudyInstanceUID and back.FrameOfReferenceUID == first.FrameOfReferenceUID
            voxels = int(numpy.unpackbits(numpy.frombuffer(back.PixelData, numpy.uint8)).sum())
            assert voxels == report["studies"][0]["mask"]["voxels"], voxels

            # What goes wrong is said, and nothing is kept of it.
            secret.write_text("wrong\n")
            assert "login" in run("pacs", "list", *login, code=1)
            secret.write_text(PASSWORD + "\n")
            assert "no series 1.2.3" in run("pacs", "get", *login, "--series", "1.2.3", "--out", "none", code=1)
            assert not (home / "none").exists()
            assert "is there already" in run("pacs", "get", *login, "--series", first.SeriesInstanceUID, "--out", "got", code=1)
            assert "no DICOM file" in run("pacs", "send", *login, "report.json", code=1)
            print(f"{len(before)} images and a segmentation of {voxels} voxels there and back")
        finally:
            process.terminate()
            process.wait()
    return 0


if __name__ == "__main__":
    sys.exit(main())
