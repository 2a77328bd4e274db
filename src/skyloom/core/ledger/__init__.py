"""Annotate, decide, materialise: text stays where it is, decisions are columns.

collect    sources -> rows/*.parquet (keys, text, licence), rejects            rows.py
annotate   expensive facts about rows, cached by content                       annotate.py
decide     pure functions of columns: keep, drop, flip or repair, and why      decide.py
curate     an explicit order of annotators and deciders, then kept rows        curate.py
ask        why a row was kept, what two runs differ in, what came from a row   query.py
"""

from skyloom.core.ledger.annotate import AnnotatorConfig
from skyloom.core.ledger.curate import Curated, curate
from skyloom.core.ledger.decide import DeciderConfig
from skyloom.core.ledger.query import diff, retract, why
from skyloom.core.ledger.rows import RowWriter, collect

__all__ = ["AnnotatorConfig", "Curated", "DeciderConfig", "RowWriter", "collect", "curate", "diff", "retract", "why"]
