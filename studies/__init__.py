"""Four published studies as presets: a folder each, with params.yaml and a link to the pipeline."""
