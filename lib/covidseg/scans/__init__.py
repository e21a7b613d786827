"""A scan on disk: ``read`` brings it in upright, ``segment`` makes mask, findings and sheet, ``outputs`` writes."""
