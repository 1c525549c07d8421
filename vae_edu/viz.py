"""Figures with alt text: the course's colours, `show`, and grids of images.

What belongs here: drawing that several lessons share. What does not: anything that
trains or judges.
"""

from __future__ import annotations

import base64
import html
import io
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from torch import Tensor

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Okabe & Ito's colours, told apart by people with any common kind of colour blindness
BLUE, ORANGE, GREEN, RED = "#0072B2", "#E69F00", "#009E73", "#D55E00"
SKY, PINK, YELLOW, BLACK = "#56B4E9", "#CC79A7", "#F0E442", "#000000"
COLOURS = (BLUE, ORANGE, GREEN, RED, PINK, SKY, BLACK)
MARKERS = ("o", "s", "^", "D", "v", "P", "X")


class Picture:
    """A finished figure with its alt text; a notebook shows it as an <img> with it."""

    def __init__(self, png: bytes, alt: str, width: int) -> None:
        self.png, self.alt, self.width = png, alt, width

    def __repr__(self) -> str:
        return f"[figure: {self.alt}]"

    def _repr_html_(self) -> str:
        data = base64.b64encode(self.png).decode("ascii")
        return (
            f'<img alt="{html.escape(self.alt, quote=True)}" width="{self.width}" '
            f'src="data:image/png;base64,{data}">'
        )


def axes(
    rows: int = 1,
    columns: int = 1,
    *,
    size: tuple[float, float] = (5.0, 3.2),
    **how: Any,
) -> tuple[Figure, Any]:
    """A figure and its axes; `size`: one panel, in inches; `how` goes to subplots."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(size[0] * columns, size[1] * rows), layout="constrained")
    return figure, figure.subplots(rows, columns, **how)


def show(figure: Figure, alt: str) -> Picture:
    """The figure as a picture: make it the last line of a cell.

    alt: what a reader who cannot see it needs to know: what is drawn and what it shows.
    Raises ValueError where the alt text is missing or an axis has no label.
    """
    if len(alt.strip()) < 20:
        raise ValueError("alt text should say what is drawn and what it shows")
    for panel in figure.axes:
        unlabelled = not (panel.get_xlabel() and panel.get_ylabel())
        if unlabelled and panel.axison and panel.get_label() != "<colorbar>":
            raise ValueError(
                "each axis needs a label with its unit (or set_axis_off())"
            )
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=110, metadata={"Software": None})
    return Picture(buffer.getvalue(), alt, round(figure.get_figwidth() * 100))


def image_grid(
    panel: Axes,
    images: Tensor,
    shape: tuple[int, int],
    columns: int = 10,
    names: Sequence[str] = (),
) -> None:
    """Draw flat images (n, height * width) in [0, 1] on one panel, row by row.

    names: of the rows, written on their left.
    """
    height, width = shape
    count = images.shape[0]
    rows = -(-count // columns)
    size = (rows * (height + 1), columns * (width + 1))
    canvas = images.new_full(size, 0.15)  # the gaps are light grey
    for i in range(count):
        top, left = (i // columns) * (height + 1), (i % columns) * (width + 1)
        canvas[top : top + height, left : left + width] = images[i].view(height, width)
    panel.imshow(canvas.detach().cpu().numpy(), cmap="gray_r", vmin=0, vmax=1)
    panel.set_axis_off()
    for row, name in enumerate(names):
        panel.text(
            -width / 4, (row + 0.5) * (height + 1), name, ha="right", va="center"
        )


def code_axes(
    panel: Axes,
    shape: tuple[int, int],
    columns: int,
    reach: float,
    labels: Sequence[str],
) -> None:
    """Give a square `image_grid` of decoded codes the axes of its codes.

    The codes go from -reach to reach, to the right and upwards; labels: x axis, y axis.
    """
    across, down = (
        [
            place * (size + 1) + (size - 1) / 2
            for place in (0, (columns - 1) / 2, columns - 1)
        ]
        for size in reversed(shape)
    )
    ends = [f"\N{MINUS SIGN}{reach:g}", "0", f"{reach:g}"]
    panel.set_axis_on()
    panel.set_xticks(across, ends)
    panel.set_yticks(down, ends[::-1])
    panel.set(xlabel=labels[0], ylabel=labels[1])


def beside(
    panel: Axes, x: Tensor, yours: Tensor, expected: Tensor, labels: Sequence[str]
) -> None:
    """The learner's curve as markers on the expected line; labels: x axis, y axis."""
    panel.plot(x, expected, color=BLUE, linewidth=3, alpha=0.6, label="expected")
    step = max(1, len(x) // 25)
    panel.plot(
        x[::step],
        yours.detach()[::step],
        color=RED,
        marker="o",
        markersize=4,
        linestyle="none",
        label="yours",
    )
    panel.set_xlabel(labels[0])
    panel.set_ylabel(labels[1])
    panel.legend(frameon=False)
