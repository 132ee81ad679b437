"""The live page of a study: its report, kept fresh, under a head that says what runs now."""
