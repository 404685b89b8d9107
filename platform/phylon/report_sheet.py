"""The reproducibility sheet: what others need to know to repeat a study and to trust it."""

from __future__ import annotations

from markupsafe import Markup

from phylon.history import History
from phylon.mlflow_documents import space_in_words, study_file
from phylon.report_section import Part, Section
from phylon.report_sheet_items import Answer, groups
from phylon.report_table import table

_INTRODUCTION = Markup(
    '<p>What the journal tells on the checklist of <a href="https://jmlr.org/papers/v21/20-056.html"'
    ' rel="noreferrer">Lindauer and Hutter, Best Practices for Scientific Research on Neural '
    "Architecture Search, JMLR 21 (2020)</a>. {}</p>"
)
_FILE = Markup("<details><summary>{}</summary><pre>{}</pre></details>")


def sheet_section(history: History) -> Section:
    """Return the checklist, filled as far as the study tells, and the study file to run again."""
    told = list(groups(history))
    missing = sum(answer.is_missing for _, answers in told for answer in answers)
    left = f"{missing} answers are left to you."
    parts: list[Part] = [_INTRODUCTION.format(left)]
    for title, answers in told:
        parts.append(Markup("<h3>{}</h3>").format(title))
        parts.append(table(("item", "what this study says"), map(_row, answers)))
    created = history.created
    parts.append(_FILE.format("The study file, to run it again", study_file(created)))
    parts.append(_FILE.format("The search space", space_in_words(created)))
    return Section("reproduce", "Reproducibility sheet", tuple(parts))


def _row(answer: Answer) -> tuple[str, Markup]:
    shown = "<strong>Left to you:</strong> {}" if answer.is_missing else "{}"
    return answer.item, Markup(shown).format(answer.told)
