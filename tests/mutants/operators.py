"""Which operators make mutants: those of cosmic-ray that leave code that runs, and our own.

Of cosmic-ray's replacements of an operator by every other one, those are taken that a person could have written by
mistake: a comparison's border or its other side, the opposite sign, the other logical operation. A `<<` in place of a
`+` is noticed by everybody and would only embellish the percentage.
"""

from __future__ import annotations

from cosmic_ray.operators.operator import Operator
from cosmic_ray.plugins import get_operator

from mutants.own_operators import OWN

COMPARISONS = (
    *("Lt_LtE", "LtE_Lt", "Gt_GtE", "GtE_Gt"),
    *("Lt_GtE", "GtE_Lt", "Gt_LtE", "LtE_Gt"),
    *("Eq_NotEq", "NotEq_Eq", "Is_IsNot", "IsNot_Is"),
)
BINARY = (
    *("Add_Sub", "Sub_Add", "Mul_Div", "Div_Mul", "FloorDiv_Mul", "Mod_Mul", "Pow_Mul"),
    *("BitAnd_BitOr", "BitOr_BitAnd", "BitXor_BitAnd", "LShift_RShift", "RShift_LShift"),
)
UNARY = ("Delete_Not", "Delete_Invert")
OTHERS = (
    *("AddNot", "ReplaceTrueWithFalse", "ReplaceFalseWithTrue", "ReplaceAndWithOr", "ReplaceOrWithAnd"),
    *("ReplaceBreakWithContinue", "ReplaceContinueWithBreak", "NumberReplacer"),
    *("RemoveDecorator", "ZeroIterationForLoop"),
)
NAMES = (
    *(f"ReplaceComparisonOperator_{name}" for name in COMPARISONS),
    *(f"ReplaceBinaryOperator_{name}" for name in BINARY),
    *(f"ReplaceUnaryOperator_{name}" for name in UNARY),
    *OTHERS,
)


def operators() -> list[tuple[str, Operator]]:
    """Name and instance of every operator, in a fixed order."""
    from_library = [(name, get_operator(f"core/{name}")()) for name in NAMES]
    return from_library + [(kind.__name__, kind()) for kind in OWN]
