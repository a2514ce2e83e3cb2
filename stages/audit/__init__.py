"""Likely label errors among all kept pictures, those of training too: each is judged by models that did not see it."""
