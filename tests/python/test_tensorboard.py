"""`lamina.utils.tensorboard`: what is written is what TensorBoard reads."""

from __future__ import annotations

import subprocess
import sys

import lamina
import numpy as np
import pytest

try:
    from lamina.utils.tensorboard import SummaryWriter
except ImportError:  # its message is tested below
    SummaryWriter = None

needs_package = pytest.mark.skipif(
    SummaryWriter is None, reason="needs the package tensorboard or tensorboardX"
)


def read(folder):
    module = "tensorboard.backend.event_processing.event_accumulator"
    reader = pytest.importorskip(module, reason="needs the package tensorboard, which reads files")
    events = reader.EventAccumulator(str(folder))
    events.Reload()
    return events


@needs_package
def test_what_is_written_is_read(tmp_path):
    with SummaryWriter(tmp_path / "run") as writer:
        assert writer.get_logdir() == str(tmp_path / "run")
        writer.add_scalar("loss", lamina.tensor(0.5), 3, walltime=12.0)
        writer.add_scalar("loss", 0.25, 4)
        writer.add_scalars("two/curves", {"a": 1, "b": np.float32(2)}, 1)
        writer.add_histogram("weights", lamina.tensor([[1.0, 2.0], [2.0, 4.0]]), 5, bins=3)
        writer.add_histogram("default", [1.0, 2.0], bins="tensorflow")
        writer.add_histogram("few", np.arange(9.0), bins=8, max_bins=2)
        writer.add_text("note", "**é**", 1)
        writer.add_image("color", lamina.ones(3, 4, 5), 1)
        writer.add_image("gray", np.full((4, 5), 7, "uint8"), dataformats="HW")
        writer.flush()
    writer.close()
    events = read(tmp_path / "run")
    loss = events.Scalars("loss")
    assert [(e.step, e.value) for e in loss] == [(3, 0.5), (4, 0.25)]
    assert loss[0].wall_time == 12.0
    part = read(tmp_path / "run" / "two_curves_b")
    assert [(e.step, e.value) for e in part.Scalars("two/curves")] == [(1, 2.0)]
    (weights,) = events.Histograms("weights")
    value = weights.histogram_value
    assert (weights.step, value.min, value.max, value.num) == (5, 1.0, 4.0, 4.0)
    assert (value.sum, value.sum_squares) == (9.0, 25.0)
    assert list(value.bucket_limit) == [1.0, 2.0, 3.0, 4.0]
    assert list(value.bucket) == [0.0, 1.0, 2.0, 1.0]
    assert len(events.Histograms("default")[0].histogram_value.bucket) == 65
    assert list(events.Histograms("few")[0].histogram_value.bucket) == [0.0, 4.0, 5.0]
    (note,) = events.Tensors("note/text_summary")
    assert note.tensor_proto.string_val == ["**é**".encode()]
    assert (events.Images("color")[0].width, events.Images("color")[0].height) == (5, 4)


@needs_package
@pytest.mark.parametrize(
    ("array", "order"),
    [
        (np.arange(60, dtype="uint8").reshape(3, 4, 5), "CHW"),
        (np.arange(80, dtype="uint8").reshape(4, 5, 4), "HWC"),
        (np.arange(20, dtype="uint8").reshape(1, 4, 5), "CHW"),
        (np.arange(20, dtype="uint8").reshape(4, 5), "HW"),
    ],
)
def test_images_are_png(tmp_path, array, order):
    image = pytest.importorskip("PIL.Image", reason="needs Pillow, which decodes the image")
    import io

    with SummaryWriter(tmp_path) as writer:
        writer.add_image("x", array, dataformats=order)
        writer.add_image("floats", array / 255, dataformats=order)
    want = np.moveaxis(array, 0, -1) if order == "CHW" else array
    for name in ("x", "floats"):
        (event,) = read(tmp_path).Images(name)
        got = np.asarray(image.open(io.BytesIO(event.encoded_image_string)))
        # (k / 255) * 255 may round to just below k, and is then cut
        assert abs(got.astype(int) - want.squeeze(-1 if want.shape[-1] == 1 else ()).astype(int)
                   ).max() <= (name == "floats")  # fmt: skip


@needs_package
def test_the_default_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with SummaryWriter(comment="-test", filename_suffix=".end", purge_step=2) as writer:
        writer.add_scalar("a", 1, 2)
    (folder,) = (tmp_path / "runs").iterdir()
    assert folder.name.endswith("-test")
    (file,) = folder.iterdir()
    assert file.name.endswith(".end")
    assert [e.value for e in read(folder).Scalars("a")] == [1.0]


@needs_package
@pytest.mark.parametrize(
    ("act", "error", "text"),
    [
        (lambda w: w.add_graph(None), NotImplementedError, "add_graph: models are not traced"),
        (lambda w: w.add_histogram("h", []), ValueError, "the values of 'h' are empty"),
        (lambda w: w.add_histogram("h", [np.nan]), ValueError, "of 'h' are infinite or NaN"),
        (lambda w: w.add_image("i", np.ones((2, 2))), ValueError, r"'CHW' does not fit \[2, 2\]"),
        (lambda w: w.add_image("i", np.ones((2, 2, 2))), ValueError, "1, 3 or 4 channels, got 2"),
    ],
)
def test_bad_use(tmp_path, act, error, text):
    with SummaryWriter(tmp_path) as writer, pytest.raises(error, match=text):
        act(writer)


def test_without_the_package():
    code = (
        "import sys\n"
        "sys.modules['tensorboard'] = sys.modules['tensorboardX'] = None\n"
        "import lamina.utils\n"
        "try: from lamina.utils.tensorboard import SummaryWriter\n"
        "except ImportError as error: print(error, '|', error.name)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert done.stdout == (
        "lamina.utils.tensorboard needs the package tensorboard (or tensorboardX): "
        "pip install 'lamina[tensorboard]' | tensorboard\n"
    ), done.stderr
