"""`make new`: look at a folder of pictures, propose a study of it, and write the study's folder."""
