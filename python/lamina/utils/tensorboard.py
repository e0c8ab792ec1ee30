"""Curves, histograms, texts and images for TensorBoard.

Needs the package ``tensorboard`` or ``tensorboardX``, which write the files.
"""

from __future__ import annotations

import struct
import time
import zlib
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lamina import _core

try:
    from tensorboard.compat.proto.event_pb2 import Event
    from tensorboard.compat.proto.summary_pb2 import HistogramProto, Summary
    from tensorboard.summary.writer.event_file_writer import EventFileWriter
except ImportError:
    try:
        from tensorboardX.event_file_writer import EventFileWriter
        from tensorboardX.proto.event_pb2 import Event
        from tensorboardX.proto.summary_pb2 import HistogramProto, Summary
    except ImportError:
        raise ImportError(
            "lamina.utils.tensorboard needs the package tensorboard (or tensorboardX): "
            "pip install 'lamina[tensorboard]'",
            name="tensorboard",
        ) from None

if TYPE_CHECKING:
    import os
    from collections.abc import Mapping

    import numpy.typing as npt

    Array = npt.NDArray[Any]

__all__ = ["SummaryWriter"]

_BINS = 64


class SummaryWriter:
    """Writes a run for TensorBoard.

    Parameters
    ----------
    log_dir : str or os.PathLike, optional
        Folder of the run. Default: one below ``runs`` named by time and machine.
    comment : str, default ""
        Added to the default folder's name.
    purge_step : int, optional
        After a crash: TensorBoard hides what was written from this step on.
    max_queue : int, default 10
        Events held back before they are written.
    flush_secs : int, default 120
        Seconds after which they are written anyway.
    filename_suffix : str, default ""
        Added to the file's name.

    Examples
    --------
    >>> import os, tempfile
    >>> folder = tempfile.mkdtemp()
    >>> with SummaryWriter(folder) as writer:
    ...     for step in range(3):
    ...         writer.add_scalar("loss", 1 / (step + 1), step)
    >>> len(os.listdir(folder))
    1
    """

    def __init__(
        self,
        log_dir: str | os.PathLike[str] | None = None,
        comment: str = "",
        purge_step: int | None = None,
        max_queue: int = 10,
        flush_secs: int = 120,
        filename_suffix: str = "",
    ) -> None:
        if log_dir is None:
            import socket

            now = datetime.now().strftime("%b%d_%H-%M-%S")
            log_dir = Path("runs") / f"{now}_{socket.gethostname()}{comment}"
        self.log_dir = str(log_dir)
        self._options = (max_queue, flush_secs, filename_suffix)
        self._file = EventFileWriter(self.log_dir, *self._options)
        self._parts: dict[str, SummaryWriter] = {}
        if purge_step is not None:
            self._add(purge_step, None, file_version="brain.Event:2")
            self._add(purge_step, None, session_log={"status": 1})  # a new start

    def get_logdir(self) -> str:
        """Return the folder of the run."""
        return self.log_dir

    def _add(self, step: int | None, walltime: float | None, **content: Any) -> None:
        event = Event(wall_time=time.time() if walltime is None else walltime, **content)
        if step is not None:
            event.step = int(step)
        self._file.add_event(event)

    def _add_value(self, step: int | None, walltime: float | None, **value: Any) -> None:
        self._add(step, walltime, summary=Summary(value=[Summary.Value(**value)]))

    def add_scalar(
        self,
        tag: str,
        scalar_value: Any,
        global_step: int | None = None,
        walltime: float | None = None,
    ) -> None:
        """Add a number (or a tensor of one element) to the curve ``tag``."""
        value = scalar_value.item() if hasattr(scalar_value, "item") else float(scalar_value)
        self._add_value(global_step, walltime, tag=tag, simple_value=value)

    def add_scalars(
        self,
        main_tag: str,
        tag_scalar_dict: Mapping[str, Any],
        global_step: int | None = None,
        walltime: float | None = None,
    ) -> None:
        """Add a number to each of several curves that share one plot; each is a run of its own."""
        for name, value in tag_scalar_dict.items():
            folder = f"{self.log_dir}/{main_tag.replace('/', '_')}_{name}"
            if folder not in self._parts:
                queue, seconds, suffix = self._options
                self._parts[folder] = SummaryWriter(
                    folder, max_queue=queue, flush_secs=seconds, filename_suffix=suffix
                )
            self._parts[folder].add_scalar(main_tag, value, global_step, walltime)

    def add_histogram(
        self,
        tag: str,
        values: Any,
        global_step: int | None = None,
        bins: int | str = _BINS,
        walltime: float | None = None,
        max_bins: int | None = None,
    ) -> None:
        """Add how the numbers of a tensor or array lie.

        ``bins`` is a number or a name that ``numpy.histogram`` knows; ``"tensorflow"``, which is
        PyTorch's default, means 64 of equal width here.

        Raises
        ------
        ValueError
            If there are no numbers, or one is infinite or NaN.
        """
        import numpy

        numbers = _array(values).reshape(-1).astype(numpy.float64)
        if not numbers.size or not numpy.isfinite(numbers).all():
            what = "infinite or NaN" if numbers.size else "empty"
            raise ValueError(f"add_histogram: the values of {tag!r} are {what}")
        if bins == "tensorflow":
            bins = _BINS
        counts, edges = numpy.histogram(numbers, bins)
        if max_bins is not None and len(counts) > max_bins:
            counts, edges = numpy.histogram(numbers, max_bins)
        histogram = HistogramProto(
            min=numbers.min(),
            max=numbers.max(),
            num=numbers.size,
            sum=numbers.sum(),
            sum_squares=numbers @ numbers,
            # A bucket is named by its upper end; an empty one says where the first begins.
            bucket_limit=edges.tolist(),
            bucket=[0.0, *counts.tolist()],
        )
        self._add_value(global_step, walltime, tag=tag, histo=histogram)

    def add_text(
        self,
        tag: str,
        text_string: str,
        global_step: int | None = None,
        walltime: float | None = None,
    ) -> None:
        """Add a text, shown as Markdown."""
        value = {
            "tag": f"{tag}/text_summary",
            "metadata": {"plugin_data": {"plugin_name": "text"}},
            "tensor": {
                "dtype": "DT_STRING",
                "string_val": [text_string.encode()],
                "tensor_shape": {"dim": [{"size": 1}]},
            },
        }
        self._add_value(global_step, walltime, **value)

    def add_image(
        self,
        tag: str,
        img_tensor: Any,
        global_step: int | None = None,
        walltime: float | None = None,
        dataformats: str = "CHW",
    ) -> None:
        """Add an image: uint8 in 0 to 255, or floats in 0 to 1.

        ``dataformats`` names the dimensions: "CHW", "HWC" or "HW", with 1, 3 or 4 channels.

        Raises
        ------
        ValueError
            If the shape does not fit ``dataformats``.
        """
        array = _array(img_tensor)
        order = dataformats.upper()
        if sorted(order) not in (["C", "H", "W"], ["H", "W"]) or array.ndim != len(order):
            raise ValueError(
                f"add_image: dataformats {dataformats!r} does not fit {list(array.shape)}; it is "
                "'CHW', 'HWC' or 'HW'"
            )
        if "C" not in order:
            array, order = array[None], "C" + order
        image = array.transpose([order.index(letter) for letter in "HWC"])
        height, width, channels = image.shape
        if channels not in (1, 3, 4):
            raise ValueError(f"add_image: an image has 1, 3 or 4 channels, got {channels}")
        if image.dtype != "uint8":
            image = (image.astype("float64") * 255).clip(0, 255).astype("uint8")
        content = {
            "height": height,
            "width": width,
            "colorspace": channels,
            "encoded_image_string": _png(image),
        }
        self._add_value(global_step, walltime, tag=tag, image=content)

    def add_graph(self, *_args: Any, **_kwargs: Any) -> None:
        """Refuse: models are not traced; :func:`lamina.summary` prints one."""
        raise NotImplementedError(
            "add_graph: models are not traced into graphs; lamina.summary(model, input_size) "
            "prints layers, shapes and parameters"
        )

    def flush(self) -> None:
        """Write what is held back."""
        for writer in (self, *self._parts.values()):
            writer._file.flush()

    def close(self) -> None:
        """Write what is held back and close the files; doing so twice is harmless."""
        for writer in (self, *self._parts.values()):
            writer._file.close()

    def __enter__(self) -> SummaryWriter:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _array(values: Any) -> Array:
    import numpy

    array: Array = numpy.asarray(
        values.detach().cpu().numpy() if isinstance(values, _core.Tensor) else values
    )
    return array


def _png(image: Array) -> bytes:
    """Encode uint8 ``[height, width, channels]`` as PNG (ISO/IEC 15948)."""
    height, width, channels = image.shape
    rows = b"".join(b"\0" + row.tobytes() for row in image)  # filter 0: as it is

    def chunk(kind: bytes, data: bytes) -> bytes:
        check = zlib.crc32(kind + data)
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", check)

    color = {1: 0, 3: 2, 4: 6}[channels]
    header = struct.pack(">IIBBBBB", width, height, 8, color, 0, 0, 0)
    body = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + body
