"""Sliding windows over the spatial axes of (N, C, spatial...): im2col and pooling."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]


@dataclass(frozen=True, slots=True)
class Windows:
    """Windows on an input of given size; every list has one entry a spatial axis.

    Attributes:
        kernel, strides, dilations: Geometry of a window.
        begins: Padding before the first element.
        sizes: Elements of the input.
        counts: Windows.
        pads_end: Declared padding behind the last element.
    """

    kernel: tuple[int, ...]
    strides: tuple[int, ...]
    dilations: tuple[int, ...]
    begins: tuple[int, ...]
    sizes: tuple[int, ...]
    counts: tuple[int, ...]
    pads_end: tuple[int, ...]

    @classmethod
    def of_pool(cls, attributes: Mapping[str, Any], sizes: Sequence[int]) -> Self:
        """Windows of a pooling operator on an input with spatial `sizes`.

        In ceil mode a window that would start behind the input and its first padding is
        left out.
        """
        kernel = tuple(attributes["kernel_shape"])
        n = len(kernel)
        strides = tuple(attributes.get("strides") or [1] * n)
        dilations = tuple(attributes.get("dilations") or [1] * n)
        spans = [d * (k - 1) + 1 for k, d in zip(kernel, dilations, strict=True)]
        pads = list(attributes.get("pads") or [0] * 2 * n)
        mode = attributes.get("auto_pad", "NOTSET")
        if mode.startswith("SAME"):
            pads = _same_pads(sizes, spans, strides, upper=mode == "SAME_UPPER")
        elif mode == "VALID":
            pads = [0] * 2 * n
        ceil = attributes.get("ceil_mode", 0)
        counts = [
            _count(sizes[i], spans[i], strides[i], (pads[i], pads[i + n]), ceil=bool(ceil))
            for i in range(n)
        ]
        return cls(
            kernel=kernel,
            strides=strides,
            dilations=dilations,
            begins=tuple(pads[:n]),
            sizes=tuple(sizes),
            counts=tuple(counts),
            pads_end=tuple(pads[n:]),
        )

    @property
    def ends(self) -> tuple[int, ...]:
        """Elements that the windows reach behind the input, a spatial axis each."""
        return tuple(
            max((c - 1) * s + (k - 1) * d + 1 - b - n, 0)
            for c, s, k, d, b, n in zip(
                self.counts,
                self.strides,
                self.kernel,
                self.dilations,
                self.begins,
                self.sizes,
                strict=True,
            )
        )

    @property
    def padded(self) -> bool:
        """Whether any window reaches beyond the input."""
        return any(self.begins) or any(self.ends)

    def pad(self, x: Array, value: float) -> Array:
        """`x` of shape (N, C, spatial...) with all elements that the windows reach."""
        if not self.padded:
            return x
        shape = [n + b + e for n, b, e in zip(self.sizes, self.begins, self.ends, strict=True)]
        y = np.full((*x.shape[:2], *shape), value, dtype=x.dtype)
        inner = [slice(b, b + n) for b, n in zip(self.begins, self.sizes, strict=True)]
        y[(..., *inner)] = x
        return y

    def views(self, padded: Array) -> Iterator[Array]:
        """For each kernel position, in row-major order, its element in every window."""
        for offset in product(*(range(k) for k in self.kernel)):
            index = tuple(
                slice(o * d, o * d + (c - 1) * s + 1, s)
                for o, d, c, s in zip(
                    offset, self.dilations, self.counts, self.strides, strict=True
                )
            )
            yield padded[(..., *index)]

    def columns(self, padded: Array) -> Array:
        """im2col: shape (N, C, kernel positions, windows)."""
        n, channels = padded.shape[:2]
        positions, windows = int(np.prod(self.kernel)), int(np.prod(self.counts))
        if positions == 1 and all(s == 1 for s in self.strides):
            return padded.reshape(n, channels, 1, windows)
        out = np.empty((n, channels, positions, *self.counts), dtype=padded.dtype)
        for position, view in enumerate(self.views(padded)):
            out[:, :, position] = view
        return out.reshape(n, channels, positions, windows)


def _count(size: int, span: int, stride: int, pads: tuple[int, int], *, ceil: bool) -> int:
    room = size + pads[0] + pads[1] - span
    count = (-(-room // stride) if ceil else room // stride) + 1
    return count - (ceil and (count - 1) * stride >= size + pads[0])


def _same_pads(
    sizes: Sequence[int], spans: Sequence[int], strides: Sequence[int], *, upper: bool
) -> list[int]:
    """Pads with which there are ceil(size / stride) windows, the odd one last if `upper`."""
    totals = [
        max((-(-n // s) - 1) * s + span - n, 0)
        for n, span, s in zip(sizes, spans, strides, strict=True)
    ]
    small, large = [t // 2 for t in totals], [t - t // 2 for t in totals]
    return small + large if upper else large + small
