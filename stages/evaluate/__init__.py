"""What one cell is worth: metrics, calibration, robustness, cost, pictures, all from its logits and its weights."""
