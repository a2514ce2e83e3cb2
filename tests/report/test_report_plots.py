from __future__ import annotations

import json
from pathlib import Path

from dvc_render.vega import VegaRenderer  # type: ignore[import-untyped]

TEMPLATES = Path(__file__).parents[2] / ".dvc/plots"


def test_dvc_fills_the_template_of_the_curves() -> None:
    rows = [
        {"variant": v, "seed": s, "epoch": e, "split": "val", "loss": 1 / e, "top1": 0.5, "rev": "workspace"}
        for v in ("mlp", "cnn")
        for s in "01"
        for e in (1, 2)
    ]
    renderer = VegaRenderer(rows, "curves.csv", x="epoch", y="loss", template="curves", template_dir=str(TEMPLATES))
    filled = renderer.get_filled_template()
    assert "DVC_METRIC" not in json.dumps(filled)
    assert len(filled["data"]["values"]) == len(rows)
    encoding = filled["spec"]["encoding"]
    assert (encoding["x"]["field"], encoding["y"]["field"]) == ("epoch", "loss")
    assert (encoding["color"]["field"], encoding["detail"]["field"]) == ("variant", "seed")
