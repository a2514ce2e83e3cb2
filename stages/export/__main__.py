"""`python -m stages.export`: the champion as ONNX, its differences from torch, and two cards, in export/."""

from __future__ import annotations

from typing import Any

from stages.core import console, errors, files, params


def main() -> None:
    """Write export/model.onnx, parity.json, README.md and croissant.json.

    Raises:
        UserError: there is no champion, it has no weights here or was trained on other data, or ONNX gives other labels
            than torch.
    """
    from stages.export import cards, graph, int8, package, parity
    from stages.predict import champion

    parser = cards.parser("stages.export", __doc__)
    parser.add_argument("--int8", action="store_true", help="also write model.int8.onnx, and its cost on validation")
    arguments = parser.parse_args()
    study = params.read()
    variant, seeds = champion.asked(study, arguments.variant, arguments.seed)
    ensemble = package.trained(variant, seeds)
    whole = graph.Graph(ensemble)
    with files.fresh_folder(cards.FOLDER) as folder:
        path = folder / "model.onnx"
        graph.write(whole, path, graph.about(study.name, variant, seeds, ensemble))
        stated: dict[str, Any] = {"study": study.name, "variant": variant, "seeds": seeds}
        stated["model.onnx"] = parity.against_torch(whole, variant, seeds, path)
        parity.refuse_changes(stated["model.onnx"])
        if arguments.int8:
            small = folder / "model.int8.onnx"
            int8.write(path, small, whole, seeds)
            stated["model.int8.onnx"] = parity.against_torch(whole, variant, seeds, small)
            stated["model.int8.onnx"] |= parity.cost(whole, seeds, path, small)
        files.write_json(folder / "parity.json", stated)
        cards.write(folder, variant, seeds, arguments)
    console.say(parity.sentence(stated))


if __name__ == "__main__":
    errors.run(main)
