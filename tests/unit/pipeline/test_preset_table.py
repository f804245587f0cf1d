"""The table of presets in docs/training.md is the one that the estimate gives."""

from __future__ import annotations

import runpy
from pathlib import Path

ROOT = Path(__file__).parents[3]


def test_the_table_is_current():
    made = runpy.run_path(str(ROOT / "scripts" / "preset_table.py"))
    page = (ROOT / "docs" / "training.md").read_text(encoding="utf-8")
    assert made["replace_table"](page) == page, "run python scripts/preset_table.py --write"
    table = made["format_table"]()
    assert table.count("\n") == 2 + 6 * 3 and "| `rm-r1-qwen-7b` | sft " in table
