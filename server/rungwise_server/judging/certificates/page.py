"""A certificate as one HTML file with a picture: what the judge says, and what people do, slice by slice."""

from collections.abc import Iterator
from html import escape

from rungwise_server.judging.certificates.certificate import Certificate, Slice
from rungwise_server.judging.certificates.show import COLUMNS, lines_of, rows_of
from rungwise_server.pages import document, heading, paragraphs, table

_SIDE = 320


def page_of(certificate: Certificate) -> str:
    """The whole page."""
    parts = [_section(one) for one in (certificate, *certificate.systems)]
    title = "Judge's certificate"
    return document(title, f"{heading(title)}{''.join(parts)}")


def _section(certificate: Certificate) -> str:
    name = escape(certificate.system or "All items")
    told = f"{paragraphs(lines_of(certificate))}{table(COLUMNS, rows_of(certificate))}"
    return f"<h2>{name}</h2>{told}{picture_of(certificate.slices)}"


def picture_of(slices: tuple[Slice, ...]) -> str:
    """A reliability picture as SVG: on the diagonal, people say what the judge says."""
    marks = "".join(_marks(slices))
    ends = f'<text x="0" y="{_SIDE + 18}">judge 0</text><text x="{_SIDE}" y="{_SIDE + 18}" text-anchor="end">1</text>'
    label = "People's mean grade, with its interval, over the judge's mean grade, in slices of the judge's grades"
    return (
        f'<svg viewBox="-40 -16 {_SIDE + 56} {_SIDE + 44}" width="{_SIDE + 56}" role="img" aria-label="{label}" '
        f'font-size="12"><rect width="{_SIDE}" height="{_SIDE}" fill="none" stroke="#bbb"/>'
        f'<path d="M0 {_SIDE}L{_SIDE} 0" stroke="#bbb" stroke-dasharray="4"/>{marks}{ends}'
        f'<text x="-6" y="8" text-anchor="end">1</text><text x="-6" y="{_SIDE}" text-anchor="end">people</text></svg>'
    )


def _marks(slices: tuple[Slice, ...]) -> Iterator[str]:
    for one in slices:
        if one.judge is None or one.human is None:
            continue
        x, y, low, high = (round(value * _SIDE, 1) for value in (one.judge, 1 - one.human, 1 - one.low, 1 - one.high))
        told = f"judge {one.judge:.2f}, people {one.human:.2f} ({one.low:.2f} to {one.high:.2f}), {one.graded} graded"
        yield (
            f'<g><title>{told}</title><path d="M{x} {low}V{high}" stroke="#1f5fbf" stroke-width="2"/>'
            f'<circle cx="{x}" cy="{y}" r="5" fill="#1f5fbf"/></g>'
        )
