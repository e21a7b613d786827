"""What the exercises of this paper's notebooks accept; see `covidseg.lessons.checks`."""
