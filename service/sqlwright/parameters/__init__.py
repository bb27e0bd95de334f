"""What a caller sends, checked and converted: from query strings, JSON bodies and command lines to bound values."""

from sqlwright.parameters.cells import Cells
from sqlwright.parameters.validator import FAULTS_MAX, Call, Validator, compile_validator

__all__ = ["FAULTS_MAX", "Call", "Cells", "Validator", "compile_validator"]
