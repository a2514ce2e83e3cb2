"""The pictures that the page shows, each once: test images, likely label errors, and the input of the networks."""
