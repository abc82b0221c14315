"""The error of calibrations."""


class CalibrationError(ValueError):
    """A calibration that cannot be read, is not sound, or is for something else; one line."""
