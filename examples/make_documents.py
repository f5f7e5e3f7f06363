# /// script
# requires-python = ">=3.11"
# dependencies = ["python-docx==1.2.0", "reportlab==5.1.0"]
# ///
"""Write the two binary examples, the PDF and the DOCX: the same bytes on every run.

Run it after a change, and commit what it writes: `uv run examples/make_documents.py`. Neither the server nor the tests
need it.
"""

import io
import zipfile
from datetime import datetime
from pathlib import Path

from docx import Document
from reportlab.lib.enums import TA_LEFT
from reportlab.lib.pagesizes import A4
from reportlab.lib.styles import ParagraphStyle
from reportlab.lib.units import mm
from reportlab.pdfgen.canvas import Canvas
from reportlab.platypus import Paragraph, SimpleDocTemplate, Spacer, Table, TableStyle
from reportlab.platypus.doctemplate import PageBreak
from reportlab.platypus.flowables import Flowable

DOCUMENTS = Path(__file__).parent / "documents"

BODY = ParagraphStyle("body", fontName="Helvetica", fontSize=10, leading=14, spaceAfter=6, alignment=TA_LEFT)
TITLE = ParagraphStyle("title", parent=BODY, fontName="Helvetica-Bold", fontSize=20, leading=26, spaceAfter=10)
HEADING = ParagraphStyle("heading", parent=BODY, fontName="Helvetica-Bold", fontSize=13, leading=18, spaceBefore=8)

Values = tuple[tuple[str, str], ...]

PAGES: tuple[tuple[tuple[str, Values | tuple[str, ...]], ...], ...] = (
    (
        (
            "1. Product",
            (
                ("Article", "PowerPack 480 (PP-480)"),
                ("Kind", "lithium-ion battery, cells NMC 21700"),
                ("Rated energy", "480 Wh"),
                ("Rated voltage", "36 V"),
                ("Capacity", "13.4 Ah"),
                ("Weight", "2.7 kg"),
                ("Protection class", "IP65"),
                ("UN number", "UN 3481, packed with equipment; UN 3480 alone"),
                ("Edition of this sheet", "4, March 2026"),
            ),
        ),
        (
            "2. Charging",
            (
                ("Charging temperature", "0 to 40 degrees Celsius"),
                ("Riding temperature", "-10 to 50 degrees Celsius"),
                ("Standard charger", "3 A, full in 4 hours 30 minutes"),
                ("Fast charger PP-CHG", "6 A, full in 2 hours 10 minutes"),
            ),
        ),
        (
            "",
            (
                "Charge on a hard surface that cannot burn, never on a bed or in a stairwell, and only with a "
                "charger that carries the Ardenmoor label. The battery stops by itself at 100 percent; for a long "
                "life unplug it at 80.",
            ),
        ),
    ),
    (
        (
            "3. Storage",
            (
                ("Storage temperature", "10 to 20 degrees Celsius"),
                ("State of charge", "40 to 60 percent"),
                ("Check", "every three months; recharge below 20 percent"),
                ("Distance to heaters", "at least 1 metre"),
            ),
        ),
        (
            "4. Transport",
            (
                "The battery is dangerous goods of class 9. It must not be sent by air and never as a passenger's "
                "luggage: its 480 Wh exceed the airlines' limit of 160 Wh. On trains and ferries it may travel "
                "inside the bike.",
                "A damaged battery must not be posted at all. Ring the service desk, who send a steel collection "
                "box within three working days, free of charge.",
            ),
        ),
        (
            "5. In an emergency",
            (
                ("Fire", "call the fire brigade; cool with plenty of water from at least 5 metres away"),
                ("Smoke or hissing", "leave the room, close the door, do not carry the battery outside"),
                ("Skin contact", "rinse with water for 15 minutes and take off soaked clothes"),
                ("Eye contact", "rinse with water for 20 minutes and see a doctor at once"),
                ("Inhaled vapour", "fresh air; see a doctor if coughing lasts longer than 30 minutes"),
            ),
        ),
    ),
    (
        (
            "6. Warranty terms",
            (
                ("Battery", "2 years or 500 full charges, whichever comes first, at 70 percent of the rated capacity"),
                ("Heron frame", "10 years"),
                ("Wren frame", "7 years"),
                ("Mule 2 frame", "5 years"),
                ("Motor and display", "3 years"),
                ("Paint and corrosion", "2 years"),
            ),
        ),
        (
            "",
            (
                "The warranty holds for the first owner and passes on to the second owner once, if the sale is "
                "registered within 30 days. It does not cover wear parts, racing, hire fleets, or damage by "
                "pressure washers and unapproved chargers.",
                "Send claims with the receipt and the frame number on form W-20. We decide within eight working "
                "days. If a part is no longer made, we replace it by one that is at least as good.",
            ),
        ),
        (
            "7. Disposal",
            (
                "Take old batteries back to any Ardenmoor shop. Each comes with a deposit of 20 GBP, which is "
                "paid out on return. Cells that still hold 75 percent go into the workshop's solar storage; the "
                "rest is recycled by a certified company.",
            ),
        ),
    ),
)


def sheet() -> None:
    """The battery's safety sheet: three pages of headings, label-and-value lines and paragraphs."""
    story: list[Flowable] = [Paragraph("PowerPack 480: safety sheet and warranty terms", TITLE)]
    for number, page in enumerate(PAGES):
        if number:
            story.append(PageBreak())
        for heading, lines in page:
            if heading:
                story.append(Paragraph(heading, HEADING))
            pairs = [
                [Paragraph(line[0], BODY), Paragraph(line[1], BODY)] for line in lines if not isinstance(line, str)
            ]
            if pairs:
                style = TableStyle([("VALIGN", (0, 0), (-1, -1), "TOP"), ("LEFTPADDING", (0, 0), (-1, -1), 0)])
                story.append(Table(pairs, colWidths=[50 * mm, 115 * mm], style=style, hAlign="LEFT"))
            story.extend(Paragraph(line, BODY) for line in lines if isinstance(line, str))
            story.append(Spacer(1, 4 * mm))

    def foot(canvas: Canvas, template: SimpleDocTemplate) -> None:
        canvas.setFont("Helvetica", 8)
        canvas.drawString(22 * mm, 12 * mm, f"Ardenmoor Cycleworks - PowerPack 480 - page {template.page} of 3")

    template = SimpleDocTemplate(
        str(DOCUMENTS / "shop" / "powerpack-480-safety-sheet.pdf"),
        pagesize=A4,
        leftMargin=22 * mm,
        title="PowerPack 480: safety sheet and warranty terms",
        author="Ardenmoor Cycleworks",
        invariant=1,
    )
    template.build(story, onFirstPage=foot, onLaterPages=foot)


APPROVALS = (
    ("Amount", "Who approves", "What is needed"),
    ("up to 500 GBP", "the cost centre's owner", "receipt"),
    ("above 500 to 5,000 GBP", "the cost centre's owner and the finance team", "one offer"),
    ("above 5,000 to 25,000 GBP", "the head of finance", "two offers"),
    ("above 25,000 to 100,000 GBP", "the head of finance and the managing director", "three offers and form F-30"),
    ("above 100,000 GBP", "the board", "three offers, form F-30 and a business case"),
)


def limits() -> None:
    """The finance team's approval limits: headings, paragraphs, bullets and a table."""
    document = Document()
    properties = document.core_properties
    properties.title = "Budgets and approval limits"
    properties.author = "Ardenmoor Cycleworks"
    properties.created = properties.modified = datetime(2026, 1, 15)
    document.add_heading("Budgets and approval limits", 0)
    document.add_paragraph("In force since 15 January 2026. For the finance team and for owners of cost centres.")
    document.add_heading("Who approves what", 1)
    table = document.add_table(rows=0, cols=3, style="Table Grid")
    for row in APPROVALS:
        for cell, text in zip(table.add_row().cells, row, strict=True):
            cell.text = text
    document.add_paragraph(
        "Amounts are without value added tax. Splitting an order to stay below a limit is forbidden."
    )
    document.add_heading("Moving budget", 1)
    document.add_paragraph(
        "Up to 10 percent of a cost centre's budget may be moved to another within a quarter by form F-12. The "
        "reserve of 75,000 GBP is released by the head of finance alone."
    )
    document.add_heading("Closing the month", 1)
    document.add_paragraph("Invoices received by the second working day belong to the old month.", style="List Bullet")
    document.add_paragraph("The books close on the sixth working day.", style="List Bullet")
    document.add_paragraph("Cost centre reports are sent on the eighth working day.", style="List Bullet")
    document.add_heading("Currency", 1)
    document.add_paragraph(
        "The budget of 2026 is calculated at 1.16 EUR and 189 JPY to the pound. Differences above 3 percent are "
        "shown on a line of their own. Half of the year's yen are bought forward in February."
    )
    document.add_heading("Planning calendar", 1)
    document.add_paragraph(
        "Owners hand in their drafts for 2027 by 18 September 2026. The managing director decides on 30 October; "
        "the board confirms the budget on 20 November 2026."
    )
    buffer = io.BytesIO()
    document.save(buffer)
    target = DOCUMENTS / "finance" / "approval-limits.docx"
    with zipfile.ZipFile(buffer) as made, zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as fixed:
        for name in sorted(made.namelist(), key=lambda name: (name != "[Content_Types].xml", name)):
            fixed.writestr(zipfile.ZipInfo(name, (2026, 1, 15, 0, 0, 0)), made.read(name), zipfile.ZIP_DEFLATED)


if __name__ == "__main__":
    sheet()
    limits()
