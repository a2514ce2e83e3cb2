"""Stage `cells`: check params.yaml whole and list the cells (variant x seed), before anything long begins."""
