"""Likely label errors among all kept pictures, each judged by models that did not see it; and outliers."""
