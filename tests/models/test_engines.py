"""Every engine gives every image model's answers, says in one line what it cannot do, and reports to nobody."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from conftest import ROOT, SHARED
from torch import nn

import models
from models import engines
from models.engines import BOUNDS, Classifier, Difference, EngineError, Portable, Source
from models.inputs.preprocessing import prepare

VIT = {"architecture": "vit_tiny_patch16_224", "patch_size": 4, "embed_dim": 32, "depth": 2, "num_heads": 2}
NETWORKS: dict[str, tuple[str, dict[str, Any]]] = {
    "resnet18": ("resnet18", {"width": 8}),
    "vit": ("vit", VIT),
    "vit_tome 0": ("vit_tome", VIT),
    "vit_tome 0.5": ("vit_tome", VIT | {"tome_ratio": 0.5}),
    "scratch_vit": ("scratch_vit", {"patch_size": 4, "width": 32, "depth": 2, "heads": 2, "feed_forward": 64}),
}
HALF = (0.4, 0.5, 0.6)
# Each conversion takes seconds: merging, which has the most operations of its own, stands for all in the fast tests.
CONVERTED = [pytest.param(name, marks=() if name == "vit_tome 0.5" else pytest.mark.slow) for name in NETWORKS]
needs_runtimes = pytest.mark.usefixtures("runtimes")


@pytest.fixture(scope="module")
def runtimes() -> None:
    for package in ("onnxruntime", "onnxscript", "openvino", "nncf"):
        if importlib.util.find_spec(package) is None:  # importing OpenVINO here would report it to its makers
            pytest.skip(f"{package} is not installed: {engines.EXTRA}")


def build(name: str, size: int = 16) -> nn.Module:
    torch.manual_seed(0)
    model, options = NETWORKS[name]
    network = models.build(model, num_classes=10, image_size=size, **options).eval()
    return network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]


def noise(count: int, height: int, width: int | None = None) -> np.ndarray:
    rng = np.random.default_rng(0)
    return rng.integers(0, 256, (count, height, width or height, 3), dtype=np.uint8)


def source(height: int, width: int | None = None, size: int = 16) -> Source:
    return Source(height, width or height, size, HALF, (0.2, 0.3, 0.4))


def compiled(engine: str, network: nn.Module, of: Source, **options: Any) -> Any:
    options = {"threads": 1, "calibration": None, "bfloat16": False} | options
    return engines.find(engine).compile(Classifier(network, of), **options)


def by_hand(network: nn.Module, images: np.ndarray, of: Source) -> np.ndarray:
    with torch.no_grad():
        pixels = prepare(torch.tensor(images), of.size, torch.tensor(of.mean), torch.tensor(of.std))
        return network(pixels).float().numpy()


def test_the_engines_are_the_files() -> None:
    assert engines.available() == ["onnxruntime", "openvino", "openvino_int8", "torch", "torch_compile"]
    with pytest.raises(EngineError, match="unknown engine 'onnx'; did you mean 'onnxruntime'"):
        engines.find("onnx")


@pytest.mark.parametrize("name", engines.available())
def test_an_engine_has_the_names_of_the_protocol(name: str) -> None:
    engine = engines.find(name)
    assert "cpu" in engine.DEVICES and callable(engine.compile)
    assert isinstance(engine, Portable) != name.startswith("torch")


@pytest.mark.parametrize("name", NETWORKS)
def test_eager_is_the_network_itself(name: str) -> None:
    network, images, of = build(name), noise(5, 20, 24), source(20, 24)
    runner = compiled("torch", network, of)
    np.testing.assert_allclose(runner(images), by_hand(network, images, of), atol=1e-5)
    assert runner.dtype == "float32"


@pytest.mark.parametrize("name", NETWORKS)
def test_bfloat16_weights_are_those_of_autocast(name: str) -> None:
    network, images, of = build(name), noise(5, 16), source(16)
    runner = compiled("torch", network, of, bfloat16=True)
    with torch.autocast("cpu", torch.bfloat16, enabled=runner.dtype == "bfloat16"):
        np.testing.assert_allclose(runner(images), by_hand(network, images, of), atol=0.02)
    assert all(parameter.dtype == torch.float32 for parameter in network.parameters())


@needs_runtimes
@pytest.mark.parametrize("engine", ["onnxruntime", "openvino"])
@pytest.mark.parametrize("name", CONVERTED)
def test_answers_are_those_of_eager_float32(name: str, engine: str, tmp_path: Path) -> None:
    """At any batch size, and again after loading; images are resized up on the way."""
    network, images, of = build(name), noise(37, 12), source(12)
    reference, runner = compiled("torch", network, of), compiled(engine, network, of)
    difference = engines.check(engine, reference, runner, images)
    assert difference.equal == 1 and difference.largest < 1e-5 and difference.images == 37
    runner.save(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == set(engines.find(engine).FILES)
    loaded = engines.find(engine).load(tmp_path, threads=1, bfloat16=False)
    np.testing.assert_allclose(loaded(images[:1]), reference(images[:1]), atol=1e-5)


@needs_runtimes
def test_engines_share_what_they_read() -> None:
    """A graph that one of them changed while it converted it would give the next another network."""
    classifier, images = Classifier(build("scratch_vit"), source(16)), noise(3, 16)
    options: dict[str, Any] = {"threads": 1, "calibration": images, "bfloat16": False}
    first, *others = [
        engines.find(name).compile(classifier, **options)(images)
        for name in ("torch", "openvino", "onnxruntime", "openvino_int8", "openvino")
    ]
    for name, answers in zip(("openvino", "onnxruntime", "openvino_int8", "openvino"), others, strict=True):
        np.testing.assert_allclose(answers, first, atol=0.3 if name == "openvino_int8" else 1e-5)


@needs_runtimes
@pytest.mark.parametrize("engine", ["onnxruntime", "openvino"])
@pytest.mark.parametrize("shape", [(40, 33), pytest.param((12, 30), marks=pytest.mark.slow)])
def test_images_of_another_size_are_resized_as_in_training(engine: str, shape: tuple[int, int]) -> None:
    network, images, of = build("resnet18"), noise(3, *shape), source(*shape)
    np.testing.assert_allclose(compiled(engine, network, of)(images), by_hand(network, images, of), atol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("name", NETWORKS)
def test_compiled_torch(name: str) -> None:
    network, images, of = build(name), noise(5, 16), source(16)
    runner, reference = compiled("torch_compile", network, of), compiled("torch", network, of)
    for batch in (images,) if name == "vit" else (images, images[:3]):
        np.testing.assert_allclose(runner(batch), reference(batch), atol=1e-4)


@needs_runtimes
@pytest.mark.parametrize("name", ["resnet18", pytest.param("vit_tome 0.5", marks=pytest.mark.slow)])
def test_int8_is_close_and_loads_again(name: str, tmp_path: Path) -> None:
    network, images, of = build(name), noise(8, 16), source(16)
    runner = compiled("openvino_int8", network, of, calibration=images)
    difference = engines.compare(compiled("torch", network, of), runner, images)
    assert runner.dtype == "int8" and 1e-6 < difference.largest < 0.5
    runner.save(tmp_path)
    loaded = engines.find("openvino_int8").load(tmp_path, threads=1, bfloat16=False)
    assert loaded.dtype == "int8"
    np.testing.assert_allclose(loaded(images), runner(images), atol=1e-4)


def test_int8_needs_training_images() -> None:
    with pytest.raises(EngineError, match="openvino_int8 needs training images to calibrate with; name a folder"):
        compiled("openvino_int8", build("resnet18"), source(16))


class Sorted(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.flatten(1).sort(dim=1, stable=True).values[:, :10]


class Fourier(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.fft.rfft(x.flatten(1)).abs()[:, :10]


@needs_runtimes
@pytest.mark.parametrize(
    ("engine", "layer", "obstacle"),
    [
        ("onnxruntime", Sorted(), r"ONNX has no aten\.sort\.stable"),
        ("openvino", Fourier(), r"OpenVINO has no aten\._fft_r2c\.default"),
    ],
)
def test_an_operation_that_an_engine_lacks_is_one_line(engine: str, layer: nn.Module, obstacle: str) -> None:
    with pytest.raises(EngineError, match=rf"^engine {engine} cannot run this network: {obstacle}$"):
        compiled(engine, nn.Sequential(nn.Conv2d(3, 3, 1), layer), source(16))


class Branching(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.flatten(1)[:, :10] if x.sum() > 0 else x.flatten(1)[:, -10:]


@needs_runtimes
@pytest.mark.parametrize("engine", ["onnxruntime", "openvino"])
def test_a_network_that_torch_cannot_trace_is_one_line(engine: str) -> None:
    with pytest.raises(EngineError, match=r"^torch cannot trace this network, so only torch runs it: ") as error:
        compiled(engine, nn.Sequential(nn.Conv2d(3, 3, 1), Branching()), source(16))
    assert "\n" not in str(error.value)


def test_other_answers_are_refused_by_name() -> None:
    network, other, of = build("resnet18"), build("vit"), source(16)
    reference, runner = compiled("torch", network, of), compiled("torch", other, of)
    message = r"^engine wrong \(float32\) is refused: same class on .*; needed are 99\.9% and logits within 0\.001$"
    with pytest.raises(EngineError, match=message):
        engines.check("wrong", reference, runner, noise(20, 16))


def test_a_bound_holds_for_numbers_only() -> None:
    bound = BOUNDS["float32"]
    assert bound.holds(Difference(1e-3, 0.999, 2000)) and not bound.holds(Difference(1.1e-3, 1, 2000))
    assert not bound.holds(Difference(0, 0.9985, 2000))

    class Broken:
        dtype = "float32"

        def __call__(self, images: np.ndarray) -> np.ndarray:
            return np.full((len(images), 10), np.nan, dtype=np.float32)

    network, of = build("resnet18"), source(16)
    assert engines.compare(compiled("torch", network, of), Broken(), noise(3, 16)).largest == np.inf


@needs_runtimes
@pytest.mark.parametrize("engine", ["onnxruntime", "openvino", "openvino_int8"])
def test_damaged_and_missing_files_are_one_line(engine: str, tmp_path: Path) -> None:
    portable = engines.find(engine)
    assert isinstance(portable, Portable)
    for content in (None, b"not a model"):
        if content:
            (tmp_path / portable.FILES[0]).write_bytes(content)
        with pytest.raises(EngineError, match=r"model\.\w+ cannot be read .*; export the model again") as error:
            portable.load(tmp_path, threads=1, bfloat16=False)
        assert "\n" not in str(error.value)


def alone(code: str) -> str:
    result = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    return result.stdout.strip()


@needs_runtimes
@pytest.mark.parametrize("engine", ["openvino", pytest.param("openvino_int8", marks=pytest.mark.slow)])
def test_ctrl_c_reaches_a_process_that_used_an_engine_twice(engine: str) -> None:
    """OpenVINO exchanges the stack on which signals are handled, and took it away in the wrong order."""
    code = f"""
import signal
import numpy as np, torch
from models import engines
from models.engines import Classifier, Source
network = torch.nn.Sequential(torch.nn.Conv2d(3, 10, 8), torch.nn.Flatten())
images = np.zeros((9, 8, 8, 3), dtype=np.uint8)
source = Source(8, 8, 8, (0.5, 0.5, 0.5), (1, 1, 1))
def runner():
    return engines.find("{engine}").compile(Classifier(network, source), threads=1, calibration=images, bfloat16=False)
first, second = runner(), runner()
del first
del second
signal.signal(signal.SIGINT, signal.default_int_handler)  # a test run in the background ignores it
try:
    signal.raise_signal(signal.SIGINT)
except KeyboardInterrupt:
    print("interrupted")
"""
    assert alone(code) == "interrupted"


@needs_runtimes
@pytest.mark.parametrize("engine", ["torch", "onnxruntime", "openvino"])
def test_an_engine_that_has_answered_leaves_the_processors_to_others(engine: str) -> None:
    network = nn.Sequential(nn.Conv2d(3, 64, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64, 10))
    runner = compiled(engine, network.eval(), source(64, size=64), threads=2)
    images = noise(8, 64)
    used = []
    for _ in range(5):
        runner(images)
        start = time.process_time()  # of all threads
        time.sleep(0.03)
        used.append(time.process_time() - start)
    assert min(used) < 0.01  # a thread that waits at full speed uses the 30 ms


def test_importing_the_engines_is_light() -> None:
    heavy = "{'torch', 'timm', 'onnxruntime', 'onnx', 'openvino', 'nncf', 'ray', 'pandas'}"
    load = "[e.find(name) for name in e.available() if not name.startswith('torch')]"
    assert alone(f"import sys; from models import engines as e; {load}; print({heavy} & set(sys.modules))") == "set()"


@pytest.mark.parametrize("engine", ["onnxruntime", "openvino"])
def test_a_missing_package_is_one_line(engine: str, tmp_path: Path) -> None:
    (tmp_path / "model.onnx").write_bytes(b"")
    code = f"""
import pathlib, sys
sys.modules["{engine}"] = None  # importing it fails as if it were not installed
from models import engines
try:
    engines.find("{engine}").load(pathlib.Path({str(tmp_path)!r}), threads=1, bfloat16=False)
except engines.EngineError as error:
    print(error)
"""
    assert alone(code) == f"engine {engine} needs the package {engine}, which is not installed: {engines.EXTRA}"


@pytest.mark.slow
@needs_runtimes
def test_nothing_is_reported_over_the_network(tmp_path: Path) -> None:
    """OpenVINO reports its import from a process of its own, and keeps an id of the user in the home folder."""
    code = """
import os, sys, time
import numpy as np
sys.path += ["tests", "tests/models"]
from test_engines import build, compiled, source
def listen(event, arguments):
    if event in ("socket.connect", "socket.getaddrinfo", "socket.sendto"):
        os.write(2, b"an attempt to connect")
        raise OSError("barred")
sys.addaudithook(listen)
images = np.zeros((2, 16, 16, 3), np.uint8)
for name in ("onnxruntime", "openvino", "openvino_int8"):
    compiled(name, build("resnet18"), source(16), calibration=images)(images)
time.sleep(0.5)
print("done")
"""
    environment = {name: value for name, value in os.environ.items() if name != "CI"} | {"HOME": str(tmp_path)}
    result = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False, env=environment
    )
    assert result.stdout.endswith("done\n") and "connect" not in result.stderr, result.stderr
    assert not (tmp_path / "intel").exists()


@pytest.mark.slow
@needs_runtimes
@pytest.mark.parametrize("engine", ["onnxruntime", "openvino"])
@pytest.mark.parametrize("name", NETWORKS)
def test_answers_on_two_thousand_real_images(name: str, engine: str) -> None:
    from trainables.data.images.sets import cifar10

    if not (SHARED / "data" / "cifar10").exists():
        pytest.skip(f"no CIFAR-10 in {SHARED / 'data'}")
    images = cifar10.load(SHARED / "data", 32, 0).test.images[:2000]
    network, of = build(name, 32), source(32, size=32)
    difference = engines.check(engine, compiled("torch", network, of), compiled(engine, network, of), images)
    assert difference.images == 2000
