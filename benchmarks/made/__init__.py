"""Pictures made here, so that the truth about them is known: copies of photographs, and mere look-alikes."""
