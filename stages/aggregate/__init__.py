"""From cells to answers: mean, SD and intervals over seeds, paired comparisons; reads only what lives in git."""
