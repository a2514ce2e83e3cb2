"""Commands for people who work on a study. No stage imports them, so an edit here makes nothing stale."""
