#!/usr/bin/env python3
"""Times ONNX Runtime, PyTorch and TensorFlow beside `lesionlens bench`, interleaved, and prints a table of ratios.

    python3 -m venv /tmp/compare
    /tmp/compare/bin/pip install torch torchvision onnx onnxruntime tensorflow-cpu
    cargo build --release
    /tmp/compare/bin/python benches/compare.py [--threads 2] [--rounds 5] [--train]

The same networks with arbitrary weights everywhere: only time is compared, answers are compared by the test suite. Every round
runs every engine once in a process of its own; the median over rounds is shown, as a share of ONNX Runtime's in f32. With --train a
step of training at batch 16 is timed against PyTorch instead.
"""

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
PROGRAM = os.path.join(ROOT, "target", "release", "lesionlens")
SIDES = {"resnet-classifier": 256, "resunet": 256, "vgg16": 224, "resnet50": 224, "inception-v3": 224}


# Networks in PyTorch ---------------------------------------------------------------------------------------------------


def torch_network(name):
    import torch
    import torch.nn.functional as F
    from torch import nn

    class Block(nn.Module):
        """1×1 → BN → ReLU → 3×3 → BN beside 1×1 → BN, added, ReLU."""

        def __init__(self, inputs, filters):
            super().__init__()
            self.reduce, self.reduce_norm = nn.Conv2d(inputs, filters, 1), nn.BatchNorm2d(filters, 1e-3)
            self.main, self.main_norm = nn.Conv2d(filters, filters, 3, padding=1), nn.BatchNorm2d(filters, 1e-3)
            self.shortcut, self.shortcut_norm = nn.Conv2d(inputs, filters, 1), nn.BatchNorm2d(filters, 1e-3)

        def forward(self, x):
            y = F.relu(self.reduce_norm(self.reduce(x)))
            return F.relu(self.main_norm(self.main(y)) + self.shortcut_norm(self.shortcut(x)))

    class Classifier(nn.Module):
        def __init__(self):
            super().__init__()
            sizes = [(3, 32), (32, 64), (256, 256)]
            self.convs = nn.ModuleList(nn.Conv2d(i, o, 3) for i, o in sizes)
            self.norms = nn.ModuleList(nn.BatchNorm2d(o, 1e-3) for _, o in sizes)
            self.blocks = nn.Sequential(Block(64, 64), Block(64, 128), Block(128, 256))
            units = [(57600, 128), (128, 128), (128, 64)]
            self.dense = nn.ModuleList(nn.Linear(i, o) for i, o in units)
            self.dense_norms = nn.ModuleList(nn.BatchNorm1d(o, 1e-3) for _, o in units)
            self.logit = nn.Linear(64, 1)

        def stem(self, i, x):
            return F.relu(F.max_pool2d(self.norms[i](self.convs[i](x)), 2))

        def forward(self, x):
            x = self.blocks(self.stem(1, self.stem(0, x)))
            x = F.avg_pool2d(self.stem(2, x), 2).flatten(1)
            for dense, norm in zip(self.dense, self.dense_norms):
                x = norm(F.relu(dense(x)))
            return torch.sigmoid(self.logit(x))

    class ResUnet(nn.Module):
        def __init__(self):
            super().__init__()
            self.convs = nn.ModuleList([nn.Conv2d(3, 16, 3, padding=1), nn.Conv2d(16, 16, 3, padding=1)])
            self.norms = nn.ModuleList([nn.BatchNorm2d(16, 1e-3), nn.BatchNorm2d(16, 1e-3)])
            self.down = nn.ModuleList([Block(16, 32), Block(32, 64), Block(64, 128), Block(128, 256)])
            self.up = nn.ModuleList([Block(384, 128), Block(192, 64), Block(96, 32), Block(48, 16)])
            self.logit = nn.Conv2d(16, 1, 1)

        def forward(self, x):
            for conv, norm in zip(self.convs, self.norms):
                x = norm(F.relu(conv(x)))
            skips = []
            for block in self.down:
                skips.append(x)
                x = block(F.max_pool2d(x, 2))
            for block in self.up:
                x = block(torch.cat([F.interpolate(x, scale_factor=2, mode="nearest"), skips.pop()], 1))
            return torch.sigmoid(self.logit(x))

    if name == "resnet-classifier":
        return Classifier()
    if name == "resunet":
        return ResUnet()
    from torchvision import models

    if name == "vgg16":
        return nn.Sequential(models.vgg16(weights=None).features, nn.Flatten(), nn.Linear(25088, 4), nn.Softmax(1))
    if name == "resnet50":
        net = models.resnet50(weights=None)
        for module in net.modules():
            # Keras' version 1 has the stride on the first 1×1.
            if getattr(module, "conv2", None) is not None and module.conv2.stride == (2, 2):
                module.conv1.stride, module.conv2.stride = (2, 2), (1, 1)
        net.fc = nn.Sequential(nn.Linear(2048, 128), nn.ReLU(), nn.Linear(128, 4), nn.Softmax(1))
        return net
    net = models.inception_v3(weights=None, aux_logits=False, transform_input=False, init_weights=False)
    net.fc = nn.Sequential(nn.Linear(2048, 256), nn.ReLU(), nn.Linear(256, 4), nn.Softmax(1))
    return net


# Networks in Keras -----------------------------------------------------------------------------------------------------


def keras_network(name):
    import keras
    from keras import layers as L

    side = SIDES[name]
    x = inputs = keras.Input((side, side, 3))

    def norm(x):
        return L.BatchNormalization()(x)

    def block(x, filters):
        y = L.ReLU()(norm(L.Conv2D(filters, 1)(x)))
        y = norm(L.Conv2D(filters, 3, padding="same")(y))
        return L.ReLU()(L.Add()([y, norm(L.Conv2D(filters, 1)(x))]))

    def stem(x, filters):
        return L.ReLU()(L.MaxPool2D()(norm(L.Conv2D(filters, 3)(x))))

    if name == "resnet-classifier":
        x = stem(stem(x, 32), 64)
        for filters in (64, 128, 256):
            x = block(x, filters)
        x = L.Flatten()(L.AveragePooling2D(2)(stem(x, 256)))
        for units in (128, 128, 64):
            x = norm(L.Dense(units, activation="relu")(x))
        return keras.Model(inputs, L.Dense(1, activation="sigmoid")(x))
    if name == "resunet":
        for _ in range(2):
            x = norm(L.Conv2D(16, 3, padding="same", activation="relu")(x))
        skips = []
        for filters in (32, 64, 128, 256):
            skips.append(x)
            x = block(L.MaxPool2D()(x), filters)
        for filters in (128, 64, 32, 16):
            x = block(L.Concatenate()([L.UpSampling2D()(x), skips.pop()]), filters)
        return keras.Model(inputs, L.Conv2D(1, 1, activation="sigmoid")(x))
    applications = keras.applications
    base = {"vgg16": applications.VGG16, "resnet50": applications.ResNet50, "inception-v3": applications.InceptionV3}[name]
    x = base(weights=None, include_top=False, input_tensor=inputs).output
    x = L.Flatten()(x) if name == "vgg16" else L.GlobalAveragePooling2D()(x)
    return keras.Model(inputs, L.Dense(4, activation="softmax")(x))


# One engine, in a process of its own -----------------------------------------------------------------------------------


def runner(engine, name, batch, threads):
    """A function that runs the network once on a batch."""
    import numpy as np

    side = SIDES[name]
    x = np.random.default_rng(1).random((batch, 3, side, side), dtype="float32")
    if engine == "onnxruntime":
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        session = onnxruntime.InferenceSession(onnx_file(name), options, providers=["CPUExecutionProvider"])
        return lambda: session.run(None, {"x": x})
    if engine.startswith("pytorch"):
        import torch

        torch.set_num_threads(threads)
        net = torch_network(name).eval().to(memory_format=torch.channels_last)
        images = torch.from_numpy(x).to(memory_format=torch.channels_last)
        half = engine.endswith("bf16")

        def run():
            with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16, enabled=half):
                return net(images)

        return run
    os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
    import tensorflow as tf

    tf.config.threading.set_intra_op_parallelism_threads(threads)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    net = keras_network(name)
    images = tf.constant(x.transpose(0, 2, 3, 1).copy())
    call = tf.function(lambda t: net(t, training=False))
    return lambda: call(images).numpy()


def onnx_file(name):
    path = os.path.join(tempfile.gettempdir(), f"lesionlens-compare-{name}.onnx")
    if not os.path.exists(path):
        import torch

        image = torch.zeros(1, 3, SIDES[name], SIDES[name])
        axes = {"x": {0: "batch"}}
        torch.onnx.export(torch_network(name).eval(), (image,), path, input_names=["x"], dynamic_axes=axes, dynamo=False)
    return path


def training_step(name, threads):
    """A function that runs one step of training at batch 16 in PyTorch, f32, channels last, Adam."""
    import torch

    torch.set_num_threads(threads)
    net = torch_network(name).train().to(memory_format=torch.channels_last)
    optimiser = torch.optim.AdamW(net.parameters(), 1e-4)
    x = torch.rand(16, 3, 256, 256).to(memory_format=torch.channels_last)
    target = torch.randint(0, 2, (16, 1) if name == "resnet-classifier" else (16, 1, 256, 256)).float()

    def run():
        optimiser.zero_grad()
        torch.nn.functional.binary_cross_entropy(net(x), target).backward()
        optimiser.step()

    return run


def median_ms(run, runs):
    run()
    run()
    times = []
    for _ in range(runs):
        started = time.perf_counter()
        run()
        times.append((time.perf_counter() - started) * 1e3)
    return statistics.median(times)


def worker(args):
    engine, name, batch, runs, threads = args[0], args[1], int(args[2]), int(args[3]), int(args[4])
    run = training_step(name, threads) if engine == "train" else runner(engine, name, batch, threads)
    print(median_ms(run, runs) / (1 if engine == "train" else batch))


# All engines, interleaved ----------------------------------------------------------------------------------------------


def measure(engine, name, batch, runs, threads):
    """Median milliseconds per slice, from a fresh process."""
    if engine.startswith("lesionlens"):
        command = [PROGRAM, "bench", "--architecture", name]
        command += ["--isa", engine.split()[1]] if " " in engine else []
        command += ["--batch", str(batch), "--runs", str(runs), "--threads", str(threads), "--json", "-"]
        return json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)["network_ms"]
    environment = dict(os.environ, OMP_NUM_THREADS=str(threads))
    command = [sys.executable, __file__, "worker", engine, name, str(batch), str(runs), str(threads)]
    return float(subprocess.run(command, check=True, capture_output=True, text=True, env=environment).stdout.split()[-1])


def processor():
    try:
        with open("/proc/cpuinfo") as info:
            return next(line.split(":")[1].strip() for line in info if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor()


def paths():
    """The instruction sets that this processor has."""
    report = subprocess.run([PROGRAM, "doctor"], capture_output=True, text=True).stdout
    line = next(line for line in report.splitlines() if line.startswith("cpu paths"))
    return line.removeprefix("cpu paths").split(";")[0].strip().split(", ")


def table(title, rows, columns, times):
    base = "onnxruntime"
    print(f"\n{title}\n\n| | " + " | ".join(columns) + " |\n|---|" + "---|" * len(columns))
    for row in rows:
        cells = []
        for column in columns:
            time_ms, reference = times[row, column], times[base, column]
            cells.append(f"{time_ms:.1f} ms ({time_ms / reference:.2f})")
        print(f"| {row} | " + " | ".join(cells) + " |", flush=True)


def collect(cells, rounds, runs, threads):
    """Median over rounds of every (engine, network, batch), each round in the same order."""
    seen = {cell: [] for cell in cells}
    for number in range(rounds):
        for engine, name, batch in cells:
            few = max(3, runs // batch)
            seen[engine, name, batch].append(measure(engine, name, batch, few, threads))
        print(f"round {number + 1} of {rounds} done", file=sys.stderr)
    return {cell: statistics.median(values) for cell, values in seen.items()}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--runs", type=int, default=20, help="runs a process, at batch 1")
    parser.add_argument("--engines", default="onnxruntime,pytorch,pytorch bf16,tensorflow")
    parser.add_argument("--networks", default=",".join(SIDES))
    parser.add_argument("--train", action="store_true")
    args = parser.parse_args()
    print(f"{processor()}, {args.threads} threads, {args.rounds} rounds, ms a slice (share of ONNX Runtime's)")
    networks = args.networks.split(",")
    if args.train:
        pair = [n for n in networks if n in ("resnet-classifier", "resunet")]
        for name in pair:
            ours, theirs = [], []
            for _ in range(args.rounds):
                command = [PROGRAM, "bench", "--architecture", name, "--train", "--runs", "3"]
                command += ["--threads", str(args.threads), "--json", "-"]
                figures = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
                ours.append(figures["step_ms"])
                theirs.append(measure("train", name, 16, 3, args.threads))
            a, b = statistics.median(ours), statistics.median(theirs)
            memory = figures["peak_memory_mib"] / 1024
            print(f"{name}: {a:.0f} ms a step, PyTorch {b:.0f} ms, ratio {a / b:.2f}; peak {memory:.1f} GiB", flush=True)
        return
    engines = args.engines.split(",") + ["lesionlens"] + [f"lesionlens {isa}" for isa in paths() if isa != "portable"]
    pair = [n for n in networks if n in ("resnet-classifier", "resunet")]
    others = [n for n in networks if n not in pair]
    for batch in (1, 16) if pair else ():
        cells = [(engine, name, batch) for name in pair for engine in engines]
        found = collect(cells, args.rounds, args.runs, args.threads)
        times = {(engine, name): found[engine, name, batch] for engine, name, batch in cells}
        if len(pair) == 2:
            for engine in engines:
                times[engine, "both"] = sum(times[engine, name] for name in pair)
        table(f"256², batch {batch}", engines, pair + ["both"] * (len(pair) == 2), times)
    if others:
        cells = [(engine, name, 1) for name in others for engine in engines]
        found = collect(cells, args.rounds, args.runs, args.threads)
        table("224², batch 1", engines, others, {(engine, name): found[engine, name, 1] for engine, name, _ in cells})


if __name__ == "__main__":
    if len(sys.argv) > 1 and sys.argv[1] == "worker":
        worker(sys.argv[2:])
    else:
        main()
